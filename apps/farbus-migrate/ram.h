/* SPDX-License-Identifier: BSD-3-Clause */
/* ram.h -- the files behind the RAM of a guest of QEMU */
#ifndef APPS_FARBUS_MIGRATE_RAM_H
#define APPS_FARBUS_MIGRATE_RAM_H

#include "apps/farbus-migrate/options.h"
#include "apps/farbus-migrate/qmp.h"
#include <stddef.h>

#define RAM_NAME_MAX 64 /* bytes of a memory backend's name, with its NUL */

struct ram {
	char name[RAM_NAME_MAX];
	uint64_t len;
	int fd; /* owned; -1: private memory */
	uint64_t dev, ino;
	bool zero; /* a file without a byte of data */
};

/*
 * All memory backends of QEMU, with the files of those that are shared. At most OPTIONS_RAM_MAX.
 * Errors: -ENOENT a file that --ram names cannot be opened, -ERANGE it is no size that fits; as QMP.
 */
int ram_find(struct qmp *qmp, const struct options *options, struct ram *ret_ram,
	     uint32_t *ret_count);
void ram_close(struct ram *ram, uint32_t count);

#endif
