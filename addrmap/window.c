/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window.c -- window table: which windows there are
 *
 * Invariants (window_check):
 *   1. windows are whole pages, not empty, below 2^47 in VA and 2^44 in the import
 *   2. a window ends at or before the next one starts
 *   3. both trees hold the same windows
 *   4. the entries say what the windows say (window_pages_check)
 *
 * Everything that can fail comes before the first change that readers can see.
 */
#include "addrmap/rights.h"
#include "addrmap/window_private.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

#define VA_END ((uint64_t)1 << ADDR_VA_BITS)

_Static_assert(RIGHTS_ALL <= WINDOW_RIGHTS_MASK, "rights fit an entry");

static int compare64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int va_compare(const struct window *a, const struct window *b)
{
	return compare64(a->is.va.v, b->is.va.v);
}

static int import_compare(const struct window *a, const struct window *b)
{
	int by_import = compare64(a->is.import, b->is.import);

	return by_import ? by_import : va_compare(a, b);
}

TREE_GENERATE(windows_by_va, window, by_va, va_compare)
TREE_GENERATE(windows_by_import, window, by_import, import_compare)

static uint64_t window_end(const struct window *window)
{
	return window->is.va.v + window->is.len;
}

/* ---- life ---- */

int window_table_new(struct window_table **ret_table)
{
	struct window_table *table = alloc_sparse(sizeof(*table));

	if (!table)
		return error_set(
			-ENOMEM,
			"no memory: the window table needs %zu MiB of address space; see ulimit -v",
			sizeof(table->entry) >> 20);
	if (!alloc_sparse_open(&table->control, sizeof(table->control)))
		goto free_table;
	table->control = alloc_zero(sizeof(*table->control));
	if (!table->control)
		goto free_table;
	*ret_table = table;
	return 0;

free_table:
	alloc_sparse_free(table, sizeof(*table));
	return error_set(-ENOMEM, "no memory for the window table");
}

struct window_table *window_table_free(struct window_table *table)
{
	struct window *window;

	if (!table)
		return NULL;
	window_pages_fini(table);
	while ((window = RB_ROOT(&table->control->by_va))) {
		RB_REMOVE(windows_by_va, &table->control->by_va, window);
		free(window);
	}
	free(table->control);
	alloc_sparse_free(table, sizeof(*table));
	return NULL;
}

/* ---- finding ---- */

struct window *window_at(const struct window_table *table, uint64_t va)
{
	struct windows_by_va *tree = &table->control->by_va;
	struct window key = { .is.va = { va } };
	struct window *above = RB_NFIND(windows_by_va, tree, &key);
	struct window *below =
		above ? RB_PREV(windows_by_va, tree, above) : RB_MAX(windows_by_va, tree);

	return below && window_end(below) > va ? below : above;
}

int window_next(const struct window_table *table, farbus_va_t va, struct window_extent *ret_extent)
{
	const struct window *window = window_at(table, va.v);

	if (!window)
		return -ENOENT; /* the end of a loop, not a failure: no text */
	*ret_extent = window->is;
	return 0;
}

bool window_translate(const struct window_table *table, farbus_va_t va, struct window_hit *ret_hit)
{
	return window_translate_inline(table, va, ret_hit);
}

/* ---- inserting ---- */

static int range_check(farbus_va_t va, uint64_t len)
{
	if (len == 0 || (va.v | len) % ADDR_PAGE_SIZE)
		return error_set(-EINVAL,
				 "window of %#llx bytes at %#llx: give whole pages of %llu bytes, "
				 "at least one",
				 (unsigned long long)len, (unsigned long long)va.v,
				 (unsigned long long)ADDR_PAGE_SIZE);
	if (!addr_within(va.v, len, VA_END))
		return error_set(-ERANGE,
				 "window of %#llx bytes at %#llx ends above 2^%d: map it lower",
				 (unsigned long long)len, (unsigned long long)va.v, ADDR_VA_BITS);
	return 0;
}

static int extent_check(const struct window_extent *extent)
{
	int err = range_check(extent->va, extent->len);

	if (err < 0)
		return err;
	if (extent->off % ADDR_PAGE_SIZE)
		return error_set(-EINVAL, "window at offset %#llx: give a multiple of %llu",
				 (unsigned long long)extent->off,
				 (unsigned long long)ADDR_PAGE_SIZE);
	if (!addr_within(extent->off, extent->len, (uint64_t)1 << WINDOW_OFF_BITS))
		return error_set(-ERANGE, "window onto offsets above 2^%d of an import",
				 WINDOW_OFF_BITS);
	if (extent->import >= WINDOW_IMPORT_MAX || extent->rights & ~RIGHTS_ALL ||
	    extent->state > WINDOW_DEAD)
		return error_set(-EINVAL,
				 "window with import %u, rights 0x%x, state %u: one of "
				 "them does not exist",
				 extent->import, extent->rights, extent->state);
	return 0;
}

static int overlap_check(const struct window_table *table, const struct window_extent *extent)
{
	const struct window *window = window_at(table, extent->va.v);

	if (!window || window->is.va.v >= extent->va.v + extent->len)
		return 0;
	return error_set(-EEXIST, "a window of %#llx bytes at %#llx is there already: unmap it",
			 (unsigned long long)window->is.len, (unsigned long long)window->is.va.v);
}

