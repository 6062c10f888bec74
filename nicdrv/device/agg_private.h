/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agg_private.h -- the aggregator's flows, shared by agg.c, table.c, merge.c and header.c
 *
 * A flow keeps the header of the first packet of its open aggregate, and a mask of the bits in which
 * a packet that joins must be equal. So one comparison under the mask decides for any stack of
 * headers whether a packet is of this flow and differs in nothing that counts; what it may differ
 * in (lengths, ID, sequence, checksums, PSH) is checked by number.
 */
#ifndef NICDRV_DEVICE_AGG_PRIVATE_H
#define NICDRV_DEVICE_AGG_PRIVATE_H

#include "nicdrv/device/agg.h"

#define HEADER_WORDS 32
#define GUESS_BITS 9
#define GUESS_COUNT (1 << GUESS_BITS)
#define LIST_END UINT32_MAX

_Static_assert(NIC_HEADER_MAX <= HEADER_WORDS * 8, "a header fits its words");

/* Sums of header fields that all packets of an aggregate have in common; not folded. */
struct nic_sums {
	uint64_t l3, outer_l3; /* IPv4 header but length, ID, checksum */
	uint64_t l4;	       /* pseudo header and header but lengths, sequence, checksum, PSH */
};

enum nic_trust { NIC_TRUST_NONE, NIC_TRUST_VALID, NIC_TRUST_PARTIAL };

/* How IP IDs go on. */
enum nic_id_kind { NIC_ID_UNKNOWN, NIC_ID_FIXED, NIC_ID_COUNTS };

struct nic_flow {
	/* What a packet that joins looks at. */
	bool open, used;
	uint8_t words; /* of header and mask; 0: it has none yet */
	uint8_t trust;
	uint8_t id_kind, outer_id_kind;
	bool push;
	struct nic_layout layout;
	uint16_t id, outer_id; /* of the last packet */
	uint16_t gso_size, segment_count;
	uint32_t next_seq;
	uint32_t payload_len;
	uint32_t hash;
	uint64_t payload_sum; /* with NIC_AGG_CSUM_FULL */
	struct nic_sums sums;
	struct nic_slot slot;
	uint64_t header[HEADER_WORDS];
	uint64_t mask[HEADER_WORDS];
	/* The rest. */
	uint64_t opened_ns;
	uint32_t older, newer; /* open list */
	struct nic_key key;
	struct nic_flow_stats stats;
} __attribute__((aligned(64)));

struct nic_set {
	uint32_t tag[NIC_AGG_WAYS]; /* the flow's hash; 0: free */
} __attribute__((aligned(32)));

struct nic_agg {
	struct nic_flow *recent; /* borrows flow[], or none */
	unsigned want, flags;
	uint32_t segment_max;
	uint32_t set_mask;
	struct nic_set *set;   /* owned */
	struct nic_flow *flow; /* owned: way w of set s is flow s * NIC_AGG_WAYS + w */
	const struct csum_ops *csum;
	const struct nic_sink_ops *ops; /* borrows */
	void *sink;			/* borrows */
	uint64_t now_ns, hold_ns;
	uint64_t secret[4];
	uint32_t oldest, newest; /* open list: LIST_END or flow numbers */
	uint32_t open_count;
	struct nic_agg_stats stats;
	struct nic_flow none;		/* never open */
	uint16_t guess[GUESS_COUNT];	/* flow numbers by a few bytes of the header; any will do */
	uint64_t scratch[HEADER_WORDS]; /* the header of what is published */
};

/* Of one packet, relative to a layout. */
struct nic_lengths {
	uint32_t end;	  /* of the innermost datagram, from the first byte of the frame */
	uint32_t payload; /* 1 or more */
};

/* ---- table.c ---- */

uint32_t nic_table_hash(const struct nic_agg *agg, const struct nic_key *key); /* never 0 */
struct nic_flow *nic_table_find(struct nic_agg *agg, const struct nic_key *key, uint32_t hash);
/* A closed flow for this key; another one is closed and forgotten if the set is full. */
struct nic_flow *nic_table_take(struct nic_agg *agg, const struct nic_key *key, uint32_t hash);
void nic_list_append(struct nic_agg *agg, struct nic_flow *flow);
void nic_list_remove(struct nic_agg *agg, struct nic_flow *flow);

/* ---- merge.c ---- */

