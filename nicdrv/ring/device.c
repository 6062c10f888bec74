/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.c -- the NIC's side of a process's ring: a sink that fills posted buffers
 *
 * Invariants (nic_ring_device_check):
 *   1. a buffer is with the host, free, or in an open aggregate; free ones are on the stack, once
 *   2. a slot of the field ring is written only for a buffer that was posted, so that no more than
 *      buffer_count fields can be unread
 *
 * A buffer is taken from private state; what the host can write decides only which buffers are
 * free, and a post is looked at once.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "nicdrv/ring/ring.h"

#include <errno.h>
#include <stdlib.h>

#define NONE UINT32_MAX

enum state { STATE_HOST, STATE_FREE, STATE_OPEN };

struct buffer {
	uint32_t next; /* of the same aggregate, or NONE */
	uint32_t len;  /* of its data */
	uint16_t generation;
	uint8_t state; /* enum state */
};

/* Of an open aggregate, in its slot: buffers from first to last, len bytes in the last. */
struct open {
	uint32_t first, last;
	uint32_t count; /* buffers; 0: none yet */
};

struct nic_ring_device {
	struct nic_ring_map map; /* borrows memory and buffers */
	struct buffer *buffer;	 /* owned */
	uint32_t *free;		 /* owned: a stack */
	uint32_t free_count;
	uint64_t field_head, post_tail;
	bool posts_broken;
	bool published;	   /* since the last nic_ring_device_wake() */
	struct open undo;  /* before the last place */
	uint32_t undo_len; /* of its last buffer */
	struct nic_ring_device_stats stats;
};

_Static_assert((int)FIELD_VALID == (int)NIC_AGGREGATE_VALID, "the flags are the aggregate's");
_Static_assert((int)FIELD_PARTIAL == (int)NIC_AGGREGATE_PARTIAL, "the flags are the aggregate's");
_Static_assert((int)FIELD_V6 == (int)NIC_AGGREGATE_V6, "the flags are the aggregate's");
_Static_assert((int)FIELD_UDP == (int)NIC_AGGREGATE_UDP, "the flags are the aggregate's");
_Static_assert((int)FIELD_TUNNEL == (int)NIC_AGGREGATE_TUNNEL, "the flags are the aggregate's");
_Static_assert((int)FIELD_ID_FIXED == (int)NIC_AGGREGATE_ID_FIXED, "the flags are the aggregate's");
_Static_assert((int)FIELD_OUTER_ID_FIXED == (int)NIC_AGGREGATE_OUTER_ID_FIXED,
	       "the flags are the aggregate's");
_Static_assert(sizeof(struct open) <= sizeof(struct nic_slot), "an open aggregate is its slot");

static struct open open_get(const struct nic_slot *slot)
{
	struct open open;

	memcpy(&open, slot, sizeof(open));
	return open;
}

static void open_put(struct nic_slot *slot, const struct open *open)
{
	memcpy(slot, open, sizeof(*open));
}

int nic_ring_device_new(const struct nic_ring_map *map, struct nic_ring_device **ret_device)
{
	struct nic_ring_device *device = alloc_zero(sizeof(*device));
	if (!device)
		return error_set(-ENOMEM, "no memory for the device of a NIC ring");
	device->map = *map;
	device->buffer = alloc_array(map->conf.buffer_count, sizeof(*device->buffer));
	if (!device->buffer)
		goto free_device;
	device->free = alloc_array(map->conf.buffer_count, sizeof(*device->free));
	if (!device->free)
		goto free_device;
	*ret_device = device;
	return 0;

free_device:
	nic_ring_device_free(device);
	return error_set(-ENOMEM, "no memory for %u buffers of a NIC ring", map->conf.buffer_count);
}

struct nic_ring_device *nic_ring_device_free(struct nic_ring_device *device)
{
	if (!device)
		return NULL;
	free(device->buffer);
	free(device->free);
	free(device);
	return NULL;
}

/* ---- posts ---- */

static void post_take(struct nic_ring_device *device, const struct nic_post *post)
{
	if (post->buffer >= device->map.conf.buffer_count) {
		device->stats.bad_posts++;
		return;
	}
	struct buffer *buffer = &device->buffer[post->buffer];
	/* A buffer that we have is not the host's to give; an old generation is an old post. */
	if (buffer->state != STATE_HOST || post->generation != (uint16_t)(buffer->generation + 1)) {
		device->stats.bad_posts++;
		return;
	}
	buffer->state = STATE_FREE;
	buffer->generation = post->generation;
	device->free[device->free_count++] = post->buffer;
}

