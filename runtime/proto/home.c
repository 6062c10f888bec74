/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * home.c -- what others ask of our regions: import, renew, release, grant on, served access
 *
 * Invariants (core_check):
 *   1. every record of the export table has a hold, and the reverse
 *   2. a hold's record names its connection's instance; the connection is up, or the hold is stray
 */
#include "addrmap/rights.h"
#include "base/alloc.h"
#include "base/counter.h"
#include "base/error.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- facts ---- */

struct facts *facts_find(const struct core *core, uint64_t region)
{
	struct facts *facts;

	LIST_FOREACH(facts, &core->facts[region % CORE_BUCKETS], link)
		if (facts->region == region)
			return facts;
	return NULL;
}

int core_region_facts_set(struct core *core, uint64_t region, const struct core_region_facts *is)
{
	struct facts *facts = facts_find(core, region);

	if (!facts) {
		facts = alloc_zero(sizeof(*facts));
		if (!facts)
			return error_set(-ENOMEM, "no memory for a region's entry");
		facts->region = region;
		LIST_INSERT_HEAD(&core->facts[region % CORE_BUCKETS], facts, link);
	}
	facts->is = *is;
	return 0;
}

void facts_forget(struct core *core, uint64_t region)
{
	struct facts *facts = facts_find(core, region);

	if (!facts)
		return;
	LIST_REMOVE(facts, link);
	free(facts);
}

/* ---- holds ---- */

struct hold *hold_find(const struct core *core, uint32_t record)
{
	struct hold *hold;

	LIST_FOREACH(hold, &core->holds[record % CORE_BUCKETS], link)
		if (hold->record == record)
			return hold;
	return NULL;
}

/* A hold of this connection's instance. Errors: -ENOENT, with a text. */
static int hold_of(const struct core *core, const struct conn *conn, uint32_t record,
		   struct hold **ret_hold)
{
	struct hold *hold = hold_find(core, record);

	if (!hold || hold->conn->instance != conn->instance)
		return error_set(-ESTALE, "the import was revoked or released: ask the region's "
					  "owner for a new token");
	*ret_hold = hold;
	return 0;
}

/* Revoked grants that nobody holds any more are forgotten, from here up. */
static void grants_finish(struct core *core, uint32_t grant)
{
	struct export_grant is;

	while (grant && export_grant_lookup(core->exports, grant, &is) == 0) {
		if (is.state != GRANT_REVOKING || export_grant_finish(core->exports, grant) < 0)
			return;
		grant = is.parent;
	}
}

void hold_end(struct core *core, struct hold *hold)
{
	uint32_t grant = hold->grant;

	hold_hide(core, hold);
	if (hold->stray)
		hold->conn->strays--;
	export_import_remove(core->exports, hold->record);
	LIST_REMOVE(hold, link);
	force_suspended(core, hold);
	revoke_hold_gone(core, hold);
	free(hold);
	grants_finish(core, grant);
}

/* Nobody can tell its importer anything any more, who may be alive, or stopped: it has the mapping. */
static void hold_stray(struct core *core, struct hold *hold)
{
	hold->stray = true;
	hold->conn->strays++;
	force_suspended(core, hold);
}

void home_conn_gone(struct core *core, struct conn *conn)
{
	struct hold *hold, *next;

	for (int i = 0; i < CORE_BUCKETS; i++)
		for (hold = LIST_FIRST(&core->holds[i]); hold; hold = next) {
			next = LIST_NEXT(hold, link);
			if (hold->conn == conn && hold->mapped)
				hold_stray(core, hold);
			else if (hold->conn == conn)
				hold_end(core, hold);
		}
}

void home_end_gone(struct core *core, struct conn *conn)
{
	struct hold *hold, *next;

	for (int i = 0; i < CORE_BUCKETS; i++)
		for (hold = LIST_FIRST(&core->holds[i]); hold; hold = next) {
			next = LIST_NEXT(hold, link);
			if (hold->conn == conn)
				hold_end(core, hold);
		}
}

void home_free_all(struct core *core)
{
	struct hold *hold;
	struct facts *facts;

	for (int i = 0; i < CORE_BUCKETS; i++) {
		while ((hold = LIST_FIRST(&core->holds[i]))) {
			struct ref *ref;

			while ((ref = LIST_FIRST(&hold->refs))) {
				LIST_REMOVE(ref, of_hold);
				LIST_REMOVE(ref, of_revocation);
				free(ref);
			}
			LIST_REMOVE(hold, link);
			out_free(core, hold->hide);
			free(hold);
		}
		while ((facts = LIST_FIRST(&core->facts[i]))) {
			LIST_REMOVE(facts, link);
			free(facts);
		}
	}
}

