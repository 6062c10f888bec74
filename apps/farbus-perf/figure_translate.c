/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figure_translate.c -- VA to import and offset, on the window table alone
 *
 * Regions of 2 to 16 MiB with gaps between them; 16384 addresses, random over all of them. The
 * floor is one load from an array with one entry per 2 MiB of VA: what any table must do.
 */
#include "addrmap/window_inline.h"
#include "apps/farbus-perf/figure.h"
#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define VA_START 0x100000000000ull
#define ADDRESS_COUNT ((uint64_t)16384)
#define BATCH_NS NS_PER_MS /* what the one puts into the caches shall not matter to the other */
#define ROUND_MIN 4

struct translate {
	struct window_table *table; /* owned */
	uint64_t *flat;		    /* owned; one entry per block from VA_START on */
	size_t flat_len;
	uint64_t *address; /* owned; ADDRESS_COUNT */
};

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void translate_fini(struct translate *translate)
{
	window_table_free(translate->table);
	free(translate->address);
	if (translate->flat)
		munmap(translate->flat, translate->flat_len);
}

/* One of the regions is at va, or ends before it; both tables get it. */
static int region_add(struct translate *translate, uint64_t va, uint64_t blocks, uint32_t import)
{
	const struct window_extent extent = { .va = { va },
					      .len = blocks << ADDR_BLOCK_SHIFT,
					      .import = import,
					      .rights = FARBUS_R | FARBUS_W };
	uint64_t first = (va - VA_START) >> ADDR_BLOCK_SHIFT;

	for (uint64_t i = 0; i < blocks; i++)
		translate->flat[first + i] = (uint64_t)import << 40 | (i + 1) << ADDR_BLOCK_SHIFT;
	return window_insert(translate->table, &extent);
}

/* start[i], blocks[i]: where the regions are. */
static int regions_add(struct translate *translate, uint32_t count, uint64_t *start,
		       uint32_t *blocks, uint64_t *state)
{
	uint64_t va = VA_START;
	int err = 0;

	for (uint32_t i = 0; i < count && err == 0; i++) {
		uint64_t shape = random_next(state);

		start[i] = va;
		blocks[i] = 1 + (uint32_t)(shape & 7);
		va += (blocks[i] + (shape >> 8 & 3)) << ADDR_BLOCK_SHIFT;
		err = region_add(translate, start[i], blocks[i], i + 1);
	}
	return err;
}

static void addresses_choose(struct translate *translate, uint32_t count, const uint64_t *start,
			     const uint32_t *blocks, uint64_t *state)
{
	for (uint64_t i = 0; i < ADDRESS_COUNT; i++) {
		uint32_t at = (uint32_t)(random_next(state) % count);
		uint64_t len = (uint64_t)blocks[at] << ADDR_BLOCK_SHIFT;

		translate->address[i] = start[at] + (random_next(state) % len & ~7ull);
	}
}

static int translate_init(struct translate *translate, uint32_t count)
{
	uint64_t state = 0x9e3779b97f4a7c15ull;
	uint64_t *start = calloc(count, sizeof(*start));
	uint32_t *blocks = calloc(count, sizeof(*blocks));
	int err = -ENOMEM;

	*translate = (struct translate){ .flat_len = (size_t)count * 11 * sizeof(uint64_t) };
	translate->address = calloc(ADDRESS_COUNT, sizeof(uint64_t));
	translate->flat = mmap(NULL, translate->flat_len, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (translate->flat == MAP_FAILED)
		translate->flat = NULL;
	if (start && blocks && translate->address && translate->flat)
		err = window_table_new(&translate->table);
	if (err == 0)
		err = regions_add(translate, count, start, blocks, &state);
	if (err == 0)
		addresses_choose(translate, count, start, blocks, &state);
	else
		translate_fini(translate);
	free(start);
	free(blocks);
	return err;
}

static int translate_subject(void *arg, uint64_t count)
{
	const struct translate *translate = arg;
	const struct window_table *table = translate->table;
	const uint64_t *address = translate->address;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < count; i++) {
		farbus_va_t va = { address[i % ADDRESS_COUNT] };
		struct window_hit hit;

		/* Everything a put would need to know. */
		if (!window_translate_inline(table, va, &hit) || !(hit.rights & FARBUS_W) ||
		    hit.state != WINDOW_READY)
			return error_set(-EFAULT, "the table has no window at %llx",
					 (unsigned long long)va.v);
		sum += hit.off + hit.import;
	}
	measure_keep(sum);
	return 0;
}

static int translate_floor(void *arg, uint64_t count)
{
	const struct translate *translate = arg;
	const uint64_t *address = translate->address, *flat = translate->flat;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t block = (address[i % ADDRESS_COUNT] - VA_START) >> ADDR_BLOCK_SHIFT;

		sum += __atomic_load_n(&flat[block], __ATOMIC_RELAXED);
	}
	measure_keep(sum);
	return 0;
}

int figure_translate(const struct figure_bench *bench, const struct figure *figure,
		     struct measure_result *ret_result)
{
	struct measure_plan plan = { .clock = CLOCK_MONOTONIC,
				     .batch_ns = BATCH_NS,
				     .budget_ns = bench->budget_ns,
				     .round_min = ROUND_MIN };
	struct translate translate;
	struct measure_side floor = { translate_floor, &translate };
	struct measure_side subject = { translate_subject, &translate };
	int err = translate_init(&translate, figure->param);

	if (err < 0)
		return err;
	err = measure_pair(&plan, &floor, &subject, ret_result);
	translate_fini(&translate);
	return err;
}
