/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run_options_test.c -- farbus-run from outside: output, input, environment, binding, every option
 */
#include "tests/integ/run_common.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void tag__lines_and_a_last_one_without_newline__each_has_its_rank(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "2", "--tag", "printf", "one\\ntwo"), "");
	assert_int_equal(program.code, 0);
	assert_int_equal(strlen(program.out), 4 * strlen("[0] one\n"));
	assert_non_null(strstr(program.out, "[0] one\n"));
	assert_non_null(strstr(program.out, "[0] two\n"));
	assert_non_null(strstr(program.out, "[1] one\n"));
	assert_non_null(strstr(program.out, "[1] two\n"));
	program_free(&program);
}

static void timestamp__a_line__begins_with_date_and_time(void **state)
{
	struct program program;
	int year, month, day, hour, minute, second, ms, n = 0;

	(void)state;
	run(&program, RUN("-n", "1", "--timestamp", "--tag", "echo", "hello"), "");
	assert_int_equal(sscanf(program.out, "%4d-%2d-%2dT%2d:%2d:%2d.%3d [0] hello\n%n", &year,
				&month, &day, &hour, &minute, &second, &ms, &n),
			 7);
	assert_int_equal(n, (int)strlen(program.out));
	program_free(&program);
}

static void output__one_rank_untagged__bytes_unchanged(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "1", "printf", "no newline"), "");
	assert_string_equal(program.out, "no newline");
	program_free(&program);
}

static void output__one_rank_asks_without_newline__seen_before_it_ends(void **state)
{
	struct program program;

	(void)state;
	program_start(&program, RUN("-n", "1", "sh", "-c", "printf 'name? '; read x; echo hi $x"));
	program_expect(&program, "name? ", 1);
	program_write(&program, "ann\n", 4);
	program_wait(&program);
	assert_string_equal(program.out, "name? hi ann\n");
	program_free(&program);
}

static void output__two_ranks_without_newline__not_on_one_line(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "2", "printf", "same"), "");
	assert_string_equal(program.out, "same\nsame");
	program_free(&program);
}

/* Checks that text is lines "line R I of R" only, and each rank's in order. Returns how many. */
static int lines_check(const char *text, int first, int step)
{
	int next[4] = { first, first, first, first }, count = 0;

	while (*text) {
		int tag, rank, at, again, n = 0;

		if (sscanf(text, "[%d] line %d %d of %d\n%n", &tag, &rank, &at, &again, &n) != 4 ||
		    n == 0 || tag != rank || rank != again || rank < 0 || rank > 3)
			fail_msg("a broken line: \"%.80s\"", text);
		assert_int_equal(at, next[rank]);
		next[rank] += step;
		count++;
		text = strchr(text, '\n') + 1;
	}
	return count;
}

static void output__a_hundred_thousand_lines_in_pieces__all_whole_and_in_order(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "4", "--tag", CLIENT, "lines", "25000"), "");
	assert_int_equal(program.code, 0);
	assert_int_equal(lines_check(program.err, 0, 2), 50000);
	assert_int_equal(lines_check(program.out, 1, 2), 50000);
	program_free(&program);
}

static void output__line_longer_than_the_limit__all_bytes_arrive(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "2", "sh", "-c", "head -c 300000 /dev/zero | tr '\\0' a; echo"),
	    "");
	assert_int_equal(program.code, 0);
	assert_int_equal(text_count(program.out, "a"), 600000);
	assert_int_equal(strspn(program.out, "a\n"), program.out_len);
	program_free(&program);
}

static void output__reader_leaves__ranks_end_by_sigpipe(void **state)
{
	struct program program;

	(void)state;
	program_start(&program, RUN("-n", "2", "yes"));
	program_expect(&program, "y\n", 1);
	close(program.output);
	program.output = -1;
	program_wait(&program);
	assert_int_equal(program.code, 128 + SIGPIPE);
	program_free(&program);
}

static void output__disk_full__one_line_and_125(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    (char *[]){ "/bin/sh", "-c", FARBUS_RUN " -n 2 seq 100000 > /dev/full", NULL }, "");
	assert_int_equal(program.code, 125);
	assert_string_equal(program.err, "farbus-run: cannot write to stdout: No space left on "
					 "device; ending the job\n");
	program_free(&program);
}