/* ---- import ---- */

/*
 * Only a range that shares its pages with nothing of the region outside it is mapped; the rest of
 * a region's last page belongs to the region.
 */
static bool whole_pages(const struct export_grant *grant, uint64_t unit, uint64_t region_len)
{
	uint64_t end = grant->off + grant->len;

	return grant->off % unit == 0 && (end % unit == 0 || end == region_len);
}

static bool may_map(const struct core *core, const struct conn *conn,
		    const struct export_grant *grant, const struct core_region_facts *facts,
		    uint64_t region_len)
{
	uint64_t unit = facts->map_unit ? facts->map_unit : ADDR_PAGE_SIZE;

	return core->conf.host_mappable && conn->same_host && facts->mappable &&
	       !(grant->flags & FARBUS_GRANT_SERVED) && facts->mem_off % unit == 0 &&
	       whole_pages(grant, unit, region_len);
}

static int import_record(struct core *core, struct conn *conn, const struct export_grant *grant,
			 uint32_t epoch, uint32_t index, bool mapped, struct hold **ret_hold)
{
	struct export_import import = {
		.grant = grant->grant,
		.epoch = epoch,
		.instance = conn->instance,
		.index = index,
		.mapped = mapped,
	};
	struct hold *hold = alloc_zero(sizeof(*hold));
	int err;

	if (!hold)
		return error_set(-ENOMEM, "the home has no memory for another import");
	err = export_import_insert(core->exports, &import, &hold->record);
	if (err < 0) {
		free(hold);
		return err;
	}
	hold->grant = grant->grant;
	hold->region = grant->region;
	hold->index = index;
	hold->conn = conn;
	hold->mapped = mapped;
	LIST_INSERT_HEAD(&core->holds[hold->record % CORE_BUCKETS], hold, link);
	*ret_hold = hold;
	return 0;
}

/* key NULL: none. */
static void import_reply(struct core *core, const struct hold *hold,
			 const struct message_head *asked, uint32_t epoch, const void *key,
			 size_t key_len)
{
	static const struct core_region_facts none;
	const struct facts *found = facts_find(core, hold->region);
	const struct core_region_facts *facts = found ? &found->is : &none;
	struct export_region region;
	struct export_grant grant;
	struct {
		struct message_reply reply;
		struct message_imported is;
	} all = { .reply = { .head = { .kind = MESSAGE_REPLY, .call = asked->call },
			     .answers = MESSAGE_IMPORT } };

	if (export_grant_lookup(core->exports, hold->grant, &grant) < 0 ||
	    export_region_lookup(core->exports, hold->region, &region) < 0) {
		conn_refuse(core, hold->conn, asked, -ESTALE, NULL);
		return;
	}
	all.is = (struct message_imported){
		.region = grant.region,
		.off = grant.off,
		.len = grant.len,
		.rights = grant.rights,
		.flags = grant.flags,
		.grant = grant.grant,
		.epoch = epoch,
		.generation = region.generation,
		.record = hold->record,
		.mapped = hold->mapped,
		.key_len = (uint32_t)key_len,
	};
	if (key_len)
		memcpy(all.is.key, key, key_len);
	if (hold->mapped) {
		all.is.mem_off = facts->mem_off + grant.off;
		all.is.same_va = facts->same_va ? facts->same_va + grant.off : 0;
		all.is.page_size = facts->page_size;
		all.is.control_off = facts->control_off;
	}
	conn_send(core, hold->conn, &all, sizeof(all), NULL, 0, hold->mapped ? grant.region : 0);
}

/* ---- one-sided access ---- */

/* The grant allows it, and the way there. */
static bool may_expose(const struct core *core, const struct conn *conn, const struct hold *hold,
		       const struct export_grant *grant)
{
	return conn->one_sided && core->conf.host_mappable && !hold->mapped &&
	       !(grant->flags & FARBUS_GRANT_SERVED);
}

