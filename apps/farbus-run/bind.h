/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bind.h -- which CPUs each rank gets
 *
 * A decision only; the child binds itself. Threads: owner thread.
 */
#ifndef APPS_FARBUS_RUN_BIND_H
#define APPS_FARBUS_RUN_BIND_H

#include "apps/farbus-run/options.h"

#define BIND_TEXT_MAX 96

struct bind_place {
	unsigned long *mask; /* owned, for sched_setaffinity; NULL: not bound */
	size_t mask_len;     /* bytes */
	char text[BIND_TEXT_MAX];
};

struct bind {
	uint32_t size;
	struct bind_place *place; /* owned, one per rank */
};

/*
 * BIND_AUTO asks for the topology only when the ranks fit on the CPUs this process may use.
 * Errors: -ENOMEM, -ENOENT no such object in this machine, and those of hwloc.
 */
int bind_new(enum bind_policy policy, uint32_t size, struct bind **ret_bind);
void bind_free(struct bind *bind);

#endif
