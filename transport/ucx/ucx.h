/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ucx.h -- the transport between hosts, over UCP's active messages
 *
 * Locator: "HOST:PORT[/COOKIE]", [HOST] for IPv6: a TCP socket of ours. Over it two instances
 * greet each other: the cookie, the addresses of their UCP workers, a token for each direction of
 * the link. Only then UCX comes in, so that it parses nothing of those who do not know the cookie
 * of a port that we chose ourselves. A port that was asked for ("10.0.0.1:7000") is for those who
 * know nothing else, and has none. (UCX opens sockets of its own, and lets anybody in who speaks
 * its protocol: docs/transports.md.)
 *
 * Is the peer alive? The greeting's socket stays open and says nothing more. The kernel of a
 * process that died closes it, the kernel of a stopped one answers keepalives, a host that is gone
 * answers none. UCX's own keepalive is of no use, and no wait for UCX is without a deadline of ours.
 *
 * Endpoints: one per worker of a peer, shared by the links to it. UCX pairs the endpoints of two
 * workers in the order in which they were made, which two links at a time would mix up. One
 * without links is closed after a while: flushed, within a bound, and then by force.
 *
 * Messages: every frame has its number, and the place that the message has in a ring of fixed size,
 * the same in the sender's copy and in the receiver's. The receiver acknowledges what its user has
 * seen, which frees both; a peer that reads slowly makes send() say -EAGAIN. Acknowledgements go
 * out when nothing more is there to be read: a peer that sent its last and left would answer them
 * with a reset, behind which UCX reads nothing.
 *
 * The end: CLOSE is the last frame of a link, and stays until it is acknowledged.
 *
 * Invariants:
 *   1. transport->link[i] is NULL or has index i; the token of a link names its index
 *   2. Links in state UP, DOWN or that connect() returned are the user's; others are ours.
 *   3. A link is freed when UCX has completed all that points into it (busy == 0).
 *   4. Frames [tail, head) are not acknowledged, or UCX still reads them.
 *   5. An endpoint with links is open, or has failed and its links with it.
 */
#ifndef TRANSPORT_UCX_UCX_H
#define TRANSPORT_UCX_UCX_H

#include "transport/address.h"
#include "transport/transport.h"

#include <netinet/in.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <ucp/api/ucp.h>

#define UCX_MESSAGE_MAX TRANSPORT_MESSAGE_MAX
#define UCX_LINK_BITS 12
#define UCX_LINK_MAX (1u << UCX_LINK_BITS)
#define UCX_FRAME_MAX 256	   /* frames of a link that are not acknowledged */
#define UCX_RING_SIZE (256u << 10) /* bytes of them */
#define UCX_ACK_COUNT (UCX_FRAME_MAX / 4)
#define UCX_ACK_BYTES (UCX_RING_SIZE / 4)
#define UCX_GREETING_MAX 64  /* connections that have not greeted; the oldest makes room */
#define UCX_ADDRESS_MAX 4096 /* bytes of a worker's address */
#define UCX_SOCKET_MAX 256   /* sockets of UCX that we wait for before we leave */
#define UCX_PROGRESS_MAX 64  /* turns of UCX in one poll() */
#define UCX_WORKER_ID 16     /* bytes that name a worker */
#define UCX_DEVICES_SIZE 256 /* names of network devices */

/* With no more than this in the ring any message has room, wherever the head is. */
#define UCX_RING_ROOMY (UCX_RING_SIZE - 2 * UCX_MESSAGE_MAX)
_Static_assert(UCX_ACK_BYTES <= UCX_RING_ROOMY, "what is not acknowledged leaves room");

extern const struct transport_ops transport_ucx;

/* Tests shorten these. */
struct ucx_timing {
	uint64_t connect_ns; /* bound of connect(), and of a greeting */
	uint64_t probe_ns;   /* of a silent host; whole seconds, and it is gone after 4 */
	uint64_t linger_ns;  /* bound of what a closed link keeps */
	uint64_t grace_ns;   /* the peer's end is known, its last messages may be on their way */
	uint64_t idle_ns;    /* an endpoint without links */
	uint64_t flush_ns;   /* bound of flushing one */
	uint64_t close_ns;   /* bound of close() */
	uint64_t ack_ns; /* in close(): the peer's kernel has all, and its process says nothing */
};
extern struct ucx_timing ucx_timing;

/* ---- library.c: what is needed of libucp.so.0 ---- */

