/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agg.c -- the aggregator's calls: a packet finds its flow, batches and times end
 *
 * Before anything is parsed, two guesses are tried: the flow of the packet before, and one found by
 * the bytes where addresses and ports mostly are. A guess is right if the whole header is equal under
 * the flow's mask, which says more than parsing would; so a wrong one costs a comparison, no more.
 */
#include "nicdrv/device/agg_private.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

#define FLOW_DEFAULT 1024
#define SEGMENT_DEFAULT 64
#define PREFETCH_AHEAD 4
#define GUESS_LEN (ETH_LEN + IP6_LEN + 4)

_Static_assert(NIC_AGG_FLOW_MAX <= 65536, "a guess is a flow number in 16 bits");

static const char *const close_name[NIC_CLOSE_MAX] = {
#define CLOSE(name, meaning) #name,
#include "nicdrv/device/close.def"
#undef CLOSE
};

const char *nic_close_name(unsigned close)
{
	return close < NIC_CLOSE_MAX ? close_name[close] : "?";
}

static int conf_check(const struct nic_agg_conf *conf)
{
	const unsigned want_all = NIC_WANT_TCP4 | NIC_WANT_TCP6 | NIC_WANT_UDP | NIC_WANT_VXLAN;

	if (conf->want & ~want_all)
		return error_set(-EINVAL, "aggregator: unknown kinds of packets %#x", conf->want);
	if (conf->flags & ~(unsigned)(NIC_AGG_VERIFY | NIC_AGG_CSUM_FULL))
		return error_set(-EINVAL, "aggregator: unknown flags %#x", conf->flags);
	if (conf->flow_max > NIC_AGG_FLOW_MAX)
		return error_set(-EINVAL, "aggregator: %u flows: at most %d", conf->flow_max,
				 NIC_AGG_FLOW_MAX);
	if (conf->segment_max > NIC_SEGMENT_MAX)
		return error_set(-EINVAL, "aggregator: %u packets in an aggregate: at most %d",
				 conf->segment_max, NIC_SEGMENT_MAX);
	return 0;
}

/* Multiples that make neighbouring seeds unlike each other (splitmix64). */
static void secret_make(struct nic_agg *agg, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t word = seed += 0x9e3779b97f4a7c15;

		word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
		word = (word ^ word >> 27) * 0x94d049bb133111eb;
		agg->secret[i] = word ^ word >> 31;
	}
}

static int tables_make(struct nic_agg *agg, uint32_t flow_max)
{
	uint32_t sets = 1;

	while (sets * NIC_AGG_WAYS < flow_max)
		sets *= 2;
	agg->set_mask = sets - 1;
	agg->set = alloc_aligned(_Alignof(struct nic_set), sets * sizeof(*agg->set));
	if (!agg->set)
		goto no_memory;
	agg->flow = alloc_aligned(_Alignof(struct nic_flow),
				  (size_t)sets * NIC_AGG_WAYS * sizeof(*agg->flow));
	if (agg->flow)
		return 0;
no_memory:
	return error_set(-ENOMEM, "no memory for an aggregator of %u flows", flow_max);
}

int nic_agg_new(const struct nic_agg_conf *conf, const struct nic_sink_ops *ops, void *sink,
		struct nic_agg **ret_agg)
{
	int err = conf_check(conf);
	if (err < 0)
		return err;
	struct nic_agg *agg = alloc_aligned(_Alignof(struct nic_agg), sizeof(*agg));
	if (!agg)
		return error_set(-ENOMEM, "no memory for an aggregator");
	agg->want = conf->want ? conf->want : NIC_WANT_TCP4 | NIC_WANT_TCP6;
	agg->flags = conf->flags;
	agg->segment_max = conf->segment_max ? conf->segment_max : SEGMENT_DEFAULT;
	agg->csum = csum_best();
	agg->ops = ops;
	agg->sink = sink;
	agg->hold_ns = conf->hold_ns;
	agg->oldest = agg->newest = LIST_END;
	agg->recent = &agg->none;
	secret_make(agg, conf->seed);
	err = tables_make(agg, conf->flow_max ? conf->flow_max : FLOW_DEFAULT);
	if (err < 0) {
		nic_agg_free(agg);
		return err;
	}
	*ret_agg = agg;
	return 0;
}

struct nic_agg *nic_agg_free(struct nic_agg *agg)
{
	if (!agg)
		return NULL;
	free(agg->set);
	free(agg->flow);
	free(agg);
	return NULL;
}

/* ---- input ---- */

static void all_close(struct nic_agg *agg, enum nic_close reason)
{
	while (agg->oldest != LIST_END)
		nic_close(agg, &agg->flow[agg->oldest], reason);
}

/* The place of a frame of GUESS_LEN bytes in the table of guesses. */
static inline unsigned guess_of(const uint8_t *data)
{
	unsigned type = raw16_get(data + ETH_TYPE);
	uint64_t addresses, more = 0;

	/* Where IPv4 has its addresses; IPv6 the ends of its; in others, what is there. */
	unsigned at = type == 0xdd86 ? 30 : ETH_LEN + IP4_SRC;
	if (type == 0xdd86)
		memcpy(&more, data + 46, 8);
	memcpy(&addresses, data + at, 8);
	uint64_t ports = raw32_get(data + (type == 0xdd86 ? ETH_LEN + IP6_LEN : ETH_LEN + IP4_LEN));
	return (unsigned)((addresses * 0x9e3779b97f4a7c15 + more * 0xc2b2ae3d27d4eb4f +
			   ports * 0x165667b19e3779f9) >>
			  (64 - GUESS_BITS));
}

