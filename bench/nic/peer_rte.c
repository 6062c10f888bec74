/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer_rte.c -- DPDK's rte_gro on the same frames
 *
 * rte_gro_reassemble_burst() merges within a burst and verifies no checksum; what it chained and
 * wrote is undone before a burst is used again, outside of what is measured.
 */
#include "traffic.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_gro.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <string.h>

static struct rte_mbuf *mbufs[TRAFFIC_PACKETS], *burst_now[TRAFFIC_BURST];
static uint8_t header[TRAFFIC_PACKETS][TRAFFIC_HEADER];
static bool kept;

bool peer_open(char *name)
{
	static char *argv[] = { NULL,
				(char *)"--no-huge",
				(char *)"-m",
				(char *)"64",
				(char *)"--no-pci",
				(char *)"--no-shconf",
				(char *)"--no-telemetry",
				(char *)"-l",
				(char *)"0",
				(char *)"--log-level=3" };

	argv[0] = name;
	if (rte_eal_init(sizeof(argv) / sizeof(argv[0]), argv) < 0) {
		fprintf(stderr, "rte_eal_init: %s\n", rte_strerror(rte_errno));
		return false;
	}
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"frames", TRAFFIC_PACKETS + 64, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!pool || rte_pktmbuf_alloc_bulk(pool, mbufs, TRAFFIC_PACKETS) < 0) {
		fprintf(stderr, "rte_pktmbuf_pool_create: %s\n", rte_strerror(rte_errno));
		return false;
	}
	return true;
}

/* Whoever asks writes the frame there, and then the header is what it is reset to. */
uint8_t *peer_frame(unsigned index)
{
	kept = false;
	return rte_pktmbuf_mtod(mbufs[index], uint8_t *);
}

static void headers_keep(void)
{
	for (unsigned i = 0; i < TRAFFIC_PACKETS; i++)
		memcpy(header[i], rte_pktmbuf_mtod(mbufs[i], uint8_t *), TRAFFIC_HEADER);
	kept = true;
}

void peer_ready(unsigned burst)
{
	if (!kept)
		headers_keep();
	for (unsigned i = 0; i < TRAFFIC_BURST; i++) {
		unsigned index = burst * TRAFFIC_BURST + i;
		struct rte_mbuf *mbuf = mbufs[index];

		mbuf->data_off = RTE_PKTMBUF_HEADROOM;
		mbuf->pkt_len = mbuf->data_len = TRAFFIC_FRAME;
		mbuf->nb_segs = 1;
		mbuf->next = NULL;
		mbuf->ol_flags = 0;
		mbuf->l2_len = 14;
		mbuf->l3_len = 20;
		mbuf->l4_len = 32;
		mbuf->packet_type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4 | RTE_PTYPE_L4_TCP;
		memcpy(rte_pktmbuf_mtod(mbuf, uint8_t *), header[index], TRAFFIC_HEADER);
		burst_now[i] = mbuf;
	}
}

unsigned peer_merge(unsigned burst)
{
	struct rte_gro_param param = { .gro_types = RTE_GRO_TCP_IPV4,
				       .max_flow_num = TRAFFIC_BURST,
				       .max_item_per_flow = TRAFFIC_BURST };

	(void)burst;
	return rte_gro_reassemble_burst(burst_now, TRAFFIC_BURST, &param);
}

unsigned peer_merge_copy(unsigned burst, uint8_t *to)
{
	unsigned count = peer_merge(burst);

	for (unsigned i = 0; i < count; i++)
		for (const struct rte_mbuf *mbuf = burst_now[i]; mbuf; mbuf = mbuf->next) {
			memcpy(to, rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len);
			to += mbuf->data_len;
		}
	return count;
}