/* Ordering: the load of the last word pairs with its store in post_put(), host.c. */
static void posts_take(struct nic_ring_device *device)
{
	uint32_t slots = device->map.slot_count;

	while (!device->posts_broken) {
		const struct nic_post *slot = &device->map.post[device->post_tail & (slots - 1)];
		const uint64_t *word = (const uint64_t *)(const void *)slot;
		uint32_t sequence = (uint32_t)(__atomic_load_n(word + 1, __ATOMIC_ACQUIRE) >> 32);
		uint32_t next = (uint32_t)device->post_tail + 1;

		if (sequence != next) {
			uint32_t before = device->post_tail < slots ? 0 : next - slots;

			device->posts_broken = sequence != before;
			device->stats.bad_posts += device->posts_broken;
			return;
		}
		/* Once: what is checked is what is used. */
		uint64_t first = __atomic_load_n(word, __ATOMIC_RELAXED);
		struct nic_post post = { .buffer = (uint32_t)first,
					 .generation = (uint16_t)(first >> 32) };
		device->post_tail++;
		post_take(device, &post);
	}
}

uint32_t nic_ring_device_room(struct nic_ring_device *device)
{
	posts_take(device);
	return device->free_count;
}

static bool free_enough(struct nic_ring_device *device, uint32_t count)
{
	return device->free_count >= count || nic_ring_device_room(device) >= count;
}

/* ---- placing ---- */

static uint8_t *buffer_at(const struct nic_ring_device *device, uint32_t buffer)
{
	return device->map.buffers + (size_t)buffer * device->map.conf.buffer_size;
}

/* Where the data of a buffer begins. */
static uint32_t offset_of(const struct nic_ring_device *device, bool first)
{
	return first ? device->map.conf.headroom : 0;
}

static uint32_t room_in_last(const struct nic_ring_device *device, const struct open *open)
{
	bool first = open->first == open->last;

	if (open->count == 0)
		return 0;
	return device->map.conf.buffer_size - offset_of(device, first) -
	       device->buffer[open->last].len;
}

/* A piece is kept whole if it fits one buffer, as the first of its aggregate or another. */
static uint32_t buffers_needed(const struct nic_ring_device *device, const struct open *open,
			       uint32_t len)
{
	uint32_t size = device->map.conf.buffer_size;
	uint32_t first = size - device->map.conf.headroom;

	if (len <= room_in_last(device, open))
		return 0;
	if (open->count > 0)
		return (len + size - 1) / size;
	return len <= first ? 1 : 1 + (len - first + size - 1) / size;
}

static void buffer_add(struct nic_ring_device *device, struct open *open)
{
	uint32_t number = device->free[--device->free_count];
	struct buffer *buffer = &device->buffer[number];

	buffer->state = STATE_OPEN;
	buffer->next = NONE;
	buffer->len = 0;
	if (open->count++ == 0)
		open->first = number;
	else
		device->buffer[open->last].next = number;
	open->last = number;
}

/* Bytes on their way: where they are, how many, and the sum so far if it is wanted. */
struct source {
	const uint8_t *from;
	uint32_t left, done;
	const struct csum_ops *csum;
	uint64_t sum;
};

static void copy_some(struct source *source, uint8_t *to, uint32_t len)
{
	if (source->csum) {
		uint32_t sum = source->csum->copy(to, source->from, len);

		source->sum += source->done & 1 ? csum_swap(sum) : sum;
	} else {
		memcpy(to, source->from, len);
	}
	source->from += len;
	source->left -= len;
	source->done += len;
}

static void source_copy(struct nic_ring_device *device, struct open *open, struct source *source)
{
	while (source->left > 0) {
		uint32_t room = room_in_last(device, open);

		if (room == 0) {
			buffer_add(device, open);
			room = room_in_last(device, open);
		}
		struct buffer *last = &device->buffer[open->last];
		uint32_t offset = offset_of(device, open->first == open->last) + last->len;
		uint32_t len = source->left < room ? source->left : room;
		copy_some(source, buffer_at(device, open->last) + offset, len);
		last->len += len;
	}
}

static int ring_place(void *sink, struct nic_slot *slot, const struct nic_piece *piece,
		      uint32_t *ret_sum)
{
	struct nic_ring_device *device = sink;
	bool begin = piece->position == NIC_HEAD || piece->position == NIC_SINGLE;
	struct open open = open_get(slot);
	struct source header = { piece->packet->data, begin ? piece->header_len : 0, 0, NULL, 0 };
	struct source payload = { piece->packet->data + piece->header_len, piece->payload_len, 0,
				  piece->csum, 0 };
	uint32_t needed = buffers_needed(device, &open, header.left + payload.left);

	if (!free_enough(device, needed)) {
		device->stats.full++;
		__atomic_store_n(&device->map.memory->full, device->stats.full, __ATOMIC_RELAXED);
		return -ENOBUFS;
	}
	device->undo = open;
	device->undo_len = open.count ? device->buffer[open.last].len : 0;
	if (needed > 0)
		buffer_add(device, &open);
	source_copy(device, &open, &header);
	source_copy(device, &open, &payload);
	if (piece->csum)
		*ret_sum = csum_fold(payload.sum);
	open_put(slot, &open);
	return 0;
}

