/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parse.c -- what a frame is
 *
 * Invariants:
 *   1. [0, at) was checked to be inside the frame; at only grows
 *   2. end <= len is where the innermost IP datagram ends; what is behind it is padding
 *   3. a field is read only below end
 *
 * A frame that breaks a rule on the way is left as NIC_KIND_OTHER if the flow is not known yet, and
 * as not mergeable if it is.
 */
#include "nicdrv/device/parse.h"

struct cursor {
	const uint8_t *data;
	uint32_t at, end;
	unsigned want;
	struct nic_parsed *out;
	uint8_t proto;
	bool odd;      /* something that may never be merged */
	bool fragment; /* a part of a datagram; only the first has ports, so none is looked at */
};

static bool room(const struct cursor *c, uint32_t bytes)
{
	return c->end - c->at >= bytes;
}

/* The Ethernet header and its tags; the type comes back, 0: too short. */
static uint16_t ethernet(struct cursor *c)
{
	if (!room(c, ETH_LEN))
		return 0;
	uint16_t type = be16_get(c->data + c->at + ETH_TYPE);
	c->at += ETH_LEN;
	for (int i = 0; i < NIC_VLAN_MAX && (type == 0x8100 || type == 0x88a8); i++) {
		if (!room(c, VLAN_LEN))
			return 0;
		uint64_t id = be16_get(c->data + c->at) & 0xfff;
		/* Only the innermost frame's flow counts: a tunnel's outer tags are overwritten. */
		c->out->key.word[4] |= (id + 1) << (32 + 16 * i);
		type = be16_get(c->data + c->at + 2);
		c->at += VLAN_LEN;
	}
	return type;
}

/* False: no datagram that we can place. */
static bool ipv4(struct cursor *c)
{
	const uint8_t *ip = c->data + c->at;

	if (!room(c, IP4_LEN) || ip[0] >> 4 != 4)
		return false;
	uint32_t header = (ip[0] & 0xfu) * 4, total = be16_get(ip + IP4_TOTAL);
	if (header < IP4_LEN || !room(c, header) || total < header || !room(c, total))
		return false;
	uint32_t fragment = be16_get(ip + IP4_FRAGMENT);
	memcpy(&c->out->key.word[0], ip + IP4_SRC, 8);
	c->out->key.word[1] = c->out->key.word[2] = c->out->key.word[3] = 0;
	c->proto = ip[IP4_PROTO];
	c->odd |= header != IP4_LEN;
	c->fragment = (fragment & 0x3fff) != 0;
	/* The reserved bit is nobody's: such a packet is passed on as it is. */
	c->odd |= (fragment & 0x8000) != 0;
	c->end = c->at + total;
	c->at += header;
	return true;
}

/* Headers between IPv6's own and the transport's. */
static bool extensions(struct cursor *c)
{
	for (int i = 0; i < NIC_EXTENSION_MAX; i++) {
		bool options = c->proto == 0 || c->proto == 43 || c->proto == 60;

		if (!options && c->proto != 44)
			return true;
		if (!room(c, 8))
			return false;
		const uint8_t *header = c->data + c->at;
		uint32_t len = options ? (header[1] + 1u) * 8 : 8;
		c->fragment |= !options;
		if (!room(c, len))
			return false;
		/* Behind a routing header the last address is not the one in the IP header. */
		c->odd |= c->proto == 43;
		c->proto = header[0];
		c->at += len;
	}
	return false;
}

static bool ipv6(struct cursor *c)
{
	const uint8_t *ip = c->data + c->at;

	if (!room(c, IP6_LEN) || ip[0] >> 4 != 6)
		return false;
	uint32_t payload = be16_get(ip + IP6_PAYLOAD);
	if (!room(c, IP6_LEN + payload))
		return false;
	memcpy(&c->out->key.word[0], ip + IP6_SRC, 32);
	c->proto = ip[IP6_NEXT];
	c->end = c->at + IP6_LEN + payload;
	c->at += IP6_LEN;
	return extensions(c);
}

static bool network(struct cursor *c, uint16_t type, bool *ret_v6)
{
	*ret_v6 = type == 0x86dd;
	if (type == 0x0800)
		return ipv4(c);
	return type == 0x86dd && ipv6(c);
}

static bool tcp_wanted(const struct cursor *c)
{
	unsigned want = c->out->layout.flags & NIC_LAYOUT_V6 ? NIC_WANT_TCP6 : NIC_WANT_TCP4;

	return c->proto == PROTO_TCP && c->want & want;
}

/*
 * Is it a datagram of a tunnel that was not entered? Then it is in no flow: what is behind the UDP
 * header decides whether it is one, so equal headers would not mean equal flows.
 */
static bool is_stray(const struct cursor *c)
{
	return c->want & NIC_WANT_VXLAN && !(c->out->layout.flags & NIC_LAYOUT_TUNNEL) &&
	       be16_get(c->data + c->at + 2) == VXLAN_PORT;
}

static bool udp_wanted(const struct cursor *c)
{
	return c->proto == PROTO_UDP && c->want & NIC_WANT_UDP;
}

/* The ports are there: the flow is known. */
static void flow_known(struct cursor *c)
{
	struct nic_parsed *out = c->out;
	uint64_t version = out->layout.flags & NIC_LAYOUT_V6 ? 6 : 4;

	out->key.word[4] |= raw32_get(c->data + c->at);
	out->key.word[5] |= version << 48 | (uint64_t)c->proto << 56;
	out->layout.l4 = (uint8_t)c->at;
	out->kind = NIC_KIND_FLOW;
}

