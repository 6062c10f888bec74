/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * revoke.c -- ending grants: who has to let go, and who waits for that
 *
 *   revoke -> admission stops at once (export table)
 *          -> holders that are served: their hold ends at once, the home refuses from now on
 *          -> holders that have a mapping: BLOCK; the hold ends with their BLOCKED, or their death
 *          -> no hold left: done. Half of the time over and force wanted: force.c
 *
 * A revocation waits for holds by refs: when the last one is gone it is done. At its deadline it
 * ends with -ETIMEDOUT, and the grant stays REVOKING; asking again waits for what is left.
 *
 * Invariant (core_check): outstanding is the number of a revocation's refs.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_GRACE_NS (250 * NS_PER_MS)

/* ---- refs ---- */

static int ref_new(struct revocation *revocation, struct hold *hold)
{
	struct ref *ref = alloc_zero(sizeof(*ref));

	if (!ref)
		return -ENOMEM;
	ref->hold = hold;
	ref->revocation = revocation;
	LIST_INSERT_HEAD(&hold->refs, ref, of_hold);
	LIST_INSERT_HEAD(&revocation->refs, ref, of_revocation);
	revocation->outstanding++;
	return 0;
}

static void ref_free(struct ref *ref)
{
	ref->revocation->outstanding--;
	LIST_REMOVE(ref, of_hold);
	LIST_REMOVE(ref, of_revocation);
	free(ref);
}

/* ---- the end of a revocation ---- */

static void revocation_free(struct core *core, struct revocation *revocation)
{
	struct ref *ref;

	while ((ref = LIST_FIRST(&revocation->refs)))
		ref_free(ref);
	timer_clear(core, &revocation->deadline);
	timer_clear(core, &revocation->force_at);
	LIST_REMOVE(revocation, link);
	core->revocation_count -= revocation->counted;
	free(revocation);
}

static void revocation_end(struct core *core, struct revocation *revocation, int status,
			   const char *why)
{
	struct call *call = revocation->call;
	struct conn *conn = revocation->conn;
	struct message_head asked = revocation->asked;

	revocation_free(core, revocation);
	if (call)
		call_end(core, call, status, why);
	else if (conn && status < 0)
		conn_refuse(core, conn, &asked, status, why);
	else if (conn)
		conn_reply(core, conn, &asked, 0, NULL, 0);
}

struct ids {
	uint32_t *id; /* owned */
	size_t count, size;
	bool failed;
};

static void id_add(void *arg, const struct export_grant *grant)
{
	struct ids *ids = arg;

	if (ids->count == ids->size) {
		size_t size = ids->size ? ids->size * 2 : 16;
		uint32_t *id = alloc_resize(ids->id, size, sizeof(*id));

		if (!id) {
			ids->failed = true;
			return;
		}
		ids->id = id;
		ids->size = size;
	}
	ids->id[ids->count++] = grant->grant;
}

/* Errors: -ENOMEM some grant is left; ask again. */
static int region_remove(struct core *core, uint64_t region)
{
	struct ids ids = { 0 };
	int err;

	export_grant_each(core->exports, region, id_add, &ids);
	for (size_t i = 0; i < ids.count; i++)
		export_grant_finish(core->exports, ids.id[i]);
	free(ids.id);
	err = ids.failed ? -ENOMEM : export_region_remove(core->exports, region);
	if (err == 0)
		facts_forget(core, region);
	return err;
}

static void revocation_done(struct core *core, struct revocation *revocation)
{
	int err = 0;

	if (revocation->grant == 0)
		err = region_remove(core, revocation->region);
	else if (revocation->whole)
		export_grant_finish(core->exports, revocation->grant);
	revocation_end(core, revocation, err, err < 0 ? error_text() : NULL);
}

void revoke_hold_gone(struct core *core, struct hold *hold)
{
	struct revocation *revocation;
	struct ref *ref;

	while ((ref = LIST_FIRST(&hold->refs))) {
		revocation = ref->revocation;
		ref_free(ref);
		if (revocation->outstanding == 0)
			revocation_done(core, revocation);
	}
}

void revoke_expired(struct core *core, struct revocation *revocation)
{
	const struct ref *ref = LIST_FIRST(&revocation->refs), *each;
	char why[MESSAGE_WHY_MAX];

	snprintf(why, sizeof(why),
		 "%u importers have not let go, rank %u for one: is it stopped? Call again, or "
		 "with FARBUS_REVOKE_FORCE",
		 revocation->outstanding, ref ? ref->hold->conn->rank : 0);
	LIST_FOREACH(each, &revocation->refs, of_revocation)
		peer_silent(core, &core->peers[each->hold->conn->rank]);
	revocation_end(core, revocation, -ETIMEDOUT, why);
}

