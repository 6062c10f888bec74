/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_vhost_user_test.c -- what a front end's messages make of memory, log and queues */
#include "addrmap_common.h"
#include "nic_front.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define BIT(n) (1ull << (n))
#define OFFERED (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_RING_PACKED))
#define PAIRS 2

struct world {
	struct driver driver;
	struct vhost_user user;
	struct front front;
	struct driver_queue queue;
	int event[2];
	unsigned changed[VHOST_QUEUE_MAX], drained[VHOST_QUEUE_MAX], features;
	uint8_t announced[6];
	unsigned fd_count;
};

static void queue_changed(void *arg, uint32_t index)
{
	((struct world *)arg)->changed[index]++;
}

static void queue_drain(void *arg, uint32_t index)
{
	((struct world *)arg)->drained[index]++;
}

static void features_changed(void *arg)
{
	((struct world *)arg)->features++;
}

static void announce(void *arg, const uint8_t mac[6])
{
	memcpy(((struct world *)arg)->announced, mac, 6);
}

static const struct vhost_user_ops ops = { queue_changed, queue_drain, features_changed, announce };

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world->fd_count = front_fd_count();
	driver_open(&world->driver);
	assert_int_equal(vhost_user_init(&world->user, &ops, world, OFFERED, PAIRS), 0);
	world->front = (struct front){ .user = &world->user, .driver = &world->driver };
	world->event[0] = eventfd(0, EFD_NONBLOCK);
	world->event[1] = eventfd(0, EFD_NONBLOCK);
	driver_queue_init(&world->queue, &world->driver, 8);
	*state = world;
	return 0;
}

/* No descriptor that came with a message is left. */
static int teardown(void **state)
{
	struct world *world = *state;

	vhost_user_check(&world->user);
	vhost_user_fini(&world->user);
	close(world->event[0]);
	close(world->event[1]);
	driver_close(&world->driver);
	assert_int_equal(front_fd_count(), world->fd_count);
	free(world);
	return 0;
}

static void start(struct world *world, uint32_t index)
{
	assert_int_equal(
		front_queue_start(&world->front, index, &world->queue, 0, world->event, false), 0);
}

static uint64_t event_take(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* ---- questions ---- */

static void questions__each__its_answer(void **state)
{
	struct world *world = *state;
	struct front *front = &world->front;

	assert_int_equal(front_say(front, VHOST_GET_FEATURES, NULL, 0, NULL, 0), 0);
	assert_true(front->replied);
	assert_int_equal(front->reply.header.flags, VHOST_VERSION | VHOST_REPLY);
	assert_int_equal(front->reply.header.size, 8);
	assert_int_equal(front->reply.u64,
			 OFFERED | BIT(VHOST_F_LOG_ALL) | BIT(VHOST_F_PROTOCOL_FEATURES));
	assert_int_equal(front_say(front, VHOST_GET_QUEUE_NUM, NULL, 0, NULL, 0), 0);
	assert_int_equal(front->reply.u64, PAIRS);
	assert_int_equal(front_say(front, VHOST_GET_MAX_MEM_SLOTS, NULL, 0, NULL, 0), 0);
	assert_int_equal(front->reply.u64, VHOST_SLOT_MAX);
	assert_int_equal(front_say(front, VHOST_GET_PROTOCOL_FEATURES, NULL, 0, NULL, 0), 0);
	assert_true(front->reply.u64 & BIT(VHOST_PROTOCOL_LOG_SHMFD));
	assert_true(front->reply.u64 & BIT(VHOST_PROTOCOL_REPLY_ACK));
}

static void message__malformed__eproto(void **state)
{
	static const struct {
		uint32_t request, flags, size;
	} bad[] = {
		{ VHOST_GET_FEATURES, 0, 0 },
		{ VHOST_GET_FEATURES, 2, 0 },
		{ VHOST_GET_FEATURES, VHOST_VERSION | VHOST_REPLY, 0 },
		{ VHOST_SET_FEATURES, VHOST_VERSION, 7 },
		{ VHOST_SET_VRING_ADDR, VHOST_VERSION, 39 },
		{ VHOST_SET_FEATURES, VHOST_VERSION, VHOST_MESSAGE_PAYLOAD_MAX + 1 },
		{ 0, VHOST_VERSION, 8 },
		{ 1000, VHOST_VERSION, 8 },
		{ VHOST_SET_MEM_TABLE, VHOST_VERSION, 8 + 31 },
		{ VHOST_SET_MEM_TABLE, VHOST_VERSION, 8 + 32 * 9 },
	};
	struct world *world = *state;

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct vhost_message message = { .header = { bad[i].request, bad[i].flags,
							     bad[i].size } },
				     reply;
		int fd[1] = { dup(world->driver.fd) };
		bool replies;

		message.table.count = bad[i].size > 8 + 32 * 8 ? 9 : 1;
		assert_int_equal(
			vhost_user_message(&world->user, &message, fd, 1, &reply, &replies),
			-EPROTO);
		assert_false(replies && bad[i].request != VHOST_SET_MEM_TABLE);
	}
}

