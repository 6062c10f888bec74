/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sink.h -- where the aggregator's packets go: the contract of a ring, a virtqueue, a port
 *
 * One aggregate, as its sink sees it:
 *
 *   place HEAD   header and payload     the sink finds room and writes them, or keeps the packet
 *   place MID    payload                  ... behind what it has
 *   place TAIL   payload                  ... and knows that publish comes next
 *   publish      the header as it has to be now, lengths, gso size, why it ended
 *
 * A packet that passes alone is place SINGLE, then publish. A MID may turn out to have been the last
 * one, because that is known only when the next packet does not fit; so who wants positions in its
 * descriptors writes them at publish. Aggregates of other flows come in between.
 *
 * For one flow, publish follows the order of arrival.
 */
#ifndef NICDRV_DEVICE_SINK_H
#define NICDRV_DEVICE_SINK_H

#include "nicdrv/device/csum.h"
#include "nicdrv/device/parse.h"
#include <linux/virtio_net.h>

#define NIC_SEGMENT_MAX 1024 /* packets of an aggregate */
#define NIC_GSO_UDP_L4 5     /* VIRTIO_NET_HDR_GSO_UDP_L4, which Debian 12's headers lack */

enum nic_position { NIC_SINGLE, NIC_HEAD, NIC_MID, NIC_TAIL };

enum nic_close {
#define CLOSE(name, meaning) NIC_CLOSE_##name,
#include "nicdrv/device/close.def"
#undef CLOSE
	NIC_CLOSE_MAX
};

/* The sink's own state of an open aggregate. Zero at HEAD and SINGLE, then left alone. */
struct nic_slot {
	uint64_t word[2];
};

struct nic_piece {
	const struct nic_packet *packet;
	const struct csum_ops *csum; /* not NULL: the payload's sum is wanted */
	uint32_t header_len;	     /* bytes of the frame before the payload; SINGLE: 0 */
	uint32_t payload_len;	     /* SINGLE: the whole frame, padding included */
	uint32_t flow;
	enum nic_position position;
};

enum nic_aggregate_flags {
	NIC_AGGREGATE_VALID = 1,   /* every checksum was verified, or vouched for by the port */
	NIC_AGGREGATE_PARTIAL = 2, /* TCP's or UDP's holds the pseudo header's sum: to complete */
	NIC_AGGREGATE_V6 = 4,	   /* the innermost header */
	NIC_AGGREGATE_UDP = 8,
	NIC_AGGREGATE_TUNNEL = 16,   /* layout has the outer headers */
	NIC_AGGREGATE_ID_FIXED = 32, /* all had one IP ID; else it counted up */
	NIC_AGGREGATE_OUTER_ID_FIXED = 64,
};

struct nic_aggregate {
	const uint8_t *header; /* to put in place of HEAD's; NULL: what was placed is right */
	uint32_t header_len;   /* SINGLE of no flow: 0 */
	uint32_t payload_len;  /* SINGLE: the frame less header_len */
	uint32_t flow;	       /* number in the flow table; NIC_FLOW_NONE: not followed */
	uint32_t hash;	       /* of the flow, for spreading load; 0: in none */
	uint16_t segment_count;
	uint16_t gso_size; /* payload of all segments but the last; 0: nothing to cut */
	uint16_t csum_start, csum_offset; /* with PARTIAL */
	uint8_t gso_type;		  /* VIRTIO_NET_HDR_GSO_* */
	uint8_t flags;			  /* enum nic_aggregate_flags */
	uint8_t close;			  /* enum nic_close */
	struct nic_layout layout;
};

#define NIC_FLOW_NONE UINT32_MAX

/*
 * Threads: the aggregator's. Ownership: what pointers lead to is borrowed until the call returns.
 * No call may come back into the aggregator.
 */
struct nic_sink_ops {
	/*
	 * Takes header_len + payload_len bytes of HEAD and SINGLE, the payload_len bytes behind
	 * header_len of MID and TAIL. If piece->csum, writes the payload's sum, best while copying.
	 * Errors: -ENOBUFS no room now: HEAD or SINGLE is dropped and counted, MID and TAIL as well, and
	 * the aggregate ends before it. -EMSGSIZE, of MID and TAIL alone: this aggregate can take no
	 * more; it ends, and the packet comes again as HEAD.
	 */
	int (*place)(void *sink, struct nic_slot *slot, const struct nic_piece *piece,
		     uint32_t *ret_sum);
	/* The last piece placed in this slot does not belong there. */
	void (*unplace)(void *sink, struct nic_slot *slot, const struct nic_piece *piece);
	/* Complete; slot is forgotten when this returns. */
	void (*publish)(void *sink, struct nic_slot *slot, const struct nic_aggregate *aggregate);
};

/* The payload's sum for sinks that do not copy. */
static inline void nic_piece_sum(const struct nic_piece *piece, uint32_t *ret_sum)
{
	if (piece->csum)
		*ret_sum = piece->csum->sum(piece->packet->data + piece->header_len,
					    piece->payload_len);
}

/*
 * The header a guest wants in front. Needs a guest that negotiated GUEST_CSUM, and for aggregates
 * GUEST_TSO4, GUEST_TSO6 or GUEST_USO: without them keep the aggregator off. Tunnels have no type of
 * their own here: keep NIC_WANT_VXLAN off. num_buffers is 1.
 */
void nic_aggregate_virtio(const struct nic_aggregate *aggregate,
			  struct virtio_net_hdr_v1 *ret_header);

#endif
