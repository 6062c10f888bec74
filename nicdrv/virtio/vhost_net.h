/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_net.h -- a virtio network device between a port and a front end
 *
 *   port --burst--> adapt to what the guest negotiated --> aggregator --> chains of the receive queue
 *   port <--frame-- checksum, segmentation if the port has none <-------- transmit queue
 *
 * A burst is received, aggregated, written into the guest once, reported dirty, and published with
 * one store and at most one notification. After it nothing is open: what the driver sees is all
 * there is to know for a device that starts anew.
 *
 * Threads: one thread at a time.
 */
#ifndef NICDRV_VIRTIO_VHOST_NET_H
#define NICDRV_VIRTIO_VHOST_NET_H

#include "nicdrv/device/agg.h"
#include "nicdrv/port/port.h"
#include "nicdrv/virtio/vhost_user.h"

#define VHOST_NET_BURST_MAX 256
#define VHOST_NET_CHAIN_MAX 1024   /* chains of a receive queue that are open at a time */
#define VHOST_NET_PIECE_MAX 24	   /* pieces of a chain of buffers that are used */
#define VHOST_NET_TX_PIECE_MAX 256 /* pieces of a frame a guest sends */

struct vhost_net_conf {
	uint32_t pairs;	   /* 0: 1 */
	bool aggregate;	   /* if the guest can take it */
	bool verify;	   /* checksums of what is aggregated; else it is the network's word */
	bool offer_packed; /* packed rings */
	uint32_t flow_max; /* of the aggregator; 0: its own preset */
	uint64_t seed;	   /* random: the aggregator's */
};

/* STAT(name, meaning) -- in the order they are printed */
struct vhost_net_stats {
#define STAT(name, meaning) uint64_t name;
#include "nicdrv/virtio/vhost_net_stats.def"
#undef STAT
};

struct vhost_net;

/* Sees frames as a queue sees them: what came from the guest, what goes to it before aggregation. */
typedef void (*vhost_net_tap_fn)(void *arg, bool to_guest, const struct iovec *piece,
				 uint32_t count);

/*
 * Ownership: borrows port until vhost_net_free().
 * Errors: -EINVAL conf, -ENOMEM.
 */
int vhost_net_new(const struct vhost_net_conf *conf, struct nic_port *port,
		  struct vhost_net **ret_net);
struct vhost_net *vhost_net_free(struct vhost_net *net); /* takes NULL */
struct vhost_user *vhost_net_user(struct vhost_net *net);
/* The front end is gone: the next one starts from nothing. */
void vhost_net_reset(struct vhost_net *net);
void vhost_net_tap(struct vhost_net *net, vhost_net_tap_fn tap, void *arg);

/* Is there a guest that can take frames now? If not, the port's are better left where they are. */
bool vhost_net_ready(struct vhost_net *net);

/*
 * One burst from the port to the guest. Returns how many frames it had; 0: the port is empty, or
 * vhost_net_ready() is false by now, and a kick will tell when to go on.
 * Errors: those of the port.
 */
int vhost_net_receive(struct vhost_net *net);
/* The same for frames that come from elsewhere: up to VHOST_NET_BURST_MAX. */
void vhost_net_give(struct vhost_net *net, const struct nic_packet *packet, uint32_t count);

/*
 * Frames from the guest to the port, up to budget; returns how many. Fewer than budget: the queue is
 * empty, and a kick will tell when there are more.
 */
uint32_t vhost_net_transmit(struct vhost_net *net, uint32_t pair, uint32_t budget);

void vhost_net_stats(const struct vhost_net *net, struct vhost_net_stats *ret_stats);
/* Of all aggregators that the pair has had. */
void vhost_net_agg_stats(const struct vhost_net *net, uint32_t pair,
			 struct nic_agg_stats *ret_stats);

void vhost_net_check(const struct vhost_net *net);

#endif
