/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * field.h -- the control field: what the NIC tells a process about a buffer it filled
 *
 *   memory:  | header, 3 lines | field 0 | field 1 | ... | post 0 | post 1 | ... | buffer 0 | buffer 1 ...
 *
 *   fields   NIC to host, 32 bytes: the buffers of a packet or an aggregate stand next to each other,
 *            HEAD MID ... MID TAIL, or SINGLE
 *   posts    host to NIC, 16 bytes: this buffer may be filled
 *
 *   first buffer:   | headroom: the virtio header's place | header | payload ... |
 *   others:         | payload ... |
 *
 * A slot that carries position p (counted from 0, never wrapping) holds sequence p + 1, cut to 32
 * bits. There is no shared head and no credit: there are at least as many slots as buffers, and a
 * buffer is in at most one of them.
 *
 * Ordering: the last word of a slot, with the sequence in its upper half, is stored with release after
 * the rest of the slot and after the bytes of the buffer, and loaded with acquire. Of a chain the field of HEAD is published last, so that
 * who sees it sees all. A post is stored after the host's last access to the buffer and to
 * its field.
 *
 * Everything here is written by the other side too: it is copied once, then checked.
 */
#ifndef NICDRV_RING_FIELD_H
#define NICDRV_RING_FIELD_H

#include <stddef.h>
#include <stdint.h>

#define FIELD_VERSION 1

enum field_flags {
	FIELD_VALID = 1,   /* every checksum was verified */
	FIELD_PARTIAL = 2, /* the transport's checksum is to be completed */
	FIELD_V6 = 4,
	FIELD_UDP = 8,
	FIELD_TUNNEL = 16,
	FIELD_ID_FIXED = 32,
	FIELD_OUTER_ID_FIXED = 64,
	FIELD_FLAGS_ALL = 127,
};

struct nic_field {
	uint8_t version;
	uint8_t position;    /* enum nic_position of the buffer in its chain */
	uint16_t generation; /* of the post that gave this buffer */
	uint32_t flow;	     /* hash of the flow, 0: none */
	uint32_t buffer;
	uint16_t offset;	/* of the data in the buffer */
	uint8_t header_len;	/* HEAD, SINGLE: bytes before the payload, 0: not known */
	uint8_t l4;		/* HEAD, SINGLE: offset of the transport header in the data */
	uint32_t data_len;	/* of this buffer */
	uint16_t gso_size;	/* HEAD, SINGLE */
	uint16_t segment_count; /* HEAD, SINGLE: packets in the aggregate */
	uint16_t index;		/* HEAD, SINGLE: buffers of the chain; others: which one this is */
	uint16_t flags;		/* HEAD, SINGLE: enum field_flags */
	uint32_t sequence;
};

struct nic_post {
	uint32_t buffer;
	uint16_t generation; /* one more than at the post before */
	uint16_t reserved[3];
	uint32_t sequence;
};

#define FIELD_MAGIC 0x6e696372u

struct nic_ring_header {
	/* Written once, when the ring is made. */
	uint32_t magic, version;
	uint32_t buffer_count, buffer_size, headroom;
	uint32_t slot_count;
	uint32_t external; /* not 0: the buffers are elsewhere */
	uint8_t reserved0[36];
	/* Written by the host. */
	uint32_t armed; /* the host sleeps: wake it after a publish */
	uint8_t reserved1[60];
	/* Written by the NIC, for statistics. */
	uint64_t full; /* packets dropped because no buffer was posted */
	uint8_t reserved2[56];
};

_Static_assert(offsetof(struct nic_field, index) == 24, "the last word is published as one");
_Static_assert(offsetof(struct nic_post, reserved[1]) == 8, "the last word is published as one");
_Static_assert(sizeof(struct nic_field) == 32, "two fields per cache line");
_Static_assert(sizeof(struct nic_post) == 16, "four posts per cache line");
_Static_assert(offsetof(struct nic_ring_header, armed) == 64, "no line has two writers");
_Static_assert(offsetof(struct nic_ring_header, full) == 128, "no line has two writers");

#endif
