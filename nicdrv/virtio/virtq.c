/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtq.c -- the device's side of a virtqueue: what split and packed rings have in common
 *
 * Invariants (virtq_check):
 *   1. a running queue has its three parts; a split one has a size that is a power of two
 *   2. indices of a packed ring are below its size
 */
#include "nicdrv/virtio/virtq.h"

#include "base/assert.h"
#include "base/error.h"
#include "nicdrv/virtio/virtq_private.h"
#include <errno.h>
#include <string.h>

static uint64_t driver_len(const struct virtq_conf *conf)
{
	return conf->packed ? 4 : 6 + 2ull * conf->size;
}

static uint64_t device_len(const struct virtq_conf *conf)
{
	return conf->packed ? 4 : 6 + 8ull * conf->size;
}

/* The guest-physical address of a part of the ring; the first, if several show it. */
static uint64_t part_bus(const struct virtq *vq, const void *at)
{
	uint64_t bus;

	return remap_reverse(vq->guest, at, UINT64_MAX, &bus) ? bus : UINT64_MAX;
}

int virtq_locate(struct virtq *vq)
{
	const struct virtq_conf *conf = &vq->conf;
	unsigned int both = REMAP_READ | REMAP_WRITE;

	vq->desc = remap_at(vq->front, conf->desc, 16ull * conf->size,
			    conf->packed ? both : REMAP_READ);
	vq->driver = remap_at(vq->front, conf->driver, driver_len(conf), REMAP_READ);
	vq->device = remap_at(vq->front, conf->device, device_len(conf), both);
	if (!vq->desc || !vq->driver || !vq->device || ((uintptr_t)vq->desc & 15) ||
	    ((uintptr_t)vq->driver & 1) || ((uintptr_t)vq->device & 3)) {
		vq->broken = true;
		return error_set(-EFAULT,
				 "a virtqueue at %#llx, %#llx, %#llx: not all of it is "
				 "memory the front end gave, or it is not aligned",
				 (unsigned long long)conf->desc, (unsigned long long)conf->driver,
				 (unsigned long long)conf->device);
	}
	if (conf->packed) {
		vq->desc_bus = part_bus(vq, vq->desc);
		vq->device_bus = part_bus(vq, vq->device);
	}
	return 0;
}

static void base_set(struct virtq *vq, uint32_t base)
{
	if (!vq->conf.packed) {
		vq->avail = (uint16_t)base;
		vq->avail_seen = vq->avail;
		/* Where the driver's side is: a device that was killed told nobody. */
		vq->used = ring16_get(vq->device + 2);
		return;
	}
	vq->avail = base & 0x7fff;
	vq->avail_wrap = base >> 15 & 1;
	vq->used = base >> 16 & 0x7fff;
	vq->used_wrap = base >> 31;
}

int virtq_start(struct virtq *vq, const struct virtq_conf *conf, uint32_t base)
{
	int err;

	if (conf->size == 0 || conf->size > VIRTQ_SIZE_MAX ||
	    (!conf->packed && (conf->size & (conf->size - 1))))
		return error_set(-EINVAL, "a virtqueue of %u descriptors", conf->size);
	if (conf->packed && ((base & 0x7fff) >= conf->size || (base >> 16 & 0x7fff) >= conf->size))
		return error_set(-EINVAL, "a packed virtqueue of %u descriptors that starts at %#x",
				 conf->size, base);
	vq->conf = *conf;
	vq->broken = false;
	err = virtq_locate(vq);
	if (err < 0)
		return err;
	base_set(vq, base);
	vq->pending = 0;
	vq->signalled_valid = false;
	if (conf->packed && conf->place && conf->resume)
		err = virtq_packed_resume(vq);
	else if (conf->packed && conf->place)
		virtq_packed_place_init(vq);
	vq->running = err == 0;
	return err;
}

uint32_t virtq_stop(struct virtq *vq)
{
	FARBUS_ASSERT(vq->pending == 0);
	vq->running = false;
	if (!vq->conf.packed)
		return vq->avail;
	return (uint32_t)vq->avail | (uint32_t)vq->avail_wrap << 15 | (uint32_t)vq->used << 16 |
	       (uint32_t)vq->used_wrap << 31;
}

int virtq_break(struct virtq *vq, const char *why)
{
	vq->broken = true;
	return error_set(-EPROTO, "the driver broke its virtqueue: %s", why);
}

/* ---- chains ---- */

static int walk_piece(struct virtq *vq, struct virtq_walk *walk, const struct virtq_piece *piece,
		      bool write)
{
	struct virtq_chain *chain = &walk->chain;
	uint32_t *len = write ? &chain->write_len : &chain->read_len;

	if (chain->read_count + chain->write_count == (int)walk->piece_max) {
		chain->cut = true;
		return 0;
	}
	if (*len > UINT32_MAX - piece->len)
		return virtq_break(vq, "a chain of more than 4 GiB");
	walk->piece[chain->read_count + chain->write_count] = *piece;
	*len += piece->len;
	if (write)
		chain->write_count++;
	else
		chain->read_count++;
	return 0;
}

int virtq_walk_add(struct virtq *vq, struct virtq_walk *walk, uint64_t addr, uint32_t len,
		   bool write)
{
	if (!write && walk->chain.write_count > 0)
		return virtq_break(vq, "a buffer to read behind one to write");
	if (len == 0)
		return virtq_break(vq, "an empty buffer");
	while (len > 0) {
		struct virtq_piece piece = { .bus = addr };
		int err;

		piece.len = (uint32_t)remap_piece(vq->guest, addr, len,
						  write ? REMAP_WRITE : REMAP_READ, &piece.at);
		if (piece.len == 0)
			return virtq_break(vq, "a buffer outside its memory");
		err = walk_piece(vq, walk, &piece, write);
		if (err < 0)
			return err;
		addr += piece.len;
		len -= piece.len;
	}
	return 0;
}

