/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * harness.c -- runs the figures, or one passive-target check, on the linked back-end
 *
 *   peers-X [--name SYSTEM] [--variant V] [--side NAME] [--quick] [--network]
 *           [--wait] [--passive put|get|fadd]
 *
 * One JSON object per line on stdout, from rank 0. A library that hangs is a result: an alarm
 * reports it and ends the process.
 *
 * Invariants:
 *   1. while "asleep" rank 1 is inside recv(2) on the side channel and in no library
 *   2. floors run on plain memory of the same size, in the same process, in turn with the subject;
 *      with --network they are bare TCP, and run while the target is asleep, whose CPU they use, too
 */
#include "apps/farbus-perf/measure.h"
#include "base/clock.h"
#include "network.h"
#include "peers.h"
#include "side.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_LIMIT_S 60
#define PASSIVE_LIMIT_S 3
#define PASSIVE_OLD 0x1111111111111111ull
#define PASSIVE_NEW 0x2222222222222222ull
#define RATE_LEN ((uint64_t)256 << 10)
#define NETWORK_TURNS 5

struct harness {
	const char *system, *passive;
	char job[64];
	bool quick, network;
	int rank, side;
	char *source; /* PEERS_LEN bytes of the initiator */
	char *plain;  /* PEERS_LEN bytes that floors write to */
};

static struct harness harness = { .system = "?", .passive = "", .side = -1 };
const char *peers_variant = "";
bool peers_wait;

const char *peers_job(void)
{
	return harness.job;
}

int peers_exchange(const void *mine, size_t len, void *ret_theirs, size_t size, size_t *ret_len)
{
	int err = side_send(harness.side, mine, len);

	if (err < 0)
		return err;
	return side_recv(harness.side, ret_theirs, size, true, ret_len);
}

/* ---- figures ----------------------------------------------------------------------------- */

static int run_put8_flush(void *arg, uint64_t count)
{
	int err = 0;

	(void)arg;
	for (uint64_t i = 0; i < count && err == 0; i++) {
		err = peers_backend.put(i * 8 % RATE_LEN, &i, sizeof(i));
		if (err == 0)
			err = peers_backend.flush();
	}
	return err;
}

static int run_get8(void *arg, uint64_t count)
{
	uint64_t value;
	int err = 0;

	(void)arg;
	for (uint64_t i = 0; i < count && err == 0; i++) {
		err = peers_backend.get(i * 8 % RATE_LEN, &value, sizeof(value));
		if (err == 0)
			err = peers_backend.flush();
		measure_keep(value);
	}
	return err;
}

static int run_fadd(void *arg, uint64_t count)
{
	uint64_t old;
	int err = 0;

	(void)arg;
	for (uint64_t i = 0; i < count && err == 0; i++)
		err = peers_backend.fadd(i * 8 % RATE_LEN, 1, &old);
	return err;
}

/* Each word lies in another line than the one before, as in farbus-perf. */
static uint64_t scattered(uint64_t i)
{
	return i * 72 % RATE_LEN;
}

static int run_put8_rate(void *arg, uint64_t count)
{
	uint64_t *source = (void *)harness.source;
	int err = 0;

	(void)arg;
	for (uint64_t i = 0; i < count && err == 0; i++)
		err = peers_backend.put(scattered(i), &source[i % 512], 8);
	return err < 0 ? err : peers_backend.flush();
}

static int run_put(void *arg, uint64_t count)
{
	struct peers_walk *figure = arg;
	int err = 0;

	for (uint64_t i = 0; i < count && err == 0; i++) {
		uint64_t off = peers_walk_next(figure);

		err = peers_backend.put(off, harness.source + off, figure->piece);
	}
	return err < 0 ? err : peers_backend.flush();
}

static int run_get(void *arg, uint64_t count)
{
	struct peers_walk *figure = arg;
	int err = 0;

	for (uint64_t i = 0; i < count && err == 0; i++) {
		uint64_t off = peers_walk_next(figure);

		err = peers_backend.get(off, harness.source + off, figure->piece);
	}
	return err < 0 ? err : peers_backend.flush();
}

