/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost_private.h -- between vhost_user.c, vhost_memory.c and vhost_inflight.c */
#ifndef NICDRV_VIRTIO_VHOST_PRIVATE_H
#define NICDRV_VIRTIO_VHOST_PRIVATE_H

#include "nicdrv/virtio/vhost_user.h"

/*
 * The maps. They borrow the descriptors. Errors: -EPROTO malformed; those of remap.h, with the maps
 * as they were; -EFAULT a running queue lost its ring.
 */
int vhost_memory_set(struct vhost_user *user, const struct vhost_message *message, const int *fd,
		     uint32_t fd_count);
int vhost_memory_add(struct vhost_user *user, const struct vhost_region *region, const int *fd,
		     uint32_t fd_count);
int vhost_memory_remove(struct vhost_user *user, const struct vhost_region *region);

int vhost_log_set(struct vhost_user *user, const struct vhost_message *message, const int *fd,
		  uint32_t fd_count);
/* LOG_ALL, the log, or the wish to log a ring has changed. */
void vhost_log_apply(struct vhost_user *user);

/*
 * Memory that outlives this process, one piece for each queue, which says where it is. A queue that was
 * stopped in good order says so, and starts where the front end wants it to.
 * Errors: -EINVAL sizes, -EBUSY queues run, -EPROTO descriptors, those of remap_memory_open().
 */
int vhost_inflight_get(struct vhost_user *user, const struct vhost_message *message,
		       struct vhost_message *reply);
int vhost_inflight_set(struct vhost_user *user, const struct vhost_message *message, const int *fd,
		       uint32_t fd_count);
/* Before and after virtq_start(), and after virtq_stop(). */
void vhost_inflight_start(struct vhost_user *user, uint32_t index);
void vhost_inflight_started(struct vhost_user *user, uint32_t index);
void vhost_inflight_stop(struct vhost_user *user, uint32_t index);

/* Tells the front end that the queue is broken. */
void vhost_queue_fail(struct vhost_queue *queue);

#endif
