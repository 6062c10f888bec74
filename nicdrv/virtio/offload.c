/* SPDX-License-Identifier: BSD-3-Clause */
/* offload.c -- checksums and segmentation in software */
#include "nicdrv/virtio/offload.h"

#include "base/assert.h"
#include "base/error.h"
#include "nicdrv/device/segment.h"
#include <errno.h>

void offload_csum(uint8_t *frame, uint32_t len, uint32_t start, uint32_t offset)
{
	uint32_t sum;

	FARBUS_ASSERT(start + offset + 2 <= len);
	sum = ~csum_best()->sum(frame + start, len - start) & 0xffff;
	/* UDP has another zero for "no checksum"; to TCP both are the same number. */
	raw16_put(frame + start + offset, sum == 0 ? 0xffff : sum);
}

int offload_segment(const uint8_t *frame, uint32_t len, uint16_t gso_size, offload_emit_fn emit,
		    void *arg)
{
	struct nic_parsed parsed;
	struct nic_aggregate aggregate = { .gso_size = gso_size };
	struct nic_cut cut;
	int err;

	nic_parse(frame, len, NIC_WANT_TCP4 | NIC_WANT_TCP6, &parsed);
	if (parsed.kind != NIC_KIND_FLOW || parsed.layout.header_len + parsed.payload_len > len)
		return error_set(-EINVAL, "segmentation: not a TCP frame of %u bytes", len);
	aggregate.layout = parsed.layout;
	aggregate.payload_len = parsed.payload_len;
	err = nic_cut_init(&cut, &aggregate, frame);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < nic_cut_count(&cut); i++) {
		uint8_t header[NIC_HEADER_MAX + 2];
		uint32_t off, part;
		struct iovec piece[2] = { { header, parsed.layout.header_len } };

		nic_cut_range(&cut, i, &off, &part);
		piece[1].iov_base = (void *)(uintptr_t)(frame + parsed.layout.header_len + off);
		piece[1].iov_len = part;
		nic_cut_header(&cut, i, csum_best()->sum(piece[1].iov_base, part), header);
		err = emit(arg, piece);
		if (err < 0)
			return err;
	}
	return 0;
}
