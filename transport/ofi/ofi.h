/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ofi.h -- the transport between hosts, over libfabric's connected endpoints
 *
 * Locator: "PROVIDER/HOST:PORT[/COOKIE]", [HOST] for IPv6. The provider parses bytes of whoever is
 * connected, so only those get that far who show the cookie of a port that we chose ourselves in
 * the connection request. A port that was asked for ("10.0.0.1:7000") is for those who know
 * nothing else, and has none.
 *
 * Flow control: a link has a fixed number of posted receive buffers and a fixed send ring. A peer
 * that reads slowly has its socket (or its receive queue) full, sends complete no more, the ring
 * fills up, send() says -EAGAIN.
 *
 * Is the peer alive? Only its kernel is asked, so that a stopped process is alive: TCP keepalive
 * while nothing is under way, and TCP_INFO while something is (socket.c). The provider hands out
 * no socket, so it is looked up in /proc/self/fd by its two addresses.
 *
 * The end: CLOSE, an empty message with immediate data, is the last on a link. When it has gone
 * out the endpoint goes, and a duplicate of the socket lingers until the peer has read it all.
 *
 * Invariants:
 *   1. transport->link[i]->index == i, for i < link_count
 *   2. Links in state UP, DOWN or that connect() returned are the user's; others are ours.
 *   3. A link that was closed is freed when the completion queue was empty after its endpoint
 *      was closed: no completion that points into it is left.
 *   4. sends [send_tail, send_head) are under way; completions of a link come in their order.
 */
#ifndef TRANSPORT_OFI_OFI_H
#define TRANSPORT_OFI_OFI_H

#include "transport/transport.h"

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define OFI_MESSAGE_MAX TRANSPORT_MESSAGE_MAX
#define OFI_LINK_MAX 4096
#define OFI_RECEIVE_MAX 4	   /* receive buffers of a link */
#define OFI_SEND_MAX 64		   /* messages of a link under way */
#define OFI_RING_SIZE (256u << 10) /* bytes of them */
#define OFI_SIGNAL_COUNT (OFI_SEND_MAX / 4)
#define OFI_SIGNAL_BYTES (OFI_RING_SIZE / 4)
#define OFI_LINGER_MAX 64	  /* sockets that outlive their link; the oldest makes room */
#define OFI_HALF_OPEN_MAX 64	  /* connections without a request; the oldest makes room */
#define OFI_BATCH 16		  /* completions read at once */
#define OFI_CONNECT_DATA_MAX 1024 /* bytes that a provider lets through with a connection request */

/* With no more than this in the ring any message has room, wherever the head is. */
#define OFI_RING_ROOMY (OFI_RING_SIZE - 2 * OFI_MESSAGE_MAX)
_Static_assert(OFI_SIGNAL_BYTES <= OFI_RING_ROOMY, "what is not signalled leaves room");

extern const struct transport_ops transport_ofi;

/* Tests shorten these. */
struct ofi_timing {
	uint64_t connect_ns;   /* bound of connect() */
	uint64_t half_open_ns; /* bound of a connection without a request */
	uint64_t linger_ns;    /* bound of what a closed link keeps */
	uint64_t probe_ns;     /* how often silence is looked at; whole seconds */
	uint64_t silence_ns;   /* no acknowledgement for so long: the host is gone */
	uint64_t close_ns;     /* bound of close() */
};
extern struct ofi_timing ofi_timing;

/* ---- library.c: what is needed of libfabric.so.1, the rest of its interface is inline ---- */

struct ofi_library {
	int (*getinfo)(uint32_t version, const char *node, const char *service, uint64_t flags,
		       const struct fi_info *hints, struct fi_info **ret_info);
	void (*freeinfo)(struct fi_info *info);
	struct fi_info *(*dupinfo)(const struct fi_info *info);
	int (*fabric)(struct fi_fabric_attr *attr, struct fid_fabric **ret_fabric, void *context);
	const char *(*strerror)(int error);
	uint32_t (*version)(void);
};

