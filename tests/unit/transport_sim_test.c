/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_sim_test.c -- the simulated network: order, determinism, deaths, stops */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport/sim/sim.h"
#include "transport/transport.h"
#include <errno.h>
#include <string.h>

#define NODES 4

static int setup(void **state)
{
	struct sim *sim;

	assert_int_equal(sim_new(1, NODES, &sim), 0);
	*state = sim;
	return 0;
}

static int teardown(void **state)
{
	assert_null(sim_free(*state));
	return 0;
}

static void expect(struct sim *sim, enum sim_kind kind, uint32_t node, struct sim_event *ret_event)
{
	uint64_t before = sim_now(sim);

	assert_int_equal(sim_step(sim, ret_event), 0);
	assert_int_equal(ret_event->kind, kind);
	assert_int_equal(ret_event->node, node);
	assert_true(sim_now(sim) >= before);
}

static void expect_end(struct sim *sim)
{
	struct sim_event event;

	assert_int_equal(sim_step(sim, &event), -EAGAIN);
}

static uint32_t join(struct sim *sim, uint32_t from, uint32_t to)
{
	struct sim_event event;
	uint32_t link = UINT32_MAX;

	assert_int_equal(sim_connect(sim, from, to, &link), 0);
	expect(sim, SIM_UP, to, &event);
	assert_true(event.accepted);
	assert_int_equal(event.peer, from);
	assert_int_equal(event.link, link);
	expect(sim, SIM_UP, from, &event);
	assert_false(event.accepted);
	assert_int_equal(event.link, link);
	return link;
}

static void new__bad_number_of_nodes__einval(void **state)
{
	struct sim *sim = NULL;

	(void)state;
	assert_int_equal(sim_new(1, 0, &sim), -EINVAL);
	assert_int_equal(sim_new(1, SIM_NODE_MAX + 1, &sim), -EINVAL);
	assert_null(sim);
	assert_int_equal(sim_new(1, SIM_NODE_MAX, &sim), 0);
	sim_free(sim);
}

static void send__one_link__in_order_with_data_and_descriptor(void **state)
{
	struct sim *sim = *state;
	struct sim_event event;
	uint32_t link = join(sim, 0, 1);

	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(sim_send(sim, 0, link, &i, sizeof(i), (int)i - 1), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		expect(sim, SIM_DELIVER, 1, &event);
		assert_int_equal(event.len, sizeof(i));
		assert_memory_equal(event.data, &i, sizeof(i));
		assert_int_equal(event.fd, (int)i - 1);
		assert_int_equal(event.peer, 0);
	}
	expect_end(sim);
}

static void send__two_links__order_between_them_differs(void **state)
{
	struct sim *sim = *state;
	struct sim_event event;
	uint32_t links[2] = { join(sim, 0, 2), join(sim, 1, 2) };
	unsigned turns = 0, last = 2;

	/* Strictly alternating when sent. */
	for (int i = 0; i < 200; i++)
		assert_int_equal(sim_send(sim, (uint32_t)i % 2, links[i % 2], "x", 1, -1), 0);
	for (int i = 0; i < 200; i++) {
		expect(sim, SIM_DELIVER, 2, &event);
		turns += event.peer != last;
		last = event.peer;
	}
	assert_true(turns > 1);
	assert_true(turns < 200);
}

static void send__refused_cases__error_and_nothing_delivered(void **state)
{
	static uint8_t big[TRANSPORT_MESSAGE_MAX + 1];
	struct sim *sim = *state;
	struct sim_event event;
	uint32_t link;

	assert_int_equal(sim_connect(sim, 0, 0, &link), -EINVAL);
	assert_int_equal(sim_connect(sim, 0, NODES, &link), -EINVAL);
	assert_int_equal(sim_connect(sim, 0, 1, &link), 0);
	assert_int_equal(sim_send(sim, 0, link, "x", 1, -1), -EHOSTDOWN); /* not up yet */
	expect(sim, SIM_UP, 1, &event);
	expect(sim, SIM_UP, 0, &event);
	assert_int_equal(sim_send(sim, 2, link, "x", 1, -1), -EHOSTDOWN); /* not its link */
	assert_int_equal(sim_send(sim, 0, link + 1, "x", 1, -1), -EHOSTDOWN);
	assert_int_equal(sim_send(sim, 0, link, big, sizeof(big), -1), -EMSGSIZE);
	expect_end(sim);
}

