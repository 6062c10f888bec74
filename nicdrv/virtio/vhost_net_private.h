/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost_net_private.h -- between the parts of the network device */
#ifndef NICDRV_VIRTIO_VHOST_NET_PRIVATE_H
#define NICDRV_VIRTIO_VHOST_NET_PRIVATE_H

#include "nicdrv/virtio/vhost_net.h"

#define RX_NONE UINT32_MAX

/* A chain of the receive queue that is being filled, or spare. */
struct rx_chain {
	struct virtq_chain chain;
	uint32_t next;	/* of the same aggregate, or of the spare ones */
	uint32_t fill;	/* bytes written */
	uint32_t piece; /* where the next byte goes: piece, and offset in it */
	uint32_t off;
	struct virtq_piece at[VHOST_NET_PIECE_MAX];
};

/* An open aggregate; it lives in the aggregator's slot. */
struct rx_open {
	uint32_t first, last; /* chains */
	uint32_t count;	      /* of chains; 0: none yet */
	uint32_t reserved;
};
_Static_assert(sizeof(struct rx_open) <= sizeof(struct nic_slot), "an open aggregate is its slot");

struct rx_queue {
	struct vhost_net *net; /* borrowed */
	struct vhost_queue *queue;
	struct nic_agg *agg;	/* owned; NULL: frames pass alone */
	struct rx_chain *chain; /* owned: VHOST_NET_CHAIN_MAX */
	uint32_t free;		/* list of records that have no chain */
	uint32_t spare;		/* popped, given back; first: the one popped first */
	struct rx_open undo;	/* before the last place ... */
	uint32_t undo_fill, undo_piece, undo_off; /* ... and where its last chain was */
	uint32_t header_len;
	bool mergeable;
	struct nic_agg_stats agg_before; /* of aggregators that were replaced */
};

struct vhost_net {
	struct vhost_user user;
	struct vhost_net_conf conf;
	struct nic_port *port; /* borrowed */
	struct rx_queue rx[VHOST_PAIR_MAX];
	struct vhost_net_stats stats;
	vhost_net_tap_fn tap;
	void *tap_arg;
	uint64_t now_ns;   /* of the burst */
	uint32_t appetite; /* chains that a frame took of late; 1 at least */
	uint8_t *scratch;  /* owned: two frames on their way through software offloads */
};

/* nic_sink_ops of a struct rx_queue. */
extern const struct nic_sink_ops vhost_net_sink_ops;

int vhost_net_rx_init(struct vhost_net *net, uint32_t pair); /* -ENOMEM */
void vhost_net_rx_fini(struct rx_queue *rx);
/* Features have been set: a new aggregator, or none. Errors: -ENOMEM. */
int vhost_net_rx_conf(struct rx_queue *rx);
/* Closes what is open, gives back what is spare, publishes. */
void vhost_net_rx_finish(struct rx_queue *rx);
/* The front end is gone: forgets chains without touching the ring. */
void vhost_net_rx_forget(struct rx_queue *rx);

static inline bool vhost_net_has(const struct vhost_net *net, unsigned int feature)
{
	return vhost_user_feature(&net->user, feature);
}

/* Tells the front end, once. */
void vhost_net_broken(struct vhost_net *net, struct vhost_queue *queue);

#endif
