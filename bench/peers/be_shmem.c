/* SPDX-License-Identifier: BSD-3-Clause */
/* be_shmem.c -- OpenSHMEM as Open MPI ships it */
#include "peers.h"

#include <errno.h>
#include <shmem.h>
#include <string.h>

static char *memory;

static int be_start(int *argc, char ***argv, int *ret_rank)
{
	(void)argc;
	(void)argv;
	shmem_init();
	*ret_rank = shmem_my_pe();
	return shmem_n_pes() == 2 ? 0 : -EINVAL;
}

static int be_open(int rank)
{
	(void)rank;
	memory = shmem_malloc(PEERS_LEN);
	if (!memory)
		return -ENOMEM;
	memset(memory, 0, PEERS_LEN);
	shmem_barrier_all();
	return 0;
}

static void *be_memory(void)
{
	return memory;
}

static int be_put(uint64_t off, const void *src, size_t len)
{
	if (len == 8)
		shmem_long_p((long *)(void *)(memory + off), *(const long *)src, 1);
	else
		shmem_putmem_nbi(memory + off, src, len, 1);
	return 0;
}

static int be_get(uint64_t off, void *dst, size_t len)
{
	if (len == 8)
		*(long *)dst = shmem_long_g((long *)(void *)(memory + off), 1);
	else
		shmem_getmem_nbi(dst, memory + off, len, 1);
	return 0;
}

static int be_fadd(uint64_t off, uint64_t value, uint64_t *ret_old)
{
	*ret_old = (uint64_t)shmem_long_atomic_fetch_add((long *)(void *)(memory + off),
							 (long)value, 1);
	return 0;
}

static int be_flush(void)
{
	shmem_quiet();
	return 0;
}

/* shmem_finalize() of Open MPI 4.1.4 crashes in every run; the process ends anyway. */
static void be_close(int rank)
{
	(void)rank;
	shmem_barrier_all();
}

const struct peers_ops peers_backend = {
	.start = be_start,
	.open = be_open,
	.memory = be_memory,
	.put = be_put,
	.get = be_get,
	.fadd = be_fadd,
	.flush = be_flush,
	.close = be_close,
};
