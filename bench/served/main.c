/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- what serving costs a home, with one client and with many
 *
 *   bench-served [--clients N,...] [--kind NAME] [--turns N]
 *
 * A home whose application sleeps in read(2), on the last CPU, and clients on the first, all of one
 * job over loopback. Counted is CPU time, user and system, of each side: other work on the machine
 * changes it less than it changes times. The best of the turns counts. FARBUS_TRANSPORT says over
 * what (preset tcp), FARBUS_SPIN_US how long clients poll (preset 0: they sleep). CSV:
 *   kind,clients,home_us,client_us,home_switches,client_switches,wall_us,ratio
 * us of CPU, context switches and us of wall time per operation; ratio: home_us to that with the
 * first number of clients.
 */
#include "base/clock.h"
#include <farbus-build/commit.h>
#include <farbus/farbus.h>
#include <farbus/inline.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENT_MAX 64
#define COUNT_MAX 8
#define PIECE ((size_t)64 << 10)
#define PIECES 16
#define MEMORY_LEN (PIECES * PIECE)

struct usage {
	double cpu_us, switches;
};

struct process {
	pid_t pid;
	int order, answer; /* pipes */
};

static const char *kind_only = "";
static unsigned client_count[COUNT_MAX] = { 1, 32 }, count_count = 2, turns = 5;

static void check(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "bench-served: %s: %s\n", what, farbus_last_error());
	exit(1);
}

/* ---- what a client does ---- */

struct client {
	struct farbus *farbus;
	struct farbus_region *region;
	uint8_t *local;
};

static int put8_flush(const struct client *client, unsigned i)
{
	int err = farbus_put64(client->region, i * 8 % MEMORY_LEN, i);

	return err < 0 ? err :
			 farbus_flush(client->farbus, client->region, FARBUS_FLUSH_REMOTE, -1);
}

static int get8(const struct client *client, unsigned i)
{
	uint64_t value;

	return farbus_get64(client->region, i * 8 % MEMORY_LEN, &value);
}

static int fadd(const struct client *client, unsigned i)
{
	uint64_t old;

	return farbus_add64(client->region, i * 8 % MEMORY_LEN, 1, &old);
}

static int get_64k(const struct client *client, unsigned i)
{
	size_t off = i % PIECES * PIECE;

	return farbus_get(client->region, off, client->local + off, PIECE);
}

static int getv_64k(const struct client *client, unsigned i)
{
	const struct farbus_vec vec = { .local = client->local,
					.len = PIECE,
					.count = PIECES,
					.stride = PIECE,
					.local_stride = PIECE };

	(void)i;
	return farbus_getv(client->region, &vec, 1);
}

static int put_64k(const struct client *client, unsigned i)
{
	size_t off = i % PIECES * PIECE;

	return farbus_put(client->region, off, client->local + off, PIECE);
}

static const struct kind {
	const char *name;
	unsigned ops;  /* of all clients together */
	unsigned each; /* operations that one call counts as */
	int (*run)(const struct client *client, unsigned i);
} kinds[] = {
	{ "put8_flush", 6400, 1, put8_flush },
	{ "get8", 6400, 1, get8 },
	{ "fadd", 6400, 1, fadd },
	{ "get_64k", 3200, 1, get_64k },
	{ "getv_64k", 320, PIECES, getv_64k },
	{ "put_64k", 6400, 1, put_64k },
};

