/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_csum_test.c -- every variant of the sum is the plain one, at every length and alignment */
#include "addrmap_common.h"
#include "nic_common.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ROOM 4096

static uint32_t swapped(uint32_t sum)
{
	return (sum & 0xff) << 8 | sum >> 8;
}

/* Data that ends at a page nobody may read. */
static uint8_t *guarded(void)
{
	uint8_t *map =
		mmap(NULL, 2 * ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + ROOM, ROOM, PROT_NONE), 0);
	return map;
}

static void sum_and_copy__every_length__plain_sum_and_nothing_past_the_end(void **state)
{
	uint8_t *from = guarded(), *to = guarded();
	const struct csum_ops *ops;
	uint64_t random = 1;

	(void)state;
	for (unsigned v = 0; (ops = csum_variant(v)); v++) {
		for (uint32_t len = 0; len < 700; len++) {
			uint8_t *data = from + ROOM - len, *copy = to + ROOM - len;

			for (uint32_t i = 0; i < len; i++)
				data[i] = len % 3 ? (uint8_t)random_next(&random) : 0xff;
			memset(to, 0x55, ROOM);
			uint32_t expected = swapped(plain_sum(data, len, 0));
			assert_int_equal(ops->sum(data, len), expected);
			assert_int_equal(ops->copy(copy, data, len), expected);
			assert_memory_equal(copy, data, len);
			assert_int_equal(copy[-1], 0x55);
		}
	}
	assert_true(csum_best() == csum_variant(csum_variant(1) ? csum_variant(2) ? 2 : 1 : 0));
	munmap(from, 2 * ROOM);
	munmap(to, 2 * ROOM);
}

static void sum__megabytes_of_ones__no_lane_overflows(void **state)
{
	const uint32_t len = 9 << 20;
	uint8_t *data = malloc(len), *copy = malloc(len);
	const struct csum_ops *ops;

	(void)state;
	memset(data, 0xff, len);
	for (unsigned v = 0; (ops = csum_variant(v)); v++) {
		assert_int_equal(ops->sum(data, len - 5), swapped(plain_sum(data, len - 5, 0)));
		memset(copy, 0, len);
		assert_int_equal(ops->copy(copy, data, len), swapped(plain_sum(data, len, 0)));
		assert_memory_equal(copy, data, len);
	}
	free(data);
	free(copy);
}

static void fold__large_sums__ones_complement(void **state)
{
	(void)state;
	assert_int_equal(csum_fold(0), 0);
	assert_int_equal(csum_fold(0xffff), 0xffff);
	assert_int_equal(csum_fold(0x10000), 1);
	assert_int_equal(csum_fold(UINT64_MAX), 0xffff);
	assert_int_equal(csum_fold(0xffffffff00000001), 1);
	assert_int_equal(csum_fold(0x1fffe), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sum_and_copy__every_length__plain_sum_and_nothing_past_the_end),
		cmocka_unit_test(sum__megabytes_of_ones__no_lane_overflows),
		cmocka_unit_test(fold__large_sums__ones_complement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
