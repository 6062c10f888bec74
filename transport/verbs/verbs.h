/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verbs.h -- the transport over RDMA devices: libibverbs for queue pairs, librdmacm to connect them
 *
 * Locator: "HOST:PORT[/COOKIE]", [HOST] for IPv6. A request to connect shows the cookie of a port
 * that we chose ourselves; a port that was asked for is for those who know nothing else.
 *
 * A link has up to three kinds of reliable connections ("pairs"):
 *   control   sends and receives messages, cut into fragments of at most VERBS_FRAGMENT_MAX
 *   data      ours: puts and gets go out on it. A key that is not valid puts a queue pair into its
 *             error state, so it is not the one of the messages, and it is built anew.
 *   passive   the peer's data pair, here: we do nothing with it, its device reaches our memory
 * A data pair is let in by whoever shows the pass that is in every key, so after authentication.
 * Nothing is exposed in the protection domain of control pairs.
 *
 * Credits: each fragment says how many of the peer's fragments were consumed so far. Data leaves one
 * credit for a fragment that says nothing else, so that both sides can always be told of room.
 *
 * Completions of data pairs have a queue of their own, which is armed only by a thread that goes to sleep
 * while operations are under way: whoever waits for one polls, and nobody else is woken by it.
 *
 * Is the peer alive? A write of no bytes is acknowledged by its device, even while its process is
 * stopped; when nothing is heard for a while, one is sent.
 *
 * Invariants:
 *   1. transport->link[i]->index == i, for i < link_count
 *   2. A completion names its pair by index and serial; one with an old serial counts for nothing.
 *   3. Completions of a pair come in the order of its posts, and one that succeeded stands for all
 *      before it.
 *   4. a queue's room covers every post of its pairs, so that it never overflows
 *   5. A link that was closed is freed when all its operations have been told of.
 */
#ifndef TRANSPORT_VERBS_VERBS_H
#define TRANSPORT_VERBS_VERBS_H

#include "transport/transport.h"

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define VERBS_LINK_MAX 4096
#define VERBS_FRAGMENT_MAX 4096
#define VERBS_RECEIVE_MAX 32	       /* posted receives of a link */
#define VERBS_SEND_MAX 64	       /* fragments in the ring */
#define VERBS_RING_SIZE (256u << 10)   /* bytes of them */
#define VERBS_QUEUE_MAX 128	       /* posts of a pair under way */
#define VERBS_OPERATION_MAX 256	       /* one-sided operations of a link under way */
#define VERBS_BOUNCE_SIZE (512u << 10) /* registered memory for short ones */
#define VERBS_BOUNCE_MAX (64u << 10)   /* the longest of them */
#define VERBS_REGISTERED_MAX 8	       /* operations of a link whose buffer is registered */
#define VERBS_CHUNK_MAX 8	       /* registrations of one exposure */
#define VERBS_ACCEPTING_MAX 64	       /* requests that are not connected yet; more are refused */
#define VERBS_BATCH 16
#define VERBS_REASON_MAX 128

extern const struct transport_ops transport_verbs;

/* Tests change these. */
struct verbs_tuning {
	uint64_t connect_ns; /* bound of connecting, and of being accepted */
	uint64_t linger_ns;  /* bound of what a closed link still has to send */
	uint64_t probe_ns;   /* silence after which the peer's device is asked */
	uint64_t replay_ns;  /* bound of rebuilding a data pair */
	uint64_t close_ns;   /* bound of close() */
	uint64_t chunk_len;  /* of a registration; the device's limit, if that is less */
	uint8_t ack_timeout; /* 4.096 us times 2 to the power of this, seven times: then it is gone */
};
extern struct verbs_tuning verbs_tuning;

/* ---- library.c: what is needed of libibverbs.so.1 and librdmacm.so.1 ---- */

