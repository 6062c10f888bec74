/* SPDX-License-Identifier: BSD-3-Clause */
/* link.c -- the life of a shm link: handshake, messages with descriptors, the end */
#include "transport/shm/shm.h"

#include "base/alloc.h"
#include "base/counter.h"
#include "base/error.h"
#include "base/log.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int closed(int fd)
{
	if (fd >= 0)
		close(fd);
	return -1;
}

static int link_new(struct transport *transport, struct transport_link **ret_link)
{
	struct transport_link *link;

	if (transport->link_count == SHM_LINK_MAX)
		return error_set(-ENOSPC, "more than %d links", SHM_LINK_MAX);
	if (transport->link_count == transport->link_size) {
		unsigned size = transport->link_size ? transport->link_size * 2 : 16;
		struct transport_link **bigger =
			alloc_resize(transport->link, size, sizeof(struct transport_link *));

		if (!bigger)
			return error_set(-ENOMEM, "no memory for %u links", size);
		transport->link = bigger;
		transport->link_size = size;
	}
	link = alloc_zero(sizeof(*link));
	if (!link)
		return error_set(-ENOMEM, "no memory for a link");
	link->transport = transport;
	link->socket = link->pidfd = link->bell_self = link->bell_peer = -1;
	link->index = transport->link_count;
	transport->link[transport->link_count++] = link;
	*ret_link = link;
	return 0;
}

/*
 * Closing a descriptor ends its being watched only when nobody else has it: but the peer has our
 * doorbell, and a forked child all of them.
 */
static int unwatched(const struct transport *transport, int fd)
{
	if (fd >= 0)
		epoll_ctl(transport->epoll, EPOLL_CTL_DEL, fd, NULL);
	return closed(fd);
}

void link_free(struct transport_link *link)
{
	struct transport *transport = link->transport;
	struct transport_link *last = transport->link[--transport->link_count];

	transport->link[link->index] = last;
	last->index = link->index;
	if (link->state == LINK_ACCEPTED)
		transport->half_open--;
	if (link->state == LINK_GONE)
		transport->gone--;
	if (link->memory) {
		channel_close_mark(&link->channel);
		munmap(link->memory, CHANNEL_SIZE);
	}
	/* A forked child may hold the socket, too: its end must not wait for the child's. */
	if (link->socket >= 0)
		shutdown(link->socket, SHUT_RDWR);
	unwatched(transport, link->socket);
	unwatched(transport, link->pidfd);
	unwatched(transport, link->bell_self);
	closed(link->bell_peer);
	free(link);
}

/* What is left of it can be read, and then comes LINK_DOWN. */
void link_fail(struct transport_link *link, int status)
{
	struct transport *transport = link->transport;

	if (link->state >= LINK_FAILED)
		return;
	link->status = status;
	if (link->socket >= 0)
		epoll_ctl(transport->epoll, EPOLL_CTL_DEL, link->socket, NULL);
	if (link->bell_self >= 0)
		epoll_ctl(transport->epoll, EPOLL_CTL_DEL, link->bell_self, NULL);
	link->pidfd = closed(link->pidfd);
	if (link->state == LINK_OPEN && status == -EPROTO) {
		counter_add(COUNTER_message_bad, 1);
		log_warning("process %d broke the rules of the link: closed", (int)link->pid);
	}
	if (link->state != LINK_ACCEPTED) {
		link->state = LINK_FAILED;
		return;
	}
	link->state = LINK_GONE;
	transport->half_open--;
	transport->gone++;
}

static void link_left(struct transport_link *link)
{
	epoll_ctl(link->transport->epoll, EPOLL_CTL_DEL, link->socket, NULL);
	link->pidfd = closed(link->pidfd);
	link->state = LINK_LEFT;
}

