/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * revoke.c -- conformance of revoke: nothing lands after it returned, in either access class
 *
 * The owner's check is a pattern: after revoke returned it fills the region, lets the importers
 * try on, and finds every byte of the pattern again.
 */
#include "tests/conformance/conform.h"

#include <dirent.h>
#include <errno.h>
#include <farbus/inline.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RW (FARBUS_R | FARBUS_W)
#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)
#define LEN 262144
#define ROUNDS 5
#define TRIES_AFTER 3000

enum { READY, RUNNING, REVOKED, TRIED, DONE, STOPPED, OUT, FORCED, GONE, END, ROUND = 20 };

/* ---- during traffic ---- */

struct writer {
	pthread_t thread;
	struct rank *rank;
	struct farbus_region *region;
	unsigned int kind, round;
};

/* Returns how the last operation ended: what a thread of an application would see. */
static int write_once(struct writer *writer, uint64_t n)
{
	static const uint8_t bulk[65536 + 100] = { 1 };
	uint64_t old;

	switch (writer->kind) {
	case 0:
		return farbus_put64(writer->region, n % 1000 * 8, n | 1);
	case 1:
		return farbus_put(writer->region, 8192 + n % 1000, bulk, sizeof(bulk));
	case 2:
		return farbus_add64(writer->region, 131072 + n % 64 * 8, 1, &old);
	default:
		return farbus_signal(writer->region, 140000, n | 1, FARBUS_SWAP);
	}
}

static void *writer_main(void *arg)
{
	struct writer *writer = arg;
	uint64_t n = 0;
	int err = 0;

	while (err == 0) {
		err = write_once(writer, n++);
		/* A served put may fail later: then flush says so. */
		if (err == 0 && n % 64 == 0)
			err = farbus_flush(writer->rank->farbus, writer->region,
					   FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT);
		if (n == 50)
			step_reach(writer->rank->stage, ROUND + writer->round);
	}
	REFUSED(err, -ESTALE, NULL);
	step_wait(writer->rank->stage, REVOKED, writer->round + 1);
	for (int i = 0; i < TRIES_AFTER; i++)
		CHECK(write_once(writer, n++) < 0);
	return NULL;
}

static void traffic_importer(struct rank *rank, unsigned int round)
{
	struct farbus_region *region = NULL;
	struct writer writer[4];
	struct farbus_event event;

	region = rank_import(rank, round);
	for (unsigned int i = 0; i < 4; i++) {
		writer[i] = (struct writer){ 0, rank, region, i, round };
		CHECK(pthread_create(&writer[i].thread, NULL, writer_main, &writer[i]) == 0);
	}
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(writer[i].thread, NULL);
	rank_event(rank, FARBUS_EVENT_REVOKED, 0, &event);
	CHECK(event.region == region_id(region) && event.status == -ESTALE);
	MUST(farbus_region_release(region));
	step_reach(rank->stage, TRIED);
	region = NULL;
	REFUSED(farbus_region_import(rank->farbus, &rank->stage->token[round],
				     FARBUS_TIMEOUT_DEFAULT, &region),
		-ESTALE, NULL);
}

static void traffic(struct rank *rank)
{
	struct farbus_region *region = rank->rank == 0 ? rank_alloc(rank, LEN, 0) : NULL;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		if (rank->rank != 0) {
			step_wait(rank->stage, READY, round + 1);
			traffic_importer(rank, round);
			continue;
		}
		rank_grant(rank, region, 0, LEN, RWA, round);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, ROUND + round, 8); /* two ranks of four writers */
		MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[round], 0,
					  CONFORM_WAIT_MS));
		pattern_fill(region_va(region), LEN, (uint8_t)round);
		step_reach(rank->stage, REVOKED);
		step_wait(rank->stage, TRIED, 2 * (round + 1));
		CHECK(pattern_diff(region_va(region), LEN, (uint8_t)round) == LEN);
	}
	step_meet(rank, DONE);
}

/* ---- a window that is being written ---- */

static void window_writer(struct rank *rank)
{
	struct farbus_region *region = rank_import(rank, 0);
	void *va = NULL;
	volatile uint64_t *word;

	MUST(farbus_map(region, 0, LEN, PROT_READ | PROT_WRITE, 0, &va));
	word = va;
	atomic_store(&rank->stage->end[1], SIGBUS);
	signal(SIGBUS, SIG_DFL);
	step_reach(rank->stage, RUNNING);
	for (uint64_t n = 1;; n++)
		word[n % (LEN / 8)] = n;
}

