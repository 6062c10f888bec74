/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_net_tx.c -- the transmit queue: frames from a guest to the port
 *
 * A port with offloads gets the guest's memory as it is, and copies it once. For others the frame is
 * copied here first and then made whole; so nothing that was checked can change under our eyes.
 */
#include "base/assert.h"
#include "nicdrv/virtio/offload.h"
#include "nicdrv/virtio/vhost_net_private.h"

/* A frame being sent: pieces without the virtio header. */
struct frame {
	struct virtio_net_hdr header;
	struct iovec piece[VHOST_NET_TX_PIECE_MAX];
	uint32_t count, len;
};

static uint32_t header_len(const struct vhost_net *net)
{
	return vhost_net_has(net, VIRTIO_NET_F_MRG_RXBUF) ||
			       vhost_net_has(net, VIRTIO_F_VERSION_1) ?
		       12 :
		       10;
}

/* Takes the virtio header off the chain's front. False: the chain is shorter. */
static bool frame_make(const struct virtq_piece *piece, const struct virtq_chain *chain,
		       uint32_t skip, struct frame *frame)
{
	uint8_t header[12] = { 0 };
	uint32_t got = 0;

	frame->count = frame->len = 0;
	for (uint32_t i = 0; i < chain->read_count; i++) {
		uint32_t part = piece[i].len < skip - got ? piece[i].len : skip - got;

		memcpy(header + got, piece[i].at, part);
		got += part;
		if (part == piece[i].len)
			continue;
		frame->piece[frame->count++] =
			(struct iovec){ (uint8_t *)piece[i].at + part, piece[i].len - part };
		frame->len += piece[i].len - part;
	}
	memcpy(&frame->header, header, sizeof(frame->header));
	return got == skip && frame->len >= ETH_LEN && frame->len <= NIC_FRAME_MAX;
}

/* What the guest says of its frame. */
static bool header_sound(const struct frame *frame)
{
	const struct virtio_net_hdr *header = &frame->header;

	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	    (uint32_t)header->csum_start + header->csum_offset + 2 > frame->len)
		return false;
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	return header->gso_size > 0 && header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

static uint32_t gather(const struct frame *frame, uint8_t *to)
{
	uint32_t len = 0;

	for (uint32_t i = 0; i < frame->count; i++) {
		memcpy(to + len, frame->piece[i].iov_base, frame->piece[i].iov_len);
		len += (uint32_t)frame->piece[i].iov_len;
	}
	return len;
}

static int port_send(struct vhost_net *net, const struct iovec *piece, uint32_t count,
		     const struct virtio_net_hdr *offload)
{
	int err = net->port->ops->send(net->port, piece, count, offload);
	if (err < 0)
		net->stats.tx_lost++;
	return err;
}

static int emit_frame(void *arg, const struct iovec piece[2])
{
	/* A lost frame is counted; the others are sent all the same. */
	port_send(arg, piece, piece[1].iov_len ? 2 : 1, NULL);
	return 0;
}

static void send_whole(struct vhost_net *net, const struct frame *frame)
{
	const struct virtio_net_hdr *header = &frame->header;
	struct iovec piece = { net->scratch, gather(frame, net->scratch) };

	net->stats.tx_adapted++;
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		if (offload_segment(net->scratch, frame->len, header->gso_size, emit_frame, net) <
		    0)
			net->stats.tx_bad++;
		return;
	}
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		offload_csum(net->scratch, frame->len, header->csum_start, header->csum_offset);
	port_send(net, &piece, 1, NULL);
}

static void frame_send(struct vhost_net *net, const struct frame *frame)
{
	bool work = frame->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ||
		    frame->header.gso_type != VIRTIO_NET_HDR_GSO_NONE;

	net->stats.tx_frames++;
	net->stats.tx_bytes += frame->len;
	if (net->tap)
		net->tap(net->tap_arg, false, frame->piece, frame->count);
	if (frame->count > NIC_PORT_PIECE_MAX || (work && !net->port->offloads))
		send_whole(net, frame);
	else
		port_send(net, frame->piece, frame->count, work ? &frame->header : NULL);
}

static void chain_send(struct vhost_net *net, const struct virtq_piece *piece,
		       const struct virtq_chain *chain)
{
	struct frame frame;

	if (chain->cut || chain->write_count > 0 ||
	    !frame_make(piece, chain, header_len(net), &frame) || !header_sound(&frame))
		net->stats.tx_bad++;
	else
		frame_send(net, &frame);
}

uint32_t vhost_net_transmit(struct vhost_net *net, uint32_t pair, uint32_t budget)
{
	struct vhost_queue *queue = &net->user.queue[2 * pair + 1];
	struct virtq_piece piece[VHOST_NET_TX_PIECE_MAX];
	struct virtq_chain chain;
	uint32_t done = 0;
	int got = 0;

	FARBUS_ASSERT(pair < net->user.pairs);
	if (!vhost_queue_serves(queue))
		return 0;
	virtq_kick_disable(&queue->vq);
	while (done < budget) {
		got = virtq_pop(&queue->vq, piece, VHOST_NET_TX_PIECE_MAX, &chain);
		/* Before it sleeps: chains that came since the last look are ours, too. */
		if (got == 0 && virtq_kick_enable(&queue->vq)) {
			virtq_kick_disable(&queue->vq);
			continue;
		}
		if (got != 1)
			break;
		chain_send(net, piece, &chain);
		virtq_push(&queue->vq, &chain, 0);
		if (++done % VHOST_NET_BURST_MAX == 0)
			vhost_queue_publish(queue);
	}
	vhost_queue_publish(queue);
	if (got < 0)
		vhost_net_broken(net, queue);
	return done;
}
