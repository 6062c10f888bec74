/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addrmap_model_owner.c -- the ownership table beside one state per page and instance
 *
 * The real instances are modelled, too: each does what it is asked when it acknowledges, and never
 * may two of them write a page, or one write what another reads.
 */
#include "addrmap_model.h"

#include "addrmap/owner.h"
#include "base/alloc.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE ADDR_PAGE_SIZE
#define PAGES 24u
#define INSTANCES 5u
#define REQUESTS 8u

struct pending {
	uint32_t id; /* 0: free */
	uint32_t instance;
	enum owner_state want;
	size_t from, to;
	bool orphan;
};

struct model {
	struct owner_table *table;
	uint32_t born; /* numbers below were instances once; a death makes a new one */
	uint32_t number[INSTANCES];
	uint8_t state[PAGES][INSTANCES];
	uint8_t asked[PAGES][INSTANCES]; /* actions not acknowledged */
	struct pending pending[REQUESTS];
	/* Of the call under way: */
	uint8_t events[PAGES][INSTANCES];
	bool lost[PAGES];
	uint32_t granted[REQUESTS], granted_count;
	uint32_t dying;
};

static void *model_new(void)
{
	struct model *model = calloc(1, sizeof(*model));

	FARBUS_ASSERT(model);
	FARBUS_ASSERT(owner_table_new(PAGES * PAGE, &model->table) == 0);
	for (uint32_t i = 0; i < INSTANCES; i++)
		model->number[i] = ++model->born;
	return model;
}

static void model_free(void *arg)
{
	struct model *model = arg;

	owner_table_free(model->table);
	free(model);
}

static size_t instance_index(const struct model *model, uint32_t number)
{
	size_t i = 0;

	while (i < INSTANCES && model->number[i] != number)
		i++;
	FARBUS_ASSERT(i < INSTANCES);
	return i;
}

static void on_event(void *arg, const struct owner_event *event)
{
	struct model *model = arg;

	FARBUS_ASSERT(event->len > 0);
	FARBUS_ASSERT(event->off + event->len <= PAGES * PAGE);
	if (event->kind == OWNER_GRANTED) {
		FARBUS_ASSERT(model->granted_count < REQUESTS);
		model->granted[model->granted_count++] = event->request;
		return;
	}
	for (size_t i = event->off / PAGE; i < (event->off + event->len) / PAGE; i++) {
		if (event->kind == OWNER_LOST) {
			FARBUS_ASSERT(event->instance == model->dying);
			model->lost[i] = true;
			continue;
		}
		FARBUS_ASSERT(event->kind == OWNER_ASKED);
		uint8_t *at = &model->events[i][instance_index(model, event->instance)];

		FARBUS_ASSERT(*at == 0); /* once */
		*at = (uint8_t)event->actions;
	}
}

static void events_clear(struct model *model)
{
	memset(model->events, 0, sizeof(model->events));
	memset(model->lost, 0, sizeof(model->lost));
	model->granted_count = 0;
	model->dying = 0;
}

/* ---- what the arrays say ---- */

static uint8_t expect_actions(uint8_t state, bool asker, enum owner_state want)
{
	if (asker ? want == OWNER_INVALID : want == OWNER_WRITE)
		return state == OWNER_WRITE ? OWNER_CLEAN | OWNER_INVALIDATE :
		       state == OWNER_READ  ? OWNER_INVALIDATE :
					      0;
	return state == OWNER_WRITE && want == OWNER_READ ? OWNER_CLEAN : 0;
}

static bool waits(const struct model *model, const struct pending *pending)
{
	for (size_t i = pending->from; i < pending->to; i++)
		for (size_t j = 0; j < INSTANCES; j++)
			if (model->asked[i][j])
				return true;
	return false;
}

/* Grants each request that waits for nobody any more; the table has to have said so. */
static void pending_settle(struct model *model)
{
	uint32_t expected = 0;

	for (size_t i = 0; i < REQUESTS; i++) {
		struct pending *pending = &model->pending[i];
		bool said = false;

		if (!pending->id || waits(model, pending))
			continue;
		for (uint32_t j = 0; j < model->granted_count; j++)
			said |= model->granted[j] == pending->id;
		FARBUS_ASSERT(said == !pending->orphan);
		expected += said;
		for (size_t at = pending->from; said && at < pending->to; at++)
			model->state[at][instance_index(model, pending->instance)] =
				(uint8_t)pending->want;
		pending->id = 0;
	}
	FARBUS_ASSERT(expected == model->granted_count);
}

/* ---- steps ---- */

static struct pending *pending_free_one(struct model *model)
{
	for (size_t i = 0; i < REQUESTS; i++)
		if (!model->pending[i].id)
			return &model->pending[i];
	return NULL;
}

