/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_import_test.c -- the import table, and what it is made of: slots; the SAME_VA arena */
#include "addrmap_common.h"

#include "addrmap/import.h"
#include "addrmap/sameva.h"
#include "addrmap/slots.h"
#include "addrmap/window.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MAX 64

_Static_assert(sizeof(struct slot) == 16, "per entry of any table");
_Static_assert(sizeof(struct import_entry) <= 80, "per import");

static int table_setup(void **state)
{
	return import_table_new(TABLE_MAX, (struct import_table **)state);
}

static int table_teardown(void **state)
{
	import_check(*state);
	import_table_free(*state);
	return 0;
}

static uint32_t insert(struct import_table *table, uint64_t region, uint64_t off, uint64_t len,
		       uint32_t state)
{
	struct import_entry entry = { .region = region, .off = off, .len = len, .state = state };
	uint32_t index = 0;

	assert_int_equal(import_insert(table, &entry, &index), 0);
	import_check(table);
	return index;
}

/* ---- import table ---- */

static void insert__any_entry__comes_back_until_removed(void **state)
{
	struct import_entry entry, back;
	uint32_t index, again;

	memset(&entry, 0x5a, sizeof(entry));
	entry.off = UINT64_MAX - 0x1000;
	entry.len = 0x1000;
	assert_int_equal(import_insert(*state, &entry, &index), 0);
	assert_int_not_equal(index, 0);
	assert_int_equal(import_lookup(*state, index, &back), 0);
	assert_memory_equal(&back, &entry, sizeof(back));
	assert_int_equal(import_remove(*state, index), 0);
	import_check(*state);
	assert_int_equal(import_lookup(*state, index, &back), -ENOENT);
	assert_int_equal(import_update(*state, index, &entry), -ENOENT);
	assert_int_equal(import_remove(*state, index), -ENOENT);
	assert_int_equal(import_remove(*state, 0), -ENOENT);
	assert_int_equal(import_remove(*state, UINT32_MAX), -ENOENT);
	/* Windows name imports by 20 bits: an index is used again. */
	assert_int_equal(import_insert(*state, &entry, &again), 0);
	assert_int_equal(again, index);
}

static void insert__empty_or_wrapping__einval(void **state)
{
	struct import_entry entry = { .region = 1 };
	uint32_t index = 77;

	assert_int_equal(import_insert(*state, &entry, &index), -EINVAL);
	entry.off = UINT64_MAX;
	entry.len = 1;
	assert_int_equal(import_insert(*state, &entry, &index), -EINVAL);
	entry.off = 2;
	entry.len = UINT64_MAX - 1;
	assert_int_equal(import_insert(*state, &entry, &index), -EINVAL);
	assert_int_equal(index, 77);
	import_check(*state);
}

static void insert__max__enospc_then_room_after_remove(void **state)
{
	struct import_entry entry = { .region = 1, .len = 1 };
	uint32_t index;

	for (uint32_t i = 0; i < TABLE_MAX; i++)
		assert_in_range(insert(*state, 1, i, 1, IMPORT_READY), 1, TABLE_MAX);
	assert_int_equal(import_insert(*state, &entry, &index), -ENOSPC);
	import_check(*state);
	assert_int_equal(import_remove(*state, 17), 0);
	assert_int_equal(import_insert(*state, &entry, &index), 0);
	assert_int_equal(index, 17);
}

/* The largest table there can be; under a sanitizer its memory would be too much. */
static void insert__window_import_max__all_fit_an_entry(void **state)
{
	const uint32_t max = ROUNDS(WINDOW_IMPORT_MAX) - 2;
	struct import_entry entry = { .region = 1, .len = 1 };
	struct import_table *table;
	uint32_t index = 0, found;

	(void)state;
	assert_int_equal(import_table_new(0, &table), -EINVAL);
	assert_int_equal(import_table_new(WINDOW_IMPORT_MAX, &table), -EINVAL);
	assert_int_equal(import_table_new(max, &table), 0);
	for (uint32_t i = 0; i < max; i++) {
		entry.off = i;
		assert_int_equal(import_insert(table, &entry, &index), 0);
	}
	assert_int_equal(index, max);
	assert_true(index < WINDOW_IMPORT_MAX);
	assert_int_equal(import_insert(table, &entry, &found), -ENOSPC);
	import_check(table);
	assert_int_equal(import_find(table, (farbus_addr_t){ 1, max / 2 }, &found), 0);
	assert_int_equal(found, max / 2 + 1);
	import_table_free(table);
}

