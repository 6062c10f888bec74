/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addrmap_model_export.c -- the export table beside arrays of regions, grants, tokens and records
 *
 * Nothing is ever taken out of the arrays but marked, so that old numbers and old tokens are tried
 * again and again. Every error number is predicted.
 */
#include "addrmap_model.h"

#include "addrmap/export.h"
#include "addrmap/rights.h"
#include "base/alloc.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define JOB 77
#define INCARNATION 3
#define REGIONS 4u
#define REGION_LEN 64u
#define GRANTS 600u
#define TOKENS 64u
#define RECORDS 600u

enum state { NONE, LIVE, REVOKING, GONE };

struct region {
	bool here;
	uint32_t birth; /* in its key: another region with an old number has another one */
};

struct grant {
	enum state state;
	uint32_t id, depth, rights, flags, epoch, backup, epoch_last;
	struct grant *parent;
	size_t region;
	uint64_t off, len, expiry; /* off in the region */
};

struct kept {
	struct grant *grant;
	struct token token;
};

struct record {
	bool here;
	uint32_t id, epoch;
	struct grant *grant;
};

struct model {
	struct export_table *table;
	uint32_t births;
	size_t grant_count, token_count, record_count;
	struct region region[REGIONS];
	struct grant grant[GRANTS];
	struct kept token[TOKENS];
	struct record record[RECORDS];
};

static void *model_new(void)
{
	struct model *model = calloc(1, sizeof(*model));

	FARBUS_ASSERT(model);
	FARBUS_ASSERT(export_table_new(JOB, INCARNATION, &model->table) == 0);
	return model;
}

static void model_free(void *arg)
{
	struct model *model = arg;

	export_table_free(model->table);
	free(model);
}

/* ---- what the arrays say ---- */

static bool below(const struct grant *grant, const struct grant *root)
{
	while (grant && grant != root)
		grant = grant->parent;
	return grant != NULL;
}

static bool held(const struct model *model, const struct grant *grant)
{
	for (size_t i = 0; i < model->record_count; i++)
		if (model->record[i].here && model->record[i].grant == grant)
			return true;
	for (size_t i = 0; i < model->grant_count; i++)
		if (model->grant[i].parent == grant && model->grant[i].state != GONE)
			return true;
	return false;
}

static bool current(const struct grant *grant, uint32_t epoch)
{
	return epoch && (epoch == grant->epoch || epoch == grant->backup);
}

/* A number that never was given out, in one case of eight; else that of some grant, alive or not. */
static struct grant *grant_choose(struct model *model, struct choice *choice)
{
	size_t recent = model->grant_count < 32 ? model->grant_count : 32;

	if (model->grant_count == 0 || choose(choice, 16) == 0)
		return NULL;
	if (choose(choice, 8))
		return &model->grant[model->grant_count - 1 - choose(choice, recent)];
	return &model->grant[choose(choice, model->grant_count)];
}

static uint32_t id_of(const struct grant *grant)
{
	return grant ? grant->id : 0xfffffff0;
}

static int expect_known(const struct grant *grant)
{
	return !grant ? -ENOENT : grant->state == GONE ? -ESTALE : 0;
}

static int expect_live(const struct grant *grant)
{
	return !grant ? -ENOENT : grant->state != LIVE ? -ESTALE : 0;
}

/* ---- regions ---- */

static void step_region(struct model *model, struct choice *choice)
{
	size_t at = choose(choice, REGIONS);
	struct region *region = &model->region[at];
	struct export_region is = { .region = at, .len = REGION_LEN };
	bool granted = false;

	if (choose(choice, 4)) {
		memcpy(is.key, &(uint32_t){ model->births + 1 }, sizeof(uint32_t));
		int err = export_region_insert(model->table, &is);

		FARBUS_ASSERT(err == (region->here ? -EEXIST : 0));
		if (err == 0)
			*region = (struct region){ true, ++model->births };
		return;
	}
	for (size_t i = 0; i < model->grant_count; i++)
		granted |= model->grant[i].region == at && model->grant[i].state != GONE;
	int err = export_region_remove(model->table, at);

	FARBUS_ASSERT(err == (!region->here ? -ENOENT : granted ? -EBUSY : 0));
	if (err == 0)
		region->here = false;
}

/* ---- grants ---- */

static int expect_grant(const struct model *model, const struct export_grant_ask *ask,
			const struct grant *parent)
{
	uint64_t len = parent ? parent->len : REGION_LEN;

	if (ask->parent && expect_live(parent) < 0)
		return expect_live(parent);
	if (!ask->parent && !model->region[ask->region].here)
		return -ENOENT;
	if (rights_check(ask->rights) < 0)
		return -EINVAL;
	if (ask->len == 0 || ask->off + ask->len > len)
		return -ERANGE;
	if (!parent)
		return 0;
	if (!(parent->rights & FARBUS_G) || (ask->rights | parent->rights) != parent->rights)
		return -EACCES;
	return parent->depth == EXPORT_CHAIN_MAX ? -ELOOP : 0;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 ? a : a < b ? a : b;
}

