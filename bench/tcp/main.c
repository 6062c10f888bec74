/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- messages of a transport between two processes, beside bare TCP
 *
 *   bench-tcp [--ops NAME] [--address A] [--rounds N] [--turns N] [--only raw|link]
 *             [--figure N]
 *
 * Client on the first, server on the last CPU; the server sleeps in epoll whenever it has nothing
 * to do. Figures: round trip of one message (the client sleeps, or spins), and streaming. The two
 * subjects take short turns, and the best of their turns counts. One line of CSV per figure:
 *   figure,bytes,raw,link,ratio    us for round trips, MB/s for streams
 */
#include "bench.h"

#include "base/clock.h"
#include <farbus-build/commit.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STREAM_BYTES ((size_t)32 << 20)

const char *bench_where = "127.0.0.1";
static unsigned rounds = 200, turns = 50;
static int figure_only = -1;
static const char *only = "";

void bench_check(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "bench-tcp: %s\n", what);
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static pid_t server_start(const struct bench_subject *subject, char ret_address[BENCH_ADDRESS_MAX])
{
	int fds[2];
	pid_t pid;

	bench_check(pipe(fds) == 0, "pipe");
	pid = fork();
	bench_check(pid >= 0, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin((int)sysconf(_SC_NPROCESSORS_ONLN) - 1);
		memset(ret_address, 0, BENCH_ADDRESS_MAX);
		subject->listen(ret_address);
		bench_check(write(fds[1], ret_address, BENCH_ADDRESS_MAX) == BENCH_ADDRESS_MAX,
			    "write");
		subject->serve();
		_exit(0);
	}
	close(fds[1]);
	bench_check(read(fds[0], ret_address, BENCH_ADDRESS_MAX) == BENCH_ADDRESS_MAX,
		    "the server did not start");
	close(fds[0]);
	return pid;
}

/* us of a round trip. */
static double round_trip(const struct bench_subject *subject, size_t len, bool spin)
{
	static char data[BENCH_LEN_MAX] = "e";
	uint64_t start = clock_now_ns();

	for (unsigned i = 0; i < rounds; i++) {
		subject->send(data, len);
		subject->receive(spin);
	}
	return (double)(clock_now_ns() - start) / rounds / 1e3;
}

/* MB/s, until the last message is answered. */
static double stream(const struct bench_subject *subject, size_t len)
{
	static char data[BENCH_LEN_MAX] = "s", last[BENCH_LEN_MAX] = "l";
	size_t count = STREAM_BYTES / 4096 * (len < 4096 ? len : 4096) / len;
	uint64_t start = clock_now_ns();

	for (size_t i = 1; i < count; i++)
		subject->send(data, len);
	subject->send(last, len);
	subject->receive(false);
	return (double)count * (double)len * 1e3 / (double)(clock_now_ns() - start);
}

enum { FIGURES = 8 };
static const struct figure {
	const char *name;
	size_t len;
	bool stream, spin;
} figures[FIGURES] = {
	{ "round_trip", 8, false, false },     { "round_trip", 64, false, false },
	{ "round_trip", 4096, false, false },  { "round_trip", 65536, false, false },
	{ "round_trip_spin", 8, false, true }, { "stream", 64, true, false },
	{ "stream", 4096, true, false },       { "stream", 65536, true, false },
};

static double figure_run(const struct bench_subject *subject, const struct figure *figure)
{
	if (figure->stream)
		return stream(subject, figure->len);
	return round_trip(subject, figure->len, figure->spin);
}

static void best_keep(const struct figure *figure, double value, double *best)
{
	if (*best == 0 || (figure->stream ? value > *best : value < *best))
		*best = value;
}

struct side {
	const struct bench_subject *subject;
	pid_t pid;
	double best[FIGURES];
};

static void side_start(struct side *side)
{
	char address[BENCH_ADDRESS_MAX];

	side->pid = server_start(side->subject, address);
	side->subject->connect(address);
}

static void side_end(struct side *side)
{
	int status;

	side->subject->close();
	bench_check(waitpid(side->pid, &status, 0) == side->pid && status == 0,
		    "the server failed");
}

static void options(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		bench_check(i + 1 < argc,
			    "usage: bench-tcp [--ops NAME] [--address A] "
			    "[--rounds N] [--turns N] [--only raw|link] [--figure N]");
		if (strcmp(argv[i], "--ops") == 0)
			bench_link_ops = argv[++i];
		else if (strcmp(argv[i], "--address") == 0)
			bench_where = argv[++i];
		else if (strcmp(argv[i], "--rounds") == 0)
			rounds = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--turns") == 0)
			turns = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--figure") == 0)
			figure_only = (int)strtol(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--only") == 0)
			only = argv[++i];
		else
			bench_check(false, "unknown option");
	}
}

int main(int argc, char **argv)
{
	struct side side[2] = { { .subject = &bench_raw }, { .subject = &bench_link } };

	options(argc, argv);
	bench_check(strcmp(FARBUS_BUILD_TYPE, "Debug") != 0, "a Debug build is not measured");
	pin(0);
	for (int s = 0; s < 2; s++)
		if (!only[0] || strcmp(only, side[s].subject->name) == 0)
			side_start(&side[s]);
	printf("# %s, %s, transport %s on %s, best of %u turns\n", FARBUS_BUILD_TYPE, FARBUS_COMMIT,
	       bench_link_ops, bench_where, turns);
	printf("figure,bytes,raw,link,ratio\n");
	for (int i = 0; i < FIGURES; i++) {
		if (figure_only >= 0 && i != figure_only)
			continue;
		for (unsigned turn = 0; turn < turns; turn++)
			for (int s = 0; s < 2; s++)
				if (side[s].pid)
					best_keep(&figures[i],
						  figure_run(side[s].subject, &figures[i]),
						  &side[s].best[i]);
		printf("%s,%zu,%.2f,%.2f,%.2f\n", figures[i].name, figures[i].len, side[0].best[i],
		       side[1].best[i],
		       side[0].best[i] > 0 ? side[1].best[i] / side[0].best[i] : 0);
		fflush(stdout);
	}
	for (int s = 0; s < 2; s++)
		if (side[s].pid)
			side_end(&side[s]);
	return 0;
}
