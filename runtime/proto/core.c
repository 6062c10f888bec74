/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core.c -- life of the core, timers, and what is left to do at the end of each call into it
 *
 * Invariants (core_check): those at the top of the other files of this folder.
 */
#include "addrmap/window.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <stdlib.h>

#define IMPORT_MAX (WINDOW_IMPORT_MAX - 1)

static int conf_check(const struct core_conf *conf)
{
	if (conf->size == 0 || conf->size > CORE_SIZE_MAX || conf->rank >= conf->size)
		return error_set(-EINVAL, "rank %u of %u: a job has 1 to %d ranks", conf->rank,
				 conf->size, CORE_SIZE_MAX);
	if (conf->instance == 0)
		return error_set(-EINVAL, "instance ids begin at 1");
	return 0;
}

static int peers_new(struct core *core)
{
	core->peers = alloc_array(core->conf.size, sizeof(*core->peers));
	if (!core->peers)
		return error_set(-ENOMEM, "no memory for %u ranks", core->conf.size);
	for (uint32_t rank = 0; rank < core->conf.size; rank++) {
		struct peer *peer = &core->peers[rank];

		peer->rank = rank;
		LIST_INIT(&peer->conns);
		TAILQ_INIT(&peer->waiting);
		timer_init(&peer->retry, TIMER_RETRY, peer);
	}
	return 0;
}

static int reserve_fill(struct core *core)
{
	while (core->reserve_count < CORE_RESERVE) {
		struct out *out = alloc_zero(sizeof(*out));

		if (!out)
			return error_set(-ENOMEM, "no memory for an instance");
		out_free(core, out);
	}
	return 0;
}

static int core_fill(struct core *core)
{
	int err;

	core->collective.arrival = alloc_array(core->conf.size, sizeof(*core->collective.arrival));
	if (!core->collective.arrival)
		return error_set(-ENOMEM, "no memory for %u ranks", core->conf.size);
	err = peers_new(core);
	if (err < 0)
		return err;
	err = export_table_new(core->conf.job, core->conf.incarnation, &core->exports);
	if (err < 0)
		return err;
	err = import_table_new(IMPORT_MAX, &core->imports);
	if (err < 0)
		return err;
	err = reserve_fill(core);
	if (err < 0)
		return err;
	return conn_self_new(core);
}

int core_new(const struct core_conf *conf, struct core **ret_core)
{
	struct core *core;
	int err = conf_check(conf);

	if (err < 0)
		return err;
	core = alloc_zero(sizeof(*core));
	if (!core)
		return error_set(-ENOMEM, "no memory for an instance");
	core->conf = *conf;
	STAILQ_INIT(&core->outs);
	STAILQ_INIT(&core->reserve);
	STAILQ_INIT(&core->inbox);
	err = core_fill(core);
	if (err < 0) {
		core_free(core);
		return err;
	}
	*ret_core = core;
	return 0;
}

static void outs_free(struct core *core)
{
	struct out *out;

	out_free(core, core->last);
	while ((out = STAILQ_FIRST(&core->outs))) {
		STAILQ_REMOVE_HEAD(&core->outs, link);
		out_free(core, out);
	}
	while ((out = STAILQ_FIRST(&core->reserve))) {
		STAILQ_REMOVE_HEAD(&core->reserve, link);
		free(out);
	}
}

struct core *core_free(struct core *core)
{
	struct inbox_message *message;

	if (!core)
		return NULL;
	revoke_free_all(core);
	force_free_all(core);
	call_free_all(core);
	home_free_all(core);
	work_free_all(core);
	names_free_all(core);
	collective_fini(core);
	conn_free_all(core);
	while ((message = STAILQ_FIRST(&core->inbox))) {
		STAILQ_REMOVE_HEAD(&core->inbox, link);
		free(message);
	}
	outs_free(core);
	export_table_free(core->exports);
	import_table_free(core->imports);
	free(core->peers);
	mac_wipe(core->conf.secret, sizeof(core->conf.secret));
	mac_wipe(core->conf.random, sizeof(core->conf.random));
	free(core);
	return NULL;
}

struct export_table *core_exports(struct core *core)
{
	return core->exports;
}

struct import_table *core_imports(struct core *core)
{
	return core->imports;
}

void core_wall_set(struct core *core, uint64_t wall_s)
{
	core->wall_s = wall_s;
}

/* ---- time ---- */

static void timer_run(struct core *core, struct timer *timer)
{
	switch (timer->kind) {
	case TIMER_CALL:
		call_expired(core, timer->owner);
		break;
	case TIMER_AUTH:
		conn_auth_late(core, timer->owner);
		break;
	case TIMER_RETRY:
		peer_retry(core, timer->owner);
		break;
	case TIMER_REVOKE:
		revoke_expired(core, timer->owner);
		break;
	case TIMER_FORCE:
		revoke_force_due(core, timer->owner);
		break;
	case TIMER_SUSPEND:
		force_timer(core, timer->owner);
		break;
	}
}

uint64_t core_step(struct core *core, uint64_t now)
{
	struct timer *timer;

	core->now = now;
	while ((timer = timer_due(core)))
		timer_run(core, timer);
	core_settle(core);
	return timer_next(core);
}

/* ---- the end of each call ---- */

static void inbox_run(struct core *core)
{
	struct inbox_message *message;

	while ((message = STAILQ_FIRST(&core->inbox))) {
		STAILQ_REMOVE_HEAD(&core->inbox, link);
		receive_message(core, core->self, message->data, message->len, -1, message->region);
		free(message);
	}
}

