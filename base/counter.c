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

const char *counter_name(enum counter counter)
{
	return (size_t)counter < COUNTER_MAX ? name[counter] : NULL;
}

const char *counter_meaning(enum counter counter)
{
	return (size_t)counter < COUNTER_MAX ? meaning[counter] : NULL;
}

void counter_slots_set(uint64_t *slots)
{
	__atomic_store_n(&counter_slots, slots ? slots : dummy, __ATOMIC_RELEASE);
}
