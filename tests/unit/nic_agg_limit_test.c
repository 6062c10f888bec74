/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_agg_limit_test.c -- the aggregator's limits, times, sink and statistics; UDP; virtio headers
 *
 * The table at the end holds the inputs that DPDK's rte_gro 22.11 gets wrong.
 */
#include "nic_scene.h"

#include <errno.h>

/* ---- limits ---- */

static void large_one(struct scene *scene, uint32_t headers)
{
	const uint32_t big = 1448;
	uint32_t max = NIC_IP_MAX - headers, last = max % big;

	for (unsigned remainder = 0; remainder < 2; remainder++) {
		uint32_t at = 0;

		for (unsigned i = 0; at < max + remainder * L; i++) {
			uint32_t len = at == max ? L : at + big > max ? last : big;

			scene_send(
				scene,
				(struct desc){ .seq = at, .id = (uint16_t)i, .payload_len = len });
			at += len;
		}
		if (remainder)
			EXPECT(scene, max, L);
		else
			EXPECT(scene, max);
	}
	/* One byte more than fits closes before it. */
	uint32_t count = max / big;
	for (unsigned i = 0; i <= count; i++)
		scene_send(scene, (struct desc){ .seq = i * big,
						 .id = (uint16_t)i,
						 .payload_len = i < count ? big : last + 1 });
	EXPECT(scene, count * big, last + 1);
}

static void input__large_max_and_large_rem__64_kib_of_ip(void **state)
{
	struct scene *scene = *state;

	large_one(scene, IP4_LEN + TCP_LEN);
	scene->like.v6 = true;
	large_one(scene, IP6_LEN + TCP_LEN);
	scene->like = (struct desc){ .tunnel = true };
	large_one(scene, IP4_LEN + UDP_LEN + VXLAN_LEN + ETH_LEN + IP4_LEN + TCP_LEN);
}

static void input__segment_max__closes_full(void **state)
{
	static const uint32_t maxima[] = { 1, 2, 64, NIC_SEGMENT_MAX };
	struct scene *scene = *state;

	for (unsigned n = 0; n < 4; n++) {
		scene_reopen(scene, (struct nic_agg_conf){ .segment_max = maxima[n] });
		for (unsigned i = 0; i < maxima[n] + 1; i++)
			scene_send(scene, (struct desc){ .seq = i * 10,
							 .id = (uint16_t)i,
							 .payload_len = 10 });
		EXPECT(scene, maxima[n] * 10, 10);
	}
}

static void input__flow_max__evicts_and_publishes_the_oldest(void **state)
{
	struct scene *scene = *state;

	scene_reopen(scene, (struct nic_agg_conf){ .flow_max = NIC_AGG_WAYS, .seed = 5 });
	for (unsigned i = 0; i < NIC_AGG_WAYS + 1; i++) {
		struct desc desc = nth(0);

		desc.flow = i;
		desc.payload_len = 10 + i;
		scene_send(scene, desc);
	}
	assert_int_equal(nic_agg_open_count(scene->agg), NIC_AGG_WAYS);
	assert_int_equal(scene->collect.count, 1);
	assert_int_equal(scene->collect.output[0].aggregate.payload_len, 10);
	assert_int_equal(scene->collect.output[0].aggregate.close, NIC_CLOSE_evict);
	assert_int_equal(nic_agg_stats(scene->agg)->evicted, 1);
}

static void new__flow_max_filled__no_flow_lost(void **state)
{
	struct scene *scene = *state;
	struct desc desc = nth(0);

	scene_reopen(scene, (struct nic_agg_conf){ .flow_max = NIC_AGG_FLOW_MAX });
	assert_int_equal(nic_agg_flow_max(scene->agg), NIC_AGG_FLOW_MAX);
	frame_build(&desc, &scene->frame);
	struct nic_packet packet = frame_packet(&scene->frame);
	for (uint32_t i = 0; i < NIC_AGG_FLOW_MAX; i++) {
		be32_put(scene->frame.data + ETH_LEN + IP4_SRC, i * 7);
		nic_agg_input(scene->agg, &packet, i);
		collect_clear(&scene->collect);
	}
	const struct nic_agg_stats *stats = nic_agg_stats(scene->agg);
	assert_int_equal(stats->published + nic_agg_open_count(scene->agg), NIC_AGG_FLOW_MAX);
	/* A random table so full loses some, but not many, to sets that overflow. */
	assert_true(stats->evicted < NIC_AGG_FLOW_MAX / 5);
	nic_agg_check(scene->agg);
	while (nic_agg_open_count(scene->agg)) {
		uint64_t oldest = nic_agg_expire(scene->agg, 0);

		nic_agg_expire(scene->agg, oldest);
		collect_clear(&scene->collect);
	}
}

