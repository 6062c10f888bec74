/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_scene.h -- an aggregator with a collecting sink, for the cases of nic_agg_*_test.c */
#ifndef TESTS_UNIT_NIC_SCENE_H
#define TESTS_UNIT_NIC_SCENE_H

#include "addrmap_common.h"
#include "nic_common.h"

#define L 100 /* payload of an ordinary packet */
#define WANT_ALL (NIC_WANT_TCP4 | NIC_WANT_TCP6 | NIC_WANT_UDP | NIC_WANT_VXLAN)

struct scene {
	struct collect collect;
	struct frame frame;
	struct nic_agg *agg;
	struct desc like; /* IPv4, IPv6, tunnel: what all packets of the case have */
};

/* Verifies checksums, and wants everything. */
int scene_setup(void **state);
/* Nothing may be left open. */
int scene_teardown(void **state);
void scene_reopen(struct scene *scene, struct nic_agg_conf conf);
/* What all packets of the case share comes from scene->like. */
void scene_send(struct scene *scene, struct desc desc);
/* The n-th packet of a flow in order, with consecutive IDs. */
struct desc nth(unsigned n);
/* Flushes; exactly these payload lengths came out, in this order. */
void scene_expect(struct scene *scene, const uint32_t *lengths, unsigned count);

#define EXPECT(scene, ...)                                     \
	scene_expect(scene, (const uint32_t[]){ __VA_ARGS__ }, \
		     sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

/* The case over every kind of headers, with these flags of the aggregator. */
void scene_with_flags(struct scene *scene, unsigned flags, void (*one)(struct scene *scene));
/*
 * ... and with several. Also without verification: a field that nobody compares would else be
 * noticed by its checksum alone.
 */
void scene_everywhere(struct scene *scene, void (*one)(struct scene *scene));

#endif
