/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp.c -- the transport between hosts, over plain TCP sockets: open, poll, park
 *
 * Whatever waits in a socket keeps fd() readable, so poll() looks once and then says that there is
 * nothing, until it is called again. It looks first at the link that had something last: a read
 * tells more than epoll_wait().
 */
#include "transport/tcp/tcp.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "transport/address.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define ANSWERS_MAX 256 /* bytes of them that wait for others */
#define RECENT_LOOKS 32 /* at one link alone, before the others are looked at */

struct tcp_link_timing tcp_link_timing = {
	.connect_ns = 10 * NS_PER_S,
	.linger_ns = 20 * NS_PER_S,
	.probe_ns = 5 * NS_PER_S,
	.silence_ns = 20 * NS_PER_S,
	.close_ns = 2 * NS_PER_S,
};

/* Names the calling thread. */
static const void *thread_name(void)
{
	static _Thread_local char name;

	return &name;
}

/* ---- open and close ---- */

static int descriptor_error(void)
{
	return error_set(-EMFILE, "no descriptor left for a transport: raise ulimit -n");
}

static int listen_error(const char *where, int err)
{
	switch (err) {
	case EADDRINUSE:
		return error_set(-EEXIST, "%s: somebody listens there: choose another port", where);
	case EADDRNOTAVAIL:
		return error_set(-EINVAL, "%s: not an address of this host", where);
	case EMFILE:
	case ENFILE:
		return descriptor_error();
	default:
		return error_set(-ENOSYS, "cannot listen on %s: %s", where, strerror(err));
	}
}