struct ucx_library {
	void (*get_version)(unsigned *major, unsigned *minor, unsigned *release);
	ucs_status_t (*config_read)(const char *prefix, const char *file, ucp_config_t **config);
	ucs_status_t (*config_modify)(ucp_config_t *config, const char *name, const char *value);
	void (*config_release)(ucp_config_t *config);
	ucs_status_t (*init_version)(unsigned major, unsigned minor, const ucp_params_t *params,
				     const ucp_config_t *config, ucp_context_h *ret_context);
	void (*cleanup)(ucp_context_h context);
	ucs_status_t (*worker_create)(ucp_context_h context, const ucp_worker_params_t *params,
				      ucp_worker_h *ret_worker);
	void (*worker_destroy)(ucp_worker_h worker);
	ucs_status_t (*worker_get_address)(ucp_worker_h worker, ucp_address_t **ret_address,
					   size_t *ret_len);
	void (*worker_release_address)(ucp_worker_h worker, ucp_address_t *address);
	unsigned (*worker_progress)(ucp_worker_h worker);
	ucs_status_t (*worker_get_efd)(ucp_worker_h worker, int *ret_fd);
	ucs_status_t (*worker_arm)(ucp_worker_h worker);
	ucs_status_t (*worker_set_am_recv_handler)(ucp_worker_h worker,
						   const ucp_am_handler_param_t *param);
	ucs_status_t (*ep_create)(ucp_worker_h worker, const ucp_ep_params_t *params,
				  ucp_ep_h *ret_ep);
	ucs_status_ptr_t (*ep_close_nbx)(ucp_ep_h ep, const ucp_request_param_t *param);
	ucs_status_ptr_t (*ep_flush_nbx)(ucp_ep_h ep, const ucp_request_param_t *param);
	ucs_status_ptr_t (*am_send_nbx)(ucp_ep_h ep, unsigned id, const void *header,
					size_t header_len, const void *data, size_t len,
					const ucp_request_param_t *param);
	void (*request_free)(void *request);
	const char *(*status_string)(ucs_status_t status);
	ucs_status_t (*global_set)(const char *name, const char *value);
};

/* Loaded once for the process, and never unloaded. Errors: -ENOSYS, the text names the package. */
int ucx_library_get(const struct ucx_library **ret_library);
/* Around everything that is done with it. Errors: -ENOSYS in a child of a process that does. */
int ucx_library_use(void);
void ucx_library_unuse(void);
/* What is in use is not ours, but of the process that forked this one. */
bool ucx_library_forked(void);

/* ---- address.c ---- */

/* Errors: -EINVAL not a locator. */
int ucx_locator_parse(const char *locator, struct address *ret_address, uint64_t *ret_cookie);
/* Errors: -EINVAL. */
int ucx_locator_format(const struct sockaddr *socket, uint64_t cookie,
		       char ret_locator[TRANSPORT_LOCATOR_MAX]);
/* What UCX calls the devices behind this address: "eth0,mlx5_0:1". False: not known. */
bool ucx_address_devices(const struct address *address, char ret_devices[UCX_DEVICES_SIZE]);

/* ---- the objects ---- */

enum watch_kind {
	WATCH_UCX,
	WATCH_TIMER,
	WATCH_WAKE,
	WATCH_LISTENER,
	WATCH_GREETING,
	WATCH_LINK,
};

/* What epoll knows of a descriptor; first in a greeting and a link. */
struct watch {
	enum watch_kind kind;
};

/* Greeting: this, and then the address of the sender's worker. */
struct ucx_hello {
	uint32_t magic; /* names the version, too */
	uint32_t message_max;
	uint64_t cookie; /* of the one who connects */
	uint64_t token;	 /* to be in the frames of this link to me */
	uint8_t worker[UCX_WORKER_ID];
	uint32_t address_len;
	uint32_t zero;
};
_Static_assert(sizeof(struct ucx_hello) == 48, "the same on all hosts");

enum frame_kind { FRAME_UP = 1, FRAME_DATA, FRAME_CLOSE, FRAME_ACK };

/* Header of the active message. */
struct ucx_frame {
	uint64_t token;	   /* the receiver's link */
	uint32_t sequence; /* modulo 2^32; all but ACK count */
	uint32_t start;	   /* place of the message, modulo 2^32 */
	uint32_t ack;	   /* the next that the sender has not seen */
	uint16_t kind;
	uint16_t zero;
};
_Static_assert(sizeof(struct ucx_frame) == 24, "the same on all hosts");

