/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * merge.c -- the rules: which packet joins an aggregate, and which ends it
 *
 * Invariants of an open flow (nic_agg_check):
 *   1. segment_count - 1 packets of gso_size bytes, and no more than one shorter, were placed
 *   2. header to end of payload, from the outermost IP header on, is at most NIC_IP_MAX
 *   3. segment_count <= segment_max
 *
 * Order within a flow: whatever may not join closes the aggregate before it is passed on itself.
 */
#include "nicdrv/device/agg_private.h"

#include "base/assert.h"
#include <errno.h>

/* The packet's checksum is the pseudo header's sum, is right, or nobody knows. */
static enum nic_trust trust_of(const struct nic_agg *agg, const struct nic_packet *packet)
{
	if (packet->flags & NIC_PACKET_CSUM_PARTIAL)
		return NIC_TRUST_PARTIAL;
	if (packet->flags & NIC_PACKET_CSUM_VALID || agg->flags & NIC_AGG_VERIFY)
		return NIC_TRUST_VALID;
	return NIC_TRUST_NONE;
}

/* Has the transport's checksum to be verified here? */
static bool verify_wanted(const struct nic_agg *agg, const struct nic_packet *packet)
{
	return agg->flags & NIC_AGG_VERIFY &&
	       !(packet->flags & (NIC_PACKET_CSUM_VALID | NIC_PACKET_CSUM_PARTIAL));
}

static uint8_t aggregate_flags(const struct nic_layout *layout, enum nic_trust trust)
{
	uint8_t flags = 0;

	if (layout->flags & NIC_LAYOUT_V6)
		flags |= NIC_AGGREGATE_V6;
	if (layout->flags & NIC_LAYOUT_UDP)
		flags |= NIC_AGGREGATE_UDP;
	if (layout->flags & NIC_LAYOUT_TUNNEL)
		flags |= NIC_AGGREGATE_TUNNEL;
	if (trust == NIC_TRUST_VALID)
		flags |= NIC_AGGREGATE_VALID;
	if (trust == NIC_TRUST_PARTIAL)
		flags |= NIC_AGGREGATE_PARTIAL;
	return flags;
}

static void publish(struct nic_agg *agg, struct nic_slot *slot,
		    const struct nic_aggregate *aggregate)
{
	agg->stats.published++;
	agg->stats.segments += aggregate->segment_count;
	agg->stats.close[aggregate->close]++;
	agg->ops->publish(agg->sink, slot, aggregate);
}

static void flow_count(const struct nic_agg *agg, struct nic_flow *flow, uint32_t packets,
		       uint64_t bytes)
{
	flow->stats.packets += packets;
	flow->stats.bytes += bytes;
	flow->stats.published++;
	flow->stats.merged += packets - 1;
	flow->stats.used_ns = agg->now_ns;
}

/* ---- the end of an aggregate ---- */

/* What is only there with two packets or more. */
static void aggregate_merged(struct nic_agg *agg, const struct nic_flow *flow,
			     struct nic_aggregate *aggregate)
{
	bool udp = flow->layout.flags & NIC_LAYOUT_UDP;

	nic_header_finish(agg, flow);
	aggregate->header = (const uint8_t *)agg->scratch;
	aggregate->gso_size = flow->gso_size;
	aggregate->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	if (udp)
		aggregate->gso_type = NIC_GSO_UDP_L4;
	else if (flow->layout.flags & NIC_LAYOUT_V6)
		aggregate->gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	if (flow->id_kind == NIC_ID_FIXED)
		aggregate->flags |= NIC_AGGREGATE_ID_FIXED;
	if (flow->outer_id_kind == NIC_ID_FIXED)
		aggregate->flags |= NIC_AGGREGATE_OUTER_ID_FIXED;
	if (!(agg->flags & NIC_AGG_CSUM_FULL)) {
		aggregate->flags &= (uint8_t)~NIC_AGGREGATE_VALID;
		aggregate->flags |= NIC_AGGREGATE_PARTIAL;
	}
}

void nic_close(struct nic_agg *agg, struct nic_flow *flow, enum nic_close reason)
{
	struct nic_aggregate aggregate = {
		.header_len = flow->layout.header_len,
		.payload_len = flow->payload_len,
		.flow = (uint32_t)(flow - agg->flow),
		.hash = flow->hash,
		.segment_count = flow->segment_count,
		.csum_start = flow->layout.l4,
		.csum_offset = flow->layout.flags & NIC_LAYOUT_UDP ? UDP_CSUM : TCP_CSUM,
		.flags = aggregate_flags(&flow->layout, flow->trust),
		.close = (uint8_t)reason,
		.layout = flow->layout,
	};

	FARBUS_ASSERT(flow->open);
	if (flow->segment_count > 1)
		aggregate_merged(agg, flow, &aggregate);
	flow->open = false;
	nic_list_remove(agg, flow);
	flow_count(agg, flow, flow->segment_count,
		   flow->payload_len + (uint64_t)flow->segment_count * flow->layout.header_len);
	publish(agg, &flow->slot, &aggregate);
}

