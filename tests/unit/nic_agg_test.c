/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_agg_test.c -- the rules of aggregation, case by case
 *
 * The cases carry the names of the kernel's GRO selftest (tools/testing/selftests, gro.c) where it
 * has them; most run over IPv4, over IPv6 and in VXLAN tunnels.
 */
#include "nic_scene.h"

#include <errno.h>

/* ---- data ---- */

static void data_same_one(struct scene *scene)
{
	scene_send(scene, nth(0));
	scene_send(scene, nth(1));
	EXPECT(scene, 2 * L);
}

static void input__data_same__one(void **state)
{
	scene_everywhere(*state, data_same_one);
}

static void data_lrg_sml_one(struct scene *scene)
{
	struct desc small = nth(1);

	small.payload_len = L / 2;
	scene_send(scene, nth(0));
	scene_send(scene, small);
	assert_int_equal(nic_agg_open_count(scene->agg), 0);
	EXPECT(scene, L + L / 2);
}

static void input__data_lrg_sml__one_and_closed(void **state)
{
	scene_everywhere(*state, data_lrg_sml_one);
}

static void data_sml_lrg_one(struct scene *scene)
{
	struct desc small = nth(0), large = nth(0);

	small.payload_len = L / 2;
	large.seq = L / 2;
	large.id = 2;
	scene_send(scene, small);
	scene_send(scene, large);
	EXPECT(scene, L / 2, L);
}

static void input__data_sml_lrg__two(void **state)
{
	scene_everywhere(*state, data_sml_lrg_one);
}

static void ack_one(struct scene *scene)
{
	struct desc ack = nth(1);

	ack.payload_len = 0;
	scene_send(scene, nth(0));
	scene_send(scene, ack);
	scene_send(scene, ack);
	scene_send(scene, nth(1));
	EXPECT(scene, L, 0, 0, L);
}

static void input__ack__flushes_and_passes_alone(void **state)
{
	scene_everywhere(*state, ack_one);
}

static void padding_one(struct scene *scene)
{
	struct desc first = nth(0), second = nth(1);

	first.pad = 6;
	second.pad = 18;
	scene_send(scene, first);
	scene_send(scene, second);
	EXPECT(scene, 2 * L);
}

static void input__padded_frames__padding_is_not_data(void **state)
{
	struct scene *scene = *state;

	padding_one(scene);
	scene->like.v6 = true;
	padding_one(scene);
}

static void input__one_byte_payloads__shorter_than_the_words_compared(void **state)
{
	struct scene *scene = *state;

	for (unsigned i = 0; i < 3; i++)
		scene_send(scene,
			   (struct desc){ .seq = i, .id = (uint16_t)(i + 1), .payload_len = 1 });
	EXPECT(scene, 3);
}

/* ---- flags ---- */

static void flags_psh_one(struct scene *scene)
{
	for (unsigned i = 0; i < 5; i++) {
		struct desc desc = nth(i);

		desc.flags = i == 2 ? TCP_PSH : 0;
		scene_send(scene, desc);
		assert_int_equal(nic_agg_open_count(scene->agg), i != 2);
	}
	nic_agg_flush(scene->agg);
	const struct output *output = scene->collect.output;
	assert_int_equal(scene->collect.count, 2);
	assert_true(output[0].data[output[0].aggregate.layout.l4 + TCP_FLAGS] & TCP_PSH);
	assert_false(output[1].data[output[1].aggregate.layout.l4 + TCP_FLAGS] & TCP_PSH);
	assert_int_equal(output[0].aggregate.close, NIC_CLOSE_push);
	EXPECT(scene, 3 * L, 2 * L);
}

static void input__flags_psh__merges_and_closes(void **state)
{
	scene_everywhere(*state, flags_psh_one);
}

static void flags_other_one(struct scene *scene)
{
	static const uint8_t flags[] = { TCP_SYN, TCP_RST, TCP_URG, TCP_CWR, TCP_FIN };

	for (size_t i = 0; i < sizeof(flags); i++) {
		for (unsigned n = 0; n < 5; n++) {
			struct desc desc = nth(n);

			desc.flags = n == 2 ? flags[i] : 0;
			scene_send(scene, desc);
		}
		EXPECT(scene, 2 * L, L, 2 * L);
	}
}

static void input__flags_syn_rst_urg_cwr_fin__alone_and_in_order(void **state)
{
	scene_everywhere(*state, flags_other_one);
}

