/* SPDX-License-Identifier: BSD-3-Clause */
/* base_config_test.c -- tests of base/config.h and base/log.h */
#include "base/config.h"
#include "base/error.h"
#include "base/log.h"
#include "base_common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define SETTINGS_PROMISED 24

static struct child child; /* too big for a stack */

static int load_with(const char *variable, const char *value, struct config *ret_config)
{
	clearenv();
	error_clear();
	if (variable)
		setenv(variable, value, 1);
	return config_load(ret_config);
}

static void load__empty_environment__defaults(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(load_with(NULL, NULL, &config), 0);
	assert_int_equal(config.timeout, 30000);
	assert_string_equal(config.log, "warning");
	assert_string_equal(config.node, "");
	assert_true(config.mappable);
	assert_int_equal(config.spin_us, 20);
}

static void load__good_value_of_each_kind__taken(void **state)
{
	char longest[CONFIG_TEXT_MAX];
	struct config config;

	(void)state;
	assert_int_equal(load_with("FARBUS_TIMEOUT", "0", &config), 0);
	assert_int_equal(config.timeout, 0);
	assert_int_equal(load_with("FARBUS_TIMEOUT", "2147483647", &config), 0);
	assert_int_equal(config.timeout, 2147483647);
	assert_int_equal(load_with("FARBUS_TIMEOUT", "007", &config), 0);
	assert_int_equal(config.timeout, 7);
	assert_int_equal(load_with("FARBUS_MAPPABLE", "0", &config), 0);
	assert_false(config.mappable);
	assert_int_equal(load_with("FARBUS_MAPPABLE", "1", &config), 0);
	assert_true(config.mappable);
	assert_int_equal(load_with("FARBUS_NODE", "", &config), 0);
	assert_string_equal(config.node, "");
	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(load_with("FARBUS_NODE", longest, &config), 0);
	assert_string_equal(config.node, longest);
}

/* The text names the variable; for short values the value and what would do, too. */
static void load_refused(const char *variable, const char *value, const char *help)
{
	struct config config, before;

	memset(&config, 0x5a, sizeof(config));
	before = config;
	assert_int_equal(load_with(variable, value, &config), -EINVAL);
	assert_memory_equal(&config, &before, sizeof(config));
	assert_non_null(strstr(error_text(), variable));
	assert_non_null(strstr(error_text(), help));
	if (strlen(value) < 40)
		assert_non_null(strstr(error_text(), value));
}