static void grant_keep(struct model *model, const struct export_grant_ask *ask,
		       struct grant *parent, uint32_t id)
{
	struct grant *grant = &model->grant[model->grant_count];
	struct export_grant is;

	for (size_t i = 0; i < model->grant_count; i++)
		FARBUS_ASSERT(model->grant[i].id != id);
	*grant = (struct grant){
		.state = LIVE,
		.id = id,
		.depth = parent ? parent->depth + 1 : 0,
		.rights = ask->rights,
		.flags = ask->flags | (parent ? parent->flags & FARBUS_GRANT_SERVED : 0),
		.epoch = 1,
		.epoch_last = 1,
		.parent = parent,
		.region = parent ? parent->region : ask->region,
		.off = (parent ? parent->off : 0) + ask->off,
		.len = ask->len,
		.expiry = parent ? sooner(ask->expiry_s, parent->expiry) : ask->expiry_s,
	};
	model->grant_count++;
	FARBUS_ASSERT(export_grant_lookup(model->table, id, &is) == 0);
	FARBUS_ASSERT(is.region == grant->region);
	FARBUS_ASSERT(is.off == grant->off);
	FARBUS_ASSERT(is.len == grant->len);
	FARBUS_ASSERT(is.depth == grant->depth);
	FARBUS_ASSERT(is.flags == grant->flags);
	FARBUS_ASSERT(is.expiry_s == grant->expiry);
}

static void step_grant(struct model *model, struct choice *choice)
{
	static const uint32_t rights[] = { FARBUS_R, FARBUS_R | FARBUS_G,
					   FARBUS_R | FARBUS_W | FARBUS_G, RIGHTS_ALL };
	struct grant *parent = choose(choice, 3) ? grant_choose(model, choice) : NULL;
	bool chained = parent || choose(choice, 8) == 0;
	struct export_grant_ask ask = {
		.region = choose(choice, REGIONS),
		.parent = chained ? id_of(parent) : 0,
		.maker = 5,
		.off = choose(choice, 3) ? 0 : choose(choice, REGION_LEN + 2),
		.len = choose(choice, 3) ? (parent ? parent->len : REGION_LEN) :
					   choose(choice, REGION_LEN + 2),
		.expiry_s = choose(choice, 2) ? 0 : choose(choice, 200),
		.rights = choose(choice, 8) ? rights[choose(choice, 4)] :
					      (uint32_t)choose(choice, 64),
		.flags = (uint32_t)choose(choice, 2),
	};
	uint32_t id = 0;

	if (model->grant_count == GRANTS)
		return;
	int expected = expect_grant(model, &ask, parent);

	alloc_fault_arm(choose(choice, 16) == 0);
	int err = export_grant_new(model->table, &ask, &id);
	bool fired = alloc_fault_fired();

	alloc_fault_arm(0);
	FARBUS_ASSERT(err == (fired ? -ENOMEM : expected));
	if (err == 0)
		grant_keep(model, &ask, parent, id);
}

struct visited {
	struct model *model;
	const struct grant *root;
	unsigned count;
};

static void visit(void *arg, const struct export_grant *is)
{
	struct visited *visited = arg;
	bool found = false;

	for (size_t i = 0; i < visited->model->grant_count; i++) {
		const struct grant *grant = &visited->model->grant[i];

		found |= grant->id == is->grant && grant->state != GONE &&
			 below(grant, visited->root);
	}
	FARBUS_ASSERT(found);
	visited->count++;
}

static void grant_revoke(struct model *model, struct grant *root)
{
	struct visited visited = { .model = model, .root = root };
	unsigned count = 0;
	int err = export_grant_revoke(model->table, id_of(root), visit, &visited);

	FARBUS_ASSERT(err == expect_known(root));
	if (err < 0)
		return;
	for (size_t i = 0; i < model->grant_count; i++) {
		struct grant *grant = &model->grant[i];

		if (grant->state == GONE || !below(grant, root))
			continue;
		grant->state = REVOKING;
		count++;
	}
	FARBUS_ASSERT(visited.count == count);
}

/* Mostly one that is REVOKING, if any is: the others only give errors. */
static struct grant *revoking_choose(struct model *model, struct choice *choice)
{
	size_t start = choose(choice, model->grant_count + 1);

	for (size_t i = 0; i < model->grant_count; i++) {
		struct grant *grant = &model->grant[(start + i) % model->grant_count];

		if (grant->state == REVOKING && choose(choice, 8))
			return grant;
	}
	return grant_choose(model, choice);
}

