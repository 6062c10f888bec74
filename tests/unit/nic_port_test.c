/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_port_test.c -- ports and capture files
 *
 * TAP and TPACKET face one another in a network namespace of a child: what one of them sends at the
 * interface, the other receives. Skipped where the kernel allows no such namespace.
 */
#include "addrmap_common.h"
#include "base_common.h"
#include "nic_common.h"
#include "nicdrv/port/pcap_file.h"
#include "nicdrv/port/port.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct frame frame;

/* ---- capture files ---- */

static void put32(uint8_t *at, uint32_t value, bool swapped)
{
	value = swapped ? __builtin_bswap32(value) : value;
	memcpy(at, &value, 4);
}

/* Two frames of 20 and 30 bytes, at 1.000005 s and 2 s, in any of the four kinds of files. */
static size_t file_make(uint8_t *file, bool swapped, bool nanoseconds)
{
	static const uint32_t frames[2][3] = { { 1, 5, 20 }, { 2, 0, 30 } };
	size_t at = 24;

	memset(file, 0, 24);
	put32(file, nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, swapped);
	put32(file + 20, 1, swapped);
	for (int i = 0; i < 2; i++) {
		put32(file + at, frames[i][0], swapped);
		put32(file + at + 4, frames[i][1] * (nanoseconds ? 1000 : 1), swapped);
		put32(file + at + 8, frames[i][2], swapped);
		put32(file + at + 12, frames[i][2], swapped);
		memset(file + at + 16, i + 1, frames[i][2]);
		at += 16 + frames[i][2];
	}
	return at;
}

static void reader__four_kinds_of_files__the_same_frames(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		uint8_t file[256];
		size_t len = file_make(file, kind & 1, kind & 2);
		struct pcap_reader reader;
		struct pcap_frame next;

		assert_int_equal(pcap_reader_init(&reader, file, len), 0);
		assert_int_equal(pcap_reader_next(&reader, &next), 1);
		assert_int_equal(next.time_ns, 1000005000);
		assert_int_equal(next.len, 20);
		assert_int_equal(next.data[19], 1);
		assert_int_equal(pcap_reader_next(&reader, &next), 1);
		assert_int_equal(next.time_ns, 2000000000);
		assert_int_equal(next.len, 30);
		assert_int_equal(pcap_reader_next(&reader, &next), 0);
	}
}

static void reader__cut_anywhere__whole_frames_then_eproto(void **state)
{
	uint8_t file[256];
	size_t len = file_make(file, false, false);

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		struct pcap_reader reader;
		struct pcap_frame next;
		unsigned frames = 0;
		int got;

		if (cut < 24) {
			assert_int_equal(pcap_reader_init(&reader, file, cut), -EPROTO);
			continue;
		}
		assert_int_equal(pcap_reader_init(&reader, file, cut), 0);
		while ((got = pcap_reader_next(&reader, &next)) == 1)
			frames++;
		assert_int_equal(frames, cut < 24 + 36 ? 0 : 1);
		assert_int_equal(got, cut == 24 || cut == 24 + 36 ? 0 : -EPROTO);
	}
}

static void reader__another_format__eproto(void **state)
{
	struct pcap_reader reader;
	uint8_t file[256];
	size_t len = file_make(file, false, false);

	(void)state;
	put32(file + 20, 113, false);
	assert_int_equal(pcap_reader_init(&reader, file, len), -EPROTO);
	put32(file, 0x0a0d0d0a, false);
	assert_int_equal(pcap_reader_init(&reader, file, len), -EPROTO);
}

