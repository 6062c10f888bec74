/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_message.h -- messages of the vhost-user protocol, as they are on the socket
 *
 * Byte order is the host's. What is in a message is the front end's word; nothing of it is used
 * before it is checked.
 */
#ifndef NICDRV_VIRTIO_VHOST_MESSAGE_H
#define NICDRV_VIRTIO_VHOST_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#define VHOST_MESSAGE_FD_MAX 8	      /* descriptors that come with a message */
#define VHOST_MESSAGE_PAYLOAD_MAX 512 /* bytes of what this back end knows */
#define VHOST_REGION_MAX 8	      /* of SET_MEM_TABLE */

enum vhost_request {
#define REQUEST(number, name, size_min) VHOST_##name = (number),
#include "nicdrv/virtio/vhost_request.def"
#undef REQUEST
};

enum vhost_message_flags {
	VHOST_VERSION = 1,
	VHOST_VERSION_MASK = 3,
	VHOST_REPLY = 4,
	VHOST_NEED_REPLY = 8,
};

/* Protocol features: bits of GET_PROTOCOL_FEATURES. */
enum vhost_protocol_feature {
	VHOST_PROTOCOL_MQ = 0,
	VHOST_PROTOCOL_LOG_SHMFD = 1,
	VHOST_PROTOCOL_RARP = 2,
	VHOST_PROTOCOL_REPLY_ACK = 3,
	VHOST_PROTOCOL_NET_MTU = 4,
	VHOST_PROTOCOL_INFLIGHT_SHMFD = 12,
	VHOST_PROTOCOL_CONFIGURE_MEM_SLOTS = 15,
};

/* Features that are the protocol's, not virtio's. */
#define VHOST_F_LOG_ALL 26
#define VHOST_F_PROTOCOL_FEATURES 30

struct vhost_header {
	uint32_t request, flags, size;
};

struct vhost_state {
	uint32_t index, num;
};

struct vhost_addr {
	uint32_t index, flags; /* bit 0: log the used ring */
	uint64_t desc, used, avail, log;
};

struct vhost_region {
	uint64_t gpa, len, uva, off;
};

struct vhost_table {
	uint32_t count, padding;
	struct vhost_region region[VHOST_REGION_MAX];
};

struct vhost_slot {
	uint64_t padding;
	struct vhost_region region;
};

struct vhost_log {
	uint64_t len, off;
};

struct vhost_inflight {
	uint64_t len, off;
	uint16_t queue_count, queue_size;
	uint32_t padding;
};

/* The index is in the low 8 bits; bit 8: no descriptor comes along. */
#define VHOST_FD_INDEX 0xff
#define VHOST_FD_NONE 0x100

struct vhost_message {
	uint32_t reserved; /* the message on the socket begins behind it; so numbers are aligned */
	struct vhost_header header;
	union {
		uint64_t u64;
		struct vhost_state state;
		struct vhost_addr addr;
		struct vhost_table table;
		struct vhost_slot slot;
		struct vhost_log log;
		struct vhost_inflight inflight;
		uint8_t bytes[VHOST_MESSAGE_PAYLOAD_MAX];
	};
};

_Static_assert(sizeof(struct vhost_header) == 12, "on the socket");
_Static_assert(offsetof(struct vhost_message, bytes) ==
		       offsetof(struct vhost_message, header) + sizeof(struct vhost_header),
	       "on the socket");
_Static_assert(sizeof(struct vhost_addr) == 40, "on the socket");
_Static_assert(sizeof(struct vhost_table) == 8 + 32 * VHOST_REGION_MAX, "on the socket");
_Static_assert(sizeof(struct vhost_slot) == 40, "on the socket");

#endif
