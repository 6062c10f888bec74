/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.c -- a port and the socket of the front end that uses it
 *
 * The port is listened to only while a guest has buffers: else frames wait where the kernel keeps
 * them, and when that is full the kernel drops and counts. A guest's first buffers find the port
 * empty: what came before it was there is not for it.
 */
#include "apps/farbus-nic/device.h"

#include "base/clock.h"
#include "base/counter.h"
#include "base/error.h"
#include "base/log.h"
#include "nicdrv/port/pcap_file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BURSTS 2	/* of one turn */
#define TX_BUDGET 256	/* frames of one turn */
#define STALE_MAX 65536 /* frames that are thrown away for a new guest */

static void captured(void *arg, bool to_guest, const struct iovec *piece, uint32_t count)
{
	struct device *device = arg;

	(void)to_guest;
	if (!device->capture || pcap_writer_add(device->capture, clock_wall_ns(), piece, count))
		return;
	log_warning("the capture file cannot be written any more: it ends here");
	fclose(device->capture);
	device->capture = NULL;
}

/* ---- receiving and sending ---- */

static void port_listen(struct device *device, bool on)
{
	if (on == device->port_watched || (on && device->port_failed))
		return;
	if (on)
		on = loop_add(device->loop, &device->port_watch) == 0;
	else
		loop_remove(device->loop, &device->port_watch);
	device->port_watched = on;
}

static void port_lost(struct device *device)
{
	log_error("port %s is given up: %s", device->options->port, error_text());
	device->port_failed = true;
	port_listen(device, false);
}

/* What farbus-stat shows, of all devices of the process together. */
static void count(struct device *device)
{
	struct vhost_net_stats now, *old = &device->counted;

	vhost_net_stats(device->net, &now);
	counter_add(COUNTER_nic_received, now.rx_frames - old->rx_frames);
	counter_add(COUNTER_nic_packets, now.rx_packets - old->rx_packets);
	counter_add(COUNTER_nic_sent, now.tx_frames - old->tx_frames);
	counter_add(COUNTER_nic_dropped, now.rx_dropped + now.rx_bad + now.tx_bad + now.tx_lost -
						 old->rx_dropped - old->rx_bad - old->tx_bad -
						 old->tx_lost);
	*old = now;
}

static void port_ready(void *arg)
{
	struct device *device = arg;
	int got = 1;

	for (int i = 0; i < BURSTS && got > 0; i++)
		got = vhost_net_receive(device->net);
	count(device);
	if (got < 0) {
		port_lost(device);
		return;
	}
	if (!vhost_net_ready(device->net) || device->port->ended)
		port_listen(device, false);
}

static void port_discard(struct device *device)
{
	struct nic_packet packet[VHOST_NET_BURST_MAX];
	uint32_t gone = 0;
	int count;

	/* A file is there from its beginning. */
	if (device->port->ops == &nic_port_pcap)
		return;
	do {
		count = device->port->ops->receive(device->port, packet, VHOST_NET_BURST_MAX);
		gone += count > 0 ? (uint32_t)count : 0;
	} while (count > 0 && gone < STALE_MAX);
}

static void transmit(struct device *device, uint32_t pair)
{
	uint32_t done = vhost_net_transmit(device->net, pair, TX_BUDGET);

	count(device);
	if (done == TX_BUDGET)
		device->busy = true;
}

bool device_continue(struct device *device)
{
	if (!device->busy)
		return false;
	device->busy = false;
	for (uint32_t i = 0; i < vhost_net_user(device->net)->pairs; i++)
		transmit(device, i);
	return true;
}

static void kicked(void *arg)
{
	const struct device_kick *kick = arg;
	struct device *device = kick->device;
	uint32_t index = kick->index;

	/* The counter is not read: it is the front end's, which could make that wait. */
	if (index % 2 == 1) {
		transmit(device, index / 2);
	} else if (vhost_net_ready(device->net)) {
		/* There is no need to be told of each buffer. */
		virtq_kick_disable(&vhost_net_user(device->net)->queue[index].vq);
		port_listen(device, !device->port->ended);
	}
}

