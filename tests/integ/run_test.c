/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run_test.c -- farbus-run from outside: ranks, the rules of the exit code, every way to end
 *
 * XDG_RUNTIME_DIR is a directory of the test's own, so that each test can see that nothing is left.
 */
#include "tests/integ/run_common.h"

#include <errno.h>
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

static void fence__four_ranks__everybody_gets_every_blob(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "4", CLIENT, "fence"), "");
	assert_string_equal(program.err, "");
	assert_int_equal(program.code, 0);
	assert_int_equal(text_count(program.out, "fenced pmi1 "), 4);
	assert_int_equal(text_count(program.out, "2/4 local 2/4\n"), 1);
	program_free(&program);
}

static void fence__sixty_four_ranks__everybody_gets_every_blob(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "64", CLIENT, "fence"), "");
	assert_string_equal(program.err, "");
	assert_int_equal(program.code, 0);
	assert_int_equal(text_count(program.out, "fenced pmi1 "), 64);
	program_free(&program);
}

static void fence__without_launcher__rank_0_of_1(void **state)
{
	struct program program;

	(void)state;
	run(&program, (char *[]){ CLIENT, "fence", NULL }, "");
	assert_int_equal(program.code, 0);
	assert_string_equal(program.out, "fenced single 0/1 local 0/1\n");
	program_free(&program);
}

static void open__twice_in_a_process__eexist_and_the_first_works(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "2", CLIENT, "twice"), "");
	assert_int_equal(program.code, 0);
	assert_int_equal(text_count(program.out, "second EEXIST: this process used"), 2);
	program_free(&program);
}

static void exit__one_rank_fails__its_code_and_the_others_are_ended(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    RUN("-n", "3", "sh", "-c", "test $PMI_RANK = 1 && exit 3; exec " CLIENT " wait"), "");
	assert_int_equal(program.code, 3);
	assert_non_null(strstr(program.err, "rank 1 (pid "));
	assert_non_null(strstr(program.err, "exited with code 3; ending the others"));
	assert_int_equal(text_count(program.err, "\n"), 1);
	program_free(&program);
}

static void exit__rank_ends_by_signal__128_plus_signal(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    RUN("-n", "2", "sh", "-c", "test $PMI_RANK = 1 && kill -9 $$; exec " CLIENT " wait"),
	    "");
	assert_int_equal(program.code, 137);
	assert_non_null(strstr(program.err, "ended by signal 9 (Killed)"));
	program_free(&program);
}

static void exit__keep_going__others_finish_and_the_first_code_stays(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    RUN("-n", "3", "--keep-going", "sh", "-c",
		"test $PMI_RANK = 1 && exit 5; read line; echo done"),
	    "");
	/* read fails at the end of input, echo does not */
	assert_int_equal(program.code, 5);
	assert_int_equal(text_count(program.out, "done\n"), 2);
	assert_non_null(strstr(program.err, "the others go on"));
	program_free(&program);
}

static void exit__failed_rank_and_one_that_ignores_term__killed_after_grace(void **state)
{
	struct program program;

	(void)state;
	program_start(&program, RUN("-n", "2", "--grace", "0.2", "--stdin", "all", "sh", "-c",
				    "test $PMI_RANK = 0 && exec " CLIENT " wait ignore; read x;"
				    "exit 4"));
	program_expect(&program, "pid ", 1);
	program_write(&program, "", 0);
	program_wait(&program);
	assert_int_equal(program.code, 4);
	assert_non_null(strstr(program.err, "1 ranks did not end: killing them"));
	assert_true(process_gone(pid_find(program.out, 0)));
	program_free(&program);
}

static void abort__one_rank__its_code(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "4", CLIENT, "abort", "2", "7"), "");
	assert_int_equal(program.code, 7);
	assert_non_null(strstr(program.err, "rank 2 aborts the job with code 7\n"));
	program_free(&program);
}

static void abort__code_without_low_bits__still_a_failure(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "2", CLIENT, "abort", "0", "256"), "");
	assert_int_equal(program.code, 1);
	program_free(&program);
}

static void fence__a_rank_left__ended_instead_of_waiting_for_ever(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "3", CLIENT, "leave", "1"), "");
	assert_int_equal(program.code, 1);
	assert_non_null(strstr(program.err, "rank 1 has left the job, but "));
	program_free(&program);
}

