/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_dirty_test.c -- dirty bitmaps: boundaries, harvests, and no store lost among threads */
#include "addrmap_common.h"

#include "addrmap/dirty.h"
#include "addrmap/window.h"
#include "base/clock.h"
#include "base/process.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define PAGE ADDR_PAGE_SIZE
#define PAGES 200 /* three words and an odd end */
#define WORDS 4
#define DRAIN_NS (30ull * 1000 * 1000 * 1000)

_Static_assert(DIRTY_LEN_MAX == (uint64_t)1 << WINDOW_OFF_BITS, "what a window can reach");

static int dirty_setup(void **state)
{
	return dirty_new((PAGES - 1) * PAGE + 1, (struct dirty **)state);
}

static int dirty_teardown(void **state)
{
	dirty_check(*state);
	dirty_free(*state);
	return 0;
}

static bool bit_of(const uint64_t *bitmap, uint64_t page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

/* Exactly the pages [from, to) are marked; they are harvested. */
static void expect_pages(struct dirty *dirty, uint64_t from, uint64_t to)
{
	uint64_t bitmap[WORDS] = { 0 };

	dirty_check(dirty);
	assert_int_equal(dirty_count(dirty), to - from);
	assert_int_equal(dirty_harvest(dirty, 0, PAGES, bitmap), to - from);
	for (uint64_t page = 0; page < WORDS * 64; page++)
		assert_int_equal(bit_of(bitmap, page), page >= from && page < to);
	assert_int_equal(dirty_count(dirty), 0);
	assert_int_equal(dirty_harvest(dirty, 0, PAGES, bitmap), 0);
}

static void mark__range__its_pages_and_no_other(void **state)
{
	static const struct {
		uint64_t off, len, from, to;
	} cases[] = {
		{ 0, 1, 0, 1 },
		{ PAGE - 1, 1, 0, 1 },
		{ PAGE - 1, 2, 0, 2 },
		{ PAGE, 1, 1, 2 },
		{ 0, PAGE, 0, 1 },
		{ 1, PAGE, 0, 2 },
		{ 63 * PAGE, PAGE, 63, 64 },
		{ 63 * PAGE, PAGE + 1, 63, 65 },
		{ 64 * PAGE - 8, 16, 63, 65 },
		{ 64 * PAGE, 64 * PAGE, 64, 128 },
		{ 10 * PAGE, 180 * PAGE, 10, 190 },
		{ (PAGES - 1) * PAGE, 1, PAGES - 1, PAGES },
		{ 0, (PAGES - 1) * PAGE + 1, 0, PAGES },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		dirty_mark(*state, cases[i].off, cases[i].len);
		expect_pages(*state, cases[i].from, cases[i].to);
		dirty_mark_light(*state, cases[i].off, cases[i].len);
		dirty_mark_light(*state, cases[i].off, cases[i].len);
		expect_pages(*state, cases[i].from, cases[i].to);
	}
}

static void new__length__einval_or_erange_out_of_bounds(void **state)
{
	struct dirty *dirty;
	uint64_t bitmap[1] = { 0 };
	const uint64_t last = (DIRTY_LEN_MAX >> ADDR_PAGE_SHIFT) - 1;

	(void)state;
	assert_int_equal(dirty_new(0, &dirty), -EINVAL);
	assert_int_equal(dirty_new(DIRTY_LEN_MAX + 1, &dirty), -ERANGE);
	assert_int_equal(dirty_new(UINT64_MAX, &dirty), -ERANGE);
	assert_int_equal(dirty_new(DIRTY_LEN_MAX, &dirty), 0); /* memory comes with the marks */
	dirty_mark(dirty, DIRTY_LEN_MAX - 1, 1);
	dirty_check(dirty);
	assert_int_equal(dirty_harvest(dirty, last - 63, 64, bitmap), 1);
	assert_int_equal(bitmap[0], (uint64_t)1 << 63);
	assert_null(dirty_free(dirty));
	assert_null(dirty_free(NULL));
}

static void harvest__part__only_that_and_ored_into_the_bitmap(void **state)
{
	uint64_t bitmap[2] = { 1, 2 };

	dirty_mark(*state, 0, 200 * PAGE - PAGE + 1);
	assert_int_equal(dirty_harvest(*state, 64, 70, bitmap), 70);
	assert_int_equal(bitmap[0], UINT64_MAX);
	assert_int_equal(bitmap[1], 63);
	assert_int_equal(dirty_count(*state), 130);
	assert_int_equal(dirty_harvest(*state, 128, PAGES - 128, bitmap), 66);
	assert_int_equal(bitmap[1], 255);
	assert_int_equal(dirty_count(*state), 64);
}

static void mark_all__then_harvested_by_parts__every_page_once(void **state)
{
	uint64_t bitmap[WORDS] = { 0 };

	dirty_mark(*state, 5 * PAGE, 1);
	dirty_mark_all(*state);
	dirty_mark_all(*state);
	assert_int_equal(dirty_count(*state), PAGES);
	assert_int_equal(dirty_harvest(*state, 0, 64, bitmap), 64);
	assert_int_equal(dirty_count(*state), PAGES - 64);
	dirty_mark(*state, 5 * PAGE, 1);
	assert_int_equal(dirty_harvest(*state, 0, PAGES, bitmap), PAGES - 63);
	dirty_mark_all(*state);
	expect_pages(*state, 0, PAGES);
}

static void or__bitmap_of_a_peer__marked_or_refused_whole(void **state)
{
	uint64_t bitmap[2] = { (uint64_t)1 << 63, 1 };

	assert_int_equal(dirty_or(*state, 64, 65, bitmap), 0);
	expect_pages(*state, 127, 129);
	assert_int_equal(dirty_or(*state, 128, 65, bitmap), 0);
	expect_pages(*state, 191, 193);
	assert_int_equal(dirty_or(*state, 32, 65, bitmap), -EINVAL);
	assert_int_equal(dirty_or(*state, 128, PAGES - 127, bitmap), -ERANGE);
	assert_int_equal(dirty_or(*state, 0, 0, bitmap), -ERANGE);
	assert_int_equal(dirty_or(*state, 64, UINT64_MAX, bitmap), -ERANGE);
	bitmap[1] = 3;
	assert_int_equal(dirty_or(*state, 64, 65, bitmap), -EINVAL);
	expect_text("behind the last");
	assert_int_equal(dirty_count(*state), 0);
}

static void run_next__bitmaps__every_run_in_order(void **state)
{
	uint64_t bitmap[WORDS] = { 0 }, page = 77, count = 77, random = 3;

	(void)state;
	assert_false(dirty_run_next(bitmap, PAGES, 0, &page, &count));
	assert_int_equal(page, 77);
	for (int round = 0; round < 200; round++) {
		bool again[PAGES] = { 0 };

		for (int i = 0; i < WORDS; i++)
			bitmap[i] = round % 5 == 0 ? UINT64_MAX :
						     random_next(&random) & random_next(&random);
		for (uint64_t at = 0, last = 0; dirty_run_next(bitmap, PAGES, at, &page, &count);
		     at = page + count) {
			assert_true(count > 0);
			assert_true(page + count <= PAGES);
			assert_true(page > last || at == 0); /* runs do not touch */
			memset(&again[page], 1, count);
			last = page + count;
		}
		for (uint64_t i = 0; i < PAGES; i++)
			assert_int_equal(again[i], bit_of(bitmap, i));
	}
}

static void all__random_steps__same_as_an_array(void **state)
{
	bool naive[PAGES] = { 0 };
	uint64_t random = 8;

	for (int step = 0; step < ROUNDS(20000); step++) {
		uint64_t off = random_below(&random, (PAGES - 1) * PAGE + 1), bitmap[WORDS] = { 0 };
		uint64_t len = 1 + random_below(&random, 3 * PAGE), taken = 0, count = 0;
		uint64_t first = random_below(&random, WORDS) * 64, pages;

		pages = 1 + random_below(&random, PAGES - first);
		switch (random_below(&random, 8)) {
		case 0:
			for (uint64_t i = first; i < first + pages; i++)
				taken += naive[i];
			assert_int_equal(dirty_harvest(*state, first, pages, bitmap), taken);
			for (uint64_t i = 0; i < pages; i++)
				assert_int_equal(bit_of(bitmap, i), naive[first + i]);
			memset(&naive[first], 0, pages);
			break;
		case 1:
			for (uint64_t i = 0; i < pages; i++)
				if (random_below(&random, 4) == 0)
					bitmap[i / 64] |= (uint64_t)1 << i % 64;
			assert_int_equal(dirty_or(*state, first, pages, bitmap), 0);
			for (uint64_t i = 0; i < pages; i++)
				naive[first + i] |= bit_of(bitmap, i);
			break;
		case 2:
			if (random_below(&random, 20))
				break;
			dirty_mark_all(*state);
			memset(naive, 1, sizeof(naive));
			break;
		default:
			if (off + len > (PAGES - 1) * PAGE + 1)
				len = (PAGES - 1) * PAGE + 1 - off;
			dirty_mark(*state, off, len);
			for (uint64_t i = off / PAGE; i <= (off + len - 1) / PAGE; i++)
				naive[i] = true;
		}
		for (uint64_t i = 0; i < PAGES; i++)
			count += naive[i];
		assert_int_equal(dirty_count(*state), count);
		dirty_check(*state);
	}
}

static int call_new(void *arg)
{
	return dirty_new(PAGE, arg);
}

static void new__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	struct dirty *dirty = NULL;

	(void)state;
	assert_int_equal(every_allocation_fails_once(call_new, NULL, &dirty), 2);
	dirty_free(dirty);
}

