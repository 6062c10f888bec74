/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_lossy_test.c -- simulated links over packets that are lost, doubled and cut off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport/sim/arq.h"
#include "transport/sim/sim.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MESSAGES 500
#define SEEDS 40
#define SECOND 1000000000ull

/* ---- numbers ---- */

static void arq__window_full__no_room_until_acknowledged(void **state)
{
	struct arq arq;

	(void)state;
	arq_init(&arq);
	for (uint64_t i = 0; i < ARQ_WINDOW_MAX; i++) {
		assert_true(arq_room(&arq));
		assert_int_equal(arq_send(&arq, 0), i);
		arq_check(&arq);
	}
	assert_false(arq_room(&arq));
	assert_false(arq_ack(&arq, 0, 1));
	assert_false(arq_ack(&arq, ARQ_WINDOW_MAX + 1, 1));
	assert_true(arq_ack(&arq, 1, 1));
	assert_true(arq_room(&arq));
	assert_false(arq_ack(&arq, 1, 2));
	assert_true(arq_ack(&arq, ARQ_WINDOW_MAX, 2));
	assert_false(arq_ack(&arq, 3, 2));
	arq_check(&arq);
}

static void arq__any_order_and_doubles__each_taken_once_in_order(void **state)
{
	static const uint64_t come[] = { 2, 0, 2, 1, 0, 63 + 3, 64 + 3, 5, 3, 4, 5 };
	uint64_t taken, next = 0;
	struct arq arq;

	(void)state;
	arq_init(&arq);
	for (size_t i = 0; i < sizeof(come) / sizeof(come[0]); i++) {
		arq_data(&arq, come[i]);
		while (arq_take(&arq, &taken))
			assert_int_equal(taken, next++);
		arq_check(&arq);
	}
	assert_int_equal(next, 6);
	assert_false(arq_data(&arq, 5));		  /* had it */
	assert_false(arq_data(&arq, 6 + ARQ_WINDOW_MAX)); /* beyond the window */
	assert_true(arq_data(&arq, 6 + ARQ_WINDOW_MAX - 1));
}

static void arq__no_answer__repeats_ever_later_then_gives_up(void **state)
{
	uint64_t now = 0, last = 0;
	bool in_vain = false;
	struct arq arq;

	(void)state;
	arq_init(&arq);
	assert_false(arq_repeat(&arq, 5, &in_vain)); /* nothing is sent */
	assert_false(in_vain);
	arq_send(&arq, 0);
	for (now = arq.timeout; arq_repeat(&arq, now, &in_vain); now += arq.timeout) {
		assert_true(arq.timeout >= last);
		assert_true(arq.timeout <= ARQ_TIMEOUT_LONGEST_NS);
		last = arq.timeout;
	}
	assert_true(in_vain);
	assert_true(now >= ARQ_GIVE_UP_NS);
	assert_true(now < ARQ_GIVE_UP_NS + 2 * ARQ_TIMEOUT_LONGEST_NS);
}

/* ---- links ---- */

struct run {
	struct sim *sim;
	uint32_t link;
	uint32_t got[2]; /* messages, by node */
	int down[2];	 /* status, 0: still up */
	uint64_t down_at[2];
};

static void run_begin(struct run *run, uint64_t seed, uint32_t loss, uint32_t doubled)
{
	struct sim_faults faults = { .loss_ppm = loss, .double_ppm = doubled };
	struct sim_event event;

	*run = (struct run){ 0 };
	assert_int_equal(sim_new(seed, 2, &run->sim), 0);
	sim_faults_set(run->sim, &faults);
	assert_int_equal(sim_connect(run->sim, 0, 1, &run->link), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sim_step(run->sim, &event), 0);
		assert_int_equal(event.kind, SIM_UP);
	}
}

static void send_number(struct run *run, uint32_t node, uint32_t number)
{
	assert_int_equal(sim_send(run->sim, node, run->link, &number, sizeof(number), -1), 0);
}

/* What comes is what the other node sent, in order, each once. */
static void run_to_end(struct run *run)
{
	struct sim_event event;

	while (sim_step(run->sim, &event) == 0) {
		uint32_t number;

		if (event.kind == SIM_DOWN) {
			run->down[event.node] = event.status;
			run->down_at[event.node] = sim_now(run->sim);
			continue;
		}
		assert_int_equal(event.kind, SIM_DELIVER);
		assert_int_equal(run->down[event.node], 0);
		assert_int_equal(event.len, sizeof(number));
		memcpy(&number, event.data, sizeof(number));
		assert_int_equal(number, run->got[event.node]++);
	}
}

static void send__packets_lost_doubled_and_out_of_order__each_message_once_in_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_losses losses;
		struct run run;

		run_begin(&run, seed, 300000, 300000);
		for (uint32_t i = 0; i < MESSAGES; i++) {
			send_number(&run, 0, i);
			send_number(&run, 1, i);
		}
		run_to_end(&run);
		assert_int_equal(run.got[0], MESSAGES);
		assert_int_equal(run.got[1], MESSAGES);
		assert_int_equal(run.down[0], 0);
		sim_losses(run.sim, &losses);
		assert_true(losses.lost > MESSAGES / 4);
		assert_true(losses.doubled > MESSAGES / 4);
		assert_true(losses.repeated > MESSAGES / 4);
		sim_free(run.sim);
	}
}

