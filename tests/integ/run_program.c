/* SPDX-License-Identifier: BSD-3-Clause */
/* run_program.c -- starts a program with pipes and collects what it prints, within a bound */
#include "tests/integ/run_program.h"

#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BOUND_NS (60 * NS_PER_S)
#define GONE_NS (20 * NS_PER_S)

static void pipe_make(int fd[2])
{
	assert_return_code(pipe2(fd, O_CLOEXEC), errno);
}

void program_start(struct program *program, char *const argv[])
{
	int input[2], output[2], error[2];

	*program = (struct program){ .input = -1 };
	pipe_make(input);
	pipe_make(output);
	pipe_make(error);
	program->out = calloc(1, 1);
	program->err = calloc(1, 1);
	program->pid = fork();
	assert_return_code(program->pid, errno);
	if (program->pid == 0) {
		dup2(input[0], 0);
		dup2(output[1], 1);
		dup2(error[1], 2);
		signal(SIGPIPE, SIG_DFL); /* program_write() ignores it */
		execv(argv[0], argv);
		_exit(95);
	}
	close(input[0]);
	close(output[1]);
	close(error[1]);
	program->input = input[1];
	program->output = output[0];
	program->error = error[0];
}

static void give_up(struct program *program, const char *what)
{
	kill(program->pid, SIGKILL);
	waitpid(program->pid, NULL, 0);
	fail_msg("%s; stdout \"%.400s\", stderr \"%.400s\"", what, program->out, program->err);
}

static void take(int *fd, char **text, size_t *len)
{
	char data[65536];
	ssize_t n = read(*fd, data, sizeof(data));

	if (n <= 0) {
		close(*fd);
		*fd = -1;
		return;
	}
	*text = realloc(*text, *len + (size_t)n + 1);
	assert_non_null(*text);
	memcpy(*text + *len, data, (size_t)n);
	*len += (size_t)n;
	(*text)[*len] = '\0';
}

/* Waits for some output, or for the end of both. */
static void collect(struct program *program, uint64_t deadline)
{
	struct pollfd fd[] = { { .fd = program->output, .events = POLLIN },
			       { .fd = program->error, .events = POLLIN } };

	if (clock_now_ns() > deadline)
		give_up(program, "it takes too long");
	if (poll(fd, 2, 100) <= 0)
		return;
	if (fd[0].revents)
		take(&program->output, &program->out, &program->out_len);
	if (fd[1].revents)
		take(&program->error, &program->err, &program->err_len);
}

void program_write(struct program *program, const char *data, size_t len)
{
	signal(SIGPIPE, SIG_IGN);
	while (len > 0) {
		ssize_t n = write(program->input, data, len);

		if (n < 0)
			break;
		data += n;
		len -= (size_t)n;
	}
	close(program->input);
	program->input = -1;
}

void program_expect(struct program *program, const char *text, int count)
{
	uint64_t deadline = clock_now_ns() + BOUND_NS;

	while (text_count(program->out, text) < count) {
		if (program->output < 0)
			give_up(program, "it ended before it said so");
		collect(program, deadline);
	}
}

void program_expect_error(struct program *program, const char *text)
{
	uint64_t deadline = clock_now_ns() + BOUND_NS;

	while (!strstr(program->err, text)) {
		if (program->error < 0)
			give_up(program, "it ended before it said so");
		collect(program, deadline);
	}
}

void program_wait(struct program *program)
{
	uint64_t deadline = clock_now_ns() + BOUND_NS;
	int status = 0;

	if (program->input >= 0)
		close(program->input);
	program->input = -1;
	while (program->output >= 0 || program->error >= 0)
		collect(program, deadline);
	assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
	program->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void program_free(struct program *program)
{
	free(program->out);
	free(program->err);
}

int text_count(const char *in, const char *text)
{
	int count = 0;

	/* Not strstr(): sanitizers make it read to the end each time. */
	for (size_t len = strlen(text); *in; in++)
		count += strncmp(in, text, len) == 0;
	return count;
}

bool process_gone(pid_t pid)
{
	uint64_t deadline = clock_now_ns() + GONE_NS;

	/* The test is the subreaper: what lost its parent is its child. */
	while (kill(pid, 0) == 0) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return true;
		if (clock_now_ns() > deadline)
			return false;
		poll(NULL, 0, 1);
	}
	return errno == ESRCH;
}
