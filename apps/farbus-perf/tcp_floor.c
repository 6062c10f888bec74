/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_floor.c -- the floor of access that goes over a network: bare TCP to a process that sleeps */
#include "apps/farbus-perf/tcp_floor.h"

#include "apps/farbus-perf/pair.h"
#include "base/error.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum ask_kind { ASK_ECHO = 1, ASK_FETCH, ASK_STREAM, ASK_SETTLE };

struct ask {
	uint64_t kind, off, len; /* ECHO, STREAM: len bytes follow */
};

struct tcp_floor {
	int socket, epoll;
	pid_t server;
};

/* ---- both sides: a socket that does not block, and a sleep in epoll when it would ---- */

struct side {
	int socket, epoll;
};

static bool sleep_until(const struct side *side, uint32_t events)
{
	struct epoll_event event = { .events = events };

	/* To read is what it is set to. */
	if (events != EPOLLIN && epoll_ctl(side->epoll, EPOLL_CTL_MOD, side->socket, &event) < 0)
		return false;
	while (epoll_wait(side->epoll, &event, 1, -1) < 0)
		if (errno != EINTR)
			return false;
	event.events = EPOLLIN;
	return events == EPOLLIN ||
	       epoll_ctl(side->epoll, EPOLL_CTL_MOD, side->socket, &event) == 0;
}

static bool side_open(int socket, struct side *ret_side)
{
	struct epoll_event event = { .events = EPOLLIN };
	int on = 1;

	ret_side->socket = socket;
	ret_side->epoll = epoll_create1(EPOLL_CLOEXEC);
	return setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
	       epoll_ctl(ret_side->epoll, EPOLL_CTL_ADD, socket, &event) == 0;
}

static bool write_all(const struct side *side, const void *head, size_t head_len, const void *data,
		      size_t len)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)head, head_len },
				{ (void *)(uintptr_t)data, len } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

	while (iov[0].iov_len + iov[1].iov_len) {
		ssize_t n = sendmsg(side->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN && sleep_until(side, EPOLLOUT))
			continue;
		if (n < 0)
			return false;
		for (int i = 0; i < 2; i++) {
			size_t part = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;

			iov[i].iov_base = (char *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			n -= (ssize_t)part;
		}
	}
	return true;
}

/* waits: nothing can be there yet, as after a request: sleep first. */
static bool read_all(const struct side *side, void *data, size_t len, bool waits)
{
	for (uint8_t *at = data; len;) {
		ssize_t n = -1;

		if (waits && !sleep_until(side, EPOLLIN))
			return false;
		n = recv(side->socket, at, len, MSG_DONTWAIT);
		waits = n < 0 && errno == EAGAIN;
		if (n == 0 || (n < 0 && !waits))
			return false;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			waits = true;
		}
	}
	return true;
}

/* ---- the server ---- */

static bool serve_one(const struct side *side, const struct ask *ask, uint8_t *memory)
{
	static const uint64_t done = 1;
	uint8_t *at = memory + ask->off;

	switch (ask->kind) {
	case ASK_ECHO:
		return read_all(side, at, ask->len, false) &&
		       write_all(side, at, ask->len, NULL, 0);
	case ASK_FETCH:
		return write_all(side, at, ask->len, NULL, 0);
	case ASK_STREAM:
		return read_all(side, at, ask->len, false);
	default:
		return write_all(side, &done, sizeof(done), NULL, 0);
	}
}