static void window_revoked(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t before;

	if (rank->rank == 1) {
		step_wait(rank->stage, READY, 1);
		window_writer(rank);
	}
	region = rank_alloc(rank, LEN, 0);
	rank_grant(rank, region, 0, LEN, RW, 0);
	step_reach(rank->stage, READY);
	step_wait(rank->stage, RUNNING, 1);
	do
		__atomic_load(&((uint64_t *)(void *)region_va(region))[LEN / 8 - 1], &before,
			      __ATOMIC_RELAXED);
	while (before == 0); /* it has been round once */
	MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, CONFORM_WAIT_MS));
	pattern_fill(region_va(region), LEN, 3);
	rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
	CHECK(pattern_diff(region_va(region), LEN, 3) == LEN);
}

/* ---- a stopped mapper ---- */

/* Rank 2 has a grant of its own and is to notice nothing. */
static void survivor(struct rank *rank)
{
	struct farbus_region *region = rank_import(rank, 1);
	uint64_t n = 0, old, seen;
	void *va = NULL;

	MUST(farbus_map(region, 0, LEN, PROT_READ | PROT_WRITE, 0, &va));
	step_reach(rank->stage, RUNNING);
	while (atomic_load(&rank->stage->step[FORCED]) < 1) {
		MUST(farbus_add64(region, 0, 1, &old));
		CHECK(old == n++);
		MUST(farbus_put(region, 64, &n, 8));
		MUST(farbus_get(region, 64, &seen, 8));
		CHECK(seen == n);
		poke64((uint64_t *)va + 16, n); /* by plain stores and loads, too */
		CHECK(peek64((uint64_t *)va + 16) == n);
	}
	MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
	word_set(rank->stage, 0, n);
	rank_no_event(rank);
	step_reach(rank->stage, DONE);
	step_wait(rank->stage, GONE, 1);
	MUST(farbus_region_release(region));
}

static void stopped_mapper(struct rank *rank)
{
	struct farbus_region *region = rank_import(rank, 0);
	uint64_t value = 0x5555;
	void *va = NULL;

	MUST(farbus_put(region, 4096, &value, 8));
	step_reach(rank->stage, RUNNING);
	/* Here it is stopped, and its memory is taken. */
	step_wait(rank->stage, GONE, 1);
	rank_event(rank, FARBUS_EVENT_REVOKED, 0, NULL);
	REFUSED(farbus_put(region, 4096, &value, 8), -ESTALE, "release the handle");
	REFUSED(farbus_get(region, 4096, &value, 8), -ESTALE, "release the handle");
	REFUSED(farbus_map(region, 0, 4096, PROT_READ, 0, &va),
		rank->stage->class == CONFORM_MAPPED ? -ESTALE : -ENOTSUP, NULL);
	MUST(farbus_region_release(region));
}

static void forced_home(struct rank *rank)
{
	struct stage *stage = rank->stage;
	struct farbus_region *region = rank_alloc(rank, LEN, 0), *late = NULL;
	uint8_t *va = region_va(region);
	const uint64_t *word = (const uint64_t *)(void *)va;

	rank_grant(rank, region, 0, LEN, RW, 0);
	rank_grant(rank, region, 0, LEN, RWA, 1);
	pattern_fill(va + 8192, LEN - 8192, 6);
	step_reach(stage, READY);
	step_wait(stage, STOPPED, 1);
	REFUSED(farbus_region_revoke(rank->farbus, &stage->token[0], 0, 300), -ETIMEDOUT, "revoke");
	REFUSED(farbus_region_import(rank->farbus, &stage->token[0], 1000, &late), -ESTALE, NULL);
	REFUSED(farbus_region_revoke(rank->farbus, &stage->token[0], 0, 100), -ETIMEDOUT, NULL);
	MUST(farbus_region_revoke(rank->farbus, &stage->token[0], FARBUS_REVOKE_FORCE, 4000));
	CHECK(region_va(region) == va);
	CHECK(peek64(&word[512]) == 0x5555 && pattern_diff(va + 8192, LEN - 8192, 6) == LEN - 8192);
	va[5000] = 9; /* it is our memory as before */
	step_reach(stage, FORCED);
	step_wait(stage, DONE, 1);
	CHECK(word[0] == word_get(stage, 0) && word[8] == word[0] && word[16] == word[0]);
	step_reach(stage, OUT);
	step_wait(stage, GONE, 1);
}