static void close__after_sends_with_loss__all_arrives_then_the_end(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct run run;

		run_begin(&run, seed, 300000, 0);
		for (uint32_t i = 0; i < MESSAGES; i++)
			send_number(&run, 0, i);
		sim_close(run.sim, 0, run.link);
		run_to_end(&run);
		assert_int_equal(run.got[1], MESSAGES);
		assert_int_equal(run.down[1], -ECONNRESET);
		sim_free(run.sim);
	}
}

static void partition__healed_soon__nothing_is_missing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct run run;

		run_begin(&run, seed, 0, 0);
		sim_side_set(run.sim, 1, 1);
		for (uint32_t i = 0; i < MESSAGES; i++)
			send_number(&run, 0, i);
		/* A timer of node 0 is what happens while nothing can arrive. */
		assert_int_equal(sim_timer(run.sim, 0, sim_now(run.sim) + 5 * SECOND), 0);
		struct sim_event event;
		assert_int_equal(sim_step(run.sim, &event), 0);
		assert_int_equal(event.kind, SIM_TIMER);
		sim_side_set(run.sim, 1, 0);
		run_to_end(&run);
		assert_int_equal(run.got[1], MESSAGES);
		assert_int_equal(run.down[0], 0);
		assert_int_equal(run.down[1], 0);
		sim_free(run.sim);
	}
}

static void partition__not_healed__both_ends_learn_in_bounded_time(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_losses losses;
		struct run run;
		uint64_t start;

		run_begin(&run, seed, 100000, 100000);
		send_number(&run, 0, 0);
		sim_side_set(run.sim, 1, 1);
		start = sim_now(run.sim);
		for (uint32_t i = 1; i < MESSAGES; i++)
			send_number(&run, 0, i);
		run_to_end(&run);
		assert_true(run.got[1] <= 1);
		for (int node = 0; node < 2; node++) {
			assert_int_equal(run.down[node], -EHOSTDOWN);
			assert_true(run.down_at[node] - start < 21 * SECOND);
		}
		sim_losses(run.sim, &losses);
		assert_int_equal(losses.given_up, 1);
		sim_free(run.sim);
	}
}

static void connect__across_a_partition__times_out(void **state)
{
	struct sim_faults none = { 0 };
	struct sim_event event;
	uint32_t link;
	struct sim *sim;

	(void)state;
	assert_int_equal(sim_new(1, 2, &sim), 0);
	sim_faults_set(sim, &none);
	sim_side_set(sim, 1, 1);
	assert_int_equal(sim_connect(sim, 0, 1, &link), 0);
	assert_int_equal(sim_step(sim, &event), 0);
	assert_int_equal(event.kind, SIM_DOWN);
	assert_int_equal(event.node, 0);
	assert_int_equal(event.status, -ETIMEDOUT);
	assert_int_equal(sim_step(sim, &event), -EAGAIN);
	sim_free(sim);
}

static void stop__receiver__acknowledged_for_it_and_delivered_later(void **state)
{
	struct sim_losses losses;
	struct sim_event event;
	struct run run;

	(void)state;
	run_begin(&run, 3, 0, 0);
	sim_stop(run.sim, 1);
	for (uint32_t i = 0; i < MESSAGES; i++)
		send_number(&run, 0, i);
	assert_int_equal(sim_step(run.sim, &event), -EAGAIN);
	sim_losses(run.sim, &losses);
	assert_int_equal(losses.given_up, 0);
	sim_continue(run.sim, 1);
	run_to_end(&run);
	assert_int_equal(run.got[1], MESSAGES);
	sim_free(run.sim);
}

static uint64_t run_digest(uint64_t seed)
{
	struct run run;
	uint64_t digest;

	run_begin(&run, seed, 200000, 200000);
	for (uint32_t i = 0; i < MESSAGES; i++)
		send_number(&run, i % 2, i / 2);
	run_to_end(&run);
	digest = sim_digest(run.sim);
	sim_free(run.sim);
	return digest;
}

static void seed__same__same_run(void **state)
{
	(void)state;
	assert_true(run_digest(7) == run_digest(7));
	assert_true(run_digest(7) != run_digest(8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arq__window_full__no_room_until_acknowledged),
		cmocka_unit_test(arq__any_order_and_doubles__each_taken_once_in_order),
		cmocka_unit_test(arq__no_answer__repeats_ever_later_then_gives_up),
		cmocka_unit_test(
			send__packets_lost_doubled_and_out_of_order__each_message_once_in_order),
		cmocka_unit_test(close__after_sends_with_loss__all_arrives_then_the_end),
		cmocka_unit_test(partition__healed_soon__nothing_is_missing),
		cmocka_unit_test(partition__not_healed__both_ends_learn_in_bounded_time),
		cmocka_unit_test(connect__across_a_partition__times_out),
		cmocka_unit_test(stop__receiver__acknowledged_for_it_and_delivered_later),
		cmocka_unit_test(seed__same__same_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