/* Loaded once for the process, and never unloaded. Errors: -ENOSYS, the text names the package. */
int ofi_library_get(const struct ofi_library **ret_library);

/* ---- address.c ---- */

#define OFI_PROVIDER_MAX 32
#define OFI_HOST_MAX 64
#define OFI_PORT_MAX 8

struct ofi_address {
	char provider[OFI_PROVIDER_MAX];
	char host[OFI_HOST_MAX]; /* numeric */
	char port[OFI_PORT_MAX]; /* "0": any */
	uint64_t cookie;	 /* 0: none */
	struct sockaddr_storage socket;
	socklen_t socket_len;
};

/* Where to listen: "", or parts of [PROVIDER/]ADDRESS-or-INTERFACE[:PORT]. Errors: -EINVAL. */
int ofi_address_local(const char *where, struct ofi_address *ret_address);
/* Errors: -EINVAL not a locator. */
int ofi_address_parse(const char *locator, struct ofi_address *ret_address);
/* Errors: -EINVAL not an internet address. */
int ofi_address_format(const char *provider, const struct sockaddr *socket, uint64_t cookie,
		       char ret_locator[TRANSPORT_LOCATOR_MAX]);

/* ---- the objects ---- */

enum operation_kind { OPERATION_SEND, OPERATION_RECEIVE };

struct operation {
	struct fi_context2 context; /* the provider's; first */
	struct transport_link *link;
	enum operation_kind kind;
	unsigned number; /* of a receive buffer; of a send, modulo 2^32 */
	uint32_t end;	 /* of a send: position in the ring after it */
};

enum link_state {
	LINK_CONNECTING,
	LINK_ACCEPTING, /* ours until LINK_UP is told */
	LINK_UP,
	LINK_DOWN,    /* LINK_DOWN was told, or is due */
	LINK_CLOSING, /* ours; CLOSE is on its way out */
	LINK_DEAD,    /* ours; endpoint closed, invariant 3 */
};

#define DUE_UP 0x1u
#define DUE_WRITABLE 0x2u
#define DUE_DOWN 0x4u

struct transport_link {
	struct transport *transport;
	void *user;
	enum link_state state;
	unsigned index; /* in transport->link */
	bool accepted;
	bool peer_closed; /* CLOSE came */
	bool broken;	  /* sends fail; what came is still to be read */
	bool watched;	  /* something was sent since TCP_INFO was looked at */
	bool close_sent;
	unsigned due; /* DUE_ bits; nonzero: in one of the two queues */
	int status;
	uint64_t deadline; /* of connecting, closing; 0: none */
	TAILQ_ENTRY(transport_link) due_link;
	struct fid_ep *endpoint; /* owned */
	struct fid_mr *memory;	 /* owned; NULL: the provider needs none */
	void *descriptor;
	int socket; /* the provider's; -1: not known */
	struct ofi_address address;

	bool want; /* WRITABLE is due when the ring is half empty */
	uint32_t send_head, send_tail, send_signalled;
	uint32_t ring_head, ring_tail, ring_signalled; /* modulo 2^32 */
	struct operation send[OFI_SEND_MAX];
	struct operation receive[OFI_RECEIVE_MAX];
	uint8_t *ring, *buffer; /* inside this allocation */
};

TAILQ_HEAD(link_queue, transport_link);

struct lingering {
	int socket; /* owned */
	uint64_t deadline;
};

struct half_open {
	uint64_t inode;
	uint64_t deadline;
};

