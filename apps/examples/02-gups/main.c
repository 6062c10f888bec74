/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- gups: random updates of one table that lies in all ranks
 *
 * The rules of HPCC RandomAccess: a table T of 2^k words, T[i] = i at the start; 4 * 2^k updates
 * T[a & (2^k - 1)] ^= a, where a runs through the benchmark's sequence of pseudo-random numbers,
 * each rank a part of it; at most 1 % of the words may be wrong afterwards. Doing all updates again
 * must give back T[i] = i, which is the verification.
 *
 *   rank 0: T[0 ...]   rank 1: T[per ...]   rank 2: T[2 * per ...]
 *
 * The rules also ask for half of the memory of the machine: --log2 chooses the size here.
 */
#include "apps/examples/common/example.h"

#include <errno.h>
#include <farbus/inline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLY 0x7ull
#define PERIOD 1317624576693539401ll /* of the sequence */
#define LOG2_MAX 34
#define ERROR_SHARE 0.01

struct gups {
	struct farbus *bus;
	struct farbus_self self;
	struct farbus_region *mine;		      /* NULL: this rank has no part of the table */
	struct farbus_region *part[EXAMPLE_RANK_MAX]; /* one per rank, from its home or imported */
	uint64_t *table;			      /* our part */
	uint64_t words, per;			      /* in all, and in a rank's part */
	bool atomic;
};

static uint64_t step(uint64_t a)
{
	return a << 1 ^ ((int64_t)a < 0 ? POLY : 0);
}

/* The n-th number of the sequence, by squaring. */
static uint64_t start(int64_t n)
{
	uint64_t square[64], a = 1;
	int bit;

	n %= PERIOD;
	if (n == 0)
		return 1;
	for (int i = 0; i < 64; i++) {
		square[i] = a;
		a = step(step(a));
	}
	bit = 63 - __builtin_clzll((uint64_t)n);
	a = 2;
	while (bit-- > 0) {
		uint64_t next = 0;

		for (int i = 0; i < 64; i++)
			if (a >> i & 1)
				next ^= square[i];
		a = n >> bit & 1 ? step(next) : next;
	}
	return a;
}

/* Not atomic: two ranks at one word can lose an update, which the rules allow now and then. */
static int update_by_get_and_put(struct farbus_region *part, uint64_t off, uint64_t a)
{
	uint64_t word;
	int err;

	err = farbus_get64(part, off, &word);
	if (err < 0)
		return err;
	return farbus_put64(part, off, word ^ a);
}

