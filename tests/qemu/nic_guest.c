/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_guest.c -- the only program of the guest: loads its modules, then serves TCP connections
 *
 * A connection begins with a letter and eight bytes of length, little-endian. 'R': that many bytes
 * of the pattern follow, and the answer is a line that says how many came and how many were wrong.
 * 'S': the guest sends as many. 'D': a page of memory is written again and again from then on.
 */
#include "tests/qemu/nic_pattern.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARAMETER "nic_address="
#define NETMASK "255.255.255.0"
#define PORT 5001

static void die(const char *what)
{
	printf("GUEST FAILED: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	for (;;)
		pause();
}

static void modules_load(void)
{
	char name[128];
	FILE *list = fopen("/modules/list", "r");

	if (!list)
		die("/modules/list");
	while (fgets(name, sizeof(name), list)) {
		char path[256];
		int fd;

		name[strcspn(name, "\n")] = '\0';
		snprintf(path, sizeof(path), "/modules/%s", name);
		fd = open(path, O_RDONLY);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
			die(path);
		close(fd);
	}
	fclose(list);
}

/* Of the kernel's command line. */
static void address_find(char *ret_address, size_t size)
{
	FILE *file = fopen("/proc/cmdline", "r");
	char line[1024] = "";
	const char *at = NULL;

	if (file && fgets(line, sizeof(line), file))
		at = strstr(line, PARAMETER);
	if (!at)
		die("no " PARAMETER " on the command line");
	at += strlen(PARAMETER);
	snprintf(ret_address, size, "%.*s", (int)strcspn(at, " \n"), at);
	fclose(file);
}

static void address_set(int fd, unsigned long request, const char *name, const char *address)
{
	struct ifreq ifr = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	in->sin_family = AF_INET;
	inet_pton(AF_INET, address, &in->sin_addr);
	if (ioctl(fd, request, &ifr) < 0)
		die(name);
}

static void interface_up(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { 0 };
	char address[64];

	address_find(address, sizeof(address));
	address_set(fd, SIOCSIFADDR, name, address);
	address_set(fd, SIOCSIFNETMASK, name, NETMASK);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		die("interface up");
	close(fd);
}

static int all_read(int fd, void *to, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got = read(fd, (char *)to + done, len - done);

		if (got <= 0)
			return -1;
		done += (size_t)got;
	}
	return 0;
}

static void serve_receive(int fd, uint64_t len)
{
	static char buffer[1 << 18];
	uint64_t at = 0, bad = 0;
	char line[128];

	while (at < len) {
		ssize_t got = read(fd, buffer, sizeof(buffer));

		if (got <= 0)
			break;
		bad += pattern_bad(buffer, at, (size_t)got);
		at += (uint64_t)got;
	}
	snprintf(line, sizeof(line), "%llu %llu\n", (unsigned long long)at,
		 (unsigned long long)bad);
	if (write(fd, line, strlen(line)) < 0)
		return;
}

static void serve_send(int fd, uint64_t len)
{
	static char buffer[1 << 16];
	uint64_t at = 0;

	while (at < len) {
		size_t want = len - at < sizeof(buffer) ? (size_t)(len - at) : sizeof(buffer);
		ssize_t sent;

		pattern_fill(buffer, at, want);
		sent = write(fd, buffer, want);
		if (sent <= 0)
			return;
		at += (uint64_t)sent;
	}
}

/* Pages that change while the guest moves to another host. */
static void dirty_pages(void)
{
	static uint64_t page[1024][512];

	for (uint64_t n = 0;; n++) {
		__atomic_store_n(&page[n % 1024][n % 512], n, __ATOMIC_RELAXED);
		if (n % 64 == 0)
			usleep(10000);
	}
}

static void serve(int fd)
{
	struct {
		char kind;
		uint64_t len;
	} __attribute__((packed)) ask;

	if (all_read(fd, &ask, sizeof(ask)) < 0)
		return;
	if (ask.kind == 'R')
		serve_receive(fd, ask.len);
	else if (ask.kind == 'S')
		serve_send(fd, ask.len);
	else if (ask.kind == 'D')
		dirty_pages();
}

int main(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener, one = 1;

	mount("none", "/proc", "proc", 0, "");
	mount("none", "/dev", "devtmpfs", 0, "");
	modules_load();
	interface_up("eth0");
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 16) < 0)
		die("listen");
	printf("GUEST READY\n");
	fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0 && fork() == 0) {
			serve(fd);
			_exit(0);
		}
		if (fd >= 0)
			close(fd);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}
