/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * job.h -- runs the ranks of one job to their end
 *
 * Threads: owner thread.
 */
#ifndef APPS_FARBUS_RUN_JOB_H
#define APPS_FARBUS_RUN_JOB_H

#include "apps/farbus-run/bind.h"
#include "apps/farbus-run/child.h"
#include "apps/farbus-run/environment.h"
#include "apps/farbus-run/guard.h"
#include "apps/farbus-run/options.h"

struct job_conf {
	const struct options *options;
	const struct bind *bind;
	struct environment *environment;
	struct guard *guard;
	const struct child_origin *origin;
	const sigset_t *signals; /* blocked already */
};

/*
 * Everything in conf is borrowed until it returns. Returns the exit code; all that is worth a line
 * was said on stderr.
 */
int job_run(const struct job_conf *conf);

#endif
