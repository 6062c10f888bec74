/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * event.c -- what happened to the job, for farbus_poll()
 *
 * Invariant: event_fd is readable exactly while an event or the overflow mark is pending.
 */
#include "runtime/instance.h"

#include "base/counter.h"
#include "base/error.h"
#include <errno.h>
#include <unistd.h>

void event_push_locked(struct farbus *farbus, const struct farbus_event *event)
{
	uint64_t one = 1;

	if (farbus->event_head - farbus->event_tail == INSTANCE_EVENT_MAX) {
		farbus->event_overflow = true;
		counter_add(COUNTER_event_lost, 1);
		return;
	}
	farbus->event[farbus->event_head++ % INSTANCE_EVENT_MAX] = *event;
	if (write(farbus->event_fd, &one, sizeof(one)) < 0)
		counter_add(COUNTER_event_lost, 0); /* EAGAIN: readable already */
	pthread_cond_broadcast(&farbus->event_cond);
}

static size_t event_take_locked(struct farbus *farbus, struct farbus_event *event, size_t max)
	REQUIRES(&farbus->lock)
{
	size_t n = 0;
	uint64_t count;

	while (n < max && farbus->event_tail != farbus->event_head)
		event[n++] = farbus->event[farbus->event_tail++ % INSTANCE_EVENT_MAX];
	if (n < max && farbus->event_overflow) {
		event[n++] = (struct farbus_event){ .kind = FARBUS_EVENT_OVERFLOW };
		farbus->event_overflow = false;
	}
	if (farbus->event_tail == farbus->event_head && !farbus->event_overflow)
		if (read(farbus->event_fd, &count, sizeof(count)) < 0)
			return n; /* was not readable: as it should be */
	return n;
}

int farbus_poll(struct farbus *farbus, struct farbus_event *event, size_t max, int timeout_ms,
		size_t *ret_count)
{
	struct timespec until;
	uint64_t deadline;
	size_t n;
	int err = instance_check(farbus), wait = 0;

	if (err < 0)
		return err;
	if (!event || max == 0 || !ret_count)
		return error_set(-EINVAL, "farbus_poll needs room for at least one event");
	deadline = instance_deadline(farbus, timeout_ms);
	until.tv_sec = (time_t)(deadline / NS_PER_S);
	until.tv_nsec = (long)(deadline % NS_PER_S);
	lock_acquire(&farbus->lock);
	service_pump_locked(farbus);
	while ((n = event_take_locked(farbus, event, max)) == 0 && wait == 0 && timeout_ms != 0)
		wait = pthread_cond_timedwait(&farbus->event_cond, &farbus->lock.mutex, &until);
	lock_release(&farbus->lock);
	if (n == 0)
		return error_set(-ETIMEDOUT, "no event came in time");
	*ret_count = n;
	return 0;
}

int farbus_fd(struct farbus *farbus)
{
	int err = instance_check(farbus);

	return err < 0 ? err : farbus->event_fd;
}
