/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * call.c -- requests of the local application: each ends with exactly one CORE_DONE
 *
 * What ends a call is the answer, its deadline, or the end of the connection it was sent on,
 * whichever comes first; an answer that comes later finds no call and is dropped.
 *
 * Invariants (core_check):
 *   1. a call is found by its id, and has an output for its end
 *   2. it is in the calls of the connection it was sent on, or in the waiting of a peer without one,
 *      or (REVOKE_OWN) belongs to a revocation
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_GRACE_NS (5 * NS_PER_S) /* for the round trip of a lookup that only looks */

struct call *call_find(const struct core *core, uint32_t id)
{
	struct call *call;

	LIST_FOREACH(call, &core->calls[id % CORE_BUCKETS], of_bucket)
		if (call->id == id)
			return call;
	return NULL;
}

/* Ids come back only after 2^32 others. */
static uint32_t call_id(struct core *core)
{
	do
		core->call_last++;
	while (core->call_last == 0 || call_find(core, core->call_last));
	return core->call_last;
}

int call_new(struct core *core, enum call_kind kind, uint64_t deadline, struct call **ret_call)
{
	struct call *call;

	if (core->call_count == CORE_REQUEST_MAX)
		return error_set(-ENOSPC, "%d requests are under way: wait for some of them",
				 CORE_REQUEST_MAX);
	call = alloc_zero(sizeof(*call));
	if (!call)
		return error_set(-ENOMEM, "no memory for a request");
	call->done = out_new(core, CORE_DONE, 0);
	if (!call->done) {
		free(call);
		return error_set(-ENOMEM, "no memory for a request");
	}
	call->kind = kind;
	call->id = call_id(core);
	LIST_INSERT_HEAD(&core->calls[call->id % CORE_BUCKETS], call, of_bucket);
	core->call_count++;
	timer_init(&call->timer, TIMER_CALL, call);
	timer_set(core, &call->timer, deadline);
	*ret_call = call;
	return 0;
}

int call_message(struct core *core, struct call *call, const void *head, size_t head_len,
		 const void *tail, size_t tail_len)
{
	struct out *out = out_new(core, CORE_SEND, head_len + tail_len);

	if (!out)
		return error_set(-ENOMEM, "no memory for a message");
	memcpy(out->data, head, head_len);
	if (tail_len)
		memcpy(out->data + head_len, tail, tail_len);
	((struct message_head *)(void *)out->data)->call = call->id;
	call->message = out;
	return 0;
}

int call_message_lent(struct core *core, struct call *call, const void *head, size_t head_len,
		      const void *tail, size_t tail_len)
{
	int err = call_message(core, call, head, head_len, NULL, 0);

	if (err < 0)
		return err;
	call->message->is.tail = tail;
	call->message->is.tail_len = tail_len;
	return 0;
}

void call_drop(struct core *core, struct call *call)
{
	if (call->in)
		TAILQ_REMOVE(call->in, call, link);
	timer_clear(core, &call->timer);
	LIST_REMOVE(call, of_bucket);
	core->call_count--;
	out_free(core, call->done);
	out_free(core, call->message);
	free(call);
}

void call_free_all(struct core *core)
{
	struct call *call;

	for (int i = 0; i < CORE_BUCKETS; i++)
		while ((call = LIST_FIRST(&core->calls[i])))
			call_drop(core, call);
}

void call_start(struct core *core, struct call *call, uint32_t rank)
{
	peer_call(core, &core->peers[rank], call);
	core_settle(core);
}

void call_end(struct core *core, struct call *call, int status, const char *why)
{
	struct out *out = call->done;

	out->is.request = call->id;
	out->is.status = status;
	snprintf(out->is.why, sizeof(out->is.why), "%s", why ? why : "");
	call->done = NULL;
	call_drop(core, call);
	out_push(core, out);
}

/* Whatever the call's beginning left behind that an answer would have completed. */
static void call_undo(struct core *core, struct call *call)
{
	if (call->kind == CALL_IMPORT)
		importer_import_failed(core, call);
	if (call->kind == CALL_COLLECTIVE && core->collective_failed == 0)
		core->collective_failed = -ETIMEDOUT;
}

