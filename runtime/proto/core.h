/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core.h -- the protocol between instances, as one deterministic state machine
 *
 * No thread, clock, lock, descriptor or blocking call of its own: time and random bytes come in
 * as arguments, messages and finished work come in by calls, everything it wants done goes out
 * through core_output(). The service thread is a loop over it; transport/sim steps many of them
 * in one thread on virtual time, and the same seed gives the same run.
 *
 * It owns the export and import tables, so every check of a token, right, bound or epoch that a
 * peer's message needs is made here.
 *
 * Topology: every instance keeps a link to the root (rank 0), which holds names and runs
 * collectives and tells everybody who died; links to homes are made when something is imported.
 *
 * Threads: one thread at a time.
 */
#ifndef RUNTIME_PROTO_CORE_H
#define RUNTIME_PROTO_CORE_H

#include "addrmap/export.h"
#include "addrmap/import.h"
#include <farbus/farbus.h>

#define CORE_SIZE_MAX 1024	 /* ranks */
#define CORE_NAME_MAX 4096	 /* published names in a job */
#define CORE_REQUEST_MAX 65536	 /* of one instance, under way */
#define CORE_REVOCATION_MAX 1024 /* that others asked of one home, under way */
#define CORE_PARKED_MAX 1024	 /* imports that wait at one home for a region's new memory */
#define CORE_PIECE_MAX 65536	 /* bytes of data in one served put or get */
#define CORE_PIECE_MIN 7168	 /* ... that every link takes */
#define CORE_MESSAGE_MAX 66560

struct core;

struct core_conf {
	uint64_t job;
	uint8_t secret[MAC_KEY_SIZE];
	uint8_t random[MAC_KEY_SIZE]; /* nonces come from it: random bytes, or a seed to replay */
	uint32_t rank, size;
	uint32_t instance, incarnation;
	uint64_t auth_timeout_ns; /* a link that has not proved the secret by then is closed */
	bool host_mappable;	  /* hand descriptors to peers whose link says same_host */
};

int core_new(const struct core_conf *conf, struct core **ret_core);
struct core *core_free(struct core *core);

/* ---- what goes in ---- */

/* Links are named by the driver: any number that is not in use. Rank of an accepted one: UINT32_MAX. */
void core_link_up(struct core *core, uint32_t link, uint32_t rank, bool same_host, uint64_t now);
/*
 * Right after core_link_up(): bytes of a message that the link takes (8192 unless said), and
 * whether memory can be exposed to the other end for one-sided access (CORE_WORK_EXPOSE).
 */
void core_link_traits_set(struct core *core, uint32_t link, size_t message_max, bool one_sided);
void core_link_down(struct core *core, uint32_t link, int status, uint64_t now);
/*
 * For links said to be same_host, some time after core_link_down() or CORE_CLOSE: the other end has
 * closed it, too, or its process has ended. Until then what it had mapped counts as mapped, and
 * revoke waits for it. The other end's driver keeps its part: it does CORE_WORK_LOST before
 * CORE_CLOSE, and what core_link_down() asks for before it closes its end.
 */
void core_link_gone(struct core *core, uint32_t link, uint64_t now);
/*
 * data: stays as it is until core_output() has nothing more (outputs refer to it).
 * fd: a number that stands for a descriptor that came along (-1: none); given back by CORE_FD or kept in DONE.
 */
void core_receive(struct core *core, uint32_t link, const void *data, size_t len, int fd,
		  uint64_t now);

/*
 * For drivers that can receive data where it belongs: a put into a region of ours, or the answer
 * to a get. Where does the data of this message go? It is asked again before each part that is
 * written there, because access may end in between. head: CORE_PLACE_HEAD bytes of the message at
 * least; len: all of it. False: nowhere.
 */
#define CORE_PLACE_HEAD 56

struct core_place {
	uint64_t region, off; /* a put: into our own region; 0: an answer */
	uint32_t request;     /* whose answer it is */
	size_t skip;	      /* what is before the data */
};

bool core_place(struct core *core, uint32_t link, const void *head, size_t len,
		struct core_place *ret_place);
/*
 * Instead of core_receive(): all of the message but its first bytes is in its place, or was thrown
 * away when core_place() said false in the middle of it (lost).
 */
void core_receive_placed(struct core *core, uint32_t link, const void *head, size_t len, bool lost,
			 uint64_t now);
/* Timers. Returns when to call again (UINT64_MAX: no timer). */
uint64_t core_step(struct core *core, uint64_t now);
/* The driver finished what CORE_WORK asked for. */
void core_work_done(struct core *core, uint32_t work, int status, uint64_t now);
/* The same for CORE_WORK_EXPOSE; key_len 0: it cannot be exposed, access is served. */
void core_work_exposed(struct core *core, uint32_t work, const void *key, size_t key_len,
		       uint64_t now);

/* ---- requests of the local application ---- */

/*
 * Each starts something and writes its id; exactly one CORE_DONE with that id follows, at the
 * latest at the deadline (absolute ns), with -ETIMEDOUT. Errors: -ENOSPC too many, -ENOMEM, or
 * what can be known at once.
 */
