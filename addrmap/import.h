/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * import.h -- import table: index -> bus address, home, generation
 *
 * Indices are dense and reused only after import_remove(). Entries are copied out, never lent.
 * Threads: one thread at a time.
 */
#ifndef ADDRMAP_IMPORT_H
#define ADDRMAP_IMPORT_H

#include "addrmap/addr.h"

enum import_state { IMPORT_READY = 1, IMPORT_BLOCKED, IMPORT_REVOKED, IMPORT_LOST };

struct import_entry {
	uint64_t region;
	uint64_t off, len; /* in the region */
	uint32_t rights;
	uint32_t grant, epoch;
	uint32_t home_rank, home_instance, home_incarnation;
	uint32_t generation;
	uint32_t state;	 /* enum import_state */
	uint32_t remote; /* the home's name for this import */
	uint32_t flags;	 /* of the grant */
	void *owner;	 /* borrows the caller's handle */
};

struct import_table;

int import_table_new(uint32_t max, struct import_table **ret_table);
struct import_table *import_table_free(struct import_table *table);
/* Errors: -ENOSPC, -ENOMEM. Index 0 is never given out. */
int import_insert(struct import_table *table, const struct import_entry *entry,
		  uint32_t *ret_index);
int import_remove(struct import_table *table, uint32_t index); /* -ENOENT */
int import_lookup(const struct import_table *table, uint32_t index, struct import_entry *ret_entry);
int import_update(struct import_table *table, uint32_t index, const struct import_entry *entry);
/* The first used index above after (0: from the start). Errors: -ENOENT. */
int import_next(const struct import_table *table, uint32_t after, uint32_t *ret_index);
/* An import that covers this bus address. Errors: -ENOENT. */
int import_find(const struct import_table *table, farbus_addr_t addr, uint32_t *ret_index);
void import_check(const struct import_table *table);

#endif