static int indirect_get(struct virtq *vq, uint64_t addr, uint32_t index,
			struct virtq_desc *ret_desc)
{
	void *at = remap_at(vq->guest, addr + 16ull * index, 16, REMAP_READ);

	if (!at) {
		if (!remap_read(vq->guest, addr + 16ull * index, ret_desc, 16))
			return virtq_break(vq, "a descriptor table outside its memory");
		return 0;
	}
	memcpy(ret_desc, at, 16);
	/* What was copied is what is used, also to the compiler. */
	__asm__ volatile("" : : "r"(ret_desc) : "memory");
	return 0;
}

int virtq_walk_indirect(struct virtq *vq, struct virtq_walk *walk, uint64_t addr, uint32_t len,
			bool chained)
{
	uint32_t count = len / 16, index = 0;

	if (!vq->conf.indirect)
		return virtq_break(vq, "a descriptor table that was not negotiated");
	if (count == 0 || len % 16 || count > VIRTQ_SIZE_MAX || addr > UINT64_MAX - len)
		return virtq_break(vq, "a descriptor table of a size that is none");
	for (uint32_t step = 0; step < count; step++) {
		struct virtq_desc desc;
		uint16_t flags;
		int err = indirect_get(vq, addr, index, &desc);
		if (err < 0)
			return err;
		flags = desc.word[chained ? 0 : 1];
		if (flags & VRING_DESC_F_INDIRECT)
			return virtq_break(vq, "a descriptor table in a descriptor table");
		err = virtq_walk_add(vq, walk, desc.addr, desc.len, flags & VRING_DESC_F_WRITE);
		if (err < 0)
			return err;
		if (chained && !(flags & VRING_DESC_F_NEXT))
			return 0;
		index = chained ? desc.word[1] : index + 1;
		if (chained && index >= count)
			return virtq_break(vq, "a link out of its descriptor table");
	}
	return chained ? virtq_break(vq, "a descriptor table that goes round") : 0;
}

/* ---- the calls ---- */

int virtq_pop(struct virtq *vq, struct virtq_piece *piece, uint32_t piece_max,
	      struct virtq_chain *ret_chain)
{
	struct virtq_walk walk = { .piece = piece, .piece_max = piece_max };
	int got;

	if (!vq->running)
		return 0;
	if (vq->broken)
		return error_set(-EPROTO, "the driver broke its virtqueue before");
	got = vq->conf.packed ? virtq_packed_pop(vq, &walk) : virtq_split_pop(vq, &walk);
	if (got == 1)
		*ret_chain = walk.chain;
	return got;
}

uint32_t virtq_room(struct virtq *vq, uint32_t max)
{
	if (!vq->running || vq->broken)
		return 0;
	return vq->conf.packed ? virtq_packed_room(vq, max) : virtq_split_room(vq, max);
}

void virtq_unpop(struct virtq *vq, const struct virtq_chain *chain)
{
	if (!vq->conf.packed) {
		vq->avail--;
		return;
	}
	if (vq->avail < chain->slots) {
		vq->avail = (uint16_t)(vq->avail + vq->conf.size);
		vq->avail_wrap = !vq->avail_wrap;
	}
	vq->avail = (uint16_t)(vq->avail - chain->slots);
}

void virtq_push(struct virtq *vq, const struct virtq_chain *chain, uint32_t len)
{
	if (vq->conf.packed)
		virtq_packed_push(vq, chain, len);
	else
		virtq_split_push(vq, chain, len);
	vq->pending++;
}

void virtq_publish(struct virtq *vq)
{
	if (vq->pending == 0)
		return;
	/* Payload, then its report, then what lets the driver see it. */
	dirty_report_flush(vq->report);
	if (vq->conf.packed)
		virtq_packed_publish(vq);
	else
		virtq_split_publish(vq);
	dirty_report_flush(vq->report);
	vq->pending = 0;
}

bool virtq_notify_wanted(struct virtq *vq)
{
	/* Ours is published before the driver's wish is read; pairs with the driver's barrier
	 * between stating its wish and looking at the ring once more. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return vq->conf.packed ? virtq_packed_notify_wanted(vq) : virtq_split_notify_wanted(vq);
}

bool virtq_kick_enable(struct virtq *vq)
{
	bool more;

	if (!vq->running || vq->broken)
		return false;
	more = vq->conf.packed ? virtq_packed_kick_enable(vq) : virtq_split_kick_enable(vq);
	dirty_report_flush(vq->report);
	return more;
}

void virtq_kick_disable(struct virtq *vq)
{
	if (!vq->running || vq->broken)
		return;
	if (vq->conf.packed)
		virtq_packed_kick_disable(vq);
	else
		virtq_split_kick_disable(vq);
	dirty_report_flush(vq->report);
}

void virtq_check(const struct virtq *vq)
{
	if (!vq->running || vq->broken)
		return;
	FARBUS_ASSERT(vq->desc && vq->driver && vq->device);
	if (vq->conf.packed) {
		FARBUS_ASSERT(vq->avail < vq->conf.size);
		FARBUS_ASSERT(vq->used < vq->conf.size);
	} else {
		FARBUS_ASSERT((vq->conf.size & (vq->conf.size - 1)) == 0);
	}
}
