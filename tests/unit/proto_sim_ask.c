/* SPDX-License-Identifier: BSD-3-Clause */
/* proto_sim_ask.c -- requests of nodes: each ends once, and by its deadline */
#include "proto_sim_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* core.h allows the answer of a round trip that much more. */
#define GRACE_LOOK_NS (5 * NS_PER_S)
#define GRACE_REVOKE_NS (250 * NS_PER_MS)

static struct ask *ask_new(struct net *net, uint32_t node, enum ask_kind kind, uint32_t ms)
{
	struct ask *ask = calloc(1, sizeof(*ask));

	EXPECT(ask);
	EXPECT(net->node[node].core);
	EXPECT(!net->node[node].stopped);
	ask->node = node;
	ask->kind = kind;
	ask->started = net_now(net);
	ask->deadline = net_now(net) + ms * NS_PER_MS;
	if (kind == ASK_LOOKUP && ms == 0)
		ask->grace = GRACE_LOOK_NS;
	if (kind == ASK_REVOKE)
		ask->grace = GRACE_REVOKE_NS;
	ask->next = net->asks;
	net->asks = ask;
	return ask;
}

/* The core has taken it (err 0), or not. */
static struct ask *ask_started(struct net *net, struct ask *ask, int err)
{
	EXPECT(err <= 0);
	if (err < 0) {
		ask->done = true;
		ask->status = err;
		ask->id = 0;
	} else {
		EXPECT(ask->id != 0);
	}
	node_finish(net, ask->node);
	return ask;
}

static struct ask *ask_find(struct net *net, uint32_t node, uint32_t id)
{
	struct ask *ask;

	for (ask = net->asks; ask; ask = ask->next)
		if (!ask->done && ask->node == node && ask->id == id)
			return ask;
	return NULL;
}

static void ask_in_time(const struct net *net, const struct ask *ask)
{
	const struct net_node *node = &net->node[ask->node];
	uint64_t limit = ask->deadline + ask->grace;

	EXPECT(net_now(net) <= limit || net_now(net) == node->continued_at);
}

void ask_done(struct net *net, uint32_t node, const struct core_output *output)
{
	struct ask *ask = ask_find(net, node, output->request);

	EXPECT(ask); /* else it ends twice, or never began */
	EXPECT(output->status <= 0);
	EXPECT(memchr(output->why, '\0', sizeof(output->why)));
	EXPECT(output->status == 0 || output->why[0] || net->conf.hostile);
	ask_in_time(net, ask);
	ask->done = true;
	ask->status = output->status;
	ask->value = output->value;
	ask->import = output->import;
	ask->token = output->token;
	memcpy(ask->why, output->why, sizeof(ask->why));
	if (output->status == 0 && output->len) {
		ask->data = malloc(output->len);
		EXPECT(ask->data);
		EXPECT(output->data || net->placed);
		memcpy(ask->data, output->data ? output->data : net->placed, output->len);
		ask->len = output->len;
	}
	if (ask->kind == ASK_IMPORT && ask->status == 0)
		import_made(net, node, output);
	else
		EXPECT(output->fd < 0);
	if (ask->kind == ASK_REKEY && ask->status == 0)
		import_rekeyed(net, node, ask->tag, output);
}

void asks_cancel(struct net *net, uint32_t node)
{
	struct ask *ask;

	for (ask = net->asks; ask; ask = ask->next)
		if (!ask->done && ask->node == node) {
			ask->done = true;
			ask->status = -ECANCELED;
		}
}

struct ask *net_join(struct net *net, uint32_t node, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_JOIN, ms);

	return ask_started(
		net, ask,
		core_connect_root(net->node[node].core, ask->deadline, net_now(net), &ask->id));
}

struct ask *net_publish(struct net *net, uint32_t node, const char *name,
			const struct farbus_token *token, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_PUBLISH, ms);

	return ask_started(net, ask,
			   core_publish(net->node[node].core, name, token, ask->deadline,
					net_now(net), &ask->id));
}

struct ask *net_lookup(struct net *net, uint32_t node, const char *name, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_LOOKUP, ms);

	return ask_started(
		net, ask,
		core_lookup(net->node[node].core, name, ask->deadline, net_now(net), &ask->id));
}