#define VERBS_SYMBOLS(SYMBOL)                                                                     \
	SYMBOL(get_device_list, ibv_get_device_list, struct ibv_device **, (int *))               \
	SYMBOL(free_device_list, ibv_free_device_list, void, (struct ibv_device **))              \
	SYMBOL(query_device, ibv_query_device, int,                                               \
	       (struct ibv_context *, struct ibv_device_attr *))                                  \
	SYMBOL(query_port, ibv_query_port, int,                                                   \
	       (struct ibv_context *, uint8_t, struct ibv_port_attr *))                           \
	SYMBOL(query_gid, ibv_query_gid, int,                                                     \
	       (struct ibv_context *, uint8_t, int, union ibv_gid *))                             \
	SYMBOL(alloc_pd, ibv_alloc_pd, struct ibv_pd *, (struct ibv_context *))                   \
	SYMBOL(dealloc_pd, ibv_dealloc_pd, int, (struct ibv_pd *))                                \
	SYMBOL(reg_mr, ibv_reg_mr, struct ibv_mr *, (struct ibv_pd *, void *, size_t, int))       \
	SYMBOL(dereg_mr, ibv_dereg_mr, int, (struct ibv_mr *))                                    \
	SYMBOL(create_channel, ibv_create_comp_channel, struct ibv_comp_channel *,                \
	       (struct ibv_context *))                                                            \
	SYMBOL(destroy_channel, ibv_destroy_comp_channel, int, (struct ibv_comp_channel *))       \
	SYMBOL(create_cq, ibv_create_cq, struct ibv_cq *,                                         \
	       (struct ibv_context *, int, void *, struct ibv_comp_channel *, int))               \
	SYMBOL(resize_cq, ibv_resize_cq, int, (struct ibv_cq *, int))                             \
	SYMBOL(destroy_cq, ibv_destroy_cq, int, (struct ibv_cq *))                                \
	SYMBOL(get_cq_event, ibv_get_cq_event, int,                                               \
	       (struct ibv_comp_channel *, struct ibv_cq **, void **))                            \
	SYMBOL(ack_cq_events, ibv_ack_cq_events, void, (struct ibv_cq *, unsigned int))           \
	SYMBOL(get_async_event, ibv_get_async_event, int,                                         \
	       (struct ibv_context *, struct ibv_async_event *))                                  \
	SYMBOL(ack_async_event, ibv_ack_async_event, void, (struct ibv_async_event *))            \
	SYMBOL(status_text, ibv_wc_status_str, const char *, (enum ibv_wc_status))                \
	SYMBOL(event_text, ibv_event_type_str, const char *, (enum ibv_event_type))               \
	SYMBOL(create_events, rdma_create_event_channel, struct rdma_event_channel *, (void))     \
	SYMBOL(destroy_events, rdma_destroy_event_channel, void, (struct rdma_event_channel *))   \
	SYMBOL(create_id, rdma_create_id, int,                                                    \
	       (struct rdma_event_channel *, struct rdma_cm_id **, void *, enum rdma_port_space)) \
	SYMBOL(destroy_id, rdma_destroy_id, int, (struct rdma_cm_id *))                           \
	SYMBOL(bind_addr, rdma_bind_addr, int, (struct rdma_cm_id *, struct sockaddr *))          \
	SYMBOL(resolve_addr, rdma_resolve_addr, int,                                              \
	       (struct rdma_cm_id *, struct sockaddr *, struct sockaddr *, int))                  \
	SYMBOL(resolve_route, rdma_resolve_route, int, (struct rdma_cm_id *, int))                \
	SYMBOL(create_qp, rdma_create_qp, int,                                                    \
	       (struct rdma_cm_id *, struct ibv_pd *, struct ibv_qp_init_attr *))                 \
	SYMBOL(destroy_qp, rdma_destroy_qp, void, (struct rdma_cm_id *))                          \
	SYMBOL(listen, rdma_listen, int, (struct rdma_cm_id *, int))                              \
	SYMBOL(connect, rdma_connect, int, (struct rdma_cm_id *, struct rdma_conn_param *))       \
	SYMBOL(accept, rdma_accept, int, (struct rdma_cm_id *, struct rdma_conn_param *))         \
	SYMBOL(reject, rdma_reject, int, (struct rdma_cm_id *, const void *, uint8_t))            \
	SYMBOL(set_option, rdma_set_option, int, (struct rdma_cm_id *, int, int, void *, size_t)) \
	SYMBOL(get_event, rdma_get_cm_event, int,                                                 \
	       (struct rdma_event_channel *, struct rdma_cm_event **))                            \
	SYMBOL(ack_event, rdma_ack_cm_event, int, (struct rdma_cm_event *))

struct verbs_library {
#define VERBS_MEMBER(member, name, result, arguments) result(*member) arguments;
	VERBS_SYMBOLS(VERBS_MEMBER)
#undef VERBS_MEMBER
};

/* Loaded once for the process, and never unloaded. Errors: -ENOSYS, the text names the package. */
int verbs_library_get(const struct verbs_library **ret_library);

/* ---- address.c ---- */