static char *numbers(int count, size_t *ret_len)
{
	char *text = malloc((size_t)count * 8);
	size_t len = 0;

	assert_non_null(text);
	for (int i = 0; i < count; i++)
		len += (size_t)sprintf(text + len, "%d\n", i);
	*ret_len = len;
	return text;
}

/* --stdin RANKS with a large input: how many ranks count all of it, and how many nothing. */
static void input_check(char *ranks, int all, int nothing)
{
	struct program program;
	size_t len;
	char *text = numbers(200000, &len);

	program_start(&program, RUN("-n", "3", "--tag", "--stdin", ranks, "wc", "-l"));
	program_write(&program, text, len);
	program_wait(&program);
	assert_int_equal(program.code, 0);
	assert_int_equal(text_count(program.out, "] 200000\n"), all);
	assert_int_equal(text_count(program.out, "] 0\n"), nothing);
	program_free(&program);
	free(text);
}

static void stdin__each_policy__the_right_ranks_get_all_and_its_end(void **state)
{
	(void)state;
	input_check("0", 1, 2);
	input_check("all", 3, 0);
	input_check("none", 0, 3);
}

static void stdin__a_file__read_to_its_end(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    (char *[]){ "/bin/sh", "-c",
			FARBUS_RUN " -n 2 --stdin all cksum < " FARBUS_RUN "; cksum < " FARBUS_RUN,
			NULL },
	    "");
	/* three equal lines */
	assert_int_equal(text_count(program.out, "\n"), 3);
	program.out[strcspn(program.out, "\n")] = '\0';
	assert_int_equal(text_count(program.out + strlen(program.out) + 1, program.out), 2);
	program_free(&program);
}

static void stdin__rank_does_not_read__job_ends_all_the_same(void **state)
{
	struct program program;
	size_t len;
	char *text = numbers(200000, &len);

	(void)state;
	program_start(&program, RUN("-n", "2", "--stdin", "all", "true"));
	program_write(&program, text, len);
	program_wait(&program);
	assert_int_equal(program.code, 0);
	program_free(&program);
	free(text);
}

static void export__set_and_passed_on__ranks_have_them(void **state)
{
	struct program program;

	(void)state;
	setenv("RUN_TEST_OLD", "old", 1);
	run(&program,
	    RUN("-n", "2", "-x", "RUN_TEST_OLD", "-x", "RUN_TEST_A=1 2", "-x", "RUN_TEST_A=3 4",
		"-x", "PMI_RANK=77", "sh", "-c", "echo $PMI_RANK/$RUN_TEST_OLD/$RUN_TEST_A"),
	    "");
	assert_int_equal(program.code, 0);
	assert_int_equal(text_count(program.out, "0/old/3 4\n"), 1);
	assert_int_equal(text_count(program.out, "1/old/3 4\n"), 1);
	program_free(&program);
}

static void run_dir__during_the_job__private_and_named_in_the_environment(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    RUN("-n", "1", "sh", "-c",
		"stat -c '%a %n' $FARBUS_RUN_DIR; mkdir $FARBUS_RUN_DIR/a; "
		"ln -s / $FARBUS_RUN_DIR/a/root; echo > $FARBUS_RUN_DIR/b"),
	    "");
	assert_int_equal(strncmp(program.out, "700 ", 4), 0);
	assert_int_equal(strncmp(program.out + 4, runtime_dir, strlen(runtime_dir)), 0);
	program_free(&program);
}

static void run_dir__keep__left_and_its_path_said(void **state)
{
	struct program program;
	char parent[] = "/tmp/farbus-run-keep-XXXXXX", kept[128];

	(void)state;
	assert_non_null(mkdtemp(parent));
	run(&program,
	    RUN("-n", "1", "--run-dir", parent, "--keep", "sh", "-c", "echo > $FARBUS_RUN_DIR/x"),
	    "");
	assert_int_equal(program.code, 0);
	assert_int_equal(sscanf(program.err, "farbus-run: kept %100s\n", kept), 1);
	assert_int_equal(strncmp(kept, parent, strlen(parent)), 0);
	strcat(kept, "/x");
	assert_int_equal(unlink(kept), 0);
	*strrchr(kept, '/') = '\0';
	assert_int_equal(rmdir(kept), 0);
	assert_int_equal(rmdir(parent), 0);
	program_free(&program);
}

