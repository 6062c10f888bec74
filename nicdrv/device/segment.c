/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * segment.c -- an aggregate cut into packets again
 *
 * A packet's header is the aggregate's with its own lengths, ID, sequence and checksums. PSH stays
 * with the last one, where the aggregator found it.
 */
#include "nicdrv/device/segment.h"

#include "base/assert.h"
#include "base/error.h"
#include "nicdrv/device/agg_private.h"
#include <errno.h>

int nic_cut_init(struct nic_cut *cut, const struct nic_aggregate *aggregate, const uint8_t *header)
{
	const struct nic_layout *layout = &aggregate->layout;

	if (layout->header_len <= layout->l4 || layout->l4 == 0)
		return error_set(-EINVAL, "segmentation: no TCP or UDP header");
	if (aggregate->gso_size == 0 || aggregate->payload_len == 0)
		return error_set(-EINVAL, "segmentation: %u bytes into packets of %u",
				 aggregate->payload_len, aggregate->gso_size);
	struct nic_cut made = { header, *layout, aggregate->payload_len, aggregate->gso_size,
				aggregate->flags };
	if (nic_cut_count(&made) > NIC_SEGMENT_MAX)
		return error_set(-EINVAL, "segmentation: %u packets: at most %d",
				 nic_cut_count(&made), NIC_SEGMENT_MAX);
	*cut = made;
	return 0;
}

static void id_add(uint8_t *ip, bool v6, bool fixed, uint32_t index)
{
	if (!v6 && !fixed)
		be16_put(ip + IP4_ID, be16_get(ip + IP4_ID) + index);
}

static void cut_transport(const struct nic_cut *cut, uint8_t *header, uint32_t index,
			  uint32_t payload_sum, uint32_t end)
{
	const struct nic_layout *layout = &cut->layout;
	bool udp = layout->flags & NIC_LAYOUT_UDP;
	uint8_t *l4 = header + layout->l4;
	struct nic_sums sums;

	if (udp) {
		be16_put(l4 + UDP_LENGTH, end - layout->l4);
	} else {
		be32_put(l4 + TCP_SEQ, be32_get(l4 + TCP_SEQ) + index * cut->gso_size);
		if (index + 1 < nic_cut_count(cut))
			l4[TCP_FLAGS] &= (uint8_t)~TCP_PSH;
	}
	nic_sums_make(header, layout, &sums);
	uint64_t sum = nic_transport_sum(l4, layout, &sums, end - layout->l4) + payload_sum;
	raw16_put(header + nic_transport_csum_at(layout), nic_checksum_of(sum, udp));
	nic_finish_ip(header + layout->l3, layout->flags & NIC_LAYOUT_V6, sums.l3,
		      end - layout->l3);
	if (layout->flags & NIC_LAYOUT_TUNNEL)
		nic_finish_ip(header + layout->outer_l3, layout->flags & NIC_LAYOUT_OUTER_V6,
			      sums.outer_l3, end - layout->outer_l3);
}

void nic_cut_header(const struct nic_cut *cut, uint32_t index, uint32_t payload_sum,
		    uint8_t *ret_header)
{
	const struct nic_layout *layout = &cut->layout;
	uint32_t off, len;

	FARBUS_ASSERT(index < nic_cut_count(cut));
	nic_cut_range(cut, index, &off, &len);
	uint32_t end = layout->header_len + len;
	memcpy(ret_header, cut->header, layout->header_len);
	id_add(ret_header + layout->l3, layout->flags & NIC_LAYOUT_V6,
	       cut->flags & NIC_AGGREGATE_ID_FIXED, index);
	if (layout->flags & NIC_LAYOUT_TUNNEL)
		id_add(ret_header + layout->outer_l3, layout->flags & NIC_LAYOUT_OUTER_V6,
		       cut->flags & NIC_AGGREGATE_OUTER_ID_FIXED, index);
	cut_transport(cut, ret_header, index, payload_sum, end);
	if (!(layout->flags & NIC_LAYOUT_TUNNEL))
		return;
	be16_put(ret_header + layout->outer_l4 + UDP_LENGTH, end - layout->outer_l4);
	if (layout->flags & NIC_LAYOUT_OUTER_CSUM)
		nic_finish_outer_csum(ret_header, layout, end);
}
