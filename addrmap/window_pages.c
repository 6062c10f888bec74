/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window_pages.c -- the window table's entries: what readers see
 *
 *   window A          window B
 *   |=====|===========|=====|           A: 4 KiB entries for its head, then one of 2 MiB
 *   ...|______________|______________|  B: 4 KiB entries, in the sub-table after A's block
 *        2 MiB block    2 MiB block
 *
 * Invariants (window_pages_check):
 *   1. an entry of 2 MiB lies wholly in one window, an entry of 4 KiB lies in one
 *   2. it has that window's import, rights and state, and the offset that belongs to its VA
 *   3. a sub-table is there only while it has entries, and counts them
 *   4. every page of every window has an entry
 *
 * A leaf once writable stays so until the table is freed. A sub-table that lost its last entry is
 * unlinked and kept for window_reclaim().
 */
#include "addrmap/window_private.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

_Static_assert(WINDOW_OFF_BITS == WINDOW_IMPORT_SHIFT, "the import is right above the page");
_Static_assert(WINDOW_IMPORT_MAX == (uint64_t)1 << (64 - WINDOW_IMPORT_SHIFT), "and at the top");
_Static_assert(WINDOW_RIGHTS_MASK << WINDOW_RIGHTS_SHIFT < ADDR_PAGE_SIZE, "flags are below it");
_Static_assert(WINDOW_DEAD <= WINDOW_STATE_MASK, "a state fits its field");

static uint64_t entry_kind(uint64_t entry)
{
	return entry & WINDOW_KIND_MASK;
}

/* The entry of the page, or block, that begins at va. */
static uint64_t entry_of(const struct window_extent *extent, uint64_t va)
{
	uint64_t off = extent->off + (va - extent->va.v);

	return off | (uint64_t)extent->import << WINDOW_IMPORT_SHIFT |
	       (uint64_t)extent->rights << WINDOW_RIGHTS_SHIFT |
	       (uint64_t)extent->state << WINDOW_STATE_SHIFT | WINDOW_PAGES;
}

static uint64_t block_of(uint64_t va)
{
	return va & ~(ADDR_BLOCK_SIZE - 1);
}

/* Only the writer stores there, and this is the writer. */
static _Atomic uint64_t *entry_at(const struct window_table *table, uint64_t va)
{
	return (_Atomic uint64_t *)(uintptr_t)&table->entry[va >> ADDR_BLOCK_SHIFT];
}

/* Pairs with the acquire loads of window_translate_inline(). */
static void entry_publish(_Atomic uint64_t *at, uint64_t entry)
{
	atomic_store_explicit(at, entry, memory_order_release);
}