static void writer__what_it_wrote__is_read(void **state)
{
	char path[] = "/tmp/farbus-pcap-XXXXXX";
	struct pcap_reader reader;
	struct pcap_frame next;
	uint8_t data[256];
	struct stat stat;
	FILE *file;
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(pcap_writer_open(path, &file), 0);
	for (uint64_t i = 0; i < 3; i++) {
		struct iovec piece[2] = { { "header", 6 }, { "payload", 7 } };

		assert_true(pcap_writer_add(file, 5000000000u + i, piece, 2));
	}
	assert_int_equal(fclose(file), 0);
	assert_int_equal(fstat(fd, &stat), 0);
	assert_int_equal(read(fd, data, sizeof(data)), stat.st_size);
	assert_int_equal(pcap_reader_init(&reader, data, (size_t)stat.st_size), 0);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(pcap_reader_next(&reader, &next), 1);
		assert_int_equal(next.time_ns, 5000000000u + i);
		assert_memory_equal(next.data, "headerpayload", 13);
	}
	assert_int_equal(pcap_reader_next(&reader, &next), 0);
	close(fd);
	unlink(path);
	assert_int_equal(pcap_writer_open("/nonexistent/file", &file), -ENOENT);
}

/* ---- replay ---- */

/* A file with a frame each step_us; argument is "pcap:PATH" with what is behind it. */
static void replay_file(char *path, unsigned count, unsigned step_us)
{
	FILE *file;
	int fd;

	strcpy(path, "/tmp/farbus-pcap-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(pcap_writer_open(path, &file), 0);
	for (unsigned i = 0; i < count; i++) {
		uint8_t data[64] = { (uint8_t)i };
		struct iovec piece = { data, sizeof(data) };

		assert_true(pcap_writer_add(file, 1000000000ull + (uint64_t)i * step_us * 1000,
					    &piece, 1));
	}
	fclose(file);
}

static void pcap__fast__all_at_once_then_the_end(void **state)
{
	struct nic_packet packet[64];
	char path[32], argument[64];
	struct nic_port_stats stats;
	struct nic_port *port;
	struct iovec piece = { "x", 1 };

	(void)state;
	replay_file(path, 40, 1000000);
	snprintf(argument, sizeof(argument), "pcap:%s,fast", path);
	assert_int_equal(nic_port_open(argument, &port), 0);
	assert_int_equal(port->ops->receive(port, packet, 30), 30);
	assert_int_equal(packet[29].data[0], 29);
	assert_false(port->ended);
	assert_int_equal(port->ops->receive(port, packet, 30), 10);
	assert_true(port->ended);
	assert_int_equal(port->ops->receive(port, packet, 30), 0);
	assert_int_equal(port->ops->send(port, &piece, 1, NULL), -EIO);
	nic_port_stats_get(port, &stats);
	assert_int_equal(stats.rx_frames, 40);
	assert_int_equal(stats.rx_bytes, 40 * 64);
	assert_int_equal(stats.tx_lost, 1);
	nic_port_close(port);
	unlink(path);
}

/* By its descriptor it tells when the next frame is due, and gives none before. */
static void pcap__with_its_times__none_before_it_is_due(void **state)
{
	struct nic_packet packet[64];
	char path[32], argument[64];
	struct nic_port *port;
	unsigned got = 0, waits = 0;

	(void)state;
	replay_file(path, 5, 20000);
	snprintf(argument, sizeof(argument), "pcap:%s", path);
	assert_int_equal(nic_port_open(argument, &port), 0);
	while (!port->ended) {
		struct pollfd poll_fd = { .fd = port->fd, .events = POLLIN };
		int count;

		assert_int_equal(poll(&poll_fd, 1, 10000), 1);
		count = port->ops->receive(port, packet, 64);
		assert_true(count >= 0);
		got += (unsigned)count;
		waits++;
	}
	assert_int_equal(got, 5);
	assert_true(waits > 1);
	nic_port_close(port);
	unlink(path);
}

static void open__what_cannot_be__says_why(void **state)
{
	static const struct {
		const char *text;
		int err;
	} bad[] = {
		{ "", -EINVAL },
		{ "eth0", -EINVAL },
		{ "magic:eth0", -EINVAL },
		{ "tap:", -EINVAL },
		{ "tap:a-name-of-more-than-fifteen", -EINVAL },
		{ "tap-fd:", -EINVAL },
		{ "tap-fd:7x", -EINVAL },
		{ "tap-fd:-1", -EINVAL },
		{ "tap-fd:60000", -EBADF },
		{ "tpacket-fd:60000", -EBADF },
		{ "tpacket-fd:0", -EINVAL },
		{ "tpacket-fd:x", -EINVAL },
		{ "pcap:", -EINVAL },
		{ "pcap:/nonexistent", -ENOENT },
		{ "pcap:/dev/null", -EPROTO },
		{ "pcap:/proc/self/exe", -EPROTO },
	};
	struct nic_port *port = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		assert_int_equal(nic_port_open(bad[i].text, &port), bad[i].err);
		assert_true(error_text()[0] != '\0');
	}
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	char text[32];
	snprintf(text, sizeof(text), "tap-fd:%d", fd);
	assert_int_equal(nic_port_open(text, &port), -ENOSYS);
	close(fd);
	assert_null(port);
	assert_null(nic_port_close(NULL));
}

