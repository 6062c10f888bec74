/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_net_rx.c -- the receive queue as a sink of the aggregator
 *
 *   | virtio header | frame headers, payload | payload ...     chain | chain | ...
 *
 * Bytes are copied once, from the port's memory to the guest's, their checksum on the way. Room for
 * the virtio header is left in the first chain and filled when the aggregate is published, because
 * only then its segments and buffers are known.
 *
 * Invariants:
 *   1. a chain that was popped is in an open aggregate, or spare
 *   2. spare chains are the last ones that were popped, so that they can be given back to the ring:
 *      who needs a chain takes the spare one popped first, and pops only when there is none
 *   3. vhost_net_rx_finish() leaves nothing popped and not pushed
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "nicdrv/virtio/offload.h"
#include "nicdrv/virtio/vhost_net_private.h"
#include <errno.h>
#include <stdlib.h>

int vhost_net_rx_init(struct vhost_net *net, uint32_t pair)
{
	struct rx_queue *rx = &net->rx[pair];

	rx->net = net;
	rx->queue = &net->user.queue[2 * pair];
	rx->chain = alloc_array(VHOST_NET_CHAIN_MAX, sizeof(*rx->chain));
	if (!rx->chain)
		return error_set(-ENOMEM, "no memory for a receive queue");
	vhost_net_rx_forget(rx);
	return 0;
}

void vhost_net_rx_fini(struct rx_queue *rx)
{
	rx->agg = nic_agg_free(rx->agg);
	free(rx->chain);
	rx->chain = NULL;
}

void vhost_net_rx_forget(struct rx_queue *rx)
{
	for (uint32_t i = 0; i < VHOST_NET_CHAIN_MAX; i++)
		rx->chain[i].next = i + 1 < VHOST_NET_CHAIN_MAX ? i + 1 : RX_NONE;
	rx->free = 0;
	rx->spare = RX_NONE;
}

static struct rx_open open_get(const struct nic_slot *slot)
{
	struct rx_open open;

	memcpy(&open, slot, sizeof(open));
	return open;
}

static void open_put(struct nic_slot *slot, const struct rx_open *open)
{
	memcpy(slot, open, sizeof(*open));
}

/* ---- chains ---- */

static void record_free(struct rx_queue *rx, uint32_t index)
{
	rx->chain[index].next = rx->free;
	rx->free = index;
}

/* RX_NONE: the ring is empty, or broken. */
static uint32_t chain_pop(struct rx_queue *rx)
{
	uint32_t index = rx->free;
	struct rx_chain *chain;
	int got;

	if (index == RX_NONE)
		return RX_NONE;
	chain = &rx->chain[index];
	got = virtq_pop(&rx->queue->vq, chain->at, VHOST_NET_PIECE_MAX, &chain->chain);
	if (got == 1 && chain->chain.read_count > 0) {
		rx->queue->vq.broken = true;
		got = error_set(-EPROTO, "the driver broke its virtqueue: a buffer to read for a "
					 "frame to receive");
	}
	if (got != 1)
		return RX_NONE;
	rx->free = chain->next;
	return index;
}

static uint32_t chain_take(struct rx_queue *rx)
{
	uint32_t index = rx->spare;

	if (index != RX_NONE)
		rx->spare = rx->chain[index].next;
	else
		index = chain_pop(rx);
	if (index == RX_NONE)
		return RX_NONE;
	rx->chain[index].next = RX_NONE;
	rx->chain[index].fill = rx->chain[index].piece = rx->chain[index].off = 0;
	return index;
}

/* Puts a list in front of the spare ones; it was popped before them. */
static void chains_spare(struct rx_queue *rx, uint32_t first)
{
	uint32_t last = first;

	if (first == RX_NONE)
		return;
	while (rx->chain[last].next != RX_NONE)
		last = rx->chain[last].next;
	rx->chain[last].next = rx->spare;
	rx->spare = first;
}

static uint32_t chain_room(const struct rx_chain *chain)
{
	return chain->chain.write_len - chain->fill;
}

static bool open_grow(struct rx_queue *rx, struct rx_open *open)
{
	uint32_t index;

	if (open->count > 0 && !rx->mergeable)
		return false;
	index = chain_take(rx);
	if (index == RX_NONE)
		return false;
	if (open->count++ == 0)
		open->first = index;
	else
		rx->chain[open->last].next = index;
	open->last = index;
	return true;
}

/* ---- bytes ---- */

/* Bytes on their way; from NULL: room that is left for later. */
struct source {
	const uint8_t *from;
	uint32_t left, done;
	const struct csum_ops *csum;
	uint64_t sum;
};

static void bytes_write(struct rx_queue *rx, const struct virtq_piece *piece, uint32_t off,
			struct source *source, uint32_t len)
{
	uint8_t *to = (uint8_t *)piece->at + off;

