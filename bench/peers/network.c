/* SPDX-License-Identifier: BSD-3-Clause */
/* network.c -- floors over a network: what bare TCP needs to a process that sleeps in epoll */
#include "network.h"

#include "apps/farbus-perf/tcp_floor.h"
#include "peers.h"

#include <unistd.h>

#define STREAM_MIN ((size_t)64 << 10) /* shorter gets are compared with a round trip */

static struct tcp_floor *bare;
static char *local;

uint64_t peers_walk_next(struct peers_walk *walk)
{
	uint64_t off = walk->cursor;

	walk->cursor = (off + walk->piece) % PEERS_LEN;
	return off;
}

int network_open(char *memory)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	local = memory;
	return tcp_floor_open(cpus > 1 ? 1 : 0, PEERS_LEN, &bare);
}

static size_t piece_of(const struct peers_walk *walk)
{
	return walk->piece ? walk->piece : 8;
}

int network_round(void *arg, uint64_t count)
{
	struct peers_walk *walk = arg;
	int err = 0;

	for (uint64_t i = 0; i < count && err == 0; i++)
		err = tcp_floor_round(bare, local, local, piece_of(walk));
	return err;
}

/* As many pieces as there is memory in a row for. */
static uint64_t run_next(struct peers_walk *walk, uint64_t *count)
{
	size_t piece = piece_of(walk);
	uint64_t off = walk->cursor, most = (PEERS_LEN - off) / piece;

	*count = *count < most ? *count : most;
	walk->cursor = (off + *count * piece) % PEERS_LEN;
	return off;
}

int network_put(void *arg, uint64_t count)
{
	struct peers_walk *walk = arg;
	size_t piece = piece_of(walk);
	int err = 0;

	while (count && err == 0) {
		uint64_t n = count, off = run_next(walk, &n);

		err = tcp_floor_stream(bare, off, local + off, n * piece, piece);
		count -= n;
	}
	return err < 0 ? err : tcp_floor_settle(bare);
}

int network_get(void *arg, uint64_t count)
{
	struct peers_walk *walk = arg;
	size_t piece = piece_of(walk);
	int err = 0;

	while (count && err == 0) {
		uint64_t n = piece < STREAM_MIN ? 1 : count, off = run_next(walk, &n);

		err = tcp_floor_fetch(bare, off, local + off, n * piece);
		count -= n;
	}
	return err;
}