void call_cut(struct core *core, struct call *call, int status, const char *why)
{
	uint32_t rank = call->peer ? call->peer->rank : 0;
	char text[96];

	if (call->kind == CALL_COLLECTIVE && core->collective_failed == 0)
		core->collective_failed = status;
	call_undo(core, call);
	if (!why && status == -ENOMEM)
		snprintf(text, sizeof(text), "no memory for the connection to rank %u", rank);
	else if (!why)
		snprintf(text, sizeof(text), "rank %u has ended, or left the job", rank);
	if (!why && status != -ENOMEM)
		status = -EHOSTDOWN;
	call_end(core, call, status, why ? why : text);
}

static void cancel_send(struct core *core, struct call *call)
{
	struct message_head cancel = { .kind = MESSAGE_CANCEL, .call = call->id };

	if (call->conn && (call->kind == CALL_LOOKUP || call->kind == CALL_COLLECTIVE))
		conn_send(core, call->conn, &cancel, sizeof(cancel), NULL, 0, 0);
}

/* A lookup or a collective waits for others than the root: their time is no news of it. */
static void silence_tell(struct core *core, const struct call *call)
{
	if (call->conn && call->kind != CALL_LOOKUP && call->kind != CALL_COLLECTIVE)
		peer_silent(core, call->peer);
}

void call_expired(struct core *core, struct call *call)
{
	uint32_t rank = call->peer ? call->peer->rank : 0;
	char why[MESSAGE_WHY_MAX];

	if (call->kind == CALL_LOOKUP)
		snprintf(why, sizeof(why), "nobody has published this name");
	else if (call->kind == CALL_COLLECTIVE)
		snprintf(why, sizeof(why), "not every rank came in time");
	else if (call->conn)
		snprintf(why, sizeof(why),
			 "rank %u did not answer in time: it may be stopped; call again, or with "
			 "a longer timeout",
			 rank);
	else
		snprintf(why, sizeof(why),
			 "rank %u was not there in time: was it started, or is it stopped?", rank);
	silence_tell(core, call);
	cancel_send(core, call);
	call_undo(core, call);
	call_end(core, call, -ETIMEDOUT, why);
}

/* ---- answers ---- */

static uint32_t answers(enum call_kind kind)
{
	static const uint32_t message[] = {
		[CALL_JOIN] = MESSAGE_JOIN,	  [CALL_PUBLISH] = MESSAGE_PUBLISH,
		[CALL_LOOKUP] = MESSAGE_LOOKUP,	  [CALL_COLLECTIVE] = MESSAGE_COLLECTIVE,
		[CALL_IMPORT] = MESSAGE_IMPORT,	  [CALL_RENEW] = MESSAGE_RENEW,
		[CALL_GRANT] = MESSAGE_GRANT,	  [CALL_REVOKE] = MESSAGE_REVOKE,
		[CALL_REVOKE_OWN] = MESSAGE_NONE, [CALL_REKEY] = MESSAGE_REKEY,
		[CALL_PUT] = MESSAGE_PUT,	  [CALL_GET] = MESSAGE_GET,
		[CALL_ATOMIC] = MESSAGE_ATOMIC,
	};

	return message[kind];
}

static void call_failed(struct core *core, struct call *call, const struct message_reply *reply,
			size_t len)
{
	char why[MESSAGE_WHY_MAX];
	size_t n = len - sizeof(*reply);

	if (n > sizeof(why) - 1)
		n = sizeof(why) - 1;
	memcpy(why, reply + 1, n);
	why[n] = '\0';
	if (call->kind == CALL_COLLECTIVE && core->collective_failed == 0)
		core->collective_failed = reply->status;
	call_undo(core, call);
	call_end(core, call, reply->status, why);
}

/* The data is lent as it came, but for what we sent to ourselves: that is freed at once. */
static void call_end_data(struct core *core, struct call *call, const void *data, size_t len)
{
	struct out *out = call->done;

	if (len && call->conn != core->self) {
		out->is.data = data;
		out->is.len = len;
	} else if (len) {
		out->buffer = alloc_zero(len);
		if (!out->buffer) {
			call_end(core, call, -ENOMEM, "no memory for what was asked for");
			return;
		}
		memcpy(out->buffer, data, len);
		out->is.data = out->buffer;
		out->is.len = len;
	}
	call_end(core, call, 0, NULL);
}

