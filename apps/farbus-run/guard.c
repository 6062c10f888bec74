/* SPDX-License-Identifier: BSD-3-Clause */
/* guard.c -- a small process that cleans up when the launcher is killed */
#include "apps/farbus-run/guard.h"

#include "apps/farbus-run/options.h"
#include "apps/farbus-run/rundir.h"
#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Shared by both. Ordering: the launcher stores with release, the guard loads with acquire; the
 * end of the pipe comes after the launcher's last store anyway.
 */
struct table {
	_Atomic pid_t group[RUN_RANK_MAX];
};

struct guard {
	struct table *table; /* owned mapping */
	pid_t pid;
	int pipe; /* owned; its end is what the guard waits for */
};

static void sweep(const struct table *table, const char *run_dir)
{
	for (size_t i = 0; i < RUN_RANK_MAX; i++) {
		pid_t group = atomic_load_explicit(&table->group[i], memory_order_acquire);

		if (group > 1)
			kill(-group, SIGKILL);
	}
	if (run_dir)
		(void)rundir_remove(run_dir);
}

/* Keeps no descriptor of the launcher's: a reader of its output must see the end. */
static void descriptors_drop(int pipe)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
	if (dup2(pipe, 3) < 0)
		_exit(1);
	close_range(4, ~0u, 0);
}

static void __attribute__((noreturn))
guard_main(const struct table *table, const char *run_dir, int pipe)
{
	sigset_t all;
	char byte;
	ssize_t n;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	setpgid(0, 0);
	prctl(PR_SET_NAME, "farbus-run-grd");
	descriptors_drop(pipe);
	do
		n = read(3, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		sweep(table, run_dir);
	_exit(0);
}

static int guard_start(struct guard *guard, const char *run_dir)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	guard->pid = fork();
	if (guard->pid < 0) {
		int err = -errno;

		close(fd[0]);
		close(fd[1]);
		return err;
	}
	if (guard->pid == 0) {
		close(fd[1]);
		guard_main(guard->table, run_dir, fd[0]);
	}
	close(fd[0]);
	guard->pipe = fd[1];
	return 0;
}

int guard_open(const char *run_dir, struct guard **ret_guard)
{
	struct guard *guard = alloc_zero(sizeof(*guard));
	int err = -ENOMEM;

	if (!guard)
		return error_set(err, "no memory for the launcher's guard");
	guard->table = mmap(NULL, sizeof(*guard->table), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (guard->table == MAP_FAILED) {
		err = -errno;
		goto free_guard;
	}
	err = guard_start(guard, run_dir);
	if (err < 0)
		goto unmap_table;
	*ret_guard = guard;
	return 0;

unmap_table:
	munmap(guard->table, sizeof(*guard->table));
free_guard:
	free(guard);
	return error_set(err,
			 "cannot start the launcher's guard: %s; raise the limits of "
			 "processes and open files (ulimit -u, -n)",
			 strerror(-err));
}

void guard_note(struct guard *guard, uint32_t rank, pid_t group)
{
	atomic_store_explicit(&guard->table->group[rank], group, memory_order_release);
}

void guard_close(struct guard *guard)
{
	if (!guard)
		return;
	/* EPIPE: somebody killed the guard; there is nothing left to tell it. */
	(void)!write(guard->pipe, "", 1);
	close(guard->pipe);
	while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
		;
	munmap(guard->table, sizeof(*guard->table));
	free(guard);
}
