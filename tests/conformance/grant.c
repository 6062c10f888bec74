/* SPDX-License-Identifier: BSD-3-Clause */
/* grant.c -- conformance of tokens: altered, foreign, expired, stale, rotated, chained */
#include "tests/conformance/conform.h"

#include <errno.h>
#include <farbus/inline.h>
#include <stdlib.h>
#include <unistd.h>

#define RW (FARBUS_R | FARBUS_W)
#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)
#define RWAG (RWA | FARBUS_G)

#define IMPORT_MS 5000

enum { READY, RENEWED, OUT, DONE, GO, END, CHAINED = 10 };

static int import_try(struct rank *rank, const struct farbus_token *token)
{
	struct farbus_region *region = NULL;
	int err = farbus_region_import(rank->farbus, token, IMPORT_MS, &region);

	CHECK((err == 0) == (region != NULL));
	if (region)
		MUST(farbus_region_release(region));
	return err;
}

/* ---- altered ---- */

#define TOKEN_MAC_END (4 + (56 + 16) * 4 / 3) /* what follows is only a hint where to ask */

static void token_alter(struct rank *rank, size_t at)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789-_";
	struct farbus_token token = rank->stage->token[0];
	const char *now = strchr(alphabet, token.text[at]);
	char with[] = { alphabet[((now ? now - alphabet : 0) ^ 1) % 64],
			alphabet[((now ? now - alphabet : 0) ^ 32) % 64],
			'!',
			' ',
			'\0',
			'\n',
			(char)0xff };

	for (size_t i = 0; i < sizeof(with); i++) {
		int err;

		token.text[at] = with[i];
		if (with[i] == rank->stage->token[0].text[at])
			continue;
		err = import_try(rank, &token);
		if (err == 0 && at >= TOKEN_MAC_END)
			continue;
		if (err != -EACCES && err != -EINVAL && err != -EPROTO && err != -ESTALE &&
		    err != -EHOSTDOWN && (err != -ETIMEDOUT || at < TOKEN_MAC_END))
			conform_fail(__FILE__, __LINE__, "character %zu as 0x%x: %d (%s)", at,
				     (unsigned char)with[i], err, farbus_last_error());
		CHECK(farbus_last_error()[0]);
	}
}

static void altered_tokens(struct rank *rank)
{
	struct farbus_region *region;
	struct farbus_token token;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 4096, 0);
		rank_grant(rank, region, 0, 4096, RW, 0);
		step_meet(rank, READY);
		step_wait(rank->stage, DONE, 1);
		/* By the home itself, too. */
		token = rank->stage->token[0];
		token.text[20] = token.text[20] == 'A' ? 'B' : 'A';
		CHECK(farbus_region_revoke(rank->farbus, &token, 0, IMPORT_MS) < 0);
		CHECK(farbus_grant_rotate(rank->farbus, &token, &token) < 0);
		return;
	}
	step_meet(rank, READY);
	for (size_t at = 0; at < FARBUS_TOKEN_SIZE - 1; at++)
		token_alter(rank, at);
	memset(&token, 'A', sizeof(token));
	REFUSED(import_try(rank, &token), -EINVAL, "not a token");
	memset(&token, 0, sizeof(token));
	REFUSED(import_try(rank, &token), -EINVAL, "not a token");
	token = rank->stage->token[0];
	token.text[60] = '\0';
	REFUSED(import_try(rank, &token), -EINVAL, "copy all of it");
	MUST(import_try(rank, &rank->stage->token[0]));
	step_reach(rank->stage, DONE);
}

/* Bits of the fields themselves: each changes what the token says. */
static void altered_rights(struct rank *rank)
{
	struct farbus_token token;

	if (rank->rank == 0) {
		rank_grant(rank, rank_alloc(rank, 8192, 0), 0, 4096, FARBUS_R, 0);
		step_meet(rank, READY);
		step_wait(rank->stage, DONE, 1);
		return;
	}
	step_meet(rank, READY);
	token = rank->stage->token[0];
	/* The second character holds the rights' low bits: R becomes another set. */
	for (char c = 'A'; c <= 'Z'; c++) {
		token.text[6] = c;
		if (c == rank->stage->token[0].text[6])
			continue;
		CHECK(import_try(rank, &token) < 0);
	}
	step_reach(rank->stage, DONE);
}

