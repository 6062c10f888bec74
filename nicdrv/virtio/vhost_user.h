/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_user.h -- one front end of a device: what its messages make of memory, log and queues
 *
 * A message and its descriptors come in, a reply goes out; there is no socket here, and none of the
 * device's work. The device above hears what it has to do through struct vhost_user_ops.
 *
 *   SET_MEM_TABLE, ADD/REM_MEM_REG  -> both maps flip, running queues find their rings again
 *   SET_LOG_BASE, LOG_ALL           -> the dirty reporter gets or loses its log
 *   SET_VRING_*                     -> a queue runs from the kick's descriptor on, until
 *   GET_VRING_BASE                  -> the device finishes it; nothing is written or signalled later
 *
 * Threads: one thread at a time.
 */
#ifndef NICDRV_VIRTIO_VHOST_USER_H
#define NICDRV_VIRTIO_VHOST_USER_H

#include "nicdrv/dirty_report.h"
#include "nicdrv/remap.h"
#include "nicdrv/virtio/vhost_message.h"
#include "nicdrv/virtio/virtq.h"

#define VHOST_PAIR_MAX 16		     /* queue pairs of a device */
#define VHOST_QUEUE_MAX (2 * VHOST_PAIR_MAX) /* queues: receive and transmit by turns */
#define VHOST_SLOT_MAX 256		     /* pieces of guest memory */

struct vhost_user_ops {
	/* The queue's chains are to be used, or not any more: running and enabled have changed. */
	void (*queue_changed)(void *arg, uint32_t index);
	/* Push and publish all that was popped: the queue stops when this returns. */
	void (*queue_drain)(void *arg, uint32_t index);
	/* Features have been set; queues do not run yet, or only LOG_ALL has changed. */
	void (*features_changed)(void *arg);
	/* The guest is here now: tell the network. */
	void (*announce)(void *arg, const uint8_t mac[6]);
};

struct vhost_queue {
	struct virtq vq;
	struct virtq_conf conf; /* as far as it is known */
	uint32_t base;
	bool has_addr, enabled;
	bool broken_told;      /* the front end knows that it is broken */
	int kick, call, error; /* owned; -1: none */
	uint64_t calls;	       /* notifications written */
};

struct vhost_user {
	const struct vhost_user_ops *ops; /* borrowed */
	void *arg;
	uint64_t offered; /* features of the device above */
	uint32_t pairs;
	uint64_t features, protocol;
	struct remap guest, front; /* by guest-physical and by the front end's address */
	struct dirty_report report;
	struct remap_memory *log;      /* counted */
	struct remap_memory *inflight; /* counted: where queues are, for who comes after a kill */
	uint16_t inflight_queues, inflight_size;
	int reply_fd; /* owned: goes with the reply; -1: none. Whoever sends it sets it to -1 */
	struct vhost_queue queue[VHOST_QUEUE_MAX];
};

/* offered: virtio's bits; those of the protocol are added. Errors: -EINVAL pairs, -ENOMEM. */
int vhost_user_init(struct vhost_user *user, const struct vhost_user_ops *ops, void *arg,
		    uint64_t offered, uint32_t pairs);
/* The front end is gone: drains nothing, forgets all but what is offered. */
void vhost_user_reset(struct vhost_user *user);
void vhost_user_fini(struct vhost_user *user);

/*
 * One message. ret_reply is written when ret_replies is set to true: header.size bytes follow it, and
 * user->reply_fd goes along.
 * Ownership: takes the descriptors, also when it fails.
 * Errors: -EPROTO, after which the connection is of no use; error_text() says why.
 */
int vhost_user_message(struct vhost_user *user, const struct vhost_message *message, int *fd,
		       uint32_t fd_count, struct vhost_message *ret_reply, bool *ret_replies);

static inline bool vhost_user_feature(const struct vhost_user *user, unsigned int bit)
{
	return user->features >> bit & 1;
}

/* Its chains may be used. */
static inline bool vhost_queue_serves(const struct vhost_queue *queue)
{
	return queue->vq.running && queue->enabled && !queue->vq.broken;
}

/* Publishes, and tells the driver if it wants to know. */
void vhost_queue_publish(struct vhost_queue *queue);

void vhost_user_check(const struct vhost_user *user);

#endif
