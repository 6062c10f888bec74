/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_net.c -- FARBUS_JOIN's host:port as sockets: names, IPv4 and IPv6 */
#include "runtime/boot/tcp_net.h"

#include "base/clock.h"
#include "base/error.h"
#include "runtime/boot/wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 1024
#define KEEP_IDLE_S 10
#define KEEP_INTERVAL_S 5
#define KEEP_COUNT 3
#define USER_TIMEOUT_MS 25000

int tcp_place_parse(const char *text, struct tcp_place *ret_place)
{
	static const char want[] = "give host:port or [IPv6 address]:port, with a port from 1 to "
				   "65535";
	bool bracket = text[0] == '[';
	const char *host = text + bracket;
	const char *end = bracket ? strchr(host, ']') : strrchr(host, ':');
	const char *colon = end ? end + bracket : NULL;
	int64_t port;

	if (!colon || *colon != ':' || end == host || end - host >= TCP_HOST_MAX)
		return error_set(-EINVAL, "FARBUS_JOIN=%.80s: %s", text, want);
	if (!bracket && memchr(host, ':', (size_t)(end - host)))
		return error_set(-EINVAL, "FARBUS_JOIN=%.80s: put an IPv6 address in brackets: %s",
				 text, want);
	if (wire_number_parse(colon + 1, 1, 65535, &port) < 0)
		return error_set(-EINVAL, "FARBUS_JOIN=%.80s: %s", text, want);
	memcpy(ret_place->host, host, (size_t)(end - host));
	ret_place->host[end - host] = '\0';
	snprintf(ret_place->port, sizeof(ret_place->port), "%d", (int)port);
	return 0;
}

int tcp_resolve(const struct tcp_place *place, struct addrinfo **ret_list)
{
	struct addrinfo hint = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV,
	};
	int err = getaddrinfo(place->host, place->port, &hint, ret_list);

	if (err == 0)
		return 0;
	return error_set(err == EAI_AGAIN ? -EAGAIN : -EINVAL,
			 "FARBUS_JOIN: the name %.100s has no address: %s", place->host,
			 err == EAI_SYSTEM ? strerror(errno) : gai_strerror(err));
}

bool tcp_is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;

		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)address;

		return IN6_IS_ADDR_LOOPBACK(&in->sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr) && in->sin6_addr.s6_addr[12] == 127);
	}
	return false;
}

void tcp_peer_text(const struct sockaddr *address, socklen_t len, char ret_text[TCP_PEER_MAX])
{
	char host[48] = "somebody", port[8] = "?";

	(void)getnameinfo(address, len, host, sizeof(host), port, sizeof(port),
			  NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(ret_text, TCP_PEER_MAX, "%s port %s", host, port);
}

void tcp_tune(int fd)
{
	static const struct {
		int level, option, value;
	} row[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		(void)setsockopt(fd, row[i].level, row[i].option, &row[i].value,
				 sizeof(row[i].value));
}

/* One address. Errors: errno, negative, as socket, bind and listen give it. */
static int listen_at(const struct addrinfo *at, int *ret_fd)
{
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err, on = 1;

	if (fd < 0)
		return -errno;
	/* Without it, a job could not start again while connections of the last one linger. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (at->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int tcp_listen(const struct addrinfo *list, int *ret_fd)
{
	char where[TCP_PEER_MAX];

	for (const struct addrinfo *at = list; at; at = at->ai_next) {
		int err = listen_at(at, ret_fd);

		if (err == 0)
			return 0;
		if (err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT)
			continue;
		tcp_peer_text(at->ai_addr, at->ai_addrlen, where);
		if (err == -EADDRINUSE)
			return error_set(
				-EEXIST,
				"%s is taken: another program or job listens there, or a rank of "
				"this one that was given FARBUS_SIZE and no FARBUS_RANK",
				where);
		return error_set(err == -EMFILE || err == -ENFILE ? -EMFILE : -EINVAL,
				 "cannot listen on %s: %s", where, strerror(-err));
	}
	return error_set(-ENOENT, "FARBUS_JOIN names no address of this host: rank 0 has to run on "
				  "the host that it names");
}

int tcp_wait(int fd, short events, uint64_t deadline)
{
	for (;;) {
		struct pollfd pollfd = { .fd = fd, .events = events };
		uint64_t now = clock_now_ns();
		uint64_t left = now < deadline ? deadline - now : 0;
		uint64_t ms = (left + NS_PER_MS - 1) / NS_PER_MS;
		int n = poll(&pollfd, 1, ms > INT_MAX ? INT_MAX : (int)ms);

		if (n > 0)
			return 0;
		if (n == 0 && left == 0)
			return -ETIMEDOUT;
	}
}

/*
 * Linux lets a socket connect to itself when its own port happens to be the one it calls and
 * nobody listens there.
 */
static bool talks_to_itself(int fd)
{
	struct sockaddr_storage own, peer;
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);

	memset(&own, 0, sizeof(own));
	memset(&peer, 0, sizeof(peer));
	return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
	       getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && own_len == peer_len &&
	       memcmp(&own, &peer, own_len) == 0;
}

/* One address. Errors: errno, negative. */
static int connect_to(const struct addrinfo *at, uint64_t timeout_ns, int *ret_fd)
{
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = 0;
	socklen_t len = sizeof(err);

	if (fd < 0)
		return -errno;
	if (connect(fd, at->ai_addr, at->ai_addrlen) < 0 && errno != EINPROGRESS) {
		err = errno;
		close(fd);
		return -err;
	}
	if (tcp_wait(fd, POLLOUT, clock_now_ns() + timeout_ns) < 0)
		err = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	else if (err == 0 && talks_to_itself(fd))
		err = ECONNREFUSED;
	if (err) {
		close(fd);
		return -err;
	}
	tcp_tune(fd);
	*ret_fd = fd;
	return 0;
}

int tcp_connect(const struct addrinfo *list, uint64_t timeout_ns, int *ret_fd)
{
	int err = -ECONNREFUSED;

	for (const struct addrinfo *at = list; at; at = at->ai_next) {
		err = connect_to(at, timeout_ns, ret_fd);
		if (err == 0)
			return 0;
		if (err == -EMFILE || err == -ENFILE)
			return error_set(-EMFILE, "no descriptor left (%s): raise ulimit -n",
					 strerror(-err));
	}
	return error_set(-ECONNREFUSED, "%s", strerror(-err));
}
