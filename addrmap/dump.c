/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dump.c -- the map's tables as text
 *
 * Everything is copied out of the tables by their own functions. A region's copy has its key: it is
 * wiped before the next line is written.
 */
#include "addrmap/dump.h"

#include "addrmap/rights.h"
#include "base/error.h"
#include <errno.h>
#include <inttypes.h>

struct text {
	char text[6];
};

static struct text rights_of(uint32_t rights)
{
	struct text text;

	rights_text(rights, text.text);
	return text;
}

static const char *name_of(const char *const *names, size_t count, uint32_t value)
{
	return value < count && names[value] ? names[value] : "?";
}

#define NAME_OF(names, value) name_of(names, sizeof(names) / sizeof((names)[0]), value)

static const char *window_state_name(uint32_t state)
{
	static const char *const names[] = {
		[WINDOW_READY] = "ready",
		[WINDOW_BLOCKED] = "blocked",
		[WINDOW_DEAD] = "dead",
	};

	return NAME_OF(names, state);
}

static const char *import_state_name(uint32_t state)
{
	static const char *const names[] = {
		[IMPORT_READY] = "ready",
		[IMPORT_BLOCKED] = "blocked",
		[IMPORT_REVOKED] = "revoked",
		[IMPORT_LOST] = "lost",
	};

	return NAME_OF(names, state);
}

static const char *grant_state_name(uint32_t state)
{
	static const char *const names[] = {
		[GRANT_LIVE] = "live",
		[GRANT_REVOKING] = "revoking",
		[GRANT_REVOKED] = "revoked",
	};

	return NAME_OF(names, state);
}

static int output_check(FILE *out)
{
	if (fflush(out) != 0 || ferror(out))
		return error_set(-EIO, "a dump could not be written: is the disk full, or the "
				       "reader gone?");
	return 0;
}

/* ---- windows and imports ---- */

int dump_windows(FILE *out, const struct window_table *table)
{
	struct window_extent extent;
	farbus_va_t va = { 0 };

	for (; window_next(table, va, &extent) == 0; va.v = extent.va.v + extent.len)
		fprintf(out,
			"window va=%#" PRIx64 " len=%#" PRIx64 " import=%u off=%#" PRIx64
			" rights=%s state=%s flags=%#x\n",
			extent.va.v, extent.len, extent.import, extent.off,
			rights_of(extent.rights).text, window_state_name(extent.state),
			extent.flags);
	return output_check(out);
}

static void import_write(FILE *out, uint32_t index, const struct import_entry *entry)
{
	fprintf(out,
		"import index=%u region=%u:%u off=%#" PRIx64 " len=%#" PRIx64
		" rights=%s state=%s home=%u instance=%u incarnation=%u generation=%u grant=%u "
		"epoch=%u record=%u flags=%#x\n",
		index, addr_region_birth(entry->region), (uint32_t)entry->region, entry->off,
		entry->len, rights_of(entry->rights).text, import_state_name(entry->state),
		entry->home_rank, entry->home_instance, entry->home_incarnation, entry->generation,
		entry->grant, entry->epoch, entry->remote, entry->flags);
}

int dump_imports(FILE *out, const struct import_table *table)
{
	struct import_entry entry;

	for (uint32_t index = 0; import_next(table, index, &index) == 0;)
		if (import_lookup(table, index, &entry) == 0)
			import_write(out, index, &entry);
	return output_check(out);
}

/* ---- exports ---- */

struct export_dump {
	FILE *out;
	struct export_table *table;
};

static void record_write(void *arg, const struct export_import *record)
{
	struct export_dump *dump = arg;

	fprintf(dump->out, "record id=%u grant=%u epoch=%u instance=%u index=%u mapped=%d\n",
		record->record, record->grant, record->epoch, record->instance, record->index,
		record->mapped);
}

static void grant_write(void *arg, const struct export_grant *grant)
{
	struct export_dump *dump = arg;

	fprintf(dump->out,
		"grant id=%u parent=%u region=%u:%u off=%#" PRIx64 " len=%#" PRIx64
		" rights=%s state=%s depth=%u maker=%u epoch=%u backup=%u expiry=%" PRIu64
		" records=%u flags=%#x\n",
		grant->grant, grant->parent, addr_region_birth(grant->region),
		(uint32_t)grant->region, grant->off, grant->len, rights_of(grant->rights).text,
		grant_state_name(grant->state), grant->depth, grant->maker, grant->epoch,
		grant->epoch_backup, grant->expiry_s, grant->import_count, grant->flags);
	export_import_each(dump->table, grant->grant, 0, record_write, dump);
}

int dump_exports(FILE *out, struct export_table *table)
{
	struct export_dump dump = { .out = out, .table = table };
	struct export_region region;
	uint64_t from = 0, id;

	while (export_region_next(table, from, &region) == 0) {
		mac_wipe(region.key, sizeof(region.key));
		id = region.region;
		fprintf(out, "region id=%u:%u len=%#" PRIx64 " generation=%u flags=%#x\n",
			addr_region_birth(id), (uint32_t)id, region.len, region.generation,
			region.flags);
		export_grant_each(table, id, grant_write, &dump);
		if (id == UINT64_MAX)
			break;
		from = id + 1;
	}
	return output_check(out);
}

/* ---- trace ---- */

int dump_trace(FILE *out, const struct window_table *windows, const struct import_table *imports,
	       farbus_va_t va)
{
	struct window_hit hit;
	struct import_entry entry;
	int err;

	if (!window_translate(windows, va, &hit)) {
		fprintf(out, "va va=%#" PRIx64 " window=none\n", va.v);
		err = output_check(out);
		return err < 0 ? err : error_set(-ENOENT, "%#" PRIx64 " is in no window", va.v);
	}
	fprintf(out, "va va=%#" PRIx64 " import=%u off=%#" PRIx64 " rights=%s state=%s\n", va.v,
		hit.import, hit.off, rights_of(hit.rights).text, window_state_name(hit.state));
	err = import_lookup(imports, hit.import, &entry);
	if (err < 0)
		return err;
	import_write(out, hit.import, &entry);
	fprintf(out, "bus region=%u:%u offset=%#" PRIx64 " inside=%d home=%u\n",
		addr_region_birth(entry.region), (uint32_t)entry.region, entry.off + hit.off,
		addr_within(hit.off, 1, entry.len), entry.home_rank);
	return output_check(out);
}