static void offload_apply__headers_that_lie__refused(void **state)
{
	static const struct {
		struct virtio_net_hdr header;
		bool good;
	} cases[] = {
		{ { .flags = 0 }, true },
		{ { .flags = VIRTIO_NET_HDR_F_DATA_VALID }, true },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16 },
		  true },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 83, .csum_offset = 16 },
		  false },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .csum_start = 0xffff,
		    .csum_offset = 0xffff },
		  false },
		{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 10 }, false },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		    .csum_start = 34,
		    .csum_offset = 16 },
		  false },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_UDP,
		    .gso_size = 10,
		    .csum_start = 34,
		    .csum_offset = 16 },
		  false },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN,
		    .gso_size = 10,
		    .csum_start = 34,
		    .csum_offset = 16 },
		  true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct nic_packet packet = { .len = 100 };

		assert_int_equal(nic_port_offload_apply(&packet, &cases[i].header), cases[i].good);
	}
}

/* ---- the kernel's interfaces ---- */

#define SKIPPED 77

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		exit(SKIPPED);
	close(fd);
}

/* A namespace with an interface t0 that is up, and quiet: no addresses, so nobody speaks by itself. */
static void namespace_enter(struct nic_port **ret_tap)
{
	struct ifreq request = { .ifr_name = "t0" };
	char map[64];
	int fd;

	snprintf(map, sizeof(map), "0 %u 1\n", (unsigned)getuid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		exit(SKIPPED);
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", map);
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		exit(SKIPPED);
	fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) < 0)
		exit(SKIPPED);
	close(fd);
	CHECK(nic_port_open("tap:t0", ret_tap) == 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(ioctl(fd, SIOCGIFFLAGS, &request) == 0);
	request.ifr_flags |= IFF_UP;
	CHECK(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
	close(fd);
}

/* The next frame, waiting at most 10 s; false: none comes. */
static bool frame_wait(struct nic_port *port, struct nic_packet *ret_packet)
{
	for (int i = 0; i < 100; i++) {
		struct pollfd poll_fd = { .fd = port->fd, .events = POLLIN };

		if (port->ops->receive(port, ret_packet, 1) == 1)
			return true;
		poll(&poll_fd, 1, 100);
	}
	return false;
}

static void one_way(struct nic_port *from, struct nic_port *to, const struct desc *desc,
		    const struct virtio_net_hdr *offload, struct nic_packet *ret_packet)
{
	struct iovec piece[2];

	frame_build(desc, &frame);
	piece[0] = (struct iovec){ frame.data, 20 };
	piece[1] = (struct iovec){ frame.data + 20, frame.len - 20 };
	CHECK(from->ops->send(from, piece, 2, offload) == 0);
	CHECK(frame_wait(to, ret_packet));
	CHECK(ret_packet->len == frame.len);
	CHECK(memcmp(ret_packet->data, frame.data, frame.len) == 0);
}

static void in_kernel__frames_both_ways__as_they_were(void *arg)
{
	const struct virtio_net_hdr offload = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
						.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
						.gso_size = 1448,
						.hdr_len = 54,
						.csum_start = 34,
						.csum_offset = 16 };
	struct nic_port *tap, *tpacket;
	struct nic_packet packet;
	struct nic_port_stats stats;

	(void)arg;
	namespace_enter(&tap);
	CHECK(nic_port_open("tpacket:none", &tpacket) == -ENOENT);
	CHECK(nic_port_open("tpacket:t0", &tpacket) == 0);
	CHECK(tpacket->offloads && tap->offloads);
	for (unsigned i = 0; i < 300; i++) {
		struct desc desc = { .payload_len = i, .seq = i, .v6 = i % 3 == 0, .vlans = i % 2 };

		one_way(tap, tpacket, &desc, NULL, &packet);
		one_way(tpacket, tap, &desc, NULL, &packet);
	}
	/* Frames that are to be cut keep what is said about them. */
	struct desc big = { .payload_len = 20000 };
	one_way(tap, tpacket, &big, &offload, &packet);
	CHECK(packet.gso_size == 1448);
	CHECK(packet.gso_type == VIRTIO_NET_HDR_GSO_TCPV4);
	CHECK(packet.flags & NIC_PACKET_CSUM_PARTIAL);
	CHECK(packet.csum_start == 34 && packet.csum_offset == 16);
	one_way(tpacket, tap, &big, &offload, &packet);
	CHECK(packet.gso_size == 1448);
	nic_port_stats_get(tpacket, &stats);
	CHECK(stats.rx_frames == 301 && stats.tx_frames == 301 && stats.rx_lost == 0);
	nic_port_close(tpacket);
	nic_port_close(tap);
}

