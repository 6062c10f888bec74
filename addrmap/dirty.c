/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty.c -- dirty bitmap
 *
 * Invariants (dirty_check):
 *   1. no bit stands for a page past the end
 *
 * Ordering: marks are release RMWs, the harvest's are acquire RMWs on the same word: a harvested
 * bit brings the stores before it along. A marker that finds the bit set does no RMW; the fences
 * in dirty_mark() and at the end of dirty_harvest() order its store against the reading of the page.
 */
#include "addrmap/dirty.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

int dirty_new(uint64_t len, struct dirty **ret_dirty)
{
	if (len == 0)
		return error_set(-EINVAL, "a dirty bitmap of 0 bytes: a region has at least one");
	if (len > DIRTY_LEN_MAX)
		return error_set(-ERANGE, "a dirty bitmap of %#llx bytes: at most %#llx",
				 (unsigned long long)len, (unsigned long long)DIRTY_LEN_MAX);
	struct dirty *dirty = alloc_zero(sizeof(*dirty));
	if (!dirty)
		return error_set(-ENOMEM, "no memory for a dirty bitmap");
	dirty->page_count = (len + ADDR_PAGE_SIZE - 1) >> ADDR_PAGE_SHIFT;
	dirty->word = alloc_array(dirty_words(dirty->page_count), sizeof(*dirty->word));
	if (!dirty->word)
		goto free_dirty;
	*ret_dirty = dirty;
	return 0;

free_dirty:
	free(dirty);
	return error_set(-ENOMEM, "no memory for a dirty bitmap of %#llx bytes",
			 (unsigned long long)len);
}

struct dirty *dirty_free(struct dirty *dirty)
{
	if (!dirty)
		return NULL;
	free((void *)(uintptr_t)dirty->word);
	free(dirty);
	return NULL;
}

/* Bits [first, first + count) of a word; count is 1 to 64. */
static uint64_t bits_of(uint64_t first, uint64_t count)
{
	return (UINT64_MAX >> (DIRTY_WORD_PAGES - count)) << first;
}

static uint64_t word_load(const struct dirty *dirty, uint64_t word)
{
	return atomic_load_explicit(&dirty->word[word], memory_order_relaxed);
}

/* ---- marking ---- */

/* Pairs with the acquire RMW of word_take(). */
static void word_or(struct dirty *dirty, uint64_t word, uint64_t bits)
{
	if (bits & ~word_load(dirty, word))
		atomic_fetch_or_explicit(&dirty->word[word], bits, memory_order_release);
}

static void pages_mark(struct dirty *dirty, uint64_t page, uint64_t end)
{
	while (page < end) {
		uint64_t first = page % DIRTY_WORD_PAGES, room = DIRTY_WORD_PAGES - first;
		uint64_t count = end - page < room ? end - page : room;

		word_or(dirty, page / DIRTY_WORD_PAGES, bits_of(first, count));
		page += count;
	}
}

/* The caller's fence came before: word_or() may look first. */
void dirty_mark_range(struct dirty *dirty, uint64_t off, uint64_t len)
{
	uint64_t page = off >> ADDR_PAGE_SHIFT, end = ((off + len - 1) >> ADDR_PAGE_SHIFT) + 1;

	FARBUS_ASSERT(len > 0);
	FARBUS_ASSERT(off + len > off);
	FARBUS_ASSERT(end <= dirty->page_count);
	pages_mark(dirty, page, end);
}

void dirty_mark_all(struct dirty *dirty)
{
	/* An RMW, so that it comes after the caller's stores; pairs with the one in all_spread(). */
	atomic_exchange_explicit(&dirty->all, true, memory_order_acq_rel);
}

