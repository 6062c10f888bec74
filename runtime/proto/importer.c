/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * importer.c -- importing: what is asked of homes, and what homes order
 *
 * An import has its index from the moment it is asked for, so that the home can name it in an
 * order; it is IMPORT_BLOCKED until the home agrees.
 *
 * Invariant (core_check): an import that is READY names the home's instance and record.
 */
#include "base/clock.h"
#include "base/error.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <string.h>

/* Where to ask: only a hint, whoever answers checks the token. */
static int token_target(const struct core *core, const struct farbus_token *text,
			struct token *ret_token)
{
	int err = token_parse(text, ret_token);

	if (err < 0)
		return err;
	if (ret_token->job != core->conf.job)
		return error_set(-EACCES, "token of another job: tokens are good only in the job "
					  "that made them");
	if (ret_token->hint_rank >= core->conf.size)
		return error_set(-EINVAL,
				 "the token says rank %u, the job has %u: it was altered, copy it "
				 "again",
				 ret_token->hint_rank, core->conf.size);
	return 0;
}

int core_import(struct core *core, const struct farbus_token *token, void *owner, uint64_t deadline,
		uint64_t now, uint32_t *ret_request)
{
	struct message_import message = { .head = { .kind = MESSAGE_IMPORT }, .token = *token };
	struct import_entry entry = { .state = IMPORT_BLOCKED, .owner = owner };
	struct token is;
	struct call *call;
	int err = token_target(core, token, &is);

	if (err < 0)
		return err;
	core->now = now;
	entry.region = is.region;
	entry.off = is.off;
	entry.len = is.len;
	entry.rights = is.rights;
	entry.flags = is.flags;
	entry.grant = is.grant;
	entry.epoch = is.epoch;
	entry.home_rank = is.hint_rank;
	err = call_new(core, CALL_IMPORT, deadline, &call);
	if (err < 0)
		return err;
	err = import_insert(core->imports, &entry, &message.index);
	if (err < 0)
		goto drop_call;
	call->import = message.index;
	call->data_len = sizeof(struct message_imported);
	err = call_message(core, call, &message, sizeof(message), NULL, 0);
	if (err < 0)
		goto remove_import;
	*ret_request = call->id;
	call_start(core, call, is.hint_rank);
	return 0;

remove_import:
	import_remove(core->imports, call->import);
drop_call:
	call_drop(core, call);
	return err;
}

void importer_import_failed(struct core *core, struct call *call)
{
	if (call->import)
		import_remove(core->imports, call->import);
	call->import = 0;
}

static void release_send(struct core *core, struct conn *conn, uint32_t record)
{
	struct message_record message = {
		.head = { .kind = MESSAGE_RELEASE },
		.record = record,
	};

	conn_send(core, conn, &message, sizeof(message), NULL, 0, 0);
}

void importer_late(struct core *core, struct conn *conn, const struct message_imported *imported)
{
	release_send(core, conn, imported->record);
}

/* The home vouches for the token: it must have agreed to what the token says, and to nothing else. */
static bool imported_fits(const struct import_entry *entry, const struct message_imported *is)
{
	return is->region == entry->region && is->off == entry->off && is->len == entry->len &&
	       is->rights == entry->rights && is->flags == entry->flags &&
	       is->grant == entry->grant && is->record != 0 && is->key_len <= sizeof(is->key);
}

void importer_imported(struct core *core, struct call *call, const struct message_imported *is,
		       int fd, uint64_t region)
{
	struct conn *conn = call->conn;
	struct core_output *done = &call->done->is;
	struct import_entry entry;
	int err = import_lookup(core->imports, call->import, &entry);

	if (err < 0 || !imported_fits(&entry, is)) {
		out_fd_drop(core, fd);
		conn_bad(core, conn, "it agreed to another import than was asked for");
		return;
	}
	if (is->mapped && fd < 0 && conn != core->self) {
		release_send(core, conn, is->record);
		importer_import_failed(core, call);
		call_end(core, call, -EMFILE,
			 "the home's descriptor did not fit here: raise ulimit -n");
		return;
	}
	entry.state = IMPORT_READY;
	entry.home_instance = conn->instance;
	entry.home_incarnation = conn->incarnation;
	entry.generation = is->generation;
	entry.epoch = is->epoch;
	entry.remote = is->record;
	import_update(core->imports, call->import, &entry);
	if (!is->mapped) {
		out_fd_drop(core, fd);
		fd = -1;
	}
	done->import = call->import;
	done->fd = fd;
	done->region = is->mapped && conn == core->self ? region : 0;
	done->mem_off = is->mem_off;
	done->same_va = is->same_va;
	done->page_size = is->page_size;
	done->control_off = is->control_off;
	done->key_len = is->key_len;
	memcpy(done->key, is->key, sizeof(done->key));
	call_end(core, call, 0, NULL);
}