/* ---- joining ---- */

/* The next ID of this kind; an unknown kind is found out. False: neither. */
static bool id_goes_on(uint8_t *kind, uint16_t *last, const uint8_t *ip)
{
	uint16_t id = be16_get(ip + IP4_ID), step = (uint16_t)(id - *last);
	bool dont_fragment = ip[IP4_FRAGMENT] & 0x40;

	*last = id;
	/* Without DF the ID is what keeps fragments of two datagrams apart: it has to count. */
	if (step == 0 && dont_fragment && *kind != NIC_ID_COUNTS) {
		*kind = NIC_ID_FIXED;
		return true;
	}
	if (step == 1 && *kind != NIC_ID_FIXED) {
		*kind = NIC_ID_COUNTS;
		return true;
	}
	return false;
}

/* How the flow's IDs are, were the packet part of it. */
struct ids {
	uint16_t id, outer_id;
	uint8_t kind, outer_kind;
};

static bool ids_go_on(const struct nic_flow *flow, const uint8_t *data, struct ids *ret_ids)
{
	const struct nic_layout *layout = &flow->layout;

	*ret_ids = (struct ids){ flow->id, flow->outer_id, flow->id_kind, flow->outer_id_kind };
	if (!(layout->flags & NIC_LAYOUT_V6) &&
	    !id_goes_on(&ret_ids->kind, &ret_ids->id, data + layout->l3))
		return false;
	if (!(layout->flags & NIC_LAYOUT_TUNNEL) || layout->flags & NIC_LAYOUT_OUTER_V6)
		return true;
	return id_goes_on(&ret_ids->outer_kind, &ret_ids->outer_id, data + layout->outer_l3);
}

static bool is_full(const struct nic_agg *agg, const struct nic_flow *flow, uint32_t more)
{
	const struct nic_layout *layout = &flow->layout;
	uint32_t l3 = layout->flags & NIC_LAYOUT_TUNNEL ? layout->outer_l3 : layout->l3;

	return flow->segment_count >= agg->segment_max ||
	       layout->header_len - l3 + flow->payload_len + more > NIC_IP_MAX;
}

/* Why the packet, whose header is the same, may not join; NIC_CLOSE_MAX: it may. */
static enum nic_close refusal(const struct nic_agg *agg, const struct nic_flow *flow,
			      const struct nic_packet *packet, const struct nic_lengths *lengths,
			      struct ids *ret_ids)
{
	const uint8_t *data = packet->data, *l4 = data + flow->layout.l4;
	unsigned flags = flow->layout.flags;

	if (flags & NIC_LAYOUT_UDP) {
		if (raw16_get(l4 + UDP_CSUM) == 0)
			return NIC_CLOSE_control;
	} else {
		if (be32_get(l4 + TCP_SEQ) != flow->next_seq)
			return NIC_CLOSE_sequence;
		if (raw16_get(l4 + TCP_CSUM) == 0xffff)
			return NIC_CLOSE_control;
	}
	if (flags & NIC_LAYOUT_OUTER_CSUM &&
	    raw16_get(data + flow->layout.outer_l4 + UDP_CSUM) == 0)
		return NIC_CLOSE_header;
	if (lengths->payload > flow->gso_size)
		return NIC_CLOSE_larger;
	if (packet->gso_size || trust_of(agg, packet) != flow->trust)
		return NIC_CLOSE_kind;
	if (!ids_go_on(flow, data, ret_ids))
		return NIC_CLOSE_id;
	if (is_full(agg, flow, lengths->payload))
		return NIC_CLOSE_full;
	if (agg->flags & NIC_AGG_VERIFY && !nic_network_verify(data, &flow->layout, &flow->sums))
		return NIC_CLOSE_checksum;
	return NIC_CLOSE_MAX;
}

static void payload_sum_add(struct nic_flow *flow, const uint8_t *data,
			    const struct nic_lengths *lengths)
{
	uint32_t sum = nic_payload_sum(data, &flow->layout, &flow->sums, lengths);

	flow->payload_sum += flow->payload_len & 1 ? csum_swap(sum) : sum;
}

/* What was placed is now part of the aggregate. */
static void commit(struct nic_agg *agg, struct nic_flow *flow, const struct nic_packet *packet,
		   const struct nic_lengths *lengths)
{
	if (agg->flags & NIC_AGG_CSUM_FULL)
		payload_sum_add(flow, packet->data, lengths);
	flow->segment_count++;
	flow->payload_len += lengths->payload;
	flow->next_seq += lengths->payload;
	agg->stats.merged++;
	if (flow->push)
		nic_close(agg, flow, NIC_CLOSE_push);
	else if (lengths->payload < flow->gso_size)
		nic_close(agg, flow, NIC_CLOSE_shorter);
	else if (flow->segment_count == agg->segment_max)
		nic_close(agg, flow, NIC_CLOSE_full);
}

