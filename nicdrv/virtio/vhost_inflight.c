/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_inflight.c -- where queues are, kept by the front end while this process may be killed
 *
 * Between two bursts nothing is in flight: what was not used is popped again. So a split ring needs no
 * memory but itself, and of the protocol's layout for packed ones only the place is used, and in its
 * entries what a publish writes. All are marked as not in flight.
 *
 * Invariants:
 *   1. version of a queue's piece is 1 exactly while the queue runs, or ran when its process was killed
 */
#include "base/error.h"
#include "nicdrv/virtio/vhost_private.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The protocol's, of packed rings. */
struct piece {
	uint64_t features;
	uint16_t version, desc_count, free_head, old_free_head;
	struct virtq_place place;
};
_Static_assert(offsetof(struct piece, place) == 16, "in shared memory");
_Static_assert(offsetof(struct piece, place.entry) == 32, "in shared memory");

static uint64_t piece_len(uint16_t queue_size)
{
	return (sizeof(struct piece) + (uint64_t)queue_size * sizeof(struct virtq_place_entry) +
		63) /
	       64 * 64;
}

static void keep(struct vhost_user *user, struct remap_memory *memory,
		 const struct vhost_inflight *inflight)
{
	remap_memory_put(user->inflight);
	user->inflight = memory;
	user->inflight_queues = inflight->queue_count;
	user->inflight_size = inflight->queue_size;
}

static int wish_check(const struct vhost_user *user, const struct vhost_inflight *inflight)
{
	if (inflight->queue_count == 0 || inflight->queue_count > 2 * user->pairs ||
	    inflight->queue_size == 0 || inflight->queue_size > VIRTQ_SIZE_MAX)
		return error_set(-EINVAL, "memory for %u queues of %u descriptors",
				 inflight->queue_count, inflight->queue_size);
	for (uint32_t i = 0; i < 2 * user->pairs; i++)
		if (user->queue[i].vq.running)
			return error_set(-EBUSY, "memory for queues while virtqueue %u runs", i);
	return 0;
}

int vhost_inflight_get(struct vhost_user *user, const struct vhost_message *message,
		       struct vhost_message *reply)
{
	struct vhost_inflight inflight = message->inflight;
	struct remap_memory *memory;
	int fd, err = wish_check(user, &inflight);
	if (err < 0)
		return err;
	inflight.len = piece_len(inflight.queue_size) * inflight.queue_count;
	inflight.off = 0;
	inflight.padding = 0;
	fd = memfd_create("farbus-inflight", MFD_CLOEXEC);
	if (fd < 0)
		return error_set(-EMFILE, "no descriptor for memory for queues: %s",
				 strerror(errno));
	if (ftruncate(fd, (off_t)inflight.len) < 0)
		err = error_set(-ENOMEM, "no memory for queues: %s", strerror(errno));
	else
		err = remap_memory_open(fd, 0, inflight.len, &memory);
	if (err < 0) {
		close(fd);
		return err;
	}
	keep(user, memory, &inflight);
	user->reply_fd = fd;
	reply->inflight = inflight;
	reply->header.size = sizeof(inflight);
	return 0;
}

int vhost_inflight_set(struct vhost_user *user, const struct vhost_message *message, const int *fd,
		       uint32_t fd_count)
{
	const struct vhost_inflight *inflight = &message->inflight;
	struct remap_memory *memory;
	int err;

	if (fd_count != 1)
		return error_set(-EPROTO, "SET_INFLIGHT_FD with %u descriptors", fd_count);
	err = wish_check(user, inflight);
	if (err < 0)
		return err;
	if (inflight->off % 64 ||
	    inflight->len < piece_len(inflight->queue_size) * inflight->queue_count)
		return error_set(-EINVAL, "memory for queues: %#llx bytes from %#llx on",
				 (unsigned long long)inflight->len,
				 (unsigned long long)inflight->off);
	err = remap_memory_open(fd[0], inflight->off, inflight->len, &memory);
	if (err < 0)
		return err;
	keep(user, memory, inflight);
	return 0;
}

static struct piece *piece_of(const struct vhost_user *user, uint32_t index)
{
	uint8_t *start;

	if (!user->inflight || index >= user->inflight_queues ||
	    user->queue[index].conf.size > user->inflight_size)
		return NULL;
	start = remap_memory_start(user->inflight);
	return (struct piece *)(void *)(start + index * piece_len(user->inflight_size));
}

void vhost_inflight_start(struct vhost_user *user, uint32_t index)
{
	struct virtq_conf *conf = &user->queue[index].conf;
	struct piece *piece = piece_of(user, index);

	conf->place = NULL;
	conf->resume = false;
	if (!piece || !conf->packed)
		return;
	conf->place = &piece->place;
	conf->resume = piece->version == 1 && piece->desc_count == conf->size;
}

void vhost_inflight_started(struct vhost_user *user, uint32_t index)
{
	struct piece *piece = piece_of(user, index);

	if (!piece || !user->queue[index].conf.place)
		return;
	piece->desc_count = (uint16_t)user->queue[index].conf.size;
	/* After the place and the size: a kill before this finds a queue that never ran. */
	__atomic_store_n(&piece->version, 1, __ATOMIC_RELEASE);
}

void vhost_inflight_stop(struct vhost_user *user, uint32_t index)
{
	struct piece *piece = piece_of(user, index);

	if (piece)
		piece->version = 0;
}
