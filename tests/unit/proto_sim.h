/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto_sim.h -- N protocol cores in one thread over the simulated network, on virtual time
 *
 * Everything comes from one seed: the same seed and the same calls are the same run, message by
 * message. A node is one instance; it does what a driver of the core has to do, with byte arrays
 * as region memory and numbers as descriptors.
 *
 * After each event the core it was for is checked (a core changes in no other way). All of it
 * ends the process on a failure, and says the seed.
 *
 * Always checked: a request ends once and by its deadline; a descriptor is closed once; what is
 * served lies inside its region.
 *
 * Its own memory comes from malloc(), so that armed allocation faults hit the cores alone.
 */
#ifndef TESTS_UNIT_PROTO_SIM_H
#define TESTS_UNIT_PROTO_SIM_H

#include "base/clock.h"
#include "runtime/proto/core.h"
#include "transport/sim/sim.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NET_NODE_MAX 24
#define NET_REGION_MAX 64
#define NET_WALL_START 1000000u /* CLOCK_REALTIME seconds when virtual time is 0 */
#define NET_JOB 0x6a6f62u
#define NET_MAPPABLE 1u /* of net_region(): its descriptor may be handed over */

enum ask_kind {
	ASK_JOIN = 1,
	ASK_PUBLISH,
	ASK_LOOKUP,
	ASK_BARRIER,
	ASK_BROADCAST,
	ASK_ALLREDUCE,
	ASK_IMPORT,
	ASK_RENEW,
	ASK_CHAIN,
	ASK_REVOKE,
	ASK_WITHDRAW,
	ASK_PUT,
	ASK_GET,
	ASK_ATOMIC,
	ASK_REKEY,
};

/* A request of a node, from its start to its end. */
struct ask {
	struct ask *next; /* in the list of all */
	uint32_t node, id;
	enum ask_kind kind;
	uint64_t started, deadline, grace;
	bool done;
	int status; /* -ECANCELED: the node ended first */
	uint32_t import;
	uint64_t value, tag; /* tag: the test's */
	struct farbus_token token;
	uint8_t *data; /* owned */
	size_t len;
	char why[128];
};

enum map_state { MAP_NONE, MAP_OPEN, MAP_SUSPENDED, MAP_DEAD };

/* An import as its node's driver sees it; the index is the core's. */
struct net_import {
	enum map_state state;
	int status; /* DEAD: why */
	int fd;	    /* its mapping; -1: none */
	bool gone; /* suspended or lost: the mapping is there, but nothing gets to the home through it */
	uint64_t region, off, len, mem_off;
	uint32_t rights, grant, epoch;
	uint64_t key; /* of what the home has exposed; 0: none */
};

struct net_region {
	uint64_t id, len;
	uint32_t memory;
	bool fixed; /* its memory cannot be replaced: FORCE fails with -ENOTSUP */
};

struct net_work {
	uint64_t due;
	struct core_output output;
};

struct net_node {
	struct core *core; /* owned; NULL: not started, or ended */
	uint32_t rank, instance, incarnation;
	bool stopped;
	uint64_t continued_at, work_last;
	struct net_import *import; /* owned, by index */
	uint32_t import_count;
	struct net_region region[NET_REGION_MAX];
	uint32_t region_count;
	struct farbus_event *event; /* owned */
	size_t event_count;
	struct net_work *work; /* owned: works that are put off, in order */
	size_t work_count;
	unsigned work_fail[CORE_WORK_HIDE + 1]; /* the next n of a kind fail with -ENOMEM */
	bool aborted;
	int abort_code;
	unsigned lost_count, suspend_count, remap_count, block_count, force_count;
};

struct net_conf {
	uint64_t seed;
	uint32_t size;		    /* ranks */
	uint64_t work_delay_max_ns; /* works are done up to that much later; 0: at once */
	bool one_sided;	 /* nodes are on different hosts, and can expose memory to one another */
	bool hostile;	 /* peers break rules: texts may be missing, ... */
	bool unmappable; /* no descriptors: every import is served */
	uint64_t auth_timeout_ns; /* 0: 1 s */
};

/* What differs for one node from all others. */
struct net_node_conf {
	uint32_t rank;
	uint64_t job;	   /* 0: NET_JOB */
	uint32_t size;	   /* 0: the net's */
	uint32_t instance; /* 0: a new one */
	bool other_secret;
};

struct net;
typedef void (*net_send_fn)(void *arg, uint32_t node, void *data, size_t len);
typedef void (*net_serve_fn)(void *arg, uint32_t node, const struct core_output *output);

struct net *net_new(const struct net_conf *conf);
/* Ends what still runs. checks: nothing may be pending, no descriptor may be lost. */
void net_free(struct net *net, bool checks);
/* A net with all its ranks started and joined. */
struct net *net_joined(uint64_t seed, uint32_t size);

struct sim *net_sim(struct net *net);
struct net_node *net_node(struct net *net, uint32_t node);
uint64_t net_now(const struct net *net);
uint64_t net_random(struct net *net, uint64_t limit); /* from the seed */
/* May change a message on its way out. */
void net_on_send(struct net *net, net_send_fn fn, void *arg);
/* Sees what is about to be served. */
void net_on_serve(struct net *net, net_serve_fn fn, void *arg);

