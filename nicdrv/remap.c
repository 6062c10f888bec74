/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remap.c -- the maps of the device
 *
 * Invariants (remap_check):
 *   1. live and draft are sorted by bus, and their ranges do not overlap
 *   2. no range is empty, wraps, or reaches past its memory
 *   3. hit is a live range, or 0
 */
#include "nicdrv/remap.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int remap_init(struct remap *ret_remap)
{
	struct remap remap = { 0 };

	remap.live = alloc_array(REMAP_RANGE_MAX, sizeof(*remap.live));
	remap.draft = alloc_array(REMAP_RANGE_MAX, sizeof(*remap.draft));
	if (!remap.live || !remap.draft) {
		remap_fini(&remap);
		return error_set(-ENOMEM, "no memory for a device's address map");
	}
	*ret_remap = remap;
	return 0;
}

static void ranges_put(struct remap_range *range, uint32_t *count)
{
	for (uint32_t i = 0; i < *count; i++)
		remap_memory_put(range[i].memory);
	*count = 0;
}

void remap_fini(struct remap *remap)
{
	ranges_put(remap->live, &remap->live_count);
	ranges_put(remap->draft, &remap->draft_count);
	free(remap->live);
	free(remap->draft);
	memset(remap, 0, sizeof(*remap));
}

void remap_draft_clear(struct remap *remap)
{
	ranges_put(remap->draft, &remap->draft_count);
}

void remap_draft_copy(struct remap *remap)
{
	remap_draft_clear(remap);
	for (uint32_t i = 0; i < remap->live_count; i++) {
		remap->draft[i] = remap->live[i];
		remap_memory_get(remap->draft[i].memory);
	}
	remap->draft_count = remap->live_count;
}

static bool range_sound(const struct remap_range *range)
{
	uint64_t len = remap_memory_len(range->memory);

	return range->len > 0 && range->bus <= UINT64_MAX - range->len && range->off <= len &&
	       range->len <= len - range->off;
}

/* The first range that ends behind bus; count: none. */
static uint32_t range_find(const struct remap_range *range, uint32_t count, uint64_t bus)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (range[middle].bus + range[middle].len > bus)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

int remap_draft_add(struct remap *remap, const struct remap_range *range)
{
	uint32_t at = range_find(remap->draft, remap->draft_count, range->bus);

	if (!range_sound(range))
		return error_set(-EINVAL,
				 "range %#llx+%#llx of a device map: it is empty, wraps, or is not "
				 "inside its memory",
				 (unsigned long long)range->bus, (unsigned long long)range->len);
	if (!range->rights || range->rights & ~(unsigned int)(REMAP_READ | REMAP_WRITE))
		return error_set(-EINVAL, "range of a device map with rights %#x", range->rights);
	if (at < remap->draft_count && remap->draft[at].bus < range->bus + range->len)
		return error_set(-EEXIST, "range %#llx+%#llx overlaps %#llx+%#llx of a device map",
				 (unsigned long long)range->bus, (unsigned long long)range->len,
				 (unsigned long long)remap->draft[at].bus,
				 (unsigned long long)remap->draft[at].len);
	if (remap->draft_count == REMAP_RANGE_MAX)
		return error_set(-ENOSPC, "a device map has at most %d ranges", REMAP_RANGE_MAX);
	memmove(&remap->draft[at + 1], &remap->draft[at],
		(remap->draft_count - at) * sizeof(*range));
	remap->draft[at] = *range;
	remap_memory_get(range->memory);
	remap->draft_count++;
	return 0;
}

int remap_draft_remove(struct remap *remap, uint64_t bus, uint64_t len)
{
	uint32_t at = range_find(remap->draft, remap->draft_count, bus);

	if (at == remap->draft_count || remap->draft[at].bus != bus || remap->draft[at].len != len)
		return error_set(-ENOENT, "no range %#llx+%#llx in the device map",
				 (unsigned long long)bus, (unsigned long long)len);
	remap_memory_put(remap->draft[at].memory);
	remap->draft_count--;
	memmove(&remap->draft[at], &remap->draft[at + 1],
		(remap->draft_count - at) * sizeof(*remap->draft));
	return 0;
}

/* The bytes that both ranges show, as far into each as they begin. */
struct overlap {
	uint64_t into[2], len;
};

static bool range_overlap(const struct remap_range *a, const struct remap_range *b,
			  struct overlap *ret_overlap)
{
	uint64_t off[2], from, to, end[2];

