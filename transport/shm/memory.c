/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.c -- memory that can be handed over: regions, and the channels of links
 *
 * A region is a memfd with every page allocated, so that a lack of memory is an error here and
 * not a SIGBUS later. It is not sealed against shrinking: truncating it is what a forced revoke
 * does to an importer that does not answer. A channel is sealed, because there the peer could
 * do the same to us.
 */
#include "transport/shm/shm.h"

#include "base/alloc.h"
#include "base/error.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define HUGE_PAGE ((size_t)2 << 20)
#define ALLOC_CHUNK ((size_t)64 << 20) /* a signal costs no more than one of these */
#define CHANNEL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif

static int memfd_new(const char *name, unsigned flags, int *ret_fd)
{
	int fd = -1;

	errno = EMFILE;
	if (!alloc_fault_point())
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		return error_set(-EMFILE, "no descriptor left for memory: raise ulimit -n");
	if (fd < 0)
		return error_set(-ENOMEM, "no memfd: %s", strerror(errno));
	*ret_fd = fd;
	return 0;
}

/* kB of a line "name: n kB" of a file like /proc/meminfo; the first that there is. */
static bool kib_read(const char *path, const char *name, uint64_t *ret_kib)
{
	FILE *file = fopen(path, "re");
	size_t len = strlen(name);
	char line[160];
	bool found = false;

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		if (strncmp(line, name, len) == 0 && line[len] == ':') {
			*ret_kib = strtoull(line + len + 1, NULL, 10);
			found = true;
		}
	fclose(file);
	return found;
}

/*
 * fallocate() of more than there is would not fail but have some process killed, so it is not
 * tried. Without /proc the kernel decides.
 */
static int memory_check(size_t len)
{
	uint64_t available = 0, swap = 0;
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	    len > limit.rlim_cur)
		return error_set(-ENOMEM,
				 "%zu bytes of memory: RLIMIT_FSIZE allows %llu; raise ulimit -f",
				 len, (unsigned long long)limit.rlim_cur);
	if (!kib_read("/proc/meminfo", "MemAvailable", &available))
		return 0;
	kib_read("/proc/meminfo", "SwapFree", &swap);
	if (len / 1024 > available + swap)
		return error_set(-ENOMEM,
				 "%zu bytes of memory: only %llu MiB are free; ask for less or "
				 "free some",
				 len, (unsigned long long)(available + swap) >> 10);
	return 0;
}

static int memory_fill(int fd, size_t len)
{
	errno = ENOMEM;
	if (alloc_fault_point() || ftruncate(fd, (off_t)len) < 0)
		return error_set(-ENOMEM, "%zu bytes of memory: %s", len, strerror(errno));
	for (size_t off = 0; off < len;) {
		size_t n = len - off < ALLOC_CHUNK ? len - off : ALLOC_CHUNK;

		if (fallocate(fd, 0, (off_t)off, (off_t)n) == 0)
			off += n;
		else if (errno != EINTR)
			return error_set(-ENOMEM,
					 "%zu bytes of memory: %s; ask for less, or raise the "
					 "limit of the container",
					 len, strerror(errno));
	}
	return 0;
}

/* Maps fd where a huge page could lie. */
static int memory_map(int fd, size_t len, void **ret_va)
{
	uint8_t *reserve, *va;
	size_t whole = len + HUGE_PAGE;

	if (alloc_fault_point())
		goto no_memory;
	reserve = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserve == MAP_FAILED)
		goto no_memory;
	va = (uint8_t *)(((uintptr_t)reserve + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	if (mmap(va, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		munmap(reserve, whole);
		goto no_memory;
	}
	if (va > reserve)
		munmap(reserve, (size_t)(va - reserve));
	munmap(va + len, whole - len - (size_t)(va - reserve));
	*ret_va = va;
	return 0;

no_memory:
	return error_set(-ENOMEM, "no room to map %zu bytes: raise ulimit -v or vm.max_map_count",
			 len);
}

/* What /proc/self/smaps says of the mapping at va. Nothing without it. */
static bool mapped_huge(const void *va, size_t len)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long long start, end, kib = 0;
	char line[256];
	bool here = false, found = false;

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			here = start == (uintptr_t)va && end - start == len;
		else if (here && sscanf(line, "ShmemPmdMapped: %llu kB", &kib) == 1)
			found = true;
	}
	fclose(file);
	return found && kib == len / 1024;
}

