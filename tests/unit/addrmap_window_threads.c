/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addrmap_window_threads.c -- readers of the window table, without a lock, against its writer
 *
 *   | block | block, a page in it may be another window | block |        one window, but for that
 *
 * Version n of the windows has imports n and pages with offsets made of n. The writer says which
 * version is coming before it touches the table, and which one is complete afterwards. A reader
 * that asks for the complete one, translates, and then asks for the coming one, may have met no
 * version outside of these two. If they are the same, it has to have met it. Whatever it meets
 * must be whole: import and offset of one version.
 */
#include "addrmap_common.h"

#include "addrmap/window_inline.h"
#include "base/clock.h"
#include "base/process.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#define PAGE ADDR_PAGE_SIZE
#define BLOCK ADDR_BLOCK_SIZE
#define START (5 * BLOCK - 3 * PAGE) /* sub-tables at both ends */
#define LEN (3 * BLOCK + 5 * PAGE)
#define HOLE (6 * BLOCK + 7 * PAGE)
#define READERS 3
#define CYCLES ROUNDS(4000)
#define IMPORT_STEP 2 /* version n has import 2n, and 2n + 1 in the hole */
#define DRAIN_NS (30ull * 1000 * 1000 * 1000)

/* Two places with versions of their own: the hole, and all of the rest. */
enum place { REST, HOLE_PAGE, PLACES };

struct shared {
	struct window_table *table;
	uint64_t tag;
	_Atomic uint32_t coming[PLACES], complete[PLACES];
	_Atomic bool stop;
	_Atomic uint64_t hits, misses, wrong;
};

static uint64_t off_of(uint32_t version, uint64_t va)
{
	return (uint64_t)version * 16 * BLOCK + (va - START);
}

/* What the reader may have met: see above. */
static bool acceptable(uint32_t complete, uint32_t coming, bool found, enum place place,
		       uint64_t va, const struct window_hit *hit)
{
	uint32_t version = hit->import / IMPORT_STEP;

	if (!found)
		return complete != coming || complete == 0;
	/* Between versions the hole may belong to the window around it. */
	if (place == REST && hit->import % IMPORT_STEP)
		return false;
	if (hit->off != off_of(version, va))
		return false;
	if (place == HOLE_PAGE && complete == coming && hit->import % IMPORT_STEP == 0)
		return false;
	return version >= complete && version <= coming;
}

/* What a reader does that loses its CPU between two loads: the sub-table must still be there. */
static void dawdle(const struct window_table *table, uint64_t va)
{
	uint64_t entry =
		atomic_load_explicit(&table->entry[va >> ADDR_BLOCK_SHIFT], memory_order_acquire);

	if ((entry & WINDOW_KIND_MASK) != WINDOW_SUB)
		return;
	sched_yield();
	atomic_load_explicit(&window_entry_sub(entry)->entry[va / PAGE % WINDOW_PAGE_MAX],
			     memory_order_acquire);
}

static void read_once(struct shared *shared, struct farbus_guard_slot *slot, uint64_t va)
{
	enum place place = va / PAGE == HOLE / PAGE ? HOLE_PAGE : REST;
	/* Pair with the writer's release stores of both. */
	uint32_t complete = atomic_load_explicit(&shared->complete[place], memory_order_acquire);
	struct window_hit hit = { 0 };

	farbus_guard_enter(slot, shared->tag);
	if (va % 64 == 0)
		dawdle(shared->table, va);
	bool found = window_translate_inline(shared->table, (farbus_va_t){ va }, &hit);

	farbus_guard_leave(slot);
	uint32_t coming = atomic_load_explicit(&shared->coming[place], memory_order_acquire);

	atomic_fetch_add_explicit(found ? &shared->hits : &shared->misses, 1, memory_order_relaxed);
	if (!acceptable(complete, coming, found, place, va, &hit))
		atomic_fetch_add(&shared->wrong, 1);
}

static void *reader(void *arg)
{
	struct process_slot *slot = process_slot_self();
	struct shared *shared = arg;
	uint64_t random = (uint64_t)(uintptr_t)&slot;

	while (slot && !atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		uint64_t va = START + random_below(&random, LEN);

		read_once(shared, &slot->guard, random_below(&random, 4) ? va : HOLE + va % PAGE);
	}
	return NULL;
}

