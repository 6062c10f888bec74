/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_scene.c -- an aggregator with a collecting sink */
#include "nic_scene.h"

#include <stdlib.h>

static void scene_open(struct scene *scene, struct nic_agg_conf conf)
{
	assert_int_equal(nic_agg_new(&conf, &collect_ops, &scene->collect, &scene->agg), 0);
}

int scene_setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	*state = scene;
	scene_open(scene, (struct nic_agg_conf){ .want = NIC_WANT_TCP4 | NIC_WANT_TCP6 |
							 NIC_WANT_UDP | NIC_WANT_VXLAN,
						 .flags = NIC_AGG_VERIFY });
	return 0;
}

int scene_teardown(void **state)
{
	struct scene *scene = *state;

	nic_agg_flush(scene->agg);
	nic_agg_check(scene->agg);
	assert_int_equal(scene->collect.open, 0);
	collect_clear(&scene->collect);
	nic_agg_free(scene->agg);
	free(scene);
	return 0;
}

void scene_reopen(struct scene *scene, struct nic_agg_conf conf)
{
	nic_agg_flush(scene->agg);
	collect_clear(&scene->collect);
	nic_agg_free(scene->agg);
	scene_open(scene, conf);
}

void scene_send(struct scene *scene, struct desc desc)
{
	const struct desc *like = &scene->like;

	desc.v6 |= like->v6;
	desc.tunnel |= like->tunnel;
	desc.outer_v6 |= like->outer_v6;
	desc.outer_csum |= like->outer_csum;
	desc.vlans |= like->vlans;
	desc.outer_id = desc.outer_id ? desc.outer_id : desc.id;
	frame_build(&desc, &scene->frame);
	struct nic_packet packet = frame_packet(&scene->frame);
	nic_agg_input(scene->agg, &packet, 0);
	nic_agg_check(scene->agg);
}

struct desc nth(unsigned n)
{
	return (struct desc){ .seq = n * L, .id = (uint16_t)(n + 1), .payload_len = L };
}

void scene_expect(struct scene *scene, const uint32_t *lengths, unsigned count)
{
	nic_agg_flush(scene->agg);
	nic_agg_check(scene->agg);
	assert_int_equal(scene->collect.count, count);
	for (unsigned i = 0; i < count; i++) {
		const struct output *output = &scene->collect.output[i];
		uint32_t end = output->len - output->aggregate.header_len;

		assert_int_equal(output->aggregate.payload_len, end);
		assert_int_equal(end, lengths[i]);
	}
	collect_clear(&scene->collect);
}

void scene_with_flags(struct scene *scene, unsigned flags, void (*one)(struct scene *scene))
{
	static const struct desc kinds[] = {
		{ 0 },
		{ .v6 = true },
		{ .vlans = 1 },
		{ .v6 = true, .vlans = 2 },
		{ .tunnel = true },
		{ .tunnel = true, .v6 = true, .outer_csum = true },
		{ .tunnel = true, .outer_v6 = true, .outer_csum = true, .vlans = 1 },
	};

	scene_reopen(scene, (struct nic_agg_conf){ .want = WANT_ALL, .flags = flags });
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		scene->like = kinds[i];
		one(scene);
	}
}

void scene_everywhere(struct scene *scene, void (*one)(struct scene *scene))
{
	scene_with_flags(scene, 0, one);
	scene_with_flags(scene, NIC_AGG_CSUM_FULL, one);
	scene_with_flags(scene, NIC_AGG_VERIFY, one);
}
