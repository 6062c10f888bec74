/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring.h -- the receive ring between the NIC and a process, in one memfd
 *
 * The process posts buffers and gets chains of mbufs back, each a packet or an aggregate. It links
 * them from the control fields (field.h) alone: no byte of a packet is touched until the process
 * looks at it. The NIC's side is a sink of the aggregator.
 *
 * Neither side trusts the other: what is in shared memory is copied once and checked. A broken NIC
 * breaks the ring for the host, which then gives nothing more; a host that breaks the rules gets no
 * packets into the buffers it lied about, and can hurt nobody else.
 */
#ifndef NICDRV_RING_RING_H
#define NICDRV_RING_RING_H

#include "nicdrv/device/sink.h"
#include "nicdrv/ring/field.h"

#define NIC_RING_BUFFER_MAX 32768      /* buffers of a ring */
#define NIC_RING_BUFFER_SIZE_MAX 65536 /* bytes of a buffer */
#define NIC_RING_BUFFER_SIZE_MIN 1024
#define NIC_RING_HEADROOM_MAX 256

struct nic_ring_conf {
	uint32_t buffer_count; /* 1 to NIC_RING_BUFFER_MAX */
	uint32_t buffer_size;  /* a multiple of 64, NIC_RING_BUFFER_SIZE_MIN to _MAX; 0: 16384 */
	uint32_t headroom;     /* bytes, at least a virtio header's 12; 0: 64 */
	bool external;	       /* the buffers are memory of the caller's: a region */
};

/*
 * Ownership: nic_ring_unmap() ends memory; buffers of an external ring are the caller's, who sets the
 * pointer after nic_ring_map(): buffer_count * buffer_size bytes that stay while the ring is used.
 */
struct nic_ring_map {
	struct nic_ring_header *memory;
	struct nic_field *field;
	struct nic_post *post;
	uint8_t *buffers;
	size_t size;
	struct nic_ring_conf conf; /* checked, and not read again */
	uint32_t slot_count;
};

/* Errors: -EINVAL a number of conf, -EMFILE, -ENOMEM. The descriptor is CLOEXEC and sealed. */
int nic_ring_create(const struct nic_ring_conf *conf, int *ret_fd);
/*
 * The descriptor may be closed afterwards.
 * Errors: -EPROTO this is no ring, or one of another version, -EBADF not open, -ENOMEM.
 */
int nic_ring_map(int fd, struct nic_ring_map *ret_map);
void nic_ring_unmap(struct nic_ring_map *map);

/* ---- the NIC's side. Threads: one thread at a time ---- */

struct nic_ring_device_stats {
	uint64_t published, segments, bytes;
	uint64_t buffers;   /* filled */
	uint64_t full;	    /* pieces refused because no buffer was posted */
	uint64_t bad_posts; /* posts that broke the rules, and were ignored */
};

struct nic_ring_device;

/* Borrows what map points to. One device in the life of a ring. Errors: -ENOMEM. */
int nic_ring_device_new(const struct nic_ring_map *map, struct nic_ring_device **ret_device);
struct nic_ring_device *nic_ring_device_free(struct nic_ring_device *device);
/* For nic_agg_new(), with the device as the sink. */
extern const struct nic_sink_ops nic_ring_sink_ops;
/* After publishing, at the end of a batch. True: the host sleeps, and the caller is to wake it. */
bool nic_ring_device_wake(struct nic_ring_device *device);
/* Posted buffers there are now. */
uint32_t nic_ring_device_room(struct nic_ring_device *device);
const struct nic_ring_device_stats *nic_ring_device_stats(const struct nic_ring_device *device);
void nic_ring_device_check(const struct nic_ring_device *device);

/* ---- the process's side. Threads: one thread at a time ---- */

struct nic_mbuf {
	struct nic_mbuf *next;
	uint8_t *data;
	uint32_t len;
	uint32_t buffer;
};

/* A packet or an aggregate, made from control fields only. */
struct nic_chain {
	struct nic_mbuf *first; /* borrows the host's until nic_ring_host_release() */
	uint32_t flow;
	uint32_t len; /* of all mbufs */
	uint16_t mbuf_count;
	uint16_t segment_count;
	uint16_t gso_size;
	uint16_t flags; /* enum field_flags */
	uint8_t header_len, l4;
};

struct nic_ring_host_stats {
	uint64_t chains, segments, bytes;
};

struct nic_ring_host;

/* Borrows what map points to, and posts all buffers. One host in the life of a ring. Errors: -ENOMEM. */
int nic_ring_host_new(const struct nic_ring_map *map, struct nic_ring_host **ret_host);
struct nic_ring_host *nic_ring_host_free(struct nic_ring_host *host);

/*
 * Returns how many chains came, 0 to max.
 * Errors: -EPROTO the NIC broke the rules, now or before; error_text() says how.
 */
int nic_ring_host_recv(struct nic_ring_host *host, struct nic_chain *ret_chains, unsigned max);
/*
 * Gives the chain's buffers back.
 * Errors: -EINVAL one of them is not the caller's to give, as when it is done twice; what stands before
 * it in the chain is given.
 */
int nic_ring_host_release(struct nic_ring_host *host, const struct nic_chain *chain);
/* Before sleeping. False: something is there already, do not sleep. */
bool nic_ring_host_arm(struct nic_ring_host *host);
/* Packets the NIC says it dropped because nothing was posted. */
uint64_t nic_ring_host_full(const struct nic_ring_host *host);
const struct nic_ring_host_stats *nic_ring_host_stats(const struct nic_ring_host *host);
/* Buffers the caller holds. */
uint32_t nic_ring_host_held(const struct nic_ring_host *host);
/*
 * Writes the 12 bytes a guest wants in front of the data, into the headroom; returns where they begin,
 * so that the chain can be put into a virtqueue as it is. Touches the headroom, no packet byte.
 */
uint8_t *nic_chain_virtio(const struct nic_chain *chain);
void nic_ring_host_check(const struct nic_ring_host *host);

#endif
