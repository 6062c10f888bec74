/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_virtq_life_test.c -- virtqueues that start, stop and are killed, and drivers that lie */
#include "nic_virtq_common.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

static void stop__then_start__goes_on_where_it_was(void **state)
{
	(void)state;
	for (int round = 0; round < 30; round++) {
		struct virtq_conf conf = driver_queue_conf(&world->queue);
		int id = add_one(64), next;
		struct virtq_chain chain = pop_one();
		uint32_t base;

		assert_int_equal(chain.id, id);
		next = add_one(64);
		virtq_push(&world->vq, &chain, 5);
		virtq_publish(&world->vq);
		base = virtq_stop(&world->vq);
		assert_int_equal(virtq_pop(&world->vq, NULL, 0, &chain), 0);
		assert_int_equal(virtq_start(&world->vq, &conf, base), 0);
		chain = pop_one();
		assert_int_equal(chain.id, next);
		virtq_push(&world->vq, &chain, 6);
		virtq_publish(&world->vq);
		used_is(id, 5);
		used_is(next, 6);
	}
}

/* A device that was killed told nobody its base: the driver's side has it, as the front end reads it. */
static void start__after_a_kill__base_of_the_used_ring(void **state)
{
	struct virtq_conf conf = driver_queue_conf(&world->queue);

	(void)state;
	if (kind.packed)
		return;
	for (int round = 0; round < 30; round++) {
		struct virtq_chain chain;
		uint16_t used;

		use_some(2);
		add_one(64);
		chain = pop_one();
		/* Killed here: pushed, but not published. */
		virtq_push(&world->vq, &chain, 9);
		memset(&world->vq.conf, 0, sizeof(world->vq) - offsetof(struct virtq, conf));
		world->vq.guest = &world->guest;
		world->vq.front = &world->front;
		world->vq.report = &world->report;
		memcpy(&used, (uint8_t *)driver_at(&world->driver, world->queue.device) + 2, 2);
		assert_int_equal(virtq_start(&world->vq, &conf, used), 0);
		chain = pop_one();
		virtq_push(&world->vq, &chain, 1);
		virtq_publish(&world->vq);
		for (int i = 0; i < 2; i++) {
			uint32_t len;

			assert_true(driver_queue_used(&world->queue, &len) >= 0);
		}
		used_is(chain.id, 1);
		used_is(-1, 0);
	}
}

/* The protocol's word, from used_idx on: where a ring will be, and where it was. */
static uint64_t place_word(uint16_t used, bool wrap, uint16_t old, bool old_wrap)
{
	return used | (uint64_t)old << 16 | (uint64_t)wrap << 32 | (uint64_t)old_wrap << 40;
}

/*
 * A publish of two of three chains, and a kill: before the place is written, between that and any store
 * to the ring, before the first flags, after them, and when the driver has been there since.
 */
enum moment { BEFORE_PLACE, BEFORE_RING, BEFORE_FLAGS, AFTER_FLAGS, LATER, MOMENTS };

static uint64_t outliving[(sizeof(struct virtq_place) + 16 * sizeof(struct virtq_place_entry)) / 8];

static struct virtq_place *place_of(void)
{
	return (struct virtq_place *)outliving;
}

static void publish_killed(enum moment moment, int id[3])
{
	struct virtq_conf conf = driver_queue_conf(&world->queue);
	uint16_t old = world->vq.used, flags;
	uint8_t *ring = driver_at(&world->driver, world->queue.desc), before[16 * 16];
	bool old_wrap = world->vq.used_wrap;

	place_of()->word = place_word(old, old_wrap, old, old_wrap);
	world->vq.conf.place = conf.place = place_of();
	conf.resume = true;
	for (int i = 0; i < 3; i++)
		id[i] = add_one(64);
	memcpy(before, ring, sizeof(before));
	for (int i = 0; i < 2; i++) {
		struct virtq_chain chain = pop_one();

		virtq_push(&world->vq, &chain, 1);
	}
	assert_memory_equal(ring, before, sizeof(before));
	if (moment != BEFORE_PLACE) {
		virtq_publish(&world->vq);
		assert_int_equal(place_of()->word, place_word(world->vq.used, world->vq.used_wrap,
							      world->vq.used, world->vq.used_wrap));
		place_of()->word = place_word(world->vq.used, world->vq.used_wrap, old, old_wrap);
	}
	if (moment == BEFORE_RING)
		memcpy(ring, before, sizeof(before));
	memcpy(&flags, before + 16 * old + 14, 2);
	if (moment == BEFORE_FLAGS)
		put16(world->queue.desc + 16ull * old + 14, flags);
	if (moment == LATER) {
		used_is(id[0], 1);
		used_is(id[1], 1);
		/* All the way round, so that the slots of the publish are available again. */
		for (int i = 0; i < 15; i++)
			add_one(64);
	}
	world->vq = (struct virtq){ .guest = &world->guest,
				    .front = &world->front,
				    .report = &world->report };
	assert_int_equal(virtq_start(&world->vq, &conf, 0), 0);
}

