/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_dump_test.c -- dumps: every entry, one line each; and nothing that is secret */
#include "addrmap_common.h"

#include "addrmap/dump.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK ADDR_BLOCK_SIZE
#define REGION (((uint64_t)7 << 32) | 3)

struct map {
	struct window_table *windows;
	struct import_table *imports;
	struct export_table *exports;
};

static int map_setup(void **state)
{
	static struct map map;

	*state = &map;
	return mac_init() || window_table_new(&map.windows) || import_table_new(8, &map.imports) ||
	       export_table_new(1, 2, &map.exports);
}

static int map_teardown(void **state)
{
	struct map *map = *state;

	window_table_free(map->windows);
	import_table_free(map->imports);
	export_table_free(map->exports);
	return 0;
}

static char text[65536];

/* Into text; what the caller's dump returned goes through. */
static FILE *text_open(void)
{
	memset(text, 0, sizeof(text));
	return fmemopen(text, sizeof(text), "w");
}

#define EXPECT_DUMP(expected, err, call)               \
	do {                                           \
		FILE *out = text_open();               \
		assert_non_null(out);                  \
		assert_int_equal((call), (err));       \
		fclose(out);                           \
		assert_string_equal(text, (expected)); \
	} while (0)

static void import_add(struct map *map)
{
	struct import_entry entry = { .region = REGION,
				      .off = 0x1000,
				      .len = 0x8000,
				      .rights = 3,
				      .grant = 5,
				      .epoch = 2,
				      .home_rank = 1,
				      .home_instance = 7,
				      .home_incarnation = 4,
				      .generation = 6,
				      .remote = 9,
				      .state = IMPORT_BLOCKED,
				      .flags = 1 };
	uint32_t index;

	assert_int_equal(import_insert(map->imports, &entry, &index), 0);
	assert_int_equal(index, 1);
}

static void window_add(struct map *map, uint64_t va, uint32_t import)
{
	struct window_extent extent = { .va = { va },
					.len = 0x8000,
					.off = 0x2000,
					.import = import,
					.rights = 1,
					.state = WINDOW_DEAD,
					.flags = 2 };

	assert_int_equal(window_insert(map->windows, &extent), 0);
}

static void dump__empty_tables__no_line(void **state)
{
	struct map *map = *state;

	EXPECT_DUMP("", 0, dump_windows(out, map->windows));
	EXPECT_DUMP("", 0, dump_imports(out, map->imports));
	EXPECT_DUMP("", 0, dump_exports(out, map->exports));
}

static void dump_windows__two__by_address(void **state)
{
	struct map *map = *state;

	window_add(map, 2 * BLOCK, 5);
	window_add(map, BLOCK, 1);
	EXPECT_DUMP("window va=0x200000 len=0x8000 import=1 off=0x2000 rights=R---- state=dead "
		    "flags=0x2\n"
		    "window va=0x400000 len=0x8000 import=5 off=0x2000 rights=R---- state=dead "
		    "flags=0x2\n",
		    0, dump_windows(out, map->windows));
}

#define IMPORT_LINE                                                                          \
	"import index=1 region=7:3 off=0x1000 len=0x8000 rights=RW--- state=blocked home=1 " \
	"instance=7 incarnation=4 generation=6 grant=5 epoch=2 record=9 flags=0x1\n"

static void dump_imports__one__all_its_fields(void **state)
{
	struct map *map = *state;

	import_add(map);
	EXPECT_DUMP(IMPORT_LINE, 0, dump_imports(out, map->imports));
}

