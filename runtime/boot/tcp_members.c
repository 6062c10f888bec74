/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_members.c -- the members of a job at FARBUS_JOIN: joining, fences, blobs, ending the job */
#include "runtime/boot/tcp_server_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- waiting together ---- */

void tcp_member_fail(struct tcp_server *server, struct conn *conn, const char *text)
{
	if (conn->waits == WAIT_FENCE)
		server->member[conn->rank].fences--;
	conn->waits = WAIT_NOTHING;
	tcp_conn_fail(server, conn, TCP_FAULT_DOWN, text);
}

void tcp_members_fail(struct tcp_server *server, const char *text)
{
	struct conn *conn;

	TAILQ_FOREACH(conn, &server->members, link)
		if (conn->waits != WAIT_NOTHING)
			tcp_member_fail(server, conn, text);
}

static void ready_say(struct tcp_server *server, struct conn *conn)
{
	struct tcp_message message = { .kind = TCP_READY };

	for (uint32_t r = 0; r < server->size; r++) {
		if (memcmp(server->member[r].host, server->member[conn->rank].host,
			   HOST_NAME_SIZE) != 0)
			continue;
		message.a += r < conn->rank;
		message.b++;
	}
	conn->waits = WAIT_NOTHING;
	tcp_conn_say(server, conn, &message);
}

void tcp_members_ready(struct tcp_server *server)
{
	struct conn *conn;

	server->ready = server->ready || server->present == server->size;
	if (!server->ready)
		return;
	TAILQ_FOREACH(conn, &server->members, link)
		if (conn->waits == WAIT_READY)
			ready_say(server, conn);
}

void tcp_members_fence(struct tcp_server *server)
{
	uint32_t done = UINT32_MAX, hopeless = UINT32_MAX, rank = 0;
	char text[TCP_SERVER_TEXT_MAX];
	struct conn *conn;

	for (uint32_t r = 0; r < server->size; r++) {
		uint32_t fences = server->member[r].fences;

		done = fences < done ? fences : done;
		if (server->member[r].conn || fences >= hopeless)
			continue;
		hopeless = fences; /* rank r cannot come to a later one any more */
		rank = r;
	}
	snprintf(text, sizeof(text), "rank %u ended before the fence that the others wait in",
		 rank);
	TAILQ_FOREACH(conn, &server->members, link) {
		if (conn->waits != WAIT_FENCE)
			continue;
		if (server->member[conn->rank].fences <= done) {
			conn->waits = WAIT_NOTHING;
			tcp_conn_done(server, conn);
		} else if (server->member[conn->rank].fences > hopeless) {
			tcp_member_fail(server, conn, text);
		}
	}
}

/* What the waiting members wait for, as far as it fits. */
void tcp_members_why(struct tcp_server *server)
{
	uint32_t waiting = 0, missing = 0, fence = 0;
	struct conn *conn;
	char *why = server->why;
	size_t at;

	TAILQ_FOREACH(conn, &server->members, link) {
		waiting += conn->waits != WAIT_NOTHING;
		if (conn->waits == WAIT_FENCE && server->member[conn->rank].fences > fence)
			fence = server->member[conn->rank].fences;
	}
	why[0] = '\0';
	if (waiting == 0)
		return;
	at = (size_t)snprintf(why, TCP_SERVER_TEXT_MAX, "%u of %u ranks %s; missing:", waiting,
			      server->size, fence ? "reached the fence" : "joined");
	for (uint32_t r = 0; r < server->size; r++) {
		if (fence ? server->member[r].fences >= fence : server->member[r].conn != NULL)
			continue;
		missing++;
		if (at < TCP_SERVER_TEXT_MAX - 32)
			at += (size_t)snprintf(why + at, TCP_SERVER_TEXT_MAX - at, " %u", r);
		else if (why[at - 1] != '.')
			at += (size_t)snprintf(why + at, TCP_SERVER_TEXT_MAX - at, " ...");
	}
}