struct transport {
	const struct ofi_library *library;
	struct fi_info *info; /* owned, and the fids below */
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_eq *eq;
	struct fid_cq *cq;
	struct fid_pep *listener;
	int epoll, timer, wake, reserve; /* owned */
	uint16_t port;			 /* network byte order */
	uint64_t cookie;
	uint64_t timer_at;  /* UINT64_MAX: not armed */
	uint64_t look_at;   /* ns */
	bool look_due;	    /* slept, and nothing came out of the completion queue yet */
	bool came;	    /* something came since the last look */
	const void *parked; /* names the thread that sleeps, or will; NULL: nobody */
	bool rung;	    /* wake is readable */
	bool eq_due;	    /* the event queue has something, whatever its descriptor says */
	bool eq_muted;	    /* out of descriptors: nobody is accepted for a while */
	unsigned accepts;   /* turns of the event queue without an event since the last scan */
	uint64_t scan_at;   /* UINT64_MAX: nobody is half open that we know of */
	unsigned dead, closing;
	unsigned strangers;	   /* turned away since the last line of the log */
	uint64_t strangers_log_at; /* no line before */

	struct transport_link **link; /* owned */
	unsigned link_count, link_size;
	struct link_queue due_now, due_down;
	struct operation *held; /* its buffer is what the last event pointed to */
	struct fi_cq_data_entry batch[OFI_BATCH];
	unsigned batch_count, batch_next;
	struct lingering linger[OFI_LINGER_MAX];
	unsigned linger_count;
	struct half_open half_open[OFI_HALF_OPEN_MAX];
	unsigned half_open_count;
	char locator[TRANSPORT_LOCATOR_MAX];
};

/* ---- ofi.c ---- */

enum watch_kind { WATCH_CQ, WATCH_EQ, WATCH_TIMER, WATCH_WAKE, WATCH_LINGER };
int ofi_watch_add(struct transport *transport, int fd, enum watch_kind kind);
/* Wakes us at this time, or earlier. */
void ofi_timer_want(struct transport *transport, uint64_t at);

/* ---- link.c ---- */

int ofi_link_connect(struct transport *transport, const char *locator,
		     struct transport_link **ret_link);
/* Somebody was turned away: one line of the log for all within ten seconds. */
void ofi_stranger_log(struct transport *transport, unsigned count, const char *why);
/* A request; data: what came with it. Ownership: takes info. */
void ofi_link_request(struct transport *transport, struct fi_info *info, const void *data,
		      size_t len);
void ofi_link_connected(struct transport_link *link);
/* What came before is told first. */
void ofi_link_fail(struct transport_link *link, int status);
void ofi_link_due(struct transport_link *link, unsigned due);
int ofi_link_send(struct transport_link *link, const void *data, size_t len, int fd);
/* status < 0: it failed. */
void ofi_link_sent(struct operation *operation, int status);
/* Gives the buffer back to the provider. */
void ofi_link_receive_post(struct operation *operation);
void ofi_link_close(struct transport_link *link);
/* A deadline of this link; now: ns. Returns the next, UINT64_MAX: none. */
uint64_t ofi_link_tick(struct transport_link *link, uint64_t now);
/* The endpoint goes at once. */
void ofi_link_bury(struct transport_link *link);
void ofi_link_free(struct transport_link *link);

/* ---- socket.c ---- */

/* The descriptor of this connection in our process. -1: not found. */
int ofi_socket_find(const struct sockaddr *local, const struct sockaddr *peer);
void ofi_socket_setup(int socket);
/* Descriptors that libfabric opened since are not for programs that we execute. */
struct fd_mark {
	uint8_t *open; /* owned */
	size_t count;
};
void ofi_socket_mark(struct fd_mark *ret_mark);
void ofi_socket_cloexec(struct fd_mark *mark);
/* 0, or how long (ns) the peer's kernel has been silent though it had something to answer. */
uint64_t ofi_socket_silence(int socket, bool *ret_idle);
/* Everything that was sent is acknowledged. */
bool ofi_socket_flushed(int socket);
/* A duplicate that the peer can read to the end; after the endpoint is closed. */
void ofi_linger_add(struct transport *transport, int socket);
void ofi_linger_read(struct transport *transport);
/* Returns the next deadline. */
uint64_t ofi_linger_tick(struct transport *transport, uint64_t now);
/* Connections to our port that never became a link. Returns the next look. */
uint64_t ofi_half_open_scan(struct transport *transport, uint64_t now);

#endif
