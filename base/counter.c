/* SPDX-License-Identifier: BSD-3-Clause */
/* counter.c -- names of the counters, and where they go while there is no process page */
#include "base/counter.h"

#include <stddef.h>

static uint64_t dummy[COUNTER_MAX];
uint64_t *counter_slots = dummy;

static const char *const name[] = {
#define COUNTER(name, meaning) #name,
#include "base/counters.def"
#undef COUNTER
};

static const char *const meaning[] = {
#define COUNTER(name, meaning) meaning,
#include "base/counters.def"
#undef COUNTER
};

static const char *const thread_name[] = {
#define THREAD_COUNTER(constant, name, meaning) #name,
#include "base/thread_counters.def"
#undef THREAD_COUNTER
};

static const char *const thread_meaning[] = {
#define THREAD_COUNTER(constant, name, meaning) meaning,
#include "base/thread_counters.def"
#undef THREAD_COUNTER
};
#define THREAD_COUNT (sizeof(thread_name) / sizeof(thread_name[0]))

const char *counter_name(enum counter counter)
{
	return (size_t)counter < COUNTER_MAX ? name[counter] : NULL;
}

const char *counter_meaning(enum counter counter)
{
	return (size_t)counter < COUNTER_MAX ? meaning[counter] : NULL;
}

const char *counter_thread_name(unsigned int counter)
{
	return counter < THREAD_COUNT ? thread_name[counter] : NULL;
}

const char *counter_thread_meaning(unsigned int counter)
{
	return counter < THREAD_COUNT ? thread_meaning[counter] : NULL;
}

void counter_slots_set(uint64_t *slots)
{
	__atomic_store_n(&counter_slots, slots ? slots : dummy, __ATOMIC_RELEASE);
}