void importer_renewed(struct core *core, struct call *call)
{
	struct import_entry entry;

	if (import_lookup(core->imports, call->import, &entry) < 0)
		return;
	entry.epoch = call->epoch;
	import_update(core->imports, call->import, &entry);
}

bool importer_rekeyed(struct call *call, const struct message_key *is)
{
	if (is->key_len > sizeof(is->key))
		return false;
	call->done->is.key_len = is->key_len;
	memcpy(call->done->is.key, is->key, sizeof(is->key));
	return true;
}

/* An import that can be used. */
static int import_ready(const struct core *core, uint32_t import, struct import_entry *ret_entry)
{
	int err = import_lookup(core->imports, import, ret_entry);

	if (err < 0)
		return err;
	if (ret_entry->state == IMPORT_LOST)
		return error_set(-EHOSTDOWN,
				 "rank %u has ended, or its new memory could not be mapped here: "
				 "release the import",
				 ret_entry->home_rank);
	if (ret_entry->state != IMPORT_READY)
		return error_set(-ESTALE, "the import is revoked: release it and ask its owner "
					  "for a new token");
	return 0;
}

/* A call that asks the home of an import something. */
static int import_call(struct core *core, const struct import_entry *entry, struct call *call,
		       const void *head, size_t head_len, const void *tail, size_t tail_len)
{
	const struct conn *conn = core->peers[entry->home_rank].conn;
	int err;

	if (tail_len >= CORE_LEND_MIN && conn && conn != core->self)
		err = call_message_lent(core, call, head, head_len, tail, tail_len);
	else
		err = call_message(core, call, head, head_len, tail, tail_len);

	if (err < 0) {
		call_drop(core, call);
		return err;
	}
	call_start(core, call, entry->home_rank);
	return 0;
}

int core_renew(struct core *core, uint32_t import, const struct farbus_token *token,
	       uint64_t deadline, uint64_t now, uint32_t *ret_request)
{
	struct message_renew message = { .head = { .kind = MESSAGE_RENEW }, .token = *token };
	struct import_entry entry;
	struct token is;
	struct call *call;
	int err = import_ready(core, import, &entry);

	if (err < 0)
		return err;
	err = token_parse(token, &is);
	if (err < 0)
		return err;
	core->now = now;
	err = call_new(core, CALL_RENEW, deadline, &call);
	if (err < 0)
		return err;
	message.record = entry.remote;
	call->import = import;
	call->epoch = is.epoch;
	*ret_request = call->id;
	return import_call(core, &entry, call, &message, sizeof(message), NULL, 0);
}

int core_rekey(struct core *core, uint32_t import, uint64_t deadline, uint64_t now,
	       uint32_t *ret_request)
{
	struct message_record message = { .head = { .kind = MESSAGE_REKEY } };
	struct import_entry entry;
	struct call *call;
	int err = import_ready(core, import, &entry);

	if (err < 0)
		return err;
	core->now = now;
	err = call_new(core, CALL_REKEY, deadline, &call);
	if (err < 0)
		return err;
	message.record = entry.remote;
	call->import = import;
	call->data_len = sizeof(struct message_key);
	*ret_request = call->id;
	return import_call(core, &entry, call, &message, sizeof(message), NULL, 0);
}

int core_grant_chained(struct core *core, uint32_t import, uint64_t off, uint64_t len,
		       uint32_t rights, uint32_t flags, uint32_t expiry_s, uint64_t deadline,
		       uint64_t now, uint32_t *ret_request)
{
	struct message_grant message = {
		.head = { .kind = MESSAGE_GRANT },
		.rights = rights,
		.off = off,
		.len = len,
		.flags = flags,
		.expiry_s = expiry_s,
	};
	struct import_entry entry;
	struct call *call;
	int err = import_ready(core, import, &entry);

	if (err < 0)
		return err;
	core->now = now;
	err = call_new(core, CALL_GRANT, deadline, &call);
	if (err < 0)
		return err;
	message.record = entry.remote;
	call->data_len = sizeof(struct farbus_token);
	*ret_request = call->id;
	return import_call(core, &entry, call, &message, sizeof(message), NULL, 0);
}

