/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_driver.c -- a guest in this process: its memory, and the driver's side of its virtqueues */
#include "nic_driver.h"

#include "base/assert.h"
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Asserted with our own macro: it counts in programs that are no cmocka tests, too. */
void driver_open(struct driver *driver)
{
	memset(driver, 0, sizeof(*driver));
	driver->fd = memfd_create("guest", MFD_CLOEXEC);
	FARBUS_ASSERT(driver->fd >= 0);
	FARBUS_ASSERT(ftruncate(driver->fd, (off_t)DRIVER_LEN) == 0);
	driver->memory = mmap(NULL, DRIVER_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, driver->fd, 0);
	FARBUS_ASSERT(driver->memory != MAP_FAILED);
	driver->used = 4096;
}

void driver_close(struct driver *driver)
{
	munmap(driver->memory, DRIVER_LEN);
	close(driver->fd);
}

uint64_t driver_alloc(struct driver *driver, uint64_t len, uint64_t align)
{
	uint64_t at = (driver->used + align - 1) / align * align;

	driver->used = at + len;
	FARBUS_ASSERT(driver->used <= DRIVER_LEN);
	return DRIVER_GPA + at;
}

void *driver_at(const struct driver *driver, uint64_t gpa)
{
	FARBUS_ASSERT(gpa - DRIVER_GPA < DRIVER_LEN);
	return driver->memory + (gpa - DRIVER_GPA);
}

static void piece_map(const struct driver *driver, struct remap *remap, uint64_t bus, uint64_t off,
		      uint64_t len)
{
	struct remap_range range = { .bus = bus, .len = len, .rights = REMAP_READ | REMAP_WRITE };

	FARBUS_ASSERT(remap_memory_open(driver->fd, off, len, &range.memory) == 0);
	FARBUS_ASSERT(remap_draft_add(remap, &range) == 0);
	remap_memory_put(range.memory);
}

void driver_map(const struct driver *driver, struct remap *guest, struct remap *front)
{
	remap_draft_clear(guest);
	remap_draft_clear(front);
	piece_map(driver, guest, DRIVER_GPA, 0, DRIVER_SPLIT);
	piece_map(driver, guest, DRIVER_GPA + DRIVER_SPLIT, DRIVER_SPLIT,
		  DRIVER_LEN - DRIVER_SPLIT);
	piece_map(driver, front, DRIVER_FRONT, 0, DRIVER_SPLIT);
	piece_map(driver, front, DRIVER_FRONT + DRIVER_SPLIT, DRIVER_SPLIT,
		  DRIVER_LEN - DRIVER_SPLIT);
	remap_flip(guest);
	remap_flip(front);
}

/* ---- queues ---- */

static uint16_t get(const struct driver_queue *queue, uint64_t gpa)
{
	return __atomic_load_n((uint16_t *)driver_at(queue->driver, gpa), __ATOMIC_ACQUIRE);
}

static void put(const struct driver_queue *queue, uint64_t gpa, uint16_t value)
{
	__atomic_store_n((uint16_t *)driver_at(queue->driver, gpa), value, __ATOMIC_RELEASE);
}

void driver_queue_init(struct driver_queue *queue, struct driver *driver, uint16_t size)
{
	FARBUS_ASSERT(size <= DRIVER_SIZE_MAX);
	queue->driver = driver;
	queue->size = size;
	queue->desc = driver_alloc(driver, 16ull * size, 16);
	queue->avail = driver_alloc(driver, 6 + 2ull * size, 4);
	queue->device = driver_alloc(driver, 6 + 8ull * size, 4);
	queue->next = queue->seen = queue->kick_old = 0;
	queue->next_wrap = queue->seen_wrap = true;
	queue->free_count = size;
	queue->free_first = 0;
	for (uint16_t i = 0; i < size; i++) {
		queue->link[i] = (uint16_t)(i + 1);
		queue->table[i] = queue->indirect ? driver_alloc(driver, 16 * 16, 16) : 0;
	}
}

struct virtq_conf driver_queue_conf(const struct driver_queue *queue)
{
	return (struct virtq_conf){
		.size = queue->size,
		.packed = queue->packed,
		.event_idx = queue->event_idx,
		.indirect = queue->indirect,
		.desc = queue->desc - DRIVER_GPA + DRIVER_FRONT,
		.driver = queue->avail - DRIVER_GPA + DRIVER_FRONT,
		.device = queue->device - DRIVER_GPA + DRIVER_FRONT,
		.log_addr = queue->device,
	};
}

