/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * target.h -- what farbus-stat is pointed at, as open counter files
 *
 * A target stays open while we run: the counts of a process that ended meanwhile can still be
 * read, wherever its file is.
 */
#ifndef APPS_FARBUS_STAT_TARGET_H
#define APPS_FARBUS_STAT_TARGET_H

#include "apps/farbus-stat/counterfile.h"
#include <stdbool.h>

#define TARGET_MAX 4096

enum target_state { TARGET_DEAD, TARGET_LIVE, TARGET_UNKNOWN };

struct target {
	char *name;		 /* owned */
	int fd;			 /* owned */
	enum target_state state; /* at the last target_read() */
	struct counterfile file;
};

struct targets {
	struct target **target; /* owned */
	size_t count, room;
};

/*
 * A PID (its live process page, or else the file of a dead process in the run directories), a
 * directory with counters.PID files, or a file.
 * Errors: -ENOENT, -EACCES, -EIO, -EPROTO, -EAGAIN, -ENOSPC, -ENOMEM; what was found before stays.
 */
int targets_add(struct targets *targets, const char *argument);

/*
 * Everything of this user: all counter files in the run directories, then live processes that
 * have none. Files that cannot be read are left out, with complaint() for each,
 * but for those that are just coming or going.
 */
void targets_add_all(struct targets *targets, void (*complaint)(void));

/* Reads the counters now. The state is found out before: the counts of a dead one are final. */
int target_read(struct target *target);

void targets_free(struct targets *targets);

#endif