static void bind__core__each_rank_runs_where_it_says(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    RUN("-n", "1", "--bind", "core", "--report-bindings", "sh", "-c",
		"grep Cpus_allowed_list /proc/self/status"),
	    "");
	if (strstr(program.err, "hwloc"))
		skip(); /* a machine that hwloc cannot describe */
	assert_int_equal(program.code, 0);
	char *cpus = strstr(program.err, "(CPUs ");
	assert_non_null(cpus);
	cpus += strlen("(CPUs ");
	cpus[strcspn(cpus, ")")] = '\0';
	char *allowed = strchr(program.out, '\t');
	assert_non_null(allowed);
	allowed[strcspn(allowed, "\n")] = '\0';
	assert_string_equal(allowed + 1, cpus);
	program_free(&program);
}

/* What --dry-run says about the bindings of a machine that is only described. */
static void binding_expect(const char *machine, char *size, char *policy, const char *expected)
{
	struct program program;
	char bindings[1024] = "";

	setenv("HWLOC_SYNTHETIC", machine, 1);
	if (policy)
		run(&program, RUN("-n", size, "--bind", policy, "--dry-run", "x"), "");
	else
		run(&program, RUN("-n", size, "--dry-run", "x"), "");
	unsetenv("HWLOC_SYNTHETIC");
	assert_int_equal(program.code, 0);
	for (char *at = program.out; (at = strstr(at, ": ")); at = strchr(at, '\n')) {
		at += 2;
		strncat(bindings, at, strcspn(at, ":"));
		strcat(bindings, "; ");
	}
	assert_string_equal(bindings, expected);
	program_free(&program);
}

static void bind__described_machines__spread_over_sockets_then_cores(void **state)
{
	static const char two_sockets[] = "package:2 [numa(memory=1073741824)] core:4 pu:2";

	(void)state;
	binding_expect(two_sockets, "2", "core", "core 0 (CPUs 0-1); core 4 (CPUs 8-9); ");
	binding_expect(two_sockets, "3", "socket",
		       "socket 0 (CPUs 0-7); socket 0 (CPUs 0-7); socket 1 (CPUs 8-15); ");
	binding_expect(two_sockets, "2", "none", "not bound; not bound; ");
	binding_expect(two_sockets, "2", NULL, "core 0 (CPUs 0-1); core 4 (CPUs 8-9); ");
	binding_expect("package:1 core:2 pu:1", "3", NULL, "not bound; not bound; not bound; ");
	binding_expect("package:1 core:2 pu:1", "3", "core",
		       "core 0 (CPUs 0); core 0 (CPUs 0); core 1 (CPUs 1); ");
}

static void bind__cpu_that_is_not_there__refused_and_nothing_runs(void **state)
{
	(void)state;
	setenv("HWLOC_SYNTHETIC", "package:1 core:1 pu:1(indexes=1000)", 1);
	setenv("HWLOC_THISSYSTEM", "1", 1);
	refused(RUN("-n", "1", "--bind", "core", "echo", "ran"), 125,
		"cannot bind rank 0 to core 0");
	unsetenv("HWLOC_SYNTHETIC");
	unsetenv("HWLOC_THISSYSTEM");
}

static void dry_run__a_command__printed_and_not_run(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    RUN("-n", "2", "--dry-run", "--bind", "none", "-x", "A=b", "no-such-program", "arg"),
	    "");
	assert_int_equal(program.code, 0);
	assert_string_equal(program.out,
			    "set A=b\n"
			    "rank 0: not bound: PMI_RANK=0 PMI_SIZE=2 no-such-program arg\n"
			    "rank 1: not bound: PMI_RANK=1 PMI_SIZE=2 no-such-program arg\n");
	assert_string_equal(program.err, "");
	program_free(&program);
}

static void dry_run__words_with_blanks_and_quotes__as_a_shell_takes_them(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    RUN("-n", "1", "--dry-run", "--bind", "none", "-x", "A=b c", "prog", "a b", "it's", "",
		"$x", "--y=1,2/3"),
	    "");
	assert_int_equal(program.code, 0);
	assert_string_equal(
		program.out,
		"set 'A=b c'\n"
		"rank 0: not bound: PMI_RANK=0 PMI_SIZE=1 prog 'a b' 'it'\\''s' '' '$x' "
		"--y=1,2/3\n");
	program_free(&program);
}

static void help_and_version__asked__printed_with_0(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("--help"), "");
	assert_int_equal(program.code, 0);
	assert_non_null(strstr(program.out, "Usage: farbus-run"));
	program_free(&program);
	run(&program, RUN("--version"), "");
	assert_int_equal(program.code, 0);
	assert_int_equal(strncmp(program.out, "farbus-run ", 11), 0);
	program_free(&program);
}

