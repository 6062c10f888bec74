/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * child.h -- starts one rank
 *
 * Threads: only while no other thread runs in this process (vfork shares its memory).
 */
#ifndef APPS_FARBUS_RUN_CHILD_H
#define APPS_FARBUS_RUN_CHILD_H

#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What the launcher changed for itself and a rank must not inherit. */
struct child_origin {
	sigset_t mask;
	struct sigaction pipe, ttin, ttou;
	struct rlimit files;
};

struct child_conf {
	char **argv, **envp;
	int input, output, error;  /* become 0, 1, 2; all above 2 */
	int pmi;		   /* stays open under this number */
	const unsigned long *mask; /* NULL: not bound */
	size_t mask_len;
	const struct child_origin *origin;
};

enum child_step { CHILD_FORK, CHILD_SETUP, CHILD_BIND, CHILD_EXEC };

/*
 * Own process group, killed when the launcher dies. Returns 0 with ret_pid, or the negative errno
 * of the step that failed; then there is no child.
 */
int child_start(const struct child_conf *conf, pid_t *ret_pid, enum child_step *ret_step);

#endif
