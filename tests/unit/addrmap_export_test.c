/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_export_test.c -- regions, grants, chains, tokens, epochs, revocation, import records */
#include "addrmap_common.h"

#include "addrmap/export_private.h"
#include "addrmap/rights.h"
#include <errno.h>
#include <string.h>

#define JOB 0x1122334455667788
#define INCARNATION 9
#define REGION 0x700000001
#define LEN (1 << 20)
#define NOW 1000000
#define US 7 /* this instance */

_Static_assert(sizeof(struct record) <= 64, "per import that a peer holds: one cache line");
_Static_assert(sizeof(struct grant) <= 160, "per grant");

static int table_setup(void **state)
{
	struct export_region region = { .region = REGION, .len = LEN };

	memset(region.key, 0x42, sizeof(region.key));
	if (mac_init() < 0 || export_table_new(JOB, INCARNATION, (struct export_table **)state) < 0)
		return -1;
	return export_region_insert(*state, &region);
}

static int table_teardown(void **state)
{
	export_check(*state);
	export_table_free(*state);
	return 0;
}

static int grant_ask(struct export_table *table, const struct export_grant_ask *ask, uint32_t *ret)
{
	int err = export_grant_new(table, ask, ret);

	export_check(table);
	return err;
}

/* All of the region, or of the parent if that has LEN bytes. */
static uint32_t grant(struct export_table *table, uint32_t parent, uint32_t rights)
{
	struct export_grant_ask ask = {
		.region = REGION, .parent = parent, .maker = US, .len = LEN, .rights = rights
	};
	uint32_t id = 0;

	assert_int_equal(grant_ask(table, &ask, &id), 0);
	assert_int_not_equal(id, 0);
	return id;
}

static struct token token_of(struct export_table *table, uint32_t id)
{
	struct farbus_token text;
	struct token token;

	assert_int_equal(export_grant_token(table, id, 3, &text), 0);
	token_check(&text);
	assert_int_equal(token_parse(&text, &token), 0);
	return token;
}

static uint32_t hold(struct export_table *table, uint32_t id, uint32_t epoch, uint32_t instance)
{
	struct export_import import = { .grant = id, .epoch = epoch, .instance = instance };
	uint32_t record = 0;

	assert_int_equal(export_import_insert(table, &import, &record), 0);
	export_check(table);
	assert_int_not_equal(record, 0);
	return record;
}

static int access_check(struct export_table *table, uint32_t record, uint64_t off, uint64_t len)
{
	uint64_t region, at;

	return export_access_check(table, record, off, len, FARBUS_R, &region, &at);
}

static void count_grant(void *arg, const struct export_grant *is)
{
	(void)is;
	(*(unsigned *)arg)++;
}

static void count_import(void *arg, const struct export_import *is)
{
	(void)is;
	(*(unsigned *)arg)++;
}

/* ---- regions ---- */

static void region__life__found_until_removed(void **state)
{
	struct export_region region = { .region = REGION, .len = 5 }, back;

	assert_int_equal(export_region_insert(*state, &region), -EEXIST);
	region.region++;
	region.len = 0;
	assert_int_equal(export_region_insert(*state, &region), -EINVAL);
	assert_int_equal(export_region_lookup(*state, region.region, &back), -ENOENT);
	region.len = UINT64_MAX;
	assert_int_equal(export_region_insert(*state, &region), 0);
	export_check(*state);
	region.generation = 4;
	assert_int_equal(export_region_update(*state, &region), 0);
	assert_int_equal(export_region_lookup(*state, region.region, &back), 0);
	assert_memory_equal(&back, &region, sizeof(back));
	region.len--;
	assert_int_equal(export_region_update(*state, &region), -EINVAL);
	assert_int_equal(export_region_remove(*state, region.region), 0);
	export_check(*state);
	assert_int_equal(export_region_remove(*state, region.region), -ENOENT);
	assert_int_equal(export_region_update(*state, &region), -ENOENT);
}

