/* SPDX-License-Identifier: BSD-3-Clause */
/* boot_wire_test.c -- tests of runtime/boot/wire.h */
#include "runtime/boot/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random_state = 88172645463325252;

static uint32_t random_below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state % limit);
}

static void text__each_place_in_a_line__its_value(void **state)
{
	static const struct {
		const char *line, *key, *value; /* NULL: no such key */
	} row[] = {
		{ "cmd=put kvsname=k key=a value=b", "cmd", "put" },
		{ "cmd=put kvsname=k key=a value=b", "value", "b" },
		{ "cmd=put kvsname=k key=a value=b", "key", "a" },
		{ "cmd=put kvsname=k key=a value=b", "name", NULL }, /* a tail of another key */
		{ "cmd=put kvsname=k key=a value=b", "val", NULL },  /* a head of another key */
		{ "cmd=put key=value value=key", "value", "key" },   /* a value is no key */
		{ "  cmd=a\t\tb=c\r", "b", "c" },
		{ "a= b=1", "a", "" },
		{ "a=1 a=2", "a", "1" },
		{ "a=b=c", "a", "b=c" },
		{ "a==", "a", "=" },
		{ "a", "a", NULL },
		{ "a b=1", "a", NULL },
		{ "=1", "a", NULL },
		{ "", "a", NULL },
		{ "   ", "a", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		char value[16] = "before";
		int err = wire_text(row[i].line, row[i].key, value, sizeof(value));

		assert_int_equal(err, row[i].value ? 0 : -ENOENT);
		assert_string_equal(value, row[i].value ? row[i].value : "before");
	}
}

static void text__as_long_as_there_is_room__one_more_is_emsgsize(void **state)
{
	char value[5] = "....";

	(void)state;
	assert_int_equal(wire_text("a=12345", "a", value, sizeof(value)), -EMSGSIZE);
	assert_string_equal(value, "....");
	assert_int_equal(wire_text("a=1", "a", value, 0), -EMSGSIZE);
	assert_int_equal(wire_text("a=1234 b=5", "a", value, sizeof(value)), 0);
	assert_string_equal(value, "1234");
}

static void number_parse__bounds_and_junk__as_promised(void **state)
{
	static const struct {
		const char *text;
		int64_t min, max, number;
		int err;
	} row[] = {
		{ "0", 0, 0, 0, 0 },
		{ "7", 1, 7, 7, 0 },
		{ "8", 1, 7, 0, -ERANGE },
		{ "0", 1, 7, 0, -ERANGE },
		{ "-5", -5, 5, -5, 0 },
		{ "-6", -5, 5, 0, -ERANGE },
		{ "007", 0, 9, 7, 0 },
		{ "9223372036854775807", INT64_MIN, INT64_MAX, INT64_MAX, 0 },
		{ "-9223372036854775808", INT64_MIN, INT64_MAX, INT64_MIN, 0 },
		{ "9223372036854775808", INT64_MIN, INT64_MAX, 0, -ERANGE },
		{ "-9223372036854775809", INT64_MIN, INT64_MAX, 0, -ERANGE },
		{ "", 0, 9, 0, -EINVAL },
		{ " 1", 0, 9, 0, -EINVAL },
		{ "1 ", 0, 9, 0, -EINVAL },
		{ "+1", 0, 9, 0, -EINVAL },
		{ "-", -9, 9, 0, -EINVAL },
		{ "--1", -9, 9, 0, -EINVAL },
		{ "1x", 0, 9, 0, -EINVAL },
		{ "0x1", 0, 9, 0, -EINVAL },
		{ "1e1", 0, 99, 0, -EINVAL },
		{ "99999999999999999999x", 0, 9, 0, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		int64_t number = 4242;

		assert_int_equal(wire_number_parse(row[i].text, row[i].min, row[i].max, &number),
				 row[i].err);
		assert_true(number == (row[i].err ? 4242 : row[i].number));
	}
}

static void number__in_a_line__as_promised(void **state)
{
	int64_t number = 4242;

	(void)state;
	assert_int_equal(wire_number("rc=-1 msg=x", "rc", -9, 9, &number), 0);
	assert_true(number == -1);
	assert_int_equal(wire_number("rc=-1 msg=x", "msg", -9, 9, &number), -EINVAL);
	assert_int_equal(wire_number("rc=10", "rc", -9, 9, &number), -ERANGE);
	assert_int_equal(wire_number("rc=1", "size", -9, 9, &number), -ENOENT);
	assert_int_equal(
		wire_number("rc=0000000000000000000000000000000000000001", "rc", 0, 9, &number),
		-EINVAL);
	assert_true(number == -1);
}

static void hex__every_length_and_byte__round_trip(void **state)
{
	unsigned char blob[512], back[512];
	char text[2 * sizeof(blob) + 1];
	size_t back_len;

	(void)state;
	for (size_t i = 0; i < sizeof(blob); i++)
		blob[i] = (unsigned char)(i * 37);
	for (size_t len = 0; len <= sizeof(blob); len++) {
		memset(text, 'x', sizeof(text));
		wire_hex(blob, len, text);
		assert_int_equal(strlen(text), 2 * len);
		back_len = 9999;
		assert_int_equal(wire_unhex(text, back, len, &back_len), 0);
		assert_int_equal(back_len, len);
		assert_memory_equal(back, blob, len);
	}
	wire_hex("\x09\xaf\xf0", 3, text);
	assert_string_equal(text, "09aff0");
}

static void unhex__anything_else__refused_and_nothing_written(void **state)
{
	unsigned char blob[4] = { 1, 2, 3, 4 };
	size_t len = 77;

	(void)state;
	assert_int_equal(wire_unhex("0aF", blob, 4, &len), -EINVAL);
	assert_int_equal(wire_unhex("0aFf00", blob, 2, &len), -EMSGSIZE);
	for (int c = 1; c < 256; c++) {
		char text[] = "1234";

		if (strchr("0123456789abcdefABCDEF", c))
			continue;
		text[c % 4] = (char)c;
		assert_int_equal(wire_unhex(text, blob, 4, &len), -EINVAL);
	}
	assert_memory_equal(blob, "\1\2\3\4", 4);
	assert_int_equal(len, 77);
	assert_int_equal(wire_unhex("0aFf", blob, 2, &len), 0);
	assert_memory_equal(blob, "\x0a\xff", 2);
}

static void mapping__written_by_launchers__local_rank_and_size(void **state)
{
	static const struct {
		const char *text;
		uint32_t rank, size, local_rank, local_size;
	} row[] = {
		{ "(vector,(0,1,4))", 0, 4, 0, 4 },
		{ "(vector,(0,1,4))", 3, 4, 3, 4 },
		{ "(vector,(0,2,2))", 2, 4, 0, 2 },
		{ "(vector,(0,2,2))", 1, 4, 1, 2 },
		{ "(vector,(0,2,1))", 3, 4, 1, 2 }, /* dealt in turn: starts again */
		{ "(vector,(0,1,1),(1,1,3))", 0, 4, 0, 1 },
		{ "(vector,(0,1,1),(1,1,3))", 3, 4, 2, 3 },
		{ "(vector,(0,4,1))", 2, 3, 0, 1 },		    /* more nodes than ranks */
		{ "(vector,(5,1,2),(7,1,1),(5,1,1))", 3, 4, 2, 3 }, /* a node named twice */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		uint32_t local_rank = 99, local_size = 99;

		assert_int_equal(wire_mapping(row[i].text, row[i].rank, row[i].size, &local_rank,
					      &local_size),
				 0);
		assert_int_equal(local_rank, row[i].local_rank);
		assert_int_equal(local_size, row[i].local_size);
	}
}

static void mapping__anything_else__einval_and_nothing_written(void **state)
{
	static const char *const text[] = { "",
					    "(vector)",
					    "(vector,)",
					    "vector,(0,1,4)",
					    "(vector,(0,1,4)",
					    "(vector,(0,1,4)))",
					    "(vector,(0,1))",
					    "(vector,(0,1,4,5))",
					    "(vector,(0,0,4))",
					    "(vector,(0,1,0))",
					    "(vector,(-1,1,4))",
					    "(vector,(0,1,x))",
					    "(vector,(0,1,1000001))",
					    "(vector,(0,1,99999999999999999999999))",
					    "(vector,(0, 1,4))",
					    "(vector,(,1,4))",
					    "(vector,(0,1,4),)",
					    "(vectors,(0,1,4))" };
	uint32_t local_rank = 99, local_size = 99;

	(void)state;
	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		assert_int_equal(wire_mapping(text[i], 0, 4, &local_rank, &local_size), -EINVAL);
	assert_int_equal(wire_mapping("(vector,(0,1,4))", 4, 4, &local_rank, &local_size), -EINVAL);
	assert_int_equal(wire_mapping("(vector,(0,1,4))", 0, 0, &local_rank, &local_size), -EINVAL);
	assert_int_equal(local_rank, 99);
	assert_int_equal(local_size, 99);
}

#define BLOCKS_TAKEN 64

static void mapping__as_many_blocks_as_are_taken__one_more_is_einval(void **state)
{
	char text[32 * BLOCKS_TAKEN];

	(void)state;
	for (int count = BLOCKS_TAKEN; count <= BLOCKS_TAKEN + 1; count++) {
		uint32_t local_rank, local_size;
		int n = snprintf(text, sizeof(text), "(vector");

		for (int i = 0; i < count; i++)
			n += snprintf(text + n, sizeof(text) - (size_t)n, ",(%d,1,1)", i);
		strcat(text, ")");
		assert_int_equal(wire_mapping(text, 5, 64, &local_rank, &local_size),
				 count == BLOCKS_TAKEN ? 0 : -EINVAL);
	}
}

#define ORACLE_ROUNDS 2000
#define ORACLE_RANKS 40

/* Writes the node of every rank down, then counts. */
static void mapping__random_blocks__as_written_down_rank_by_rank(void **state)
{
	(void)state;
	for (int round = 0; round < ORACLE_ROUNDS; round++) {
		char text[256];
		uint32_t node[4096], count = 0, size = 1 + random_below(ORACLE_RANKS);
		uint32_t local_rank, local_size, blocks = 1 + random_below(4);
		int n = snprintf(text, sizeof(text), "(vector");

		for (uint32_t b = 0; b < blocks; b++) {
			uint32_t first = random_below(5), nodes = 1 + random_below(4);
			uint32_t ranks = 1 + random_below(4);

			n += snprintf(text + n, sizeof(text) - (size_t)n, ",(%u,%u,%u)", first,
				      nodes, ranks);
			for (uint32_t i = 0; i < nodes * ranks; i++)
				node[count++] = first + i / ranks;
		}
		strcat(text, ")");
		for (uint32_t rank = 0; rank < size; rank++) {
			uint32_t want_rank = 0, want_size = 0;

			for (uint32_t i = 0; i < size; i++) {
				bool here = node[i % count] == node[rank % count];

				want_rank += here && i < rank;
				want_size += here;
			}
			assert_int_equal(wire_mapping(text, rank, size, &local_rank, &local_size),
					 0);
			assert_int_equal(local_rank, want_rank);
			assert_int_equal(local_size, want_size);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text__each_place_in_a_line__its_value),
		cmocka_unit_test(text__as_long_as_there_is_room__one_more_is_emsgsize),
		cmocka_unit_test(number_parse__bounds_and_junk__as_promised),
		cmocka_unit_test(number__in_a_line__as_promised),
		cmocka_unit_test(hex__every_length_and_byte__round_trip),
		cmocka_unit_test(unhex__anything_else__refused_and_nothing_written),
		cmocka_unit_test(mapping__written_by_launchers__local_rank_and_size),
		cmocka_unit_test(mapping__anything_else__einval_and_nothing_written),
		cmocka_unit_test(mapping__as_many_blocks_as_are_taken__one_more_is_einval),
		cmocka_unit_test(mapping__random_blocks__as_written_down_rank_by_rank),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
