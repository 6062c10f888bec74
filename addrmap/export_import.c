/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * export_import.c -- who holds a home's grants, and what they may do with them
 *
 * Invariants (record_check, called by export_check):
 *   1. a record is known by its number and is in the list of its grant
 *   2. a grant's import count is the length of that list
 */
#include "addrmap/export_private.h"
#include "addrmap/rights.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

static int record_find(const struct export_table *table, uint32_t id, struct record **ret_record)
{
	struct record *record = slots_get(&table->records, id);

	if (!record)
		return error_set(-ENOENT, "there is no import %u here: it was released", id);
	*ret_record = record;
	return 0;
}

/* May somebody hold this grant through that epoch from now on? */
static int holdable(const struct grant *grant, uint32_t epoch)
{
	if (grant->is.state != GRANT_LIVE)
		return error_set(-ESTALE, "grant %u is revoked: ask its owner for a new token",
				 grant->is.grant);
	if (!grant_epoch_current(grant, epoch))
		return error_set(-ESTALE,
				 "the token was rotated out: ask its owner for the new one");
	return 0;
}

int export_import_insert(struct export_table *table, const struct export_import *is,
			 uint32_t *ret_record)
{
	struct grant *grant;
	int err = grant_find(table, is->grant, &grant);

	if (err < 0)
		return err;
	err = holdable(grant, is->epoch);
	if (err < 0)
		return err;
	struct record *record = alloc_zero(sizeof(*record));
	if (!record)
		return error_set(-ENOMEM, "no memory for an import record");
	record->is = *is;
	err = slots_insert(&table->records, record, &record->is.record);
	if (err < 0)
		goto free_record;

	record->grant = grant;
	LIST_INSERT_HEAD(&grant->records, record, link);
	grant->is.import_count++;
	*ret_record = record->is.record;
	return 0;

free_record:
	free(record);
	return err;
}

void record_free(struct export_table *table, struct record *record)
{
	LIST_REMOVE(record, link);
	record->grant->is.import_count--;
	slots_remove(&table->records, record->is.record);
	free(record);
}

int export_import_remove(struct export_table *table, uint32_t id)
{
	struct record *record;
	int err = record_find(table, id, &record);

	if (err < 0)
		return err;
	record_free(table, record);
	return 0;
}

int export_import_lookup(const struct export_table *table, uint32_t id,
			 struct export_import *ret_import)
{
	struct record *record;
	int err = record_find(table, id, &record);

	if (err < 0)
		return err;
	*ret_import = record->is;
	return 0;
}

int export_import_renew(struct export_table *table, uint32_t id, uint32_t grant, uint32_t epoch)
{
	struct record *record;
	int err = record_find(table, id, &record);

	if (err < 0)
		return err;
	if (grant != record->is.grant)
		return error_set(-EINVAL, "renew takes a rotated token of the same grant: import "
					  "the region again for this one");
	err = holdable(record->grant, epoch);
	if (err < 0)
		return err;
	record->is.epoch = epoch;
	return 0;
}

static bool wanted(const struct record *record, uint32_t instance)
{
	return instance == 0 || record->is.instance == instance;
}

/* fn gets a copy, and its record may be gone afterwards: the next one is found first. */
static void each_of_grant(struct grant *grant, uint32_t instance, export_import_fn fn, void *arg)
{
	struct record *record, *next;

	for (record = LIST_FIRST(&grant->records); record; record = next) {
		struct export_import copy = record->is;

		next = LIST_NEXT(record, link);
		if (wanted(record, instance))
			fn(arg, &copy);
	}
}

void export_import_each(struct export_table *table, uint32_t id, uint32_t instance,
			export_import_fn fn, void *arg)
{
	struct grant *grant = slots_get(&table->grants, id);
	struct record *record;
	uint32_t at = 0;

	if (grant)
		each_of_grant(grant, instance, fn, arg);
	if (id != 0)
		return;
	while ((record = slots_next(&table->records, at, &at))) {
		struct export_import copy = record->is;

		if (wanted(record, instance))
			fn(arg, &copy);
	}
}

int export_access_check(const struct export_table *table, uint32_t id, uint64_t off, uint64_t len,
			uint32_t rights, uint64_t *ret_region, uint64_t *ret_off)
{
	struct record *record;
	int err = record_find(table, id, &record);

	if (err < 0)
		return err;
	const struct export_grant *grant = &record->grant->is;

	err = holdable(record->grant, record->is.epoch);
	if (err < 0)
		return err;
	if (!rights_subset(rights, grant->rights)) {
		char have[6], want[6];

		rights_text(grant->rights, have);
		rights_text(rights, want);
		return error_set(-EACCES, "access needs %s, but the grant has %s", want, have);
	}
	if (!addr_within(off, len, grant->len))
		return error_set(-ERANGE, "access to %llu bytes at %llu of an import of %llu bytes",
				 (unsigned long long)len, (unsigned long long)off,
				 (unsigned long long)grant->len);
	*ret_region = grant->region;
	*ret_off = grant->off + off;
	return 0;
}

void record_check(const struct export_table *table, const struct grant *grant)
{
	const struct record *record;
	uint32_t count = 0;

	LIST_FOREACH(record, &grant->records, link) {
		FARBUS_ASSERT(record->grant == grant);
		FARBUS_ASSERT(record->is.grant == grant->is.grant);
		FARBUS_ASSERT(record->is.epoch <= grant->epoch_last);
		FARBUS_ASSERT(slots_get(&table->records, record->is.record) == record);
		count++;
	}
	FARBUS_ASSERT(count == grant->is.import_count);
}
