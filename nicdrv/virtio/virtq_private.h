/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtq_private.h -- what virtq.c and the two kinds of rings share
 *
 * Every access to the driver's memory is one of the loads and stores below: each is done once,
 * whatever the compiler would like.
 */
#ifndef NICDRV_VIRTIO_VIRTQ_PRIVATE_H
#define NICDRV_VIRTIO_VIRTQ_PRIVATE_H

#include "nicdrv/virtio/virtq.h"
#include <linux/virtio_ring.h>

struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t word[2]; /* split: flags, next; packed: id, flags */
};
_Static_assert(sizeof(struct virtq_desc) == 16, "as both kinds of rings have it");

static inline uint16_t ring16_get(const void *at)
{
	return __atomic_load_n((const uint16_t *)at, __ATOMIC_RELAXED);
}

static inline void ring16_put(void *at, uint16_t value)
{
	__atomic_store_n((uint16_t *)at, value, __ATOMIC_RELAXED);
}

/* Pairs with the driver's write barrier before it makes a chain available. */
static inline uint16_t ring16_acquire(const void *at)
{
	return __atomic_load_n((const uint16_t *)at, __ATOMIC_ACQUIRE);
}

/* Pairs with the driver's read barrier after it has seen that a chain is used. */
static inline void ring16_publish(void *at, uint16_t value)
{
	__atomic_store_n((uint16_t *)at, value, __ATOMIC_RELEASE);
}

static inline struct virtq_desc desc_get(const void *at)
{
	union {
		uint64_t word[2];
		struct virtq_desc desc;
	} copy;

	copy.word[0] = __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
	copy.word[1] = __atomic_load_n((const uint64_t *)at + 1, __ATOMIC_RELAXED);
	return copy.desc;
}

static inline void ring_report(struct virtq *vq, uint64_t bus, uint64_t len)
{
	if (vq->conf.log && bus != UINT64_MAX)
		dirty_report_add(vq->report, bus, len);
}

/* A chain being collected. */
struct virtq_walk {
	struct virtq_piece *piece;
	uint32_t piece_max, steps;
	struct virtq_chain chain;
};

/* The queue is broken: says why, once. Returns -EPROTO. */
int virtq_break(struct virtq *vq, const char *why);
/* One buffer of a chain. Errors: -EPROTO. */
int virtq_walk_add(struct virtq *vq, struct virtq_walk *walk, uint64_t addr, uint32_t len,
		   bool write);
/* A table of descriptors; chained: as linked by next. Errors: -EPROTO. */
int virtq_walk_indirect(struct virtq *vq, struct virtq_walk *walk, uint64_t addr, uint32_t len,
			bool chained);

/* The kinds. */
uint32_t virtq_split_room(struct virtq *vq, uint32_t max);
int virtq_split_pop(struct virtq *vq, struct virtq_walk *walk);
void virtq_split_push(struct virtq *vq, const struct virtq_chain *chain, uint32_t len);
void virtq_split_publish(struct virtq *vq);
bool virtq_split_notify_wanted(struct virtq *vq);
bool virtq_split_kick_enable(struct virtq *vq);
void virtq_split_kick_disable(struct virtq *vq);

uint32_t virtq_packed_room(struct virtq *vq, uint32_t max);
int virtq_packed_pop(struct virtq *vq, struct virtq_walk *walk);
void virtq_packed_push(struct virtq *vq, const struct virtq_chain *chain, uint32_t len);
void virtq_packed_publish(struct virtq *vq);
bool virtq_packed_notify_wanted(struct virtq *vq);
/* Of conf.place. Errors: -EINVAL. */
int virtq_packed_resume(struct virtq *vq);
void virtq_packed_place_init(struct virtq *vq);
bool virtq_packed_kick_enable(struct virtq *vq);
void virtq_packed_kick_disable(struct virtq *vq);

#endif
