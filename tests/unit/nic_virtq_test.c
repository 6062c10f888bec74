/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_virtq_test.c -- virtqueues, split and packed, against a driver that follows the specification
 *
 * Each case runs for both kinds of rings, with and without event indices.
 */
#include "addrmap_common.h"
#include "nic_driver.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct kind {
	bool packed, event_idx, indirect;
};

struct world {
	struct driver driver;
	struct driver_queue queue;
	struct remap guest, front;
	struct dirty_report report;
	struct virtq vq;
	struct kind kind;
	uint64_t buffer; /* 64 KiB of the guest's */
};

static struct kind kind;
static struct world *world;

static void world_start(uint16_t size)
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

/* A chain with one buffer to write. */
static int add_one(uint32_t len)
{
	struct driver_buffer buffer = { world->buffer, len, true };

	return driver_queue_add(&world->queue, &buffer, 1);
}

static struct virtq_chain pop_one(void)
{
	struct virtq_piece piece[16];
	struct virtq_chain chain = { 0 };

	assert_int_equal(virtq_pop(&world->vq, piece, 16, &chain), 1);
	return chain;
}

static void used_is(int id, uint32_t len)
{
	uint32_t used_len = 0;

	assert_int_equal(driver_queue_used(&world->queue, &used_len), id);
	if (id >= 0)
		assert_int_equal(used_len, len);
}

/* ---- chains ---- */

static void pop__chain__pieces_in_order(void **state)
{
	const struct driver_buffer buffer[] = {
		{ world->buffer, 10, false },
		{ world->buffer + 4096, 4000, false },
		{ world->buffer + 100, 77, true },
	};
	struct virtq_piece piece[16];
	struct virtq_chain chain;
	int id;

	(void)state;
	assert_int_equal(virtq_pop(&world->vq, piece, 16, &chain), 0);
	id = driver_queue_add(&world->queue, buffer, 3);
	assert_int_equal(virtq_pop(&world->vq, piece, 16, &chain), 1);
	assert_int_equal(chain.id, id);
	assert_int_equal(chain.read_count, 2);
	assert_int_equal(chain.write_count, 1);
	assert_int_equal(chain.read_len, 4010);
	assert_int_equal(chain.write_len, 77);
	assert_false(chain.cut);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(piece[i].bus, buffer[i].gpa);
		assert_int_equal(piece[i].len, buffer[i].len);
		*(uint8_t *)driver_at(&world->driver, buffer[i].gpa) = (uint8_t)(i + 1);
		assert_int_equal(*(uint8_t *)piece[i].at, i + 1);
	}
	assert_int_equal(virtq_pop(&world->vq, piece, 16, &chain), 0);
}

static void pop__buffer_across_two_ranges__two_pieces(void **state)
{
	struct driver_buffer buffer = { DRIVER_GPA + DRIVER_SPLIT - 100, 300, true };
	struct virtq_piece piece[16];
	struct virtq_chain chain;

	(void)state;
	driver_queue_add(&world->queue, &buffer, 1);
	assert_int_equal(virtq_pop(&world->vq, piece, 16, &chain), 1);
	assert_int_equal(chain.write_count, 2);
	assert_int_equal(chain.write_len, 300);
	assert_int_equal(piece[0].len, 100);
	assert_int_equal(piece[1].len, 200);
	assert_int_equal(piece[1].bus, DRIVER_GPA + DRIVER_SPLIT);
}

static void pop__more_pieces_than_room__cut(void **state)
{
	struct driver_buffer buffer[4];
	struct virtq_piece piece[3];
	struct virtq_chain chain;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		buffer[i] = (struct driver_buffer){ world->buffer, 8, true };
	driver_queue_add(&world->queue, buffer, 4);
	assert_int_equal(virtq_pop(&world->vq, piece, 3, &chain), 1);
	assert_true(chain.cut);
	assert_int_equal(chain.write_count, 3);
	assert_int_equal(chain.write_len, 24);
	virtq_push(&world->vq, &chain, 0);
	virtq_publish(&world->vq);
	used_is(chain.id, 0);
}

