/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * export.c -- a home's regions and grants
 *
 * Invariants (export_check):
 *   1. a grant lies inside its parent's range, or its region's, and has a subset of its rights; it
 *      is one deeper and does not outlive it
 *   2. below a grant that is not live, no grant is live
 *   3. a grant has a primary epoch; its epochs differ and are not above the last one given out
 *   4. a grant's import count is the number of its records, each of them known by its number
 *   5. the number of a grant or record names the same one for ever
 *
 * A revoked grant stays, REVOKING, while somebody holds it or a grant below it: whoever asks for
 * the revocation again has to find all that it waits for.
 */
#include "addrmap/export_private.h"
#include "addrmap/rights.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

/* ---- table and regions ---- */

static int region_compare(const struct region *a, const struct region *b)
{
	return (a->is.region > b->is.region) - (a->is.region < b->is.region);
}

TREE_GENERATE(regions, region, link, region_compare)

int export_table_new(uint64_t job, uint32_t incarnation, struct export_table **ret_table)
{
	struct export_table *table = alloc_zero(sizeof(*table));

	if (!table)
		return error_set(-ENOMEM, "no memory for the export table");
	table->job = job;
	table->incarnation = incarnation;
	slots_init(&table->grants, EXPORT_GRANT_MAX, false);
	slots_init(&table->records, EXPORT_IMPORT_MAX, false);
	*ret_table = table;
	return 0;
}

struct export_table *export_table_free(struct export_table *table)
{
	struct region *region;
	void *object;
	uint32_t id = 0;

	if (!table)
		return NULL;
	while ((object = slots_next(&table->records, id, &id)))
		free(object);
	for (id = 0; (object = slots_next(&table->grants, id, &id));)
		free(object);
	while ((region = RB_ROOT(&table->regions))) {
		RB_REMOVE(regions, &table->regions, region);
		mac_wipe(region->is.key, sizeof(region->is.key));
		free(region);
	}
	slots_fini(&table->records);
	slots_fini(&table->grants);
	free(table);
	return NULL;
}

static struct region *region_find(const struct export_table *table, uint64_t id)
{
	struct region key = { .is.region = id };

	return RB_FIND(regions, TREE_CONST(regions, &table->regions), &key);
}

static int region_unknown(uint64_t id)
{
	return error_set(-ENOENT, "region %#llx is not here: it was released, or never was",
			 (unsigned long long)id);
}

int export_region_insert(struct export_table *table, const struct export_region *is)
{
	if (is->len == 0)
		return error_set(-EINVAL, "a region needs at least one byte");
	if (region_find(table, is->region))
		return error_set(-EEXIST, "region %#llx is here already",
				 (unsigned long long)is->region);
	if (table->region_count == EXPORT_REGION_MAX)
		return error_set(-ENOSPC, "this instance has %u regions: release some",
				 EXPORT_REGION_MAX);
	struct region *region = alloc_zero(sizeof(*region));
	if (!region)
		return error_set(-ENOMEM, "no memory for a region's entry");
	region->is = *is;
	RB_INSERT(regions, &table->regions, region);
	table->region_count++;
	return 0;
}

int export_region_remove(struct export_table *table, uint64_t id)
{
	struct region *region = region_find(table, id);

	if (!region)
		return region_unknown(id);
	if (!LIST_EMPTY(&region->grants))
		return error_set(-EBUSY, "region %#llx has grants: revoke them first",
				 (unsigned long long)id);
	RB_REMOVE(regions, &table->regions, region);
	table->region_count--;
	mac_wipe(region->is.key, sizeof(region->is.key));
	free(region);
	return 0;
}

int export_region_lookup(const struct export_table *table, uint64_t id,
			 struct export_region *ret_region)
{
	const struct region *region = region_find(table, id);

	if (!region)
		return region_unknown(id);
	*ret_region = region->is;
	return 0;
}

int export_region_next(const struct export_table *table, uint64_t from,
		       struct export_region *ret_region)
{
	struct region key = { .is.region = from };
	const struct region *region = RB_NFIND(regions, TREE_CONST(regions, &table->regions), &key);

	if (!region)
		return -ENOENT; /* the end of a loop, not a failure: no text */
	*ret_region = region->is;
	return 0;
}

int export_region_update(struct export_table *table, const struct export_region *is)
{
	struct region *region = region_find(table, is->region);

	if (!region)
		return region_unknown(is->region);
	if (is->len != region->is.len)
		return error_set(-EINVAL, "the length of a region never changes");
	region->is = *is;
	return 0;
}

/* ---- grants ---- */