static bool under_way(const struct model *model, size_t from, size_t to)
{
	for (size_t i = 0; i < REQUESTS; i++)
		if (model->pending[i].id && model->pending[i].from < to &&
		    from < model->pending[i].to)
			return true;
	return false;
}

static void request_begin(struct model *model, size_t asker, const struct pending *ask,
			  struct pending *slot, uint32_t id)
{
	bool any = false;

	for (size_t i = 0; i < PAGES; i++) {
		for (size_t j = 0; j < INSTANCES; j++) {
			uint8_t actions = 0;

			if (i >= ask->from && i < ask->to)
				actions = expect_actions(model->state[i][j], j == asker, ask->want);
			FARBUS_ASSERT(model->events[i][j] == actions);
			model->asked[i][j] |= actions;
			any |= actions != 0;
		}
	}
	FARBUS_ASSERT(any == (id != 0));
	if (any) {
		*slot = *ask;
		slot->id = id;
		pending_settle(model);
		return;
	}
	FARBUS_ASSERT(model->granted_count == 1);
	for (size_t i = ask->from; i < ask->to; i++)
		model->state[i][asker] = (uint8_t)ask->want;
}

static void step_request(struct model *model, struct choice *choice)
{
	size_t asker = choose(choice, INSTANCES), from = choose(choice, PAGES);
	size_t to = from + 1 + choose(choice, choose(choice, 2) ? 3 : PAGES);
	struct pending *slot = pending_free_one(model);
	uint32_t id = 4711;

	if (to > PAGES)
		to = PAGES;
	if (!slot)
		return;
	struct pending pending = { .instance = model->number[asker],
				   .want = (enum owner_state)choose(choice, 3),
				   .from = from,
				   .to = to };
	struct owner_ask ask = { .instance = pending.instance,
				 .want = pending.want,
				 .off = from * PAGE,
				 .len = (to - from) * PAGE };

	alloc_fault_arm(choose(choice, 8) == 0 ? 1 + choose(choice, 6) : 0);
	int err = owner_request(model->table, &ask, on_event, model, &id);
	bool fired = alloc_fault_fired();

	alloc_fault_arm(0);
	FARBUS_ASSERT(err == (under_way(model, from, to) ? -EAGAIN : fired ? -ENOMEM : 0));
	if (err == 0)
		request_begin(model, asker, &pending, slot, id);
	else
		FARBUS_ASSERT(id == 4711);
}

static void step_ack(struct model *model, struct choice *choice)
{
	struct pending *pending = &model->pending[choose(choice, REQUESTS)];
	size_t instance = choose(choice, INSTANCES);
	bool asked = false;

	for (size_t i = pending->from; pending->id && i < pending->to; i++) {
		uint8_t *actions = &model->asked[i][instance];

		if (!*actions)
			continue;
		asked = true;
		model->state[i][instance] =
			*actions & OWNER_INVALIDATE ? OWNER_INVALID : OWNER_READ;
		*actions = 0;
	}
	int err = owner_ack(model->table, pending->id, model->number[instance], on_event, model);

	FARBUS_ASSERT(err == (asked ? 0 : -ENOENT));
	if (err == 0)
		pending_settle(model);
}

static void step_death(struct model *model, struct choice *choice)
{
	size_t instance = choose(choice, INSTANCES);

	model->dying = model->number[instance];
	owner_death(model->table, model->dying, on_event, model);
	for (size_t i = 0; i < PAGES; i++) {
		FARBUS_ASSERT(model->lost[i] == (model->state[i][instance] == OWNER_WRITE));
		model->state[i][instance] = OWNER_INVALID;
		model->asked[i][instance] = 0;
	}
	for (size_t i = 0; i < REQUESTS; i++)
		model->pending[i].orphan |=
			model->pending[i].id && model->pending[i].instance == model->dying;
	pending_settle(model);
	model->number[instance] = ++model->born;
}

static void states_compare(const struct model *model)
{
	for (size_t i = 0; i < PAGES; i++) {
		size_t readers = 0, writers = 0;

		for (size_t j = 0; j < INSTANCES; j++) {
			uint8_t state = model->state[i][j];

			readers += state == OWNER_READ;
			writers += state == OWNER_WRITE;
			FARBUS_ASSERT(owner_lookup(model->table, model->number[j], i * PAGE + i) ==
				      state);
		}
		FARBUS_ASSERT(writers == 0 || (writers == 1 && readers == 0));
	}
}

static void model_step(void *arg, struct choice *choice)
{
	struct model *model = arg;

	events_clear(model);
	switch (choose(choice, 16)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		step_request(model, choice);
		break;
	case 5:
		if (choose(choice, 4) == 0)
			step_death(model, choice);
		break;
	default:
		step_ack(model, choice);
	}
	owner_check(model->table);
	states_compare(model);
}

const struct model_ops model_owner = {
	.name = "ownership table",
	.new = model_new,
	.step = model_step,
	.free = model_free,
	.seeds = 40,
	.steps = 5000,
};