static void resume__killed_in_a_publish__all_of_it_or_nothing(void **state)
{
	(void)state;
	if (!kind.packed)
		return;
	for (unsigned round = 0; round < 40 * MOMENTS; round++) {
		enum moment moment = round % MOMENTS;
		bool published = moment != BEFORE_PLACE;
		int id[3];

		publish_killed(moment, id);
		for (int i = published ? 2 : 0; i < 3; i++) {
			struct virtq_chain next = pop_one();

			assert_int_equal(next.id, id[i]);
			virtq_push(&world->vq, &next, 2);
		}
		virtq_publish(&world->vq);
		for (int i = moment == LATER ? 2 : 0; i < 3; i++)
			used_is(id[i], published && i < 2 ? 1 : 2);
		if (moment == LATER)
			for (int i = 0; i < 15; i++) {
				struct virtq_chain next = pop_one();

				virtq_push(&world->vq, &next, 3);
				virtq_publish(&world->vq);
				used_is(next.id, 3);
			}
		used_is(-1, 0);
	}
}

/* It is the front end's memory: what stands in it is not believed. */
static void resume__place_that_lies__refused_or_its_own_ring_alone(void **state)
{
	struct virtq_conf conf = driver_queue_conf(&world->queue);
	struct virtq_chain chain;

	(void)state;
	if (!kind.packed)
		return;
	conf.place = place_of();
	conf.resume = true;
	for (int i = 0; i < 4; i++) {
		static const uint64_t bad[] = { 16, 16 << 16, 2ull << 32, 2ull << 40 };

		place_of()->word = bad[i];
		assert_int_equal(virtq_start(&world->vq, &conf, 0), -EINVAL);
		assert_false(world->vq.running);
	}
	/* Entries that lead nowhere. */
	for (uint16_t slots = 0; slots < 3; slots++) {
		memset(outliving, 0, sizeof(outliving));
		world_start(16);
		conf.desc = driver_queue_conf(&world->queue).desc;
		conf.driver = driver_queue_conf(&world->queue).driver;
		conf.device = driver_queue_conf(&world->queue).device;
		add_one(64);
		for (int i = 0; i < 16; i++)
			place_of()->entry[i].slots = slots == 2 ? 17 : slots * 4;
		place_of()->word = place_word(1, true, 0, true);
		assert_int_equal(virtq_start(&world->vq, &conf, 0), -EINVAL);
	}
	/* While the queue runs: it is broken, and the device is not. */
	world_start(16);
	world->vq.conf.place = place_of();
	add_one(64);
	chain = pop_one();
	virtq_push(&world->vq, &chain, 1);
	place_of()->entry[0].slots = 7;
	virtq_publish(&world->vq);
	assert_true(world->vq.broken);
	world_start(16);
}

