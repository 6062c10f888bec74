/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * greeting.c -- who are you? over a TCP socket, before UCX comes in
 *
 * The one who connects sends a hello, the other answers with one. Nothing is kept of a stranger but
 * a socket and a few kilobytes, and of no more than UCX_GREETING_MAX of them.
 *
 * Keepalive: a host that does not answer for four times probe_ns is gone. A full receive window does not occur,
 * since nothing is sent after the greeting.
 */
#include "transport/ucx/ucx.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#define HELLO_MAGIC 0x66757831u
#define BACKLOG 128
#define ACCEPT_MAX 16 /* at once */
#define KEEPALIVE_COUNT 3
#define MUTE_NS (200 * NS_PER_MS)

struct greeting {
	struct watch watch;
	TAILQ_ENTRY(greeting) entry;
	struct transport *transport;
	struct transport_link *link; /* borrows; NULL: a stranger */
	int socket;		     /* owned */
	bool sent;		     /* our hello */
	uint64_t deadline;
	size_t got;
	struct ucx_hello hello;
	uint8_t address[UCX_ADDRESS_MAX];
};

/* ---- listening ---- */

static int listen_error(const struct address *address, const char *what)
{
	switch (errno) {
	case EADDRINUSE:
		return error_set(-EEXIST, "somebody listens at %s port %s: choose another port",
				 address->host, address->port);
	case EADDRNOTAVAIL:
		return error_set(-EINVAL, "%s is not an address of this host", address->host);
	case EMFILE:
	case ENFILE:
		return error_set(-EMFILE, "no descriptor left to listen: raise ulimit -n");
	case EACCES:
		return error_set(-EINVAL, "port %s is for root alone", address->port);
	default:
		return error_set(-EINVAL, "cannot %s %s port %s: %s", what, address->host,
				 address->port, strerror(errno));
	}
}