static void failed_close(struct core *core)
{
	struct conn *conn, *next;

	while (core->conn_failed) {
		core->conn_failed = false;
		for (int i = 0; i < CORE_BUCKETS; i++)
			for (conn = LIST_FIRST(&core->conns[i]); conn; conn = next) {
				next = LIST_NEXT(conn, link);
				if (!conn->failed)
					continue;
				conn_close(core, conn, -ENOMEM, "no memory for a message");
				next = LIST_FIRST(&core->conns[i]);
			}
	}
}

static void closed_free(struct core *core)
{
	struct conn *conn, *next;

	for (conn = LIST_FIRST(&core->closed); conn; conn = next) {
		next = LIST_NEXT(conn, link);
		if (conn->strays)
			continue;
		LIST_REMOVE(conn, link);
		timer_clear(core, &conn->timer);
		out_free(core, conn->close);
		free(conn);
	}
}

/* Which message to ourselves is lost is not known: what may wait for it need not until its deadline. */
static void self_failed_end(struct core *core)
{
	struct call *call;

	while (core->self_failed) {
		core->self_failed = false;
		while ((call = TAILQ_FIRST(&core->self->calls)))
			call_cut(core, call, -ENOMEM, "no memory for a message");
	}
}

void core_settle(struct core *core)
{
	if (core->settling)
		return;
	core->settling = true;
	do {
		inbox_run(core);
		self_failed_end(core);
		failed_close(core);
	} while (!STAILQ_EMPTY(&core->inbox));
	closed_free(core);
	core->settling = false;
}

/* ---- invariants ---- */

static void conn_check(const struct core *core, const struct conn *conn)
{
	const struct conn *one;
	bool found = false;

	FARBUS_ASSERT(conn->state != CONN_CLOSED);
	FARBUS_ASSERT(conn->close);
	FARBUS_ASSERT(conn->state == CONN_UP || TAILQ_EMPTY(&conn->calls));
	if (conn->state != CONN_UP)
		return;
	LIST_FOREACH(one, &core->peers[conn->rank].conns, peer_link)
		found = found || one == conn;
	FARBUS_ASSERT(found);
	FARBUS_ASSERT(conn->instance == core->peers[conn->rank].instance);
}

static void call_check(const struct core *core, const struct call *call)
{
	FARBUS_ASSERT(call->done);
	if (call->kind == CALL_REVOKE_OWN) {
		FARBUS_ASSERT(call->revocation);
		FARBUS_ASSERT(call->revocation->call == call);
		return;
	}
	FARBUS_ASSERT(call->in == (call->conn ? &call->conn->calls : &call->peer->waiting));
	FARBUS_ASSERT(call->timer.armed);
	(void)core;
}

static void peer_check(const struct peer *peer)
{
	FARBUS_ASSERT(!peer->conn == LIST_EMPTY(&peer->conns));
	FARBUS_ASSERT(!peer->conn || TAILQ_EMPTY(&peer->waiting));
	FARBUS_ASSERT(!peer->conn || !peer->dead);
	FARBUS_ASSERT(TAILQ_EMPTY(&peer->waiting) || peer->connecting || peer->retry.armed);
}

static void hold_check(const struct core *core, const struct hold *hold)
{
	struct export_import import;

	FARBUS_ASSERT(export_import_lookup(core->exports, hold->record, &import) == 0);
	FARBUS_ASSERT(import.grant == hold->grant);
	FARBUS_ASSERT(import.instance == hold->conn->instance);
	FARBUS_ASSERT(hold->conn->state == (hold->stray ? CONN_CLOSED : CONN_UP));
	FARBUS_ASSERT(!hold->stray || (hold->mapped && hold->conn->strays));
}

static void revocation_check(const struct revocation *revocation)
{
	const struct ref *ref;
	uint32_t count = 0;

	LIST_FOREACH(ref, &revocation->refs, of_revocation) {
		FARBUS_ASSERT(ref->revocation == revocation);
		FARBUS_ASSERT(ref->hold->region == revocation->region);
		count++;
	}
	FARBUS_ASSERT(count == revocation->outstanding);
	FARBUS_ASSERT(count > 0);
}

static void root_check(const struct core *core)
{
	const struct collective *collective = &core->collective;
	const struct name *name;
	uint32_t names = 0, here = 0;

	for (int i = 0; i < CORE_BUCKETS; i++)
		LIST_FOREACH(name, &core->names[i], link)
			names++;
	FARBUS_ASSERT(names == core->name_count);
	for (uint32_t rank = 0; rank < core->conf.size; rank++)
		here += collective->arrival[rank].here;
	FARBUS_ASSERT(here == collective->count);
	FARBUS_ASSERT(!collective->data == !collective->count);
}

void core_check(const struct core *core)
{
	const struct revocation *revocation;
	const struct conn *conn;
	const struct call *call;
	const struct hold *hold;
	uint32_t calls = 0;

	timer_check(core);
	for (int i = 0; i < CORE_BUCKETS; i++) {
		LIST_FOREACH(conn, &core->conns[i], link)
			conn_check(core, conn);
		LIST_FOREACH(hold, &core->holds[i], link)
			hold_check(core, hold);
		LIST_FOREACH(call, &core->calls[i], of_bucket) {
			call_check(core, call);
			calls++;
		}
	}
	FARBUS_ASSERT(calls == core->call_count);
	for (uint32_t rank = 0; rank < core->conf.size; rank++)
		peer_check(&core->peers[rank]);
	LIST_FOREACH(revocation, &core->revocations, link)
		revocation_check(revocation);
	root_check(core);
	export_check(core->exports);
	import_check(core->imports);
}
