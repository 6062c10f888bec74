/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core_private.h -- what the parts of the protocol core share
 *
 *   core -- peers, one per rank -- conns (links that are up or prove themselves) -- calls sent on it
 *        -- calls of the local application, by id, each with a deadline
 *        -- holds, one per import record of ours as home -- refs -- revocations that wait for it
 *        -- works the driver has been asked for
 *
 * Every public function of core.h sets core->now, does its part, and ends with core_settle(),
 * which delivers what this instance has sent to itself.
 */
#ifndef RUNTIME_PROTO_CORE_PRIVATE_H
#define RUNTIME_PROTO_CORE_PRIVATE_H

#include "addrmap/tree.h"
#include "runtime/proto/core.h"
#include "runtime/proto/message.h"
#include <sys/queue.h>

#define CORE_BUCKETS 1024
#define CORE_RESERVE 64
#define MESSAGE_MAX_SMALL 8192 /* of a link that says nothing else */
#define CORE_RANK_NONE UINT32_MAX
#define PEER_GONE_MAX 4		  /* instances of a rank that are remembered as dead */
#define CORE_LINK_SELF UINT32_MAX /* no driver uses this number */

/* ---- timers ---- */

enum timer_kind {
	TIMER_CALL = 1,
	TIMER_AUTH,
	TIMER_RETRY,
	TIMER_REVOKE,
	TIMER_FORCE,
	TIMER_SUSPEND
};

struct timer {
	RB_ENTRY(timer) link;
	uint64_t at, serial; /* serial: equal times fire in the order they were set */
	enum timer_kind kind;
	void *owner; /* borrows */
	bool armed;
};

RB_HEAD(timers, timer);

/* ---- outputs ---- */

struct out {
	STAILQ_ENTRY(out) link;
	struct core_output is;
	void *buffer; /* owned; NULL: data[], or no data */
	uint8_t data[];
};

STAILQ_HEAD(outs, out);

/* ---- connections and peers ---- */

enum conn_state {
	CONN_HELLO = 1, /* accepted, waits for HELLO */
	CONN_CHALLENGE, /* HELLO sent, waits for CHALLENGE */
	CONN_PROOF,	/* CHALLENGE sent, waits for PROOF */
	CONN_UP,
	CONN_CLOSED, /* CORE_CLOSE is out or it went down; freed when nothing refers to it */
};

TAILQ_HEAD(calls, call);

struct conn {
	LIST_ENTRY(conn) link;	    /* in its bucket */
	LIST_ENTRY(conn) peer_link; /* UP: in its peer's conns */
	uint32_t number;	    /* the driver's */
	enum conn_state state;
	size_t message_max;
	bool initiator, same_host, one_sided;
	bool failed;   /* a message was lost for want of memory: core_settle() closes it */
	uint32_t rank; /* before UP: whom we meant to reach, or CORE_RANK_NONE */
	uint32_t instance, incarnation; /* of the other end, once it has said so */
	uint64_t greeted;		/* serial of its greeting's beginning */
	struct timer timer;
	uint8_t proof[MAC_PROOF_SIZE]; /* what the other end has to send */
	uint8_t nonce[MESSAGE_NONCE_SIZE];
	struct calls calls; /* sent on it, not answered */
	struct out *close;  /* owned: closing must not fail for want of memory */
	uint32_t strays;    /* CLOSED: holds that wait for core_link_gone(), and keep it here */
};

LIST_HEAD(conns, conn);

struct peer {
	uint32_t rank;
	struct conn *conn;    /* the UP one we send requests on; NULL: none */
	struct conns conns;   /* all that are UP */
	struct calls waiting; /* for a connection */
	bool connecting;
	unsigned tries;
	struct timer retry;
	uint32_t instance, incarnation; /* last known, 0: never met */
	uint64_t greeted;		/* of the connection that brought that instance */
	bool dead;			/* that instance is */
	bool silent;			/* PEER_SILENT was told; it has said nothing since */
	uint32_t gone[PEER_GONE_MAX];	/* the last of its instances that were given up */
	uint32_t gone_next;
	bool joined, came; /* root only: now; ever */
};

/* ---- calls: requests of the local application ---- */