static void tcp(struct cursor *c)
{
	struct nic_parsed *out = c->out;
	const uint8_t *tcp = c->data + c->at;

	flow_known(c);
	uint32_t header = (uint32_t)(tcp[TCP_OFFSET] >> 4) * 4;
	out->tcp_flags = tcp[TCP_FLAGS];
	out->seq = be32_get(tcp + TCP_SEQ);
	if (header < TCP_LEN || !room(c, header) || c->at + header > NIC_HEADER_MAX)
		return;
	out->layout.header_len = (uint8_t)(c->at + header);
	out->payload_len = c->end - c->at - header;
	out->plain = !c->odd;
	/* A sender never makes 0xffff, and whoever segments again would not either. */
	out->mergeable = out->plain && out->payload_len > 0 &&
			 (out->tcp_flags & ~(TCP_PSH | TCP_ECE)) == TCP_ACK &&
			 raw16_get(tcp + TCP_CSUM) != 0xffff;
}

static void udp(struct cursor *c)
{
	struct nic_parsed *out = c->out;
	const uint8_t *udp = c->data + c->at;

	flow_known(c);
	if (c->at + UDP_LEN > NIC_HEADER_MAX || be16_get(udp + UDP_LENGTH) != c->end - c->at)
		return;
	out->layout.flags |= NIC_LAYOUT_UDP;
	out->layout.header_len = (uint8_t)(c->at + UDP_LEN);
	out->payload_len = c->end - c->at - UDP_LEN;
	out->plain = !c->odd && raw16_get(udp + UDP_CSUM) != 0;
	out->mergeable = out->plain && out->payload_len > 0;
}

/* Where the datagram's own headers begin; everything else follows from it. */
static void transport(struct cursor *c)
{
	if (!tcp_wanted(c) && !udp_wanted(c))
		return;
	if (c->fragment) {
		c->out->kind = NIC_KIND_FRAGMENT;
		return;
	}
	if (c->at > NIC_HEADER_MAX - UDP_LEN)
		return;
	if (c->proto == PROTO_TCP && room(c, TCP_LEN))
		tcp(c);
	else if (c->proto == PROTO_UDP && room(c, UDP_LEN) && !is_stray(c))
		udp(c);
}

/* Is what follows IP a VXLAN tunnel whose inside is to be looked at? */
static bool is_vxlan(const struct cursor *c)
{
	const uint8_t *udp = c->data + c->at;

	return c->want & NIC_WANT_VXLAN && c->proto == PROTO_UDP && !c->fragment &&
	       room(c, UDP_LEN + VXLAN_LEN) && be16_get(udp + 2) == VXLAN_PORT &&
	       be16_get(udp + UDP_LENGTH) == c->end - c->at && udp[UDP_LEN] == 0x08 &&
	       c->at + UDP_LEN + VXLAN_LEN <= NIC_HEADER_MAX;
}

/* Steps over UDP and VXLAN, and notes where they were. */
static void vxlan_enter(struct cursor *c, uint32_t outer_l3, bool v6)
{
	const uint8_t *udp = c->data + c->at;
	struct nic_parsed *out = c->out;

	out->layout.flags = NIC_LAYOUT_TUNNEL | (v6 ? NIC_LAYOUT_OUTER_V6 : 0);
	if (raw16_get(udp + UDP_CSUM) != 0)
		out->layout.flags |= NIC_LAYOUT_OUTER_CSUM;
	c->odd |= raw16_get(udp + UDP_CSUM) == 0 && v6;
	out->layout.outer_l3 = (uint8_t)outer_l3;
	out->layout.outer_l4 = (uint8_t)c->at;
	out->key.word[4] = 0;
	out->key.word[5] = (uint64_t)1 << 40 | be32_get(udp + UDP_LEN + 4) >> 8;
	c->at += UDP_LEN + VXLAN_LEN;
}

void nic_parse(const uint8_t *data, uint32_t len, unsigned want, struct nic_parsed *ret_parsed)
{
	struct cursor c = { .data = data, .end = len, .want = want, .out = ret_parsed };
	uint32_t l3;
	bool v6;

	ret_parsed->layout = (struct nic_layout){ 0 };
	ret_parsed->kind = NIC_KIND_OTHER;
	ret_parsed->plain = ret_parsed->mergeable = false;
	ret_parsed->tcp_flags = 0;
	ret_parsed->payload_len = ret_parsed->seq = 0;
	ret_parsed->key.word[4] = ret_parsed->key.word[5] = 0;
	uint16_t type = ethernet(&c);
	l3 = c.at;
	if (!network(&c, type, &v6))
		return;
	if (is_vxlan(&c)) {
		uint32_t outer_end = c.end;

		vxlan_enter(&c, l3, v6);
		type = ethernet(&c);
		l3 = c.at;
		if (!network(&c, type, &v6))
			return;
		/* Padding inside a tunnel would be lost: such a frame goes through as it is. */
		c.odd |= c.end != outer_end;
	}
	if (l3 > NIC_HEADER_MAX)
		return;
	ret_parsed->layout.l3 = (uint8_t)l3;
	ret_parsed->layout.flags |= v6 ? NIC_LAYOUT_V6 : 0;
	transport(&c);
}
