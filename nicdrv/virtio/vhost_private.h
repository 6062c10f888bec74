/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost_private.h -- between vhost_user.c and vhost_memory.c */
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

/* Tells the front end that the queue is broken. */
void vhost_queue_fail(struct vhost_queue *queue);

#endif