/* ---- queues ---- */

static void queue__all_messages__runs_and_serves(void **state)
{
	struct world *world = *state;
	struct vhost_queue *queue = &world->user.queue[1];

	front_hello(&world->front, OFFERED & ~BIT(VIRTIO_F_RING_PACKED));
	assert_int_equal(world->features, 1);
	start(world, 1);
	assert_true(vhost_queue_serves(queue));
	assert_true(world->changed[1] > 0);
	assert_true(queue->vq.conf.event_idx);
	assert_false(queue->vq.conf.packed);
	assert_int_equal(front_state(&world->front, VHOST_SET_VRING_ENABLE, 1, 0), 0);
	assert_false(vhost_queue_serves(queue));
	assert_int_equal(world->drained[1], 1);
	assert_int_equal(front_queue_stop(&world->front, 1), 0);
	assert_false(queue->vq.running);
	/* Its kick belongs to a queue that runs. */
	assert_int_equal(queue->kick, -1);
}

static void queue__stopped__base_says_where(void **state)
{
	struct driver_buffer buffer;
	struct world *world = *state;
	struct vhost_queue *queue = &world->user.queue[0];
	struct virtq_piece piece[4];
	struct virtq_chain chain;

	buffer = (struct driver_buffer){ driver_alloc(&world->driver, 64, 8), 64, true };
	front_hello(&world->front, OFFERED & ~BIT(VIRTIO_F_RING_PACKED));
	start(world, 0);
	for (int i = 0; i < 3; i++) {
		driver_queue_add(&world->queue, &buffer, 1);
		assert_int_equal(virtq_pop(&queue->vq, piece, 4, &chain), 1);
		virtq_push(&queue->vq, &chain, 1);
	}
	/* What was pushed is published before the front end hears the base. */
	assert_int_equal(front_queue_stop(&world->front, 0), 3);
	assert_int_equal(world->drained[0], 1);
	for (uint32_t i = 0, len; i < 3; i++)
		assert_true(driver_queue_used(&world->queue, &len) >= 0);
	assert_int_equal(event_take(world->event[1]), 1);
	assert_int_equal(front_queue_stop(&world->front, 0), 3);
	assert_int_equal(world->drained[0], 1);
}

static void publish__driver_wants_calls__one_a_burst(void **state)
{
	struct driver_buffer buffer;
	struct world *world = *state;
	struct vhost_queue *queue = &world->user.queue[0];
	struct virtq_piece piece[4];
	struct virtq_chain chain;

	buffer = (struct driver_buffer){ driver_alloc(&world->driver, 64, 8), 64, true };
	front_hello(&world->front, 0);
	start(world, 0);
	for (int round = 0; round < 4; round++) {
		if (round % 2)
			driver_queue_calls_off(&world->queue);
		else
			driver_queue_calls_on(&world->queue);
		for (int i = 0; i < 2; i++) {
			driver_queue_add(&world->queue, &buffer, 1);
			assert_int_equal(virtq_pop(&queue->vq, piece, 4, &chain), 1);
			virtq_push(&queue->vq, &chain, 1);
		}
		vhost_queue_publish(queue);
		assert_int_equal(event_take(world->event[1]), round % 2 ? 0 : 1);
		vhost_queue_publish(queue);
		assert_int_equal(event_take(world->event[1]), 0);
		for (uint32_t i = 0, len; i < 2; i++)
			driver_queue_used(&world->queue, &len);
	}
	assert_int_equal(queue->calls, 2);
}

