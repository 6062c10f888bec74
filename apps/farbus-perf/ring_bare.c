/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring_bare.c -- the least that hands cache lines from one CPU to another, in the same memory
 *
 * Built where DPDK's ring was not found. A block of batch lines has one flag, in its first line,
 * which is stored last; the consumer says how far it came after every fourth of the ring. Nothing
 * is checked, so this is what the lines themselves cost on their way.
 *
 * Ordering: the flag's release store pairs with its acquire load, the consumer's position
 * likewise.
 */
#include "apps/farbus-perf/ring_peer.h"

#include <stdlib.h>
#include <string.h>

struct line {
	uint64_t word[RING_PEER_BYTES / 8]; /* [0] the number, [7] of a block's first: the flag */
} __attribute__((aligned(64)));

struct bare {
	uint64_t taken; /* lines, in all */
	uint8_t pad[120];
	uint64_t head, tail; /* where a run begins: both sides agree, as all that was sent came */
	uint8_t pad_too[112];
	struct line line[RING_PEER_SLOTS];
} __attribute__((aligned(128)));

static void *bare_new(void)
{
	struct bare *bare = aligned_alloc(128, sizeof(*bare));

	if (bare)
		memset(bare, 0, sizeof(*bare));
	return bare;
}

static int room_wait(struct bare *bare, uint64_t end)
{
	struct ring_peer_wait wait = { 0 };

	while (end - __atomic_load_n(&bare->taken, __ATOMIC_ACQUIRE) > RING_PEER_SLOTS)
		if (ring_peer_wait(&wait) < 0)
			return -ETIMEDOUT;
	return 0;
}

static int bare_produce(void *ring, uint64_t count, unsigned batch)
{
	struct bare *bare = ring;
	uint64_t at = bare->head, room = at;

	for (uint64_t i = 0; i < count; i += batch, at += batch) {
		struct line *block = &bare->line[at % RING_PEER_SLOTS];

		if (at + batch > room) {
			room = at + RING_PEER_SLOTS / 4;
			if (room_wait(bare, room) < 0)
				return -ETIMEDOUT;
		}
		for (unsigned k = batch; k-- > 1;)
			block[k] = (struct line){ { i + k } };
		block[0].word[0] = i;
		__atomic_store_n(&block[0].word[7], at + 1, __ATOMIC_RELEASE);
	}
	bare->head = at;
	return 0;
}

/* Lines beyond count, in the last block, are numbered on: they do not count. */
static uint64_t block_sum(const struct line *block, uint64_t i, uint64_t count, unsigned batch)
{
	uint64_t sum = 0;

	for (unsigned k = 0; k < batch; k++)
		sum += i + k < count ? block[k].word[0] : 0;
	return sum;
}

static int bare_consume(void *ring, uint64_t count, unsigned batch)
{
	struct bare *bare = ring;
	uint64_t at = bare->tail, sum = 0;

	for (uint64_t i = 0; i < count; i += batch, at += batch) {
		const struct line *block = &bare->line[at % RING_PEER_SLOTS];
		struct ring_peer_wait wait = { 0 };

		while (__atomic_load_n(&block[0].word[7], __ATOMIC_ACQUIRE) != at + 1)
			if (ring_peer_wait(&wait) < 0)
				return -ETIMEDOUT;
		sum += block_sum(block, i, count, batch);
		if ((at + batch) % (RING_PEER_SLOTS / 4) < batch)
			__atomic_store_n(&bare->taken, at + batch, __ATOMIC_RELEASE);
	}
	bare->tail = at;
	__atomic_store_n(&bare->taken, at, __ATOMIC_RELEASE);
	return sum == count * (count - 1) / 2 ? 0 : -EBADMSG;
}

static const struct ring_peer bare = {
	.name = "bare lines",
	.new = bare_new,
	.free = free,
	.produce = bare_produce,
	.consume = bare_consume,
};

const struct ring_peer *ring_peer(void)
{
	return &bare;
}
