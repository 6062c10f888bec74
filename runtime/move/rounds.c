/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rounds.c -- pre-copy rounds
 *
 * A small round measures mostly overhead, so that it moves the rate by a quarter only, and no round
 * below RATE_PAGES_MIN pages moves it at all.
 */
#include "runtime/move/rounds.h"

#define NS_PER_S 1000000000ull
#define RATE_PAGES_MIN 256
#define FLAT_MAX 3 /* rounds without progress before it counts as stuck */

void rounds_init(struct rounds *rounds, uint64_t downtime_ns, uint64_t fixed_ns, uint32_t round_max)
{
	*rounds = (struct rounds){ .downtime_ns = downtime_ns,
				   .fixed_ns = fixed_ns,
				   .round_max = round_max,
				   .dirty_last = UINT64_MAX };
}

static uint64_t scaled(uint64_t value, uint64_t by, uint64_t over)
{
	unsigned __int128 product = (unsigned __int128)value * by / (over ? over : 1);

	return product > UINT64_MAX ? UINT64_MAX : (uint64_t)product;
}

static void rate_learn(struct rounds *rounds, uint64_t sent, uint64_t ns)
{
	uint64_t rate = scaled(sent, NS_PER_S, ns);

	if (rounds->rate == 0)
		rounds->rate = rate ? rate : 1;
	else if (sent >= RATE_PAGES_MIN)
		rounds->rate = rounds->rate - rounds->rate / 4 + rate / 4;
	if (rounds->rate == 0)
		rounds->rate = 1;
}

enum rounds_next rounds_end(struct rounds *rounds, uint64_t sent, uint64_t ns, uint64_t dirty)
{
	uint64_t pages_ns;

	rounds->round++;
	rate_learn(rounds, sent, ns);
	pages_ns = scaled(dirty, NS_PER_S, rounds->rate);
	rounds->predicted_ns =
		pages_ns > UINT64_MAX - rounds->fixed_ns ? UINT64_MAX : pages_ns + rounds->fixed_ns;
	rounds->flat = dirty < rounds->dirty_last ? 0 : rounds->flat + 1;
	rounds->dirty_last = dirty;
	if (rounds->predicted_ns <= rounds->downtime_ns)
		return ROUNDS_STOP;
	if (rounds->flat >= FLAT_MAX || rounds->round >= rounds->round_max)
		return ROUNDS_STUCK;
	return ROUNDS_AGAIN;
}

uint64_t rounds_pause(uint64_t bytes, uint64_t ns, uint64_t cap)
{
	uint64_t due = cap ? scaled(bytes, NS_PER_S, cap) : 0;

	return due > ns ? due - ns : 0;
}
