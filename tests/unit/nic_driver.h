/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_driver.h -- a guest in this process: its memory, and the driver's side of its virtqueues
 *
 * The memory is a memfd. To the device it lies at DRIVER_GPA in two pieces, and at DRIVER_FRONT as
 * the front end's; the driver has a mapping of its own. It follows the specification in the plainest
 * way, and asks nothing of the code under test.
 */
#ifndef TESTS_UNIT_NIC_DRIVER_H
#define TESTS_UNIT_NIC_DRIVER_H

#include "nicdrv/virtio/virtq.h"

#define DRIVER_GPA 0x40000000ull
#define DRIVER_FRONT 0x7f0000000000ull
#define DRIVER_LEN (16ull << 20)
#define DRIVER_SPLIT (8ull << 20) /* where the second piece begins */
#define DRIVER_SIZE_MAX 256	  /* descriptors of a queue */

struct driver {
	int fd;
	uint8_t *memory;
	uint64_t used; /* by allocations */
};

struct driver_buffer {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

struct driver_queue {
	struct driver *driver;
	bool packed, event_idx, indirect;
	uint16_t size;
	uint64_t desc, avail, device; /* guest-physical: the three parts */
	uint16_t next, seen;	      /* to make available, to find used */
	bool next_wrap, seen_wrap;
	uint16_t free_count, free_first, link[DRIVER_SIZE_MAX];
	uint16_t slots[DRIVER_SIZE_MAX]; /* of the chain with that id */
	uint64_t table[DRIVER_SIZE_MAX]; /* where its indirect table is */
	uint16_t kick_old;		 /* since the driver last thought about kicking */
};

void driver_open(struct driver *driver);
void driver_close(struct driver *driver);
uint64_t driver_alloc(struct driver *driver, uint64_t len, uint64_t align); /* guest-physical */
void *driver_at(const struct driver *driver, uint64_t gpa);
/* Both maps of the device, as a front end would give them. */
void driver_map(const struct driver *driver, struct remap *guest, struct remap *front);

/* The three flags of queue are set by the caller. */
void driver_queue_init(struct driver_queue *queue, struct driver *driver, uint16_t size);
struct virtq_conf driver_queue_conf(const struct driver_queue *queue);
/* Makes a chain available; returns its id, or -1: no descriptors. */
int driver_queue_add(struct driver_queue *queue, const struct driver_buffer *buffer,
		     unsigned count);
/* The next chain that was used: its id, or -1. */
int driver_queue_used(struct driver_queue *queue, uint32_t *ret_len);
bool driver_queue_kick_due(struct driver_queue *queue);
/* Interrupts: never, always, or when that many chains from the next one on are used (1: the next). */
void driver_queue_calls_off(struct driver_queue *queue);
void driver_queue_calls_on(struct driver_queue *queue);
void driver_queue_calls_after(struct driver_queue *queue, uint16_t chains);

#endif