static void flags_ece_one(struct scene *scene)
{
	for (unsigned i = 0; i < 4; i++) {
		struct desc desc = nth(i);

		desc.flags = i >= 2 ? TCP_ECE : 0;
		scene_send(scene, desc);
	}
	EXPECT(scene, 2 * L, 2 * L);
}

static void input__flags_ece__merges_with_its_like(void **state)
{
	scene_everywhere(*state, flags_ece_one);
}

/* ---- TCP ---- */

static void tcp_csum_one(struct scene *scene)
{
	uint64_t bad = nic_agg_stats(scene->agg)->checksum_bad;
	struct desc desc = nth(1);

	desc.bad_csum = true;
	scene_send(scene, nth(0));
	scene_send(scene, desc);
	scene_send(scene, nth(2));
	assert_int_equal(nic_agg_stats(scene->agg)->checksum_bad, bad + 1);
	nic_agg_flush(scene->agg);
	assert_true(scene->collect.output[0].aggregate.flags & NIC_AGGREGATE_VALID);
	assert_false(scene->collect.output[1].aggregate.flags & NIC_AGGREGATE_VALID);
	EXPECT(scene, L, L, L);
}

static void input__tcp_csum__alone_and_not_vouched_for(void **state)
{
	scene_with_flags(*state, NIC_AGG_VERIFY, tcp_csum_one);
}

static void tcp_seq_one(struct scene *scene)
{
	scene_send(scene, nth(0));
	struct desc desc = nth(1);
	desc.seq++;
	scene_send(scene, desc);
	desc = nth(2);
	desc.seq--;
	scene_send(scene, desc);
	EXPECT(scene, L, L, L);
}

static void input__tcp_seq__gap_and_overlap_do_not_merge(void **state)
{
	scene_everywhere(*state, tcp_seq_one);
}

static void tcp_wrap_one(struct scene *scene)
{
	for (unsigned i = 0; i < 3; i++) {
		struct desc desc = nth(i);

		desc.seq -= L + L / 2;
		scene_send(scene, desc);
	}
	EXPECT(scene, 3 * L);
}

static void input__tcp_seq_wraps__merges(void **state)
{
	scene_everywhere(*state, tcp_wrap_one);
}

static void option_timestamp(struct desc *desc, uint8_t value)
{
	static const uint8_t option[12] = { 1, 1, 8, 10 };

	memcpy(desc->option, option, sizeof(option));
	desc->option[7] = value;
	desc->option_len = sizeof(option);
}

static void tcp_ts_one(struct scene *scene)
{
	static const uint8_t ts[] = { 1, 1, 2, 0, 3 };

	for (unsigned i = 0; i < 5; i++) {
		struct desc desc = nth(i);

		if (ts[i])
			option_timestamp(&desc, ts[i]);
		scene_send(scene, desc);
	}
	EXPECT(scene, 2 * L, L, L, L);
}

static void input__tcp_ts__other_or_no_timestamp_does_not_merge(void **state)
{
	scene_everywhere(*state, tcp_ts_one);
}

static void tcp_opt_one(struct scene *scene)
{
	for (unsigned i = 0; i < 3; i++) {
		struct desc desc = nth(i);

		option_timestamp(&desc, 1);
		if (i == 2)
			memcpy(desc.option + 8, "\x05\x06\x07\x08", 4);
		scene_send(scene, desc);
	}
	EXPECT(scene, 2 * L, L);
}

static void input__tcp_opt__byte_equal_or_apart(void **state)
{
	scene_everywhere(*state, tcp_opt_one);
}

static void tcp_ack_window_one(struct scene *scene)
{
	struct desc desc[4] = { nth(0), nth(1), nth(2), nth(3) };

	desc[1].ack = 1;
	desc[2].ack = 1;
	desc[2].window = 501;
	desc[3].ack = 1;
	desc[3].window = 501;
	for (unsigned i = 0; i < 4; i++)
		scene_send(scene, desc[i]);
	EXPECT(scene, L, L, 2 * L);
}

static void input__tcp_ack_or_window_differs__apart(void **state)
{
	scene_everywhere(*state, tcp_ack_window_one);
}

/* ---- IP ---- */

static void ip_tos_one(struct scene *scene)
{
	static const uint8_t tos[] = { 2, 3, 2, 0x22, 0x22 };

	for (unsigned i = 0; i < 5; i++) {
		struct desc desc = nth(i);

		desc.tos = tos[i];
		scene_send(scene, desc);
	}
	EXPECT(scene, L, L, L, 2 * L);
}