static void fence__a_rank_left_and_fails__its_words_and_its_code_count(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "3", CLIENT, "linger", "1", "7"), "");
	assert_int_equal(program.code, 7);
	assert_non_null(strstr(program.out, "last words"));
	assert_non_null(strstr(program.err, "rank 1 (pid "));
	program_free(&program);
}

static void fence__a_rank_left_and_does_not_end__ended_after_the_grace_time(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "3", "--grace", "0.2", CLIENT, "linger", "1", "0"), "");
	assert_int_equal(program.code, 1);
	assert_non_null(strstr(program.err, "rank 1 has left the job, but "));
	program_free(&program);
}

static void fence__a_rank_left_with_keep_going__the_fence_fails(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "3", "--keep-going", CLIENT, "leave", "1"), "");
	assert_int_equal(program.code, 0);
	assert_int_equal(text_count(program.out, "the launcher refused a fence: a_rank_has_ended"),
			 2);
	program_free(&program);
}

static void pmi__garbage__job_ended_with_125(void **state)
{
	static const char *const garbage[] = {
		"no such thing\n",
		"cmd=\n",
		"cmd=put kvsname=farbus key=a value=b\n",
		"cmd=spawn\n",
		"cmd=init pmi_version=1\ncmd=barrier_in\ncmd=barrier_in\n",
		"cmd=init pmi_version=1\ncmd=init pmi_version=1\n",
	};
	struct program program;

	(void)state;
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		run(&program, RUN("-n", "3", CLIENT, "raw", (char *)garbage[i]), "");
		assert_int_equal(program.code, 125);
		assert_non_null(strstr(program.err, "rank 0 broke the PMI-1 protocol"));
		program_free(&program);
	}
	run(&program, RUN("-n", "2", CLIENT, "flood"), "");
	assert_int_equal(program.code, 125);
	assert_non_null(strstr(program.err, "without a newline"));
	program_free(&program);
}

static void timeout__ranks_that_ignore_term__124(void **state)
{
	struct program program;

	(void)state;
	run(&program,
	    RUN("-n", "2", "--timeout", "0.5", "--grace", "0.2", CLIENT, "wait", "ignore"), "");
	assert_int_equal(program.code, 124);
	assert_non_null(strstr(program.err, "time limit of 0.5 s: ending 2 ranks"));
	program_free(&program);
}

static void timeout__not_reached__no_effect(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "2", "--timeout", "100", "true"), "");
	assert_int_equal(program.code, 0);
	assert_string_equal(program.err, "");
	program_free(&program);
}

static void interrupt__once__ranks_get_term(void **state)
{
	struct program program;

	(void)state;
	program_start(&program, RUN("-n", "2", CLIENT, "signals"));
	program_expect(&program, "pid ", 2);
	kill(program.pid, SIGINT);
	program_wait(&program);
	assert_int_equal(program.code, 130);
	assert_int_equal(text_count(program.out, "signal TERM\n"), 2);
	program_free(&program);
}

static void interrupt__twice__ranks_are_killed_now(void **state)
{
	struct program program;

	(void)state;
	program_start(&program, RUN("-n", "2", "--grace", "1000", CLIENT, "wait", "ignore"));
	program_expect(&program, "pid ", 2);
	kill(program.pid, SIGINT);
	/* Two pending SIGINT would be one. */
	program_expect_error(&program, "once more kills");
	kill(program.pid, SIGINT);
	program_wait(&program);
	assert_int_equal(program.code, 130);
	assert_true(process_gone(pid_find(program.out, 0)));
	assert_true(process_gone(pid_find(program.out, 1)));
	program_free(&program);
}

static void terminate__launcher__143(void **state)
{
	struct program program;

	(void)state;
	program_start(&program, RUN("-n", "2", CLIENT, "wait"));
	program_expect(&program, "pid ", 2);
	kill(program.pid, SIGTERM);
	program_wait(&program);
	assert_int_equal(program.code, 143);
	assert_int_equal(directory_entries(runtime_dir), 0);
	program_free(&program);
}

static void signals__usr1_usr2__forwarded(void **state)
{
	struct program program;

	(void)state;
	program_start(&program, RUN("-n", "3", CLIENT, "signals"));
	program_expect(&program, "pid ", 3);
	kill(program.pid, SIGUSR1);
	program_expect(&program, "signal USR1\n", 3);
	kill(program.pid, SIGUSR2);
	program_expect(&program, "signal USR2\n", 3);
	kill(program.pid, SIGTERM);
	program_wait(&program);
	program_free(&program);
}