/*
 * The packet's header equals the flow's under its mask, and the flow is open. True: it was taken
 * (merged, or dropped for want of room). False: the aggregate was closed and the packet is still
 * to be dealt with.
 */
bool nic_merge(struct nic_agg *agg, struct nic_flow *flow, const struct nic_packet *packet);
/* The packet begins an aggregate of this closed flow, or passes alone if it can have no second. */
void nic_open(struct nic_agg *agg, struct nic_flow *flow, const struct nic_packet *packet,
	      const struct nic_parsed *parsed);
/*
 * The same for a packet whose header equals that of the flow's last aggregate under its mask. False:
 * it is not one to be merged, and nothing was done.
 */
bool nic_reopen(struct nic_agg *agg, struct nic_flow *flow, const struct nic_packet *packet);
/* The packet passes alone. flow is NULL or closed; hash 0: of none. */
void nic_pass(struct nic_agg *agg, struct nic_flow *flow, uint32_t hash,
	      const struct nic_packet *packet, const struct nic_parsed *parsed);
void nic_close(struct nic_agg *agg, struct nic_flow *flow, enum nic_close reason);

/* ---- header.c ---- */

/* Another header: its mask and sums. */
void nic_header_keep(struct nic_flow *flow, const uint8_t *data, const struct nic_layout *layout);
/* One that is equal under the mask: only what may differ is new. */
void nic_header_renew(struct nic_flow *flow, const uint8_t *data);
void nic_sums_make(const uint8_t *data, const struct nic_layout *layout, struct nic_sums *ret_sums);
/* Are the lengths of all headers those of one datagram inside the frame? */
bool nic_lengths_get(const struct nic_packet *packet, const struct nic_layout *layout,
		     struct nic_lengths *ret_lengths);
/* IPv4 header checksums. */
bool nic_network_verify(const uint8_t *data, const struct nic_layout *layout,
			const struct nic_sums *sums);
/* TCP's or UDP's, the tunnel's too, given the payload's sum. */
bool nic_transport_verify(const uint8_t *data, const struct nic_layout *layout,
			  const struct nic_sums *sums, const struct nic_lengths *lengths,
			  uint32_t payload_sum);
/* The payload's sum, if the checksum is right. */
uint32_t nic_payload_sum(const uint8_t *data, const struct nic_layout *layout,
			 const struct nic_sums *sums, const struct nic_lengths *lengths);
/* The header of all that was merged, in agg->scratch. */
void nic_header_finish(struct nic_agg *agg, const struct nic_flow *flow);

/* The sum a checksum covers, but the payload's. */
uint64_t nic_transport_sum(const uint8_t *l4, const struct nic_layout *layout,
			   const struct nic_sums *sums, uint32_t l4_len);
/* Length and checksum; the ID is there. sum: nic_sums' of this header. */
void nic_finish_ip(uint8_t *ip, bool v6, uint64_t sum, uint32_t len);
/*
 * The tunnel's checksum over an inner packet whose checksum is right, or will be: from the inner
 * transport header on everything adds up to the complement of the inner pseudo header.
 */
void nic_finish_outer_csum(uint8_t *header, const struct nic_layout *layout, uint32_t end);

/* As it is stored. */
static inline uint32_t nic_checksum_of(uint64_t sum, bool udp)
{
	uint32_t checksum = ~csum_fold(sum) & 0xffff;

	return udp && checksum == 0 ? 0xffff : checksum;
}

static inline unsigned nic_transport_csum_at(const struct nic_layout *layout)
{
	return layout->l4 + (layout->flags & NIC_LAYOUT_UDP ? UDP_CSUM : TCP_CSUM);
}

static inline uint16_t nic_swap16(uint32_t value)
{
	return __builtin_bswap16((uint16_t)value);
}

/* Short packets: words at the end of the header would be read past the end. */
bool nic_header_equal_short(const struct nic_flow *flow, const struct nic_packet *packet);

static inline bool nic_header_equal(const struct nic_flow *flow, const struct nic_packet *packet)
{
	uint64_t differ = 0;
	uint64_t word;

	if (__builtin_expect(packet->len < flow->words * 8u, 0))
		return nic_header_equal_short(flow, packet);
	for (unsigned i = 0; i < flow->words; i++) {
		memcpy(&word, packet->data + i * 8, 8);
		differ |= (word ^ flow->header[i]) & flow->mask[i];
	}
	return differ == 0;
}

#endif
