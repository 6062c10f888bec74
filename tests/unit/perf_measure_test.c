/* SPDX-License-Identifier: BSD-3-Clause */
/* perf_measure_test.c -- how farbus-perf and bench/ take their samples and what they make of them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apps/farbus-perf/measure.h"
#include <errno.h>
#include <string.h>

#define LOG_LEN 64

/* Which side ran, and how many operations it was asked for. */
struct log {
	char who[LOG_LEN];
	uint64_t count[LOG_LEN];
	size_t len;
};

struct side {
	struct log *log;
	char who;
	size_t fail_at; /* the run (from 1) that fails; 0: none */
	size_t runs;
};

static int side_run(void *arg, uint64_t count)
{
	struct side *side = arg;

	if (side->log->len < LOG_LEN) {
		side->log->who[side->log->len] = side->who;
		side->log->count[side->log->len] = count;
	}
	side->log->len++;
	return ++side->runs == side->fail_at ? -EIO : 0;
}

static int nothing(void *arg, uint64_t count)
{
	measure_keep(count + (uintptr_t)arg);
	return 0;
}

static void stat_of__one_value__is_both(void **state)
{
	double value[] = { 3.5 };
	struct measure_stat stat = measure_stat_of(value, 1);

	(void)state;
	assert_true(stat.min == 3.5);
	assert_true(stat.median == 3.5);
}

static void stat_of__any_order__smallest_and_middle(void **state)
{
	double odd[] = { 9, 1, 5, 7, 3 }, even[] = { 4, 2, 8, 6 }, same[] = { 2, 2, 2 };
	struct measure_stat stat = measure_stat_of(odd, 5);

	(void)state;
	assert_true(stat.min == 1);
	assert_true(stat.median == 5);
	stat = measure_stat_of(even, 4);
	assert_true(stat.min == 2);
	assert_true(stat.median == 6); /* of the two in the middle the slower one */
	stat = measure_stat_of(same, 3);
	assert_true(stat.min == 2);
	assert_true(stat.median == 2);
}

static void stat_of__an_outlier__moves_neither(void **state)
{
	double value[] = { 1e12, 5, 4, 6, 5 };
	struct measure_stat stat = measure_stat_of(value, 5);

	(void)state;
	assert_true(stat.min == 4);
	assert_true(stat.median == 5);
}

static void pair__fixed_batch__sides_in_turn_with_that_count(void **state)
{
	struct log log = { 0 };
	struct side floor = { &log, 'f', 0, 0 }, subject = { &log, 's', 0, 0 };
	struct measure_side sides[2] = { { side_run, &floor }, { side_run, &subject } };
	struct measure_plan plan = { .clock = CLOCK_MONOTONIC, .round_min = 3, .batch_count = 7 };
	struct measure_result result;

	(void)state;
	assert_int_equal(measure_pair(&plan, &sides[0], &sides[1], &result), 0);
	assert_int_equal(result.rounds, 3);
	assert_memory_equal(log.who, "fsfsfs", 7);
	for (size_t i = 0; i < log.len; i++)
		assert_int_equal(log.count[i], 7);
}

static void pair__warm_batches__each_runs_once_more_before(void **state)
{
	struct log log = { 0 };
	struct side floor = { &log, 'f', 0, 0 }, subject = { &log, 's', 0, 0 };
	struct measure_side sides[2] = { { side_run, &floor }, { side_run, &subject } };
	struct measure_plan plan = {
		.clock = CLOCK_MONOTONIC, .round_min = 2, .batch_count = 5, .batch_warm = true
	};
	struct measure_result result;

	(void)state;
	assert_int_equal(measure_pair(&plan, &sides[0], &sides[1], &result), 0);
	assert_int_equal(result.rounds, 2);
	assert_memory_equal(log.who, "ffssffss", 9);
}

static void pair__no_floor__subject_alone(void **state)
{
	struct log log = { 0 };
	struct side subject = { &log, 's', 0, 0 };
	struct measure_side side = { side_run, &subject };
	struct measure_plan plan = { .clock = CLOCK_MONOTONIC, .round_min = 4, .batch_count = 1 };
	struct measure_result result;

	(void)state;
	assert_int_equal(measure_pair(&plan, NULL, &side, &result), 0);
	assert_memory_equal(log.who, "ssss", 5);
	assert_true(result.floor.min == 0);
	assert_true(result.subject.median >= result.subject.min);
}

/* Both while the batch is sized and while it is sampled. */
static void pair__a_side_fails__its_error_and_an_untouched_result(void **state)
{
	(void)state;
	for (size_t fail_at = 1; fail_at <= 6; fail_at++) {
		struct log log = { 0 };
		struct side floor = { &log, 'f', 0, 0 }, subject = { &log, 's', fail_at, 0 };
		struct measure_side sides[2] = { { side_run, &floor }, { side_run, &subject } };
		struct measure_plan plan = { .clock = CLOCK_MONOTONIC,
					     .batch_ns = fail_at % 2,
					     .round_min = 20 };
		struct measure_result result, before;

		memset(&result, 0x5a, sizeof(result));
		before = result;
		assert_int_equal(measure_pair(&plan, &sides[0], &sides[1], &result), -EIO);
		assert_memory_equal(&result, &before, sizeof(result));
		assert_int_equal(subject.runs, fail_at);
	}
}

static void pair__endless_budget__ends_when_all_samples_are_taken(void **state)
{
	struct measure_side side = { nothing, NULL };
	struct measure_plan plan = { .clock = CLOCK_MONOTONIC,
				     .budget_ns = (uint64_t)1 << 62,
				     .batch_count = 1 };
	struct measure_result result;

	(void)state;
	assert_int_equal(measure_pair(&plan, &side, &side, &result), 0);
	assert_int_equal(result.rounds, MEASURE_ROUND_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_of__one_value__is_both),
		cmocka_unit_test(stat_of__any_order__smallest_and_middle),
		cmocka_unit_test(stat_of__an_outlier__moves_neither),
		cmocka_unit_test(pair__fixed_batch__sides_in_turn_with_that_count),
		cmocka_unit_test(pair__warm_batches__each_runs_once_more_before),
		cmocka_unit_test(pair__no_floor__subject_alone),
		cmocka_unit_test(pair__a_side_fails__its_error_and_an_untouched_result),
		cmocka_unit_test(pair__endless_budget__ends_when_all_samples_are_taken),
	};

	return cmocka_run_group_tests_name("perf/measure", tests, NULL, NULL);
}
