/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtq_packed.c -- packed rings: one ring of descriptors that both sides write
 *
 * A descriptor is available when its AVAIL bit is the wrap bit and its USED bit is not; it is used
 * when both are the wrap bit. What is pushed is behind the first descriptor of the burst, whose flags
 * are written last: the driver goes through the ring in order, and so sees all or nothing.
 */
#include "nicdrv/virtio/virtq_private.h"

#include "base/error.h"
#include <errno.h>
#include <string.h>

#define DESC_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define DESC_USED (1u << VRING_PACKED_DESC_F_USED)
#define DESC_FLAGS 14
#define EVENT_FLAGS 2
#define WRAP_BIT (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

static uint8_t *slot_at(const struct virtq *vq, uint16_t slot)
{
	return vq->desc + 16ull * slot;
}

static void report_slot(struct virtq *vq, uint16_t slot)
{
	ring_report(vq, vq->desc_bus == UINT64_MAX ? UINT64_MAX : vq->desc_bus + 16ull * slot, 16);
}

/* From index on by count; true: past the end, the wrap bit turns. */
static bool forward(const struct virtq *vq, uint16_t *index, uint16_t count)
{
	uint32_t next = (uint32_t)*index + count;
	bool wrapped = next >= vq->conf.size;

	*index = (uint16_t)(wrapped ? next - vq->conf.size : next);
	return wrapped;
}

