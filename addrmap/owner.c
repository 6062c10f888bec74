/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * owner.c -- requests for ranges, and what they wait for
 *
 * Invariants (owner_check):
 *   1. a request's segments tile its range, and no other segment is under it
 *   2. it waits for somebody, and counts the holds with actions in its segments
 *   3. what is still asked of a holder is what takes it down to where the request lets it be
 *   4. who holds what: segments_check()
 *
 * Everything that can fail is done when the request is made: an acknowledgement or a death needs
 * no memory.
 */
#include "addrmap/owner_private.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

int owner_table_new(uint64_t len, struct owner_table **ret_table)
{
	if (len == 0 || len % ADDR_PAGE_SIZE)
		return error_set(-EINVAL, "ownership of a region of %#llx bytes: whole pages only",
				 (unsigned long long)len);
	struct owner_table *table = alloc_zero(sizeof(*table));
	if (!table)
		return error_set(-ENOMEM, "no memory for a region's ownership table");
	table->len = len;
	slots_init(&table->requests, OWNER_REQUEST_MAX, false);
	*ret_table = table;
	return 0;
}

struct owner_table *owner_table_free(struct owner_table *table)
{
	struct owner_request *request;
	uint32_t id = 0;

	if (!table)
		return NULL;
	while ((request = slots_next(&table->requests, id, &id)))
		free(request);
	slots_fini(&table->requests);
	segments_fini(table);
	free(table);
	return NULL;
}

enum owner_state owner_lookup(const struct owner_table *table, uint32_t instance, uint64_t off)
{
	const struct segment *segment = segment_at(table, off);
	const struct hold *hold;

	if (!segment || segment->off > off)
		return OWNER_INVALID;
	hold = segment_hold(segment, instance);
	return hold ? (enum owner_state)hold->state : OWNER_INVALID;
}

/* ---- what a request asks of others ---- */

/* The most that this holder may have when the request is granted. */
static uint8_t state_allowed(const struct hold *hold, const struct owner_ask *ask)
{
	uint8_t most = OWNER_WRITE;

	if (hold->instance == ask->instance)
		most = (uint8_t)ask->want;
	else if (ask->want == OWNER_WRITE)
		most = OWNER_INVALID;
	else if (ask->want == OWNER_READ)
		most = OWNER_READ;
	return hold->state < most ? hold->state : most;
}

static uint8_t actions_for(uint8_t from, uint8_t to)
{
	uint8_t actions = 0;

	if (from == OWNER_WRITE && to < OWNER_WRITE)
		actions |= OWNER_CLEAN;
	if (from > OWNER_INVALID && to == OWNER_INVALID)
		actions |= OWNER_INVALIDATE;
	return actions;
}

/* First segment of a range that segments tile, and what follows inside of it. */
#define RANGE_FOREACH(segment, table, ask)                          \
	for ((segment) = segment_at(table, (ask)->off);             \
	     (segment) && (segment)->off < (ask)->off + (ask)->len; \
	     (segment) = segment_after(segment))

static void segment_ask(struct segment *segment, struct owner_request *request, owner_fn fn,
			void *arg)
{
	struct hold *hold;

	segment->request = request;
	LIST_FOREACH(hold, &segment->holds, link) {
		hold->actions = actions_for(hold->state, state_allowed(hold, &request->ask));
		if (!hold->actions)
			continue;
		struct owner_event event = {
			.kind = OWNER_ASKED,
			.request = request->id,
			.instance = hold->instance,
			.actions = hold->actions,
			.off = segment->off,
			.len = segment->len,
		};

		request->outstanding++;
		fn(arg, &event);
	}
}

static void request_grant(struct owner_table *table, struct owner_request *request, owner_fn fn,
			  void *arg)
{
	const struct owner_ask ask = request->ask;
	struct owner_event event = {
		.kind = OWNER_GRANTED,
		.request = request->id,
		.instance = ask.instance,
		.off = ask.off,
		.len = ask.len,
	};
	bool orphan = request->orphan;
	struct segment *segment;

	RANGE_FOREACH(segment, table, &ask)
	{
		struct hold *hold = orphan ? NULL : segment_hold(segment, ask.instance);

		if (hold)
			hold->state = (uint8_t)ask.want;
		segment->request = NULL;
	}
	slots_remove(&table->requests, request->id);
	free(request);
	segments_heal(table, ask.off, ask.off + ask.len);
	if (!orphan)
		fn(arg, &event);
}

/* ---- requests ---- */

static int ask_check(const struct owner_table *table, const struct owner_ask *ask)
{
	if (ask->instance == 0 || ask->want > OWNER_WRITE)
		return error_set(-EINVAL, "instance %u cannot own anything as %d", ask->instance,
				 (int)ask->want);
	if ((ask->off | ask->len) % ADDR_PAGE_SIZE)
		return error_set(
			-EINVAL,
			"ownership of %#llx bytes at %#llx: give whole pages of %llu bytes",
			(unsigned long long)ask->len, (unsigned long long)ask->off,
			(unsigned long long)ADDR_PAGE_SIZE);
	if (!addr_within(ask->off, ask->len, table->len))
		return error_set(-ERANGE, "ownership of %#llx bytes at %#llx of a region of %#llx",
				 (unsigned long long)ask->len, (unsigned long long)ask->off,
				 (unsigned long long)table->len);
	return 0;
}