static int socket_open(int family)
{
	errno = EMFILE;
	return alloc_fault_point() ? -1 :
				     socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int ucx_listener_open(struct transport *transport, const struct address *address)
{
	struct sockaddr_storage name = { 0 };
	socklen_t len = sizeof(name);
	int on = 1;

	transport->listener = socket_open(address->socket.ss_family);
	if (transport->listener < 0)
		return listen_error(address, "open a socket for");
	setsockopt(transport->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(transport->listener, (const struct sockaddr *)&address->socket,
		 address->socket_len) < 0)
		return listen_error(address, "bind to");
	if (listen(transport->listener, BACKLOG) < 0 ||
	    getsockname(transport->listener, (struct sockaddr *)&name, &len) < 0)
		return listen_error(address, "listen on");
	if (strcmp(address->port, "0") == 0 &&
	    getrandom(&transport->cookie, sizeof(transport->cookie), 0) !=
		    sizeof(transport->cookie))
		return error_set(-ENOSYS, "getrandom(2) is needed: %s", strerror(errno));
	return ucx_locator_format((const struct sockaddr *)&name, transport->cookie,
				  transport->locator);
}

static void socket_setup(int socket)
{
	int on = 1, idle = (int)(ucx_timing.probe_ns / NS_PER_S), count = KEEPALIVE_COUNT;

	setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
	setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* ---- the object ---- */

/* Ownership: takes socket, unless it fails. */
static int greeting_new(struct transport *transport, int socket, uint32_t events,
			struct greeting **ret_greeting)
{
	struct greeting *greeting = alloc_zero(sizeof(*greeting));
	int err;

	if (!greeting)
		return error_set(-ENOMEM, "no memory for a greeting");
	greeting->watch.kind = WATCH_GREETING;
	greeting->transport = transport;
	err = ucx_watch_add(transport, socket, events, &greeting->watch);
	if (err < 0) {
		free(greeting);
		return err;
	}
	greeting->socket = socket;
	greeting->deadline = clock_now_ns() + ucx_timing.connect_ns;
	ucx_timer_want(transport, greeting->deadline);
	*ret_greeting = greeting;
	return 0;
}

void ucx_greeting_free(struct greeting *greeting)
{
	struct transport *transport = greeting->transport;

	if (greeting->link) {
		greeting->link->greeting = NULL;
	} else {
		TAILQ_REMOVE(&transport->greetings, greeting, entry);
		transport->greeting_count--;
	}
	if (greeting->socket >= 0)
		close(greeting->socket);
	transport->watch_gone = true;
	free(greeting);
}

/* It failed: the link, if there is one, says so. */
static void greeting_end(struct greeting *greeting, int status)
{
	struct transport_link *link = greeting->link;

	ucx_greeting_free(greeting);
	if (link)
		ucx_link_fail(link, status);
}

/* ---- what is said ---- */

static int hello_send(struct greeting *greeting, struct transport_link *link, uint64_t cookie)
{
	struct transport *transport = greeting->transport;
	struct ucx_hello hello = { .magic = HELLO_MAGIC,
				   .message_max = UCX_MESSAGE_MAX,
				   .cookie = cookie,
				   .token = link->token,
				   .address_len = (uint32_t)transport->address_len };
	struct iovec part[] = { { &hello, sizeof(hello) },
				{ transport->address, transport->address_len } };
	struct msghdr message = { .msg_iov = part, .msg_iovlen = 2 };
	ssize_t sent;

	memcpy(hello.worker, transport->worker_id, sizeof(hello.worker));
	/* The first bytes of a connection always have room. */
	sent = sendmsg(greeting->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	greeting->sent = true;
	if (sent != (ssize_t)(sizeof(hello) + transport->address_len))
		return error_set(-EHOSTDOWN, "the peer closed the connection in the greeting");
	return 0;
}

static bool hello_valid(const struct greeting *greeting)
{
	const struct ucx_hello *hello = &greeting->hello;

	return hello->magic == HELLO_MAGIC && hello->message_max == UCX_MESSAGE_MAX &&
	       hello->address_len > 0 && hello->address_len <= UCX_ADDRESS_MAX &&
	       hello->zero == 0 &&
	       (greeting->link || (hello->cookie ^ greeting->transport->cookie) == 0);
}

/* A stranger no more. The greeting's socket becomes the link's. */
static int stranger_accept(struct greeting *greeting)
{
	struct transport *transport = greeting->transport;
	int err = ucx_link_new(transport, LINK_ACCEPTING, &greeting->link);

	if (err < 0)
		return err;
	TAILQ_REMOVE(&transport->greetings, greeting, entry);
	transport->greeting_count--;
	greeting->link->greeting = greeting;
	greeting->link->deadline = greeting->deadline;
	return hello_send(greeting, greeting->link, 0);
}

static int socket_handover(struct greeting *greeting)
{
	struct transport_link *link = greeting->link;
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = &link->watch };

	if (epoll_ctl(link->transport->epoll, EPOLL_CTL_MOD, greeting->socket, &event) < 0)
		return error_set(-EHOSTDOWN, "cannot watch a socket: %s", strerror(errno));
	link->socket = greeting->socket;
	greeting->socket = -1;
	return 0;
}

static void greeting_finish(struct greeting *greeting)
{
	struct transport_link *link;
	int err = greeting->link ? 0 : stranger_accept(greeting);

	if (err == 0)
		err = socket_handover(greeting);
	if (err < 0) {
		log_warning("refused a connection: %s", error_text());
		greeting_end(greeting, -EHOSTDOWN);
		return;
	}
	link = greeting->link;
	link->greeting = NULL;
	link->transport->watch_gone = true;
	err = ucx_link_greeted(link, &greeting->hello, greeting->address);
	if (err < 0) {
		log_warning("cannot reach a peer: %s", error_text());
		ucx_link_fail(link, -EHOSTDOWN);
	}
	free(greeting);
}

/* ---- turns ---- */

/* 1: complete; 0: more is to come. */
static int greeting_read(struct greeting *greeting)
{
	size_t head = sizeof(greeting->hello);

	for (;;) {
		size_t want = greeting->got < head ? head : head + greeting->hello.address_len;
		uint8_t *to = greeting->got < head ? (uint8_t *)&greeting->hello + greeting->got :
						     greeting->address + (greeting->got - head);
		ssize_t n;

		if (greeting->got == want && greeting->got > head)
			return 1;
		n = recv(greeting->socket, to, want - greeting->got, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n <= 0)
			return n < 0 && errno == ECONNREFUSED ? -ECONNREFUSED : -EHOSTDOWN;
		greeting->got += (size_t)n;
		if (greeting->got >= sizeof(greeting->hello.magic) &&
		    greeting->hello.magic != HELLO_MAGIC)
			return -EPROTO;
		if (greeting->got == head && !hello_valid(greeting))
			return -EPROTO;
	}
}

static int connect_status(int socket)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -EHOSTDOWN;
	if (error == ECONNREFUSED || error == ETIMEDOUT)
		return -error;
	return error ? -EHOSTDOWN : 0;
}

/* The socket is connected, or cannot be. */
static int greeting_connected(struct greeting *greeting, uint64_t cookie)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &greeting->watch };
	int err = connect_status(greeting->socket);

	if (err < 0)
		return err;
	if (epoll_ctl(greeting->transport->epoll, EPOLL_CTL_MOD, greeting->socket, &event) < 0)
		return -EHOSTDOWN;
	return hello_send(greeting, greeting->link, cookie);
}