/* ---- threads ---- */

/*
 * Rounds of few stores, so that the last store to a page often meets a harvest, and a page that
 * lost its mark stays lost. Each marker has a word of its own in each page; the harvester copies
 * the pages it is told of.
 */
#define MARKERS_MAX 2
#define SHARED_PAGES 2
#define WRITES 4
#define SEARCH_NS (2ull * 1000 * 1000 * 1000)

struct shared {
	struct dirty *dirty;
	bool light;
	uint32_t markers;
	_Atomic uint32_t round, working;
	_Atomic bool stop;
	_Atomic uint64_t page[SHARED_PAGES][MARKERS_MAX];
	uint64_t copy[SHARED_PAGES][MARKERS_MAX];
};

struct marker {
	struct shared *shared;
	pthread_t thread;
	uint32_t index;
};

/* Ends when the round does; the harvester ends every round, and all of them. */
static void round_wait(struct shared *shared, uint32_t round)
{
	for (uint32_t i = 0; atomic_load(&shared->round) == round; i++)
		if (i > 1000)
			sched_yield();
}

static void marker_write(struct marker *marker, uint64_t page, uint64_t value)
{
	struct shared *shared = marker->shared;

	atomic_store_explicit(&shared->page[page][marker->index], value, memory_order_relaxed);
	if (shared->light)
		dirty_mark_light(shared->dirty, page * PAGE, 8);
	else
		dirty_mark(shared->dirty, page * PAGE, 8);
}

