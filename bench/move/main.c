/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- the engine of moves beside a bare copy, and how fast a guest may write
 *
 *   bench-move [MIB [TURNS]]
 *
 * Two instances in one process, memory mapped; subject and reference take turns, and the best of
 * each counts. One line of CSV per figure:
 *   figure,mib,engine,floor,ratio
 * copy, copy25: MB/s of memory, with no pages of zeros and with every fourth; the floor copies all.
 * plain: as copy, and nobody looks for zeros.
 * stop: us that a guest stood still, without its last pages; floor: the permitted 1000.
 * converge: pages per second that a guest wrote and was still moved, with 5 ms of downtime permitted;
 * floor: pages per second copied.
 */
#include "base/clock.h"
#include "runtime/move/move.h"
#include "transport/copy.h"
#include <farbus-build/commit.h>
#include <farbus/vm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 4096u
#define WAIT_MS 60000
#define DOWNTIME_MS 5 /* so that not all of the memory fits */

struct bench {
	struct farbus *farbus[2];
	struct farbus_region *region[2], *remote;
	uint8_t *memory[2];
	size_t len;
	/* the guest */
	pthread_t guest;
	_Atomic bool stop;
	bool running;
	uint64_t rate;	 /* asked for */
	uint64_t really; /* pages per second that it came to */
};

static void check(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "bench-move: %s: %s\n", what, farbus_last_error());
	exit(1);
}

static void bench_open(struct bench *bench)
{
	struct farbus_conf conf = { .job = "bench-move", .size = 2 };
	struct farbus_region_info info;
	struct farbus_token token;

	for (conf.rank = 0; conf.rank < 2; conf.rank++) {
		check(farbus_open(&conf, &bench->farbus[conf.rank]) == 0, "open");
		check(farbus_region_alloc(bench->farbus[conf.rank], bench->len, 0,
					  &bench->region[conf.rank]) == 0,
		      "alloc");
		check(farbus_region_info(bench->region[conf.rank], &info) == 0, "info");
		bench->memory[conf.rank] = info.va;
		memset(info.va, (int)conf.rank + 1, bench->len);
	}
	check(farbus_region_grant(bench->region[1], 0, bench->len, FARBUS_R | FARBUS_W, NULL,
				  &token) == 0,
	      "grant");
	check(farbus_region_import(bench->farbus[0], &token, WAIT_MS, &bench->remote) == 0,
	      "import");
	check(farbus_region_advise(bench->remote, 0, bench->len, FARBUS_ADVISE_POPULATE) == 0,
	      "populate");
}

static uint64_t engine_ns(struct bench *bench, bool zero)
{
	struct move_set set = { bench->memory[0], bench->len, bench->remote, zero };
	struct mover *mover;
	uint64_t start;

	check(move_open(bench->farbus[0], &set, 1, &mover) == 0, "move_open");
	start = clock_now_ns();
	check(move_pages(mover, 0, 0, bench->len) == 0, "move_pages");
	check(move_flush(mover, WAIT_MS) == 0, "move_flush");
	start = clock_now_ns() - start;
	move_close(mover);
	return start;
}

