/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_vhost_net_test.c -- a network device between a port and a guest: what each of them gets */
#include "nic_net_common.h"
#include "nic_oracle.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- to the guest ---- */

static void receive__train__one_packet_with_its_header(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct net *net = net_started(NET_TSO | NET_MERGEABLE |
					      (packed ? 1ull << VIRTIO_F_RING_PACKED : 0));
		struct desc desc = { 0 };

		net_post(net, 0, 64, 2048);
		net_train(net, &desc, 10, 1448);
		net_receive(net);
		assert_true(net_take(net, 0));
		assert_int_equal(net->got.len, 54 + 10 * 1448);
		assert_int_equal(net->got.header.num_buffers, (12 + 54 + 14480 + 2047) / 2048);
		assert_int_equal(net->got.header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(net->got.header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(net->got.header.gso_size, 1448);
		assert_int_equal(net->got.header.hdr_len, 54);
		assert_int_equal(net->got.header.csum_start, 34);
		assert_int_equal(net->got.header.csum_offset, 16);
		assert_int_equal(be16_get(net->got.data + 16), 40 + 14480);
		for (uint32_t i = 0; i < 14480; i++)
			assert_int_equal(net->got.data[54 + i], (uint8_t)(i * 131 + i / 256));
		assert_false(net_take(net, 0));
		assert_int_equal(net_stats(net).rx_packets, 1);
		assert_int_equal(net_stats(net).rx_frames, 10);
		net_close(net);
	}
}

static void receive__guest_takes_no_aggregates__each_alone(void **state)
{
	static const uint64_t features[] = {
		1ull << VIRTIO_F_VERSION_1 | NET_MERGEABLE,
		1ull << VIRTIO_F_VERSION_1 | NET_MERGEABLE | 1ull << VIRTIO_NET_F_GUEST_CSUM,
		1ull << VIRTIO_F_VERSION_1 | NET_MERGEABLE | 1ull << VIRTIO_NET_F_GUEST_CSUM |
			1ull << VIRTIO_NET_F_GUEST_TSO6,
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(features); i++) {
		struct net *net = net_started(features[i]);
		struct desc desc = { 0 };

		net_post(net, 0, 16, 2048);
		net_train(net, &desc, 4, 1000);
		net_receive(net);
		for (int k = 0; k < 4; k++) {
			assert_true(net_take(net, 0));
			assert_int_equal(net->got.len, 1054);
			assert_int_equal(net->got.header.gso_type, 0);
			if (i == 0)
				assert_int_equal(net->got.header.flags, 0);
		}
		assert_false(net_take(net, 0));
		net_close(net);
	}
}

static void receive__not_mergeable__one_buffer_or_the_next(void **state)
{
	struct net *net = net_started(NET_TSO);
	struct desc desc = { 0 };

	(void)state;
	/* Room for three segments with headers, so four do not fit into one. */
	net_post(net, 0, 8, 12 + 54 + 3 * 1000 + 10);
	net_train(net, &desc, 4, 1000);
	net_receive(net);
	assert_true(net_take(net, 0));
	assert_int_equal(net->got.len, 54 + 3000);
	assert_int_equal(net->got.header.num_buffers, 1);
	assert_true(net_take(net, 0));
	assert_int_equal(net->got.len, 54 + 1000);
	net_close(net);
}

static void receive__wrong_checksum__passes_alone_and_unvouched(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	struct desc desc = { .bad_csum = true };

	(void)state;
	net_post(net, 0, 8, 2048);
	net_train(net, &desc, 2, 500);
	desc.bad_csum = false;
	net_train(net, &desc, 1, 500);
	net_receive(net);
	for (int i = 0; i < 3; i++) {
		assert_true(net_take(net, 0));
		assert_int_equal(net->got.header.gso_type, 0);
		assert_int_equal(net->got.header.flags, i < 2 ? 0 : VIRTIO_NET_HDR_F_DATA_VALID);
	}
	net_close(net);
}

static void receive__no_buffers__frames_stay_at_the_port(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	struct desc desc = { 0 };

	(void)state;
	assert_false(vhost_net_ready(net->net));
	net_train(net, &desc, 3, 500);
	assert_int_equal(vhost_net_receive(net->net), 0);
	assert_int_equal(net->port.given, 0);
	/* It asked for a kick, and gets one. */
	net_post(net, 0, 4, 2048);
	assert_true(driver_queue_kick_due(&net->queue[0]));
	assert_true(vhost_net_ready(net->net));
	net_receive(net);
	assert_true(net_take(net, 0));
	assert_int_equal(net->got.len, 54 + 1500);
	assert_int_equal(net_stats(net).rx_dropped, 0);
	net_close(net);
}

/* Frames that need more chains than there are: counted, and the rest whole. */
static void receive__ring_runs_full__every_frame_is_delivered_or_counted(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	struct desc desc = { 0 };
	uint64_t delivered = 0;
	struct vhost_net_stats stats;

	(void)state;
	net_post(net, 0, 7, 256);
	net_train(net, &desc, 12, 600);
	while (vhost_net_receive(net->net) > 0)
		;
	while (net_take(net, 0))
		delivered += (net->got.len - 54) / 600;
	stats = net_stats(net);
	assert_true(stats.rx_dropped > 0);
	assert_true(stats.rx_full > 0);
	assert_true(delivered > 0);
	assert_int_equal(delivered + stats.rx_dropped, stats.rx_frames);
	vhost_net_check(net->net);
	/* What was refused took nothing: the rest of the ring is still good. */
	net_post(net, 0, net->queue[0].free_count, 256);
	desc.seq += 100000;
	net_train(net, &desc, 1, 600);
	net_receive(net);
	assert_true(net_take(net, 0));
	assert_int_equal(net->got.len, 654);
	net_close(net);
}

/* Frames that take many chains each: once that is known, they wait at the port rather than be lost. */
static void receive__frames_larger_than_buffers__wait_at_the_port(void **state)
{
	struct net *net = net_started(NET_MERGEABLE | 1ull << VIRTIO_F_VERSION_1);
	struct desc desc = { 0 };
	uint64_t taken = 0;

	(void)state;
	net_post(net, 0, NET_RING, 512);
	/* One, from which it learns; then many more than the ring has room for. */
	net_train(net, &desc, 1, 8000);
	net_receive(net);
	net_train(net, &desc, 99, 8000);
	for (int round = 0; round < 200; round++) {
		vhost_net_receive(net->net);
		while (net_take(net, 0)) {
			assert_int_equal(net->got.len, 8054);
			taken++;
		}
		net_post(net, 0, net->queue[0].free_count, 512);
	}
	assert_int_equal(net_stats(net).rx_dropped, 0);
	assert_int_equal(taken, 100);
	/* Small frames again: they come in bursts again. */
	for (int round = 0; round < 40; round++) {
		net_train(net, &desc, 100, 100);
		while (vhost_net_receive(net->net) > 0)
			;
		while (net_take(net, 0))
			;
		net_post(net, 0, net->queue[0].free_count, 512);
	}
	net_train(net, &desc, 100, 100);
	assert_int_equal(vhost_net_receive(net->net), 100);
	net_close(net);
}

static void receive__frame_of_a_local_sender__what_the_guest_cannot_do_is_done(void **state)
{
	(void)state;
	for (int takes = 0; takes < 2; takes++) {
		struct net *net = net_started(takes ? NET_TSO | NET_MERGEABLE :
						      1ull << VIRTIO_F_VERSION_1 | NET_MERGEABLE);
		struct desc desc = { .payload_len = 5000 };
		struct nic_packet packet;

		net_post(net, 0, 64, 2048);
		frame_build(&desc, &frame);
		packet = (struct nic_packet){ .data = frame.data,
					      .len = frame.len,
					      .flags = NIC_PACKET_CSUM_PARTIAL,
					      .gso_size = 1448,
					      .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					      .csum_start = 34,
					      .csum_offset = 16 };
		vhost_net_give(net->net, &packet, 1);
		if (takes) {
			assert_true(net_take(net, 0));
			assert_int_equal(net->got.len, 5054);
			assert_int_equal(net->got.header.gso_size, 1448);
		} else {
			for (uint32_t done = 0; done < 5000;) {
				struct nic_parsed parsed;

				assert_true(net_take(net, 0));
				nic_parse(net->got.data, net->got.len, NIC_WANT_TCP4, &parsed);
				assert_int_equal(parsed.layout.header_len, 54);
				assert_memory_equal(net->got.data + 54, frame.data + 54 + done,
						    net->got.len - 54);
				/* Pseudo header and segment: the sum of a right one is all ones. */
				uint32_t sum = plain_sum(net->got.data + 26, 8, 0);
				sum = plain_sum(net->got.data + 34, net->got.len - 34,
						sum + 6 + net->got.len - 34);
				while (sum >> 16)
					sum = (sum & 0xffff) + (sum >> 16);
				assert_int_equal(sum, 0xffff);
				done += net->got.len - 54;
			}
		}
		assert_false(net_take(net, 0));
		net_close(net);
	}
}

/* Flows of all kinds, buffers of all sizes: the oracle of the aggregator judges what the guest has. */
static void random_traffic(uint64_t features, uint32_t buffer_len, uint64_t random)
{
	struct net *net = net_started(features);
	struct oracle *oracle = oracle_new(NIC_WANT_TCP4 | NIC_WANT_TCP6, false);
	struct desc flow[5] = { 0 };

	for (unsigned i = 0; i < 5; i++)
		flow[i] = (struct desc){ .flow = i, .v6 = i == 3, .vlans = i == 4 };
	for (unsigned n = 0; n < ROUNDS(300); n++) {
		net_post(net, 0, net->queue[0].free_count, buffer_len);
		for (unsigned k = 0; k < 16; k++) {
			struct desc *desc = &flow[random_below(&random, 5)];

			desc->payload_len = (uint32_t)random_below(&random, 4) ? 900 : 17;
			desc->id++;
			desc->flags = random_below(&random, 9) ? 0 : TCP_PSH;
			desc->bad_csum = random_below(&random, 40) == 0;
			frame_build(desc, &frame);
			desc->seq += desc->payload_len;
			struct nic_packet packet = frame_packet(&frame);
			oracle_sent(oracle, &packet, frame.end);
			net_frame(net, &frame);
		}
		net_receive(net);
		while (net_take(net, 0)) {
			struct nic_parsed parsed;

			nic_parse(net->got.data, net->got.len, NIC_WANT_TCP4 | NIC_WANT_TCP6,
				  &parsed);
			struct output output = {
				.data = net->got.data,
				.len = net->got.len,
				.aggregate = { .header_len = net->got.header.gso_size ?
								     net->got.header.hdr_len :
								     0,
					       .segment_count = 1,
					       .gso_size = net->got.header.gso_size,
					       .layout = parsed.layout },
			};
			if (net->got.header.gso_size) {
				uint32_t payload = net->got.len - net->got.header.hdr_len;

				output.aggregate.payload_len = payload;
				output.aggregate.flags = NIC_AGGREGATE_PARTIAL;
				if (parsed.layout.flags & NIC_LAYOUT_V6)
					output.aggregate.flags |= NIC_AGGREGATE_V6;
				output.aggregate.segment_count =
					(uint16_t)((payload + net->got.header.gso_size - 1) /
						   net->got.header.gso_size);
			}
			oracle_judge(oracle, &output);
		}
	}
	assert_int_equal(net_stats(net).rx_dropped, 0);
	if (features & 1ull << VIRTIO_NET_F_GUEST_TSO4)
		assert_true(oracle_merged(oracle) > 0);
	oracle_free(oracle);
	net_close(net);
}

static void receive__random_traffic__what_came_in(void **state)
{
	(void)state;
	random_traffic(NET_TSO | NET_MERGEABLE, 2048, 1);
	random_traffic(NET_TSO | NET_MERGEABLE, 512, 2);
	random_traffic(NET_TSO | NET_MERGEABLE | 1ull << VIRTIO_F_RING_PACKED, 700, 3);
	random_traffic(1ull << VIRTIO_F_VERSION_1 | NET_MERGEABLE, 300, 4);
	random_traffic(NET_TSO, 65600, 5);
}

static void receive__two_pairs__a_flow_has_one_queue(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE | 1ull << VIRTIO_NET_F_MQ);
	unsigned got[NET_PAIRS] = { 0 };

	(void)state;
	net_pair_start(net, 1, false);
	net_post(net, 0, 64, 2048);
	for (int i = 0; i < NET_RING; i++)
		net->buffer[2][i] = driver_alloc(&net->driver, 2048, 64);
	net_post(net, 1, 64, 2048);
	for (unsigned flow = 0; flow < 16; flow++) {
		struct desc desc = { .flow = flow };

		net_train(net, &desc, 2, 100);
	}
	net_receive(net);
	for (uint32_t pair = 0; pair < NET_PAIRS; pair++)
		while (net_take(net, pair)) {
			assert_int_equal(net->got.len, 254);
			got[pair]++;
		}
	assert_int_equal(got[0] + got[1], 16);
	assert_true(got[0] > 0 && got[1] > 0);
	net_close(net);
}

