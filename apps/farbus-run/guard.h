/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guard.h -- a small process that cleans up when the launcher is killed
 *
 * The kernel kills the ranks then (PR_SET_PDEATHSIG), but not what they started, and nobody
 * removes the job's directory. The guard notices by the end of a pipe.
 * Threads: owner thread.
 */
#ifndef APPS_FARBUS_RUN_GUARD_H
#define APPS_FARBUS_RUN_GUARD_H

#include <stdint.h>
#include <sys/types.h>

struct guard;

/* run_dir NULL: nothing to remove. Errors: with the text in error_text(). */
int guard_open(const char *run_dir, struct guard **ret_guard);
/* The process group of a rank; 0 when it has ended and was swept. */
void guard_note(struct guard *guard, uint32_t rank, pid_t group);
/* All is well: the guard ends without doing anything. Takes NULL. */
void guard_close(struct guard *guard);

#endif
