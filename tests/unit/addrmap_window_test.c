/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_window_test.c -- the window table: boundaries, splits, states, failing allocations */
#include "addrmap_common.h"

#include "addrmap/window_private.h"
#include <errno.h>
#include <string.h>

#define PAGE ADDR_PAGE_SIZE
#define BLOCK ADDR_BLOCK_SIZE
#define TOP ((uint64_t)1 << ADDR_VA_BITS)
#define OFF_TOP ((uint64_t)1 << WINDOW_OFF_BITS)
#define LEAF ((uint64_t)1 << WINDOW_LEAF_SHIFT)

/* What is measured as "per page" and "per window" in docs: it may shrink, not grow unnoticed. */
_Static_assert(sizeof(struct window_table) == WINDOW_BLOCK_MAX * 8ull + 8, "8 bytes per 2 MiB");
_Static_assert(sizeof(struct window_sub) == WINDOW_PAGE_MAX * 8 + 16, "8 bytes per 4 KiB");
_Static_assert(sizeof(struct window) <= 128, "two cache lines per window");
_Static_assert(offsetof(struct window_sub, entry) == 0, "aligned entries: the kind fits below");

static int table_setup(void **state)
{
	return window_table_new((struct window_table **)state);
}

static int table_teardown(void **state)
{
	window_check(*state);
	window_table_free(*state);
	return 0;
}

static struct window_extent extent_of(uint64_t va, uint64_t len, uint32_t import)
{
	return (struct window_extent){
		.va = { va }, .len = len, .off = 0, .import = import, .rights = FARBUS_R | FARBUS_W
	};
}

static int insert(struct window_table *table, uint64_t va, uint64_t len, uint32_t import)
{
	struct window_extent extent = extent_of(va, len, import);
	int err = window_insert(table, &extent);

	window_check(table);
	return err;
}

static int removed(struct window_table *table, uint64_t va, uint64_t len)
{
	int err = window_remove(table, (farbus_va_t){ va }, len);

	window_check(table);
	return err;
}

static void expect_hit(struct window_table *table, uint64_t va, uint32_t import, uint64_t off)
{
	struct window_hit hit, inlined;

	memset(&hit, 0, sizeof(hit)); /* padding */
	memset(&inlined, 0, sizeof(inlined));
	assert_true(window_translate(table, (farbus_va_t){ va }, &hit));
	assert_true(window_translate_inline(table, (farbus_va_t){ va }, &inlined));
	assert_memory_equal(&hit, &inlined, sizeof(hit));
	assert_int_equal(hit.import, import);
	assert_int_equal(hit.off, off);
	assert_int_equal(hit.rights, FARBUS_R | FARBUS_W);
}

static void expect_miss(struct window_table *table, uint64_t va)
{
	struct window_hit hit, untouched;

	memset(&hit, 0xa5, sizeof(hit));
	untouched = hit;
	assert_false(window_translate(table, (farbus_va_t){ va }, &hit));
	assert_memory_equal(&hit, &untouched, sizeof(hit));
}

static unsigned extent_count(const struct window_table *table)
{
	struct window_extent extent;
	farbus_va_t va = { 0 };
	unsigned count = 0;

	for (; window_next(table, va, &extent) == 0; va.v = extent.va.v + extent.len)
		count++;
	return count;
}

/* ---- inserting ---- */

