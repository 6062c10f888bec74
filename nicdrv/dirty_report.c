/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty_report.c -- the device tells which pages it wrote
 *
 * Ordering: dirty_report_flush_runs() has one full fence for all bits of a burst. It keeps the look
 * at a bit behind the stores to its page; the reader clears with an RMW before it reads the page.
 * So either the reader sees the store, or we see the bit gone and set it again.
 */
#include "nicdrv/dirty_report.h"

#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>

void dirty_report_log_set(struct dirty_report *report, void *log, uint64_t bytes)
{
	dirty_report_flush(report);
	report->log = log;
	report->log_pages = bytes / 8 * 64;
}

int dirty_report_set_add(struct dirty_report *report, const struct dirty_report_set *set)
{
	uint64_t pages = set->dirty->page_count << ADDR_PAGE_SHIFT;

	if ((set->gpa | set->off) & (ADDR_PAGE_SIZE - 1) || set->len == 0)
		return error_set(-EINVAL, "a dirty set starts at whole pages and is not empty");
	if (!addr_within(set->off, set->len, pages) || set->gpa > UINT64_MAX - set->len)
		return error_set(-ERANGE, "a dirty set of %#llx bytes does not reach %#llx+%#llx",
				 (unsigned long long)pages, (unsigned long long)set->off,
				 (unsigned long long)set->len);
	if (report->set_count == DIRTY_REPORT_SET_MAX)
		return error_set(-ENOSPC, "a device has at most %d dirty sets",
				 DIRTY_REPORT_SET_MAX);
	dirty_report_flush(report);
	report->set[report->set_count++] = *set;
	return 0;
}

void dirty_report_set_remove(struct dirty_report *report, const struct dirty *dirty)
{
	uint32_t kept = 0;

	dirty_report_flush(report);
	for (uint32_t i = 0; i < report->set_count; i++)
		if (report->set[i].dirty != dirty)
			report->set[kept++] = report->set[i];
	report->set_count = kept;
}

/* ---- the hint ring ---- */

void dirty_report_hint_set(struct dirty_report *report, struct dirty_hint *hint)
{
	dirty_report_flush(report);
	report->hint = hint;
}

int dirty_hint_new(uint32_t size, struct dirty_hint **ret_hint)
{
	struct dirty_hint *hint;

	if (size == 0 || size & (size - 1) || size > DIRTY_HINT_MAX)
		return error_set(-EINVAL, "a hint ring of %u entries: give a power of two up to %d",
				 size, DIRTY_HINT_MAX);
	hint = alloc_aligned(64, (sizeof(*hint) + size * sizeof(hint->run[0]) + 63) / 64 * 64);
	if (!hint)
		return error_set(-ENOMEM, "no memory for a hint ring of %u entries", size);
	hint->size = size;
	*ret_hint = hint;
	return 0;
}

/* The producer owns head. */
static bool hint_push(struct dirty_hint *hint, const struct dirty_run *run)
{
	uint32_t head = atomic_load_explicit(&hint->head, memory_order_relaxed);

	if (head - atomic_load_explicit(&hint->tail, memory_order_acquire) == hint->size)
		return false;
	hint->run[head & (hint->size - 1)] = *run;
	atomic_store_explicit(&hint->head, head + 1, memory_order_release);
	return true;
}

uint32_t dirty_hint_take(struct dirty_hint *hint, struct dirty_run *run, uint32_t count,
			 bool *ret_all)
{
	uint32_t tail = atomic_load_explicit(&hint->tail, memory_order_relaxed);
	uint32_t head, taken = 0;

	/* Acquire: the bits that overflowed were set before the flag was. */
	*ret_all = atomic_exchange_explicit(&hint->overflow, false, memory_order_acq_rel);
	head = atomic_load_explicit(&hint->head, memory_order_acquire);
	while (tail != head && taken < count)
		run[taken++] = hint->run[tail++ & (hint->size - 1)];
	atomic_store_explicit(&hint->tail, tail, memory_order_release);
	return taken;
}

/* ---- the bitmaps ---- */