/* ---- from the guest ---- */

static void frame_partial(const struct desc *desc)
{
	uint32_t sum;

	frame_build(desc, &frame);
	sum = plain_sum(frame.data + 26, 8, 6 + frame.end - 34);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	be16_put(frame.data + 34 + TCP_CSUM, sum);
}

static bool csum_right(const uint8_t *data, uint32_t len)
{
	uint32_t sum = plain_sum(data + 34, len - 34, plain_sum(data + 26, 8, 6 + len - 34));

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static void transmit__port_without_offloads__whole_frames(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					    .csum_start = 34,
					    .csum_offset = 16 };
	struct desc desc = { .payload_len = 1000 };

	(void)state;
	frame_partial(&desc);
	net_send(net, 0, &header, frame.data, frame.len, 300);
	desc.payload_len = 5000;
	frame_partial(&desc);
	header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	header.gso_size = 1448;
	net_send(net, 0, &header, frame.data, frame.len, 2000);
	assert_int_equal(vhost_net_transmit(net->net, 0, 64), 2);
	assert_int_equal(net->port.sent_count, 5);
	for (uint32_t i = 0, done = 0; i < 5; i++) {
		assert_true(csum_right(net->port.sent[i].data, net->port.sent[i].len));
		if (i == 0)
			continue;
		assert_int_equal(be32_get(net->port.sent[i].data + 34 + TCP_SEQ), done);
		assert_memory_equal(net->port.sent[i].data + 54, frame.data + 54 + done,
				    net->port.sent[i].len - 54);
		done += net->port.sent[i].len - 54;
		assert_int_equal(i == 4 ? done : 5000, 5000);
	}
	assert_int_equal(net_stats(net).tx_adapted, 2);
	for (uint32_t i = 0, len; i < 2; i++)
		assert_true(driver_queue_used(&net->queue[1], &len) >= 0);
	net_close(net);
}

