/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * boot.h -- what the runtime needs from a launcher: rank, size, small blobs, fence, abort
 *
 * Sources, tried in order unless FARBUS_BOOT forces one: pmi1 (PMI_FD: PMI-1 wire protocol, no
 * library; farbus-run, Hydra and srun --mpi=pmi2 speak it), tcp (FARBUS_JOIN: unrelated processes
 * that meet at an address), single (rank 0 of 1).
 * Threads: one thread at a time. Every call is bounded by timeout_ns.
 */
#ifndef RUNTIME_BOOT_BOOT_H
#define RUNTIME_BOOT_BOOT_H

#include "base/config.h"
#include <stddef.h>
#include <stdint.h>

#define BOOT_KEY_MAX 64
#define BOOT_VALUE_MAX 511 /* bytes of a blob: as hex and with its NUL, PMI-1's 1024 */

struct boot;

struct boot_info {
	const char *source; /* "pmi1", "tcp", "single" */
	uint32_t rank, size;
	uint32_t local_rank, local_size;
};

/*
 * Errors: -EPROTO the launcher answers something else, -ETIMEDOUT, -EINVAL FARBUS_BOOT names no
 * source or one that is not there (the text says what it looked for), -EEXIST this process used
 * the launcher's channel already; from tcp also -EACCES another secret, -EEXIST the rank or address is
 * taken, -EHOSTDOWN a rank that is waited for has ended, or ended the job.
 */
int boot_open(const struct config *config, uint64_t timeout_ns, struct boot **ret_boot,
	      struct boot_info *ret_info);
/* A second put of a key replaces the first. Errors: -EINVAL key, -EMSGSIZE, -ENOSPC, -EPROTO. */
int boot_put(struct boot *boot, const char *key, const void *value, size_t len);
/*
 * Everybody's puts before their fence are there for everybody's gets after it. A rank that joined
 * again, in place of one that died, passes the fences that the job has behind it at once.
 */
int boot_fence(struct boot *boot, uint64_t timeout_ns);
/* Errors: -ENOENT, -EMSGSIZE the blob is longer than size. */
int boot_get(struct boot *boot, const char *key, void *ret_value, size_t size, size_t *ret_len,
	     uint64_t timeout_ns);
/* Tells the launcher that this rank is done; then frees. Takes NULL. */
void boot_close(struct boot *boot);
/* Asks the launcher to end the job with this code. Returns if it cannot. */
void boot_abort(struct boot *boot, int exit_code, const char *why);

#endif