void core_import_release(struct core *core, uint32_t import, uint64_t now)
{
	struct import_entry entry;
	struct peer *peer;

	core->now = now;
	if (import_lookup(core->imports, import, &entry) < 0)
		return;
	import_remove(core->imports, import);
	peer = &core->peers[entry.home_rank];
	/* Revoked ones, too: the home may wait for one that could not be unmapped until now. */
	if (entry.remote && peer->conn && peer->instance == entry.home_instance)
		release_send(core, peer->conn, entry.remote);
	core_settle(core);
}

/* ---- served access ---- */

static int access_call(struct core *core, enum call_kind kind, uint32_t import,
		       struct message_access *message, const void *data, size_t data_len,
		       uint64_t deadline, uint32_t *ret_request)
{
	struct import_entry entry;
	struct call *call;
	int err = import_ready(core, import, &entry);

	if (err < 0)
		return err;
	err = call_new(core, kind, deadline, &call);
	if (err < 0)
		return err;
	message->record = entry.remote;
	call->import = import;
	call->data_len = kind == CALL_GET ? message->len : 0;
	*ret_request = call->id;
	return import_call(core, &entry, call, message, sizeof(*message), data, data_len);
}

size_t core_import_piece_max(const struct core *core, uint32_t import)
{
	struct import_entry entry;
	const struct conn *conn;
	size_t room;

	if (import_lookup(core->imports, import, &entry) < 0 || entry.home_rank >= core->conf.size)
		return CORE_PIECE_MIN;
	conn = core->peers[entry.home_rank].conn;
	if (!conn)
		return CORE_PIECE_MIN;
	room = conn->message_max - sizeof(struct message_access);
	return room > CORE_PIECE_MAX ? CORE_PIECE_MAX : room / 1024 * 1024;
}

static int piece_check(const struct core *core, uint32_t import, size_t len)
{
	size_t max = core_import_piece_max(core, import);

	if (len == 0 || len > max)
		return error_set(-EINVAL, "a piece of %zu bytes: 1 to %zu are sent at a time", len,
				 max);
	return 0;
}

int core_served_put(struct core *core, uint32_t import, uint64_t off, const void *data, size_t len,
		    uint64_t deadline, uint64_t now, uint32_t *ret_request)
{
	struct message_access message = {
		.head = { .kind = MESSAGE_PUT },
		.len = (uint32_t)len,
		.off = off,
	};
	int err = piece_check(core, import, len);

	if (err < 0)
		return err;
	core->now = now;
	return access_call(core, CALL_PUT, import, &message, data, len, deadline, ret_request);
}

int core_served_get(struct core *core, uint32_t import, uint64_t off, size_t len, uint64_t deadline,
		    uint64_t now, uint32_t *ret_request)
{
	struct message_access message = {
		.head = { .kind = MESSAGE_GET },
		.len = (uint32_t)len,
		.off = off,
	};
	int err = piece_check(core, import, len);

	if (err < 0)
		return err;
	core->now = now;
	return access_call(core, CALL_GET, import, &message, NULL, 0, deadline, ret_request);
}

int core_served_atomic(struct core *core, uint32_t import, uint64_t off, enum farbus_atomic_op op,
		       uint32_t width, uint64_t operand, uint64_t compare, bool signal,
		       uint64_t deadline, uint64_t now, uint32_t *ret_request)
{
	struct message_access message = {
		.head = { .kind = MESSAGE_ATOMIC },
		.len = width,
		.off = off,
		.operand = operand,
		.compare = compare,
		.op = op,
		.width = width,
		.signal = signal,
	};

	core->now = now;
	return access_call(core, CALL_ATOMIC, import, &message, NULL, 0, deadline, ret_request);
}

/* ---- orders of the home ---- */

static void acknowledge(struct core *core, struct conn *conn, uint32_t kind, uint32_t record,
			int status)
{
	struct message_record message = {
		.head = { .kind = kind },
		.record = record,
		.status = status,
	};

	conn_send(core, conn, &message, sizeof(message), NULL, 0, 0);
}

struct order {
	uint32_t kind, answer;
	enum core_work_kind work;
};