/* A frame that goes out. */
struct operation {
	struct transport_link *link;
	bool busy;    /* UCX reads it */
	uint32_t end; /* position in the ring after it */
	struct ucx_frame frame;
};

/* A frame that came. */
struct arrival {
	uint16_t kind; /* 0: not yet */
	uint32_t start, len;
};

enum link_state {
	LINK_CONNECTING,
	LINK_ACCEPTING, /* ours until LINK_UP is told */
	LINK_UP,
	LINK_DOWN,    /* LINK_DOWN was told, or is due */
	LINK_CLOSING, /* ours; CLOSE is not yet acknowledged */
	LINK_DEAD,    /* ours; invariant 3 */
};

#define DUE_UP 0x1u
#define DUE_WRITABLE 0x2u
#define DUE_DOWN 0x4u

struct endpoint;
struct greeting;

struct transport_link {
	struct watch watch;
	struct transport *transport;
	void *user;
	enum link_state state;
	unsigned index; /* in transport->link */
	bool accepted;
	bool came_up; /* the peer's UP came */
	bool broken;  /* sends fail; what came is still to be read */
	bool is_ready;
	bool ack_due;
	bool want;    /* WRITABLE is due when the ring is half empty */
	unsigned due; /* DUE_ bits; nonzero: in one of the two queues */
	int status;
	uint64_t deadline; /* of connecting, closing, the last messages; 0: none */
	TAILQ_ENTRY(transport_link) due_link, ready_link, ack_link;
	uint64_t cookie;	   /* that we say; of connecting */
	int socket;		   /* owned; -1: none */
	struct greeting *greeting; /* owned, until it is done */
	struct endpoint *endpoint; /* NULL: not yet, or dead */
	uint64_t token, peer_token;

	unsigned busy; /* operations that UCX has not completed */
	uint32_t head, tail, acked, ring_head, ring_tail;
	struct operation send[UCX_FRAME_MAX];
	struct operation ack;

	uint32_t next, seen, acknowledged; /* to deliver; seen by the user; told to the peer */
	uint32_t seen_bytes;		   /* since then */
	struct arrival arrival[UCX_FRAME_MAX];
	uint8_t *ring, *buffer; /* inside this allocation */
};

TAILQ_HEAD(link_queue, transport_link);

enum endpoint_state { ENDPOINT_OPEN, ENDPOINT_FLUSHING, ENDPOINT_FLUSHED, ENDPOINT_CLOSING };

struct endpoint {
	TAILQ_ENTRY(endpoint) entry;
	struct transport *transport;
	uint8_t worker[UCX_WORKER_ID];
	ucp_ep_h ep;
	enum endpoint_state state;
	bool failed;
	bool closed;	  /* UCX knows it no more */
	unsigned pending; /* requests of its own: flush, close */
	unsigned links;
	uint64_t deadline; /* 0: none */
	size_t address_len;
	uint8_t address[]; /* of the worker, as the peer said */
};

TAILQ_HEAD(endpoint_queue, endpoint);
TAILQ_HEAD(greeting_queue, greeting);

/* A socket that UCX opened. */
struct ucx_socket {
	int fd;
	uint64_t inode;
};

struct transport {
	const struct ucx_library *library;
	bool uses;	       /* the library */
	ucp_context_h context; /* owned, and the worker */
	ucp_worker_h worker;
	uint8_t worker_id[UCX_WORKER_ID];
	uint8_t address[UCX_ADDRESS_MAX];
	size_t address_len;
	int epoll, timer, wake, listener; /* owned */
	int ucx_fd;			  /* the worker's */
	uint64_t cookie;
	uint64_t timer_at;  /* UINT64_MAX: not armed */
	uint64_t look_at;   /* ns */
	bool look_due;	    /* slept, and UCX had nothing yet */
	bool came;	    /* something came since the last look */
	bool drained;	    /* UCX had nothing more: one poll() may say so */
	bool muted;	    /* out of descriptors: nobody is accepted for a while */
	bool watch_gone;    /* what epoll said of the rest may be about nobody */
	const void *parked; /* names the thread that sleeps, or will; NULL: nobody */
	unsigned dead, closing;