static void *marker_run(void *arg)
{
	struct marker *marker = arg;
	struct shared *shared = marker->shared;
	uint64_t random = marker->index, value = 0;

	for (uint32_t round = 0;; round++) {
		round_wait(shared, round);
		if (atomic_load(&shared->stop))
			return NULL;
		for (uint64_t i = 1 + random_below(&random, WRITES); i > 0; i--)
			marker_write(marker, random_below(&random, SHARED_PAGES), ++value);
		atomic_fetch_sub(&shared->working, 1);
	}
}

static void round_harvest(struct shared *shared)
{
	uint64_t bitmap = 0, page, count, at = 0;

	dirty_harvest(shared->dirty, 0, SHARED_PAGES, &bitmap);
	if (shared->light) /* for its membarrier(2): nobody holds this tag */
		assert_int_equal(process_guard_drain(process_tag_new(), DRAIN_NS), 0);
	for (; dirty_run_next(&bitmap, SHARED_PAGES, at, &page, &count); at = page + count)
		for (uint64_t i = page; i < page + count; i++)
			for (uint32_t j = 0; j < shared->markers; j++)
				shared->copy[i][j] = atomic_load_explicit(&shared->page[i][j],
									  memory_order_relaxed);
}

/* After a last harvest, behind the last access, the copy has everything. */
static void round_run(struct shared *shared)
{
	atomic_store(&shared->working, shared->markers);
	atomic_fetch_add(&shared->round, 1);
	while (atomic_load_explicit(&shared->working, memory_order_relaxed) > 0)
		round_harvest(shared);
	atomic_thread_fence(memory_order_acquire);
	round_harvest(shared);
	for (int i = 0; i < SHARED_PAGES; i++)
		for (uint32_t j = 0; j < shared->markers; j++)
			assert_int_equal(shared->copy[i][j], shared->page[i][j]);
}

