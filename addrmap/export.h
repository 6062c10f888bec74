/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * export.h -- export table: a home's regions, their grants, and who holds them
 *
 *   region --< grant (epochs primary, backup) --< import record {instance, its import index, epoch}
 *                 `--< child grant (chained)
 *
 * Pure data: time, keys and random bytes are arguments. Threads: one thread at a time.
 */
#ifndef ADDRMAP_EXPORT_H
#define ADDRMAP_EXPORT_H

#include "addrmap/token.h"

#define EXPORT_REGION_MAX FARBUS_REGION_MAX
#define EXPORT_GRANT_MAX 65536	/* per instance */
#define EXPORT_IMPORT_MAX 65536 /* import records per instance */
#define EXPORT_CHAIN_MAX FARBUS_CHAIN_MAX

enum grant_state { GRANT_LIVE = 1, GRANT_REVOKING, GRANT_REVOKED };

struct export_table;

struct export_region {
	uint64_t region;
	uint64_t len;
	uint32_t generation;
	uint32_t flags; /* the caller's */
	uint8_t key[MAC_KEY_SIZE];
	void *owner; /* borrows the caller's handle */
};

struct export_grant {
	uint32_t grant, parent; /* parent 0: made by the owner */
	uint64_t region;
	uint64_t off, len; /* in the region */
	uint64_t expiry_s;
	uint32_t rights, flags, depth;
	uint32_t maker;		      /* instance that asked for it: it may revoke it */
	uint32_t epoch, epoch_backup; /* 0: none */
	uint32_t state;
	uint32_t import_count;
};

/* One importer's hold on a grant. */
struct export_import {
	uint32_t record; /* id, never 0 */
	uint32_t grant, epoch;
	uint32_t instance; /* who */
	uint32_t index;	   /* its import index there */
	bool mapped;	   /* it has, or may have, a mapping */
};

int export_table_new(uint64_t job, uint32_t incarnation, struct export_table **ret_table);
struct export_table *export_table_free(struct export_table *table);

/* Errors: -EEXIST, -ENOSPC, -ENOMEM */
int export_region_insert(struct export_table *table, const struct export_region *region);
/* Only when it has no grants left. Errors: -ENOENT, -EBUSY. */
int export_region_remove(struct export_table *table, uint64_t region);
int export_region_lookup(const struct export_table *table, uint64_t region,
			 struct export_region *ret_region);
/* The first region whose id is from or above. Errors: -ENOENT, without a text. */
int export_region_next(const struct export_table *table, uint64_t from,
		       struct export_region *ret_region);
int export_region_update(struct export_table *table, const struct export_region *region);

/*
 * Makes a grant below parent (0: of the owner, then region is used). off and len are relative to
 * the parent's range. Errors: -EINVAL rights, -ERANGE, -EACCES not a subset or no G, -ELOOP,
 * -ENOSPC, -ESTALE parent is not live, -ENOENT.
 */
struct export_grant_ask {
	uint64_t region;
	uint32_t parent;
	uint32_t maker;
	uint64_t off, len;
	uint64_t expiry_s;	/* a child never outlives its parent */
	uint32_t rights, flags; /* a child of a SERVED grant is SERVED */
};
int export_grant_new(struct export_table *table, const struct export_grant_ask *ask,
		     uint32_t *ret_grant);
int export_grant_lookup(const struct export_table *table, uint32_t grant,
			struct export_grant *ret_grant);
/* The token of the grant's primary epoch; hint_rank is put in unauthenticated. */
int export_grant_token(const struct export_table *table, uint32_t grant, uint32_t hint_rank,
		       struct farbus_token *ret_token);

/*
 * Everything a presented token must pass, in this order: job, incarnation (-ESTALE, before any
 * MAC check), region known (-ESTALE), MAC (-EACCES), grant live and epoch current (-ESTALE), expiry (-ETIME). On
 * success *ret_grant is the grant and the token's fields can be trusted.
 */
int export_token_check(const struct export_table *table, const struct token *token,
		       uint64_t now_wall_s, uint32_t *ret_grant);

/* New primary epoch; the old primary becomes the backup, the old backup is out. */
int export_grant_rotate(struct export_table *table, uint32_t grant, uint32_t *ret_epoch_out);
/* Ends one epoch. Returns 1 when it was the only one: then revoke the grant. */
int export_epoch_drop(struct export_table *table, uint32_t grant, uint32_t epoch);

/*
 * The grant and all below it become REVOKING: no import, no access. Visits each of them, parents
 * first. Allowed again while REVOKING.
 */
typedef void (*export_grant_fn)(void *arg, const struct export_grant *grant);
int export_grant_revoke(struct export_table *table, uint32_t grant, export_grant_fn visit,
			void *arg);
/* REVOKING and no import record left: REVOKED, forgotten but for its id. Errors: -EBUSY. */
int export_grant_finish(struct export_table *table, uint32_t grant);
/* All grants of a region, roots before children. */
void export_grant_each(const struct export_table *table, uint64_t region, export_grant_fn visit,
		       void *arg);

int export_import_insert(struct export_table *table, const struct export_import *import,
			 uint32_t *ret_record);
int export_import_remove(struct export_table *table, uint32_t record);
int export_import_lookup(const struct export_table *table, uint32_t record,
			 struct export_import *ret_import);
int export_import_renew(struct export_table *table, uint32_t record, uint32_t grant,
			uint32_t epoch);
typedef void (*export_import_fn)(void *arg, const struct export_import *import);
/* Records of a grant (0: all grants) held by an instance (0: any). fn may remove the one it is given. */
void export_import_each(struct export_table *table, uint32_t grant, uint32_t instance,
			export_import_fn fn, void *arg);

/*
 * May this import record access [off, off + len) of its grant with these rights now?
 * Writes the region and the offset in it. Errors: -ENOENT, -ESTALE, -EACCES, -ERANGE.
 */
int export_access_check(const struct export_table *table, uint32_t record, uint64_t off,
			uint64_t len, uint32_t rights, uint64_t *ret_region, uint64_t *ret_off);

void export_check(const struct export_table *table);

#endif