void revoke_conn_gone(struct core *core, struct conn *conn)
{
	struct revocation *revocation;

	LIST_FOREACH(revocation, &core->revocations, link)
		if (revocation->conn == conn)
			revocation->conn = NULL;
}

void revoke_free_all(struct core *core)
{
	struct revocation *revocation;

	while ((revocation = LIST_FIRST(&core->revocations)))
		revocation_free(core, revocation);
}

/* ---- telling the holders ---- */

static void block_send(struct core *core, struct hold *hold)
{
	struct message_record message = {
		.head = { .kind = MESSAGE_BLOCK },
		.record = hold->record,
		.index = hold->index,
	};

	hold->blocking = true;
	conn_send(core, hold->conn, &message, sizeof(message), NULL, 0, 0);
}

struct sweep {
	struct core *core;
	struct revocation *revocation; /* NULL: nobody waits */
	uint32_t epoch;		       /* 0: all */
	int err;
};

static void sweep_hold(void *arg, const struct export_import *import)
{
	struct sweep *sweep = arg;
	struct hold *hold = hold_find(sweep->core, import->record);

	if (!hold || (sweep->epoch && import->epoch != sweep->epoch))
		return;
	if (hold->mapped && sweep->revocation && ref_new(sweep->revocation, hold) < 0)
		sweep->err = error_set(-ENOMEM, "no memory to wait for the importers");
	block_send(sweep->core, hold);
}

/* Holds that have no mapping end now; not while the table is walked. */
static void sweep_served(void *arg, const struct export_import *import)
{
	struct sweep *sweep = arg;
	struct hold *hold = hold_find(sweep->core, import->record);

	if (hold && !hold->mapped && (!sweep->epoch || import->epoch == sweep->epoch))
		hold_end(sweep->core, hold);
}

static void sweep_grant(struct sweep *sweep, uint32_t grant)
{
	export_import_each(sweep->core->exports, grant, 0, sweep_hold, sweep);
	export_import_each(sweep->core->exports, grant, 0, sweep_served, sweep);
}

/* Every grant of ids; parents come first, so the last ones are forgotten first. */
static void sweep_grants(struct sweep *sweep, const struct ids *ids)
{
	for (size_t i = ids->count; i-- > 0;)
		sweep_grant(sweep, ids->id[i]);
}

void revoke_epoch_out(struct core *core, uint32_t grant, uint32_t epoch)
{
	struct sweep sweep = { .core = core, .epoch = epoch };

	sweep_grant(&sweep, grant);
}

/* ---- the beginning of a revocation ---- */

static struct revocation *revocation_new(struct core *core, uint64_t region, uint32_t grant,
					 bool force)
{
	struct revocation *revocation = alloc_zero(sizeof(*revocation));

	if (!revocation)
		return NULL;
	revocation->region = region;
	revocation->grant = grant;
	revocation->force = force;
	timer_init(&revocation->deadline, TIMER_REVOKE, revocation);
	timer_init(&revocation->force_at, TIMER_FORCE, revocation);
	LIST_INSERT_HEAD(&core->revocations, revocation, link);
	return revocation;
}

/* Waits for what is outstanding, or is done at once. */
static void revocation_wait(struct core *core, struct revocation *revocation, uint64_t deadline)
{
	uint64_t left = deadline > core->now ? deadline - core->now : 0;

	if (revocation->outstanding == 0) {
		revocation_done(core, revocation);
		return;
	}
	timer_set(core, &revocation->deadline, deadline);
	if (revocation->force)
		timer_set(core, &revocation->force_at, core->now + left / 2);
}

/* May the instance end this grant? Its home may, and who made it, or one it was chained from. */
static int revoke_allowed(const struct core *core, uint32_t grant, uint32_t instance)
{
	struct export_grant is;

	if (instance == core->conf.instance)
		return 0;
	/* One that is over is nobody's any more. */
	if (export_grant_lookup(core->exports, grant, &is) == -ESTALE)
		return -ESTALE;
	while (grant && export_grant_lookup(core->exports, grant, &is) == 0) {
		if (is.maker == instance)
			return 0;
		grant = is.parent;
	}
	return error_set(-EACCES, "the grant was made by somebody else: its maker or the region's "
				  "owner can revoke it");
}