enum call_kind {
	CALL_JOIN = 1,
	CALL_PUBLISH,
	CALL_LOOKUP,
	CALL_COLLECTIVE,
	CALL_IMPORT,
	CALL_RENEW,
	CALL_REKEY,
	CALL_GRANT,
	CALL_REVOKE, /* asked of another home */
	CALL_REVOKE_OWN,
	CALL_PUT,
	CALL_GET,
	CALL_ATOMIC,
};

struct call {
	LIST_ENTRY(call) of_bucket;
	TAILQ_ENTRY(call) link; /* in its peer's waiting or its conn's calls */
	struct calls *in;	/* which of the two; NULL: neither */
	struct timer timer;
	uint32_t id;
	enum call_kind kind;
	struct peer *peer;	/* NULL: local */
	struct conn *conn;	/* NULL: not sent yet */
	struct out *done;	/* owned: ending must not fail for want of memory */
	struct out *message;	/* owned: CORE_SEND with its data; NULL once sent */
	uint32_t import, epoch; /* IMPORT, RENEW, served access */
	size_t data_len;	/* of the answer: exactly */
	struct revocation *revocation;
};

/* ---- home ---- */

/* One importer's record, as far as the protocol is concerned. */
struct hold {
	LIST_ENTRY(hold) link; /* in its bucket */
	uint32_t record;
	uint32_t grant;
	uint64_t region;
	uint32_t index; /* its import there */
	struct conn *conn;
	bool mapped;
	struct out *hide; /* owned: the driver has memory exposed for it, or is about to */
	bool blocking;	  /* BLOCK sent, not acknowledged */
	bool suspending;  /* SUSPEND sent, not acknowledged */
	bool suspended;
	bool stray; /* its connection ended, its importer may not have: it cannot be told, and is waited for */
	LIST_HEAD(hold_refs, ref) refs;
};

/* A revocation waits for a hold to go. */
struct ref {
	LIST_ENTRY(ref) of_hold, of_revocation;
	struct hold *hold;
	struct revocation *revocation;
};

struct revocation {
	LIST_ENTRY(revocation) link;
	uint64_t region;
	uint32_t grant; /* 0: all of the region (withdraw) */
	bool whole;	/* the grant, not only one of its epochs */
	bool force;
	bool counted; /* in revocation_count */
	uint32_t outstanding;
	LIST_HEAD(revocation_refs, ref) refs;
	struct timer deadline, force_at;
	struct call *call; /* who waits: a local call, or ... */
	struct conn *conn; /* ... somebody at the other end, who asked so: */
	struct message_head asked;
};

LIST_HEAD(revocations, revocation);

struct parked {
	STAILQ_ENTRY(parked) link;
	struct conn *conn;
	struct message_import message;
};

/* A region gets new memory: survivors are suspended, then the driver copies, then they map it. */
struct force {
	LIST_ENTRY(force) link;
	uint64_t region;
	uint32_t outstanding; /* suspends not acknowledged */
	bool working;
	struct timer timer;
	STAILQ_HEAD(parked_list, parked) parked; /* imports that wait for it */
};

struct facts {
	LIST_ENTRY(facts) link;
	uint64_t region;
	struct core_region_facts is;
};

/* ---- works ---- */

struct work {
	LIST_ENTRY(work) link;
	uint32_t id;
	enum core_work_kind kind;
	struct conn *conn;	   /* whom to answer; NULL: gone, or nobody */
	struct message_head asked; /* SERVE */
	uint32_t record, import;
	uint64_t region;
	bool get; /* SERVE: answered with get_len bytes */
	size_t get_len;
	uint32_t epoch; /* EXPOSE: of the token that was shown */
};

LIST_HEAD(works, work);

/* ---- root ---- */

struct name {
	LIST_ENTRY(name) link;
	char text[FARBUS_NAME_MAX];
	struct farbus_token token;
	uint32_t instance; /* who published it */
};

struct waiter { /* a LOOKUP for a name that is not there yet */
	LIST_ENTRY(waiter) link;
	char text[FARBUS_NAME_MAX];
	struct conn *conn;
	struct message_head asked;
};

struct arrival {	   /* a rank's part in the collective under way */
	struct conn *conn; /* NULL: gone */
	struct message_head asked;
	bool here;
};