static void transmit__port_with_offloads__as_it_is(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					    .gso_size = 1448,
					    .hdr_len = 54,
					    .csum_start = 34,
					    .csum_offset = 16 };
	struct desc desc = { .payload_len = 5000 };

	(void)state;
	net->port.port.offloads = true;
	frame_partial(&desc);
	net_send(net, 0, &header, frame.data, frame.len, 700);
	assert_int_equal(vhost_net_transmit(net->net, 0, 64), 1);
	assert_int_equal(net->port.sent_count, 1);
	assert_int_equal(net->port.sent[0].len, frame.len);
	assert_memory_equal(net->port.sent[0].data, frame.data, frame.len);
	assert_true(net->port.sent[0].has_offload);
	assert_memory_equal(&net->port.sent[0].offload, &header, 10);
	net_close(net);
}

static void transmit__frames_that_cannot_be__counted_and_given_back(void **state)
{
	static const struct {
		struct virtio_net_hdr_v1 header;
		uint32_t len;
	} bad[] = {
		{ { 0 }, 13 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 100, .csum_offset = 0 },
		  101 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .csum_start = UINT16_MAX,
		    .csum_offset = UINT16_MAX },
		  500 },
		{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 100 }, 500 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .csum_start = 34,
		    .csum_offset = 16,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 },
		  500 },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .csum_start = 34,
		    .csum_offset = 16,
		    .gso_type = VIRTIO_NET_HDR_GSO_UDP,
		    .gso_size = 100 },
		  500 },
		{ { 0 }, NIC_FRAME_MAX + 1 },
	};
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	static uint8_t zeros[NIC_FRAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		uint32_t len;

		net_send(net, 0, &bad[i].header, zeros, bad[i].len, 4000);
		assert_int_equal(vhost_net_transmit(net->net, 0, 64), 1);
		assert_int_equal(net_stats(net).tx_bad, i + 1);
		assert_int_equal(net->port.sent_count, 0);
		assert_true(driver_queue_used(&net->queue[1], &len) >= 0);
	}
	net_close(net);
}

