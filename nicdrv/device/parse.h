/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parse.h -- what a frame is: where its headers are, which flow it belongs to, may it be merged
 *
 *   | Ethernet | VLAN | IP ... | TCP | payload | padding |                        plain
 *   | Ethernet | VLAN | IP | UDP | VXLAN | Ethernet | VLAN | IP ... | TCP | payload |  tunnel
 *              outer_l3^   ^outer_l4                       ^l3      ^l4   ^header_len
 *
 * Pure: reads len bytes from data, nothing else. Threads: any thread.
 */
#ifndef NICDRV_DEVICE_PARSE_H
#define NICDRV_DEVICE_PARSE_H

#include "nicdrv/device/packet.h"

/* What may be looked into; the rest is NIC_KIND_OTHER. */
enum nic_parse_want {
	NIC_WANT_TCP4 = 1,
	NIC_WANT_TCP6 = 2,
	NIC_WANT_UDP = 4, /* datagrams of one flow, as the kernel's UDP GRO */
	NIC_WANT_VXLAN = 8,
};

enum nic_kind {
	NIC_KIND_OTHER,	   /* in no flow that is aggregated: passes by */
	NIC_KIND_FRAGMENT, /* of a datagram that may be in any flow: all flows are flushed */
	NIC_KIND_FLOW,	   /* key is valid */
};

enum nic_layout_flags {
	NIC_LAYOUT_V6 = 1,
	NIC_LAYOUT_UDP = 2,
	NIC_LAYOUT_TUNNEL = 4,
	NIC_LAYOUT_OUTER_V6 = 8,
	NIC_LAYOUT_OUTER_CSUM = 16, /* the tunnel's UDP checksum is used */
};

/* Offsets from the first byte of the frame. */
struct nic_layout {
	uint8_t flags; /* enum nic_layout_flags */
	uint8_t header_len;
	uint8_t l3, l4;
	uint8_t outer_l3, outer_l4; /* 0: no tunnel */
};

/* Equal keys: the same flow, whose packets stay in order. Words, unused ones 0. */
struct nic_key {
	uint64_t word[6]; /* addresses 0..3; ports and VLAN ids; VNI, protocol, version */
};

struct nic_parsed {
	struct nic_layout layout;
	uint8_t kind;	      /* enum nic_kind */
	bool plain;	      /* lengths are right, no options, extensions of known kinds */
	bool mergeable;	      /* may begin an aggregate: plain, with payload, only ACK and PSH */
	uint8_t tcp_flags;    /* 0 for UDP */
	uint32_t payload_len; /* without padding */
	uint32_t seq;
	struct nic_key key;
};

void nic_parse(const uint8_t *data, uint32_t len, unsigned want, struct nic_parsed *ret_parsed);

static inline bool nic_key_equal(const struct nic_key *a, const struct nic_key *b)
{
	uint64_t differ = 0;

	for (int i = 0; i < 6; i++)
		differ |= a->word[i] ^ b->word[i];
	return differ == 0;
}

#endif