static void next__holes__ascending_and_each_once(void **state)
{
	uint32_t index = 0, count = 0;

	assert_int_equal(import_next(*state, 0, &index), -ENOENT);
	for (uint32_t i = 0; i < 40; i++)
		insert(*state, i, 0, 1, IMPORT_READY);
	for (uint32_t i = 1; i <= 40; i += 3)
		assert_int_equal(import_remove(*state, i), 0);
	for (uint32_t last = 0; import_next(*state, last, &index) == 0; last = index, count++) {
		assert_true(index > last);
		assert_int_not_equal(index % 3, 1);
	}
	assert_int_equal(count, 26);
}

static void find__around_an_import__only_its_bytes(void **state)
{
	uint32_t index, found;

	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, 0 }, &found), -ENOENT);
	index = insert(*state, 5, 100, 50, IMPORT_READY);
	insert(*state, 4, 0, 1000, IMPORT_READY);
	insert(*state, 6, 0, 1000, IMPORT_READY);
	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, 99 }, &found), -ENOENT);
	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, 100 }, &found), 0);
	assert_int_equal(found, index);
	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, 149 }, &found), 0);
	assert_int_equal(found, index);
	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, 150 }, &found), -ENOENT);
	expect_text("0x5:0x96");
	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, UINT64_MAX }, &found), -ENOENT);
}

static void find__several_cover_it__prefers_a_ready_one(void **state)
{
	uint32_t outer = insert(*state, 5, 0, 1000, IMPORT_READY), found;

	insert(*state, 5, 100, 100, IMPORT_REVOKED);
	insert(*state, 5, 120, 10, IMPORT_LOST);
	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, 125 }, &found), 0);
	assert_int_equal(found, outer);
	assert_int_equal(import_remove(*state, outer), 0);
	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, 150 }, &found), 0);
	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, 50 }, &found), -ENOENT);
}

static void update__moves_it__found_only_in_its_new_place(void **state)
{
	uint32_t index = insert(*state, 5, 0, 100, IMPORT_READY), found;
	struct import_entry entry;

	insert(*state, 5, 500, 100, IMPORT_READY);
	assert_int_equal(import_lookup(*state, index, &entry), 0);
	entry.off = 1000;
	entry.generation++;
	assert_int_equal(import_update(*state, index, &entry), 0);
	import_check(*state);
	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, 50 }, &found), -ENOENT);
	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, 1050 }, &found), 0);
	assert_int_equal(found, index);
	entry.len = 0;
	assert_int_equal(import_update(*state, index, &entry), -EINVAL);
	assert_int_equal(import_find(*state, (farbus_addr_t){ 5, 1050 }, &found), 0);
}

/* Each begins before the address and ends before it, too, but for the first. */
static void find__many_begin_before_it__the_one_that_covers_it(void **state)
{
	enum { COUNT = 20000 };
	struct import_entry entry = { .region = 5, .state = IMPORT_READY };
	struct import_table *table;
	uint32_t index, first, found;

	(void)state;
	assert_int_equal(import_table_new(COUNT + 1, &table), 0);
	entry.len = 2 * COUNT;
	assert_int_equal(import_insert(table, &entry, &first), 0);
	entry.len = 1;
	for (entry.off = 1; entry.off <= COUNT; entry.off++)
		assert_int_equal(import_insert(table, &entry, &index), 0);
	import_check(table);
	/* A walk over all of them for each would take minutes. */
	for (uint64_t off = 0; off < 2 * COUNT; off++) {
		assert_int_equal(import_find(table, (farbus_addr_t){ 5, off }, &found), 0);
		if (off == 0 || off > COUNT)
			assert_int_equal(found, first);
	}
	assert_int_equal(import_find(table, (farbus_addr_t){ 5, 2 * COUNT }, &found), -ENOENT);
	import_table_free(table);
}