static bool token_terminated(const struct farbus_token *token)
{
	return memchr(token->text, '\0', sizeof(token->text)) != NULL;
}

static void call_succeeded(struct core *core, struct call *call, const struct message_reply *reply,
			   size_t len, int fd, uint64_t region)
{
	if (len != call->data_len) {
		conn_bad(core, call->conn, "an answer of the wrong length");
		return;
	}
	call->done->is.value = reply->value;
	switch (call->kind) {
	case CALL_IMPORT:
		importer_imported(core, call, (const void *)(reply + 1), fd, region);
		return;
	case CALL_RENEW:
		importer_renewed(core, call);
		break;
	case CALL_REKEY:
		if (!importer_rekeyed(call, (const void *)(reply + 1))) {
			conn_bad(core, call->conn, "a key that is too long");
			return;
		}
		break;
	case CALL_LOOKUP:
	case CALL_GRANT:
		memcpy(&call->done->is.token, reply + 1, sizeof(call->done->is.token));
		if (!token_terminated(&call->done->is.token)) {
			conn_bad(core, call->conn, "a token without an end");
			return;
		}
		break;
	default:
		call_end_data(core, call, reply + 1, len);
		return;
	}
	call_end(core, call, 0, NULL);
}

void call_answered(struct core *core, struct conn *conn, const struct message_reply *reply,
		   size_t len, int fd, uint64_t region)
{
	struct call *call = call_find(core, reply->head.call);
	size_t data_len = len - sizeof(*reply);
	bool takes_fd = false;

	if (!call || call->conn != conn) {
		if (reply->answers == MESSAGE_IMPORT && reply->status == 0 &&
		    data_len == sizeof(struct message_imported))
			importer_late(core, conn, (const void *)(reply + 1));
	} else if (reply->answers != answers(call->kind) || reply->status > 0) {
		conn_bad(core, conn, "an answer to something else");
	} else if (reply->status < 0) {
		call_failed(core, call, reply, len);
	} else {
		takes_fd = call->kind == CALL_IMPORT && data_len == call->data_len;
		call_succeeded(core, call, reply, data_len, fd, region);
	}
	if (!takes_fd)
		out_fd_drop(core, fd);
}

struct call *call_of_get(const struct core *core, const struct conn *conn,
			 const struct message_reply *reply, size_t data_len)
{
	struct call *call = call_find(core, reply->head.call);

	return call && call->conn == conn && call->kind == CALL_GET && reply->status == 0 &&
			       reply->answers == MESSAGE_GET && call->data_len == data_len ?
		       call :
		       NULL;
}

/* Without its call it is late, as any other. */
void call_answered_placed(struct core *core, struct conn *conn, const struct message_reply *reply,
			  size_t data_len, bool lost)
{
	struct call *call = call_of_get(core, conn, reply, data_len);

	if (!call)
		return;
	if (lost) {
		conn_bad(core, conn, "an answer that has no place");
		return;
	}
	call->done->is.len = data_len;
	call_end(core, call, 0, NULL);
}

/* ---- names and the root ---- */

static int call_to_root(struct core *core, struct call *call, const void *head, size_t head_len,
			const void *tail, size_t tail_len)
{
	int err = call_message(core, call, head, head_len, tail, tail_len);

	if (err < 0) {
		call_drop(core, call);
		return err;
	}
	call_start(core, call, 0);
	return 0;
}

int core_connect_root(struct core *core, uint64_t deadline, uint64_t now, uint32_t *ret_request)
{
	struct message_head join = { .kind = MESSAGE_JOIN };
	struct call *call;
	int err;

	core->now = now;
	err = call_new(core, CALL_JOIN, deadline, &call);
	if (err < 0)
		return err;
	*ret_request = call->id;
	return call_to_root(core, call, &join, sizeof(join), NULL, 0);
}

static int name_fill(struct message_name *message, const char *name)
{
	size_t len = strnlen(name, FARBUS_NAME_MAX);

	if (len == 0)
		return error_set(-EINVAL, "the name is empty");
	if (len == FARBUS_NAME_MAX)
		return error_set(-ENAMETOOLONG, "the name is longer than %d bytes",
				 FARBUS_NAME_MAX - 1);
	memcpy(message->name, name, len);
	return 0;
}

