/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_net.c -- a virtio network device between a port and a front end
 *
 * Invariants (vhost_net_check):
 *   1. between calls no chain of a receive queue is popped and not pushed
 */
#include "nicdrv/virtio/vhost_net.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "nicdrv/virtio/vhost_net_private.h"
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <unistd.h>

#define BIT(n) (1ull << (n))

_Static_assert(sizeof(struct nic_agg_stats) == (10 + NIC_CLOSE_MAX) * sizeof(uint64_t),
	       "a row of counts");

/*
 * CTRL_* and MQ are offered because they need nothing of a back end: the front end owns the control
 * queue, and tells us by SET_VRING_ENABLE how many pairs are used.
 */
static const uint64_t offered_always =
	BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ANY_LAYOUT) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
	BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CSUM) |
	BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN) |
	BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |
	BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VIRTIO_NET_F_STATUS) |
	BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) |
	BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);

static void queue_changed(void *arg, uint32_t index)
{
	struct vhost_net *net = arg;
	struct vhost_queue *queue = &net->user.queue[index];

	/* Nobody has to tell us of buffers, until they run out. */
	if (index % 2 == 0 && vhost_queue_serves(queue))
		virtq_kick_disable(&queue->vq);
}

static void queue_drain(void *arg, uint32_t index)
{
	struct vhost_net *net = arg;

	if (index % 2 == 0)
		vhost_net_rx_finish(&net->rx[index / 2]);
}

static void features_changed(void *arg)
{
	struct vhost_net *net = arg;

	for (uint32_t i = 0; i < net->user.pairs; i++) {
		struct rx_queue *rx = &net->rx[i];

		/* While queues run only the log has changed. */
		if (rx->queue->vq.running)
			return;
		vhost_net_agg_stats(net, i, &rx->agg_before);
		if (vhost_net_rx_conf(rx) < 0)
			log_warning("aggregation is off: %s", error_text());
	}
}

/* A reverse ARP from the guest's address, so that switches learn where it is. */
static void announce(void *arg, const uint8_t mac[6])
{
	struct vhost_net *net = arg;
	static const uint8_t rest[] = { 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3 };
	uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct iovec piece = { frame, sizeof(frame) };

	memcpy(frame + 6, mac, 6);
	memcpy(frame + 12, rest, sizeof(rest));
	memcpy(frame + 22, mac, 6);
	memcpy(frame + 32, mac, 6);
	if (net->port->ops->send(net->port, &piece, 1, NULL) < 0)
		net->stats.tx_lost++;
}

static const struct vhost_user_ops user_ops = {
	.queue_changed = queue_changed,
	.queue_drain = queue_drain,
	.features_changed = features_changed,
	.announce = announce,
};

int vhost_net_new(const struct vhost_net_conf *conf, struct nic_port *port,
		  struct vhost_net **ret_net)
{
	uint64_t offered = offered_always;
	struct vhost_net *net;
	int err;

	net = alloc_zero(sizeof(*net));
	if (!net)
		return error_set(-ENOMEM, "no memory for a network device");
	net->conf = *conf;
	net->port = port;
	net->appetite = 1;
	if (net->conf.pairs == 0)
		net->conf.pairs = 1;
	if (net->conf.pairs > 1)
		offered |= BIT(VIRTIO_NET_F_MQ);
	if (conf->offer_packed)
		offered |= BIT(VIRTIO_F_RING_PACKED);
	err = vhost_user_init(&net->user, &user_ops, net, offered, net->conf.pairs);
	if (err < 0)
		goto free_net;
	net->scratch = alloc_array(2, NIC_FRAME_MAX);
	if (!net->scratch)
		err = error_set(-ENOMEM, "no memory for a network device");
	for (uint32_t i = 0; i < net->conf.pairs && err == 0; i++)
		err = vhost_net_rx_init(net, i);
	if (err < 0) {
		vhost_net_free(net);
		return err;
	}
	*ret_net = net;
	return 0;

free_net:
	free(net);
	return err;
}

struct vhost_net *vhost_net_free(struct vhost_net *net)
{
	if (!net)
		return NULL;
	vhost_user_fini(&net->user);
	for (uint32_t i = 0; i < net->user.pairs; i++)
		vhost_net_rx_fini(&net->rx[i]);
	free(net->scratch);
	free(net);
	return NULL;
}

