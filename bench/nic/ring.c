/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring.c -- what a packet costs the process that receives it: links alone, or parsing
 *
 *   bench-nic-ring [ROUNDS]
 *
 * The same packets go through two rings. From the one a process takes aggregates, linked from control
 * fields; from the other single packets, and it has to find out itself which flow each belongs to and
 * link it there: it parses the headers and looks the flow up. Both give the buffers back. Measured
 * is the process alone, ns per packet, the median over all rounds. "warm": all is in the caches of the
 * one thread that runs both sides; "cold": fields, posts and packets are not, as when a NIC or another
 * core wrote them; each pays for the lines it reads.
 */
#include "nicdrv/ring/ring.h"
#include "base/clock.h"
#include "nicdrv/device/agg.h"
#include "traffic.h"

#include <farbus-build/commit.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUNDS_MAX 4000
#define CHAINS 32
#define FLOW_SLOTS 256

struct lane {
	struct nic_ring_map map;
	struct nic_ring_device *device;
	struct nic_ring_host *host;
	struct nic_agg *agg;
	double sample[ROUNDS_MAX];
	unsigned chains;
};

/* What a parsing process keeps of a flow. */
struct flow {
	struct nic_key key;
	struct nic_mbuf *last;
	uint32_t next_seq, packets;
};

static struct flow flows[FLOW_SLOTS];
static uint8_t frames[TRAFFIC_BURST][2048];

static int lane_open(struct lane *lane, uint32_t segment_max, uint32_t buffer_size)
{
	struct nic_ring_conf conf = { .buffer_count = 2 * TRAFFIC_BURST,
				      .buffer_size = buffer_size };
	struct nic_agg_conf agg = { .segment_max = segment_max, .flags = NIC_AGG_VERIFY };
	int fd, err = nic_ring_create(&conf, &fd);

	if (err == 0) {
		err = nic_ring_map(fd, &lane->map);
		close(fd);
	}
	if (err == 0)
		err = nic_ring_device_new(&lane->map, &lane->device);
	if (err == 0)
		err = nic_ring_host_new(&lane->map, &lane->host);
	if (err == 0)
		err = nic_agg_new(&agg, &nic_ring_sink_ops, lane->device, &lane->agg);
	return err;
}

static void lane_close(struct lane *lane)
{
	nic_agg_free(lane->agg);
	nic_ring_device_free(lane->device);
	nic_ring_host_free(lane->host);
	nic_ring_unmap(&lane->map);
}

/* Out of the caches, every line that the other side writes. */
static void lines_flush(const void *from, size_t len)
{
#ifdef __x86_64__
	for (size_t i = 0; i < len; i += 64)
		__builtin_ia32_clflush((const uint8_t *)from + i);
	__builtin_ia32_mfence();
#else
	(void)from, (void)len;
#endif
}

static void lane_chill(const struct lane *lane)
{
	lines_flush(lane->map.memory, lane->map.size);
}

static void lane_fill(struct lane *lane)
{
	struct nic_packet packet[TRAFFIC_BURST];

	for (unsigned i = 0; i < TRAFFIC_BURST; i++)
		packet[i] = (struct nic_packet){ .data = frames[i], .len = TRAFFIC_FRAME };
	nic_agg_input_burst(lane->agg, packet, TRAFFIC_BURST, 0);
	nic_agg_flush(lane->agg);
}

/* Finds the flow and puts the packet behind what is there. */
static void parse_one(const struct nic_chain *chain)
{
	struct nic_parsed parsed;

	nic_parse(chain->first->data, chain->len, NIC_WANT_TCP4 | NIC_WANT_TCP6, &parsed);
	uint64_t hash = (parsed.key.word[0] ^ parsed.key.word[4]) * 0x9e3779b97f4a7c15;
	struct flow *flow = &flows[hash >> 56];
	while (flow->packets && !nic_key_equal(&flow->key, &parsed.key))
		flow = flow + 1 < flows + FLOW_SLOTS ? flow + 1 : flows;
	if (flow->packets++ == 0)
		flow->key = parsed.key;
	else if (parsed.seq == flow->next_seq && flow->last)
		flow->last->next = chain->first;
	flow->next_seq = parsed.seq + parsed.payload_len;
	flow->last = chain->first;
}

/* Receives and gives back a burst; ns per packet. */
static double lane_drain(struct lane *lane, bool parse)
{
	static struct nic_chain chains[TRAFFIC_BURST];
	uint64_t start = clock_now_ns();
	unsigned total = 0;
	int count;

	while ((count = nic_ring_host_recv(lane->host, chains + total, CHAINS)) > 0) {
		for (int i = 0; parse && i < count; i++)
			parse_one(&chains[total + (unsigned)i]);
		total += (unsigned)count;
		if (total + CHAINS > TRAFFIC_BURST)
			break;
	}
	uint64_t linked = clock_now_ns() - start;
	/* Links of the parser would confuse the giving back, which takes one chain at a time. */
	for (unsigned i = 0; parse && i < total; i++)
		chains[i].first->next = NULL;
	start = clock_now_ns();
	for (unsigned i = 0; i < total; i++)
		if (nic_ring_host_release(lane->host, &chains[i]) < 0)
			abort();
	lane->chains = total;
	return (double)(linked + clock_now_ns() - start) / TRAFFIC_BURST;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(struct lane *lane, unsigned count)
{
	qsort(lane->sample, count, sizeof(double), compare);
	return lane->sample[count / 2];
}

static int pattern_run(const struct traffic_pattern *pattern, uint32_t buffer_size, bool cold,
		       unsigned rounds)
{
	static struct lane whole, single;

	for (unsigned i = 0; i < TRAFFIC_BURST; i++)
		traffic_write(pattern, i, frames[i]);
	if (lane_open(&whole, 0, buffer_size) < 0 || lane_open(&single, 1, 2048) < 0)
		return -1;
	memset(flows, 0, sizeof(flows));
	for (unsigned i = 0; i < rounds; i++) {
		lane_fill(&whole);
		if (cold)
			lane_chill(&whole);
		whole.sample[i] = lane_drain(&whole, false);
		lane_fill(&single);
		if (cold)
			lane_chill(&single);
		single.sample[i] = lane_drain(&single, true);
		for (unsigned f = 0; f < FLOW_SLOTS; f++)
			flows[f].last = NULL;
	}
	double link = median(&whole, rounds), parse = median(&single, rounds);
	printf("%s,%u,%s,%.1f,%.2f,%.2f,%.2f\n", pattern->name, buffer_size, cold ? "cold" : "warm",
	       (double)TRAFFIC_BURST / whole.chains, link, parse, link / parse);
	lane_close(&whole);
	lane_close(&single);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 300;

	if (strcmp(FARBUS_BUILD_TYPE, "Debug") == 0) {
		fprintf(stderr,
			"a Debug build says nothing: build with -DCMAKE_BUILD_TYPE=Release\n");
		return 77;
	}
	if (rounds == 0 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: bench-nic-ring [ROUNDS from 1 to %d]\n", ROUNDS_MAX);
		return 2;
	}
	printf("# %s %s\n", FARBUS_BUILD_TYPE, FARBUS_COMMIT);
	printf("pattern,buffer_size,caches,merged,ring_ns_per_pkt,parse_ns_per_pkt,ratio\n");
	for (unsigned i = 0; i < traffic_pattern_count * 4; i++)
		if (pattern_run(&traffic_patterns[i / 4], i & 2 ? 16384 : 2048, i & 1, rounds) < 0)
			return 1;
	return 0;
}
