/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * child.c -- starts one rank
 *
 * vfork: the child borrows the launcher's memory until it is the program, so that starting costs
 * the same however much the launcher has mapped, and a failure is written where the parent reads it.
 * posix_spawn() has no parent-death signal and no CPU binding.
 */
#include "apps/farbus-run/child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
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

static void __attribute__((noreturn))
child_run(const struct child_conf *conf, pid_t launcher, volatile struct failure *failure)
{
	failure->step = CHILD_SETUP;
	failure->err = setup(conf, launcher);
	if (failure->err < 0)
		_exit(0);
	failure->step = CHILD_BIND;
	/* The raw call: the library's takes no mask longer than its own type. */
	if (conf->mask && syscall(SYS_sched_setaffinity, 0, conf->mask_len, conf->mask) < 0) {
		failure->err = -errno;
		_exit(0);
	}
	failure->step = CHILD_EXEC;
	execvpe(conf->argv[0], conf->argv, conf->envp);
	failure->err = -errno;
	_exit(0);
}

int child_start(const struct child_conf *conf, pid_t *ret_pid, enum child_step *ret_step)
{
	volatile struct failure failure = { 0, CHILD_FORK };
	pid_t launcher = getpid();
	pid_t pid = vfork();

	if (pid == 0)
		child_run(conf, launcher, &failure);
	if (pid < 0) {
		*ret_step = CHILD_FORK;
		return -errno;
	}
	if (failure.err < 0) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		*ret_step = failure.step;
		return failure.err;
	}
	*ret_pid = pid;
	return 0;
}