#define VERBS_HOST_MAX 64
#define VERBS_DEVICE_MAX 64

struct verbs_address {
	char device[VERBS_DEVICE_MAX]; /* "": any */
	char host[VERBS_HOST_MAX];     /* numeric, or an interface or a device; "": any */
	uint16_t port;		       /* 0: any */
	uint64_t cookie;	       /* 0: none */
	struct sockaddr_storage socket;
};

/* Where to listen: "" or [DEVICE/]ADDRESS-or-INTERFACE[:PORT], or DEVICE. Errors: -EINVAL. */
int verbs_address_local(const char *where, struct verbs_address *ret_address);
/* Errors: -EINVAL not a locator. */
int verbs_address_parse(const char *locator, struct verbs_address *ret_address);
/* Errors: -EINVAL not an internet address. */
int verbs_address_format(const struct sockaddr *socket, uint64_t cookie,
			 char ret_locator[TRANSPORT_LOCATOR_MAX]);
/*
 * Calls visit for each address of this host that the text may mean, best first, as long as it returns
 * -EINVAL or -ENOSYS. Errors: -EINVAL there is none; else what visit returned last.
 */
int verbs_address_each(const struct verbs_address *address,
		       int (*visit)(void *arg, const struct sockaddr *socket,
				    const char *interface),
		       void *arg);
socklen_t verbs_address_len(const struct sockaddr *socket);
uint16_t verbs_address_port(const struct sockaddr_storage *socket);
void verbs_address_port_set(struct sockaddr_storage *socket, uint16_t port);

/* ---- the objects ---- */

enum pair_kind { PAIR_CONTROL, PAIR_DATA, PAIR_PASSIVE };

struct pair {
	struct transport *transport;
	struct transport_link *link;
	enum pair_kind kind;
	uint32_t serial;       /* of this queue pair, not used twice */
	uint16_t index;	       /* in transport->pair */
	bool counted;	       /* in its queue's room */
	struct rdma_cm_id *id; /* owned; NULL: none */
	uint32_t inline_max;
	uint64_t pass;		   /* of the peer; goes with a data pair's request */
	LIST_ENTRY(pair) passives; /* of its link */
};

enum link_state {
	LINK_CONNECTING,
	LINK_ACCEPTING, /* ours until LINK_UP is told */
	LINK_UP,
	LINK_DOWN,    /* LINK_DOWN was told, or is due */
	LINK_CLOSING, /* ours; what is in the ring is on its way out */
	LINK_DEAD,    /* ours; no pair is left */
};

#define DUE_UP 0x1u
#define DUE_WRITABLE 0x2u
#define DUE_DOWN 0x4u

/* On the wire, before the bytes of a fragment. */
struct fragment {
	uint32_t consumed; /* fragments of the peer so far, modulo 2^32 */
	uint16_t kind;
	uint16_t zero;
};

enum fragment_kind {
	FRAGMENT_PART = 1, /* of a message; more follows */
	FRAGMENT_LAST,
	FRAGMENT_CREDIT, /* for consumed only */
	FRAGMENT_CLOSE,	 /* nothing follows */
};

struct ring_entry {
	uint32_t start, end; /* in the ring, modulo 2^32 */
	uint32_t len;
};

/* Of the control pair: where the ring's tail is when it has completed. */
struct send_post {
	uint32_t entry_tail, ring_tail;
};

struct data;

struct transport_link {
	struct transport *transport;
	void *user;
	enum link_state state;
	unsigned index; /* in transport->link */
	bool accepted;
	bool peer_closed; /* CLOSE came */
	bool broken;	  /* sends fail; what came is still to be read */
	bool heard;	  /* something came since the last tick */
	bool probing;
	bool close_queued;
	unsigned due; /* DUE_ bits; nonzero: in one of the two queues */
	int status;
	uint64_t deadline; /* 0: none */
	TAILQ_ENTRY(transport_link) due_link;
	struct pair pair;
	struct verbs_address address;
	struct ibv_mr *memory; /* owned; over ring, buffer and word */
	uint64_t nonce;	       /* a data pair from the peer shows it */
	uint64_t peer_nonce;
	LIST_HEAD(pair_list, pair) passives; /* owned */
	LIST_HEAD(remote_list, transport_remote) remotes;
	struct data *data; /* owned; NULL: nothing was opened yet */
	unsigned untold;   /* operations whose COMPLETE was not told */

