/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_virtq.c -- fuzz target: a driver that writes anything into its rings, at any time
 *
 * Input: a byte of what was negotiated, then operations; some write bytes of the input into the
 * rings, others let the device go on. Whatever is in them: each piece that is handed out is the
 * driver's memory, and the queue keeps its invariants.
 */
#include "base/assert.h"
#include "tests/unit/nic_driver.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PIECES 8
#define HELD_MAX 8
#define SIZE 8

static struct driver driver;
static struct remap guest, front;
static struct dirty_report report;
static _Atomic uint64_t log_words[(DRIVER_GPA + DRIVER_LEN) / 4096 / 64];

struct world {
	const uint8_t *data;
	size_t left;
	struct driver_queue queue;
	struct virtq vq;
	struct virtq_chain held[HELD_MAX];
	unsigned held_count;
	uint64_t buffer;
};

static unsigned byte(struct world *world)
{
	if (world->left == 0)
		return 0;
	world->left--;
	return *world->data++;
}

static void pieces_judge(const struct virtq_piece *piece, const struct virtq_chain *chain)
{
	uint64_t len[2] = { 0, 0 };

	FARBUS_ASSERT(chain->read_count + chain->write_count <= PIECES);
	for (int i = 0; i < chain->read_count + chain->write_count; i++) {
		void *at = remap_at(&guest, piece[i].bus, piece[i].len, REMAP_READ);

		FARBUS_ASSERT(at && at == piece[i].at);
		/* It can be touched, from the first byte to the last. */
		len[i >= chain->read_count] += piece[i].len;
		if (i >= chain->read_count)
			((uint8_t *)at)[piece[i].len - 1] ^= 1;
	}
	FARBUS_ASSERT(len[0] == chain->read_len && len[1] == chain->write_len);
}

static void pop(struct world *world)
{
	struct virtq_piece piece[PIECES];
	struct virtq_chain *chain = &world->held[world->held_count];

	if (world->held_count == HELD_MAX ||
	    virtq_pop(&world->vq, piece, 1 + byte(world) % PIECES, chain) != 1)
		return;
	pieces_judge(piece, chain);
	world->held_count++;
}

static void driver_writes(struct world *world)
{
	static const uint8_t lens[] = { 1, 2, 4, 8, 16 };
	const uint64_t part[] = { world->queue.desc, world->queue.avail, world->queue.device,
				  world->queue.indirect ? world->queue.table[0] :
							  world->queue.desc };
	uint8_t *to = driver_at(&driver, part[byte(world) % 4] + byte(world) % 192);

	for (unsigned i = lens[byte(world) % sizeof(lens)]; i > 0; i--)
		*to++ = (uint8_t)byte(world);
}

static void driver_adds(struct world *world)
{
	struct driver_buffer buffer[4];
	unsigned count = 1 + byte(world) % 4;

	for (unsigned i = 0; i < count; i++)
		buffer[i] = (struct driver_buffer){ world->buffer + byte(world) * 16, byte(world),
						    byte(world) & 1 };
	driver_queue_add(&world->queue, buffer, count);
}

static void step(struct world *world)
{
	switch (byte(world) % 8) {
	case 0:
		driver_writes(world);
		break;
	case 1:
		driver_adds(world);
		break;
	case 2:
		pop(world);
		break;
	case 3:
		if (world->held_count > 0)
			virtq_push(&world->vq, &world->held[--world->held_count],
				   byte(world) * 256);
		break;
	case 4:
		virtq_publish(&world->vq);
		virtq_notify_wanted(&world->vq);
		break;
	case 5:
		if (byte(world) & 1)
			virtq_kick_enable(&world->vq);
		else
			virtq_kick_disable(&world->vq);
		break;
	case 6:
		FARBUS_ASSERT(virtq_room(&world->vq, 4) <= 4);
		break;
	default:
		if (world->held_count > 0 && world->vq.pending == 0)
			virtq_unpop(&world->vq, &world->held[--world->held_count]);
	}
	virtq_check(&world->vq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world world = { .data = data, .left = size };
	struct virtq_conf conf;
	unsigned kind = byte(&world);

	if (!driver.memory) {
		driver_open(&driver);
		FARBUS_ASSERT(remap_init(&guest) == 0 && remap_init(&front) == 0);
		driver_map(&driver, &guest, &front);
		dirty_report_log_set(&report, log_words, sizeof(log_words));
	}
	driver.used = 4096;
	memset(driver.memory, 0, 65536);
	world.queue = (struct driver_queue){ .packed = kind & 1,
					     .event_idx = kind & 2,
					     .indirect = kind & 4 };
	driver_queue_init(&world.queue, &driver, SIZE);
	world.buffer = driver_alloc(&driver, 8192, 4096);
	conf = driver_queue_conf(&world.queue);
	conf.log = kind & 8;
	world.vq = (struct virtq){ .guest = &guest, .front = &front, .report = &report };
	FARBUS_ASSERT(virtq_start(&world.vq, &conf, kind & 1 ? 1u << 15 | 1u << 31 : 0) == 0);
	while (world.left > 0)
		step(&world);
	virtq_publish(&world.vq);
	virtq_stop(&world.vq);
	return 0;
}
