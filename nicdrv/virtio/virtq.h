/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtq.h -- the device's side of a virtqueue, split or packed
 *
 *   virtq_pop() ... use the pieces ... virtq_push() ... virtq_publish() ... virtq_notify_wanted()
 *
 * What is pushed is invisible to the driver until virtq_publish(): one release store for a burst,
 * after the report of every page the burst wrote. Chains may be pushed in another order than they
 * were popped; but where a publish leaves nothing popped and not pushed, the driver's side alone says
 * where to go on after this process was killed.
 *
 * The rings are the driver's memory: every word is read once, every index and length is checked. What
 * breaks the rules breaks the queue, which then gives nothing more; nobody else is hurt.
 *
 * Threads: one thread at a time; the driver is another process.
 */
#ifndef NICDRV_VIRTIO_VIRTQ_H
#define NICDRV_VIRTIO_VIRTQ_H

#include "nicdrv/dirty_report.h"
#include "nicdrv/remap.h"

#define VIRTQ_SIZE_MAX 32768

/* One contiguous piece of a buffer. */
struct virtq_piece {
	void *at;
	uint64_t bus;
	uint32_t len;
};

struct virtq_chain {
	uint16_t id;
	uint16_t slots;			  /* of the ring that it takes */
	uint16_t read_count, write_count; /* pieces; those to read come first */
	uint32_t read_len, write_len;	  /* bytes in these pieces */
	bool cut;			  /* it had more pieces than there was room for */
};

/*
 * The place of a packed ring, with what a publish writes into it: so a kill in the middle of that can be made
 * good. As the protocol's INFLIGHT has it from used_idx on.
 */
struct virtq_place_entry {
	uint8_t inflight, padding;
	uint16_t next, last, slots;
	uint64_t counter;
	uint16_t id, flags;
	uint32_t len;
	uint64_t addr;
};
struct virtq_place {
	uint64_t word; /* used_idx, old_used_idx and their wrap counters */
	uint64_t padding;
	struct virtq_place_entry entry[];
};
_Static_assert(sizeof(struct virtq_place_entry) == 32, "in shared memory");

struct virtq_conf {
	uint32_t size;
	bool packed, event_idx, indirect;
	/*
	 * Packed: where the ring is, kept in memory that outlives this process; NULL: nowhere. resume:
	 * start there, and not at base.
	 */
	struct virtq_place *place; /* borrowed; with as many entries as size */
	bool resume;
	bool log;		       /* report what is written into the rings */
	uint64_t log_addr;	       /* split: guest-physical address of the used ring */
	uint64_t desc, driver, device; /* front end's addresses of the three parts */
};

struct virtq {
	struct virtq_conf conf;
	struct remap *guest;	     /* borrowed: addresses in descriptors */
	struct remap *front;	     /* borrowed: addresses of the rings */
	struct dirty_report *report; /* borrowed */
	bool broken, running;
	uint8_t *desc, *driver, *device; /* in the driver's memory */
	uint64_t desc_bus, device_bus;	 /* packed: guest-physical, UINT64_MAX unknown */
	uint16_t avail, used;		 /* next to pop, next to push */
	bool avail_wrap, used_wrap;
	uint16_t avail_seen;		  /* split: the driver's index as last read */
	uint16_t pending;		  /* pushed, not published */
	uint16_t first_slot, first_flags; /* packed: the flags that publish the rest */
	uint16_t signalled;		  /* used at the last notification that was thought about */
	bool signalled_valid;
};

/*
 * Starts it where base says, as of SET_VRING_BASE: for a split ring the next index to pop, for a
 * packed one indices and wrap bits of both.
 * Ownership: borrows guest, front and report until virtq_stop().
 * Errors: -EINVAL a size or a place that is none, -EFAULT a part of the ring is not the peer's memory, or not
 * aligned.
 */
int virtq_start(struct virtq *vq, const struct virtq_conf *conf, uint32_t base);
/* Returns the base to go on from. Nothing may be pushed and not published. */
uint32_t virtq_stop(struct virtq *vq);
/* The maps have changed: finds the rings again. Errors: -EFAULT they are gone; the queue is broken. */
int virtq_locate(struct virtq *vq);

/*
 * 1: a chain; 0: none is there. piece gets up to piece_max pieces; ret_chain->cut says it had more.
 * Errors: -EPROTO the driver broke the rules, now or before; error_text() says how.
 */
int virtq_pop(struct virtq *vq, struct virtq_piece *piece, uint32_t piece_max,
	      struct virtq_chain *ret_chain);
/* Chains (split) or descriptors (packed) that are there to pop, up to max. */
uint32_t virtq_room(struct virtq *vq, uint32_t max);
/* The last chain that was popped, and not pushed, was never popped. */
void virtq_unpop(struct virtq *vq, const struct virtq_chain *chain);

/* len bytes were written into the chain. */
void virtq_push(struct virtq *vq, const struct virtq_chain *chain, uint32_t len);
/* Reports, then publishes all that was pushed. */
void virtq_publish(struct virtq *vq);
/* Does the driver want to be told of what was published since the last time this was asked? */
bool virtq_notify_wanted(struct virtq *vq);

/* Kicks from now on, or rather not. True: chains came in between, look again. */
bool virtq_kick_enable(struct virtq *vq);
void virtq_kick_disable(struct virtq *vq);

void virtq_check(const struct virtq *vq);

#endif