	bool want;				     /* WRITABLE is due when there is room */
	uint32_t entry_head, entry_next, entry_tail; /* next: to be posted */
	uint32_t ring_head, ring_tail;
	uint32_t post_head, post_tail, post_signalled, bytes_signalled;
	uint32_t sent, allowed;	     /* fragments, modulo 2^32 */
	uint32_t consumed, returned; /* of the peer; returned: what it was told */
	uint32_t assembled;	     /* bytes of a message that is not whole yet */
	struct ring_entry entry[VERBS_SEND_MAX];
	struct send_post post[VERBS_QUEUE_MAX];
	uint8_t *ring, *buffer; /* inside this allocation */
	struct fragment *word;	/* likewise: VERBS_QUEUE_MAX fragments without bytes */
	uint8_t *assembly;	/* likewise */
};

TAILQ_HEAD(link_queue, transport_link);

enum operation_kind { OPERATION_PUT, OPERATION_GET, OPERATION_ATOMIC };

struct operation {
	TAILQ_ENTRY(operation) queue; /* of its data, then of its transport */
	struct transport_link *link;
	struct transport_remote *remote;
	enum operation_kind kind;
	enum transport_atomic atomic;
	bool posted_once; /* an atomic of which nothing is known is not repeated */
	uint64_t off;
	uint8_t *local; /* borrows until COMPLETE */
	size_t len, posted;
	unsigned pending;     /* posts under way */
	uint32_t last;	      /* number of its last post */
	struct ibv_mr *mr;    /* owned; NULL: through the bounce ring */
	bool registered_once; /* do not try again */
	uint64_t operand, compare, cookie;
	int status;
};

TAILQ_HEAD(operation_queue, operation);

struct transport_remote {
	LIST_ENTRY(transport_remote) remotes;
	struct transport_link *link; /* borrows; NULL: the link has ended */
	uint64_t va, len, chunk;
	uint32_t access, chunks;
	uint32_t rkey[VERBS_CHUNK_MAX];
	unsigned operations; /* under way */
	bool stale;	     /* the home refused the key */
	bool closed;	     /* freed with its last operation */
};

struct transport_exposure {
	LIST_ENTRY(transport_exposure) exposures;
	struct transport *transport;
	unsigned count;
	struct ibv_mr *mr[VERBS_CHUNK_MAX]; /* owned */
};

enum queue_kind { QUEUE_CONTROL, QUEUE_DATA, QUEUE_COUNT };

struct queue {
	struct ibv_cq *cq; /* owned */
	uint32_t room;	   /* posts of its pairs */
	bool armed;	   /* nothing was found in it since it was */
	unsigned events;   /* to be acknowledged */
};

struct transport {
	const struct verbs_library *library;
	struct rdma_event_channel *events; /* owned, and all until epoll */
	struct rdma_cm_id *listener;
	struct ibv_context *verbs; /* borrows from listener */
	struct ibv_pd *pd, *data_pd;
	struct ibv_comp_channel *channel;
	struct queue queue[QUEUE_COUNT];
	int epoll, timer, wake; /* owned */
	struct ibv_device_attr device;
	struct sockaddr_storage address;
	uint64_t cookie, pass;
	uint64_t timer_at; /* UINT64_MAX: not armed */
	uint64_t look_at;
	bool look_due;	    /* slept, and nothing was found yet that explains why it ended */
	const void *parked; /* names the thread that sleeps, or will; NULL: nobody */
	bool rung;	    /* wake is readable */
	bool fired;	    /* an event of a queue may be there to be taken */
	bool took;	    /* something of what made fd() readable, since it was parked */
	unsigned untold;    /* operations of all links */
	uint32_t serial;
	unsigned closing, dead, accepting;

	struct transport_link **link; /* owned */
	unsigned link_count, link_size;
	struct pair **pair; /* owned array; index UINT16_MAX at most */
	unsigned pair_size;
	struct link_queue due_now, due_down;
	struct operation_queue done; /* to be told */
	LIST_HEAD(exposure_list, transport_exposure) exposures;
	struct transport_link *held; /* its buffer is what the last event pointed to */
	unsigned held_number;	     /* VERBS_RECEIVE_MAX: its assembly */
	struct ibv_wc batch[VERBS_BATCH];
	unsigned batch_count, batch_next;
	char locator[TRANSPORT_LOCATOR_MAX];
};

/* ---- verbs.c ---- */