/* What link_fail() stopped to watch. Errors: -EMFILE. */
static int end_watch(struct transport_link *link)
{
	struct transport *transport = link->transport;
	struct epoll_event event = { .events = EPOLLRDHUP,
				     .data.u64 = (uintptr_t)link | WATCH_SOCKET };

	if (epoll_ctl(transport->epoll, EPOLL_CTL_MOD, link->socket, &event) < 0 &&
	    epoll_ctl(transport->epoll, EPOLL_CTL_ADD, link->socket, &event) < 0)
		return -EMFILE;
	if (link->pidfd >= 0)
		return 0;
	link->pidfd = wire_pidfd(link->socket, link->pid);
	if (link->pidfd < 0)
		return 0;
	return watch_add(transport, link->pidfd, EPOLLIN, link, WATCH_PIDFD);
}

bool link_linger(struct transport_link *link)
{
	if (!link->memory || link->hup || link->socket < 0)
		return false; /* it was never up, or we know of its end already */
	channel_close_mark(&link->channel);
	shutdown(link->socket, SHUT_WR);
	epoll_ctl(link->transport->epoll, EPOLL_CTL_DEL, link->bell_self, NULL);
	link->up_due = link->want = false;
	link->state = LINK_LINGER;
	if (end_watch(link) < 0)
		log_warning("process %d: the end of its link cannot be watched: raise ulimit -n; "
			    "what it has mapped counts as mapped",
			    (int)link->pid);
	return true;
}

void link_hup(struct transport_link *link)
{
	if (link->state == LINK_LINGER) {
		link_left(link);
		return;
	}
	if (link->state != LINK_OPEN) {
		link_fail(link, -EHOSTDOWN);
		return;
	}
	if (link->hup)
		return;
	link->hup = true;
	link->hup_limit = link->channel.in.tail + CHANNEL_SLOTS;
	epoll_ctl(link->transport->epoll, EPOLL_CTL_DEL, link->socket, NULL);
	link->pidfd = closed(link->pidfd);
}

/* From the handshake's end on the socket wakes nobody but by its end. */
static int link_open(struct transport_link *link, void *memory, unsigned side)
{
	struct transport *transport = link->transport;
	struct epoll_event event = { .events = EPOLLRDHUP,
				     .data.u64 = (uintptr_t)link | WATCH_SOCKET };
	int err;

	link->memory = memory;
	channel_init(&link->channel, memory, side);
	channel_arm(&link->channel, CHANNEL_ARMED_MESSAGE);
	err = watch_add(transport, link->bell_self, EPOLLIN, link, WATCH_BELL);
	if (err < 0)
		return err;
	if (epoll_ctl(transport->epoll, EPOLL_CTL_MOD, link->socket, &event) < 0)
		return -EMFILE;
	return 0;
}

static int link_watch(struct transport_link *link)
{
	int err =
		watch_add(link->transport, link->socket, EPOLLIN | EPOLLRDHUP, link, WATCH_SOCKET);

	if (err < 0)
		return err;
	link->pidfd = wire_pidfd(link->socket, link->pid);
	if (link->pidfd < 0)
		return 0; /* then the socket's end alone tells */
	return watch_add(link->transport, link->pidfd, EPOLLIN, link, WATCH_PIDFD);
}

static int bell_new(int *ret_fd)
{
	int fd = alloc_fault_point() ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return error_set(-EMFILE, "no descriptor left for a doorbell: raise ulimit -n");
	*ret_fd = fd;
	return 0;
}

static int hello_send(struct transport_link *link, int memory_fd)
{
	struct wire_message hello = { .kind = WIRE_HELLO, .value = CHANNEL_SIZE };
	int fds[SHM_HELLO_FDS] = { memory_fd, link->bell_peer, link->bell_self };
	int err = wire_send(link->socket, &hello, fds, SHM_HELLO_FDS);

	if (err < 0)
		return error_set(-ECONNREFUSED, "process %d ended while we connected to it",
				 (int)link->pid);
	return 0;
}

