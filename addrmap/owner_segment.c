/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * owner_segment.c -- who holds what of a region, as segments that differ from their neighbours
 *
 * Invariants (segments_check):
 *   1. a segment is whole pages, not empty, inside the region; it ends at or before the next starts
 *   2. holders stand in it once, by instance; one that writes is alone but for an asker
 *   3. without a request, it has a holder, no INVALID one, nobody with actions, and differs from a
 *      neighbour that it touches
 *   4. both counts are right
 */
#include "addrmap/owner_private.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

static int segment_compare(const struct segment *a, const struct segment *b)
{
	return (a->off > b->off) - (a->off < b->off);
}

TREE_GENERATE(segments, segment, link, segment_compare)

static uint64_t segment_end(const struct segment *segment)
{
	return segment->off + segment->len;
}

struct segment *segment_at(const struct owner_table *table, uint64_t off)
{
	struct segments *segments = TREE_CONST(segments, &table->segments);
	struct segment key = { .off = off };
	struct segment *above = RB_NFIND(segments, segments, &key);
	struct segment *below =
		above ? RB_PREV(segments, segments, above) : RB_MAX(segments, segments);

	return below && segment_end(below) > off ? below : above;
}

struct segment *segment_after(const struct segment *segment)
{
	return RB_NEXT(segments, NULL, (struct segment *)(uintptr_t)segment);
}

/* ---- holds ---- */

struct hold *segment_hold(const struct segment *segment, uint32_t instance)
{
	struct hold *hold;

	LIST_FOREACH(hold, &segment->holds, link)
		if (hold->instance == instance)
			return hold;
	return NULL;
}

static int hold_add(struct owner_table *table, struct segment *segment, uint32_t instance,
		    uint8_t state)
{
	struct hold *hold, *at, *before = NULL;

	if (table->hold_count == OWNER_HOLD_MAX)
		return error_set(-ENOSPC, "a region has %u holders of its ranges already",
				 OWNER_HOLD_MAX);
	hold = alloc_zero(sizeof(*hold));
	if (!hold)
		return error_set(-ENOMEM, "no memory for a holder of a range");
	hold->instance = instance;
	hold->state = state;
	LIST_FOREACH(at, &segment->holds, link) {
		if (at->instance > instance)
			break;
		before = at;
	}
	if (before)
		LIST_INSERT_AFTER(before, hold, link);
	else
		LIST_INSERT_HEAD(&segment->holds, hold, link);
	table->hold_count++;
	return 0;
}

void segment_hold_free(struct owner_table *table, struct hold *hold)
{
	LIST_REMOVE(hold, link);
	table->hold_count--;
	free(hold);
}

static bool holds_equal(const struct segment *a, const struct segment *b)
{
	const struct hold *x = LIST_FIRST(&a->holds), *y = LIST_FIRST(&b->holds);

	for (; x && y; x = LIST_NEXT(x, link), y = LIST_NEXT(y, link))
		if (x->instance != y->instance || x->state != y->state)
			return false;
	return !x && !y;
}

/* ---- segments ---- */

static int segment_new(struct owner_table *table, uint64_t off, uint64_t end,
		       struct segment **ret_segment)
{
	struct segment *segment;

	if (table->segment_count == OWNER_SEGMENT_MAX)
		return error_set(-ENOSPC,
				 "a region has %u ranges with different holders already: "
				 "own larger pieces",
				 OWNER_SEGMENT_MAX);
	segment = alloc_zero(sizeof(*segment));
	if (!segment)
		return error_set(-ENOMEM, "no memory for the holders of a range");
	segment->off = off;
	segment->len = end - off;
	*ret_segment = segment;
	return 0;
}

static void segment_link(struct owner_table *table, struct segment *segment)
{
	RB_INSERT(segments, &table->segments, segment);
	table->segment_count++;
}

static void holds_free(struct owner_table *table, struct segment *segment)
{
	struct hold *hold;

	while ((hold = LIST_FIRST(&segment->holds)))
		segment_hold_free(table, hold);
}

static void segment_free(struct owner_table *table, struct segment *segment)
{
	holds_free(table, segment);
	RB_REMOVE(segments, &table->segments, segment);
	table->segment_count--;
	free(segment);
}

/* At at, if that is inside a segment. None under a request is ever split. */
static int segment_split(struct owner_table *table, uint64_t at)
{
	struct segment *segment = segment_at(table, at), *upper;
	const struct hold *hold;
	int err;

	if (!segment || segment->off >= at)
		return 0;
	err = segment_new(table, at, segment_end(segment), &upper);
	if (err < 0)
		return err;
	LIST_FOREACH(hold, &segment->holds, link) {
		err = hold_add(table, upper, hold->instance, hold->state);
		if (err < 0)
			goto free_upper;
	}
	segment->len = at - segment->off;
	segment_link(table, upper);
	return 0;

free_upper:
	holds_free(table, upper);
	free(upper);
	return err;
}

