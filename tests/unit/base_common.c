/* SPDX-License-Identifier: BSD-3-Clause */
/* base_common.c -- what the tests of base/ share: cases that need a process of their own */
#include "base_common.h"

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
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS_MAX 60

void check_failed(const char *what, const char *file, int line)
{
	dprintf(STDERR_FILENO, "%s:%d: does not hold: %s (errno %d)\n", file, line, what, errno);
	_exit(1);
}

static void text_read(int fd, struct child *child)
{
	ssize_t n = pread(fd, child->text, sizeof(child->text) - 1, 0);

	assert_true(n >= 0);
	child->text[n] = '\0';
}

void child_run(void (*run)(void *arg), void *arg, struct child *ret_child)
{
	int fd = memfd_create("stderr", MFD_CLOEXEC);
	pid_t pid;

	/* Appending, as threads of the child write at the same time. */
	assert_true(fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) == 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(CHILD_SECONDS_MAX);
		if (dup2(fd, STDERR_FILENO) < 0)
			_exit(1);
		run(arg);
		exit(0); /* not _exit(): leaks are looked for, lines are counted */
	}
	assert_int_equal(waitpid(pid, &ret_child->status, 0), pid);
	text_read(fd, ret_child);
	close(fd);
}

void child_passes(void (*run)(void *arg), void *arg)
{
	struct child *child = malloc(sizeof(*child));
	int status;

	assert_non_null(child);
	child_run(run, arg, child);
	status = child->status;
	if (status != 0)
		print_error("%s", child->text);
	free(child);
	assert_int_equal(status, 0);
}

int text_times(const char *text, const char *needle)
{
	int times = 0;

	for (const char *at = strstr(text, needle); at; at = strstr(at + 1, needle))
		times++;
	return times;
}