static volatile uint64_t *plain_word(uint64_t i)
{
	return (volatile uint64_t *)(void *)(harness.plain + i * 8 % RATE_LEN);
}

static int floor_put8_flush(void *arg, uint64_t count)
{
	(void)arg;
	for (uint64_t i = 0; i < count; i++) {
		*plain_word(i) = i;
		measure_fence();
	}
	return 0;
}

static int floor_get8(void *arg, uint64_t count)
{
	volatile uint64_t value; /* in memory, as get leaves it */

	(void)arg;
	for (uint64_t i = 0; i < count; i++) {
		value = *plain_word(i);
		measure_fence();
	}
	(void)value;
	return 0;
}

static int floor_fadd(void *arg, uint64_t count)
{
	(void)arg;
	for (uint64_t i = 0; i < count; i++)
		measure_keep(__atomic_fetch_add(plain_word(i), 1, __ATOMIC_SEQ_CST));
	return 0;
}

static int floor_put8_rate(void *arg, uint64_t count)
{
	(void)arg;
	for (uint64_t i = 0; i < count; i++)
		*(volatile uint64_t *)(void *)(harness.plain + scattered(i)) = i;
	return 0;
}

static int floor_put(void *arg, uint64_t count)
{
	struct peers_walk *figure = arg;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t off = peers_walk_next(figure);

		memcpy(harness.plain + off, harness.source + off, figure->piece);
	}
	return 0;
}

static int floor_get(void *arg, uint64_t count)
{
	struct peers_walk *figure = arg;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t off = peers_walk_next(figure);

		memcpy(harness.source + off, harness.plain + off, figure->piece);
	}
	return 0;
}

static const struct figure {
	const char *name;
	measure_fn floor, network_floor, run;
	size_t piece; /* 0: latency or rate of 8 bytes */
	bool rate;    /* printed as a rate, ratio subject / floor */
} figures[] = {
	{ "put8_flush", floor_put8_flush, network_round, run_put8_flush, 0, false },
	{ "get8", floor_get8, network_round, run_get8, 0, false },
	{ "fadd", floor_fadd, network_round, run_fadd, 0, false },
	{ "put8_rate", floor_put8_rate, network_put, run_put8_rate, 0, true },
	{ "put_4k", floor_put, network_put, run_put, 4096, true },
	{ "put_64k", floor_put, network_put, run_put, 65536, true },
	{ "put_1m", floor_put, network_put, run_put, 1 << 20, true },
	{ "put_16m", floor_put, network_put, run_put, 16 << 20, true },
	{ "get_4k", floor_get, network_get, run_get, 4096, true },
	{ "get_64k", floor_get, network_get, run_get, 65536, true },
	{ "get_1m", floor_get, network_get, run_get, 1 << 20, true },
	{ "get_16m", floor_get, network_get, run_get, 16 << 20, true },
};

/* ns per operation to what people read: Mops/s of 8-byte puts, GB/s of pieces. */
static double figure_rate(const struct figure *figure, double ns)
{
	return figure->piece ? (double)figure->piece / ns : 1e3 / ns;
}

static void figure_print(const struct figure *figure, const struct measure_result *result)
{
	const struct measure_stat *s = &result->subject, *f = &result->floor;

	printf("{\"system\":\"%s\",\"name\":\"%s\",", harness.system, figure->name);
	if (figure->rate)
		printf("\"unit\":\"%s\",\"best\":%.3f,\"median\":%.3f,\"floor\":%.3f,",
		       figure->piece ? "GB/s" : "Mops/s", figure_rate(figure, s->min),
		       figure_rate(figure, s->median), figure_rate(figure, f->min));
	else
		printf("\"unit\":\"ns\",\"best\":%.3f,\"median\":%.3f,\"floor\":%.3f,", s->min,
		       s->median, f->min);
	printf("\"ratio\":%.4f,\"ratio_median\":%.4f,\"build\":\"%s\"}\n",
	       figure->rate ? f->min / s->min : s->min / f->min,
	       figure->rate ? f->median / s->median : s->median / f->median, FARBUS_BUILD_TYPE);
	fflush(stdout);
}