static void insert__range__accepted_or_named_error(void **state)
{
	static const struct {
		const char *what;
		uint64_t va, len, off;
		int err;
	} cases[] = {
		{ "one page at 0", 0, PAGE, 0, 0 },
		{ "a page that ends at the top", TOP - PAGE, PAGE, 0, 0 },
		{ "a block that ends at the top", TOP - BLOCK, BLOCK, 0, 0 },
		{ "the last page of the import", BLOCK, PAGE, OFF_TOP - PAGE, 0 },
		{ "nothing", BLOCK, 0, 0, -EINVAL },
		{ "half a page", BLOCK, PAGE / 2, 0, -EINVAL },
		{ "a page at no page boundary", BLOCK + 1, PAGE, 0, -EINVAL },
		{ "an offset at no page boundary", BLOCK, PAGE, 8, -EINVAL },
		{ "a page above the top", TOP, PAGE, 0, -ERANGE },
		{ "two pages across the top", TOP - PAGE, 2 * PAGE, 0, -ERANGE },
		{ "all of 64 bits", 0, UINT64_MAX - PAGE + 1, 0, -ERANGE },
		{ "wraps past 2^64", UINT64_MAX - PAGE + 1, 2 * PAGE, 0, -ERANGE },
		{ "past the end of what an entry can say", BLOCK, 2 * PAGE, OFF_TOP - PAGE,
		  -ERANGE },
		{ "offset wraps", BLOCK, 2 * PAGE, UINT64_MAX - PAGE + 1, -ERANGE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct window_table *table;
		struct window_extent extent = extent_of(cases[i].va, cases[i].len, 1);

		assert_int_equal(window_table_new(&table), 0);
		extent.off = cases[i].off;
		int err = window_insert(table, &extent);
		if (err != cases[i].err)
			fail_msg("%s: %d instead of %d", cases[i].what, err, cases[i].err);
		window_check(table);
		if (err == 0)
			expect_hit(table, cases[i].va, 1, cases[i].off);
		else
			assert_int_equal(extent_count(table), 0);
		window_table_free(table);
	}
}

static void insert__field_too_wide__einval_and_untouched(void **state)
{
	struct window_extent extent = extent_of(BLOCK, PAGE, WINDOW_IMPORT_MAX);

	assert_int_equal(window_insert(*state, &extent), -EINVAL);
	extent = extent_of(BLOCK, PAGE, 1);
	extent.rights = 32;
	assert_int_equal(window_insert(*state, &extent), -EINVAL);
	extent = extent_of(BLOCK, PAGE, 1);
	extent.state = WINDOW_DEAD + 1;
	assert_int_equal(window_insert(*state, &extent), -EINVAL);
	expect_text("state 3");
	assert_int_equal(extent_count(*state), 0);
}

static void insert__every_field_at_its_limit__comes_back(void **state)
{
	struct window_extent extent = {
		.va = { TOP - PAGE },
		.len = PAGE,
		.off = OFF_TOP - PAGE,
		.import = WINDOW_IMPORT_MAX - 1,
		.rights = 31,
		.state = WINDOW_DEAD,
		.flags = UINT32_MAX,
	};
	struct window_extent kept;
	struct window_hit hit;

	assert_int_equal(window_insert(*state, &extent), 0);
	assert_true(window_translate(*state, (farbus_va_t){ TOP - 1 }, &hit));
	assert_int_equal(hit.off, OFF_TOP - 1);
	assert_int_equal(hit.import, WINDOW_IMPORT_MAX - 1);
	assert_int_equal(hit.rights, 31);
	assert_int_equal(hit.state, WINDOW_DEAD);
	assert_int_equal(window_next(*state, (farbus_va_t){ 0 }, &kept), 0);
	assert_memory_equal(&kept, &extent, sizeof(kept));
}

/* Against one window [4 blocks, 6 blocks): what touches is fine, what shares a page is not. */
static void insert__beside_another__eexist_only_if_a_page_is_shared(void **state)
{
	const uint64_t from = 4 * BLOCK, to = 6 * BLOCK;
	const struct {
		const char *what;
		uint64_t va, end;
		int err;
	} cases[] = {
		{ "touches below", from - PAGE, from, 0 },
		{ "touches above", to, to + PAGE, 0 },
		{ "first page", from, from + PAGE, -EEXIST },
		{ "last page", to - PAGE, to, -EEXIST },
		{ "overlaps below", from - PAGE, from + PAGE, -EEXIST },
		{ "overlaps above", to - PAGE, to + PAGE, -EEXIST },
		{ "inside", from + BLOCK, from + BLOCK + PAGE, -EEXIST },
		{ "the same", from, to, -EEXIST },
		{ "surrounds", from - BLOCK, to + BLOCK, -EEXIST },
		{ "surrounds, all that an offset can say", 0, OFF_TOP, -EEXIST },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(insert(*state, from, to - from, 1), 0);
		int err = insert(*state, cases[i].va, cases[i].end - cases[i].va, 2);
		if (err != cases[i].err)
			fail_msg("%s: %d instead of %d", cases[i].what, err, cases[i].err);
		expect_hit(*state, from, 1, 0);
		expect_hit(*state, to - 1, 1, to - from - 1);
		if (err == 0) {
			expect_hit(*state, cases[i].va, 2, 0);
			assert_int_equal(removed(*state, cases[i].va, PAGE), 0);
		}
		assert_int_equal(removed(*state, from, to - from), 0);
		assert_int_equal(extent_count(*state), 0);
	}
}

/* ---- translating ---- */

static void translate__around_a_window__only_its_bytes(void **state)
{
	assert_int_equal(insert(*state, BLOCK - PAGE, BLOCK + 2 * PAGE, 7), 0);
	expect_miss(*state, BLOCK - PAGE - 1);
	expect_hit(*state, BLOCK - PAGE, 7, 0);
	expect_hit(*state, BLOCK - 1, 7, PAGE - 1);
	expect_hit(*state, BLOCK, 7, PAGE);
	expect_hit(*state, 2 * BLOCK - 1, 7, BLOCK + PAGE - 1);
	expect_hit(*state, 2 * BLOCK + PAGE - 1, 7, BLOCK + 2 * PAGE - 1);
	expect_miss(*state, 2 * BLOCK + PAGE);
}

static void translate__outside_what_a_table_covers__false(void **state)
{
	assert_int_equal(insert(*state, 0, PAGE, 1), 0);
	expect_miss(*state, TOP);
	expect_miss(*state, UINT64_MAX);
	expect_miss(*state, TOP | 1); /* must not wrap to the window at 0 */
	expect_miss(*state, PAGE);
	expect_miss(*state, TOP - 1); /* no leaf there */
}

static void translate__window_across_leaves__all_of_it(void **state)
{
	assert_int_equal(insert(*state, LEAF - BLOCK - PAGE, 2 * BLOCK + 2 * PAGE, 3), 0);
	for (uint64_t off = 0; off < 2 * BLOCK + 2 * PAGE; off += PAGE)
		expect_hit(*state, LEAF - BLOCK - PAGE + off + 5, 3, off + 5);
}

/* ---- removing ---- */

/* Takes [a, b) out of a window of 3 blocks + 2 pages that begins one page before a block. */
static void remove__every_boundary__splits_there(void **state)
{
	static const uint64_t from = 8 * BLOCK - PAGE, len = 3 * BLOCK + 2 * PAGE;
	static const uint64_t cut[] = {
		0,	    PAGE, 2 * PAGE, BLOCK, BLOCK + PAGE, 2 * BLOCK + PAGE, 3 * BLOCK + PAGE,
		len - PAGE, len
	};

	for (size_t i = 0; i < COUNT_OF(cut); i++) {
		for (size_t j = i + 1; j < COUNT_OF(cut); j++) {
			if (cut[i] == cut[j])
				continue;
			assert_int_equal(insert(*state, from, len, 1), 0);
			assert_int_equal(removed(*state, from + cut[i], cut[j] - cut[i]), 0);
			assert_int_equal(extent_count(*state), (cut[i] > 0) + (cut[j] < len));
			for (uint64_t off = 0; off < len; off += PAGE) {
				if (off >= cut[i] && off < cut[j])
					expect_miss(*state, from + off);
				else
					expect_hit(*state, from + off, 1, off);
			}
			if (cut[i] > 0)
				assert_int_equal(removed(*state, from, cut[i]), 0);
			if (cut[j] < len)
				assert_int_equal(removed(*state, from + cut[j], len - cut[j]), 0);
			window_reclaim(*state);
			assert_int_equal(extent_count(*state), 0);
		}
	}
}

static void remove__several_windows__at_once(void **state)
{
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(insert(*state, BLOCK + i * 3 * PAGE, 3 * PAGE, i + 1), 0);
	assert_int_equal(removed(*state, BLOCK + PAGE, 13 * PAGE), 0);
	assert_int_equal(extent_count(*state), 2);
	expect_hit(*state, BLOCK, 1, 0);
	expect_miss(*state, BLOCK + PAGE);
	expect_miss(*state, BLOCK + 14 * PAGE - 1);
	expect_hit(*state, BLOCK + 14 * PAGE, 5, 2 * PAGE);
}

static void remove__gap_in_the_range__enoent_and_nothing_removed(void **state)
{
	assert_int_equal(insert(*state, BLOCK, PAGE, 1), 0);
	assert_int_equal(insert(*state, BLOCK + 2 * PAGE, PAGE, 2), 0);
	assert_int_equal(removed(*state, BLOCK, 3 * PAGE), -ENOENT);
	expect_text("0x201000");
	assert_int_equal(removed(*state, BLOCK - PAGE, 2 * PAGE), -ENOENT);
	assert_int_equal(removed(*state, BLOCK + 2 * PAGE, 2 * PAGE), -ENOENT);
	assert_int_equal(removed(*state, BLOCK + 1, PAGE), -EINVAL);
	assert_int_equal(removed(*state, BLOCK, 0), -EINVAL);
	assert_int_equal(removed(*state, TOP, PAGE), -ERANGE);
	assert_int_equal(extent_count(*state), 2);
	expect_hit(*state, BLOCK, 1, 0);
	expect_hit(*state, BLOCK + 2 * PAGE, 2, 0);
}

static void remove__whole_windows__needs_no_memory(void **state)
{
	assert_int_equal(insert(*state, BLOCK + PAGE, 2 * BLOCK, 1), 0);
	assert_int_equal(insert(*state, 3 * BLOCK + PAGE, PAGE, 2), 0);
	alloc_fault_arm(1);
	assert_int_equal(removed(*state, BLOCK + PAGE, 2 * BLOCK + PAGE), 0);
	assert_false(alloc_fault_fired());
	alloc_fault_arm(0);
	assert_int_equal(extent_count(*state), 0);
}

static void next__from_anywhere__holds_it_or_is_above(void **state)
{
	struct window_extent extent;

	assert_int_equal(window_next(*state, (farbus_va_t){ 0 }, &extent), -ENOENT);
	assert_int_equal(insert(*state, BLOCK, 2 * PAGE, 1), 0);
	assert_int_equal(insert(*state, 3 * BLOCK, PAGE, 2), 0);
	assert_int_equal(window_next(*state, (farbus_va_t){ 0 }, &extent), 0);
	assert_int_equal(extent.import, 1);
	assert_int_equal(window_next(*state, (farbus_va_t){ BLOCK + 2 * PAGE - 1 }, &extent), 0);
	assert_int_equal(extent.import, 1);
	assert_int_equal(window_next(*state, (farbus_va_t){ BLOCK + 2 * PAGE }, &extent), 0);
	assert_int_equal(extent.import, 2);
	assert_int_equal(window_next(*state, (farbus_va_t){ 3 * BLOCK + PAGE }, &extent), -ENOENT);
}

/* ---- states ---- */

static uint32_t state_at(struct window_table *table, uint64_t va)
{
	struct window_hit hit;

	assert_true(window_translate(table, (farbus_va_t){ va }, &hit));
	return hit.state;
}

static void state_set__import__all_its_windows_and_no_other(void **state)
{
	assert_int_equal(insert(*state, BLOCK, 2 * BLOCK + PAGE, 5), 0);
	assert_int_equal(insert(*state, 3 * BLOCK + PAGE, PAGE, 6), 0); /* same block */
	assert_int_equal(insert(*state, 9 * BLOCK, PAGE, 5), 0);
	window_state_set(*state, 5, WINDOW_BLOCKED);
	window_check(*state);
	assert_int_equal(state_at(*state, BLOCK), WINDOW_BLOCKED);
	assert_int_equal(state_at(*state, 3 * BLOCK), WINDOW_BLOCKED);
	assert_int_equal(state_at(*state, 3 * BLOCK + PAGE), WINDOW_READY);
	assert_int_equal(state_at(*state, 9 * BLOCK), WINDOW_BLOCKED);
	window_state_set(*state, 5, WINDOW_READY);
	window_state_set(*state, 4, WINDOW_DEAD); /* has no windows */
	window_check(*state);
	assert_int_equal(state_at(*state, BLOCK), WINDOW_READY);
}

static void state_set__then_split__parts_keep_it(void **state)
{
	assert_int_equal(insert(*state, BLOCK, 2 * BLOCK, 5), 0);
	window_state_set(*state, 5, WINDOW_DEAD);
	assert_int_equal(removed(*state, BLOCK + PAGE, PAGE), 0);
	assert_int_equal(state_at(*state, BLOCK), WINDOW_DEAD);
	assert_int_equal(state_at(*state, BLOCK + 2 * PAGE), WINDOW_DEAD);
	window_state_set(*state, 5, WINDOW_READY);
	window_check(*state);
	assert_int_equal(state_at(*state, BLOCK + 2 * PAGE), WINDOW_READY);
}

/* ---- failing allocations ---- */

static int call_new(void *arg)
{
	struct window_table **table = arg;

	return window_table_new(table);
}

static void new__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	struct window_table *table = NULL;

	(void)state;
	assert_int_equal(every_allocation_fails_once(call_new, NULL, &table), 3);
	window_table_free(table);
	assert_null(window_table_free(NULL));
}