static void close__after_sends__all_arrive_then_down(void **state)
{
	struct sim *sim = *state;
	struct sim_event event;
	uint32_t link = join(sim, 0, 1);

	assert_int_equal(sim_send(sim, 0, link, "a", 1, -1), 0);
	assert_int_equal(sim_send(sim, 1, link, "b", 1, -1), 0);
	sim_close(sim, 0, link);
	assert_int_equal(sim_send(sim, 0, link, "c", 1, -1), -EHOSTDOWN);
	expect(sim, SIM_DELIVER, 1, &event);
	expect(sim, SIM_DOWN, 1, &event);
	assert_int_equal(event.status, -ECONNRESET);
	assert_int_equal(sim_send(sim, 1, link, "d", 1, -1), -EHOSTDOWN);
	expect_end(sim);
}

static void close__before_up__other_end_up_then_down(void **state)
{
	struct sim *sim = *state;
	struct sim_event event;
	uint32_t link;

	assert_int_equal(sim_connect(sim, 0, 1, &link), 0);
	sim_close(sim, 0, link);
	expect(sim, SIM_UP, 1, &event);
	expect(sim, SIM_DOWN, 1, &event);
	expect_end(sim);
}

static void kill__with_messages_under_way__they_arrive_then_down(void **state)
{
	struct sim *sim = *state;
	struct sim_event event;
	uint32_t to_1 = join(sim, 0, 1), from_2 = join(sim, 2, 0);

	assert_int_equal(sim_send(sim, 0, to_1, "a", 1, -1), 0);
	assert_int_equal(sim_send(sim, 2, from_2, "b", 1, -1), 0);
	sim_kill(sim, 0);
	assert_false(sim_alive(sim, 0));
	assert_int_equal(sim_send(sim, 0, to_1, "c", 1, -1), -EHOSTDOWN);
	for (int i = 0, got_1 = 0; i < 3; i++) {
		assert_int_equal(sim_step(sim, &event), 0);
		if (event.node == 1)
			assert_int_equal(event.kind, got_1++ ? SIM_DOWN : SIM_DELIVER);
		else
			assert_int_equal(event.kind, SIM_DOWN);
		if (event.kind == SIM_DOWN)
			assert_int_equal(event.status, -EHOSTDOWN);
	}
	expect_end(sim);
}

/* The first message dies on the way out, the second on the way in, and so on. */
static void kill_at__every_message__died_once_and_others_told(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= 6; n++) {
		struct sim_event event;
		struct sim *sim;
		uint32_t link, delivered = 0, died = 0;

		assert_int_equal(sim_new(n, 2, &sim), 0);
		link = join(sim, 0, 1);
		sim_kill_at(sim, 1, n);
		assert_int_equal(sim_send(sim, 0, link, "x", 1, -1), 0);
		while (sim_step(sim, &event) == 0) {
			if (event.kind == SIM_DELIVER) { /* ping pong until somebody dies */
				delivered++;
				sim_send(sim, event.node, link, "x", 1, -1);
			} else if (event.kind == SIM_DIED) {
				assert_int_equal(event.node, 1);
				died++;
			} else {
				assert_int_equal(event.kind, SIM_DOWN);
				assert_int_equal(event.node, 0);
				assert_int_equal(died, 1);
			}
		}
		assert_int_equal(died, 1);
		assert_int_equal(delivered, n - 1);
		sim_free(sim);
	}
}

static void connect__to_dead_or_refusing_node__econnrefused(void **state)
{
	struct sim *sim = *state;
	struct sim_event event;
	uint32_t link;

	sim_refuse(sim, 1, 1);
	assert_int_equal(sim_connect(sim, 0, 1, &link), 0);
	expect(sim, SIM_DOWN, 0, &event);
	assert_int_equal(event.status, -ECONNREFUSED);
	join(sim, 0, 1);
	sim_kill(sim, 2);
	assert_int_equal(sim_connect(sim, 0, 2, &link), 0);
	expect(sim, SIM_DOWN, 0, &event);
	assert_int_equal(event.status, -ECONNREFUSED);
	assert_int_equal(sim_connect(sim, 2, 0, &link), -EHOSTDOWN);
	expect_end(sim);
}

