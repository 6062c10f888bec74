/* SPDX-License-Identifier: BSD-3-Clause */
/* base_maps_test.c -- tests of base/maps.h */
#include "base/error.h"
#include "base/maps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ul
#define PAGES 8ul

/* Of each page: w reading and writing, r reading, n nothing, x not mapped. */
static uint8_t *pages_make(const char *what)
{
	uint8_t *va = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	assert_ptr_not_equal(va, MAP_FAILED);
	for (size_t i = 0; what[i]; i++) {
		if (what[i] == 'r')
			assert_int_equal(mprotect(va + i * PAGE, PAGE, PROT_READ), 0);
		else if (what[i] == 'n')
			assert_int_equal(mprotect(va + i * PAGE, PAGE, PROT_NONE), 0);
		else if (what[i] == 'x')
			assert_int_equal(munmap(va + i * PAGE, PAGE), 0);
	}
	return va;
}

static void writable__every_boundary__first_page_that_is_not_decides(void **state)
{
	static const struct {
		const char *pages;
		uint64_t start, len;
		int err;
	} row[] = {
		{ "wwwwwwww", 0, PAGES * PAGE, 0 },
		{ "nwwwwwwx", PAGE, 6 * PAGE, 0 },
		{ "nwwwwwwx", PAGE - 1, 2, -EACCES },
		{ "nwwwwwwx", 7 * PAGE - 1, 2, -EFAULT },
		{ "nwwwwwwx", 7 * PAGE - 1, 1, 0 },
		{ "wwwwrwww", 0, 4 * PAGE, 0 },
		{ "wwwwrwww", 0, 4 * PAGE + 1, -EACCES },
		{ "wwwwrwww", 5 * PAGE, 3 * PAGE, 0 },
		{ "wwxwrwww", 0, PAGES * PAGE, -EFAULT },
		{ "wwrwxwww", 0, PAGES * PAGE, -EACCES },
		{ "wxwwwwww", PAGE, 1, -EFAULT },
		{ "wwwnwwww", 2 * PAGE + 100, PAGE, -EACCES },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		uint8_t *va = pages_make(row[i].pages);

		assert_int_equal(maps_writable(va + row[i].start, row[i].len), row[i].err);
		if (row[i].err == -EACCES)
			assert_non_null(strstr(error_text(), "mprotect"));
		munmap(va, PAGES * PAGE);
	}
}

static void writable__first_and_last_addresses__efault(void **state)
{
	(void)state;
	assert_int_equal(maps_writable((void *)0x1000, 1), -EFAULT);
	assert_int_equal(maps_writable((void *)(UINTPTR_MAX - 5), 4), -EFAULT);
	assert_int_equal(maps_writable((void *)(UINTPTR_MAX - 5), 100), -EFAULT);
}

#define DEEP 6

/* A file whose path makes its line longer than any buffer of ours, and a page right behind it. */
static void writable__behind_a_mapping_with_a_long_path__found(void **state)
{
	char top[] = "/tmp/base_maps.XXXXXX", name[201];
	int dir[DEEP + 1], fd;
	uint8_t *va = pages_make("wwwwwwww");

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_non_null(mkdtemp(top));
	dir[0] = open(top, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < DEEP; i++) {
		assert_int_equal(mkdirat(dir[i], name, 0700), 0);
		dir[i + 1] = openat(dir[i], name, O_RDONLY | O_DIRECTORY);
		assert_true(dir[i + 1] >= 0);
	}
	fd = openat(dir[DEEP], "f", O_RDWR | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_ptr_not_equal(mmap(va, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
			     MAP_FAILED);
	assert_int_equal(maps_writable(va, PAGES * PAGE), 0);
	close(fd);
	unlinkat(dir[DEEP], "f", 0);
	for (int i = DEEP; i > 0; i--) {
		close(dir[i]);
		assert_int_equal(unlinkat(dir[i - 1], name, AT_REMOVEDIR), 0);
	}
	close(dir[0]);
	assert_int_equal(rmdir(top), 0);
	munmap(va, PAGES * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writable__every_boundary__first_page_that_is_not_decides),
		cmocka_unit_test(writable__first_and_last_addresses__efault),
		cmocka_unit_test(writable__behind_a_mapping_with_a_long_path__found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
