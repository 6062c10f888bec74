/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_vhost_net_life_test.c -- devices that are stopped and killed, front ends that come, go and migrate */
#include "nic_net_common.h"

#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void vring_base__asked_for__nothing_is_written_afterwards(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	uint8_t *before = malloc(DRIVER_LEN);
	struct desc desc = { 0 };

	(void)state;
	net_post(net, 0, 32, 2048);
	net_train(net, &desc, 2, 500);
	net_receive(net);
	assert_int_equal(front_queue_stop(&net->front, 0), 1);
	memcpy(before, net->driver.memory, DRIVER_LEN);
	net_train(net, &desc, 2, 500);
	assert_int_equal(vhost_net_receive(net->net), 0);
	assert_false(vhost_net_ready(net->net));
	assert_int_equal(vhost_net_transmit(net->net, 0, 8), 0);
	assert_memory_equal(before, net->driver.memory, DRIVER_LEN);
	free(before);
	net_close(net);
}

static uint32_t split_used(const struct net *net, uint32_t index)
{
	uint16_t used;

	memcpy(&used, (uint8_t *)driver_at(&net->driver, net->queue[index].device) + 2, 2);
	return used;
}

/* The device is killed at any moment and made anew, as QEMU goes on with it: no packet comes twice. */
static void killed_again_and_again(struct net *net, bool inflight)
{
	struct desc desc = { 0 };
	uint32_t next = 0;

	for (int round = 0; round < 50; round++) {
		net_post(net, 0, 20, 2048);
		net_train(net, &desc, 5, 100);
		net_receive(net);
		/* Killed: nobody asks for a base. The front end takes it from the used ring. */
		vhost_net_free(net->net);
		assert_int_equal(vhost_net_new(&net_conf, &net->port.port, &net->net), 0);
		net->front.user = vhost_net_user(net->net);
		front_hello(&net->front, net->features);
		if (inflight)
			assert_int_equal(front_inflight_set(&net->front, 2 * NET_PAIRS, NET_RING),
					 0);
		for (uint32_t i = 0; i < 2; i++) {
			/* A packed ring begins so, which is wrong by now. */
			uint32_t used = 1u << 15 | 1u << 31;

			if (!inflight)
				used = split_used(net, i);
			assert_int_equal(front_queue_start(&net->front, i, &net->queue[i], used,
							   net->event, false),
					 0);
		}
		net_train(net, &desc, 1, 100);
		net_receive(net);
		while (net_take(net, 0)) {
			assert_int_equal(be32_get(net->got.data + 34 + TCP_SEQ), next);
			next += net->got.len - 54;
		}
		assert_int_equal(next, desc.seq);
		/* The driver takes back what was not used, as after a reset, to have room. */
		while (net->queue[0].free_count < 20) {
			net_train(net, &desc, 1, 100);
			net_receive(net);
			assert_true(net_take(net, 0));
			next += net->got.len - 54;
		}
	}
}

static void reconnect__device_killed__goes_on_where_the_ring_is(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);

	(void)state;
	killed_again_and_again(net, false);
	net_close(net);
}

/* A packed ring does not say where it is; the memory that the front end keeps for us does. */
static void reconnect__packed_rings__goes_on_by_inflight(void **state)
{
	struct net *net =
		net_open(&net_conf, NET_TSO | NET_MERGEABLE | 1ull << VIRTIO_F_RING_PACKED);
	struct desc desc = { 0 };

	(void)state;
	assert_int_equal(front_inflight_get(&net->front, 2 * NET_PAIRS, NET_RING), 0);
	net_pair_start(net, 0, false);
	killed_again_and_again(net, true);
	/* Stopped in good order it starts where it is told to, as after a reset of the guest. */
	for (uint32_t i = 0; i < 2; i++)
		front_queue_stop(&net->front, i);
	net_pair_start(net, 0, false);
	net_post(net, 0, 4, 2048);
	net_train(net, &desc, 2, 100);
	net_receive(net);
	assert_true(net_take(net, 0));
	assert_int_equal(net->got.len, 254);
	front_close(&net->front);
	net_close(net);
}

