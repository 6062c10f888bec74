/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tools_ranks.c -- ranks of a job with regions, grants, imports and windows for the tools to show
 *
 * Each rank imports both grants of the next one, a mappable and a served one, and maps the first.
 * It prints "ready RANK PID VA", VA in the window at offset 16 of the import, which is offset
 * 4096 + 16 of the region, and ends when its standard input does. Over a network there is no window.
 */
#include <errno.h>
#include <farbus/farbus.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGION_LEN 65536
#define GRANT_OFF 4096
#define GRANT_LEN 8192
#define PUTS 10

#define TRY(call)                                                                             \
	do {                                                                                  \
		if ((call) < 0) {                                                             \
			fprintf(stderr, "tools_ranks: %s: %s\n", #call, farbus_last_error()); \
			exit(99);                                                             \
		}                                                                             \
	} while (0)

static struct farbus *farbus;
static struct farbus_self self;

static void offer(struct farbus_region *region, const char *kind, uint32_t flags)
{
	struct farbus_grant_opts opts = { .flags = flags };
	struct farbus_token token;
	char name[FARBUS_NAME_MAX];

	TRY(farbus_region_grant(region, GRANT_OFF, GRANT_LEN, FARBUS_R | FARBUS_W | FARBUS_A, &opts,
				&token));
	snprintf(name, sizeof(name), "%s.%" PRIu32, kind, self.rank);
	TRY(farbus_publish(farbus, name, &token));
}

static struct farbus_region *take(const char *kind)
{
	struct farbus_region *import;
	struct farbus_token token;
	char name[FARBUS_NAME_MAX];

	snprintf(name, sizeof(name), "%s.%" PRIu32, kind, (self.rank + 1) % self.size);
	TRY(farbus_lookup(farbus, name, FARBUS_TIMEOUT_DEFAULT, &token));
	TRY(farbus_region_import(farbus, &token, FARBUS_TIMEOUT_DEFAULT, &import));
	return import;
}

int main(void)
{
	struct farbus_region *region, *import, *served;
	uint64_t word = 1;
	char byte;
	void *va = NULL;
	int err;

	TRY(farbus_open(NULL, &farbus));
	TRY(farbus_self(farbus, &self));
	TRY(farbus_region_alloc(farbus, REGION_LEN, 0, &region));
	offer(region, "mappable", 0);
	offer(region, "served", FARBUS_GRANT_SERVED);
	import = take("mappable");
	served = take("served");
	err = farbus_map(import, 0, GRANT_LEN, PROT_READ | PROT_WRITE, FARBUS_MAP_DIRECT, &va);
	if (err != -ENOTSUP)
		TRY(err);
	for (int i = 0; i < PUTS; i++)
		TRY(farbus_put(import, 8 * (uint64_t)i, &word, sizeof(word)));
	TRY(farbus_signal(import, 256, 1, FARBUS_ADD));
	TRY(farbus_wait(region, GRANT_OFF + 256, FARBUS_GE, 1, FARBUS_TIMEOUT_DEFAULT, NULL));
	TRY(farbus_put(served, 512, &word, sizeof(word)));
	TRY(farbus_flush(farbus, served, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
	TRY(farbus_barrier(farbus, FARBUS_TIMEOUT_DEFAULT));
	printf("ready %" PRIu32 " %d 0x%" PRIxPTR "\n", self.rank, (int)getpid(),
	       (uintptr_t)va + 16);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return farbus_close(farbus) < 0 ? 99 : 0;
}