/* 'S': the target sleeps; 'P': it is in its library again, if that needs it. */
static int target_tell(char command)
{
	char answer;
	size_t len;
	int err = side_send(harness.side, &command, 1);

	return err < 0 ? err : side_recv(harness.side, &answer, 1, true, &len);
}

static int turn_measure(const struct measure_plan *plan, char target, measure_fn run,
			struct peers_walk *walk, struct measure_stat *ret_stat)
{
	struct measure_side side = { run, walk };
	struct measure_result result;
	int err = target_tell(target);

	if (err == 0)
		err = measure_pair(plan, NULL, &side, &result);
	if (err == 0)
		*ret_stat = result.subject;
	return err;
}

/* The fastest batch of all turns, and the median turn's median. */
static struct measure_stat turns_stat(const struct measure_stat *turn)
{
	struct measure_stat all = turn[0];
	double median[NETWORK_TURNS];

	for (int i = 0; i < NETWORK_TURNS; i++) {
		median[i] = turn[i].median;
		if (turn[i].min < all.min)
			all.min = turn[i].min;
	}
	all.median = measure_stat_of(median, NETWORK_TURNS).median;
	return all;
}

static int network_measure(const struct measure_plan *all, const struct figure *figure,
			   struct measure_result *ret_result)
{
	struct peers_walk walk[2] = { { .piece = figure->piece }, { .piece = figure->piece } };
	struct measure_stat floor[NETWORK_TURNS], subject[NETWORK_TURNS];
	struct measure_plan plan = *all;
	int err = 0;

	plan.budget_ns /= 2 * NETWORK_TURNS;
	for (int i = 0; i < NETWORK_TURNS && err == 0; i++) {
		err = turn_measure(&plan, 'S', figure->network_floor, &walk[0], &floor[i]);
		if (err == 0)
			err = turn_measure(&plan, 'P', figure->run, &walk[1], &subject[i]);
	}
	if (err < 0)
		return err;
	ret_result->floor = turns_stat(floor);
	ret_result->subject = turns_stat(subject);
	return 0;
}

static int memory_measure(const struct measure_plan *plan, const struct figure *figure,
			  struct measure_result *ret_result)
{
	struct peers_walk walk[2] = { { .piece = figure->piece }, { .piece = figure->piece } };
	struct measure_side floor = { figure->floor, &walk[0] };
	struct measure_side subject = { figure->run, &walk[1] };

	return measure_pair(plan, &floor, &subject, ret_result);
}

static void figures_run(void)
{
	struct measure_plan plan = { .clock = CLOCK_MONOTONIC,
				     .batch_ns = 100 * NS_PER_US,
				     .budget_ns = 300 * NS_PER_MS,
				     .round_min = 8 };
	struct measure_result result;

	if (harness.quick)
		plan.budget_ns = 30 * NS_PER_MS;
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		int err;

		alarm(RUN_LIMIT_S);
		err = harness.network ? network_measure(&plan, &figures[i], &result) :
					memory_measure(&plan, &figures[i], &result);
		alarm(0);
		if (err < 0)
			printf("{\"system\":\"%s\",\"name\":\"%s\",\"error\":\"%s\"}\n",
			       harness.system, figures[i].name, strerror(-err));
		else
			figure_print(&figures[i], &result);
		fflush(stdout);
	}
}

/* ---- passive target ---------------------------------------------------------------------- */

static void passive_print(const char *result)
{
	printf("{\"system\":\"%s\",\"name\":\"passive_%s\",\"result\":\"%s\"}\n", harness.system,
	       harness.passive, result);
	fflush(stdout);
}