static void kill__while_connecting__other_end_is_told(void **state)
{
	struct sim *sim = *state;
	struct sim_event event;
	uint32_t link;

	/* Before the request arrives. */
	assert_int_equal(sim_connect(sim, 0, 1, &link), 0);
	sim_kill(sim, 0);
	expect(sim, SIM_UP, 1, &event);
	expect(sim, SIM_DOWN, 1, &event);
	assert_int_equal(event.status, -EHOSTDOWN);
	/* While the answer is on the way. */
	assert_int_equal(sim_connect(sim, 2, 1, &link), 0);
	expect(sim, SIM_UP, 1, &event);
	sim_kill(sim, 2);
	expect(sim, SIM_DOWN, 1, &event);
	expect_end(sim);
}

static void stop__messages_and_timer_wait__then_come_in_order(void **state)
{
	struct sim *sim = *state;
	struct sim_event event;
	uint32_t link = join(sim, 0, 1);

	sim_stop(sim, 1);
	assert_int_equal(sim_timer(sim, 1, sim_now(sim)), 0);
	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(sim_send(sim, 0, link, &i, sizeof(i), -1), 0);
	expect_end(sim);
	assert_true(sim_alive(sim, 1));
	for (uint32_t i = 50; i < 100; i++)
		assert_int_equal(sim_send(sim, 0, link, &i, sizeof(i), -1), 0);
	sim_continue(sim, 1);
	expect(sim, SIM_TIMER, 1, &event);
	for (uint32_t i = 0; i < 100; i++) {
		expect(sim, SIM_DELIVER, 1, &event);
		assert_memory_equal(event.data, &i, sizeof(i));
	}
	expect_end(sim);
}

static void timer__replaced_and_ended__only_the_last_fires(void **state)
{
	struct sim *sim = *state;
	struct sim_event event;
	uint64_t start = sim_now(sim);

	assert_int_equal(sim_timer(sim, 0, start + 100), 0);
	assert_int_equal(sim_timer(sim, 0, start + 50), 0);
	assert_int_equal(sim_timer(sim, 1, start + 70), 0);
	assert_int_equal(sim_timer(sim, 1, UINT64_MAX), 0);
	expect(sim, SIM_TIMER, 0, &event);
	assert_int_equal(sim_now(sim), start + 50);
	expect_end(sim);
	assert_int_equal(sim_timer(sim, 0, 0), 0); /* not before now */
	expect(sim, SIM_TIMER, 0, &event);
	assert_int_equal(sim_now(sim), start + 50);
}

/* Everybody talks with everybody; one is stopped for a while, one dies. */
static uint64_t run_of(uint64_t seed)
{
	struct sim_event event;
	struct sim *sim;
	uint32_t link, steps = 0;
	uint64_t digest;

	assert_int_equal(sim_new(seed, NODES, &sim), 0);
	for (uint32_t a = 0; a < NODES; a++)
		for (uint32_t b = 0; b < a; b++)
			assert_int_equal(sim_connect(sim, a, b, &link), 0);
	sim_kill_at(sim, 3, 40);
	while (steps < 2000 && sim_step(sim, &event) == 0) {
		steps++;
		if (steps == 100)
			sim_stop(sim, 2);
		if (steps == 200)
			sim_continue(sim, 2);
		if (event.kind == SIM_DELIVER || event.kind == SIM_UP)
			sim_send(sim, event.node, event.link, &steps, sizeof(steps), -1);
	}
	assert_int_equal(steps, 2000);
	digest = sim_digest(sim);
	sim_free(sim);
	return digest;
}

static void step__same_seed__same_run(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		assert_int_equal(run_of(seed), run_of(seed));
		assert_int_not_equal(run_of(seed), run_of(seed + 1));
	}
}

int main(void)
{
#define WITH_SIM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new__bad_number_of_nodes__einval),
		WITH_SIM(send__one_link__in_order_with_data_and_descriptor),
		WITH_SIM(send__two_links__order_between_them_differs),
		WITH_SIM(send__refused_cases__error_and_nothing_delivered),
		WITH_SIM(close__after_sends__all_arrive_then_down),
		WITH_SIM(close__before_up__other_end_up_then_down),
		WITH_SIM(kill__with_messages_under_way__they_arrive_then_down),
		cmocka_unit_test(kill_at__every_message__died_once_and_others_told),
		WITH_SIM(connect__to_dead_or_refusing_node__econnrefused),
		WITH_SIM(kill__while_connecting__other_end_is_told),
		WITH_SIM(stop__messages_and_timer_wait__then_come_in_order),
		WITH_SIM(timer__replaced_and_ended__only_the_last_fires),
		cmocka_unit_test(step__same_seed__same_run),
	};

	return cmocka_run_group_tests_name("transport/sim", tests, NULL, NULL);
}
