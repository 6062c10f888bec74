/* SPDX-License-Identifier: BSD-3-Clause */
/* pieces.c -- conformance of gets in many pieces, and of who is woken by what they bring */
#include "tests/conformance/conform.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>

#define R FARBUS_R
#define RW (FARBUS_R | FARBUS_W)
#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)
#define SLEEP_ROUNDS 200
#define GETTER_ROUNDS 20
#define THREADS_TIMEOUT_MS 10000

enum { READY, DONE };

enum { MANY_LEN = 4 << 20, MANY_PIECES = 150 };

/* Pieces of a byte to more than fits a message, one behind the other, backwards here. */
static size_t many_fill(struct farbus_vec vec[MANY_PIECES], uint8_t *local)
{
	static const size_t length[] = { 1, 8, 4096, 65536, 70001, 24 };
	size_t off = 0;

	for (size_t i = 0; i < MANY_PIECES; i++) {
		size_t len = length[i % 6];

		vec[i] = (struct farbus_vec){ .off = off, .len = len };
		off += len;
		vec[i].local = local + (MANY_LEN - off);
	}
	return off;
}

static bool many_same(const struct farbus_vec vec[MANY_PIECES], const uint8_t *memory)
{
	for (size_t i = 0; i < MANY_PIECES; i++)
		if (memcmp(vec[i].local, memory + vec[i].off, vec[i].len) != 0)
			return false;
	return true;
}

static void many_pieces(struct rank *rank)
{
	static uint8_t local[MANY_LEN], memory[MANY_LEN];
	struct farbus_vec vec[MANY_PIECES];
	struct farbus_region *region;
	size_t len = many_fill(vec, local);

	CHECK(len <= MANY_LEN);
	pattern_fill(memory, MANY_LEN, 21);
	if (rank->rank == 0) {
		region = rank_alloc(rank, MANY_LEN, 0);
		memcpy(region_va(region), memory, MANY_LEN);
		rank_grant(rank, region, 0, MANY_LEN, RW, 0);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 1);
		return;
	}
	step_wait(rank->stage, READY, 1);
	region = rank_import(rank, 0);
	MUST(farbus_getv(region, vec, MANY_PIECES));
	CHECK(many_same(vec, memory));
	/* What was put just now is what is got, in pieces as in one. */
	memset(memory, 0x77, len);
	MUST(farbus_put(region, 0, memory, len));
	MUST(farbus_getv(region, vec, MANY_PIECES));
	CHECK(many_same(vec, memory));
	MUST(farbus_get(region, 0, local, MANY_LEN));
	CHECK(memcmp(local, memory, MANY_LEN) == 0);
	step_reach(rank->stage, DONE);
}

struct getter {
	pthread_t thread;
	pthread_barrier_t *all;
	struct farbus_region *region;
	bool single;
	uint8_t local[MANY_LEN];
	const uint8_t *memory;
};

static void *getter_run(void *arg)
{
	struct getter *getter = arg;
	struct farbus_vec vec[MANY_PIECES];
	uint64_t value;

	many_fill(vec, getter->local);
	for (uint64_t i = 0; i < GETTER_ROUNDS; i++) {
		pthread_barrier_wait(getter->all);
		if (getter->single) {
			MUST(farbus_get(getter->region, i * 8, &value, sizeof(value)));
			CHECK(memcmp(&value, getter->memory + i * 8, sizeof(value)) == 0);
			continue;
		}
		memset(getter->local, 0, MANY_LEN);
		MUST(farbus_getv(getter->region, vec, MANY_PIECES));
		CHECK(many_same(vec, getter->memory));
	}
	return NULL;
}

/* One thread waits for the answers to all; when it has its own, another one goes on. */
static void many_threads(struct rank *rank)
{
	static uint8_t memory[MANY_LEN];
	static struct getter getter[4];
	struct farbus_region *region;
	pthread_barrier_t all;

	pattern_fill(memory, MANY_LEN, 22);
	if (rank->rank == 0) {
		region = rank_alloc(rank, MANY_LEN, 0);
		memcpy(region_va(region), memory, MANY_LEN);
		rank_grant(rank, region, 0, MANY_LEN, R, 0);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 1);
		return;
	}
	step_wait(rank->stage, READY, 1);
	region = rank_import(rank, 0);
	pthread_barrier_init(&all, NULL, 4);
	for (int i = 0; i < 4; i++) {
		getter[i].all = &all;
		getter[i].region = region;
		getter[i].memory = memory;
		getter[i].single = i % 2;
		CHECK(pthread_create(&getter[i].thread, NULL, getter_run, &getter[i]) == 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(getter[i].thread, NULL);
	pthread_barrier_destroy(&all);
	step_reach(rank->stage, DONE);
}

/* How often the service thread of this process has slept. */
static uint64_t service_sleeps(void)
{
	char path[sizeof(((struct dirent *)0)->d_name) + 64], line[128];
	struct dirent *entry;
	unsigned long long count = 0;
	DIR *dir = opendir("/proc/self/task");
	bool found = false;

	CHECK(dir != NULL);
	while ((entry = readdir(dir))) {
		bool service = false;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
		while (file && fgets(line, sizeof(line), file)) {
			if (strcmp(line, "Name:\tfarbus-service\n") == 0)
				service = true;
			if (service)
				sscanf(line, "voluntary_ctxt_switches: %llu", &count);
		}
		if (file)
			fclose(file);
		found = found || service;
	}
	closedir(dir);
	CHECK(found);
	return count;
}

static void answers_wake_who_waits(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t value, before;

	if (rank->rank == 0) {
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RWA, 0);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 1);
		return;
	}
	step_wait(rank->stage, READY, 1);
	region = rank_import(rank, 0);
	MUST(farbus_get(region, 0, &value, sizeof(value)));
	before = service_sleeps();
	for (uint64_t i = 0; i < SLEEP_ROUNDS; i++) {
		MUST(farbus_get(region, 0, &value, sizeof(value)));
		CHECK(value == i);
		MUST(farbus_atomic(region, 0, FARBUS_ADD, 8, 1, 0, &value));
	}
	/* Other things may: its timer, news of the job. */
	CHECK(service_sleeps() - before <= SLEEP_ROUNDS);
	step_reach(rank->stage, DONE);
}

static const struct property property[] = {
	{ "getv__more_pieces_than_are_under_way__all_there", CONFORM_ALL, 2, many_pieces, NULL, 0,
	  0 },
	{ "getv__threads_together__each_gets_its_own", CONFORM_ALL, 2, many_threads, NULL, 0,
	  THREADS_TIMEOUT_MS },
	{ "get_atomic__answers__do_not_wake_the_service_thread", CONFORM_ALL, 2,
	  answers_wake_who_waits, NULL, 0, 0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
