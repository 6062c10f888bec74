/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pair.h -- the two instances: one measures, the other has the memory and sleeps
 *
 * Rank 0 is the initiator, rank 1 the target. The initiator has the target's memory twice: as a
 * region, which farbus accesses, and as a window, for floors. So both meet the same bytes in the
 * same places; memory of its own would be a tenth faster or slower by luck.
 *
 * Threads: owner thread.
 */
#ifndef FARBUS_PERF_PAIR_H
#define FARBUS_PERF_PAIR_H

#include "apps/farbus-perf/options.h"

#include <farbus/farbus.h>
#include <sys/types.h>

struct pair_memory {
	struct farbus_region *region;
	uint8_t *window; /* the same bytes for floors; plain memory where they can't be mapped */
	size_t len;
	bool plain; /* window is plain memory */
};

struct pair {
	struct farbus *farbus;
	struct pair_memory memory;
	struct pair_memory stream; /* far longer than any cache */
	uint8_t *local;		   /* what is put, where is got: as long as the longer of them */
	size_t local_len;
	struct farbus_region_info info;
	int cpu;		     /* -1: not pinned */
	int cpu_target;		     /* -1: not known */
	struct tcp_floor *tcp_floor; /* owned; NULL: the path is not through a TCP network */
	pid_t target;		     /* 0: a launcher started it */
};

/* Did a launcher start this process? */
bool pair_launched(void);

/*
 * Pins the calling thread to a CPU; cpu < 0: to the index-th of those this process may use.
 * Writes the CPU, or -1 when the kernel does not let it.
 */
void pair_pin(int cpu, int index, int *ret_cpu);

/*
 * Joins. Under a launcher every rank calls this; otherwise the initiator does, which starts the
 * target from argv, and the target, with options->target. *ret_pair is NULL in the target, when
 * the initiator is gone and all is done. With stream the long region is there, too.
 * Errors: what farbus says, with the text in error_text().
 * Ownership: the caller owns *ret_pair until pair_close().
 */
int pair_open(const struct options *options, char **argv, bool stream, struct pair **ret_pair);

/* Takes NULL. Waits, bounded, for a target it started. Errors: -ECHILD the target failed. */
int pair_close(struct pair *pair);

#endif