/* ---- the front end ---- */

static void kick_forget(struct device *device, uint32_t index)
{
	struct watch *kick = &device->kick[index];

	if (kick->fd < 0)
		return;
	loop_remove(device->loop, kick);
	close(kick->fd);
	kick->fd = -1;
}

static void kick_watch(struct device *device, uint32_t index)
{
	const struct vhost_queue *queue = &vhost_net_user(device->net)->queue[index];
	struct watch *kick = &device->kick[index];

	kick_forget(device, index);
	if (!vhost_queue_serves(queue))
		return;
	/* Our own copy: the front end's may be closed while we listen. */
	kick->fd = fcntl(queue->kick, F_DUPFD_CLOEXEC, 3);
	if (kick->fd >= 0 && loop_add(device->loop, kick) == 0)
		return;
	log_error("virtqueue %u: its kicks cannot be listened to: %s", index, strerror(errno));
}

/* Queues have started or stopped. */
static void queues_follow(struct device *device)
{
	struct vhost_user *user = vhost_net_user(device->net);
	bool serving = false;

	for (uint32_t i = 0; i < 2 * user->pairs; i++) {
		kick_watch(device, i);
		if (i % 2 == 0 && vhost_queue_serves(&user->queue[i]))
			serving = true;
	}
	if (serving && !device->serving)
		port_discard(device);
	device->serving = serving;
	/* Chains may be there whose kick came before we listened. */
	device->busy = true;
	port_listen(device, serving && vhost_net_ready(device->net) && !device->port->ended);
}

/* error_text() says why. */
static void front_gone(struct device *device, int err)
{
	if (err == -ECONNRESET)
		log_info("%s: %s", device->options->socket, error_text());
	else
		log_warning("%s: the front end is hung up on: %s", device->options->socket,
			    error_text());
	loop_remove(device->loop, &device->connection);
	vhost_socket_hangup(&device->socket);
	device->connection.fd = -1;
	vhost_net_reset(device->net);
	queues_follow(device);
	loop_add(device->loop, &device->listener);
}

static void connection_ready(void *arg)
{
	struct device *device = arg;
	struct vhost_user *user = vhost_net_user(device->net);
	int err = vhost_socket_read(&device->socket, user);

	if (err == 0 && (remap_lost(&user->guest) || remap_lost(&user->front)))
		err = error_set(-EPROTO, "the front end took its memory away");
	if (err < 0)
		front_gone(device, err);
	else
		queues_follow(device);
}

static void listener_ready(void *arg)
{
	struct device *device = arg;
	int err;

	if (!vhost_socket_accept(&device->socket))
		return;
	/* The next one waits until this one is gone. */
	loop_remove(device->loop, &device->listener);
	device->connections++;
	device->connection.fd = device->socket.fd;
	log_info("%s: a front end has come", device->options->socket);
	err = loop_add(device->loop, &device->connection);
	if (err < 0)
		front_gone(device, err);
}

/* ---- life ---- */

static void watches_init(struct device *device)
{
	device->listener = (struct watch){ -1, listener_ready, device, false };
	device->connection = (struct watch){ -1, connection_ready, device, false };
	device->port_watch = (struct watch){ -1, port_ready, device, false };
	for (uint32_t i = 0; i < VHOST_QUEUE_MAX; i++) {
		device->kick_arg[i] = (struct device_kick){ device, i };
		device->kick[i] = (struct watch){ -1, kicked, &device->kick_arg[i], true };
	}
}

int device_open(struct device *device, const struct options *options,
		const struct options_device *own, struct loop *loop)
{
	int err;

	memset(device, 0, sizeof(*device));
	device->options = own;
	device->loop = loop;
	device->socket.listener = device->socket.fd = -1;
	watches_init(device);
	err = nic_port_open(own->port, &device->port);
	if (err < 0)
		return err;
	device->port_watch.fd = device->port->fd;
	err = vhost_net_new(&options->net, device->port, &device->net);
	if (err < 0)
		goto close_device;
	if (options->capture) {
		err = pcap_writer_open(options->capture, &device->capture);
		if (err < 0)
			goto close_device;
		vhost_net_tap(device->net, captured, device);
	}
	err = vhost_socket_open(&device->socket, own->socket);
	if (err < 0)
		goto close_device;
	device->listener.fd = device->socket.listener;
	err = loop_add(loop, &device->listener);
	if (err == 0)
		return 0;

close_device:
	device_close(device);
	return err;
}