static uint64_t floor_ns(struct bench *bench)
{
	uint64_t start = clock_now_ns();

	copy_bytes(bench->memory[1], bench->memory[0], bench->len);
	return clock_now_ns() - start;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Returns the best copy, ns. */
static uint64_t copy_figure(struct bench *bench, const char *name, bool zero, unsigned turns)
{
	uint64_t engine = UINT64_MAX, floor = UINT64_MAX;
	double mb = (double)bench->len / 1e6;

	for (unsigned i = 0; i < turns; i++) {
		floor = lesser(floor, floor_ns(bench));
		engine = lesser(engine, engine_ns(bench, zero));
	}
	printf("%s,%zu,%.0f,%.0f,%.2f\n", name, bench->len >> 20, mb * 1e9 / (double)engine,
	       mb * 1e9 / (double)floor, (double)floor / (double)engine);
	return floor;
}

/* ---- a guest that writes pages in turn, at a rate ---- */

static void *guest_main(void *arg)
{
	struct bench *bench = arg;
	uint64_t start = clock_now_ns(), page = 0;

	while (!atomic_load(&bench->stop)) {
		uint64_t due = (clock_now_ns() - start) / NS_PER_US * bench->rate / 1000000;
		struct timespec pause = { .tv_nsec = 200000 };

		for (; page < due; page++)
			*(volatile uint8_t *)(bench->memory[0] + page * PAGE % bench->len) += 1;
		nanosleep(&pause, NULL);
	}
	bench->really = page * NS_PER_S / (clock_now_ns() - start + 1);
	return NULL;
}

static int guest_run(void *arg)
{
	struct bench *bench = arg;

	atomic_store(&bench->stop, false);
	bench->running = pthread_create(&bench->guest, NULL, guest_main, bench) == 0;
	return bench->running ? 0 : -1;
}

static int guest_pause(void *arg)
{
	struct bench *bench = arg;

	atomic_store(&bench->stop, true);
	if (bench->running)
		pthread_join(bench->guest, NULL);
	bench->running = false;
	return 0;
}

static int guest_save(void *arg, const void **ret_state, size_t *ret_len)
{
	*ret_state = arg;
	*ret_len = sizeof(struct bench);
	return 0;
}

static int guest_load(void *arg, const void *state, size_t len)
{
	(void)arg;
	(void)state;
	return len == sizeof(struct bench) ? 0 : -1;
}

static int guest_stay(void *arg)
{
	(void)arg;
	return 0;
}

static char name[32];

static void *receive_main(void *arg)
{
	static const struct farbus_vm_ops ops = { guest_pause, guest_stay, guest_save, guest_load,
						  NULL };
	struct bench *bench = arg;
	struct farbus_vm_conf conf = {
		.slot = &bench->region[1], .slot_count = 1, .ops = &ops, .vm = bench
	};
	struct farbus_vm_stats stats;
	struct farbus_vm *vm;

	check(farbus_vm_open(bench->farbus[1], &conf, &vm) == 0, "vm_open");
	(void)farbus_vm_receive(vm, name, WAIT_MS, &stats);
	farbus_vm_close(vm);
	return NULL;
}

/* One migration of a guest that writes rate pages per second. */
static int migrate(struct bench *bench, uint64_t rate, struct farbus_vm_stats *ret_stats)
{
	static const struct farbus_vm_ops ops = { guest_pause, guest_run, guest_save, guest_load,
						  NULL };
	static unsigned number;
	struct farbus_vm_conf conf = { .slot = &bench->region[0],
				       .slot_count = 1,
				       .ops = &ops,
				       .vm = bench,
				       .flags = FARBUS_VM_SCAN,
				       .downtime_ms = DOWNTIME_MS };
	struct farbus_vm *vm;
	pthread_t receiver;
	int err;

	snprintf(name, sizeof(name), "bench.%u", number++);
	bench->rate = rate;
	check(farbus_vm_open(bench->farbus[0], &conf, &vm) == 0, "vm_open");
	check(guest_run(bench) == 0, "guest");
	check(pthread_create(&receiver, NULL, receive_main, bench) == 0, "receiver");
	err = farbus_vm_send(vm, name, ret_stats);
	guest_pause(bench);
	pthread_join(receiver, NULL);
	farbus_vm_close(vm);
	return err;
}

static void stop_figure(struct bench *bench, unsigned turns)
{
	struct farbus_vm_stats stats;
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < turns; i++) {
		check(migrate(bench, 2000, &stats) == 0, "migrate");
		best = lesser(best, stats.stop_us - stats.copy_us);
	}
	printf("stop,%zu,%llu,1000,%.2f\n", bench->len >> 20, (unsigned long long)best,
	       1000.0 / (double)(best ? best : 1));
}

static void converge_figure(struct bench *bench, uint64_t copy_ns)
{
	uint64_t floor = bench->len / PAGE * NS_PER_S / copy_ns, rate = 10000, good = 0;
	struct farbus_vm_stats stats;

	while (rate < 2 * floor && migrate(bench, rate, &stats) == 0) {
		good = bench->really > good ? bench->really : good;
		rate *= 2;
	}
	printf("converge,%zu,%llu,%llu,%.2f\n", bench->len >> 20, (unsigned long long)good,
	       (unsigned long long)floor, (double)good / (double)floor);
}

int main(int argc, char **argv)
{
	struct bench bench = { .len = (argc > 1 ? strtoul(argv[1], NULL, 10) : 256) << 20 };
	unsigned turns = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 7;
	uint64_t copy_ns;

	check(strcmp(FARBUS_BUILD_TYPE, "Debug") != 0, "not in a Debug build");
	check(bench.len > 0 && turns > 0, "usage: bench-move [MIB [TURNS]]");
	bench_open(&bench);
	printf("# %s %s, best of %u turns\nfigure,mib,engine,floor,ratio\n", FARBUS_BUILD_TYPE,
	       FARBUS_COMMIT, turns);
	copy_ns = copy_figure(&bench, "copy", true, turns);
	copy_figure(&bench, "plain", false, turns);
	stop_figure(&bench, turns);
	converge_figure(&bench, copy_ns);
	for (size_t off = 0; off < bench.len; off += (size_t)4 * PAGE)
		memset(bench.memory[0] + off, 0, PAGE);
	copy_figure(&bench, "copy25", true, turns);
	check(farbus_close(bench.farbus[1]) == 0, "close");
	check(farbus_close(bench.farbus[0]) == 0, "close");
	return 0;
}
