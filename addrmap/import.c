/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * import.c -- import table
 *
 *   index --slots--> import, also in a tree by (region, offset, index)
 *
 * Each import knows which of those below it in the tree reaches furthest: into the last region,
 * and there to the highest end. So import_find() goes down once, however many imports of a region
 * begin before an address.
 *
 * Invariants (import_check):
 *   1. each import is in the slots and in the tree, once
 *   2. no import is empty or wraps past the top of its region
 *   3. what an import knows of those below it is so
 */
#include "addrmap/import.h"

#include "addrmap/slots.h"
#include "addrmap/tree.h"
#include "addrmap/window.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

/* As far as an import reaches; region 0 and end 0: there is none. */
struct reach {
	uint64_t region, end;
};

struct import {
	struct import_entry is;
	uint32_t index;
	struct reach any, ready; /* the furthest of this and all below; of those that are READY */
	RB_ENTRY(import) link;
};

RB_HEAD(imports, import);

struct import_table {
	struct slots slots; /* struct import, owned */
	struct imports imports;
};

static int compare64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int import_compare(const struct import *a, const struct import *b)
{
	int by_region = compare64(a->is.region, b->is.region);
	int by_off = compare64(a->is.off, b->is.off);

	if (by_region)
		return by_region;
	return by_off ? by_off : compare64(a->index, b->index);
}

static struct reach further(struct reach a, struct reach b)
{
	int by_region = compare64(a.region, b.region);

	return (by_region ? by_region : compare64(a.end, b.end)) < 0 ? b : a;
}

static struct reach reach_of(const struct import *import, bool ready)
{
	struct reach reach = { 0 };

	if (ready && import->is.state != IMPORT_READY)
		return reach;
	reach.region = import->is.region;
	reach.end = import->is.off + import->is.len;
	return reach;
}

static struct reach reach_below(const struct import *import, bool ready)
{
	if (!import)
		return (struct reach){ 0 };
	return ready ? import->ready : import->any;
}

static struct reach reach_furthest(const struct import *import, bool ready)
{
	struct reach below = further(reach_below(RB_LEFT(import, link), ready),
				     reach_below(RB_RIGHT(import, link), ready));

	return further(reach_of(import, ready), below);
}

static void reach_update(struct import *import)
{
	import->any = reach_furthest(import, false);
	import->ready = reach_furthest(import, true);
}

/* The tree calls it for what a rotation changes; what is above is import_link()'s to do. */
#undef RB_AUGMENT
#define RB_AUGMENT(import) reach_update(import)

TREE_GENERATE(imports, import, link, import_compare)

static void reach_update_up(struct import *import)
{
	for (; import; import = RB_PARENT(import, link))
		reach_update(import);
}

static void import_link(struct import_table *table, struct import *import)
{
	import->any = reach_of(import, false);
	import->ready = reach_of(import, true);
	RB_INSERT(imports, &table->imports, import);
	reach_update_up(import);
}

static void import_unlink(struct import_table *table, struct import *import)
{
	struct import *parent = RB_PARENT(import, link);

	RB_REMOVE(imports, &table->imports, import);
	reach_update_up(parent);
}

int import_table_new(uint32_t max, struct import_table **ret_table)
{
	if (max == 0 || max >= WINDOW_IMPORT_MAX)
		return error_set(-EINVAL, "an import table holds 1 to %u entries, not %u",
				 WINDOW_IMPORT_MAX - 1, max);
	struct import_table *table = alloc_zero(sizeof(*table));
	if (!table)
		return error_set(-ENOMEM, "no memory for the import table");
	slots_init(&table->slots, max, true);
	*ret_table = table;
	return 0;
}

struct import_table *import_table_free(struct import_table *table)
{
	struct import *import;
	uint32_t index = 0;

	if (!table)
		return NULL;
	while ((import = slots_next(&table->slots, index, &index)))
		free(import);
	slots_fini(&table->slots);
	free(table);
	return NULL;
}

static int entry_check(const struct import_entry *entry)
{
	if (!addr_within(entry->off, entry->len, UINT64_MAX))
		return error_set(-EINVAL, "an import of %#llx bytes at %#llx is empty or wraps",
				 (unsigned long long)entry->len, (unsigned long long)entry->off);
	return 0;
}