static void desc_put(const struct driver_queue *queue, uint64_t at, uint64_t addr, uint32_t len,
		     const uint16_t word[2])
{
	uint8_t *desc = driver_at(queue->driver, at);

	memcpy(desc, &addr, 8);
	memcpy(desc + 8, &len, 4);
	memcpy(desc + 12, &word[0], 2);
	/* In a packed ring this word makes it available. */
	put(queue, at + 14, word[1]);
}

static uint16_t packed_flags(bool wrap)
{
	return wrap ? 1u << VRING_PACKED_DESC_F_AVAIL : 1u << VRING_PACKED_DESC_F_USED;
}

/* A table for the chain, at the one of id; links are of split rings alone. */
static void table_fill(const struct driver_queue *queue, uint16_t id,
		       const struct driver_buffer *buffer, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint16_t flags = buffer[i].write ? VRING_DESC_F_WRITE : 0;
		uint16_t word[2] = { 0, flags };

		if (!queue->packed) {
			word[0] = i + 1 < count ? flags | VRING_DESC_F_NEXT : flags;
			word[1] = (uint16_t)(i + 1);
		}
		desc_put(queue, queue->table[id] + 16ull * i, buffer[i].gpa, buffer[i].len, word);
	}
}

static int split_add(struct driver_queue *queue, const struct driver_buffer *buffer, unsigned count)
{
	uint16_t id = queue->free_first, at = id;

	for (unsigned i = 0; i < count; i++) {
		uint16_t word[2] = { buffer[i].write ? VRING_DESC_F_WRITE : 0, queue->link[at] };

		if (i + 1 < count)
			word[0] |= VRING_DESC_F_NEXT;
		else
			queue->free_first = queue->link[at];
		desc_put(queue, queue->desc + 16ull * at, buffer[i].gpa, buffer[i].len, word);
		at = queue->link[at];
	}
	put(queue, queue->avail + 4 + 2ull * (queue->next % queue->size), id);
	queue->next++;
	put(queue, queue->avail + 2, queue->next);
	return id;
}

static int packed_add(struct driver_queue *queue, const struct driver_buffer *buffer,
		      unsigned count)
{
	uint16_t id = queue->free_first, first = queue->next, first_flags = 0;

	queue->free_first = queue->link[id];
	for (unsigned i = 0; i < count; i++) {
		uint16_t word[2] = { id, packed_flags(queue->next_wrap) };
		uint64_t at = queue->desc + 16ull * queue->next;

		word[1] |= buffer[i].write ? VRING_DESC_F_WRITE : 0;
		word[1] |= i + 1 < count ? VRING_DESC_F_NEXT : 0;
		if (i == 0) {
			/* Not available until the rest is there. */
			first_flags = word[1];
			word[1] = packed_flags(!queue->next_wrap);
		}
		desc_put(queue, at, buffer[i].gpa, buffer[i].len, word);
		if (++queue->next == queue->size) {
			queue->next = 0;
			queue->next_wrap = !queue->next_wrap;
		}
	}
	put(queue, queue->desc + 16ull * first + 14, first_flags);
	return id;
}

static int indirect_add(struct driver_queue *queue, const struct driver_buffer *buffer,
			unsigned count)
{
	struct driver_buffer table = { queue->table[queue->free_first], 16 * count, false };
	uint16_t id = queue->free_first, slot = queue->next;
	bool wrap = queue->next_wrap;

	table_fill(queue, id, buffer, count);
	/* As one descriptor that names the table; it is marked before the device can look: the tests
	 * that share the queue with a thread do not use tables. */
	if (queue->packed) {
		uint64_t at = queue->desc + 16ull * slot + 14;

		packed_add(queue, &table, 1);
		put(queue, at, packed_flags(wrap) | VRING_DESC_F_INDIRECT);
	} else {
		uint64_t at = queue->desc + 16ull * id + 12;

		split_add(queue, &table, 1);
		put(queue, at, VRING_DESC_F_INDIRECT);
	}
	return id;
}