/* Asks the target, which stays outside its library, for the word it sees in its memory. */
static int passive_target_word(uint64_t *ret_word)
{
	size_t len;
	int err = side_send(harness.side, "V", 1);

	if (err == 0)
		err = side_recv(harness.side, ret_word, sizeof(*ret_word), true, &len);
	if (err == 0 && len != sizeof(*ret_word))
		err = -EPROTO;
	return err;
}

/* The word an access leaves in the target's memory, and, for a fetching one, what it fetched. */
static int passive_access(uint64_t *ret_fetched, uint64_t *ret_expect)
{
	uint64_t value = PASSIVE_NEW;
	int err;

	*ret_fetched = PASSIVE_OLD;
	*ret_expect = PASSIVE_OLD;
	if (strcmp(harness.passive, "put") == 0) {
		err = peers_backend.put(0, &value, sizeof(value));
		*ret_expect = PASSIVE_NEW;
	} else if (strcmp(harness.passive, "get") == 0) {
		*ret_fetched = 0;
		err = peers_backend.get(0, ret_fetched, sizeof(*ret_fetched));
	} else {
		err = peers_backend.fadd(0, 1, ret_fetched);
		*ret_expect = PASSIVE_OLD + 1;
	}
	return err < 0 ? err : peers_backend.flush();
}

static void passive_run(void)
{
	uint64_t fetched, expect, word = 0;
	int err;

	alarm(PASSIVE_LIMIT_S);
	err = passive_access(&fetched, &expect);
	if (err < 0) {
		passive_print(err == -ENOSYS ? "unsupported" : "error");
		return;
	}
	err = passive_target_word(&word);
	alarm(0);
	if (err < 0)
		passive_print("error");
	else
		passive_print(word == expect && fetched == PASSIVE_OLD ? "yes" : "lie");
}

/* ---- the two ranks ----------------------------------------------------------------------- */

static void on_alarm(int sig)
{
	static const char tail[] = "\",\"result\":\"hangs\"}\n";
	char line[256];
	size_t n = 0;

	(void)sig;
	if (harness.rank == 0) {
		const char *part[] = { "{\"system\":\"", harness.system,
				       "\",\"name\":\"", *harness.passive ? "passive_" : "figures",
				       harness.passive,	 tail };

		for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++)
			for (const char *c = part[i]; *c && n < sizeof(line); c++)
				line[n++] = *c;
		n = (size_t)write(STDOUT_FILENO, line, n);
	}
	_exit(3);
}

/*
 * Rank 1 from here on: 'S' sleep (answer, then only recv), 'P' progress again, 'V' say the word, 'Q'
 * end.
 */
static void target_serve(void)
{
	volatile uint64_t *word = peers_backend.memory();
	bool asleep = false;
	char command;
	size_t len;
	int err;

	for (;;) {
		err = side_recv(harness.side, &command, 1, asleep || !peers_backend.progress, &len);
		if (err == -EAGAIN) {
			if (peers_wait)
				peers_backend.sleep(harness.side);
			peers_backend.progress();
			continue;
		}
		if (err < 0 || command == 'Q')
			return;
		if (command == 'S') {
			word[0] = PASSIVE_OLD;
			measure_fence();
			asleep = true;
			err = side_send(harness.side, "s", 1);
		} else if (command == 'P') {
			asleep = false;
			err = side_send(harness.side, "p", 1);
		} else if (command == 'V') {
			uint64_t value = word[0];

			err = side_send(harness.side, &value, sizeof(value));
		}
		if (err < 0)
			return;
	}
}

static int initiator_run(void)
{
	int err;

	if (*harness.passive) {
		/* Once while the target takes part: connections and keys are set up by then. */
		uint64_t warm = 0;

		err = peers_backend.get(0, &warm, sizeof(warm));
		err = err < 0 ? err : peers_backend.flush();
		err = err < 0 ? err : target_tell('S');
		if (err < 0)
			return err;
		passive_run();
	} else {
		figures_run();
	}
	return side_send(harness.side, "Q", 1);
}

