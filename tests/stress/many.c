/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * many.c -- many more instances than cores: names, imports of everybody, exact sums, collectives
 *
 *     stress_many mapped|served
 */
#include "tests/conformance/conform.h"

#include <farbus/inline.h>
#include <stdio.h>

#define RANKS 48
#define ROUNDS 20

#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)

static void neighbours(struct rank *rank, struct farbus_region *region[RANKS])
{
	struct farbus_token token;
	char name[32];

	for (uint32_t i = 0; i < RANKS; i++) {
		/* Not all of them begin with rank 0. */
		uint32_t of = (rank->rank + i) % RANKS;

		snprintf(name, sizeof(name), "region-%u", of);
		MUST(farbus_lookup(rank->farbus, name, FARBUS_TIMEOUT_DEFAULT, &token));
		MUST(farbus_region_import(rank->farbus, &token, FARBUS_TIMEOUT_DEFAULT,
					  &region[of]));
	}
}

static void many(struct rank *rank)
{
	struct farbus_region *own = rank_alloc(rank, 4096, 0), *region[RANKS];
	uint64_t sum = rank->rank, value = 0;
	uint64_t adds = rank->stage->class == CONFORM_SERVED ? 1 : 25; /* per round and rank */
	char name[32];

	rank_grant(rank, own, 0, 4096, RWA, rank->rank);
	snprintf(name, sizeof(name), "region-%u", rank->rank);
	MUST(farbus_publish(rank->farbus, name, &rank->stage->token[rank->rank]));
	neighbours(rank, region);
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		for (uint64_t i = 0; i < adds * RANKS; i++)
			MUST(farbus_add64(region[(i + rank->rank) % RANKS], 8, 1, NULL));
		MUST(farbus_flush(rank->farbus, NULL, FARBUS_FLUSH_REMOTE, CONFORM_WAIT_MS));
		MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
		MUST(farbus_get(region[(rank->rank + 7) % RANKS], 8, &value, 8));
		CHECK(value == round * adds * RANKS);
		MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
	}
	MUST(farbus_allreduce(rank->farbus, &sum, 1, FARBUS_U64, FARBUS_SUM,
			      FARBUS_TIMEOUT_DEFAULT));
	CHECK(sum == RANKS * (RANKS - 1) / 2);
	for (uint32_t i = 0; i < RANKS; i++)
		MUST(farbus_region_release(region[i]));
	MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
}

static const struct property property[] = {
	{ "many__everybody_imports_everybody__sums_exact", CONFORM_ALL, RANKS, many, NULL, 0, 0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