static const struct order orders[] = {
	{ MESSAGE_BLOCK, MESSAGE_BLOCKED, CORE_WORK_BLOCK },
	{ MESSAGE_SUSPEND, MESSAGE_SUSPENDED, CORE_WORK_SUSPEND },
	{ MESSAGE_REMAP, MESSAGE_REMAPPED, CORE_WORK_REMAP },
};

static const struct order *order_find(uint32_t kind, enum core_work_kind work)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (orders[i].kind == kind || orders[i].work == work)
			return &orders[i];
	return NULL;
}

/*
 * Is this the import the home means? A released one may have left its index to another. BLOCK is for
 * whatever has a mapping: one that is revoked has it as long as the driver could not let go.
 */
static bool order_meant(const struct core *core, const struct conn *conn,
			const struct message_record *message, struct import_entry *ret_entry)
{
	return import_lookup(core->imports, message->index, ret_entry) == 0 &&
	       ret_entry->home_instance == conn->instance && ret_entry->remote == message->record &&
	       (ret_entry->state == IMPORT_READY || message->head.kind == MESSAGE_BLOCK);
}

static void import_revoked(struct core *core, uint32_t import, struct import_entry *entry)
{
	if (entry->state == IMPORT_REVOKED)
		return;
	entry->state = IMPORT_REVOKED;
	import_update(core->imports, import, entry);
	out_event(core, FARBUS_EVENT_REVOKED, entry->home_rank, entry->home_instance, entry->region,
		  -ESTALE);
}

static void lost_push(struct core *core, uint32_t import, int status)
{
	struct out *out = out_new(core, CORE_WORK, 0);

	if (!out) {
		core->lost_untold = true; /* core_output() needs no memory to tell it */
		return;
	}
	out->is.work_kind = CORE_WORK_LOST;
	out->is.import = import;
	out->is.status = status;
	out_push(core, out);
}

void importer_give_up(struct core *core, uint32_t import, uint32_t record, int status)
{
	struct import_entry entry;

	if (import_lookup(core->imports, import, &entry) < 0 || entry.remote != record ||
	    entry.state != IMPORT_READY)
		return;
	entry.state = IMPORT_LOST;
	import_update(core->imports, import, &entry);
	lost_push(core, import, status);
}

void importer_order(struct core *core, struct conn *conn, const struct message_record *message,
		    int fd, uint64_t region)
{
	const struct order *order = order_find(message->head.kind, 0);
	struct import_entry entry;
	struct work *work;
	struct out *out;

	if (!order_meant(core, conn, message, &entry)) {
		out_fd_drop(core, fd);
		acknowledge(core, conn, order->answer, message->record, 0);
		return;
	}
	if (order->work == CORE_WORK_BLOCK)
		import_revoked(core, message->index, &entry);
	work = work_new(core, order->work, &out, 0);
	if (!work) {
		out_fd_drop(core, fd);
		if (order->work != CORE_WORK_BLOCK)
			importer_give_up(core, message->index, message->record, -ENOMEM);
		acknowledge(core, conn, order->answer, message->record, -ENOMEM);
		return;
	}
	work->conn = conn;
	work->record = message->record;
	work->import = message->index;
	out->is.import = message->index;
	out->is.status = order->work == CORE_WORK_BLOCK ? -ESTALE : 0;
	out->is.fd = fd;
	out->is.region = conn == core->self ? region : 0;
	out->is.mem_off = message->mem_off;
	work_push(core, work, out);
}

void importer_lost(struct core *core, uint32_t instance, int status)
{
	struct import_entry entry;
	uint32_t import = 0;

	while (import_next(core->imports, import, &import) == 0) {
		if (import_lookup(core->imports, import, &entry) < 0 ||
		    entry.home_instance != instance || entry.state == IMPORT_LOST)
			continue;
		/* One that was revoked stays so: but it may have its mapping still. */
		if (entry.state == IMPORT_READY) {
			entry.state = IMPORT_LOST;
			import_update(core->imports, import, &entry);
		}
		lost_push(core, import, status);
	}
}

void importer_work_done(struct core *core, struct work *work, int status)
{
	const struct order *order = order_find(0, work->kind);

	if (work->kind != CORE_WORK_BLOCK && status < 0)
		importer_give_up(core, work->import, work->record, status);
	if (work->conn)
		acknowledge(core, work->conn, order->answer, work->record, status);
}
