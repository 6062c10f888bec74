/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_oracle.c -- is what comes out of the aggregator what went in? */
#include "nic_oracle.h"

#include "base/assert.h"
#include "nicdrv/device/segment.h"
#include <stdlib.h>

struct sent {
	struct sent *next;
	struct nic_key key;
	uint32_t len, end;
	uint8_t data[];
};

struct oracle {
	struct sent *first, **last; /* in the order of arrival */
	unsigned want;
	bool full;
	unsigned long merged;
};

struct oracle *oracle_new(unsigned want, bool full)
{
	struct oracle *oracle = calloc(1, sizeof(*oracle));

	oracle->want = want;
	oracle->full = full;
	oracle->last = &oracle->first;
	return oracle;
}

void oracle_free(struct oracle *oracle)
{
	FARBUS_ASSERT(!oracle->first);
	free(oracle);
}

unsigned long oracle_merged(const struct oracle *oracle)
{
	return oracle->merged;
}

/* Whose order counts for it: packets without ports have an order of their own, key 0. */
static struct nic_key key_of(const struct oracle *oracle, const uint8_t *data, uint32_t len)
{
	struct nic_parsed parsed;

	nic_parse(data, len, oracle->want, &parsed);
	return parsed.kind == NIC_KIND_FLOW ? parsed.key : (struct nic_key){ { 0 } };
}

void oracle_sent(struct oracle *oracle, const struct nic_packet *packet, uint32_t end)
{
	struct sent *sent = malloc(sizeof(*sent) + packet->len);

	sent->next = NULL;
	sent->key = key_of(oracle, packet->data, packet->len);
	sent->len = packet->len;
	sent->end = end;
	memcpy(sent->data, packet->data, packet->len);
	*oracle->last = sent;
	oracle->last = &sent->next;
}

/* The frame, perhaps without its padding, is the next of its flow. */
static void came(struct oracle *oracle, const uint8_t *data, uint32_t len)
{
	struct nic_key key = key_of(oracle, data, len);
	struct sent **link = &oracle->first, *sent;

	while (*link && !nic_key_equal(&(*link)->key, &key))
		link = &(*link)->next;
	sent = *link;
	FARBUS_ASSERT(sent);
	FARBUS_ASSERT(len == sent->len || len == sent->end);
	FARBUS_ASSERT(memcmp(data, sent->data, len) == 0);
	*link = sent->next;
	if (!sent->next)
		oracle->last = link;
	free(sent);
}

/* Sums of what a receiver would verify come out as 0xffff. */
static void checksums_right(const struct oracle *oracle, const struct output *output)
{
	const struct nic_layout *layout = &output->aggregate.layout;
	bool v6 = layout->flags & NIC_LAYOUT_V6, udp = layout->flags & NIC_LAYOUT_UDP;
	const uint8_t *ip = output->data + layout->l3, *l4 = output->data + layout->l4;
	uint32_t len = output->len - layout->l4;
	uint32_t pseudo = plain_sum(ip + (v6 ? IP6_SRC : IP4_SRC), v6 ? 32 : 8,
				    len + (udp ? PROTO_UDP : PROTO_TCP));

	if (!v6)
		FARBUS_ASSERT(plain_sum(ip, IP4_LEN, 0) == 0xffff);
	if (!v6)
		FARBUS_ASSERT(be16_get(ip + IP4_TOTAL) == output->len - layout->l3);
	else
		FARBUS_ASSERT(be16_get(ip + IP6_PAYLOAD) == output->len - layout->l3 - IP6_LEN);
	if (oracle->full)
		FARBUS_ASSERT(plain_sum(l4, len, pseudo) == 0xffff);
	else
		FARBUS_ASSERT(be16_get(l4 + (udp ? UDP_CSUM : TCP_CSUM)) == pseudo);
	if (!(layout->flags & NIC_LAYOUT_OUTER_CSUM) || !oracle->full)
		return;
	v6 = layout->flags & NIC_LAYOUT_OUTER_V6;
	ip = output->data + layout->outer_l3;
	len = output->len - layout->outer_l4;
	pseudo = plain_sum(ip + (v6 ? IP6_SRC : IP4_SRC), v6 ? 32 : 8, len + PROTO_UDP);
	FARBUS_ASSERT(plain_sum(output->data + layout->outer_l4, len, pseudo) == 0xffff);
}

void oracle_judge(void *arg, const struct output *output)
{
	static uint8_t packet[FRAME_ROOM];
	const struct csum_ops *csum = csum_variant(0);
	struct oracle *oracle = arg;
	struct nic_cut cut;
	uint32_t header_len = output->aggregate.header_len, off, len;

	if (output->aggregate.segment_count == 1) {
		came(oracle, output->data, output->len);
		return;
	}
	checksums_right(oracle, output);
	FARBUS_ASSERT(nic_cut_init(&cut, &output->aggregate, output->data) == 0);
	FARBUS_ASSERT(nic_cut_count(&cut) == output->aggregate.segment_count);
	oracle->merged += output->aggregate.segment_count;
	for (uint32_t i = 0; i < nic_cut_count(&cut); i++) {
		nic_cut_range(&cut, i, &off, &len);
		memcpy(packet + header_len, output->data + header_len + off, len);
		nic_cut_header(&cut, i, csum->sum(packet + header_len, len), packet);
		came(oracle, packet, header_len + len);
	}
}
