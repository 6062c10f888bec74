/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window.h -- window table: VA -> import index, offset, rights, state
 *
 * Readers need neither lock nor fence, and their cost does not depend on how many windows there
 * are. Layout: window_inline.h.
 *
 * Threads: window_translate() any thread, at any time; the others one thread at a time. A
 * sub-table that is replaced is freed only when the caller says that no reader is inside
 * (window_reclaim()).
 */
#ifndef ADDRMAP_WINDOW_H
#define ADDRMAP_WINDOW_H

#include "addrmap/addr.h"

#define WINDOW_IMPORT_MAX (1u << 20)
#define WINDOW_OFF_BITS 44 /* of an offset in an import: 16 TiB */

enum window_state { WINDOW_READY, WINDOW_BLOCKED, WINDOW_DEAD };

struct window_table;

struct window_hit {
	uint64_t off; /* in the import */
	uint32_t import;
	uint32_t rights;
	uint32_t state;
};

struct window_extent {
	farbus_va_t va;
	uint64_t len;
	uint64_t off;
	uint32_t import;
	uint32_t rights;
	uint32_t state;
	uint32_t flags; /* the caller's, kept with the window */
};

int window_table_new(struct window_table **ret_table);
struct window_table *window_table_free(struct window_table *table);

/*
 * va, len and off in whole pages; a 2 MiB block of VA that is wholly in the window is cheapest.
 * Errors: -EINVAL, -ERANGE above 2^47 or past 2^44 of the import, -EEXIST overlap, -ENOMEM.
 */
int window_insert(struct window_table *table, const struct window_extent *extent);
/*
 * Pages of one or several windows, splitting them. Whole windows always go; to take out a part may
 * need memory. Errors: -EINVAL, -ERANGE, -ENOENT a page there is in none, -ENOMEM.
 */
int window_remove(struct window_table *table, farbus_va_t va, uint64_t len);
/* All windows of an import. */
void window_state_set(struct window_table *table, uint32_t import, enum window_state state);

/* False: no window at va. Inline in window_inline.h for hot callers. */
bool window_translate(const struct window_table *table, farbus_va_t va, struct window_hit *ret_hit);

/* The extent that holds va, or the next one above it. Errors: -ENOENT, without a text. */
int window_next(const struct window_table *table, farbus_va_t va, struct window_extent *ret_extent);

/* Frees what removals left behind; call only when no reader is inside window_translate(). */
void window_reclaim(struct window_table *table);
void window_check(const struct window_table *table);

#endif