static void transmit__port_takes_nothing__counted(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	struct virtio_net_hdr_v1 header = { 0 };
	struct desc desc = { .payload_len = 100 };

	(void)state;
	frame_build(&desc, &frame);
	net->port.refuse = -EAGAIN;
	net_send(net, 0, &header, frame.data, frame.len, 4000);
	assert_int_equal(vhost_net_transmit(net->net, 0, 64), 1);
	assert_int_equal(net_stats(net).tx_lost, 1);
	net_close(net);
}

static void transmit__budget__the_rest_later(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	struct virtio_net_hdr_v1 header = { 0 };
	struct desc desc = { .payload_len = 100 };

	(void)state;
	frame_build(&desc, &frame);
	for (int i = 0; i < 5; i++)
		net_send(net, 0, &header, frame.data, frame.len, 4000);
	assert_int_equal(vhost_net_transmit(net->net, 0, 3), 3);
	assert_int_equal(vhost_net_transmit(net->net, 0, 3), 2);
	/* Asleep now: the next frame is worth a kick. */
	net_send(net, 0, &header, frame.data, frame.len, 4000);
	assert_true(driver_queue_kick_due(&net->queue[1]));
	net_close(net);
}

static void receive__buffer_to_read__broken_once_and_the_other_queue_serves(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE | 1ull << VIRTIO_NET_F_MQ);
	struct driver_buffer buffer = { driver_alloc(&net->driver, 2048, 64), 2048, false };

	(void)state;
	net_pair_start(net, 1, false);
	for (int i = 0; i < 4; i++)
		driver_queue_add(&net->queue[0], &buffer, 1);
	for (int i = 0; i < NET_RING; i++)
		net->buffer[2][i] = driver_alloc(&net->driver, 2048, 64);
	net->buffer_len = 2048;
	net_post(net, 1, 32, 2048);
	for (unsigned flow = 0; flow < 16; flow++) {
		struct desc desc = { .flow = flow };

		net_train(net, &desc, 1, 100);
	}
	net_receive(net);
	assert_int_equal(net_stats(net).broken, 1);
	assert_true(net_take(net, 1));
	for (unsigned flow = 0; flow < 16; flow++) {
		struct desc desc = { .flow = flow };

		net_train(net, &desc, 1, 100);
	}
	net_receive(net);
	assert_int_equal(net_stats(net).broken, 1);
	net_close(net);
}