static void input__ip_ecn_and_ip_tos__apart(void **state)
{
	scene_everywhere(*state, ip_tos_one);
}

static void ip_ttl_one(struct scene *scene)
{
	for (unsigned i = 0; i < 3; i++) {
		struct desc desc = nth(i);

		desc.ttl = i == 1 ? 63 : 64;
		scene_send(scene, desc);
	}
	EXPECT(scene, L, L, L);
}

static void input__ip_ttl__apart(void **state)
{
	scene_everywhere(*state, ip_ttl_one);
}

static void input__ip_opt__alone_and_in_order(void **state)
{
	struct scene *scene = *state;

	for (unsigned i = 0; i < 3; i++) {
		struct desc desc = nth(i);

		desc.ip_option = i == 1;
		scene_send(scene, desc);
	}
	nic_agg_flush(scene->agg);
	assert_int_equal(scene->collect.output[1].data[ETH_LEN], 0x47);
	EXPECT(scene, L, L, L);
	for (unsigned i = 0; i < 2; i++) {
		struct desc desc = nth(i);

		desc.ip_option = true;
		scene_send(scene, desc);
	}
	EXPECT(scene, L, L);
}

static void input__ip_frag4__flushes_all_flows(void **state)
{
	struct scene *scene = *state;

	for (unsigned i = 0; i < 4; i++) {
		struct desc desc = nth(i);

		desc.fragment = i == 2;
		desc.no_df = true;
		scene_send(scene, desc);
	}
	/* Of no flow, so it is one piece: 14 + 20 + 20 and the payload. */
	EXPECT(scene, 2 * L, 54 + L, L);
	assert_int_equal(nic_agg_stats(scene->agg)->fragments, 1);
}

static void input__ip_frag6__flushes_all_flows(void **state)
{
	struct scene *scene = *state;

	scene->like.v6 = true;
	for (unsigned i = 0; i < 4; i++) {
		struct desc desc = nth(i);

		desc.fragment = i >= 2;
		scene_send(scene, desc);
	}
	EXPECT(scene, 2 * L, 82 + L, 82 + L);
}

static void input__ip_v6ext_same_and_diff__merge_and_apart(void **state)
{
	static const unsigned extension[] = { 1, 1, 2, 0 };
	struct scene *scene = *state;

	scene_reopen(scene, (struct nic_agg_conf){ .want = WANT_ALL });
	scene->like.v6 = true;
	for (unsigned i = 0; i < 4; i++) {
		struct desc desc = nth(i);

		desc.extension = extension[i];
		scene_send(scene, desc);
	}
	EXPECT(scene, 2 * L, L, L);
}

static void input__v6_flow_label_differs__apart(void **state)
{
	struct scene *scene = *state;

	scene_reopen(scene, (struct nic_agg_conf){ .want = WANT_ALL });
	for (unsigned i = 0; i < 3; i++) {
		struct desc desc = nth(i);

		desc.v6 = true;
		desc.flow_label = i == 2;
		scene_send(scene, desc);
	}
	EXPECT(scene, 2 * L, L);
}

static void send_ids(struct scene *scene, bool no_df, const uint16_t *ids, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct desc desc = nth(i);

		desc.no_df = no_df;
		desc.id = ids[i];
		desc.outer_id = (uint16_t)(i + 1);
		scene_send(scene, desc);
	}
}

static void ip_id_one(struct scene *scene)
{
	static const uint16_t inc[] = { 8, 9, 10 }, fixed[] = { 8, 8, 8 },
			      inc_fixed[] = { 8, 9, 9 };
	static const uint16_t fixed_inc[] = { 8, 8, 9 }, gap[] = { 8, 10, 12 };
	static const uint16_t wrap[] = { 0xfffe, 0xffff, 0 };

	send_ids(scene, false, inc, 3);
	EXPECT(scene, 3 * L);
	send_ids(scene, false, fixed, 3);
	EXPECT(scene, 3 * L);
	send_ids(scene, true, inc, 3);
	EXPECT(scene, 3 * L);
	send_ids(scene, true, fixed, 3);
	EXPECT(scene, L, L, L);
	send_ids(scene, false, inc_fixed, 3);
	EXPECT(scene, 2 * L, L);
	send_ids(scene, false, fixed_inc, 3);
	EXPECT(scene, 2 * L, L);
	send_ids(scene, false, gap, 3);
	EXPECT(scene, L, L, L);
	send_ids(scene, false, wrap, 3);
	EXPECT(scene, 3 * L);
}

