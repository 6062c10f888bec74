/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addrmap_model_window.c -- the window table beside an array with one element per page
 *
 * The pages are those of four blocks at each of three places: at 0, across two leaves, and at the
 * top of the address space.
 */
#include "addrmap_model.h"

#include "addrmap/window_inline.h"
#include "base/alloc.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE ADDR_PAGE_SIZE
#define BLOCK_PAGES WINDOW_PAGE_MAX
#define PLACE_PAGES (4u * BLOCK_PAGES)
#define PLACES 3u
#define IMPORTS 5u

struct page {
	uint32_t window; /* which insertion; 0: none */
	uint32_t import, rights, state, flags;
	uint64_t off;
};

struct model {
	struct window_table *table;
	uint32_t window_last;
	struct page page[PLACES * PLACE_PAGES];
};

static uint64_t va_of(size_t page)
{
	static const uint64_t base[PLACES] = {
		0,
		((uint64_t)1 << WINDOW_LEAF_SHIFT) - 2 * ADDR_BLOCK_SIZE,
		((uint64_t)1 << ADDR_VA_BITS) - 4 * ADDR_BLOCK_SIZE,
	};

	return base[page / PLACE_PAGES] + page % PLACE_PAGES * PAGE;
}

static void *model_new(void)
{
	struct model *model = calloc(1, sizeof(*model));

	FARBUS_ASSERT(model);
	FARBUS_ASSERT(window_table_new(&model->table) == 0);
	return model;
}

static void model_free(void *arg)
{
	struct model *model = arg;

	window_table_free(model->table);
	free(model);
}

/* A range within one place: any pages, or such that an end is at or beside a block's. */
static size_t range_choose(struct choice *choice, size_t *ret_count)
{
	static const size_t near[] = {
		0, 1, BLOCK_PAGES - 1, BLOCK_PAGES, BLOCK_PAGES + 1, 2 * BLOCK_PAGES
	};
	size_t place = choose(choice, PLACES) * PLACE_PAGES, from = choose(choice, PLACE_PAGES);
	size_t count = 1 + choose(choice, choose(choice, 2) ? 8 : PLACE_PAGES);

	if (choose(choice, 2))
		from = from / BLOCK_PAGES * BLOCK_PAGES + near[choose(choice, 3)];
	if (choose(choice, 3) == 0)
		count = near[1 + choose(choice, COUNT_OF(near) - 1)];
	if (from >= PLACE_PAGES)
		from = PLACE_PAGES - 1;
	*ret_count = count < PLACE_PAGES - from ? count : PLACE_PAGES - from;
	return place + from;
}

/* Now and then an allocation fails; true when the call really met it. */
static void fault_choose(struct choice *choice)
{
	alloc_fault_arm(choose(choice, 8) == 0 ? 1 + choose(choice, 4) : 0);
}

static bool fault_met(int err)
{
	bool fired = alloc_fault_fired();

	alloc_fault_arm(0);
	FARBUS_ASSERT(fired == (err == -ENOMEM));
	return fired;
}

static void step_insert(struct model *model, struct choice *choice)
{
	size_t count, from = range_choose(choice, &count);
	struct window_extent extent = {
		.va = { va_of(from) },
		.len = count * PAGE,
		.off = choose(choice, 4096) * PAGE,
		.import = (uint32_t)choose(choice, IMPORTS),
		.rights = (uint32_t)choose(choice, 32),
		.state = (uint32_t)choose(choice, 3),
		.flags = (uint32_t)choose(choice, 256),
	};
	bool taken = false;

	for (size_t i = from; i < from + count; i++)
		taken |= model->page[i].window != 0;
	fault_choose(choice);
	int err = window_insert(model->table, &extent);
	if (fault_met(err))
		return;
	FARBUS_ASSERT(err == (taken ? -EEXIST : 0));
	if (err < 0)
		return;
	model->window_last++;
	for (size_t i = 0; i < count; i++)
		model->page[from + i] =
			(struct page){ model->window_last, extent.import, extent.rights,
				       extent.state,	   extent.flags,  extent.off + i * PAGE };
}

