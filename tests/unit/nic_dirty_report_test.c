/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_dirty_report_test.c -- which sinks hear of which pages, and what happens when they cannot */
#include "addrmap_common.h"
#include "nicdrv/dirty_report.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ull
#define PAGES 256

struct world {
	struct dirty_report report;
	_Atomic uint64_t log[PAGES / 64];
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	dirty_report_log_set(&world->report, world->log, sizeof(world->log));
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static bool marked(const struct world *world, unsigned page)
{
	return world->log[page / 64] >> page % 64 & 1;
}

static unsigned marks(const struct world *world)
{
	unsigned count = 0;

	for (unsigned i = 0; i < PAGES; i++)
		count += marked(world, i);
	return count;
}

static void wanted__no_sink__nobody(void **state)
{
	struct dirty_report report = { 0 };

	(void)state;
	assert_false(dirty_report_wanted(&report));
	dirty_report_add(&report, 0, 1);
	assert_int_equal(report.run_count, 0);
}

static void add__byte_by_byte__the_pages_that_hold_them_after_the_flush(void **state)
{
	struct world *world = *state;

	dirty_report_add(&world->report, 3 * PAGE - 1, 1);
	dirty_report_add(&world->report, 5 * PAGE - 1, 2);
	dirty_report_add(&world->report, 62 * PAGE, 70 * PAGE);
	assert_int_equal(marks(world), 0);
	dirty_report_flush(&world->report);
	assert_true(marked(world, 2));
	assert_true(marked(world, 4));
	assert_true(marked(world, 5));
	for (unsigned i = 62; i < 132; i++)
		assert_true(marked(world, i));
	assert_int_equal(marks(world), 73);
	assert_int_equal(world->report.flushes, 1);
}

static void flush__harvested_between__marked_again(void **state)
{
	struct world *world = *state;

	for (int round = 0; round < 3; round++) {
		dirty_report_add(&world->report, 7 * PAGE, 8);
		dirty_report_flush(&world->report);
		assert_int_equal(atomic_exchange(&world->log[0], 0), 1u << 7);
	}
}

static void add__more_runs_than_a_batch__none_lost(void **state)
{
	struct dirty_report *report = calloc(1, sizeof(*report));
	size_t words = DIRTY_REPORT_BATCH_MAX * 3 / 64;
	_Atomic uint64_t *log = calloc(words, 8);

	(void)state;
	dirty_report_log_set(report, log, words * 8);
	/* Every other page, so that none joins the one before. */
	for (uint64_t i = 0; i < DIRTY_REPORT_BATCH_MAX + 40; i++)
		dirty_report_add(report, i * 2 * PAGE, 1);
	dirty_report_flush(report);
	for (uint64_t i = 0; i < DIRTY_REPORT_BATCH_MAX + 40; i++)
		assert_int_equal(log[i * 2 / 64] >> i * 2 % 64 & 3, 1);
	assert_int_equal(report->pages, DIRTY_REPORT_BATCH_MAX + 40);
	free(log);
	free(report);
}

static void add__page_past_the_log__all_of_it(void **state)
{
	struct world *world = *state;

	dirty_report_add(&world->report, PAGES * PAGE, 1);
	dirty_report_flush(&world->report);
	assert_int_equal(marks(world), PAGES);
	assert_int_equal(world->report.overflows, 1);
	for (unsigned i = 0; i < PAGES / 64; i++)
		world->log[i] = 0;
	/* As a hostile ring address makes it: it wraps. */
	dirty_report_add(&world->report, UINT64_MAX, 16);
	dirty_report_flush(&world->report);
	assert_int_equal(marks(world), PAGES);
}

static void log_set__another_log__the_rest_goes_to_the_old_one(void **state)
{
	struct world *world = *state;
	_Atomic uint64_t other[1] = { 0 };

	dirty_report_add(&world->report, 0, 1);
	dirty_report_log_set(&world->report, other, sizeof(other));
	assert_int_equal(world->log[0], 1);
	assert_int_equal(other[0], 0);
	dirty_report_add(&world->report, PAGE, 1);
	dirty_report_log_set(&world->report, NULL, 0);
	assert_int_equal(other[0], 2);
	assert_false(dirty_report_wanted(&world->report));
}

static void set__range_with_a_dirty_set__its_pages_alone(void **state)
{
	struct world *world = *state;
	struct dirty *dirty;

	assert_int_equal(dirty_new(16 * PAGE, &dirty), 0);
	struct dirty_report_set set = { 100 * PAGE, 8 * PAGE, dirty, 4 * PAGE };
	assert_int_equal(dirty_report_set_add(&world->report, &set), 0);
	dirty_report_add(&world->report, 98 * PAGE, 4 * PAGE);
	dirty_report_add(&world->report, 107 * PAGE, 9 * PAGE);
	dirty_report_add(&world->report, 50 * PAGE, PAGE);
	dirty_report_flush(&world->report);
	assert_int_equal(dirty_count(dirty), 3);
	assert_true(dirty_is_marked(dirty, 4));
	assert_true(dirty_is_marked(dirty, 5));
	assert_true(dirty_is_marked(dirty, 11));
	assert_int_equal(marks(world), 14);
	dirty_report_set_remove(&world->report, dirty);
	dirty_report_add(&world->report, 103 * PAGE, PAGE);
	dirty_report_flush(&world->report);
	assert_int_equal(dirty_count(dirty), 3);
	dirty_free(dirty);
}

static void set_add__what_it_cannot_be__refused(void **state)
{
	struct world *world = *state;
	struct dirty *dirty;

	assert_int_equal(dirty_new(16 * PAGE, &dirty), 0);
	struct dirty_report_set set = { 1, PAGE, dirty, 0 };
	assert_int_equal(dirty_report_set_add(&world->report, &set), -EINVAL);
	set = (struct dirty_report_set){ 0, 0, dirty, 0 };
	assert_int_equal(dirty_report_set_add(&world->report, &set), -EINVAL);
	set = (struct dirty_report_set){ 0, 2 * PAGE, dirty, 15 * PAGE };
	assert_int_equal(dirty_report_set_add(&world->report, &set), -ERANGE);
	set.off = 0;
	for (int i = 0; i < DIRTY_REPORT_SET_MAX; i++)
		assert_int_equal(dirty_report_set_add(&world->report, &set), 0);
	assert_int_equal(dirty_report_set_add(&world->report, &set), -ENOSPC);
	dirty_report_set_remove(&world->report, dirty);
	assert_int_equal(world->report.set_count, 0);
	dirty_free(dirty);
}

static void hint__full__overflow_and_the_bitmap_has_all(void **state)
{
	struct world *world = *state;
	struct dirty_run run[8];
	struct dirty_hint *hint;
	bool all;

	assert_int_equal(dirty_hint_new(0, &hint), -EINVAL);
	assert_int_equal(dirty_hint_new(3, &hint), -EINVAL);
	assert_int_equal(dirty_hint_new(2 * DIRTY_HINT_MAX, &hint), -EINVAL);
	alloc_fault_arm(1);
	assert_int_equal(dirty_hint_new(4, &hint), -ENOMEM);
	alloc_fault_arm(0);
	assert_int_equal(dirty_hint_new(4, &hint), 0);
	dirty_report_hint_set(&world->report, hint);
	dirty_report_add(&world->report, PAGE, 2 * PAGE);
	dirty_report_flush(&world->report);
	assert_int_equal(dirty_hint_take(hint, run, 8, &all), 1);
	assert_false(all);
	assert_int_equal(run[0].page, 1);
	assert_int_equal(run[0].count, 2);
	for (uint64_t i = 0; i < 6; i++)
		dirty_report_add(&world->report, (10 + 2 * i) * PAGE, 1);
	dirty_report_flush(&world->report);
	assert_int_equal(dirty_hint_take(hint, run, 8, &all), 4);
	assert_true(all);
	assert_int_equal(marks(world), 8);
	assert_int_equal(dirty_hint_take(hint, run, 8, &all), 0);
	assert_false(all);
	dirty_report_hint_set(&world->report, NULL);
	free(hint);
}

static void all__three_sinks__each_hears_it(void **state)
{
	struct world *world = *state;
	struct dirty_run run[1];
	struct dirty_hint *hint;
	struct dirty *dirty;
	bool all;

	assert_int_equal(dirty_hint_new(4, &hint), 0);
	assert_int_equal(dirty_new(4 * PAGE, &dirty), 0);
	struct dirty_report_set set = { 0, 4 * PAGE, dirty, 0 };
	assert_int_equal(dirty_report_set_add(&world->report, &set), 0);
	dirty_report_hint_set(&world->report, hint);
	dirty_report_all(&world->report);
	assert_int_equal(marks(world), PAGES);
	assert_int_equal(dirty_count(dirty), 4);
	assert_int_equal(dirty_hint_take(hint, run, 1, &all), 0);
	assert_true(all);
	dirty_report_hint_set(&world->report, NULL);
	dirty_report_set_remove(&world->report, dirty);
	dirty_free(dirty);
	free(hint);
}

static void flush__memory_with_two_addresses__both(void **state)
{
	struct world *world = *state;
	int fd = memfd_create("peer", MFD_CLOEXEC);
	struct remap remap;

	assert_int_equal(ftruncate(fd, 64 * PAGE), 0);
	assert_int_equal(remap_init(&remap), 0);
	for (uint64_t i = 0; i < 2; i++) {
		struct remap_range range = { .bus = i * 128 * PAGE,
					     .len = (64 - i * 8) * PAGE,
					     .rights = REMAP_READ };

		assert_int_equal(remap_memory_open(fd, i * 8 * PAGE, range.len, &range.memory), 0);
		assert_int_equal(remap_draft_add(&remap, &range), 0);
		remap_memory_put(range.memory);
	}
	remap_flip(&remap);
	world->report.map = &remap;
	dirty_report_add(&world->report, 20 * PAGE + 5, 1);
	dirty_report_add(&world->report, 130 * PAGE, PAGE);
	dirty_report_add(&world->report, 2 * PAGE, 1);
	dirty_report_flush(&world->report);
	assert_int_equal(marks(world), 5);
	assert_true(marked(world, 20));
	assert_true(marked(world, 128 + 12));
	assert_true(marked(world, 130));
	assert_true(marked(world, 10));
	assert_true(marked(world, 2));
	remap_fini(&remap);
	close(fd);
}

/*
 * The protocol with a reader in another thread: the device writes a page, reports and flushes; the
 * reader clears and then reads. At the end the reader's copy is the memory, whatever the timing.
 */
struct race {
	struct world *world;
	_Atomic uint64_t page[PAGES];
	uint64_t copy[PAGES];
	atomic_bool done;
};

static void harvest(struct race *race)
{
	for (unsigned w = 0; w < PAGES / 64; w++) {
		uint64_t bits = atomic_exchange(&race->world->log[w], 0);

		for (; bits; bits &= bits - 1) {
			unsigned page = w * 64 + (unsigned)__builtin_ctzll(bits);

			race->copy[page] =
				atomic_load_explicit(&race->page[page], memory_order_relaxed);
		}
	}
}

static void *reader(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->done))
		harvest(race);
	return NULL;
}