static void grant_finish(struct model *model, struct grant *root)
{
	int err = export_grant_finish(model->table, id_of(root));
	bool again = true;

	if (expect_known(root) < 0) {
		FARBUS_ASSERT(err == expect_known(root));
		return;
	}
	while (root->state == REVOKING && again) {
		again = false;
		for (size_t i = 0; i < model->grant_count; i++) {
			struct grant *grant = &model->grant[i];

			if (grant->state != REVOKING || !below(grant, root) || held(model, grant))
				continue;
			grant->state = GONE;
			again = true;
		}
	}
	FARBUS_ASSERT(err == (root->state == GONE ? 0 : -EBUSY));
}

/* ---- epochs and tokens ---- */

static void step_epoch(struct model *model, struct choice *choice)
{
	struct grant *grant = grant_choose(model, choice);
	uint32_t epoch = grant ? (uint32_t)choose(choice, grant->epoch_last + 2) : 1, out = 0;
	int expected = expect_live(grant);

	if (choose(choice, 2)) {
		int err = export_grant_rotate(model->table, id_of(grant), &out);

		FARBUS_ASSERT(err == expected);
		if (err < 0)
			return;
		FARBUS_ASSERT(out == grant->backup);
		grant->backup = grant->epoch;
		grant->epoch = ++grant->epoch_last;
		return;
	}
	int err = export_epoch_drop(model->table, id_of(grant), epoch);

	if (expected == 0)
		expected = !current(grant, epoch) ? -ESTALE : grant->backup == 0;
	FARBUS_ASSERT(err == expected);
	if (err != 0)
		return;
	if (epoch == grant->epoch)
		grant->epoch = grant->backup;
	grant->backup = 0;
}

static void step_token_new(struct model *model, struct choice *choice)
{
	struct grant *grant = grant_choose(model, choice);
	struct kept *kept = &model->token[model->token_count % TOKENS];
	struct farbus_token text;
	int err = export_grant_token(model->table, id_of(grant), 1, &text);

	FARBUS_ASSERT(err == expect_live(grant));
	if (err < 0)
		return;
	FARBUS_ASSERT(token_parse(&text, &kept->token) == 0);
	FARBUS_ASSERT(kept->token.epoch == grant->epoch);
	FARBUS_ASSERT(kept->token.off == grant->off);
	FARBUS_ASSERT(kept->token.len == grant->len);
	FARBUS_ASSERT(kept->token.rights == grant->rights);
	FARBUS_ASSERT(kept->token.expiry_s == grant->expiry);
	kept->grant = grant;
	model->token_count++;
}

static int expect_token(const struct model *model, const struct kept *kept, uint64_t now)
{
	const struct grant *grant = kept->grant;

	if (!model->region[grant->region].here)
		return -ESTALE;
	if (grant->state == LIVE && !current(grant, kept->token.epoch))
		return -ESTALE;
	if (grant->state != LIVE)
		return -ESTALE;
	return grant->expiry && now >= grant->expiry ? -ETIME : 0;
}

static void step_token_check(struct model *model, struct choice *choice)
{
	size_t count = model->token_count < TOKENS ? model->token_count : TOKENS;

	if (count == 0)
		return;
	const struct kept *kept = &model->token[choose(choice, count)];
	uint64_t now = choose(choice, 200);
	struct token bad = kept->token;
	uint32_t id = 0;
	int err = export_token_check(model->table, &kept->token, now, &id);

	/* Its region's number may be that of a younger region by now, with another key. */
	if (err == -EACCES)
		FARBUS_ASSERT(kept->grant->state == GONE);
	else
		FARBUS_ASSERT(err == expect_token(model, kept, now));
	FARBUS_ASSERT(err < 0 || id == kept->grant->id);
	switch (choose(choice, 4)) {
	case 0:
		bad.rights ^= (uint8_t)(1u << choose(choice, 8));
		break;
	case 1:
		bad.len += 1 + choose(choice, 100);
		break;
	case 2:
		bad.epoch += 1 + (uint32_t)choose(choice, 4);
		break;
	default:
		bad.mac[choose(choice, MAC_TAG_SIZE)] ^= (uint8_t)(1u << choose(choice, 8));
	}
	err = export_token_check(model->table, &bad, now, &id);
	FARBUS_ASSERT(err == (model->region[kept->grant->region].here ? -EACCES : -ESTALE));
}

/* ---- records ---- */