static void check_table(void *arg)
{
	window_check(arg);
}

/* Two leaves, a sub-table at each end. */
static int call_insert(void *arg)
{
	struct window_extent extent = extent_of(LEAF - BLOCK - PAGE, 2 * BLOCK + 2 * PAGE, 1);
	int err = window_insert(arg, &extent);

	assert_int_equal(extent_count(arg), err == 0);
	return err;
}

static void insert__every_allocation_fails_once__enomem_and_untouched(void **state)
{
	/* A window, two leaves, two sub-tables; a leaf stays, so the loop sees each once. */
	assert_in_range(every_allocation_fails_once(call_insert, check_table, *state), 3, 5);
	expect_hit(*state, LEAF, 1, BLOCK + PAGE);
}

static int call_remove(void *arg)
{
	int err = window_remove(arg, (farbus_va_t){ BLOCK + PAGE }, 2 * BLOCK);

	assert_int_equal(extent_count(arg), err == 0 ? 2 : 1);
	if (err < 0)
		expect_hit(arg, 2 * BLOCK, 1, BLOCK);
	return err;
}

static void remove__every_allocation_fails_once__enomem_and_untouched(void **state)
{
	assert_int_equal(insert(*state, BLOCK, 4 * BLOCK, 1), 0);
	/* The tail's window, a sub-table at each end. */
	assert_int_equal(every_allocation_fails_once(call_remove, check_table, *state), 3);
	expect_miss(*state, 2 * BLOCK);
}

