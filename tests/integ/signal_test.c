/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * signal_test.c -- a signal wakes a sleeping wait at once, whoever gives it
 *
 * A wait looks again every millisecond whatever happens, so that its end proves nothing: what is
 * counted is how many sleeps a signal ended. A signal is given when the waiter is known to sleep or
 * to be about to; now and then it meets the moment between two sleeps, so that not each has to count.
 */
#include "base/counter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <farbus/farbus.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define ROUNDS 200
#define TIMEOUT_MS 20000
#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)

/* Who gives the signal: the home on its memory, an importer that maps it, or one that is served. */
enum who { HOME, MAPPER, SERVED };

struct pair {
	struct farbus *farbus[2];
	struct farbus_region *own, *mapped, *served;
	struct farbus_region *waiter; /* own or mapped */
	_Atomic uint64_t done;
};

static uint64_t counted(enum counter counter)
{
	return __atomic_load_n(&counter_slots[counter], __ATOMIC_RELAXED);
}

static struct farbus_region *import(struct pair *pair, uint32_t flags)
{
	struct farbus_grant_opts opts = { .flags = flags };
	struct farbus_region *region = NULL;
	struct farbus_token token;

	assert_int_equal(farbus_region_grant(pair->own, 0, 4096, RWA, &opts, &token), 0);
	assert_int_equal(farbus_region_import(pair->farbus[1], &token, TIMEOUT_MS, &region), 0);
	return region;
}

static void pair_open(struct pair *pair)
{
	struct farbus_conf conf = { .job = "signal_test, private", .size = 2 };

	*pair = (struct pair){ .done = 0 };
	for (conf.rank = 0; conf.rank < 2; conf.rank++)
		assert_int_equal(farbus_open(&conf, &pair->farbus[conf.rank]), 0);
	assert_int_equal(farbus_region_alloc(pair->farbus[0], 4096, 0, &pair->own), 0);
	pair->mapped = import(pair, 0);
	pair->served = import(pair, FARBUS_GRANT_SERVED);
}

static void pair_close(struct pair *pair)
{
	assert_int_equal(farbus_close(pair->farbus[1]), 0);
	assert_int_equal(farbus_close(pair->farbus[0]), 0);
}

static void *wait_rounds(void *arg)
{
	struct pair *pair = arg;

	for (uint64_t i = 1; i <= ROUNDS; i++) {
		if (farbus_wait(pair->waiter, 64, FARBUS_EQ, i, TIMEOUT_MS, NULL) < 0)
			return (void *)farbus_last_error();
		atomic_store(&pair->done, i);
	}
	return NULL;
}

static void signal_rounds(struct pair *pair, struct farbus_region *region)
{
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		uint64_t parked;

		while (atomic_load(&pair->done) != i - 1)
			sched_yield();
		/* It goes to sleep after that, again and again. */
		parked = counted(COUNTER_wait_park);
		while (counted(COUNTER_wait_park) == parked)
			sched_yield();
		assert_int_equal(farbus_signal(region, 64, 1, FARBUS_ADD), 0);
	}
}

static void woken(enum who who, bool home_waits)
{
	uint64_t before;
	struct pair pair;
	pthread_t thread;
	void *why = NULL;

	pair_open(&pair);
	pair.waiter = home_waits ? pair.own : pair.mapped;
	before = counted(COUNTER_wait_woken);
	assert_int_equal(pthread_create(&thread, NULL, wait_rounds, &pair), 0);
	signal_rounds(&pair, who == HOME ? pair.own : who == MAPPER ? pair.mapped : pair.served);
	pthread_join(thread, &why);
	assert_null(why);
	printf("%u of %d sleeps ended by the signal\n",
	       (unsigned int)(counted(COUNTER_wait_woken) - before), ROUNDS);
	/* On a busy machine most sleeps end by the re-check before the signal comes; without wakes all do. */
	assert_true(counted(COUNTER_wait_woken) - before >= 1);
	pair_close(&pair);
}

static void signal__by_a_mapper__wakes_the_home(void **state)
{
	(void)state;
	woken(MAPPER, true);
}

static void signal__by_the_home__wakes_a_mapper(void **state)
{
	(void)state;
	woken(HOME, false);
}

static void signal__served__wakes_the_home(void **state)
{
	(void)state;
	woken(SERVED, true);
}

static void signal__served__wakes_a_mapper(void **state)
{
	(void)state;
	woken(SERVED, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signal__by_a_mapper__wakes_the_home),
		cmocka_unit_test(signal__by_the_home__wakes_a_mapper),
		cmocka_unit_test(signal__served__wakes_the_home),
		cmocka_unit_test(signal__served__wakes_a_mapper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