static void options_of_the_program__after_its_name__not_ours(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "1", "echo", "--tag", "-n", "x"), "");
	assert_string_equal(program.out, "--tag -n x\n");
	program_free(&program);
}

static void options__bad__one_line_and_125(void **state)
{
	(void)state;
	refused(RUN("-n", "0", "true"), 125, "from 1 to 1024");
	refused(RUN("-n", "-4", "true"), 125, "from 1 to 1024");
	refused(RUN("-n", "1025", "true"), 125, "from 1 to 1024");
	refused(RUN("-n", "99999999999999999999", "true"), 125, "from 1 to 1024");
	refused(RUN("-n", "2x", "true"), 125, "from 1 to 1024");
	refused(RUN("-n", "", "true"), 125, "from 1 to 1024");
	refused(RUN("-n"), 125, "needs a value");
	refused(RUN("--timeout"), 125, "needs a value");
	refused(RUN("true"), 125, "number of ranks is missing");
	refused(RUN("-n", "2"), 125, "program is missing");
	refused(RUN("-n", "2", ""), 125, "name is empty");
	refused(RUN("-n", "2", "--tga", "true"), 125, "unknown or ambiguous option --tga");
	refused(RUN("-n", "2", "-q", "true"), 125, "unknown option -q");
	refused(RUN("-n", "2", "--timeout", "-1", "true"), 125, "--timeout -1: give seconds");
	refused(RUN("-n", "2", "--timeout", "nan", "true"), 125, "--timeout nan: give seconds");
	refused(RUN("-n", "2", "--timeout", "0", "true"), 125, "--timeout 0: give seconds");
	refused(RUN("-n", "2", "--bind", "numa", "true"), 125, "none, core or socket");
	refused(RUN("-n", "2", "--stdin", "1", "true"), 125, "0, none or all");
	refused(RUN("-n", "2", "-x", "=1", "true"), 125, "give a name");
	refused(RUN("-n", "2", "-x", "NO_SUCH_VARIABLE", "true"), 125, "not set here");
	refused(RUN("-n", "2", "--hosts", "a,b", "true"), 125, "this host only");
	refused(RUN("-n", "2", "--hostfile=f", "true"), 125, "this host only");
	refused(RUN("-n", "2", "-H", "a", "true"), 125, "this host only");
	refused(RUN("-n", "2", "--run-dir", "/no/such/place", "true"), 125,
		"--run-dir /no/such/place");
}

static void program__missing_or_not_executable__127_and_126(void **state)
{
	(void)state;
	refused(RUN("-n", "3", "./no-such-program"), 127, "cannot find ./no-such-program");
	refused(RUN("-n", "3", "no-such-program"), 127, "cannot find no-such-program");
	refused(RUN("-n", "3", "/etc/passwd"), 126, "cannot execute /etc/passwd");
	refused(RUN("-n", "3", "/tmp"), 126, "cannot execute /tmp");
	refused(RUN("-n", "3", "/etc/passwd/x"), 127, "cannot find /etc/passwd/x");
}

/* What was asked for was to print: a full disk is a failure, in one line. */
static void printing__disk_full__125_and_one_line(void **state)
{
	static char *const how[] = { "--help", "--version", "--dry-run -n 1 true" };

	(void)state;
	for (size_t i = 0; i < sizeof(how) / sizeof(how[0]); i++) {
		struct program program;
		char line[512];

		snprintf(line, sizeof(line), "%s %s >/dev/full", FARBUS_RUN, how[i]);
		program_start(&program, (char *[]){ "/bin/sh", "-c", line, NULL });
		program_wait(&program);
		assert_int_equal(program.code, 125);
		assert_string_equal(program.err,
				    "farbus-run: cannot write to stdout: No space left "
				    "on device\n");
		program_free(&program);
	}
}

