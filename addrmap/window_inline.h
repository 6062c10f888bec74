/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window_inline.h -- translation of a VA without a call, and the layout it reads
 *
 *   VA = | 0, 17 | leaf, 13 | block, 13 | page, 9 | byte, 12 |
 *
 *   leaf[8192] -> entry[8192], one per 2 MiB:  nothing, one window, or 512 entries of 4 KiB
 *
 *   entry = | page in the import, 35 | import, 20 | rights, 5 | state, 2 | kind, 2 |
 *
 * The page is where the block's (or page's) first byte goes: VA and offset need not agree modulo
 * 2 MiB. Only addrmap/window*.c looks at anything here but window_translate_inline().
 *
 * Ordering: the writer fills a leaf or sub-table and then publishes its address with release; the
 * acquire loads here pair with that. An entry is one word: a reader sees the old or the new one.
 */
#ifndef ADDRMAP_WINDOW_INLINE_H
#define ADDRMAP_WINDOW_INLINE_H

#include "addrmap/window.h"
#include <stdatomic.h>

#define WINDOW_LEAF_SHIFT 34
#define WINDOW_LEAF_MAX (1u << (ADDR_VA_BITS - WINDOW_LEAF_SHIFT))
#define WINDOW_BLOCK_MAX (1u << (WINDOW_LEAF_SHIFT - ADDR_BLOCK_SHIFT))
#define WINDOW_PAGE_MAX (1u << (ADDR_BLOCK_SHIFT - ADDR_PAGE_SHIFT))

enum window_kind { WINDOW_NONE, WINDOW_PAGES, WINDOW_SUB };

#define WINDOW_KIND_MASK 3u
#define WINDOW_STATE_SHIFT 2
#define WINDOW_STATE_MASK 3u
#define WINDOW_RIGHTS_SHIFT 4
#define WINDOW_RIGHTS_MASK 31u
#define WINDOW_IMPORT_SHIFT 9
#define WINDOW_IMPORT_MASK (WINDOW_IMPORT_MAX - 1)
#define WINDOW_OFF_SHIFT 29

struct window_sub {
	_Atomic uint64_t entry[WINDOW_PAGE_MAX];
	uint32_t used;		 /* entries that are not NONE */
	struct window_sub *next; /* among the retired */
};

struct window_leaf {
	_Atomic uint64_t entry[WINDOW_BLOCK_MAX];
};

struct window_table {
	struct window_leaf *_Atomic leaf[WINDOW_LEAF_MAX]; /* owned; NULL: nothing there */
	struct window_control *control;			   /* owned; the writer's */
};

static inline struct window_sub *window_entry_sub(uint64_t entry)
{
	return (struct window_sub *)(uintptr_t)(entry & ~(uint64_t)WINDOW_KIND_MASK);
}

static inline uint64_t window_entry_off(uint64_t entry)
{
	return entry >> WINDOW_OFF_SHIFT << ADDR_PAGE_SHIFT;
}

/* As window_translate(). Any thread. */
static inline bool window_translate_inline(const struct window_table *table, farbus_va_t va,
					   struct window_hit *ret_hit)
{
	uint64_t within = ADDR_BLOCK_SIZE - 1, entry;
	const struct window_leaf *leaf;

	if (va.v >> ADDR_VA_BITS)
		return false;
	leaf = atomic_load_explicit(&table->leaf[va.v >> WINDOW_LEAF_SHIFT], memory_order_acquire);
	if (!leaf)
		return false;
	entry = atomic_load_explicit(&leaf->entry[(va.v >> ADDR_BLOCK_SHIFT) % WINDOW_BLOCK_MAX],
				     memory_order_acquire);
	if ((entry & WINDOW_KIND_MASK) == WINDOW_SUB) {
		within = ADDR_PAGE_SIZE - 1;
		entry = atomic_load_explicit(
			&window_entry_sub(entry)
				 ->entry[(va.v >> ADDR_PAGE_SHIFT) % WINDOW_PAGE_MAX],
			memory_order_acquire);
	}
	if (entry == WINDOW_NONE)
		return false;
	ret_hit->off = window_entry_off(entry) + (va.v & within);
	ret_hit->import = entry >> WINDOW_IMPORT_SHIFT & WINDOW_IMPORT_MASK;
	ret_hit->rights = entry >> WINDOW_RIGHTS_SHIFT & WINDOW_RIGHTS_MASK;
	ret_hit->state = entry >> WINDOW_STATE_SHIFT & WINDOW_STATE_MASK;
	return true;
}

#endif
