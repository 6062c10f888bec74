/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * force.c -- taking a region's memory from under importers that do not answer
 *
 *   home                     survivors (other grants)        the silent one
 *   SUSPEND ----------------->  no access, SUSPENDED
 *   copy, cut the old memory off                               SIGBUS at its next access
 *   REMAP, new descriptor --->  map it, go on
 *
 * A survivor that does not acknowledge SUSPEND within a quarter of the revocation's time is not
 * waited for: it is silent, too. What it stores into the old memory after the copy was made is lost
 * if it was running all the same; one that is stopped stores nothing.
 *
 * Imports of the region that arrive meanwhile are parked, so that they get the new memory.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <stdlib.h>

#define MEMORY_RETRY_NS (10 * NS_PER_MS)

struct force *force_find(const struct core *core, uint64_t region)
{
	struct force *force;

	LIST_FOREACH(force, &core->forces, link)
		if (force->region == region)
			return force;
	return NULL;
}

static bool order_send(struct core *core, struct hold *hold, uint32_t kind, uint64_t region)
{
	struct message_record message = {
		.head = { .kind = kind },
		.record = hold->record,
		.index = hold->index,
	};

	return conn_send(core, hold->conn, &message, sizeof(message), NULL, 0, region);
}

static void force_free(struct core *core, struct force *force)
{
	struct parked *parked;

	while ((parked = STAILQ_FIRST(&force->parked))) {
		STAILQ_REMOVE_HEAD(&force->parked, link);
		core->parked_count--;
		free(parked);
	}
	timer_clear(core, &force->timer);
	LIST_REMOVE(force, link);
	free(force);
}

void force_free_all(struct core *core)
{
	struct force *force;

	while ((force = LIST_FIRST(&core->forces)))
		force_free(core, force);
}

/* Exposed memory is the old one: whoever uses it is refused, asks, and gets the new one. */
static void exposed_hide(struct core *core, uint64_t region)
{
	struct hold *hold;

	for (int i = 0; i < CORE_BUCKETS; i++)
		LIST_FOREACH(hold, &core->holds[i], link)
			if (hold->region == region)
				hold_hide(core, hold);
}

static void force_work(struct core *core, struct force *force)
{
	struct out *out;
	struct work *work;

	work = work_new(core, CORE_WORK_FORCE, &out, 0);
	if (!work) {
		timer_set(core, &force->timer, core->now + MEMORY_RETRY_NS);
		return;
	}
	exposed_hide(core, force->region);
	force->working = true;
	timer_clear(core, &force->timer);
	work->region = force->region;
	out->is.region = force->region;
	work_push(core, work, out);
}

static void survivors_suspend(struct core *core, struct force *force)
{
	struct hold *hold;

	for (int i = 0; i < CORE_BUCKETS; i++)
		LIST_FOREACH(hold, &core->holds[i], link) {
			if (hold->region != force->region || !hold->mapped || hold->blocking ||
			    hold->stray)
				continue;
			hold->suspending = true;
			force->outstanding++;
			order_send(core, hold, MESSAGE_SUSPEND, 0);
		}
}

void force_start(struct core *core, uint64_t region, uint64_t wait_ns)
{
	struct force *force = force_find(core, region);

	if (force)
		return;
	force = alloc_zero(sizeof(*force));
	if (!force)
		return; /* no memory: the revocation ends at its deadline */
	force->region = region;
	STAILQ_INIT(&force->parked);
	timer_init(&force->timer, TIMER_SUSPEND, force);
	LIST_INSERT_HEAD(&core->forces, force, link);
	survivors_suspend(core, force);
	if (force->outstanding == 0)
		force_work(core, force);
	else
		timer_set(core, &force->timer, core->now + wait_ns);
}

void force_suspended(struct core *core, struct hold *hold)
{
	struct force *force = force_find(core, hold->region);

	if (!hold->suspending)
		return;
	hold->suspending = false;
	hold->suspended = true;
	if (!force || force->working)
		return;
	force->outstanding--;
	if (force->outstanding == 0)
		force_work(core, force);
}

void force_timer(struct core *core, struct force *force)
{
	force_work(core, force);
}

static void survivors_resume(struct core *core, uint64_t region)
{
	struct hold *hold;

	for (int i = 0; i < CORE_BUCKETS; i++)
		LIST_FOREACH(hold, &core->holds[i], link) {
			if (hold->region != region || (!hold->suspended && !hold->suspending))
				continue;
			hold->suspended = hold->suspending = false;
			/* One that was revoked meanwhile stays without memory. */
			if (!hold->blocking && !order_send(core, hold, MESSAGE_REMAP, region))
				importer_give_up(core, hold->index, hold->record, -ENOMEM);
		}
}

static void parked_resume(struct core *core, struct parked_list *list)
{
	struct parked *parked;

	while ((parked = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, link);
		core->parked_count--;
		if (parked->conn && parked->conn->state == CONN_UP)
			home_import(core, parked->conn, &parked->message);
		free(parked);
	}
}

void force_worked(struct core *core, uint64_t region, int status)
{
	struct force *force = force_find(core, region);
	struct parked_list parked = STAILQ_HEAD_INITIALIZER(parked);
	const char *why = status == -ENOTSUP ?
				  "the region's memory was adopted and cannot be replaced: end the "
				  "silent importer" :
				  "the region could not be given new memory";

	if (force) {
		STAILQ_CONCAT(&parked, &force->parked);
		force_free(core, force);
	}
	survivors_resume(core, region);
	revoke_region_memory_gone(core, region, status, why);
	parked_resume(core, &parked);
}

bool force_park(struct core *core, struct conn *conn, uint64_t region,
		const struct message_import *message)
{
	struct force *force = force_find(core, region);
	struct parked *parked;

	if (!force)
		return false;
	if (core->parked_count == CORE_PARKED_MAX) {
		conn_refuse(core, conn, &message->head, -ENOSPC,
			    "too many imports wait while the home gives the region new memory: "
			    "try again later");
		return true;
	}
	parked = alloc_zero(sizeof(*parked));
	if (!parked) {
		conn_refuse(core, conn, &message->head, -ENOMEM, "the home has no memory");
		return true;
	}
	core->parked_count++;
	parked->conn = conn;
	parked->message = *message;
	STAILQ_INSERT_TAIL(&force->parked, parked, link);
	return true;
}

void force_conn_gone(struct core *core, struct conn *conn)
{
	struct force *force;
	struct parked *parked;

	LIST_FOREACH(force, &core->forces, link)
		STAILQ_FOREACH(parked, &force->parked, link)
			if (parked->conn == conn)
				parked->conn = NULL;
}
