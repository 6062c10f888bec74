/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * child.c -- starts one rank
 *
 * vfork: the child borrows the launcher's memory until it is the program, so that starting costs
 * the same however much the launcher has mapped. A failure comes through a pipe that exec closes,
 * not through that memory: what runs under ThreadSanitizer or an emulator gets a plain fork.
 * posix_spawn() has no parent-death signal and no CPU binding.
 */
#include "apps/farbus-run/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct failure {
	int err; /* 0: none */
	enum child_step step;
};

static int setup(const struct child_conf *conf, pid_t launcher)
{
	const struct child_origin *origin = conf->origin;

	if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	if (getppid() != launcher)
		_exit(0); /* it died before the line above could notice */
	if (dup2(conf->input, 0) < 0 || dup2(conf->output, 1) < 0 || dup2(conf->error, 2) < 0)
		return -errno;
	if (fcntl(conf->pmi, F_SETFD, 0) < 0)
		return -errno;
	if (setrlimit(RLIMIT_NOFILE, &origin->files) < 0 ||
	    sigaction(SIGPIPE, &origin->pipe, NULL) < 0 ||
	    sigaction(SIGTTIN, &origin->ttin, NULL) < 0 ||
	    sigaction(SIGTTOU, &origin->ttou, NULL) < 0 ||
	    sigprocmask(SIG_SETMASK, &origin->mask, NULL) < 0)
		return -errno;
	return 0;
}

static void __attribute__((noreturn)) child_fail(int report, enum child_step step, int err)
{
	const struct failure failure = { err, step };

	/* Too short to be split, into an empty pipe: it fits. */
	if (write(report, &failure, sizeof(failure)) != (ssize_t)sizeof(failure))
		_exit(1);
	_exit(0);
}

static void __attribute__((noreturn))
child_run(const struct child_conf *conf, pid_t launcher, int report)
{
	int err = setup(conf, launcher);

	if (err < 0)
		child_fail(report, CHILD_SETUP, err);
	/* The raw call: the library's takes no mask longer than its own type. */
	if (conf->mask && syscall(SYS_sched_setaffinity, 0, conf->mask_len, conf->mask) < 0)
		child_fail(report, CHILD_BIND, -errno);
	execvpe(conf->argv[0], conf->argv, conf->envp);
	child_fail(report, CHILD_EXEC, -errno);
}

/* Waits until the child is the program (the pipe closes without a word) or says why it is not. */
static void failure_read(int report, struct failure *ret_failure)
{
	ssize_t n;

	do {
		n = read(report, ret_failure, sizeof(*ret_failure));
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*ret_failure))
		*ret_failure = (struct failure){ 0, CHILD_FORK };
}

/*
 * execvp() says EACCES when a folder of PATH may not be looked into and no other has the program:
 * a user has such folders, and did not find the program.
 */
static int exec_error(const char *program, int err)
{
	const char *path = getenv("PATH");

	if (err != -EACCES || strchr(program, '/') || !path)
		return err;
	while (*path) {
		size_t len = strcspn(path, ":");
		char file[PATH_MAX];

		snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, program);
		if (access(file, F_OK) == 0)
			return err;
		path += len + (path[len] == ':');
	}
	return -ENOENT;
}

int child_start(const struct child_conf *conf, pid_t *ret_pid, enum child_step *ret_step)
{
	struct failure failure = { 0, CHILD_FORK };
	pid_t launcher = getpid(), pid;
	int report[2], err;

	*ret_step = CHILD_FORK;
	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid = vfork();
	if (pid == 0)
		child_run(conf, launcher, report[1]);
	err = pid < 0 ? -errno : 0;
	close(report[1]);
	if (err == 0)
		failure_read(report[0], &failure);
	close(report[0]);
	if (err < 0)
		return err;
	if (failure.err < 0) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		*ret_step = failure.step;
		return failure.step == CHILD_EXEC ? exec_error(conf->argv[0], failure.err) :
						    failure.err;
	}
	*ret_pid = pid;
	return 0;
}
