/* SPDX-License-Identifier: BSD-3-Clause */
/* run_common.c -- what the tests of farbus-run share: a private XDG_RUNTIME_DIR, and short calls */
#include "tests/integ/run_common.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

char runtime_dir[] = "/tmp/farbus-run-test-XXXXXX";

int directory_entries(const char *path)
{
	DIR *dir = opendir(path);
	int count = 0;

	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

/* Runs it to its end with this standard input. */
void run(struct program *program, char **argv, const char *input)
{
	program_start(program, argv);
	program_write(program, input, strlen(input));
	program_wait(program);
	assert_int_equal(directory_entries(runtime_dir), 0);
}

/* One line on stderr, with this in it, and nothing on stdout. */
void refused(char **argv, int code, const char *text)
{
	struct program program;

	run(&program, argv, "");
	assert_int_equal(program.code, code);
	assert_int_equal(text_count(program.err, "\n"), 1);
	assert_int_equal(strncmp(program.err, "farbus-run: ", 12), 0);
	if (!strstr(program.err, text))
		fail_msg("\"%s\" is not in \"%s\"", text, program.err);
	assert_string_equal(program.out, "");
	program_free(&program);
}

/* The n-th "pid NUMBER" in a text. */
pid_t pid_find(const char *text, int n)
{
	for (int i = 0; i <= n; i++) {
		text = strstr(text, "pid ");
		assert_non_null(text);
		text += 4;
	}
	return atoi(text);
}

int run_environment_make(void **state)
{
	(void)state;
	/* Orphans of a killed launcher become ours, so that we can see them end. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!mkdtemp(runtime_dir))
		return -1;
	unsetenv("PMI_FD");
	unsetenv("FARBUS_BOOT");
	unsetenv("FARBUS_RUN_DIR");
	return setenv("XDG_RUNTIME_DIR", runtime_dir, 1);
}

int run_environment_remove(void **state)
{
	(void)state;
	return rmdir(runtime_dir);
}
