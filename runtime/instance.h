/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * instance.h -- what an instance and a region handle are made of (internal to runtime/)
 *
 * Locking: farbus->lock covers all of struct farbus and the control side of its regions. The data
 * path takes no lock: it is inside a guard slot while it looks at a region's head (inline.h), and
 * never takes the lock while it is inside. Whoever changes a head holds the lock, sets the three
 * lengths to 0, and drains the region's tag first (region_close_locked()).
 *
 * Functions named _locked that take a region need its instance's lock; the compiler cannot follow
 * that through the pointer and takes lock_held()'s word.
 */
#ifndef RUNTIME_INSTANCE_H
#define RUNTIME_INSTANCE_H

#include "addrmap/sameva.h"
#include "addrmap/window.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/lock.h"
#include "base/process.h"
#include "runtime/boot/boot.h"
#include "runtime/host.h"
#include "runtime/proto/core.h"
#include "transport/transport.h"
#include <farbus/farbus.h>
#include <farbus/inline.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#define INSTANCE_EVENT_MAX 1024 /* pending events; more are counted and reported as overflow */
#define INSTANCE_BACKEND_MAX 4
#define INSTANCE_LINK_MAX 4096	       /* links at a time */
#define INSTANCE_QUEUE_MAX (16u << 20) /* bytes put off on one link before it is given up */
#define INSTANCE_REQUEST_BUCKETS 1024
#define SIGNAL_LANE_MAX 64
#define SERVED_DEPTH 32 /* served pieces under way per region: what slows a client of a slow home */
#define SERVED_GET_DEPTH 32 /* pieces under way of one get or getv, or of all threads' together, */
#define SERVED_GET_DEPTH_MIN 8 /* but not fewer than these of each */

/* Last page of a region's descriptor: where its waiters sleep. One lane per 64-byte line, hashed. */
struct signal_lane {
	_Atomic uint32_t seq;
	_Atomic uint32_t waiters;
	uint8_t pad[56];
};
_Static_assert(sizeof(struct signal_lane) == 64, "no false sharing between lanes");
_Static_assert(SIGNAL_LANE_MAX * sizeof(struct signal_lane) == ADDR_PAGE_SIZE, "one page");

enum region_state { REGION_READY = 1, REGION_SUSPENDED, REGION_DEAD };

/* What the threads of this process have under way on a served import, one per thread. */
struct served_thread {
	SLIST_ENTRY(served_thread) link;
	const void *slot; /* names the thread */
	uint32_t pending;
	uint32_t failed; /* operations, ever */
	int error;
	char why[128];
};

struct farbus_region {
	struct farbus_region_head head;
	struct farbus *farbus; /* borrows */
	LIST_ENTRY(farbus_region) link;
	uint64_t id, off, len;
	uint32_t rights;
	uint32_t import; /* index in the import table; own regions have one too */
	uint32_t home_rank, home_instance;
	bool own, replaced, adopted;
	bool served;	    /* no mapping: every access is a request to the home */
	_Atomic int state;  /* enum region_state; read in the SIGBUS handler */
	_Atomic int status; /* DEAD: what every access fails with */
	_Atomic uint32_t remap_count;
	int fd;		  /* owned; -1: none */
	uint64_t mem_off; /* of our offset 0 in fd */
	uint8_t *map;	  /* whole pages around head.base */
	size_t map_len;
	size_t map_unit; /* mappings of fd begin and end on multiples of it */
	uint64_t page_size, same_va;
	uint64_t control_off;
	struct signal_lane *lane; /* SIGNAL_LANE_MAX of them; NULL: none */
	uint32_t generation;
	struct transport_remote *remote; /* owned; NULL: no one-sided access */
	struct backend *remote_backend;	 /* borrows */
	uint32_t onesided;		 /* TRANSPORT_ operations of remote */
	bool rekeying;			 /* the key is not valid any more, the home was asked */
	STAILQ_HEAD(fabric_ops, fabric_op) stale; /* wait for a new key */
	SLIST_HEAD(served_list, served_thread) served_threads;
	_Atomic uint32_t served_pending;
	pthread_cond_t served_room;
};
_Static_assert(offsetof(struct farbus_region, head) == 0, "inline.h casts the handle");

