/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_app_test.c -- farbus-nic without a guest: its command line, its loop, a device and its socket
 *
 * The device serves a front end in this process over the real socket, with frames of a capture file;
 * so the way a frame takes is the whole one, but for QEMU.
 */
#include "addrmap_common.h"
#include "apps/farbus-nic/device.h"
#include "apps/farbus-nic/place.h"
#include "base/process.h"
#include "nic_common.h"
#include "nic_driver.h"
#include "nicdrv/port/pcap_file.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the command line ---- */

#define ARGV_MAX 48

static int parse(const char *line, struct options *ret_options)
{
	static char text[512];
	char *argv[ARGV_MAX + 1] = { "farbus-nic" };
	int argc = 1;

	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok(text, " "); word && argc < ARGV_MAX; word = strtok(NULL, " "))
		argv[argc++] = word;
	return options_parse(argc, argv, ret_options);
}

static void options__all_of_them__as_given(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse("--socket a --port tap:t0", &options), 0);
	assert_int_equal(options.device_count, 1);
	assert_string_equal(options.device[0].socket, "a");
	assert_string_equal(options.device[0].port, "tap:t0");
	assert_true(options.net.aggregate && options.net.verify && !options.net.offer_packed);
	assert_false(options.stats);
	assert_int_equal(options.core, -1);
	assert_int_equal(parse("--socket a --port tap:t0 --queues 4 --packed --no-aggregation "
			       "--no-verify --pcap f --stats 0.5 --core 3",
			       &options),
			 0);
	assert_int_equal(options.net.pairs, 4);
	assert_false(options.net.aggregate || options.net.verify);
	assert_true(options.net.offer_packed && options.stats);
	assert_true(options.stats_s == 0.5);
	assert_int_equal(options.core, 3);
	assert_string_equal(options.capture, "f");
}

static void options__what_cannot_be__refused(void **state)
{
	static const char *const bad[] = {
		"",
		"--socket a",
		"--port tap:t0",
		"--port tap:t0 --socket a",
		"--socket a --socket b --port tap:t0",
		"--socket a --port tap:t0 --port tap:t1",
		"--socket a --port tap:t0 x",
		"--socket a --port tap:t0 --queues 0",
		"--socket a --port tap:t0 --queues 17",
		"--socket a --port tap:t0 --queues two",
		"--socket a --port tap:t0 --stats -1",
		"--socket a --port tap:t0 --stats nan",
		"--socket a --port tap:t0 --stats 0.001",
		"--socket a --port tap:t0 --core x",
		"--socket a --port tap:t0 --nonsense",
		"--socket a --port tap:t0 --socket b --port tap:t1 --pcap f",
		"--socket",
	};
	struct options options;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (parse(bad[i], &options) != -EINVAL || !error_text()[0])
			fail_msg("'%s' is not refused", bad[i]);
}

static void options__more_devices_than_there_may_be__refused(void **state)
{
	struct options options;
	char *argv[4 * OPTIONS_DEVICE_MAX + 6] = { "farbus-nic" };
	int argc = 1;

	(void)state;
	for (int i = 0; i <= OPTIONS_DEVICE_MAX; i++) {
		argv[argc++] = "--socket";
		argv[argc++] = "a";
		argv[argc++] = "--port";
		argv[argc++] = "p";
	}
	assert_int_equal(options_parse(argc - 4, argv, &options), 0);
	assert_int_equal(options.device_count, OPTIONS_DEVICE_MAX);
	assert_int_equal(options_parse(argc, argv, &options), -EINVAL);
}

static void place__core_that_is_none__enoent(void **state)
{
	(void)state;
	assert_int_equal(place_on_core(60000), -ENOENT);
	assert_int_equal(place_on_core(0), 0);
}

/* ---- the loop ---- */

struct counted {
	struct watch watch;
	struct loop *loop;
	unsigned times;
	struct counted *removes;
};

static void counts(void *arg)
{
	struct counted *counted = arg;

	counted->times++;
	if (counted->removes)
		loop_remove(counted->loop, &counted->removes->watch);
}

