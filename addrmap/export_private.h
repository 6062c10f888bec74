/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * export_private.h -- what export.c (regions, grants) and export_import.c (records) share
 *
 *   table -- regions, a tree by id
 *              `-- region -- its grants made by the owner
 *                              `-- grant -- its children, its import records
 */
#ifndef ADDRMAP_EXPORT_PRIVATE_H
#define ADDRMAP_EXPORT_PRIVATE_H

#include "addrmap/export.h"
#include "addrmap/slots.h"
#include "addrmap/tree.h"
#include <sys/queue.h>

struct record {
	struct export_import is;
	struct grant *grant; /* borrows */
	LIST_ENTRY(record) link;
};

LIST_HEAD(records, record);
LIST_HEAD(grants, grant);

struct grant {
	struct export_grant is;
	uint32_t epoch_last;   /* highest ever given out */
	struct region *region; /* borrows */
	struct grant *parent;  /* borrows; NULL: made by the owner */
	struct grants children;
	struct records records;
	LIST_ENTRY(grant) link; /* in its parent's children, or its region's grants */
};

struct region {
	struct export_region is;
	struct grants grants;
	RB_ENTRY(region) link;
};

RB_HEAD(regions, region);

struct export_table {
	uint64_t job;
	uint32_t incarnation;
	uint32_t region_count;
	struct regions regions;
	struct slots grants;  /* struct grant, owned */
	struct slots records; /* struct record, owned */
};

/* Errors: -ESTALE it is revoked and forgotten, -ENOENT it never was. */
int grant_find(const struct export_table *table, uint32_t id, struct grant **ret_grant);
bool grant_epoch_current(const struct grant *grant, uint32_t epoch);

/* Forgets a record. */
void record_free(struct export_table *table, struct record *record);
void record_check(const struct export_table *table, const struct grant *grant);

#endif