/* What is refused without a question ends the connection; with one, it is answered. */
static void refused__ack_asked_for__answer_not_end(void **state)
{
	struct world *world = *state;
	struct front *front = &world->front;

	front_hello(front, 0);
	assert_int_equal(front_state(front, VHOST_SET_VRING_NUM, 2 * PAIRS, 8), -EPROTO);
	front->flags = VHOST_NEED_REPLY;
	assert_int_equal(front_state(front, VHOST_SET_VRING_NUM, 2 * PAIRS, 8), 0);
	assert_true(front->replied);
	assert_int_not_equal(front->reply.u64, 0);
	assert_int_equal(front_state(front, VHOST_SET_VRING_NUM, 0, 8), 0);
	assert_true(front->replied);
	assert_int_equal(front->reply.u64, 0);
	assert_int_equal(front_number(front, VHOST_SET_FEATURES, BIT(1)), 0);
	assert_int_not_equal(front->reply.u64, 0);
	assert_int_equal(front_number(front, VHOST_SET_PROTOCOL_FEATURES, BIT(60)), 0);
	assert_int_not_equal(front->reply.u64, 0);
	/* Without the protocol's word for it, the flag means nothing. */
	assert_int_equal(front_number(front, VHOST_SET_PROTOCOL_FEATURES, 0), 0);
	assert_int_equal(front_state(front, VHOST_SET_VRING_NUM, 0, 8), 0);
	assert_false(front->replied);
}

static void queue__runs__what_may_not_change_is_refused(void **state)
{
	struct world *world = *state;
	struct front *front = &world->front;

	front_hello(front, 0);
	start(world, 0);
	front->flags = VHOST_NEED_REPLY;
	front_state(front, VHOST_SET_VRING_NUM, 0, 16);
	assert_int_not_equal(front->reply.u64, 0);
	front_state(front, VHOST_SET_VRING_BASE, 0, 1);
	assert_int_not_equal(front->reply.u64, 0);
	front_number(front, VHOST_SET_FEATURES,
		     BIT(VIRTIO_F_RING_PACKED) | BIT(VHOST_F_PROTOCOL_FEATURES));
	assert_int_not_equal(front->reply.u64, 0);
	/* The log may begin at any time. */
	front_number(front, VHOST_SET_FEATURES,
		     BIT(VHOST_F_LOG_ALL) | BIT(VHOST_F_PROTOCOL_FEATURES));
	assert_int_equal(front->reply.u64, 0);
	assert_true(vhost_queue_serves(&world->user.queue[0]));
}

static void kick__without_descriptor_or_with_two__refused(void **state)
{
	struct world *world = *state;
	struct front *front = &world->front;
	uint64_t word = VHOST_FD_NONE;
	int fd[2] = { world->event[0], world->event[1] };

	front_hello(front, 0);
	assert_int_equal(front_say(front, VHOST_SET_VRING_KICK, &word, 8, fd, 1), -EPROTO);
	assert_int_equal(front_say(front, VHOST_SET_VRING_KICK, &word, 8, NULL, 0), -EPROTO);
	word = 0;
	assert_int_equal(front_say(front, VHOST_SET_VRING_KICK, &word, 8, fd, 2), -EPROTO);
	assert_int_equal(front_say(front, VHOST_SET_VRING_CALL, &word, 8, NULL, 0), -EPROTO);
	word = VHOST_FD_NONE;
	/* Without calls: the driver polls. */
	assert_int_equal(front_say(front, VHOST_SET_VRING_CALL, &word, 8, NULL, 0), 0);
}

static void kick__ring_is_not_the_guests_memory__refused(void **state)
{
	struct world *world = *state;

	front_hello(&world->front, 0);
	world->queue.desc = DRIVER_GPA + DRIVER_LEN;
	assert_int_equal(front_queue_start(&world->front, 0, &world->queue, 0, world->event, false),
			 -EPROTO);
	assert_false(world->user.queue[0].vq.running);
}

/* ---- memory ---- */

static void mem_table__replaced_while_a_queue_runs__goes_on(void **state)
{
	struct driver_buffer buffer;
	struct world *world = *state;
	struct vhost_queue *queue = &world->user.queue[0];
	struct virtq_piece piece[4];
	struct virtq_chain chain;
	uint64_t generation;
	void *before;

	buffer = (struct driver_buffer){ driver_alloc(&world->driver, 64, 8), 64, true };
	front_hello(&world->front, 0);
	start(world, 0);
	generation = world->user.guest.generation;
	before = queue->vq.desc;
	assert_int_equal(front_memory(&world->front, 2), 0);
	assert_int_equal(world->user.guest.generation, generation + 1);
	assert_ptr_equal(queue->vq.desc, before);
	driver_queue_add(&world->queue, &buffer, 1);
	assert_int_equal(virtq_pop(&queue->vq, piece, 4, &chain), 1);
	/* The other address of the same memory is one, too. */
	assert_ptr_equal(remap_at(&world->user.guest, buffer.gpa + FRONT_COPY, 1, REMAP_READ),
			 piece[0].at);
}