/* A request to the core whose CORE_DONE somebody handles. */
struct request {
	LIST_ENTRY(request) link;
	uint32_t id;
	/* Called under the lock when it is done; may free the request. */
	void (*done)(struct farbus *farbus, struct request *request, struct core_output *output);
	bool heap; /* free() it if the instance closes first */
	bool finished;
	int status;
	pthread_cond_t *wake; /* borrows; NULL: nobody sleeps */
	/* what it gives */
	struct farbus_token token;
	void *data; /* borrows: where received data goes */
	size_t size, len;
	uint64_t value;
	struct farbus_region *region;
	struct served_thread *thread;
	char why[128];
};

/* A one-sided operation under way. */
struct fabric_op {
	STAILQ_ENTRY(fabric_op) link; /* in its region's stale, or its instance's fabric_waiting */
	struct farbus_region *region;
	struct served_thread *thread;
	bool get;
	uint64_t off;
	const void *src; /* put; borrows, or is data */
	void *dst;	 /* get; borrows */
	size_t len;
	uint8_t data[]; /* of a short put: the caller has its buffer back at once */
};

/* Memory of ours that an importer's device can reach. */
struct exposure {
	LIST_ENTRY(exposure) link;
	uint32_t record;
	struct backend *backend;	    /* borrows */
	struct transport_exposure *exposed; /* owned */
};

struct pending_message {
	STAILQ_ENTRY(pending_message) link;
	int fd; /* owned dup, or -1 */
	size_t len;
	uint8_t data[];
};

/* A transport that is open. */
struct backend {
	struct farbus *farbus; /* borrows */
	const struct transport_ops *ops;
	struct transport *transport;	     /* owned */
	char locator[TRANSPORT_LOCATOR_MAX]; /* where peers reach us over it */
};

struct link {
	struct transport_link *transport; /* NULL: free */
	struct backend *backend;	  /* borrows */
	uint32_t rank;
	bool connecting;
	bool closing;
	bool lingers; /* ended here; it has its number until nobody has the other end */
	size_t queued;
	STAILQ_HEAD(message_list, pending_message) queue;
};

struct farbus {
	struct lock lock;
	struct config config;
	struct farbus_self self;
	uint64_t timeout_ns;
	bool spin;    /* instances do not exceed cores */
	bool claimed; /* process_get() done */
	struct boot *boot;
	struct core *core;
	struct backend backend[INSTANCE_BACKEND_MAX];
	unsigned backend_count;
	bool one_host; /* every rank is here: peers are found without asking the bootstrap */
	uint8_t host[HOST_NAME_SIZE];
	struct link *links; /* INSTANCE_LINK_MAX */
	uint32_t link_top;
	struct window_table *windows;
	uint64_t window_tag; /* guard tag of readers of the window table */
	struct sameva *sameva;
	_Atomic(struct farbus_region *) *by_import[1024]; /* import index -> handle, 1024 each */
	LIST_HEAD(region_list, farbus_region) regions;
	LIST_HEAD(exposure_list, exposure) exposures[INSTANCE_REQUEST_BUCKETS];
	struct fabric_ops fabric_waiting; /* for room in their transport */
	uint32_t serial;		  /* of the next region */
	int tombstone;			  /* empty memfd: a mapping of it raises SIGBUS */
	LIST_HEAD(request_list, request) requests[INSTANCE_REQUEST_BUCKETS];

	int epoll, wake, timer, info; /* the service thread's */
	int net;	/* epoll of all transports; watched by the service thread, or by a leader */
	int lead_wake;	/* in net, too: ends a leader's sleep */
	bool lead_rung; /* lead_wake is readable */
	bool (*leader_done)(const void *arg); /* NULL: no thread leads */
	const void *leader_arg;
	bool watched;	    /* by the service thread */
	unsigned holds;	    /* calls that are about to wait again */
	unsigned followers; /* threads that sleep while another one leads */
	bool batching;	    /* the backends' batch() has begun */
	pthread_t service;
	bool service_started;
	_Atomic bool stop;
	uint64_t timer_at;

	struct farbus_event event[INSTANCE_EVENT_MAX];
	uint32_t event_head, event_tail;
	bool event_overflow;
	int event_fd;
	pthread_cond_t event_cond;
};

/* ---- instance.c ---- */
int instance_check(struct farbus *farbus); /* -EINVAL NULL, -ECHILD forked */
uint64_t instance_deadline(const struct farbus *farbus, int timeout_ms);
void cond_init_monotonic(pthread_cond_t *cond);