struct collective {
	uint64_t serial;
	struct message_collective what; /* of the first to come */
	uint32_t count;
	struct arrival *arrival; /* owned, one per rank */
	uint8_t *data;		 /* owned, len each in rank order; NULL: nobody came yet */
	int failed;		 /* sticky */
	char why[128];
};

/* ---- core ---- */

struct inbox_message { /* sent by this instance to itself */
	STAILQ_ENTRY(inbox_message) link;
	uint64_t region;
	size_t len;
	uint8_t data[];
};

struct core {
	struct core_conf conf;
	uint64_t now, wall_s, timer_serial, nonce_last, greet_serial;
	struct timers timers;
	struct outs outs, reserve;
	bool lost_untold; /* an import is LOST, and there was no memory for an output that says so */
	unsigned reserve_count;
	struct out *last;	      /* owned: what core_output() lent out */
	struct export_table *exports; /* owned */
	struct import_table *imports;
	struct peer *peers; /* owned, conf.size */
	struct conns conns[CORE_BUCKETS];
	struct conns closed;
	struct conn *self;
	bool conn_failed; /* some conn is failed */
	bool self_failed; /* a message to ourselves is lost: no memory */
	STAILQ_HEAD(inbox, inbox_message) inbox;
	bool settling;
	LIST_HEAD(call_bucket, call) calls[CORE_BUCKETS];
	uint32_t call_count, call_last;
	LIST_HEAD(holds, hold) holds[CORE_BUCKETS];
	LIST_HEAD(facts_list, facts) facts[CORE_BUCKETS];
	struct revocations revocations;
	uint32_t revocation_count; /* of those that others asked for */
	uint32_t parked_count;	   /* of all forces */
	LIST_HEAD(forces, force) forces;
	struct works works[CORE_BUCKETS];
	uint32_t work_last;
	LIST_HEAD(names, name) names[CORE_BUCKETS];
	uint32_t name_count;
	LIST_HEAD(waiters, waiter) waiters;
	uint32_t waiter_count;
	struct collective collective; /* root's */
	uint64_t collective_serial;   /* ours */
	uint32_t collective_call;     /* our last one's id */
	int collective_failed;
	bool leaving;
	_Alignas(8) uint8_t scratch[CORE_MESSAGE_MAX]; /* a message that came unaligned */
};

/* ---- timer.c ---- */
void timer_init(struct timer *timer, enum timer_kind kind, void *owner);
void timer_set(struct core *core, struct timer *timer, uint64_t at);
void timer_clear(struct core *core, struct timer *timer);
/* The earliest that is due, disarmed; NULL. */
struct timer *timer_due(struct core *core);
uint64_t timer_next(const struct core *core); /* UINT64_MAX: none */
void timer_check(const struct core *core);

/* ---- output.c ---- */
/* len bytes of data[]; NULL: no memory. Without data the reserve is used before giving up. */
struct out *out_new(struct core *core, enum core_output_kind kind, size_t len);
void out_free(struct core *core, struct out *out);
void out_push(struct core *core, struct out *out);
/* The core loses its interest in a descriptor (-1: nothing). */
void out_fd_drop(struct core *core, int fd);
void out_event(struct core *core, uint32_t kind, uint32_t rank, uint32_t instance, uint64_t region,
	       int status);

/* ---- conn.c: links, authentication, peers ---- */
struct conn *conn_find(const struct core *core, uint32_t number);
int conn_self_new(struct core *core);
/* A message with tail_len bytes after head_len. region: its descriptor goes with it; 0: none. */
/* False: it was for ourselves, and there is no memory for it. Any other connection ends without it. */
bool conn_send(struct core *core, struct conn *conn, const void *head, size_t head_len,
	       const void *tail, size_t tail_len, uint64_t region);
/* Refers to the data instead of copying it, if that is worth it. */
void conn_reply_lent(struct core *core, struct conn *conn, const struct message_head *to,
		     const void *data, size_t len);
/* To a request with this head. */
/* The same for a CORE_SEND that is filled in but for the link. Takes out. */
void conn_send_out(struct core *core, struct conn *conn, struct out *out);
void conn_reply(struct core *core, struct conn *conn, const struct message_head *to, uint64_t value,
		const void *data, size_t len);
