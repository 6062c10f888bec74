/* SPDX-License-Identifier: BSD-3-Clause */
/* source.h -- one source of boot.h; a source that needs nothing leaves calls NULL */
#ifndef RUNTIME_BOOT_SOURCE_H
#define RUNTIME_BOOT_SOURCE_H

#include "runtime/boot/boot.h"

struct pmi1;

/*
 * The PMI-1 client. Uses PMI_FD, PMI_RANK, PMI_SIZE, MPI_LOCALRANKID and MPI_LOCALNRANKS of the
 * environment. Threads and errors: as in boot.h.
 */
int pmi1_open(uint64_t timeout_ns, struct pmi1 **ret_pmi1, struct boot_info *ret_info);
int pmi1_put(struct pmi1 *pmi1, const char *key, const void *value, size_t len);
int pmi1_fence(struct pmi1 *pmi1, uint64_t timeout_ns);
int pmi1_get(struct pmi1 *pmi1, const char *key, void *ret_value, size_t size, size_t *ret_len,
	     uint64_t timeout_ns);
void pmi1_close(struct pmi1 *pmi1);
void pmi1_abort(struct pmi1 *pmi1, int exit_code);

#endif