/* Given the descriptor, no capability is needed; and none is left when the port is opened. */
static void in_tpacket_fd__no_capabilities__frames_both_ways(void *arg)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { { 0 } };
	struct sockaddr_ll address = { .sll_family = AF_PACKET };
	struct nic_port *tap, *tpacket;
	struct nic_packet packet;
	char text[32];
	int fd;

	(void)arg;
	namespace_enter(&tap);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0);
	snprintf(text, sizeof(text), "tpacket-fd:%d", fd);
	CHECK(nic_port_open(text, &tpacket) == -EINVAL);
	address.sll_ifindex = (int)if_nametoindex("t0");
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(syscall(SYS_capset, &head, none) == 0);
	CHECK(nic_port_open("tpacket:t0", &tpacket) == -EACCES);
	CHECK(nic_port_open(text, &tpacket) == 0);
	close(fd);
	for (unsigned i = 0; i < 50; i++) {
		struct desc desc = { .payload_len = i, .seq = i };

		one_way(tap, tpacket, &desc, NULL, &packet);
		one_way(tpacket, tap, &desc, NULL, &packet);
	}
	nic_port_close(tpacket);
	nic_port_close(tap);
}

/* More than the ring holds while nobody receives: what is lost is counted. */
static void in_tpacket__nobody_receives__losses_are_counted(void *arg)
{
	struct nic_port *tap, *tpacket;
	struct nic_port_stats stats;
	struct nic_packet packet[NIC_PORT_BURST_MAX];
	struct desc desc = { .payload_len = 1400 };
	unsigned sent = 0, got = 0;

	(void)arg;
	namespace_enter(&tap);
	CHECK(nic_port_open("tpacket:t0", &tpacket) == 0);
	frame_build(&desc, &frame);
	struct iovec piece = { frame.data, frame.len };
	for (; sent < 20000; sent++)
		CHECK(tap->ops->send(tap, &piece, 1, NULL) == 0);
	for (int idle = 0; idle < 20;) {
		struct pollfd poll_fd = { .fd = tpacket->fd, .events = POLLIN };
		int count = tpacket->ops->receive(tpacket, packet, NIC_PORT_BURST_MAX);

		CHECK(count >= 0);
		got += (unsigned)count;
		if (count == 0 && poll(&poll_fd, 1, 10) == 0)
			idle++;
	}
	nic_port_stats_get(tpacket, &stats);
	CHECK(got < sent);
	CHECK(got + stats.rx_lost == sent);
	nic_port_close(tpacket);
	nic_port_close(tap);
}

