/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * move.c -- pages into the regions that take their place
 *
 * Invariants:
 *   1. A pending run lies in its set and is at most MOVE_RUN_MAX long; it was named, not yet read.
 *   2. written has a bit for each page that may hold something else than zeros at the destination.
 */
#include "runtime/move/move.h"
#include "addrmap/addr.h"
#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ZERO_AHEAD (8 * ADDR_PAGE_SIZE) /* how far ahead the test for zeros fetches first lines */

struct mover_set {
	struct move_set set;
	uint64_t *written; /* owned; NULL: the destination is not known to be zero */
};

struct mover {
	struct farbus *farbus; /* borrows */
	struct mover_set *set; /* owned */
	uint32_t count;
	uint32_t run_set;
	uint64_t run_off, run_len; /* pending; run_len 0: none */
	struct move_counters counters;
};

static const uint8_t zeros[ADDR_PAGE_SIZE];

struct mover *move_close(struct mover *mover)
{
	if (!mover)
		return NULL;
	for (uint32_t i = 0; mover->set && i < mover->count; i++)
		free(mover->set[i].written);
	free(mover->set);
	free(mover);
	return NULL;
}

static int set_check(const struct move_set *set, uint32_t index)
{
	struct farbus_region_info info;
	int err;

	if (!set->local || set->len == 0 || set->len % ADDR_PAGE_SIZE ||
	    (uintptr_t)set->local % ADDR_PAGE_SIZE)
		return error_set(-EINVAL, "memory %u of the move does not consist of pages", index);
	err = farbus_region_info(set->remote, &info);
	if (err < 0)
		return err;
	if (info.len < set->len)
		return error_set(-ERANGE,
				 "memory %u of the move has %llu bytes, the destination's %llu",
				 index, (unsigned long long)set->len, (unsigned long long)info.len);
	if (!(info.rights & FARBUS_W))
		return error_set(-EACCES, "the destination's memory %u may not be written", index);
	return 0;
}

static int set_open(struct mover_set *own, const struct move_set *set)
{
	own->set = *set;
	if (!set->remote_zero)
		return 0;
	own->written = alloc_array(set->len / ADDR_PAGE_SIZE / 64 + 1, sizeof(uint64_t));
	return own->written ? 0 : error_set(-ENOMEM, "no memory for what was written");
}

int move_open(struct farbus *farbus, const struct move_set *set, uint32_t count,
	      struct mover **ret_mover)
{
	struct mover *mover;
	int err = 0;

	if (count == 0)
		return error_set(-EINVAL, "a move of no memory");
	if (count > MOVE_SET_MAX)
		return error_set(-ENOSPC, "a move of %u memories: %d at most", count, MOVE_SET_MAX);
	mover = alloc_zero(sizeof(*mover));
	if (!mover)
		return error_set(-ENOMEM, "no memory for a mover");
	mover->farbus = farbus;
	mover->count = count;
	mover->set = alloc_array(count, sizeof(*mover->set));
	if (!mover->set)
		err = error_set(-ENOMEM, "no memory for a mover");
	for (uint32_t i = 0; err == 0 && i < count; i++) {
		err = set_check(&set[i], i);
		if (err == 0)
			err = set_open(&mover->set[i], &set[i]);
	}
	if (err < 0) {
		move_close(mover);
		return err;
	}
	*ret_mover = mover;
	return 0;
}

/* ---- zeros ---- */

/*
 * The page may be written meanwhile; what is decided on an old byte is decided again when the
 * page is named again. The first line alone first: most pages that are not zero say so there, and a
 * line of memory that is not in the cache costs as much as copying a tenth of the page.
 */
__attribute__((no_sanitize("thread"))) static bool page_is_zero(const uint8_t *page)
{
	typedef uint64_t lanes __attribute__((vector_size(32), aligned(32), may_alias));
	const lanes *lane = (const lanes *)(const void *)page;

	lanes line = lane[0] | lane[1];

	if (line[0] | line[1] | line[2] | line[3])
		return false;
	for (unsigned i = 0; i < ADDR_PAGE_SIZE / sizeof(lanes); i += 8) {
		lanes any = lane[i] | lane[i + 1] | lane[i + 2] | lane[i + 3] | lane[i + 4] |
			    lane[i + 5] | lane[i + 6] | lane[i + 7];

		if (any[0] | any[1] | any[2] | any[3])
			return false;
	}
	return true;
}

