/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kill.c -- a rank is killed at a random point of heavy traffic, and the others go on
 *
 * Four ranks import each other and put, get, add and signal as fast as they can, in short and long
 * pieces, with imports and releases between. The victim is by seed the root, a home, or an importer
 * that is revoked at that moment. Every call of a survivor ends well or says -EHOSTDOWN; then the
 * survivors meet, and what the dead one had is given back: a revoke returns at once, and nothing lands
 * any more.
 *
 *     stress_kill mapped|served [seed_N]
 */
#include "tests/conformance/conform.h"

#include <errno.h>
#include <farbus/inline.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)
#define RANKS 4
#define SEEDS 20
#define LEN (2u << 20)
#define LONG (1u << 20)
#define NEVER 60

enum { READY, RUNNING, KILLED, MET, SEALED, END };

/* By seed: who dies, and whether it dies while rank 0 revokes. */
static uint32_t victim_of(const struct stage *stage)
{
	return (uint32_t)stage->arg % 5 == 0 ? 0 : 1 + (uint32_t)stage->arg % (RANKS - 1);
}

static bool revoked_in(const struct stage *stage)
{
	return victim_of(stage) != 0 && stage->arg % 2;
}

static int operate(struct rank *rank, struct farbus_region *region, uint64_t n)
{
	static uint8_t bytes[LONG];
	uint64_t old = 0;

	switch (n % 7) {
	case 0:
		return farbus_put(region, n % 64 * 8, bytes, LONG);
	case 1:
		return farbus_get(region, n % 64 * 8, bytes, LONG);
	case 2:
		return farbus_add64(region, n % 64 * 8, 1, &old);
	case 3:
		return farbus_signal(region, n % 64 * 8, n, FARBUS_SWAP);
	case 4:
		return farbus_put(region, n % 4096, bytes, n % 9000 + 1);
	case 5:
		return farbus_get64(region, n % 64 * 8, &old);
	default:
		return farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, CONFORM_WAIT_MS);
	}
}

/* What may become of a call: rank 0 may revoke in the middle, and the victim may die. */
static void check(const struct rank *rank, uint32_t home, int err)
{
	bool lost = home == victim_of(rank->stage);

	if (err == 0 || (lost && err == -EHOSTDOWN))
		return;
	if (home == 0 && revoked_in(rank->stage) && err == -ESTALE)
		return;
	conform_fail(__FILE__, __LINE__, "home %u: %d (%s)", home, err, farbus_last_error());
}

static void traffic(struct rank *rank, struct farbus_region *region[RANKS])
{
	for (uint64_t n = 0;; n++) {
		uint32_t home = (uint32_t)(n / 7 + rank->rank) % RANKS;

		if (n > 20 && n % 7 == 0 && atomic_load(&rank->stage->step[KILLED]))
			return;
		if (n == 20)
			step_reach(rank->stage, RUNNING);
		if (!region[home])
			continue;
		check(rank, home, operate(rank, region[home], n));
		if (n % 50 == 49) {
			MUST(farbus_region_release(region[home]));
			region[home] = NULL;
			check(rank, home,
			      farbus_region_import(rank->farbus, &rank->stage->token[home],
						   CONFORM_WAIT_MS, &region[home]));
		}
	}
}

static void revoke_now(struct rank *rank, struct farbus_region *own)
{
	step_wait(rank->stage, RUNNING, RANKS - 1);
	usleep((useconds_t)word_get(rank->stage, 0)); /* about when the victim is killed */
	MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, CONFORM_WAIT_MS));
	pattern_fill(region_va(own), LEN, 7);
	step_wait(rank->stage, KILLED, 1);
}

static void survivors_meet(struct rank *rank, struct farbus_region *own)
{
	struct stage *stage = rank->stage;
	uint32_t victim = victim_of(stage), slot = RANKS + rank->rank;
	uint64_t value = 0;

	rank_event(rank, FARBUS_EVENT_PEER_LOST, victim, NULL);
	rank_grant(rank, own, 0, 4096, RWA, slot);
	step_reach(stage, MET);
	step_wait(stage, MET, RANKS - 1);
	for (uint32_t i = 0; i < RANKS; i++) {
		struct farbus_region *region;

		if (i == victim || i == rank->rank)
			continue;
		region = rank_import(rank, RANKS + i);
		MUST(farbus_add64(region, 4088, 1, &value));
		MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, CONFORM_WAIT_MS));
		MUST(farbus_region_release(region));
	}
	/* What the dead one could do ends with its grants, without waiting for it. */
	if (!(revoked_in(stage) && rank->rank == 0))
		MUST(farbus_region_revoke(rank->farbus, &stage->token[rank->rank], 0,
					  CONFORM_WAIT_MS));
	step_reach(stage, SEALED);
	step_wait(stage, SEALED, RANKS - 1);
	if (revoked_in(stage) && rank->rank == 0)
		CHECK(pattern_diff(region_va(own) + 8192, LEN - 8192,
				   (uint8_t)(7 + 8192 * 7 + 32)) == LEN - 8192);
}

static void killed(struct rank *rank)
{
	struct farbus_region *own = rank_alloc(rank, LEN, 0), *region[RANKS] = { NULL };

	rank_grant(rank, own, 0, LEN, RWA, rank->rank);
	step_meet(rank, READY);
	for (uint32_t i = 0; i < RANKS; i++)
		if (i != rank->rank)
			region[i] = rank_import(rank, i);
	if (rank->rank == 0 && revoked_in(rank->stage))
		revoke_now(rank, own);
	else
		traffic(rank, region);
	if (rank->rank == victim_of(rank->stage))
		step_wait(rank->stage, NEVER, 1); /* killed by now, or here */
	for (uint32_t i = 0; i < RANKS; i++)
		MUST(farbus_region_release(region[i]));
	survivors_meet(rank, own);
	MUST(farbus_region_release(own));
	step_reach(rank->stage, END);
	step_wait(rank->stage, END, RANKS - 1);
}

static void killed_control(struct stage *stage)
{
	uint64_t delay = (uint64_t)stage->arg * 2654435761u % 60000;

	word_set(stage, 0, delay);
	step_wait(stage, RUNNING, RANKS - (revoked_in(stage) ? 1 : 0));
	usleep((useconds_t)delay); /* where it hits is up to chance */
	control_kill(stage, victim_of(stage));
	step_reach(stage, KILLED);
}

int main(int argc, char **argv)
{
	static struct property property[SEEDS];
	static char name[SEEDS][32];

	for (int i = 0; i < SEEDS; i++) {
		snprintf(name[i], sizeof(name[i]), "kill__seed_%d_", i);
		property[i] = (struct property){ name[i],	 CONFORM_ALL, RANKS, killed,
						 killed_control, i,	      0 };
	}
	return conform_main(argc, argv, property, SEEDS);
}