static void ring_unplace(void *sink, struct nic_slot *slot, const struct nic_piece *piece)
{
	struct nic_ring_device *device = sink;
	struct open open = device->undo;
	uint32_t number = device->buffer[open.last].next;

	(void)piece;
	FARBUS_ASSERT(open.count > 0);
	while (number != NONE) {
		uint32_t next = device->buffer[number].next;

		device->buffer[number].state = STATE_FREE;
		device->free[device->free_count++] = number;
		number = next;
	}
	device->buffer[open.last].next = NONE;
	device->buffer[open.last].len = device->undo_len;
	open_put(slot, &open);
}

/* ---- publishing ---- */

/* Ordering: the store of the last word pairs with its load in field_load(), host.c. */
static void field_put(struct nic_ring_device *device, uint64_t at, struct nic_field *field)
{
	struct nic_field *slot = &device->map.field[at & (device->map.slot_count - 1)];
	uint64_t last = field->index | (uint64_t)field->flags << 16 | (at + 1) << 32;

	memcpy(slot, field, 24);
	__atomic_store_n((uint64_t *)(void *)slot + 3, last, __ATOMIC_RELEASE);
}

static struct nic_field field_first(const struct nic_ring_device *device, const struct open *open,
				    const struct nic_aggregate *aggregate)
{
	return (struct nic_field){
		.version = FIELD_VERSION,
		.position = open->count == 1 ? NIC_SINGLE : NIC_HEAD,
		.generation = device->buffer[open->first].generation,
		.flow = aggregate->hash,
		.buffer = open->first,
		.offset = (uint16_t)device->map.conf.headroom,
		.header_len = (uint8_t)aggregate->header_len,
		.l4 = aggregate->flags & NIC_AGGREGATE_PARTIAL ? (uint8_t)aggregate->csum_start :
								 aggregate->layout.l4,
		.data_len = device->buffer[open->first].len,
		.gso_size = aggregate->gso_size,
		.segment_count = aggregate->segment_count,
		.index = (uint16_t)open->count,
		.flags = aggregate->flags,
	};
}

/* Writes the fields of the other buffers, which stand behind the first one's. */
static void fields_rest(struct nic_ring_device *device, const struct open *open,
			const struct nic_aggregate *aggregate)
{
	uint32_t number = device->buffer[open->first].next;

	for (uint32_t i = 1; i < open->count; i++) {
		struct buffer *buffer = &device->buffer[number];
		struct nic_field field = { .version = FIELD_VERSION,
					   .position = i + 1 < open->count ? NIC_MID : NIC_TAIL,
					   .generation = buffer->generation,
					   .flow = aggregate->hash,
					   .buffer = number,
					   .data_len = buffer->len,
					   .index = (uint16_t)i };

		field_put(device, device->field_head + i, &field);
		buffer->state = STATE_HOST;
		number = buffer->next;
	}
}

static void ring_publish(void *sink, struct nic_slot *slot, const struct nic_aggregate *aggregate)
{
	struct nic_ring_device *device = sink;
	struct open open = open_get(slot);
	struct nic_field field = field_first(device, &open, aggregate);

	if (aggregate->header)
		memcpy(buffer_at(device, open.first) + device->map.conf.headroom, aggregate->header,
		       aggregate->header_len);
	fields_rest(device, &open, aggregate);
	field_put(device, device->field_head, &field);
	device->buffer[open.first].state = STATE_HOST;
	device->field_head += open.count;
	device->published = true;
	device->stats.published++;
	device->stats.segments += aggregate->segment_count;
	device->stats.buffers += open.count;
	device->stats.bytes += aggregate->header_len + aggregate->payload_len;
}

const struct nic_sink_ops nic_ring_sink_ops = { ring_place, ring_unplace, ring_publish };

/*
 * Ordering: the fence is between the publish and the look at armed, and pairs with the one of
 * nic_ring_host_arm(): either the host sees the field, or this sees it armed.
 */
bool nic_ring_device_wake(struct nic_ring_device *device)
{
	uint32_t *armed = &device->map.memory->armed;

	if (!device->published)
		return false;
	device->published = false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(armed, __ATOMIC_RELAXED) != 0 &&
	       __atomic_exchange_n(armed, 0, __ATOMIC_RELAXED) != 0;
}

const struct nic_ring_device_stats *nic_ring_device_stats(const struct nic_ring_device *device)
{
	return &device->stats;
}

void nic_ring_device_check(const struct nic_ring_device *device)
{
	uint32_t free = 0;

	for (uint32_t i = 0; i < device->map.conf.buffer_count; i++)
		free += device->buffer[i].state == STATE_FREE;
	FARBUS_ASSERT(free == device->free_count);
	for (uint32_t i = 0; i < device->free_count; i++)
		FARBUS_ASSERT(device->buffer[device->free[i]].state == STATE_FREE);
	FARBUS_ASSERT(device->stats.buffers == device->field_head);
}
