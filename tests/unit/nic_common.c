/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_common.c -- frames from a description, and a sink that judges */
#include "nic_common.h"

#include "base/assert.h"
#include <stdlib.h>

uint32_t plain_sum(const uint8_t *data, uint32_t len, uint32_t start)
{
	uint64_t sum = start;

	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum;
}

struct writer {
	struct frame *frame;
	uint32_t at;
};

static uint8_t *take(struct writer *w, uint32_t len)
{
	uint8_t *at = w->frame->data + w->at;

	FARBUS_ASSERT(w->at + len <= FRAME_ROOM);
	memset(at, 0, len);
	w->at += len;
	return at;
}

static void write_ethernet(struct writer *w, unsigned vlans, bool v6)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };

	memcpy(take(w, 12), macs, 12);
	for (unsigned i = 0; i < vlans; i++) {
		uint8_t *tag = take(w, 4);

		be16_put(tag, vlans - i > 1 ? 0x88a8 : 0x8100);
		be16_put(tag + 2, 100 + i);
	}
	be16_put(take(w, 2), v6 ? 0x86dd : 0x0800);
}

/* Returns where it stands; lengths and checksums come later. */
static uint32_t write_ip(struct writer *w, const struct desc *d, bool outer)
{
	bool v6 = outer ? d->outer_v6 : d->v6;
	uint8_t proto = outer || d->udp ? PROTO_UDP : PROTO_TCP;
	uint32_t at = w->at, options = !outer && !v6 && d->ip_option ? 8 : 0;
	uint8_t *ip = take(w, v6 ? IP6_LEN : IP4_LEN + options);

	if (v6) {
		be32_put(ip, 6u << 28 | (uint32_t)d->tos << 20 | d->flow_label);
		ip[7] = d->ttl ? d->ttl : 64;
		ip[6] = proto;
		memset(ip + 8, 0x20 + outer, 16);
		memset(ip + 24, 0x30 + outer, 16);
		be16_put(ip + 38, d->flow);
		return at;
	}
	ip[0] = (uint8_t)(0x40 | (IP4_LEN + options) / 4);
	ip[1] = d->tos;
	be16_put(ip + IP4_ID, outer ? d->outer_id : d->id);
	be16_put(ip + IP4_FRAGMENT, (d->no_df ? 0 : 0x4000) | (!outer && d->fragment ? 0x2000 : 0));
	ip[8] = d->ttl ? d->ttl : 64;
	ip[9] = proto;
	be32_put(ip + 12, 0x0a000001 + outer);
	be32_put(ip + 16, 0x0a010000 + (outer ? 0 : d->flow));
	if (options)
		memcpy(ip + IP4_LEN, "\x07\x07\x04\x00\x00\x00\x00\x00", 8);
	return at;
}

static void write_extensions(struct writer *w, const struct desc *d, uint32_t ip)
{
	uint8_t *next = &w->frame->data[ip + IP6_NEXT];

	if (d->extension) {
		uint8_t *header = take(w, d->extension * 8);

		header[0] = *next;
		header[1] = (uint8_t)(d->extension - 1);
		header[2] = 1; /* PadN */
		header[3] = (uint8_t)(d->extension * 8 - 4);
		*next = 60;
		next = header;
	}
	if (d->fragment) {
		uint8_t *header = take(w, 8);

		header[0] = *next;
		header[3] = 1; /* more */
		*next = 44;
	}
}

static uint32_t write_transport(struct writer *w, const struct desc *d)
{
	uint32_t at = w->at;

	if (d->udp) {
		uint8_t *udp = take(w, UDP_LEN);

		be16_put(udp, 1000 + d->flow);
		be16_put(udp + 2, 2000);
		return at;
	}
	uint8_t *tcp = take(w, TCP_LEN + d->option_len);
	be16_put(tcp, 1000 + d->flow);
	be16_put(tcp + 2, 2000);
	be32_put(tcp + TCP_SEQ, d->seq);
	be32_put(tcp + 8, d->ack);
	tcp[TCP_OFFSET] = (uint8_t)((TCP_LEN + d->option_len) / 4 << 4);
	tcp[TCP_FLAGS] = (uint8_t)(d->flags | (d->no_ack ? 0 : TCP_ACK));
	be16_put(tcp + 14, d->window ? d->window : 500);
	memcpy(tcp + TCP_LEN, d->option, d->option_len);
	return at;
}

static void finish_ip(struct frame *frame, uint32_t at, bool v6, bool bad)
{
	uint8_t *ip = frame->data + at;

	if (v6) {
		be16_put(ip + IP6_PAYLOAD, frame->end - at - IP6_LEN);
		return;
	}
	be16_put(ip + IP4_TOTAL, frame->end - at);
	be16_put(ip + IP4_CSUM, 0xffff & ~plain_sum(ip, (ip[0] & 15u) * 4, 0));
	if (bad)
		ip[IP4_CSUM] ^= 0x5a;
}

/* csum_at: offset within the header. */
static void finish_transport(struct frame *frame, uint32_t ip, bool v6, uint32_t l4, bool udp)
{
	uint8_t *header = frame->data + l4;
	uint32_t len = frame->end - l4;

	if (udp)
		be16_put(header + UDP_LENGTH, len);
	uint32_t sum = v6 ? plain_sum(frame->data + ip + IP6_SRC, 32, 0) :
			    plain_sum(frame->data + ip + IP4_SRC, 8, 0);
	uint32_t csum = 0xffff & ~plain_sum(header, len, sum + (udp ? 17 : 6) + len);
	be16_put(header + (udp ? UDP_CSUM : TCP_CSUM), udp && csum == 0 ? 0xffff : csum);
}

