/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_common.h -- what the tests of addrmap/ share: random numbers, failing allocations */
#ifndef TESTS_UNIT_ADDRMAP_COMMON_H
#define TESTS_UNIT_ADDRMAP_COMMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "base/error.h"

/* Under a sanitizer things take longer: fewer rounds. */
#if defined(FARBUS_SANITIZE)
#define ROUNDS(n) ((n) / 8 + 1)
#else
#define ROUNDS(n) (n)
#endif

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* splitmix64 */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
	return random_next(state) % limit;
}

/* Fails the test unless the thread's error text has this part: texts name the cause. */
void expect_text(const char *part);

/*
 * The n-th allocation fails, n = 1, 2, ..., until call() gets by without: each failure has to be
 * -ENOMEM. check() runs after each. Returns how many allocations the call makes.
 */
unsigned every_allocation_fails_once(int (*call)(void *arg), void (*check)(void *arg), void *arg);

#endif
