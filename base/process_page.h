/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * process_page.h -- layout of the process page: what farbus-stat reads of a live or dead process
 *
 *   | header, 4096 | counters, 4096 | PROCESS_THREAD_MAX slots |
 *
 * A reader trusts nothing: magic, version and the sizes below must be its own.
 */
#ifndef BASE_PROCESS_PAGE_H
#define BASE_PROCESS_PAGE_H

#include "base/counter.h"
#include "base/process.h"

#define PROCESS_PAGE_MAGIC 0x6661726275733031ull /* "farbus01" */
#define PROCESS_PAGE_VERSION 1
#define PROCESS_INSTANCE_MAX 64

struct process_instance {
	uint64_t job;
	uint32_t instance; /* 0: row not used */
	uint32_t rank;
};

struct process_page {
	uint64_t magic;
	uint32_t version;
	uint32_t pid;
	uint64_t start_ns; /* wall clock */
	uint32_t counter_off, counter_count;
	uint32_t slot_off, slot_count, slot_size, thread_counter_count;
	struct process_instance instance[PROCESS_INSTANCE_MAX];
};
_Static_assert(sizeof(struct process_page) <= 4096, "the header is one page");
_Static_assert(COUNTER_MAX * sizeof(uint64_t) <= 4096, "the counters are one page");

#define PROCESS_PAGE_COUNTER_OFF 4096
#define PROCESS_PAGE_SLOT_OFF 8192
#define PROCESS_PAGE_SIZE (PROCESS_PAGE_SLOT_OFF + PROCESS_THREAD_MAX * sizeof(struct process_slot))

/* Names an instance in the page's header, for tools; rows past the last are left out. */
void process_instance_add(uint32_t instance, uint32_t rank, uint64_t job);
void process_instance_remove(uint32_t instance);

#endif