static void interface_set(bool up)
{
	struct ifreq request = { .ifr_name = "t0" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	CHECK(ioctl(fd, SIOCGIFFLAGS, &request) == 0);
	request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
	CHECK(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
	close(fd);
}

/* Down: quiet, until it is up again. Removed: an error, and not a port that wakes us for ever. */
static void in_tpacket__interface_goes_down_and_away__quiet_then_eio(void *arg)
{
	struct desc desc = { .payload_len = 100 };
	struct nic_port *tap, *tpacket;
	struct nic_packet packet;
	struct pollfd poll_fd = { .events = POLLIN };
	int got = 0;

	(void)arg;
	namespace_enter(&tap);
	CHECK(nic_port_open("tpacket:t0", &tpacket) == 0);
	one_way(tap, tpacket, &desc, NULL, &packet);
	interface_set(false);
	poll_fd.fd = tpacket->fd;
	for (int i = 0; i < 10 && poll(&poll_fd, 1, 100) == 1; i++)
		CHECK(tpacket->ops->receive(tpacket, &packet, 1) == 0);
	CHECK(poll(&poll_fd, 1, 0) == 0);
	interface_set(true);
	one_way(tap, tpacket, &desc, NULL, &packet);
	nic_port_close(tap);
	for (int i = 0; i < 100 && got == 0; i++) {
		poll(&poll_fd, 1, 100);
		got = tpacket->ops->receive(tpacket, &packet, 1);
	}
	CHECK(got == -EIO);
	nic_port_close(tpacket);
}

static void child_passes_or_skips(void (*run)(void *arg))
{
	static struct child child;

	child_run(run, NULL, &child);
	if (WIFEXITED(child.status) && WEXITSTATUS(child.status) == SKIPPED)
		skip();
	if (child.status != 0)
		print_error("%s\n", child.text);
	assert_int_equal(child.status, 0);
}

static void kernel__frames_both_ways__as_they_were(void **state)
{
	(void)state;
	child_passes_or_skips(in_kernel__frames_both_ways__as_they_were);
}

static void tpacket_fd__no_capabilities__frames_both_ways(void **state)
{
	(void)state;
	child_passes_or_skips(in_tpacket_fd__no_capabilities__frames_both_ways);
}

static void tpacket__interface_goes_down_and_away__quiet_then_eio(void **state)
{
	(void)state;
	child_passes_or_skips(in_tpacket__interface_goes_down_and_away__quiet_then_eio);
}

static void tpacket__nobody_receives__losses_are_counted(void **state)
{
	(void)state;
	child_passes_or_skips(in_tpacket__nobody_receives__losses_are_counted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader__four_kinds_of_files__the_same_frames),
		cmocka_unit_test(reader__cut_anywhere__whole_frames_then_eproto),
		cmocka_unit_test(reader__another_format__eproto),
		cmocka_unit_test(writer__what_it_wrote__is_read),
		cmocka_unit_test(pcap__fast__all_at_once_then_the_end),
		cmocka_unit_test(pcap__with_its_times__none_before_it_is_due),
		cmocka_unit_test(open__what_cannot_be__says_why),
		cmocka_unit_test(offload_apply__headers_that_lie__refused),
		cmocka_unit_test(kernel__frames_both_ways__as_they_were),
		cmocka_unit_test(tpacket_fd__no_capabilities__frames_both_ways),
		cmocka_unit_test(tpacket__interface_goes_down_and_away__quiet_then_eio),
		cmocka_unit_test(tpacket__nobody_receives__losses_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
