/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_front.h -- a vhost-user front end in this process: it says what QEMU says, message by message
 */
#ifndef TESTS_UNIT_NIC_FRONT_H
#define TESTS_UNIT_NIC_FRONT_H

#include "nic_driver.h"
#include "nicdrv/virtio/vhost_user.h"

struct front {
	struct vhost_user *user;
	struct driver *driver;
	struct vhost_message reply; /* to the last message */
	bool replied;
	uint32_t flags; /* of messages, besides the version */
	int reply_fd;	/* owned, until front_close(): that came with a reply; 0: none */
};

/* One message; copies of the descriptors go with it. Returns what vhost_user_message() returns. */
int front_say(struct front *front, uint32_t request, const void *payload, uint32_t size,
	      const int *fd, uint32_t fd_count);
int front_number(struct front *front, uint32_t request, uint64_t number);
int front_state(struct front *front, uint32_t request, uint32_t index, uint32_t num);

/* Owner, features and memory, in QEMU's order. */
void front_hello(struct front *front, uint64_t features);
/* SET_MEM_TABLE with the driver's two pieces; copies: how many times, 256 MiB apart each. */
int front_memory(struct front *front, unsigned copies);
#define FRONT_COPY (256ull << 20)

/* A queue from num to enable. kick and call: descriptors that stay the caller's. */
int front_queue_start(struct front *front, uint32_t index, const struct driver_queue *queue,
		      uint32_t base, const int kick_call[2], bool log);
uint32_t front_queue_stop(struct front *front, uint32_t index); /* returns the base */
/* A log for the first 1 GiB of two and LOG_ALL; log: a memfd of at least FRONT_LOG_LEN. */
#define FRONT_LOG_LEN (2ull << 30 >> 15)
int front_log(struct front *front, int fd, uint64_t features);

/* Asks for memory that says where queues are; or hands it to a device that came after a kill. */
int front_inflight_get(struct front *front, uint16_t queues, uint16_t size);
int front_inflight_set(struct front *front, uint16_t queues, uint16_t size);
void front_close(struct front *front);

/* Of this process; to find those that are lost. */
unsigned front_fd_count(void);

#endif
