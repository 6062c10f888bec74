/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer.c -- the other ranks: reaching them, and their end
 *
 * Invariants (core_check):
 *   1. what waits for a connection waits only while there is none
 *   2. a peer whose instance is dead has no connection to it
 */
#include "base/clock.h"
#include "base/counter.h"
#include "base/error.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <stdio.h>

#define RETRY_MIN_NS NS_PER_MS
#define RETRY_SHIFT_MAX 6 /* 64 ms */

static void call_send(struct core *core, struct conn *conn, struct call *call)
{
	call->conn = conn;
	call->in = &conn->calls;
	TAILQ_INSERT_TAIL(&conn->calls, call, link);
	conn_send_out(core, conn, call->message);
	call->message = NULL;
}

static void peer_connect(struct core *core, struct peer *peer)
{
	struct out *out = out_new(core, CORE_CONNECT, 0);

	if (!out) {
		peer_connect_failed(core, peer, -ENOMEM, "no memory to connect");
		return;
	}
	peer->connecting = true;
	out->is.rank = peer->rank;
	out_push(core, out);
}

void peer_call(struct core *core, struct peer *peer, struct call *call)
{
	call->peer = peer;
	if (peer->conn) {
		call_send(core, peer->conn, call);
		return;
	}
	call->in = &peer->waiting;
	TAILQ_INSERT_TAIL(&peer->waiting, call, link);
	if (!peer->connecting && !peer->retry.armed)
		peer_connect(core, peer);
}

static void waiting_send(struct core *core, struct peer *peer, struct conn *conn)
{
	struct call *call;

	while (conn->state == CONN_UP && (call = TAILQ_FIRST(&peer->waiting))) {
		TAILQ_REMOVE(&peer->waiting, call, link);
		call_send(core, conn, call);
	}
}

void peer_conn_up(struct core *core, struct conn *conn)
{
	struct peer *peer = &core->peers[conn->rank];

	/* Only one process at a time can be a rank: an older one has ended. */
	if (peer->instance && peer->instance != conn->instance)
		peer_lost(core, peer, peer->instance, -EHOSTDOWN);
	if (peer->instance != conn->instance || peer->dead)
		peer->greeted = conn->greeted;
	peer->instance = conn->instance;
	peer->incarnation = conn->incarnation;
	peer->dead = false;
	peer->tries = 0;
	timer_clear(core, &peer->retry);
	if (conn->initiator)
		peer->connecting = false;
	LIST_INSERT_HEAD(&peer->conns, conn, peer_link);
	if (!peer->conn)
		peer->conn = conn;
	waiting_send(core, peer, peer->conn);
}

/* Fails those that no later try can help. */
static void waiting_fail(struct core *core, struct peer *peer, int status, const char *why)
{
	bool gone = peer->dead || status == -ECONNREFUSED || status == -EHOSTDOWN;
	/* Who is stopped does not greet in time, and may go on before the call's own deadline. */
	bool later = gone || status == -EAGAIN || status == -ENOMEM || status == -ETIMEDOUT;
	struct call *call, *next;

	for (call = TAILQ_FIRST(&peer->waiting); call; call = next) {
		next = TAILQ_NEXT(call, link);
		/* Whoever joins may come before rank 0; who has a token knows that its home was there. */
		if (later && (call->kind == CALL_JOIN || !gone))
			continue;
		call_cut(core, call, gone ? -EHOSTDOWN : status, gone ? NULL : why);
	}
}

void peer_connect_failed(struct core *core, struct peer *peer, int status, const char *why)
{
	unsigned shift = peer->tries < RETRY_SHIFT_MAX ? peer->tries : RETRY_SHIFT_MAX;

	peer->connecting = false;
	waiting_fail(core, peer, status, why);
	if (TAILQ_EMPTY(&peer->waiting) || peer->conn)
		return;
	peer->tries++;
	timer_set(core, &peer->retry, core->now + (RETRY_MIN_NS << shift));
}

void peer_retry(struct core *core, struct peer *peer)
{
	if (!TAILQ_EMPTY(&peer->waiting) && !peer->conn && !peer->connecting)
		peer_connect(core, peer);
}

void core_connect_failed(struct core *core, uint32_t rank, int status, uint64_t now)
{
	core->now = now;
	if (rank < core->conf.size)
		peer_connect_failed(core, &core->peers[rank], status,
				    status == -ECONNREFUSED || !error_text()[0] ?
					    farbus_strerror(status) :
					    error_text());
	core_settle(core);
}

void peer_silent(struct core *core, struct peer *peer)
{
	if (peer->silent || peer->dead || peer->rank == core->conf.rank)
		return;
	peer->silent = true;
	out_event(core, FARBUS_EVENT_PEER_SILENT, peer->rank, peer->instance, 0, -ETIMEDOUT);
}

void core_rank_silent(struct core *core, uint32_t rank)
{
	if (rank < core->conf.size && core->peers[rank].conn)
		peer_silent(core, &core->peers[rank]);
}