/* A failure, with a text for people; why NULL: the thread's error text. */
void conn_refuse(struct core *core, struct conn *conn, const struct message_head *to, int status,
		 const char *why);
/* Ends the connection and everything that hangs on it. why: for the log; NULL: nothing to say. */
void conn_close(struct core *core, struct conn *conn, int status, const char *why);
void conn_handshake(struct core *core, struct conn *conn, const void *data, size_t len);
void conn_auth_late(struct core *core, struct conn *conn);
void conn_free_all(struct core *core);
/* The other end broke the protocol. */
void conn_bad(struct core *core, struct conn *conn, const char *why);

/* ---- peer.c ---- */
bool peer_gone(const struct peer *peer, uint32_t instance);
/* Sends the call's message, or connects first. */
void peer_call(struct core *core, struct peer *peer, struct call *call);
void peer_conn_up(struct core *core, struct conn *conn);
void peer_connect_failed(struct core *core, struct peer *peer, int status, const char *why);
void peer_retry(struct core *core, struct peer *peer);
/* It left something unanswered that it should have answered by itself. */
void peer_silent(struct core *core, struct peer *peer);
void peer_lost(struct core *core, struct peer *peer, uint32_t instance, int status);
void peer_joined(struct core *core, struct conn *conn, const struct message_head *message);
void peer_dead_told(struct core *core, struct conn *conn, const struct message_dead *message);
void peer_abort_told(struct core *core, struct conn *conn, const struct message_abort *message);

/* ---- call.c ---- */
int call_new(struct core *core, enum call_kind kind, uint64_t deadline, struct call **ret_call);
/* Gives the call a message of which head_len bytes begin with a struct message_head. */
int call_message(struct core *core, struct call *call, const void *head, size_t head_len,
		 const void *tail, size_t tail_len);
/* The same for a call that call_start() sends at once to another instance: refers to the tail. */
int call_message_lent(struct core *core, struct call *call, const void *head, size_t head_len,
		      const void *tail, size_t tail_len);
void call_start(struct core *core, struct call *call, uint32_t rank);
/* Ends it: CORE_DONE, with what is in call->done already. why: for people; NULL: none. */
void call_end(struct core *core, struct call *call, int status, const char *why);
void call_free_all(struct core *core);
struct call *call_find(const struct core *core, uint32_t id);
void call_drop(struct core *core, struct call *call);
void call_expired(struct core *core, struct call *call);
void call_answered(struct core *core, struct conn *conn, const struct message_reply *reply,
		   size_t len, int fd, uint64_t region);
/* The call that this answers with that much data; NULL: none. */
struct call *call_of_get(const struct core *core, const struct conn *conn,
			 const struct message_reply *reply, size_t data_len);
void call_answered_placed(struct core *core, struct conn *conn, const struct message_reply *reply,
			  size_t data_len, bool lost);
/* Its connection ended, or could not be made. why NULL: the peer has ended. */
void call_cut(struct core *core, struct call *call, int status, const char *why);

/* ---- importer.c ---- */
/* The home has agreed to an import. imported NULL: it has not, or this is no such answer. */
void importer_imported(struct core *core, struct call *call,
		       const struct message_imported *imported, int fd, uint64_t region);
/* The call ends otherwise: its entry in the table goes. */
void importer_import_failed(struct core *core, struct call *call);
void importer_renewed(struct core *core, struct call *call);
/* False: it is not one. */
bool importer_rekeyed(struct call *call, const struct message_key *is);
/* An import was answered too late for its caller: it is given back. */
void importer_late(struct core *core, struct conn *conn, const struct message_imported *imported);
void importer_order(struct core *core, struct conn *conn, const struct message_record *message,
		    int fd, uint64_t region);
/* It could not be suspended, or got no new memory: nothing may go on, or wait, in what it has. */
void importer_give_up(struct core *core, uint32_t import, uint32_t record, int status);
void importer_lost(struct core *core, uint32_t instance, int status);
void importer_work_done(struct core *core, struct work *work, int status);