int core_connect_root(struct core *core, uint64_t deadline, uint64_t now, uint32_t *ret_request);
int core_publish(struct core *core, const char *name, const struct farbus_token *token,
		 uint64_t deadline, uint64_t now, uint32_t *ret_request);
int core_lookup(struct core *core, const char *name, uint64_t deadline, uint64_t now,
		uint32_t *ret_request); /* DONE: token */
int core_barrier(struct core *core, uint64_t deadline, uint64_t now, uint32_t *ret_request);
int core_broadcast(struct core *core, uint32_t root, const void *data, size_t len,
		   uint64_t deadline, uint64_t now, uint32_t *ret_request); /* DONE: data */
int core_allreduce(struct core *core, const void *data, size_t count, enum farbus_type type,
		   enum farbus_reduce op, uint64_t deadline, uint64_t now,
		   uint32_t *ret_request); /* DONE: data */

/* Own regions and grants are local and immediate. */
struct export_table *core_exports(struct core *core); /* borrows; for region_insert and lookups */
struct import_table *core_imports(struct core *core);
int core_grant(struct core *core, uint64_t region, const struct export_grant_ask *ask,
	       struct farbus_token *ret_token);
/* On an import: asks the home. off, len relative to the import. DONE: token */
int core_grant_chained(struct core *core, uint32_t import, uint64_t off, uint64_t len,
		       uint32_t rights, uint32_t flags, uint32_t expiry_s, uint64_t deadline,
		       uint64_t now, uint32_t *ret_request);
int core_rotate(struct core *core, const struct farbus_token *token,
		struct farbus_token *ret_token);
/* wall_s: CLOCK_REALTIME seconds, also wherever now is given to receive(): see core_wall_set(). */
void core_wall_set(struct core *core, uint64_t wall_s);

/*
 * Import: connects to the home if need be. DONE: import index, and fd >= 0 if the home handed its
 * memory over (the entry is in core_imports(); mem_off says where the import starts in fd).
 * The driver maps it and is expected to answer CORE_WORK_BLOCK for it from then on.
 */
int core_import(struct core *core, const struct farbus_token *token, void *owner, uint64_t deadline,
		uint64_t now, uint32_t *ret_request);
int core_renew(struct core *core, uint32_t import, const struct farbus_token *token,
	       uint64_t deadline, uint64_t now, uint32_t *ret_request);
/* The driver has unmapped it already. No answer is waited for. */
void core_import_release(struct core *core, uint32_t import, uint64_t now);

/*
 * Revoke. By the home: local; by the maker of a chained grant: asks the home. DONE 0 when every
 * importer acknowledged; -ETIMEDOUT at the deadline, and the grant stays REVOKING. force: importers that
 * have not acknowledged when half of the time is over lose the memory (CORE_WORK_FORCE).
 */
int core_revoke(struct core *core, const struct farbus_token *token, bool force, uint64_t deadline,
		uint64_t now, uint32_t *ret_request);
/* Every grant of an own region (release). */
int core_region_withdraw(struct core *core, uint64_t region, bool force, uint64_t deadline,
			 uint64_t now, uint32_t *ret_request);

/* Bytes that one served access of this import may have now; it depends on the link to its home. */
size_t core_import_piece_max(const struct core *core, uint32_t import);
/*
 * The transport refuses the import's key: asks the home why. DONE: an error (the import is revoked,
 * ...), or the key that is valid now.
 */
int core_rekey(struct core *core, uint32_t import, uint64_t deadline, uint64_t now,
	       uint32_t *ret_request);

/*
 * Served access by an import. len <= that; put data stays as it is until core_output() has nothing
 * more. DONE of a get: data; NULL with its len: core_receive_placed() told of it.
 */
int core_served_put(struct core *core, uint32_t import, uint64_t off, const void *data, size_t len,
		    uint64_t deadline, uint64_t now, uint32_t *ret_request);
int core_served_get(struct core *core, uint32_t import, uint64_t off, size_t len, uint64_t deadline,
		    uint64_t now, uint32_t *ret_request); /* DONE: data */
int core_served_atomic(struct core *core, uint32_t import, uint64_t off, enum farbus_atomic_op op,
		       uint32_t width, uint64_t operand, uint64_t compare, bool signal,
		       uint64_t deadline, uint64_t now, uint32_t *ret_request); /* DONE: value */

/* The driver gave up waiting for what this rank should have done by itself. */
void core_rank_silent(struct core *core, uint32_t rank);
/* Tell everybody that the job is over; no DONE. */
void core_abort(struct core *core, int exit_code, const char *why);
/* Rank 0: has every rank been here? Who leaves before leaves the others without a job to join. */
bool core_all_came(const struct core *core);
/* GOODBYE on every link; after the outputs are drained the driver may close. */
void core_goodbye(struct core *core);

/* ---- what comes out ---- */

