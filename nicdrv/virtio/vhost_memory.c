/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_memory.c -- what a front end says about its memory, and about the log of dirty pages
 *
 * QEMU 7.2 adds and removes each piece once for every queue pair. So what is there already is added, and
 * what is gone already is removed, without a word.
 */
#include "base/error.h"
#include "nicdrv/virtio/vhost_private.h"
#include <errno.h>

static int region_add(struct vhost_user *user, const struct vhost_region *region, int fd)
{
	struct remap_range range = { .len = region->len, .rights = REMAP_READ | REMAP_WRITE };
	int err = remap_memory_open(fd, region->off, region->len, &range.memory);
	if (err < 0)
		return err;
	range.bus = region->gpa;
	err = remap_draft_add(&user->guest, &range);
	if (err < 0)
		goto put_memory;
	range.bus = region->uva;
	err = remap_draft_add(&user->front, &range);

put_memory:
	/* The maps count it themselves. */
	remap_memory_put(range.memory);
	return err;
}

/* Both maps change at once, between two bursts; the queues' rings may stand elsewhere now. */
static int memory_flip(struct vhost_user *user)
{
	int err = 0;

	remap_flip(&user->guest);
	remap_flip(&user->front);
	for (uint32_t i = 0; i < 2 * user->pairs; i++) {
		struct vhost_queue *queue = &user->queue[i];

		if (queue->vq.running && virtq_locate(&queue->vq) < 0) {
			vhost_queue_fail(queue);
			err = -EFAULT;
		}
	}
	return err;
}

static void draft_drop(struct vhost_user *user)
{
	remap_draft_clear(&user->guest);
	remap_draft_clear(&user->front);
}

int vhost_memory_set(struct vhost_user *user, const struct vhost_message *message, const int *fd,
		     uint32_t fd_count)
{
	uint32_t count = message->table.count;

	if (count > VHOST_REGION_MAX || count != fd_count ||
	    message->header.size < 8 + count * sizeof(struct vhost_region))
		return error_set(-EPROTO,
				 "SET_MEM_TABLE of %u regions with %u descriptors and %u "
				 "bytes",
				 count, fd_count, message->header.size);
	draft_drop(user);
	for (uint32_t i = 0; i < count; i++) {
		int err = region_add(user, &message->table.region[i], fd[i]);
		if (err < 0) {
			draft_drop(user);
			return err;
		}
	}
	return memory_flip(user);
}

/* Do both addresses lead to exactly these bytes? */
static bool region_known(struct vhost_user *user, const struct vhost_region *region, int fd)
{
	unsigned int both = REMAP_READ | REMAP_WRITE;
	void *at = remap_at(&user->guest, region->gpa, region->len, both);
	struct remap_memory *memory;
	bool known;

	if (!at || remap_at(&user->front, region->uva, region->len, both) != at ||
	    remap_memory_open(fd, region->off, region->len, &memory) < 0)
		return false;
	known = remap_memory_start(memory) == at;
	remap_memory_put(memory);
	return known;
}

int vhost_memory_add(struct vhost_user *user, const struct vhost_region *region, const int *fd,
		     uint32_t fd_count)
{
	int err;

	if (fd_count != 1)
		return error_set(-EPROTO, "ADD_MEM_REG with %u descriptors", fd_count);
	if (region_known(user, region, fd[0]))
		return 0;
	if (user->guest.live_count >= VHOST_SLOT_MAX)
		return error_set(-ENOSPC, "a front end has at most %d pieces of memory",
				 VHOST_SLOT_MAX);
	remap_draft_copy(&user->guest);
	remap_draft_copy(&user->front);
	err = region_add(user, region, fd[0]);
	if (err < 0) {
		draft_drop(user);
		return err;
	}
	return memory_flip(user);
}

int vhost_memory_remove(struct vhost_user *user, const struct vhost_region *region)
{
	int err;

	if (!remap_at(&user->guest, region->gpa, 1, REMAP_READ) &&
	    !remap_at(&user->front, region->uva, 1, REMAP_READ))
		return 0;
	remap_draft_copy(&user->guest);
	remap_draft_copy(&user->front);
	err = remap_draft_remove(&user->guest, region->gpa, region->len);
	if (err == 0)
		err = remap_draft_remove(&user->front, region->uva, region->len);
	if (err < 0) {
		draft_drop(user);
		return err;
	}
	return memory_flip(user);
}

void vhost_log_apply(struct vhost_user *user)
{
	bool on = user->log && vhost_user_feature(user, VHOST_F_LOG_ALL);

	dirty_report_log_set(&user->report, on ? remap_memory_start(user->log) : NULL,
			     on ? remap_memory_len(user->log) : 0);
	for (uint32_t i = 0; i < 2 * user->pairs; i++)
		user->queue[i].vq.conf.log = on && user->queue[i].conf.log;
}

int vhost_log_set(struct vhost_user *user, const struct vhost_message *message, const int *fd,
		  uint32_t fd_count)
{
	struct remap_memory *log, *old = user->log;
	int err;

	if (fd_count != 1 || message->header.size < sizeof(message->log))
		return error_set(-EPROTO,
				 "SET_LOG_BASE with %u descriptors and %u bytes: the log "
				 "has to come as a descriptor",
				 fd_count, message->header.size);
	if (message->log.len < 8 || message->log.off % 8)
		return error_set(-EINVAL, "a log of %#llx bytes from %#llx on",
				 (unsigned long long)message->log.len,
				 (unsigned long long)message->log.off);
	err = remap_memory_open(fd[0], message->log.off, message->log.len, &log);
	if (err < 0)
		return err;
	/* Nobody uses the old one when the front end hears that the new one is there. */
	user->log = log;
	vhost_log_apply(user);
	remap_memory_put(old);
	return 0;
}