static void publish__pushed_before__nothing_seen_until_then(void **state)
{
	int id[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		id[i] = add_one(100);
	for (int i = 0; i < 4; i++) {
		struct virtq_chain chain = pop_one();

		virtq_push(&world->vq, &chain, (uint32_t)(10 + i));
		used_is(-1, 0);
	}
	virtq_publish(&world->vq);
	for (int i = 0; i < 4; i++)
		used_is(id[i], (uint32_t)(10 + i));
	used_is(-1, 0);
}

static void push__another_order__used_in_that_order(void **state)
{
	struct virtq_chain chain[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		add_one(100);
		chain[i] = pop_one();
	}
	for (int i = 2; i >= 0; i--)
		virtq_push(&world->vq, &chain[i], (uint32_t)i);
	virtq_publish(&world->vq);
	for (int i = 2; i >= 0; i--)
		used_is(chain[i].id, (uint32_t)i);
}

static void unpop__across_the_end__popped_again(void **state)
{
	(void)state;
	for (int round = 0; round < 40; round++) {
		struct virtq_chain chain[3], again;

		for (int i = 0; i < 3; i++) {
			add_one(100);
			chain[i] = pop_one();
		}
		virtq_unpop(&world->vq, &chain[2]);
		virtq_unpop(&world->vq, &chain[1]);
		for (int i = 1; i < 3; i++) {
			again = pop_one();
			assert_int_equal(again.id, chain[i].id);
		}
		for (int i = 0; i < 3; i++)
			virtq_push(&world->vq, &chain[i], 1);
		virtq_publish(&world->vq);
		for (int i = 0; i < 3; i++)
			used_is(chain[i].id, 1);
	}
}

/* Chains of all lengths, pushed in any order, some pages later: each comes back once. */
static void ring__random_traffic__every_chain_once(void **state)
{
	struct virtq_chain held[16];
	unsigned held_count = 0, under_way = 0;
	uint64_t random = 7;

	(void)state;
	for (unsigned step = 0; step < ROUNDS(40000); step++) {
		struct driver_buffer buffer[4];
		struct virtq_piece piece[16];
		unsigned count = 1 + (unsigned)random_below(&random, 4);
		uint32_t len;

		switch (random_below(&random, 4)) {
		case 0:
			for (unsigned i = 0; i < count; i++)
				buffer[i] =
					(struct driver_buffer){ world->buffer + 64 * i, 64, i > 1 };
			under_way += driver_queue_add(&world->queue, buffer, count) >= 0;
			break;
		case 1:
			if (held_count < 16)
				held_count +=
					virtq_pop(&world->vq, piece, 16, &held[held_count]) == 1;
			break;
		case 2:
			if (held_count > 0) {
				unsigned at = (unsigned)random_below(&random, held_count);

				virtq_push(&world->vq, &held[at], held[at].write_len);
				held[at] = held[--held_count];
			}
			break;
		default:
			virtq_publish(&world->vq);
			while (driver_queue_used(&world->queue, &len) >= 0) {
				assert_true(len % 64 == 0 && len <= 128);
				under_way--;
			}
		}
		virtq_check(&world->vq);
	}
	while (held_count > 0)
		virtq_push(&world->vq, &held[--held_count], 0);
	for (struct virtq_piece piece[16]; virtq_pop(&world->vq, piece, 16, &held[0]) == 1;)
		virtq_push(&world->vq, &held[0], 0);
	virtq_publish(&world->vq);
	for (uint32_t len; driver_queue_used(&world->queue, &len) >= 0;)
		under_way--;
	assert_int_equal(under_way, 0);
	assert_int_equal(world->queue.free_count, 16);
}

static void room__some_chains__as_many(void **state)
{
	(void)state;
	assert_int_equal(virtq_room(&world->vq, 64), 0);
	for (uint32_t i = 1; i <= 16; i++) {
		add_one(64);
		assert_int_equal(virtq_room(&world->vq, 64), i);
	}
	assert_int_equal(virtq_room(&world->vq, 5), 5);
	for (uint32_t i = 16; i > 0; i--) {
		assert_int_equal(virtq_room(&world->vq, 64), i);
		pop_one();
	}
	assert_int_equal(virtq_room(&world->vq, 64), 0);
}

/* ---- events ---- */

static void use_some(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct virtq_chain chain;

		add_one(64);
		chain = pop_one();
		virtq_push(&world->vq, &chain, 0);
	}
	virtq_publish(&world->vq);
}

