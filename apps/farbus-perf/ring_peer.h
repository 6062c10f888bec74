/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring_peer.h -- rings of descriptors, ours and one of another library, to the same measure
 *
 * Each run moves count descriptors of 64 bytes from the thread that calls produce() to the one
 * that calls consume(), batch at a time. The first word of descriptor i is i; consume() checks
 * their sum.
 *
 * Threads: one producer, one consumer.
 */
#ifndef FARBUS_PERF_RING_PEER_H
#define FARBUS_PERF_RING_PEER_H

#include "base/clock.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#define RING_PEER_SLOTS 1024
#define RING_PEER_BATCH_MAX 32
#define RING_PEER_BYTES 64

struct ring_peer {
	const char *name;
	/* Ownership: the caller owns what new() made until free(). Errors: NULL no memory. */
	void *(*new)(void);
	void (*free)(void *ring);
	/* Errors: -ETIMEDOUT the other side does not move; -EBADMSG (consume) a wrong sum. */
	int (*produce)(void *ring, uint64_t count, unsigned batch);
	int (*consume)(void *ring, uint64_t count, unsigned batch);
};

/* What ours is measured against: the other library's, or, built without one, bare lines. */
const struct ring_peer *ring_peer(void);

#define RING_PEER_SPINS 4096u
#define RING_PEER_WAIT_NS (10 * NS_PER_S)

/* What a side that cannot go on does. Zero-initialised, and again after progress. */
struct ring_peer_wait {
	unsigned spins;
	uint64_t end_ns;
};

/* Lets the other side run if it shares our CPU. Errors: -ETIMEDOUT. */
static inline int ring_peer_wait(struct ring_peer_wait *wait)
{
	uint64_t now;

	if (++wait->spins % RING_PEER_SPINS)
		return 0;
	sched_yield();
	now = clock_now_ns();
	if (wait->end_ns == 0)
		wait->end_ns = now + RING_PEER_WAIT_NS;
	return now > wait->end_ns ? -ETIMEDOUT : 0;
}

#endif