static void loop__one_removes_another__that_is_not_called(void **state)
{
	struct counted a = { .watch = {
				     .fd = eventfd(1, EFD_NONBLOCK), .ready = counts, .arg = &a } };
	struct counted b = { .watch = {
				     .fd = eventfd(1, EFD_NONBLOCK), .ready = counts, .arg = &b } };
	struct loop loop;

	(void)state;
	assert_int_equal(loop_open(&loop), 0);
	a.loop = b.loop = &loop;
	a.removes = &b;
	b.removes = &a;
	assert_int_equal(loop_add(&loop, &a.watch), 0);
	assert_int_equal(loop_add(&loop, &a.watch), 0);
	assert_int_equal(loop_add(&loop, &b.watch), 0);
	loop_run(&loop, 0);
	assert_true((a.times > 0) != (b.times > 0));
	loop_close(&loop);
	close(a.watch.fd);
	close(b.watch.fd);
}

/* Level: again and again until it is read. Edge: once for each time somebody writes. */
static void loop__edge_and_level__as_often_as_said(void **state)
{
	struct counted level = {
		.watch = { .fd = eventfd(1, EFD_NONBLOCK), .ready = counts, .arg = &level }
	};
	struct counted edge = { .watch = { .fd = eventfd(1, EFD_NONBLOCK),
					   .ready = counts,
					   .arg = &edge,
					   .edge = true } };
	struct loop loop;

	(void)state;
	assert_int_equal(loop_open(&loop), 0);
	assert_int_equal(loop_add(&loop, &edge.watch), 0);
	for (unsigned i = 1; i < 4; i++) {
		loop_run(&loop, 0);
		loop_run(&loop, 0);
		assert_int_equal(edge.times, i);
		assert_int_equal(eventfd_write(edge.watch.fd, 1), 0);
	}
	loop_remove(&loop, &edge.watch);
	assert_int_equal(loop_add(&loop, &level.watch), 0);
	loop_run(&loop, 0);
	loop_run(&loop, 0);
	assert_true(level.times > 1);
	loop_close(&loop);
	close(level.watch.fd);
	close(edge.watch.fd);
}

/* ---- a device ---- */

#define FRAMES 500
#define FEATURES                                                             \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_NET_F_MRG_RXBUF |       \
	 1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4 | \
	 1ull << VHOST_F_PROTOCOL_FEATURES)

struct world {
	struct options options;
	struct loop loop;
	struct device device;
	struct driver driver;
	struct driver_queue queue[2];
	int socket, kick[2], call;
	char path[64], capture[64], port[96];
	uint64_t random;
};

static void capture_make(const char *path)
{
	static struct frame frame;
	struct desc desc = { .payload_len = 1000 };
	FILE *file;

	assert_int_equal(pcap_writer_open(path, &file), 0);
	for (uint64_t i = 0; i < FRAMES; i++) {
		struct iovec piece;

		desc.id++;
		frame_build(&desc, &frame);
		desc.seq += 1000;
		piece = (struct iovec){ frame.data, frame.len };
		assert_true(pcap_writer_add(file, 1000 + i, &piece, 1));
	}
	assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	char line[256];

	assert_int_equal(process_get(NULL), 0);
	snprintf(world->path, sizeof(world->path), "/tmp/farbus-nic-%d.sock", (int)getpid());
	snprintf(world->capture, sizeof(world->capture), "/tmp/farbus-nic-%d.pcap", (int)getpid());
	capture_make(world->capture);
	snprintf(world->port, sizeof(world->port), "pcap:%s,fast", world->capture);
	snprintf(line, sizeof(line), "--socket %s --port %s", world->path, world->port);
	assert_int_equal(parse(line, &world->options), 0);
	world->options.device[0] = (struct options_device){ world->path, world->port };
	assert_int_equal(loop_open(&world->loop), 0);
	assert_int_equal(device_open(&world->device, &world->options, &world->options.device[0],
				     &world->loop),
			 0);
	driver_open(&world->driver);
	world->kick[0] = eventfd(0, EFD_NONBLOCK);
	world->kick[1] = eventfd(0, EFD_NONBLOCK);
	world->call = eventfd(0, EFD_NONBLOCK);
	world->socket = -1;
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	device_close(&world->device);
	loop_close(&world->loop);
	driver_close(&world->driver);
	if (world->socket >= 0)
		close(world->socket);
	close(world->kick[0]);
	close(world->kick[1]);
	close(world->call);
	unlink(world->capture);
	assert_int_equal(access(world->path, F_OK), -1);
	free(world);
	return 0;
}

