/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * clients.c -- one home serves 32 ranks that give all they can: its memory stays bounded
 *
 * The home is stopped for a while in the middle, so that everything that can pile up on its side or on
 * its way does. What the home may have afterwards does not depend on how much was put.
 *
 *     stress_clients served
 */
#include "tests/conformance/conform.h"

#include <farbus/inline.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RANKS 33
#define PIECE 65536u
#define PUTS 64		   /* of each client: 4 MiB, so 128 MiB together */
#define CLIENT_KIB 512	   /* of the home, for each: docs/transports.md has that */
#define BASE_KIB (4 << 10) /* whatever else is touched for the first time */

enum { READY, RUNNING, STOPPED, DONE, END };

/* Peak of resident memory, KiB. */
static long peak_kib(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	long kib = -1;

	CHECK(file);
	while (kib < 0 && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmHWM: %ld", &kib) != 1)
			kib = -1;
	fclose(file);
	CHECK(kib > 0);
	return kib;
}

static void home(struct rank *rank)
{
	struct farbus_region *region = rank_alloc(rank, RANKS * PIECE, 0);
	long before = peak_kib(), grown;

	rank_grant(rank, region, 0, RANKS * PIECE, FARBUS_R | FARBUS_W | FARBUS_A, 0);
	step_reach(rank->stage, READY);
	step_wait(rank->stage, DONE, RANKS - 1);
	grown = peak_kib() - before;
	printf("     the home grew by %ld KiB while %u MiB were put by %d ranks\n", grown,
	       (RANKS - 1) * PUTS * PIECE >> 20, RANKS - 1);
	CHECK(grown < BASE_KIB + (RANKS - 1) * CLIENT_KIB);
	for (uint32_t i = 1; i < RANKS; i++)
		CHECK(pattern_diff(region_va(region) + i * PIECE, PIECE, (uint8_t)(i + PUTS - 1)) ==
		      PIECE);
}

static void client(struct rank *rank)
{
	static uint8_t bytes[PIECE];
	struct farbus_region *region;
	uint64_t old = 0;

	step_wait(rank->stage, READY, 1);
	region = rank_import(rank, 0);
	for (uint32_t n = 0; n < PUTS; n++) {
		if (n == PUTS / 4) {
			step_reach(rank->stage, RUNNING);
			step_wait(rank->stage, STOPPED, 1); /* the rest meets a stopped home */
		}
		pattern_fill(bytes, PIECE, (uint8_t)(rank->rank + n));
		MUST(farbus_put(region, rank->rank * PIECE, bytes, PIECE));
	}
	MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, CONFORM_WAIT_MS));
	MUST(farbus_add64(region, 0, 1, &old));
	step_reach(rank->stage, DONE);
}

static void clients(struct rank *rank)
{
	if (rank->rank == 0)
		home(rank);
	else
		client(rank);
	step_meet(rank, END);
}

static void clients_control(struct stage *stage)
{
	step_wait(stage, RUNNING, RANKS - 1);
	control_stop(stage, 0);
	step_reach(stage, STOPPED);
	usleep(1000000); /* as long as it takes to fill what can be filled; right in any case */
	control_continue(stage, 0);
}

static const struct property property[] = {
	{ "clients__home_stopped_in_the_middle__memory_bounded_and_nothing_lost", CONFORM_SERVED,
	  RANKS, clients, clients_control, 0, 0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