/* ---- the processes ---- */

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static struct usage usage_now(void)
{
	struct rusage usage;

	check(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
	return (struct usage){
		.cpu_us = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
			  (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec),
		.switches = (double)(usage.ru_nvcsw + usage.ru_nivcsw),
	};
}

static void say(const struct process *process, const struct usage *usage)
{
	check(write(process->answer, usage, sizeof(*usage)) == sizeof(*usage), "write");
}

/* An order is how many calls to make; 0: tell the usage. False: no more. */
static bool order_next(const struct process *process, unsigned *ret_order)
{
	return read(process->order, ret_order, sizeof(*ret_order)) == sizeof(*ret_order);
}

static void home_run(const struct process *process, struct farbus *farbus)
{
	struct farbus_region *region;
	struct farbus_token token;
	struct usage usage;
	unsigned order;

	check(farbus_region_alloc(farbus, MEMORY_LEN, 0, &region) == 0, "alloc");
	check(farbus_region_grant(region, 0, MEMORY_LEN, FARBUS_R | FARBUS_W | FARBUS_A, NULL,
				  &token) == 0,
	      "grant");
	check(farbus_publish(farbus, "memory", &token) == 0, "publish");
	do {
		usage = usage_now();
		say(process, &usage);
	} while (order_next(process, &order));
}

static void client_run(const struct process *process, struct farbus *farbus,
		       const struct kind *kind)
{
	struct client client = { .farbus = farbus, .local = calloc(1, MEMORY_LEN) };
	struct usage before = { 0 }, after = { 0 };
	struct farbus_token token;
	unsigned order;

	check(client.local != NULL, "memory");
	check(farbus_lookup(farbus, "memory", -1, &token) == 0, "lookup");
	check(farbus_region_import(farbus, &token, -1, &client.region) == 0, "import");
	check(kind->run(&client, 0) == 0, kind->name);
	check(farbus_flush(farbus, client.region, FARBUS_FLUSH_REMOTE, -1) == 0, "flush");
	say(process, &after);
	while (order_next(process, &order)) {
		before = usage_now();
		for (unsigned i = 0; i < order; i++)
			check(kind->run(&client, i) == 0, kind->name);
		check(farbus_flush(farbus, client.region, FARBUS_FLUSH_REMOTE, -1) == 0, "flush");
		after = usage_now();
		after.cpu_us -= before.cpu_us;
		after.switches -= before.switches;
		say(process, &after);
	}
	free(client.local);
}

static void __attribute__((noreturn))
process_run(const struct process *process, unsigned rank, unsigned size, const struct kind *kind)
{
	const struct farbus_conf conf = { .job = "bench-served", .rank = rank, .size = size };
	struct farbus *farbus;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(rank == 0 ? (int)sysconf(_SC_NPROCESSORS_ONLN) - 1 : 0);
	check(farbus_open(&conf, &farbus) == 0, "open");
	if (rank == 0)
		home_run(process, farbus);
	else
		client_run(process, farbus, kind);
	check(farbus_close(farbus) == 0, "close");
	exit(0);
}

static struct process process_start(unsigned rank, unsigned size, const struct kind *kind)
{
	struct process child, parent;
	int order[2], answer[2];

	check(pipe2(order, O_CLOEXEC) == 0, "pipe");
	check(pipe2(answer, O_CLOEXEC) == 0, "pipe");
	parent = (struct process){ .order = order[1], .answer = answer[0] };
	child = (struct process){ .order = order[0], .answer = answer[1] };
	parent.pid = fork();
	check(parent.pid >= 0, "fork");
	if (parent.pid == 0) {
		close(parent.order);
		close(parent.answer);
		process_run(&child, rank, size, kind);
	}
	close(child.order);
	close(child.answer);
	return parent;
}

static struct usage answer_wait(const struct process *process)
{
	struct usage usage;

	check(read(process->answer, &usage, sizeof(usage)) == sizeof(usage), "a process ended");
	return usage;
}

static void order_give(const struct process *process, unsigned order)
{
	check(write(process->order, &order, sizeof(order)) == sizeof(order), "write");
}

/* ---- measuring ---- */

struct cost {
	double home_us, client_us, home_switches, client_switches, wall_us;
};

static void turn(const struct process *process, unsigned clients, const struct kind *kind,
		 struct cost *best)
{
	unsigned each = kind->ops / clients;
	double ops = (double)each * clients * kind->each;
	struct usage before, after, client = { 0 };
	uint64_t start;

	order_give(&process[0], 0);
	before = answer_wait(&process[0]);
	start = clock_now_ns();
	for (unsigned i = 1; i <= clients; i++)
		order_give(&process[i], each);
	for (unsigned i = 1; i <= clients; i++) {
		struct usage one = answer_wait(&process[i]);

		client.cpu_us += one.cpu_us;
		client.switches += one.switches;
	}
	start = clock_now_ns() - start;
	order_give(&process[0], 0);
	after = answer_wait(&process[0]);
	if (best->home_us > 0 && (after.cpu_us - before.cpu_us) / ops >= best->home_us)
		return;
	*best = (struct cost){ .home_us = (after.cpu_us - before.cpu_us) / ops,
			       .client_us = client.cpu_us / ops,
			       .home_switches = (after.switches - before.switches) / ops,
			       .client_switches = client.switches / ops,
			       .wall_us = (double)start / 1e3 / ops };
}

static struct cost cost_of(const struct kind *kind, unsigned clients)
{
	struct process process[CLIENT_MAX + 1];
	struct cost best = { 0 };
	int status;

	for (unsigned i = 0; i <= clients; i++)
		process[i] = process_start(i, clients + 1, kind);
	for (unsigned i = 0; i <= clients; i++)
		answer_wait(&process[i]);
	for (unsigned i = 0; i < turns; i++)
		turn(process, clients, kind, &best);
	/* The home last: it answers until then. */
	for (unsigned i = clients + 1; i-- > 0;)
		close(process[i].order);
	for (unsigned i = clients + 1; i-- > 0;) {
		close(process[i].answer);
		check(waitpid(process[i].pid, &status, 0) == process[i].pid && status == 0,
		      "a process failed");
	}
	return best;
}

static void kind_run(const struct kind *kind)
{
	double first = 0;

	for (unsigned i = 0; i < count_count; i++) {
		struct cost cost = cost_of(kind, client_count[i]);

		first = i == 0 ? cost.home_us : first;
		printf("%s,%u,%.2f,%.2f,%.2f,%.2f,%.2f,%.2f\n", kind->name, client_count[i],
		       cost.home_us, cost.client_us, cost.home_switches, cost.client_switches,
		       cost.wall_us, first > 0 ? cost.home_us / first : 0);
		fflush(stdout);
	}
}

static void clients_parse(char *text)
{
	char *rest, *word = strtok_r(text, ",", &rest);

	for (count_count = 0; word && count_count < COUNT_MAX; word = strtok_r(NULL, ",", &rest)) {
		unsigned long value = strtoul(word, NULL, 10);

		check(value > 0 && value <= CLIENT_MAX, "--clients: 1 to 64");
		client_count[count_count++] = (unsigned)value;
	}
}

static void options(int argc, char **argv)
{
	for (int i = 1; i < argc; i += 2) {
		check(i + 1 < argc, "usage: bench-served [--clients N,...] [--kind NAME] "
				    "[--turns N]");
		if (strcmp(argv[i], "--clients") == 0)
			clients_parse(argv[i + 1]);
		else if (strcmp(argv[i], "--kind") == 0)
			kind_only = argv[i + 1];
		else if (strcmp(argv[i], "--turns") == 0)
			turns = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else
			check(false, "unknown option");
	}
	check(turns > 0 && count_count > 0, "nothing to do");
}

int main(int argc, char **argv)
{
	options(argc, argv);
	check(strcmp(FARBUS_BUILD_TYPE, "Debug") != 0, "a Debug build is not measured");
	setenv("FARBUS_JOIN", "127.0.0.1:47131", 0);
	setenv("FARBUS_TRANSPORT", "tcp", 0);
	setenv("FARBUS_SPIN_US", "0", 0);
	printf("# %s, %s, %s, FARBUS_SPIN_US=%s, best of %u turns\n", FARBUS_BUILD_TYPE,
	       FARBUS_COMMIT, getenv("FARBUS_TRANSPORT"), getenv("FARBUS_SPIN_US"), turns);
	printf("kind,clients,home_us,client_us,home_switches,client_switches,wall_us,ratio\n");
	fflush(stdout);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!kind_only[0] || strcmp(kind_only, kinds[i].name) == 0)
			kind_run(&kinds[i]);
	return 0;
}
