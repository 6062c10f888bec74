/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * single.h -- the source without a launcher: rank 0 of 1, blobs kept in this process
 *
 * Threads and errors: as in boot.h.
 */
#ifndef RUNTIME_BOOT_SINGLE_H
#define RUNTIME_BOOT_SINGLE_H

#include "runtime/boot/boot.h"

#define SINGLE_BLOB_MAX 256

struct single;

int single_open(struct single **ret_single, struct boot_info *ret_info);
int single_put(struct single *single, const char *key, const void *value, size_t len);
int single_get(struct single *single, const char *key, void *ret_value, size_t size,
	       size_t *ret_len);
void single_close(struct single *single); /* takes NULL */

#endif