	if (source->csum) {
		uint32_t sum = source->csum->copy(to, source->from, len);

		source->sum += source->done & 1 ? csum_swap(sum) : sum;
	} else {
		memcpy(to, source->from, len);
	}
	dirty_report_add(&rx->net->user.report, piece->bus + off, len);
}

/* As much as the chain's current piece has room for. */
static void chain_write(struct rx_queue *rx, struct rx_chain *chain, struct source *source)
{
	const struct virtq_piece *piece = &chain->at[chain->piece];
	uint32_t room = piece->len - chain->off;
	uint32_t len = source->left < room ? source->left : room;

	if (source->from) {
		bytes_write(rx, piece, chain->off, source, len);
		source->from += len;
	}
	source->left -= len;
	source->done += len;
	chain->fill += len;
	chain->off += len;
	if (chain->off == piece->len) {
		chain->piece++;
		chain->off = 0;
	}
}

/* False: no room. What has been written so far is the caller's to undo. */
static bool open_write(struct rx_queue *rx, struct rx_open *open, struct source *source)
{
	while (source->left > 0) {
		if (open->count == 0 || chain_room(&rx->chain[open->last]) == 0) {
			if (!open_grow(rx, open))
				return false;
			continue;
		}
		chain_write(rx, &rx->chain[open->last], source);
	}
	return true;
}

/* The part of [off, off + left) that is in this chain's pieces up to fill. */
static void chain_patch(struct rx_queue *rx, const struct rx_chain *chain, uint32_t off,
			struct source *source)
{
	uint32_t end = chain->fill, at = 0;

	for (uint32_t i = 0; source->left > 0 && at < end; at += chain->at[i++].len) {
		uint32_t stop = at + chain->at[i].len < end ? at + chain->at[i].len : end, len;

		if (off >= stop)
			continue;
		len = source->left < stop - off ? source->left : stop - off;
		bytes_write(rx, &chain->at[i], off - at, source, len);
		source->from += len;
		source->left -= len;
		off += len;
	}
}

/* Bytes that had their room already: headers, off from the first byte of the aggregate. */
static void open_patch(struct rx_queue *rx, const struct rx_open *open, uint32_t off,
		       const void *from, uint32_t len)
{
	struct source source = { .from = from, .left = len };

	for (uint32_t index = open->first; source.left > 0; index = rx->chain[index].next) {
		const struct rx_chain *chain = &rx->chain[index];

		FARBUS_ASSERT(index != RX_NONE);
		if (off < chain->fill)
			chain_patch(rx, chain, off, &source);
		off = off > chain->fill ? off - chain->fill : 0;
	}
}

/* ---- the sink ---- */

static void undo(struct rx_queue *rx, const struct rx_open *now, struct rx_open *ret_open)
{
	struct rx_open before = rx->undo;
	uint32_t gone;

	if (before.count == 0) {
		gone = now->count ? now->first : RX_NONE;
	} else {
		struct rx_chain *last = &rx->chain[before.last];

		gone = last->next;
		last->next = RX_NONE;
		last->fill = rx->undo_fill;
		last->piece = rx->undo_piece;
		last->off = rx->undo_off;
	}
	chains_spare(rx, gone);
	*ret_open = before;
}

static void undo_keep(struct rx_queue *rx, const struct rx_open *open)
{
	rx->undo = *open;
	if (open->count == 0)
		return;
	rx->undo_fill = rx->chain[open->last].fill;
	rx->undo_piece = rx->chain[open->last].piece;
	rx->undo_off = rx->chain[open->last].off;
}

static int rx_place(void *sink, struct nic_slot *slot, const struct nic_piece *piece,
		    uint32_t *ret_sum)
{
	struct rx_queue *rx = sink;
	bool begin = piece->position == NIC_HEAD || piece->position == NIC_SINGLE;
	struct rx_open open = open_get(slot);
	struct source room = { .left = begin ? rx->header_len : 0 };
	struct source header = { .from = piece->packet->data,
				 .left = begin ? piece->header_len : 0 };
	struct source payload = { .from = piece->packet->data + piece->header_len,
				  .left = piece->payload_len,
				  .csum = piece->csum };

	undo_keep(rx, &open);
	if (!open_write(rx, &open, &room) || !open_write(rx, &open, &header) ||
	    !open_write(rx, &open, &payload)) {
		undo(rx, &open, &open);
		/* Without mergeable buffers a packet has one chain; the next one is for the rest. */
		if (!begin && !rx->mergeable)
			return -EMSGSIZE;
		rx->net->stats.rx_full++;
		return -ENOBUFS;
	}
	if (piece->csum)
		*ret_sum = csum_fold(payload.sum);
	open_put(slot, &open);
	return 0;
}