bool nic_merge(struct nic_agg *agg, struct nic_flow *flow, const struct nic_packet *packet)
{
	const struct nic_layout *layout = &flow->layout;
	struct nic_lengths lengths;
	struct ids ids;
	uint32_t sum = 0;

	if (!nic_lengths_get(packet, layout, &lengths)) {
		nic_close(agg, flow, NIC_CLOSE_control);
		return false;
	}
	enum nic_close why = refusal(agg, flow, packet, &lengths, &ids);
	if (why != NIC_CLOSE_MAX) {
		nic_close(agg, flow, why);
		return false;
	}
	bool verify = verify_wanted(agg, packet);
	bool push =
		!(layout->flags & NIC_LAYOUT_UDP) && packet->data[layout->l4 + TCP_FLAGS] & TCP_PSH;
	bool last = push || lengths.payload < flow->gso_size ||
		    flow->segment_count + 1u == agg->segment_max;
	struct nic_piece piece = {
		packet,		 verify ? agg->csum : NULL,    layout->header_len,
		lengths.payload, (uint32_t)(flow - agg->flow), last ? NIC_TAIL : NIC_MID
	};
	int err = agg->ops->place(agg->sink, &flow->slot, &piece, &sum);
	if (err < 0) {
		nic_close(agg, flow, NIC_CLOSE_room);
		agg->stats.dropped += err != -EMSGSIZE;
		return err != -EMSGSIZE;
	}
	if (verify && !nic_transport_verify(packet->data, layout, &flow->sums, &lengths, sum)) {
		agg->ops->unplace(agg->sink, &flow->slot, &piece);
		nic_close(agg, flow, NIC_CLOSE_checksum);
		return false;
	}
	flow->id = ids.id;
	flow->outer_id = ids.outer_id;
	flow->id_kind = ids.kind;
	flow->outer_id_kind = ids.outer_kind;
	flow->push = push;
	commit(agg, flow, packet, &lengths);
	return true;
}

/* ---- beginning ---- */

/* The state of a flow whose only packet this is; layout, sums and mask are there. */
static void flow_begin(struct nic_agg *agg, struct nic_flow *flow, const struct nic_packet *packet,
		       const struct nic_lengths *lengths)
{
	const struct nic_layout *layout = &flow->layout;
	const uint8_t *data = packet->data;
	bool udp = layout->flags & NIC_LAYOUT_UDP;

	flow->trust = (uint8_t)trust_of(agg, packet);
	flow->id_kind = flow->outer_id_kind = NIC_ID_UNKNOWN;
	flow->id = be16_get(data + layout->l3 + IP4_ID);
	flow->outer_id = be16_get(data + layout->outer_l3 + IP4_ID);
	flow->gso_size = (uint16_t)lengths->payload;
	flow->segment_count = 1;
	flow->payload_len = lengths->payload;
	flow->next_seq = udp ? 0 : be32_get(data + layout->l4 + TCP_SEQ) + lengths->payload;
	flow->push = !udp && data[layout->l4 + TCP_FLAGS] & TCP_PSH;
	flow->payload_sum = 0;
	flow->slot = (struct nic_slot){ { 0, 0 } };
}

/* After flow_begin(): the packet is placed, and the aggregate is open unless nothing can follow. */
static void flow_place(struct nic_agg *agg, struct nic_flow *flow, const struct nic_packet *packet,
		       const struct nic_lengths *lengths)
{
	const struct nic_layout *layout = &flow->layout;
	bool verify = verify_wanted(agg, packet), good = true;
	struct nic_piece piece = {
		packet,		  verify ? agg->csum : NULL,	layout->header_len,
		lengths->payload, (uint32_t)(flow - agg->flow), NIC_HEAD
	};
	uint32_t sum = 0;

	if (agg->ops->place(agg->sink, &flow->slot, &piece, &sum) < 0) {
		agg->stats.dropped++;
		return;
	}
	if (agg->flags & NIC_AGG_VERIFY)
		good = nic_network_verify(packet->data, layout, &flow->sums);
	if (verify)
		good &= nic_transport_verify(packet->data, layout, &flow->sums, lengths, sum);
	flow->open = true;
	flow->opened_ns = agg->now_ns;
	nic_list_append(agg, flow);
	if (!good) {
		agg->stats.checksum_bad++;
		flow->trust = NIC_TRUST_NONE;
		nic_close(agg, flow, NIC_CLOSE_single);
	} else if (flow->push) {
		nic_close(agg, flow, NIC_CLOSE_push);
	} else if (agg->flags & NIC_AGG_CSUM_FULL) {
		flow->payload_len = 0; /* this one's place is the first */
		payload_sum_add(flow, packet->data, lengths);
		flow->payload_len = lengths->payload;
	}
}

