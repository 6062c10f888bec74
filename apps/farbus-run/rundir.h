/* SPDX-License-Identifier: BSD-3-Clause */
/* rundir.h -- the job's own directory, where ranks keep their counter files */
#ifndef APPS_FARBUS_RUN_RUNDIR_H
#define APPS_FARBUS_RUN_RUNDIR_H

#include <stddef.h>

#define RUNDIR_PATH_MAX 256 /* what FARBUS_RUN_DIR may have, with its NUL */

/*
 * Makes farbus-XXXXXX, mode 0700, in parent, or with NULL in the first of XDG_RUNTIME_DIR,
 * /run/user/UID, TMPDIR and /tmp that takes it. Errors: with the text in error_text().
 */
int rundir_create(const char *parent, char ret_path[RUNDIR_PATH_MAX]);

/* The directory and all that ranks left in it. Follows no link. Errors: those of unlink(). */
int rundir_remove(const char *path);

#endif