static void rx_unplace(void *sink, struct nic_slot *slot, const struct nic_piece *piece)
{
	struct rx_queue *rx = sink;
	struct rx_open open = open_get(slot);

	(void)piece;
	undo(rx, &open, &open);
	open_put(slot, &open);
}

static void rx_publish(void *sink, struct nic_slot *slot, const struct nic_aggregate *aggregate)
{
	struct rx_queue *rx = sink;
	struct rx_open open = open_get(slot);
	struct virtio_net_hdr_v1 header;
	uint32_t index = open.first;

	if (aggregate->header)
		open_patch(rx, &open, rx->header_len, aggregate->header, aggregate->header_len);
	nic_aggregate_virtio(aggregate, &header);
	if (!vhost_net_has(rx->net, VIRTIO_NET_F_GUEST_CSUM))
		header.flags = 0;
	header.num_buffers = (uint16_t)open.count;
	open_patch(rx, &open, 0, &header, rx->header_len);
	for (uint32_t i = 0; i < open.count; i++) {
		struct rx_chain *chain = &rx->chain[index];
		uint32_t next = chain->next;

		virtq_push(&rx->queue->vq, &chain->chain, chain->fill);
		record_free(rx, index);
		index = next;
	}
	rx->net->stats.rx_packets++;
	rx->net->stats.rx_buffers += open.count;
}

const struct nic_sink_ops vhost_net_sink_ops = {
	.place = rx_place,
	.unplace = rx_unplace,
	.publish = rx_publish,
};

/* ---- a burst's end ---- */

/* Last popped, first given back. */
static void spares_return(struct rx_queue *rx)
{
	uint32_t order[VHOST_NET_CHAIN_MAX], count = 0;

	while (rx->spare != RX_NONE) {
		order[count++] = rx->spare;
		rx->spare = rx->chain[rx->spare].next;
	}
	while (count > 0) {
		virtq_unpop(&rx->queue->vq, &rx->chain[order[--count]].chain);
		record_free(rx, order[count]);
	}
}

void vhost_net_rx_finish(struct rx_queue *rx)
{
	if (rx->agg)
		nic_agg_flush(rx->agg);
	if (rx->spare != RX_NONE)
		spares_return(rx);
	if (rx->queue->vq.pending > 0)
		rx->net->stats.rx_bursts++;
	vhost_queue_publish(rx->queue);
}

/* What a guest did not negotiate is not aggregated. */
int vhost_net_rx_conf(struct rx_queue *rx)
{
	struct vhost_net *net = rx->net;
	struct nic_agg_conf conf = {
		.flags = net->conf.verify ? NIC_AGG_VERIFY : 0,
		.flow_max = net->conf.flow_max,
		.seed = net->conf.seed,
	};

	rx->mergeable = vhost_net_has(net, VIRTIO_NET_F_MRG_RXBUF);
	rx->header_len = rx->mergeable || vhost_net_has(net, VIRTIO_F_VERSION_1) ? 12 : 10;
	rx->agg = nic_agg_free(rx->agg);
	if (!net->conf.aggregate || !vhost_net_has(net, VIRTIO_NET_F_GUEST_CSUM))
		return 0;
	if (vhost_net_has(net, VIRTIO_NET_F_GUEST_TSO4))
		conf.want |= NIC_WANT_TCP4;
	if (vhost_net_has(net, VIRTIO_NET_F_GUEST_TSO6))
		conf.want |= NIC_WANT_TCP6;
	if (conf.want == 0)
		return 0;
	return nic_agg_new(&conf, &vhost_net_sink_ops, rx, &rx->agg);
}

/* ---- frames ---- */

/* One frame that passes alone, as it is. */
static void rx_single(struct rx_queue *rx, const struct nic_packet *packet)
{
	struct nic_slot slot = { { 0 } };
	struct nic_piece piece = { .packet = packet,
				   .payload_len = packet->len,
				   .flow = NIC_FLOW_NONE,
				   .position = NIC_SINGLE };
	struct nic_aggregate aggregate = { .payload_len = packet->len,
					   .flow = NIC_FLOW_NONE,
					   .segment_count = 1,
					   .gso_size = packet->gso_size,
					   .gso_type = packet->gso_type,
					   .csum_start = packet->csum_start,
					   .csum_offset = packet->csum_offset };
	uint32_t sum;

	if (packet->flags & NIC_PACKET_CSUM_PARTIAL)
		aggregate.flags = NIC_AGGREGATE_PARTIAL;
	else if (packet->flags & NIC_PACKET_CSUM_VALID)
		aggregate.flags = NIC_AGGREGATE_VALID;
	if (rx_place(rx, &slot, &piece, &sum) < 0)
		rx->net->stats.rx_dropped++;
	else
		rx_publish(rx, &slot, &aggregate);
}