/* The root tells the others; everybody can ask it, so nobody else needs to. */
static void death_tell(struct core *core, const struct peer *dead, int status)
{
	struct message_dead message = {
		.head = { .kind = MESSAGE_DEAD },
		.rank = dead->rank,
		.instance = dead->instance,
		.status = status,
	};

	for (uint32_t rank = 0; rank < core->conf.size; rank++) {
		struct peer *peer = &core->peers[rank];

		if (peer != dead && peer->conn && peer->conn != core->self)
			conn_send(core, peer->conn, &message, sizeof(message), NULL, 0, 0);
	}
}

static void root_lost(struct core *core, const struct peer *peer, int status)
{
	char why[96];

	snprintf(why, sizeof(why), "rank %u has ended: the job's collectives end with it",
		 peer->rank);
	names_instance_gone(core, peer->instance);
	collective_fail(core, -EHOSTDOWN, why);
	death_tell(core, peer, status);
}

bool peer_gone(const struct peer *peer, uint32_t instance)
{
	for (int i = 0; i < PEER_GONE_MAX; i++)
		if (peer->gone[i] == instance)
			return true;
	return false;
}

void peer_lost(struct core *core, struct peer *peer, uint32_t instance, int status)
{
	struct conn *conn;

	if (peer->instance != instance || peer->dead)
		return;
	peer->dead = true;
	peer->joined = false;
	peer->gone[peer->gone_next++ % PEER_GONE_MAX] = instance;
	importer_lost(core, instance, -EHOSTDOWN); /* before any CORE_CLOSE */
	while ((conn = LIST_FIRST(&peer->conns)))
		conn_close(core, conn, -EHOSTDOWN, NULL);
	if (core->leaving)
		return;
	counter_add(COUNTER_peer_lost, 1);
	out_event(core, FARBUS_EVENT_PEER_LOST, peer->rank, instance, 0, -EHOSTDOWN);
	if (core->conf.rank == 0)
		root_lost(core, peer, status);
	if (peer->rank == 0 && core->collective_failed == 0)
		core->collective_failed = -EHOSTDOWN;
}

/* ---- what the root and the others tell ---- */

void peer_joined(struct core *core, struct conn *conn, const struct message_head *message)
{
	if (core->conf.rank != 0) {
		conn_refuse(core, conn, message, -EPROTO, "joining goes through rank 0");
		return;
	}
	core->peers[conn->rank].joined = core->peers[conn->rank].came = true;
	conn_reply(core, conn, message, 0, NULL, 0);
}

void peer_dead_told(struct core *core, struct conn *conn, const struct message_dead *message)
{
	struct peer *peer;

	if (conn->rank != 0 || message->rank >= core->conf.size || message->rank == 0 ||
	    message->rank == core->conf.rank || message->instance == 0) {
		conn_bad(core, conn, "news of a death that only rank 0 can tell");
		return;
	}
	peer = &core->peers[message->rank];
	if (peer->instance == 0)
		peer->instance = message->instance;
	peer_lost(core, peer, message->instance, -EHOSTDOWN);
}

bool core_all_came(const struct core *core)
{
	for (uint32_t rank = 1; core->conf.rank == 0 && rank < core->conf.size; rank++)
		if (!core->peers[rank].came)
			return false;
	return true;
}

static void abort_send(struct core *core, const struct message_abort *message,
		       const struct conn *but)
{
	for (uint32_t rank = 0; rank < core->conf.size; rank++) {
		struct conn *conn = core->peers[rank].conn;

		if (conn && conn != core->self && conn != but)
			conn_send(core, conn, message, sizeof(*message), NULL, 0, 0);
	}
}

void peer_abort_told(struct core *core, struct conn *conn, const struct message_abort *message)
{
	struct out *out;

	if (core->conf.rank == 0)
		abort_send(core, message, conn);
	out = out_new(core, CORE_ABORT, 0);
	if (!out)
		return;
	out->is.status = message->code;
	snprintf(out->is.why, sizeof(out->is.why), "%.*s", (int)sizeof(message->why) - 1,
		 message->why);
	out_push(core, out);
}

void core_abort(struct core *core, int exit_code, const char *why)
{
	struct message_abort message = {
		.head = { .kind = MESSAGE_ABORT },
		.code = exit_code,
	};

	snprintf(message.why, sizeof(message.why), "%s", why);
	abort_send(core, &message, NULL);
	core_settle(core);
}

void core_goodbye(struct core *core)
{
	struct message_head message = { .kind = MESSAGE_GOODBYE };
	struct conn *conn;

	core->leaving = true;
	for (int i = 0; i < CORE_BUCKETS; i++)
		LIST_FOREACH(conn, &core->conns[i], link)
			if (conn->state == CONN_UP && conn != core->self)
				conn_send(core, conn, &message, sizeof(message), NULL, 0, 0);
	core_settle(core);
}