	if (!remap_memory_same(a->memory, b->memory, off))
		return false;
	off[0] += a->off;
	off[1] += b->off;
	end[0] = off[0] + a->len;
	end[1] = off[1] + b->len;
	from = off[0] > off[1] ? off[0] : off[1];
	to = end[0] < end[1] ? end[0] : end[1];
	*ret_overlap = (struct overlap){ { from - off[0], from - off[1] }, to - from };
	return from < to;
}

static bool ranges_aliased(const struct remap_range *range, uint32_t count)
{
	struct overlap overlap;

	for (uint32_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (range_overlap(&range[i], &range[k], &overlap))
				return true;
	return false;
}

void remap_aliases(const struct remap *remap, uint64_t bus, uint64_t len,
		   void (*visit)(void *arg, uint64_t bus, uint64_t len), void *arg)
{
	uint32_t first = range_find(remap->live, remap->live_count, bus);

	for (uint32_t i = first; i < remap->live_count; i++) {
		struct remap_range part = remap->live[i];
		uint64_t into = bus > part.bus ? bus - part.bus : 0;

		if (part.bus > bus && part.bus - bus >= len)
			return;
		part.bus += into;
		part.off += into;
		part.len -= into;
		if (part.len > len - (part.bus - bus))
			part.len = len - (part.bus - bus);
		for (uint32_t k = 0; k < remap->live_count; k++) {
			struct overlap overlap;

			if (k != i && range_overlap(&part, &remap->live[k], &overlap))
				visit(arg, remap->live[k].bus + overlap.into[1], overlap.len);
		}
	}
}

void remap_flip(struct remap *remap)
{
	struct remap_range *old = remap->live;
	uint32_t old_count = remap->live_count;

	remap->live = remap->draft;
	remap->live_count = remap->draft_count;
	remap->draft = old;
	remap->draft_count = old_count;
	remap->hit = 0;
	remap->aliased = ranges_aliased(remap->live, remap->live_count);
	remap->generation++;
	remap_draft_clear(remap);
	FARBUS_DEBUG_ASSERT((remap_check(remap), true));
}

uint64_t remap_piece(struct remap *remap, uint64_t bus, uint64_t len, unsigned int rights,
		     void **ret_at)
{
	const struct remap_range *range = &remap->live[remap->hit];
	uint64_t into, room;

	*ret_at = NULL;
	/* One comparison for both ends: below the start wraps to a huge number. */
	if (remap->live_count == 0 || bus - range->bus >= range->len) {
		uint32_t at = range_find(remap->live, remap->live_count, bus);

		if (at == remap->live_count || bus < remap->live[at].bus)
			return 0;
		remap->hit = at;
		range = &remap->live[at];
	}
	if ((range->rights & rights) != rights)
		return 0;
	into = bus - range->bus;
	room = range->len - into;
	*ret_at = (uint8_t *)remap_memory_start(range->memory) + range->off + into;
	return len < room ? len : room;
}

bool remap_read(struct remap *remap, uint64_t bus, void *to, uint64_t len)
{
	while (len > 0) {
		void *at;
		uint64_t piece = remap_piece(remap, bus, len, REMAP_READ, &at);

		if (piece == 0)
			return false;
		memcpy(to, at, piece);
		to = (uint8_t *)to + piece;
		bus += piece;
		len -= piece;
	}
	return true;
}

bool remap_reverse(const struct remap *remap, const void *at, uint64_t after, uint64_t *ret_bus)
{
	for (uint32_t i = 0; i < remap->live_count; i++) {
		const struct remap_range *range = &remap->live[i];
		uint64_t into = (uint64_t)(uintptr_t)at -
				(uint64_t)(uintptr_t)remap_memory_start(range->memory) - range->off;

		if (into >= range->len || (after != UINT64_MAX && range->bus + into <= after))
			continue;
		*ret_bus = range->bus + into;
		return true;
	}
	return false;
}

bool remap_lost(const struct remap *remap)
{
	for (uint32_t i = 0; i < remap->live_count; i++)
		if (remap_memory_lost(remap->live[i].memory))
			return true;
	return false;
}

static void ranges_check(const struct remap_range *range, uint32_t count)
{
	FARBUS_ASSERT(count <= REMAP_RANGE_MAX);
	for (uint32_t i = 0; i < count; i++) {
		FARBUS_ASSERT(range_sound(&range[i]));
		if (i > 0)
			FARBUS_ASSERT(range[i - 1].bus + range[i - 1].len <= range[i].bus);
	}
}

void remap_check(const struct remap *remap)
{
	ranges_check(remap->live, remap->live_count);
	ranges_check(remap->draft, remap->draft_count);
	FARBUS_ASSERT(remap->hit == 0 || remap->hit < remap->live_count);
}
