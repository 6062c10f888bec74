/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * huge.c -- regions from the pool of huge pages, which only root can fill: two ranks share one
 *
 * The pool gets pages for the time of the test and is then as it was. Where it cannot be filled the test
 * is skipped (77). What is left mapped or open is searched for by the conformance suite's stage.
 */
#include "tests/conformance/conform.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define POOL "/proc/sys/vm/nr_hugepages"
#define POOL_PAGES 16
#define HUGE (2u << 20)
#define RW (FARBUS_R | FARBUS_W)
#define RWA (RW | FARBUS_A)

enum { READY, GO, MAPPED, STOPPED, OUT, GONE, END };

static long pool_read(void)
{
	FILE *file = fopen(POOL, "re");
	long pages = -1;

	if (!file || fscanf(file, "%ld", &pages) != 1)
		pages = -1;
	if (file)
		fclose(file);
	return pages;
}

static void pool_write(long pages)
{
	FILE *file = fopen(POOL, "we");

	if (!file)
		return;
	fprintf(file, "%ld\n", pages);
	fclose(file);
}

static struct farbus_region *huge_alloc(struct rank *rank, size_t len)
{
	struct farbus_region *region = rank_alloc(rank, len, FARBUS_REGION_HUGE);
	struct farbus_region_info info;

	MUST(farbus_region_info(region, &info));
	CHECK(info.page_size == HUGE);
	return region;
}

/* ---- windows and signals ---- */

static void windows_refused(struct rank *rank, struct farbus_region *region)
{
	uint8_t *va = NULL;

	REFUSED(farbus_map(region, 4096, HUGE, PROT_READ, 0, (void **)&va), -EINVAL, "huge pages");
	REFUSED(farbus_map(region, 0, 8192, PROT_READ, 0, (void **)&va), -EINVAL, "huge pages");
	MUST(farbus_map(region, 0, 2 * HUGE, PROT_READ | PROT_WRITE, 0, (void **)&va));
	CHECK(va[HUGE] == 7);
	va[5] = 9;
	REFUSED(farbus_unmap(rank->farbus, va, 4096), -EINVAL, "huge pages");
	REFUSED(farbus_unmap(rank->farbus, va + 4096, HUGE - 4096), -EINVAL, "huge pages");
	MUST(farbus_unmap(rank->farbus, va, HUGE));
	CHECK(va[HUGE] == 7);
	MUST(farbus_unmap(rank->farbus, va + HUGE, HUGE));
}

static void part_is_served(struct rank *rank)
{
	struct farbus_region *part = rank_import(rank, 1);
	struct farbus_region_info info;
	uint64_t value = 0;

	MUST(farbus_region_info(part, &info));
	CHECK(info.path == FARBUS_PATH_SERVED); /* its huge page has other bytes, too */
	MUST(farbus_get(part, HUGE - 4096, &value, 8));
	CHECK(value == 7);
	MUST(farbus_region_release(part));
}

static void shared(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t seen = 0;

	if (rank->rank == 0) {
		region = huge_alloc(rank, 2 * HUGE);
		region_va(region)[HUGE] = 7;
		rank_grant(rank, region, 0, 2 * HUGE, RWA, 0);
		rank_grant(rank, region, 4096, HUGE, RWA, 1);
	}
	step_meet(rank, READY);
	if (rank->rank == 1)
		region = rank_import(rank, 0);
	/* Waiters and signallers have a huge page of the pool to themselves. */
	for (uint64_t i = 1; i <= 50; i++) {
		if (rank->rank == 0)
			MUST(farbus_signal(region, 64, 1, FARBUS_ADD));
		MUST(farbus_wait(region, rank->rank ? 64 : 128, FARBUS_EQ, i, CONFORM_WAIT_MS,
				 &seen));
		if (rank->rank == 1)
			MUST(farbus_signal(region, 128, i, FARBUS_SWAP));
	}
	if (rank->rank == 1) {
		windows_refused(rank, region);
		part_is_served(rank);
		MUST(farbus_region_release(region));
	}
	step_meet(rank, END);
	if (rank->rank == 0) {
		CHECK(region_va(region)[5] == 9);
		MUST(farbus_region_release(region));
	}
}

