/* SPDX-License-Identifier: BSD-3-Clause */
/* perf_options_test.c -- the command line of farbus-perf, and the figures it chooses */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apps/farbus-perf/figure.h"
#include "apps/farbus-perf/options.h"
#include "base/error.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse(const char *line, struct options *ret_options)
{
	static char text[512];
	static char *argv[64];
	int argc = 0;
	char *rest;

	snprintf(text, sizeof(text), "farbus-perf %s", line);
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	argv[argc] = NULL;
	return options_parse(argc, argv, ret_options);
}

static void parse__nothing__presets(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse("", &options), 0);
	assert_false(options.json);
	assert_int_equal(options.size_count, 4);
	assert_int_equal(options.size[0], 4096);
	assert_int_equal(options.size[3], 16 << 20);
	assert_int_equal(options.stream_len, 1 << 30);
	assert_int_equal(options.cpu[0], -1);
	assert_int_equal(options.name_count, 0);
}

static void parse__every_option__is_taken(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse("--json --time 2.5 --size 8,3K,2m --stream 1G --cpus 3,5 get8 ring",
			       &options),
			 0);
	assert_true(options.json);
	assert_int_equal(options.budget_ns, 2500000000ull);
	assert_int_equal(options.size_count, 3);
	assert_int_equal(options.size[0], 8);
	assert_int_equal(options.size[1], 3072);
	assert_int_equal(options.size[2], 2 << 20);
	assert_int_equal(options.cpu[0], 3);
	assert_int_equal(options.cpu[1], 5);
	assert_int_equal(options.name_count, 2);
	assert_int_equal(parse("--quick", &options), 0);
	assert_int_equal(options.budget_ns, 1000000000ull);
}

/* Line, and what the text has to name. */
static const char *const bad[][2] = {
	{ "--frobnicate", "--frobnicate" },
	{ "--size", "--size" },
	{ "--size 0", "--size 0" },
	{ "--size -1", "--size -1" },
	{ "--size 4x", "--size 4x" },
	{ "--size 4kk", "--size 4kk" },
	{ "--size k", "--size k" },
	{ "--size 257m", "--size 257m" },
	{ "--size 99999999999999999999", "--size 9" },
	{ "--size 18014398509481985k", "--size 1" },
	{ "--size 4k,4096", "twice" },
	{ "--size ,", "at least one" },
	{ "--size 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "at most 16" },
	{ "--stream 4095", "--stream" },
	{ "--stream 2048g", "--stream" },
	{ "--time 0", "--time" },
	{ "--time nan", "--time" },
	{ "--time inf", "--time" },
	{ "--time 1s", "--time" },
	{ "--cpus 1", "--cpus" },
	{ "--cpus 1,2,3", "--cpus" },
	{ "--cpus 1,-2", "--cpus" },
	{ "--cpus 1,99999", "--cpus" },
};

static void parse__bad_line__einval_and_what_is_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct options options;

		assert_int_equal(parse(bad[i][0], &options), -EINVAL);
		if (!strstr(error_text(), bad[i][1]))
			fail_msg("%s: \"%s\" does not say %s", bad[i][0], error_text(), bad[i][1]);
	}
}

static void size_text__any_size__shortest_exact_form(void **state)
{
	static const struct {
		size_t size;
		const char *text;
	} row[] = { { 1, "1" },
		    { 1023, "1023" },
		    { 1024, "1k" },
		    { 1025, "1025" },
		    { 1536 << 10, "1536k" },
		    { 1 << 20, "1m" },
		    { 1 << 30, "1g" },
		    { (size_t)1 << 40, "1024g" } };

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		char text[24];

		options_size_text(row[i].size, text, sizeof(text));
		assert_string_equal(text, row[i].text);
	}
}

static size_t chosen(const char *line, struct figure **ret_figure)
{
	struct options options;
	size_t count;

	assert_int_equal(parse(line, &options), 0);
	assert_int_equal(figures_new(&options, ret_figure, &count), 0);
	return count;
}

static void figures__names_and_groups__those_once_in_table_order(void **state)
{
	struct figure *figure;

	(void)state;
	assert_int_equal(chosen("ring get_4k get8 ring64_b1 --size 4k", &figure), 4);
	assert_string_equal(figure[0].name, "get8");
	assert_string_equal(figure[1].name, "get_4k");
	assert_string_equal(figure[2].name, "ring64_b1");
	assert_string_equal(figure[3].name, "ring64_b32");
	free(figure);
}

static void figures__as_many_sizes_as_there_may_be__all_there(void **state)
{
	struct figure *figure;

	(void)state;
	assert_int_equal(
		chosen("--size 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,256m put_1 put_256m", &figure),
		2);
	assert_string_equal(figure[1].name, "put_256m");
	assert_int_equal(figure[1].bytes, PERF_SIZE_MAX);
	free(figure);
}

static void figures__unknown_name__einval_and_the_name(void **state)
{
	struct options options;
	struct figure *figure;
	size_t count;

	(void)state;
	assert_int_equal(parse("get8 put_4K", &options), 0);
	assert_int_equal(figures_new(&options, &figure, &count), -EINVAL);
	assert_non_null(strstr(error_text(), "put_4K"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse__nothing__presets),
		cmocka_unit_test(parse__every_option__is_taken),
		cmocka_unit_test(parse__bad_line__einval_and_what_is_wrong),
		cmocka_unit_test(size_text__any_size__shortest_exact_form),
		cmocka_unit_test(figures__names_and_groups__those_once_in_table_order),
		cmocka_unit_test(figures__as_many_sizes_as_there_may_be__all_there),
		cmocka_unit_test(figures__unknown_name__einval_and_the_name),
	};

	return cmocka_run_group_tests_name("perf/options", tests, NULL, NULL);
}
