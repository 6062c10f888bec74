/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * import.c -- import table
 *
 *   index --slots--> import, also in a tree by (region, offset, index)
 *
 * Invariants (import_check):
 *   1. each import is in the slots and in the tree, once
 *   2. no import is empty or wraps past the top of its region
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

struct import {
	struct import_entry is;
	uint32_t index;
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

TREE_GENERATE(imports, import, link, import_compare)

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
	RB_INSERT(imports, &table->imports, import);
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
	RB_REMOVE(imports, &table->imports, import);
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
	RB_REMOVE(imports, &table->imports, import);
	import->is = *entry;
	RB_INSERT(imports, &table->imports, import);
	return 0;
}

int import_next(const struct import_table *table, uint32_t after, uint32_t *ret_index)
{
	return slots_next(&table->slots, after, ret_index) ? 0 : -ENOENT;
}

static bool covers(const struct import *import, farbus_addr_t addr)
{
	return addr.offset - import->is.off < import->is.len;
}

/*
 * From the last import that begins at or before the address backwards: of those that cover it one
 * that is ready, else any. Walks past imports of this region only.
 */
int import_find(const struct import_table *table, farbus_addr_t addr, uint32_t *ret_index)
{
	struct imports *imports = TREE_CONST(imports, &table->imports);
	struct import key = { .is = { .region = addr.region, .off = addr.offset },
			      .index = UINT32_MAX };
	const struct import *found = NULL;
	struct import *at = RB_NFIND(imports, imports, &key);

	at = at ? RB_PREV(imports, imports, at) : RB_MAX(imports, imports);
	for (; at && at->is.region == addr.region; at = RB_PREV(imports, imports, at)) {
		if (!covers(at, addr))
			continue;
		found = at;
		if (at->is.state == IMPORT_READY)
			break;
	}
	if (!found)
		return error_set(-ENOENT, "no import covers %#llx:%#llx: import the region first",
				 (unsigned long long)addr.region, (unsigned long long)addr.offset);
	*ret_index = found->index;
	return 0;
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
		count++;
	}
	FARBUS_ASSERT(count == table->slots.count);
}