static bool written_get(const struct mover_set *set, uint64_t page)
{
	return !set->written || set->written[page / 64] >> page % 64 & 1;
}

static void written_set(struct mover_set *set, uint64_t off, uint64_t len)
{
	if (!set->written)
		return;
	for (uint64_t page = off / ADDR_PAGE_SIZE; page < (off + len) / ADDR_PAGE_SIZE; page++)
		set->written[page / 64] |= (uint64_t)1 << page % 64;
}

/* ---- runs ---- */

static int put(struct mover *mover, uint32_t set, uint64_t off, const void *src, uint64_t len)
{
	int err = farbus_put(mover->set[set].set.remote, off, src, len);

	if (err < 0)
		return err;
	mover->counters.bytes += len;
	mover->counters.runs++;
	return 0;
}

static int run_write(struct mover *mover)
{
	const uint8_t *local = mover->set[mover->run_set].set.local;
	uint64_t len = mover->run_len;

	if (len == 0)
		return 0;
	mover->run_len = 0;
	return put(mover, mover->run_set, mover->run_off, local + mover->run_off, len);
}

static int run_add(struct mover *mover, uint32_t set, uint64_t off, uint64_t len)
{
	int err;

	if (mover->run_len == 0 || set != mover->run_set ||
	    off != mover->run_off + mover->run_len || mover->run_len + len > MOVE_RUN_MAX) {
		err = run_write(mover);
		if (err < 0)
			return err;
		mover->run_set = set;
		mover->run_off = off;
	}
	mover->run_len += len;
	written_set(&mover->set[set], off, len);
	return 0;
}

static int range_check(const struct mover *mover, uint32_t set, uint64_t off, uint64_t len)
{
	if (set >= mover->count || !addr_within(off, len, mover->set[set].set.len))
		return error_set(-ERANGE, "the move has no %llu bytes at %llu of memory %u",
				 (unsigned long long)len, (unsigned long long)off, set);
	if (off % ADDR_PAGE_SIZE || len % ADDR_PAGE_SIZE)
		return error_set(-EINVAL, "%llu bytes at %llu of memory %u are not whole pages",
				 (unsigned long long)len, (unsigned long long)off, set);
	return 0;
}

int move_pages(struct mover *mover, uint32_t set, uint64_t off, uint64_t len)
{
	const uint8_t *local;
	int err;

	err = range_check(mover, set, off, len);
	if (err < 0)
		return err;
	local = mover->set[set].set.local;
	for (uint64_t end = off + len; err == 0 && off < end; off += ADDR_PAGE_SIZE) {
		mover->counters.pages++;
		if (end - off > ZERO_AHEAD)
			__builtin_prefetch(local + off + ZERO_AHEAD);
		if (!written_get(&mover->set[set], off / ADDR_PAGE_SIZE) &&
		    page_is_zero(local + off))
			mover->counters.zero_pages++;
		else
			err = run_add(mover, set, off, ADDR_PAGE_SIZE);
	}
	return err;
}

int move_bytes(struct mover *mover, uint32_t set, uint64_t off, const void *src, uint64_t len)
{
	int err;

	err = range_check(mover, set, off, len);
	if (err < 0 || len == 0)
		return err;
	err = run_write(mover);
	if (err < 0)
		return err;
	mover->counters.pages += len / ADDR_PAGE_SIZE;
	written_set(&mover->set[set], off, len);
	return put(mover, set, off, src, len);
}

int move_zero(struct mover *mover, uint32_t set, uint64_t off, uint64_t len)
{
	int err;

	err = range_check(mover, set, off, len);
	if (err == 0)
		err = run_write(mover);
	for (uint64_t end = off + len; err == 0 && off < end; off += ADDR_PAGE_SIZE) {
		mover->counters.pages++;
		if (!written_get(&mover->set[set], off / ADDR_PAGE_SIZE))
			mover->counters.zero_pages++;
		else
			err = put(mover, set, off, zeros, ADDR_PAGE_SIZE);
	}
	return err;
}

int move_flush(struct mover *mover, int timeout_ms)
{
	int err;

	err = run_write(mover);
	for (uint32_t i = 0; err == 0 && i < mover->count; i++)
		err = farbus_flush(mover->farbus, mover->set[i].set.remote, FARBUS_FLUSH_REMOTE,
				   timeout_ms);
	return err;
}

struct move_counters move_counters(const struct mover *mover)
{
	return mover->counters;
}
