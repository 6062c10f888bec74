/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtq_split.c -- split rings: descriptors, available ring, used ring
 *
 *   desc[size] | driver: flags, idx, ring[size], used_event | device: flags, idx, ring[size] of
 *                                                             {id, len}, avail_event
 */
#include "nicdrv/virtio/virtq_private.h"

#define AVAIL_RING(i) (4 + 2ull * (i))
#define USED_RING(i) (4 + 8ull * (i))

static void report_device(struct virtq *vq, uint64_t off, uint64_t len)
{
	ring_report(vq, vq->conf.log_addr + off, len);
}

static int walk_chain(struct virtq *vq, struct virtq_walk *walk, uint16_t index)
{
	for (uint32_t step = 0; step < vq->conf.size; step++) {
		struct virtq_desc desc;
		uint16_t flags;
		int err;

		if (index >= vq->conf.size)
			return virtq_break(vq, "a descriptor index past the end");
		desc = desc_get(vq->desc + 16ull * index);
		flags = desc.word[0];
		if (flags & VRING_DESC_F_INDIRECT) {
			if (flags & VRING_DESC_F_NEXT)
				return virtq_break(vq, "a descriptor table with a next");
			return virtq_walk_indirect(vq, walk, desc.addr, desc.len, true);
		}
		err = virtq_walk_add(vq, walk, desc.addr, desc.len, flags & VRING_DESC_F_WRITE);
		if (err < 0)
			return err;
		if (!(flags & VRING_DESC_F_NEXT))
			return 0;
		index = desc.word[1];
	}
	return virtq_break(vq, "a chain that goes round");
}

static int look(struct virtq *vq)
{
	vq->avail_seen = ring16_acquire(vq->driver + 2);
	if ((uint16_t)(vq->avail_seen - vq->avail) > vq->conf.size)
		return virtq_break(vq, "more chains than descriptors");
	return 0;
}

uint32_t virtq_split_room(struct virtq *vq, uint32_t max)
{
	uint16_t there = (uint16_t)(vq->avail_seen - vq->avail);

	if (there >= max)
		return max;
	if (look(vq) < 0)
		return 0;
	there = (uint16_t)(vq->avail_seen - vq->avail);
	return there < max ? there : max;
}

int virtq_split_pop(struct virtq *vq, struct virtq_walk *walk)
{
	int err;

	if (vq->avail == vq->avail_seen) {
		err = look(vq);
		if (err < 0)
			return err;
		if (vq->avail == vq->avail_seen)
			return 0;
	}
	walk->chain.id = ring16_get(vq->driver + AVAIL_RING(vq->avail & (vq->conf.size - 1)));
	walk->chain.slots = 1;
	err = walk_chain(vq, walk, walk->chain.id);
	if (err < 0)
		return err;
	vq->avail++;
	return 1;
}

void virtq_split_push(struct virtq *vq, const struct virtq_chain *chain, uint32_t len)
{
	uint64_t off = USED_RING(vq->used & (vq->conf.size - 1));

	__atomic_store_n((uint32_t *)(void *)(vq->device + off), chain->id, __ATOMIC_RELAXED);
	__atomic_store_n((uint32_t *)(void *)(vq->device + off + 4), len, __ATOMIC_RELAXED);
	report_device(vq, off, 8);
	vq->used++;
}

void virtq_split_publish(struct virtq *vq)
{
	ring16_publish(vq->device + 2, vq->used);
	report_device(vq, 2, 2);
}

/* Did the driver's event index come between old and now? As in the specification. */
static bool event_passed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

bool virtq_split_notify_wanted(struct virtq *vq)
{
	uint16_t old = vq->signalled;
	bool valid = vq->signalled_valid;

	if (!vq->conf.event_idx)
		return !(ring16_get(vq->driver) & VRING_AVAIL_F_NO_INTERRUPT);
	vq->signalled = vq->used;
	vq->signalled_valid = true;
	return !valid ||
	       event_passed(ring16_get(vq->driver + AVAIL_RING(vq->conf.size)), vq->used, old);
}

bool virtq_split_kick_enable(struct virtq *vq)
{
	uint64_t off = vq->conf.event_idx ? USED_RING(vq->conf.size) : 0;

	ring16_put(vq->device + off, vq->conf.event_idx ? vq->avail : 0);
	report_device(vq, off, 2);
	/* Our wish is visible before we look again; pairs with the driver's barrier before it kicks. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ring16_acquire(vq->driver + 2) != vq->avail;
}

void virtq_split_kick_disable(struct virtq *vq)
{
	if (vq->conf.event_idx)
		return;
	ring16_put(vq->device, VRING_USED_F_NO_NOTIFY);
	report_device(vq, 0, 2);
}
