/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_net_common.c -- a network device with a guest and a port that are both in this process */
#include "nic_net_common.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

const struct vhost_net_conf net_conf = {
	.pairs = NET_PAIRS, .aggregate = true, .verify = true, .offer_packed = true
};

struct frame frame;

/* ---- the port ---- */

static int mock_receive(struct nic_port *port, struct nic_packet *packet, uint32_t max)
{
	struct mock_port *mock = (struct mock_port *)port;
	uint32_t count = 0;

	while (mock->given < mock->count && count < max)
		packet[count++] = mock->waiting[mock->given++];
	port->stats.rx_frames += count;
	return (int)count;
}

static int mock_send(struct nic_port *port, const struct iovec *piece, uint32_t count,
		     const struct virtio_net_hdr *offload)
{
	struct mock_port *mock = (struct mock_port *)port;
	uint8_t *data = malloc(NIC_FRAME_MAX);
	uint32_t len = 0;

	assert_true(!offload || port->offloads);
	for (uint32_t i = 0; i < count; i++) {
		assert_true(len + piece[i].iov_len <= NIC_FRAME_MAX);
		memcpy(data + len, piece[i].iov_base, piece[i].iov_len);
		len += (uint32_t)piece[i].iov_len;
	}
	if (mock->refuse || mock->sent_count == SENT_MAX) {
		free(data);
		return mock->refuse ? mock->refuse : -EAGAIN;
	}
	mock->sent[mock->sent_count].data = data;
	mock->sent[mock->sent_count].len = len;
	mock->sent[mock->sent_count].has_offload = offload;
	if (offload)
		mock->sent[mock->sent_count].offload = *offload;
	mock->sent_count++;
	return 0;
}

const struct nic_port_ops mock_port_ops = { .name = "mock",
					    .receive = mock_receive,
					    .send = mock_send };

void net_sent_clear(struct net *net)
{
	while (net->port.sent_count > 0)
		free(net->port.sent[--net->port.sent_count].data);
}

void net_frame(struct net *net, const struct frame *waits)
{
	struct mock_port *mock = &net->port;

	if (mock->given == mock->count && mock->count > 0) {
		while (mock->count > 0)
			free(mock->waiting_data[--mock->count]);
		mock->given = 0;
	}
	assert_true(mock->count < COUNT_OF(mock->waiting));
	mock->waiting_data[mock->count] = malloc(waits->len);
	memcpy(mock->waiting_data[mock->count], waits->data, waits->len);
	mock->waiting[mock->count] =
		(struct nic_packet){ .data = mock->waiting_data[mock->count], .len = waits->len };
	mock->count++;
}

/* ---- the device ---- */

struct net *net_open(const struct vhost_net_conf *conf, uint64_t features)
{
	struct net *net = calloc(1, sizeof(*net));

	driver_open(&net->driver);
	net->port.port.ops = &mock_port_ops;
	assert_int_equal(vhost_net_new(conf, &net->port.port, &net->net), 0);
	net->front = (struct front){ .user = vhost_net_user(net->net), .driver = &net->driver };
	net->event[0] = eventfd(0, EFD_NONBLOCK);
	net->event[1] = eventfd(0, EFD_NONBLOCK);
	net->features = features;
	front_hello(&net->front, features);
	return net;
}

void net_close(struct net *net)
{
	vhost_net_check(net->net);
	vhost_net_free(net->net);
	net_sent_clear(net);
	while (net->port.count > 0)
		free(net->port.waiting_data[--net->port.count]);
	close(net->event[0]);
	close(net->event[1]);
	driver_close(&net->driver);
	free(net);
}

void net_pair_start(struct net *net, uint32_t pair, bool log)
{
	bool packed = net->features >> VIRTIO_F_RING_PACKED & 1;

	for (uint32_t i = 2 * pair; i < 2 * pair + 2; i++) {
		net->queue[i] = (struct driver_queue){ .packed = packed };
		driver_queue_init(&net->queue[i], &net->driver, NET_RING);
		assert_int_equal(front_queue_start(&net->front, i, &net->queue[i],
						   packed ? 1u << 15 | 1u << 31 : 0, net->event,
						   log),
				 0);
	}
}