/* False: no memory to ask for it. The order to hide it again must not fail: it is made now. */
static bool expose_ask(struct core *core, struct hold *hold, const struct export_grant *grant,
		       const struct message_head *asked, uint32_t epoch)
{
	struct out *out, *hide = out_new(core, CORE_WORK, 0);
	struct work *work = hide ? work_new(core, CORE_WORK_EXPOSE, &out, 0) : NULL;

	if (!work) {
		out_free(core, hide);
		return false;
	}
	hide->is.work_kind = CORE_WORK_HIDE;
	hide->is.record = hold->record;
	hold->hide = hide;
	work->conn = hold->conn;
	work->asked = *asked;
	work->record = hold->record;
	work->epoch = epoch;
	out->is.record = hold->record;
	out->is.link = hold->conn->number;
	out->is.region = grant->region;
	out->is.expose.off = grant->off;
	out->is.expose.len = grant->len;
	out->is.expose.rights = grant->rights;
	work_push(core, work, out);
	return true;
}

void hold_hide(struct core *core, struct hold *hold)
{
	if (hold->hide)
		out_push(core, hold->hide);
	hold->hide = NULL;
}

void home_exposed(struct core *core, const struct work *work, const void *key, size_t key_len)
{
	struct hold *hold = hold_find(core, work->record);
	struct message_key is = { .key_len = (uint32_t)key_len };

	if (!work->conn)
		return;
	if (!hold) {
		conn_refuse(core, work->conn, &work->asked, -ESTALE,
			    "the grant was revoked meanwhile: ask its owner for a new token");
		return;
	}
	if (key_len > MESSAGE_KEY_SIZE)
		key_len = 0;
	if (key_len == 0) {
		out_free(core, hold->hide);
		hold->hide = NULL;
	}
	if (work->asked.kind == MESSAGE_IMPORT) {
		import_reply(core, hold, &work->asked, work->epoch, key, key_len);
		return;
	}
	if (key_len)
		memcpy(is.key, key, key_len);
	conn_reply(core, work->conn, &work->asked, 0, &is, sizeof(is));
}

void home_rekey(struct core *core, struct conn *conn, const struct message_record *message)
{
	struct message_key none = { 0 };
	struct export_grant grant;
	struct hold *hold;
	uint64_t region, off;
	int err = hold_of(core, conn, message->record, &hold);

	if (err == 0)
		err = export_access_check(core->exports, message->record, 0, 1, 0, &region, &off);
	if (err == 0)
		err = export_grant_lookup(core->exports, hold->grant, &grant);
	if (err < 0) {
		conn_refuse(core, conn, &message->head, err, NULL);
		return;
	}
	hold_hide(core, hold);
	if (!may_expose(core, conn, hold, &grant) ||
	    !expose_ask(core, hold, &grant, &message->head, 0))
		conn_reply(core, conn, &message->head, 0, &none, sizeof(none));
}

/* Errors: what export_token_check() says. */
static int import_admit(struct core *core, struct conn *conn, const struct message_import *message,
			const struct token *token)
{
	struct export_grant grant;
	struct export_region region;
	const struct facts *facts;
	struct hold *hold;
	uint32_t id;
	bool mapped;
	int err = export_token_check(core->exports, token, core->wall_s, &id);

	if (err < 0)
		return err;
	err = export_grant_lookup(core->exports, id, &grant);
	if (err < 0)
		return err;
	err = export_region_lookup(core->exports, grant.region, &region);
	if (err < 0)
		return err;
	facts = facts_find(core, grant.region);
	mapped = facts && may_map(core, conn, &grant, &facts->is, region.len);
	err = import_record(core, conn, &grant, token->epoch, message->index, mapped, &hold);
	if (err < 0)
		return err;
	if (!may_expose(core, conn, hold, &grant) ||
	    !expose_ask(core, hold, &grant, &message->head, token->epoch))
		import_reply(core, hold, &message->head, token->epoch, NULL, 0);
	return 0;
}

void home_import(struct core *core, struct conn *conn, const struct message_import *message)
{
	struct token token;
	int err = token_parse(&message->token, &token);

	if (err == 0 && force_park(core, conn, token.region, message))
		return;
	if (err == 0)
		err = import_admit(core, conn, message, &token);
	if (err < 0) {
		counter_add(COUNTER_import_refused, 1);
		conn_refuse(core, conn, &message->head, err, NULL);
	}
}