static void new__bad_conf__einval(void **state)
{
	struct nic_agg_conf conf[] = {
		{ .want = 16 },
		{ .flags = 4 },
		{ .flow_max = NIC_AGG_FLOW_MAX + 1 },
		{ .segment_max = NIC_SEGMENT_MAX + 1 },
	};
	struct nic_agg *agg = NULL;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(nic_agg_new(&conf[i], &collect_ops, NULL, &agg), -EINVAL);
	assert_null(agg);
	assert_null(nic_agg_free(NULL));
}

static void new__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	struct nic_agg_conf conf = { 0 };
	struct nic_agg *agg = NULL;
	unsigned long n = 0;
	int err;

	(void)state;
	do {
		alloc_fault_arm(++n);
		err = nic_agg_new(&conf, &collect_ops, NULL, &agg);
		assert_int_equal(err, alloc_fault_fired() ? -ENOMEM : 0);
	} while (err < 0);
	alloc_fault_arm(0);
	assert_true(n > 3);
	nic_agg_free(agg);
}

/* ---- order, time, room ---- */

static void input__flows_interleaved__each_merges_alone(void **state)
{
	struct scene *scene = *state;

	for (unsigned i = 0; i < 4 * 3; i++) {
		struct desc desc = nth(i / 3);

		desc.flow = i % 3;
		desc.payload_len = L;
		scene_send(scene, desc);
	}
	EXPECT(scene, 4 * L, 4 * L, 4 * L);
}

static void input__same_ports_other_mac_or_vlan_priority__flushed_first(void **state)
{
	struct scene *scene = *state;
	struct desc desc = nth(0);

	scene_reopen(scene, (struct nic_agg_conf){ .want = WANT_ALL });
	desc.vlans = 1;
	for (unsigned i = 0; i < 3; i++) {
		desc.seq = i * L;
		desc.id = (uint16_t)i;
		frame_build(&desc, &scene->frame);
		scene->frame.data[5] = i == 1 ? 9 : 1;
		scene->frame.data[14] ^= i == 2 ? 0x20 : 0;
		struct nic_packet packet = frame_packet(&scene->frame);
		nic_agg_input(scene->agg, &packet, 0);
		assert_int_equal(nic_agg_open_count(scene->agg), 1);
	}
	EXPECT(scene, L, L, L);
}

static void expire__held_since__oldest_first_and_next_time(void **state)
{
	struct scene *scene = *state;
	struct desc desc = nth(0);

	scene_reopen(scene, (struct nic_agg_conf){ .hold_ns = 100 });
	assert_int_equal(nic_agg_expire(scene->agg, 5), 0);
	for (unsigned i = 0; i < 3; i++) {
		desc.flow = i;
		desc.payload_len = 10 + i;
		frame_build(&desc, &scene->frame);
		struct nic_packet packet = frame_packet(&scene->frame);
		nic_agg_input(scene->agg, &packet, 10 * (i + 1));
	}
	assert_int_equal(nic_agg_expire(scene->agg, 109), 110);
	assert_int_equal(scene->collect.count, 0);
	assert_int_equal(nic_agg_expire(scene->agg, 120), 130);
	assert_int_equal(scene->collect.count, 2);
	assert_int_equal(scene->collect.output[0].aggregate.close, NIC_CLOSE_timeout);
	assert_int_equal(nic_agg_expire(scene->agg, 130), 0);
	EXPECT(scene, 10, 11, 12);
}

static void input__sink_has_no_room__counted_and_closed(void **state)
{
	struct scene *scene = *state;

	scene->collect.refuse = 3;
	for (unsigned i = 0; i < 5; i++)
		scene_send(scene, nth(i));
	assert_int_equal(nic_agg_stats(scene->agg)->dropped, 1);
	EXPECT(scene, 2 * L, 2 * L);
	scene->collect.refuse = 1;
	scene_send(scene, nth(0));
	scene->collect.refuse = 1;
	struct desc ack = nth(0);
	ack.payload_len = 0;
	scene_send(scene, ack);
	assert_int_equal(nic_agg_stats(scene->agg)->dropped, 3);
	assert_int_equal(scene->collect.count, 0);
}