static void step_remove(struct model *model, struct choice *choice)
{
	size_t count, from = range_choose(choice, &count);
	bool gap = false;

	for (size_t i = from; i < from + count; i++)
		gap |= model->page[i].window == 0;
	fault_choose(choice);
	int err = window_remove(model->table, (farbus_va_t){ va_of(from) }, count * PAGE);
	if (fault_met(err))
		return;
	FARBUS_ASSERT(err == (gap ? -ENOENT : 0));
	if (err == 0)
		memset(&model->page[from], 0, count * sizeof(model->page[0]));
}

/* The window at a page, whole, as farbus_unmap() would take it. */
static void step_remove_window(struct model *model, struct choice *choice)
{
	size_t from = choose(choice, COUNT_OF(model->page)), to;
	uint32_t window = model->page[from].window;

	if (window == 0)
		return;
	for (to = from; to % PLACE_PAGES && model->page[to].window == window; to++)
		;
	while (from % PLACE_PAGES && model->page[from - 1].window == window)
		from--;
	if (to == from)
		to++;
	FARBUS_ASSERT(
		window_remove(model->table, (farbus_va_t){ va_of(from) }, (to - from) * PAGE) == 0);
	memset(&model->page[from], 0, (to - from) * sizeof(model->page[0]));
}

static void step_state(struct model *model, struct choice *choice)
{
	uint32_t import = (uint32_t)choose(choice, IMPORTS), state = (uint32_t)choose(choice, 3);

	window_state_set(model->table, import, (enum window_state)state);
	for (size_t i = 0; i < COUNT_OF(model->page); i++)
		if (model->page[i].window && model->page[i].import == import)
			model->page[i].state = state;
}

static void pages_compare(const struct model *model)
{
	for (size_t i = 0; i < COUNT_OF(model->page); i++) {
		const struct page *page = &model->page[i];
		uint64_t byte = i * 37 % PAGE;
		struct window_hit hit;
		bool found = window_translate_inline(model->table, (farbus_va_t){ va_of(i) + byte },
						     &hit);

		FARBUS_ASSERT(found == (page->window != 0));
		if (!found)
			continue;
		FARBUS_ASSERT(hit.import == page->import);
		FARBUS_ASSERT(hit.rights == page->rights);
		FARBUS_ASSERT(hit.state == page->state);
		FARBUS_ASSERT(hit.off == page->off + byte);
	}
}

/* The windows are the runs of pages of one insertion: nothing is merged, all is listed in order. */
static void extents_compare(const struct model *model)
{
	struct window_extent extent;
	farbus_va_t at = { 0 };
	size_t i = 0;

	while (window_next(model->table, at, &extent) == 0) {
		while (i < COUNT_OF(model->page) && model->page[i].window == 0)
			i++;
		FARBUS_ASSERT(i < COUNT_OF(model->page));
		FARBUS_ASSERT(extent.va.v == va_of(i));
		FARBUS_ASSERT(extent.flags == model->page[i].flags);
		FARBUS_ASSERT(extent.state == model->page[i].state);
		uint32_t window = model->page[i].window;

		for (uint64_t off = 0; off < extent.len; off += PAGE, i++)
			FARBUS_ASSERT(model->page[i].window == window);
		at.v = extent.va.v + extent.len;
		FARBUS_ASSERT(i % PLACE_PAGES == 0 || model->page[i].window != window);
	}
	while (i < COUNT_OF(model->page))
		FARBUS_ASSERT(model->page[i++].window == 0);
}

static void model_step(void *arg, struct choice *choice)
{
	struct model *model = arg;

	switch (choose(choice, 8)) {
	case 0:
	case 1:
	case 2:
		step_insert(model, choice);
		break;
	case 3:
	case 4:
		step_remove(model, choice);
		break;
	case 5:
		step_remove_window(model, choice);
		break;
	case 6:
		step_state(model, choice);
		break;
	default:
		window_reclaim(model->table);
	}
	window_check(model->table);
	pages_compare(model);
	extents_compare(model);
}

const struct model_ops model_window = {
	.name = "window table",
	.new = model_new,
	.step = model_step,
	.free = model_free,
	.seeds = 8,
	.steps = 1500,
};
