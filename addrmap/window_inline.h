/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window_inline.h -- translation of a VA without a call, and the layout it reads
 *
 *   VA = | 0, 17 | block, 26 | page, 9 | byte, 12 |
 *
 *   entry[2^26], one per 2 MiB:  nothing, one window, or 512 entries of 4 KiB
 *
 * The entries are 512 MiB of address space and as little memory as there are windows: zeros that
 * are read-only until a window needs them, then writable by the leaf, which is 8192 entries. A
 * level above them would cost a third of a translation (docs/performance.md).
 *
 *   entry = | import, 20 | page in the import, 32 | 0, 3 | rights, 5 | state, 2 | kind, 2 |
 *
 * The page is where the block's (or page's) first byte goes: VA and offset need not agree modulo
 * 2 MiB. It stands where it stands in an offset, and the import at the top, because shifts and
 * branches share two units of the CPU and are what a translation waits for. Only
 * addrmap/window*.c looks at anything here but window_translate_inline().
 *
 * Ordering: the writer fills a sub-table and then publishes its address with release; the acquire
 * loads here pair with that. An entry is one word: a reader sees the old or the new one.
 */
#ifndef ADDRMAP_WINDOW_INLINE_H
#define ADDRMAP_WINDOW_INLINE_H

#include "addrmap/window.h"
#include <stdatomic.h>

#define WINDOW_LEAF_SHIFT 34
#define WINDOW_LEAF_MAX (1u << (ADDR_VA_BITS - WINDOW_LEAF_SHIFT))
#define WINDOW_LEAF_BLOCKS (1u << (WINDOW_LEAF_SHIFT - ADDR_BLOCK_SHIFT))
#define WINDOW_BLOCK_MAX (1u << (ADDR_VA_BITS - ADDR_BLOCK_SHIFT))
#define WINDOW_PAGE_MAX (1u << (ADDR_BLOCK_SHIFT - ADDR_PAGE_SHIFT))

enum window_kind { WINDOW_NONE = 0, WINDOW_PAGES = 1, WINDOW_SUB = 2 }; /* bits: one test */

#define WINDOW_KIND_MASK 3u
#define WINDOW_STATE_SHIFT 2
#define WINDOW_STATE_MASK 3u
#define WINDOW_RIGHTS_SHIFT 4
#define WINDOW_RIGHTS_MASK 31u
#define WINDOW_IMPORT_SHIFT 44
#define WINDOW_OFF_MASK (((uint64_t)1 << WINDOW_OFF_BITS) - ADDR_PAGE_SIZE)

struct window_sub {
	_Atomic uint64_t entry[WINDOW_PAGE_MAX];
	uint32_t used;		 /* entries that are not NONE */
	struct window_sub *next; /* among the retired */
};

struct window_table {
	_Atomic uint64_t entry[WINDOW_BLOCK_MAX]; /* sparse; at the front, for the shortest code */
	struct window_control *control;		  /* owned; the writer's */
};

static inline struct window_sub *window_entry_sub(uint64_t entry)
{
	return (struct window_sub *)(uintptr_t)(entry & ~(uint64_t)WINDOW_KIND_MASK);
}

static inline uint64_t window_entry_off(uint64_t entry)
{
	return entry & WINDOW_OFF_MASK;
}

/* As window_translate(). Any thread. */
static inline bool window_translate_inline(const struct window_table *table, farbus_va_t va,
					   struct window_hit *ret_hit)
{
	uint64_t within = ADDR_BLOCK_SIZE - 1, block = va.v >> ADDR_BLOCK_SHIFT, entry;

	if (__builtin_expect(block >= WINDOW_BLOCK_MAX, 0))
		return false;
	entry = atomic_load_explicit(&table->entry[block], memory_order_acquire);
	if (__builtin_expect(!(entry & WINDOW_PAGES), 0)) {
		if (entry == WINDOW_NONE)
			return false;
		within = ADDR_PAGE_SIZE - 1;
		entry = atomic_load_explicit(
			&window_entry_sub(entry)
				 ->entry[(va.v >> ADDR_PAGE_SHIFT) % WINDOW_PAGE_MAX],
			memory_order_acquire);
		if (entry == WINDOW_NONE)
			return false;
	}
	ret_hit->off = window_entry_off(entry) + (va.v & within);
	ret_hit->import = (uint32_t)(entry >> WINDOW_IMPORT_SHIFT);
	ret_hit->rights = (uint32_t)entry >> WINDOW_RIGHTS_SHIFT & WINDOW_RIGHTS_MASK;
	ret_hit->state = (uint32_t)entry >> WINDOW_STATE_SHIFT & WINDOW_STATE_MASK;
	return true;
}

#endif