/* ---- a region shorter than its page ---- */

static void shorter(struct rank *rank)
{
	struct farbus_region *region;
	uint8_t *va = NULL;

	if (rank->rank == 0) {
		region = huge_alloc(rank, 100000);
		region_va(region)[99999] = 3;
		rank_grant(rank, region, 0, 100000, RW, 0);
	}
	step_meet(rank, READY);
	if (rank->rank == 1) {
		region = rank_import(rank, 0);
		MUST(farbus_map(region, 0, 100000, PROT_READ, 0, (void **)&va));
		CHECK(va[99999] == 3);
		MUST(farbus_unmap(rank->farbus, va, 100000));
	}
	step_meet(rank, END);
}

/* ---- its memory is taken from a stopped mapper ---- */

static void forced_mapper(struct rank *rank)
{
	struct farbus_region *region = rank_import(rank, rank->rank - 1);
	uint8_t *va = NULL;

	MUST(farbus_map(region, 0, HUGE, PROT_READ | PROT_WRITE, 0, (void **)&va));
	step_reach(rank->stage, MAPPED);
	if (rank->rank == 1) {
		step_wait(rank->stage, GONE, 1);
		rank_event(rank, FARBUS_EVENT_REVOKED, 0, NULL);
	} else {
		/* It has a grant of its own, and its windows get the new memory. */
		step_wait(rank->stage, OUT, 1);
		CHECK(peek64(va + 64) == 5);
		poke64(va + 72, 6);
		step_reach(rank->stage, GONE);
	}
	MUST(farbus_region_release(region));
}

static void forced(struct rank *rank)
{
	struct farbus_region *region;

	if (rank->rank == 0) {
		region = huge_alloc(rank, HUGE);
		rank_grant(rank, region, 0, HUGE, RW, 0);
		rank_grant(rank, region, 0, HUGE, RW, 1);
		step_meet(rank, READY);
		step_wait(rank->stage, STOPPED, 1);
		poke64(region_va(region) + 64, 5);
		MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], FARBUS_REVOKE_FORCE,
					  4000));
		step_reach(rank->stage, OUT);
		step_wait(rank->stage, GONE, 2);
		CHECK(peek64(region_va(region) + 72) == 6);
		step_meet(rank, END);
		MUST(farbus_region_release(region));
		return;
	}
	step_meet(rank, READY);
	forced_mapper(rank);
	step_meet(rank, END);
}

static void forced_control(struct stage *stage)
{
	step_wait(stage, MAPPED, 2);
	control_stop(stage, 1);
	step_reach(stage, STOPPED);
	step_wait(stage, OUT, 1);
	control_continue(stage, 1);
	step_reach(stage, GONE);
}

static const struct property property[] = {
	{ "huge__shared_by_two__windows_of_whole_pages_and_signals", CONFORM_MAPPED, 2, shared,
	  NULL, 0, 0 },
	{ "huge__shorter_than_a_page__window_of_all", CONFORM_MAPPED, 2, shorter, NULL, 0, 0 },
	{ "huge__forced_revoke__survivor_goes_on", CONFORM_MAPPED, 3, forced, forced_control, 0,
	  0 },
};

/* In a child, so that whatever ends it, the pool is given back. */
static int play_child(int argc, char **argv)
{
	char *args[] = { argv[0], "mapped", argc > 1 ? argv[1] : NULL, NULL };
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		exit(conform_main(argc > 1 ? 3 : 2, args, property,
				  sizeof(property) / sizeof(property[0])));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	long before = pool_read();
	int code = 77;

	if (before < 0) {
		printf("skipped: this kernel has no pool of huge pages\n");
		return 77;
	}
	if (before < POOL_PAGES)
		pool_write(POOL_PAGES);
	if (pool_read() < POOL_PAGES)
		printf("skipped: the pool of huge pages cannot be filled: needs root, and memory\n");
	else
		code = play_child(argc, argv);
	if (before < POOL_PAGES)
		pool_write(before);
	return code;
}
