/* SPDX-License-Identifier: BSD-3-Clause */
/* rundir.c -- the job's own directory, where ranks keep their counter files */
#include "apps/farbus-run/rundir.h"

#include "base/error.h"
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REMOVE_FD_MAX 16

static int create_in(const char *parent, char ret_path[RUNDIR_PATH_MAX])
{
	char path[RUNDIR_PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/farbus-XXXXXX", parent);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	if (!mkdtemp(path)) /* mode 0700 */
		return -errno;
	strcpy(ret_path, path);
	return 0;
}

/* Ranks may change their working directory: a relative parent would mean another place there. */
static int create_asked(const char *parent, char ret_path[RUNDIR_PATH_MAX])
{
	char *absolute = realpath(parent, NULL);
	int err = absolute ? create_in(absolute, ret_path) : -errno;

	free(absolute);
	if (err < 0)
		return error_set(err,
				 "--run-dir %.80s: cannot make a directory there: %s; give an "
				 "existing directory that you may write",
				 parent, strerror(-err));
	return 0;
}

int rundir_create(const char *parent, char ret_path[RUNDIR_PATH_MAX])
{
	char run_user[64];
	const char *candidate[] = { getenv("XDG_RUNTIME_DIR"), run_user, getenv("TMPDIR"), "/tmp" };
	int err = -ENOENT;

	if (parent)
		return create_asked(parent, ret_path);
	snprintf(run_user, sizeof(run_user), "/run/user/%u", (unsigned int)getuid());
	for (size_t i = 0; i < sizeof(candidate) / sizeof(candidate[0]); i++) {
		if (!candidate[i] || candidate[i][0] != '/')
			continue;
		err = create_in(candidate[i], ret_path);
		if (err == 0)
			return 0;
	}
	return error_set(err,
			 "cannot make the job's directory in XDG_RUNTIME_DIR, /run/user, "
			 "TMPDIR or /tmp: %s; give --run-dir",
			 strerror(-err));
}

static int entry_remove(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path) < 0 && errno != ENOENT ? -errno : 0;
}

int rundir_remove(const char *path)
{
	int err = nftw(path, entry_remove, REMOVE_FD_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

	return err == -1 ? -errno : err;
}