static void region_remove__has_grants__ebusy_until_finished(void **state)
{
	uint32_t id = grant(*state, 0, FARBUS_R);

	assert_int_equal(export_region_remove(*state, REGION), -EBUSY);
	assert_int_equal(export_grant_revoke(*state, id, NULL, NULL), 0);
	assert_int_equal(export_region_remove(*state, REGION), -EBUSY);
	assert_int_equal(export_grant_finish(*state, id), 0);
	export_check(*state);
	assert_int_equal(export_region_remove(*state, REGION), 0);
}

/* ---- grants ---- */

static void grant_new__range__inside_or_erange(void **state)
{
	static const struct {
		const char *what;
		uint64_t off, len;
		int err;
	} cases[] = {
		{ "all", 0, LEN, 0 },
		{ "first byte", 0, 1, 0 },
		{ "last byte", LEN - 1, 1, 0 },
		{ "nothing", 0, 0, -ERANGE },
		{ "one too long", 0, LEN + 1, -ERANGE },
		{ "begins at the end", LEN, 1, -ERANGE },
		{ "ends one past", LEN - 1, 2, -ERANGE },
		{ "wraps", 1, UINT64_MAX, -ERANGE },
		{ "wraps to inside", UINT64_MAX, 2, -ERANGE },
	};
	/* The same below the region and below a grant of its second half. */
	struct export_grant_ask ask = {
		.region = REGION, .off = LEN / 2, .len = LEN / 2, .rights = FARBUS_R | FARBUS_G
	};
	uint32_t half, id;

	assert_int_equal(grant_ask(*state, &ask, &half), 0);
	for (size_t i = 0; i < COUNT_OF(cases) * 2; i++) {
		size_t at = i / 2;
		uint64_t less = i % 2 ? LEN / 2 : 0; /* the parent is that much shorter */
		struct export_grant_ask below = { .region = REGION,
						  .off = cases[at].off,
						  .len = cases[at].len,
						  .rights = FARBUS_R };

		below.parent = i % 2 ? half : 0;
		if (below.off == LEN || below.off == LEN - 1)
			below.off -= less;
		else if (below.len == LEN || below.len == LEN + 1)
			below.len -= less;
		int err = grant_ask(*state, &below, &id);
		if (err != cases[at].err)
			fail_msg("%s: %d instead of %d", cases[at].what, err, cases[at].err);
		if (err < 0)
			continue;
		struct export_grant is;

		assert_int_equal(export_grant_lookup(*state, id, &is), 0);
		assert_int_equal(is.off, below.off + less);
		assert_int_equal(is.len, below.len);
	}
}

static void grant_new__bad_ask__named_error_and_untouched(void **state)
{
	uint32_t readable = grant(*state, 0, FARBUS_R),
		 chainable = grant(*state, 0, FARBUS_R | FARBUS_G);
	const struct {
		const char *text;
		struct export_grant_ask ask;
		int err;
	} cases[] = {
		{ "W needs R", { .region = REGION, .len = 1, .rights = FARBUS_W }, -EINVAL },
		{ "rights 0x0", { .region = REGION, .len = 1 }, -EINVAL },
		{ "flags 0x100",
		  { .region = REGION, .len = 1, .rights = 1, .flags = 256 },
		  -EINVAL },
		{ "not here", { .region = 1, .len = 1, .rights = FARBUS_R }, -ENOENT },
		{ "no grant 999", { .parent = 999, .len = 1, .rights = FARBUS_R }, -ENOENT },
		{ "FARBUS_G", { .parent = readable, .len = 1, .rights = FARBUS_R }, -EACCES },
		{ "grant of RW---, but the import has R---G",
		  { .parent = chainable, .len = 1, .rights = FARBUS_R | FARBUS_W },
		  -EACCES },
	};
	unsigned count = 0;
	uint32_t id = 4711;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(grant_ask(*state, &cases[i].ask, &id), cases[i].err);
		expect_text(cases[i].text);
	}
	assert_int_equal(id, 4711);
	export_grant_each(*state, REGION, count_grant, &count);
	assert_int_equal(count, 2);
}

