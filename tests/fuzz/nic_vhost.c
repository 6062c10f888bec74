/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_vhost.c -- fuzz target: a front end that says anything, to a device that has traffic
 *
 * Input: messages. Each has a request, flags and payload of the input, and descriptors of a kind that
 * it names: the guest's memory, memory that is too short, an eventfd, a file that is none. Between
 * them the device receives and transmits. Whatever was said, it keeps its invariants and loses no
 * descriptor.
 */
#include "base/assert.h"
#include "base/log.h"
#include "nicdrv/virtio/vhost_net.h"
#include "tests/unit/nic_driver.h"

#include <fcntl.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int memory_fd = -1, short_fd, event_fd, null_fd, log_fd;
static uint8_t frame[1500];

struct input {
	const uint8_t *data;
	size_t left;
};

static uint64_t number(struct input *input, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes-- > 0 && input->left > 0) {
		value = value << 8 | *input->data++;
		input->left--;
	}
	return value;
}

static int port_receive(struct nic_port *port, struct nic_packet *packet, uint32_t max)
{
	(void)port;
	for (uint32_t i = 0; i < max && i < 3; i++)
		packet[i] = (struct nic_packet){ .data = frame, .len = 60 + 700 * i };
	return max < 3 ? (int)max : 3;
}

static int port_send(struct nic_port *port, const struct iovec *piece, uint32_t count,
		     const struct virtio_net_hdr *offload)
{
	(void)port, (void)offload;
	FARBUS_ASSERT(count > 0 && piece[0].iov_len > 0);
	return 0;
}

static const struct nic_port_ops port_ops = { .receive = port_receive, .send = port_send };

/* Addresses are chosen near to those that mean something, so that sessions get on. */
static uint64_t address(struct input *input)
{
	static const uint64_t near[] = { DRIVER_FRONT, DRIVER_GPA, 0, UINT64_MAX - 4096,
					 DRIVER_FRONT + DRIVER_LEN - 4096 };

	return near[number(input, 1) % 5] + number(input, 1) * 64;
}

static void payload_make(struct input *input, struct vhost_message *message)
{
	switch (message->header.request) {
	case VHOST_SET_MEM_TABLE:
		message->table.count = (uint32_t)number(input, 1) % 4;
		for (uint32_t i = 0; i < message->table.count; i++)
			message->table.region[i] =
				(struct vhost_region){ address(input), number(input, 2) << 8,
						       address(input), number(input, 1) << 12 };
		message->header.size = 8 + 32 * message->table.count;
		break;
	case VHOST_ADD_MEM_REG:
	case VHOST_REM_MEM_REG:
		message->slot.region = (struct vhost_region){ address(input), number(input, 2) << 8,
							      address(input), 0 };
		message->header.size = 40;
		break;
	case VHOST_SET_VRING_ADDR:
		message->addr = (struct vhost_addr){ (uint32_t)number(input, 1) % 5,
						     (uint32_t)number(input, 1),
						     address(input),
						     address(input),
						     address(input),
						     address(input) };
		message->header.size = 40;
		break;
	case VHOST_SET_LOG_BASE:
		message->log = (struct vhost_log){ number(input, 2), number(input, 1) };
		message->header.size = 16;
		break;
	case VHOST_GET_INFLIGHT_FD:
	case VHOST_SET_INFLIGHT_FD:
		message->inflight = (struct vhost_inflight){ number(input, 2), number(input, 1),
							     (uint16_t)(number(input, 1) % 6),
							     (uint16_t)(number(input, 1) % 33), 0 };
		message->header.size = 24;
		break;
	case VHOST_SET_FEATURES:
	case VHOST_SET_PROTOCOL_FEATURES:
		message->u64 = number(input, 8);
		message->header.size = 8;
		break;
	default:
		message->state.index = (uint32_t)number(input, 1) % 6;
		message->state.num = (uint32_t)number(input, 1) * (uint32_t)number(input, 1);
		message->header.size = (uint32_t)number(input, 1) % 16 ? 8 : 4;
	}
}

static uint32_t descriptors_make(struct input *input, int *fd)
{
	const int kind[] = { memory_fd, event_fd, short_fd, null_fd, log_fd };
	uint32_t what = (uint32_t)number(input, 1), count = what % 4;

	for (uint32_t i = 0; i < count; i++) {
		fd[i] = fcntl(kind[what / 4 % 5], F_DUPFD_CLOEXEC, 3);
		FARBUS_ASSERT(fd[i] >= 0);
	}
	return count;
}

static void driver_writes(struct input *input, uint8_t *memory)
{
	uint64_t at = number(input, 2) % 32768, len = number(input, 1) % 32;

	while (len-- > 0)
		memory[at++] = (uint8_t)number(input, 1);
}

static bool step(struct input *input, struct vhost_net *net, uint8_t *memory)
{
	struct vhost_message message = { 0 }, reply;
	uint64_t what = number(input, 1);
	int fd[VHOST_MESSAGE_FD_MAX];
	struct vhost_user *user = vhost_net_user(net);
	uint32_t fd_count;
	bool replies;
	int err;

	if (what >= 200) {
		driver_writes(input, memory);
		vhost_net_receive(net);
		for (uint32_t pair = 0; pair < 2; pair++)
			vhost_net_transmit(net, pair, 4);
		vhost_net_ready(net);
		return true;
	}
	message.header.request = (uint32_t)what % 41;
	message.header.flags = VHOST_VERSION | (what & 64 ? VHOST_NEED_REPLY : 0);
	payload_make(input, &message);
	fd_count = descriptors_make(input, fd);
	err = vhost_user_message(user, &message, fd, fd_count, &reply, &replies);
	if (user->reply_fd >= 0)
		close(user->reply_fd);
	user->reply_fd = -1;
	return err == 0;
}

static unsigned fd_next(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);

	close(fd);
	return (unsigned)fd;
}

static void world_open(uint8_t **ret_memory)
{
	static uint8_t *memory;

	if (!memory) {
		/* What it says of each bad message takes longer than the message. */
		log_open(LOG_ERROR, 0);
		memory_fd = memfd_create("guest", MFD_CLOEXEC);
		short_fd = memfd_create("short", MFD_CLOEXEC);
		log_fd = memfd_create("log", MFD_CLOEXEC);
		event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		FARBUS_ASSERT(ftruncate(memory_fd, 16 << 20) == 0);
		FARBUS_ASSERT(ftruncate(short_fd, 100) == 0);
		FARBUS_ASSERT(ftruncate(log_fd, 65536) == 0);
		memory = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
		FARBUS_ASSERT(memory != MAP_FAILED);
		for (size_t i = 0; i < sizeof(frame); i++)
			frame[i] = (uint8_t)i;
	}
	memset(memory, 0, 65536);
	*ret_memory = memory;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vhost_net_conf conf = {
		.pairs = 2, .aggregate = true, .verify = true, .offer_packed = true, .flow_max = 8
	};
	static struct nic_port port = { .ops = &port_ops };
	/* One for all inputs: a front end that is gone leaves nothing behind. */
	static struct vhost_net *net;
	struct input input = { data, size };
	uint8_t *memory;
	unsigned next;

	world_open(&memory);
	if (!net)
		FARBUS_ASSERT(vhost_net_new(&conf, &port, &net) == 0);
	next = fd_next();
	while (input.left > 0) {
		if (!step(&input, net, memory))
			vhost_net_reset(net);
		vhost_net_check(net);
	}
	vhost_net_reset(net);
	vhost_net_check(net);
	FARBUS_ASSERT(fd_next() == next);
	return 0;
}
