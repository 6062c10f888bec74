/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agg.c -- what the aggregator costs per packet, beside DPDK's rte_gro in the same run
 *
 *   bench-nic-agg [ROUNDS]
 *
 * Each round runs every system once over the same bursts, one after the other; what is printed is the
 * median over the bursts of all rounds. ns per packet; the headers are in the first-level cache, where
 * making the burst ready left them.
 *
 *   touch         one load from each header, nothing else
 *   sum           the sum of each payload, nothing else: what verification costs at least
 *   ns            ours, packets linked, as rte_gro links mbufs
 *   verify        the same, every checksum verified
 *   copy_verify   every byte copied to where it goes, verified on the way
 *   peer          rte_gro_reassemble_burst(), which verifies nothing
 *   peer_copy     the same, and then every byte copied
 *   ratios        ns / peer, verify / peer, copy_verify / peer_copy
 */
#include "nicdrv/device/agg.h"
#include "base/clock.h"
#include "traffic.h"

#include <farbus-build/commit.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS_MAX 2000

/* A packet of a chain, as an mbuf would be. */
struct node {
	struct node *next;
	struct nic_packet packet;
};

enum system {
	SYSTEM_FLOOR,
	SYSTEM_SUM,
	SYSTEM_PLAIN,
	SYSTEM_VERIFY,
	SYSTEM_COPY, /* verifies while it copies */
	SYSTEM_PEER,
	SYSTEM_PEER_COPY,
	SYSTEM_COUNT
};

struct bench {
	struct nic_agg *agg[SYSTEM_COUNT];
	struct node node[TRAFFIC_PACKETS];
	struct nic_packet packet[TRAFFIC_PACKETS];
	unsigned published;
	bool peer;
	double sample[SYSTEM_COUNT][ROUNDS_MAX * TRAFFIC_BURSTS];
	unsigned out[SYSTEM_COUNT];
};

static int chain_place(void *sink, struct nic_slot *slot, const struct nic_piece *piece,
		       uint32_t *ret_sum)
{
	struct node *node = piece->packet->cookie;

	(void)sink;
	node->next = NULL;
	if (slot->word[0])
		((struct node *)(uintptr_t)slot->word[1])->next = node;
	else
		slot->word[0] = (uintptr_t)node;
	slot->word[1] = (uintptr_t)node;
	nic_piece_sum(piece, ret_sum);
	return 0;
}

static void chain_unplace(void *sink, struct nic_slot *slot, const struct nic_piece *piece)
{
	(void)sink, (void)slot, (void)piece;
	abort(); /* there are no wrong checksums here */
}

static void chain_publish(void *sink, struct nic_slot *slot, const struct nic_aggregate *aggregate)
{
	struct bench *bench = sink;
	struct node *first = (struct node *)(uintptr_t)slot->word[0];

	/* What a driver would do: the header of the first packet becomes that of all. */
	if (aggregate->header)
		memcpy((uint8_t *)(uintptr_t)first->packet.data, aggregate->header,
		       aggregate->header_len);
	bench->published++;
}

static const struct nic_sink_ops chain_ops = { chain_place, chain_unplace, chain_publish };

/* ---- a sink that copies to where the bytes go, as a device does ---- */

static uint8_t copied[TRAFFIC_BURST * 2048] __attribute__((aligned(64)));
static uint8_t *copied_to;

static int copy_place(void *sink, struct nic_slot *slot, const struct nic_piece *piece,
		      uint32_t *ret_sum)
{
	bool first = piece->position == NIC_HEAD;

	(void)sink;
	if (first) {
		slot->word[0] = (uintptr_t)copied_to;
		memcpy(copied_to, piece->packet->data, piece->header_len);
		copied_to += piece->header_len;
	}
	*ret_sum = piece->csum->copy(copied_to, piece->packet->data + piece->header_len,
				     piece->payload_len);
	copied_to += piece->payload_len;
	return 0;
}

static void copy_publish(void *sink, struct nic_slot *slot, const struct nic_aggregate *aggregate)
{
	struct bench *bench = sink;

	if (aggregate->header)
		memcpy((void *)(uintptr_t)slot->word[0], aggregate->header, aggregate->header_len);
	bench->published++;
}

static const struct nic_sink_ops copy_ops = { copy_place, chain_unplace, copy_publish };

static unsigned floor_touch(const struct bench *bench, unsigned burst)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < TRAFFIC_BURST; i++)
		sum += bench->packet[burst * TRAFFIC_BURST + i].data[60];
	return sum;
}

static unsigned floor_sum(const struct bench *bench, unsigned burst)
{
	const struct csum_ops *csum = csum_best();
	unsigned sum = 0;

	for (unsigned i = 0; i < TRAFFIC_BURST; i++)
		sum += csum->sum(bench->packet[burst * TRAFFIC_BURST + i].data + TRAFFIC_HEADER,
				 TRAFFIC_FRAME - TRAFFIC_HEADER);
	return sum;
}

static unsigned agg_burst(struct bench *bench, enum system system, unsigned burst)
{
	bench->published = 0;
	copied_to = copied;
	nic_agg_input_burst(bench->agg[system], &bench->packet[burst * TRAFFIC_BURST],
			    TRAFFIC_BURST, 1);
	nic_agg_flush(bench->agg[system]);
	return bench->published;
}