static void seen(void *arg, bool to_guest, const struct iovec *piece, uint32_t count)
{
	unsigned *seen = arg;

	assert_true(count > 0 && piece[0].iov_len > 0);
	seen[to_guest]++;
}

static void tap__both_directions__frames_before_they_are_merged(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	struct virtio_net_hdr_v1 header = { 0 };
	struct desc desc = { 0 };
	unsigned counts[2] = { 0 };

	(void)state;
	vhost_net_tap(net->net, seen, counts);
	net_post(net, 0, 32, 2048);
	net_train(net, &desc, 6, 500);
	net_receive(net);
	net_send(net, 0, &header, frame.data, frame.len, 4000);
	vhost_net_transmit(net->net, 0, 8);
	assert_int_equal(counts[1], 6);
	assert_int_equal(counts[0], 1);
	net_close(net);
}

static void new__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	struct mock_port port = { .port.ops = &mock_port_ops };
	struct vhost_net *net;
	unsigned long n = 0;
	int err;

	(void)state;
	do {
		alloc_fault_arm(++n);
		err = vhost_net_new(&net_conf, &port.port, &net);
		assert_true(err == 0 || err == -ENOMEM);
	} while (err < 0);
	alloc_fault_arm(0);
	assert_true(n > 6);
	assert_null(vhost_net_free(net));
	assert_null(vhost_net_free(NULL));
	struct vhost_net_conf many = { .pairs = VHOST_PAIR_MAX + 1 };
	assert_int_equal(vhost_net_new(&many, &port.port, &net), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(receive__train__one_packet_with_its_header),
		cmocka_unit_test(receive__guest_takes_no_aggregates__each_alone),
		cmocka_unit_test(receive__not_mergeable__one_buffer_or_the_next),
		cmocka_unit_test(receive__wrong_checksum__passes_alone_and_unvouched),
		cmocka_unit_test(receive__no_buffers__frames_stay_at_the_port),
		cmocka_unit_test(receive__ring_runs_full__every_frame_is_delivered_or_counted),
		cmocka_unit_test(
			receive__frame_of_a_local_sender__what_the_guest_cannot_do_is_done),
		cmocka_unit_test(receive__frames_larger_than_buffers__wait_at_the_port),
		cmocka_unit_test(receive__random_traffic__what_came_in),
		cmocka_unit_test(receive__two_pairs__a_flow_has_one_queue),
		cmocka_unit_test(transmit__port_without_offloads__whole_frames),
		cmocka_unit_test(transmit__port_with_offloads__as_it_is),
		cmocka_unit_test(transmit__frames_that_cannot_be__counted_and_given_back),
		cmocka_unit_test(transmit__port_takes_nothing__counted),
		cmocka_unit_test(transmit__budget__the_rest_later),
		cmocka_unit_test(receive__buffer_to_read__broken_once_and_the_other_queue_serves),
		cmocka_unit_test(tap__both_directions__frames_before_they_are_merged),
		cmocka_unit_test(new__every_allocation_fails_once__enomem_and_no_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