int grant_find(const struct export_table *table, uint32_t id, struct grant **ret_grant)
{
	struct grant *grant = slots_get(&table->grants, id);

	if (!grant && slots_given(&table->grants, id))
		return error_set(-ESTALE, "grant %u is revoked: ask its owner for a new token", id);
	if (!grant)
		return error_set(-ENOENT, "there is no grant %u", id);
	*ret_grant = grant;
	return 0;
}

static int grant_find_live(const struct export_table *table, uint32_t id, struct grant **ret_grant)
{
	struct grant *grant;
	int err = grant_find(table, id, &grant);

	if (err < 0)
		return err;
	if (grant->is.state != GRANT_LIVE)
		return error_set(-ESTALE, "grant %u is revoked: ask its owner for a new token", id);
	*ret_grant = grant;
	return 0;
}

bool grant_epoch_current(const struct grant *grant, uint32_t epoch)
{
	return epoch != 0 && (epoch == grant->is.epoch || epoch == grant->is.epoch_backup);
}

static int ask_check(const struct export_grant_ask *ask, uint64_t len)
{
	int err = rights_check(ask->rights);

	if (err < 0)
		return err;
	if (ask->flags > UINT8_MAX)
		return error_set(-EINVAL, "grant flags 0x%x do not fit a token", ask->flags);
	if (!addr_within(ask->off, ask->len, len))
		return error_set(-ERANGE,
				 "grant of %llu bytes at %llu: it needs at least one byte and has "
				 "to end at or before %llu",
				 (unsigned long long)ask->len, (unsigned long long)ask->off,
				 (unsigned long long)len);
	return 0;
}

/* 0 means never. */
static uint64_t expiry_min(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a | b;
	return a < b ? a : b;
}

static int grant_derive(const struct grant *parent, const struct export_grant_ask *ask,
			struct export_grant *grant)
{
	int err = ask_check(ask, parent->is.len);

	if (err < 0)
		return err;
	if (!(parent->is.rights & FARBUS_G))
		return error_set(-EACCES, "a grant of an import needs right G there: ask the "
					  "owner for FARBUS_G");
	if (!rights_subset(ask->rights, parent->is.rights)) {
		char have[6], want[6];

		rights_text(parent->is.rights, have);
		rights_text(ask->rights, want);
		return error_set(-EACCES,
				 "grant of %s, but the import has %s: ask for fewer rights", want,
				 have);
	}
	if (parent->is.depth == EXPORT_CHAIN_MAX)
		return error_set(-ELOOP,
				 "grants are chained %u deep already: ask somebody nearer "
				 "to the owner",
				 EXPORT_CHAIN_MAX);
	grant->region = parent->is.region;
	grant->off = parent->is.off + ask->off;
	grant->depth = parent->is.depth + 1;
	grant->expiry_s = expiry_min(ask->expiry_s, parent->is.expiry_s);
	grant->flags = ask->flags | (parent->is.flags & FARBUS_GRANT_SERVED);
	return 0;
}

/* Fills in what a grant of this ask is; *ret_parent is NULL when the owner makes it. */
static int grant_plan(const struct export_table *table, const struct export_grant_ask *ask,
		      struct export_grant *grant, struct grant **ret_parent)
{
	struct region *region;

	*grant = (struct export_grant){
		.parent = ask->parent,
		.region = ask->region,
		.off = ask->off,
		.len = ask->len,
		.expiry_s = ask->expiry_s,
		.rights = ask->rights,
		.flags = ask->flags,
		.maker = ask->maker,
		.epoch = 1,
		.state = GRANT_LIVE,
	};
	*ret_parent = NULL;
	if (ask->parent) {
		int err = grant_find_live(table, ask->parent, ret_parent);

		return err < 0 ? err : grant_derive(*ret_parent, ask, grant);
	}
	region = region_find(table, ask->region);
	return region ? ask_check(ask, region->is.len) : region_unknown(ask->region);
}

int export_grant_new(struct export_table *table, const struct export_grant_ask *ask,
		     uint32_t *ret_grant)
{
	struct export_grant is;
	struct grant *parent;
	int err = grant_plan(table, ask, &is, &parent);

	if (err < 0)
		return err;
	struct grant *grant = alloc_zero(sizeof(*grant));
	if (!grant)
		return error_set(-ENOMEM, "no memory for a grant's entry");
	err = slots_insert(&table->grants, grant, &is.grant);
	if (err < 0)
		goto free_grant;

	grant->is = is;
	grant->epoch_last = is.epoch;
	grant->parent = parent;
	grant->region = parent ? parent->region : region_find(table, is.region);
	LIST_INSERT_HEAD(parent ? &parent->children : &grant->region->grants, grant, link);
	*ret_grant = is.grant;
	return 0;

free_grant:
	free(grant);
	return err;
}

