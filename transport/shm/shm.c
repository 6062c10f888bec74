/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shm.c -- the transport between processes of one host: open, poll, park
 *
 * poll() goes round the links, one event at a time, and looks at epoll (connections, ends) only
 * after a sleep, every POLL_LOOK_ROUNDS events, or every POLL_LOOK_NS while nothing comes: that
 * is a system call, a look at the rings is not.
 */
#include "transport/shm/shm.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POLL_LOOK_ROUNDS 64
#define POLL_LOOK_NS 20000
#define LOOK_EVENTS 64

_Static_assert(WATCH_KINDS <= _Alignof(max_align_t), "the kind fits in the pointer's low bits");

static int shm_probe(char *ret_reason, size_t size)
{
	const char *why = NULL;
	int fd;

	fd = memfd_create("farbus-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		why = "memfd_create(2) with sealing is needed: Linux 3.17, and no filter on it";
	else
		close(fd);
	fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (fd < 0 && !why)
		why = "pidfd_open(2) is needed: Linux 5.3, and no filter on it";
	if (fd >= 0)
		close(fd);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 && !why)
		why = "Unix sockets are needed, and a free descriptor";
	if (fd >= 0)
		close(fd);
	if (!why)
		return 0;
	if (size)
		snprintf(ret_reason, size, "%s", why);
	return -ENOTSUP;
}

int watch_add(struct transport *transport, int fd, uint32_t events, struct transport_link *link,
	      enum watch_kind kind)
{
	struct epoll_event event = { .events = events, .data.u64 = (uintptr_t)link | kind };

