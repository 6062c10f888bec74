/* SPDX-License-Identifier: BSD-3-Clause */
/* move_rounds_test.c -- tests of runtime/move/rounds.h: a guest and a wire made of numbers */
#include "runtime/move/rounds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* ram pages, written at dirty per second, sent at rate per second: how it ends, after how many rounds. */
static enum rounds_next simulate(uint64_t ram, uint64_t dirty_rate, uint64_t rate,
				 uint64_t downtime_ms, struct rounds *rounds)
{
	enum rounds_next next = ROUNDS_AGAIN;
	uint64_t pages = ram;

	rounds_init(rounds, downtime_ms * NS_PER_MS, 0, 30);
	while (next == ROUNDS_AGAIN) {
		uint64_t ns = pages * NS_PER_S / rate, sent = pages;

		pages = dirty_rate * ns / NS_PER_S;
		pages = pages < ram ? pages : ram;
		next = rounds_end(rounds, sent, ns, pages);
	}
	return next;
}

static void end__guest_slower_than_the_wire__stops_within_the_downtime(void **state)
{
	static const struct {
		uint64_t dirty_rate, round_max;
	} row[] = { { 0, 1 }, { 1000, 1 }, { 20000, 2 }, { 100000, 4 }, { 190000, 30 } };
	struct rounds rounds;

	(void)state;
	for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(simulate(262144, row[i].dirty_rate, 200000, 300, &rounds),
				 i < 4		   ? ROUNDS_STOP :
				 rounds.round < 30 ? ROUNDS_STOP :
						     ROUNDS_STUCK);
		assert_true(rounds.round <= row[i].round_max);
		if (i < 4)
			assert_true(rounds.predicted_ns <= 300 * NS_PER_MS);
	}
}

static void end__guest_faster_than_the_wire__stuck_soon(void **state)
{
	struct rounds rounds;

	(void)state;
	assert_int_equal(simulate(262144, 400000, 200000, 300, &rounds), ROUNDS_STUCK);
	assert_true(rounds.round <= 5);
	assert_true(rounds.predicted_ns > 300 * NS_PER_MS);
}

static void end__extreme_numbers__no_overflow(void **state)
{
	static const uint64_t values[] = { 0, 1, 4096, UINT64_MAX / 2, UINT64_MAX };

	(void)state;
	for (unsigned s = 0; s < 5; s++)
		for (unsigned n = 0; n < 5; n++)
			for (unsigned d = 0; d < 5; d++) {
				struct rounds rounds;

				rounds_init(&rounds, 0, UINT64_MAX, 2);
				assert_int_equal(
					rounds_end(&rounds, values[s], values[n], values[d]),
					ROUNDS_AGAIN);
				assert_int_equal(
					rounds_end(&rounds, values[s], values[n], values[d]),
					ROUNDS_STUCK);
				assert_int_equal(rounds.predicted_ns, UINT64_MAX);
			}
}

static void pause__cap__as_long_as_is_missing(void **state)
{
	(void)state;
	assert_int_equal(rounds_pause(1000, 0, 0), 0);
	assert_int_equal(rounds_pause(1000, 0, 1000), NS_PER_S);
	assert_int_equal(rounds_pause(1000, NS_PER_S / 4, 1000), NS_PER_S / 4 * 3);
	assert_int_equal(rounds_pause(1000, 2 * NS_PER_S, 1000), 0);
	assert_int_equal(rounds_pause(UINT64_MAX, 0, 1), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(end__guest_slower_than_the_wire__stops_within_the_downtime),
		cmocka_unit_test(end__guest_faster_than_the_wire__stuck_soon),
		cmocka_unit_test(end__extreme_numbers__no_overflow),
		cmocka_unit_test(pause__cap__as_long_as_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