/* Wakes us at this time, or earlier. */
void verbs_timer_want(struct transport *transport, uint64_t at);
/* Makes fd() readable: somebody is to poll. */
void verbs_wake(struct transport *transport);
/* "device rxe0, port 1, GID ...": for texts. */
void verbs_device_text(const struct transport *transport, char *ret_text, size_t size);

/* ---- pair.c: connections ---- */

int verbs_pair_init(struct pair *pair, struct transport_link *link, enum pair_kind kind);
/* Errors: -ENOMEM, -EMFILE. What becomes of it: verbs_link_up(), verbs_data_up(), or ..._down(). */
int verbs_pair_connect(struct pair *pair, const struct sockaddr *to);
/* The connection, if there is one, goes at once; nothing is posted any more. */
void verbs_pair_close(struct pair *pair);
void verbs_pair_fini(struct pair *pair);
/* NULL: a completion of a queue pair that is gone. */
struct pair *verbs_pair_of(const struct transport *transport, uint64_t wr_id);
uint64_t verbs_pair_wr_id(const struct pair *pair, uint16_t number);
/* What the connection manager has to say. */
void verbs_pair_events(struct transport *transport);
void verbs_passives_free(struct transport_link *link);

/* ---- link.c: messages ---- */

int verbs_link_new(struct transport *transport, struct transport_link **ret_link);
int verbs_link_connect(struct transport *transport, const char *locator,
		       struct transport_link **ret_link);
int verbs_link_receives_post(struct transport_link *link);
void verbs_link_up(struct transport_link *link);
/* What came before is told first. */
void verbs_link_fail(struct transport_link *link, int status);
void verbs_link_due(struct transport_link *link, unsigned due);
void verbs_link_close(struct transport_link *link);
/* All pairs go at once. */
void verbs_link_bury(struct transport_link *link);
void verbs_link_free(struct transport_link *link);
/* A deadline of this link; now: ns. Returns the next, UINT64_MAX: none. */
uint64_t verbs_link_tick(struct transport_link *link, uint64_t now);

/* ---- message.c ---- */

int verbs_message_send(struct transport_link *link, const void *data, size_t len, int fd);
/* Posts what credits allow. */
void verbs_message_run(struct transport_link *link);
void verbs_message_close(struct transport_link *link);
void verbs_message_probe(struct transport_link *link);
void verbs_message_sent(struct transport_link *link, uint16_t number);
/* True: it is an event. */
bool verbs_message_received(struct transport_link *link, unsigned number, uint32_t len,
			    struct transport_event *ret_event);
/* The buffer that an event pointed to is free again. */
void verbs_message_release(struct transport_link *link, unsigned number);

/* ---- memory.c ---- */

int verbs_memory_expose(struct transport *transport, void *va, size_t len, uint32_t access,
			struct transport_exposure **ret_exposure, struct transport_key *ret_key);
void verbs_memory_hide(struct transport_exposure *exposure);
int verbs_remote_open(struct transport_link *link, const struct transport_key *key, size_t len,
		      struct transport_remote **ret_remote);
void verbs_remote_close(struct transport_remote *remote);
uint32_t verbs_remote_onesided(const struct transport_remote *remote);

/* Errors: -ENOMEM, -ENOSPC a limit; the text names it. */
int verbs_register(struct transport *transport, struct ibv_pd *pd, void *va, size_t len, int access,
		   struct ibv_mr **ret_mr);

/* ---- data.c: one-sided operations ---- */

/* Errors: -ENOMEM, -EMFILE, -ENOSPC. */
int verbs_data_open(struct transport_link *link, uint64_t pass);
/* Every operation ends with this status; the pair goes. Takes NULL. */
void verbs_data_end(struct data *data, int status);
void verbs_data_free(struct data *data);
void verbs_data_up(struct data *data);
void verbs_data_down(struct data *data, int status);
void verbs_data_completed(struct data *data, uint16_t number, const struct ibv_wc *wc);
uint64_t verbs_data_tick(struct data *data, uint64_t now);
int verbs_put(struct transport_remote *remote, uint64_t off, const void *src, size_t len,
	      uint64_t cookie);
int verbs_get(struct transport_remote *remote, uint64_t off, void *dst, size_t len,
	      uint64_t cookie);
int verbs_atomic(struct transport_remote *remote, uint64_t off, enum transport_atomic op,
		 uint64_t operand, uint64_t compare, uint64_t *ret_old, uint64_t cookie);
/* Told: the operation is free again. */
void verbs_operation_free(struct operation *operation);

#endif
