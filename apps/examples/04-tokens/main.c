/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- tokens: who may reach a region, said, passed on, rotated and taken back
 *
 * Three ranks. A owns a region; B gets it with the right to pass it on; C gets a part of it from
 * B. Each step is a fact that a rank checks; a step that does not hold makes the exit code 1.
 *
 *   A's region  |----------------|--------C-------|-------------------------------|
 *               0              16 KiB           32 KiB                         64 KiB
 *               '------------------------------- B ------------------------------'
 */
#include "apps/examples/common/example.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { A, B, C, RANKS };

#define LEN 65536ull
#define PART_OFF 16384ull
#define PART_LEN 16384ull
#define LINE_LEN 64u
#define BELL 8192ull /* C rings here, relative to its part */
#define WAIT_MS 10000

struct party {
	struct farbus *bus;
	struct farbus_self self;
	int failures;
};

static const char *const letter[RANKS] = { "A", "B", "C" };

/* The fact must hold: result is what the call gave, expected 0 or a negative errno. */
static void expect(struct party *party, const char *fact, int result, int expected)
{
	bool holds = result == expected;

	printf("%s  %-4s %s", letter[party->self.rank], holds ? "ok" : "NOT", fact);
	if (expected < 0 && holds)
		printf(": %s", farbus_strerror(result));
	if (!holds)
		printf(": got %d (%s), expected %d", result, result < 0 ? farbus_last_error() : "",
		       expected);
	printf("\n");
	fflush(stdout);
	party->failures += !holds;
}

static void step(struct party *party, const char *what)
{
	TRY(farbus_barrier(party->bus, WAIT_MS));
	if (party->self.rank == A && what) {
		printf("-- %s\n", what);
		fflush(stdout);
	}
	TRY(farbus_barrier(party->bus, WAIT_MS));
}

static void token_publish(struct party *party, const char *name, const struct farbus_token *token)
{
	TRY(farbus_publish(party->bus, name, token));
}

static struct farbus_token token_of(struct party *party, const char *name)
{
	struct farbus_token token;

	TRY(farbus_lookup(party->bus, name, WAIT_MS, &token));
	return token;
}

static struct farbus_region *import(struct party *party, const struct farbus_token *token)
{
	struct farbus_region *region;

	TRY(farbus_region_import(party->bus, token, WAIT_MS, &region));
	return region;
}

static int import_try(struct party *party, const struct farbus_token *token)
{
	struct farbus_region *region;
	int err = farbus_region_import(party->bus, token, WAIT_MS, &region);

	if (err == 0)
		TRY(farbus_region_release(region));
	return err;
}

/* Waits for the event that an import of ours was revoked, past others that may come before. */
static int revoked_event(struct party *party)
{
	struct farbus_event event;
	size_t count;
	int err;

	do {
		err = farbus_poll(party->bus, &event, 1, WAIT_MS, &count);
		if (err < 0)
			return err;
	} while (event.kind != FARBUS_EVENT_REVOKED);
	return event.rank == A ? event.status : -ENOENT;
}

/* ---- B's view of the chain, and C's ---- */

static struct farbus_region *chain_b(struct party *party)
{
	struct farbus_token from_a = token_of(party, "a.to.b"), to_c, none;
	struct farbus_region *region = import(party, &from_a);

	expect(party, "B cannot pass on more rights than it has",
	       farbus_region_grant(region, 0, LEN, FARBUS_R | FARBUS_W | FARBUS_A, NULL, &none),
	       -EACCES);
	expect(party, "nor more than the region",
	       farbus_region_grant(region, 0, LEN + 1, FARBUS_R, NULL, &none), -ERANGE);
	expect(party, "B passes a part on to C, without A doing anything",
	       farbus_region_grant(region, PART_OFF, PART_LEN, FARBUS_R | FARBUS_W, NULL, &to_c),
	       0);
	token_publish(party, "b.to.c", &to_c);
	return region;
}

static struct farbus_region *chain_c(struct party *party)
{
	static const char line[LINE_LEN] = "this is C, by a token that B made";
	struct farbus_token token = token_of(party, "b.to.c"), altered = token, none;
	struct farbus_region *region = import(party, &token);
	struct farbus_region_info info;
	char *last = &altered.text[strlen(altered.text) / 2];

	*last = *last == 'a' ? 'b' : 'a';
	expect(party, "a token with one letter changed is refused", import_try(party, &altered) < 0,
	       1);
	TRY(farbus_region_info(region, &info));
	expect(party, "C's offset 0 is where its part starts",
	       info.off == PART_OFF && info.len == PART_LEN && info.home_rank == A ? 0 : -ERANGE,
	       0);
	expect(party, "C cannot write past its part", farbus_put(region, PART_LEN - 1, line, 2),
	       -ERANGE);
	expect(party, "C cannot use atomics, which it was not given",
	       farbus_atomic(region, 0, FARBUS_ADD, 8, 1, 0, NULL), -EACCES);
	expect(party, "C cannot pass it on",
	       farbus_region_grant(region, 0, PART_LEN, FARBUS_R, NULL, &none), -EACCES);
	expect(party, "C writes", farbus_put(region, 0, line, sizeof(line)), 0);
	expect(party, "and rings", farbus_signal(region, BELL, 1, FARBUS_SWAP), 0);
	return region;
}