int dirty_or(struct dirty *dirty, uint64_t first_page, uint64_t page_count, const uint64_t *bitmap)
{
	uint64_t words = dirty_words(page_count), odd = page_count % DIRTY_WORD_PAGES;

	if (!addr_within(first_page, page_count, dirty->page_count))
		return error_set(-ERANGE,
				 "dirty bits of %llu pages from page %llu on, in a region of %llu",
				 (unsigned long long)page_count, (unsigned long long)first_page,
				 (unsigned long long)dirty->page_count);
	if (first_page % DIRTY_WORD_PAGES)
		return error_set(-EINVAL, "dirty bits from page %llu on: give a multiple of %d",
				 (unsigned long long)first_page, DIRTY_WORD_PAGES);
	if (odd && bitmap[words - 1] & ~bits_of(0, odd))
		return error_set(-EINVAL, "dirty bits behind the last of %llu pages",
				 (unsigned long long)page_count);
	/* What the bits stand for came before word_or() looks: as in dirty_mark(). */
	atomic_thread_fence(memory_order_seq_cst);
	for (uint64_t i = 0; i < words; i++)
		if (bitmap[i])
			word_or(dirty, first_page / DIRTY_WORD_PAGES + i, bitmap[i]);
	return 0;
}

/* ---- harvesting ---- */

static void all_spread(struct dirty *dirty)
{
	if (!atomic_load_explicit(&dirty->all, memory_order_relaxed))
		return;
	if (atomic_exchange_explicit(&dirty->all, false, memory_order_acq_rel))
		pages_mark(dirty, 0, dirty->page_count);
}

/* Pairs with the release RMW of word_or(). */
static uint64_t word_take(struct dirty *dirty, uint64_t word, uint64_t bits)
{
	if (!(word_load(dirty, word) & bits))
		return 0;
	return bits & atomic_fetch_and_explicit(&dirty->word[word], ~bits, memory_order_acq_rel);
}

uint64_t dirty_harvest(struct dirty *dirty, uint64_t first_page, uint64_t page_count,
		       uint64_t *bitmap)
{
	uint64_t taken = 0;

	FARBUS_ASSERT(first_page % DIRTY_WORD_PAGES == 0);
	FARBUS_ASSERT(addr_within(first_page, page_count, dirty->page_count));
	all_spread(dirty);
	for (uint64_t i = 0; i < dirty_words(page_count); i++) {
		uint64_t left = page_count - i * DIRTY_WORD_PAGES;
		uint64_t bits = bits_of(0, left < DIRTY_WORD_PAGES ? left : DIRTY_WORD_PAGES);

		bits = word_take(dirty, first_page / DIRTY_WORD_PAGES + i, bits);
		taken += (uint64_t)__builtin_popcountll(bits);
		bitmap[i] |= bits;
	}
	/* Pairs with the fence of dirty_mark(): the caller reads the pages behind it. */
	atomic_thread_fence(memory_order_seq_cst);
	return taken;
}

uint64_t dirty_count(const struct dirty *dirty)
{
	uint64_t count = 0;

	if (atomic_load_explicit(&dirty->all, memory_order_relaxed))
		return dirty->page_count;
	for (uint64_t i = 0; i < dirty_words(dirty->page_count); i++)
		count += (uint64_t)__builtin_popcountll(word_load(dirty, i));
	return count;
}

/* The first bit at or after from that is set, or is clear; page_count if there is none. */
static uint64_t bit_find(const uint64_t *bitmap, uint64_t page_count, uint64_t from, bool set)
{
	uint64_t first = from % DIRTY_WORD_PAGES;

	for (uint64_t i = from / DIRTY_WORD_PAGES; i < dirty_words(page_count); i++, first = 0) {
		uint64_t bits = (set ? bitmap[i] : ~bitmap[i]) >> first << first;

		if (bits) {
			uint64_t at = i * DIRTY_WORD_PAGES + (uint64_t)__builtin_ctzll(bits);
			return at < page_count ? at : page_count;
		}
	}
	return page_count;
}

bool dirty_run_next(const uint64_t *bitmap, uint64_t page_count, uint64_t from, uint64_t *ret_page,
		    uint64_t *ret_count)
{
	uint64_t page = bit_find(bitmap, page_count, from, true);

	if (page == page_count)
		return false;
	*ret_page = page;
	*ret_count = bit_find(bitmap, page_count, page, false) - page;
	return true;
}

void dirty_check(const struct dirty *dirty)
{
	uint64_t odd = dirty->page_count % DIRTY_WORD_PAGES;

	FARBUS_ASSERT(dirty->page_count > 0);
	FARBUS_ASSERT(dirty->page_count <= DIRTY_LEN_MAX >> ADDR_PAGE_SHIFT);
	if (odd)
		FARBUS_ASSERT(!(word_load(dirty, dirty->page_count / DIRTY_WORD_PAGES) &
				~bits_of(0, odd)));
}