/* Another instance of a rank, which connections to it reach from now on. Errors: what core_new() says. */
int net_start(struct net *net, const struct net_node_conf *conf, uint32_t *ret_node);
void net_kill(struct net *net, uint32_t node);
void net_stop(struct net *net, uint32_t node);
void net_continue(struct net *net, uint32_t node);
bool net_alive(struct net *net, uint32_t node);
bool net_node_there(struct net *net, uint32_t node); /* was started, whatever became of it */
/* As if it had come over that link, with a descriptor of somebody's memory, or without. */
void net_inject(struct net *net, uint32_t node, uint32_t link, const void *data, size_t len,
		bool with_fd);
/* A connection that nobody but the test is at the other end of. Writes its number. */
uint32_t net_stranger(struct net *net, uint32_t node);
/* What the node has sent to the last stranger, and forgets it; 0: nothing. */
size_t net_stranger_take(struct net *net, void *data, size_t size);
bool net_stranger_closed(struct net *net);

/* False: nothing is going to happen any more. */
bool net_step(struct net *net);
void net_run(struct net *net); /* until then */
void net_run_for(struct net *net, uint64_t ns);
/* Runs until it is done: it has to be. Returns its status. */
int net_wait(struct net *net, struct ask *ask);

/* ---- requests; one that is refused at once is done when these return ---- */

struct ask *net_join(struct net *net, uint32_t node, uint32_t ms);
struct ask *net_publish(struct net *net, uint32_t node, const char *name,
			const struct farbus_token *token, uint32_t ms);
struct ask *net_lookup(struct net *net, uint32_t node, const char *name, uint32_t ms);
struct ask *net_barrier(struct net *net, uint32_t node, uint32_t ms);
struct ask *net_broadcast(struct net *net, uint32_t node, uint32_t root, const void *data,
			  size_t len, uint32_t ms);
struct ask *net_allreduce(struct net *net, uint32_t node, const void *data, size_t count,
			  enum farbus_type type, enum farbus_reduce op, uint32_t ms);
struct ask *net_import(struct net *net, uint32_t node, const struct farbus_token *token,
		       uint32_t ms);
struct ask *net_renew(struct net *net, uint32_t node, uint32_t import,
		      const struct farbus_token *token, uint32_t ms);
struct ask *net_rekey(struct net *net, uint32_t node, uint32_t import, uint32_t ms);
struct ask *net_chain(struct net *net, uint32_t node, uint32_t import, uint64_t off, uint64_t len,
		      uint32_t rights, uint32_t flags, uint32_t expiry_s, uint32_t ms);
struct ask *net_revoke(struct net *net, uint32_t node, const struct farbus_token *token, bool force,
		       uint32_t ms);
struct ask *net_withdraw(struct net *net, uint32_t node, uint64_t region, bool force, uint32_t ms);
struct ask *net_put(struct net *net, uint32_t node, uint32_t import, uint64_t off, const void *data,
		    size_t len, uint32_t ms);
struct ask *net_get(struct net *net, uint32_t node, uint32_t import, uint64_t off, size_t len,
		    uint32_t ms);
struct ask *net_atomic(struct net *net, uint32_t node, uint32_t import, uint64_t off,
		       enum farbus_atomic_op op, uint64_t operand, uint32_t ms);

/* ---- what is local ---- */

/* A new region with memory of its own. Errors: what the export table says; 0: none. */
uint64_t net_region(struct net *net, uint32_t node, uint64_t len, uint32_t flags);
struct net_region *net_region_find(struct net *net, uint32_t node, uint64_t region);
uint8_t *net_memory(struct net *net, uint32_t node, uint64_t region); /* what the home has now */
uint64_t net_word(struct net *net, uint32_t node, uint64_t region, uint64_t off);
int net_grant(struct net *net, uint32_t node, uint64_t region, uint64_t off, uint64_t len,
	      uint32_t rights, uint32_t flags, struct farbus_token *ret_token);
int net_rotate(struct net *net, uint32_t node, const struct farbus_token *token,
	       struct farbus_token *ret_token);
void net_release(struct net *net, uint32_t node, uint32_t import);
void net_goodbye(struct net *net, uint32_t node);
void net_abort(struct net *net, uint32_t node, int code, const char *why);

/*
 * An add to 8 bytes through a mapping, as a thread of that node does it. Errors: the import's
 * status; -EAGAIN it is suspended, -EFAULT the memory was cut off (SIGBUS), -EPERM rights,
 * -ENOTSUP no mapping.
 */
int net_add(struct net *net, uint32_t node, uint32_t import, uint64_t off, uint64_t value);
/* A store through the import's key. Errors: -EACCES it is not good (any more). */
int net_store_exposed(struct net *net, uint32_t node, uint32_t import, uint64_t off,
		      uint64_t value);
/* A store with what the node has mapped, whatever its driver knows: -EFAULT nothing is there. */
int net_store_raw(struct net *net, uint32_t node, uint32_t import, uint64_t off, uint64_t value);
/* Would a store through the import's mapping land in the memory that the home has now? */
bool net_reaches(struct net *net, uint32_t node, uint32_t import, uint32_t home);
struct net_import *net_import_at(struct net *net, uint32_t node, uint32_t import);
/* Events of this kind about this rank that the node has had. */
unsigned net_events(struct net *net, uint32_t node, uint32_t kind, uint32_t rank);

/* ---- for the parts of the driver and for tests ---- */

void net_fail(const char *what, const char *file, int line) __attribute__((noreturn));
#define EXPECT(fact) ((fact) ? (void)0 : net_fail(#fact, __FILE__, __LINE__))
#define EXPECT_INT(is, wanted) net_expect_int((is), (wanted), #is, __FILE__, __LINE__)
void net_expect_int(long long is, long long wanted, const char *what, const char *file, int line);

#endif