/* ---- of another job, of a home that restarted ---- */

static void other_jobs_token(struct rank *rank)
{
	struct farbus_conf conf = { .job = "conform another job", .size = 1 };
	struct farbus_region *region = NULL;
	struct farbus *other = NULL;
	struct farbus_token token;
	char job[96];

	strcpy(job, rank->stage->job);
	strcat(job, "-other");
	conf.job = job;
	if (rank->rank == 1) {
		MUST(job_open(rank->stage, 1, &conf, &other));
		MUST(farbus_region_alloc(other, 4096, 0, &region));
		MUST(farbus_region_grant(region, 0, 4096, RW, NULL, &token));
		/* Its home hint names rank 0, and there is one in this job. */
		REFUSED(import_try(rank, &token), -EACCES, "job");
		REFUSED(farbus_region_revoke(rank->farbus, &token, 0, IMPORT_MS), -EACCES, NULL);
		MUST(farbus_close(other));
	}
	step_meet(rank, DONE);
}

static void restarted_home(struct rank *rank)
{
	struct farbus_region *region;

	if (rank->rank == 1) {
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RW, 0);
		step_meet(rank, READY);
		step_wait(rank->stage, GO, 1);
		MUST(farbus_close(rank->farbus));
		MUST(rank_open(rank->stage, 1, 0, &rank->farbus));
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RW, 1);
		step_reach(rank->stage, RENEWED);
	} else if (rank->rank == 2) {
		step_meet(rank, READY);
		region = rank_import(rank, 0);
		MUST(farbus_put64(region, 0, 5));
		step_reach(rank->stage, GO);
		rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
		step_wait(rank->stage, RENEWED, 1);
		REFUSED(farbus_put64(region, 0, 6), -EHOSTDOWN, "release");
		REFUSED(import_try(rank, &rank->stage->token[0]), -ESTALE, "restarted");
		MUST(import_try(rank, &rank->stage->token[1]));
		MUST(farbus_region_release(region));
	} else {
		step_meet(rank, READY);
	}
	step_meet(rank, DONE);
}

static void released_region(struct rank *rank)
{
	struct farbus_region *region;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 4096, 0);
		rank_grant(rank, region, 0, 4096, RW, 0);
		step_meet(rank, READY);
		step_wait(rank->stage, GO, 1);
		MUST(farbus_region_release(region));
		step_meet(rank, OUT);
	} else {
		step_meet(rank, READY);
		region = rank_import(rank, 0);
		MUST(farbus_put64(region, 0, 5));
		step_reach(rank->stage, GO);
		rank_event(rank, FARBUS_EVENT_REVOKED, 0, NULL);
		REFUSED(farbus_put64(region, 0, 6), -ESTALE, "release the handle");
		step_meet(rank, OUT);
		REFUSED(import_try(rank, &rank->stage->token[0]), -ESTALE, NULL);
		MUST(farbus_region_release(region));
	}
	step_meet(rank, DONE);
}

/* ---- expiry ---- */

static void expiry(struct rank *rank)
{
	struct farbus_grant_opts opts = { .expiry_s = 1 };
	struct farbus_region *region = NULL;
	int err = 0, tries = 0;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 4096, 0);
		step_wait(rank->stage, GO, 1);
		opts.flags = grant_flags(rank->stage);
		opts.expiry_s = 3;
		MUST(farbus_region_grant(region, 0, 4096, RW, &opts, &rank->stage->token[0]));
		step_reach(rank->stage, READY);
	} else {
		step_reach(rank->stage, GO);
		step_wait(rank->stage, READY, 1);
		region = rank_import(rank, 0);
		while (err == 0 && tries++ < 100) {
			usleep(100000); /* wall time has to pass; the bound is the number of tries */
			err = import_try(rank, &rank->stage->token[0]);
		}
		REFUSED(err, -ETIME, "expired");
		/* No new import succeeds; the one that is there goes on. */
		MUST(farbus_put64(region, 0, 1));
		MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE,
				  FARBUS_TIMEOUT_DEFAULT));
	}
	step_meet(rank, DONE);
}

/* ---- rotation ---- */