static void mem_table__ring_not_in_it__queue_broken_and_told(void **state)
{
	struct world *world = *state;
	struct front *front = &world->front;
	struct vhost_table table = { .count = 1,
				     .region[0] = { DRIVER_GPA + DRIVER_SPLIT, 4096,
						    DRIVER_FRONT + DRIVER_SPLIT, DRIVER_SPLIT } };
	int error = eventfd(0, EFD_NONBLOCK);
	uint64_t word = 0;

	front_hello(front, 0);
	assert_int_equal(front_say(front, VHOST_SET_VRING_ERR, &word, 8, &error, 1), 0);
	start(world, 0);
	front->flags = VHOST_NEED_REPLY;
	assert_int_equal(front_say(front, VHOST_SET_MEM_TABLE, &table, 40, &world->driver.fd, 1),
			 0);
	assert_int_not_equal(front->reply.u64, 0);
	assert_true(world->user.queue[0].vq.broken);
	assert_int_equal(event_take(error), 1);
	close(error);
}

static void mem_table__one_region_refused__the_old_one_serves(void **state)
{
	struct world *world = *state;
	struct front *front = &world->front;
	struct vhost_table table = {
		.count = 2, .region = { { 0, 4096, 0, 0 }, { 4096, 4096, 4096, DRIVER_LEN } }
	};
	int fd[2] = { world->driver.fd, world->driver.fd };

	front_hello(front, 0);
	front->flags = VHOST_NEED_REPLY;
	assert_int_equal(front_say(front, VHOST_SET_MEM_TABLE, &table, 72, fd, 2), 0);
	assert_int_not_equal(front->reply.u64, 0);
	assert_non_null(remap_at(&world->user.guest, DRIVER_GPA, 1, REMAP_READ));
	assert_null(remap_at(&world->user.guest, 0, 1, REMAP_READ));
	/* Regions that overlap. */
	table.region[1] = (struct vhost_region){ 4095, 4096, 8192, 8192 };
	assert_int_equal(front_say(front, VHOST_SET_MEM_TABLE, &table, 72, fd, 2), 0);
	assert_int_not_equal(front->reply.u64, 0);
	/* Fewer descriptors than regions. */
	assert_int_equal(front_say(front, VHOST_SET_MEM_TABLE, &table, 72, fd, 1), -EPROTO);
	assert_non_null(remap_at(&world->user.guest, DRIVER_GPA, 1, REMAP_READ));
}

static void mem_reg__added_and_removed__as_hot_plug_does(void **state)
{
	struct world *world = *state;
	struct front *front = &world->front;
	struct vhost_slot slot = { 0, { 0x100000, 0x10000, 0x200000, 0x8000 } };

	front_hello(front, 0);
	assert_int_equal(front_say(front, VHOST_ADD_MEM_REG, &slot, 40, &world->driver.fd, 1), 0);
	assert_ptr_equal(remap_at(&world->user.guest, 0x100000, 0x10000, REMAP_WRITE),
			 remap_at(&world->user.front, 0x200000, 0x10000, REMAP_WRITE));
	assert_non_null(remap_at(&world->user.guest, DRIVER_GPA, 1, REMAP_READ));
	front->flags = VHOST_NEED_REPLY;
	/* Once for each queue pair, as QEMU 7.2 does; but not with other memory. */
	front_say(front, VHOST_ADD_MEM_REG, &slot, 40, &world->driver.fd, 1);
	assert_int_equal(front->reply.u64, 0);
	assert_int_equal(world->user.guest.live_count, 3);
	slot.region.off += 4096;
	front_say(front, VHOST_ADD_MEM_REG, &slot, 40, &world->driver.fd, 1);
	assert_int_not_equal(front->reply.u64, 0);
	slot.region.off -= 4096;
	slot.region.len--;
	front_say(front, VHOST_REM_MEM_REG, &slot, 40, NULL, 0);
	assert_int_not_equal(front->reply.u64, 0);
	slot.region.len++;
	/* Some front ends send a descriptor along, which is of no use. */
	front_say(front, VHOST_REM_MEM_REG, &slot, 40, &world->driver.fd, 1);
	assert_int_equal(front->reply.u64, 0);
	assert_null(remap_at(&world->user.guest, 0x100000, 1, REMAP_READ));
	front_say(front, VHOST_REM_MEM_REG, &slot, 40, NULL, 0);
	assert_int_equal(front->reply.u64, 0);
	assert_int_equal(front_say(front, VHOST_ADD_MEM_REG, &slot, 40, NULL, 0), -EPROTO);
}