static void rx_take(struct rx_queue *rx, const struct nic_packet *packet)
{
	if (rx->agg)
		nic_agg_input(rx->agg, packet, rx->net->now_ns);
	else
		rx_single(rx, packet);
}

static int emit_piece(void *arg, const struct iovec piece[2])
{
	struct rx_queue *rx = arg;
	/* Behind the frame that is being cut. */
	uint8_t *to = rx->net->scratch + NIC_FRAME_MAX;
	struct nic_packet packet = { .data = to,
				     .len = (uint32_t)(piece[0].iov_len + piece[1].iov_len),
				     .flags = NIC_PACKET_CSUM_VALID };

	memcpy(to, piece[0].iov_base, piece[0].iov_len);
	memcpy(to + piece[0].iov_len, piece[1].iov_base, piece[1].iov_len);
	rx_take(rx, &packet);
	return 0;
}

/* Can the guest take it as it is? */
static bool rx_takes(const struct vhost_net *net, const struct nic_packet *packet)
{
	uint8_t type = packet->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	if (packet->flags & NIC_PACKET_CSUM_PARTIAL && !vhost_net_has(net, VIRTIO_NET_F_GUEST_CSUM))
		return false;
	if (packet->gso_size == 0)
		return true;
	if (packet->gso_type != type && !vhost_net_has(net, VIRTIO_NET_F_GUEST_ECN))
		return false;
	return vhost_net_has(net, type == VIRTIO_NET_HDR_GSO_TCPV4 ? VIRTIO_NET_F_GUEST_TSO4 :
								     VIRTIO_NET_F_GUEST_TSO6);
}

static void rx_adapt(struct rx_queue *rx, const struct nic_packet *packet)
{
	struct nic_packet whole = *packet;
	struct vhost_net *net = rx->net;

	net->stats.rx_adapted++;
	memcpy(net->scratch, packet->data, packet->len);
	if (packet->gso_size) {
		if (offload_segment(net->scratch, packet->len, packet->gso_size, emit_piece, rx) <
		    0)
			net->stats.rx_bad++;
		return;
	}
	offload_csum(net->scratch, packet->len, packet->csum_start, packet->csum_offset);
	whole.data = net->scratch;
	whole.flags = NIC_PACKET_CSUM_VALID;
	rx_take(rx, &whole);
}

/* The same flow goes to the same queue; what is in none goes to the first. */
static struct rx_queue *rx_steer(struct vhost_net *net, const struct nic_packet *packet)
{
	struct rx_queue *serving[VHOST_PAIR_MAX];
	struct nic_parsed parsed;
	uint32_t count = 0;
	uint64_t hash = net->conf.seed;

	for (uint32_t i = 0; i < net->user.pairs; i++)
		if (vhost_queue_serves(net->rx[i].queue))
			serving[count++] = &net->rx[i];
	if (count == 0)
		return NULL;
	if (count == 1)
		return serving[0];
	nic_parse(packet->data, packet->len, NIC_WANT_TCP4 | NIC_WANT_TCP6 | NIC_WANT_UDP, &parsed);
	if (parsed.kind != NIC_KIND_FLOW)
		return serving[0];
	for (int i = 0; i < 6; i++)
		hash = (hash ^ parsed.key.word[i]) * 0x9e3779b97f4a7c15ull;
	return serving[(hash >> 32) % count];
}

static void rx_frame(struct vhost_net *net, const struct nic_packet *packet)
{
	struct rx_queue *rx = rx_steer(net, packet);

	net->stats.rx_frames++;
	net->stats.rx_bytes += packet->len;
	if (!rx) {
		net->stats.rx_dropped++;
		return;
	}
	if (packet->len < ETH_LEN || packet->len > NIC_FRAME_MAX) {
		net->stats.rx_bad++;
		return;
	}
	if (net->tap) {
		struct iovec piece = { (void *)(uintptr_t)packet->data, packet->len };

		net->tap(net->tap_arg, true, &piece, 1);
	}
	if (rx_takes(net, packet))
		rx_take(rx, packet);
	else
		rx_adapt(rx, packet);
}

void vhost_net_give(struct vhost_net *net, const struct nic_packet *packet, uint32_t count)
{
	FARBUS_ASSERT(count <= VHOST_NET_BURST_MAX);
	net->now_ns = clock_now_ns();
	for (uint32_t i = 0; i < count; i++)
		rx_frame(net, &packet[i]);
	for (uint32_t i = 0; i < net->user.pairs; i++) {
		struct rx_queue *rx = &net->rx[i];

		if (!rx->queue->vq.running)
			continue;
		vhost_net_rx_finish(rx);
		if (rx->queue->vq.broken)
			vhost_net_broken(net, rx->queue);
	}
}
