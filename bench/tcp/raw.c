/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * raw.c -- the floor: the least that a server in epoll has to do over TCP
 *
 * Messages are framed by their length, so that both subjects carry the same.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int listener = -1, connection = -1, queue = -1;
static uint8_t buffer[2 * BENCH_LEN_MAX];
static size_t have;

static void raw_listen(char ret_address[BENCH_ADDRESS_MAX])
{
	struct sockaddr_in name = { .sin_family = AF_INET };
	socklen_t len = sizeof(name);

	bench_check(inet_pton(AF_INET, bench_where, &name.sin_addr) == 1, "address");
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bench_check(bind(listener, (struct sockaddr *)&name, sizeof(name)) == 0, "bind");
	bench_check(listen(listener, 1) == 0, "listen");
	bench_check(getsockname(listener, (struct sockaddr *)&name, &len) == 0, "getsockname");
	snprintf(ret_address, BENCH_ADDRESS_MAX, "%u", ntohs(name.sin_port));
}

static void watch(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int on = 1;

	bench_check(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0,
		    "nodelay");
	queue = epoll_create1(EPOLL_CLOEXEC);
	bench_check(epoll_ctl(queue, EPOLL_CTL_ADD, connection, &event) == 0, "epoll");
}

static void raw_connect(const char *address)
{
	struct sockaddr_in name = { .sin_family = AF_INET };

	bench_check(inet_pton(AF_INET, bench_where, &name.sin_addr) == 1, "address");
	name.sin_port = htons((uint16_t)strtoul(address, NULL, 10));
	connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bench_check(connect(connection, (struct sockaddr *)&name, sizeof(name)) == 0, "connect");
	watch();
}

static void raw_send(const void *data, size_t len)
{
	uint32_t head = (uint32_t)len;
	struct iovec iov[2] = { { &head, sizeof(head) }, { (void *)(uintptr_t)data, len } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t left = sizeof(head) + len;
	ssize_t n;

	while (left) {
		n = sendmsg(connection, &message, MSG_NOSIGNAL);
		bench_check(n > 0, "send");
		left -= (size_t)n;
		for (int i = 0; i < 2; i++) {
			size_t part = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;

			iov[i].iov_base = (char *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			n -= (ssize_t)part;
		}
	}
}

/* The length of the message at the front; 0: not all there. */
static size_t framed(void)
{
	uint32_t len;

	if (have < sizeof(len))
		return 0;
	memcpy(&len, buffer, sizeof(len));
	bench_check(len <= BENCH_LEN_MAX, "length");
	return have >= sizeof(len) + len ? sizeof(len) + len : 0;
}

static void consume(size_t len)
{
	have -= len;
	memmove(buffer, buffer + len, have);
}

/* False: the end. */
static bool read_some(bool spin)
{
	struct epoll_event event;
	ssize_t n;

	if (!spin)
		bench_check(epoll_wait(queue, &event, 1, -1) == 1, "epoll_wait");
	n = recv(connection, buffer + have, sizeof(buffer) - have, MSG_DONTWAIT);
	if (n > 0)
		have += (size_t)n;
	bench_check(n >= 0 || errno == EAGAIN || errno == ECONNRESET, "recv");
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static void raw_receive(bool spin)
{
	while (!framed())
		bench_check(read_some(spin), "the server ended");
	consume(framed());
}

static void raw_serve(void)
{
	size_t len;

	connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	bench_check(connection >= 0, "accept");
	watch();
	while (read_some(false))
		while ((len = framed())) {
			if (buffer[sizeof(uint32_t)] == 'e')
				raw_send(buffer + sizeof(uint32_t), len - sizeof(uint32_t));
			else if (buffer[sizeof(uint32_t)] == 'l')
				raw_send("l", 1);
			consume(len);
		}
}

static void raw_close(void)
{
	close(connection);
	close(queue);
	have = 0;
}

const struct bench_subject bench_raw = {
	.name = "raw",
	.listen = raw_listen,
	.serve = raw_serve,
	.connect = raw_connect,
	.send = raw_send,
	.receive = raw_receive,
	.close = raw_close,
};
