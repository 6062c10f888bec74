/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto_lossy_test.c -- the protocol over a network that loses, doubles and cuts off
 *
 * An atomic that was carried out is never carried out again: sums are exact, but for adds whose
 * outcome nobody was told.
 */
#include "proto_test.h"

#define NODES 4
#define ADDS 60 /* of each node */
#define LONG 60000

static struct net *lossy_net(uint64_t seed, uint32_t loss, uint32_t doubled)
{
	struct net_conf conf = {
		.seed = seed, .size = NODES, .unmappable = true, .auth_timeout_ns = 60 * NS_PER_S
	};
	struct sim_faults faults = { .loss_ppm = loss, .double_ppm = doubled };
	struct ask *join[NODES];
	struct net *net = net_new(&conf);
	uint32_t node;

	sim_faults_set(net_sim(net), &faults);
	for (uint32_t rank = 0; rank < NODES; rank++) {
		EXPECT_INT(net_start(net, &(struct net_node_conf){ .rank = rank }, &node), 0);
		EXPECT_INT(node, rank);
	}
	for (uint32_t rank = 1; rank < NODES; rank++)
		join[rank] = net_join(net, rank, LONG);
	for (uint32_t rank = 1; rank < NODES; rank++)
		EXPECT_INT(net_wait(net, join[rank]), 0);
	return net;
}

struct adds {
	uint64_t region, done, unknown;
	uint32_t import[NODES];
	struct ask *ask[NODES][ADDS];
};

static void adds_begin(struct net *net, struct adds *adds)
{
	struct farbus_token token;

	*adds = (struct adds){ .region = region_with(net, 0, RWA, 0, &token) };
	for (uint32_t node = 0; node < NODES; node++) {
		struct ask *ask = net_import(net, node, &token, LONG);

		EXPECT_INT(net_wait(net, ask), 0);
		adds->import[node] = ask->import;
	}
}

static void adds_start(struct net *net, struct adds *adds, int from, int to, uint32_t ms)
{
	for (int i = from; i < to; i++)
		for (uint32_t node = 0; node < NODES; node++)
			adds->ask[node][i] =
				net_atomic(net, node, adds->import[node], 16, FARBUS_ADD, 1, ms);
}

static void adds_count(struct net *net, struct adds *adds)
{
	for (int i = 0; i < ADDS; i++)
		for (uint32_t node = 0; node < NODES; node++) {
			int err = net_wait(net, adds->ask[node][i]);

			EXPECT(err == 0 || err == -ETIMEDOUT || err == -EHOSTDOWN);
			adds->done += err == 0;
			adds->unknown += err < 0;
		}
}

static void atomic__loss_and_doubles__sum_is_exact(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = lossy_net(seed, 200000, 200000);
		struct sim_losses losses;
		struct adds adds;

		adds_begin(net, &adds);
		adds_start(net, &adds, 0, ADDS, LONG);
		adds_count(net, &adds);
		EXPECT_INT(adds.done, NODES * ADDS);
		EXPECT_INT(net_word(net, 0, adds.region, 16), NODES * ADDS);
		sim_losses(net_sim(net), &losses);
		EXPECT(losses.lost > 0);
		EXPECT(losses.doubled > 0);
		net_free(net, true);
	}
}

static void partition__healed__all_goes_on_and_the_sum_is_exact(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = lossy_net(seed, 50000, 50000);
		struct adds adds;

		adds_begin(net, &adds);
		adds_start(net, &adds, 0, ADDS / 2, LONG);
		sim_side_set(net_sim(net), 0, 1);
		net_run_for(net, 3 * NS_PER_S);
		adds_start(net, &adds, ADDS / 2, ADDS, LONG);
		net_run_for(net, 3 * NS_PER_S);
		sim_side_set(net_sim(net), 0, 0);
		adds_count(net, &adds);
		EXPECT_INT(adds.done, NODES * ADDS);
		EXPECT_INT(net_word(net, 0, adds.region, 16), NODES * ADDS);
		for (uint32_t node = 1; node < NODES; node++)
			EXPECT_INT(net_events(net, node, FARBUS_EVENT_PEER_LOST, 0), 0);
		net_free(net, true);
	}
}

static void partition__not_healed__outcome_unknown_but_never_twice(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = lossy_net(seed, 50000, 50000);
		struct adds adds;
		uint64_t sum;

		adds_begin(net, &adds);
		adds_start(net, &adds, 0, ADDS / 2, LONG);
		net_run_for(net, net_random(net, 2 * NS_PER_MS));
		sim_side_set(net_sim(net), 3, 1);
		adds_start(net, &adds, ADDS / 2, ADDS, LONG);
		adds_count(net, &adds);
		net_run(net);
		sum = net_word(net, 0, adds.region, 16);
		EXPECT(sum >= adds.done);
		EXPECT(sum <= adds.done + adds.unknown);
		EXPECT(adds.done >= (NODES - 1) * ADDS); /* who is not cut off goes on */
		EXPECT_INT(net_events(net, 3, FARBUS_EVENT_PEER_LOST, 0), 1);
		EXPECT_INT(net_events(net, 0, FARBUS_EVENT_PEER_LOST, 3), 1);
		EXPECT_INT(net_events(net, 1, FARBUS_EVENT_PEER_LOST, 3), 1);
		net_free(net, true);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(atomic__loss_and_doubles__sum_is_exact),
		cmocka_unit_test(partition__healed__all_goes_on_and_the_sum_is_exact),
		cmocka_unit_test(partition__not_healed__outcome_unknown_but_never_twice),
	};

	test_choose(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