/* ---- service.c ---- */
int service_start(struct farbus *farbus);
void service_stop(struct farbus *farbus); /* the thread */
void service_fini(struct farbus *farbus); /* links and descriptors; after service_stop() */
/* Moves everything that can move: transport events into the core, core outputs out. */
void service_pump_locked(struct farbus *farbus) REQUIRES(&farbus->lock);
/* The latter half: what the core has to send goes out, but no transport is polled. */
void service_push_locked(struct farbus *farbus) REQUIRES(&farbus->lock);

/* Makes the service thread pump. */
void service_wake(struct farbus *farbus);
/* Should the service thread wake for transports? */
void service_watch(struct farbus *farbus, bool watch);

/* ---- wait.c ---- */
/*
 * Until done(arg), or the deadline (UINT64_MAX: the core ends what is waited for). cond is signalled
 * by whoever makes it true. Errors: -ETIMEDOUT, without a text.
 */
int wait_until_locked(struct farbus *farbus, pthread_cond_t *cond, bool (*done)(const void *arg),
		      const void *arg, uint64_t deadline) REQUIRES(&farbus->lock);

/*
 * Polls for a short time until done(arg), for operations that a device carries out by itself. What is
 * not done then is waited for with wait_until_locked().
 */
void wait_poll_locked(struct farbus *farbus, bool (*done)(const void *arg), const void *arg)
	REQUIRES(&farbus->lock);

/*
 * Around several waits of one call: the service thread does not wake for what comes between them.
 * In between the caller keeps the lock, or waits.
 */
void wait_hold_locked(struct farbus *farbus) REQUIRES(&farbus->lock);
void wait_unhold_locked(struct farbus *farbus) REQUIRES(&farbus->lock);

/* ---- backend.c ---- */
#define CARD_KEY "farbus-card-"
/* Before anybody is told of us. Errors: -EINVAL FARBUS_TRANSPORT names one that there is not. */
int backends_setting_check(const struct farbus *farbus);
/* The network transports that the settings ask for; or, if there are other hosts, one. */
int backends_open_network(struct farbus *farbus);
/* shm, when the job is known. Errors: -EEXIST this rank is open already. */
int backends_open_host(struct farbus *farbus);
bool backend_wants_shm(const struct farbus *farbus);
void backends_close(struct farbus *farbus);
/* What others need to connect to us: for the bootstrap. Returns its length. */
size_t card_make(const struct farbus *farbus, void *card, size_t size);
/* How to reach a rank. Errors: -EHOSTUNREACH no transport in common, -ENOENT no card, -EPROTO. */
int backend_route(struct farbus *farbus, uint32_t rank, struct backend **ret_backend,
		  char ret_locator[TRANSPORT_LOCATOR_MAX]) REQUIRES(&farbus->lock);
/* Before a thread sleeps on net. False: something came in meanwhile. */
bool backends_park(struct farbus *farbus);

/* ---- request.c ---- */
struct request *request_find_locked(struct farbus *farbus, uint32_t id)
	REQUIRES(&farbus->lock); /* NULL: none */
void request_add_locked(struct farbus *farbus, struct request *request, uint32_t id)
	REQUIRES(&farbus->lock);
void request_done_locked(struct farbus *farbus, struct core_output *output) REQUIRES(&farbus->lock);
/* Until request->finished; the core ends it at its deadline. */
int request_wait_locked(struct farbus *farbus, struct request *request) REQUIRES(&farbus->lock);
/* For a call that gives nothing but a status: start failed with err, or wait for id. */
int request_run_locked(struct farbus *farbus, struct request *request, int err, uint32_t id,
		       const char *what) REQUIRES(&farbus->lock);

/* ---- event.c ---- */
void event_push_locked(struct farbus *farbus, const struct farbus_event *event)
	REQUIRES(&farbus->lock);

/* ---- region.c, import.c, memory.c ---- */
struct farbus_region *region_by_import(struct farbus *farbus, uint32_t import);
int region_register_locked(struct farbus *farbus, struct farbus_region *region)
	REQUIRES(&farbus->lock);
void region_unregister_locked(struct farbus *farbus, struct farbus_region *region)
	REQUIRES(&farbus->lock);
int region_new(struct farbus *farbus, struct farbus_region **ret_region);
void region_free(struct farbus_region *region);
/* Opens the head for what the rights allow. */
void region_open_locked(struct farbus_region *region);
/* Closes the head and waits until nobody is inside. -ETIMEDOUT: somebody still is. */
int region_close_locked(struct farbus_region *region, uint64_t timeout_ns);
/* Why an access that the head refused is refused; 0: try again, something changed. */
int region_refusal(struct farbus_region *region, uint64_t off, uint64_t len, uint32_t rights,
		   const char *what);
