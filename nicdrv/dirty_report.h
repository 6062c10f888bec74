/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty_report.h -- the device tells which pages it wrote
 *
 *   write payload ... dirty_report_add() ... dirty_report_flush() ... publish the used index
 *
 * One reporter, several sinks that hear the same: the log of a vhost front end (one bit a 4 KiB page
 * of guest-physical address), dirty sets of addrmap, and a hint ring. The bitmaps are the truth.
 * The ring says where to look first; when it has no room it says "anywhere", and its reader looks at
 * the whole bitmap. What cannot be named in a sink makes all of it dirty.
 *
 * A page is reported after it was written and before anybody can learn that it was: the flush comes
 * between the payload and the index that publishes it. Reports before the flush are collected, so
 * that a burst costs one fence and neighbouring pages one entry.
 *
 * Threads: one thread at a time; the readers of the bitmaps and of the ring are others.
 */
#ifndef NICDRV_DIRTY_REPORT_H
#define NICDRV_DIRTY_REPORT_H

#include "addrmap/dirty.h"
#include "nicdrv/remap.h"

#define DIRTY_REPORT_BATCH_MAX 256 /* runs of pages between two flushes; then it flushes itself */
#define DIRTY_REPORT_SET_MAX 64	   /* ranges that have a dirty set of addrmap */
#define DIRTY_HINT_MAX 65536	   /* entries of a hint ring */

struct dirty_run {
	uint64_t page, count; /* of guest-physical address */
};

/*
 * Hints, one producer and one consumer. The producer publishes head with release, which pairs with
 * the consumer's acquire; the consumer gives room back through tail in the same way.
 */
struct dirty_hint {
	_Atomic uint32_t head __attribute__((aligned(64)));
	_Atomic uint32_t tail __attribute__((aligned(64)));
	_Atomic bool overflow; /* "anywhere": set by the producer, taken by the consumer */
	uint32_t size;	       /* a power of two */
	struct dirty_run run[];
};

struct dirty_report_set {
	uint64_t gpa, len;
	struct dirty *dirty; /* borrows until dirty_report_set_remove() */
	uint64_t off;	     /* of gpa in the set's region */
};

struct dirty_report {
	_Atomic uint64_t *log; /* borrows until dirty_report_log_set(NULL); NULL: off */
	uint64_t log_pages;
	struct dirty_report_set set[DIRTY_REPORT_SET_MAX];
	uint32_t set_count;
	struct dirty_hint *hint; /* borrowed; NULL: off */
	const struct remap *map; /* borrowed: a page that has several addresses is each; or NULL */
	uint32_t run_count;
	struct dirty_run run[DIRTY_REPORT_BATCH_MAX];
	uint64_t flushes, pages, overflows; /* counts, for people */
};

/* Of zeros: a reporter without sinks. */

/* Is there anybody to report to? The hot path asks this first. */
static inline bool dirty_report_wanted(const struct dirty_report *report)
{
	return report->log || report->set_count || report->hint;
}

/*
 * The log of a front end, a bitmap of bytes bytes, aligned to 8, or NULL to stop. What was collected
 * before is flushed to the old one.
 */
void dirty_report_log_set(struct dirty_report *report, void *log, uint64_t bytes);

/*
 * [gpa, gpa + len) has this dirty set, in which gpa is off. Errors: -ENOSPC, -EINVAL not whole
 * pages, -ERANGE past the set.
 */
int dirty_report_set_add(struct dirty_report *report, const struct dirty_report_set *set);
void dirty_report_set_remove(struct dirty_report *report, const struct dirty *dirty);

void dirty_report_hint_set(struct dirty_report *report, struct dirty_hint *hint);

/* Errors: -EINVAL size is no power of two up to DIRTY_HINT_MAX, -ENOMEM. free() it. */
int dirty_hint_new(uint32_t size, struct dirty_hint **ret_hint);
/*
 * The consumer's side: up to count runs. ret_all: hints were lost, look at the whole bitmap; the
 * runs that are returned with it are worth nothing more than it.
 */
uint32_t dirty_hint_take(struct dirty_hint *hint, struct dirty_run *run, uint32_t count,
			 bool *ret_all);

/* The slow half of the next. */
void dirty_report_add_run(struct dirty_report *report, uint64_t page, uint64_t count);

/* [gpa, gpa + len) was written; len above 0. */
static inline void dirty_report_add(struct dirty_report *report, uint64_t gpa, uint64_t len)
{
	if (__builtin_expect(dirty_report_wanted(report), 0))
		dirty_report_add_run(report, gpa >> ADDR_PAGE_SHIFT,
				     ((gpa + len - 1) >> ADDR_PAGE_SHIFT) -
					     (gpa >> ADDR_PAGE_SHIFT) + 1);
}

/* Into all sinks. Call it after the writes and before what publishes them. */
void dirty_report_flush_runs(struct dirty_report *report);
static inline void dirty_report_flush(struct dirty_report *report)
{
	if (__builtin_expect(report->run_count > 0, 0))
		dirty_report_flush_runs(report);
}

/* Nobody knows what was written: every sink hears "all". */
void dirty_report_all(struct dirty_report *report);

#endif