int export_grant_lookup(const struct export_table *table, uint32_t id,
			struct export_grant *ret_grant)
{
	struct grant *grant;
	int err = grant_find(table, id, &grant);

	if (err < 0)
		return err;
	*ret_grant = grant->is;
	return 0;
}

/* ---- tokens and epochs ---- */

int export_grant_token(const struct export_table *table, uint32_t id, uint32_t hint_rank,
		       struct farbus_token *ret_token)
{
	struct grant *grant;
	int err = grant_find_live(table, id, &grant);

	if (err < 0)
		return err;
	struct token token = {
		.rights = (uint8_t)grant->is.rights,
		.flags = (uint8_t)grant->is.flags,
		.depth = (uint8_t)grant->is.depth,
		.job = table->job,
		.region = grant->is.region,
		.incarnation = table->incarnation,
		.grant = grant->is.grant,
		.off = grant->is.off,
		.len = grant->is.len,
		.epoch = grant->is.epoch,
		.expiry_s = grant->is.expiry_s,
		.hint_rank = hint_rank,
	};

	token_seal(&token, grant->region->is.key, ret_token);
	return 0;
}

/* What can be said of a token before its MAC is known to be right. */
static int token_check_place(const struct export_table *table, const struct token *token,
			     const struct region **ret_region)
{
	const struct region *region = region_find(table, token->region);

	if (token->job != table->job)
		return error_set(-EACCES, "token of another job: tokens are good only in the job "
					  "that made them");
	if (token->incarnation != table->incarnation)
		return error_set(-ESTALE, "the token's home restarted since: ask it for a new one");
	if (!region)
		return error_set(-ESTALE, "the token's region was released: ask for a new one");
	*ret_region = region;
	return 0;
}

int export_token_check(const struct export_table *table, const struct token *token,
		       uint64_t now_wall_s, uint32_t *ret_grant)
{
	const struct region *region;
	struct grant *grant;
	int err = token_check_place(table, token, &region);

	if (err < 0)
		return err;
	if (!token_authentic(token, region->is.key))
		return error_set(-EACCES, "the token was altered: copy it again from its owner");
	err = grant_find_live(table, token->grant, &grant);
	if (err < 0)
		return -ESTALE;
	if (!grant_epoch_current(grant, token->epoch))
		return error_set(-ESTALE,
				 "the token was rotated out: ask its owner for the new one");
	if (token->expiry_s != 0 && now_wall_s >= token->expiry_s)
		return error_set(-ETIME,
				 "the token expired %llu s ago: ask its owner for a new one",
				 (unsigned long long)(now_wall_s - token->expiry_s));
	/* Whoever has the key made the token, and made it of this grant. */
	FARBUS_ASSERT(grant->region == region);
	*ret_grant = token->grant;
	return 0;
}

int export_grant_rotate(struct export_table *table, uint32_t id, uint32_t *ret_epoch_out)
{
	struct grant *grant;
	int err = grant_find_live(table, id, &grant);

	if (err < 0)
		return err;
	if (grant->epoch_last == UINT32_MAX)
		return error_set(-ENOSPC, "grant %u was rotated 2^32 times: make a new one", id);
	*ret_epoch_out = grant->is.epoch_backup;
	grant->is.epoch_backup = grant->is.epoch;
	grant->is.epoch = ++grant->epoch_last;
	return 0;
}

int export_epoch_drop(struct export_table *table, uint32_t id, uint32_t epoch)
{
	struct grant *grant;
	int err = grant_find_live(table, id, &grant);

	if (err < 0)
		return err;
	if (!grant_epoch_current(grant, epoch))
		return error_set(-ESTALE, "the token was rotated out or revoked already");
	if (grant->is.epoch_backup == 0)
		return 1;
	if (epoch == grant->is.epoch)
		grant->is.epoch = grant->is.epoch_backup;
	grant->is.epoch_backup = 0;
	return 0;
}

/* ---- revocation and enumeration ---- */

/* Parents first. The depth of the recursion is that of the chain, EXPORT_CHAIN_MAX. */
static void grant_walk(const struct grant *grant, export_grant_fn visit, void *arg)
{
	const struct grant *child;
	struct export_grant copy = grant->is;

	if (visit)
		visit(arg, &copy);
	LIST_FOREACH(child, &grant->children, link)
		grant_walk(child, visit, arg);
}