	errno = ENOSPC;
	if (alloc_fault_point() || epoll_ctl(transport->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return error_set(errno == EPERM ? -EPROTO : -EMFILE,
				 "cannot watch a descriptor (%s): raise "
				 "fs.epoll.max_user_watches",
				 strerror(errno));
	return 0;
}

static void shm_close(struct transport *transport)
{
	if (!transport)
		return;
	while (transport->link_count)
		link_free(transport->link[transport->link_count - 1]);
	free(transport->link);
	if (transport->listener >= 0) {
		shutdown(transport->listener, SHUT_RDWR); /* a forked child may hold it */
		close(transport->listener);
	}
	if (transport->reserve >= 0)
		close(transport->reserve);
	if (transport->epoll >= 0)
		close(transport->epoll);
	free(transport);
}

static int descriptors_open(struct transport *transport, const char *locator)
{
	int err;

	if (!alloc_fault_point())
		transport->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!alloc_fault_point())
		transport->reserve = eventfd(0, EFD_CLOEXEC);
	if (transport->epoll < 0 || transport->reserve < 0)
		return error_set(-EMFILE, "no descriptor left for the transport: raise ulimit -n");
	err = wire_listen(locator, &transport->listener);
	if (err < 0)
		return err;
	return watch_add(transport, transport->listener, EPOLLIN, NULL, WATCH_LISTENER);
}

static int shm_open_(const char *locator, struct transport **ret_transport)
{
	struct transport *transport = alloc_zero(sizeof(*transport));
	int err;

	if (!transport)
		return error_set(-ENOMEM, "no memory for a transport");
	transport->listener = transport->epoll = transport->reserve = -1;
	transport->look_due = true;
	err = descriptors_open(transport, locator);
	if (err < 0) {
		shm_close(transport);
		return err;
	}
	snprintf(transport->locator, sizeof(transport->locator), "%s", locator);
	*ret_transport = transport;
	return 0;
}

static void shm_locator(const struct transport *transport, char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	memcpy(ret_locator, transport->locator, TRANSPORT_LOCATOR_MAX);
}

static int shm_fd(struct transport *transport)
{
	return transport->epoll;
}

static void bell_drain(const struct transport_link *link)
{
	uint64_t count;

	while (read(link->bell_self, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

static void look_event(struct transport *transport, const struct epoll_event *event, bool drain)
{
	uintptr_t data = (uintptr_t)event->data.u64, low = _Alignof(max_align_t) - 1;
	struct transport_link *link = (struct transport_link *)(data & ~low);
	bool end = event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

	switch ((enum watch_kind)(data & low)) {
	case WATCH_LISTENER:
		link_accept(transport);
		break;
	case WATCH_SOCKET:
		link_socket_event(link, end);
		break;
	case WATCH_PIDFD:
		link_hup(link);
		break;
	case WATCH_BELL:
		if (drain)
			bell_drain(link);
		break;
	case WATCH_KINDS:
		break;
	}
}

/* Links that nobody but us knows go only now: the round may have had two events of one. */
static void gone_free(struct transport *transport)
{
	for (unsigned i = transport->link_count; i-- > 0;)
		if (transport->link[i]->state == LINK_GONE)
			link_free(transport->link[i]);
}

static void look(struct transport *transport, bool drain)
{
	struct epoll_event event[LOOK_EVENTS];
	int n;

	transport->look_due = false;
	transport->polls = 0;
	n = epoll_wait(transport->epoll, event, LOOK_EVENTS, 0);
	for (int i = 0; i < n; i++)
		look_event(transport, &event[i], drain);
	if (transport->gone)
		gone_free(transport);
}

static int down_event(struct transport_link *link, struct transport_event *ret_event)
{
	link->state = LINK_ENDED;
	ret_event->kind = TRANSPORT_LINK_DOWN;
	ret_event->status = link->status;
	return 0;
}

static int gone_event(struct transport_link *link, struct transport_event *ret_event)
{
	link->state = LINK_ENDED;
	ret_event->kind = TRANSPORT_LINK_GONE;
	return 0;
}

static int up_event(struct transport_link *link, struct transport_event *ret_event)
{
	link->up_due = false;
	ret_event->kind = TRANSPORT_LINK_UP;
	ret_event->accepted = link->accepted;
	ret_event->pid = link->pid;
	ret_event->uid = link->uid;
	return 0;
}

/* Order: up, room, messages, down. -EAGAIN: nothing. */
static int link_event(struct transport_link *link, struct transport_event *ret_event)
{
	int err;

	if (link->up_due)
		return up_event(link, ret_event);
	if (link->state == LINK_FAILED)
		return down_event(link, ret_event);
	if (link->state == LINK_LEFT)
		return gone_event(link, ret_event);
	if (link->state != LINK_OPEN)
		return -EAGAIN;
	if (link->want && !link->hup && link_writable(link)) {
		link->want = false;
		ret_event->kind = TRANSPORT_WRITABLE;
		return 0;
	}
	err = link_receive(link, ret_event);
	if (err == -EAGAIN && !link->hup)
		return -EAGAIN;
	if (err == -EAGAIN)
		err = channel_peer_closed(&link->channel) ? -ECONNRESET : -EHOSTDOWN;
	if (err == 0)
		return 0;
	link_fail(link, err);
	return down_event(link, ret_event);
}

static int round_once(struct transport *transport, struct transport_event *ret_event)
{
	for (unsigned i = transport->link_count; i > 0; i--) {
		struct transport_link *link;

		if (transport->cursor >= transport->link_count)
			transport->cursor = 0;
		link = transport->link[transport->cursor++];
		*ret_event = (struct transport_event){ .link = link, .fd = -1 };
		if (link_event(link, ret_event) == 0)
			return 0;
	}
	return -EAGAIN;
}

static int shm_poll(struct transport *transport, struct transport_event *ret_event)
{
	struct transport_event event;
	uint64_t now;

	if (transport->look_due || ++transport->polls >= POLL_LOOK_ROUNDS)
		look(transport, false);
	if (round_once(transport, &event) < 0) {
		now = clock_now_ns();
		if (now - transport->look_at < POLL_LOOK_NS)
			return -EAGAIN;
		transport->look_at = now;
		look(transport, false);
		if (round_once(transport, &event) < 0)
			return -EAGAIN;
	}
	*ret_event = event;
	return 0;
}

static bool link_busy(struct transport_link *link)
{
	if (link->up_due || link->state == LINK_FAILED || link->state == LINK_LEFT)
		return true;
	if (link->state != LINK_OPEN)
		return false;
	return link->hup || channel_pending(&link->channel) || (link->want && link_writable(link));
}

/*
 * Empties the doorbells, then arms, then looks: whoever stored before we armed is seen by the
 * look, whoever stores after rings (channel.h). A bell that was rung between is only a wake-up
 * for nothing.
 */
static bool shm_park(struct transport *transport)
{
	look(transport, true);
	for (unsigned i = 0; i < transport->link_count; i++) {
		struct transport_link *link = transport->link[i];

		if (link->state == LINK_OPEN)
			channel_arm(&link->channel,
				    CHANNEL_ARMED_MESSAGE | (link->want ? CHANNEL_ARMED_ROOM : 0));
	}
	channel_fence();
	for (unsigned i = 0; i < transport->link_count; i++)
		if (link_busy(transport->link[i]))
			return false;
	transport->look_due = true;
	return true;
}

static void shm_link_user_set(struct transport_link *link, void *user)
{
	link->user = user;
}

static void *shm_link_user(const struct transport_link *link)
{
	return link->user;
}

static void shm_link_close(struct transport_link *link)
{
	if (link)
		link_free(link);
}

const struct transport_ops transport_shm = {
	.name = "shm",
	.message_max = SHM_MESSAGE_MAX,
	.same_host = true,
	.probe = shm_probe,
	.open = shm_open_,
	.close = shm_close,
	.locator = shm_locator,
	.fd = shm_fd,
	.connect = link_connect,
	.send = link_send,
	.poll = shm_poll,
	.park = shm_park,
	.link_close = shm_link_close,
	.link_linger = link_linger,
	.link_user_set = shm_link_user_set,
	.link_user = shm_link_user,
	.memory_alloc = shm_memory_alloc,
	.memory_free = shm_memory_free,
};
