/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring_dpdk.c -- DPDK's rte_ring, single producer and single consumer, with 64-byte elements
 *
 * In plain memory: rte_ring_init() needs no environment abstraction layer.
 */
#include "apps/farbus-perf/ring_peer.h"

#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdlib.h>

struct element {
	uint64_t word[RING_PEER_BYTES / 8];
} __attribute__((aligned(64)));

static void *dpdk_new(void)
{
	ssize_t size = rte_ring_get_memsize_elem(sizeof(struct element), RING_PEER_SLOTS);
	struct rte_ring *ring =
		size < 0 ? NULL : aligned_alloc(4096, ((size_t)size + 4095) / 4096 * 4096);

	if (ring && rte_ring_init(ring, "farbus-perf", RING_PEER_SLOTS,
				  RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
		free(ring);
		return NULL;
	}
	return ring;
}

static int dpdk_produce(void *ring, uint64_t count, unsigned batch)
{
	struct element element[RING_PEER_BATCH_MAX] = { 0 };

	for (uint64_t i = 0; i < count;) {
		unsigned n = count - i < batch ? (unsigned)(count - i) : batch, done = 0;
		struct ring_peer_wait wait = { 0 };

		for (unsigned k = 0; k < n; k++)
			element[k].word[0] = i + k;
		while (done < n) {
			unsigned went = rte_ring_sp_enqueue_burst_elem(
				ring, element + done, sizeof(struct element), n - done, NULL);

			done += went;
			if (went == 0 && ring_peer_wait(&wait) < 0)
				return -ETIMEDOUT;
		}
		i += n;
	}
	return 0;
}

static int dpdk_consume(void *ring, uint64_t count, unsigned batch)
{
	struct element element[RING_PEER_BATCH_MAX];
	struct ring_peer_wait wait = { 0 };
	uint64_t sum = 0, i = 0;

	while (i < count) {
		unsigned n = rte_ring_sc_dequeue_burst_elem(ring, element, sizeof(struct element),
							    batch, NULL);

		if (n == 0) {
			if (ring_peer_wait(&wait) < 0)
				return -ETIMEDOUT;
			continue;
		}
		for (unsigned k = 0; k < n; k++)
			sum += element[k].word[0];
		i += n;
		wait = (struct ring_peer_wait){ 0 };
	}
	return sum == count * (count - 1) / 2 ? 0 : -EBADMSG;
}

static const struct ring_peer dpdk = {
	.name = "rte_ring",
	.new = dpdk_new,
	.free = free,
	.produce = dpdk_produce,
	.consume = dpdk_consume,
};

const struct ring_peer *ring_peer(void)
{
	return &dpdk;
}