void vhost_net_reset(struct vhost_net *net)
{
	vhost_user_reset(&net->user);
	net->appetite = 1;
	features_changed(net);
}

struct vhost_user *vhost_net_user(struct vhost_net *net)
{
	return &net->user;
}

void vhost_net_tap(struct vhost_net *net, vhost_net_tap_fn tap, void *arg)
{
	net->tap = tap;
	net->tap_arg = arg;
}

void vhost_net_broken(struct vhost_net *net, struct vhost_queue *queue)
{
	uint64_t one = 1;

	if (queue->broken_told)
		return;
	queue->broken_told = true;
	net->stats.broken++;
	log_warning("a guest's virtqueue is given up: %s", error_text());
	if (queue->error >= 0 && write(queue->error, &one, sizeof(one)) < 0)
		return;
}

/* Chains there are for a burst, in the queue that has most. */
static uint32_t room(struct vhost_net *net)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < net->user.pairs; i++) {
		struct vhost_queue *queue = net->rx[i].queue;
		uint32_t here;

		if (!vhost_queue_serves(queue))
			continue;
		here = virtq_room(&queue->vq, VHOST_NET_BURST_MAX);
		most = here > most ? here : most;
	}
	return most;
}

/* No buffers: the driver is asked to say when there are some. */
bool vhost_net_ready(struct vhost_net *net)
{
	bool more = false;

	if (room(net) > 0)
		return true;
	for (uint32_t i = 0; i < net->user.pairs; i++) {
		struct vhost_queue *queue = net->rx[i].queue;

		if (vhost_queue_serves(queue) && virtq_kick_enable(&queue->vq))
			more = true;
	}
	return more;
}

/* Up at once, down slowly: large frames come in groups. */
static void appetite_learn(struct vhost_net *net, uint64_t buffers, uint64_t frames)
{
	uint64_t per =
		frames > 0 && frames <= VHOST_NET_BURST_MAX ? (buffers + frames - 1) / frames : 1;

	if (per < net->appetite)
		per = (7ull * net->appetite + per) / 8;
	net->appetite = per > 0 ? (uint32_t)per : 1;
}

int vhost_net_receive(struct vhost_net *net)
{
	struct nic_packet packet[VHOST_NET_BURST_MAX];
	uint64_t buffers = net->stats.rx_buffers, full = net->stats.rx_full;
	uint32_t chains = room(net);
	int count;

	if (chains == 0)
		return 0;
	/* Frames that take more chains than there are would be lost; at the port they wait. */
	chains = chains > net->appetite ? chains / net->appetite : 1;
	count = net->port->ops->receive(net->port, packet, chains);
	if (count > 0) {
		vhost_net_give(net, packet, (uint32_t)count);
		appetite_learn(net, net->stats.rx_buffers - buffers,
			       (uint64_t)count - (net->stats.rx_full - full));
	}
	return count;
}

void vhost_net_stats(const struct vhost_net *net, struct vhost_net_stats *ret_stats)
{
	*ret_stats = net->stats;
	for (uint32_t i = 0; i < net->user.pairs; i++) {
		struct nic_agg_stats agg;

		vhost_net_agg_stats(net, i, &agg);
		ret_stats->rx_dropped += agg.dropped;
	}
}

void vhost_net_agg_stats(const struct vhost_net *net, uint32_t pair,
			 struct nic_agg_stats *ret_stats)
{
	const struct rx_queue *rx = &net->rx[pair];
	struct nic_agg_stats sum = rx->agg_before;
	uint64_t *to = (uint64_t *)&sum;

	if (rx->agg)
		for (size_t i = 0; i < sizeof(sum) / sizeof(*to); i++)
			to[i] += ((const uint64_t *)nic_agg_stats(rx->agg))[i];
	*ret_stats = sum;
}

void vhost_net_check(const struct vhost_net *net)
{
	vhost_user_check(&net->user);
	for (uint32_t i = 0; i < net->user.pairs; i++) {
		const struct rx_queue *rx = &net->rx[i];
		uint32_t free_count = 0;

		FARBUS_ASSERT(rx->spare == RX_NONE);
		for (uint32_t k = rx->free; k != RX_NONE; k = rx->chain[k].next)
			free_count++;
		FARBUS_ASSERT(free_count == VHOST_NET_CHAIN_MAX);
		if (rx->agg)
			nic_agg_check(rx->agg);
	}
}
