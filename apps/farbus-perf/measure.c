/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * measure.c -- a subject and its floor, measured in turn
 *
 * Invariants:
 *   1. floor and subject have the same number of samples
 *   2. a batch has at least one operation, and its size does not change once measuring began
 */
#include "apps/farbus-perf/measure.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define BATCH_MAX ((uint64_t)1 << 28)
#define SIZE_TRIES 5

static int batch_time(const struct measure_plan *plan, const struct measure_side *side,
		      uint64_t count, uint64_t *ret_ns)
{
	uint64_t start = clock_ns(plan->clock);
	int err = side->run(side->arg, count);

	if (err < 0)
		return err;
	*ret_ns = clock_ns(plan->clock) - start;
	return 0;
}

/* The fastest of SIZE_TRIES runs, or the first that is short enough to go on with. */
static int batch_fastest(const struct measure_plan *plan, const struct measure_side *side,
			 uint64_t count, uint64_t *ret_ns)
{
	uint64_t ns, best = UINT64_MAX;

	for (int i = 0; i < SIZE_TRIES && best >= plan->batch_ns; i++) {
		int err = batch_time(plan, side, count, &ns);

		if (err < 0)
			return err;
		best = ns < best ? ns : best;
	}
	*ret_ns = best;
	return 0;
}

/*
 * Doubles the batch until it lasts long enough; the runs before that also warm up. A run that was
 * long because something else had the CPU must not end this: a batch of a few operations would
 * measure the clock.
 */
static int batch_size(const struct measure_plan *plan, const struct measure_side *side,
		      uint64_t *ret_count)
{
	uint64_t count = 1, ns = 0;

	if (plan->batch_count) {
		*ret_count = plan->batch_count;
		return 0;
	}
	for (;; count *= 2) {
		int err = batch_fastest(plan, side, count, &ns);

		if (err < 0)
			return err;
		if (ns >= plan->batch_ns || count >= BATCH_MAX)
			break;
	}
	if (ns > plan->batch_ns)
		count = (uint64_t)((double)count * (double)plan->batch_ns / (double)ns);
	*ret_count = count ? count : 1;
	return 0;
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct measure_stat measure_stat_of(double *value, uint32_t count)
{
	struct measure_stat stat;

	qsort(value, count, sizeof(*value), compare_double);
	stat.min = value[0];
	stat.median = value[count / 2];
	return stat;
}

static int sample(const struct measure_plan *plan, const struct measure_side *side, uint64_t count,
		  double *ret_value)
{
	uint64_t ns;
	int err = plan->batch_warm ? side->run(side->arg, count) : 0;

	if (err == 0)
		err = batch_time(plan, side, count, &ns);
	if (err < 0)
		return err;
	*ret_value = (double)ns / (double)count;
	return 0;
}

static int measure_rounds(const struct measure_plan *plan, const struct measure_side *side[2],
			  const uint64_t count[2], double *value[2], uint32_t *ret_rounds)
{
	uint64_t end = clock_now_ns() + plan->budget_ns;
	uint32_t round = 0;
	int err;

	while (round < MEASURE_ROUND_MAX && (round < plan->round_min || clock_now_ns() < end)) {
		for (int i = 0; i < 2; i++) {
			if (!side[i])
				continue;
			err = sample(plan, side[i], count[i], &value[i][round]);
			if (err < 0)
				return err;
		}
		round++;
	}
	*ret_rounds = round;
	return 0;
}

int measure_pair(const struct measure_plan *plan, const struct measure_side *floor,
		 const struct measure_side *subject, struct measure_result *ret_result)
{
	const struct measure_side *side[2] = { floor, subject };
	uint64_t count[2] = { 1, 1 };
	struct measure_result result = { 0 };
	double *value[2];
	int err = 0;

	value[0] = calloc(2 * MEASURE_ROUND_MAX, sizeof(double));
	if (!value[0])
		return -ENOMEM;
	value[1] = value[0] + MEASURE_ROUND_MAX;
	for (int i = 0; i < 2 && err == 0; i++)
		if (side[i])
			err = batch_size(plan, side[i], &count[i]);
	if (err == 0)
		err = measure_rounds(plan, side, count, value, &result.rounds);
	if (err == 0) {
		if (floor)
			result.floor = measure_stat_of(value[0], result.rounds);
		result.subject = measure_stat_of(value[1], result.rounds);
		*ret_result = result;
	}
	free(value[0]);
	return err;
}