void ucx_greeting_run(struct greeting *greeting, uint32_t events)
{
	int err = 0;

	if (greeting->link && !greeting->sent) {
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			err = greeting_connected(greeting, greeting->link->cookie);
		if (err < 0)
			greeting_end(greeting, err);
		return;
	}
	err = greeting_read(greeting);
	if (err == -EPROTO)
		log_warning("refused a connection: not our version of farbus, or not this port's "
			    "cookie");
	if (err < 0)
		greeting_end(greeting, err);
	else if (err > 0)
		greeting_finish(greeting);
}

static void stranger_new(struct transport *transport, int socket)
{
	struct greeting *greeting;

	socket_setup(socket);
	if (greeting_new(transport, socket, EPOLLIN, &greeting) < 0) {
		close(socket);
		return;
	}
	if (transport->greeting_count == UCX_GREETING_MAX)
		ucx_greeting_free(TAILQ_FIRST(&transport->greetings));
	TAILQ_INSERT_TAIL(&transport->greetings, greeting, entry);
	transport->greeting_count++;
}

void ucx_listener_mute(struct transport *transport, bool mute)
{
	static struct watch watch = { WATCH_LISTENER };
	struct epoll_event event = { .events = mute ? 0 : EPOLLIN, .data.ptr = &watch };

	transport->muted = mute;
	epoll_ctl(transport->epoll, EPOLL_CTL_MOD, transport->listener, &event);
}

void ucx_listener_accept(struct transport *transport)
{
	for (int i = 0; i < ACCEPT_MAX; i++) {
		int socket = accept4(transport->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (socket >= 0) {
			stranger_new(transport, socket);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			log_warning("cannot accept who connects to us (%s): raise ulimit -n",
				    strerror(errno));
			ucx_listener_mute(transport, true);
			ucx_timer_want(transport, clock_now_ns() + MUTE_NS);
		}
		return;
	}
}

static int connect_start(const struct address *address, int *ret_socket)
{
	int socket = socket_open(address->socket.ss_family);

	if (socket < 0)
		return error_set(-EMFILE, "no descriptor left to connect: raise ulimit -n");
	socket_setup(socket);
	if (connect(socket, (const struct sockaddr *)&address->socket, address->socket_len) < 0 &&
	    errno != EINPROGRESS) {
		int err = error_set(-ECONNREFUSED, "cannot connect to %s port %s: %s",
				    address->host, address->port, strerror(errno));

		close(socket);
		return err;
	}
	*ret_socket = socket;
	return 0;
}

int ucx_greeting_connect(struct transport_link *link, const struct address *address)
{
	struct greeting *greeting;
	int socket, err = connect_start(address, &socket);

	if (err < 0)
		return err;
	err = greeting_new(link->transport, socket, EPOLLOUT, &greeting);
	if (err < 0) {
		close(socket);
		return err;
	}
	greeting->link = link;
	link->greeting = greeting;
	return 0;
}

uint64_t ucx_greetings_tick(struct transport *transport, uint64_t now)
{
	struct greeting *greeting;

	while ((greeting = TAILQ_FIRST(&transport->greetings)) && now >= greeting->deadline)
		ucx_greeting_free(greeting);
	return greeting ? greeting->deadline : UINT64_MAX;
}