	struct transport_link **link; /* owned */
	unsigned link_size, link_next;
	struct link_queue due_now, due_down, ready, acks;
	struct transport_link *held; /* its message is what the last event pointed to */
	struct endpoint_queue endpoints;
	bool endpoint_due; /* one failed or has no more links */
	struct greeting_queue greetings;
	unsigned greeting_count;
	struct ucx_socket socket[UCX_SOCKET_MAX];
	unsigned socket_count;
	char locator[TRANSPORT_LOCATOR_MAX];
};

/* ---- ucx.c ---- */

int ucx_watch_add(struct transport *transport, int fd, uint32_t events, struct watch *watch);
/* Wakes us at this time, or earlier. */
void ucx_timer_want(struct transport *transport, uint64_t at);

/* ---- link.c ---- */

int ucx_link_new(struct transport *transport, enum link_state state,
		 struct transport_link **ret_link);
int ucx_link_connect(struct transport *transport, const char *locator,
		     struct transport_link **ret_link);
/* The greeting is done: UCX may connect. Errors: -ENOMEM, -EHOSTDOWN. */
int ucx_link_greeted(struct transport_link *link, const struct ucx_hello *hello,
		     const void *address);
/* The peer's process closed its socket, or sent what it must not. */
void ucx_link_socket(struct transport_link *link);
/* What came before is told first. */
void ucx_link_fail(struct transport_link *link, int status);
void ucx_link_due(struct transport_link *link, unsigned due);
int ucx_link_send(struct transport_link *link, const void *data, size_t len, int fd);
void ucx_link_close(struct transport_link *link);
ucs_status_t ucx_link_arrived(void *arg, const void *header, size_t header_len, void *data,
			      size_t len, const ucp_am_recv_param_t *param);
/* The next message of a link that is ready. */
void ucx_link_deliver(struct transport_link *link, struct transport_event *ret_event);
/* The user has seen the message that was delivered last. */
void ucx_link_seen(struct transport_link *link);
void ucx_link_acknowledge(struct transport_link *link);
/* A deadline of this link; now: ns. Returns the next, UINT64_MAX: none. */
uint64_t ucx_link_tick(struct transport_link *link, uint64_t now);
/* It is freed once UCX does not point into it. */
void ucx_link_bury(struct transport_link *link);
void ucx_link_free(struct transport_link *link);

/* ---- endpoint.c ---- */

/*
 * That of an earlier link to the same worker, or a new one. Who names a worker has to have its
 * address, too: else a stranger could say a peer's name and be sent what is for that peer.
 * Errors: -ENOMEM, -EHOSTDOWN.
 */
int ucx_endpoint_get(struct transport *transport, const struct ucx_hello *hello,
		     const void *address, struct endpoint **ret_endpoint);
void ucx_endpoint_put(struct endpoint *endpoint);
/* What is due or late; returns the next deadline. */
uint64_t ucx_endpoints_run(struct transport *transport, uint64_t now);
/* For close(): starts flushing all; true: all are flushed. */
bool ucx_endpoints_flush(struct transport *transport);
/* By force; true: UCX knows none any more. */
bool ucx_endpoints_close(struct transport *transport);
void ucx_endpoints_free(struct transport *transport);

/* ---- greeting.c ---- */

/* Errors: -EEXIST, -EINVAL, -EMFILE. */
int ucx_listener_open(struct transport *transport, const struct address *address);
void ucx_listener_accept(struct transport *transport);
void ucx_listener_mute(struct transport *transport, bool mute);
/* Errors: -ECONNREFUSED, -EMFILE, -ENOMEM. */
int ucx_greeting_connect(struct transport_link *link, const struct address *address);
void ucx_greeting_run(struct greeting *greeting, uint32_t events);
/* Ownership: takes greeting and its socket. */
void ucx_greeting_free(struct greeting *greeting);
/* Returns the next deadline. */
uint64_t ucx_greetings_tick(struct transport *transport, uint64_t now);

/* ---- descriptor.c ---- */

struct fd_mark {
	uint8_t *open; /* owned */
	size_t count;
};

/* What is open now is not UCX's. */
void ucx_descriptors_mark(struct fd_mark *ret_mark);
/* What was opened since is; it is not for programs that we execute. Ownership: takes what before has. */
void ucx_descriptors_opened(struct fd_mark *before);
/* The same for what UCX opened when it connected. */
void ucx_descriptors_connected(struct transport *transport);
/* The kernels of the peers have what UCX's sockets were given. */
bool ucx_descriptors_flushed(const struct transport *transport);

#endif