static void grant_new__chain__export_chain_max_then_eloop(void **state)
{
	struct export_grant_ask ask = { .len = LEN, .rights = FARBUS_R | FARBUS_G };
	uint32_t id = grant(*state, 0, FARBUS_R | FARBUS_G), root = id;
	struct export_grant is;
	unsigned count = 0;

	for (uint32_t depth = 1; depth <= EXPORT_CHAIN_MAX; depth++) {
		id = grant(*state, id, FARBUS_R | FARBUS_G);
		assert_int_equal(export_grant_lookup(*state, id, &is), 0);
		assert_int_equal(is.depth, depth);
		assert_int_equal(token_of(*state, id).depth, depth);
	}
	ask.parent = id;
	assert_int_equal(grant_ask(*state, &ask, &id), -ELOOP);
	assert_int_equal(export_grant_revoke(*state, root, count_grant, &count), 0);
	assert_int_equal(count, EXPORT_CHAIN_MAX + 1);
	assert_int_equal(export_grant_finish(*state, root), 0);
}

static void grant_new__chain__ranges_add_up(void **state)
{
	struct export_grant_ask ask = {
		.region = REGION, .off = 100, .len = 1000, .rights = FARBUS_R | FARBUS_G
	};
	uint64_t region, off;
	uint32_t id;

	for (int i = 0; i < 4; i++) {
		assert_int_equal(grant_ask(*state, &ask, &id), 0);
		ask.parent = id;
		ask.len -= ask.off;
	}
	/* The last one begins at 400 and has 700 bytes. */
	uint32_t record = hold(*state, id, 1, 20);

	assert_int_equal(export_access_check(*state, record, 1, 699, FARBUS_R, &region, &off), 0);
	assert_int_equal(region, REGION);
	assert_int_equal(off, 401);
	assert_int_equal(access_check(*state, record, 1, 700), -ERANGE);
}

static void grant_new__child__expiry_and_flags_of_the_parent_hold(void **state)
{
	static const uint64_t expiry[][3] = {
		/* parent, asked, got; 0 is never */
		{ 0, 0, 0 },	{ 0, 50, 50 },	{ 50, 0, 50 },
		{ 50, 60, 50 }, { 50, 40, 40 }, { UINT64_MAX, 0, UINT64_MAX },
	};
	struct export_grant is;
	uint32_t parent, child;

	for (size_t i = 0; i < COUNT_OF(expiry); i++) {
		struct export_grant_ask ask = { .region = REGION,
						.len = 1,
						.expiry_s = expiry[i][0],
						.rights = FARBUS_R | FARBUS_G,
						.flags = FARBUS_GRANT_SERVED };

		assert_int_equal(grant_ask(*state, &ask, &parent), 0);
		ask.parent = parent;
		ask.expiry_s = expiry[i][1];
		ask.flags = 0;
		assert_int_equal(grant_ask(*state, &ask, &child), 0);
		assert_int_equal(export_grant_lookup(*state, child, &is), 0);
		assert_int_equal(is.expiry_s, expiry[i][2]);
		assert_int_equal(is.flags, FARBUS_GRANT_SERVED);
		assert_int_equal(token_of(*state, child).flags, FARBUS_GRANT_SERVED);
	}
}

static void grant_new__max__enospc_then_room_after_revoke(void **state)
{
	struct export_grant_ask ask = { .region = REGION, .len = 1, .rights = FARBUS_R };
	uint32_t id, last = 0;

	for (uint32_t i = 0; i < EXPORT_GRANT_MAX; i++)
		assert_int_equal(export_grant_new(*state, &ask, &last), 0);
	export_check(*state);
	assert_int_equal(grant_ask(*state, &ask, &id), -ENOSPC);
	assert_int_equal(export_grant_revoke(*state, last, NULL, NULL), 0);
	assert_int_equal(grant_ask(*state, &ask, &id), -ENOSPC); /* it may still be held */
	assert_int_equal(export_grant_finish(*state, last), 0);
	assert_int_equal(grant_ask(*state, &ask, &id), 0);
	assert_int_not_equal(id, last);
	assert_int_equal(export_grant_lookup(*state, last, &(struct export_grant){ 0 }), -ESTALE);
}