/* The device's thread for a while: until nothing happens any more. */
static void turns(struct world *world)
{
	struct pollfd poll_fd = { .fd = world->loop.epoll, .events = POLLIN };

	do {
		while (device_continue(&world->device))
			;
		loop_run(&world->loop, 0);
	} while (poll(&poll_fd, 1, 0) == 1);
}

static void say(struct world *world, uint32_t request, const void *payload, uint32_t len, int fd)
{
	struct vhost_header header = { request, VHOST_VERSION, len };
	uint8_t control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec piece[2] = { { &header, sizeof(header) },
				  { (void *)(uintptr_t)payload, len } };
	struct msghdr message = { .msg_iov = piece, .msg_iovlen = 2 };

	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(int));
	}
	assert_int_equal(sendmsg(world->socket, &message, MSG_NOSIGNAL),
			 (ssize_t)(sizeof(header) + len));
	turns(world);
}

static void queue_start(struct world *world, uint32_t index, uint16_t base)
{
	struct virtq_conf conf = driver_queue_conf(&world->queue[index]);
	struct vhost_state num = { index, conf.size }, at = { index, base }, on = { index, 1 };
	struct vhost_addr addr = { index, 0, conf.desc, conf.device, conf.driver, 0 };
	uint64_t word = index;

	say(world, VHOST_SET_VRING_NUM, &num, sizeof(num), -1);
	say(world, VHOST_SET_VRING_BASE, &at, sizeof(at), -1);
	say(world, VHOST_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	say(world, VHOST_SET_VRING_KICK, &word, sizeof(word), world->kick[index]);
	say(world, VHOST_SET_VRING_CALL, &word, sizeof(word), world->call);
	say(world, VHOST_SET_VRING_ENABLE, &on, sizeof(on), -1);
}

static void front_come(struct world *world)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct vhost_table table = { .count = 1,
				     .region[0] = { DRIVER_GPA, DRIVER_LEN, DRIVER_FRONT, 0 } };
	uint64_t features = FEATURES;

	world->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(address.sun_path, world->path);
	assert_int_equal(connect(world->socket, (struct sockaddr *)&address, sizeof(address)), 0);
	say(world, VHOST_SET_FEATURES, &features, sizeof(features), -1);
	say(world, VHOST_SET_MEM_TABLE, &table, 40, world->driver.fd);
}

static void post(struct world *world, unsigned count)
{
	struct driver_queue *queue = &world->queue[0];

	while (count-- > 0) {
		struct driver_buffer buffer = {
			DRIVER_GPA + DRIVER_SPLIT + queue->free_first * 2048u, 2048, true
		};

		assert_true(driver_queue_add(queue, &buffer, 1) >= 0);
	}
	if (driver_queue_kick_due(queue))
		assert_int_equal(eventfd_write(world->kick[0], 1), 0);
	turns(world);
}

/* Frames that the guest got since it was last asked; their order is checked. */
static unsigned take(struct world *world, uint32_t *seq)
{
	unsigned frames = 0, buffers = 0, left = 0;
	uint32_t len, payload = 0;

	for (int id; (id = driver_queue_used(&world->queue[0], &len)) >= 0;) {
		const uint8_t *at =
			driver_at(&world->driver, DRIVER_GPA + DRIVER_SPLIT + (unsigned)id * 2048u);

		if (left == 0) {
			const struct virtio_net_hdr_v1 *header = (const void *)at;

			left = header->num_buffers;
			assert_int_equal(be32_get(at + 12 + 34 + TCP_SEQ), *seq);
			payload = 0;
			len -= 12 + 54;
		}
		payload += len;
		buffers++;
		if (--left == 0) {
			assert_int_equal(payload % 1000, 0);
			*seq += payload;
			frames += payload / 1000;
		}
	}
	assert_int_equal(left, 0);
	assert_true(buffers <= 64);
	return frames;
}