static struct farbus_region *chain_a(struct party *party, struct farbus_region *mine)
{
	char line[LINE_LEN];

	expect(party, "A is woken by C's ring",
	       farbus_wait(mine, PART_OFF + BELL, FARBUS_EQ, 1, WAIT_MS, NULL), 0);
	TRY(farbus_get(mine, PART_OFF, line, sizeof(line)));
	expect(party, "and then finds C's line, which was written before it",
	       strncmp(line, "this is C", 9) == 0 ? 0 : -ENOENT, 0);
	return mine;
}

/* ---- A takes back what it gave to B ---- */

static void revoke(struct party *party, struct farbus_region *region,
		   const struct farbus_token *given)
{
	static const char late[LINE_LEN] = "too late";
	char line[LINE_LEN];

	step(party, "A revokes what it gave to B");
	if (party->self.rank == A)
		expect(party, "A revokes", farbus_region_revoke(party->bus, given, 0, WAIT_MS), 0);
	step(party, NULL);
	if (party->self.rank != A) {
		struct farbus_token token =
			token_of(party, party->self.rank == B ? "a.to.b" : "b.to.c");

		expect(party, "an event says so", revoked_event(party), -ESTALE);
		expect(party, "writes are refused", farbus_put(region, 0, late, sizeof(late)),
		       -ESTALE);
		expect(party, "reads too", farbus_get(region, 0, line, sizeof(line)), -ESTALE);
		expect(party, "and the token imports no more", import_try(party, &token), -ESTALE);
		TRY(farbus_region_release(region));
	}
	step(party, NULL);
	if (party->self.rank == A) {
		TRY(farbus_get(region, PART_OFF, line, sizeof(line)));
		expect(party, "A's memory has C's line still, nothing later",
		       strncmp(line, "this is C", 9) == 0 ? 0 : -ENOENT, 0);
	}
}

/* ---- rotation shuts out C, while B goes on ---- */

static void rotate(struct party *party, struct farbus_region *mine)
{
	static const char line[LINE_LEN] = "B goes on";
	struct farbus_token first, second;
	struct farbus_region *region = mine;
	bool is_a = party->self.rank == A, is_b = party->self.rank == B;

	step(party, "A rotates the token of a new grant; B is given the new one, C is not");
	if (is_a) {
		TRY(farbus_region_grant(mine, 0, LEN, FARBUS_R | FARBUS_W, NULL, &first));
		token_publish(party, "first", &first);
	} else {
		first = token_of(party, "first");
		region = import(party, &first);
	}
	step(party, NULL);
	if (is_a) {
		expect(party, "A rotates", farbus_grant_rotate(party->bus, &first, &second), 0);
		token_publish(party, "second", &second);
	} else if (is_b) {
		second = token_of(party, "second");
		expect(party, "B renews", farbus_region_renew(region, &second, WAIT_MS), 0);
	}
	step(party, NULL);
	if (is_a)
		expect(party, "A revokes the old token",
		       farbus_region_revoke(party->bus, &first, 0, WAIT_MS), 0);
	step(party, NULL);
	if (!is_a)
		expect(party, is_b ? "B goes on" : "C is shut out",
		       farbus_put(region, 0, line, sizeof(line)), is_b ? 0 : -ESTALE);
	step(party, NULL);
	TRY(farbus_region_release(region));
}

static int party_run(struct party *party)
{
	struct farbus_region *region = NULL;
	struct farbus_token given = { "" };

	step(party, "A grants to B, B passes a part on to C");
	if (party->self.rank == A) {
		TRY(farbus_region_alloc(party->bus, LEN, 0, &region));
		TRY(farbus_region_grant(region, 0, LEN, FARBUS_R | FARBUS_W | FARBUS_G, NULL,
					&given));
		token_publish(party, "a.to.b", &given);
		region = chain_a(party, region);
	} else {
		region = party->self.rank == B ? chain_b(party) : chain_c(party);
	}
	revoke(party, region, &given);
	rotate(party, party->self.rank == A ? region : NULL);
	return party->failures ? 1 : 0;
}

int main(void)
{
	static struct party party;
	int code;

	example_name("tokens");
	TRY(farbus_open(NULL, &party.bus));
	TRY(farbus_self(party.bus, &party.self));
	example_rank(party.self.rank);
	if (party.self.size != RANKS) {
		if (party.self.rank == 0)
			fprintf(stderr,
				"tokens: %u ranks, but A, B and C are three: "
				"farbus-run -n 3 tokens\n",
				party.self.size);
		return example_refuse(party.bus, 2);
	}
	code = party_run(&party);
	TRY(farbus_close(party.bus));
	return code;
}
