/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * job.c -- a job whose wires a test cuts: rank 0 is the home, the others import from it
 *
 *   job count OPERATIONS   fetch-adds by each importer; the home counts them at the end
 *   job watch              importers read until the home is gone, and say whenever the answer changes
 *   job put BYTES          one put by each importer, read back when it says that it was done
 *
 * What it says is one line at a time, made for scripts. Exit 0: what had to be true was.
 */
#include <errno.h>
#include <farbus/farbus.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "netns.job"
#define COUNT_SAY 50 /* operations between two lines */

struct job {
	struct farbus *bus;
	struct farbus_self self;
	struct farbus_region *region;
};

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
	fflush(stdout);
}

static void must(int err, const char *what)
{
	if (err >= 0)
		return;
	say("%s: %s: %s", what, farbus_strerror(err), farbus_last_error());
	exit(1);
}

static void job_open(struct job *job, size_t len)
{
	struct farbus_token token;

	must(farbus_open(NULL, &job->bus), "open");
	must(farbus_self(job->bus, &job->self), "self");
	if (job->self.rank == 0) {
		must(farbus_region_alloc(job->bus, len, 0, &job->region), "alloc");
		must(farbus_region_grant(job->region, 0, len, FARBUS_R | FARBUS_W | FARBUS_A, NULL,
					 &token),
		     "grant");
		must(farbus_publish(job->bus, NAME, &token), "publish");
	} else {
		must(farbus_lookup(job->bus, NAME, FARBUS_TIMEOUT_DEFAULT, &token), "lookup");
		must(farbus_region_import(job->bus, &token, FARBUS_TIMEOUT_DEFAULT, &job->region),
		     "import");
	}
	say("rank %u of %u is ready, %u of this host", job->self.rank, job->self.size,
	    job->self.local_size);
}

static int job_close(struct job *job)
{
	must(farbus_barrier(job->bus, FARBUS_TIMEOUT_DEFAULT), "barrier");
	must(farbus_region_release(job->region), "release");
	must(farbus_close(job->bus), "close");
	return 0;
}

/* No operation is lost, and none is done twice: the old values of a rank only grow. */
static int count(uint64_t operations)
{
	uint64_t old, last = 0, total = 0;
	struct job job;

	job_open(&job, 4096);
	for (uint64_t i = 0; i < operations && job.self.rank > 0; i++) {
		must(farbus_atomic(job.region, 0, FARBUS_ADD, 8, 1, 0, &old), "add");
		if (i > 0 && old <= last) {
			say("add %" PRIu64 " saw %" PRIu64 " after %" PRIu64, i, old, last);
			return 1;
		}
		last = old;
		if (i % COUNT_SAY == 0)
			say("added %" PRIu64, i);
	}
	must(farbus_barrier(job.bus, FARBUS_TIMEOUT_DEFAULT), "barrier");
	must(farbus_get(job.region, 0, &total, sizeof(total)), "get");
	say("total %" PRIu64 " of %" PRIu64, total, operations * (job.self.size - 1));
	if (total != operations * (job.self.size - 1))
		return 1;
	return job_close(&job);
}

/* Reads until the home is gone for good. Returns whether the event told the same. */
static int watch_importer(struct job *job)
{
	struct farbus_event event;
	int err = 1, before;
	uint64_t value;
	size_t n = 0;

	for (;;) {
		before = err;
		err = farbus_get(job->region, 0, &value, sizeof(value));
		if (err != before)
			say("get: %s", err ? farbus_strerror(err) : "ok");
		if (err == -EHOSTDOWN)
			break;
		if (err && err != -ETIMEDOUT)
			return 1;
		usleep(1000); /* so as not to load the wire, not to wait for anything */
	}
	do {
		must(farbus_poll(job->bus, &event, 1, FARBUS_TIMEOUT_DEFAULT, &n), "poll");
		say("event: kind %u of rank %u: %s", event.kind, event.rank,
		    farbus_strerror(event.status));
	} while (event.kind == FARBUS_EVENT_PEER_SILENT);
	if (event.kind != FARBUS_EVENT_PEER_LOST || event.rank != 0)
		return 1;
	farbus_region_release(job->region);
	must(farbus_close(job->bus), "close");
	return 0;
}

static int watch(void)
{
	struct job job;

	job_open(&job, 4096);
	if (job.self.rank > 0)
		return watch_importer(&job);
	for (;;)
		pause(); /* the test kills us */
}

static uint8_t pattern(size_t at)
{
	return (uint8_t)(at * 2654435761u >> 11);
}

/*
 * One put, and whether what it says is true: all bytes are there, or it failed within its time. Exit
 * 0 for a good one, 3 for one that failed.
 */
static int put_importer(struct job *job, uint8_t *bytes, size_t len)
{
	int err = farbus_put(job->region, 0, bytes, len);

	if (err == 0)
		err = farbus_flush(job->bus, job->region, FARBUS_FLUSH_REMOTE,
				   FARBUS_TIMEOUT_DEFAULT);
	say("put: %s", err ? farbus_strerror(err) : "ok");
	if (err < 0) {
		say("because: %s", farbus_last_error());
		return 3;
	}
	memset(bytes, 0, len);
	must(farbus_get(job->region, 0, bytes, len), "get");
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != pattern(i)) {
			say("byte %zu is wrong", i);
			return 1;
		}
	say("all bytes are right");
	return job_close(job);
}

static int put(size_t len)
{
	uint8_t *bytes = malloc(len);
	struct job job;
	int code;

	if (!bytes)
		return 1;
	job_open(&job, len);
	for (size_t i = 0; i < len; i++)
		bytes[i] = pattern(i);
	code = job.self.rank > 0 ? put_importer(&job, bytes, len) : job_close(&job);
	free(bytes);
	return code;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "count") == 0)
		return count(strtoull(argv[2], NULL, 10));
	if (argc == 2 && strcmp(argv[1], "watch") == 0)
		return watch();
	if (argc == 3 && strcmp(argv[1], "put") == 0)
		return put(strtoull(argv[2], NULL, 10));
	fprintf(stderr, "usage: job count OPERATIONS | watch | put BYTES\n");
	return 2;
}
