/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * network.h -- floors over a network: what bare TCP needs to a process that sleeps in epoll
 *
 * The one of farbus-perf, on the target's CPU. Their argument is a struct peers_walk.
 *
 * Threads: owner thread.
 */
#ifndef PEERS_NETWORK_H
#define PEERS_NETWORK_H

#include <stddef.h>
#include <stdint.h>

/* cursor: pieces walk through all of PEERS_LEN, however short a batch is. */
struct peers_walk {
	size_t piece; /* 0: 8 bytes */
	uint64_t cursor;
};

uint64_t peers_walk_next(struct peers_walk *walk);

/* memory: PEERS_LEN bytes of the initiator, borrowed. Forks. Errors: -EIO. */
int network_open(char *memory);

/* One piece there and back, each. */
int network_round(void *arg, uint64_t count);
/* A stream of pieces, until they are in memory there. */
int network_put(void *arg, uint64_t count);
/* Pieces asked for one by one; of 64 KiB and more, in one stream. */
int network_get(void *arg, uint64_t count);

#endif
