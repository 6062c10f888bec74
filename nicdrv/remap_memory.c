/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remap_memory.c -- memory of peers, mapped once however often it is named
 *
 * A page that its file no longer has raises SIGBUS. The handler puts zeros of our own in place of
 * the whole mapping and says that it is lost: the device finishes what it does, and then gives up
 * the peer that cut its file short, and no other.
 *
 * Invariants:
 *   1. entries with a mapping are in the table once, by (device, inode, offset, length)
 *   2. uses of an entry is above 0 exactly while it is in the table
 */
#include "nicdrv/remap.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/process.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct remap_memory {
	dev_t device;
	ino_t inode;
	uint64_t off, len; /* in the file */
	uint32_t uses;
	void *map; /* owned: whole pages around the bytes */
	size_t map_len;
	uint64_t into; /* first byte in map */
	_Atomic bool lost;
};

static struct remap_memory *table[REMAP_MEMORY_MAX];
static uint32_t table_count;

/* In a signal handler: system calls and atomics alone. Pairs with remap_memory_lost(). */
static bool memory_fault(void *arg, void *va)
{
	struct remap_memory *memory = arg;

	(void)va;
	if (mmap(memory->map, memory->map_len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return false;
	atomic_store_explicit(&memory->lost, true, memory_order_relaxed);
	return true;
}

static struct remap_memory *memory_find(const struct stat *stat, uint64_t off, uint64_t len)
{
	for (uint32_t i = 0; i < table_count; i++)
		if (table[i]->device == stat->st_dev && table[i]->inode == stat->st_ino &&
		    table[i]->off == off && table[i]->len == len && !remap_memory_lost(table[i]))
			return table[i];
	return NULL;
}

/* Huge page files want their own page size: st_blksize says it for hugetlbfs and memfds alike. */
static int memory_map(struct remap_memory *memory, int fd, uint64_t page)
{
	uint64_t start = memory->off / page * page;

	memory->into = memory->off - start;
	memory->map_len = (memory->into + memory->len + page - 1) / page * page;
	memory->map = mmap(NULL, memory->map_len, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_NORESERVE, fd, (off_t)start);
	if (memory->map != MAP_FAILED)
		return 0;
	memory->map = NULL;
	if (errno == EACCES)
		return error_set(-EBADF,
				 "memory of a peer: its descriptor is not open for writing");
	return error_set(-ENOMEM, "mapping %#llx bytes of a peer's memory failed: %s",
			 (unsigned long long)memory->len, strerror(errno));
}

static int memory_new(int fd, const struct stat *stat, uint64_t off, uint64_t len,
		      struct remap_memory **ret_memory)
{
	uint64_t page = stat->st_blksize > 4096 ? (uint64_t)stat->st_blksize : 4096;
	struct remap_memory *memory = alloc_zero(sizeof(*memory));
	int err;

	if (!memory)
		return error_set(-ENOMEM, "no memory for an entry of a device map");
	memory->device = stat->st_dev;
	memory->inode = stat->st_ino;
	memory->off = off;
	memory->len = len;
	memory->uses = 1;
	err = memory_map(memory, fd, page);
	if (err < 0)
		goto free_memory;
	err = process_fault_register(memory->map, memory->map_len, memory_fault, memory);
	if (err < 0)
		goto unmap;
	*ret_memory = memory;
	return 0;

unmap:
	munmap(memory->map, memory->map_len);
free_memory:
	free(memory);
	return err;
}

int remap_memory_open(int fd, uint64_t off, uint64_t len, struct remap_memory **ret_memory)
{
	struct remap_memory *memory;
	struct stat stat;
	int err;

	if (len == 0 || off > INT64_MAX || len > INT64_MAX - off)
		return error_set(-EINVAL, "memory of a peer: %#llx bytes from %#llx on",
				 (unsigned long long)len, (unsigned long long)off);
	if (fstat(fd, &stat) < 0)
		return error_set(-EBADF, "memory of a peer: not a descriptor of a file");
	if (!S_ISREG(stat.st_mode) || (uint64_t)stat.st_size < off + len)
		return error_set(-ERANGE,
				 "memory of a peer: %#llx bytes from %#llx on, in a file "
				 "of %#llx",
				 (unsigned long long)len, (unsigned long long)off,
				 (unsigned long long)stat.st_size);
	memory = memory_find(&stat, off, len);
	if (memory) {
		*ret_memory = remap_memory_get(memory);
		return 0;
	}
	if (table_count == REMAP_MEMORY_MAX)
		return error_set(-ENOSPC, "at most %d pieces of peers' memory", REMAP_MEMORY_MAX);
	err = memory_new(fd, &stat, off, len, &memory);
	if (err < 0)
		return err;
	table[table_count++] = memory;
	*ret_memory = memory;
	return 0;
}

struct remap_memory *remap_memory_get(struct remap_memory *memory)
{
	memory->uses++;
	return memory;
}

struct remap_memory *remap_memory_put(struct remap_memory *memory)
{
	if (!memory || --memory->uses > 0)
		return NULL;
	for (uint32_t i = 0; i < table_count; i++)
		if (table[i] == memory) {
			table[i] = table[--table_count];
			break;
		}
	process_fault_unregister(memory->map);
	munmap(memory->map, memory->map_len);
	free(memory);
	return NULL;
}

void *remap_memory_start(const struct remap_memory *memory)
{
	return (uint8_t *)memory->map + memory->into;
}

uint64_t remap_memory_len(const struct remap_memory *memory)
{
	return memory->len;
}

bool remap_memory_same(const struct remap_memory *a, const struct remap_memory *b,
		       uint64_t ret_off[2])
{
	ret_off[0] = a->off;
	ret_off[1] = b->off;
	return a->device == b->device && a->inode == b->inode;
}

/* Relaxed pairs with the handler, which ran in this thread or one that handed over since. */
bool remap_memory_lost(const struct remap_memory *memory)
{
	return atomic_load_explicit(&memory->lost, memory_order_relaxed);
}
