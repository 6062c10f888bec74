/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_front.c -- a vhost-user front end in this process */
#include "nic_front.h"

#include "base/assert.h"
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int front_say(struct front *front, uint32_t request, const void *payload, uint32_t size,
	      const int *fd, uint32_t fd_count)
{
	struct vhost_message message = { .header = { request, VHOST_VERSION | front->flags,
						     size } };
	int copy[VHOST_MESSAGE_FD_MAX];

	FARBUS_ASSERT(size <= sizeof(message.bytes) && fd_count <= VHOST_MESSAGE_FD_MAX);
	if (size)
		memcpy(message.bytes, payload, size);
	for (uint32_t i = 0; i < fd_count; i++) {
		copy[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, 3);
		FARBUS_ASSERT(copy[i] >= 0);
	}
	int err = vhost_user_message(front->user, &message, copy, fd_count, &front->reply,
				     &front->replied);
	if (front->user->reply_fd >= 0) {
		front_close(front);
		front->reply_fd = front->user->reply_fd;
		front->user->reply_fd = -1;
	}
	return err;
}

void front_close(struct front *front)
{
	if (front->reply_fd > 0)
		close(front->reply_fd);
	front->reply_fd = 0;
}

int front_inflight_get(struct front *front, uint16_t queues, uint16_t size)
{
	struct vhost_inflight wish = { .queue_count = queues, .queue_size = size };

	return front_say(front, VHOST_GET_INFLIGHT_FD, &wish, sizeof(wish), NULL, 0);
}

int front_inflight_set(struct front *front, uint16_t queues, uint16_t size)
{
	struct vhost_inflight wish = { .queue_count = queues, .queue_size = size };
	struct stat stat;

	FARBUS_ASSERT(fstat(front->reply_fd, &stat) == 0);
	wish.len = (uint64_t)stat.st_size;
	return front_say(front, VHOST_SET_INFLIGHT_FD, &wish, sizeof(wish), &front->reply_fd, 1);
}

int front_number(struct front *front, uint32_t request, uint64_t number)
{
	return front_say(front, request, &number, sizeof(number), NULL, 0);
}

int front_state(struct front *front, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_state state = { index, num };

	return front_say(front, request, &state, sizeof(state), NULL, 0);
}

int front_memory(struct front *front, unsigned copies)
{
	struct vhost_table table = { .count = 2 * copies };
	int fd[VHOST_REGION_MAX];

	for (uint32_t i = 0; i < 2 * copies; i++) {
		uint64_t off = i % 2 ? DRIVER_SPLIT : 0, apart = i / 2 * FRONT_COPY;

		table.region[i] =
			(struct vhost_region){ DRIVER_GPA + off + apart,
					       i % 2 ? DRIVER_LEN - DRIVER_SPLIT : DRIVER_SPLIT,
					       DRIVER_FRONT + off + apart, off };
		fd[i] = front->driver->fd;
	}
	return front_say(front, VHOST_SET_MEM_TABLE, &table, 8 + 32 * table.count, fd, table.count);
}

void front_hello(struct front *front, uint64_t features)
{
	FARBUS_ASSERT(front_say(front, VHOST_GET_FEATURES, NULL, 0, NULL, 0) == 0);
	FARBUS_ASSERT(front->replied && (front->reply.u64 & features) == features);
	FARBUS_ASSERT(front_say(front, VHOST_GET_PROTOCOL_FEATURES, NULL, 0, NULL, 0) == 0);
	FARBUS_ASSERT(front_number(front, VHOST_SET_PROTOCOL_FEATURES, front->reply.u64) == 0);
	FARBUS_ASSERT(front_say(front, VHOST_SET_OWNER, NULL, 0, NULL, 0) == 0);
	FARBUS_ASSERT(front_number(front, VHOST_SET_FEATURES,
				   features | 1ull << VHOST_F_PROTOCOL_FEATURES) == 0);
	FARBUS_ASSERT(front_memory(front, 1) == 0);
}

int front_queue_start(struct front *front, uint32_t index, const struct driver_queue *queue,
		      uint32_t base, const int kick_call[2], bool log)
{
	struct virtq_conf conf = driver_queue_conf(queue);
	struct vhost_addr addr = { index, log, conf.desc, conf.device, conf.driver, conf.log_addr };
	uint64_t word = index;
	int err = front_state(front, VHOST_SET_VRING_NUM, index, queue->size);

	if (err == 0)
		err = front_state(front, VHOST_SET_VRING_BASE, index, base);
	if (err == 0)
		err = front_say(front, VHOST_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	if (err == 0)
		err = front_say(front, VHOST_SET_VRING_KICK, &word, sizeof(word), &kick_call[0], 1);
	if (err == 0)
		err = front_say(front, VHOST_SET_VRING_CALL, &word, sizeof(word), &kick_call[1], 1);
	if (err == 0)
		err = front_state(front, VHOST_SET_VRING_ENABLE, index, 1);
	return err;
}

uint32_t front_queue_stop(struct front *front, uint32_t index)
{
	FARBUS_ASSERT(front_state(front, VHOST_GET_VRING_BASE, index, 0) == 0);
	FARBUS_ASSERT(front->replied && front->reply.state.index == index);
	return front->reply.state.num;
}

int front_log(struct front *front, int fd, uint64_t features)
{
	struct vhost_log log = { FRONT_LOG_LEN, 0 };
	int err = front_say(front, VHOST_SET_LOG_BASE, &log, sizeof(log), &fd, 1);

	if (err == 0)
		err = front_number(front, VHOST_SET_FEATURES,
				   features | 1ull << VHOST_F_PROTOCOL_FEATURES |
					   1ull << VHOST_F_LOG_ALL);
	return err;
}

unsigned front_fd_count(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}