static uint64_t entry_own(const _Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

/* ---- room ---- */

static int leaves_open(struct window_table *table, uint64_t va, uint64_t end)
{
	for (uint64_t i = va >> WINDOW_LEAF_SHIFT; i <= (end - 1) >> WINDOW_LEAF_SHIFT; i++) {
		if (table->control->open[i])
			continue;
		if (!alloc_sparse_open(entry_at(table, i << WINDOW_LEAF_SHIFT),
				       WINDOW_LEAF_BLOCKS * sizeof(table->entry[0])))
			return error_set(-ENOMEM, "no memory for the window table");
		table->control->open[i] = true;
	}
	return 0;
}

/* A sub-table that says what the one entry of the block says now. */
static int sub_new(uint64_t entry, struct window_sub **ret_sub)
{
	struct window_sub *sub = alloc_aligned(64, sizeof(*sub));

	if (!sub)
		return error_set(-ENOMEM, "no memory for 4 KiB entries of the window table");
	for (uint64_t i = 0; entry != WINDOW_NONE && i < WINDOW_PAGE_MAX; i++)
		atomic_init(&sub->entry[i], entry + (i << ADDR_PAGE_SHIFT));
	sub->used = entry == WINDOW_NONE ? 0 : WINDOW_PAGE_MAX;
	*ret_sub = sub;
	return 0;
}

/* Does the range take only a part of this block, and has the block no sub-table for that? */
static bool sub_missing(const struct window_table *table, uint64_t block, uint64_t va, uint64_t end)
{
	if (va <= block && end >= block + ADDR_BLOCK_SIZE)
		return false;
	return entry_kind(entry_own(entry_at(table, block))) != WINDOW_SUB;
}

int window_pages_prepare(struct window_table *table, farbus_va_t va, uint64_t len,
			 struct window_edges *ret_edges)
{
	uint64_t end = va.v + len, head = block_of(va.v), tail = block_of(end - 1);
	struct window_edges edges = { 0 };
	int err = leaves_open(table, va.v, end);

	if (err < 0)
		return err;
	if (sub_missing(table, head, va.v, end)) {
		err = sub_new(entry_own(entry_at(table, head)), &edges.head);
		if (err < 0)
			return err;
	}
	if (tail != head && sub_missing(table, tail, va.v, end)) {
		err = sub_new(entry_own(entry_at(table, tail)), &edges.tail);
		if (err < 0)
			goto free_head;
	}
	*ret_edges = edges;
	return 0;

free_head:
	free(edges.head);
	return err;
}

static void edge_use(struct window_table *table, uint64_t va, struct window_sub **sub)
{
	if (*sub)
		entry_publish(entry_at(table, va), (uint64_t)(uintptr_t)*sub | WINDOW_SUB);
	*sub = NULL;
}

/* ---- stores ---- */

static void sub_store(struct window_sub *sub, uint64_t va, uint64_t end,
		      const struct window_extent *extent)
{
	for (; va < end; va += ADDR_PAGE_SIZE) {
		_Atomic uint64_t *at = &sub->entry[(va >> ADDR_PAGE_SHIFT) % WINDOW_PAGE_MAX];

		sub->used -= entry_own(at) != WINDOW_NONE;
		sub->used += extent != NULL;
		entry_publish(at, extent ? entry_of(extent, va) : WINDOW_NONE);
	}
}

/* [va, end) lies in one block. */
static void block_store(struct window_table *table, uint64_t va, uint64_t end,
			const struct window_extent *extent)
{
	_Atomic uint64_t *at = entry_at(table, va);
	uint64_t entry = entry_own(at);
	struct window_sub *sub;

	if (entry_kind(entry) != WINDOW_SUB) {
		FARBUS_ASSERT(end - va == ADDR_BLOCK_SIZE);
		entry_publish(at, extent ? entry_of(extent, va) : WINDOW_NONE);
		return;
	}
	sub = window_entry_sub(entry);
	sub_store(sub, va, end, extent);
	if (sub->used > 0)
		return;
	entry_publish(at, WINDOW_NONE);
	sub->next = table->control->retired;
	table->control->retired = sub;
}

void window_pages_store(struct window_table *table, farbus_va_t va, uint64_t len,
			struct window_edges *edges, const struct window_extent *extent)
{
	uint64_t end = va.v + len, at, next;

	edge_use(table, va.v, &edges->head);
	edge_use(table, end - 1, &edges->tail);
	for (at = va.v; at < end; at = next) {
		next = block_of(at) + ADDR_BLOCK_SIZE;
		block_store(table, at, next < end ? next : end, extent);
	}
}

/* ---- end of life ---- */

static void retired_free(struct window_table *table)
{
	struct window_sub *sub;

	while ((sub = table->control->retired)) {
		table->control->retired = sub->next;
		free(sub);
	}
}

void window_reclaim(struct window_table *table)
{
	retired_free(table);
}

void window_pages_fini(struct window_table *table)
{
	retired_free(table);
	for (uint64_t i = 0; i < WINDOW_BLOCK_MAX; i++) {
		uint64_t entry;

		if (i % WINDOW_LEAF_BLOCKS == 0 && !table->control->open[i / WINDOW_LEAF_BLOCKS]) {
			i += WINDOW_LEAF_BLOCKS - 1;
			continue;
		}
		entry = entry_own(&table->entry[i]);
		if (entry_kind(entry) == WINDOW_SUB)
			free(window_entry_sub(entry));
	}
}

/* ---- invariants ---- */

/* Returns how many pages the entry stands for: size / 4 KiB, or 0 for NONE. */
static uint64_t entry_check(const struct window_table *table, uint64_t entry, uint64_t va,
			    uint64_t size)
{
	const struct window *window;

	if (entry == WINDOW_NONE)
		return 0;
	window = window_at(table, va);
	FARBUS_ASSERT(window);
	FARBUS_ASSERT(window->is.va.v <= va);
	FARBUS_ASSERT(window->is.len - (va - window->is.va.v) >= size);
	FARBUS_ASSERT(entry == entry_of(&window->is, va));
	return size >> ADDR_PAGE_SHIFT;
}

static uint64_t block_check(const struct window_table *table, uint64_t entry, uint64_t va)
{
	const struct window_sub *sub = window_entry_sub(entry);
	uint64_t pages = 0;

	if (entry_kind(entry) != WINDOW_SUB)
		return entry_check(table, entry, va, ADDR_BLOCK_SIZE);
	for (uint32_t i = 0; i < WINDOW_PAGE_MAX; i++, va += ADDR_PAGE_SIZE)
		pages += entry_check(table, entry_own(&sub->entry[i]), va, ADDR_PAGE_SIZE);
	FARBUS_ASSERT(pages == sub->used);
	FARBUS_ASSERT(pages > 0);
	return pages;
}

void window_pages_check(const struct window_table *table)
{
	uint64_t pages = 0, expected = 0, va = 0;
	const struct window *window;

	for (uint32_t i = 0; i < WINDOW_LEAF_MAX; i++, va += (uint64_t)1 << WINDOW_LEAF_SHIFT) {
		if (!table->control->open[i])
			continue;
		for (uint64_t j = 0; j < WINDOW_LEAF_BLOCKS; j++) {
			uint64_t at = va + (j << ADDR_BLOCK_SHIFT);

			pages += block_check(table, entry_own(entry_at(table, at)), at);
		}
	}
	for (va = 0; (window = window_at(table, va)); va = window->is.va.v + window->is.len)
		expected += window->is.len >> ADDR_PAGE_SHIFT;
	FARBUS_ASSERT(pages == expected);
}
