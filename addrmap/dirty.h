/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty.h -- dirty bitmap: which 4 KiB pages of a region were written since somebody last asked
 *
 *   writer:    store ......... mark
 *   harvester:                        harvest ... read the pages
 *
 * Whoever performs an access marks it, and after it: a mark made before could be harvested, the
 * page read, and the store come too late for both. A page whose bit was harvested holds every store
 * that was marked up to then; later ones give it its bit back.
 *
 * Threads: marking, dirty_or() and dirty_count() any thread, at any time; dirty_harvest() one
 * thread at a time.
 */
#ifndef ADDRMAP_DIRTY_H
#define ADDRMAP_DIRTY_H

#include "addrmap/addr.h"
#include <stdatomic.h>

#define DIRTY_LEN_MAX ((uint64_t)1 << 44) /* bytes of a region: as many as windows can reach */
#define DIRTY_WORD_PAGES 64

struct dirty {
	_Atomic uint64_t *word; /* owned */
	uint64_t page_count;
	_Atomic bool all; /* every page, whatever the bits say */
};

/* Errors: -EINVAL len is 0, -ERANGE above DIRTY_LEN_MAX, -ENOMEM. */
int dirty_new(uint64_t len, struct dirty **ret_dirty);
struct dirty *dirty_free(struct dirty *dirty);

/* Words of a bitmap for so many pages. Bit n of word w is page w * 64 + n. */
static inline uint64_t dirty_words(uint64_t page_count)
{
	return (page_count + DIRTY_WORD_PAGES - 1) / DIRTY_WORD_PAGES;
}

/* The slow half of the two below: more than one word, or a bit that is not set yet. */
void dirty_mark_range(struct dirty *dirty, uint64_t off, uint64_t len);

static inline bool dirty_is_marked(const struct dirty *dirty, uint64_t page)
{
	/* Any value will do: what it may miss is said where it is called. */
	return atomic_load_explicit(&dirty->word[page / DIRTY_WORD_PAGES], memory_order_relaxed) >>
		       page % DIRTY_WORD_PAGES &
	       1;
}

/*
 * [off, off + len) was written; it lies inside the region.
 *
 * Ordering: the fence keeps the look at the bit behind the store to the page, which a CPU would
 * else do before; it pairs with the one in dirty_harvest(). Either the harvest sees the store, or
 * this sees the bit gone and sets it.
 */
static inline void dirty_mark(struct dirty *dirty, uint64_t off, uint64_t len)
{
	uint64_t page = off >> ADDR_PAGE_SHIFT;

	atomic_thread_fence(memory_order_seq_cst);
	if ((off + len - 1) >> ADDR_PAGE_SHIFT != page || !dirty_is_marked(dirty, page))
		dirty_mark_range(dirty, off, len);
}

/*
 * The same without the fence, for hot paths: 6 ns less. Only if the harvester calls membarrier(2)
 * for this process, or drains its guard (base/process.h), between the harvest and the reading.
 */
static inline void dirty_mark_light(struct dirty *dirty, uint64_t off, uint64_t len)
{
	uint64_t page = off >> ADDR_PAGE_SHIFT;

	atomic_signal_fence(memory_order_seq_cst);
	if ((off + len - 1) >> ADDR_PAGE_SHIFT != page || !dirty_is_marked(dirty, page))
		dirty_mark_range(dirty, off, len);
}

/* Nobody knows what was written: a log overflowed, or died with its bits. Costs no walk. */
void dirty_mark_all(struct dirty *dirty);

/*
 * ORs in what somebody else tracked: page_count bits from first_page on, a multiple of 64.
 * Errors, with nothing marked: -ERANGE past the end, -EINVAL first_page, or bits behind the last.
 */
int dirty_or(struct dirty *dirty, uint64_t first_page, uint64_t page_count, const uint64_t *bitmap);

/*
 * Moves the marks of page_count pages from first_page on (a multiple of 64, inside the region)
 * into bitmap by OR, and returns how many they were. Bit 0 of bitmap is first_page.
 */
uint64_t dirty_harvest(struct dirty *dirty, uint64_t first_page, uint64_t page_count,
		       uint64_t *bitmap);

/* Marked pages, as of some moment while others mark. */
uint64_t dirty_count(const struct dirty *dirty);

/* The next run of bits at or after from. False: none is left. */
bool dirty_run_next(const uint64_t *bitmap, uint64_t page_count, uint64_t from, uint64_t *ret_page,
		    uint64_t *ret_count);

void dirty_check(const struct dirty *dirty);

#endif