static int memory_prepare(void)
{
	harness.source = mmap(NULL, PEERS_LEN, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	harness.plain = mmap(NULL, PEERS_LEN, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (harness.source == MAP_FAILED || harness.plain == MAP_FAILED)
		return -ENOMEM;
	memset(harness.source, 1, PEERS_LEN);
	return 0;
}

static void rank_pin(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)(harness.rank % (cpus > 0 ? cpus : 1)), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int rank_run(void)
{
	int err;

	signal(SIGALRM, on_alarm);
	rank_pin();
	alarm(RUN_LIMIT_S);
	err = side_open(harness.job, harness.rank, &harness.side);
	if (err == 0)
		err = memory_prepare();
	/* It forks: before the library has threads. */
	if (err == 0 && harness.network && harness.rank == 0)
		err = network_open(harness.source);
	if (err == 0)
		err = peers_backend.open(harness.rank);
	alarm(0);
	if (err < 0) {
		fprintf(stderr, "%s: rank %d: cannot start: %s\n", harness.system, harness.rank,
			strerror(-err));
		return 1;
	}
	if (harness.rank == 1)
		target_serve();
	else
		err = initiator_run();
	if (*harness.passive)
		_exit(err < 0); /* no clean-up that could wait for a target that sleeps */
	alarm(5);		/* a close that hangs is cut short: the figures are out */
	peers_backend.close(harness.rank);
	return err < 0;
}

static int forked_run(void)
{
	pid_t parent = getpid(), child;
	int err = peers_backend.prepare ? peers_backend.prepare() : 0;
	int status = 0;

	if (err < 0)
		return 1;
	child = fork();
	if (child < 0)
		return 1;
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		harness.rank = 1;
		_exit(rank_run());
	}
	err = rank_run();
	close(harness.side); /* ends a target that waits for a command */
	waitpid(child, &status, 0);
	return err || status;
}

static int options_parse(int argc, char **argv)
{
	snprintf(harness.job, sizeof(harness.job), "peers.%d", (int)getpid());
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--quick") == 0) {
			harness.quick = true;
			continue;
		}
		if (strcmp(argv[i], "--network") == 0) {
			harness.network = true;
			continue;
		}
		if (strcmp(argv[i], "--wait") == 0) {
			peers_wait = peers_backend.sleep != NULL;
			continue;
		}
		if (!value)
			return -EINVAL;
		if (strcmp(argv[i], "--name") == 0)
			harness.system = value;
		else if (strcmp(argv[i], "--variant") == 0)
			peers_variant = value;
		else if (strcmp(argv[i], "--side") == 0)
			snprintf(harness.job, sizeof(harness.job), "%s", value);
		else if (strcmp(argv[i], "--passive") == 0)
			harness.passive = value;
		else
			return -EINVAL;
		i++;
	}
	if (*harness.passive && strcmp(harness.passive, "put") != 0 &&
	    strcmp(harness.passive, "get") != 0 && strcmp(harness.passive, "fadd") != 0)
		return -EINVAL;
	return 0;
}

int main(int argc, char **argv)
{
	int err;

	if (strcmp(FARBUS_BUILD_TYPE, "Debug") == 0) {
		fprintf(stderr, "peers: a Debug build measures the wrong thing: configure with "
				"-DCMAKE_BUILD_TYPE=Release\n");
		return 2;
	}
	if (options_parse(argc, argv) < 0) {
		fprintf(stderr,
			"usage: %s [--name SYSTEM] [--variant V] [--side NAME] [--quick] "
			"[--network] [--wait] [--passive put|get|fadd]\n",
			argv[0]);
		return 2;
	}
	err = peers_backend.start ? peers_backend.start(&argc, &argv, &harness.rank) : -ENOENT;
	if (err == -ENOENT)
		return forked_run();
	return err < 0 ? 1 : rank_run();
}