static void region_insert__max__enospc_then_room(void **state)
{
	struct export_region region = { .len = 1 };

	for (uint32_t i = 1; i < EXPORT_REGION_MAX; i++) {
		region.region = i;
		assert_int_equal(export_region_insert(*state, &region), 0);
	}
	region.region = EXPORT_REGION_MAX;
	assert_int_equal(export_region_insert(*state, &region), -ENOSPC);
	export_check(*state);
	assert_int_equal(export_region_remove(*state, 5), 0);
	assert_int_equal(export_region_insert(*state, &region), 0);
}

/* ---- tokens ---- */

static int token_checked(struct export_table *table, const struct token *token, uint64_t now)
{
	uint32_t id = 4711, untouched = 4711;
	int err = export_token_check(table, token, now, &id);

	if (err < 0)
		assert_int_equal(id, untouched);
	else
		assert_int_equal(id, token->grant);
	return err;
}

static void token_check__fresh__zero(void **state)
{
	uint32_t id = grant(*state, 0, FARBUS_R | FARBUS_W);
	struct token token = token_of(*state, id);

	assert_int_equal(token.rights, FARBUS_R | FARBUS_W);
	assert_int_equal(token.hint_rank, 3);
	assert_int_equal(token.len, LEN);
	assert_int_equal(token_checked(*state, &token, NOW), 0);
	token.hint_rank = 99; /* only a hint */
	assert_int_equal(token_checked(*state, &token, NOW), 0);
}

/* One field altered, the MAC kept: never accepted, and the error is that of the first check it fails. */
static void token_check__field_altered__refused(void **state)
{
	const struct token good = token_of(*state, grant(*state, 0, FARBUS_R));
	uint32_t other = grant(*state, 0, FARBUS_R | FARBUS_W);
	struct token bad;
#define ALTERED(field, value, err)                                       \
	do {                                                             \
		bad = good;                                              \
		bad.field = (value);                                     \
		assert_int_equal(token_checked(*state, &bad, NOW), err); \
	} while (0)

	ALTERED(job, JOB + 1, -EACCES);
	expect_text("another job");
	ALTERED(incarnation, INCARNATION + 1, -ESTALE);
	expect_text("restarted");
	ALTERED(region, REGION + 1, -ESTALE);
	expect_text("released");
	ALTERED(grant, other, -EACCES);
	expect_text("altered");
	ALTERED(rights, FARBUS_R | FARBUS_W, -EACCES);
	ALTERED(flags, 1, -EACCES);
	ALTERED(depth, 1, -EACCES);
	ALTERED(off, 1, -EACCES);
	ALTERED(len, LEN + 1, -EACCES);
	ALTERED(epoch, 2, -EACCES);
	ALTERED(expiry_s, NOW + 1, -EACCES);
	ALTERED(version, 2, -EACCES);
	ALTERED(mac[15], (uint8_t)(good.mac[15] ^ 0x80), -EACCES);
	assert_int_equal(token_checked(*state, &good, NOW), 0);
}

static void token_check__several_things_wrong__first_in_order_named(void **state)
{
	struct token token = token_of(*state, grant(*state, 0, FARBUS_R));

	token.mac[0] ^= 1;
	token.region++;
	assert_int_equal(token_checked(*state, &token, NOW), -ESTALE);
	expect_text("released");
	token.incarnation++;
	assert_int_equal(token_checked(*state, &token, NOW), -ESTALE);
	expect_text("restarted");
	token.job++;
	assert_int_equal(token_checked(*state, &token, NOW), -EACCES);
	expect_text("another job");
}