static int finish(int fd, size_t len, size_t page_size, struct transport_memory *ret_memory)
{
	void *va;
	int err = memory_map(fd, len, &va);

	if (err < 0)
		return err;
	*ret_memory =
		(struct transport_memory){ .fd = fd, .va = va, .len = len, .page_size = page_size };
	return 0;
}

/* From the pool that the administrator set aside; -ENOTSUP if it has not enough. */
static int huge_pool(size_t len, struct transport_memory *ret_memory)
{
	uint64_t pages = 0;
	int fd, err;

	if (!kib_read("/proc/meminfo", "HugePages_Free", &pages) || pages < len / HUGE_PAGE)
		return -ENOTSUP;
	err = memfd_new("farbus", MFD_HUGETLB | MFD_HUGE_2MB, &fd);
	if (err < 0)
		return -ENOTSUP;
	if (memory_fill(fd, len) == 0 && finish(fd, len, HUGE_PAGE, ret_memory) == 0)
		return 0;
	close(fd);
	return -ENOTSUP;
}

/* Small pages joined afterwards, which needs no setting of the administrator's. */
static void huge_join(struct transport_memory *memory)
{
	if (memory->len % HUGE_PAGE)
		return;
	if (madvise(memory->va, memory->len, MADV_COLLAPSE) < 0)
		return;
	if (mapped_huge(memory->va, memory->len))
		memory->page_size = HUGE_PAGE;
}

int shm_memory_alloc(size_t len, uint32_t flags, struct transport_memory *ret_memory)
{
	bool huge = flags & TRANSPORT_MEMORY_HUGE;
	size_t unit = huge ? HUGE_PAGE : PAGE;
	int fd, err;

	if (len == 0 || len > SIZE_MAX / 2)
		return error_set(-ENOMEM, "memory of %zu bytes cannot be had", len);
	len = (len + unit - 1) & ~(unit - 1);
	if (huge && huge_pool(len, ret_memory) == 0)
		return 0;
	err = memory_check(len);
	if (err < 0)
		return err;
	err = memfd_new("farbus", 0, &fd);
	if (err < 0)
		return err;
	err = memory_fill(fd, len);
	if (err == 0)
		err = finish(fd, len, PAGE, ret_memory);
	if (err < 0) {
		close(fd);
		return err;
	}
	if (huge)
		huge_join(ret_memory);
	return 0;
}

void shm_memory_free(struct transport_memory *memory)
{
	if (!memory || !memory->va)
		return;
	munmap(memory->va, memory->len);
	close(memory->fd);
	*memory = (struct transport_memory){ .fd = -1 };
}

static int channel_mmap(int fd, void **ret_memory)
{
	void *memory = MAP_FAILED;

	if (!alloc_fault_point())
		memory = mmap(NULL, CHANNEL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			      fd, 0);
	if (memory == MAP_FAILED)
		return error_set(-ENOMEM, "no room to map a link's %zu bytes", CHANNEL_SIZE);
	madvise(memory, CHANNEL_SIZE, MADV_DONTFORK);
	*ret_memory = memory;
	return 0;
}

int shm_channel_create(int *ret_fd, void **ret_memory)
{
	int fd, err;

	err = memfd_new("farbus-link", 0, &fd);
	if (err < 0)
		return err;
	err = memory_fill(fd, CHANNEL_SIZE);
	if (err == 0 && fcntl(fd, F_ADD_SEALS, CHANNEL_SEALS | F_SEAL_SEAL) < 0)
		err = error_set(-ENOMEM, "cannot seal a memfd: %s", strerror(errno));
	if (err == 0)
		err = channel_mmap(fd, ret_memory);
	if (err < 0) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int shm_channel_map(int fd, void **ret_memory)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & CHANNEL_SEALS) != CHANNEL_SEALS)
		return error_set(-EPROTO, "a link's memory is not sealed against shrinking");
	if (fstat(fd, &st) < 0 || st.st_size != (off_t)CHANNEL_SIZE)
		return error_set(-EPROTO, "a link's memory has not the %zu bytes of this version",
				 CHANNEL_SIZE);
	return channel_mmap(fd, ret_memory);
}