static void drain(void)
{
	for (uint32_t len; driver_queue_used(&world->queue, &len) >= 0;)
		;
}

static void notify_wanted__driver_says_yes_or_no__heard(void **state)
{
	(void)state;
	if (kind.event_idx)
		return;
	for (int round = 0; round < 40; round++) {
		driver_queue_calls_on(&world->queue);
		use_some(3);
		assert_true(virtq_notify_wanted(&world->vq));
		drain();
		driver_queue_calls_off(&world->queue);
		use_some(2);
		assert_false(virtq_notify_wanted(&world->vq));
		drain();
	}
}

/* The driver names the chain it waits for; the burst that has it notifies, and no other. */
static void notify_wanted__event_index__the_burst_that_passes_it(void **state)
{
	uint64_t random = 3;

	(void)state;
	if (!kind.event_idx)
		return;
	driver_queue_calls_after(&world->queue, 1);
	use_some(1);
	assert_true(virtq_notify_wanted(&world->vq));
	drain();
	for (int round = 0; round < 2000; round++) {
		unsigned wait = 1 + (unsigned)random_below(&random, 8), used = 0;

		driver_queue_calls_after(&world->queue, (uint16_t)wait);
		while (used < wait) {
			unsigned burst = 1 + (unsigned)random_below(&random, 4);

			use_some(burst);
			assert_int_equal(virtq_notify_wanted(&world->vq), used + burst >= wait);
			used += burst;
		}
		drain();
		/* It has not asked again: nothing until it does. */
		use_some(1);
		assert_false(virtq_notify_wanted(&world->vq));
		drain();
	}
}

static void kick_enable__then_chains__one_kick_is_due(void **state)
{
	(void)state;
	for (int round = 0; round < 100; round++) {
		assert_false(virtq_kick_enable(&world->vq));
		add_one(64);
		assert_true(driver_queue_kick_due(&world->queue));
		add_one(64);
		if (kind.event_idx)
			assert_false(driver_queue_kick_due(&world->queue));
		virtq_kick_disable(&world->vq);
		add_one(64);
		assert_false(driver_queue_kick_due(&world->queue));
		/* What came meanwhile has no kick: whoever enables is told. */
		assert_true(virtq_kick_enable(&world->vq));
		for (int i = 0; i < 3; i++) {
			struct virtq_chain chain = pop_one();

			virtq_push(&world->vq, &chain, 0);
		}
		virtq_publish(&world->vq);
		drain();
	}
}

/* ---- life ---- */

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