static void token_check__expiry__etime_from_that_second_on(void **state)
{
	struct export_grant_ask ask = {
		.region = REGION, .len = 1, .rights = FARBUS_R, .expiry_s = NOW
	};
	uint32_t id;

	assert_int_equal(grant_ask(*state, &ask, &id), 0);
	struct token token = token_of(*state, id);

	assert_int_equal(token_checked(*state, &token, NOW - 1), 0);
	assert_int_equal(token_checked(*state, &token, NOW), -ETIME);
	assert_int_equal(token_checked(*state, &token, NOW + 5), -ETIME);
	expect_text("5 s ago");
	assert_int_equal(token_checked(*state, &token, UINT64_MAX), -ETIME);
	/* A rotation shuts it out before its time is looked at. */
	assert_int_equal(export_epoch_drop(*state, id, 1), 1);
	assert_int_equal(export_grant_revoke(*state, id, NULL, NULL), 0);
	assert_int_equal(token_checked(*state, &token, NOW), -ESTALE);
	assert_int_equal(export_grant_finish(*state, id), 0);
	assert_int_equal(token_checked(*state, &token, NOW), -ESTALE);
	assert_int_equal(export_grant_token(*state, id, 0, &(struct farbus_token){ 0 }), -ESTALE);
}

/* ---- epochs ---- */

static void rotate__twice__first_out_second_still_in(void **state)
{
	uint32_t id = grant(*state, 0, FARBUS_R), out = 77;
	struct token first = token_of(*state, id), second, third;
	uint32_t record = hold(*state, id, first.epoch, 20);

	assert_int_equal(export_grant_rotate(*state, id, &out), 0);
	export_check(*state);
	assert_int_equal(out, 0); /* there was no backup */
	second = token_of(*state, id);
	assert_int_equal(token_checked(*state, &first, NOW), 0);
	assert_int_equal(token_checked(*state, &second, NOW), 0);
	assert_int_equal(access_check(*state, record, 0, 1), 0);

	assert_int_equal(export_grant_rotate(*state, id, &out), 0);
	export_check(*state);
	assert_int_equal(out, first.epoch);
	third = token_of(*state, id);
	assert_int_equal(token_checked(*state, &first, NOW), -ESTALE);
	expect_text("rotated out");
	assert_int_equal(token_checked(*state, &second, NOW), 0);
	assert_int_equal(token_checked(*state, &third, NOW), 0);
	assert_int_equal(access_check(*state, record, 0, 1), -ESTALE);
}

static void renew__rotated__same_record_goes_on(void **state)
{
	uint32_t id = grant(*state, 0, FARBUS_R), other = grant(*state, 0, FARBUS_R), out;
	uint32_t record = hold(*state, id, 1, 20);
	struct export_import is;

	assert_int_equal(export_grant_rotate(*state, id, &out), 0);
	assert_int_equal(export_import_renew(*state, record, other, 1), -EINVAL);
	assert_int_equal(export_import_renew(*state, record, id, 3), -ESTALE);
	assert_int_equal(export_import_renew(*state, record, id, 0), -ESTALE);
	assert_int_equal(export_import_renew(*state, 999, id, 2), -ENOENT);
	assert_int_equal(export_import_renew(*state, record, id, 2), 0);
	export_check(*state);
	assert_int_equal(export_import_lookup(*state, record, &is), 0);
	assert_int_equal(is.epoch, 2);
	assert_int_equal(export_grant_rotate(*state, id, &out), 0);
	assert_int_equal(access_check(*state, record, 0, 1), 0);
}

static void epoch_drop__either__the_other_stays(void **state)
{
	uint32_t id = grant(*state, 0, FARBUS_R), out;
	struct export_grant is;

	assert_int_equal(export_epoch_drop(*state, id, 2), -ESTALE);
	assert_int_equal(export_epoch_drop(*state, id, 0), -ESTALE);
	assert_int_equal(export_epoch_drop(*state, 999, 1), -ENOENT);
	assert_int_equal(export_grant_rotate(*state, id, &out), 0); /* 2, backup 1 */
	assert_int_equal(export_epoch_drop(*state, id, 2), 0);
	export_check(*state);
	assert_int_equal(token_of(*state, id).epoch, 1);
	assert_int_equal(export_grant_rotate(*state, id, &out), 0); /* 3: 2 is never used again */
	assert_int_equal(export_grant_lookup(*state, id, &is), 0);
	assert_int_equal(is.epoch, 3);
	assert_int_equal(is.epoch_backup, 1);
	assert_int_equal(export_epoch_drop(*state, id, 1), 0);
	export_check(*state);
	assert_int_equal(export_epoch_drop(*state, id, 3), 1); /* the only one: revoke the grant */
	assert_int_equal(token_of(*state, id).epoch, 3);
}