/* Of nobody, from off to the next segment or to end. */
static int gap_fill(struct owner_table *table, uint64_t off, uint64_t end,
		    struct segment **ret_segment)
{
	const struct segment *above = segment_at(table, off);
	int err;

	if (above && above->off < end)
		end = above->off;
	err = segment_new(table, off, end, ret_segment);
	if (err < 0)
		return err;
	segment_link(table, *ret_segment);
	return 0;
}

int segments_carve(struct owner_table *table, uint64_t off, uint64_t end, uint32_t instance)
{
	int err = segment_split(table, off);

	if (err < 0)
		return err;
	err = segment_split(table, end);
	while (err == 0 && off < end) {
		struct segment *segment = segment_at(table, off);

		if (!segment || segment->off > off)
			err = gap_fill(table, off, end, &segment);
		if (err == 0 && instance && !segment_hold(segment, instance))
			err = hold_add(table, segment, instance, OWNER_INVALID);
		if (err == 0)
			off = segment_end(segment);
	}
	return err;
}

/* A hold of nothing is only for a request. */
static void placeholders_drop(struct owner_table *table, struct segment *segment)
{
	struct hold *hold, *next;

	for (hold = LIST_FIRST(&segment->holds); hold; hold = next) {
		next = LIST_NEXT(hold, link);
		if (hold->state == OWNER_INVALID)
			segment_hold_free(table, hold);
	}
}

static bool mergeable(const struct segment *below, const struct segment *segment)
{
	return below && segment_end(below) == segment->off && !below->request &&
	       !segment->request && holds_equal(below, segment);
}

void segments_heal(struct owner_table *table, uint64_t off, uint64_t end)
{
	struct segment *segment = segment_at(table, off), *below, *next;

	below = segment ? RB_PREV(segments, &table->segments, segment) : NULL;
	for (; segment && segment->off <= end; segment = next) {
		next = segment_after(segment);
		if (!segment->request)
			placeholders_drop(table, segment);
		if (!segment->request && LIST_EMPTY(&segment->holds)) {
			segment_free(table, segment);
		} else if (mergeable(below, segment)) {
			below->len += segment->len;
			segment_free(table, segment);
		} else {
			below = segment;
		}
	}
}

void segments_fini(struct owner_table *table)
{
	struct segment *segment;

	while ((segment = RB_ROOT(&table->segments)))
		segment_free(table, segment);
}

/* ---- invariants ---- */

static uint32_t holds_check(const struct segment *segment)
{
	const struct owner_request *request = segment->request;
	uint32_t count = 0, last = 0, readers = 0, writers = 0;
	const struct hold *hold;

	LIST_FOREACH(hold, &segment->holds, link) {
		FARBUS_ASSERT(hold->instance > last);
		last = hold->instance;
		readers += hold->state == OWNER_READ;
		writers += hold->state == OWNER_WRITE;
		count++;
		FARBUS_ASSERT(hold->state <= OWNER_WRITE);
		if (hold->state != OWNER_INVALID && (request || !hold->actions))
			continue;
		FARBUS_ASSERT(request);
		FARBUS_ASSERT(!hold->actions);
		FARBUS_ASSERT(hold->instance == request->ask.instance);
	}
	FARBUS_ASSERT(writers <= 1);
	FARBUS_ASSERT(!writers || !readers);
	FARBUS_ASSERT(request || count > 0);
	return count;
}

void segments_check(const struct owner_table *table)
{
	struct segments *segments = TREE_CONST(segments, &table->segments);
	const struct segment *below = NULL;
	uint32_t segment_count = 0, hold_count = 0;
	struct segment *segment;

	RB_FOREACH(segment, segments, segments)
	{
		FARBUS_ASSERT((segment->off | segment->len) % ADDR_PAGE_SIZE == 0);
		FARBUS_ASSERT(addr_within(segment->off, segment->len, table->len));
		FARBUS_ASSERT(!below || segment_end(below) <= segment->off);
		FARBUS_ASSERT(!mergeable(below, segment));
		hold_count += holds_check(segment);
		segment_count++;
		below = segment;
	}
	FARBUS_ASSERT(segment_count == table->segment_count);
	FARBUS_ASSERT(hold_count == table->hold_count);
	FARBUS_ASSERT(segment_count <= OWNER_SEGMENT_MAX);
	FARBUS_ASSERT(hold_count <= OWNER_HOLD_MAX);
}