/* Rank 2 keeps writing and renews in the middle; rank 1 stays on the old token. */
static void rotation_user(struct rank *rank)
{
	struct farbus_region *region = rank_import(rank, 0);
	uint64_t n = 0;
	int err = 0;

	step_reach(rank->stage, READY);
	if (rank->rank == 2) {
		while (atomic_load(&rank->stage->step[GO]) < 1)
			MUST(farbus_put64(region, 64, ++n));
		MUST(farbus_region_renew(region, &rank->stage->token[1], FARBUS_TIMEOUT_DEFAULT));
		step_reach(rank->stage, RENEWED);
		while (atomic_load(&rank->stage->step[OUT]) < 1)
			MUST(farbus_put64(region, 64, ++n));
		MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE,
				  FARBUS_TIMEOUT_DEFAULT));
		word_set(rank->stage, 0, n);
		MUST(import_try(rank, &rank->stage->token[1]));
		rank_no_event(rank);
	} else {
		while (err == 0)
			err = farbus_put64(region, 0, ++n);
		REFUSED(err, -ESTALE, "release");
		rank_event(rank, FARBUS_EVENT_REVOKED, 0, NULL);
		step_wait(rank->stage, OUT, 1);
		REFUSED(farbus_region_renew(region, &rank->stage->token[1], IMPORT_MS), -ESTALE,
			NULL);
	}
	REFUSED(import_try(rank, &rank->stage->token[0]), -ESTALE, NULL);
	MUST(farbus_region_release(region));
	step_reach(rank->stage, DONE);
}

static void rotation(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t *word, before;

	if (rank->rank != 0) {
		step_wait(rank->stage, READY, 1);
		rotation_user(rank);
		step_meet(rank, END);
		return;
	}
	region = rank_alloc(rank, 4096, 0);
	word = (uint64_t *)(void *)region_va(region);
	rank_grant(rank, region, 0, 4096, RW, 0);
	step_reach(rank->stage, READY);
	step_wait(rank->stage, READY, 3);
	MUST(farbus_grant_rotate(rank->farbus, &rank->stage->token[0], &rank->stage->token[1]));
	CHECK(strcmp(rank->stage->token[0].text, rank->stage->token[1].text) != 0);
	step_reach(rank->stage, GO);
	step_wait(rank->stage, RENEWED, 1);
	MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, CONFORM_WAIT_MS));
	before = peek64(&word[0]);
	step_reach(rank->stage, OUT);
	step_wait(rank->stage, DONE, 2);
	CHECK(peek64(&word[0]) == before);
	CHECK(peek64(&word[8]) == word_get(rank->stage, 0));
	step_meet(rank, END);
}

/* A second rotation pushes the oldest token out. */
static void rotated_twice(struct rank *rank)
{
	if (rank->rank == 0) {
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RW, 0);
		MUST(farbus_grant_rotate(rank->farbus, &rank->stage->token[0],
					 &rank->stage->token[1]));
		step_meet(rank, READY);
		step_wait(rank->stage, GO, 1);
		MUST(farbus_grant_rotate(rank->farbus, &rank->stage->token[1],
					 &rank->stage->token[2]));
		step_reach(rank->stage, OUT);
	} else {
		step_meet(rank, READY);
		MUST(import_try(rank, &rank->stage->token[0]));
		MUST(import_try(rank, &rank->stage->token[1]));
		step_reach(rank->stage, GO);
		step_wait(rank->stage, OUT, 1);
		REFUSED(import_try(rank, &rank->stage->token[0]), -ESTALE, "rotated");
		MUST(import_try(rank, &rank->stage->token[1]));
		MUST(import_try(rank, &rank->stage->token[2]));
	}
	step_meet(rank, DONE);
}

/* ---- chains ---- */

