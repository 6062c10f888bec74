/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_peer.c -- the host's end of the connections to the guest
 *
 *   nic_peer send BYTES ADDRESS    sends the pattern, prints what the guest says came
 *   nic_peer fetch BYTES ADDRESS   the other way round
 *   nic_peer dirty ADDRESS         the guest writes into its memory from now on
 *   nic_peer plain IFNAME          the interface sends what a wire carries: no segmentation, no
 *                                  checksums left to others
 *   nic_peer gro IFNAME            what the interface receives is merged by the kernel
 *
 * send and fetch print "BYTES BAD MBPS CPU_MS"; exit code 1 if a byte is missing or wrong.
 */
#include "tests/qemu/nic_pattern.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 5001
#define SILENCE_S 20 /* without a byte in either direction the test has failed */

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "nic_peer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int guest_connect(const char *to, char kind, uint64_t len)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct timeval silence = { SILENCE_S, 0 };
	struct {
		char kind;
		uint64_t len;
	} __attribute__((packed)) ask = { kind, len };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (inet_pton(AF_INET, to, &address.sin_addr) != 1)
		die(to);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("connect");
	if (write(fd, &ask, sizeof(ask)) != (ssize_t)sizeof(ask))
		die("write");
	return fd;
}

static int verdict(uint64_t len, uint64_t came, uint64_t bad, double seconds)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("%llu %llu %.1f %.0f\n", (unsigned long long)came, (unsigned long long)bad,
	       (double)came / 1e6 / seconds,
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3);
	return came != len || bad > 0;
}

static int send_all(const char *to, uint64_t len)
{
	static char buffer[1 << 17];
	int fd = guest_connect(to, 'R', len);
	unsigned long long came = 0, bad = 0;
	double start = now_s();
	char line[128] = "";

	for (uint64_t at = 0; at < len;) {
		size_t want = len - at < sizeof(buffer) ? (size_t)(len - at) : sizeof(buffer);
		ssize_t sent;

		pattern_fill(buffer, at, want);
		sent = write(fd, buffer, want);
		if (sent <= 0)
			die("the guest takes nothing any more");
		at += (uint64_t)sent;
	}
	if (read(fd, line, sizeof(line) - 1) <= 0 || sscanf(line, "%llu %llu", &came, &bad) != 2)
		die("the guest's answer");
	return verdict(len, came, bad, now_s() - start);
}

static int fetch_all(const char *to, uint64_t len)
{
	static char buffer[1 << 17];
	int fd = guest_connect(to, 'S', len);
	double start = now_s();
	uint64_t at = 0, bad = 0;

	while (at < len) {
		ssize_t got = read(fd, buffer, sizeof(buffer));

		if (got <= 0)
			break;
		bad += pattern_bad(buffer, at, (size_t)got);
		at += (uint64_t)got;
	}
	return verdict(len, at, bad, now_s() - start);
}

static void feature_set(int fd, const char *name, uint32_t command, bool on)
{
	struct ethtool_value value = { .cmd = command, .data = on };
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_data = (char *)&value;
	if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		die(name);
}

static int plain(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	feature_set(fd, name, ETHTOOL_STSO, false);
	feature_set(fd, name, ETHTOOL_SGSO, false);
	feature_set(fd, name, ETHTOOL_STXCSUM, false);
	close(fd);
	return 0;
}

static int gro(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	feature_set(fd, name, ETHTOOL_SGRO, true);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc == 4 && strcmp(what, "send") == 0)
		return send_all(argv[3], strtoull(argv[2], NULL, 10));
	if (argc == 4 && strcmp(what, "fetch") == 0)
		return fetch_all(argv[3], strtoull(argv[2], NULL, 10));
	if (argc == 3 && strcmp(what, "dirty") == 0)
		return guest_connect(argv[2], 'D', 0) < 0;
	if (argc == 3 && strcmp(what, "plain") == 0)
		return plain(argv[2]);
	if (argc == 3 && strcmp(what, "gro") == 0)
		return gro(argv[2]);
	fprintf(stderr,
		"usage: nic_peer send BYTES ADDRESS | fetch BYTES ADDRESS | dirty ADDRESS | "
		"plain IFNAME | gro IFNAME\n");
	return 2;
}