void home_release(struct core *core, struct conn *conn, const struct message_record *message)
{
	struct hold *hold;

	if (hold_of(core, conn, message->record, &hold) == 0)
		hold_end(core, hold);
}

void home_renew(struct core *core, struct conn *conn, const struct message_renew *message)
{
	struct token token;
	struct hold *hold;
	uint32_t grant;
	int err = token_parse(&message->token, &token);

	if (err == 0)
		err = hold_of(core, conn, message->record, &hold);
	/* The importer gives its mapping up in any case: it must not believe that it has one. */
	if (err == 0 && hold->blocking)
		err = error_set(-ESTALE, "the import was revoked meanwhile: import again");
	if (err == 0)
		err = export_token_check(core->exports, &token, core->wall_s, &grant);
	if (err == 0)
		err = export_import_renew(core->exports, message->record, grant, token.epoch);
	if (err < 0)
		conn_refuse(core, conn, &message->head, err, NULL);
	else
		conn_reply(core, conn, &message->head, 0, NULL, 0);
}

/* ---- grants ---- */

int core_grant(struct core *core, uint64_t region, const struct export_grant_ask *ask,
	       struct farbus_token *ret_token)
{
	struct export_grant_ask own = *ask;
	uint32_t grant;
	int err;

	own.region = region;
	own.parent = 0;
	own.maker = core->conf.instance;
	err = export_grant_new(core->exports, &own, &grant);
	if (err < 0)
		return err;
	return export_grant_token(core->exports, grant, core->conf.rank, ret_token);
}

static int grant_chain(struct core *core, struct conn *conn, const struct message_grant *message,
		       struct farbus_token *ret_token)
{
	struct export_grant_ask ask = {
		.maker = conn->instance,
		.off = message->off,
		.len = message->len,
		.rights = message->rights,
		.flags = message->flags,
		.expiry_s = message->expiry_s ? core->wall_s + message->expiry_s : 0,
	};
	struct hold *hold;
	uint64_t region, off;
	uint32_t grant;
	int err = hold_of(core, conn, message->record, &hold);

	if (err < 0)
		return err;
	if (message->flags & ~FARBUS_GRANT_SERVED)
		return error_set(-EINVAL, "grant flags 0x%x: only FARBUS_GRANT_SERVED is known",
				 message->flags);
	/* The import itself must be good still, in its epoch, too. */
	err = export_access_check(core->exports, message->record, 0, 1, 0, &region, &off);
	if (err < 0)
		return err;
	ask.region = region;
	ask.parent = hold->grant;
	err = export_grant_new(core->exports, &ask, &grant);
	if (err < 0)
		return err;
	return export_grant_token(core->exports, grant, core->conf.rank, ret_token);
}

void home_grant(struct core *core, struct conn *conn, const struct message_grant *message)
{
	struct farbus_token token;
	int err = grant_chain(core, conn, message, &token);

	if (err < 0)
		conn_refuse(core, conn, &message->head, err, NULL);
	else
		conn_reply(core, conn, &message->head, 0, &token, sizeof(token));
}

/* The grant of a token that is authentic, whatever state the grant is in. */
int home_token_grant(const struct core *core, const struct farbus_token *text,
		     struct token *ret_token)
{
	struct export_region region;
	int err = token_parse(text, ret_token);

	if (err < 0)
		return err;
	if (ret_token->job != core->conf.job)
		return error_set(-EACCES, "token of another job");
	if (ret_token->incarnation != core->conf.incarnation ||
	    export_region_lookup(core->exports, ret_token->region, &region) < 0)
		return error_set(-ENOENT, "the token's region is not here: it was released, or its "
					  "home restarted");
	if (!token_authentic(ret_token, region.key))
		return error_set(-EACCES, "the token was altered: copy it again from its owner");
	return 0;
}

int core_rotate(struct core *core, const struct farbus_token *text, struct farbus_token *ret_token)
{
	struct token token;
	uint32_t out;
	int err = home_token_grant(core, text, &token);

	if (err < 0)
		return err;
	err = export_grant_rotate(core->exports, token.grant, &out);
	if (err < 0)
		return err;
	if (out)
		revoke_epoch_out(core, token.grant, out);
	err = export_grant_token(core->exports, token.grant, core->conf.rank, ret_token);
	core_settle(core);
	return err;
}

/* ---- served access ---- */