static void trace__access__each_table_on_the_way(void **state)
{
	struct map *map = *state;

	import_add(map);
	window_add(map, BLOCK, 1);
	window_add(map, 2 * BLOCK, 2);
	EXPECT_DUMP("va va=0x201234 import=1 off=0x3234 rights=R---- state=dead\n" IMPORT_LINE
		    "bus region=7:3 offset=0x4234 inside=1 home=1\n",
		    0, dump_trace(out, map->windows, map->imports, (farbus_va_t){ 0x201234 }));
	/* A window that reaches past its import is a bug: the trace shows it. */
	EXPECT_DUMP("va va=0x206000 import=1 off=0x8000 rights=R---- state=dead\n" IMPORT_LINE
		    "bus region=7:3 offset=0x9000 inside=0 home=1\n",
		    0, dump_trace(out, map->windows, map->imports, (farbus_va_t){ 0x206000 }));
	EXPECT_DUMP("va va=0x100000 window=none\n", -ENOENT,
		    dump_trace(out, map->windows, map->imports, (farbus_va_t){ 0x100000 }));
	EXPECT_DUMP("va va=0x400000 import=2 off=0x2000 rights=R---- state=dead\n", -ENOENT,
		    dump_trace(out, map->windows, map->imports, (farbus_va_t){ 0x400000 }));
}

static void exports_fill(struct map *map, uint32_t ret_grant[2])
{
	struct export_region region = { .region = REGION, .len = 0x10000, .generation = 6 };
	struct export_grant_ask ask = { .region = REGION,
					.maker = 7,
					.off = 0x1000,
					.len = 0x8000,
					.expiry_s = 99,
					.rights = FARBUS_R | FARBUS_G };
	struct export_import import = { .epoch = 1, .instance = 8, .index = 4, .mapped = true };
	uint32_t record;

	memset(region.key, 0xab, sizeof(region.key));
	assert_int_equal(export_region_insert(map->exports, &region), 0);
	region.region = UINT64_MAX;
	assert_int_equal(export_region_insert(map->exports, &region), 0);
	assert_int_equal(export_grant_new(map->exports, &ask, &ret_grant[0]), 0);
	ask.parent = ret_grant[0];
	ask.len = 0x100;
	assert_int_equal(export_grant_new(map->exports, &ask, &ret_grant[1]), 0);
	import.grant = ret_grant[1];
	assert_int_equal(export_import_insert(map->exports, &import, &record), 0);
}

static void dump_exports__chain__regions_grants_records(void **state)
{
	struct map *map = *state;
	uint32_t grant[2];

	exports_fill(map, grant);
	EXPECT_DUMP("region id=7:3 len=0x10000 generation=6 flags=0\n"
		    "grant id=1 parent=0 region=7:3 off=0x1000 len=0x8000 rights=R---G state=live "
		    "depth=0 maker=7 epoch=1 backup=0 expiry=99 records=0 flags=0\n"
		    "grant id=2 parent=1 region=7:3 off=0x2000 len=0x100 rights=R---G state=live "
		    "depth=1 maker=7 epoch=1 backup=0 expiry=99 records=1 flags=0\n"
		    "record id=1 grant=2 epoch=1 instance=8 index=4 mapped=1\n"
		    "region id=4294967295:4294967295 len=0x10000 generation=6 flags=0\n",
		    0, dump_exports(out, map->exports));
	assert_null(strstr(text, "abab")); /* the key, in hex */
}

static void dump__output_full__eio(void **state)
{
	struct map *map = *state;
	FILE *out = fopen("/dev/full", "w");
	uint32_t grant[2];

	if (!out)
		skip();
	import_add(map);
	window_add(map, BLOCK, 1);
	exports_fill(map, grant);
	assert_int_equal(dump_windows(out, map->windows), -EIO);
	clearerr(out);
	assert_int_equal(dump_imports(out, map->imports), -EIO);
	clearerr(out);
	assert_int_equal(dump_exports(out, map->exports), -EIO);
	clearerr(out);
	assert_int_equal(dump_trace(out, map->windows, map->imports, (farbus_va_t){ BLOCK }), -EIO);
	fclose(out);
}

int main(void)
{
#define WITH_MAP(test) cmocka_unit_test_setup_teardown(test, map_setup, map_teardown)
	const struct CMUnitTest tests[] = {
		WITH_MAP(dump__empty_tables__no_line),
		WITH_MAP(dump_windows__two__by_address),
		WITH_MAP(dump_imports__one__all_its_fields),
		WITH_MAP(trace__access__each_table_on_the_way),
		WITH_MAP(dump_exports__chain__regions_grants_records),
		WITH_MAP(dump__output_full__eio),
	};

	return cmocka_run_group_tests_name("addrmap/dump", tests, NULL, NULL);
}