static void put16(uint64_t gpa, uint16_t value)
{
	memcpy(driver_at(&world->driver, gpa), &value, 2);
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

/* ---- the log ---- */

/*
 * The log's page is taken away; the store to it faults, and the handler looks at what the guest would
 * see at that moment: the payload has to be there already, and the used index not yet.
 */
static struct {
	uint8_t *log;
	const uint8_t *payload;
	bool payload_there, index_there;
	int faults;
} at_log;

static bool index_there(void)
{
	uint16_t word;

	if (kind.packed) {
		memcpy(&word, (uint8_t *)driver_at(&world->driver, world->queue.desc) + 14, 2);
		return word & 1u << VRING_PACKED_DESC_F_USED;
	}
	memcpy(&word, (uint8_t *)driver_at(&world->driver, world->queue.device) + 2, 2);
	return word != 0;
}

static void on_log(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	if ((uint8_t *)info->si_addr < at_log.log || (uint8_t *)info->si_addr >= at_log.log + 65536)
		abort();
	at_log.faults++;
	at_log.payload_there = *at_log.payload == 0xab;
	at_log.index_there = index_there();
	mprotect(at_log.log, 65536, PROT_READ | PROT_WRITE);
}

static bool log_has(uint64_t gpa)
{
	return at_log.log[gpa / 4096 / 8] >> gpa / 4096 % 8 & 1;
}

static void publish__log_is_on__payload_then_log_then_index(void **state)
{
	struct sigaction action = { .sa_sigaction = on_log, .sa_flags = SA_SIGINFO }, before;
	struct virtq_piece piece[16];
	struct virtq_chain chain;

	(void)state;
	memset(&at_log, 0, sizeof(at_log));
	at_log.log = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	at_log.payload = driver_at(&world->driver, world->buffer);
	dirty_report_log_set(&world->report, at_log.log, 65536);
	world->vq.conf.log = true;
	sigaction(SIGSEGV, &action, &before);
	add_one(64);
	assert_int_equal(virtq_pop(&world->vq, piece, 16, &chain), 1);
	*(uint8_t *)piece[0].at = 0xab;
	dirty_report_add(&world->report, piece[0].bus, 1);
	virtq_push(&world->vq, &chain, 1);
	virtq_publish(&world->vq);
	sigaction(SIGSEGV, &before, NULL);
	assert_int_equal(at_log.faults, 1);
	assert_true(at_log.payload_there);
	assert_false(at_log.index_there);
	assert_true(index_there());
	assert_true(log_has(world->buffer));
	assert_true(log_has(kind.packed ? world->queue.desc : world->queue.device));
	dirty_report_log_set(&world->report, NULL, 0);
	munmap(at_log.log, 65536);
}

/* Whoever copies the ring's page between the flush and the index has to copy it again. */
static void publish__log_harvested_before_the_index__ring_logged_again(void **state)
{
	struct virtq_chain chain;

	(void)state;
	at_log.log = calloc(1, 65536);
	dirty_report_log_set(&world->report, at_log.log, 65536);
	world->vq.conf.log = true;
	add_one(64);
	chain = pop_one();
	virtq_push(&world->vq, &chain, 1);
	dirty_report_flush(&world->report);
	memset(at_log.log, 0, 65536);
	virtq_publish(&world->vq);
	assert_true(log_has(kind.packed ? world->queue.desc : world->queue.device));
	memset(at_log.log, 0, 65536);
	virtq_kick_enable(&world->vq);
	assert_true(log_has(world->queue.device));
	dirty_report_log_set(&world->report, NULL, 0);
	free(at_log.log);
}

static struct kind kinds[] = {
	{ false, false, false }, { false, true, false }, { true, false, false },
	{ true, true, false },	 { false, true, true },	 { true, true, true },
};

#define TEST(name)                                 \
	{                                          \
#name, name, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest list[] = {
		TEST(pop__chain__pieces_in_order),
		TEST(pop__buffer_across_two_ranges__two_pieces),
		TEST(pop__more_pieces_than_room__cut),
		TEST(publish__pushed_before__nothing_seen_until_then),
		TEST(push__another_order__used_in_that_order),
		TEST(unpop__across_the_end__popped_again),
		TEST(ring__random_traffic__every_chain_once),
		TEST(room__some_chains__as_many),
		TEST(notify_wanted__driver_says_yes_or_no__heard),
		TEST(notify_wanted__event_index__the_burst_that_passes_it),
		TEST(kick_enable__then_chains__one_kick_is_due),
		TEST(stop__then_start__goes_on_where_it_was),
		TEST(start__after_a_kill__base_of_the_used_ring),
		TEST(start__what_it_cannot_be__refused),
		TEST(locate__maps_moved__ring_found_again_or_broken),
		TEST(pop__buffer_that_cannot_be__broken),
		TEST(pop__read_behind_write__broken),
		TEST(pop__links_that_lie__broken),
		TEST(pop__tables_that_lie__broken),
		TEST(publish__log_is_on__payload_then_log_then_index),
		TEST(publish__log_harvested_before_the_index__ring_logged_again),
	};
	struct CMUnitTest tests[COUNT_OF(list) * COUNT_OF(kinds)];

	for (size_t k = 0; k < COUNT_OF(kinds); k++)
		for (size_t i = 0; i < COUNT_OF(list); i++) {
			tests[k * COUNT_OF(list) + i] = list[i];
			tests[k * COUNT_OF(list) + i].initial_state = &kinds[k];
		}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
