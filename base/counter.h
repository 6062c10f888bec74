/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * counter.h -- process-wide counters of rare things, in the process page
 *
 * counters.def names them. Frequent things are counted per thread, without sharing a cache line:
 * struct process_slot. Before the first process_get(), and in a forked child, counts go to a
 * private dummy, so that any code may count at any time.
 */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdint.h>

enum counter {
#define COUNTER(name, meaning) COUNTER_##name,
#include "base/counters.def"
#undef COUNTER
	COUNTER_MAX
};

extern uint64_t *counter_slots; /* COUNTER_MAX of them */

/* Any thread. Ordering: none, a count is not a flag. */
static inline void counter_add(enum counter counter, uint64_t n)
{
	/* Acquire pairs with counter_slots_set(): the page is mapped before it is pointed to. */
	uint64_t *slots = __atomic_load_n(&counter_slots, __ATOMIC_ACQUIRE);

	__atomic_fetch_add(&slots[counter], n, __ATOMIC_RELAXED);
}

/* Where counts go from now on; NULL: the dummy. base/process.c only. */
void counter_slots_set(uint64_t *slots);

const char *counter_name(enum counter counter);
const char *counter_meaning(enum counter counter);

/* The same for enum process_thread_counter. NULL: there is no such counter. */
const char *counter_thread_name(unsigned int counter);
const char *counter_thread_meaning(unsigned int counter);

#endif
