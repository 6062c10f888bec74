/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * receive.c -- a message comes in: is it one, may it come from there, whose is it
 */
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <string.h>

static void answer_or_order(struct core *core, struct conn *conn, const void *data, size_t len,
			    int fd, uint64_t region)
{
	const struct message_head *head = data;

	switch (head->kind) {
	case MESSAGE_REPLY:
		call_answered(core, conn, data, len, fd, region);
		return;
	case MESSAGE_REMAP:
		importer_order(core, conn, data, fd, region);
		return;
	default:
		break;
	}
	/* No other kind brings a descriptor. */
	out_fd_drop(core, fd);
	if (head->kind == MESSAGE_BLOCK || head->kind == MESSAGE_SUSPEND)
		importer_order(core, conn, data, -1, 0);
	else if (head->kind == MESSAGE_BLOCKED)
		revoke_acknowledged(core, conn, data);
}

static void suspended(struct core *core, struct conn *conn, const struct message_record *message)
{
	struct hold *hold = hold_find(core, message->record);

	if (hold && hold->conn == conn)
		force_suspended(core, hold);
}

static void cancel(struct core *core, struct conn *conn, const struct message_head *head)
{
	names_cancel(core, conn, head->call);
	if (core->conf.rank == 0)
		collective_cancel(core, conn, head->call);
}

/* To the home of a region, or to the root. False: not that kind. */
static bool ask(struct core *core, struct conn *conn, const void *data, size_t data_len)
{
	switch (((const struct message_head *)data)->kind) {
	case MESSAGE_PUT:
	case MESSAGE_GET:
	case MESSAGE_ATOMIC:
		home_access(core, conn, data, data_len);
		return true;
	case MESSAGE_IMPORT:
		home_import(core, conn, data);
		return true;
	case MESSAGE_RENEW:
		home_renew(core, conn, data);
		return true;
	case MESSAGE_REKEY:
		home_rekey(core, conn, data);
		return true;
	case MESSAGE_RELEASE:
		home_release(core, conn, data);
		return true;
	case MESSAGE_GRANT:
		home_grant(core, conn, data);
		return true;
	case MESSAGE_REVOKE:
		revoke_remote(core, conn, data);
		return true;
	case MESSAGE_PUBLISH:
		names_publish(core, conn, data);
		return true;
	case MESSAGE_LOOKUP:
		names_lookup(core, conn, data);
		return true;
	case MESSAGE_COLLECTIVE:
		collective_arrive(core, conn, data, data_len);
		return true;
	default:
		return false;
	}
}

static void tell(struct core *core, struct conn *conn, const void *data)
{
	switch (((const struct message_head *)data)->kind) {
	case MESSAGE_JOIN:
		peer_joined(core, conn, data);
		break;
	case MESSAGE_GOODBYE:
		peer_lost(core, &core->peers[conn->rank], conn->instance, -EHOSTDOWN);
		break;
	case MESSAGE_CANCEL:
		cancel(core, conn, data);
		break;
	case MESSAGE_DEAD:
		peer_dead_told(core, conn, data);
		break;
	case MESSAGE_ABORT:
		peer_abort_told(core, conn, data);
		break;
	case MESSAGE_SUSPENDED:
		suspended(core, conn, data);
		break;
	default: /* REMAPPED: nothing waits for it */
		break;
	}
}

static bool answer_or_order_kind(uint32_t kind)
{
	return kind == MESSAGE_REPLY || kind == MESSAGE_REMAP || kind == MESSAGE_BLOCK ||
	       kind == MESSAGE_SUSPEND || kind == MESSAGE_BLOCKED;
}

/* NULL: it is a message. */
static const char *message_fault(const struct conn *conn, const void *data, size_t len)
{
	const struct message_head *head = data;
	size_t size;

	if (len < sizeof(*head) || len > CORE_MESSAGE_MAX)
		return "a message of an impossible length";
	size = message_size(head->kind);
	if (size == 0)
		return "a message of an unknown kind";
	if (len < size || (len > size && !message_has_data(head->kind)))
		return "a message of the wrong length";
	if (message_needs_up(head->kind) != (conn->state == CONN_UP))
		return conn->state == CONN_UP ? "a greeting in the middle" :
						"a message before the job secret was proved";
	return NULL;
}

void receive_message(struct core *core, struct conn *conn, const void *data, size_t len, int fd,
		     uint64_t region)
{
	const char *fault = message_fault(conn, data, len);
	uint32_t kind;

	if (fault) {
		out_fd_drop(core, fd);
		conn_bad(core, conn, fault);
		return;
	}
	kind = ((const struct message_head *)data)->kind;
	if (answer_or_order_kind(kind)) {
		answer_or_order(core, conn, data, len, fd, region);
		return;
	}
	out_fd_drop(core, fd);
	if (conn->state != CONN_UP)
		conn_handshake(core, conn, data, len);
	else if (!ask(core, conn, data, len - message_size(kind)))
		tell(core, conn, data);
}

void core_receive(struct core *core, uint32_t link, const void *data, size_t len, int fd,
		  uint64_t now)
{
	struct conn *conn = link == CORE_LINK_SELF ? NULL : conn_find(core, link);

	core->now = now;
	if (!conn) {
		out_fd_drop(core, fd);
		core_settle(core);
		return;
	}
	if ((uintptr_t)data % 8 && len <= sizeof(core->scratch)) {
		memcpy(core->scratch, data, len);
		data = core->scratch;
	}
	if (conn->state == CONN_UP)
		core->peers[conn->rank].silent = false;
	receive_message(core, conn, data, len, fd, 0);
	core_settle(core);
}

/* ---- data that is received where it belongs ---- */

_Static_assert(CORE_PLACE_HEAD >= sizeof(struct message_access), "what is looked at");
_Static_assert(CORE_PLACE_HEAD >= sizeof(struct message_reply), "what is looked at");

bool core_place(struct core *core, uint32_t link, const void *head, size_t len,
		struct core_place *ret_place)
{
	struct conn *conn = link == CORE_LINK_SELF ? NULL : conn_find(core, link);
	uint32_t kind = ((const struct message_head *)head)->kind;
	struct core_place place = { .skip = message_size(kind) };
	struct call *call;

	if (!conn || conn->state != CONN_UP || message_fault(conn, head, len))
		return false;
	if (kind == MESSAGE_PUT) {
		if (home_access_place(core, conn, head, len - place.skip, &place.region,
				      &place.off) < 0)
			return false;
	} else if (kind == MESSAGE_REPLY) {
		call = call_of_get(core, conn, head, len - place.skip);
		if (!call)
			return false;
		place.request = call->id;
	} else {
		return false;
	}
	*ret_place = place;
	return true;
}

void core_receive_placed(struct core *core, uint32_t link, const void *head, size_t len, bool lost,
			 uint64_t now)
{
	struct conn *conn = link == CORE_LINK_SELF ? NULL : conn_find(core, link);
	uint32_t kind = ((const struct message_head *)head)->kind;
	const char *fault;

	core->now = now;
	if (!conn)
		return;
	fault = message_fault(conn, head, len);
	if (!fault && kind != MESSAGE_PUT && kind != MESSAGE_REPLY)
		fault = "a message of a kind that has no place";
	if (fault) {
		conn_bad(core, conn, fault);
		core_settle(core);
		return;
	}
	core->peers[conn->rank].silent = false;
	if (kind == MESSAGE_PUT)
		home_access_placed(core, conn, head, len - message_size(kind), lost);
	else
		call_answered_placed(core, conn, head, len - message_size(kind), lost);
	core_settle(core);
}
