/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * owner.h -- who may read and who may write a range: one writer, or any number of readers
 *
 *   Write --clean--> Read --invalidate--> Invalid         what one instance has of one page, and
 *     '-------clean and invalidate----------'              what it must do to have less
 *
 * The directory of a region, kept by its home. An instance asks for a range. Those who have too
 * much of it, the asker included, are named with what they must do; when all have acknowledged, or
 * died, the range is granted. Only this table's caller sends anything: an event says what.
 *
 * Threads: one thread at a time. No event function may call into the table.
 */
#ifndef ADDRMAP_OWNER_H
#define ADDRMAP_OWNER_H

#include "addrmap/addr.h"

#define OWNER_SEGMENT_MAX 65536 /* ranges of a region that differ in who holds them */
#define OWNER_HOLD_MAX 262144	/* holders of all these ranges together */
#define OWNER_REQUEST_MAX 1024	/* under way in a region */

enum owner_state { OWNER_INVALID, OWNER_READ, OWNER_WRITE };

/* What a holder must do with its copy, in this order. */
#define OWNER_CLEAN 0x1u      /* write back what it changed */
#define OWNER_INVALIDATE 0x2u /* forget it */

enum owner_event_kind {
	OWNER_ASKED = 1, /* instance must do actions on the range, then owner_ack() for it */
	OWNER_GRANTED,	 /* instance has the range as it asked for it */
	OWNER_LOST,	 /* instance died as the range's writer: what it had not cleaned is gone */
};

struct owner_event {
	enum owner_event_kind kind;
	uint32_t request; /* 0: LOST */
	uint32_t instance;
	uint32_t actions; /* ASKED */
	uint64_t off, len;
};

typedef void (*owner_fn)(void *arg, const struct owner_event *event);

struct owner_ask {
	uint32_t instance; /* not 0 */
	enum owner_state want;
	uint64_t off, len; /* whole pages */
};

struct owner_table;

/* Errors: -EINVAL len is 0 or not whole pages, -ENOMEM. */
int owner_table_new(uint64_t len, struct owner_table **ret_table);
struct owner_table *owner_table_free(struct owner_table *table);

/*
 * ASKED events, one or several for an instance, or GRANTED at once if nobody has to do anything;
 * then *ret_request is 0. Errors, with nothing changed and no event: -EINVAL, -ERANGE, -EAGAIN a
 * request for a part of the range is under way, -ENOSPC, -ENOMEM.
 */
int owner_request(struct owner_table *table, const struct owner_ask *ask, owner_fn fn, void *arg,
		  uint32_t *ret_request);
/* The instance has done all that the request asked of it. The last one causes GRANTED. Errors:
 * -ENOENT no such request, or not asked of that instance. */
int owner_ack(struct owner_table *table, uint32_t request, uint32_t instance, owner_fn fn,
	      void *arg);
/*
 * The instance holds nothing any more and acknowledges nothing: LOST for what it could write,
 * GRANTED for requests that waited for it only. Its own requests still wait for the others, who
 * were asked, and then end without an event.
 */
void owner_death(struct owner_table *table, uint32_t instance, owner_fn fn, void *arg);

/* What an instance has of the page at off. */
enum owner_state owner_lookup(const struct owner_table *table, uint32_t instance, uint64_t off);
void owner_check(const struct owner_table *table);

#endif
