/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * measure.h -- a subject and its floor, measured in turn
 *
 * Both run as many short batches, one of each alternately, so that whatever disturbs the machine
 * disturbs both. What is reported is the fastest batch and the median one, in ns per operation.
 * The benchmarks under bench/ use the same code.
 *
 * Threads: owner thread.
 */
#ifndef FARBUS_PERF_MEASURE_H
#define FARBUS_PERF_MEASURE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define MEASURE_ROUND_MAX 20000

/* Performs count operations. Errors: a negative errno ends the measurement. */
typedef int (*measure_fn)(void *arg, uint64_t count);

struct measure_side {
	measure_fn run;
	void *arg; /* borrowed */
};

struct measure_plan {
	clockid_t clock;      /* thread CPU time for what one core does alone, else monotonic */
	uint64_t batch_ns;    /* aimed at, per batch */
	uint64_t budget_ns;   /* of both sides together */
	uint32_t round_min;   /* even when the budget is used up */
	uint64_t batch_count; /* operations per batch; 0: as many as take batch_ns */
	bool batch_warm;      /* run each batch twice, the first time untimed: caches are then as
			       * this side leaves them */
};

struct measure_stat {
	double min, median; /* ns per operation */
};

struct measure_result {
	struct measure_stat floor, subject;
	uint32_t rounds;
};

/* floor == NULL: the subject alone. Errors: -ENOMEM, what a side returned. */
int measure_pair(const struct measure_plan *plan, const struct measure_side *floor,
		 const struct measure_side *subject, struct measure_result *ret_result);

/* Sorts value. count > 0. */
struct measure_stat measure_stat_of(double *value, uint32_t count);

/* Keeps the compiler from dropping a value or moving work across this line. */
static inline void measure_keep(uint64_t value)
{
	__asm__ volatile("" : : "r"(value) : "memory");
}

/*
 * The cheapest full fence there is, the same for floors and subjects: what "visible to the other
 * CPU" costs bare. On x86 that is a locked operation on the stack, half the price of mfence; a
 * floor with mfence would flatter everybody.
 */
static inline void measure_fence(void)
{
#if defined(__x86_64__)
	__asm__ volatile("lock; orq $0, (%%rsp)" : : : "memory", "cc");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

#endif
