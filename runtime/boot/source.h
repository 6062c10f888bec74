/* SPDX-License-Identifier: BSD-3-Clause */
/* source.h -- one source of boot.h; a source that needs nothing leaves calls NULL */
#ifndef RUNTIME_BOOT_SOURCE_H
#define RUNTIME_BOOT_SOURCE_H

#include "runtime/boot/boot.h"

struct pmi1;
struct tcp;

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

/*
 * Ranks that meet at FARBUS_JOIN. Uses that, FARBUS_RANK, FARBUS_SIZE, FARBUS_SECRET_FILE,
 * FARBUS_SECRET and FARBUS_NODE of config. Returns when all ranks are there.
 * Threads and errors: as in boot.h; also -EACCES another secret, -EEXIST the rank or rank 0's
 * address is taken, -EHOSTDOWN rank 0 or a rank that the others wait for has ended, or one ended
 * the job.
 */
int tcp_open(const struct config *config, uint64_t timeout_ns, struct tcp **ret_tcp,
	     struct boot_info *ret_info);
int tcp_put(struct tcp *tcp, const char *key, const void *value, size_t len);
int tcp_fence(struct tcp *tcp, uint64_t timeout_ns);
int tcp_get(struct tcp *tcp, const char *key, void *ret_value, size_t size, size_t *ret_len,
	    uint64_t timeout_ns);
void tcp_close(struct tcp *tcp);
/* The others learn why from whatever they wait for, or ask next. */
void tcp_abort(struct tcp *tcp, const char *why);

#endif
