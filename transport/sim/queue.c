/* SPDX-License-Identifier: BSD-3-Clause */
/* queue.c -- events in order of time */
#include "transport/sim/queue.h"

#include <errno.h>
#include <stdlib.h>

static bool before(const struct sim_item *a, const struct sim_item *b)
{
	return a->time != b->time ? a->time < b->time : a->serial < b->serial;
}

static int grow(struct sim_queue *queue)
{
	size_t size = queue->size ? queue->size * 2 : 64;
	struct sim_item **item = realloc(queue->item, size * sizeof(struct sim_item *));

	if (!item)
		return -ENOMEM;
	queue->item = item;
	queue->size = size;
	return 0;
}

int sim_queue_push(struct sim_queue *queue, struct sim_item *item)
{
	size_t at;
	int err;

	if (queue->used == queue->size) {
		err = grow(queue);
		if (err < 0)
			return err;
	}
	for (at = queue->used++; at > 0 && before(item, queue->item[(at - 1) / 2]);
	     at = (at - 1) / 2)
		queue->item[at] = queue->item[(at - 1) / 2];
	queue->item[at] = item;
	return 0;
}

struct sim_item *sim_queue_pop(struct sim_queue *queue)
{
	struct sim_item *first, *last;
	size_t at = 0, child;

	if (queue->used == 0)
		return NULL;
	first = queue->item[0];
	last = queue->item[--queue->used];
	while ((child = 2 * at + 1) < queue->used) {
		if (child + 1 < queue->used && before(queue->item[child + 1], queue->item[child]))
			child++;
		if (!before(queue->item[child], last))
			break;
		queue->item[at] = queue->item[child];
		at = child;
	}
	queue->item[at] = last;
	return first;
}

void sim_queue_fini(struct sim_queue *queue)
{
	for (size_t i = 0; i < queue->used; i++)
		free(queue->item[i]);
	free(queue->item);
	*queue = (struct sim_queue){ 0 };
}