static void rotate__epochs_used_up__enospc(void **state)
{
	uint32_t id = grant(*state, 0, FARBUS_R), out;
	struct grant *is;

	assert_int_equal(grant_find(*state, id, &is), 0);
	is->epoch_last = UINT32_MAX - 1;
	assert_int_equal(export_grant_rotate(*state, id, &out), 0);
	assert_int_equal(token_of(*state, id).epoch, UINT32_MAX);
	assert_int_equal(export_grant_rotate(*state, id, &out), -ENOSPC);
	assert_int_equal(token_of(*state, id).epoch, UINT32_MAX);
}

/* ---- revocation ---- */

struct visited {
	uint32_t id[64];
	unsigned count;
};

static void visit(void *arg, const struct export_grant *is)
{
	struct visited *visited = arg;

	assert_int_equal(is->state, GRANT_REVOKING);
	for (unsigned i = 0; i < visited->count; i++)
		assert_int_not_equal(visited->id[i], is->grant);
	/* Parents first. */
	bool parent_seen = visited->count == 0;
	for (unsigned i = 0; i < visited->count; i++)
		parent_seen |= visited->id[i] == is->parent;
	assert_true(parent_seen);
	visited->id[visited->count++] = is->grant;
}

/*
 *   root --- a --- b --- c        revoking a ends a, b, c and d
 *     |      `---- d
 *     `----- e
 */
static void revoke__middle_of_a_tree__all_below_and_none_beside(void **state)
{
	const uint32_t rights = FARBUS_R | FARBUS_G;
	uint32_t root = grant(*state, 0, rights), a = grant(*state, root, rights);
	uint32_t b = grant(*state, a, rights), c = grant(*state, b, rights);
	uint32_t d = grant(*state, a, rights), e = grant(*state, root, rights);
	uint32_t held_c = hold(*state, c, 1, 20), held_e = hold(*state, e, 1, 20);
	struct token token_c = token_of(*state, c);
	struct export_import again = { .grant = d, .epoch = 1, .instance = 30 };
	struct export_grant_ask ask = { .parent = d, .len = 1, .rights = FARBUS_R };
	struct visited visited = { 0 };
	uint32_t id;

	assert_int_equal(export_grant_finish(*state, a), -EBUSY); /* live */
	assert_int_equal(export_grant_revoke(*state, a, visit, &visited), 0);
	export_check(*state);
	assert_int_equal(visited.count, 4);
	assert_int_equal(access_check(*state, held_c, 0, 1), -ESTALE);
	assert_int_equal(access_check(*state, held_e, 0, 1), 0);
	assert_int_equal(token_checked(*state, &token_c, NOW), -ESTALE);
	assert_int_equal(export_import_insert(*state, &again, &id), -ESTALE);
	assert_int_equal(grant_ask(*state, &ask, &id), -ESTALE);
	assert_int_equal(export_grant_rotate(*state, b, &id), -ESTALE);
	assert_int_equal(export_epoch_drop(*state, b, 1), -ESTALE);

	/* c is held: what waits for it stays, and asking again finds it. */
	assert_int_equal(export_grant_finish(*state, a), -EBUSY);
	export_check(*state);
	memset(&visited, 0, sizeof(visited));
	assert_int_equal(export_grant_revoke(*state, a, visit, &visited), 0);
	assert_int_equal(visited.id[visited.count - 1], c);
	assert_int_equal(export_import_remove(*state, held_c), 0);
	assert_int_equal(export_grant_finish(*state, a), 0);
	export_check(*state);
	assert_int_equal(export_grant_finish(*state, a), -ESTALE);
	assert_int_equal(export_grant_revoke(*state, c, NULL, NULL), -ESTALE);
	assert_int_equal(export_grant_revoke(*state, 999, NULL, NULL), -ENOENT);
	assert_int_equal(access_check(*state, held_e, 0, 1), 0);
}

