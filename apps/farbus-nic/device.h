/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.h -- a port and the socket of the front end that uses it
 *
 * Threads: owner thread.
 */
#ifndef APPS_FARBUS_NIC_DEVICE_H
#define APPS_FARBUS_NIC_DEVICE_H

#include "apps/farbus-nic/loop.h"
#include "apps/farbus-nic/options.h"
#include "nicdrv/virtio/vhost_net.h"
#include "nicdrv/virtio/vhost_socket.h"
#include <jansson.h>
#include <stdio.h>

struct device_kick {
	struct device *device; /* borrowed */
	uint32_t index;
};

struct device {
	const struct options_device *options; /* borrowed */
	struct loop *loop;		      /* borrowed */
	struct nic_port *port;		      /* owned */
	struct vhost_net *net;		      /* owned */
	struct vhost_socket socket;
	FILE *capture; /* owned; NULL: none */
	struct watch listener, connection, port_watch;
	struct watch kick[VHOST_QUEUE_MAX]; /* their descriptors are ours: copies */
	struct device_kick kick_arg[VHOST_QUEUE_MAX];
	bool port_watched, serving, busy; /* busy: a queue has more than one budget */
	bool port_failed;
	uint64_t connections;
	struct vhost_net_stats counted; /* as far as counters have it */
};

/*
 * Ownership: borrows options, defaults and loop until device_close().
 * Errors: those of nic_port_open(), vhost_socket_open(), pcap_writer_open().
 */
int device_open(struct device *device, const struct options *options,
		const struct options_device *own, struct loop *loop);
/* What is in the guest's queues is published before the front end loses us. */
void device_close(struct device *device);

/* Does what was left for lack of budget. False: nothing was. */
bool device_continue(struct device *device);

/* Borrowed references are not kept. NULL: no memory. */
json_t *device_stats(struct device *device);

#endif