static int connect_start(struct transport_link *link, const char *locator)
{
	int memory_fd = -1, err;

	err = wire_connect(locator, &link->socket);
	if (err < 0)
		return err;
	err = wire_peer(link->socket, locator, &link->pid, &link->uid);
	if (err < 0)
		return err;
	err = bell_new(&link->bell_self);
	if (err < 0)
		return err;
	err = bell_new(&link->bell_peer);
	if (err < 0)
		return err;
	err = shm_channel_create(&memory_fd, &link->memory);
	if (err < 0)
		return err;
	channel_init(&link->channel, link->memory, 0);
	/*
	 * From its birth on, whoever opens it: the thread that sleeps on shm_fd() may have armed
	 * before there was this link, and another one polls.
	 */
	channel_arm(&link->channel, CHANNEL_ARMED_MESSAGE);
	err = hello_send(link, memory_fd);
	close(memory_fd);
	if (err < 0)
		return err;
	return link_watch(link);
}

int link_connect(struct transport *transport, const char *locator, struct transport_link **ret_link)
{
	struct transport_link *link;
	int err;

	err = link_new(transport, &link);
	if (err < 0)
		return err;
	link->state = LINK_CONNECTING;
	err = connect_start(link, locator);
	if (err < 0) {
		link_free(link);
		return err;
	}
	*ret_link = link;
	return 0;
}

static void refuse(int socket, int error)
{
	struct wire_message message = { .kind = WIRE_REFUSE, .value = (uint32_t)-error };

	wire_send(socket, &message, NULL, 0);
}

/* A doorbell is written without waiting, so it must be what it is said to be. */
static bool is_bell(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[48], target[sizeof(want) + 1];
	ssize_t n;

	if (!(fcntl(fd, F_GETFL) & O_NONBLOCK))
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target));
	if (n < 0)
		return true; /* no /proc: the flag is what can be known */
	return n == (ssize_t)sizeof(want) - 1 && memcmp(target, want, sizeof(want) - 1) == 0;
}

static int hello_run(struct transport_link *link, const struct wire_message *hello, int *fds,
		     unsigned count)
{
	struct wire_message welcome = { .kind = WIRE_WELCOME, .value = CHANNEL_SIZE };
	void *memory;
	int err;

	if (hello->kind != WIRE_HELLO || hello->value != CHANNEL_SIZE || count != SHM_HELLO_FDS)
		return -EPROTO;
	if (!is_bell(fds[1]) || !is_bell(fds[2]))
		return -EPROTO;
	err = shm_channel_map(fds[0], &memory);
	if (err < 0)
		return err;
	link->bell_self = fds[1];
	link->bell_peer = fds[2];
	fds[1] = fds[2] = -1;
	err = link_open(link, memory, 1);
	if (err < 0)
		return err;
	return wire_send(link->socket, &welcome, NULL, 0);
}

static void hello_receive(struct transport_link *link)
{
	int fds[SHM_HELLO_FDS] = { -1, -1, -1 }, err;
	struct wire_message hello;
	unsigned count;

	err = wire_receive(link->socket, &hello, fds, SHM_HELLO_FDS, &count);
	if (err == -EAGAIN)
		return;
	if (err == 0)
		err = hello_run(link, &hello, fds, count);
	for (unsigned i = 0; i < SHM_HELLO_FDS; i++)
		closed(fds[i]);
	if (err == 0) {
		link->state = LINK_OPEN;
		link->transport->half_open--;
		link->up_due = true;
		return;
	}
	if (err != -EHOSTDOWN) {
		log_warning("refused process %d: %s", (int)link->pid,
			    err == -EPROTO ? "not our version of farbus" : strerror(-err));
		refuse(link->socket, err);
	}
	link_fail(link, err);
}

