/* SPDX-License-Identifier: BSD-3-Clause */
/* be_raw.c -- memory both ranks inherited, and the compiler: what everybody else is held against */
#include "apps/farbus-perf/measure.h"
#include "peers.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static char *memory;

static int raw_prepare(void)
{
	memory = mmap(NULL, PEERS_LEN, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	return memory == MAP_FAILED ? -ENOMEM : 0;
}

static int raw_open(int rank)
{
	/* The target's pages into this process's page table too. */
	if (rank == 0)
		memset(memory, 0, PEERS_LEN);
	return 0;
}

static void *raw_memory(void)
{
	return memory;
}

static int raw_put(uint64_t off, const void *src, size_t len)
{
	if (len == 8)
		memcpy(memory + off, src, 8);
	else
		memcpy(memory + off, src, len);
	return 0;
}

static int raw_get(uint64_t off, void *dst, size_t len)
{
	if (len == 8)
		memcpy(dst, memory + off, 8);
	else
		memcpy(dst, memory + off, len);
	return 0;
}

static int raw_fadd(uint64_t off, uint64_t value, uint64_t *ret_old)
{
	*ret_old = __atomic_fetch_add((uint64_t *)(void *)(memory + off), value, __ATOMIC_SEQ_CST);
	return 0;
}

static int raw_flush(void)
{
	measure_fence();
	return 0;
}

static void raw_close(int rank)
{
	(void)rank;
	munmap(memory, PEERS_LEN);
}

const struct peers_ops peers_backend = {
	.prepare = raw_prepare,
	.open = raw_open,
	.memory = raw_memory,
	.put = raw_put,
	.get = raw_get,
	.fadd = raw_fadd,
	.flush = raw_flush,
	.close = raw_close,
};