static void mem_reg__more_than_slots__refused(void **state)
{
	struct world *world = *state;
	struct front *front = &world->front;
	struct vhost_slot slot = { 0, { 0, 4096, 0, 0 } };

	front_hello(front, 0);
	front->flags = VHOST_NEED_REPLY;
	for (uint64_t i = 0; i < VHOST_SLOT_MAX; i++) {
		slot.region.gpa = slot.region.uva = 8192 * i;
		assert_int_equal(
			front_say(front, VHOST_ADD_MEM_REG, &slot, 40, &world->driver.fd, 1), 0);
		/* Two were there before. */
		assert_int_equal(front->reply.u64 != 0, i >= VHOST_SLOT_MAX - 2);
	}
}

/* ---- the log ---- */

static void log__base_and_feature__both_or_nothing(void **state)
{
	struct world *world = *state;
	struct front *front = &world->front;
	int fd = memfd_create("log", MFD_CLOEXEC);
	uint8_t *log;

	assert_int_equal(ftruncate(fd, (off_t)FRONT_LOG_LEN), 0);
	log = mmap(NULL, FRONT_LOG_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	front_hello(front, 0);
	assert_int_equal(front_queue_start(front, 0, &world->queue, 0, world->event, true), 0);
	assert_false(dirty_report_wanted(&world->user.report));
	assert_int_equal(front_log(front, fd, 0), 0);
	assert_true(dirty_report_wanted(&world->user.report));
	assert_true(world->user.queue[0].vq.conf.log);
	dirty_report_add(&world->user.report, DRIVER_GPA, 1);
	dirty_report_flush(&world->user.report);
	assert_int_equal(log[DRIVER_GPA / 4096 / 8], 1);
	assert_int_equal(front_number(front, VHOST_SET_FEATURES, BIT(VHOST_F_PROTOCOL_FEATURES)),
			 0);
	assert_false(dirty_report_wanted(&world->user.report));
	assert_false(world->user.queue[0].vq.conf.log);
	munmap(log, FRONT_LOG_LEN);
	close(fd);
}

static void log_base__answer_is_due_whatever_the_flag(void **state)
{
	struct world *world = *state;
	struct front *front = &world->front;
	struct vhost_log log = { 4096, 0 };
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, 4096), 0);
	front_hello(front, 0);
	assert_int_equal(front_say(front, VHOST_SET_LOG_BASE, &log, 16, &fd, 1), 0);
	assert_true(front->replied);
	assert_int_equal(front->reply.u64, 0);
	assert_int_equal(front_say(front, VHOST_SET_LOG_BASE, &log, 16, NULL, 0), -EPROTO);
	log.off = 4;
	assert_int_equal(front_say(front, VHOST_SET_LOG_BASE, &log, 16, &fd, 1), 0);
	assert_int_not_equal(front->reply.u64, 0);
	log = (struct vhost_log){ 8192, 0 };
	assert_int_equal(front_say(front, VHOST_SET_LOG_BASE, &log, 16, &fd, 1), 0);
	assert_int_not_equal(front->reply.u64, 0);
	close(fd);
}

/* ---- where queues are ---- */

static void inflight__asked_for_and_given_back__what_can_be(void **state)
{
	struct world *world = *state;
	struct front *front = &world->front;
	struct vhost_inflight wish = { .queue_count = 2, .queue_size = 8 };

	front_hello(front, 0);
	assert_int_equal(front_inflight_get(front, 4, 256), 0);
	assert_true(front->reply_fd > 0);
	assert_int_equal(front->reply.header.size, 24);
	assert_int_equal(front->reply.inflight.len, 4 * (32 + 32 * 256 + 32));
	assert_int_equal(front_inflight_set(front, 4, 256), 0);
	front->flags = VHOST_NEED_REPLY;
	/* More than it has room for. */
	front_inflight_set(front, 4, 512);
	assert_int_not_equal(front->reply.u64, 0);
	assert_int_equal(front_say(front, VHOST_SET_INFLIGHT_FD, &wish, 24, NULL, 0), -EPROTO);
	wish.len = 1ull << 40;
	front_say(front, VHOST_SET_INFLIGHT_FD, &wish, 24, &front->reply_fd, 1);
	assert_int_not_equal(front->reply.u64, 0);
	assert_int_equal(front_inflight_get(front, 0, 8), -EPROTO);
	assert_int_equal(front_inflight_get(front, 2 * PAIRS + 1, 8), -EPROTO);
	assert_int_equal(front_inflight_get(front, 2, 0), -EPROTO);
	front->flags = 0;
	start(world, 0);
	assert_int_equal(front_inflight_get(front, 2, 8), -EPROTO);
	front_close(front);
}