bool region_fault(void *arg, void *va);
const char *region_transport(const struct farbus_region *region);
/* FARBUS_ONESIDED_ bits; under the lock. */
uint32_t region_onesided(const struct farbus_region *region);
/* More than a page for memory from the pool of huge pages. */
size_t memory_unit(int fd);
int region_map_memory(struct farbus_region *region);
void region_unmap_memory(struct farbus_region *region);
int import_finish_locked(struct farbus *farbus, struct farbus_region *region,
			 struct core_output *output) REQUIRES(&farbus->lock);

/* ---- window.c ---- */
/* Every window of the region: tombstone it, or map fd there. Errors: -ENOMEM, one is as it was. */
int window_tombstone_locked(struct farbus_region *region);
int window_remap_locked(struct farbus_region *region);
int window_detach_locked(struct farbus_region *region);
void window_drop_locked(struct farbus_region *region);
bool window_find(struct farbus *farbus, const void *va, struct window_hit *ret_hit);

/* ---- work.c ---- */
void work_run_locked(struct farbus *farbus, struct core_output *output) REQUIRES(&farbus->lock);

/* ---- served.c ---- */
/* A transport_place_fn; arg: the backend. */
bool served_place(void *arg, struct transport_link *link, const void *head, size_t len,
		  struct transport_place *ret_place);
int served_put(struct farbus_region *region, uint64_t off, const void *src, size_t len);
int served_get(struct farbus_region *region, uint64_t off, void *dst, size_t len);
/* Checked by the caller. After a failure some pieces may be there, and no more come. */
int served_getv(struct farbus_region *region, const struct farbus_vec *vec, size_t n);
int served_atomic(struct farbus_region *region, uint64_t off, enum farbus_atomic_op op,
		  size_t width, uint64_t operand, uint64_t compare, bool signal, uint64_t *ret_old);
int served_flush(struct farbus_region *region, int timeout_ms);
/* Until no put of any thread is under way: each ends at its deadline at the latest. */
void served_drain_locked(struct farbus_region *region);

void served_ended(struct farbus_region *region, struct served_thread *thread, int status,
		  const char *why);
struct served_thread *served_thread_locked(struct farbus_region *region);
/* Until fewer than SERVED_DEPTH operations of the region are under way. */
void served_room_wait_locked(struct farbus_region *region);
int served_thread_wait_locked(struct farbus_region *region, struct served_thread *thread);

/* ---- fabric.c: one-sided access by a network device ---- */
/* Puts the region on the key that its home gave; without one, or on failure, access is served. */
void fabric_open_locked(struct farbus_region *region, const void *key, size_t key_len);
/* Until the way to the home's memory is made: nothing later needs the home's CPU for it. */
void fabric_prepare_locked(struct farbus_region *region);
void fabric_close_locked(struct farbus_region *region);
int fabric_put_locked(struct farbus_region *region, uint64_t off, const void *src, size_t len);
int fabric_get_locked(struct farbus_region *region, uint64_t off, void *dst, size_t len);
void fabric_complete_locked(struct farbus *farbus, uint64_t cookie, int status)
	REQUIRES(&farbus->lock);
/* Every operation of the region ends with this status (death, revocation). */
void fabric_fail_locked(struct farbus_region *region, int status);
/* The home's side. Returns the length of the key; 0: it cannot be exposed. */
size_t fabric_expose_locked(struct farbus *farbus, const struct core_output *output,
			    struct transport_key *ret_key) REQUIRES(&farbus->lock);
void fabric_hide_locked(struct farbus *farbus, uint32_t record) REQUIRES(&farbus->lock);
void fabric_hide_all_locked(struct farbus *farbus) REQUIRES(&farbus->lock);

/* ---- rma.c ---- */
/* Of a served region; checked by the caller, but for what a guard needs. */
int rma_getv(struct farbus_region *region, const struct farbus_vec *vec, size_t n);
/* On memory that is known to be there. */
uint64_t rma_atomic_apply(void *p, enum farbus_atomic_op op, size_t width, uint64_t operand,
			  uint64_t compare);
int rma_atomic_check(uint64_t off, enum farbus_atomic_op op, size_t width);

/* ---- signal.c ---- */
void signal_wake(struct farbus_region *region, uint64_t off);

/* ---- info.c ---- */
int info_open(struct farbus *farbus);
void info_answer(struct farbus *farbus);

#endif