static int listener_open(struct transport *transport, const char *where)
{
	struct sockaddr_storage name = { 0 };
	socklen_t len = sizeof(name);
	struct address address;
	int on = 1;

	if (address_local(where, &address) < 0)
		return error_set(-EINVAL, "\"%s\": no such address or interface of this host",
				 where);
	transport->listener = alloc_fault_point() ?
				      -1 :
				      socket(address.socket.ss_family,
					     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (transport->listener < 0)
		return descriptor_error();
	/* Connections of an instance that has ended may be in TIME_WAIT at this port. */
	setsockopt(transport->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(transport->listener, (struct sockaddr *)&address.socket, address.socket_len) < 0 ||
	    listen(transport->listener, SOMAXCONN) < 0 ||
	    getsockname(transport->listener, (struct sockaddr *)&name, &len) < 0)
		return listen_error(where, errno);
	if (address_format((struct sockaddr *)&name, transport->locator, TRANSPORT_LOCATOR_MAX) < 0)
		return error_set(-EINVAL, "\"%s\": its address is too long", where);
	return 0;
}

static int watch(struct transport *transport, int fd, int *of)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = of };

	return fd < 0 ? -1 : epoll_ctl(transport->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int descriptors_open(struct transport *transport)
{
	if (alloc_fault_point())
		return descriptor_error();
	transport->epoll = epoll_create1(EPOLL_CLOEXEC);
	transport->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	transport->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	transport->reserve = eventfd(0, EFD_CLOEXEC);
	if (transport->epoll < 0 || transport->reserve < 0 ||
	    watch(transport, transport->listener, &transport->listener) < 0 ||
	    watch(transport, transport->timer, &transport->timer) < 0 ||
	    watch(transport, transport->wake, &transport->wake) < 0)
		return descriptor_error();
	return 0;
}

static void transport_free(struct transport *transport)
{
	int fds[] = { transport->listener, transport->timer, transport->wake, transport->reserve,
		      transport->epoll };

	while (transport->link_count)
		tcp_link_free(transport->link[transport->link_count - 1]);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(transport->link);
	free(transport->scratch);
	free(transport);
}

static int tcp_open(const char *where, struct transport **ret_transport)
{
	struct transport *transport = alloc_zero(sizeof(*transport));
	int err;

	if (!transport)
		return error_set(-ENOMEM, "no memory for a transport");
	transport->listener = transport->epoll = transport->timer = -1;
	transport->wake = transport->reserve = -1;
	transport->timer_at = UINT64_MAX;
	TAILQ_INIT(&transport->due);
	transport->scratch = alloc_resize(NULL, TCP_LINK_MESSAGE_MAX, 1);
	if (transport->scratch)
		err = listener_open(transport, where);
	else
		err = error_set(-ENOMEM, "no memory for a transport");
	if (err == 0)
		err = descriptors_open(transport);
	if (err < 0) {
		transport_free(transport);
		return err;
	}
	*ret_transport = transport;
	return 0;
}

static int tcp_probe(char *ret_reason, size_t size)
{
	(void)ret_reason;
	(void)size;
	return 0;
}

static void tcp_locator(const struct transport *transport, char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	memcpy(ret_locator, transport->locator, TRANSPORT_LOCATOR_MAX);
}

static int tcp_fd(struct transport *transport)
{
	return transport->epoll;
}

/* ---- looking ---- */

void tcp_timer_want(struct transport *transport, uint64_t at)
{
	struct itimerspec when = { .it_value = { (time_t)(at / NS_PER_S), (long)(at % NS_PER_S) } };

	if (at >= transport->timer_at)
		return;
	transport->timer_at = at;
	timerfd_settime(transport->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void timer_run(struct transport *transport)
{
	uint64_t count, next = UINT64_MAX, now;

	if (read(transport->timer, &count, sizeof(count)) < 0)
		return;
	now = clock_now_ns();
	transport->timer_at = UINT64_MAX;
	for (unsigned i = transport->link_count; i-- > 0;) {
		uint64_t at = tcp_link_tick(transport->link[i], now);

		next = at < next ? at : next;
	}
	if (next != UINT64_MAX)
		tcp_timer_want(transport, next);
}

static void ready_run(struct transport *transport)
{
	uint32_t events = transport->ready_events[transport->ready_next];
	void *of = transport->ready[transport->ready_next++];

	if (of == &transport->listener)
		tcp_link_accept(transport);
	else if (of == &transport->timer)
		timer_run(transport);
	else if (of && of != &transport->wake) /* that is read before we sleep */
		tcp_link_ready(of, events);
}

static bool look_recent(struct transport *transport)
{
	struct transport_link *link = transport->recent;

	if (!link || link->state != TCP_LINK_UP || ++transport->recent_count > RECENT_LOOKS)
		return false;
	if (!tcp_link_read(link))
		return false;
	transport->reading = link;
	return true;
}

static void look(struct transport *transport)
{
	struct epoll_event event[TCP_LINK_READY_SIZE];
	int n;

	transport->again_count = 0;
	if (look_recent(transport))
		return;
	transport->recent_count = 0;
	n = epoll_wait(transport->epoll, event, TCP_LINK_READY_SIZE, 0);
	transport->ready_next = 0;
	transport->ready_count = n > 0 ? (unsigned)n : 0;
	for (unsigned i = 0; i < transport->ready_count; i++) {
		transport->ready[i] = event[i].data.ptr;
		transport->ready_events[i] = event[i].events;
	}
}

/* ---- poll ---- */

static void dead_free(struct transport *transport)
{
	for (unsigned i = transport->link_count; transport->dead_count && i-- > 0;)
		if (transport->link[i]->state == TCP_LINK_DEAD) {
			tcp_link_free(transport->link[i]);
			transport->dead_count--;
		}
}

static bool due_event(struct transport *transport, struct transport_event *ret_event)
{
	struct transport_link *link = TAILQ_FIRST(&transport->due);
	unsigned due;

	if (!link)
		return false;
	due = link->due & -link->due; /* the lowest */
	link->due &= ~due;
	if (!link->due)
		TAILQ_REMOVE(&transport->due, link, due_link);
	ret_event->link = link;
	if (due == TCP_DUE_UP) {
		ret_event->kind = TRANSPORT_LINK_UP;
		ret_event->accepted = link->accepted;
		ret_event->uid = (uid_t)-1;
	} else if (due == TCP_DUE_WRITABLE) {
		ret_event->kind = TRANSPORT_WRITABLE;
	} else {
		ret_event->kind = TRANSPORT_LINK_DOWN;
		ret_event->status = link->status;
	}
	return true;
}

static void answers_flush(struct transport_link *link)
{
	if (link->socket >= 0 && link->out_head < link->out_tail && !link->out_watched)
		tcp_link_flush(link);
}

/* From the buffer, and the socket as long as it fills that. */
static bool reading_event(struct transport *transport, struct transport_event *ret_event)
{
	struct transport_link *link = transport->reading;

	if (tcp_link_next(link, ret_event)) {
		transport->recent = link;
		return true;
	}
	if (link->due || transport->reading != link)
		return false;
	if (link->out_tail - link->out_head > ANSWERS_MAX)
		answers_flush(link);
	if (tcp_link_more(link)) {
		transport->again_count++;
		if (tcp_link_read(link))
			return false;
	}
	answers_flush(link);
	if (transport->reading == link)
		transport->reading = NULL;
	return false;
}

static bool poll_event(struct transport *transport, struct transport_event *ret_event)
{
	for (;;) {
		if (due_event(transport, ret_event))
			return true;
		if (transport->reading) {
			if (reading_event(transport, ret_event))
				return true;
		} else if (transport->ready_next < transport->ready_count) {
			ready_run(transport);
		} else if (transport->looked) {
			transport->looked = false;
			return false;
		} else {
			transport->looked = true;
			look(transport);
		}
	}
}

static void wake_ring(struct transport *transport)
{
	uint64_t one = 1;

	transport->rung = true;
	while (write(transport->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/*
 * A thread that polls while another one sleeps may take what made fd() readable, and leave the
 * rest inside: whoever gets an event wakes the sleeper, once.
 */
static int tcp_poll(struct transport *transport, struct transport_event *ret_event)
{
	struct transport_event event = { .fd = -1 };

	dead_free(transport);
	if (transport->parked == thread_name())
		transport->parked = NULL;
	if (!poll_event(transport, &event))
		return -EAGAIN;
	if (transport->parked) {
		transport->parked = NULL;
		wake_ring(transport);
	}
	*ret_event = event;
	return 0;
}

static bool tcp_park(struct transport *transport)
{
	uint64_t count;

	while (transport->rung && read(transport->wake, &count, sizeof(count)) < 0 &&
	       errno == EINTR)
		;
	transport->rung = false;
	if (!TAILQ_EMPTY(&transport->due) || transport->reading ||
	    transport->ready_next < transport->ready_count)
		return false;
	transport->looked = false;
	transport->parked = thread_name();
	return true;
}

/* ---- the end ---- */

static bool flushed(const struct transport *transport)
{
	for (unsigned i = 0; i < transport->link_count; i++) {
		const struct transport_link *link = transport->link[i];

		if (link->state == TCP_LINK_CLOSED &&
		    (link->out_head < link->out_tail || !tcp_socket_flushed(link->socket)))
			return false;
	}
	return true;
}

/* Waits, bounded, until the kernels of the peers have what was sent. */
static void tcp_close(struct transport *transport)
{
	uint64_t until = clock_now_ns() + tcp_link_timing.close_ns;
	struct transport_event event;
	struct epoll_event ready;

	if (!transport)
		return;
	for (unsigned i = transport->link_count; i-- > 0;)
		if (transport->link[i]->state < TCP_LINK_CLOSED)
			tcp_link_close(transport->link[i]);
	while (!flushed(transport) && clock_now_ns() < until) {
		if (tcp_poll(transport, &event) == 0) {
			if (event.kind == TRANSPORT_LINK_UP)
				tcp_link_close(event.link);
		} else {
			epoll_wait(transport->epoll, &ready, 1, 1);
		}
	}
	transport_free(transport);
}

static void tcp_user_set(struct transport_link *link, void *user)
{
	link->user = user;
}

static void *tcp_user(const struct transport_link *link)
{
	return link->user;
}

static void tcp_place_set(struct transport *transport, transport_place_fn place, void *arg)
{
	transport->place = place;
	transport->place_arg = arg;
}

const struct transport_ops transport_tcp = {
	.name = "tcp",
	.message_max = TCP_LINK_MESSAGE_MAX,
	.probe = tcp_probe,
	.open = tcp_open,
	.close = tcp_close,
	.locator = tcp_locator,
	.fd = tcp_fd,
	.connect = tcp_link_connect,
	.send = tcp_link_send,
	.sendv = tcp_link_sendv,
	.batch = tcp_link_batch,
	.place_set = tcp_place_set,
	.poll = tcp_poll,
	.park = tcp_park,
	.link_close = tcp_link_close,
	.link_user_set = tcp_user_set,
	.link_user = tcp_user,
};