struct ask *net_barrier(struct net *net, uint32_t node, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_BARRIER, ms);

	return ask_started(
		net, ask,
		core_barrier(net->node[node].core, ask->deadline, net_now(net), &ask->id));
}

struct ask *net_broadcast(struct net *net, uint32_t node, uint32_t root, const void *data,
			  size_t len, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_BROADCAST, ms);

	return ask_started(net, ask,
			   core_broadcast(net->node[node].core, root, data, len, ask->deadline,
					  net_now(net), &ask->id));
}

struct ask *net_allreduce(struct net *net, uint32_t node, const void *data, size_t count,
			  enum farbus_type type, enum farbus_reduce op, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_ALLREDUCE, ms);

	return ask_started(net, ask,
			   core_allreduce(net->node[node].core, data, count, type, op,
					  ask->deadline, net_now(net), &ask->id));
}

struct ask *net_import(struct net *net, uint32_t node, const struct farbus_token *token,
		       uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_IMPORT, ms);

	return ask_started(net, ask,
			   core_import(net->node[node].core, token, NULL, ask->deadline,
				       net_now(net), &ask->id));
}

struct ask *net_renew(struct net *net, uint32_t node, uint32_t import,
		      const struct farbus_token *token, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_RENEW, ms);

	return ask_started(net, ask,
			   core_renew(net->node[node].core, import, token, ask->deadline,
				      net_now(net), &ask->id));
}

struct ask *net_rekey(struct net *net, uint32_t node, uint32_t import, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_REKEY, ms);

	ask->tag = import;
	return ask_started(
		net, ask,
		core_rekey(net->node[node].core, import, ask->deadline, net_now(net), &ask->id));
}

struct ask *net_chain(struct net *net, uint32_t node, uint32_t import, uint64_t off, uint64_t len,
		      uint32_t rights, uint32_t flags, uint32_t expiry_s, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_CHAIN, ms);

	return ask_started(net, ask,
			   core_grant_chained(net->node[node].core, import, off, len, rights, flags,
					      expiry_s, ask->deadline, net_now(net), &ask->id));
}

struct ask *net_revoke(struct net *net, uint32_t node, const struct farbus_token *token, bool force,
		       uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_REVOKE, ms);

	return ask_started(net, ask,
			   core_revoke(net->node[node].core, token, force, ask->deadline,
				       net_now(net), &ask->id));
}

struct ask *net_withdraw(struct net *net, uint32_t node, uint64_t region, bool force, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_WITHDRAW, ms);

	return ask_started(net, ask,
			   core_region_withdraw(net->node[node].core, region, force, ask->deadline,
						net_now(net), &ask->id));
}

struct ask *net_put(struct net *net, uint32_t node, uint32_t import, uint64_t off, const void *data,
		    size_t len, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_PUT, ms);

	return ask_started(net, ask,
			   core_served_put(net->node[node].core, import, off, data, len,
					   ask->deadline, net_now(net), &ask->id));
}

struct ask *net_get(struct net *net, uint32_t node, uint32_t import, uint64_t off, size_t len,
		    uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_GET, ms);

	return ask_started(net, ask,
			   core_served_get(net->node[node].core, import, off, len, ask->deadline,
					   net_now(net), &ask->id));
}

struct ask *net_atomic(struct net *net, uint32_t node, uint32_t import, uint64_t off,
		       enum farbus_atomic_op op, uint64_t operand, uint32_t ms)
{
	struct ask *ask = ask_new(net, node, ASK_ATOMIC, ms);

	return ask_started(net, ask,
			   core_served_atomic(net->node[node].core, import, off, op, 8, operand, 0,
					      false, ask->deadline, net_now(net), &ask->id));
}

void net_goodbye(struct net *net, uint32_t node)
{
	core_goodbye(net->node[node].core);
	node_finish(net, node);
}

void net_abort(struct net *net, uint32_t node, int code, const char *why)
{
	core_abort(net->node[node].core, code, why);
	node_finish(net, node);
}

unsigned net_events(struct net *net, uint32_t node, uint32_t kind, uint32_t rank)
{
	const struct net_node *at = &net->node[node];
	unsigned count = 0;

	for (size_t i = 0; i < at->event_count; i++)
		count += at->event[i].kind == kind && at->event[i].rank == rank;
	return count;
}
