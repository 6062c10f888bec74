/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * queue.h -- events in order of time, and of making where times are equal
 *
 * Invariants (a binary heap): no item is before its parent; used <= size.
 *
 * Threads: one thread at a time.
 */
#ifndef TRANSPORT_SIM_QUEUE_H
#define TRANSPORT_SIM_QUEUE_H

#include "transport/sim/sim.h"

struct sim_item {
	uint64_t time, serial; /* the key */
	uint64_t version;      /* of a timer: is it the current one */
	bool request;	       /* a connection that asks to be accepted */
	int packet;	 /* of a lossy link, event.link: what lossy.c makes of it; 0: an event */
	int end;	 /* packet: of which direction */
	uint64_t number; /* packet: sequence number */
	struct sim_event event;
	struct sim_item *next; /* while held for a stopped node */
	uint8_t data[];
};

struct sim_queue {
	struct sim_item **item; /* owned, with what it points to */
	size_t used, size;
};

/* Takes item. Errors: -ENOMEM, and item is still the caller's. */
int sim_queue_push(struct sim_queue *queue, struct sim_item *item);
/* The caller owns it. NULL: empty. */
struct sim_item *sim_queue_pop(struct sim_queue *queue);
void sim_queue_fini(struct sim_queue *queue);

#endif
