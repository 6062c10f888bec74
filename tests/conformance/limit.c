/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * limit.c -- conformance of limits: each is filled, refused past its end, and usable again
 *
 * The numbers are those of docs/limits.md; the suite sees the public interface only.
 */
#include "tests/conformance/conform.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define RW (FARBUS_R | FARBUS_W)
#define REGIONS 65536 /* EXPORT_REGION_MAX */
#define GRANTS 65536  /* EXPORT_GRANT_MAX */
#define NAMES 4096    /* CORE_NAME_MAX */
#define THREADS 1024  /* PROCESS_THREAD_MAX */

enum { READY, GO, DONE, END };

static void regions(struct rank *rank)
{
	uint8_t *memory =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct farbus_region **region = calloc(REGIONS, sizeof(struct farbus_region *)), *more;
	struct farbus_memory ask = { .fd = -1, .len = 16 };

	CHECK(memory != MAP_FAILED && region);
	/* Adopted memory that starts off a page needs neither a descriptor nor a mapping. */
	ask.va = memory + 64;
	for (uint32_t i = 0; i < REGIONS; i++)
		MUST(farbus_region_adopt(rank->farbus, &ask, &region[i]));
	more = NULL;
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &more), -ENOSPC, "65536 regions");
	REFUSED(farbus_region_alloc(rank->farbus, 4096, 0, &more), -ENOSPC, "65536 regions");
	CHECK(!more);
	MUST(farbus_region_release(region[77]));
	MUST(farbus_region_alloc(rank->farbus, 4096, 0, &region[77]));
	for (uint32_t i = 0; i < REGIONS; i++)
		MUST(farbus_region_release(region[i]));
	free(region);
	munmap(memory, 4096);
}

static void grants(struct rank *rank)
{
	struct farbus_region *region = rank_alloc(rank, 4096, 0);
	struct farbus_token token, first;
	uint32_t n = 0;
	int err = 0;

	MUST(farbus_region_grant(region, 0, 4096, RW, NULL, &first));
	for (n = 1; n <= GRANTS; n++) {
		err = farbus_region_grant(region, 0, 4096, RW, NULL, &token);
		if (err < 0)
			break;
	}
	REFUSED(err, -ENOSPC, "65536");
	CHECK(n == GRANTS);
	MUST(farbus_region_revoke(rank->farbus, &first, 0, CONFORM_WAIT_MS));
	MUST(farbus_region_grant(region, 0, 4096, RW, NULL, &token));
}

static void names(struct rank *rank)
{
	struct farbus_token token;
	char name[32];
	uint32_t n = 0;
	int err = 0;

	if (rank->rank == 1) {
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RW, 0);
		for (n = 0; err == 0 && n <= NAMES; n += err == 0) {
			snprintf(name, sizeof(name), "name-%u", n);
			err = farbus_publish(rank->farbus, name, &rank->stage->token[0]);
		}
		REFUSED(err, -ENOSPC, NULL);
		CHECK(n == NAMES);
	}
	step_meet(rank, READY);
	MUST(farbus_lookup(rank->farbus, "name-0", 0, &token));
	MUST(farbus_lookup(rank->farbus, "name-4095", 0, &token));
	step_meet(rank, DONE);
	if (rank->rank == 1) {
		MUST(farbus_close(rank->farbus));
		MUST(rank_open(rank->stage, 1, 0, &rank->farbus));
	} else {
		rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
	}
	step_meet(rank, END);
	/* With its publisher each name went, and there is room again. */
	snprintf(name, sizeof(name), "again-%u", rank->rank);
	REFUSED(farbus_lookup(rank->farbus, "name-7", 0, &token), -ETIMEDOUT, NULL);
	MUST(farbus_publish(rank->farbus, name, &rank->stage->token[0]));
	step_meet(rank, GO);
}

/* ---- threads ---- */

struct user {
	struct rank *rank;
	struct farbus_region *region;
	pthread_barrier_t *all;
	_Atomic uint32_t *refused;
};

static void *use(void *arg)
{
	struct user *user = arg;
	uint64_t value = 1;
	int err = farbus_put(user->region, 0, &value, 8);

	if (err < 0) {
		REFUSED(err, -ENOSPC, "1024 threads");
		atomic_fetch_add(user->refused, 1);
	}
	/* Nobody gives its slot back before all have one. */
	pthread_barrier_wait(user->all);
	return NULL;
}