static void input__ip_id_df1_df0_inc_fixed_mixed__one_kind_only(void **state)
{
	struct scene *scene = *state;

	scene_reopen(scene, (struct nic_agg_conf){ .want = WANT_ALL });
	ip_id_one(scene);
	scene->like.tunnel = true;
	ip_id_one(scene);
}

static void ip_df_one(struct scene *scene)
{
	for (unsigned i = 0; i < 2; i++) {
		struct desc desc = nth(i);

		desc.no_df = i == 1;
		scene_send(scene, desc);
	}
	EXPECT(scene, L, L);
}

static void input__ip_df_differs__apart(void **state)
{
	struct scene *scene = *state;

	scene_reopen(scene, (struct nic_agg_conf){ .want = WANT_ALL });
	ip_df_one(scene);
	scene->like.tunnel = true;
	ip_df_one(scene);
}

static void input__ip_csum_wrong__alone(void **state)
{
	struct scene *scene = *state;

	for (unsigned i = 0; i < 3; i++) {
		struct desc desc = nth(i);

		desc.bad_ip_csum = i == 1;
		scene_send(scene, desc);
	}
	EXPECT(scene, L, L, L);
	assert_int_equal(nic_agg_stats(scene->agg)->checksum_bad, 1);
}

static void input__outer_csum_wrong_or_missing__apart(void **state)
{
	struct scene *scene = *state;

	scene->like.tunnel = true;
	for (unsigned i = 0; i < 4; i++) {
		struct desc desc = nth(i);

		desc.outer_csum = i != 3;
		desc.bad_outer_csum = i == 1;
		scene_send(scene, desc);
	}
	EXPECT(scene, L, L, L, L);
	assert_int_equal(nic_agg_stats(scene->agg)->checksum_bad, 1);
}

/* ---- memory ---- */

static void input__any_packet__no_allocation(void **state)
{
	struct scene *scene = *state;

	alloc_fault_arm(1);
	data_same_one(scene);
	ack_one(scene);
	tcp_csum_one(scene);
	flags_psh_one(scene);
	scene->like = (struct desc){ .v6 = true, .tunnel = true, .vlans = 2 };
	data_lrg_sml_one(scene);
	for (unsigned i = 0; i < 2000; i++) {
		struct desc desc = nth(0);

		desc.flow = i;
		scene_send(scene, desc);
	}
	assert_false(alloc_fault_fired());
	/* The control: the count does see what the library allocates. */
	struct nic_agg *agg = NULL;
	struct nic_agg_conf conf = { 0 };
	assert_int_equal(nic_agg_new(&conf, &collect_ops, NULL, &agg), -ENOMEM);
	assert_true(alloc_fault_fired());
	alloc_fault_arm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
		TEST(input__data_same__one),
		TEST(input__data_lrg_sml__one_and_closed),
		TEST(input__data_sml_lrg__two),
		TEST(input__ack__flushes_and_passes_alone),
		TEST(input__padded_frames__padding_is_not_data),
		TEST(input__one_byte_payloads__shorter_than_the_words_compared),
		TEST(input__flags_psh__merges_and_closes),
		TEST(input__flags_syn_rst_urg_cwr_fin__alone_and_in_order),
		TEST(input__flags_ece__merges_with_its_like),
		TEST(input__tcp_csum__alone_and_not_vouched_for),
		TEST(input__tcp_seq__gap_and_overlap_do_not_merge),
		TEST(input__tcp_seq_wraps__merges),
		TEST(input__tcp_ts__other_or_no_timestamp_does_not_merge),
		TEST(input__tcp_opt__byte_equal_or_apart),
		TEST(input__tcp_ack_or_window_differs__apart),
		TEST(input__ip_ecn_and_ip_tos__apart),
		TEST(input__ip_ttl__apart),
		TEST(input__ip_opt__alone_and_in_order),
		TEST(input__ip_frag4__flushes_all_flows),
		TEST(input__ip_frag6__flushes_all_flows),
		TEST(input__ip_v6ext_same_and_diff__merge_and_apart),
		TEST(input__v6_flow_label_differs__apart),
		TEST(input__ip_id_df1_df0_inc_fixed_mixed__one_kind_only),
		TEST(input__ip_df_differs__apart),
		TEST(input__ip_csum_wrong__alone),
		TEST(input__outer_csum_wrong_or_missing__apart),
		TEST(input__any_packet__no_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