/* In a place of its own or another's, READY or not. */
static void update_some(struct import_table *table, uint64_t *random)
{
	uint32_t index = (uint32_t)random_below(random, TABLE_MAX) + 1;
	struct import_entry entry;

	if (import_lookup(table, index, &entry) < 0)
		return;
	entry.state = 1 + (uint32_t)random_below(random, 4);
	if (random_below(random, 2))
		entry.off = random_below(random, 256);
	assert_int_equal(import_update(table, index, &entry), 0);
	import_check(table);
}

/* Random imports of few regions that overlap a lot, against a walk over all of them. */
static void find__random_imports__same_as_a_walk_over_all(void **state)
{
	uint64_t random = 42;
	uint32_t count = 0;

	for (int step = 0; step < ROUNDS(20000); step++) {
		uint32_t index = (uint32_t)random_below(&random, TABLE_MAX) + 1, found = 0,
			 next = 0;
		bool covered = false, ready = false;
		farbus_addr_t addr = { random_below(&random, 3), random_below(&random, 300) };
		struct import_entry entry;

		if (import_remove(*state, index) == 0)
			count--;
		else if (count < TABLE_MAX && count++ < TABLE_MAX)
			insert(*state, random_below(&random, 3), random_below(&random, 256),
			       1 + random_below(&random, 64),
			       1 + (uint32_t)random_below(&random, 4));
		update_some(*state, &random);
		while (import_next(*state, next, &next) == 0) {
			assert_int_equal(import_lookup(*state, next, &entry), 0);
			bool covers = entry.region == addr.region && entry.off <= addr.offset &&
				      addr.offset < entry.off + entry.len;
			covered |= covers;
			ready |= covers && entry.state == IMPORT_READY;
		}
		int err = import_find(*state, addr, &found);
		assert_int_equal(err, covered ? 0 : -ENOENT);
		if (!covered)
			continue;
		assert_int_equal(import_lookup(*state, found, &entry), 0);
		assert_int_equal(entry.region, addr.region);
		assert_true(addr.offset - entry.off < entry.len);
		assert_int_equal(entry.state == IMPORT_READY, ready);
	}
}

static int call_table(void *arg)
{
	struct import_entry entry = { .region = 1, .len = 1 };
	struct import_table *table;
	uint32_t index = 0;
	int err = import_table_new(TABLE_MAX, &table);

	(void)arg;
	if (err < 0)
		return err;
	/* 17: the slots grow twice. */
	for (int i = 0; i < 17 && err == 0; i++) {
		err = import_insert(table, &entry, &index);
		import_check(table);
	}
	import_table_free(table);
	return err;
}

static void insert__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	(void)state;
	assert_int_equal(every_allocation_fails_once(call_table, NULL, NULL), 1 + 17 + 2);
	assert_null(import_table_free(NULL));
}

/* ---- slots ---- */

static void slots__without_reuse__no_id_twice_and_old_ones_remembered(void **state)
{
	static const char object;
	struct slots slots;
	uint32_t last = 0, id;

	(void)state;
	slots_init(&slots, 2, false);
	assert_false(slots_given(&slots, 1));
	for (int i = 0; i < 100; i++) {
		assert_int_equal(slots_insert(&slots, (void *)&object, &id), 0);
		slots_check(&slots);
		assert_true(id > last);
		assert_ptr_equal(slots_get(&slots, id), &object);
		assert_ptr_equal(slots_remove(&slots, id), &object);
		slots_check(&slots);
		assert_null(slots_remove(&slots, id));
		assert_null(slots_get(&slots, id));
		assert_true(slots_given(&slots, id));
		assert_false(slots_given(&slots, id + 2)); /* the slot's next */
		last = id;
	}
	assert_false(slots_given(&slots, 0));
	slots_fini(&slots);
}

/* max 2^24 leaves 8 bits of serial: after 255 ids a slot is worn out. */
static void slots__serials_used_up__slot_stays_empty(void **state)
{
	static const char object;
	struct slots slots;
	uint32_t id, seen = 0;

	(void)state;
	slots_init(&slots, 1u << 24, false);
	for (int i = 0; i < 255; i++) {
		assert_int_equal(slots_insert(&slots, (void *)&object, &id), 0);
		assert_int_equal((id - 1) & 0xffffff, 0);
		seen = id;
		slots_remove(&slots, id);
	}
	slots_check(&slots);
	assert_int_equal(slots_insert(&slots, (void *)&object, &id), 0);
	assert_int_equal((id - 1) & 0xffffff, 1);
	assert_true(slots_given(&slots, seen));
	assert_null(slots_get(&slots, seen));
	slots_check(&slots);
	slots_fini(&slots);
}