static void forced(struct rank *rank)
{
	if (rank->rank == 0) {
		forced_home(rank);
	} else {
		step_wait(rank->stage, READY, 1);
		if (rank->rank == 1)
			stopped_mapper(rank);
		else
			survivor(rank);
	}
	step_meet(rank, END);
	if (rank->rank != 1)
		MUST(farbus_flush(rank->farbus, NULL, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
}

/* The region's file, as the stopped process has it: a descriptor and its mapping. */
static void old_memory_is_gone(struct stage *stage)
{
	char path[64], link[400], target[256];
	int pid = atomic_load(&stage->pid[1]), found = 0;
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	CHECK(dir);
	while ((entry = readdir(dir))) {
		ssize_t n;

		snprintf(link, sizeof(link), "%s/%s", path, entry->d_name);
		n = readlink(link, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		if (strncmp(target, "/memfd:farbus ", 14))
			continue;
		CHECK(stat(link, &st) == 0 && st.st_size == 0);
		found++;
	}
	closedir(dir);
	CHECK(found == 1);
}

static void forced_control(struct stage *stage)
{
	step_wait(stage, RUNNING, 2);
	control_stop(stage, 1);
	step_reach(stage, STOPPED);
	step_wait(stage, OUT, 1);
	old_memory_is_gone(stage);
	control_continue(stage, 1);
	step_reach(stage, GONE);
}

/* Waiting on: the mapper goes on, and the same revoke ends well. */
static void waited_home(struct rank *rank)
{
	struct farbus_region *region = rank_alloc(rank, LEN, 0);
	int err;

	rank_grant(rank, region, 0, LEN, RW, 0);
	step_reach(rank->stage, READY);
	step_wait(rank->stage, STOPPED, 1);
	REFUSED(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, 200), -ETIMEDOUT,
		NULL);
	step_reach(rank->stage, OUT);
	/* -ESTALE: it went on, and answered, before we called again. */
	err = farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, CONFORM_WAIT_MS);
	CHECK(err == 0 || err == -ESTALE);
	pattern_fill(region_va(region), LEN, 5);
	step_wait(rank->stage, GONE, 1);
	step_meet(rank, END);
	CHECK(pattern_diff(region_va(region), LEN, 5) == LEN);
}

static void waited(struct rank *rank)
{
	if (rank->rank == 0) {
		waited_home(rank);
	} else {
		step_wait(rank->stage, READY, 1);
		stopped_mapper(rank);
		step_meet(rank, END);
	}
}

static void waited_control(struct stage *stage)
{
	step_wait(stage, RUNNING, 1);
	control_stop(stage, 1);
	step_reach(stage, STOPPED);
	step_wait(stage, OUT, 1);
	control_continue(stage, 1);
	step_reach(stage, GONE);
}

/* Nobody can write where the home alone carries it out: a stopped user delays nothing. */
static void served_home(struct rank *rank)
{
	struct farbus_region *region = rank_alloc(rank, LEN, 0);

	rank_grant(rank, region, 0, LEN, RW, 0);
	step_reach(rank->stage, READY);
	step_wait(rank->stage, STOPPED, 1);
	MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, CONFORM_WAIT_MS));
	pattern_fill(region_va(region), LEN, 8);
	step_reach(rank->stage, OUT);
	step_meet(rank, END);
	CHECK(pattern_diff(region_va(region), LEN, 8) == LEN);
}

static void served_stopped(struct rank *rank)
{
	if (rank->rank == 0) {
		served_home(rank);
		return;
	}
	step_wait(rank->stage, READY, 1);
	stopped_mapper(rank);
	step_meet(rank, END);
}

/* ---- who may, and twice ---- */

static void who_may(struct rank *rank)
{
	struct farbus_region *region = NULL;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 4096, 0);
		rank_grant(rank, region, 0, 4096, RW, 0);
		rank_grant(rank, region, 0, 4096, RW, 1);
		step_meet(rank, READY);
		step_meet(rank, RUNNING);
		MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0,
					  CONFORM_WAIT_MS));
	} else {
		step_meet(rank, READY);
		region = rank_import(rank, 1);
		REFUSED(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, 1000),
			-EACCES, NULL);
		REFUSED(farbus_region_revoke(rank->farbus, &rank->stage->token[1],
					     FARBUS_REVOKE_FORCE, 1000),
			-EACCES, NULL);
		step_meet(rank, RUNNING);
	}
	step_meet(rank, OUT);
	/* Another grant of the same region is another grant. */
	if (rank->rank == 1)
		MUST(farbus_put64(region, 0, 3));
	step_meet(rank, END);
}

static const struct property property[] = {
	{ "revoke__during_traffic__nothing_lands_after_it", CONFORM_ALL, 3, traffic, NULL, 0, 0 },
	{ "revoke__window_being_written__sigbus_and_nothing_lands", CONFORM_MAPPED, 2,
	  window_revoked, NULL, 0, 0 },
	{ "revoke__mapper_stopped__etimedout_then_forced_and_survivors_untouched", CONFORM_MAPPED,
	  3, forced, forced_control, 0, 0 },
	{ "revoke__mapper_stopped__etimedout_then_waited_for", CONFORM_MAPPED, 2, waited,
	  waited_control, 0, 0 },
	{ "revoke__served_user_stopped__not_delayed", CONFORM_SERVED, 2, served_stopped,
	  waited_control, 0, 0 },
	{ "revoke__by_others__eacces_and_other_grants_stay", CONFORM_ALL, 2, who_may, NULL, 0, 0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