/* Rank 0 owns, 1 holds G and grants a part to 2. */
static void chain_middle(struct rank *rank)
{
	struct farbus_region *region = rank_import(rank, 0);
	struct farbus_token token;

	REFUSED(farbus_region_grant(region, 0, 4096, RWAG | FARBUS_M, NULL, &token), -EACCES,
		"fewer rights");
	REFUSED(farbus_region_grant(region, 4096, 8192, RW, NULL, &token), -ERANGE, NULL);
	MUST(farbus_region_grant(region, 4096, 4096, RW, NULL, &rank->stage->token[1]));
	MUST(farbus_region_grant(region, 0, 4096, FARBUS_R, NULL, &rank->stage->token[2]));
	step_meet(rank, CHAINED);
	step_wait(rank->stage, READY, 2);
	/* Its maker may revoke it; nobody else's grant is touched. */
	MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[1], 0, CONFORM_WAIT_MS));
	MUST(farbus_put64(region, 0, 11));
	MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
	REFUSED(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, IMPORT_MS), -EACCES,
		NULL);
	step_reach(rank->stage, GO);
	rank_event(rank, FARBUS_EVENT_REVOKED, 0, NULL);
	REFUSED(farbus_put64(region, 0, 12), -ESTALE, NULL);
	REFUSED(farbus_region_grant(region, 0, 4096, RW, NULL, &token), -ESTALE, NULL);
}

static void chain_last(struct rank *rank)
{
	struct farbus_region *part, *first;
	struct farbus_region_info info;
	struct farbus_token token;
	uint64_t value = 0;

	step_meet(rank, CHAINED);
	part = rank_import(rank, 1);
	first = rank_import(rank, 2);
	MUST(farbus_region_info(part, &info));
	CHECK(info.off == 8192 && info.len == 4096 && info.rights == RW && info.home_rank == 0);
	MUST(farbus_put64(part, 0, 21));
	MUST(farbus_flush(rank->farbus, part, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
	REFUSED(farbus_put64(part, 4096, 1), -ERANGE, NULL);
	REFUSED(farbus_region_grant(part, 0, 8, FARBUS_R, NULL, &token), -EACCES, "G");
	step_reach(rank->stage, READY);
	step_wait(rank->stage, GO, 1);
	rank_event(rank, FARBUS_EVENT_REVOKED, 0, NULL);
	REFUSED(farbus_put64(part, 0, 22), -ESTALE, NULL);
	MUST(farbus_get(first, 0, &value, 8));
	CHECK(value == 11);
	step_reach(rank->stage, OUT);
	/* The owner takes the whole tree. */
	rank_event(rank, FARBUS_EVENT_REVOKED, 0, NULL);
	REFUSED(farbus_get(first, 0, &value, 8), -ESTALE, NULL);
	REFUSED(import_try(rank, &rank->stage->token[2]), -ESTALE, NULL);
}

static void chain(struct rank *rank)
{
	struct farbus_region *region;
	const uint64_t *word;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 5 * 4096, 0);
		word = (const uint64_t *)(void *)region_va(region);
		rank_grant(rank, region, 4096, 8192, RWAG, 0);
		step_reach(rank->stage, READY);
		step_meet(rank, CHAINED);
		step_wait(rank->stage, OUT, 1);
		CHECK(peek64(&word[512]) == 11 && peek64(&word[1024]) == 21);
		MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0,
					  CONFORM_WAIT_MS));
	} else if (rank->rank == 1) {
		step_wait(rank->stage, READY, 1);
		chain_middle(rank);
	} else {
		chain_last(rank);
	}
	step_meet(rank, DONE);
}

static void chain_depth(struct rank *rank)
{
	struct farbus_region *region;
	uint32_t depth = 0;
	int err = 0;

	if (rank->rank == 0)
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RWAG, 0);
	step_meet(rank, READY);
	if (rank->rank == 1) {
		while (err == 0 && depth < 20) {
			region = rank_import(rank, depth);
			err = farbus_region_grant(region, 0, 4096, RWAG, NULL,
						  &rank->stage->token[depth + 1]);
			depth += err == 0;
		}
		REFUSED(err, -ELOOP, "nearer");
		CHECK(depth == 8);
	}
	step_meet(rank, DONE);
	/* The root of the chain takes all of it. */
	if (rank->rank == 0)
		MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0,
					  CONFORM_WAIT_MS));
	step_meet(rank, OUT);
	if (rank->rank == 1)
		for (uint32_t i = 0; i <= depth; i++)
			REFUSED(import_try(rank, &rank->stage->token[i]), -ESTALE, NULL);
	step_meet(rank, END);
}

