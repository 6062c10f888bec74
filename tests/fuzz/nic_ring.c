/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_ring.c -- fuzz target: each side of a NIC ring against shared memory that the other side wrote
 *
 * Input: operations. The bytes write anywhere into the control fields and the posts, between honest
 * traffic. Whatever is in them, both sides keep their invariants, no chain leads out of its buffer,
 * and no buffer is in two hands.
 */
#include "base/assert.h"
#include "nicdrv/ring/ring.h"
#include "tests/unit/nic_common.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BUFFERS 16
#define HELD_MAX 8

struct world {
	const uint8_t *data;
	size_t left;
	struct nic_ring_map map;
	struct nic_ring_device *device;
	struct nic_ring_host *host;
	struct nic_agg *agg;
	struct nic_chain held[HELD_MAX];
	unsigned held_count;
	struct desc next;
};

static struct frame frame;

static unsigned byte(struct world *world)
{
	if (world->left == 0)
		return 0;
	world->left--;
	return *world->data++;
}

static void world_open(struct world *world)
{
	struct nic_ring_conf conf = { .buffer_count = BUFFERS, .buffer_size = 1024 };
	struct nic_agg_conf agg = { .flow_max = 8 };
	int fd;

	FARBUS_ASSERT(nic_ring_create(&conf, &fd) == 0);
	FARBUS_ASSERT(nic_ring_map(fd, &world->map) == 0);
	close(fd);
	FARBUS_ASSERT(nic_ring_device_new(&world->map, &world->device) == 0);
	FARBUS_ASSERT(nic_ring_host_new(&world->map, &world->host) == 0);
	FARBUS_ASSERT(nic_agg_new(&agg, &nic_ring_sink_ops, world->device, &world->agg) == 0);
}

static void world_close(struct world *world)
{
	nic_agg_free(world->agg);
	nic_ring_device_free(world->device);
	nic_ring_host_free(world->host);
	nic_ring_unmap(&world->map);
}

static void packets_in(struct world *world)
{
	unsigned count = byte(world) % 8, len = byte(world) * 8 + 1;

	for (unsigned i = 0; i < count; i++) {
		world->next.payload_len = len;
		world->next.id++;
		frame_build(&world->next, &frame);
		world->next.seq += len;
		struct nic_packet packet = frame_packet(&frame);
		nic_agg_input(world->agg, &packet, 0);
	}
	nic_agg_flush(world->agg);
}

/* Every byte a chain names is inside its buffer, and no other chain's. */
static void chain_walk(struct world *world, const struct nic_chain *chain)
{
	uint32_t len = 0, count = 0;

	for (const struct nic_mbuf *mbuf = chain->first; mbuf; mbuf = mbuf->next) {
		const uint8_t *buffer = world->map.buffers + (size_t)mbuf->buffer * 1024;

		FARBUS_ASSERT(mbuf->buffer < BUFFERS);
		FARBUS_ASSERT(mbuf->data >= buffer);
		FARBUS_ASSERT(mbuf->data + mbuf->len <= buffer + 1024);
		FARBUS_ASSERT(mbuf->len > 0);
		for (unsigned i = 0; i < world->held_count; i++)
			for (const struct nic_mbuf *other = world->held[i].first; other;
			     other = other->next)
				FARBUS_ASSERT(other != mbuf);
		len += mbuf->len;
		count++;
	}
	FARBUS_ASSERT(len == chain->len);
	FARBUS_ASSERT(count == chain->mbuf_count);
	nic_chain_virtio(chain);
}

static void recv_some(struct world *world)
{
	struct nic_chain chain;

	if (world->held_count == HELD_MAX || nic_ring_host_recv(world->host, &chain, 1) != 1)
		return;
	chain_walk(world, &chain);
	world->held[world->held_count++] = chain;
}

static void release_one(struct world *world)
{
	if (world->held_count == 0)
		return;
	unsigned which = byte(world) % world->held_count;
	FARBUS_ASSERT(nic_ring_host_release(world->host, &world->held[which]) == 0);
	world->held[which] = world->held[--world->held_count];
}

/* The other side writes what it likes. */
static void scribble(struct world *world, uint8_t *where, size_t room)
{
	size_t at = (byte(world) | (size_t)byte(world) << 8) % room;
	unsigned count = 1 + byte(world) % 4;

	for (unsigned i = 0; i < count && at + i < room; i++)
		where[at + i] = (uint8_t)byte(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world world = { .data = data, .left = size };

	world_open(&world);
	while (world.left > 0) {
		switch (byte(&world) % 6) {
		case 0:
			packets_in(&world);
			break;
		case 1:
			recv_some(&world);
			break;
		case 2:
			release_one(&world);
			break;
		case 3:
			scribble(&world, (uint8_t *)world.map.field,
				 world.map.slot_count * sizeof(struct nic_field));
			break;
		case 4:
			scribble(&world, (uint8_t *)world.map.post,
				 world.map.slot_count * sizeof(struct nic_post));
			break;
		default:
			nic_ring_host_arm(world.host);
			nic_ring_device_wake(world.device);
		}
		nic_ring_device_check(world.device);
		nic_ring_host_check(world.host);
	}
	world_close(&world);
	return 0;
}