/* The packet has ports. */
static void flow_input(struct nic_agg *agg, const struct nic_packet *packet,
		       const struct nic_parsed *parsed)
{
	bool whole = packet->flags & NIC_PACKET_CSUM_PARTIAL && agg->flags & NIC_AGG_CSUM_FULL;
	bool mergeable = parsed->mergeable && packet->gso_size == 0 && !whole;
	uint32_t hash = nic_table_hash(agg, &parsed->key);
	struct nic_flow *flow = nic_table_find(agg, &parsed->key, hash);

	if (flow && flow->open) {
		if (mergeable && nic_header_equal(flow, packet)) {
			if (nic_merge(agg, flow, packet))
				return;
		} else {
			nic_close(agg, flow, mergeable ? NIC_CLOSE_header : NIC_CLOSE_control);
		}
	}
	if (!mergeable) {
		nic_pass(agg, flow, hash, packet, parsed);
		return;
	}
	if (!flow)
		flow = nic_table_take(agg, &parsed->key, hash);
	agg->recent = flow;
	if (packet->len >= GUESS_LEN)
		agg->guess[guess_of(packet->data)] = (uint16_t)(flow - agg->flow);
	nic_open(agg, flow, packet, parsed);
}

static __attribute__((noinline)) void parsed_input(struct nic_agg *agg,
						   const struct nic_packet *packet)
{
	struct nic_parsed parsed;

	nic_parse(packet->data, packet->len, agg->want, &parsed);
	if (parsed.kind == NIC_KIND_FLOW) {
		flow_input(agg, packet, &parsed);
		return;
	}
	if (parsed.kind == NIC_KIND_FRAGMENT) {
		agg->stats.fragments++;
		all_close(agg, NIC_CLOSE_fragment);
	} else {
		agg->stats.other++;
	}
	nic_pass(agg, NULL, 0, packet, &parsed);
}

/* A flow whose header is the packet's, or NULL. */
static inline struct nic_flow *flow_guess(struct nic_agg *agg, const struct nic_packet *packet)
{
	struct nic_flow *flow = agg->recent;

	if (flow->words && nic_header_equal(flow, packet))
		return flow;
	if (packet->len < GUESS_LEN)
		return NULL;
	flow = &agg->flow[agg->guess[guess_of(packet->data)]];
	return flow->words && nic_header_equal(flow, packet) ? flow : NULL;
}

static inline void input_one(struct nic_agg *agg, const struct nic_packet *packet)
{
	FARBUS_ASSERT(packet->len - 1 < NIC_FRAME_MAX);
	agg->stats.packets++;
	agg->stats.bytes += packet->len;
	struct nic_flow *flow = flow_guess(agg, packet);
	if (flow) {
		agg->recent = flow;
		if (flow->open && nic_merge(agg, flow, packet))
			return;
		if (nic_reopen(agg, flow, packet))
			return;
	}
	parsed_input(agg, packet);
}

void nic_agg_input(struct nic_agg *agg, const struct nic_packet *packet, uint64_t now_ns)
{
	agg->now_ns = now_ns;
	input_one(agg, packet);
}

static void header_fetch(const uint8_t *data)
{
	__builtin_prefetch(data);
	__builtin_prefetch(data + 64);
}

/* The header was fetched some packets ago. */
static inline void flow_fetch(const struct nic_agg *agg, const struct nic_packet *packet)
{
	if (packet->len < GUESS_LEN)
		return;
	const struct nic_flow *flow = &agg->flow[agg->guess[guess_of(packet->data)]];
	__builtin_prefetch(flow);
	__builtin_prefetch(flow->header);
	__builtin_prefetch(flow->header + 8);
	__builtin_prefetch(flow->mask);
}

void nic_agg_input_burst(struct nic_agg *agg, const struct nic_packet *packets, uint32_t count,
			 uint64_t now_ns)
{
	agg->now_ns = now_ns;
	for (uint32_t i = 0; i < count && i < PREFETCH_AHEAD; i++)
		header_fetch(packets[i].data);
	for (uint32_t i = 0; i < count; i++) {
		if (i + PREFETCH_AHEAD < count)
			header_fetch(packets[i + PREFETCH_AHEAD].data);
		if (i + 1 < count)
			flow_fetch(agg, &packets[i + 1]);
		input_one(agg, &packets[i]);
	}
}

/* ---- time ---- */

void nic_agg_flush(struct nic_agg *agg)
{
	all_close(agg, NIC_CLOSE_batch);
}

uint64_t nic_agg_expire(struct nic_agg *agg, uint64_t now_ns)
{
	agg->now_ns = now_ns;
	while (agg->oldest != LIST_END) {
		struct nic_flow *flow = &agg->flow[agg->oldest];

		if (flow->opened_ns + agg->hold_ns > now_ns)
			return flow->opened_ns + agg->hold_ns;
		nic_close(agg, flow, NIC_CLOSE_timeout);
	}
	return 0;
}

/* ---- what happened ---- */

const struct nic_agg_stats *nic_agg_stats(const struct nic_agg *agg)
{
	return &agg->stats;
}

uint32_t nic_agg_open_count(const struct nic_agg *agg)
{
	return agg->open_count;
}

uint32_t nic_agg_flow_max(const struct nic_agg *agg)
{
	return (agg->set_mask + 1) * NIC_AGG_WAYS;
}

int nic_agg_flow(const struct nic_agg *agg, uint32_t flow, struct nic_key *ret_key,
		 struct nic_flow_stats *ret_stats)
{
	if (flow >= nic_agg_flow_max(agg) || !agg->flow[flow].used)
		return -ENOENT;
	*ret_key = agg->flow[flow].key;
	*ret_stats = agg->flow[flow].stats;
	return 0;
}
