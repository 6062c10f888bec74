/* SPDX-License-Identifier: BSD-3-Clause */
/* run_command_test.c -- tests of apps/farbus-run/options.h and environment.h */
#include "apps/farbus-run/environment.h"
#include "apps/farbus-run/options.h"
#include "base/alloc.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 32

/* Splits a line at its blanks and parses it as farbus-run's. The words live until the next call. */
static int parse(const char *line, struct options *ret_options)
{
	static char text[1024];
	static char *argv[WORD_MAX + 2];
	int argc = 0;
	char *save;

	snprintf(text, sizeof(text), "farbus-run %s", line);
	for (char *word = strtok_r(text, " ", &save); word && argc < WORD_MAX;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	error_clear();
	return options_parse(argc, argv, ret_options);
}

static void parse__only_what_is_needed__the_presets(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse("-n 3 prog", &options), 0);
	assert_int_equal(options.size, 3);
	assert_int_equal(options.bind, BIND_AUTO);
	assert_int_equal(options.input, INPUT_FIRST);
	assert_true(options.timeout_ns == 0);
	assert_true(options.grace_ns == 3000000000u);
	assert_false(options.report_bindings || options.tag || options.timestamp || options.keep);
	assert_false(options.keep_going || options.dry_run);
	assert_null(options.run_dir);
	assert_int_equal(options.export_count, 0);
	assert_string_equal(options.command[0], "prog");
	assert_null(options.command[1]);
}

static void parse__everything__each_is_taken(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse("-n1024 --bind=socket --stdin all --report-bindings --tag "
			       "--timestamp --keep --keep-going --timeout 1.5 --grace 0 prog",
			       &options),
			 0);
	assert_int_equal(options.size, RUN_RANK_MAX);
	assert_int_equal(options.bind, BIND_SOCKET);
	assert_int_equal(options.input, INPUT_ALL);
	assert_true(options.report_bindings && options.tag && options.timestamp && options.keep);
	assert_true(options.keep_going);
	assert_true(options.timeout_ns == 1500000000u);
	assert_true(options.grace_ns == 0);
	assert_int_equal(parse("--dry-run -x A=1 -x B=a=b -x C= --run-dir /d --bind none --stdin "
			       "none -n 1 prog",
			       &options),
			 0);
	assert_true(options.dry_run);
	assert_int_equal(options.bind, BIND_NONE);
	assert_int_equal(options.input, INPUT_NONE);
	assert_string_equal(options.run_dir, "/d");
	assert_int_equal(options.export_count, 3);
	assert_string_equal(options.export[1], "B=a=b");
	assert_int_equal(parse("--bind core --stdin 0 -n 2 prog", &options), 0);
	assert_int_equal(options.bind, BIND_CORE);
	assert_int_equal(options.input, INPUT_FIRST);
}

static void parse__options_of_the_program__left_alone(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse("-n 2 prog -n 5 --tag --nonsense", &options), 0);
	assert_int_equal(options.size, 2);
	assert_false(options.tag);
	assert_string_equal(options.command[1], "-n");
	assert_string_equal(options.command[4], "--nonsense");
	assert_int_equal(parse("-n 2 -- --prog -x", &options), 0);
	assert_string_equal(options.command[0], "--prog");
	assert_string_equal(options.command[1], "-x");
}

static void parse__wrong__einval_and_what_would_do(void **state)
{
	static const struct {
		const char *line, *text;
	} row[] = {
		{ "", "number of ranks is missing" },
		{ "prog", "number of ranks is missing" },
		{ "-n", "-n needs a value" },
		{ "-n 2", "program is missing" },
		{ "-n 2 --", "program is missing" },
		{ "-n 0 prog", "from 1 to 1024" },
		{ "-n -1 prog", "-n -1: give a whole number of ranks" },
		{ "-n 1025 prog", "-n 1025" },
		{ "-n 99999999999999999999 prog", "from 1 to 1024" },
		{ "-n 2x prog", "-n 2x" },
		{ "-n 2.5 prog", "-n 2.5" },
		{ "-np 2 prog", "-n p" }, /* of another launcher */
		{ "-n 2 --bind numa prog", "none, core or socket" },
		{ "-n 2 --bind= prog", "none, core or socket" },
		{ "-n 2 --bind", "--bind needs a value" },
		{ "-n 2 --stdin 1 prog", "0, none or all" },
		{ "-n 2 --timeout 0 prog", "--timeout 0: give seconds" },
		{ "-n 2 --timeout -1 prog", "--timeout -1" },
		{ "-n 2 --timeout 5s prog", "--timeout 5s" },
		{ "-n 2 --timeout nan prog", "--timeout nan" },
		{ "-n 2 --timeout inf prog", "--timeout inf" },
		{ "-n 2 --timeout 31536001 prog", "31536000" },
		{ "-n 2 --grace -0.1 prog", "--grace -0.1" },
		{ "-n 2 --grace x prog", "--grace x" },
		{ "-n 2 -x =1 prog", "-x VAR=value" },
		{ "-n 2 -x FARBUS_NOT_SET_HERE prog", "not set here" },
		{ "-n 2 -q prog", "unknown option -q" },
		{ "-n 2 --nonsense prog", "--nonsense" },
		{ "-n 2 --keep=1 prog", "--keep" },
		{ "-n 2 --t prog", "ambiguous" },
		{ "-n 2 -H a,b prog", "this host only" },
		{ "-n 2 --host a prog", "this host only" },
		{ "-n 2 --hostfile=f prog", "this host only" },
	};

	(void)state;
	unsetenv("FARBUS_NOT_SET_HERE");
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct options options = { .size = 77 };

		assert_int_equal(parse(row[i].line, &options), -EINVAL);
		if (!strstr(error_text(), row[i].text))
			print_error("%s: %s\n", row[i].line, error_text());
		assert_non_null(strstr(error_text(), row[i].text));
		assert_int_equal(options.size, 77);
	}
}