/* ---- home.c ---- */
void home_import(struct core *core, struct conn *conn, const struct message_import *message);
void home_release(struct core *core, struct conn *conn, const struct message_record *message);
/* The driver's answer to CORE_WORK_EXPOSE. */
void home_exposed(struct core *core, const struct work *work, const void *key, size_t key_len);
void home_rekey(struct core *core, struct conn *conn, const struct message_record *message);
void hold_hide(struct core *core, struct hold *hold);
void home_renew(struct core *core, struct conn *conn, const struct message_renew *message);
void home_grant(struct core *core, struct conn *conn, const struct message_grant *message);
void home_access(struct core *core, struct conn *conn, const struct message_access *message,
		 size_t data_len);
/* A put: may its data go to the region? Errors: as home_access() refuses. */
int home_access_place(struct core *core, struct conn *conn, const struct message_access *message,
		      size_t data_len, uint64_t *ret_region, uint64_t *ret_off);
void home_access_placed(struct core *core, struct conn *conn, const struct message_access *message,
			size_t data_len, bool lost);
void home_conn_gone(struct core *core, struct conn *conn);
/* The other end of it, too: whatever was mapped there is not any more. */
void home_end_gone(struct core *core, struct conn *conn);
/* A token of ours that is authentic, whatever became of its grant. */
int home_token_grant(const struct core *core, const struct farbus_token *text,
		     struct token *ret_token);
struct hold *hold_find(const struct core *core, uint32_t record);
/* The record ends, and so does what waited for it. */
void hold_end(struct core *core, struct hold *hold);
void home_free_all(struct core *core);
struct facts *facts_find(const struct core *core, uint64_t region);
void facts_forget(struct core *core, uint64_t region);

/* ---- revoke.c ---- */
void revoke_remote(struct core *core, struct conn *conn, const struct message_revoke *message);
void revoke_acknowledged(struct core *core, struct conn *conn,
			 const struct message_record *message);
void revoke_hold_gone(struct core *core, struct hold *hold);
void revoke_expired(struct core *core, struct revocation *revocation);
void revoke_force_due(struct core *core, struct revocation *revocation);
void revoke_conn_gone(struct core *core, struct conn *conn);
void revoke_free_all(struct core *core);
/* Holders of this epoch are told; nobody waits. */
void revoke_epoch_out(struct core *core, uint32_t grant, uint32_t epoch);
void revoke_region_memory_gone(struct core *core, uint64_t region, int status, const char *why);

/* ---- force.c ---- */
struct force *force_find(const struct core *core, uint64_t region);
void force_start(struct core *core, uint64_t region, uint64_t wait_ns);
void force_suspended(struct core *core, struct hold *hold);
void force_timer(struct core *core, struct force *force);
void force_worked(struct core *core, uint64_t region, int status);
bool force_park(struct core *core, struct conn *conn, uint64_t region,
		const struct message_import *message);
void force_conn_gone(struct core *core, struct conn *conn);
void force_free_all(struct core *core);

/* ---- work.c ---- */
/* Errors: NULL, no memory. The output is pushed by work_push(). */
struct work *work_new(struct core *core, enum core_work_kind kind, struct out **ret_out,
		      size_t len);
void work_push(struct core *core, struct work *work, struct out *out);
void work_conn_gone(struct core *core, struct conn *conn);
void work_free_all(struct core *core);

/* ---- names.c ---- */
void names_publish(struct core *core, struct conn *conn, const struct message_name *message);
void names_lookup(struct core *core, struct conn *conn, const struct message_name *message);
void names_cancel(struct core *core, struct conn *conn, uint32_t call);
void names_conn_gone(struct core *core, struct conn *conn);
void names_instance_gone(struct core *core, uint32_t instance);
void names_free_all(struct core *core);

/* ---- collective.c ---- */
void collective_arrive(struct core *core, struct conn *conn,
		       const struct message_collective *message, size_t data_len);
/* Every collective of the job fails from now on. */
void collective_fail(struct core *core, int status, const char *why);
void collective_cancel(struct core *core, struct conn *conn, uint32_t call);
void collective_conn_gone(struct core *core, struct conn *conn);
void collective_fini(struct core *core);

/* ---- receive.c ---- */
/* A message of a connection, or of ours to ourselves (then region may be nonzero). */
void receive_message(struct core *core, struct conn *conn, const void *data, size_t len, int fd,
		     uint64_t region);
void core_settle(struct core *core);

#endif
