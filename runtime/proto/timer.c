/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * timer.c -- deadlines, in one tree
 *
 * Invariant (timer_check): the tree holds exactly the armed timers.
 */
#include "base/assert.h"
#include "runtime/proto/core_private.h"

static int timer_compare(const struct timer *a, const struct timer *b)
{
	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return (a->serial > b->serial) - (a->serial < b->serial);
}

TREE_GENERATE(timers, timer, link, timer_compare)

void timer_init(struct timer *timer, enum timer_kind kind, void *owner)
{
	*timer = (struct timer){ .kind = kind, .owner = owner };
}

void timer_set(struct core *core, struct timer *timer, uint64_t at)
{
	timer_clear(core, timer);
	timer->at = at;
	timer->serial = ++core->timer_serial;
	timer->armed = true;
	RB_INSERT(timers, &core->timers, timer);
}

void timer_clear(struct core *core, struct timer *timer)
{
	if (!timer->armed)
		return;
	RB_REMOVE(timers, &core->timers, timer);
	timer->armed = false;
}

struct timer *timer_due(struct core *core)
{
	struct timer *timer = RB_MIN(timers, &core->timers);

	if (!timer || timer->at > core->now)
		return NULL;
	timer_clear(core, timer);
	return timer;
}

uint64_t timer_next(const struct core *core)
{
	struct timer *timer = RB_MIN(timers, TREE_CONST(timers, &core->timers));

	return timer ? timer->at : UINT64_MAX;
}

void timer_check(const struct core *core)
{
	struct timers *timers = TREE_CONST(timers, &core->timers);
	struct timer *timer, *last = NULL;

	RB_FOREACH(timer, timers, timers)
	{
		FARBUS_ASSERT(timer->armed);
		FARBUS_ASSERT(timer->owner);
		FARBUS_ASSERT(!last || timer_compare(last, timer) < 0);
		last = timer;
	}
}