/* ---- coming and going ---- */

void tcp_member_gone(struct tcp_server *server, struct conn *conn)
{
	struct member *member = &server->member[conn->rank];

	TAILQ_REMOVE(&server->members, conn, link);
	if (conn->waits == WAIT_FENCE)
		member->fences--;
	member->conn = NULL;
	server->present--;
}

static uint32_t rank_free(const struct tcp_server *server)
{
	uint32_t rank = 0;

	while (rank < server->size && server->member[rank].conn)
		rank++;
	return rank;
}

enum tcp_code tcp_member_judge(const struct tcp_server *server, struct tcp_join *join)
{
	if (join->size && join->size != server->size)
		return TCP_NO_SIZE;
	if (join->rank == TCP_RANK_ANY) {
		join->rank = rank_free(server);
		return join->rank < server->size ? TCP_WELCOME : TCP_FULL;
	}
	if (join->rank >= server->size)
		return TCP_NO_RANK;
	return server->member[join->rank].conn ? TCP_RANK_TAKEN : TCP_WELCOME;
}

void tcp_member_add(struct tcp_server *server, struct conn *conn, const struct tcp_join *join)
{
	struct member *member = &server->member[join->rank];

	conn->proven = true;
	conn->rank = join->rank;
	conn->waits = WAIT_READY;
	TAILQ_INSERT_TAIL(&server->members, conn, link);
	member->conn = conn;
	member->fences = 0;
	memcpy(member->host, join->host, HOST_NAME_SIZE);
	server->present++;
}

/* ---- what members ask for ---- */

static void request_put(struct tcp_server *server, struct conn *conn,
			const struct tcp_message *message)
{
	int err = tcp_store_put(server->store, message->key, message->value, message->len);

	if (err == 0)
		tcp_conn_done(server, conn);
	else
		tcp_conn_fail(server, conn, TCP_FAULT_FULL,
			      err == -ENOSPC ? "rank 0 keeps no more blobs" :
					       "rank 0 has no memory for it");
}

static void request_get(struct tcp_server *server, struct conn *conn,
			const struct tcp_message *message)
{
	struct tcp_message answer = { .kind = TCP_VALUE };
	const void *value;

	if (tcp_store_get(server->store, message->key, &value, &answer.len) < 0) {
		tcp_conn_fail(server, conn, TCP_FAULT_KEY, "no rank gave it before the fence");
		return;
	}
	memcpy(answer.value, value, answer.len);
	tcp_conn_say(server, conn, &answer);
	mac_wipe(&answer, sizeof(answer));
}

static void request_abort(struct tcp_server *server, struct conn *conn,
			  const struct tcp_message *message)
{
	if (!server->aborted[0])
		snprintf(server->aborted, sizeof(server->aborted), "rank %u ended the job: %.100s",
			 conn->rank, message->value);
	tcp_members_fail(server, server->aborted);
	tcp_conn_done(server, conn);
}

/* False: nothing that a member asks, or not now. */
bool tcp_member_request(struct tcp_server *server, struct conn *conn,
			const struct tcp_message *message)
{
	if (message->kind == TCP_ABORT) {
		request_abort(server, conn, message);
		return true;
	}
	if (conn->waits != WAIT_NOTHING)
		return false;
	if (server->aborted[0] && message->kind <= TCP_FENCE) {
		tcp_conn_fail(server, conn, TCP_FAULT_DOWN, server->aborted);
		return true;
	}
	switch (message->kind) {
	case TCP_PUT:
		request_put(server, conn, message);
		return true;
	case TCP_GET:
		request_get(server, conn, message);
		return true;
	case TCP_FENCE:
		conn->waits = WAIT_FENCE;
		server->member[conn->rank].fences++;
		tcp_members_fence(server);
		return true;
	case TCP_BYE:
		tcp_conn_done(server, conn);
		return true;
	default:
		return false;
	}
}
