/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slots.h -- numbers for objects: dense, found in O(1), and, if wanted, never given out twice
 *
 * Threads: many readers or one writer; the caller arranges which.
 * Ownership: a slot borrows its object until slots_remove().
 */
#ifndef ADDRMAP_SLOTS_H
#define ADDRMAP_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct slot {
	void *object; /* borrows; NULL: free */
	uint32_t next_free;
	uint32_t serial; /* of the id it has, or will have next */
};

struct slots {
	struct slot *slot;  /* owned */
	uint32_t size, max; /* slots there are, and may be */
	uint32_t count;	    /* slots that hold an object */
	uint32_t bits;	    /* of an id that name the slot */
	uint32_t free;	    /* first free slot, or SLOTS_NONE */
	bool reuse;
};

#define SLOTS_NONE UINT32_MAX

/*
 * At most max (<= 2^24) objects at a time. Ids begin at 1. With reuse they are at most max, and a
 * removed one comes back; without, none does before some 2^32 have been given out.
 */
void slots_init(struct slots *slots, uint32_t max, bool reuse);
/* The objects are the caller's. */
void slots_fini(struct slots *slots);

/* Errors: -ENOSPC max are in use, -ENOMEM. */
int slots_insert(struct slots *slots, void *object, uint32_t *ret_id);
/* The object, which is no longer known by that id. NULL: there is none. */
void *slots_remove(struct slots *slots, uint32_t id);
/* NULL: no object has this id now. */
void *slots_get(const struct slots *slots, uint32_t id);
/* Has or had an object this id? Only without reuse. */
bool slots_given(const struct slots *slots, uint32_t id);
/* The object after the one with this id (0: the first), in no order that means anything; NULL. */
void *slots_next(const struct slots *slots, uint32_t id, uint32_t *ret_id);
void slots_check(const struct slots *slots);

#endif