void net_post(struct net *net, uint32_t pair, unsigned count, uint32_t len)
{
	struct driver_queue *queue = &net->queue[2 * pair];

	if (net->buffer_len == 0) {
		net->buffer_len = len;
		for (int i = 0; i < NET_RING; i++)
			net->buffer[2 * pair][i] = driver_alloc(&net->driver, len, 64);
	}
	assert_true(len <= net->buffer_len);
	for (unsigned i = 0; i < count; i++) {
		/* The id of the next chain names its buffer. */
		struct driver_buffer buffer = { net->buffer[2 * pair][queue->free_first], len,
						true };

		assert_true(driver_queue_add(queue, &buffer, 1) >= 0);
	}
}

bool net_take(struct net *net, uint32_t pair)
{
	struct driver_queue *queue = &net->queue[2 * pair];
	uint32_t buffers = 1, total = 0;
	uint8_t *all = (uint8_t *)&net->got.header;

	memset(&net->got.header, 0, sizeof(net->got.header));
	for (uint32_t i = 0; i < buffers; i++) {
		uint32_t len;
		int id = driver_queue_used(queue, &len);

		if (id < 0 && i == 0)
			return false;
		assert_true(id >= 0);
		assert_true(len >= (i == 0 ? 12 : 1) && len <= net->buffer_len);
		assert_true(total + len <= sizeof(net->got) - offsetof(struct got, header));
		uint8_t *from = driver_at(&net->driver, net->buffer[2 * pair][id]);
		if (i == 0) {
			memcpy(&net->got.header, from, 12);
			from += 12;
			len -= 12;
			if (net->features & NET_MERGEABLE)
				buffers = net->got.header.num_buffers;
			assert_true(buffers >= 1);
			all = net->got.data;
		}
		memcpy(all + total, from, len);
		total += len;
	}
	net->got.len = total;
	return true;
}

void net_receive(struct net *net)
{
	while (vhost_net_receive(net->net) > 0)
		vhost_net_check(net->net);
}

void net_send(struct net *net, uint32_t pair, const struct virtio_net_hdr_v1 *header,
	      const uint8_t *data, uint32_t len, uint32_t piece)
{
	struct driver_queue *queue = &net->queue[2 * pair + 1];
	struct driver_buffer buffer[64];
	/* A piece of memory of its own, until many later ones have been sent. */
	uint64_t at = DRIVER_GPA + DRIVER_SPLIT + net->sends++ % 32 * (128u << 10);
	unsigned count = 1;

	buffer[0] = (struct driver_buffer){ at, 12, false };
	memcpy(driver_at(&net->driver, at), header, 12);
	at += 4096;
	memcpy(driver_at(&net->driver, at), data, len);
	for (uint32_t done = 0; done < len; done += piece) {
		assert_true(count < 64);
		buffer[count++] =
			(struct driver_buffer){ at + done, len - done < piece ? len - done : piece,
						false };
	}
	assert_true(driver_queue_add(queue, buffer, count) >= 0);
}

struct net *net_started(uint64_t features)
{
	struct net *net = net_open(&net_conf, features);

	net_pair_start(net, 0, false);
	return net;
}

struct vhost_net_stats net_stats(const struct net *net)
{
	struct vhost_net_stats stats;

	vhost_net_stats(net->net, &stats);
	return stats;
}

void net_train(struct net *net, struct desc *desc, unsigned count, uint32_t len)
{
	for (unsigned i = 0; i < count; i++) {
		desc->payload_len = len;
		desc->id++;
		frame_build(desc, &frame);
		desc->seq += len;
		net_frame(net, &frame);
	}
}