static void slots__next__survives_removal_of_the_one_it_gave(void **state)
{
	static const char object;
	struct slots slots;
	uint32_t id, count = 0;

	(void)state;
	slots_init(&slots, 100, false);
	assert_null(slots_next(&slots, 0, &id));
	for (int i = 0; i < 100; i++)
		assert_int_equal(slots_insert(&slots, (void *)&object, &id), 0);
	assert_int_equal(slots_insert(&slots, (void *)&object, &id), -ENOSPC);
	for (id = 0; slots_next(&slots, id, &id); count++)
		slots_remove(&slots, id);
	assert_int_equal(count, 100);
	assert_int_equal(slots.count, 0);
	slots_check(&slots);
	slots_fini(&slots);
}

/* ---- SAME_VA ---- */

static void sameva__every_rank__slices_do_not_touch(void **state)
{
	struct sameva *arena;
	farbus_va_t va;

	(void)state;
	for (uint32_t rank = 0; rank < SAMEVA_RANK_MAX; rank++) {
		assert_int_equal(sameva_new(rank, &arena), 0);
		assert_int_equal(sameva_alloc(arena, SAMEVA_SLICE, &va), 0);
		sameva_check(arena);
		assert_int_equal(va.v, SAMEVA_BASE + rank * SAMEVA_SLICE);
		assert_true(sameva_valid(rank, va, SAMEVA_SLICE));
		assert_false(sameva_valid(rank ^ 1, va, ADDR_BLOCK_SIZE));
		assert_int_equal(sameva_alloc(arena, 1, &va), -ENOSPC);
		sameva_free(arena);
	}
	assert_int_equal(sameva_new(SAMEVA_RANK_MAX, &arena), -EINVAL);
	assert_null(sameva_free(NULL));
}

static void sameva_alloc__lengths__whole_blocks_or_error(void **state)
{
	struct sameva *arena;
	farbus_va_t a, b;

	(void)state;
	assert_int_equal(sameva_new(3, &arena), 0);
	assert_int_equal(sameva_alloc(arena, 0, &a), -EINVAL);
	assert_int_equal(sameva_alloc(arena, SAMEVA_SLICE + 1, &a), -ENOSPC);
	assert_int_equal(sameva_alloc(arena, UINT64_MAX, &a), -ENOSPC);
	assert_int_equal(sameva_alloc(arena, 1, &a), 0);
	assert_int_equal(sameva_alloc(arena, ADDR_BLOCK_SIZE + 1, &b), 0);
	assert_int_equal(b.v, a.v + ADDR_BLOCK_SIZE);
	/* A part; what is free already; what is not ours. */
	assert_int_equal(sameva_release(arena, b, 1), 0);
	sameva_check(arena);
	assert_int_equal(sameva_release(arena, b, 2 * ADDR_BLOCK_SIZE), -ENOENT);
	sameva_check(arena);
	b.v += ADDR_BLOCK_SIZE;
	assert_int_equal(sameva_release(arena, b, ADDR_BLOCK_SIZE), 0);
	assert_int_equal(sameva_release(arena, b, ADDR_BLOCK_SIZE), -ENOENT);
	a.v += 1;
	assert_int_equal(sameva_release(arena, a, 1), -EINVAL);
	a.v = SAMEVA_BASE;
	assert_int_equal(sameva_release(arena, a, ADDR_BLOCK_SIZE), -EINVAL);
	a.v = SAMEVA_BASE + 4 * SAMEVA_SLICE;
	assert_int_equal(sameva_release(arena, a, ADDR_BLOCK_SIZE), -EINVAL);
	sameva_check(arena);
	sameva_free(arena);
}