/* ---- import records ---- */

static void import_insert__epoch__current_ones_only(void **state)
{
	uint32_t id = grant(*state, 0, FARBUS_R), out, record;
	struct export_import import = { .grant = id, .instance = 20 };

	for (int i = 0; i < 2; i++)
		assert_int_equal(export_grant_rotate(*state, id, &out), 0); /* 3, backup 2 */
	for (uint32_t epoch = 0; epoch < 6; epoch++) {
		import.epoch = epoch;
		assert_int_equal(export_import_insert(*state, &import, &record),
				 epoch == 2 || epoch == 3 ? 0 : -ESTALE);
		export_check(*state);
	}
	import.grant = 999;
	assert_int_equal(export_import_insert(*state, &import, &record), -ENOENT);
}

static void import_insert__max__enospc_then_room(void **state)
{
	uint32_t id = grant(*state, 0, FARBUS_R), record = 0, last = 0;
	struct export_import import = { .grant = id, .epoch = 1, .instance = 20 };

	for (uint32_t i = 0; i < EXPORT_IMPORT_MAX; i++)
		assert_int_equal(export_import_insert(*state, &import, &last), 0);
	export_check(*state);
	assert_int_equal(export_import_insert(*state, &import, &record), -ENOSPC);
	assert_int_equal(export_import_remove(*state, last), 0);
	assert_int_equal(export_import_insert(*state, &import, &record), 0);
	assert_int_not_equal(record, last);
	assert_int_equal(export_import_remove(*state, last), -ENOENT);
	assert_int_equal(access_check(*state, last, 0, 1), -ENOENT);
}

static void import_each__filters__each_match_once(void **state)
{
	uint32_t a = grant(*state, 0, FARBUS_R), b = grant(*state, 0, FARBUS_R);
	const struct {
		uint32_t grant, instance;
		unsigned count;
	} cases[] = {
		{ 0, 0, 5 },  { a, 0, 3 },  { b, 0, 2 },  { 0, 20, 3 },
		{ a, 20, 2 }, { b, 30, 1 }, { a, 40, 0 }, { 999, 0, 0 },
	};

	hold(*state, a, 1, 20);
	hold(*state, b, 1, 20);
	hold(*state, a, 1, 30);
	hold(*state, b, 1, 30);
	hold(*state, a, 1, 20);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		unsigned count = 0;

		export_import_each(*state, cases[i].grant, cases[i].instance, count_import, &count);
		assert_int_equal(count, cases[i].count);
	}
}

static void remove_record(void *arg, const struct export_import *is)
{
	assert_int_equal(export_import_remove(arg, is->record), 0);
	export_check(arg);
}

static void import_each__visitor_removes_it__goes_on(void **state)
{
	uint32_t a = grant(*state, 0, FARBUS_R), b = grant(*state, 0, FARBUS_R);
	unsigned count = 0;

	for (int i = 0; i < 40; i++)
		hold(*state, i % 2 ? a : b, 1, 20 + (uint32_t)i % 3);
	export_import_each(*state, a, 0, remove_record, *state);
	export_import_each(*state, 0, 0, count_import, &count);
	assert_int_equal(count, 20);
	export_import_each(*state, 0, 21, remove_record, *state);
	export_import_each(*state, 0, 0, remove_record, *state);
	count = 0;
	export_import_each(*state, 0, 0, count_import, &count);
	assert_int_equal(count, 0);
}

