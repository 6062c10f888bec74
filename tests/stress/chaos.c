/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chaos.c -- ranks do whatever they like, by seed, while others are stopped and killed
 *
 * Each rank owns one region, in two halves. The first is for everybody: whoever got its token
 * puts, adds and maps. The second is granted, revoked and then sealed: the owner fills it with a
 * pattern after revoke returned 0, and finds it whole before it grants it again. Afterwards the
 * survivors must find each other well, release everything, and leave nothing behind.
 *
 *     stress_chaos mapped|served [seed_N]
 */
#include "tests/conformance/conform.h"

#include <errno.h>
#include <farbus/inline.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)
#define RANKS 5
#define HALF 65536u
#define IMPORT_MAX 24
#define SEEDS 24
#define BLOWS 12 /* of control, per seed */

enum { READY, STOP, CALM, MET, END };
enum { OPEN_SLOT, SEALED_SLOT = RANKS }; /* tokens: + rank */

struct dice {
	uint64_t state;
};

static uint32_t roll(struct dice *dice, uint32_t sides)
{
	dice->state ^= dice->state << 13;
	dice->state ^= dice->state >> 7;
	dice->state ^= dice->state << 17;
	return (uint32_t)(dice->state >> 33) % sides;
}

struct player {
	struct rank *rank;
	struct dice dice;
	struct farbus_region *own;
	uint8_t *va;
	bool sealed;
	struct farbus_region *import[IMPORT_MAX];
};

/* What the world may do to a call; anything else is a bug. */
static bool world(int err)
{
	return err == 0 || err == -ESTALE || err == -EHOSTDOWN || err == -ETIMEDOUT;
}

#define WORLD(call)                                                                       \
	do {                                                                              \
		int world_err = (call);                                                   \
		if (!world(world_err))                                                    \
			conform_fail(__FILE__, __LINE__, "%s: %d (%s)", #call, world_err, \
				     farbus_last_error());                                \
	} while (0)

/* Tokens are read while they are written: a torn one is refused, which is as good a row as any. */
static void token_copy(const struct player *player, struct farbus_token *ret_token, uint32_t slot)
{
	memcpy(ret_token, &player->rank->stage->token[slot], sizeof(*ret_token));
}

static void import_some(struct player *player)
{
	uint32_t at = roll(&player->dice, IMPORT_MAX), slot = roll(&player->dice, 2 * RANKS);
	struct farbus_token token;
	int err;

	if (player->import[at]) {
		MUST(farbus_region_release(player->import[at]));
		player->import[at] = NULL;
		return;
	}
	token_copy(player, &token, slot);
	err = farbus_region_import(player->rank->farbus, &token, 50, &player->import[at]);
	CHECK(world(err) || err == -EACCES || err == -EINVAL);
	CHECK((err == 0) == (player->import[at] != NULL));
}

static void access_some(struct player *player)
{
	static uint8_t bytes[20000] = { 1 };
	struct farbus_region *region = player->import[roll(&player->dice, IMPORT_MAX)];
	uint64_t off = roll(&player->dice, HALF / 8 - 4096) * 8, old;
	uint32_t kind = roll(&player->dice, 6);

	if (!region)
		return;
	if (kind == 0)
		WORLD(farbus_put64(region, off, off));
	else if (kind == 1)
		WORLD(farbus_put(region, off, bytes, roll(&player->dice, sizeof(bytes)) + 1));
	else if (kind == 2)
		WORLD(farbus_get(region, off, bytes, roll(&player->dice, sizeof(bytes)) + 1));
	else if (kind == 3)
		WORLD(farbus_add64(region, off, 1, &old));
	else if (kind == 4)
		WORLD(farbus_signal(region, off, 1, FARBUS_ADD));
	else
		WORLD(farbus_flush(player->rank->farbus, region, FARBUS_FLUSH_REMOTE, 200));
}

static void map_some(struct player *player)
{
	struct farbus_region *region = player->import[roll(&player->dice, IMPORT_MAX)];
	void *va = NULL;
	int err;

	if (!region)
		return;
	err = farbus_map(region, 0, 8192, PROT_READ, 0, &va);
	CHECK(world(err) || (err == -ENOTSUP && player->rank->stage->class == CONFORM_SERVED));
	if (err == 0)
		MUST(farbus_unmap(player->rank->farbus, va, roll(&player->dice, 2) ? 8192 : 4096));
}

