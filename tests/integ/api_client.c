/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * api_client.c -- an instance under a launcher; the last rank ends as its argument says
 *
 *     api_client end|kill|abort
 *
 * Each rank shows on the way that its counter file is there, so that the test of what is left
 * behind looks for something that was.
 */
#include <errno.h>
#include <farbus/farbus.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(int err, const char *what)
{
	if (err == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, farbus_last_error());
	exit(1);
}

static void counters_are_there(void)
{
	const char *dir = getenv("FARBUS_RUN_DIR");
	char path[4200];

	snprintf(path, sizeof(path), "%s/counters.%d", dir ? dir : "", (int)getpid());
	if (access(path, R_OK) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
}

/* The others' part when the last one dies. */
static void survive(struct farbus *farbus, struct farbus_region *region, uint32_t victim)
{
	struct farbus_event event;
	uint64_t value = 1;
	size_t n;

	do
		check(farbus_poll(farbus, &event, 1, FARBUS_TIMEOUT_DEFAULT, &n), "poll");
	while (event.kind != FARBUS_EVENT_PEER_LOST || event.rank != victim);
	if (farbus_put(region, 0, &value, 8) != -EHOSTDOWN)
		check(-1, "a put to the dead");
	check(farbus_region_release(region), "release");
	printf("survived\n");
}

static void meet(struct farbus *farbus, uint32_t victim, struct farbus_region **ret_import)
{
	struct farbus_region *own = NULL;
	struct farbus_token token;
	struct farbus_self self;

	check(farbus_self(farbus, &self), "self");
	check(farbus_region_alloc(farbus, 65536, 0, &own), "alloc");
	if (self.rank == victim) {
		check(farbus_region_grant(own, 0, 65536, FARBUS_R | FARBUS_W, NULL, &token),
		      "grant");
		check(farbus_publish(farbus, "victim", &token), "publish");
	}
	check(farbus_lookup(farbus, "victim", FARBUS_TIMEOUT_DEFAULT, &token), "lookup");
	check(farbus_region_import(farbus, &token, FARBUS_TIMEOUT_DEFAULT, ret_import), "import");
	counters_are_there();
	check(farbus_barrier(farbus, FARBUS_TIMEOUT_DEFAULT), "barrier");
}

int main(int argc, char **argv)
{
	struct farbus_region *region = NULL;
	struct farbus *farbus = NULL;
	struct farbus_self self;

	if (argc != 2)
		return 2;
	check(farbus_open(NULL, &farbus), "open");
	check(farbus_self(farbus, &self), "self");
	meet(farbus, self.size - 1, &region);
	if (self.rank == self.size - 1) {
		if (strcmp(argv[1], "kill") == 0)
			raise(SIGKILL);
		if (strcmp(argv[1], "abort") == 0)
			farbus_abort(farbus, 42, "as asked");
	} else if (strcmp(argv[1], "end")) {
		survive(farbus, region, self.size - 1);
	}
	check(farbus_close(farbus), "close");
	return 0;
}