static void log_all(struct dirty_report *report)
{
	for (uint64_t i = 0; i < report->log_pages / 64; i++)
		atomic_store_explicit(&report->log[i], UINT64_MAX, memory_order_release);
	report->overflows++;
}

/* Release pairs with the front end's exchange, which clears before it reads the pages. */
static void log_word(struct dirty_report *report, uint64_t word, uint64_t bits)
{
	if (bits & ~atomic_load_explicit(&report->log[word], memory_order_relaxed))
		atomic_fetch_or_explicit(&report->log[word], bits, memory_order_release);
}

static void log_run(struct dirty_report *report, const struct dirty_run *run)
{
	uint64_t page = run->page, left = run->count;

	if (!addr_within(page, left, report->log_pages)) {
		log_all(report);
		return;
	}
	while (left > 0) {
		uint64_t first = page % 64, count = left < 64 - first ? left : 64 - first;

		log_word(report, page / 64, (UINT64_MAX >> (64 - count)) << first);
		page += count;
		left -= count;
	}
}

/* The part of the run that lies in this set's range. */
static void set_run(const struct dirty_report_set *set, const struct dirty_run *run)
{
	uint64_t first = set->gpa >> ADDR_PAGE_SHIFT;
	uint64_t end = first + ((set->len + ADDR_PAGE_SIZE - 1) >> ADDR_PAGE_SHIFT);
	uint64_t from = run->page > first ? run->page : first;
	uint64_t to = run->page + run->count < end ? run->page + run->count : end;

	if (from < to)
		dirty_mark_range(set->dirty, set->off + ((from - first) << ADDR_PAGE_SHIFT),
				 (to - from) << ADDR_PAGE_SHIFT);
}

static void sinks_run(struct dirty_report *report, const struct dirty_run *run)
{
	if (report->log)
		log_run(report, run);
	for (uint32_t k = 0; k < report->set_count; k++)
		set_run(&report->set[k], run);
	/* After the bits: a hint without its bit would be looked at for nothing. */
	if (report->hint && !hint_push(report->hint, run)) {
		atomic_store_explicit(&report->hint->overflow, true, memory_order_release);
		report->overflows++;
	}
	report->pages += run->count;
}

static void alias_run(void *arg, uint64_t bus, uint64_t len)
{
	struct dirty_run run = { bus >> ADDR_PAGE_SHIFT, 0 };

	run.count = ((bus + len - 1) >> ADDR_PAGE_SHIFT) - run.page + 1;
	sinks_run(arg, &run);
}

void dirty_report_flush_runs(struct dirty_report *report)
{
	/* See the top. The sets' dirty_mark_range() and log_word() both look before they write. */
	atomic_thread_fence(memory_order_seq_cst);
	for (uint32_t i = 0; i < report->run_count; i++) {
		const struct dirty_run *run = &report->run[i];

		sinks_run(report, run);
		if (report->map && report->map->aliased)
			remap_aliases(report->map, run->page << ADDR_PAGE_SHIFT,
				      run->count << ADDR_PAGE_SHIFT, alias_run, report);
	}
	report->run_count = 0;
	report->flushes++;
}

void dirty_report_add_run(struct dirty_report *report, uint64_t page, uint64_t count)
{
	struct dirty_run *last = &report->run[report->run_count > 0 ? report->run_count - 1 : 0];

	if (report->run_count > 0 && page >= last->page && page <= last->page + last->count) {
		if (page + count > last->page + last->count)
			last->count = page + count - last->page;
		return;
	}
	if (report->run_count == DIRTY_REPORT_BATCH_MAX)
		dirty_report_flush_runs(report);
	report->run[report->run_count++] = (struct dirty_run){ page, count };
}

void dirty_report_all(struct dirty_report *report)
{
	atomic_thread_fence(memory_order_seq_cst);
	report->run_count = 0;
	if (report->log)
		log_all(report);
	for (uint32_t i = 0; i < report->set_count; i++)
		dirty_mark_all(report->set[i].dirty);
	if (report->hint)
		atomic_store_explicit(&report->hint->overflow, true, memory_order_release);
}
