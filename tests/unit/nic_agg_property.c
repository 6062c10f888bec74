/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_agg_property.c -- any traffic: what comes out, cut again, is what went in, flow by flow
 *
 *   nic_agg_property [SEED [STEPS]]
 *
 * A random network loses, repeats, swaps and damages packets of some flows of all kinds, and now and
 * then changes a header field in the middle of a flow. Prints the seed if an assertion ends it.
 */
#include "addrmap_common.h"
#include "base/assert.h"
#include "nic_oracle.h"

#include <stdio.h>
#include <stdlib.h>

#define FLOWS 12

struct world {
	struct collect collect;
	struct frame frame;
	struct nic_agg *agg;
	struct oracle *oracle;
	struct desc flow[FLOWS];
	uint32_t mss[FLOWS];
	struct desc late; /* held back, to be swapped */
	bool has_late;
	uint64_t now, random;
};

static uint64_t below(struct world *world, uint64_t limit)
{
	return random_below(&world->random, limit);
}

static bool one_in(struct world *world, uint64_t n)
{
	return below(world, n) == 0;
}

static void flow_make(struct world *world, unsigned i)
{
	static const uint32_t mss[] = { 1, 7, 100, 536, 1447, 1448, 9000 };
	struct desc *flow = &world->flow[i];

	*flow = (struct desc){ .flow = i,
			       .v6 = one_in(world, 3),
			       .udp = one_in(world, 4),
			       .tunnel = one_in(world, 4),
			       .vlans = (unsigned)below(world, 3),
			       .no_df = one_in(world, 3),
			       .seq = (uint32_t)random_next(&world->random),
			       .id = (uint16_t)below(world, 65536) };
	flow->outer_csum = flow->outer_v6 = one_in(world, 2);
	flow->outer_csum |= one_in(world, 2);
	flow->extension = flow->v6 && one_in(world, 3) ? 1 : 0;
	flow->option_len = flow->udp ? 0 : 4 * (unsigned)below(world, 4);
	memset(flow->option, 1, sizeof(flow->option));
	world->mss[i] = mss[below(world, sizeof(mss) / sizeof(mss[0]))];
}

/* Something in the header is no longer what it was. */
static void flow_change(struct world *world, struct desc *flow)
{
	switch (below(world, 8)) {
	case 0:
		flow->tos ^= 3;
		break;
	case 1:
		flow->ttl = (uint8_t)(60 + below(world, 3));
		break;
	case 2:
		flow->ack += 1000;
		break;
	case 3:
		flow->window++;
		break;
	case 4:
		flow->option[flow->option_len ? flow->option_len - 1 : 0] ^= 3;
		break;
	case 5:
		flow->id += 9;
		break;
	case 6:
		flow->no_df = !flow->no_df;
		break;
	default:
		flow->flow_label = (uint32_t)below(world, 1000);
	}
}

static void deliver(struct world *world, const struct desc *desc)
{
	frame_build(desc, &world->frame);
	struct nic_packet packet = frame_packet(&world->frame);

	oracle_sent(world->oracle, &packet, world->frame.end);
	nic_agg_input(world->agg, &packet, world->now++);
}

/* The network: lost, twice, late, damaged, or as it should be. */
static void carry(struct world *world, struct desc desc, bool verify)
{
	if (one_in(world, 40))
		return;
	if (verify) {
		desc.bad_csum = one_in(world, 60);
		desc.bad_ip_csum = one_in(world, 100);
		desc.bad_outer_csum = desc.outer_csum && one_in(world, 100);
	}
	if (!world->has_late && one_in(world, 30)) {
		world->late = desc;
		world->has_late = true;
		return;
	}
	deliver(world, &desc);
	if (one_in(world, 50))
		deliver(world, &desc);
	if (world->has_late && one_in(world, 2)) {
		world->has_late = false;
		deliver(world, &world->late);
	}
}

static void send_one(struct world *world, unsigned i, bool verify)
{
	struct desc *flow = &world->flow[i], desc;

	if (one_in(world, 60))
		flow_change(world, flow);
	desc = *flow;
	desc.payload_len =
		one_in(world, 20) ? (uint32_t)below(world, world->mss[i] + 2) : world->mss[i];
	desc.pad = one_in(world, 5) ? (unsigned)below(world, 20) : 0;
	desc.pad = desc.tunnel ? 0 : desc.pad;
	desc.ip_option = !desc.v6 && one_in(world, 200);
	desc.fragment = one_in(world, 300);
	if (!desc.udp && one_in(world, 25))
		desc.flags = (uint8_t)(1u << below(world, 8));
	flow->seq += desc.payload_len;
	if (flow->no_df || i % 2)
		flow->id++;
	flow->outer_id++;
	carry(world, desc, verify);
}

static void run(uint64_t seed, unsigned steps)
{
	struct world *world = calloc(1, sizeof(*world));
	bool verify = seed % 2, full = seed / 2 % 2;
	struct nic_agg_conf conf = {
		.want = NIC_WANT_TCP4 | NIC_WANT_TCP6 | NIC_WANT_UDP | NIC_WANT_VXLAN,
		.flags = (verify ? NIC_AGG_VERIFY : 0) | (full ? NIC_AGG_CSUM_FULL : 0),
		.flow_max = seed % 3 ? 0 : NIC_AGG_WAYS,
		.hold_ns = 40,
		.seed = seed,
	};

	world->random = seed;
	world->oracle = oracle_new(conf.want, full);
	world->collect.judge = oracle_judge;
	world->collect.judge_arg = world->oracle;
	FARBUS_ASSERT(nic_agg_new(&conf, &collect_ops, &world->collect, &world->agg) == 0);
	for (unsigned i = 0; i < FLOWS; i++)
		flow_make(world, i);
	for (unsigned n = 0; n < steps; n++) {
		unsigned i = (unsigned)below(world, FLOWS), train = (unsigned)below(world, 12);

		for (unsigned k = 0; k <= train; k++)
			send_one(world, i, verify);
		if (one_in(world, 12))
			nic_agg_expire(world->agg, world->now);
		if (one_in(world, 60))
			nic_agg_flush(world->agg);
		nic_agg_check(world->agg);
	}
	nic_agg_flush(world->agg);
	FARBUS_ASSERT(nic_agg_open_count(world->agg) == 0);
	FARBUS_ASSERT(world->collect.open == 0);
	/* The test would prove nothing if little was merged. */
	FARBUS_ASSERT(oracle_merged(world->oracle) > steps);
	nic_agg_free(world->agg);
	oracle_free(world->oracle);
	free(world);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t count = argc > 1 ? 1 : ROUNDS(120);
	unsigned steps = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 400;

	for (uint64_t seed = first; seed < first + count; seed++) {
		fprintf(stderr, "seed %llu\r", (unsigned long long)seed);
		run(seed, steps);
	}
	fprintf(stderr, "%llu seeds passed\n", (unsigned long long)count);
	return 0;
}