enum core_output_kind {
	CORE_SEND = 1, /* link, data, len, tail; region != 0: hand its descriptor over with it */
	CORE_CONNECT, /* rank; then core_link_up/down(link chosen by the driver) or core_connect_failed() */
	CORE_CLOSE, /* link */
	CORE_DONE,  /* request, status, and what the request gives */
	CORE_EVENT, /* event */
	CORE_WORK,  /* work id and what; answer with core_work_done() unless said otherwise */
	CORE_FD,    /* close this descriptor: nobody wanted it */
	CORE_ABORT, /* status: exit code; a peer called farbus_abort() */
};

enum core_work_kind {
	/*
	 * import: refuse new operations on it, wait for those inside, make its windows and mapping
	 * inaccessible (status says what they fail with from now on).
	 */
	CORE_WORK_BLOCK = 1,
	/*
	 * import: suspend (operations wait, windows wait in SIGBUS handler) until REMAP or BLOCK: its home gives the
	 * region new memory.
	 */
	CORE_WORK_SUSPEND,
	/* import: map fd at the same addresses, resume. */
	CORE_WORK_REMAP,
	/* region (own): copy to new memory, remap here, cut the old memory off (truncate). */
	CORE_WORK_FORCE,
	/* Carried out at once, answered by core_serve_done() within the same call chain. */
	CORE_WORK_SERVE,
	/*
	 * import (0: all that are not READY in core_imports()): its home is gone, or nobody can tell it
	 * any more who maps its memory: nothing stored here may land there from now on. No answer.
	 * status -EHOSTDOWN
	 */
	CORE_WORK_LOST,
	/*
	 * record, link, region, expose: make this part of the region reachable for the other end of
	 * the link; answered by core_work_exposed().
	 */
	CORE_WORK_EXPOSE,
	/* record: what was exposed for it is not reachable any more. No answer. */
	CORE_WORK_HIDE,
};

enum core_serve_op { CORE_SERVE_PUT = 1, CORE_SERVE_GET, CORE_SERVE_ATOMIC };

struct core_output {
	enum core_output_kind kind;
	uint32_t link, rank, request, work;
	int status;
	int fd;
	/* SEND, WORK_FORCE, WORK_SERVE; DONE of import, WORK_REMAP: its descriptor is to be taken from
	 * this own region (0: fd has it, or there is none) */
	uint64_t region;
	const void *data; /* valid until the next call into the core */
	size_t len;
	/* SEND: what follows data. Lent to the core, and so to the driver until core_output() has
	 * nothing more; 0: nothing */
	const void *tail;
	size_t tail_len;
	uint32_t import;
	uint64_t mem_off; /* DONE of import, WORK_REMAP: offset of the import in fd */
	uint64_t same_va; /* DONE of import: address for FARBUS_MAP_SAME_VA, or 0 */
	uint64_t page_size;
	uint64_t
		control_off; /* DONE of import: where in fd the region's control page is, 0: none */
	uint64_t value;
	struct farbus_token token;
	struct farbus_event event;
	uint32_t key_len; /* DONE of import and rekey: 0 none */
	uint8_t key[64];
	uint32_t record; /* WORK_EXPOSE, WORK_HIDE: of an importer */
	struct {
		uint64_t off, len; /* in the region */
		uint32_t rights;
	} expose;
	enum core_work_kind work_kind;
	struct {
		enum core_serve_op op;
		uint64_t off; /* in the region */
		size_t len;
		enum farbus_atomic_op atomic;
		uint32_t width;
		bool signal; /* wake waiters of the region afterwards */
		uint64_t operand, compare;
		const void *data;
	} serve;
	char why[128]; /* DONE with an error: what failed, for error_set() */
};

/* False: nothing to do. */
bool core_output(struct core *core, struct core_output *ret_output);
/* Is the next one a SEND? */
bool core_output_send_next(const struct core *core);

/*
 * data, len: what a GET read, which stays there until core_output() has nothing more, but for less
 * than CORE_LEND_MIN bytes; value: what an ATOMIC found.
 */
#define CORE_LEND_MIN 1024

void core_serve_done(struct core *core, uint32_t work, int status, const void *data, size_t len,
		     uint64_t value, uint64_t now);
/* The peer of CORE_CONNECT could not be reached now; the core tries again until the deadline. */
void core_connect_failed(struct core *core, uint32_t rank, int status, uint64_t now);

/* What the core tells importers about an own region, besides its length. */
struct core_region_facts {
	bool mappable;	  /* has a descriptor that may be handed over */
	uint64_t mem_off; /* of the region in the descriptor */
	uint64_t same_va; /* 0: none */
	uint64_t page_size;
	uint64_t map_unit;    /* the descriptor is mapped in multiples of this; 0: ADDR_PAGE_SIZE */
	uint64_t control_off; /* of its control page in the descriptor, 0: none */
};
int core_region_facts_set(struct core *core, uint64_t region,
			  const struct core_region_facts *facts);

void core_check(const struct core *core);

/* rank of a link that proved the secret, UINT32_MAX before. */
uint32_t core_link_rank(const struct core *core, uint32_t link);
/* The link that requests to this rank go through; UINT32_MAX: none, or the rank is ours. */
uint32_t core_rank_link(const struct core *core, uint32_t rank);

#endif
