/* SPDX-License-Identifier: BSD-3-Clause */
/* migrate.h -- the two ends of a move, and what their exit codes say */
#ifndef APPS_FARBUS_MIGRATE_MIGRATE_H
#define APPS_FARBUS_MIGRATE_MIGRATE_H

#include "apps/farbus-migrate/options.h"
#include "apps/farbus-migrate/qmp.h"

#define MIGRATE_TOOL "farbus-migrate"
#define MIGRATE_COMMIT_MS 30000 /* for each step at the end of a move */

enum {
	MIGRATE_EXIT_MOVED = 0,	 /* it runs at dest */
	MIGRATE_EXIT_STAYED = 1, /* it was not moved */
	MIGRATE_EXIT_USAGE = 2,
	MIGRATE_EXIT_UNKNOWN = 3, /* paused on both sides, or the other side has to be asked */
};

/* Each returns an exit code, and complains itself. */
int source_run(const struct options *options);
int dest_run(const struct options *options);
int resume_run(const struct options *options);

/* A descriptor that is readable when SIGINT or SIGTERM came; they are blocked from now on. */
int signals_open(void);

/* "unix:" and a socket in a new folder of ours, under way from QEMU; the folder is dir. */
int socket_dir(char *ret_dir, size_t size);

int capability_set(struct qmp *qmp, const char *name, bool on);
int all_write(int fd, const void *data, size_t len);

#endif