int import_insert(struct import_table *table, const struct import_entry *entry, uint32_t *ret_index)
{
	int err = entry_check(entry);

	if (err < 0)
		return err;
	struct import *import = alloc_zero(sizeof(*import));
	if (!import)
		return error_set(-ENOMEM, "no memory for an import's entry");
	err = slots_insert(&table->slots, import, &import->index);
	if (err < 0)
		goto free_import;

	import->is = *entry;
	import_link(table, import);
	*ret_index = import->index;
	return 0;

free_import:
	free(import);
	return err;
}

static int index_unknown(uint32_t index)
{
	return error_set(-ENOENT, "there is no import %u", index);
}

int import_remove(struct import_table *table, uint32_t index)
{
	struct import *import = slots_remove(&table->slots, index);

	if (!import)
		return index_unknown(index);
	import_unlink(table, import);
	free(import);
	return 0;
}

int import_lookup(const struct import_table *table, uint32_t index, struct import_entry *ret_entry)
{
	const struct import *import = slots_get(&table->slots, index);

	if (!import)
		return index_unknown(index);
	*ret_entry = import->is;
	return 0;
}

int import_update(struct import_table *table, uint32_t index, const struct import_entry *entry)
{
	struct import *import = slots_get(&table->slots, index);
	int err;

	if (!import)
		return index_unknown(index);
	err = entry_check(entry);
	if (err < 0)
		return err;
	/* Its place in the tree may change. */
	import_unlink(table, import);
	import->is = *entry;
	import_link(table, import);
	return 0;
}

int import_next(const struct import_table *table, uint32_t after, uint32_t *ret_index)
{
	return slots_next(&table->slots, after, ret_index) ? 0 : -ENOENT;
}

static bool covers(const struct import *import, farbus_addr_t addr, bool ready)
{
	return import->is.region == addr.region && import->is.off <= addr.offset &&
	       addr.offset - import->is.off < import->is.len &&
	       (!ready || import->is.state == IMPORT_READY);
}

static bool begins_above(const struct import *import, farbus_addr_t addr)
{
	int by_region = compare64(import->is.region, addr.region);

	return (by_region ? by_region : compare64(import->is.off, addr.offset)) > 0;
}

/*
 * All left of an import that begins at or before the address do so, too: if the furthest of them
 * reaches past the address, it covers it, and nothing else need be looked at.
 */
static const struct import *find(const struct import *at, farbus_addr_t addr, bool ready)
{
	while (at && !covers(at, addr, ready)) {
		const struct import *left = RB_LEFT(at, link);
		struct reach reach = reach_below(left, ready);

		if (begins_above(at, addr) ||
		    (reach.region == addr.region && reach.end > addr.offset))
			at = left;
		else
			at = RB_RIGHT(at, link);
	}
	return at;
}

/* One that is ready, else any. */
int import_find(const struct import_table *table, farbus_addr_t addr, uint32_t *ret_index)
{
	const struct import *root = RB_ROOT(&table->imports);
	const struct import *found = find(root, addr, true);

	if (!found)
		found = find(root, addr, false);
	if (!found)
		return error_set(-ENOENT, "no import covers %#llx:%#llx: import the region first",
				 (unsigned long long)addr.region, (unsigned long long)addr.offset);
	*ret_index = found->index;
	return 0;
}

static bool reach_known(const struct import *import, bool ready)
{
	struct reach known = reach_below(import, ready), is = reach_furthest(import, ready);

	return known.region == is.region && known.end == is.end;
}

void import_check(const struct import_table *table)
{
	struct imports *imports = TREE_CONST(imports, &table->imports);
	struct import *import;
	uint32_t count = 0;

	slots_check(&table->slots);
	RB_FOREACH(import, imports, imports)
	{
		FARBUS_ASSERT(slots_get(&table->slots, import->index) == import);
		FARBUS_ASSERT(addr_within(import->is.off, import->is.len, UINT64_MAX));
		FARBUS_ASSERT(reach_known(import, false));
		FARBUS_ASSERT(reach_known(import, true));
		count++;
	}
	FARBUS_ASSERT(count == table->slots.count);
}
