/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * offload.h -- checksums and segmentation for who cannot do them: a port, or a guest
 *
 * Pure. Threads: any thread.
 */
#ifndef NICDRV_VIRTIO_OFFLOAD_H
#define NICDRV_VIRTIO_OFFLOAD_H

#include "nicdrv/device/packet.h"
#include <sys/uio.h>

/*
 * Takes a whole frame of two pieces: headers and payload, borrowed for the call. What it returns
 * ends the segmentation if it is an error.
 */
typedef int (*offload_emit_fn)(void *arg, const struct iovec piece[2]);

/* Writes the checksum of [start, len) at start + offset, where the pseudo header's sum is. */
void offload_csum(uint8_t *frame, uint32_t len, uint32_t start, uint32_t offset);

/*
 * Cuts a TCP frame into frames of gso_size payload with whole checksums.
 * Errors: -EINVAL it is no TCP frame, or says something else than its length; those of emit.
 */
int offload_segment(const uint8_t *frame, uint32_t len, uint16_t gso_size, offload_emit_fn emit,
		    void *arg);

#endif