static void flush__reader_clears_meanwhile__copy_equals_memory(void **state)
{
	struct race *race = calloc(1, sizeof(*race));
	uint64_t random = 1;
	pthread_t thread;

	race->world = *state;
	assert_int_equal(pthread_create(&thread, NULL, reader, race), 0);
	for (unsigned burst = 0; burst < ROUNDS(20000); burst++) {
		for (unsigned i = 0; i < 8; i++) {
			uint64_t page = random_below(&random, 16) * 13;

			atomic_store_explicit(&race->page[page], random_next(&random),
					      memory_order_relaxed);
			dirty_report_add(&race->world->report, page * PAGE, 8);
		}
		dirty_report_flush(&race->world->report);
	}
	atomic_store(&race->done, true);
	pthread_join(thread, NULL);
	harvest(race);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(race->copy[i], race->page[i]);
	free(race);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wanted__no_sink__nobody),
		TEST(add__byte_by_byte__the_pages_that_hold_them_after_the_flush),
		TEST(flush__harvested_between__marked_again),
		TEST(add__more_runs_than_a_batch__none_lost),
		TEST(add__page_past_the_log__all_of_it),
		TEST(log_set__another_log__the_rest_goes_to_the_old_one),
		TEST(set__range_with_a_dirty_set__its_pages_alone),
		TEST(set_add__what_it_cannot_be__refused),
		TEST(hint__full__overflow_and_the_bitmap_has_all),
		TEST(all__three_sinks__each_hears_it),
		TEST(flush__memory_with_two_addresses__both),
		TEST(flush__reader_clears_meanwhile__copy_equals_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