/* One epoch of a grant that has two; the holders of the other are not disturbed. */
static int revoke_epoch(struct core *core, struct revocation *revocation, uint32_t epoch)
{
	struct sweep sweep = { .core = core, .revocation = revocation, .epoch = epoch };

	sweep_grant(&sweep, revocation->grant);
	return sweep.err;
}

static int revoke_whole(struct core *core, struct revocation *revocation)
{
	struct sweep sweep = { .core = core, .revocation = revocation };
	struct ids ids = { 0 };
	int err;

	revocation->whole = true;
	err = export_grant_revoke(core->exports, revocation->grant, id_add, &ids);
	if (err == 0)
		sweep_grants(&sweep, &ids);
	free(ids.id);
	if (err == 0 && ids.failed)
		err = error_set(-ENOMEM, "no memory to revoke all grants: call again");
	return err < 0 ? err : sweep.err;
}

static bool epoch_held(struct core *core, uint32_t grant, uint32_t epoch);

static int revoke_begin(struct core *core, struct revocation *revocation, const struct token *token)
{
	int err = export_epoch_drop(core->exports, token->grant, token->epoch);

	if (err == 1)
		return revoke_whole(core, revocation);
	if (err == 0)
		return revoke_epoch(core, revocation, token->epoch);
	if (err == -ESTALE) {
		struct export_grant grant;

		/* Asked again: for a grant that is REVOKING, or an epoch that is out. */
		if (export_grant_lookup(core->exports, token->grant, &grant) < 0)
			return -ESTALE;
		if (grant.state != GRANT_LIVE)
			return revoke_whole(core, revocation);
		if (epoch_held(core, token->grant, token->epoch))
			return revoke_epoch(core, revocation, token->epoch);
		return error_set(-ESTALE, "the token was rotated out or revoked already");
	}
	return err;
}

struct held {
	uint32_t epoch;
	bool found;
};

static void held_look(void *arg, const struct export_import *import)
{
	struct held *held = arg;

	if (import->epoch == held->epoch)
		held->found = true;
}

static bool epoch_held(struct core *core, uint32_t grant, uint32_t epoch)
{
	struct held held = { .epoch = epoch };

	export_import_each(core->exports, grant, 0, held_look, &held);
	return held.found;
}

/* *ret_revocation is not yet waited for. */
static int revoke_token(struct core *core, const struct farbus_token *text, uint32_t instance,
			bool force, struct revocation **ret_revocation)
{
	struct revocation *revocation;
	struct token token;
	int err = home_token_grant(core, text, &token);

	if (err < 0)
		return err;
	err = revoke_allowed(core, token.grant, instance);
	if (err < 0)
		return err;
	revocation = revocation_new(core, token.region, token.grant, force);
	if (!revocation)
		return error_set(-ENOMEM, "no memory for a revocation");
	err = revoke_begin(core, revocation, &token);
	if (err < 0) {
		revocation_free(core, revocation);
		return err;
	}
	*ret_revocation = revocation;
	return 0;
}

/* Is its region ours? Who asks for somebody else's asks that one. */
static bool token_ours(const struct core *core, const struct token *token)
{
	struct export_region region;

	return export_region_lookup(core->exports, token->region, &region) == 0 ||
	       token->hint_rank == core->conf.rank;
}

static int revoke_ask(struct core *core, const struct farbus_token *text, const struct token *token,
		      bool force, uint64_t deadline, uint32_t *ret_request)
{
	uint64_t left = deadline > core->now ? deadline - core->now : 0;
	uint64_t left_ms = left / NS_PER_MS;
	struct message_revoke message = {
		.head = { .kind = MESSAGE_REVOKE },
		.token = *text,
		.force = force,
		.timeout_ms = left_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)left_ms,
	};
	struct call *call;
	int err;

	if (token->hint_rank >= core->conf.size)
		return error_set(-EINVAL,
				 "the token says rank %u, the job has %u: it was altered, copy it "
				 "again",
				 token->hint_rank, core->conf.size);
	/* The home's answer, which can say more than "no answer", may come a little later. */
	err = call_new(core, CALL_REVOKE, deadline + ANSWER_GRACE_NS, &call);
	if (err < 0)
		return err;
	err = call_message(core, call, &message, sizeof(message), NULL, 0);
	if (err < 0) {
		call_drop(core, call);
		return err;
	}
	*ret_request = call->id;
	call_start(core, call, token->hint_rank);
	return 0;
}