void frame_build(const struct desc *d, struct frame *frame)
{
	struct writer w = { frame, 0 };
	uint32_t outer_ip = 0, outer_udp = 0;

	write_ethernet(&w, d->tunnel ? 0 : d->vlans, d->tunnel ? d->outer_v6 : d->v6);
	if (d->tunnel) {
		outer_ip = write_ip(&w, d, true);
		outer_udp = w.at;
		uint8_t *udp = take(&w, UDP_LEN + VXLAN_LEN);
		be16_put(udp, 40000 + d->flow);
		be16_put(udp + 2, VXLAN_PORT);
		udp[UDP_LEN] = 8;
		be32_put(udp + UDP_LEN + 4, 77 << 8);
		write_ethernet(&w, d->vlans, d->v6);
	}
	uint32_t ip = write_ip(&w, d, false);
	if (d->v6)
		write_extensions(&w, d, ip);
	uint32_t l4 = write_transport(&w, d);
	frame->payload = w.at;
	uint8_t *payload = take(&w, d->payload_len);
	for (uint32_t i = 0; i < d->payload_len; i++)
		payload[i] = (uint8_t)((i + d->seq) * 131 + (i + d->seq) / 256 + d->payload_seed);
	frame->end = w.at;
	finish_transport(frame, ip, d->v6, l4, d->udp);
	finish_ip(frame, ip, d->v6, d->bad_ip_csum);
	if (d->bad_csum)
		frame->data[l4 + (d->udp ? UDP_CSUM : TCP_CSUM)] ^= 0x21;
	if (d->tunnel) {
		finish_transport(frame, outer_ip, d->outer_v6, outer_udp, true);
		if (!d->outer_csum)
			be16_put(frame->data + outer_udp + UDP_CSUM, 0);
		if (d->bad_outer_csum)
			frame->data[outer_udp + UDP_CSUM] ^= 0x11;
		finish_ip(frame, outer_ip, d->outer_v6, false);
	}
	memset(take(&w, d->pad), 0xee, d->pad);
	frame->len = w.at;
}

struct nic_packet frame_packet(const struct frame *frame)
{
	return (struct nic_packet){ .data = frame->data, .len = frame->len };
}

/* ---- the sink ---- */

/* In slot.word[0]; word[1] is its position. */
struct gathered {
	uint8_t *data;
	uint32_t len, header_len, last_len, pieces;
};

static int collect_place(void *sink, struct nic_slot *slot, const struct nic_piece *piece,
			 uint32_t *ret_sum)
{
	struct collect *collect = sink;
	bool first = piece->position == NIC_HEAD || piece->position == NIC_SINGLE;
	uint32_t skip = first ? 0 : piece->header_len;
	uint32_t len = piece->header_len + piece->payload_len - skip;

	collect->places++;
	FARBUS_ASSERT(piece->header_len + piece->payload_len <= piece->packet->len);
	if (collect->refuse && --collect->refuse == 0)
		return -1;
	if (first) {
		FARBUS_ASSERT(slot->word[0] == 0);
		FARBUS_ASSERT(slot->word[1] == 0);
		slot->word[0] = (uintptr_t)calloc(1, sizeof(struct gathered));
		collect->open++;
	}
	struct gathered *gathered = (void *)(uintptr_t)slot->word[0];
	FARBUS_ASSERT(gathered);
	FARBUS_ASSERT(slot->word[1] != NIC_TAIL + 1u);
	slot->word[1] = piece->position + 1u;
	gathered->data = realloc(gathered->data, gathered->len + len);
	if (piece->csum) {
		FARBUS_ASSERT(piece->position != NIC_SINGLE);
		if (first)
			memcpy(gathered->data, piece->packet->data, piece->header_len);
		*ret_sum = piece->csum->copy(
			gathered->data + gathered->len + len - piece->payload_len,
			piece->packet->data + piece->header_len, piece->payload_len);
	} else {
		memcpy(gathered->data + gathered->len, piece->packet->data + skip, len);
	}
	gathered->len += len;
	gathered->last_len = len;
	gathered->pieces++;
	return 0;
}

static void collect_unplace(void *sink, struct nic_slot *slot, const struct nic_piece *piece)
{
	struct collect *collect = sink;
	struct gathered *gathered = (void *)(uintptr_t)slot->word[0];

	FARBUS_ASSERT(piece->position == NIC_MID || piece->position == NIC_TAIL);
	FARBUS_ASSERT(gathered->pieces > 1);
	FARBUS_ASSERT(gathered->last_len == piece->payload_len);
	gathered->len -= gathered->last_len;
	gathered->pieces--;
	slot->word[1] = NIC_MID + 1;
	collect->unplaces++;
}

static void collect_publish(void *sink, struct nic_slot *slot,
			    const struct nic_aggregate *aggregate)
{
	struct collect *collect = sink;
	struct gathered *gathered = (void *)(uintptr_t)slot->word[0];

	FARBUS_ASSERT(gathered->pieces == aggregate->segment_count);
	FARBUS_ASSERT(gathered->len == aggregate->header_len + aggregate->payload_len);
	FARBUS_ASSERT((aggregate->header != NULL) == (aggregate->segment_count > 1));
	if (aggregate->header)
		memcpy(gathered->data, aggregate->header, aggregate->header_len);
	struct output output = { gathered->data, *aggregate, gathered->len };
	free(gathered);
	collect->open--;
	if (collect->judge) {
		collect->judge(collect->judge_arg, &output);
		free(output.data);
		return;
	}
	FARBUS_ASSERT(collect->count < OUTPUT_ROOM);
	collect->output[collect->count++] = output;
}

const struct nic_sink_ops collect_ops = { collect_place, collect_unplace, collect_publish };

void collect_clear(struct collect *collect)
{
	for (unsigned i = 0; i < collect->count; i++)
		free(collect->output[i].data);
	collect->count = 0;
}
