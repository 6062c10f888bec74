/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_store.h -- the blobs of a job that rank 0 keeps
 *
 * Bounded: TCP_BLOB_MAX blobs per rank. Threads: one thread at a time.
 */
#ifndef RUNTIME_BOOT_TCP_STORE_H
#define RUNTIME_BOOT_TCP_STORE_H

#include "runtime/boot/boot.h"

#define TCP_BLOB_MAX 16 /* blobs of a rank, on average over the job */

struct tcp_store;

/* Errors: -ENOMEM. */
int tcp_store_new(uint32_t size, struct tcp_store **ret_store);
void tcp_store_free(struct tcp_store *store); /* takes NULL */
/* Replaces. key and len are in bounds. Errors: -ENOSPC, -ENOMEM; no text. */
int tcp_store_put(struct tcp_store *store, const char *key, const void *value, size_t len);
/* Errors: -ENOENT; no text. Ownership: *ret_value is borrowed until the next put. */
int tcp_store_get(const struct tcp_store *store, const char *key, const void **ret_value,
		  size_t *ret_len);

#endif