static void seal(struct player *player)
{
	struct rank *rank = player->rank;
	uint32_t slot = SEALED_SLOT + rank->rank;
	int err;

	if (player->sealed) {
		CHECK(pattern_diff(player->va + HALF, HALF, (uint8_t)rank->rank) == HALF);
		player->sealed = false;
		rank_grant(rank, player->own, HALF, HALF, RWA, slot);
		return;
	}
	/* Not forced: that would be allowed to kill an importer that was stopped in an access. */
	err = farbus_region_revoke(rank->farbus, &rank->stage->token[slot], 0,
				   (int)roll(&player->dice, 300) + 20);
	if (err == -ETIMEDOUT)
		return; /* a stopped importer; another time */
	CHECK(err == 0 || err == -ESTALE);
	player->sealed = true;
	pattern_fill(player->va + HALF, HALF, (uint8_t)rank->rank);
}

static void play_on(struct player *player)
{
	struct farbus_event event[8];
	size_t n;

	while (atomic_load(&player->rank->stage->step[STOP]) == 0) {
		uint32_t what = roll(&player->dice, 100);

		if (what < 15)
			import_some(player);
		else if (what < 85)
			access_some(player);
		else if (what < 90)
			map_some(player);
		else if (what < 97)
			WORLD(farbus_poll(player->rank->farbus, event, 8, 0, &n));
		else
			seal(player);
	}
}

/* Everybody who is left meets everybody. */
static void calm_down(struct player *player)
{
	struct rank *rank = player->rank;
	uint64_t value = 0;

	for (uint32_t i = 0; i < IMPORT_MAX; i++)
		MUST(farbus_region_release(player->import[i]));
	for (uint32_t i = 0; i < RANKS; i++) {
		struct farbus_region *region;

		if (atomic_load(&rank->stage->end[i]) || i == rank->rank)
			continue;
		region = rank_import(rank, OPEN_SLOT + i);
		MUST(farbus_add64(region, 8 * (HALF / 8 - 1), 1, &value));
		MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, CONFORM_WAIT_MS));
		MUST(farbus_region_release(region));
	}
	if (player->sealed)
		CHECK(pattern_diff(player->va + HALF, HALF, (uint8_t)rank->rank) == HALF);
}

static void chaos(struct rank *rank)
{
	struct player player = {
		.rank = rank,
		.dice = { 0x9e3779b97f4a7c15u *
			  (uint64_t)(rank->stage->arg * RANKS + (int)rank->rank + 1) },
	};

	player.own = rank_alloc(rank, 2 * HALF, 0);
	player.va = region_va(player.own);
	rank_grant(rank, player.own, 0, HALF, RWA, OPEN_SLOT + rank->rank);
	rank_grant(rank, player.own, HALF, HALF, RWA, SEALED_SLOT + rank->rank);
	step_reach(rank->stage, READY);
	step_wait(rank->stage, READY, RANKS);
	play_on(&player);
	/* Who is dead by now is known: control marked them before it said STOP. */
	step_reach(rank->stage, CALM);
	step_wait(rank->stage, CALM, (uint32_t)word_get(rank->stage, 0));
	calm_down(&player);
	step_reach(rank->stage, MET);
	step_wait(rank->stage, MET, (uint32_t)word_get(rank->stage, 0));
	MUST(farbus_region_release(player.own));
	step_reach(rank->stage, END);
	step_wait(rank->stage, END, (uint32_t)word_get(rank->stage, 0));
}

static void chaos_control(struct stage *stage)
{
	struct dice dice = { 77 + (uint64_t)stage->arg * 0x2545f4914f6cdd1d };
	uint32_t living = RANKS;

	step_wait(stage, READY, RANKS);
	for (int i = 0; i < BLOWS; i++) {
		uint32_t rank = roll(&dice, RANKS), what = roll(&dice, 10);

		usleep(roll(&dice, 60000)); /* when it hits is up to chance */
		if (!atomic_load(&stage->pid[rank]) || atomic_load(&stage->failed))
			continue;
		if (what < 8) {
			control_stop(stage, rank);
			usleep(roll(&dice, 150000));
			control_continue(stage, rank);
		} else if (living > 3 && rank != 0) {
			atomic_store(&stage->end[rank], SIGKILL);
			control_kill(stage, rank);
			living--;
		}
	}
	word_set(stage, 0, living);
	step_reach(stage, STOP);
}

/* Over a network the ranks meet first, each of them when it has loaded a library: that takes time. */
static uint32_t timeout_ms(void)
{
	const char *transport = getenv("FARBUS_TRANSPORT");

	return !transport || strcmp(transport, "shm") == 0 ? 400 : 5000;
}

int main(int argc, char **argv)
{
	static struct property property[SEEDS];
	static char name[SEEDS][32];

	for (int i = 0; i < SEEDS; i++) {
		snprintf(name[i], sizeof(name[i]), "chaos__seed_%d", i);
		property[i] = (struct property){ name[i],	CONFORM_ALL, RANKS,	  chaos,
						 chaos_control, i,	     timeout_ms() };
	}
	return conform_main(argc, argv, property, SEEDS);
}