static void parse__empty_program_name__einval(void **state)
{
	char *argv[] = { "farbus-run", "-n", "1", "", NULL };
	struct options options;

	(void)state;
	assert_int_equal(options_parse(4, argv, &options), -EINVAL);
	assert_non_null(strstr(error_text(), "empty"));
}

static void parse__as_many_exports_as_fit__one_more_is_einval(void **state)
{
	static char *argv[2 * RUN_EXPORT_MAX + 10];
	struct options options;
	int argc = 0;

	(void)state;
	argv[argc++] = "farbus-run";
	for (int i = 0; i < RUN_EXPORT_MAX; i++) {
		argv[argc++] = "-x";
		argv[argc++] = "A=1";
	}
	argv[argc] = "-n";
	argv[argc + 1] = "1";
	argv[argc + 2] = "prog";
	argv[argc + 3] = NULL;
	assert_int_equal(options_parse(argc + 3, argv, &options), 0);
	assert_int_equal(options.export_count, RUN_EXPORT_MAX);
	argv[argc] = "-x";
	argv[argc + 1] = "B=1";
	assert_int_equal(options_parse(argc + 3, argv, &options), -EINVAL);
	assert_non_null(strstr(error_text(), "256"));
}

/* --- environment --- */

static const char *value_of(const struct environment *environment, const char *name)
{
	const char *found = NULL;
	size_t len = strlen(name);

	for (char **at = environment->entry; *at; at++) {
		if (strncmp(*at, name, len) != 0 || (*at)[len] != '=')
			continue;
		assert_null(found); /* twice: which one counts would be luck */
		found = *at + len + 1;
	}
	return found;
}

static void environment__own_exported_inherited__in_this_order_of_rank(void **state)
{
	struct environment *environment;
	struct options options;

	(void)state;
	clearenv();
	setenv("KEPT", "1", 1);
	setenv("CHANGED", "old", 1);
	setenv("PMI_RANK", "99", 1);
	setenv("PMI_PORT", "host:1", 1);
	setenv("PMIX_NAMESPACE", "x", 1);
	setenv("MPI_LOCALRANKID", "99", 1);
	setenv("FARBUS_RUN_DIR", "/outer", 1);
	setenv("PMIRANK", "kept", 1);
	assert_int_equal(
		parse("-n 4 -x CHANGED=first -x NEW=1 -x CHANGED=new -x PMI_SIZE=7 prog", &options),
		0);
	assert_int_equal(environment_new(&options, "/run/dir", &environment), 0);
	environment_rank(environment, 3, 17);
	assert_string_equal(value_of(environment, "PMI_RANK"), "3");
	assert_string_equal(value_of(environment, "PMI_SIZE"), "4");
	assert_string_equal(value_of(environment, "PMI_FD"), "17");
	assert_string_equal(value_of(environment, "MPI_LOCALRANKID"), "3");
	assert_string_equal(value_of(environment, "MPI_LOCALNRANKS"), "4");
	assert_string_equal(value_of(environment, "FARBUS_RUN_DIR"), "/run/dir");
	assert_string_equal(value_of(environment, "CHANGED"), "new");
	assert_string_equal(value_of(environment, "NEW"), "1");
	assert_string_equal(value_of(environment, "KEPT"), "1");
	assert_string_equal(value_of(environment, "PMIRANK"), "kept");
	assert_null(value_of(environment, "PMI_PORT"));
	assert_null(value_of(environment, "PMIX_NAMESPACE"));
	environment_rank(environment, 0, 5);
	assert_string_equal(value_of(environment, "PMI_RANK"), "0");
	assert_string_equal(value_of(environment, "PMI_FD"), "5");
	environment_free(environment);
	environment_free(NULL);
}

static void environment__nothing_set_and_no_dir__only_ours(void **state)
{
	struct environment *environment;
	struct options options;
	size_t count = 0;

	(void)state;
	assert_int_equal(parse("-n 1 prog", &options), 0);
	clearenv();
	assert_int_equal(environment_new(&options, NULL, &environment), 0);
	while (environment->entry[count])
		count++;
	assert_int_equal(count, environment->own_count);
	assert_int_equal(count, 5);
	assert_null(value_of(environment, "FARBUS_RUN_DIR"));
	environment_free(environment);
	for (unsigned long n = 1; n <= 2; n++) {
		alloc_fault_arm(n);
		assert_int_equal(environment_new(&options, NULL, &environment), -ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse__only_what_is_needed__the_presets),
		cmocka_unit_test(parse__everything__each_is_taken),
		cmocka_unit_test(parse__options_of_the_program__left_alone),
		cmocka_unit_test(parse__wrong__einval_and_what_would_do),
		cmocka_unit_test(parse__empty_program_name__einval),
		cmocka_unit_test(parse__as_many_exports_as_fit__one_more_is_einval),
		cmocka_unit_test(environment__own_exported_inherited__in_this_order_of_rank),
		cmocka_unit_test(environment__nothing_set_and_no_dir__only_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
