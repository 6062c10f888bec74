/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * header.c -- headers of an aggregate: the mask, the sums, and what is written when it is complete
 *
 * All numbers of a packet that its lengths, ID, sequence, PSH and payload decide are derived from
 * sums over the rest, which all packets of an aggregate share. A checksum counts as right only if
 * it is the very value that a sender computes (0xffff for 0 in UDP), because that is what comes
 * out when the aggregate is cut again.
 */
#include "nicdrv/device/agg_private.h"

#define PUSH_RAW ((uint64_t)TCP_PSH << 8) /* in the word that holds offset and flags */

/* ---- the mask ---- */

static void mask_ip(uint8_t *mask, unsigned at, bool v6)
{
	if (v6) {
		memset(mask + at + IP6_PAYLOAD, 0, 2);
		return;
	}
	memset(mask + at + IP4_TOTAL, 0, 4); /* and the ID behind it */
	memset(mask + at + IP4_CSUM, 0, 2);
}

static void mask_make(uint8_t *mask, const struct nic_layout *layout)
{
	unsigned flags = layout->flags;

	memset(mask, 0xff, layout->header_len);
	mask_ip(mask, layout->l3, flags & NIC_LAYOUT_V6);
	if (flags & NIC_LAYOUT_UDP) {
		memset(mask + layout->l4 + UDP_LENGTH, 0, 4);
	} else {
		memset(mask + layout->l4 + TCP_SEQ, 0, 4);
		memset(mask + layout->l4 + TCP_CSUM, 0, 2);
		mask[layout->l4 + TCP_FLAGS] = (uint8_t)~TCP_PSH;
	}
	if (!(flags & NIC_LAYOUT_TUNNEL))
		return;
	mask_ip(mask, layout->outer_l3, flags & NIC_LAYOUT_OUTER_V6);
	memset(mask + layout->outer_l4 + UDP_LENGTH, 0, 2);
	if (flags & NIC_LAYOUT_OUTER_CSUM)
		memset(mask + layout->outer_l4 + UDP_CSUM, 0, 2);
}

