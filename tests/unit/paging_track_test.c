/* SPDX-License-Identifier: BSD-3-Clause */
/* paging_track_test.c -- tests of runtime/paging/track.h */
#include "base/alloc.h"
#include "runtime/paging/track.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 2048
#define WORDS (PAGES / 64)
#define PAGE 4096

static volatile uint8_t *memory; /* shared memory, as regions are */

static bool bit(const uint64_t *bitmap, unsigned page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

static int memory_new(void **state)
{
	int fd = memfd_create("track", MFD_CLOEXEC);
	struct track *track;
	int err;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)PAGES * PAGE), 0);
	memory = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	close(fd);
	err = track_open((void *)memory, (uint64_t)PAGES * PAGE, &track);
	if (err == -ENOSYS || err == -EACCES)
		exit(77); /* as the text says: not on this kernel, or not here */
	track_close(track);
	return 0;
}

static int memory_free(void **state)
{
	(void)state;
	return munmap((void *)memory, (size_t)PAGES * PAGE);
}

static struct track *track_new(void)
{
	struct track *track = NULL;

	assert_int_equal(track_open((void *)memory, (uint64_t)PAGES * PAGE, &track), 0);
	return track;
}

static void scan__pages_written__these_and_clean_again(void **state)
{
	static const unsigned written[] = { 0, 1, 63, 64, 777, PAGES - 1 };
	uint64_t bitmap[WORDS] = { 0 };

	(void)state;
	for (unsigned page = 0; page < PAGES; page++)
		memory[page * PAGE] = 1;
	struct track *track = track_new();

	assert_int_equal(track_scan(track, false, bitmap), 0); /* may report what it never saw */
	for (int round = 0; round < 3; round++) {
		unsigned count = 0;

		memset(bitmap, 0, sizeof(bitmap));
		for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++)
			memory[written[i] * PAGE + 17] = (uint8_t)round;
		assert_int_equal(track_scan(track, false, bitmap), 0);
		for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++)
			assert_true(bit(bitmap, written[i]));
		for (unsigned page = 0; page < PAGES; page++)
			count += bit(bitmap, page);
		assert_int_equal(count, sizeof(written) / sizeof(written[0]));
	}
	track_close(track);
}

/* More ranges than one call of the kernel returns: every other page. */
static void scan__more_ranges_than_a_call_returns__all(void **state)
{
	uint64_t bitmap[WORDS] = { 0 };

	(void)state;
	struct track *track = track_new();

	assert_int_equal(track_scan(track, false, bitmap), 0);
	memset(bitmap, 0, sizeof(bitmap));
	for (unsigned page = 0; page < PAGES; page += 2)
		memory[page * PAGE] = 3;
	assert_int_equal(track_scan(track, false, bitmap), 0);
	for (unsigned w = 0; w < WORDS; w++)
		assert_int_equal(bitmap[w], 0x5555555555555555);
	track_close(track);
}

static void scan__last__still_dirty_afterwards(void **state)
{
	uint64_t bitmap[WORDS] = { 0 };

	(void)state;
	struct track *track = track_new();

	assert_int_equal(track_scan(track, false, bitmap), 0);
	memory[5 * PAGE] = 9;
	for (int i = 0; i < 2; i++) {
		memset(bitmap, 0, sizeof(bitmap));
		assert_int_equal(track_scan(track, true, bitmap), 0);
		assert_int_equal(bitmap[0], 1 << 5);
	}
	track_close(track);
}

static void scan__written_by_the_kernel__seen(void **state)
{
	uint64_t bitmap[WORDS] = { 0 };
	int pipes[2];

	(void)state;
	struct track *track = track_new();

	assert_int_equal(track_scan(track, false, bitmap), 0);
	memset(bitmap, 0, sizeof(bitmap));
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(read(pipes[0], (void *)(memory + 100 * PAGE), 1), 1);
	assert_int_equal(track_scan(track, false, bitmap), 0);
	assert_true(bit(bitmap, 100));
	close(pipes[0]);
	close(pipes[1]);
	track_close(track);
}

static void open__twice_or_no_pages__refused(void **state)
{
	struct track *track, *second;

	(void)state;
	track = track_new();
	assert_int_equal(track_open((void *)memory, PAGE, &second), -EBUSY);
	track_close(track);
	assert_int_equal(track_open((void *)(memory + 1), PAGE, &second), -EINVAL);
	assert_int_equal(track_open((void *)memory, 0, &second), -EINVAL);
	assert_int_equal(track_open((void *)memory, 17, &second), -EINVAL);
}

static void open__every_allocation_fails_once__an_error_and_no_leak(void **state)
{
	int err = -ENOMEM;

	(void)state;
	for (unsigned long n = 1; err < 0; n++) {
		struct track *track = NULL;

		alloc_fault_arm(n);
		err = track_open((void *)memory, PAGE, &track);
		assert_true(err == 0 || err == -ENOMEM || err == -EMFILE);
		assert_true(n < 10);
		track_close(track);
	}
	alloc_fault_arm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scan__pages_written__these_and_clean_again),
		cmocka_unit_test(scan__more_ranges_than_a_call_returns__all),
		cmocka_unit_test(scan__last__still_dirty_afterwards),
		cmocka_unit_test(scan__written_by_the_kernel__seen),
		cmocka_unit_test(open__twice_or_no_pages__refused),
		cmocka_unit_test(open__every_allocation_fails_once__an_error_and_no_leak),
	};

	return cmocka_run_group_tests(tests, memory_new, memory_free);
}
