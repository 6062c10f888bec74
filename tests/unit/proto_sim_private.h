/* SPDX-License-Identifier: BSD-3-Clause */
/* proto_sim_private.h -- what the parts of the simulated job share */
#ifndef TESTS_UNIT_PROTO_SIM_PRIVATE_H
#define TESTS_UNIT_PROTO_SIM_PRIVATE_H

#include "tests/unit/proto_sim.h"

#define NET_NOBODY UINT32_MAX

struct net_memory {
	uint8_t *bytes; /* owned */
	uint64_t len;
	bool cut; /* truncated: who has it mapped gets SIGBUS */
};

struct net_fd {
	uint32_t memory, owner; /* NET_NOBODY: under way */
	bool open;
};

struct net_exposed { /* its key: where it is in the table, from 1 */
	uint32_t home, record, memory, rights;
	uint64_t off, len; /* in the memory */
	bool live;
};

struct net_link { /* by the simulation's number */
	uint32_t from, to;
	bool up; /* at from */
	/* At from, at to: */
	bool ended[2];			/* its core knows, and what that asked for has been done */
	bool gone_due[2], gone_told[2]; /* that nobody has the other end */
};

struct net {
	struct net_conf conf;
	struct sim *sim; /* owned */
	uint64_t random;
	struct net_node node[NET_NODE_MAX];
	uint32_t node_count;
	uint32_t rank_node[NET_NODE_MAX];
	struct net_memory *memory; /* owned */
	uint32_t memory_count;
	struct net_fd *fd; /* owned */
	uint32_t fd_count;
	struct net_exposed *exposed; /* owned */
	uint32_t exposed_count;
	struct net_link *link; /* owned */
	uint32_t link_count, gone_due;
	struct ask *asks; /* owned */
	net_send_fn on_send;
	void *on_send_arg;
	net_serve_fn on_serve;
	void *on_serve_arg;
	uint32_t stranger, stranger_last;
	uint8_t stranger_data[1 << 16]; /* messages, each after its 8-byte length */
	size_t stranger_len;
	bool stranger_closed;
	const uint8_t *placed; /* the data of the message that is delivered, if it has a place */
	uint32_t deliver_count;
};

/* net->placed goes where core_place() said. */
void net_place(struct net *net, uint32_t node, const struct core_place *place, size_t len);

/* Grows an array of count elements by one zeroed element. */
void *net_grow(void *array, size_t count, size_t size);

/* Everything a node does after something came in: outputs, timers, checks. */
void node_finish(struct net *net, uint32_t node);

int fd_open(struct net *net, uint32_t memory, uint32_t owner);
void fd_close(struct net *net, uint32_t node, int fd);
int region_fd(struct net *net, uint32_t node, uint64_t region, uint32_t owner);
/* Its works, now or later. */
void work_take(struct net *net, uint32_t node, const struct core_output *output);
void works_run(struct net *net, uint32_t node);
uint64_t works_next(const struct net_node *node);
void import_rekeyed(struct net *net, uint32_t node, uint64_t import,
		    const struct core_output *output);
void import_made(struct net *net, uint32_t node, const struct core_output *output);
/* What is exposed, is exposed to somebody whom the home knows. */
void net_reach_check(struct net *net, uint32_t node);
void node_exposed_check(struct net *net, uint32_t node);
void node_memory_check(struct net *net, uint32_t node);

void ask_done(struct net *net, uint32_t node, const struct core_output *output);
void asks_cancel(struct net *net, uint32_t node);

#endif