/* The call's end is the revocation's: it has no timer of its own. */
static int call_own(struct core *core, struct call **ret_call, uint32_t *ret_request)
{
	int err = call_new(core, CALL_REVOKE_OWN, UINT64_MAX, ret_call);

	if (err < 0)
		return err;
	timer_clear(core, &(*ret_call)->timer);
	*ret_request = (*ret_call)->id;
	return 0;
}

int core_revoke(struct core *core, const struct farbus_token *text, bool force, uint64_t deadline,
		uint64_t now, uint32_t *ret_request)
{
	struct revocation *revocation;
	struct token token;
	struct call *call;
	int err = token_parse(text, &token);

	if (err < 0)
		return err;
	core->now = now;
	if (!token_ours(core, &token))
		return revoke_ask(core, text, &token, force, deadline, ret_request);
	err = call_own(core, &call, ret_request);
	if (err < 0)
		return err;
	err = revoke_token(core, text, core->conf.instance, force, &revocation);
	if (err < 0) {
		call_drop(core, call);
		return err;
	}
	revocation->call = call;
	call->revocation = revocation;
	revocation_wait(core, revocation, deadline);
	core_settle(core);
	return 0;
}

int core_region_withdraw(struct core *core, uint64_t region, bool force, uint64_t deadline,
			 uint64_t now, uint32_t *ret_request)
{
	struct revocation *revocation = revocation_new(core, region, 0, force);
	struct sweep sweep = { .core = core, .revocation = revocation };
	struct ids ids = { 0 };
	struct call *call;
	int err;

	core->now = now;
	if (!revocation)
		return error_set(-ENOMEM, "no memory for a revocation");
	err = call_own(core, &call, ret_request);
	if (err < 0)
		goto free_revocation;
	export_grant_each(core->exports, region, id_add, &ids);
	for (size_t i = 0; i < ids.count; i++)
		export_grant_revoke(core->exports, ids.id[i], NULL, NULL);
	sweep_grants(&sweep, &ids);
	free(ids.id);
	err = ids.failed ? error_set(-ENOMEM, "no memory to withdraw the region: call again") :
			   sweep.err;
	if (err < 0)
		goto drop_call;
	revocation->call = call;
	call->revocation = revocation;
	revocation_wait(core, revocation, deadline);
	core_settle(core);
	return 0;

drop_call:
	call_drop(core, call);
free_revocation:
	revocation_free(core, revocation);
	return err;
}

void revoke_remote(struct core *core, struct conn *conn, const struct message_revoke *message)
{
	struct revocation *revocation;
	int err;

	if (core->revocation_count == CORE_REVOCATION_MAX) {
		conn_refuse(core, conn, &message->head, -ENOSPC,
			    "too many revocations wait at this home: let some of them end");
		return;
	}
	err = revoke_token(core, &message->token, conn->instance, message->force != 0, &revocation);
	if (err < 0) {
		conn_refuse(core, conn, &message->head, err, NULL);
		return;
	}
	core->revocation_count++;
	revocation->counted = true;
	revocation->conn = conn;
	revocation->asked = message->head;
	revocation_wait(core, revocation, core->now + message->timeout_ms * NS_PER_MS);
}

/* ---- answers ---- */

void revoke_acknowledged(struct core *core, struct conn *conn, const struct message_record *message)
{
	struct hold *hold = hold_find(core, message->record);

	if (!hold || hold->conn != conn || !hold->blocking)
		return;
	if (message->status == 0)
		hold_end(core, hold);
	/* Else it has a mapping still: the revocation ends at its deadline, or by force. */
}

void revoke_force_due(struct core *core, struct revocation *revocation)
{
	uint64_t left =
		revocation->deadline.at > core->now ? revocation->deadline.at - core->now : 0;

	force_start(core, revocation->region, left / 2);
}

static struct revocation *forced_find(const struct core *core, uint64_t region)
{
	struct revocation *revocation;

	LIST_FOREACH(revocation, &core->revocations, link)
		if (revocation->region == region && revocation->force &&
		    !revocation->force_at.armed && revocation->deadline.armed)
			return revocation;
	return NULL;
}

void revoke_region_memory_gone(struct core *core, uint64_t region, int status, const char *why)
{
	struct revocation *revocation;
	struct hold *hold, *next;

	for (int i = 0; status == 0 && i < CORE_BUCKETS; i++)
		for (hold = LIST_FIRST(&core->holds[i]); hold; hold = next) {
			next = LIST_NEXT(hold, link);
			if (hold->region == region && (hold->blocking || hold->stray))
				hold_end(core, hold);
		}
	while (status < 0 && (revocation = forced_find(core, region)))
		revocation_end(core, revocation, status, why);
}