/* Few buffers, many frames: none is lost, because they wait at the port until there are buffers. */
static void device__guest_is_slower_than_the_port__every_frame(void **state)
{
	struct world *world = *state;
	uint32_t seq = 0;
	unsigned frames = 0, rounds = 0;

	front_come(world);
	driver_queue_init(&world->queue[0], &world->driver, 64);
	queue_start(world, 0, 0);
	post(world, 64);
	while (frames < FRAMES && rounds++ < FRAMES) {
		frames += take(world, &seq);
		post(world, world->queue[0].free_count);
	}
	assert_int_equal(frames, FRAMES);
	assert_true(world->device.port->ended);
	uint64_t calls;
	assert_int_equal(read(world->call, &calls, sizeof(calls)), sizeof(calls));
	json_t *stats = device_stats(&world->device);
	json_t *net = json_object_get(stats, "net");
	assert_int_equal(json_integer_value(json_object_get(net, "rx_frames")), FRAMES);
	assert_int_equal(json_integer_value(json_object_get(net, "rx_dropped")), 0);
	assert_true(json_integer_value(json_object_get(net, "rx_packets")) < FRAMES / 10);
	assert_true(json_is_true(json_object_get(stats, "connected")));
	json_decref(stats);
}

/* The front end is killed in the middle, and comes again: the rest arrives, nothing twice. */
static void device__front_end_dies_and_comes_again__goes_on(void **state)
{
	struct world *world = *state;
	unsigned frames = 0, lives = 0;
	uint32_t seq = 0;

	driver_queue_init(&world->queue[0], &world->driver, 64);
	while (frames < FRAMES && lives++ < 100) {
		uint16_t used;

		front_come(world);
		memcpy(&used, (uint8_t *)driver_at(&world->driver, world->queue[0].device) + 2, 2);
		queue_start(world, 0, used);
		post(world, world->queue[0].free_count);
		frames += take(world, &seq);
		close(world->socket);
		world->socket = -1;
		turns(world);
		assert_true(world->device.socket.fd < 0);
	}
	assert_int_equal(frames, FRAMES);
	assert_int_equal(world->device.connections, lives);
}

static void device__front_end_breaks_the_rules__hung_up_on(void **state)
{
	struct world *world = *state;
	uint64_t word = 0;
	char byte;

	front_come(world);
	say(world, 99, &word, sizeof(word), -1);
	assert_int_equal(recv(world->socket, &byte, 1, 0), 0);
	close(world->socket);
	front_come(world);
	assert_int_equal(world->device.connections, 2);
	assert_true(world->device.socket.fd >= 0);
}

static void device_open__what_cannot_be__nothing_is_left(void **state)
{
	struct world *world = *state;
	struct options_device own = { world->path, "pcap:/nonexistent" };
	struct device device;

	assert_int_equal(device_open(&device, &world->options, &own, &world->loop), -ENOENT);
	own.port = world->port;
	/* Somebody listens there: the world's own device. */
	assert_int_equal(device_open(&device, &world->options, &own, &world->loop), -EEXIST);
	assert_int_equal(access(world->path, F_OK), 0);
	own.socket = "/nonexistent/socket";
	assert_int_equal(device_open(&device, &world->options, &own, &world->loop), -ENOENT);
}

static void device_open__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	struct world *world = *state;
	struct options_device own = { "/tmp/farbus-nic-test-other.sock", world->port };
	struct device device;
	unsigned long n = 0;
	int err;

	do {
		alloc_fault_arm(++n);
		err = device_open(&device, &world->options, &own, &world->loop);
		assert_true(err == 0 || err == -ENOMEM);
	} while (err < 0);
	alloc_fault_arm(0);
	assert_true(n > 5);
	device_close(&device);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options__all_of_them__as_given),
		cmocka_unit_test(options__what_cannot_be__refused),
		cmocka_unit_test(options__more_devices_than_there_may_be__refused),
		cmocka_unit_test(loop__one_removes_another__that_is_not_called),
		cmocka_unit_test(loop__edge_and_level__as_often_as_said),
		TEST(device__guest_is_slower_than_the_port__every_frame),
		TEST(device__front_end_dies_and_comes_again__goes_on),
		TEST(device__front_end_breaks_the_rules__hung_up_on),
		TEST(device_open__what_cannot_be__nothing_is_left),
		TEST(device_open__every_allocation_fails_once__enomem_and_no_leak),
		/* Last: this process stays where it is put. */
		cmocka_unit_test(place__core_that_is_none__enoent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