void device_close(struct device *device)
{
	for (uint32_t i = 0; i < VHOST_QUEUE_MAX; i++)
		kick_forget(device, i);
	port_listen(device, false);
	loop_remove(device->loop, &device->connection);
	loop_remove(device->loop, &device->listener);
	vhost_socket_close(&device->socket);
	device->net = vhost_net_free(device->net);
	device->port = nic_port_close(device->port);
	if (device->capture && fclose(device->capture) != 0)
		log_warning("the capture file is not complete: %s", strerror(errno));
	device->capture = NULL;
}

/* ---- stats ---- */

static void put(json_t *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *port_json(struct device *device)
{
	struct nic_port_stats stats;
	json_t *object = json_object();

	nic_port_stats_get(device->port, &stats);
	json_object_set_new(object, "name", json_string(device->options->port));
	put(object, "rx_frames", stats.rx_frames);
	put(object, "rx_bytes", stats.rx_bytes);
	put(object, "rx_lost", stats.rx_lost);
	put(object, "tx_frames", stats.tx_frames);
	put(object, "tx_bytes", stats.tx_bytes);
	put(object, "tx_lost", stats.tx_lost);
	return object;
}

static json_t *net_json(struct device *device)
{
	struct vhost_net_stats stats;
	json_t *object = json_object();

	vhost_net_stats(device->net, &stats);
#define STAT(name, meaning) put(object, #name, stats.name);
#include "nicdrv/virtio/vhost_net_stats.def"
#undef STAT
	return object;
}

static json_t *agg_json(const struct nic_agg_stats *stats)
{
	json_t *object = json_object(), *close = json_object();

	put(object, "packets", stats->packets);
	put(object, "published", stats->published);
	put(object, "merged", stats->merged);
	put(object, "other", stats->other);
	put(object, "checksum_bad", stats->checksum_bad);
	put(object, "dropped", stats->dropped);
	put(object, "evicted", stats->evicted);
	for (unsigned i = 0; i < NIC_CLOSE_MAX; i++)
		if (stats->close[i])
			put(close, nic_close_name(i), stats->close[i]);
	json_object_set_new(object, "close", close);
	return object;
}

static json_t *queue_json(struct device *device, uint32_t pair)
{
	struct vhost_user *user = vhost_net_user(device->net);
	json_t *object = json_object();
	struct nic_agg_stats agg;

	vhost_net_agg_stats(device->net, pair, &agg);

	put(object, "rx_calls", user->queue[2 * pair].calls);
	put(object, "tx_calls", user->queue[2 * pair + 1].calls);
	json_object_set_new(object, "rx_running",
			    json_boolean(vhost_queue_serves(&user->queue[2 * pair])));
	if (agg.packets > 0)
		json_object_set_new(object, "aggregator", agg_json(&agg));
	return object;
}

json_t *device_stats(struct device *device)
{
	struct vhost_user *user = vhost_net_user(device->net);
	json_t *object = json_object(), *queues = json_array();

	json_object_set_new(object, "socket", json_string(device->options->socket));
	put(object, "connections", device->connections);
	json_object_set_new(object, "connected", json_boolean(device->socket.fd >= 0));
	json_object_set_new(object, "port", port_json(device));
	json_object_set_new(object, "net", net_json(device));
	for (uint32_t i = 0; i < user->pairs; i++)
		json_array_append_new(queues, queue_json(device, i));
	json_object_set_new(object, "queues", queues);
	put(object, "dirty_pages", user->report.pages);
	put(object, "dirty_overflows", user->report.overflows);
	return object;
}
