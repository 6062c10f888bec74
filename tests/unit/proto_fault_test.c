/* SPDX-License-Identifier: BSD-3-Clause */
/* proto_fault_test.c -- a death at every message, a failed allocation at every one, in a scenario */
#include "proto_test.h"

#include "base/alloc.h"
#include "proto_scene.h"

/* Under a sanitizer each run takes longer: fewer of them. */
#if defined(FARBUS_SANITIZE)
#define STRIDE 5
#else
#define STRIDE 1
#endif

static struct net *net_empty(uint64_t seed)
{
	return net_new(&(struct net_conf){ .seed = seed, .size = SCENE_SIZE });
}

static void scenario__nothing_fails__only_what_must(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_empty(seed);
		struct scene_end end;

		scene_run(net, &end);
		/* A lookup of nobody's name. */
		EXPECT_INT(end.failed, 1);
		EXPECT(end.ok > 40);
		net_free(net, true);
	}
}

/* Each node that is left knows of each death of somebody who was there, once. */
static void expect_known(struct net *net, const struct scene_end *end, uint32_t victim)
{
	for (uint32_t node = 0; node < SCENE_SIZE; node++) {
		unsigned events;

		if (node == victim || !net_alive(net, node))
			continue;
		events = net_events(net, node, FARBUS_EVENT_PEER_LOST, victim);
		EXPECT(events <= 1);
		if (end->joined[victim] && end->joined[node] && node != 2)
			EXPECT_INT(events, 1);
	}
}

static void
scenario__a_rank_dies_at_its_nth_message__every_request_ends_and_others_know(void **state)
{
	(void)state;
	for (uint32_t victim = 0; victim < SCENE_SIZE; victim++)
		for (uint64_t seed = 1; seed <= 2; seed++) {
			bool died = true;

			for (uint64_t n = 1; died; n += STRIDE) {
				struct net *net = net_empty(seed);
				struct scene_end end;

				sim_kill_at(net_sim(net), victim, n);
				scene_run(net, &end);
				died = !net_alive(net, victim);
				EXPECT(n > 20 || died);
				if (died)
					expect_known(net, &end, victim);
				net_free(net, true);
			}
		}
}

static void scenario__an_allocation_fails__every_request_ends_and_nothing_leaks(void **state)
{
	bool fired = true;

	(void)state;
	for (unsigned long n = 1; fired; n += STRIDE) {
		struct net *net = net_empty(n % 3);
		struct scene_end end;

		alloc_fault_arm(n);
		scene_run(net, &end);
		fired = alloc_fault_fired();
		EXPECT(n > 500 || fired);
		alloc_fault_arm(0);
		net_free(net, true);
	}
}

struct faults {
	unsigned left;
};

/* As long as some are left, what is allocated next after a message fails, too. */
static void fault_again(void *arg, uint32_t node, void *data, size_t len)
{
	struct faults *faults = arg;

	(void)node;
	(void)data;
	(void)len;
	if (faults->left == 0 || !alloc_fault_fired())
		return;
	faults->left--;
	alloc_fault_arm(1);
}

static void scenario__allocations_fail_in_a_row__every_request_ends_and_nothing_leaks(void **state)
{
	(void)state;
	for (unsigned long n = 1; n < 600; n += STRIDE) {
		struct net *net = net_empty(n % 3);
		struct faults faults = { .left = 1 + (unsigned)(n % 16) };
		struct scene_end end;

		net_on_send(net, fault_again, &faults);
		alloc_fault_arm(n);
		scene_run(net, &end);
		alloc_fault_arm(0);
		net_free(net, true);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scenario__nothing_fails__only_what_must),
		cmocka_unit_test(
			scenario__a_rank_dies_at_its_nth_message__every_request_ends_and_others_know),
		cmocka_unit_test(
			scenario__an_allocation_fails__every_request_ends_and_nothing_leaks),
		cmocka_unit_test(
			scenario__allocations_fail_in_a_row__every_request_ends_and_nothing_leaks),
	};

	test_choose(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