static void run_burst(struct bench *bench, enum system system, unsigned burst, double *ret_sample)
{
	static volatile unsigned sink;
	uint64_t start = clock_now_ns();
	unsigned out;

	if (system == SYSTEM_FLOOR)
		out = floor_touch(bench, burst);
	else if (system == SYSTEM_SUM)
		out = floor_sum(bench, burst);
	else if (system == SYSTEM_PEER_COPY)
		out = peer_merge_copy(burst, copied);
	else if (system == SYSTEM_PEER)
		out = peer_merge(burst);
	else
		out = agg_burst(bench, system, burst);
	*ret_sample = (double)(clock_now_ns() - start) / TRAFFIC_BURST;
	sink = out;
	(void)sink;
	bench->out[system] = out;
}

static uint8_t *frame_at(struct bench *bench, unsigned index)
{
	static uint8_t own[TRAFFIC_PACKETS][2176] __attribute__((aligned(64)));

	return bench->peer ? peer_frame(index) : own[index] + 128;
}

static void frames_write(struct bench *bench, const struct traffic_pattern *pattern)
{
	for (unsigned i = 0; i < TRAFFIC_PACKETS; i++) {
		uint8_t *frame = frame_at(bench, i);

		traffic_write(pattern, i, frame);
		bench->packet[i] = (struct nic_packet){ .data = frame,
							.len = TRAFFIC_FRAME,
							.cookie = &bench->node[i] };
		bench->node[i].packet = bench->packet[i];
	}
}

/* As received: whatever was merged into the headers is undone. */
static void burst_ready(struct bench *bench, const struct traffic_pattern *pattern, unsigned burst)
{
	static uint8_t header[TRAFFIC_PACKETS][TRAFFIC_HEADER];
	static const struct traffic_pattern *kept;

	if (kept != pattern)
		for (unsigned i = 0; i < TRAFFIC_PACKETS; i++)
			memcpy(header[i], bench->packet[i].data, TRAFFIC_HEADER);
	kept = pattern;
	if (bench->peer)
		peer_ready(burst);
	for (unsigned i = 0; i < TRAFFIC_BURST; i++) {
		unsigned index = burst * TRAFFIC_BURST + i;

		memcpy((uint8_t *)(uintptr_t)bench->packet[index].data, header[index],
		       TRAFFIC_HEADER);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *sample, unsigned count)
{
	qsort(sample, count, sizeof(*sample), compare);
	return sample[count / 2];
}

static void pattern_run(struct bench *bench, const struct traffic_pattern *pattern, unsigned rounds)
{
	unsigned systems = bench->peer ? SYSTEM_COUNT : SYSTEM_PEER, n = 0;
	double ns[SYSTEM_COUNT] = { 0 };

	frames_write(bench, pattern);
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned burst = 0; burst < TRAFFIC_BURSTS; burst++, n++)
			for (unsigned s = 0; s < systems; s++) {
				burst_ready(bench, pattern, burst);
				run_burst(bench, s, burst, &bench->sample[s][n]);
			}
	for (unsigned s = 0; s < systems; s++)
		ns[s] = median(bench->sample[s], n);
	printf("%s,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f", pattern->name,
	       (double)TRAFFIC_BURST / bench->out[SYSTEM_PLAIN], ns[SYSTEM_FLOOR], ns[SYSTEM_SUM],
	       ns[SYSTEM_PLAIN], ns[SYSTEM_VERIFY], ns[SYSTEM_COPY]);
	if (bench->peer)
		printf(",%.1f,%.1f,%.1f,%.2f,%.2f,%.2f",
		       (double)TRAFFIC_BURST / bench->out[SYSTEM_PEER], ns[SYSTEM_PEER],
		       ns[SYSTEM_PEER_COPY], ns[SYSTEM_PLAIN] / ns[SYSTEM_PEER],
		       ns[SYSTEM_VERIFY] / ns[SYSTEM_PEER], ns[SYSTEM_COPY] / ns[SYSTEM_PEER_COPY]);
	printf("\n");
}

/* ours: SYSTEM_PLAIN, SYSTEM_VERIFY and SYSTEM_COPY. */
static int aggs_new(struct bench *bench)
{
	struct nic_agg_conf plain = { .seed = 1 }, verify = { .flags = NIC_AGG_VERIFY, .seed = 1 };
	int err = nic_agg_new(&plain, &chain_ops, bench, &bench->agg[SYSTEM_PLAIN]);

	if (err == 0)
		err = nic_agg_new(&verify, &chain_ops, bench, &bench->agg[SYSTEM_VERIFY]);
	if (err == 0)
		err = nic_agg_new(&verify, &copy_ops, bench, &bench->agg[SYSTEM_COPY]);
	return err;
}

int main(int argc, char **argv)
{
	static struct bench bench;
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 300;

	if (strcmp(FARBUS_BUILD_TYPE, "Debug") == 0) {
		fprintf(stderr,
			"a Debug build says nothing: build with -DCMAKE_BUILD_TYPE=Release\n");
		return 77;
	}
	if (rounds == 0 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: bench-nic-agg [ROUNDS from 1 to %d]\n", ROUNDS_MAX);
		return 2;
	}
	bench.peer = peer_open(argv[0]);
	if (aggs_new(&bench) < 0)
		return 1;
	printf("# %s %s, sums by %s, peer: %s\n", FARBUS_BUILD_TYPE, FARBUS_COMMIT,
	       csum_best()->name, bench.peer ? "rte_gro, no verification" : "none");
	printf("pattern,merged,touch_ns,sum_ns,ns,verify_ns,copy_verify_ns%s\n",
	       bench.peer ? ",peer_merged,peer_ns,peer_copy_ns,ratio,verify_ratio,copy_ratio" : "");
	for (unsigned i = 0; i < traffic_pattern_count; i++)
		pattern_run(&bench, &traffic_patterns[i], rounds);
	for (unsigned s = 0; s < SYSTEM_COUNT; s++)
		nic_agg_free(bench.agg[s]);
	return 0;
}
