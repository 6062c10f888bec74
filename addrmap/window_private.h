/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window_private.h -- what window.c (which windows there are) and window_pages.c (the entries
 * that readers see) share
 */
#ifndef ADDRMAP_WINDOW_PRIVATE_H
#define ADDRMAP_WINDOW_PRIVATE_H

#include "addrmap/tree.h"
#include "addrmap/window_inline.h"

struct window {
	struct window_extent is;
	RB_ENTRY(window) by_va;
	RB_ENTRY(window) by_import; /* (import, va) */
};

RB_HEAD(windows_by_va, window);
RB_HEAD(windows_by_import, window);

struct window_control {
	struct windows_by_va by_va; /* owned */
	struct windows_by_import by_import;
	struct window_sub *retired; /* owned: no entry points there, readers may still be inside */
	bool open[WINDOW_LEAF_MAX]; /* leaves that are writable */
};

/* Sub-tables for the two ends of a range. */
struct window_edges {
	struct window_sub *head, *tail; /* owned; NULL: not needed */
};

/*
 * What window_pages_store() will need for this range. On failure nothing readers see has changed.
 * Errors: -ENOMEM. Ownership: *ret_edges goes into the next window_pages_store() of this range.
 */
int window_pages_prepare(struct window_table *table, farbus_va_t va, uint64_t len,
			 struct window_edges *ret_edges);
/* Makes the entries of the range those of the extent that holds it, or NONE (NULL). */
void window_pages_store(struct window_table *table, farbus_va_t va, uint64_t len,
			struct window_edges *edges, const struct window_extent *extent);
/* Entries of all open leaves and sub-tables; what is there is what the extents say. */
void window_pages_check(const struct window_table *table);
void window_pages_fini(struct window_table *table);

/* The window that holds va, or the next one above; NULL. */
struct window *window_at(const struct window_table *table, uint64_t va);

#endif
