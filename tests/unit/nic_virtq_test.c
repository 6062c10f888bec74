/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_virtq_test.c -- virtqueues against a driver that follows the specification */
#include "nic_virtq_common.h"

#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

int main(void)
{
	const struct CMUnitTest list[] = {
		VIRTQ_TEST(pop__chain__pieces_in_order),
		VIRTQ_TEST(pop__buffer_across_two_ranges__two_pieces),
		VIRTQ_TEST(pop__more_pieces_than_room__cut),
		VIRTQ_TEST(publish__pushed_before__nothing_seen_until_then),
		VIRTQ_TEST(push__another_order__used_in_that_order),
		VIRTQ_TEST(unpop__across_the_end__popped_again),
		VIRTQ_TEST(ring__random_traffic__every_chain_once),
		VIRTQ_TEST(room__some_chains__as_many),
		VIRTQ_TEST(notify_wanted__driver_says_yes_or_no__heard),
		VIRTQ_TEST(notify_wanted__event_index__the_burst_that_passes_it),
		VIRTQ_TEST(kick_enable__then_chains__one_kick_is_due),
		VIRTQ_TEST(publish__log_is_on__payload_then_log_then_index),
		VIRTQ_TEST(publish__log_harvested_before_the_index__ring_logged_again),
	};

	return virtq_run(list, COUNT_OF(list));
}