/* This rank's share of all updates. */
static void update(const struct gups *gups, bool atomic)
{
	uint64_t updates = 4 * gups->words;
	uint64_t first = updates / gups->self.size * gups->self.rank;
	uint64_t end = gups->self.rank + 1 == gups->self.size ?
			       updates :
			       updates / gups->self.size * (gups->self.rank + 1);
	uint64_t a = start((int64_t)first);

	for (uint64_t i = first; i < end; i++) {
		uint64_t word, off;
		struct farbus_region *part;

		a = step(a);
		word = a & (gups->words - 1);
		part = gups->part[word / gups->per];
		off = word % gups->per * sizeof(uint64_t);
		if (atomic)
			TRY(farbus_atomic(part, off, FARBUS_XOR, 8, a, 0, NULL));
		else
			TRY(update_by_get_and_put(part, off, a));
	}
	TRY(farbus_flush(gups->bus, NULL, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
}

/* Ranks finish at different times: a barrier that gives the slowest an hour. */
static void meet(const struct gups *gups)
{
	TRY(farbus_barrier(gups->bus, 3600 * 1000));
}

static void table_share(struct gups *gups)
{
	struct farbus_region_info info;
	uint64_t first = gups->per * gups->self.rank;

	TRY(farbus_region_alloc(gups->bus, gups->per * sizeof(uint64_t), FARBUS_REGION_HUGE,
				&gups->mine));
	TRY(farbus_region_info(gups->mine, &info));
	gups->table = info.va;
	for (uint64_t i = 0; i < gups->per; i++)
		gups->table[i] = first + i;
	example_offer(gups->bus, "gups", gups->mine, FARBUS_R | FARBUS_W | FARBUS_A);
	for (uint32_t rank = 0; rank < gups->self.size; rank++)
		gups->part[rank] = rank == gups->self.rank ?
					   gups->mine :
					   example_import(gups->bus, "gups", rank);
}

/* How many words of the whole table are not what they were at the start. */
static uint64_t table_errors(const struct gups *gups)
{
	uint64_t first = gups->per * gups->self.rank;
	uint64_t errors = 0;

	for (uint64_t i = 0; i < gups->per && first + i < gups->words; i++)
		errors += gups->table[i] != first + i;
	TRY(farbus_allreduce(gups->bus, &errors, 1, FARBUS_U64, FARBUS_SUM,
			     FARBUS_TIMEOUT_DEFAULT));
	return errors;
}

static int usage(const char *wrong)
{
	fprintf(wrong ? stderr : stdout,
		"%s%susage: gups [--log2 K] [--how atomic|getput]\n"
		"  --log2 K      a table of 2^K words of 8 bytes over all ranks; 10 to %d, 20\n"
		"  --how atomic  updates by remote xor: the result must be exact (the default)\n"
		"  --how getput  by get and put, as the rules allow: up to 1 %% of errors\n",
		wrong ? wrong : "", wrong ? "\n" : "", LOG2_MAX);
	return wrong ? 2 : 0;
}

/* Returns -1 to go on, else the exit code. Only rank 0 speaks. */
static int options(struct gups *gups, int argc, char **argv)
{
	bool speak = gups->self.rank == 0;
	uint64_t log2 = 20;

	gups->atomic = true;
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--help") == 0)
			return speak ? usage(NULL) : 0;
		if (strcmp(argv[i], "--log2") == 0 &&
		    example_number(value, 10, LOG2_MAX, &log2) == 0)
			i++;
		else if (strcmp(argv[i], "--how") == 0 &&
			 (strcmp(value, "atomic") == 0 || strcmp(value, "getput") == 0))
			gups->atomic = strcmp(argv[++i], "atomic") == 0;
		else
			return speak ? usage("gups: an option that is unknown or has a bad value") :
				       2;
	}
	gups->words = 1ull << log2;
	gups->per = (gups->words + gups->self.size - 1) / gups->self.size;
	return -1;
}

static int report(const struct gups *gups, double seconds, uint64_t errors)
{
	uint64_t allowed = gups->atomic ? 0 : (uint64_t)((double)gups->words * ERROR_SHARE);
	struct farbus_region_info info;

	TRY(farbus_region_info(gups->part[gups->self.size - 1], &info));
	printf("gups: %llu words of 8 bytes over %u ranks, %llu updates by %s\n",
	       (unsigned long long)gups->words, gups->self.size,
	       (unsigned long long)(4 * gups->words), gups->atomic ? "atomic xor" : "get and put");
	printf("gups: path to the last rank: %s, one-sided: %s, pages of %llu KiB\n",
	       example_path(info.path), example_onesided(info.onesided),
	       (unsigned long long)info.page_size / 1024);
	printf("gups: %.6f GUPS in %.3f s\n", 4e-9 * (double)gups->words / seconds, seconds);
	printf("gups: %llu words wrong (%.4f %%), %llu allowed: %s\n", (unsigned long long)errors,
	       100.0 * (double)errors / (double)gups->words, (unsigned long long)allowed,
	       errors <= allowed ? "passed" : "FAILED");
	return errors > allowed;
}

int main(int argc, char **argv)
{
	static struct gups gups;
	double seconds;
	uint64_t errors;
	int code;

	example_name("gups");
	TRY(farbus_open(NULL, &gups.bus));
	TRY(farbus_self(gups.bus, &gups.self));
	example_rank(gups.self.rank);
	if (gups.self.size > EXAMPLE_RANK_MAX) {
		if (gups.self.rank == 0)
			fprintf(stderr, "gups: %u ranks: %d is the most\n", gups.self.size,
				EXAMPLE_RANK_MAX);
		return example_refuse(gups.bus, 2);
	}
	code = options(&gups, argc, argv);
	if (code >= 0)
		return example_refuse(gups.bus, code);
	table_share(&gups);
	meet(&gups);
	seconds = example_seconds();
	update(&gups, gups.atomic);
	meet(&gups);
	seconds = example_seconds() - seconds;
	update(&gups, true); /* the verification itself must not lose any */
	meet(&gups);
	errors = table_errors(&gups);
	code = gups.self.rank == 0 ? report(&gups, seconds, errors) : 0;
	meet(&gups);
	TRY(farbus_close(gups.bus));
	return code;
}