static bool available_at(uint16_t flags, bool wrap)
{
	return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

static bool available(const struct virtq *vq, uint16_t flags)
{
	return available_at(flags, vq->avail_wrap);
}

uint32_t virtq_packed_room(struct virtq *vq, uint32_t max)
{
	uint16_t slot = vq->avail;
	bool wrap = vq->avail_wrap;
	uint32_t room = 0;

	while (room < max && room < vq->conf.size &&
	       available_at(ring16_get(slot_at(vq, slot) + DESC_FLAGS), wrap)) {
		room++;
		if (forward(vq, &slot, 1))
			wrap = !wrap;
	}
	return room;
}

static int walk_chain(struct virtq *vq, struct virtq_walk *walk)
{
	uint16_t slot = vq->avail;

	for (uint32_t count = 1; count <= vq->conf.size; count++) {
		struct virtq_desc desc = desc_get(slot_at(vq, slot));
		uint16_t flags = desc.word[1];
		int err;

		walk->chain.id = desc.word[0];
		walk->chain.slots = (uint16_t)count;
		if (flags & VRING_DESC_F_INDIRECT) {
			if (flags & VRING_DESC_F_NEXT || count > 1)
				return virtq_break(vq, "a descriptor table in a chain");
			return virtq_walk_indirect(vq, walk, desc.addr, desc.len, false);
		}
		err = virtq_walk_add(vq, walk, desc.addr, desc.len, flags & VRING_DESC_F_WRITE);
		if (err < 0)
			return err;
		if (!(flags & VRING_DESC_F_NEXT))
			return 0;
		forward(vq, &slot, 1);
	}
	return virtq_break(vq, "a chain longer than its ring");
}

int virtq_packed_pop(struct virtq *vq, struct virtq_walk *walk)
{
	int err;

	if (!available(vq, ring16_acquire(slot_at(vq, vq->avail) + DESC_FLAGS)))
		return 0;
	err = walk_chain(vq, walk);
	if (err < 0)
		return err;
	if (walk->chain.id >= vq->conf.size)
		return virtq_break(vq, "a buffer id past the end");
	if (forward(vq, &vq->avail, walk->chain.slots))
		vq->avail_wrap = !vq->avail_wrap;
	return 1;
}

static void used_put(const struct virtq *vq, uint16_t slot, uint16_t id, uint32_t len)
{
	__atomic_store_n((uint32_t *)(void *)(slot_at(vq, slot) + 8), len, __ATOMIC_RELAXED);
	ring16_put(slot_at(vq, slot) + 12, id);
}

void virtq_packed_push(struct virtq *vq, const struct virtq_chain *chain, uint32_t len)
{
	uint16_t flags = vq->used_wrap ? DESC_AVAIL | DESC_USED : 0;

	if (len > 0)
		flags |= VRING_DESC_F_WRITE;
	if (vq->pending == 0) {
		vq->first_slot = vq->used;
		vq->first_flags = flags;
	}
	if (vq->conf.place) {
		/* Not into the ring yet: after a kill the driver's descriptors are still there. */
		struct virtq_place_entry *entry = &vq->conf.place->entry[vq->used];

		entry->id = chain->id;
		entry->len = len;
		entry->flags = flags;
		entry->slots = chain->slots;
	} else {
		used_put(vq, vq->used, chain->id, len);
		if (vq->pending > 0)
			ring16_publish(slot_at(vq, vq->used) + DESC_FLAGS, flags);
		report_slot(vq, vq->used);
	}
	if (forward(vq, &vq->used, chain->slots))
		vq->used_wrap = !vq->used_wrap;
}

/*
 * The place, in one word, so that a kill finds it whole: where the ring will be, and where it was. While
 * they differ, the entries in between are to be written into the ring.
 */
struct place {
	uint16_t used, old_used;
	uint8_t wrap, old_wrap;
	uint8_t reserved[2];
};
_Static_assert(sizeof(struct place) == sizeof(uint64_t), "one store");

static void place_put(struct virtq *vq, uint16_t old_used, bool old_wrap)
{
	struct place place = { vq->used, old_used, vq->used_wrap, old_wrap, { 0 } };
	uint64_t word;

	memcpy(&word, &place, sizeof(word));
	/* Release: of this thread's stores a kill leaves the first ones. */
	__atomic_store_n(&vq->conf.place->word, word, __ATOMIC_RELEASE);
}

void virtq_packed_place_init(struct virtq *vq)
{
	place_put(vq, vq->used, vq->used_wrap);
}

/*
 * Entries from there up to where the ring is now; all but the flags of the first. Each may be written
 * twice. False: they do not lead there.
 */
static bool entries_write(struct virtq *vq, uint16_t slot, bool wrap)
{
	for (uint32_t i = 0; i < vq->conf.size && (slot != vq->used || wrap != vq->used_wrap);
	     i++) {
		/* The front end can write here, too: each word is read once, and stays in the ring. */
		const struct virtq_place_entry *entry = &vq->conf.place->entry[slot];
		uint16_t slots = ring16_get(&entry->slots);

		if (slots == 0 || slots > vq->conf.size)
			return false;
		used_put(vq, slot, ring16_get(&entry->id), entry->len);
		if (i > 0)
			ring16_publish(slot_at(vq, slot) + DESC_FLAGS, ring16_get(&entry->flags));
		report_slot(vq, slot);
		if (forward(vq, &slot, slots))
			wrap = !wrap;
	}
	return slot == vq->used && wrap == vq->used_wrap;
}

/* What a publish had not finished. */
static bool publish_again(struct virtq *vq, const struct place *place)
{
	uint16_t flags = ring16_acquire(slot_at(vq, place->old_used) + DESC_FLAGS);

	/* Still as the driver made it available? Otherwise the driver has seen all of it. */
	if (!available_at(flags, place->old_wrap))
		return true;
	if (!entries_write(vq, place->old_used, place->old_wrap))
		return false;
	ring16_publish(slot_at(vq, place->old_used) + DESC_FLAGS,
		       ring16_get(&vq->conf.place->entry[place->old_used].flags));
	return true;
}

int virtq_packed_resume(struct virtq *vq)
{
	uint64_t word = __atomic_load_n(&vq->conf.place->word, __ATOMIC_ACQUIRE);
	bool good = true;
	struct place place;

	memcpy(&place, &word, sizeof(place));
	if (place.used < vq->conf.size && place.old_used < vq->conf.size && place.wrap <= 1 &&
	    place.old_wrap <= 1) {
		vq->used = vq->avail = place.used;
		vq->used_wrap = vq->avail_wrap = place.wrap;
		if (place.used != place.old_used || place.wrap != place.old_wrap)
			good = publish_again(vq, &place);
	} else {
		good = false;
	}
	if (!good)
		return error_set(-EINVAL, "a packed virtqueue of %u descriptors that goes on at %u",
				 vq->conf.size, place.used);
	virtq_packed_place_init(vq);
	return 0;
}

void virtq_packed_publish(struct virtq *vq)
{
	bool first_wrap = vq->first_flags & DESC_USED;

	if (vq->conf.place) {
		place_put(vq, vq->first_slot, first_wrap);
		/* What does not lead there was changed by the front end, whose ring it is. */
		vq->broken |= !entries_write(vq, vq->first_slot, first_wrap);
	}
	ring16_publish(slot_at(vq, vq->first_slot) + DESC_FLAGS, vq->first_flags);
	if (vq->conf.place)
		virtq_packed_place_init(vq);
	report_slot(vq, vq->first_slot);
}

/* The event index with its wrap bit, and old, both brought to where `used` counts. */
static bool event_passed(const struct virtq *vq, uint16_t event, uint16_t old)
{
	uint16_t off = event & (uint16_t)(WRAP_BIT - 1), now = vq->used;

	if (now <= old)
		old = (uint16_t)(old - vq->conf.size);
	if (!!(event & WRAP_BIT) != vq->used_wrap)
		off = (uint16_t)(off - vq->conf.size);
	return (uint16_t)(now - off - 1) < (uint16_t)(now - old);
}

bool virtq_packed_notify_wanted(struct virtq *vq)
{
	uint16_t flags = ring16_acquire(vq->driver + EVENT_FLAGS), old = vq->signalled;
	bool valid = vq->signalled_valid;

	vq->signalled = vq->used;
	vq->signalled_valid = true;
	if (!vq->conf.event_idx || flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	return !valid || event_passed(vq, ring16_get(vq->driver), old);
}

bool virtq_packed_kick_enable(struct virtq *vq)
{
	uint16_t flags = VRING_PACKED_EVENT_FLAG_ENABLE;

	if (vq->conf.event_idx) {
		ring16_put(vq->device, (uint16_t)(vq->avail | (vq->avail_wrap ? WRAP_BIT : 0)));
		flags = VRING_PACKED_EVENT_FLAG_DESC;
	}
	ring16_publish(vq->device + EVENT_FLAGS, flags);
	ring_report(vq, vq->device_bus, 4);
	/* Our wish is visible before we look again; pairs with the driver's barrier before it kicks. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return available(vq, ring16_acquire(slot_at(vq, vq->avail) + DESC_FLAGS));
}

void virtq_packed_kick_disable(struct virtq *vq)
{
	ring16_publish(vq->device + EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_DISABLE);
	ring_report(vq, vq->device_bus, 4);
}