static void welcome_receive(struct transport_link *link)
{
	struct wire_message answer;
	unsigned count;
	int err;

	err = wire_receive(link->socket, &answer, NULL, 0, &count);
	if (err == -EAGAIN)
		return;
	if (err == 0 && answer.kind == WIRE_WELCOME && answer.value == CHANNEL_SIZE)
		err = link_open(link, link->memory, 0);
	else if (err == 0 && answer.kind == WIRE_REFUSE && answer.value && answer.value < 4096)
		err = -(int)answer.value;
	else if (err == 0)
		err = -EPROTO;
	if (err < 0) {
		link_fail(link, err);
		return;
	}
	link->state = LINK_OPEN;
	link->up_due = true;
}

void link_socket_event(struct transport_link *link, bool end)
{
	if (link->state == LINK_ACCEPTED)
		hello_receive(link);
	else if (link->state == LINK_CONNECTING)
		welcome_receive(link);
	if (end && (link->state < LINK_FAILED || link->state == LINK_LINGER))
		link_hup(link);
}

static void half_open_limit(struct transport *transport)
{
	if (transport->half_open < SHM_HALF_OPEN_MAX)
		return;
	/* New ones are appended, so the first found is among the oldest. */
	for (unsigned i = 0; i < transport->link_count; i++)
		if (transport->link[i]->state == LINK_ACCEPTED) {
			log_warning("process %d connected and said nothing: closed",
				    (int)transport->link[i]->pid);
			link_fail(transport->link[i], -ETIMEDOUT);
			return;
		}
}

