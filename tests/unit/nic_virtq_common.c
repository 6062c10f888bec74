/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_virtq_common.c -- a queue and its driver, for all kinds of rings */
#include "nic_virtq_common.h"

#include <stdlib.h>
#include <string.h>

#define CASE_MAX 32

struct kind kind;
struct world *world;

static struct kind kinds[] = {
	{ false, false, false }, { false, true, false }, { true, false, false },
	{ true, true, false },	 { false, true, true },	 { true, true, true },
};

void world_start(uint16_t size)
{
	struct virtq_conf conf;

	world->queue = (struct driver_queue){ .packed = kind.packed,
					      .event_idx = kind.event_idx,
					      .indirect = kind.indirect };
	driver_queue_init(&world->queue, &world->driver, size);
	conf = driver_queue_conf(&world->queue);
	/* A packed ring begins with both wrap bits set. */
	assert_int_equal(virtq_start(&world->vq, &conf, kind.packed ? 1u << 15 | 1u << 31 : 0), 0);
}

static int setup(void **state)
{
	kind = *(struct kind *)*state;
	world = calloc(1, sizeof(*world));
	driver_open(&world->driver);
	assert_int_equal(remap_init(&world->guest), 0);
	assert_int_equal(remap_init(&world->front), 0);
	driver_map(&world->driver, &world->guest, &world->front);
	world->vq.guest = &world->guest;
	world->vq.front = &world->front;
	world->vq.report = &world->report;
	world->buffer = driver_alloc(&world->driver, 65536, 4096);
	world_start(16);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	virtq_check(&world->vq);
	remap_fini(&world->guest);
	remap_fini(&world->front);
	driver_close(&world->driver);
	free(world);
	return 0;
}

int add_one(uint32_t len)
{
	struct driver_buffer buffer = { world->buffer, len, true };

	return driver_queue_add(&world->queue, &buffer, 1);
}

struct virtq_chain pop_one(void)
{
	struct virtq_piece piece[16];
	struct virtq_chain chain = { 0 };

	assert_int_equal(virtq_pop(&world->vq, piece, 16, &chain), 1);
	return chain;
}

void used_is(int id, uint32_t len)
{
	uint32_t used_len = 0;

	assert_int_equal(driver_queue_used(&world->queue, &used_len), id);
	if (id >= 0)
		assert_int_equal(used_len, len);
}

void put16(uint64_t gpa, uint16_t value)
{
	memcpy(driver_at(&world->driver, gpa), &value, 2);
}

void use_some(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct virtq_chain chain;

		add_one(64);
		chain = pop_one();
		virtq_push(&world->vq, &chain, 0);
	}
	virtq_publish(&world->vq);
}

int virtq_run(const struct CMUnitTest *list, size_t count)
{
	struct CMUnitTest tests[CASE_MAX * COUNT_OF(kinds)];

	if (count > CASE_MAX)
		abort();
	for (size_t k = 0; k < COUNT_OF(kinds); k++)
		for (size_t i = 0; i < count; i++) {
			struct CMUnitTest *test = &tests[k * count + i];

			*test = list[i];
			test->setup_func = setup;
			test->teardown_func = teardown;
			test->initial_state = &kinds[k];
		}
	return _cmocka_run_group_tests("virtq", tests, count * COUNT_OF(kinds), NULL, NULL);
}