static void start__what_it_cannot_be__refused(void **state)
{
	const struct virtq_conf good = driver_queue_conf(&world->queue);
	struct virtq_conf conf = good;

	(void)state;
	virtq_stop(&world->vq);
	conf.size = 0;
	assert_int_equal(virtq_start(&world->vq, &conf, 0), -EINVAL);
	conf.size = VIRTQ_SIZE_MAX * 2;
	assert_int_equal(virtq_start(&world->vq, &conf, 0), -EINVAL);
	conf = good;
	conf.size = 12;
	assert_int_equal(virtq_start(&world->vq, &conf, kind.packed ? 12 : 0), -EINVAL);
	conf = good;
	conf.desc += 8;
	assert_int_equal(virtq_start(&world->vq, &conf, 0), -EFAULT);
	conf = good;
	conf.device = DRIVER_FRONT + DRIVER_LEN - 2;
	assert_int_equal(virtq_start(&world->vq, &conf, 0), -EFAULT);
	conf = good;
	conf.driver = UINT64_MAX - 1;
	assert_int_equal(virtq_start(&world->vq, &conf, 0), -EFAULT);
	conf = good;
	conf.desc = 0;
	assert_int_equal(virtq_start(&world->vq, &conf, 0), -EFAULT);
	assert_int_equal(virtq_start(&world->vq, &good, kind.packed ? 1u << 15 | 1u << 31 : 0), 0);
}

static void locate__maps_moved__ring_found_again_or_broken(void **state)
{
	(void)state;
	add_one(64);
	driver_map(&world->driver, &world->guest, &world->front);
	assert_int_equal(virtq_locate(&world->vq), 0);
	pop_one();
	remap_draft_clear(&world->front);
	remap_flip(&world->front);
	assert_int_equal(virtq_locate(&world->vq), -EFAULT);
	add_one(64);
	struct virtq_piece piece[4];
	struct virtq_chain chain;
	assert_int_equal(virtq_pop(&world->vq, piece, 4, &chain), -EPROTO);
	assert_false(virtq_kick_enable(&world->vq));
	assert_int_equal(virtq_room(&world->vq, 4), 0);
}

/* ---- hostile drivers ---- */

static void is_broken(const char *how)
{
	struct virtq_piece piece[16];
	struct virtq_chain chain;

	if (virtq_pop(&world->vq, piece, 16, &chain) != -EPROTO)
		fail_msg("%s: not refused", how);
	assert_true(world->vq.broken);
	/* From now on, whatever the driver does. */
	assert_int_equal(virtq_pop(&world->vq, piece, 16, &chain), -EPROTO);
	world_start(16);
}

static void put64(uint64_t gpa, uint64_t value)
{
	memcpy(driver_at(&world->driver, gpa), &value, 8);
}