static void step_import(struct model *model, struct choice *choice)
{
	struct grant *grant = grant_choose(model, choice);
	struct export_import import = { .grant = id_of(grant), .instance = 9 };
	uint32_t id = 0;

	if (model->record_count == RECORDS)
		return;
	import.epoch = choose(choice, 4) && grant ? grant->epoch : (uint32_t)choose(choice, 5);
	int expected = expect_live(grant);

	if (expected == 0 && !current(grant, import.epoch))
		expected = -ESTALE;
	int err = export_import_insert(model->table, &import, &id);

	FARBUS_ASSERT(err == expected);
	if (err < 0)
		return;
	for (size_t i = 0; i < model->record_count; i++)
		FARBUS_ASSERT(model->record[i].id != id);
	model->record[model->record_count++] = (struct record){ true, id, import.epoch, grant };
}

static void step_renew(struct model *model, struct choice *choice, struct record *record)
{
	struct grant *grant = choose(choice, 4) ? record->grant : grant_choose(model, choice);
	uint32_t epoch = (uint32_t)choose(choice, record->grant->epoch_last + 2);
	int err = export_import_renew(model->table, record->id, id_of(grant), epoch);

	if (!record->here)
		FARBUS_ASSERT(err == -ENOENT);
	else if (grant != record->grant)
		FARBUS_ASSERT(err == -EINVAL);
	else if (grant->state != LIVE || !current(grant, epoch))
		FARBUS_ASSERT(err == -ESTALE);
	else
		FARBUS_ASSERT(err == 0);
	if (err == 0)
		record->epoch = epoch;
}

static void step_access(struct model *model, struct choice *choice, const struct record *record)
{
	const struct grant *grant = record->grant;
	uint64_t off = choose(choice, REGION_LEN + 2), len = choose(choice, 8), region = 99,
		 at = 99;
	uint32_t rights = 1u << choose(choice, 5);
	int err = export_access_check(model->table, record->id, off, len, rights, &region, &at);

	if (!record->here)
		FARBUS_ASSERT(err == -ENOENT);
	else if (grant->state != LIVE || !current(grant, record->epoch))
		FARBUS_ASSERT(err == -ESTALE);
	else if (!(grant->rights & rights))
		FARBUS_ASSERT(err == -EACCES);
	else if (len == 0 || off + len > grant->len)
		FARBUS_ASSERT(err == -ERANGE);
	else
		FARBUS_ASSERT(err == 0);
	if (err < 0)
		return;
	FARBUS_ASSERT(region == grant->region);
	FARBUS_ASSERT(at == grant->off + off);
	FARBUS_ASSERT(at + len <= REGION_LEN);
}

static void step_record(struct model *model, struct choice *choice)
{
	if (model->record_count == 0)
		return;
	struct record *record = &model->record[choose(choice, model->record_count)];

	switch (choose(choice, 6)) {
	case 0:
		step_renew(model, choice, record);
		break;
	case 1:
	case 2: {
		int err = export_import_remove(model->table, record->id);

		FARBUS_ASSERT(err == (record->here ? 0 : -ENOENT));
		record->here = false;
		break;
	}
	default:
		step_access(model, choice, record);
	}
}

static void count_import(void *arg, const struct export_import *is)
{
	(void)is;
	(*(size_t *)arg)++;
}

static void counts_compare(struct model *model)
{
	size_t records = 0, found = 0, grants = 0;

	for (size_t i = 0; i < model->record_count; i++)
		records += model->record[i].here;
	export_import_each(model->table, 0, 0, count_import, &found);
	FARBUS_ASSERT(found == records);
	for (size_t i = 0; i < model->grant_count; i++) {
		struct export_grant is;
		int err = export_grant_lookup(model->table, model->grant[i].id, &is);

		FARBUS_ASSERT(err == expect_known(&model->grant[i]));
		FARBUS_ASSERT(err < 0 ||
			      (is.state == GRANT_LIVE) == (model->grant[i].state == LIVE));
		grants += err == 0;
	}
	FARBUS_ASSERT(grants <= model->grant_count);
}

static void model_step(void *arg, struct choice *choice)
{
	struct model *model = arg;

	switch (choose(choice, 16)) {
	case 0:
		step_region(model, choice);
		break;
	case 1:
	case 2:
	case 3:
		step_grant(model, choice);
		break;
	case 4:
		if (choose(choice, 2))
			grant_revoke(model, grant_choose(model, choice));
		break;
	case 5:
		grant_finish(model, revoking_choose(model, choice));
		break;
	case 6:
		step_epoch(model, choice);
		break;
	case 7:
	case 8:
		step_token_new(model, choice);
		break;
	case 9:
	case 10:
		step_token_check(model, choice);
		break;
	case 11:
	case 12:
		step_import(model, choice);
		break;
	default:
		step_record(model, choice);
	}
	export_check(model->table);
	counts_compare(model);
}

const struct model_ops model_export = {
	.name = "export table",
	.new = model_new,
	.step = model_step,
	.free = model_free,
	.seeds = 60,
	.steps = 3000,
};