static uint32_t access_rights(const struct message_access *message)
{
	if (message->head.kind == MESSAGE_GET)
		return FARBUS_R;
	if (message->head.kind == MESSAGE_PUT ||
	    (message->signal && message->op == FARBUS_SWAP)) /* a put that wakes */
		return FARBUS_R | FARBUS_W;
	return FARBUS_R | FARBUS_W | FARBUS_A;
}

static int access_form(const struct message_access *message, size_t data_len)
{
	bool fits = message->len > 0 && message->len <= CORE_PIECE_MAX;

	if (message->head.kind == MESSAGE_PUT)
		fits = fits && data_len == message->len;
	if (message->head.kind == MESSAGE_ATOMIC) {
		fits = (message->width == 4 || message->width == 8) &&
		       message->len == message->width && message->op >= FARBUS_ADD &&
		       message->op <= FARBUS_CAS;
		if (message->signal)
			fits = fits && message->width == 8 &&
			       (message->op == FARBUS_ADD || message->op == FARBUS_SWAP);
	}
	return fits ? 0 : error_set(-EINVAL, "a malformed access");
}

static int access_check(struct core *core, struct conn *conn, const struct message_access *message,
			size_t data_len, uint64_t *ret_region, uint64_t *ret_off)
{
	struct hold *hold;
	int err = access_form(message, data_len);

	if (err < 0)
		return err;
	err = hold_of(core, conn, message->record, &hold);
	if (err < 0)
		return err;
	return export_access_check(core->exports, message->record, message->off, message->len,
				   access_rights(message), ret_region, ret_off);
}

static int access_serve(struct core *core, struct conn *conn, const struct message_access *message,
			size_t data_len, uint64_t region, uint64_t off)
{
	static const enum core_serve_op op[] = {
		[MESSAGE_PUT] = CORE_SERVE_PUT,
		[MESSAGE_GET] = CORE_SERVE_GET,
		[MESSAGE_ATOMIC] = CORE_SERVE_ATOMIC,
	};
	struct out *out;
	bool keep = conn == core->self; /* else it stays where it is until the output is done */
	struct work *work = work_new(core, CORE_WORK_SERVE, &out, keep ? data_len : 0);

	if (!work)
		return error_set(-ENOMEM, "the home has no memory for the access");
	work->conn = conn;
	work->asked = message->head;
	work->region = region;
	work->get = message->head.kind == MESSAGE_GET;
	work->get_len = work->get ? message->len : 0;
	if (keep && data_len)
		memcpy(out->data, message + 1, data_len);
	out->is.region = region;
	out->is.serve.op = op[message->head.kind];
	out->is.serve.off = off;
	out->is.serve.len = message->len;
	out->is.serve.atomic = message->op;
	out->is.serve.width = message->width;
	out->is.serve.signal = message->signal;
	out->is.serve.operand = message->operand;
	out->is.serve.compare = message->compare;
	out->is.serve.data = keep ? (const void *)out->data : message + 1;
	work_push(core, work, out);
	return 0;
}

void home_access(struct core *core, struct conn *conn, const struct message_access *message,
		 size_t data_len)
{
	uint64_t region, off;
	int err = access_check(core, conn, message, data_len, &region, &off);

	if (err == 0)
		err = access_serve(core, conn, message, data_len, region, off);
	if (err < 0) {
		counter_add(COUNTER_served_refused, 1);
		conn_refuse(core, conn, &message->head, err, NULL);
	}
}

/* ---- data that is received where it belongs ---- */

int home_access_place(struct core *core, struct conn *conn, const struct message_access *message,
		      size_t data_len, uint64_t *ret_region, uint64_t *ret_off)
{
	return access_check(core, conn, message, data_len, ret_region, ret_off);
}

/* Checked before each part, and once more: the answer must not be better than a copy's. */
void home_access_placed(struct core *core, struct conn *conn, const struct message_access *message,
			size_t data_len, bool lost)
{
	uint64_t region, off;
	int err = access_check(core, conn, message, data_len, &region, &off);

	if (err == 0 && lost)
		err = error_set(-ESTALE, "the region's memory was not there for all of the data");
	if (err == 0) {
		counter_add(COUNTER_served_put, 1);
		counter_add(COUNTER_served_bytes, data_len);
		conn_reply(core, conn, &message->head, 0, NULL, 0);
		return;
	}
	counter_add(COUNTER_served_refused, 1);
	conn_refuse(core, conn, &message->head, err, NULL);
}
