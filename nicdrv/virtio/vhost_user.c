/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_user.c -- one front end of a device: its messages
 *
 * Invariants (vhost_user_check):
 *   1. a running queue has a kick descriptor and its addresses
 *   2. the reporter has a log only while LOG_ALL is set
 */
#include "nicdrv/virtio/vhost_user.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "nicdrv/virtio/vhost_private.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <unistd.h>

#define BIT(n) (1ull << (n))

static const uint64_t protocol_offered =
	BIT(VHOST_PROTOCOL_MQ) | BIT(VHOST_PROTOCOL_LOG_SHMFD) | BIT(VHOST_PROTOCOL_RARP) |
	BIT(VHOST_PROTOCOL_REPLY_ACK) | BIT(VHOST_PROTOCOL_NET_MTU) |
	BIT(VHOST_PROTOCOL_INFLIGHT_SHMFD) | BIT(VHOST_PROTOCOL_CONFIGURE_MEM_SLOTS);

static const uint64_t features_always = BIT(VHOST_F_LOG_ALL) | BIT(VHOST_F_PROTOCOL_FEATURES);

int vhost_user_init(struct vhost_user *user, const struct vhost_user_ops *ops, void *arg,
		    uint64_t offered, uint32_t pairs)
{
	int err;

	if (pairs == 0 || pairs > VHOST_PAIR_MAX)
		return error_set(-EINVAL, "%u queue pairs: 1 to %d", pairs, VHOST_PAIR_MAX);
	memset(user, 0, sizeof(*user));
	user->ops = ops;
	user->arg = arg;
	user->offered = offered | features_always;
	user->pairs = pairs;
	user->reply_fd = -1;
	for (uint32_t i = 0; i < VHOST_QUEUE_MAX; i++)
		user->queue[i].kick = user->queue[i].call = user->queue[i].error = -1;
	err = remap_init(&user->guest);
	if (err < 0)
		return err;
	err = remap_init(&user->front);
	if (err < 0)
		remap_fini(&user->guest);
	user->report.map = &user->guest;
	return err;
}

static void fd_replace(int *fd, int with)
{
	if (*fd >= 0)
		close(*fd);
	*fd = with;
}

static void queue_reset(struct vhost_user *user, uint32_t index)
{
	struct vhost_queue *queue = &user->queue[index];

	fd_replace(&queue->kick, -1);
	fd_replace(&queue->call, -1);
	fd_replace(&queue->error, -1);
	memset(&queue->vq, 0, sizeof(queue->vq));
	memset(&queue->conf, 0, sizeof(queue->conf));
	queue->base = 0;
	queue->has_addr = queue->enabled = queue->broken_told = false;
}

void vhost_user_reset(struct vhost_user *user)
{
	for (uint32_t i = 0; i < VHOST_QUEUE_MAX; i++)
		queue_reset(user, i);
	dirty_report_log_set(&user->report, NULL, 0);
	user->log = remap_memory_put(user->log);
	user->inflight = remap_memory_put(user->inflight);
	fd_replace(&user->reply_fd, -1);
	remap_draft_clear(&user->guest);
	remap_draft_clear(&user->front);
	remap_flip(&user->guest);
	remap_flip(&user->front);
	user->features = user->protocol = 0;
}

void vhost_user_fini(struct vhost_user *user)
{
	vhost_user_reset(user);
	remap_fini(&user->guest);
	remap_fini(&user->front);
}

/* ---- queues ---- */

