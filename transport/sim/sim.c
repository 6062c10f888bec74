/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim.c -- a network in one thread: nodes, links, virtual time, everything from one seed
 *
 * Invariants:
 *   1. Events that a link brings to one end have times that never fall, in the order they were
 *      made, so that they come in that order.
 *   2. What is held for a stopped node keeps its key, and so its place, when the node goes on.
 *   3. An end gets nothing after SIM_DOWN, and after sim_close() of its own.
 *
 * Its memory comes from malloc(), not from base/alloc.h: faults that a test arms there are for
 * what runs over it.
 */
#include "transport/sim/sim.h"

#include "base/assert.h"
#include "base/error.h"
#include "transport/sim/sim_private.h"
#include "transport/transport.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NS_START 1000000000u
#define DELAY_MIN 1000u
#define DELAY_MAX 50000u
#define DELAY_TAIL_ONE_IN 32
#define DELAY_TAIL_TIMES 20

/* splitmix64 */
uint64_t sim_random(struct sim *sim)
{
	uint64_t z = (sim->random += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

uint64_t sim_delay(struct sim *sim)
{
	uint64_t span = sim->delay_max - sim->delay_min + 1;
	uint64_t ns = sim->delay_min + sim_random(sim) % span;

	if (sim_random(sim) % DELAY_TAIL_ONE_IN == 0)
		ns *= 1 + sim_random(sim) % DELAY_TAIL_TIMES;
	return ns;
}

int sim_new(uint64_t seed, uint32_t nodes, struct sim **ret_sim)
{
	struct sim *sim;

	if (nodes == 0 || nodes > SIM_NODE_MAX)
		return error_set(-EINVAL, "%u simulated nodes: from 1 to %d", nodes, SIM_NODE_MAX);
	sim = calloc(1, sizeof(*sim));
	if (!sim)
		return -ENOMEM;
	sim->node = calloc(nodes, sizeof(*sim->node));
	if (!sim->node) {
		free(sim);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < nodes; i++)
		sim->node[i].held_end = &sim->node[i].held;
	sim->node_count = nodes;
	sim->random = seed;
	sim->now = NS_START;
	sim_delay_set(sim, DELAY_MIN, DELAY_MAX);
	*ret_sim = sim;
	return 0;
}

static void held_free(struct sim_node *node)
{
	struct sim_item *item;

	while ((item = node->held)) {
		node->held = item->next;
		free(item);
	}
	node->held_end = &node->held;
}

struct sim *sim_free(struct sim *sim)
{
	if (!sim)
		return NULL;
	for (uint32_t i = 0; i < sim->node_count; i++)
		held_free(&sim->node[i]);
	sim_queue_fini(&sim->queue);
	for (uint32_t i = 0; i < sim->link_count; i++)
		lossy_free(&sim->link[i]);
	free(sim->current);
	free(sim->link);
	free(sim->node);
	free(sim);
	return NULL;
}

void sim_delay_set(struct sim *sim, uint64_t min_ns, uint64_t max_ns)
{
	sim->delay_min = min_ns;
	sim->delay_max = max_ns < min_ns ? min_ns : max_ns;
}

uint64_t sim_now(const struct sim *sim)
{
	return sim->now;
}

uint64_t sim_digest(const struct sim *sim)
{
	return sim->digest;
}

bool sim_alive(const struct sim *sim, uint32_t node)
{
	return node < sim->node_count && !sim->node[node].dead;
}

static int item_new(struct sim *sim, const struct sim_event *event, struct sim_item **ret_item)
{
	struct sim_item *item = calloc(1, sizeof(*item) + event->len);

	if (!item)
		return error_set(-ENOMEM, "no memory for a simulated event");
	item->event = *event;
	if (event->len)
		memcpy(item->data, event->data, event->len);
	item->event.data = item->data;
	item->serial = ++sim->serial;
	*ret_item = item;
	return 0;
}

static int item_push(struct sim *sim, struct sim_item *item)
{
	int err = sim_queue_push(&sim->queue, item);

	if (err < 0)
		free(item);
	return err;
}

/* Makes an event for one end of a link, after all that this end is still to get from it. */
static int link_event(struct sim *sim, uint32_t link, int end, struct sim_event event, bool request)
{
	struct sim_link *at = &sim->link[link];
	uint64_t time = sim->now + sim_delay(sim);
	struct sim_item *item;
	int err;

	event.link = link;
	event.node = at->node[end];
	event.peer = at->node[!end];
	err = item_new(sim, &event, &item);
	if (err < 0)
		return err;
	item->request = request;
	if (at->lossy && (event.kind == SIM_DELIVER || event.kind == SIM_DOWN)) {
		lossy_send(sim, link, end, item);
		return 0;
	}
	item->time = time > at->last[end] ? time : at->last[end];
	err = item_push(sim, item);
	if (err == 0)
		at->last[end] = time > at->last[end] ? time : at->last[end];
	return err;
}

void sim_deliver(struct sim *sim, struct sim_item *item, int end)
{
	struct sim_link *at = &sim->link[item->event.link];
	int err;

	item->time = sim->now > at->last[end] ? sim->now : at->last[end];
	item->serial = ++sim->serial;
	at->last[end] = item->time;
	err = sim_queue_push(&sim->queue, item);
	FARBUS_ASSERT(err == 0);
}

void sim_link_end(struct sim *sim, uint32_t link, int end, int status)
{
	struct sim_link *at = &sim->link[link];
	struct sim_event event = {
		.kind = SIM_DOWN,
		.link = link,
		.node = at->node[end],
		.peer = at->node[!end],
		.status = status,
		.fd = -1,
	};
	struct sim_item *item;
	int err;

	if (at->end[end] == END_DONE)
		return;
	err = item_new(sim, &event, &item);
	FARBUS_ASSERT(err == 0);
	at->going[end] = true;
	sim_deliver(sim, item, end);
}

/* Each end gets it once. Without memory for it the run would be of no use. */
static void link_down(struct sim *sim, uint32_t link, int end, int status)
{
	struct sim_event event = { .kind = SIM_DOWN, .status = status, .fd = -1 };
	struct sim_link *at = &sim->link[link];
	int err;

	if (at->going[end] || at->end[end] == END_DONE)
		return;
	err = link_event(sim, link, end, event, false);
	FARBUS_ASSERT(err == 0);
	at->going[end] = true;
}

int sim_connect(struct sim *sim, uint32_t node, uint32_t to, uint32_t *ret_link)
{
	struct sim_event event = { .kind = SIM_UP, .accepted = true, .fd = -1 };
	uint32_t size = sim->link_size ? sim->link_size * 2 : 64;
	struct sim_link *bigger;
	int err;

	if (to >= sim->node_count || to == node)
		return error_set(-EINVAL,
				 "link from node %u to node %u: nodes are from 0 to %u, and "
				 "have none to themselves",
				 node, to, sim->node_count - 1);
	if (!sim_alive(sim, node))
		return -EHOSTDOWN;
	if (sim->link_count == SIM_LINK_MAX)
		return error_set(-ENOSPC, "more than %u simulated links", SIM_LINK_MAX);
	if (sim->link_count == sim->link_size) {
		bigger = realloc(sim->link, size * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		sim->link = bigger;
		sim->link_size = size;
	}
	sim->link[sim->link_count] = (struct sim_link){ .node = { node, to } };
	if (sim->lossy) {
		err = lossy_new(sim, &sim->link[sim->link_count]);
		if (err < 0)
			return err;
	}
	err = link_event(sim, sim->link_count, 1, event, true);
	if (err < 0) {
		lossy_free(&sim->link[sim->link_count]);
		return err;
	}
	*ret_link = sim->link_count++;
	return 0;
}

static void die(struct sim *sim, uint32_t node)
{
	sim->node[node].dead = true;
	held_free(&sim->node[node]);
	for (uint32_t i = 0; i < sim->link_count; i++) {
		struct sim_link *link = &sim->link[i];

		/* Not arrived yet: request_run() sees who is dead by then. */
		if (link->end[1] == END_NONE)
			continue;
		for (int end = 0; end < 2; end++)
			if (link->node[end] == node && link->end[end] != END_DONE)
				link_down(sim, i, !end, -EHOSTDOWN);
	}
}

/* Counts a message that node is about to send or get. True: it dies of it. */
static bool dies(struct sim *sim, uint32_t node)
{
	struct sim_event event = { .kind = SIM_DIED, .node = node, .fd = -1 };
	struct sim_item *item;
	int err;

	if (sim->node[node].messages_left == 0 || --sim->node[node].messages_left > 0)
		return false;
	die(sim, node);
	err = item_new(sim, &event, &item);
	FARBUS_ASSERT(err == 0);
	item->time = sim->now;
	item->serial = 0; /* next of all */
	err = item_push(sim, item);
	FARBUS_ASSERT(err == 0);
	return true;
}

static int link_end(const struct sim *sim, uint32_t node, uint32_t link)
{
	for (int end = 0; link < sim->link_count && end < 2; end++)
		if (sim->link[link].node[end] == node && sim->link[link].end[end] == END_UP)
			return end;
	return -EHOSTDOWN;
}

int sim_send(struct sim *sim, uint32_t node, uint32_t link, const void *data, size_t len, int fd)
{
	struct sim_event event = { .kind = SIM_DELIVER, .data = data, .len = len, .fd = fd };
	int end = link_end(sim, node, link);

	if (!sim_alive(sim, node) || end < 0)
		return -EHOSTDOWN;
	if (len > TRANSPORT_MESSAGE_MAX)
		return -EMSGSIZE;
	if (dies(sim, node))
		return -EHOSTDOWN;
	if (sim->link[link].going[!end] || sim->link[link].end[!end] == END_DONE)
		return 0; /* the other end has gone: as over a real link, one learns of it later */
	return link_event(sim, link, !end, event, false);
}

void sim_close(struct sim *sim, uint32_t node, uint32_t link)
{
	struct sim_link *at = &sim->link[link];
	int end;

	if (!sim_alive(sim, node) || link >= sim->link_count)
		return;
	end = at->node[0] == node ? 0 : 1; /* 0 may close before it is up */
	if (at->node[end] != node || at->end[end] == END_DONE || (end && !at->end[end]))
		return;
	at->end[end] = END_DONE;
	link_down(sim, link, !end, -ECONNRESET);
}

int sim_timer(struct sim *sim, uint32_t node, uint64_t when_ns)
{
	struct sim_event event = { .kind = SIM_TIMER, .node = node, .fd = -1 };
	struct sim_item *item;
	int err;

	if (!sim_alive(sim, node))
		return -EHOSTDOWN;
	sim->node[node].timer_version++;
	if (when_ns == UINT64_MAX)
		return 0;
	err = item_new(sim, &event, &item);
	if (err < 0)
		return err;
	item->version = sim->node[node].timer_version;
	item->time = when_ns > sim->now ? when_ns : sim->now;
	return item_push(sim, item);
}

void sim_kill(struct sim *sim, uint32_t node)
{
	if (sim_alive(sim, node))
		die(sim, node);
}

void sim_kill_at(struct sim *sim, uint32_t node, uint64_t n)
{
	sim->node[node].messages_left = n;
}

void sim_faults_set(struct sim *sim, const struct sim_faults *faults)
{
	sim->lossy = true;
	sim->faults = *faults;
}

void sim_side_set(struct sim *sim, uint32_t node, uint32_t side)
{
	sim->node[node].side = side;
}

void sim_losses(const struct sim *sim, struct sim_losses *ret_losses)
{
	*ret_losses = sim->losses;
}

void sim_refuse(struct sim *sim, uint32_t node, uint64_t n)
{
	sim->node[node].refuse = n;
}

void sim_stop(struct sim *sim, uint32_t node)
{
	sim->node[node].stopped = true;
}

void sim_continue(struct sim *sim, uint32_t node)
{
	struct sim_node *at = &sim->node[node];
	struct sim_item *item;
	int err;

	at->stopped = false;
	while ((item = at->held)) {
		at->held = item->next;
		item->next = NULL;
		err = sim_queue_push(&sim->queue, item);
		FARBUS_ASSERT(err == 0);
	}
	at->held_end = &at->held;
}

/* A connection arrives: the answer goes back to who asked. True: it is an event for node. */
static bool request_run(struct sim *sim, struct sim_item *item)
{
	struct sim_link *link = &sim->link[item->event.link];
	struct sim_node *node = &sim->node[link->node[1]];
	struct sim_event answer = { .kind = SIM_UP, .fd = -1 };
	int err;

	if (link->lossy && lossy_apart(sim, link)) {
		link->end[1] = END_DONE;
		sim_link_end(sim, item->event.link, 0, -ETIMEDOUT);
		return false;
	}
	if (node->dead || node->refuse) {
		if (!node->dead)
			node->refuse--;
		link->end[1] = END_DONE;
		link_down(sim, item->event.link, 0, -ECONNREFUSED);
		return false;
	}
	link->end[1] = END_UP;
	if (sim->node[link->node[0]].dead) {
		link_down(sim, item->event.link, 1, -EHOSTDOWN);
		return true;
	}
	err = link_event(sim, item->event.link, 0, answer, false);
	FARBUS_ASSERT(err == 0);
	return true;
}

/* Nobody waits for it any more, and so time does not go there. */
static bool item_stale(const struct sim *sim, const struct sim_item *item)
{
	const struct sim_node *node = &sim->node[item->event.node];

	if (item->event.kind == SIM_TIMER && item->version != node->timer_version)
		return true;
	return node->dead && item->event.kind != SIM_DIED && !item->request;
}

/* True: the node is to have it. */
static bool item_run(struct sim *sim, struct sim_item *item)
{
	struct sim_event *event = &item->event;
	struct sim_link *link;
	int end;

	if (event->kind == SIM_DIED)
		return true;
	if (item->request)
		return request_run(sim, item);
	if (event->kind == SIM_TIMER)
		return true;
	link = &sim->link[event->link];
	end = link->node[0] == event->node ? 0 : 1;
	if (link->end[end] == END_DONE)
		return false;
	if (event->kind == SIM_DELIVER)
		return !dies(sim, event->node);
	link->end[end] = event->kind == SIM_UP ? END_UP : END_DONE;
	return true;
}

/* FNV-1a over what a run can differ in. */
static void digest_add(struct sim *sim, const struct sim_event *event)
{
	uint64_t word[] = { sim->now,		event->kind, event->node,
			    event->link,	event->len,  (uint64_t)event->status,
			    (uint64_t)event->fd };
	const uint8_t *data = event->data;
	uint64_t hash = sim->digest ^ 0xcbf29ce484222325;

	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		hash = (hash ^ word[i]) * 0x100000001b3;
	for (size_t i = 0; i < event->len; i++)
		hash = (hash ^ data[i]) * 0x100000001b3;
	sim->digest = hash;
}

int sim_step(struct sim *sim, struct sim_event *ret_event)
{
	struct sim_item *item;

	free(sim->current);
	sim->current = NULL;
	while ((item = sim_queue_pop(&sim->queue))) {
		struct sim_node *node = &sim->node[item->event.node];

		if (item->packet) {
			sim->now = item->time > sim->now ? item->time : sim->now;
			lossy_run(sim, item);
			free(item);
			continue;
		}
		if (item_stale(sim, item)) {
			free(item);
			continue;
		}
		if (node->stopped && !node->dead) {
			*node->held_end = item;
			node->held_end = &item->next;
			continue;
		}
		if (item->time > sim->now)
			sim->now = item->time;
		if (!item_run(sim, item)) {
			free(item);
			continue;
		}
		digest_add(sim, &item->event);
		sim->current = item;
		*ret_event = item->event;
		return 0;
	}
	return -EAGAIN;
}