/* ---- life ---- */

static void announce__rarp__heard(void **state)
{
	struct world *world = *state;
	uint8_t mac[8] = { 1, 2, 3, 4, 5, 6 };

	front_hello(&world->front, 0);
	assert_int_equal(front_say(&world->front, VHOST_SEND_RARP, mac, 8, NULL, 0), 0);
	assert_memory_equal(world->announced, mac, 6);
}

static void reset__then_another_front_end__nothing_of_the_first(void **state)
{
	struct world *world = *state;

	for (int round = 0; round < 3; round++) {
		front_hello(&world->front, 0);
		start(world, 0);
		start(world, 3);
		vhost_user_reset(&world->user);
		assert_false(world->user.queue[0].vq.running);
		assert_int_equal(world->user.guest.live_count, 0);
		assert_int_equal(world->user.features, 0);
	}
}

static void init__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	struct vhost_user user;
	unsigned long n = 0;
	int err;

	(void)state;
	assert_int_equal(vhost_user_init(&user, &ops, NULL, 0, 0), -EINVAL);
	assert_int_equal(vhost_user_init(&user, &ops, NULL, 0, VHOST_PAIR_MAX + 1), -EINVAL);
	do {
		alloc_fault_arm(++n);
		err = vhost_user_init(&user, &ops, NULL, OFFERED, VHOST_PAIR_MAX);
		assert_true(err == 0 || err == -ENOMEM);
	} while (err < 0);
	alloc_fault_arm(0);
	assert_int_equal(n, 5);
	vhost_user_fini(&user);
}

static void mem_table__every_allocation_fails_once__the_old_one_serves(void **state)
{
	struct world *world = *state;
	unsigned long n = 0;

	world->front.flags = VHOST_NEED_REPLY;
	assert_int_equal(front_say(&world->front, VHOST_SET_OWNER, NULL, 0, NULL, 0), 0);
	front_number(&world->front, VHOST_SET_PROTOCOL_FEATURES, BIT(VHOST_PROTOCOL_REPLY_ACK));
	do {
		assert_int_equal(world->user.guest.live_count, 0);
		alloc_fault_arm(++n);
		assert_int_equal(front_memory(&world->front, 1), 0);
	} while (world->front.reply.u64 != 0);
	alloc_fault_arm(0);
	assert_true(n >= 3);
	assert_int_equal(world->user.guest.live_count, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(questions__each__its_answer),
		TEST(message__malformed__eproto),
		TEST(queue__all_messages__runs_and_serves),
		TEST(queue__stopped__base_says_where),
		TEST(publish__driver_wants_calls__one_a_burst),
		TEST(refused__ack_asked_for__answer_not_end),
		TEST(queue__runs__what_may_not_change_is_refused),
		TEST(kick__without_descriptor_or_with_two__refused),
		TEST(kick__ring_is_not_the_guests_memory__refused),
		TEST(mem_table__replaced_while_a_queue_runs__goes_on),
		TEST(mem_table__ring_not_in_it__queue_broken_and_told),
		TEST(mem_table__one_region_refused__the_old_one_serves),
		TEST(mem_reg__added_and_removed__as_hot_plug_does),
		TEST(mem_reg__more_than_slots__refused),
		TEST(log__base_and_feature__both_or_nothing),
		TEST(log_base__answer_is_due_whatever_the_flag),
		TEST(inflight__asked_for_and_given_back__what_can_be),
		TEST(announce__rarp__heard),
		TEST(reset__then_another_front_end__nothing_of_the_first),
		TEST(init__every_allocation_fails_once__enomem_and_no_leak),
		TEST(mem_table__every_allocation_fails_once__the_old_one_serves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