static void reset__another_front_end__features_are_its_own(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	struct desc first = { 0 };
	struct nic_agg_stats agg;

	(void)state;
	net_post(net, 0, 8, 2048);
	net_train(net, &first, 3, 500);
	net_receive(net);
	assert_true(net_take(net, 0));
	vhost_net_reset(net->net);
	assert_false(vhost_net_ready(net->net));
	/* What was counted stays. */
	vhost_net_agg_stats(net->net, 0, &agg);
	assert_int_equal(agg.packets, 3);
	assert_int_equal(agg.merged, 2);
	net->features = 1ull << VIRTIO_F_VERSION_1;
	front_hello(&net->front, net->features);
	net_pair_start(net, 0, false);
	struct desc desc = { 0 };
	net_post(net, 0, 8, 2048);
	net_train(net, &desc, 2, 500);
	net_receive(net);
	assert_true(net_take(net, 0));
	assert_int_equal(net->got.len, 554);
	assert_int_equal(net->got.header.gso_size, 0);
	net_close(net);
}

static void announce__after_a_migration__reverse_arp(void **state)
{
	struct net *net = net_started(NET_TSO | NET_MERGEABLE);
	const uint8_t mac[8] = { 2, 3, 4, 5, 6, 7 };

	(void)state;
	assert_int_equal(front_say(&net->front, VHOST_SEND_RARP, mac, 8, NULL, 0), 0);
	assert_int_equal(net->port.sent_count, 1);
	assert_int_equal(be16_get(net->port.sent[0].data + 12), 0x8035);
	assert_memory_equal(net->port.sent[0].data + 6, mac, 6);
	assert_memory_equal(net->port.sent[0].data + 22, mac, 6);
	net_close(net);
}

/*
 * Any traffic with the log on: each page of the guest that differs from what it was before a burst is
 * in the log after it, at all of its addresses.
 */
static void log__any_traffic__every_page_that_changed(void **state)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	uint8_t *before = malloc(DRIVER_LEN), *log;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)FRONT_LOG_LEN), 0);
	log = mmap(NULL, FRONT_LOG_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (unsigned variant = 0; variant < 4; variant++) {
		uint64_t features =
			NET_TSO | NET_MERGEABLE | (variant & 1 ? 1ull << VIRTIO_F_RING_PACKED : 0);
		struct net *net = net_open(&net_conf, features);
		unsigned copies = variant & 2 ? 2 : 1, changed = 0;
		struct desc desc = { 0 };
		uint64_t random = variant;

		assert_int_equal(front_memory(&net->front, copies), 0);
		net_pair_start(net, 0, true);
		assert_int_equal(front_log(&net->front, fd, features), 0);
		for (unsigned n = 0; n < ROUNDS(60); n++) {
			struct virtio_net_hdr_v1 header = { 0 };

			net_post(net, 0, net->queue[0].free_count, 700);
			net_train(net, &desc, 1 + (unsigned)random_below(&random, 9),
				  (uint32_t)random_below(&random, 1400) + 1);
			frame_build(&desc, &frame);
			net_send(net, 0, &header, frame.data, frame.len, 4000);
			memset(log, 0, FRONT_LOG_LEN);
			memcpy(before, net->driver.memory, DRIVER_LEN);
			net_receive(net);
			vhost_net_transmit(net->net, 0, 8);
			net_sent_clear(net);
			for (uint64_t page = 0; page < DRIVER_LEN / 4096; page++) {
				if (memcmp(before + page * 4096, net->driver.memory + page * 4096,
					   4096) == 0)
					continue;
				changed++;
				for (unsigned k = 0; k < copies; k++) {
					uint64_t at = (DRIVER_GPA + k * FRONT_COPY) / 4096 + page;

					assert_true(log[at / 8] >> at % 8 & 1);
				}
			}
			while (net_take(net, 0))
				;
			for (uint32_t len; driver_queue_used(&net->queue[1], &len) >= 0;)
				;
		}
		assert_true(changed > ROUNDS(60));
		net_close(net);
	}
	munmap(log, FRONT_LOG_LEN);
	free(before);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vring_base__asked_for__nothing_is_written_afterwards),
		cmocka_unit_test(reconnect__device_killed__goes_on_where_the_ring_is),
		cmocka_unit_test(reconnect__packed_rings__goes_on_by_inflight),
		cmocka_unit_test(reset__another_front_end__features_are_its_own),
		cmocka_unit_test(announce__after_a_migration__reverse_arp),
		cmocka_unit_test(log__any_traffic__every_page_that_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
