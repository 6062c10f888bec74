/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slots.c -- numbers for objects
 *
 *   id - 1 = | serial | slot |      serial: how often the slot was emptied, 0 with reuse
 *                     '-bits-'
 *
 * Invariants (slots_check):
 *   1. count <= size <= max <= 2^bits, and count slots hold an object
 *   2. the free list holds each slot without an object once, but for those that are worn out
 *   3. a serial is at most serial_max(); at serial_max() the slot is worn out and stays empty, so
 *      that no id is given out twice
 */
#include "addrmap/slots.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

#define GROW_MIN 16u
#define MAX_BITS 24

static uint32_t serial_max(const struct slots *slots)
{
	return UINT32_MAX >> slots->bits;
}

static uint32_t id_of(const struct slots *slots, uint32_t index)
{
	return (slots->slot[index].serial << slots->bits | index) + 1;
}

void slots_init(struct slots *slots, uint32_t max, bool reuse)
{
	FARBUS_ASSERT(max > 0);
	FARBUS_ASSERT(max <= 1u << MAX_BITS);
	*slots = (struct slots){ .max = max, .free = SLOTS_NONE, .reuse = reuse };
	while (1u << slots->bits < max)
		slots->bits++;
}

void slots_fini(struct slots *slots)
{
	free(slots->slot);
	slots->slot = NULL;
}

static int grow(struct slots *slots)
{
	uint32_t size = slots->size < GROW_MIN ? GROW_MIN : slots->size * 2;

	if (size > slots->max)
		size = slots->max;
	if (size == slots->size)
		return error_set(-ENOSPC, "all %u entries of a table are in use: release some",
				 slots->max);
	struct slot *slot = alloc_resize(slots->slot, size, sizeof(*slot));
	if (!slot)
		return error_set(-ENOMEM, "no memory for %u table entries", size);
	/* The lowest comes to the front: ids grow from 1. */
	for (uint32_t i = size; i-- > slots->size;) {
		slot[i] = (struct slot){ .next_free = slots->free };
		slots->free = i;
	}
	slots->slot = slot;
	slots->size = size;
	return 0;
}

int slots_insert(struct slots *slots, void *object, uint32_t *ret_id)
{
	FARBUS_ASSERT(object);
	if (slots->free == SLOTS_NONE) {
		int err = grow(slots);
		if (err < 0)
			return err;
	}
	uint32_t index = slots->free;
	struct slot *slot = &slots->slot[index];

	slots->free = slot->next_free;
	slot->object = object;
	slots->count++;
	*ret_id = id_of(slots, index);
	return 0;
}

/* The slot that has or had this id; NULL if none did. */
static struct slot *slot_of(const struct slots *slots, uint32_t id, uint32_t *ret_serial)
{
	uint32_t index = (id - 1) & ((1u << slots->bits) - 1);

	if (id == 0 || index >= slots->size)
		return NULL;
	*ret_serial = (id - 1) >> slots->bits;
	return &slots->slot[index];
}

void *slots_get(const struct slots *slots, uint32_t id)
{
	uint32_t serial;
	struct slot *slot = slot_of(slots, id, &serial);

	return slot && slot->serial == serial ? slot->object : NULL;
}

bool slots_given(const struct slots *slots, uint32_t id)
{
	uint32_t serial;
	struct slot *slot = slot_of(slots, id, &serial);

	FARBUS_ASSERT(!slots->reuse);
	return slot && (serial < slot->serial || (serial == slot->serial && slot->object));
}

void *slots_remove(struct slots *slots, uint32_t id)
{
	void *object = slots_get(slots, id);
	uint32_t serial;

	if (!object)
		return NULL;
	struct slot *slot = slot_of(slots, id, &serial);

	slot->object = NULL;
	slots->count--;
	if (!slots->reuse)
		slot->serial++;
	if (slot->serial == serial_max(slots))
		return object;
	slot->next_free = slots->free;
	slots->free = (uint32_t)(slot - slots->slot);
	return object;
}

void *slots_next(const struct slots *slots, uint32_t id, uint32_t *ret_id)
{
	uint32_t index = id == 0 ? 0 : ((id - 1) & ((1u << slots->bits) - 1)) + 1;

	for (; index < slots->size; index++) {
		if (!slots->slot[index].object)
			continue;
		*ret_id = id_of(slots, index);
		return slots->slot[index].object;
	}
	return NULL;
}

void slots_check(const struct slots *slots)
{
	uint32_t used = 0, worn = 0, free_count = 0;

	for (uint32_t i = 0; i < slots->size; i++) {
		used += slots->slot[i].object != NULL;
		worn += slots->slot[i].serial == serial_max(slots);
		FARBUS_ASSERT(slots->slot[i].serial <= serial_max(slots));
	}
	for (uint32_t i = slots->free; i != SLOTS_NONE; i = slots->slot[i].next_free) {
		FARBUS_ASSERT(i < slots->size);
		FARBUS_ASSERT(!slots->slot[i].object);
		FARBUS_ASSERT(free_count++ < slots->size);
	}
	FARBUS_ASSERT(slots->count == used);
	FARBUS_ASSERT(used + worn + free_count == slots->size);
	FARBUS_ASSERT(slots->size <= slots->max);
	FARBUS_ASSERT(slots->max <= 1u << slots->bits);
}
