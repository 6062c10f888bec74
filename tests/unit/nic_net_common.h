/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_net_common.h -- a network device with a guest and a port that are both in this process
 */
#ifndef TESTS_UNIT_NIC_NET_COMMON_H
#define TESTS_UNIT_NIC_NET_COMMON_H

#include "addrmap_common.h"
#include "nic_common.h"
#include "nic_front.h"
#include "nicdrv/virtio/vhost_net.h"

#define NET_PAIRS 2
#define NET_RING 128
#define SENT_MAX 128

/* A port that gives what the test puts in, and keeps what is sent. */
struct mock_port {
	struct nic_port port;
	struct nic_packet waiting[256];
	uint8_t *waiting_data[256]; /* owned */
	uint32_t count, given;
	struct {
		uint8_t *data; /* owned */
		uint32_t len;
		bool has_offload;
		struct virtio_net_hdr offload;
	} sent[SENT_MAX];
	uint32_t sent_count;
	int refuse; /* what send() answers; 0: it takes all */
};

/* A packet as the guest got it. */
struct got {
	struct virtio_net_hdr_v1 header;
	uint32_t len; /* without that */
	uint8_t data[NIC_FRAME_MAX + 4096];
};

struct net {
	struct driver driver;
	struct mock_port port;
	struct vhost_net *net;
	struct front front;
	struct driver_queue queue[2 * NET_PAIRS];
	uint64_t buffer[2 * NET_PAIRS][NET_RING]; /* guest-physical, by id */
	uint32_t buffer_len;
	uint64_t sends;
	int event[2];
	uint64_t features;
	struct got got;
};

extern const struct nic_port_ops mock_port_ops;

extern const struct vhost_net_conf net_conf; /* that of most tests */
extern struct frame frame;		     /* the one that was built last */

/* A device and a front end that has said hello; no queue runs. */
struct net *net_open(const struct vhost_net_conf *conf, uint64_t features);
void net_close(struct net *net);
/* With net_conf, and a pair that runs. */
struct net *net_started(uint64_t features);
struct vhost_net_stats net_stats(const struct net *net);
/* The next count packets of a flow, len bytes each, wait at the port. */
void net_train(struct net *net, struct desc *desc, unsigned count, uint32_t len);
/* Both queues of a pair, the receive queue without buffers. */
void net_pair_start(struct net *net, uint32_t pair, bool log);
/* count buffers of len bytes for receiving. */
void net_post(struct net *net, uint32_t pair, unsigned count, uint32_t len);
/* The next packet that the guest got; false: none. net->got. */
bool net_take(struct net *net, uint32_t pair);
/* A frame waits at the port; the bytes are copied. */
void net_frame(struct net *net, const struct frame *waits);
/* Receives until the port is empty or the guest takes no more. */
void net_receive(struct net *net);
/* The guest sends: a virtio header, then the frame in pieces of piece bytes. */
void net_send(struct net *net, uint32_t pair, const struct virtio_net_hdr_v1 *header,
	      const uint8_t *data, uint32_t len, uint32_t piece);
void net_sent_clear(struct net *net);

#define NET_TSO                                                              \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_NET_F_GUEST_CSUM |      \
	 1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6 | \
	 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |        \
	 1ull << VIRTIO_NET_F_HOST_TSO6)
#define NET_MERGEABLE (1ull << VIRTIO_NET_F_MRG_RXBUF)

#endif
