/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * owner_private.h -- what owner.c (requests) and owner_segment.c (who holds what) share
 *
 *   |------ A: R, B: R ------|      |---- C: W ----|      segments; nobody holds what is between
 */
#ifndef ADDRMAP_OWNER_PRIVATE_H
#define ADDRMAP_OWNER_PRIVATE_H

#include "addrmap/owner.h"
#include "addrmap/slots.h"
#include "addrmap/tree.h"
#include <sys/queue.h>

struct owner_request {
	struct owner_ask ask;
	uint32_t id;
	uint32_t outstanding; /* holds that have actions left */
	bool orphan;	      /* the asker died */
};

struct hold {
	uint32_t instance;
	uint8_t state;	 /* INVALID: only the asker's, while its request is under way */
	uint8_t actions; /* asked of it, and not acknowledged */
	LIST_ENTRY(hold) link;
};

LIST_HEAD(holds, hold);

struct segment {
	uint64_t off, len;
	struct holds holds;	       /* by instance, ascending; owned */
	struct owner_request *request; /* borrows; NULL: none under way */
	RB_ENTRY(segment) link;
};

RB_HEAD(segments, segment);

struct owner_table {
	uint64_t len;
	uint32_t segment_count, hold_count;
	struct segments segments; /* owned */
	struct slots requests;	  /* owned */
};

/* The segment that holds off, or the next one above; NULL. */
struct segment *segment_at(const struct owner_table *table, uint64_t off);
struct segment *segment_after(const struct segment *segment);

/*
 * Makes segments tile [off, end), with one for each gap, and a hold of the instance in each (0: of
 * nobody), so that nothing after it needs memory. Errors: -ENOSPC, -ENOMEM; then the caller heals.
 */
int segments_carve(struct owner_table *table, uint64_t off, uint64_t end, uint32_t instance);
/* Drops what holds nothing and joins what does not differ, in [off, end) and at its ends. */
void segments_heal(struct owner_table *table, uint64_t off, uint64_t end);

struct hold *segment_hold(const struct segment *segment, uint32_t instance);
void segment_hold_free(struct owner_table *table, struct hold *hold);
void segments_check(const struct owner_table *table);
void segments_fini(struct owner_table *table);

#endif