/* The state letter of /proc/PID/stat. */
static char process_state(pid_t pid)
{
	char path[64], line[512] = "", *after;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return '-';
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	after = strrchr(line, ')');
	return after ? after[2] : '-';
}

static void state_wait(pid_t pid, char wanted)
{
	for (int i = 0; i < 20000; i++) {
		if (process_state(pid) == wanted)
			return;
		usleep(1000);
	}
	fail_msg("process %d is in state %c, not %c", (int)pid, process_state(pid), wanted);
}

static void signals__stop_and_continue__ranks_and_launcher_follow(void **state)
{
	struct program program;

	(void)state;
	program_start(&program, RUN("-n", "2", CLIENT, "signals"));
	program_expect(&program, "pid ", 2);
	kill(program.pid, SIGTSTP);
	state_wait(program.pid, 'T');
	state_wait(pid_find(program.out, 0), 'T');
	state_wait(pid_find(program.out, 1), 'T');
	kill(program.pid, SIGCONT);
	program_expect(&program, "signal CONT\n", 2);
	kill(program.pid, SIGTERM);
	program_wait(&program);
	assert_int_equal(program.code, 143);
	program_free(&program);
}

static void launcher__killed__no_process_and_no_directory_left(void **state)
{
	struct program program;

	(void)state;
	program_start(&program, RUN("-n", "3", CLIENT, "offspring"));
	program_expect(&program, "pid ", 6);
	assert_int_equal(directory_entries(runtime_dir), 1);
	kill(program.pid, SIGKILL);
	program_wait(&program); /* the end of its output: nobody holds it open any more */
	assert_int_equal(program.code, 137);
	for (int i = 0; i < 6; i++)
		assert_true(process_gone(pid_find(program.out, i)));
	for (int i = 0; i < 20000 && directory_entries(runtime_dir) > 0; i++)
		usleep(1000);
	assert_int_equal(directory_entries(runtime_dir), 0);
	program_free(&program);
}

static void ranks__leave_a_process_behind__it_is_ended_with_them(void **state)
{
	struct program program;

	(void)state;
	run(&program, RUN("-n", "2", CLIENT, "offspring", "and leave"), "");
	assert_int_equal(program.code, 0);
	assert_true(process_gone(pid_find(program.out, 0)));
	assert_true(process_gone(pid_find(program.out, 1)));
	program_free(&program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fence__four_ranks__everybody_gets_every_blob),
		cmocka_unit_test(fence__sixty_four_ranks__everybody_gets_every_blob),
		cmocka_unit_test(fence__without_launcher__rank_0_of_1),
		cmocka_unit_test(open__twice_in_a_process__eexist_and_the_first_works),
		cmocka_unit_test(exit__one_rank_fails__its_code_and_the_others_are_ended),
		cmocka_unit_test(exit__rank_ends_by_signal__128_plus_signal),
		cmocka_unit_test(exit__keep_going__others_finish_and_the_first_code_stays),
		cmocka_unit_test(exit__failed_rank_and_one_that_ignores_term__killed_after_grace),
		cmocka_unit_test(abort__one_rank__its_code),
		cmocka_unit_test(abort__code_without_low_bits__still_a_failure),
		cmocka_unit_test(fence__a_rank_left__ended_instead_of_waiting_for_ever),
		cmocka_unit_test(fence__a_rank_left_and_fails__its_words_and_its_code_count),
		cmocka_unit_test(fence__a_rank_left_and_does_not_end__ended_after_the_grace_time),
		cmocka_unit_test(fence__a_rank_left_with_keep_going__the_fence_fails),
		cmocka_unit_test(pmi__garbage__job_ended_with_125),
		cmocka_unit_test(timeout__ranks_that_ignore_term__124),
		cmocka_unit_test(timeout__not_reached__no_effect),
		cmocka_unit_test(interrupt__once__ranks_get_term),
		cmocka_unit_test(interrupt__twice__ranks_are_killed_now),
		cmocka_unit_test(terminate__launcher__143),
		cmocka_unit_test(signals__usr1_usr2__forwarded),
		cmocka_unit_test(signals__stop_and_continue__ranks_and_launcher_follow),
		cmocka_unit_test(launcher__killed__no_process_and_no_directory_left),
		cmocka_unit_test(ranks__leave_a_process_behind__it_is_ended_with_them),
	};

	return cmocka_run_group_tests(tests, run_environment_make, run_environment_remove);
}
