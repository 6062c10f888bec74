/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mixed.c -- conformance of one region that some ranks map and others reach over a network
 *
 * Played in mixed jobs only. Of four ranks one is the home (property.arg), the second after it is on
 * its host, and the next one is on the other host.
 */
#include "tests/conformance/conform.h"

#include <errno.h>
#include <farbus/inline.h>
#include <sys/mman.h>

#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)
#define RANKS 4
#define LEN 65536
#define ROUNDS 100

enum { READY, RUNNING, STORED, PUT, SEEN, STOPPED, TIMED_OUT, ALIVE, END };

enum part { HOME, FAR, NEAR, BYSTANDER };

static enum part part_of(const struct rank *rank)
{
	return (rank->rank + RANKS - (uint32_t)rank->stage->arg) % RANKS;
}

/* The home's grant is in slot 0, once this returned; everybody else has an import of it. */
static struct farbus_region *region_of_all(struct rank *rank)
{
	struct farbus_region *region = NULL;

	if (part_of(rank) == HOME) {
		region = rank_adopt_memory(rank);
		rank_grant(rank, region, 0, CONFORM_MEMORY, RWA, 0);
	}
	step_meet(rank, READY);
	if (part_of(rank) != HOME)
		region = rank_import(rank, 0);
	step_meet(rank, RUNNING);
	return region;
}

/* ---- stores and puts ---- */

static void near_store(struct rank *rank, struct farbus_region *region)
{
	uint8_t *va = NULL;

	MUST(farbus_map(region, 0, LEN, PROT_READ | PROT_WRITE, 0, (void **)&va));
	for (uint64_t n = 1; n <= ROUNDS; n++) {
		poke64(va + 8, n);
		step_reach(rank->stage, STORED);
		step_wait(rank->stage, PUT, (uint32_t)n);
		CHECK(peek64(va + 4096) == n * 3);
	}
	MUST(farbus_unmap(rank->farbus, va, LEN));
}

static void far_put(struct rank *rank, struct farbus_region *region)
{
	uint64_t value = 0;

	for (uint64_t n = 1; n <= ROUNDS; n++) {
		step_wait(rank->stage, STORED, (uint32_t)n);
		MUST(farbus_get(region, 8, &value, 8));
		CHECK(value == n);
		MUST(farbus_put64(region, 4096, n * 3));
		MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE,
				  FARBUS_TIMEOUT_DEFAULT));
		step_reach(rank->stage, PUT);
	}
}

static void stores_and_puts(struct rank *rank)
{
	struct farbus_region *region = region_of_all(rank);

	if (part_of(rank) == NEAR)
		near_store(rank, region);
	else if (part_of(rank) == FAR)
		far_put(rank, region);
	step_meet(rank, SEEN);
	/* One revoke takes it from both. */
	if (part_of(rank) == HOME)
		MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0,
					  CONFORM_WAIT_MS));
	else
		rank_event(rank, FARBUS_EVENT_REVOKED, (uint32_t)rank->stage->arg, NULL);
	step_meet(rank, ALIVE);
	if (part_of(rank) != HOME)
		REFUSED(farbus_put64(region, 0, 1), -ESTALE, "release the handle");
	step_meet(rank, END);
}

/* ---- signals both ways ---- */

static void signals(struct rank *rank)
{
	/* Adopted memory has no page for waiters: this is our own. */
	struct farbus_region *region = NULL;
	uint64_t mine = part_of(rank) == NEAR ? 0 : 64, theirs = 64 - mine, seen = 0;

	if (part_of(rank) == HOME) {
		region = rank_alloc(rank, 4096, 0);
		rank_grant(rank, region, 0, 4096, RWA, 0);
	}
	step_meet(rank, READY);
	if (part_of(rank) == NEAR || part_of(rank) == FAR)
		region = rank_import(rank, 0);
	for (uint64_t i = 1; region && part_of(rank) != HOME && i <= ROUNDS; i++) {
		if (part_of(rank) == NEAR)
			MUST(farbus_signal(region, theirs, 1, FARBUS_ADD));
		MUST(farbus_wait(region, mine, FARBUS_EQ, i, CONFORM_WAIT_MS, &seen));
		if (part_of(rank) == FAR)
			MUST(farbus_signal(region, theirs, i, FARBUS_SWAP));
	}
	step_meet(rank, END);
}

/* ---- the home is stopped ---- */

static void near_goes_on(struct rank *rank, struct farbus_region *region)
{
	uint64_t old = 0;

	step_wait(rank->stage, STOPPED, 1);
	for (uint64_t i = 0; i < 1000; i++) {
		MUST(farbus_atomic(region, 0, FARBUS_ADD, 8, 1, 0, &old));
		CHECK(old == i);
		MUST(farbus_put64(region, 64, i));
		MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE,
				  FARBUS_TIMEOUT_DEFAULT));
	}
	step_reach(rank->stage, TIMED_OUT);
}

static void far_waits(struct rank *rank, struct farbus_region *region)
{
	uint64_t value = 0;

	step_wait(rank->stage, STOPPED, 1);
	MUST(farbus_put64(region, 128, 5));
	REFUSED(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, 200), -ETIMEDOUT,
		"stopped");
	CHECK(peek64(rank->stage->memory + 128) == 0);
	rank_event(rank, FARBUS_EVENT_PEER_SILENT, (uint32_t)rank->stage->arg, NULL);
	step_reach(rank->stage, TIMED_OUT);
	MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, CONFORM_WAIT_MS));
	CHECK(peek64(rank->stage->memory + 128) == 5);
	MUST(farbus_get(region, 0, &value, 8));
	CHECK(value == 1000);
}

static void home_stopped(struct rank *rank)
{
	struct farbus_region *region = region_of_all(rank);

	if (part_of(rank) == NEAR)
		near_goes_on(rank, region);
	else if (part_of(rank) == FAR)
		far_waits(rank, region);
	step_meet(rank, ALIVE);
	MUST(farbus_barrier(rank->farbus, CONFORM_WAIT_MS));
	step_meet(rank, END);
}

static void home_stopped_control(struct stage *stage)
{
	step_wait(stage, RUNNING, RANKS);
	control_stop(stage, (uint32_t)stage->arg);
	step_reach(stage, STOPPED);
	step_wait(stage, TIMED_OUT, 2);
	CHECK(peek64(stage->memory) == 1000 && peek64(stage->memory + 128) == 0);
	control_continue(stage, (uint32_t)stage->arg);
}

static const struct property property[] = {
	{ "mixed__stores_and_puts__each_sees_the_others_and_revoke_ends_both", CONFORM_MIXED, RANKS,
	  stores_and_puts, NULL, 0, 0 },
	{ "mixed__home_is_not_the_root__each_sees_the_others_and_revoke_ends_both", CONFORM_MIXED,
	  RANKS, stores_and_puts, NULL, 1, 0 },
	{ "mixed__signals_both_ways__woken", CONFORM_MIXED, RANKS, signals, NULL, 0, 0 },
	{ "mixed__home_stopped__mapped_goes_on_and_served_waits", CONFORM_MIXED, RANKS,
	  home_stopped, home_stopped_control, 1, 0 },
	{ "mixed__root_stopped__mapped_goes_on_and_served_waits", CONFORM_MIXED, RANKS,
	  home_stopped, home_stopped_control, 0, 0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