static bool layout_equal(const struct nic_layout *a, const struct nic_layout *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

void nic_header_keep(struct nic_flow *flow, const uint8_t *data, const struct nic_layout *layout)
{
	if (flow->words == 0 || !layout_equal(&flow->layout, layout)) {
		flow->layout = *layout;
		flow->words = (uint8_t)((layout->header_len + 7) / 8);
		flow->mask[flow->words - 1] = 0;
		mask_make((uint8_t *)flow->mask, layout);
	}
	nic_header_renew(flow, data);
	nic_sums_make(data, layout, &flow->sums);
}

/* Whole words, and only what is sure to be there: the last one may reach into the payload. */
void nic_header_renew(struct nic_flow *flow, const uint8_t *data)
{
	unsigned len = flow->layout.header_len, whole = len / 8;

	for (unsigned i = 0; i < whole; i++)
		memcpy(&flow->header[i], data + i * 8, 8);
	if (len % 8) {
		flow->header[whole] = 0;
		memcpy(&flow->header[whole], data + whole * 8, len % 8);
	}
}

bool nic_header_equal_short(const struct nic_flow *flow, const struct nic_packet *packet)
{
	uint64_t header[HEADER_WORDS] = { 0 };
	uint64_t differ = 0;

	if (packet->len <= flow->layout.header_len)
		return false;
	memcpy(header, packet->data, flow->layout.header_len);
	for (unsigned i = 0; i < flow->words; i++)
		differ |= (header[i] ^ flow->header[i]) & flow->mask[i];
	return differ == 0;
}

/* ---- sums ---- */

static uint64_t ip4_sum(const uint8_t *ip)
{
	return csum_header(ip, IP4_LEN) - raw16_get(ip + IP4_TOTAL) - raw16_get(ip + IP4_ID) -
	       raw16_get(ip + IP4_CSUM);
}

/* Addresses and protocol; the length is added by whoever knows it. */
static uint64_t pseudo_sum(const uint8_t *ip, bool v6, unsigned proto)
{
	uint64_t sum = v6 ? csum_header(ip + IP6_SRC, 32) : csum_header(ip + IP4_SRC, 8);

	return sum + nic_swap16(proto);
}

void nic_sums_make(const uint8_t *data, const struct nic_layout *layout, struct nic_sums *ret_sums)
{
	const uint8_t *ip = data + layout->l3, *l4 = data + layout->l4;
	bool v6 = layout->flags & NIC_LAYOUT_V6, udp = layout->flags & NIC_LAYOUT_UDP;

	ret_sums->l3 = v6 ? 0 : ip4_sum(ip);
	ret_sums->outer_l3 = 0;
	if (layout->flags & NIC_LAYOUT_TUNNEL && !(layout->flags & NIC_LAYOUT_OUTER_V6))
		ret_sums->outer_l3 = ip4_sum(data + layout->outer_l3);
	ret_sums->l4 = pseudo_sum(ip, v6, udp ? PROTO_UDP : PROTO_TCP);
	if (udp) {
		ret_sums->l4 += raw32_get(l4);
		return;
	}
	ret_sums->l4 += csum_header(l4, layout->header_len - layout->l4) - raw16_get(l4 + TCP_SEQ) -
			raw16_get(l4 + TCP_SEQ + 2) - raw16_get(l4 + TCP_CSUM);
	if (l4[TCP_FLAGS] & TCP_PSH)
		ret_sums->l4 -= PUSH_RAW;
}

uint64_t nic_transport_sum(const uint8_t *l4, const struct nic_layout *layout,
			   const struct nic_sums *sums, uint32_t l4_len)
{
	uint64_t len = nic_swap16(l4_len);

	if (layout->flags & NIC_LAYOUT_UDP)
		return sums->l4 + len + len;
	return sums->l4 + len + raw32_get(l4 + TCP_SEQ) + (l4[TCP_FLAGS] & TCP_PSH ? PUSH_RAW : 0);
}

/* ---- lengths ---- */

static uint32_t ip_end(const uint8_t *data, unsigned at, bool v6)
{
	if (v6)
		return at + IP6_LEN + be16_get(data + at + IP6_PAYLOAD);
	return at + be16_get(data + at + IP4_TOTAL);
}

bool nic_lengths_get(const struct nic_packet *packet, const struct nic_layout *layout,
		     struct nic_lengths *ret_lengths)
{
	const uint8_t *data = packet->data;
	uint32_t end = ip_end(data, layout->l3, layout->flags & NIC_LAYOUT_V6);

	if (end <= layout->header_len || end > packet->len)
		return false;
	ret_lengths->end = end;
	ret_lengths->payload = end - layout->header_len;
	if (layout->flags & NIC_LAYOUT_UDP &&
	    be16_get(data + layout->l4 + UDP_LENGTH) != end - layout->l4)
		return false;
	if (!(layout->flags & NIC_LAYOUT_TUNNEL))
		return true;
	return ip_end(data, layout->outer_l3, layout->flags & NIC_LAYOUT_OUTER_V6) == end &&
	       be16_get(data + layout->outer_l4 + UDP_LENGTH) == end - layout->outer_l4;
}

/* ---- verification ---- */

static bool ip4_verify(const uint8_t *ip, uint64_t sum)
{
	sum += raw32_get(ip + IP4_TOTAL); /* length and ID */
	return raw16_get(ip + IP4_CSUM) == nic_checksum_of(sum, false);
}

bool nic_network_verify(const uint8_t *data, const struct nic_layout *layout,
			const struct nic_sums *sums)
{
	if (!(layout->flags & NIC_LAYOUT_V6) && !ip4_verify(data + layout->l3, sums->l3))
		return false;
	if (!(layout->flags & NIC_LAYOUT_TUNNEL) || layout->flags & NIC_LAYOUT_OUTER_V6)
		return true;
	return ip4_verify(data + layout->outer_l3, sums->outer_l3);
}

/* The sum of all from the outer UDP header on, but its checksum and the payload. */
static uint64_t outer_sum(const uint8_t *data, const struct nic_layout *layout, uint32_t end)
{
	const uint8_t *udp = data + layout->outer_l4;
	uint64_t sum =
		pseudo_sum(data + layout->outer_l3, layout->flags & NIC_LAYOUT_OUTER_V6, PROTO_UDP);

	return sum + nic_swap16(end - layout->outer_l4) +
	       csum_header(udp, layout->header_len - layout->outer_l4) - raw16_get(udp + UDP_CSUM);
}

bool nic_transport_verify(const uint8_t *data, const struct nic_layout *layout,
			  const struct nic_sums *sums, const struct nic_lengths *lengths,
			  uint32_t payload_sum)
{
	uint64_t sum =
		nic_transport_sum(data + layout->l4, layout, sums, lengths->end - layout->l4) +
		payload_sum;

	if (raw16_get(data + nic_transport_csum_at(layout)) !=
	    nic_checksum_of(sum, layout->flags & NIC_LAYOUT_UDP))
		return false;
	if (!(layout->flags & NIC_LAYOUT_OUTER_CSUM))
		return true;
	sum = outer_sum(data, layout, lengths->end) + payload_sum;
	return raw16_get(data + layout->outer_l4 + UDP_CSUM) == nic_checksum_of(sum, true);
}

uint32_t nic_payload_sum(const uint8_t *data, const struct nic_layout *layout,
			 const struct nic_sums *sums, const struct nic_lengths *lengths)
{
	uint64_t rest =
		nic_transport_sum(data + layout->l4, layout, sums, lengths->end - layout->l4);
	uint32_t whole = ~(uint32_t)raw16_get(data + nic_transport_csum_at(layout)) & 0xffff;

	return csum_fold((uint64_t)whole + (~csum_fold(rest) & 0xffff));
}

/* ---- the aggregate's header ---- */

void nic_finish_ip(uint8_t *ip, bool v6, uint64_t sum, uint32_t len)
{
	if (v6) {
		be16_put(ip + IP6_PAYLOAD, len - IP6_LEN);
		return;
	}
	be16_put(ip + IP4_TOTAL, len);
	/* Not read back: a load wider than the store before it waits for the cache. */
	sum += nic_swap16(len) + raw16_get(ip + IP4_ID);
	raw16_put(ip + IP4_CSUM, nic_checksum_of(sum, false));
}

static void finish_transport(uint8_t *header, const struct nic_agg *agg,
			     const struct nic_flow *flow, uint32_t end)
{
	const struct nic_layout *layout = &flow->layout;
	bool udp = layout->flags & NIC_LAYOUT_UDP;
	uint8_t *l4 = header + layout->l4;
	uint64_t sum;

	if (udp)
		be16_put(l4 + UDP_LENGTH, end - layout->l4);
	else if (flow->push)
		l4[TCP_FLAGS] |= TCP_PSH;
	if (agg->flags & NIC_AGG_CSUM_FULL) {
		sum = nic_transport_sum(l4, layout, &flow->sums, end - layout->l4) +
		      flow->payload_sum;
		raw16_put(header + nic_transport_csum_at(layout), nic_checksum_of(sum, udp));
		return;
	}
	sum = pseudo_sum(header + layout->l3, layout->flags & NIC_LAYOUT_V6,
			 udp ? PROTO_UDP : PROTO_TCP);
	sum = csum_fold(sum + nic_swap16(end - layout->l4));
	raw16_put(header + nic_transport_csum_at(layout), (uint32_t)sum);
}

void nic_finish_outer_csum(uint8_t *header, const struct nic_layout *layout, uint32_t end)
{
	uint8_t *udp = header + layout->outer_l4;
	bool inner_udp = layout->flags & NIC_LAYOUT_UDP;
	uint64_t inner = pseudo_sum(header + layout->l3, layout->flags & NIC_LAYOUT_V6,
				    inner_udp ? PROTO_UDP : PROTO_TCP) +
			 nic_swap16(end - layout->l4);
	uint64_t sum = pseudo_sum(header + layout->outer_l3, layout->flags & NIC_LAYOUT_OUTER_V6,
				  PROTO_UDP) +
		       nic_swap16(end - layout->outer_l4);

	sum += csum_header(udp, layout->l4 - layout->outer_l4) - raw16_get(udp + UDP_CSUM);
	raw16_put(udp + UDP_CSUM, nic_checksum_of(sum + (~csum_fold(inner) & 0xffff), true));
}

void nic_header_finish(struct nic_agg *agg, const struct nic_flow *flow)
{
	const struct nic_layout *layout = &flow->layout;
	uint8_t *header = (uint8_t *)agg->scratch;
	uint32_t end = layout->header_len + flow->payload_len;

	for (unsigned i = 0; i < flow->words; i++)
		agg->scratch[i] = flow->header[i];
	nic_finish_ip(header + layout->l3, layout->flags & NIC_LAYOUT_V6, flow->sums.l3,
		      end - layout->l3);
	finish_transport(header, agg, flow, end);
	if (!(layout->flags & NIC_LAYOUT_TUNNEL))
		return;
	nic_finish_ip(header + layout->outer_l3, layout->flags & NIC_LAYOUT_OUTER_V6,
		      flow->sums.outer_l3, end - layout->outer_l3);
	be16_put(header + layout->outer_l4 + UDP_LENGTH, end - layout->outer_l4);
	if (layout->flags & NIC_LAYOUT_OUTER_CSUM)
		nic_finish_outer_csum(header, layout, end);
}

/* ---- what a guest gets in front ---- */

void nic_aggregate_virtio(const struct nic_aggregate *aggregate,
			  struct virtio_net_hdr_v1 *ret_header)
{
	*ret_header = (struct virtio_net_hdr_v1){ .num_buffers = 1 };
	if (aggregate->flags & NIC_AGGREGATE_PARTIAL) {
		ret_header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		ret_header->csum_start = aggregate->csum_start;
		ret_header->csum_offset = aggregate->csum_offset;
	} else if (aggregate->flags & NIC_AGGREGATE_VALID) {
		ret_header->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (aggregate->gso_size == 0)
		return;
	ret_header->gso_type = aggregate->gso_type;
	ret_header->gso_size = aggregate->gso_size;
	ret_header->hdr_len = (uint16_t)aggregate->header_len;
}