static void sameva_valid__boundaries__inside_the_slice_only(void **state)
{
	const uint64_t start = SAMEVA_BASE + 7 * SAMEVA_SLICE;

	(void)state;
	assert_true(sameva_valid(7, (farbus_va_t){ start }, 1));
	assert_true(sameva_valid(7, (farbus_va_t){ start + SAMEVA_SLICE - ADDR_BLOCK_SIZE },
				 ADDR_BLOCK_SIZE));
	assert_false(sameva_valid(7, (farbus_va_t){ start + SAMEVA_SLICE - ADDR_BLOCK_SIZE },
				  ADDR_BLOCK_SIZE + 1));
	assert_false(sameva_valid(7, (farbus_va_t){ start }, 0));
	assert_false(sameva_valid(7, (farbus_va_t){ start }, UINT64_MAX));
	assert_false(sameva_valid(7, (farbus_va_t){ start - ADDR_BLOCK_SIZE }, 1));
	assert_false(sameva_valid(7, (farbus_va_t){ start + 4096 }, 1));
	assert_false(sameva_valid(SAMEVA_RANK_MAX, (farbus_va_t){ start }, 1));
	assert_false(sameva_valid(UINT32_MAX, (farbus_va_t){ start }, 1));
}

/* Each block has an owner or none; what is given out was free, and lies in one piece. */
static void sameva__random_traffic__same_as_an_array(void **state)
{
	enum { BLOCKS = SAMEVA_SLICE / ADDR_BLOCK_SIZE, PIECES = 64 };
	struct {
		uint64_t block, count;
	} piece[PIECES] = { 0 };
	uint8_t *taken = calloc(BLOCKS, 1);
	uint64_t random = 5;
	struct sameva *arena;
	farbus_va_t va;

	(void)state;
	assert_non_null(taken);
	assert_int_equal(sameva_new(0, &arena), 0);
	for (int step = 0; step < ROUNDS(4000); step++) {
		size_t at = random_below(&random, PIECES);
		uint64_t count = 1 + random_below(&random, BLOCKS / PIECES * 2);

		if (piece[at].count) {
			va.v = SAMEVA_BASE + piece[at].block * ADDR_BLOCK_SIZE;
			assert_int_equal(
				sameva_release(arena, va, piece[at].count * ADDR_BLOCK_SIZE), 0);
			memset(&taken[piece[at].block], 0, piece[at].count);
			piece[at].count = 0;
		} else if (sameva_alloc(arena, count * ADDR_BLOCK_SIZE, &va) == 0) {
			uint64_t block = (va.v - SAMEVA_BASE) / ADDR_BLOCK_SIZE;

			assert_true(block + count <= BLOCKS);
			assert_null(memchr(&taken[block], 1, count));
			memset(&taken[block], 1, count);
			piece[at].block = block;
			piece[at].count = count;
		} else { /* then there really was no such run */
			uint64_t run = 0;

			for (uint64_t i = 0; i < BLOCKS && run < count; i++)
				run = taken[i] ? 0 : run + 1;
			assert_true(run < count);
		}
		sameva_check(arena);
	}
	sameva_free(arena);
	free(taken);
}

int main(void)
{
#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, table_setup, table_teardown)
	const struct CMUnitTest tests[] = {
		WITH_TABLE(insert__any_entry__comes_back_until_removed),
		WITH_TABLE(insert__empty_or_wrapping__einval),
		WITH_TABLE(insert__max__enospc_then_room_after_remove),
		cmocka_unit_test(insert__window_import_max__all_fit_an_entry),
		WITH_TABLE(next__holes__ascending_and_each_once),
		WITH_TABLE(find__around_an_import__only_its_bytes),
		WITH_TABLE(find__several_cover_it__prefers_a_ready_one),
		WITH_TABLE(update__moves_it__found_only_in_its_new_place),
		cmocka_unit_test(find__many_begin_before_it__the_one_that_covers_it),
		WITH_TABLE(find__random_imports__same_as_a_walk_over_all),
		cmocka_unit_test(insert__every_allocation_fails_once__enomem_and_no_leak),
		cmocka_unit_test(slots__without_reuse__no_id_twice_and_old_ones_remembered),
		cmocka_unit_test(slots__serials_used_up__slot_stays_empty),
		cmocka_unit_test(slots__next__survives_removal_of_the_one_it_gave),
		cmocka_unit_test(sameva__every_rank__slices_do_not_touch),
		cmocka_unit_test(sameva_alloc__lengths__whole_blocks_or_error),
		cmocka_unit_test(sameva_valid__boundaries__inside_the_slice_only),
		cmocka_unit_test(sameva__random_traffic__same_as_an_array),
	};

	return cmocka_run_group_tests_name("addrmap/import", tests, NULL, NULL);
}
