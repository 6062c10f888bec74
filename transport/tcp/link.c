/* SPDX-License-Identifier: BSD-3-Clause */
/* link.c -- one connection: how it comes, what is read and sent, how it ends */
#include "transport/tcp/tcp.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "transport/address.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#define GREETING_MAGIC 0x6370743173756266ull /* "fbus1tpc" */
#define GREETING_VERSION 1
#define ACCEPT_TURNS 16
#define PLACE_MIN (16u << 10) /* shorter messages are copied: asking costs more */
#define LEAN_SIZE 4096
#define DISCARD_READS 64
#define PUT_OFF_MAX 512 /* longer answers are not put off */
#define AGAIN_READS 8	/* of one link, before the others are looked at */

static size_t padded(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

/* ---- how it comes ---- */

static int socket_watch(struct transport_link *link, bool output)
{
	struct epoll_event event = { .events = EPOLLIN | (output ? EPOLLOUT : 0),
				     .data.ptr = link };

	link->out_watched = output;
	return epoll_ctl(link->transport->epoll, EPOLL_CTL_MOD, link->socket, &event);
}

static bool links_grow(struct transport *transport)
{
	struct transport_link **link;
	size_t count = (size_t)transport->link_count + 16;

	if (transport->link_count % 16)
		return true;
	link = alloc_resize(transport->link, count, sizeof(struct transport_link *));
	if (!link)
		return false;
	transport->link = link;
	return true;
}

/* Takes the socket, in any case. Errors: -ENOSPC, -ENOMEM. */
static int link_new(struct transport *transport, int socket, enum tcp_link_state state,
		    struct transport_link **ret_link)
{
	struct epoll_event event = { .events = EPOLLIN |
					       (state == TCP_LINK_CONNECTING ? EPOLLOUT : 0) };
	struct transport_link *link = alloc_zero(sizeof(*link));
	int err;

	if (link) {
		link->in = alloc_resize(NULL, TCP_LINK_IN_SIZE, 1);
		link->out = alloc_resize(NULL, TCP_LINK_OUT_SIZE, 1);
	}
	event.data.ptr = link;
	if (transport->link_count == TCP_LINK_MAX)
		err = error_set(-ENOSPC, "more than %d links", TCP_LINK_MAX);
	else if (!link || !link->in || !link->out || !links_grow(transport) ||
		 epoll_ctl(transport->epoll, EPOLL_CTL_ADD, socket, &event) < 0)
		err = error_set(-ENOMEM, "no memory for a link");
	else
		err = 0;
	if (err < 0) {
		close(socket);
		if (link) {
			free(link->in);
			free(link->out);
		}
		free(link);
		return err;
	}
	link->transport = transport;
	link->socket = socket;
	link->state = state;
	link->out_watched = state == TCP_LINK_CONNECTING;
	link->deadline = clock_now_ns() + tcp_link_timing.connect_ns;
	tcp_timer_want(transport, link->deadline);
	link->index = transport->link_count;
	transport->link[transport->link_count++] = link;
	*ret_link = link;
	return 0;
}

/* A socket's buffer is empty when its connection begins: the greeting fits. */
static void greeting_send(struct transport_link *link)
{
	struct tcp_greeting greeting = { .magic = GREETING_MAGIC, .version = GREETING_VERSION };

	if (send(link->socket, &greeting, sizeof(greeting), MSG_NOSIGNAL) != sizeof(greeting))
		link->out_broken = true;
	link->state = TCP_LINK_GREETING;
}

int tcp_link_connect(struct transport *transport, const char *locator,
		     struct transport_link **ret_link)
{
	struct address address;
	int fd, err;

	if (address_peer(locator, &address) < 0)
		return error_set(-EINVAL, "\"%s\": not ADDRESS:PORT", locator);
	fd = alloc_fault_point() ? -1 :
				   socket(address.socket.ss_family,
					  SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(-EMFILE, "no descriptor left for a connection: raise ulimit -n");
	tcp_socket_setup(fd);
	if (connect(fd, (struct sockaddr *)&address.socket, address.socket_len) < 0 &&
	    errno != EINPROGRESS) {
		err = errno;
		close(fd);
		return error_set(-ECONNREFUSED, "cannot connect to %s: %s", locator, strerror(err));
	}
	return link_new(transport, fd, TCP_LINK_CONNECTING, ret_link);
}

static void half_open_end_oldest(struct transport *transport)
{
	struct transport_link *oldest = NULL;

	for (unsigned i = 0; i < transport->link_count; i++) {
		struct transport_link *link = transport->link[i];

		if (link->state == TCP_LINK_GREETING && link->accepted &&
		    (!oldest || link->deadline < oldest->deadline))
			oldest = link;
	}
	if (oldest)
		tcp_link_close(oldest);
}

/* Or the listener would stay readable, and we would never sleep. */
static void accept_without_descriptor(struct transport *transport)
{
	int fd;

	log_warning("no descriptor left for who connects to us: raise ulimit -n");
	if (transport->reserve >= 0)
		close(transport->reserve);
	fd = accept4(transport->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	transport->reserve = eventfd(0, EFD_CLOEXEC);
}

void tcp_link_accept(struct transport *transport)
{
	struct transport_link *link;

	for (int i = 0; i < ACCEPT_TURNS; i++) {
		int fd = accept4(transport->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE))
			accept_without_descriptor(transport);
		if (fd < 0)
			return;
		if (transport->half_open_count == TCP_LINK_HALF_OPEN_MAX)
			half_open_end_oldest(transport);
		tcp_socket_setup(fd);
		if (link_new(transport, fd, TCP_LINK_GREETING, &link) < 0) {
			log_warning("a connection is refused: %s", error_text());
			continue;
		}
		link->accepted = true;
		transport->half_open_count++;
		greeting_send(link);
	}
}

/* ---- how it ends ---- */

static void socket_close(struct transport_link *link)
{
	struct transport *transport = link->transport;

	if (link->socket >= 0)
		close(link->socket);
	link->socket = -1;
	for (unsigned i = transport->ready_next; i < transport->ready_count; i++)
		if (transport->ready[i] == link)
			transport->ready[i] = NULL;
	if (transport->reading == link)
		transport->reading = NULL;
	if (transport->recent == link)
		transport->recent = NULL;
	if (transport->batched == link)
		transport->batched = NULL;
}

/* Out of the state that is counted. */
static void state_set(struct transport_link *link, enum tcp_link_state state)
{
	struct transport *transport = link->transport;

	if (link->state == TCP_LINK_GREETING && link->accepted)
		transport->half_open_count--;
	if (link->state == TCP_LINK_CLOSED)
		transport->linger_count--;
	if (state == TCP_LINK_CLOSED)
		transport->linger_count++;
	if (state == TCP_LINK_DEAD)
		transport->dead_count++;
	link->state = state;
}

static void link_dead(struct transport_link *link)
{
	socket_close(link);
	state_set(link, TCP_LINK_DEAD);
}

static void link_fail(struct transport_link *link, int status)
{
	bool stranger = link->accepted && link->state == TCP_LINK_GREETING;

	if (link->state == TCP_LINK_DOWN || link->state == TCP_LINK_DEAD)
		return;
	if (stranger || link->state == TCP_LINK_CLOSED) {
		link_dead(link);
		return;
	}
	socket_close(link);
	state_set(link, TCP_LINK_DOWN);
	link->status = status;
	tcp_link_due(link, TCP_DUE_DOWN);
}

void tcp_link_free(struct transport_link *link)
{
	struct transport *transport = link->transport;

	socket_close(link);
	if (link->due)
		TAILQ_REMOVE(&transport->due, link, due_link);
	transport->link[link->index] = transport->link[--transport->link_count];
	transport->link[link->index]->index = link->index;
	free(link->in);
	free(link->out);
	free(link);
}

static void linger_end_oldest(struct transport *transport)
{
	struct transport_link *oldest = NULL;

	for (unsigned i = 0; i < transport->link_count; i++) {
		struct transport_link *link = transport->link[i];

		if (link->state == TCP_LINK_CLOSED &&
		    (!oldest || link->deadline < oldest->deadline))
			oldest = link;
	}
	if (oldest)
		link_dead(oldest);
}

static void closed_push(struct transport_link *link)
{
	tcp_link_flush(link);
	if (link->socket >= 0 && link->out_head == link->out_tail)
		shutdown(link->socket, SHUT_WR);
}

/* Unread bytes would make close() a reset, and what the peer has not got yet would be lost. */
static void closed_read(struct transport_link *link)
{
	ssize_t n = 1;

	for (int i = 0; i < DISCARD_READS && n > 0; i++)
		n = recv(link->socket, link->in, TCP_LINK_IN_SIZE, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		link_dead(link);
}

static void bye_send(struct transport_link *link)
{
	struct tcp_frame bye = { .kind = TCP_FRAME_BYE };

	if (link->out_head == link->out_tail) {
		if (send(link->socket, &bye, sizeof(bye), MSG_NOSIGNAL | MSG_DONTWAIT) ==
		    sizeof(bye))
			return;
		link->out_head = link->out_tail = 0;
	}
	memcpy(link->out + link->out_tail, &bye, sizeof(bye)); /* has always room */
	link->out_tail += sizeof(bye);
}

void tcp_link_close(struct transport_link *link)
{
	struct transport *transport = link->transport;

	if (link->due)
		TAILQ_REMOVE(&transport->due, link, due_link);
	link->due = 0;
	if (link->state != TCP_LINK_UP || link->out_broken) {
		link_dead(link);
		return;
	}
	if (transport->reading == link)
		transport->reading = NULL;
	if (transport->linger_count == TCP_LINK_LINGER_MAX)
		linger_end_oldest(transport);
	bye_send(link);
	state_set(link, TCP_LINK_CLOSED);
	link->deadline = clock_now_ns() + tcp_link_timing.linger_ns;
	tcp_timer_want(transport, link->deadline);
	closed_push(link);
}

/* ---- sending ---- */

void tcp_link_due(struct transport_link *link, unsigned due)
{
	if (!link->due)
		TAILQ_INSERT_TAIL(&link->transport->due, link, due_link);
	link->due |= due;
}

static void sent_note(struct transport_link *link)
{
	if (link->sent)
		return;
	link->sent = true;
	tcp_timer_want(link->transport, clock_now_ns() + tcp_link_timing.probe_ns);
}

/* Bytes that the socket took; 0: none now, or never again. */
static size_t socket_send(struct transport_link *link, struct iovec *iov, size_t count)
{
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t n;

	do
		n = sendmsg(link->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	/* Memory that is not there, as a suspended window's: copying it waits for it, or faults. */
	if (n < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM && errno != EFAULT) {
		link->out_broken = true;
		link->out_head = link->out_tail = 0;
	}
	return n < 0 ? 0 : (size_t)n;
}

bool tcp_link_more(const struct transport_link *link)
{
	return link->more && link->transport->again_count < AGAIN_READS;
}

static bool has_room(const struct transport_link *link)
{
	return link->out_tail + TCP_LINK_MESSAGE_MAX + 2 * sizeof(struct tcp_frame) <=
	       TCP_LINK_OUT_SIZE;
}

void tcp_link_flush(struct transport_link *link)
{
	struct iovec iov = { link->out + link->out_head, link->out_tail - link->out_head };

	if (iov.iov_len && !link->out_broken)
		link->out_head += socket_send(link, &iov, 1);
	if (link->out_head == link->out_tail)
		link->out_head = link->out_tail = 0;
	if (link->socket >= 0 && link->out_watched != (link->out_tail > 0))
		socket_watch(link, link->out_tail > 0);
	if (link->wants_room && has_room(link)) {
		link->wants_room = false;
		tcp_link_due(link, TCP_DUE_WRITABLE);
	}
}

/* What the socket did not take, and what must not overtake it. */
static void out_append(struct transport_link *link, const struct iovec *iov, size_t count,
		       size_t skip)
{
	for (size_t i = 0; i < count; i++) {
		size_t part = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		if (part < iov[i].iov_len)
			memcpy(link->out + link->out_tail, (const uint8_t *)iov[i].iov_base + part,
			       iov[i].iov_len - part);
		link->out_tail += iov[i].iov_len - part;
		skip -= part;
	}
}

/* The room behind what is not sent yet, all of which may have to go to the front. */
static bool out_room(struct transport_link *link)
{
	if (!has_room(link) && link->out_head) {
		memmove(link->out, link->out + link->out_head, link->out_tail - link->out_head);
		link->out_tail -= link->out_head;
		link->out_head = 0;
	}
	return has_room(link);
}

/*
 * A short answer waits for those to the other messages that have come in with the same read, or
 * come with the next one, which follows at once.
 */
static bool put_off(const struct transport_link *link, size_t len)
{
	const struct tcp_frame *next = (const void *)(link->in + link->in_head);
	size_t there = link->in_tail - link->in_head;

	if (len > PUT_OFF_MAX || link->transport->reading != link || link->long_len)
		return false;
	return tcp_link_more(link) ||
	       (there >= sizeof(*next) && there - sizeof(*next) >= padded(next->len));
}

static void kept_back_send(struct transport_link *link)
{
	if (link && link->out_head < link->out_tail && !link->out_watched)
		tcp_link_flush(link);
}

/* Of one link at a time: few batches go to several. */
static bool keep_back(struct transport_link *link, size_t len)
{
	struct transport *transport = link->transport;

	if (!transport->batching || len > PUT_OFF_MAX)
		return false;
	if (transport->batched != link)
		kept_back_send(transport->batched);
	transport->batched = link;
	return true;
}

void tcp_link_batch(struct transport *transport, bool begin)
{
	transport->batching = begin;
	kept_back_send(transport->batched);
	transport->batched = NULL;
}

static int frame_send(struct transport_link *link, struct iovec *iov, size_t len)
{
	size_t total = sizeof(struct tcp_frame) + padded(len), sent = 0;
	bool later = put_off(link, len) || keep_back(link, len);

	/* Else it would be copied behind what waits. */
	if (len > PUT_OFF_MAX)
		kept_back_send(link);
	if (link->out_broken)
		return -EHOSTDOWN;
	if (link->out_head < link->out_tail || later) {
		if (!out_room(link)) {
			link->wants_room = true;
			if (!link->out_watched)
				socket_watch(link, true);
			return -EAGAIN;
		}
		out_append(link, iov, 4, 0);
		return 0;
	}
	sent = socket_send(link, iov, 4);
	if (link->out_broken)
		return -EHOSTDOWN;
	if (sent == total)
		return 0;
	out_append(link, iov, 4, sent);
	return socket_watch(link, true) < 0 ? -EHOSTDOWN : 0;
}

int tcp_link_sendv(struct transport_link *link, const void *head, size_t head_len, const void *tail,
		   size_t tail_len)
{
	static const uint8_t zeros[8];
	size_t len = head_len + tail_len;
	struct tcp_frame frame = { .kind = TCP_FRAME_MESSAGE, .len = (uint32_t)len };
	struct iovec iov[4] = { { &frame, sizeof(frame) },
				{ (void *)(uintptr_t)head, head_len },
				{ (void *)(uintptr_t)tail, tail_len },
				{ (void *)(uintptr_t)zeros, padded(len) - len } };

	if (len > TCP_LINK_MESSAGE_MAX)
		return error_set(-EMSGSIZE, "a message of %zu bytes: at most %d", len,
				 TCP_LINK_MESSAGE_MAX);
	if (link->state != TCP_LINK_UP || link->out_broken)
		return -EHOSTDOWN;
	sent_note(link);
	return frame_send(link, iov, len);
}

int tcp_link_send(struct transport_link *link, const void *data, size_t len, int fd)
{
	(void)fd; /* never: not same_host */
	return tcp_link_sendv(link, data, len, NULL, 0);
}

/* ---- reading ---- */

static size_t in_len(const struct transport_link *link)
{
	return link->in_tail - link->in_head;
}

/* False: it may not go there any more. */
static bool long_place(struct transport_link *link, struct transport_place *ret_place)
{
	struct transport *transport = link->transport;

	return !link->long_lost && transport->place &&
	       transport->place(transport->place_arg, link, link->long_head, link->long_len,
				ret_place) &&
	       ret_place->skip == link->long_skip;
}

/* The message at the front, of which the beginning is here: to its place, if it has one. */
static bool long_begin(struct transport_link *link, size_t len)
{
	struct transport *transport = link->transport;
	const uint8_t *data = link->in + link->in_head + sizeof(struct tcp_frame);
	size_t there = in_len(link) - sizeof(struct tcp_frame);
	struct transport_place place;

	if (!transport->place || len < PLACE_MIN || len % 8 || there < TCP_LINK_HEAD_SIZE ||
	    there >= len)
		return false;
	memcpy(link->long_head, data, TCP_LINK_HEAD_SIZE);
	if (!transport->place(transport->place_arg, link, link->long_head, len, &place))
		return false;
	memcpy(place.to, data + place.skip, there - place.skip);
	link->long_len = len;
	link->long_at = there;
	link->long_skip = place.skip;
	link->long_lost = false;
	link->in_head = link->in_tail = 0;
	return true;
}

static void long_event(struct transport_link *link, struct transport_event *ret_event)
{
	ret_event->kind = TRANSPORT_MESSAGE;
	ret_event->link = link;
	ret_event->data = link->long_head;
	ret_event->len = link->long_skip;
	ret_event->placed = link->long_len - link->long_skip;
	ret_event->lost = link->long_lost;
	link->long_len = 0;
	link->lean = true;
}

static size_t long_iov(struct transport_link *link, struct iovec *iov)
{
	struct transport_place place;
	size_t rest = link->long_len - link->long_at;

	if (!link->long_len)
		return 0;
	if (long_place(link, &place)) {
		*iov = (struct iovec){ (uint8_t *)place.to + (link->long_at - place.skip), rest };
		return rest;
	}
	link->long_lost = true;
	if (rest > TCP_LINK_MESSAGE_MAX)
		rest = TCP_LINK_MESSAGE_MAX;
	*iov = (struct iovec){ link->transport->scratch, rest };
	return rest;
}

static void in_make_room(struct transport_link *link)
{
	if (link->in_head == link->in_tail) {
		link->in_head = link->in_tail = 0;
	} else if (TCP_LINK_IN_SIZE - link->in_head <
		   TCP_LINK_MESSAGE_MAX + 2 * sizeof(struct tcp_frame)) {
		memmove(link->in, link->in + link->in_head, in_len(link));
		link->in_tail -= link->in_head;
		link->in_head = 0;
	}
}

/*
 * The place is memory that the kernel cannot write, as a suspended window: a copy waits for that,
 * or faults as it should.
 */
static ssize_t read_by_copy(struct transport_link *link, const struct iovec *place)
{
	ssize_t n = recv(link->socket, link->transport->scratch, place->iov_len, MSG_DONTWAIT);

	if (n > 0)
		memcpy(place->iov_base, link->transport->scratch, (size_t)n);
	return n;
}

bool tcp_link_read(struct transport_link *link)
{
	struct iovec iov[2];
	size_t rest = long_iov(link, &iov[0]), room;
	struct msghdr message = { .msg_iov = rest ? iov : iov + 1, .msg_iovlen = rest ? 2 : 1 };
	ssize_t n;

	in_make_room(link);
	room = TCP_LINK_IN_SIZE - link->in_tail;
	if (link->lean && room > LEAN_SIZE && in_len(link) == 0)
		room = LEAN_SIZE;
	/* A part of the long message alone may not be followed by anything else. */
	if (rest && rest < link->long_len - link->long_at)
		room = 0;
	iov[1] = (struct iovec){ link->in + link->in_tail, room };
	do
		n = recvmsg(link->socket, &message, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EFAULT && rest)
		n = read_by_copy(link, &iov[0]);
	link->more = n > 0 && (size_t)n == rest + room;
	if (n > 0) {
		size_t part = (size_t)n < rest ? (size_t)n : rest;

		link->long_at += part;
		link->in_tail += (size_t)n - part;
		return true;
	}
	if (n == 0 || errno != EAGAIN)
		link_fail(link, link->state == TCP_LINK_GREETING ? -ECONNREFUSED : -EHOSTDOWN);
	return false;
}

/* False: it is none, or not all of it is here. */
static bool greeting_take(struct transport_link *link)
{
	const struct tcp_greeting *greeting = (const void *)(link->in + link->in_head);

	if (in_len(link) < sizeof(*greeting))
		return false;
	if (greeting->magic != GREETING_MAGIC || greeting->version != GREETING_VERSION) {
		log_info("a connection that does not speak farbus is closed");
		link_fail(link, -ECONNREFUSED);
		return false;
	}
	link->in_head += sizeof(*greeting);
	state_set(link, TCP_LINK_UP);
	tcp_link_due(link, TCP_DUE_UP);
	return false; /* LINK_UP comes first */
}

static bool frame_next(struct transport_link *link, struct transport_event *ret_event)
{
	const struct tcp_frame *frame = (const void *)(link->in + link->in_head);

	if (in_len(link) < sizeof(*frame))
		return false;
	if (frame->kind == TCP_FRAME_BYE && frame->len == 0) {
		link_fail(link, -ECONNRESET);
		return false;
	}
	if (frame->kind != TCP_FRAME_MESSAGE || frame->len > TCP_LINK_MESSAGE_MAX) {
		log_warning("a link is closed: not a frame");
		link_fail(link, -EPROTO);
		return false;
	}
	if (in_len(link) < sizeof(*frame) + padded(frame->len)) {
		long_begin(link, frame->len);
		return false;
	}
	link->lean = false;
	link->in_head += sizeof(*frame) + padded(frame->len);
	ret_event->kind = TRANSPORT_MESSAGE;
	ret_event->link = link;
	ret_event->data = frame + 1;
	ret_event->len = frame->len;
	return true;
}

bool tcp_link_next(struct transport_link *link, struct transport_event *ret_event)
{
	if (link->state == TCP_LINK_GREETING)
		return greeting_take(link);
	if (link->state != TCP_LINK_UP)
		return false;
	if (link->long_len && link->long_at < link->long_len)
		return false;
	if (link->long_len) {
		long_event(link, ret_event);
		return true;
	}
	return frame_next(link, ret_event);
}

/* ---- what epoll and the timer say ---- */

static void connected(struct transport_link *link)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(link->socket, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err) {
		link_fail(link, err == ETIMEDOUT ? -ETIMEDOUT : -ECONNREFUSED);
		return;
	}
	greeting_send(link);
	socket_watch(link, false);
}

void tcp_link_ready(struct transport_link *link, uint32_t events)
{
	if (link->state == TCP_LINK_CONNECTING) {
		connected(link);
		return;
	}
	if (link->state == TCP_LINK_CLOSED) {
		if (events & EPOLLOUT)
			closed_push(link);
		if (events & ~(uint32_t)EPOLLOUT)
			closed_read(link);
		return;
	}
	if (events & EPOLLOUT)
		tcp_link_flush(link);
	if ((events & ~(uint32_t)EPOLLOUT) && link->socket >= 0 && tcp_link_read(link))
		link->transport->reading = link;
}

static uint64_t silence_tick(struct transport_link *link, uint64_t now)
{
	bool idle;

	if (!link->sent)
		return UINT64_MAX;
	if (tcp_socket_silence(link->socket, &idle) >= tcp_link_timing.silence_ns) {
		log_warning("a peer's host does not answer: its link is given up");
		link_fail(link, -EHOSTDOWN);
		return UINT64_MAX;
	}
	if (idle && link->out_head == link->out_tail) {
		link->sent = false;
		return UINT64_MAX;
	}
	return now + tcp_link_timing.probe_ns;
}

uint64_t tcp_link_tick(struct transport_link *link, uint64_t now)
{
	switch (link->state) {
	case TCP_LINK_UP:
		return silence_tick(link, now);
	case TCP_LINK_CONNECTING:
	case TCP_LINK_GREETING:
	case TCP_LINK_CLOSED:
		if (now < link->deadline)
			return link->deadline;
		link_fail(link, -ETIMEDOUT);
		return UINT64_MAX;
	default:
		return UINT64_MAX;
	}
}
