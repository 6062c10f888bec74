/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp.h -- the transport between hosts, over plain TCP sockets
 *
 * Locator: "HOST:PORT", [HOST] for IPv6.
 *
 * On the wire: each side first sends a greeting. Then come frames: a head that says how long the
 * message is, the message, and zeros up to a multiple of 8, so that what is received in one piece
 * is aligned. The last frame of a link that was closed is BYE. Anything else ends the connection.
 *
 * Flow control is the socket's: a peer that reads slowly has its receive buffer full, then ours to
 * send, then send() says -EAGAIN.
 *
 * Is the peer alive? Only its kernel is asked, so that a stopped process is alive: keepalive while
 * nothing is under way, the age of the last acknowledgement while something is (socket.c).
 *
 * Invariants:
 *   1. transport->link[i]->index == i, for i < link_count
 *   2. in_head and in_tail are within the input buffer; in_head is a multiple of 8
 *   3. while a long message is under way the input buffer is empty
 *   4. out_head < out_tail only while the socket took no more, or until the messages that are in
 *      the input buffer, or are read at once after them, are delivered, or a batch ends
 */
#ifndef TRANSPORT_TCP_TCP_H
#define TRANSPORT_TCP_TCP_H

#include "transport/transport.h"

#include <sys/queue.h>
#include <sys/socket.h>

#define TCP_LINK_MESSAGE_MAX TRANSPORT_MESSAGE_MAX
#define TCP_LINK_MAX 4096
#define TCP_LINK_HALF_OPEN_MAX 64     /* accepted, no greeting yet; the oldest makes room */
#define TCP_LINK_LINGER_MAX 64	      /* closed, not all sent; the oldest makes room */
#define TCP_LINK_IN_SIZE (144u << 10) /* two messages and more */
#define TCP_LINK_OUT_SIZE (256u << 10)
#define TCP_LINK_READY_SIZE 16 /* sockets looked at together */
#define TCP_LINK_HEAD_SIZE TRANSPORT_HEAD_MIN

extern const struct transport_ops transport_tcp;

/* Tests shorten these. */
struct tcp_link_timing {
	uint64_t connect_ns; /* bound of connect(), and of a greeting */
	uint64_t linger_ns;  /* bound of what a closed link keeps */
	uint64_t probe_ns;   /* how often silence is looked at; whole seconds */
	uint64_t silence_ns; /* no acknowledgement for so long: the host is gone */
	uint64_t close_ns;   /* bound of close() */
};
extern struct tcp_link_timing tcp_link_timing;

enum tcp_frame_kind { TCP_FRAME_MESSAGE = 1, TCP_FRAME_BYE };

struct tcp_frame {
	uint32_t kind; /* enum tcp_frame_kind */
	uint32_t len;  /* without padding */
};

struct tcp_greeting {
	uint64_t magic;
	uint32_t version, reserved;
};

_Static_assert(sizeof(struct tcp_frame) == 8, "keeps messages aligned");
_Static_assert(sizeof(struct tcp_greeting) == 16, "keeps frames aligned");

enum tcp_link_state {
	TCP_LINK_CONNECTING = 1, /* by the kernel */
	TCP_LINK_GREETING,	 /* connected; the peer's greeting is not here */
	TCP_LINK_UP,
	TCP_LINK_DOWN,	 /* its LINK_DOWN is due, or was told; no socket */
	TCP_LINK_CLOSED, /* by the user: what was sent goes out yet */
	TCP_LINK_DEAD,	 /* freed by the next poll() */
};

#define TCP_DUE_UP 0x1u /* told in this order */
#define TCP_DUE_WRITABLE 0x2u
#define TCP_DUE_DOWN 0x4u

struct transport_link {
	TAILQ_ENTRY(transport_link) due_link; /* while due */
	struct transport *transport;
	void *user;
	unsigned index;
	unsigned due; /* TCP_DUE_ */
	enum tcp_link_state state;
	int socket; /* -1: closed */
	int status; /* of its end */
	bool accepted;
	bool wants_room; /* send() said -EAGAIN */
	bool out_watched;
	bool out_broken;   /* nothing can be sent any more; what came in before is still read */
	bool more;	   /* the last read was full */
	bool lean;	   /* the last message was placed: read little beyond the next */
	bool sent;	   /* since the last look at its silence */
	uint64_t deadline; /* of CONNECTING, GREETING, CLOSED */
	size_t in_head, in_tail, out_head, out_tail;
	/* A long message under way to its place: len, of which at bytes are here. 0: none */
	size_t long_len, long_at, long_skip;
	bool long_lost; /* it had a place, and has none any more */
	_Alignas(8) uint8_t long_head[TCP_LINK_HEAD_SIZE];
	uint8_t *in, *out; /* owned */
};

TAILQ_HEAD(tcp_link_queue, transport_link);

struct transport {
	int listener, epoll, timer, wake, reserve;
	char locator[TRANSPORT_LOCATOR_MAX];
	struct transport_link **link; /* owned */
	unsigned link_count, half_open_count, linger_count, dead_count;
	struct tcp_link_queue due;
	void *ready[TCP_LINK_READY_SIZE]; /* NULL: ended meanwhile */
	uint32_t ready_events[TCP_LINK_READY_SIZE];
	unsigned ready_next, ready_count;
	struct transport_link *reading; /* has input in its buffer, perhaps */
	struct transport_link *recent;	/* the last one that had input */
	unsigned recent_count;		/* looks at it alone */
	unsigned again_count;		/* reads of one link in a row */
	bool looked;			/* since poll() last had nothing */
	bool rung;			/* wake is readable */
	bool batching;
	struct transport_link *batched; /* its short messages are kept back until the end */
	const void *parked;		/* the thread that is about to sleep; NULL: none */
	uint64_t timer_at;
	transport_place_fn place; /* NULL: none */
	void *place_arg;
	uint8_t *scratch; /* owned: what nobody wants any more is received here */
};

/* ---- link.c ---- */

int tcp_link_connect(struct transport *transport, const char *locator,
		     struct transport_link **ret_link);
void tcp_link_accept(struct transport *transport);
int tcp_link_send(struct transport_link *link, const void *data, size_t len, int fd);
void tcp_link_batch(struct transport *transport, bool begin);
int tcp_link_sendv(struct transport_link *link, const void *head, size_t head_len, const void *tail,
		   size_t tail_len);
void tcp_link_close(struct transport_link *link);
/* What epoll says. */
void tcp_link_ready(struct transport_link *link, uint32_t events);
/* There is probably more to read, and it is the turn of this link. */
bool tcp_link_more(const struct transport_link *link);
/* Nothing there: false. The end of the link is due then, too. */
bool tcp_link_read(struct transport_link *link);
/* The next message of the buffer, or false. Ends the link for what is none. */
bool tcp_link_next(struct transport_link *link, struct transport_event *ret_event);
/* Sends what was put off. */
void tcp_link_flush(struct transport_link *link);
void tcp_link_due(struct transport_link *link, unsigned due);
/* When to call again. */
uint64_t tcp_link_tick(struct transport_link *link, uint64_t now);
void tcp_link_free(struct transport_link *link);

/* ---- socket.c ---- */

void tcp_socket_setup(int socket);
/* How long the peer's kernel has left something unanswered; idle: nothing is under way. */
uint64_t tcp_socket_silence(int socket, bool *ret_idle);
bool tcp_socket_flushed(int socket);

/* ---- tcp.c ---- */

void tcp_timer_want(struct transport *transport, uint64_t at);

#endif