static void __attribute__((noreturn)) serve(int listener, int cpu, size_t len, pid_t parent)
{
	uint8_t *memory = mmap(NULL, len, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct side side;
	struct ask ask;
	int used;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (cpu >= 0)
		pair_pin(cpu, 0, &used);
	if (getppid() != parent || memory == MAP_FAILED ||
	    !side_open(accept4(listener, NULL, NULL, SOCK_CLOEXEC), &side))
		_exit(PERF_EXIT_FAILED);
	while (read_all(&side, &ask, sizeof(ask), true) && serve_one(&side, &ask, memory))
		;
	_exit(0);
}

/* ---- the client ---- */

static int listener_open(struct sockaddr_in *ret_name)
{
	socklen_t len = sizeof(*ret_name);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_name = (struct sockaddr_in){ .sin_family = AF_INET,
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (listener >= 0 && (bind(listener, (struct sockaddr *)ret_name, sizeof(*ret_name)) < 0 ||
			      listen(listener, 1) < 0 ||
			      getsockname(listener, (struct sockaddr *)ret_name, &len) < 0)) {
		close(listener);
		listener = -1;
	}
	return listener;
}

int tcp_floor_open(int cpu, size_t len, struct tcp_floor **ret_floor)
{
	struct tcp_floor *floor = calloc(1, sizeof(*floor));
	struct sockaddr_in name;
	struct side side = { .epoll = -1 };
	int listener = listener_open(&name);
	pid_t parent = getpid();

	if (!floor || listener < 0)
		goto failed;
	floor->server = fork();
	if (floor->server == 0)
		serve(listener, cpu, len, parent);
	floor->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (floor->server < 0 || floor->socket < 0 ||
	    connect(floor->socket, (struct sockaddr *)&name, sizeof(name)) < 0 ||
	    !side_open(floor->socket, &side))
		goto failed;
	floor->epoll = side.epoll;
	close(listener);
	*ret_floor = floor;
	return 0;

failed:
	if (listener >= 0)
		close(listener);
	if (floor && floor->server > 0) {
		kill(floor->server, SIGKILL);
		waitpid(floor->server, NULL, 0);
	}
	free(floor);
	return error_set(-EIO, "no process to compare with: %s", strerror(errno));
}

void tcp_floor_close(struct tcp_floor *floor)
{
	if (!floor)
		return;
	close(floor->socket);
	close(floor->epoll);
	kill(floor->server, SIGKILL);
	waitpid(floor->server, NULL, 0);
	free(floor);
}

static int ask(struct tcp_floor *floor, enum ask_kind kind, uint64_t off, const void *src,
	       size_t len)
{
	const struct side side = { floor->socket, floor->epoll };
	const struct ask ask = { .kind = kind, .off = off, .len = len };

	return write_all(&side, &ask, sizeof(ask), src, src ? len : 0) ?
		       0 :
		       error_set(-EIO, "the process to compare with has ended");
}

static int answer(struct tcp_floor *floor, void *dst, size_t len)
{
	const struct side side = { floor->socket, floor->epoll };

	return read_all(&side, dst, len, true) ?
		       0 :
		       error_set(-EIO, "the process to compare with has ended");
}

int tcp_floor_round(struct tcp_floor *floor, const void *src, void *dst, size_t len)
{
	int err = ask(floor, ASK_ECHO, 0, src, len);

	return err < 0 ? err : answer(floor, dst, len);
}

int tcp_floor_fetch(struct tcp_floor *floor, uint64_t off, void *dst, size_t len)
{
	int err = ask(floor, ASK_FETCH, off, NULL, len);

	return err < 0 ? err : answer(floor, dst, len);
}

int tcp_floor_stream(struct tcp_floor *floor, uint64_t off, const void *src, size_t len,
		     size_t piece)
{
	const struct side side = { floor->socket, floor->epoll };
	int err = ask(floor, ASK_STREAM, off, NULL, len);

	for (size_t at = 0; at < len && err == 0; at += piece)
		if (!write_all(&side, (const uint8_t *)src + at, piece, NULL, 0))
			err = error_set(-EIO, "the process to compare with has ended");
	return err;
}

int tcp_floor_settle(struct tcp_floor *floor)
{
	uint64_t done;
	int err = ask(floor, ASK_SETTLE, 0, NULL, 0);

	return err < 0 ? err : answer(floor, &done, sizeof(done));
}