static void threads_run(uint32_t markers, bool light, int rounds)
{
	struct shared shared = { .light = light, .markers = markers };
	uint64_t until = clock_now_ns() + SEARCH_NS;
	struct marker marker[MARKERS_MAX];

	assert_int_equal(dirty_new(SHARED_PAGES * PAGE, &shared.dirty), 0);
	for (uint32_t i = 0; i < markers; i++) {
		marker[i] = (struct marker){ .shared = &shared, .index = i };
		assert_int_equal(pthread_create(&marker[i].thread, NULL, marker_run, &marker[i]),
				 0);
	}
	/* Less on a busy machine: it is a search, and no result depends on how long it was. */
	for (int round = 0; round < rounds && clock_now_ns() < until; round++)
		round_run(&shared);
	atomic_store(&shared.stop, true);
	atomic_fetch_add(&shared.round, 1);
	for (uint32_t i = 0; i < markers; i++)
		pthread_join(marker[i].thread, NULL);
	dirty_check(shared.dirty);
	dirty_free(shared.dirty);
}

static void mark__while_harvested__no_store_lost(void **state)
{
	(void)state;
	threads_run(1, false, ROUNDS(10000));
	threads_run(2, false, ROUNDS(100));
}

static void mark_light__while_harvested_with_membarrier__no_store_lost(void **state)
{
	(void)state;
	assert_int_equal(process_get(NULL), 0);
	threads_run(1, true, ROUNDS(4000));
	threads_run(2, true, ROUNDS(60));
	process_put();
}

int main(void)
{
#define WITH_DIRTY(test) cmocka_unit_test_setup_teardown(test, dirty_setup, dirty_teardown)
	const struct CMUnitTest tests[] = {
		WITH_DIRTY(mark__range__its_pages_and_no_other),
		cmocka_unit_test(new__length__einval_or_erange_out_of_bounds),
		WITH_DIRTY(harvest__part__only_that_and_ored_into_the_bitmap),
		WITH_DIRTY(mark_all__then_harvested_by_parts__every_page_once),
		WITH_DIRTY(or__bitmap_of_a_peer__marked_or_refused_whole),
		cmocka_unit_test(run_next__bitmaps__every_run_in_order),
		WITH_DIRTY(all__random_steps__same_as_an_array),
		cmocka_unit_test(new__every_allocation_fails_once__enomem_and_no_leak),
		cmocka_unit_test(mark__while_harvested__no_store_lost),
		cmocka_unit_test(mark_light__while_harvested_with_membarrier__no_store_lost),
	};

	return cmocka_run_group_tests_name("addrmap/dirty", tests, NULL, NULL);
}
