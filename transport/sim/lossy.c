/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lossy.c -- what goes on under the links: packets, lost and doubled, and their repetitions
 *
 * Below the nodes, as in a kernel: a stopped node's packets are acknowledged, and what a dead one
 * had sent is still repeated. Directions are named by the end that gets the messages.
 *
 * Invariants:
 *   1. direction->sent holds the messages from arq.unacked to arq.next, waiting those after them
 *   2. a repetition is under way exactly while a message is not acknowledged
 */
#include "transport/sim/sim_private.h"

#include "base/assert.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum packet { PACKET_DATA = 1, PACKET_ACK, PACKET_REPEAT };

struct direction {
	struct arq arq;
	struct sim_item *sent[ARQ_WINDOW_MAX];	 /* owned */
	struct sim_item *waiting, **waiting_end; /* owned: for room in the window */
	bool repeating;
};

struct lossy {
	struct direction direction[2];
	bool ended;
};

int lossy_new(struct sim *sim, struct sim_link *link)
{
	struct lossy *lossy = calloc(1, sizeof(*lossy));

	(void)sim;
	if (!lossy)
		return -ENOMEM;
	for (int end = 0; end < 2; end++) {
		arq_init(&lossy->direction[end].arq);
		lossy->direction[end].waiting_end = &lossy->direction[end].waiting;
	}
	link->lossy = lossy;
	return 0;
}

static void direction_drop(struct direction *direction)
{
	struct sim_item *item;

	for (int i = 0; i < ARQ_WINDOW_MAX; i++) {
		free(direction->sent[i]);
		direction->sent[i] = NULL;
	}
	while ((item = direction->waiting)) {
		direction->waiting = item->next;
		free(item);
	}
	direction->waiting_end = &direction->waiting;
}

void lossy_free(struct sim_link *link)
{
	if (!link->lossy)
		return;
	direction_drop(&link->lossy->direction[0]);
	direction_drop(&link->lossy->direction[1]);
	free(link->lossy);
	link->lossy = NULL;
}

bool lossy_apart(const struct sim *sim, const struct sim_link *link)
{
	return sim->node[link->node[0]].side != sim->node[link->node[1]].side;
}

static void packet_push(struct sim *sim, uint32_t link, int end, enum packet packet,
			uint64_t number, uint64_t time)
{
	struct sim_item *item = calloc(1, sizeof(*item));
	int err;

	FARBUS_ASSERT(item); /* without it the run would be of no use */
	item->event.link = link;
	item->packet = packet;
	item->end = end;
	item->number = number;
	item->time = time;
	item->serial = ++sim->serial;
	err = sim_queue_push(&sim->queue, item);
	FARBUS_ASSERT(err == 0);
}

static bool chance(struct sim *sim, uint32_t ppm)
{
	return ppm && sim_random(sim) % 1000000 < ppm;
}

static void packet_send(struct sim *sim, uint32_t link, int end, enum packet packet,
			uint64_t number)
{
	sim->losses.packets++;
	if (lossy_apart(sim, &sim->link[link]) || chance(sim, sim->faults.loss_ppm)) {
		sim->losses.lost++;
		return;
	}
	packet_push(sim, link, end, packet, number, sim->now + sim_delay(sim));
	if (chance(sim, sim->faults.double_ppm)) {
		sim->losses.doubled++;
		packet_push(sim, link, end, packet, number, sim->now + sim_delay(sim));
	}
}

static void repeat_later(struct sim *sim, uint32_t link, int end, struct direction *direction)
{
	if (direction->repeating)
		return;
	direction->repeating = true;
	packet_push(sim, link, end, PACKET_REPEAT, 0, sim->now + direction->arq.timeout);
}

static void message_send(struct sim *sim, uint32_t link, int end, struct sim_item *item)
{
	struct direction *direction = &sim->link[link].lossy->direction[end];
	uint64_t number = arq_send(&direction->arq, sim->now);

	direction->sent[number % ARQ_WINDOW_MAX] = item;
	packet_send(sim, link, end, PACKET_DATA, number);
	repeat_later(sim, link, end, direction);
}

void lossy_send(struct sim *sim, uint32_t link, int end, struct sim_item *item)
{
	struct direction *direction = &sim->link[link].lossy->direction[end];

	if (sim->link[link].lossy->ended) {
		free(item);
		return;
	}
	if (!direction->waiting && arq_room(&direction->arq)) {
		message_send(sim, link, end, item);
		return;
	}
	item->next = NULL;
	*direction->waiting_end = item;
	direction->waiting_end = &item->next;
}

/* The sender keeps its copy until it is acknowledged: this one is handed on. */
static void message_deliver(struct sim *sim, const struct sim_item *sent, int end)
{
	struct sim_item *item = calloc(1, sizeof(*item) + sent->event.len);

	FARBUS_ASSERT(item);
	memcpy(item, sent, sizeof(*item) + sent->event.len);
	item->event.data = item->data;
	item->next = NULL;
	sim_deliver(sim, item, end);
}

static void data_run(struct sim *sim, uint32_t link, int end, uint64_t number)
{
	struct direction *direction = &sim->link[link].lossy->direction[end];
	uint64_t take;

	arq_data(&direction->arq, number);
	while (arq_take(&direction->arq, &take))
		message_deliver(sim, direction->sent[take % ARQ_WINDOW_MAX], end);
	arq_check(&direction->arq);
	packet_send(sim, link, end, PACKET_ACK, direction->arq.expected);
}

static void ack_run(struct sim *sim, uint32_t link, int end, uint64_t before)
{
	struct direction *direction = &sim->link[link].lossy->direction[end];
	uint64_t from = direction->arq.unacked;
	struct sim_item *item;

	if (!arq_ack(&direction->arq, before, sim->now))
		return;
	for (; from < before; from++) {
		free(direction->sent[from % ARQ_WINDOW_MAX]);
		direction->sent[from % ARQ_WINDOW_MAX] = NULL;
	}
	while ((item = direction->waiting) && arq_room(&direction->arq)) {
		direction->waiting = item->next;
		if (!direction->waiting)
			direction->waiting_end = &direction->waiting;
		message_send(sim, link, end, item);
	}
}

static void give_up(struct sim *sim, uint32_t link)
{
	struct lossy *lossy = sim->link[link].lossy;

	sim->losses.given_up++;
	lossy->ended = true;
	direction_drop(&lossy->direction[0]);
	direction_drop(&lossy->direction[1]);
	sim_link_end(sim, link, 0, -EHOSTDOWN);
	sim_link_end(sim, link, 1, -EHOSTDOWN);
}

static void repeat_run(struct sim *sim, uint32_t link, int end)
{
	struct direction *direction = &sim->link[link].lossy->direction[end];
	bool in_vain;

	direction->repeating = false;
	if (!arq_repeat(&direction->arq, sim->now, &in_vain)) {
		if (in_vain)
			give_up(sim, link);
		return;
	}
	for (uint64_t at = direction->arq.unacked; at < direction->arq.next; at++) {
		sim->losses.repeated++;
		packet_send(sim, link, end, PACKET_DATA, at);
	}
	repeat_later(sim, link, end, direction);
}

void lossy_run(struct sim *sim, const struct sim_item *item)
{
	uint32_t link = item->event.link;

	if (sim->link[link].lossy->ended)
		return;
	switch ((enum packet)item->packet) {
	case PACKET_DATA:
		data_run(sim, link, item->end, item->number);
		break;
	case PACKET_ACK:
		ack_run(sim, link, item->end, item->number);
		break;
	case PACKET_REPEAT:
		repeat_run(sim, link, item->end);
		break;
	}
}