static int busy_check(const struct owner_table *table, const struct owner_ask *ask)
{
	const struct segment *segment;

	RANGE_FOREACH(segment, table, ask)
	if (segment->request)
		return error_set(-EAGAIN, "instance %u is just being given a part of it",
				 segment->request->ask.instance);
	return 0;
}

static int request_new(struct owner_table *table, const struct owner_ask *ask,
		       struct owner_request **ret_request)
{
	struct owner_request *request = alloc_zero(sizeof(*request));
	int err;

	if (!request)
		return error_set(-ENOMEM, "no memory for a request for ownership");
	request->ask = *ask;
	err = slots_insert(&table->requests, request, &request->id);
	if (err < 0)
		goto free_request;
	err = segments_carve(table, ask->off, ask->off + ask->len,
			     ask->want == OWNER_INVALID ? 0 : ask->instance);
	if (err < 0)
		goto remove_request;
	*ret_request = request;
	return 0;

remove_request:
	segments_heal(table, ask->off, ask->off + ask->len);
	slots_remove(&table->requests, request->id);
free_request:
	free(request);
	return err;
}

int owner_request(struct owner_table *table, const struct owner_ask *ask, owner_fn fn, void *arg,
		  uint32_t *ret_request)
{
	struct owner_request *request;
	struct segment *segment;
	int err = ask_check(table, ask);

	if (err < 0)
		return err;
	err = busy_check(table, ask);
	if (err < 0)
		return err;
	err = request_new(table, ask, &request);
	if (err < 0)
		return err;
	RANGE_FOREACH(segment, table, ask)
	segment_ask(segment, request, fn, arg);
	*ret_request = request->outstanding ? request->id : 0;
	if (!request->outstanding)
		request_grant(table, request, fn, arg);
	return 0;
}

/* ---- acknowledgements and deaths ---- */

/* One holder has done what it was asked. */
static void hold_ack(struct owner_table *table, struct owner_request *request, struct hold *hold)
{
	hold->state = hold->actions & OWNER_INVALIDATE ? OWNER_INVALID : OWNER_READ;
	hold->actions = 0;
	request->outstanding--;
	if (hold->state == OWNER_INVALID)
		segment_hold_free(table, hold);
}

int owner_ack(struct owner_table *table, uint32_t id, uint32_t instance, owner_fn fn, void *arg)
{
	struct owner_request *request = slots_get(&table->requests, id);
	struct segment *segment;
	uint32_t before;

	if (!request)
		return error_set(-ENOENT, "there is no request %u for ownership", id);
	before = request->outstanding;
	RANGE_FOREACH(segment, table, &request->ask)
	{
		struct hold *hold = segment_hold(segment, instance);

		if (hold && hold->actions)
			hold_ack(table, request, hold);
	}
	if (request->outstanding == before)
		return error_set(-ENOENT, "request %u asks nothing of instance %u", id, instance);
	if (request->outstanding == 0)
		request_grant(table, request, fn, arg);
	return 0;
}

static void segment_forget(struct owner_table *table, const struct segment *segment,
			   uint32_t instance, owner_fn fn, void *arg)
{
	struct hold *hold = segment_hold(segment, instance);
	struct owner_event event = {
		.kind = OWNER_LOST,
		.instance = instance,
		.off = segment->off,
		.len = segment->len,
	};

	if (!hold)
		return;
	if (hold->state == OWNER_WRITE)
		fn(arg, &event);
	if (hold->actions)
		segment->request->outstanding--;
	segment_hold_free(table, hold);
}

void owner_death(struct owner_table *table, uint32_t instance, owner_fn fn, void *arg)
{
	struct owner_request *request;
	struct segment *segment;
	uint32_t id = 0;

	for (segment = segment_at(table, 0); segment; segment = segment_after(segment))
		segment_forget(table, segment, instance, fn, arg);
	segments_heal(table, 0, table->len);
	while ((request = slots_next(&table->requests, id, &id))) {
		request->orphan |= request->ask.instance == instance;
		if (request->outstanding == 0)
			request_grant(table, request, fn, arg);
	}
}

/* ---- invariants ---- */

static void request_check(const struct owner_table *table, const struct owner_request *request)
{
	const struct owner_ask *ask = &request->ask;
	uint32_t outstanding = 0;
	uint64_t at = ask->off;
	const struct segment *segment;
	const struct hold *hold;

	RANGE_FOREACH(segment, table, ask)
	{
		FARBUS_ASSERT(segment->off == at);
		FARBUS_ASSERT(segment->request == request);
		at += segment->len;
		LIST_FOREACH(hold, &segment->holds, link) {
			outstanding += hold->actions != 0;
			FARBUS_ASSERT(hold->actions ==
				      actions_for(hold->state, state_allowed(hold, ask)));
		}
	}
	FARBUS_ASSERT(at == ask->off + ask->len);
	FARBUS_ASSERT(outstanding == request->outstanding);
	FARBUS_ASSERT(outstanding > 0);
}

void owner_check(const struct owner_table *table)
{
	const struct owner_request *request;
	uint64_t asked = 0, under = 0;
	const struct segment *segment;
	uint32_t id = 0;

	slots_check(&table->requests);
	segments_check(table);
	while ((request = slots_next(&table->requests, id, &id))) {
		request_check(table, request);
		asked += request->ask.len;
	}
	for (segment = segment_at(table, 0); segment; segment = segment_after(segment))
		under += segment->request ? segment->len : 0;
	FARBUS_ASSERT(asked == under);
}