static void access_check__range_and_rights__as_granted(void **state)
{
	struct export_grant_ask ask = {
		.region = REGION, .off = 4096, .len = 100, .rights = FARBUS_R | FARBUS_W
	};
	uint64_t region = 1, off = 2;
	uint32_t id;

	assert_int_equal(grant_ask(*state, &ask, &id), 0);
	uint32_t record = hold(*state, id, 1, 20);

	assert_int_equal(export_access_check(*state, record, 0, 101, FARBUS_R, &region, &off),
			 -ERANGE);
	assert_int_equal(export_access_check(*state, record, 100, 1, FARBUS_R, &region, &off),
			 -ERANGE);
	assert_int_equal(export_access_check(*state, record, 0, 0, FARBUS_R, &region, &off),
			 -ERANGE);
	assert_int_equal(
		export_access_check(*state, record, 1, UINT64_MAX, FARBUS_R, &region, &off),
		-ERANGE);
	assert_int_equal(export_access_check(*state, record, 0, 1, FARBUS_A, &region, &off),
			 -EACCES);
	expect_text("access needs --A--, but the grant has RW---");
	assert_int_equal(region, 1);
	assert_int_equal(off, 2);
	assert_int_equal(export_access_check(*state, record, 99, 1, FARBUS_W, &region, &off), 0);
	assert_int_equal(region, REGION);
	assert_int_equal(off, 4195);
}

/* ---- failing allocations ---- */

static int call_everything(void *arg)
{
	struct export_region region = { .region = REGION, .len = LEN };
	struct export_grant_ask ask = { .region = REGION, .len = 1, .rights = FARBUS_R | FARBUS_G };
	struct export_import import = { .epoch = 1, .instance = 20 };
	struct export_table *table;
	uint32_t id;
	int err = export_table_new(JOB, INCARNATION, &table);

	(void)arg;
	if (err < 0)
		return err;
	err = export_region_insert(table, &region);
	for (int i = 0; i < 3 && err == 0; i++) {
		err = export_grant_new(table, &ask, &import.grant);
		ask.parent = import.grant;
		export_check(table);
	}
	if (err == 0)
		err = export_import_insert(table, &import, &id);
	export_check(table);
	export_table_free(table);
	return err;
}

static void all__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	(void)state;
	/* The table, a region, three grants and their slots, a record and its slots. */
	assert_int_equal(every_allocation_fails_once(call_everything, NULL, NULL), 8);
	assert_null(export_table_free(NULL));
}

int main(void)
{
#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, table_setup, table_teardown)
	const struct CMUnitTest tests[] = {
		WITH_TABLE(region__life__found_until_removed),
		WITH_TABLE(region_remove__has_grants__ebusy_until_finished),
		WITH_TABLE(grant_new__range__inside_or_erange),
		WITH_TABLE(grant_new__bad_ask__named_error_and_untouched),
		WITH_TABLE(grant_new__chain__export_chain_max_then_eloop),
		WITH_TABLE(grant_new__chain__ranges_add_up),
		WITH_TABLE(grant_new__child__expiry_and_flags_of_the_parent_hold),
		WITH_TABLE(grant_new__max__enospc_then_room_after_revoke),
		WITH_TABLE(region_insert__max__enospc_then_room),
		WITH_TABLE(token_check__fresh__zero),
		WITH_TABLE(token_check__field_altered__refused),
		WITH_TABLE(token_check__several_things_wrong__first_in_order_named),
		WITH_TABLE(token_check__expiry__etime_from_that_second_on),
		WITH_TABLE(rotate__twice__first_out_second_still_in),
		WITH_TABLE(renew__rotated__same_record_goes_on),
		WITH_TABLE(epoch_drop__either__the_other_stays),
		WITH_TABLE(rotate__epochs_used_up__enospc),
		WITH_TABLE(revoke__middle_of_a_tree__all_below_and_none_beside),
		WITH_TABLE(import_insert__epoch__current_ones_only),
		WITH_TABLE(import_insert__max__enospc_then_room),
		WITH_TABLE(import_each__filters__each_match_once),
		WITH_TABLE(import_each__visitor_removes_it__goes_on),
		WITH_TABLE(access_check__range_and_rights__as_granted),
		cmocka_unit_test(all__every_allocation_fails_once__enomem_and_no_leak),
	};

	return cmocka_run_group_tests_name("addrmap/export", tests, NULL, NULL);
}