static void flow__after_traffic__its_numbers(void **state)
{
	struct scene *scene = *state;
	struct nic_flow_stats stats;
	struct nic_key key;
	unsigned found = 0;

	for (unsigned i = 0; i < 3; i++)
		scene_send(scene, nth(i));
	nic_agg_flush(scene->agg);
	for (uint32_t i = 0; i < nic_agg_flow_max(scene->agg); i++)
		if (nic_agg_flow(scene->agg, i, &key, &stats) == 0)
			found++, assert_int_equal(i, scene->collect.output[0].aggregate.flow);
	assert_int_equal(found, 1);
	assert_int_equal(
		nic_agg_flow(scene->agg, scene->collect.output[0].aggregate.flow, &key, &stats), 0);
	assert_int_equal(stats.packets, 3);
	assert_int_equal(stats.merged, 2);
	assert_int_equal(stats.published, 1);
	assert_int_equal(stats.bytes, 3 * (54 + L));
	assert_int_equal(nic_agg_flow(scene->agg, nic_agg_flow_max(scene->agg), &key, &stats),
			 -ENOENT);
	assert_string_equal(nic_close_name(NIC_CLOSE_push), "push");
	assert_string_equal(nic_close_name(NIC_CLOSE_MAX), "?");
}

/* ---- UDP ---- */

static void udp_one(struct scene *scene)
{
	static const uint32_t lengths[] = { L, L, L - 1, L, L + 1, L + 1 };

	for (unsigned i = 0; i < 6; i++)
		scene_send(scene, (struct desc){ .udp = true,
						 .id = (uint16_t)(i + 1),
						 .payload_len = lengths[i] });
	EXPECT(scene, 3 * L - 1, L, 2 * L + 2);
}

static void input__udp__equal_lengths_and_a_shorter_last(void **state)
{
	scene_everywhere(*state, udp_one);
}

static void input__udp_without_checksum_or_not_wanted__alone(void **state)
{
	struct scene *scene = *state;

	for (unsigned i = 0; i < 3; i++) {
		struct desc desc = { .udp = true, .id = (uint16_t)(i + 1), .payload_len = L };

		frame_build(&desc, &scene->frame);
		if (i != 2)
			be16_put(scene->frame.data + 34 + UDP_CSUM, 0);
		struct nic_packet packet = frame_packet(&scene->frame);
		nic_agg_input(scene->agg, &packet, 0);
	}
	EXPECT(scene, L, L, L);
	scene_reopen(scene, (struct nic_agg_conf){ 0 });
	for (unsigned i = 0; i < 2; i++)
		scene_send(scene,
			   (struct desc){ .udp = true, .id = (uint16_t)(i + 1), .payload_len = L });
	EXPECT(scene, 42 + L, 42 + L);
	assert_int_equal(nic_agg_stats(scene->agg)->other, 2);
}

/* What is behind the headers makes it a tunnel or none; the headers are equal. */
static void input__udp_to_the_tunnel_port_that_is_no_tunnel__in_no_flow(void **state)
{
	struct scene *scene = *state;

	for (unsigned i = 0; i < 4; i++) {
		struct desc desc = { .tunnel = true, .payload_len = L, .outer_id = (uint16_t)i };

		frame_build(&desc, &scene->frame);
		if (i < 2)
			scene->frame.data[ETH_LEN + IP4_LEN + UDP_LEN] = 0;
		struct nic_packet packet = frame_packet(&scene->frame);
		packet.flags = NIC_PACKET_CSUM_VALID;
		nic_agg_input(scene->agg, &packet, 0);
	}
	assert_int_equal(nic_agg_stats(scene->agg)->other, 2);
	assert_int_equal(nic_agg_stats(scene->agg)->merged, 0);
}

/* ---- what a guest is told ---- */

static struct virtio_net_hdr_v1 virtio_of(struct scene *scene, unsigned index)
{
	struct virtio_net_hdr_v1 header;

	nic_aggregate_virtio(&scene->collect.output[index].aggregate, &header);
	return header;
}