/* ---- reclamation ---- */

static unsigned retired_count(const struct window_table *table)
{
	unsigned count = 0;

	for (const struct window_sub *sub = table->control->retired; sub; sub = sub->next)
		count++;
	return count;
}

static void reclaim__after_removal__sub_tables_stay_until_then(void **state)
{
	assert_int_equal(insert(*state, BLOCK + PAGE, PAGE, 1), 0);
	assert_int_equal(insert(*state, 4 * BLOCK + PAGE, PAGE, 2), 0);
	assert_int_equal(removed(*state, BLOCK + PAGE, PAGE), 0);
	assert_int_equal(retired_count(*state), 1);
	assert_int_equal(removed(*state, 4 * BLOCK + PAGE, PAGE), 0);
	assert_int_equal(retired_count(*state), 2);
	window_reclaim(*state);
	assert_int_equal(retired_count(*state), 0);
	window_reclaim(*state);
	/* The block is whole again: it needs no sub-table. */
	assert_int_equal(insert(*state, BLOCK, BLOCK, 3), 0);
	assert_int_equal(removed(*state, BLOCK, BLOCK), 0);
	assert_int_equal(retired_count(*state), 0);
}

int main(void)
{
#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, table_setup, table_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(insert__range__accepted_or_named_error),
		WITH_TABLE(insert__field_too_wide__einval_and_untouched),
		WITH_TABLE(insert__every_field_at_its_limit__comes_back),
		WITH_TABLE(insert__beside_another__eexist_only_if_a_page_is_shared),
		WITH_TABLE(translate__around_a_window__only_its_bytes),
		WITH_TABLE(translate__outside_what_a_table_covers__false),
		WITH_TABLE(translate__window_across_leaves__all_of_it),
		WITH_TABLE(remove__every_boundary__splits_there),
		WITH_TABLE(remove__several_windows__at_once),
		WITH_TABLE(remove__gap_in_the_range__enoent_and_nothing_removed),
		WITH_TABLE(remove__whole_windows__needs_no_memory),
		WITH_TABLE(next__from_anywhere__holds_it_or_is_above),
		WITH_TABLE(state_set__import__all_its_windows_and_no_other),
		WITH_TABLE(state_set__then_split__parts_keep_it),
		cmocka_unit_test(new__every_allocation_fails_once__enomem_and_no_leak),
		WITH_TABLE(insert__every_allocation_fails_once__enomem_and_untouched),
		WITH_TABLE(remove__every_allocation_fails_once__enomem_and_untouched),
		WITH_TABLE(reclaim__after_removal__sub_tables_stay_until_then),
	};

	return cmocka_run_group_tests_name("addrmap/window", tests, NULL, NULL);
}