/* A folder of PATH that may not be looked into is no program found; a file that is no program is. */
static void program__in_a_closed_folder_of_path__127_and_a_file_there_126(void **state)
{
	char folder[] = "/tmp/farbus-test-XXXXXX", file[64], path[64];
	char *before = strdup(getenv("PATH"));

	(void)state;
	assert_non_null(before);
	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/no-such-program", folder);
	close(open(file, O_CREAT | O_WRONLY, 0600));
	snprintf(path, sizeof(path), "/no/folder::%s", folder);
	setenv("PATH", path, 1);
	refused(RUN("-n", "2", "no-such-program"), 126, "cannot execute no-such-program");
	unlink(file);
	chmod(folder, 0); /* root is not kept out, and finds nothing there */
	refused(RUN("-n", "2", "no-such-program"), 127, "cannot find no-such-program");
	setenv("PATH", before, 1);
	free(before);
	rmdir(folder);
}

static void limits__too_few_descriptors__one_line_and_nothing_left(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    (char *[]){ "/bin/sh", "-c", "ulimit -n 40; " FARBUS_RUN " -n 64 " CLIENT " wait",
			NULL },
	    "");
	assert_int_equal(program.code, 125);
	assert_non_null(strstr(program.err, "raise the limits"));
	for (int i = 0; i < text_count(program.out, "pid "); i++)
		assert_true(process_gone(pid_find(program.out, i)));
	program_free(&program);
}

static void standard_descriptors__closed__the_job_runs(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    (char *[]){ "/bin/sh", "-c", FARBUS_RUN " -n 2 " CLIENT " fence <&- >&- 2>&-", NULL },
	    "");
	assert_int_equal(program.code, 0);
	program_free(&program);
}

static void nohup__hangup__ignored(void **state)
{
	struct program program;

	(void)state;
	program_start(&program,
		      (char *[]){ "/bin/sh", "-c",
				  "trap '' HUP; exec " FARBUS_RUN " -n 2 " CLIENT " signals",
				  NULL });
	program_expect(&program, "pid ", 2);
	kill(program.pid, SIGHUP);
	kill(program.pid, SIGUSR1);
	program_expect(&program, "signal USR1\n", 2);
	kill(program.pid, SIGTERM);
	program_wait(&program);
	assert_int_equal(program.code, 143);
	program_free(&program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tag__lines_and_a_last_one_without_newline__each_has_its_rank),
		cmocka_unit_test(timestamp__a_line__begins_with_date_and_time),
		cmocka_unit_test(output__one_rank_untagged__bytes_unchanged),
		cmocka_unit_test(output__one_rank_asks_without_newline__seen_before_it_ends),
		cmocka_unit_test(output__two_ranks_without_newline__not_on_one_line),
		cmocka_unit_test(
			output__a_hundred_thousand_lines_in_pieces__all_whole_and_in_order),
		cmocka_unit_test(output__line_longer_than_the_limit__all_bytes_arrive),
		cmocka_unit_test(output__reader_leaves__ranks_end_by_sigpipe),
		cmocka_unit_test(output__disk_full__one_line_and_125),
		cmocka_unit_test(stdin__each_policy__the_right_ranks_get_all_and_its_end),
		cmocka_unit_test(stdin__a_file__read_to_its_end),
		cmocka_unit_test(stdin__rank_does_not_read__job_ends_all_the_same),
		cmocka_unit_test(export__set_and_passed_on__ranks_have_them),
		cmocka_unit_test(run_dir__during_the_job__private_and_named_in_the_environment),
		cmocka_unit_test(run_dir__keep__left_and_its_path_said),
		cmocka_unit_test(bind__core__each_rank_runs_where_it_says),
		cmocka_unit_test(bind__described_machines__spread_over_sockets_then_cores),
		cmocka_unit_test(bind__cpu_that_is_not_there__refused_and_nothing_runs),
		cmocka_unit_test(dry_run__a_command__printed_and_not_run),
		cmocka_unit_test(dry_run__words_with_blanks_and_quotes__as_a_shell_takes_them),
		cmocka_unit_test(help_and_version__asked__printed_with_0),
		cmocka_unit_test(options_of_the_program__after_its_name__not_ours),
		cmocka_unit_test(options__bad__one_line_and_125),
		cmocka_unit_test(program__missing_or_not_executable__127_and_126),
		cmocka_unit_test(printing__disk_full__125_and_one_line),
		cmocka_unit_test(program__in_a_closed_folder_of_path__127_and_a_file_there_126),
		cmocka_unit_test(limits__too_few_descriptors__one_line_and_nothing_left),
		cmocka_unit_test(standard_descriptors__closed__the_job_runs),
		cmocka_unit_test(nohup__hangup__ignored),
	};

	return cmocka_run_group_tests(tests, run_environment_make, run_environment_remove);
}