static void window_link(struct window_table *table, struct window *window)
{
	RB_INSERT(windows_by_va, &table->control->by_va, window);
	RB_INSERT(windows_by_import, &table->control->by_import, window);
}

int window_insert(struct window_table *table, const struct window_extent *extent)
{
	struct window_edges edges;
	int err = extent_check(extent);

	if (err < 0)
		return err;
	err = overlap_check(table, extent);
	if (err < 0)
		return err;
	struct window *window = alloc_zero(sizeof(*window));
	if (!window)
		return error_set(-ENOMEM, "no memory for a window's entry");
	err = window_pages_prepare(table, extent->va, extent->len, &edges);
	if (err < 0)
		goto free_window;

	window->is = *extent;
	window_link(table, window);
	window_pages_store(table, extent->va, extent->len, &edges, extent);
	return 0;

free_window:
	free(window);
	return err;
}

/* ---- removing ---- */

static int covered_check(const struct window_table *table, uint64_t va, uint64_t end)
{
	const struct window *window;

	for (; va < end; va = window_end(window)) {
		window = window_at(table, va);
		if (!window || window->is.va.v > va)
			return error_set(-ENOENT, "no window at %#llx", (unsigned long long)va);
	}
	return 0;
}

/*
 *   |------------ window ------------|
 *   |-- stays --|== goes ==|-- tail -|      [va, end) goes, or what of it is in this window
 *
 * Neither cut changes a window's place among its neighbours. Takes *tail when it needs it.
 */
static void window_cut(struct window_table *table, struct window *window, uint64_t va, uint64_t end,
		       struct window **tail)
{
	struct window_extent left = window->is, right = window->is;

	left.len = va > left.va.v ? va - left.va.v : 0;
	right.len = window_end(window) > end ? window_end(window) - end : 0;
	right.off += end - right.va.v;
	right.va.v = end;
	if (left.len > 0 && right.len > 0) {
		window->is = left;
		(*tail)->is = right;
		window_link(table, *tail);
		*tail = NULL;
	} else if (left.len > 0) {
		window->is = left;
	} else if (right.len > 0) {
		window->is = right;
	} else {
		RB_REMOVE(windows_by_va, &table->control->by_va, window);
		RB_REMOVE(windows_by_import, &table->control->by_import, window);
		free(window);
	}
}

/* Only a piece out of the middle of one window leaves more windows than there were. */
static int tail_new(const struct window_table *table, uint64_t va, uint64_t end,
		    struct window **ret_tail)
{
	const struct window *window = window_at(table, va);

	*ret_tail = NULL;
	if (window->is.va.v == va || window_end(window) <= end)
		return 0;
	*ret_tail = alloc_zero(sizeof(**ret_tail));
	return *ret_tail ? 0 : error_set(-ENOMEM, "no memory to split a window");
}

int window_remove(struct window_table *table, farbus_va_t va, uint64_t len)
{
	struct window_edges edges;
	struct window *window, *tail;
	int err = range_check(va, len);

	if (err < 0)
		return err;
	err = covered_check(table, va.v, va.v + len);
	if (err < 0)
		return err;
	err = tail_new(table, va.v, va.v + len, &tail);
	if (err < 0)
		return err;
	err = window_pages_prepare(table, va, len, &edges);
	if (err < 0)
		goto free_tail;

	window_pages_store(table, va, len, &edges, NULL);
	while ((window = window_at(table, va.v)) && window->is.va.v < va.v + len)
		window_cut(table, window, va.v, va.v + len, &tail);
	FARBUS_ASSERT(!tail);
	return 0;

free_tail:
	free(tail);
	return err;
}

/* ---- states ---- */

void window_state_set(struct window_table *table, uint32_t import, enum window_state state)
{
	struct windows_by_import *tree = &table->control->by_import;
	struct window key = { .is.import = import };
	struct window *at = RB_NFIND(windows_by_import, tree, &key);

	for (; at && at->is.import == import; at = RB_NEXT(windows_by_import, tree, at)) {
		struct window_edges none = { 0 };

		at->is.state = state;
		/* No block changes hands: the sub-tables that this needs are there. */
		window_pages_store(table, at->is.va, at->is.len, &none, &at->is);
	}
}

/* ---- invariants ---- */

void window_check(const struct window_table *table)
{
	struct window_control *control = table->control;
	uint32_t count = 0, count_by_import = 0;
	struct window *window;
	uint64_t end = 0;

	RB_FOREACH(window, windows_by_va, &control->by_va)
	{
		FARBUS_ASSERT(extent_check(&window->is) == 0);
		FARBUS_ASSERT(window->is.va.v >= end);
		FARBUS_ASSERT(RB_FIND(windows_by_import, &control->by_import, window) == window);
		end = window_end(window);
		count++;
	}
	RB_FOREACH(window, windows_by_import, &control->by_import)
	count_by_import++;
	FARBUS_ASSERT(count == count_by_import);
	window_pages_check(table);
}
