/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * live.h -- which instances of this host say that they are alive
 *
 * An instance listens on the abstract unix socket "farbus-info.PID.INSTANCE" (runtime/info.c).
 * The kernel's list has the names of all users; a name proves nothing until the kernel names the
 * peer of a connection.
 */
#ifndef APPS_COMMON_LIVE_H
#define APPS_COMMON_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LIVE_MAX 65536 /* names; what is past that is left out */

struct live {
	pid_t pid;
	uint32_t instance;
};

/* A line of /proc/net/unix. False: it is not a listening socket with such a name. */
bool live_line_parse(const char *line, struct live *ret_live);

/*
 * All of this network namespace, sorted by pid and instance, from a file like /proc/net/unix.
 * Ownership: the caller frees *ret_list. Errors: -ENOENT the file cannot be read, -ENOMEM.
 */
int live_list(const char *path, struct live **ret_list, size_t *ret_count);

#endif