/* The maker of a chained grant dies: what it passed on stays, for the home made it. */
static void chain_maker_dies(struct rank *rank)
{
	struct farbus_region *region;

	if (rank->rank == 0) {
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RWAG, 0);
		step_reach(rank->stage, READY);
	} else if (rank->rank == 1) {
		step_wait(rank->stage, READY, 1);
		region = rank_import(rank, 0);
		MUST(farbus_region_grant(region, 0, 4096, RW, NULL, &rank->stage->token[1]));
		step_reach(rank->stage, CHAINED);
		step_wait(rank->stage, END, 100); /* killed here */
	} else {
		step_wait(rank->stage, CHAINED, 1);
		region = rank_import(rank, 1);
		step_reach(rank->stage, GO);
		rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
		MUST(farbus_put64(region, 0, 4));
		MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE,
				  FARBUS_TIMEOUT_DEFAULT));
	}
	step_reach(rank->stage, DONE);
	step_wait(rank->stage, DONE, 2);
}

static void chain_maker_control(struct stage *stage)
{
	step_wait(stage, GO, 1);
	control_kill(stage, 1);
}

static void grant_arguments(struct rank *rank)
{
	struct farbus_grant_opts opts = { .flags = 0x80 };
	struct farbus_region *region = rank_alloc(rank, 4096, 0);
	struct farbus_token token;

	REFUSED(farbus_region_grant(region, 0, 0, RW, NULL, &token), -ERANGE, "one byte");
	REFUSED(farbus_region_grant(region, 0, 8, RW, &opts, &token), -EINVAL, "SERVED");
	REFUSED(farbus_region_grant(NULL, 0, 8, RW, NULL, &token), -EINVAL, "NULL");
	REFUSED(farbus_region_grant(region, 0, 8, RW, NULL, NULL), -EINVAL, "NULL");
	REFUSED(farbus_region_import(rank->farbus, NULL, 100, &region), -EINVAL, "token");
	REFUSED(farbus_region_revoke(rank->farbus, NULL, 0, 100), -EINVAL, "token");
	REFUSED(farbus_region_renew(region, &rank->stage->token[0], 100), -EINVAL, "import");
	REFUSED(farbus_grant_rotate(rank->farbus, NULL, &token), -EINVAL, "token");
	/* Its own token can be imported, too. */
	rank_grant(rank, region, 0, 4096, RW, 0);
	MUST(import_try(rank, &rank->stage->token[0]));
	REFUSED(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0x10, 100), -EINVAL,
		"FORCE");
	MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, CONFORM_WAIT_MS));
	REFUSED(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, 100), -ESTALE, NULL);
	REFUSED(farbus_grant_rotate(rank->farbus, &rank->stage->token[0], &token), -ESTALE, NULL);
}

static const struct property property[] = {
	{ "token__any_character_altered__refused", CONFORM_ALL, 2, altered_tokens, NULL, 0, 0 },
	{ "token__rights_altered__refused", CONFORM_ALL, 2, altered_rights, NULL, 0, 0 },
	{ "token__of_another_job__eacces", CONFORM_ALL, 2, other_jobs_token, NULL, 0, 0 },
	{ "token__home_restarted__estale", CONFORM_ALL, 3, restarted_home, NULL, 0, 0 },
	{ "token__region_released__importers_told_and_estale", CONFORM_ALL, 2, released_region,
	  NULL, 0, 0 },
	{ "token__expired__etime_and_old_import_goes_on", CONFORM_ALL, 2, expiry, NULL, 0, 0 },
	{ "rotate__old_token_revoked__one_out_and_no_failure_of_the_other", CONFORM_ALL, 3,
	  rotation, NULL, 0, 0 },
	{ "rotate__twice__oldest_token_is_out", CONFORM_ALL, 2, rotated_twice, NULL, 0, 0 },
	{ "chain__grant_of_an_import__part_fewer_rights_and_cascade", CONFORM_ALL, 3, chain, NULL,
	  0, 0 },
	{ "chain__too_deep__eloop_and_root_takes_all", CONFORM_ALL, 2, chain_depth, NULL, 0, 0 },
	{ "chain__maker_killed__what_it_granted_goes_on", CONFORM_ALL, 3, chain_maker_dies,
	  chain_maker_control, 0, 0 },
	{ "grant__never_right__refused_with_the_reason", CONFORM_ALL, 1, grant_arguments, NULL, 0,
	  0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