static void event_write(int fd)
{
	uint64_t one = 1;

	/* A counter that is full wakes its reader, too. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

void vhost_queue_fail(struct vhost_queue *queue)
{
	queue->vq.broken = true;
	event_write(queue->error);
}

void vhost_queue_publish(struct vhost_queue *queue)
{
	if (queue->vq.pending == 0)
		return;
	virtq_publish(&queue->vq);
	if (queue->call >= 0 && virtq_notify_wanted(&queue->vq)) {
		event_write(queue->call);
		queue->calls++;
	}
}

static int queue_of(struct vhost_user *user, uint32_t index, struct vhost_queue **ret_queue)
{
	if (index >= 2 * user->pairs)
		return error_set(-EINVAL, "virtqueue %u of a device with %u", index,
				 2 * user->pairs);
	*ret_queue = &user->queue[index];
	return 0;
}

static void queue_conf_features(const struct vhost_user *user, struct vhost_queue *queue)
{
	queue->conf.packed = vhost_user_feature(user, VIRTIO_F_RING_PACKED);
	queue->conf.event_idx = vhost_user_feature(user, VIRTIO_RING_F_EVENT_IDX);
	queue->conf.indirect = vhost_user_feature(user, VIRTIO_RING_F_INDIRECT_DESC);
}

/* With its kick, a queue has all it needs. */
static int queue_start(struct vhost_user *user, uint32_t index)
{
	struct vhost_queue *queue = &user->queue[index];
	int err;

	if (queue->vq.running || queue->kick < 0 || !queue->has_addr)
		return 0;
	queue->vq.guest = &user->guest;
	queue->vq.front = &user->front;
	queue->vq.report = &user->report;
	queue_conf_features(user, queue);
	vhost_inflight_start(user, index);
	err = virtq_start(&queue->vq, &queue->conf, queue->base);
	if (err < 0)
		return err;
	vhost_inflight_started(user, index);
	/* Without the protocol's features there is no message that enables. */
	if (!vhost_user_feature(user, VHOST_F_PROTOCOL_FEATURES))
		queue->enabled = true;
	queue->broken_told = false;
	vhost_log_apply(user);
	user->ops->queue_changed(user->arg, index);
	return 0;
}

static void queue_stop(struct vhost_user *user, uint32_t index)
{
	struct vhost_queue *queue = &user->queue[index];

	if (!queue->vq.running)
		return;
	user->ops->queue_drain(user->arg, index);
	vhost_queue_publish(queue);
	queue->base = virtq_stop(&queue->vq);
	vhost_inflight_stop(user, index);
	fd_replace(&queue->kick, -1);
	user->ops->queue_changed(user->arg, index);
}

static int set_num(struct vhost_user *user, const struct vhost_state *state)
{
	struct vhost_queue *queue;
	int err = queue_of(user, state->index, &queue);
	if (err < 0)
		return err;
	if (queue->vq.running)
		return error_set(-EBUSY, "SET_VRING_NUM while virtqueue %u runs", state->index);
	if (state->num == 0 || state->num > VIRTQ_SIZE_MAX)
		return error_set(-EINVAL, "a virtqueue of %u descriptors", state->num);
	queue->conf.size = state->num;
	return 0;
}

static int set_base(struct vhost_user *user, const struct vhost_state *state)
{
	struct vhost_queue *queue;
	int err = queue_of(user, state->index, &queue);
	if (err < 0)
		return err;
	if (queue->vq.running)
		return error_set(-EBUSY, "SET_VRING_BASE while virtqueue %u runs", state->index);
	queue->base = state->num;
	return 0;
}

/* While the queue runs it may only move within the same ring, and begin or end to log. */
static int set_addr(struct vhost_user *user, const struct vhost_addr *addr)
{
	struct vhost_queue *queue;
	int err = queue_of(user, addr->index, &queue);
	if (err < 0)
		return err;
	queue->conf.desc = addr->desc;
	queue->conf.driver = addr->avail;
	queue->conf.device = addr->used;
	queue->conf.log = addr->flags & 1;
	queue->conf.log_addr = addr->log;
	queue->has_addr = true;
	if (!queue->vq.running)
		return 0;
	queue->vq.conf.desc = addr->desc;
	queue->vq.conf.driver = addr->avail;
	queue->vq.conf.device = addr->used;
	queue->vq.conf.log_addr = addr->log;
	vhost_log_apply(user);
	err = virtq_locate(&queue->vq);
	if (err < 0)
		vhost_queue_fail(queue);
	return err;
}

static int set_enable(struct vhost_user *user, const struct vhost_state *state)
{
	struct vhost_queue *queue;
	int err = queue_of(user, state->index, &queue);
	if (err < 0)
		return err;
	if (queue->vq.running && queue->enabled && !state->num) {
		user->ops->queue_drain(user->arg, state->index);
		vhost_queue_publish(queue);
	}
	queue->enabled = state->num != 0;
	user->ops->queue_changed(user->arg, state->index);
	return 0;
}

/* Takes the descriptor out of fd[]. */
static int set_fd(struct vhost_user *user, uint32_t request, uint64_t word, int *fd,
		  uint32_t fd_count)
{
	uint32_t index = word & VHOST_FD_INDEX;
	struct vhost_queue *queue;
	int err = queue_of(user, index, &queue);
	if (err < 0)
		return err;
	if (fd_count != (word & VHOST_FD_NONE ? 0u : 1u))
		return error_set(-EPROTO, "a message about virtqueue %u with %u descriptors", index,
				 fd_count);
	if (request == VHOST_SET_VRING_KICK && fd_count == 0)
		return error_set(-EINVAL, "virtqueue %u without a kick: polling is not offered",
				 index);
	/* What a front end does not read shall not stop us. */
	if (fd_count && fcntl(fd[0], F_SETFL, O_NONBLOCK) < 0)
		return error_set(-EINVAL, "virtqueue %u: a descriptor that cannot be used: %s",
				 index, strerror(errno));
	fd_replace(request == VHOST_SET_VRING_KICK ? &queue->kick :
		   request == VHOST_SET_VRING_CALL ? &queue->call :
						     &queue->error,
		   fd_count ? fd[0] : -1);
	if (fd_count)
		fd[0] = -1;
	if (request != VHOST_SET_VRING_KICK)
		return 0;
	err = queue_start(user, index);
	/* Another kick for a queue that runs is to be listened to as well. */
	if (err == 0 && queue->vq.running)
		user->ops->queue_changed(user->arg, index);
	return err;
}

static int get_base(struct vhost_user *user, const struct vhost_message *message,
		    struct vhost_message *reply)
{
	struct vhost_queue *queue;
	int err = queue_of(user, message->state.index, &queue);
	if (err < 0)
		return err;
	queue_stop(user, message->state.index);
	reply->state.index = message->state.index;
	reply->state.num = queue->base;
	reply->header.size = sizeof(reply->state);
	return 0;
}

/* ---- features ---- */

static int set_features(struct vhost_user *user, uint64_t features)
{
	uint64_t fixed = ~BIT(VHOST_F_LOG_ALL);

	if (features & ~user->offered)
		return error_set(-EINVAL, "features %#llx that were not offered",
				 (unsigned long long)(features & ~user->offered));
	for (uint32_t i = 0; i < 2 * user->pairs; i++)
		if (user->queue[i].vq.running && (features ^ user->features) & fixed)
			return error_set(-EBUSY, "other features while virtqueue %u runs", i);
	user->features = features;
	vhost_log_apply(user);
	user->ops->features_changed(user->arg);
	return 0;
}

static int set_protocol(struct vhost_user *user, uint64_t protocol)
{
	if (protocol & ~protocol_offered)
		return error_set(-EINVAL, "protocol features %#llx that were not offered",
				 (unsigned long long)(protocol & ~protocol_offered));
	user->protocol = protocol;
	return 0;
}

static int announce(struct vhost_user *user, const struct vhost_message *message)
{
	user->ops->announce(user->arg, message->bytes);
	return 0;
}

/* ---- messages ---- */

/* Those that answer with a number. False: it is none of them. */
static bool ask(const struct vhost_user *user, uint32_t request, uint64_t *ret_answer)
{
	switch (request) {
	case VHOST_GET_FEATURES:
		*ret_answer = user->offered;
		return true;
	case VHOST_GET_PROTOCOL_FEATURES:
		*ret_answer = protocol_offered;
		return true;
	case VHOST_GET_QUEUE_NUM:
		*ret_answer = user->pairs;
		return true;
	case VHOST_GET_MAX_MEM_SLOTS:
		*ret_answer = VHOST_SLOT_MAX;
		return true;
	default:
		return false;
	}
}

static int tell(struct vhost_user *user, const struct vhost_message *message, int *fd,
		uint32_t fd_count)
{
	switch (message->header.request) {
	case VHOST_SET_FEATURES:
		return set_features(user, message->u64);
	case VHOST_SET_PROTOCOL_FEATURES:
		return set_protocol(user, message->u64);
	case VHOST_SET_MEM_TABLE:
		return vhost_memory_set(user, message, fd, fd_count);
	case VHOST_ADD_MEM_REG:
		return vhost_memory_add(user, &message->slot.region, fd, fd_count);
	case VHOST_REM_MEM_REG:
		return vhost_memory_remove(user, &message->slot.region);
	case VHOST_SET_LOG_BASE:
		return vhost_log_set(user, message, fd, fd_count);
	case VHOST_SET_INFLIGHT_FD:
		return vhost_inflight_set(user, message, fd, fd_count);
	case VHOST_SET_VRING_NUM:
		return set_num(user, &message->state);
	case VHOST_SET_VRING_BASE:
		return set_base(user, &message->state);
	case VHOST_SET_VRING_ADDR:
		return set_addr(user, &message->addr);
	case VHOST_SET_VRING_ENABLE:
		return set_enable(user, &message->state);
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		return set_fd(user, message->header.request, message->u64, fd, fd_count);
	case VHOST_SEND_RARP:
		return announce(user, message);
	case VHOST_SET_OWNER:
	case VHOST_RESET_OWNER:
	case VHOST_SET_LOG_FD: /* somebody may wait on it; nobody has to be woken */
	case VHOST_NET_SET_MTU:
		return 0;
	default:
		return error_set(-EPROTO, "a vhost-user request %u that was not offered",
				 message->header.request);
	}
}

static uint32_t size_min(uint32_t request)
{
	switch (request) {
#define REQUEST(number, name, size) \
	case number:                \
		return size;
#include "nicdrv/virtio/vhost_request.def"
#undef REQUEST
	default:
		return 0;
	}
}

static int message_check(const struct vhost_header *header)
{
	if ((header->flags & VHOST_VERSION_MASK) != VHOST_VERSION || header->flags & VHOST_REPLY)
		return error_set(-EPROTO, "a vhost-user message with flags %#x", header->flags);
	if (header->size > VHOST_MESSAGE_PAYLOAD_MAX || header->size < size_min(header->request))
		return error_set(-EPROTO, "a vhost-user request %u of %u bytes", header->request,
				 header->size);
	return 0;
}

/* Does the front end wait for a word about this one? */
static bool acknowledged(const struct vhost_user *user, const struct vhost_header *header)
{
	if (header->request == VHOST_SET_LOG_BASE)
		return user->protocol & BIT(VHOST_PROTOCOL_LOG_SHMFD);
	return header->flags & VHOST_NEED_REPLY && user->protocol & BIT(VHOST_PROTOCOL_REPLY_ACK);
}

/* What breaks one message breaks the connection, unless the front end asked how it went. */
static int serve(struct vhost_user *user, const struct vhost_message *message, int *fd,
		 uint32_t fd_count, struct vhost_message *reply, bool *ret_replies)
{
	int err = message_check(&message->header);
	if (err < 0)
		return err;
	reply->header.size = sizeof(reply->u64);
	*ret_replies = true;
	if (ask(user, message->header.request, &reply->u64))
		return 0;
	if (message->header.request == VHOST_GET_VRING_BASE)
		return get_base(user, message, reply);
	if (message->header.request == VHOST_GET_INFLIGHT_FD)
		return vhost_inflight_get(user, message, reply);
	err = tell(user, message, fd, fd_count);
	*ret_replies = acknowledged(user, &message->header);
	if (err == -EPROTO || !*ret_replies)
		return err;
	if (err < 0)
		log_warning("a vhost-user request is refused: %s", error_text());
	reply->u64 = err < 0;
	return 0;
}

int vhost_user_message(struct vhost_user *user, const struct vhost_message *message, int *fd,
		       uint32_t fd_count, struct vhost_message *ret_reply, bool *ret_replies)
{
	int err;

	log_debug("vhost-user request %u, flags %#x, %u bytes, %u descriptors, first word %#llx",
		  message->header.request, message->header.flags, message->header.size, fd_count,
		  (unsigned long long)message->u64);
	*ret_replies = false;
	ret_reply->header.request = message->header.request;
	ret_reply->header.flags = VHOST_VERSION | VHOST_REPLY;
	err = serve(user, message, fd, fd_count, ret_reply, ret_replies);
	for (uint32_t i = 0; i < fd_count; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	FARBUS_DEBUG_ASSERT((vhost_user_check(user), true));
	return err < 0 ? -EPROTO : 0;
}

void vhost_user_check(const struct vhost_user *user)
{
	remap_check(&user->guest);
	remap_check(&user->front);
	for (uint32_t i = 0; i < 2 * user->pairs; i++) {
		const struct vhost_queue *queue = &user->queue[i];

		virtq_check(&queue->vq);
		if (queue->vq.running) {
			FARBUS_ASSERT(queue->kick >= 0);
			FARBUS_ASSERT(queue->has_addr);
		}
	}
	if (user->report.log)
		FARBUS_ASSERT(vhost_user_feature(user, VHOST_F_LOG_ALL));
}