static void load__bad_value__einval_names_it_and_untouched_result(void **state)
{
	static const char *const number[] = { "",     " 1",	  "1 ",
					      "-1",   "+1",	  "1.5",
					      "0x10", "ten",	  "2147483648",
					      "1e3",  "\xd9\xa1", "99999999999999999999999" };
	static const char *const boolean[] = { "", "2", "-1", "01", "yes", "true", "on", " 1" };
	char text[CONFIG_TEXT_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		load_refused("FARBUS_TIMEOUT", number[i], "whole number");
	for (size_t i = 0; i < sizeof(boolean) / sizeof(boolean[0]); i++)
		load_refused("FARBUS_MAPPABLE", boolean[i], "0 or 1");
	memset(text, 'n', CONFIG_TEXT_MAX);
	text[CONFIG_TEXT_MAX] = '\0';
	load_refused("FARBUS_NODE", text, "255");
}

static void unknown_warn(void *arg)
{
	struct config config;

	load_with("FARBUS_TIMEOT", "5", &config);
	setenv("FARBUS_RUNDIR", "x", 1);
	setenv("FARBUS_timeout", "x", 1);
	setenv("FARBUS_", "x", 1);
	setenv("FARBUS_SPIN_US", "5", 1);
	setenv("XFARBUS_TIMEOT", "5", 1);
	setenv("FARBU", "5", 1);
	CHECK(config_load(&config) == 0);
	CHECK(config.timeout == 30000);
	log_open(*(int *)arg, 3);
	config_unknown_warn();
	config_unknown_warn();
}

static void unknown_warn__four_of_them__one_warning_each_with_the_nearest(void **state)
{
	int level = LOG_WARNING;

	(void)state;
	child_run(unknown_warn, &level, &child);
	assert_int_equal(child.status, 0);
	assert_int_equal(text_times(child.text, "\n"), 4);
	assert_int_equal(text_times(child.text, "farbus[3] warning: FARBUS_"), 4);
	assert_non_null(strstr(child.text, "FARBUS_TIMEOT is no setting and is ignored; did you "
					   "mean FARBUS_TIMEOUT?"));
	assert_non_null(strstr(child.text, "mean FARBUS_RUN_DIR?"));
	assert_non_null(strstr(child.text, "FARBUS_timeout is"));
	assert_null(strstr(child.text, "FARBUS_SPIN_US is"));
}

static void unknown_warn__only_errors_are_logged__silent(void **state)
{
	int level = LOG_ERROR;

	(void)state;
	child_run(unknown_warn, &level, &child);
	assert_int_equal(child.status, 0);
	assert_string_equal(child.text, "");
}

static void unknown_warn_long(void *arg)
{
	char name[1000] = "FARBUS_";

	(void)arg;
	clearenv();
	memset(name + 7, 'A', sizeof(name) - 8);
	name[sizeof(name) - 1] = '\0';
	setenv(name, "1", 1);
	config_unknown_warn();
}

static void unknown_warn__very_long_name__one_line(void **state)
{
	(void)state;
	child_run(unknown_warn_long, NULL, &child);
	assert_int_equal(child.status, 0);
	assert_int_equal(text_times(child.text, "\n"), 1);
	assert_non_null(strstr(child.text, "FARBUS_AAAAAAAA"));
}

struct rows {
	int count, changed;
};

static void row_take(void *arg, const char *variable, const char *value, const char *preset,
		     const char *unit, const char *meaning)
{
	struct rows *rows = arg;

	rows->count++;
	assert_int_equal(strncmp(variable, "FARBUS_", 7), 0);
	assert_non_null(unit);
	assert_true(strlen(meaning) > 0);
	if (strcmp(value, preset) == 0)
		return;
	rows->changed++;
	if (strcmp(variable, "FARBUS_TIMEOUT") == 0)
		assert_string_equal(value, "77");
	else if (strcmp(variable, "FARBUS_MAPPABLE") == 0)
		assert_string_equal(value, "0");
	else if (strcmp(variable, "FARBUS_SECRET") == 0)
		assert_string_equal(value, "(set)");
	else
		assert_string_equal(variable, "FARBUS_NODE");
}

static void each__some_changed__all_rows_at_most_24_and_no_secret(void **state)
{
	struct config config;
	struct rows rows = { 0, 0 };

	(void)state;
	clearenv();
	setenv("FARBUS_TIMEOUT", "77", 1);
	setenv("FARBUS_MAPPABLE", "0", 1);
	setenv("FARBUS_NODE", "n1", 1);
	setenv("FARBUS_SECRET", "not to be seen", 1);
	assert_int_equal(config_load(&config), 0);
	assert_string_equal(config.secret, "not to be seen");
	config_each(&config, row_take, &rows);
	assert_int_equal(rows.changed, 4);
	assert_in_range(rows.count, 3, SETTINGS_PROMISED);
}

static void log_levels(void *arg)
{
	(void)arg;
	log_open(LOG_INFO, 12);
	log_error("e %d", 1);
	log_warning("w");
	log_info("i");
	log_debug("d");
	log_open(LOG_ERROR, 0);
	log_warning("w2");
	log_error("e2");
}

static void log__each_level__only_up_to_the_chosen_one(void **state)
{
	(void)state;
	child_run(log_levels, NULL, &child);
	assert_int_equal(child.status, 0);
	assert_string_equal(child.text, "farbus[12] error: e 1\nfarbus[12] warning: w\n"
					"farbus[12] info: i\nfarbus[0] error: e2\n");
}

static void log_preset(void *arg)
{
	(void)arg;
	log_info("i");
	log_warning("w");
}

static void log__never_opened__warnings_and_errors(void **state)
{
	(void)state;
	child_run(log_preset, NULL, &child);
	assert_string_equal(child.text, "farbus[0] warning: w\n");
}

static void log_odd(void *arg)
{
	char text[3000];

	(void)arg;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_error("%s", text);
	log_error("a\nfarbus[0] error: b\033[2Jc\x7f%s", "\t\xc3\xa9");
	log_error("%s", "");
}

static void log__long_or_with_control_characters__one_line_each(void **state)
{
	char *second;

	(void)state;
	child_run(log_odd, NULL, &child);
	assert_int_equal(child.status, 0);
	second = strchr(child.text, '\n');
	assert_non_null(second);
	assert_in_range(second - child.text, 1000, 1023);
	assert_string_equal(second + 1, "farbus[0] error: a?farbus[0] error: b?[2Jc??\xc3\xa9\n"
					"farbus[0] error: \n");
}

static void log_errno(void *arg)
{
	(void)arg;
	errno = EXDEV;
	log_error("%m");
	CHECK(errno == EXDEV);
	fclose(stderr); /* nobody to tell */
	errno = EXDEV;
	log_error("lost");
	CHECK(errno == EXDEV);
}

static void log__errno_of_the_caller__in_the_line_and_kept(void **state)
{
	(void)state;
	child_run(log_errno, NULL, &child);
	assert_int_equal(child.status, 0);
	assert_string_equal(child.text, "farbus[0] error: Invalid cross-device link\n");
}

#define WRITER_COUNT 4
#define WRITER_LINES 200

static void *writer(void *arg)
{
	for (int i = 0; i < WRITER_LINES; i++) {
		log_open(LOG_WARNING, (unsigned int)(uintptr_t)arg);
		log_warning("abcdefghijklmnopqrstuvwxyz");
	}
	return NULL;
}

static void log_threads(void *arg)
{
	pthread_t thread[WRITER_COUNT];

	(void)arg;
	for (uintptr_t i = 0; i < WRITER_COUNT; i++)
		CHECK(pthread_create(&thread[i], NULL, writer, (void *)i) == 0);
	for (int i = 0; i < WRITER_COUNT; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
}

static void log__four_threads__whole_lines(void **state)
{
	int lines = 0;

	(void)state;
	child_run(log_threads, NULL, &child);
	assert_int_equal(child.status, 0);
	for (char *save, *line = strtok_r(child.text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		assert_int_equal(strncmp(line, "farbus[", 7), 0);
		assert_string_equal(line + 8, "] warning: abcdefghijklmnopqrstuvwxyz");
		lines++;
	}
	assert_int_equal(lines, WRITER_COUNT * WRITER_LINES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(load__empty_environment__defaults),
		cmocka_unit_test(load__good_value_of_each_kind__taken),
		cmocka_unit_test(load__bad_value__einval_names_it_and_untouched_result),
		cmocka_unit_test(unknown_warn__four_of_them__one_warning_each_with_the_nearest),
		cmocka_unit_test(unknown_warn__only_errors_are_logged__silent),
		cmocka_unit_test(unknown_warn__very_long_name__one_line),
		cmocka_unit_test(each__some_changed__all_rows_at_most_24_and_no_secret),
		cmocka_unit_test(log__each_level__only_up_to_the_chosen_one),
		cmocka_unit_test(log__never_opened__warnings_and_errors),
		cmocka_unit_test(log__long_or_with_control_characters__one_line_each),
		cmocka_unit_test(log__errno_of_the_caller__in_the_line_and_kept),
		cmocka_unit_test(log__four_threads__whole_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