static void coming(struct shared *shared, enum place place, uint32_t version)
{
	atomic_store_explicit(&shared->coming[place], version, memory_order_release);
	/* Before any store to the table: the readers' acquire of an entry shows them this one. */
}

static void complete(struct shared *shared, enum place place, uint32_t version)
{
	atomic_store_explicit(&shared->complete[place], version, memory_order_release);
}

static void insert(struct shared *shared, uint64_t va, uint64_t len, uint32_t version,
		   uint32_t more)
{
	struct window_extent extent = { .va = { va },
					.len = len,
					.off = off_of(version, va),
					.import = version * IMPORT_STEP + more,
					.rights = FARBUS_R };

	assert_int_equal(window_insert(shared->table, &extent), 0);
}

static void reclaim(struct shared *shared)
{
	assert_int_equal(process_guard_drain(shared->tag, DRAIN_NS), 0);
	window_reclaim(shared->table);
}

/*
 * One version: all windows away, the big one back as whole blocks, then a hole in the middle of a
 * block, while the pages around it stay, then another window in the hole.
 */
static void cycle(struct shared *shared, uint32_t version)
{
	struct window_table *table = shared->table;

	coming(shared, REST, version);
	coming(shared, HOLE_PAGE, version);
	if (version > 1)
		assert_int_equal(window_remove(table, (farbus_va_t){ START }, LEN), 0);
	if (version % 4) /* at once, when readers are most likely still there; or some together */
		reclaim(shared);
	insert(shared, START, LEN, version, 0);
	complete(shared, REST, version);
	assert_int_equal(window_remove(table, (farbus_va_t){ HOLE }, PAGE), 0);
	insert(shared, HOLE, PAGE, version, 1);
	complete(shared, HOLE_PAGE, version);
	window_state_set(table, version * IMPORT_STEP, version % 3);
}

static void translate__while_the_writer_works__old_or_new_never_a_mixture(void **state)
{
	struct shared shared = { .tag = process_tag_new() };
	uint64_t until = clock_now_ns() + DRAIN_NS;
	pthread_t thread[READERS];

	(void)state;
	assert_int_equal(window_table_new(&shared.table), 0);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, reader, &shared), 0);
	for (uint32_t version = 1; version <= CYCLES; version++)
		cycle(&shared, version);
	window_check(shared.table);
	/* The last version stays: nobody may miss it any more, and each reader gets its turn. */
	while (atomic_load(&shared.hits) == 0 && clock_now_ns() < until)
		sched_yield();
	atomic_store(&shared.stop, true);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	print_message("%llu hits, %llu misses\n", (unsigned long long)atomic_load(&shared.hits),
		      (unsigned long long)atomic_load(&shared.misses));
	assert_true(atomic_load(&shared.hits) > 0);
	assert_int_equal(atomic_load(&shared.wrong), 0);
	assert_int_equal(process_guard_drain(shared.tag, DRAIN_NS), 0);
	window_table_free(shared.table);
}

static void drain__reader_inside__etimedout_then_zero(void **state)
{
	uint64_t tag = process_tag_new();
	struct process_slot *slot = process_slot_self();

	(void)state;
	assert_non_null(slot);
	farbus_guard_enter(&slot->guard, tag);
	assert_true(process_guard_drain(tag, 1000) < 0);
	assert_int_equal(process_guard_drain(tag + 1000, 1000), 0);
	farbus_guard_leave(&slot->guard);
	assert_int_equal(process_guard_drain(tag, 0), 0);
}

static int process_setup(void **state)
{
	(void)state;
	return process_get(NULL);
}

static int process_teardown(void **state)
{
	(void)state;
	process_put();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(translate__while_the_writer_works__old_or_new_never_a_mixture),
		cmocka_unit_test(drain__reader_inside__etimedout_then_zero),
	};

	return cmocka_run_group_tests_name("addrmap/window threads", tests, process_setup,
					   process_teardown);
}