static void virtio__aggregate_and_single__gso_and_checksum_state(void **state)
{
	struct scene *scene = *state;

	for (unsigned v6 = 0; v6 < 2; v6++) {
		scene->like.v6 = v6;
		for (unsigned i = 0; i < 3; i++)
			scene_send(scene, nth(i));
		scene_send(scene, nth(7));
		nic_agg_flush(scene->agg);
		struct virtio_net_hdr_v1 header = virtio_of(scene, 0);
		const struct output *output = &scene->collect.output[0];
		uint32_t l4 = v6 ? 54 : 34, ip = v6 ? ETH_LEN + IP6_SRC : ETH_LEN + IP4_SRC;
		uint32_t len = output->len - l4;
		assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(header.gso_type,
				 v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(header.gso_size, L);
		assert_int_equal(header.hdr_len, l4 + TCP_LEN);
		assert_int_equal(header.csum_start, l4);
		assert_int_equal(header.csum_offset, 16);
		assert_int_equal(be16_get(output->data + l4 + 16),
				 plain_sum(output->data + ip, v6 ? 32 : 8, PROTO_TCP + len));
		header = virtio_of(scene, 1);
		assert_int_equal(header.flags, VIRTIO_NET_HDR_F_DATA_VALID);
		assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		EXPECT(scene, 3 * L, L);
	}
}

static void input__sender_left_checksum_partial__merges_with_its_like(void **state)
{
	static const uint16_t flags[] = { NIC_PACKET_CSUM_PARTIAL, NIC_PACKET_CSUM_PARTIAL,
					  NIC_PACKET_CSUM_VALID, 0, 0 };
	struct scene *scene = *state;

	for (unsigned i = 0; i < 5; i++) {
		struct desc desc = nth(i);

		desc.bad_csum = flags[i] != 0;
		frame_build(&desc, &scene->frame);
		struct nic_packet packet = frame_packet(&scene->frame);
		packet.flags = flags[i];
		nic_agg_input(scene->agg, &packet, 0);
	}
	EXPECT(scene, 2 * L, 3 * L);
}

static void input__already_aggregated__passes_in_order_with_its_size(void **state)
{
	struct scene *scene = *state;
	struct desc desc = { .seq = L, .payload_len = 1000 };

	scene_send(scene, nth(0));
	frame_build(&desc, &scene->frame);
	struct nic_packet packet = frame_packet(&scene->frame);
	packet.flags = NIC_PACKET_CSUM_PARTIAL;
	packet.gso_size = 500;
	packet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	packet.csum_start = 34;
	packet.csum_offset = 16;
	nic_agg_input(scene->agg, &packet, 0);
	struct virtio_net_hdr_v1 header = virtio_of(scene, 1);
	assert_int_equal(header.gso_size, 500);
	assert_int_equal(header.csum_start, 34);
	EXPECT(scene, L, 1000);
}

/* ---- where rte_gro 22.11 fails ---- */

static void input__what_rte_gro_gets_wrong__right(void **state)
{
	struct scene *scene = *state;
	struct desc desc;

	/* The congestion mark of the second packet is not lost. */
	for (unsigned i = 0; i < 3; i++) {
		desc = nth(i);
		desc.tos = i == 1 ? 3 : 2;
		scene_send(scene, desc);
	}
	nic_agg_flush(scene->agg);
	assert_int_equal(scene->collect.output[1].data[ETH_LEN + 1], 3);
	EXPECT(scene, L, L, L);
	/* A packet with PSH does not come behind later data; nor when it is the first. */
	for (unsigned first = 0; first < 2; first++) {
		for (unsigned i = 0; i < 5; i++) {
			desc = nth(i);
			desc.flags = i == (first ? 0 : 2) ? TCP_PSH : 0;
			scene_send(scene, desc);
		}
		if (first)
			EXPECT(scene, L, 4 * L);
		else
			EXPECT(scene, 3 * L, 2 * L);
	}
	/* A short packet in the middle. */
	desc = nth(1);
	desc.payload_len = L / 2;
	scene_send(scene, nth(0));
	scene_send(scene, desc);
	desc = nth(2);
	desc.seq = L + L / 2;
	scene_send(scene, desc);
	EXPECT(scene, L + L / 2, L);
	/* A duplicate, and an ID with a gap although DF is set. */
	scene_send(scene, nth(0));
	scene_send(scene, nth(0));
	desc = nth(1);
	desc.id += 5;
	scene_send(scene, desc);
	EXPECT(scene, L, L, L);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
		TEST(input__large_max_and_large_rem__64_kib_of_ip),
		TEST(input__segment_max__closes_full),
		TEST(input__flow_max__evicts_and_publishes_the_oldest),
		TEST(new__flow_max_filled__no_flow_lost),
		TEST(new__bad_conf__einval),
		TEST(new__every_allocation_fails_once__enomem_and_no_leak),
		TEST(input__flows_interleaved__each_merges_alone),
		TEST(input__same_ports_other_mac_or_vlan_priority__flushed_first),
		TEST(expire__held_since__oldest_first_and_next_time),
		TEST(input__sink_has_no_room__counted_and_closed),
		TEST(flow__after_traffic__its_numbers),
		TEST(input__udp__equal_lengths_and_a_shorter_last),
		TEST(input__udp_without_checksum_or_not_wanted__alone),
		TEST(input__udp_to_the_tunnel_port_that_is_no_tunnel__in_no_flow),
		TEST(virtio__aggregate_and_single__gso_and_checksum_state),
		TEST(input__sender_left_checksum_partial__merges_with_its_like),
		TEST(input__already_aggregated__passes_in_order_with_its_size),
		TEST(input__what_rte_gro_gets_wrong__right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