/* Returns -EAGAIN: nobody is waiting. */
static int accept_one(struct transport *transport)
{
	struct transport_link *link;
	int fd = -1, err;

	errno = EMFILE;
	if (!alloc_fault_point())
		fd = accept4(transport->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return -errno;
	half_open_limit(transport);
	err = link_new(transport, &link);
	if (err < 0) {
		refuse(fd, err);
		close(fd);
		return 0;
	}
	link->state = LINK_ACCEPTED;
	link->accepted = true;
	link->socket = fd;
	transport->half_open++;
	err = wire_peer(fd, "who connected to us", &link->pid, &link->uid);
	if (err == -EACCES)
		log_warning("%s", error_text());
	if (err == 0)
		err = link_watch(link);
	if (err < 0) {
		refuse(fd, err);
		link_fail(link, err);
		return 0;
	}
	hello_receive(link);
	return 0;
}

/*
 * Out of descriptors, a connection that nobody accepts would wake us for ever: the one in reserve
 * serves to turn it away.
 */
static void turn_away(struct transport *transport)
{
	int fd;

	transport->reserve = closed(transport->reserve);
	fd = accept4(transport->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		refuse(fd, -EMFILE);
	closed(fd);
	transport->reserve = eventfd(0, EFD_CLOEXEC);
	log_warning("no descriptor left for who connects to us: raise ulimit -n");
}

void link_accept(struct transport *transport)
{
	for (int i = 0; i < SHM_HALF_OPEN_MAX; i++) {
		int err = accept_one(transport);

		if (err == -EMFILE || err == -ENFILE)
			turn_away(transport);
		else if (err < 0 && err != -ECONNABORTED && err != -EINTR)
			return;
	}
}

/* ---- messages ---- */

/* write(2) to an eventfd that is not full never waits; a full one needs no ringing. */
static void bell_ring(const struct transport_link *link)
{
	uint64_t one = 1;

	while (write(link->bell_peer, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Wakes our own sleeper: there is room already, and only poll() says so. */
static void bell_self_ring(const struct transport_link *link)
{
	uint64_t one = 1;

	while (write(link->bell_self, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static bool fd_room(struct transport_link *link)
{
	unsigned done = 0;
	uint64_t acknowledged;

	if (link->fd_count < SHM_FD_MAX)
		return true;
	acknowledged = channel_acknowledged(&link->channel);
	while (done < link->fd_count && link->fd_end[done] <= acknowledged)
		done++;
	link->fd_count -= done;
	memmove(link->fd_end, link->fd_end + done, link->fd_count * sizeof(link->fd_end[0]));
	return link->fd_count < SHM_FD_MAX;
}

bool link_writable(struct transport_link *link)
{
	if (channel_room(&link->channel, link->want_len) == 0)
		return false;
	return !link->want_fd || fd_room(link);
}

static int put_off(struct transport_link *link, size_t len, bool fd)
{
	link->want = true;
	link->want_len = len;
	link->want_fd = fd;
	if (link->state != LINK_OPEN)
		return -EAGAIN;
	/* Likewise: whoever sleeps has to learn of room, and what came before we armed is seen now. */
	channel_arm(&link->channel, CHANNEL_ARMED_MESSAGE | CHANNEL_ARMED_ROOM);
	channel_fence();
	if (link_writable(link))
		bell_self_ring(link);
	return -EAGAIN;
}

/* 0 means none. */
static uint32_t serial_next(uint32_t serial)
{
	return serial == UINT32_MAX ? 1 : serial + 1;
}

/* The descriptor goes ahead of its marker, so it is there when the marker is read. */
static int fd_send(struct transport_link *link, int fd)
{
	struct wire_message message = { .kind = WIRE_FD, .value = serial_next(link->serial_out) };
	int err = wire_send(link->socket, &message, &fd, 1);

	if (err == 0)
		link->serial_out = message.value;
	return err;
}

static int channel_error(struct transport_link *link, int err)
{
	if (err == -EPROTO)
		link_fail(link, -EPROTO);
	return err == -EPROTO ? -EHOSTDOWN : err;
}

int link_send(struct transport_link *link, const void *data, size_t len, int fd)
{
	bool bell = false;
	int err;

	if (len > SHM_MESSAGE_MAX)
		return error_set(-EMSGSIZE, "message of %zu bytes: at most %d", len,
				 SHM_MESSAGE_MAX);
	if (link->hup || link->state >= LINK_FAILED)
		return -EHOSTDOWN;
	if (link->state != LINK_OPEN)
		return put_off(link, len, fd >= 0);
	err = channel_room(&link->channel, len);
	if (err < 0)
		return channel_error(link, err);
	if (err == 0 || (fd >= 0 && !fd_room(link)))
		return put_off(link, len, fd >= 0);
	err = fd >= 0 ? fd_send(link, fd) : 0;
	if (err == -EAGAIN)
		return put_off(link, len, true);
	if (err < 0)
		return err;
	err = channel_send(&link->channel, data, len, fd >= 0 ? link->serial_out : 0, &bell);
	if (err < 0)
		return channel_error(link, err);
	if (fd >= 0)
		link->fd_end[link->fd_count++] = channel_sent(&link->channel);
	if (bell)
		bell_ring(link);
	return 0;
}

/* -EPROTO, or 0 with *ret_fd -1 and *ret_status if we had no room for it. */
static int fd_receive(struct transport_link *link, uint32_t serial, int *ret_fd, int *ret_status)
{
	struct wire_message message;
	unsigned count = 0;
	int fd = -1, err;

	link->serial_in = serial_next(link->serial_in);
	err = wire_receive(link->socket, &message, &fd, 1, &count);
	if ((err == 0 ? count == 1 : err == -EMFILE) && message.kind == WIRE_FD &&
	    message.value == serial && serial == link->serial_in) {
		*ret_fd = fd;
		*ret_status = err;
		return 0;
	}
	closed(fd);
	return -EPROTO;
}

int link_receive(struct transport_link *link, struct transport_event *ret_event)
{
	struct transport *transport = link->transport;
	uint32_t serial = 0;
	bool bell = false;
	int len;

	if (link->hup && link->channel.in.tail >= link->hup_limit)
		return -EAGAIN; /* nobody who is gone sent that */
	len = channel_receive(&link->channel, transport->message, &serial, &bell);
	if (len < 0)
		return len;
	if (bell)
		bell_ring(link);
	ret_event->kind = TRANSPORT_MESSAGE;
	ret_event->data = transport->message;
	ret_event->len = (size_t)len;
	return serial ? fd_receive(link, serial, &ret_event->fd, &ret_event->status) : 0;
}
