/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * segment.h -- an aggregate cut into packets again: what a port does that cannot send large ones
 *
 * Takes what nic_sink_ops.publish() gives, or what a guest sends with a gso_size; the packets have
 * whole checksums. Of an aggregate whose packets were all right, they are those that came in.
 *
 * Pure. Threads: any thread.
 */
#ifndef NICDRV_DEVICE_SEGMENT_H
#define NICDRV_DEVICE_SEGMENT_H

#include "nicdrv/device/sink.h"

struct nic_cut {
	const uint8_t *header; /* borrows; layout.header_len bytes */
	struct nic_layout layout;
	uint32_t payload_len;
	uint16_t gso_size;
	uint8_t flags; /* NIC_AGGREGATE_*ID_FIXED */
};

/*
 * Borrows header while the cut is used. What a guest says is not trusted: pass its layout through
 * nic_parse() first.
 * Errors: -EINVAL a header that is no TCP or UDP, gso_size 0, nothing to cut, above NIC_SEGMENT_MAX.
 */
int nic_cut_init(struct nic_cut *cut, const struct nic_aggregate *aggregate, const uint8_t *header);

static inline uint32_t nic_cut_count(const struct nic_cut *cut)
{
	return (cut->payload_len + cut->gso_size - 1) / cut->gso_size;
}

/* Where packet index has its payload; index < nic_cut_count(). */
static inline void nic_cut_range(const struct nic_cut *cut, uint32_t index, uint32_t *ret_off,
				 uint32_t *ret_len)
{
	uint32_t off = index * cut->gso_size, left = cut->payload_len - off;

	*ret_off = off;
	*ret_len = left < cut->gso_size ? left : cut->gso_size;
}

/* Its header: layout.header_len bytes. payload_sum is that of its payload, as of csum.h. */
void nic_cut_header(const struct nic_cut *cut, uint32_t index, uint32_t payload_sum,
		    uint8_t *ret_header);

#endif