int core_publish(struct core *core, const char *name, const struct farbus_token *token,
		 uint64_t deadline, uint64_t now, uint32_t *ret_request)
{
	struct message_name message = { .head = { .kind = MESSAGE_PUBLISH }, .token = *token };
	struct call *call;
	int err = name_fill(&message, name);

	if (err < 0)
		return err;
	if (!token_terminated(token))
		return error_set(-EINVAL, "the token has no end: pass what farbus gave out");
	core->now = now;
	err = call_new(core, CALL_PUBLISH, deadline, &call);
	if (err < 0)
		return err;
	*ret_request = call->id;
	return call_to_root(core, call, &message, sizeof(message), NULL, 0);
}

int core_lookup(struct core *core, const char *name, uint64_t deadline, uint64_t now,
		uint32_t *ret_request)
{
	struct message_name message = { .head = { .kind = MESSAGE_LOOKUP } };
	struct call *call;
	int err = name_fill(&message, name);

	if (err < 0)
		return err;
	if (deadline <= now) {
		message.only_look = 1;
		deadline = now + LOOK_GRACE_NS;
	}
	core->now = now;
	err = call_new(core, CALL_LOOKUP, deadline, &call);
	if (err < 0)
		return err;
	call->data_len = sizeof(struct farbus_token);
	*ret_request = call->id;
	return call_to_root(core, call, &message, sizeof(message), NULL, 0);
}

static int collective_start(struct core *core, struct message_collective *message, const void *data,
			    size_t data_len, uint64_t deadline, uint32_t *ret_request)
{
	struct call *call;
	int err;

	if (core->collective_failed < 0)
		return error_set(core->collective_failed,
				 "an earlier collective failed (%s): the ranks no longer agree on "
				 "where they are, end the job",
				 farbus_strerror(core->collective_failed));
	/* The root could only take a second one for a broken protocol. */
	if (call_find(core, core->collective_call))
		return error_set(-EBUSY, "a collective of this instance is under way: only one "
					 "thread at a time may call them");
	err = call_new(core, CALL_COLLECTIVE, deadline, &call);
	if (err < 0)
		return err;
	core->collective_call = call->id;
	message->head.kind = MESSAGE_COLLECTIVE;
	message->serial = ++core->collective_serial;
	call->data_len = message->len;
	*ret_request = call->id;
	return call_to_root(core, call, message, sizeof(*message), data, data_len);
}

int core_barrier(struct core *core, uint64_t deadline, uint64_t now, uint32_t *ret_request)
{
	struct message_collective message = { .collective = COLLECTIVE_BARRIER };

	core->now = now;
	return collective_start(core, &message, NULL, 0, deadline, ret_request);
}

int core_broadcast(struct core *core, uint32_t root, const void *data, size_t len,
		   uint64_t deadline, uint64_t now, uint32_t *ret_request)
{
	struct message_collective message = {
		.collective = COLLECTIVE_BROADCAST,
		.root = root,
		.len = (uint32_t)len,
	};

	if (len == 0 || len > FARBUS_MESSAGE_MAX || root >= core->conf.size)
		return error_set(-EINVAL, "broadcast of %zu bytes by rank %u", len, root);
	core->now = now;
	return collective_start(core, &message, data, root == core->conf.rank ? len : 0, deadline,
				ret_request);
}

int core_allreduce(struct core *core, const void *data, size_t count, enum farbus_type type,
		   enum farbus_reduce op, uint64_t deadline, uint64_t now, uint32_t *ret_request)
{
	struct message_collective message = {
		.collective = COLLECTIVE_ALLREDUCE,
		.type = type,
		.op = op,
		.len = (uint32_t)(count * 8),
	};

	if (count == 0 || count > FARBUS_MESSAGE_MAX / 8)
		return error_set(-EINVAL, "allreduce of %zu elements: give 1 to %d", count,
				 FARBUS_MESSAGE_MAX / 8);
	if (type < FARBUS_U64 || type > FARBUS_F64 || op < FARBUS_SUM || op > FARBUS_MAX)
		return error_set(-EINVAL,
				 "allreduce of type %d with operation %d: see enum "
				 "farbus_type and enum farbus_reduce",
				 (int)type, (int)op);
	core->now = now;
	return collective_start(core, &message, data, count * 8, deadline, ret_request);
}