static void threads(struct rank *rank)
{
	static pthread_t thread[THREADS + 8];
	_Atomic uint32_t refused = 0;
	struct user user = { rank, rank_alloc(rank, 4096, 0), NULL, &refused };
	pthread_barrier_t all;
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	pthread_barrier_init(&all, NULL, THREADS + 8);
	user.all = &all;
	for (int round = 0; round < 2; round++) {
		atomic_store(&refused, 0);
		for (int i = 0; i < THREADS + 8; i++)
			CHECK(pthread_create(&thread[i], &attr, use, &user) == 0);
		for (int i = 0; i < THREADS + 8; i++)
			pthread_join(thread[i], NULL);
		/* This thread has a slot, too; the slots of the first round were given back. */
		CHECK(refused >= 9 && refused <= 10);
	}
	pthread_barrier_destroy(&all);
	pthread_attr_destroy(&attr);
}

/* ---- memory ---- */

/* The last of three pages is not for reading and writing, then not there. */
static void memory_protected(struct rank *rank, int prot)
{
	uint8_t *va =
		mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct farbus_memory ask = { .fd = -1, .va = va + 64, .len = 2 * 4096 };
	struct farbus_region *region = NULL;

	CHECK(va != MAP_FAILED);
	CHECK(mprotect(va + 8192, 4096, prot) == 0);
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &region), -EACCES, "PROT_WRITE");
	ask.va = va + 4096;
	ask.flags = FARBUS_ADOPT_REPLACE;
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &region), -EACCES, "PROT_WRITE");
	ask = (struct farbus_memory){ .fd = -1, .va = va, .len = 2 * 4096 };
	MUST(farbus_region_adopt(rank->farbus, &ask, &region));
	MUST(farbus_region_release(region));
	munmap(va + 8192, 4096);
	ask.va = va + 64;
	region = NULL;
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &region), -EFAULT, "mapped");
	CHECK(!region);
	munmap(va, 8192);
}

static void memory(struct rank *rank)
{
	struct farbus_region *region = NULL;
	struct farbus_memory ask = { .fd = 0, .len = 4096 };
	int read_only = memfd_create("x", 0);

	REFUSED(farbus_region_alloc(rank->farbus, 0, 0, &region), -EINVAL, "0 bytes");
	REFUSED(farbus_region_alloc(rank->farbus, 4096, 0x80, &region), -EINVAL, "flags");
	REFUSED(farbus_region_alloc(rank->farbus, SIZE_MAX, 0, &region), -EINVAL, "bytes");
	REFUSED(farbus_region_alloc(rank->farbus, (size_t)1 << 45, 0, &region), -ENOMEM, "memory");
	ask.fd = 987654;
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &region), -EBADF, "987654");
	ask.fd = read_only;
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &region), -ERANGE, "ftruncate");
	CHECK(ftruncate(read_only, 8192) == 0);
	ask.off = 100;
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &region), -EINVAL, "multiple of 4096");
	ask.off = UINT64_MAX - 4095;
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &region), -ERANGE, NULL);
	ask = (struct farbus_memory){ .fd = open("/dev/zero", O_RDONLY), .len = 4096 };
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &region), -EBADF, "O_RDWR");
	close(ask.fd);
	ask = (struct farbus_memory){ .fd = -1, .va = (void *)0x1000, .len = 4096 };
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &region), -EFAULT, "mapped");
	memory_protected(rank, PROT_NONE);
	memory_protected(rank, PROT_READ);
	ask = (struct farbus_memory){ .fd = -1, .len = 4096 };
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &region), -EINVAL, "va");
	ask.len = 0;
	REFUSED(farbus_region_adopt(rank->farbus, &ask, &region), -EINVAL, "0 bytes");
	CHECK(!region);
	close(read_only);
}

static const struct property property[] = {
	{ "region__as_many_as_can_be__enospc_then_room_again", CONFORM_MAPPED, 1, regions, NULL, 0,
	  0 },
	{ "grant__as_many_as_can_be__enospc_then_room_again", CONFORM_MAPPED, 1, grants, NULL, 0,
	  0 },
	{ "names__as_many_as_can_be__enospc_then_room_again", CONFORM_MAPPED, 2, names, NULL, 0,
	  0 },
	{ "threads__more_than_can_be__enospc_then_room_again", CONFORM_ALL, 1, threads, NULL, 0,
	  0 },
	{ "region__memory_that_is_none__refused_with_the_reason", CONFORM_ALL, 1, memory, NULL, 0,
	  0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