static void grant_close(struct grant *grant)
{
	struct grant *child;

	grant->is.state = GRANT_REVOKING;
	LIST_FOREACH(child, &grant->children, link)
		grant_close(child);
}

int export_grant_revoke(struct export_table *table, uint32_t id, export_grant_fn visit, void *arg)
{
	struct grant *grant;
	int err = grant_find(table, id, &grant);

	if (err < 0)
		return err;
	grant_close(grant);
	grant_walk(grant, visit, arg);
	return 0;
}

/* Forgets the grant and all below it that nobody holds; true when nothing is left of it. */
static bool grant_forget(struct export_table *table, struct grant *grant)
{
	struct grant *child, *next;

	for (child = LIST_FIRST(&grant->children); child; child = next) {
		next = LIST_NEXT(child, link);
		grant_forget(table, child);
	}
	if (!LIST_EMPTY(&grant->children) || !LIST_EMPTY(&grant->records))
		return false;
	LIST_REMOVE(grant, link);
	slots_remove(&table->grants, grant->is.grant);
	free(grant);
	return true;
}

int export_grant_finish(struct export_table *table, uint32_t id)
{
	struct grant *grant;
	int err = grant_find(table, id, &grant);

	if (err < 0)
		return err;
	if (grant->is.state != GRANT_REVOKING)
		return error_set(-EBUSY, "grant %u is live: revoke it first", id);
	if (!grant_forget(table, grant))
		return error_set(-EBUSY, "grant %u, or one chained from it, is still held", id);
	return 0;
}

void export_grant_each(const struct export_table *table, uint64_t id, export_grant_fn visit,
		       void *arg)
{
	const struct region *region = region_find(table, id);
	const struct grant *grant;

	if (!region)
		return;
	LIST_FOREACH(grant, &region->grants, link)
		grant_walk(grant, visit, arg);
}

/* ---- invariants ---- */

static void grant_check_under(const struct grant *grant)
{
	const struct grant *parent = grant->parent;
	uint64_t off = parent ? parent->is.off : 0;
	uint64_t len = parent ? parent->is.len : grant->region->is.len;

	FARBUS_ASSERT(grant->is.off >= off);
	FARBUS_ASSERT(addr_within(grant->is.off - off, grant->is.len, len));
	FARBUS_ASSERT(grant->is.depth == (parent ? parent->is.depth + 1 : 0));
	FARBUS_ASSERT(grant->is.depth <= EXPORT_CHAIN_MAX);
	FARBUS_ASSERT(grant->is.parent == (parent ? parent->is.grant : 0));
	if (!parent)
		return;
	FARBUS_ASSERT(grant->region == parent->region);
	FARBUS_ASSERT(rights_subset(grant->is.rights, parent->is.rights));
	FARBUS_ASSERT(expiry_min(grant->is.expiry_s, parent->is.expiry_s) == grant->is.expiry_s);
	FARBUS_ASSERT(grant->is.state != GRANT_LIVE || parent->is.state == GRANT_LIVE);
}

/* Returns how many grants there are from this one down. */
static uint32_t grant_check(const struct export_table *table, const struct grant *grant)
{
	const struct grant *child;
	uint32_t count = 1;

	grant_check_under(grant);
	FARBUS_ASSERT(slots_get(&table->grants, grant->is.grant) == grant);
	FARBUS_ASSERT(grant->is.region == grant->region->is.region);
	FARBUS_ASSERT(rights_check(grant->is.rights) == 0);
	FARBUS_ASSERT(grant->is.epoch != 0);
	FARBUS_ASSERT(grant->is.epoch != grant->is.epoch_backup);
	FARBUS_ASSERT(grant->is.epoch <= grant->epoch_last);
	FARBUS_ASSERT(grant->is.epoch_backup <= grant->epoch_last);
	record_check(table, grant);
	LIST_FOREACH(child, &grant->children, link) {
		FARBUS_ASSERT(child->parent == grant);
		count += grant_check(table, child);
	}
	return count;
}

void export_check(const struct export_table *table)
{
	struct regions *regions = TREE_CONST(regions, &table->regions);
	uint32_t region_count = 0, grant_count = 0;
	const struct grant *grant;
	struct region *region;

	slots_check(&table->grants);
	slots_check(&table->records);
	RB_FOREACH(region, regions, regions)
	{
		region_count++;
		LIST_FOREACH(grant, &region->grants, link) {
			FARBUS_ASSERT(grant->region == region);
			grant_count += grant_check(table, grant);
		}
	}
	FARBUS_ASSERT(region_count == table->region_count);
	FARBUS_ASSERT(grant_count == table->grants.count);
}