void nic_open(struct nic_agg *agg, struct nic_flow *flow, const struct nic_packet *packet,
	      const struct nic_parsed *parsed)
{
	struct nic_lengths lengths = { parsed->layout.header_len + parsed->payload_len,
				       parsed->payload_len };

	nic_header_keep(flow, packet->data, &parsed->layout);
	flow_begin(agg, flow, packet, &lengths);
	flow_place(agg, flow, packet, &lengths);
}

bool nic_reopen(struct nic_agg *agg, struct nic_flow *flow, const struct nic_packet *packet)
{
	const struct nic_layout *layout = &flow->layout;
	const uint8_t *data = packet->data;
	bool whole = packet->flags & NIC_PACKET_CSUM_PARTIAL && agg->flags & NIC_AGG_CSUM_FULL;
	struct nic_lengths lengths;

	if (packet->gso_size || whole || !nic_lengths_get(packet, layout, &lengths))
		return false;
	if (raw16_get(data + nic_transport_csum_at(layout)) ==
	    (layout->flags & NIC_LAYOUT_UDP ? 0 : 0xffff))
		return false;
	if (layout->flags & NIC_LAYOUT_OUTER_CSUM &&
	    raw16_get(data + layout->outer_l4 + UDP_CSUM) == 0)
		return false;
	nic_header_renew(flow, data);
	flow_begin(agg, flow, packet, &lengths);
	flow_place(agg, flow, packet, &lengths);
	return true;
}

/* ---- passing ---- */

/* Is it worth anything to a guest to know that the checksum of this lone packet is right? */
static enum nic_trust pass_trust(struct nic_agg *agg, const struct nic_packet *packet,
				 const struct nic_parsed *parsed)
{
	struct nic_lengths lengths;
	struct nic_sums sums;

	if (packet->flags & NIC_PACKET_CSUM_PARTIAL)
		return NIC_TRUST_PARTIAL;
	if (packet->flags & NIC_PACKET_CSUM_VALID)
		return NIC_TRUST_VALID;
	const struct nic_layout *layout = &parsed->layout;
	lengths.payload = parsed->payload_len;
	lengths.end = layout->header_len + parsed->payload_len;
	/* Options are not in the sums, and a UDP checksum of 0 says nothing. */
	if (!(agg->flags & NIC_AGG_VERIFY) || parsed->kind != NIC_KIND_FLOW || !parsed->plain)
		return NIC_TRUST_NONE;
	nic_sums_make(packet->data, layout, &sums);
	uint32_t sum = agg->csum->sum(packet->data + layout->header_len, lengths.payload);
	if (nic_network_verify(packet->data, layout, &sums) &&
	    nic_transport_verify(packet->data, layout, &sums, &lengths, sum))
		return NIC_TRUST_VALID;
	agg->stats.checksum_bad++;
	return NIC_TRUST_NONE;
}

void nic_pass(struct nic_agg *agg, struct nic_flow *flow, uint32_t hash,
	      const struct nic_packet *packet, const struct nic_parsed *parsed)
{
	struct nic_slot slot = { { 0, 0 } };
	struct nic_piece piece = { .packet = packet,
				   .payload_len = packet->len,
				   .flow = NIC_FLOW_NONE,
				   .position = NIC_SINGLE };
	uint32_t unused;

	if (agg->ops->place(agg->sink, &slot, &piece, &unused) < 0) {
		agg->stats.dropped++;
		return;
	}
	enum nic_trust trust = pass_trust(agg, packet, parsed);
	struct nic_aggregate aggregate = {
		.header_len = parsed->layout.header_len,
		.payload_len = packet->len - parsed->layout.header_len,
		.flow = flow ? (uint32_t)(flow - agg->flow) : NIC_FLOW_NONE,
		.hash = hash,
		.segment_count = 1,
		.gso_size = packet->gso_size,
		.gso_type = packet->gso_type,
		.csum_start = packet->csum_start,
		.csum_offset = packet->csum_offset,
		.flags = aggregate_flags(&parsed->layout, trust),
		.close = NIC_CLOSE_single,
		.layout = parsed->layout,
	};
	/* Of what was not parsed, its sender knows where the checksum is. */
	if (trust == NIC_TRUST_PARTIAL && packet->csum_offset == UDP_CSUM)
		aggregate.flags |= NIC_AGGREGATE_UDP;
	if (flow)
		flow_count(agg, flow, 1, packet->len);
	publish(agg, &slot, &aggregate);
}