int driver_queue_add(struct driver_queue *queue, const struct driver_buffer *buffer, unsigned count)
{
	unsigned slots = queue->indirect ? 1 : count;
	int id;

	if (slots > queue->free_count)
		return -1;
	queue->free_count = (uint16_t)(queue->free_count - slots);
	if (queue->indirect)
		id = indirect_add(queue, buffer, count);
	else
		id = queue->packed ? packed_add(queue, buffer, count) :
				     split_add(queue, buffer, count);
	queue->slots[id] = (uint16_t)slots;
	return id;
}

static void id_free(struct driver_queue *queue, uint16_t id)
{
	uint16_t last = id;

	queue->free_count = (uint16_t)(queue->free_count + queue->slots[id]);
	for (unsigned i = 1; i < queue->slots[id] && !queue->packed; i++)
		last = queue->link[last];
	queue->link[last] = queue->free_first;
	queue->free_first = id;
}

static int packed_used(struct driver_queue *queue, uint32_t *ret_len)
{
	uint64_t at = queue->desc + 16ull * queue->seen;
	uint16_t flags = get(queue, at + 14), id;

	if (!!(flags & 1u << VRING_PACKED_DESC_F_USED) != queue->seen_wrap ||
	    !!(flags & 1u << VRING_PACKED_DESC_F_AVAIL) != queue->seen_wrap)
		return -1;
	id = get(queue, at + 12);
	memcpy(ret_len, (uint8_t *)driver_at(queue->driver, at) + 8, 4);
	FARBUS_ASSERT(id < queue->size);
	queue->seen = (uint16_t)(queue->seen + queue->slots[id]);
	if (queue->seen >= queue->size) {
		queue->seen = (uint16_t)(queue->seen - queue->size);
		queue->seen_wrap = !queue->seen_wrap;
	}
	return id;
}

int driver_queue_used(struct driver_queue *queue, uint32_t *ret_len)
{
	int id;

	if (queue->packed) {
		id = packed_used(queue, ret_len);
		if (id < 0)
			return -1;
	} else {
		uint64_t at = queue->device + 4 + 8ull * (queue->seen % queue->size);
		uint32_t word[2];

		if (queue->seen == get(queue, queue->device + 2))
			return -1;
		memcpy(word, driver_at(queue->driver, at), 8);
		FARBUS_ASSERT(word[0] < queue->size);
		id = (int)word[0];
		*ret_len = word[1];
		queue->seen++;
	}
	id_free(queue, (uint16_t)id);
	return id;
}

bool driver_queue_kick_due(struct driver_queue *queue)
{
	uint16_t old = queue->kick_old, now = queue->next, event, flags;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	queue->kick_old = now;
	if (!queue->packed) {
		if (!queue->event_idx)
			return !(get(queue, queue->device) & VRING_USED_F_NO_NOTIFY);
		event = get(queue, queue->device + 4 + 8ull * queue->size);
		return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
	}
	flags = get(queue, queue->device + 2);
	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	event = get(queue, queue->device);
	/* Both in slots since the ring's beginning in this round. */
	if (!!(event & 1u << VRING_PACKED_EVENT_F_WRAP_CTR) != queue->next_wrap)
		event = (uint16_t)((event & 0x7fff) - queue->size);
	else
		event &= 0x7fff;
	if (now <= old)
		old = (uint16_t)(old - queue->size);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

void driver_queue_calls_off(struct driver_queue *queue)
{
	if (queue->packed)
		put(queue, queue->avail + 2, VRING_PACKED_EVENT_FLAG_DISABLE);
	else
		put(queue, queue->avail, VRING_AVAIL_F_NO_INTERRUPT);
}

void driver_queue_calls_on(struct driver_queue *queue)
{
	if (queue->packed)
		put(queue, queue->avail + 2, VRING_PACKED_EVENT_FLAG_ENABLE);
	else
		put(queue, queue->avail, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void driver_queue_calls_after(struct driver_queue *queue, uint16_t chains)
{
	uint32_t slot = (uint32_t)queue->seen + chains - 1;

	if (!queue->packed) {
		put(queue, queue->avail + 4 + 2ull * queue->size, (uint16_t)slot);
	} else {
		bool wrap = slot >= queue->size ? !queue->seen_wrap : queue->seen_wrap;

		slot = slot >= queue->size ? slot - queue->size : slot;
		put(queue, queue->avail,
		    (uint16_t)(slot | (wrap ? 1u << VRING_PACKED_EVENT_F_WRAP_CTR : 0)));
		put(queue, queue->avail + 2, VRING_PACKED_EVENT_FLAG_DESC);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