static void pop__buffer_that_cannot_be__broken(void **state)
{
	static const struct {
		uint64_t gpa;
		uint32_t len;
		const char *how;
	} bad[] = {
		{ DRIVER_GPA, 0, "an empty buffer" },
		{ 0, 16, "below" },
		{ DRIVER_GPA - 1, 16, "begins below" },
		{ DRIVER_GPA + DRIVER_LEN - 8, 9, "ends above" },
		{ DRIVER_GPA + DRIVER_LEN, 1, "above" },
		{ UINT64_MAX - 7, 16, "wraps" },
		{ DRIVER_GPA, UINT32_MAX, "4 GiB" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct driver_buffer buffer[] = { { world->buffer, 16, false },
						  { bad[i].gpa, bad[i].len, true } };

		driver_queue_add(&world->queue, buffer, 2);
		is_broken(bad[i].how);
		driver_queue_add(&world->queue, &buffer[1], 1);
		is_broken(bad[i].how);
	}
}

static void pop__read_behind_write__broken(void **state)
{
	const struct driver_buffer buffer[] = { { world->buffer, 16, true },
						{ world->buffer, 16, false } };

	(void)state;
	driver_queue_add(&world->queue, buffer, 2);
	is_broken("a buffer to read behind one to write");
}

static void pop__links_that_lie__broken(void **state)
{
	const struct driver_buffer buffer[] = { { world->buffer, 16, true },
						{ world->buffer, 16, true } };
	uint64_t at;
	int id;

	(void)state;
	if (kind.indirect)
		return;
	id = driver_queue_add(&world->queue, buffer, 2);
	at = world->queue.desc + 16ull * (unsigned)id;
	if (kind.packed) {
		put16(at + 16 + 12, 16);
		is_broken("a buffer id past the end");
		for (uint64_t i = 0; i < 16; i++)
			put16(world->queue.desc + 16 * i + 14,
			      1u << VRING_PACKED_DESC_F_AVAIL | VRING_DESC_F_NEXT);
		for (uint64_t i = 0; i < 16; i++) {
			put64(world->queue.desc + 16 * i, world->buffer);
			memcpy(driver_at(&world->driver, world->queue.desc + 16 * i + 8), "\1\0\0",
			       4);
		}
		is_broken("a chain longer than its ring");
		return;
	}
	put16(at + 14, 16);
	is_broken("a link past the end");
	id = driver_queue_add(&world->queue, buffer, 2);
	at = world->queue.desc + 16ull * (unsigned)id;
	put16(at + 14, (uint16_t)id);
	is_broken("a chain that goes round");
	add_one(16);
	put16(world->queue.avail + 4, 16);
	is_broken("a head past the end");
	put16(world->queue.avail + 2, 17);
	is_broken("more chains than descriptors");
}

static void pop__tables_that_lie__broken(void **state)
{
	const struct driver_buffer buffer[] = { { world->buffer, 16, true },
						{ world->buffer, 16, true } };
	static const struct {
		unsigned off;
		uint64_t value;
		unsigned len;
		bool desc, split_alone;
		const char *how;
	} bad[] = {
		{ 8, 0, 4, true, false, "a table of 0" },
		{ 8, 24, 4, true, false, "a table of one and a half" },
		{ 8, 16u * 32769, 4, true, false, "a table of too many" },
		{ 0, 0, 8, true, false, "a table nowhere" },
		{ 0, UINT64_MAX - 15, 8, true, false, "a table that wraps" },
		{ 0, DRIVER_GPA + DRIVER_LEN - 16, 8, true, false, "a table that ends outside" },
		{ 0, UINT64_MAX - 3, 8, false, false, "a buffer in a table that wraps" },
		{ 8, 0, 4, false, false, "an empty buffer in a table" },
		{ 14, 2, 2, false, true, "a link out of its table" },
		{ 14, 0, 2, false, true, "a table that goes round" },
	};

	(void)state;
	if (!kind.indirect)
		return;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		int id = driver_queue_add(&world->queue, buffer, 2);
		uint64_t at = bad[i].desc ? world->queue.desc : world->queue.table[id];

		if (bad[i].split_alone && kind.packed) {
			world_start(16);
			continue;
		}
		memcpy(driver_at(&world->driver, at + bad[i].off), &bad[i].value, bad[i].len);
		is_broken(bad[i].how);
	}
	for (unsigned nested = 0; nested < 2; nested++) {
		int id = driver_queue_add(&world->queue, buffer, 2);
		uint64_t at = nested ? world->queue.table[id] : world->queue.desc;
		uint64_t flags_at = at + (kind.packed ? 14 : 12);
		uint16_t flags;

		memcpy(&flags, driver_at(&world->driver, flags_at), 2);
		put16(flags_at, flags | (nested ? VRING_DESC_F_INDIRECT : VRING_DESC_F_NEXT));
		is_broken(nested ? "a table in a table" : "a table with a next");
	}
	driver_queue_add(&world->queue, buffer, 2);
	world->vq.conf.indirect = false;
	is_broken("a table that was not negotiated");
}

int main(void)
{
	const struct CMUnitTest list[] = {
		VIRTQ_TEST(stop__then_start__goes_on_where_it_was),
		VIRTQ_TEST(start__after_a_kill__base_of_the_used_ring),
		VIRTQ_TEST(resume__killed_in_a_publish__all_of_it_or_nothing),
		VIRTQ_TEST(resume__place_that_lies__refused_or_its_own_ring_alone),
		VIRTQ_TEST(start__what_it_cannot_be__refused),
		VIRTQ_TEST(locate__maps_moved__ring_found_again_or_broken),
		VIRTQ_TEST(pop__buffer_that_cannot_be__broken),
		VIRTQ_TEST(pop__read_behind_write__broken),
		VIRTQ_TEST(pop__links_that_lie__broken),
		VIRTQ_TEST(pop__tables_that_lie__broken),
	};

	return virtq_run(list, COUNT_OF(list));
}
