/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_end.c -- both ends of links in one process, for tests over any backend */
#include "transport_end.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct kept {
	STAILQ_ENTRY(kept) link;
	struct transport_event event;
	_Alignas(8) uint8_t data[];
};

struct end {
	struct transport *transport;
	STAILQ_HEAD(, kept) queue;
	struct kept *last; /* what the test looks at */
	char locator[TRANSPORT_LOCATOR_MAX];
};

static struct end *ends[END_MAX];

struct end *end_open(const char *where)
{
	struct end *end = calloc(1, sizeof(*end));

	assert_non_null(end);
	STAILQ_INIT(&end->queue);
	assert_int_equal(ops->open(where, &end->transport), 0);
	ops->locator(end->transport, end->locator);
	for (int i = 0; i < END_MAX; i++)
		if (!ends[i]) {
			ends[i] = end;
			return end;
		}
	fail_msg("more than %d ends", END_MAX);
	return NULL;
}

void end_close(struct end *end)
{
	struct kept *kept;

	ops->close(end->transport);
	while ((kept = STAILQ_FIRST(&end->queue))) {
		STAILQ_REMOVE_HEAD(&end->queue, link);
		free(kept);
	}
	for (int i = 0; i < END_MAX; i++)
		if (ends[i] == end)
			ends[i] = NULL;
	free(end->last);
	free(end);
}

struct transport *end_transport(struct end *end)
{
	return end->transport;
}

const char *end_locator(struct end *end)
{
	return end->locator;
}

static void end_poll(struct end *end)
{
	struct transport_event event;
	struct kept *kept;

	if (ops->poll(end->transport, &event) < 0)
		return;
	kept = calloc(1, sizeof(*kept) + event.len);
	assert_non_null(kept);
	kept->event = event;
	if (event.len) {
		assert_int_equal((uintptr_t)event.data % 8, 0);
		memcpy(kept->data, event.data, event.len);
	}
	kept->event.data = kept->data;
	STAILQ_INSERT_TAIL(&end->queue, kept, link);
}

void end_progress(void)
{
	for (int i = 0; i < END_MAX; i++)
		if (ends[i])
			end_poll(ends[i]);
}

static bool end_take(struct end *end, struct transport_event *ret_event)
{
	struct kept *kept = STAILQ_FIRST(&end->queue);

	if (!kept)
		return false;
	STAILQ_REMOVE_HEAD(&end->queue, link);
	free(end->last);
	end->last = kept;
	*ret_event = kept->event;
	return true;
}

bool end_event(struct end *end, struct transport_event *ret_event)
{
	end_progress();
	return end_take(end, ret_event);
}

void end_expect(struct end *end, enum transport_event_kind kind, struct transport_event *ret_event)
{
	uint64_t until = test_now() + WAIT_NS;

	while (!end_event(end, ret_event)) {
		if (test_now() > until)
			fail_msg("no event, waited for kind %d", kind);
		sched_yield();
	}
	assert_int_equal(ret_event->kind, kind);
}

/* Long enough for what is on its way within this host; nobody has to be late for it to pass. */
void end_expect_nothing(struct end *end)
{
	uint64_t until = test_now() + 2000000;
	struct transport_event event;

	do {
		if (end_event(end, &event))
			fail_msg("event %d with status %d, expected none", event.kind,
				 event.status);
		sched_yield();
	} while (test_now() < until);
}

void end_join(struct end *a, struct end *b, struct transport_link **ret_a,
	      struct transport_link **ret_b)
{
	struct transport_event event;

	assert_int_equal(ops->connect(a->transport, b->locator, ret_a), 0);
	end_expect(b, TRANSPORT_LINK_UP, &event);
	assert_true(event.accepted);
	*ret_b = event.link;
	end_expect(a, TRANSPORT_LINK_UP, &event);
	assert_false(event.accepted);
	assert_ptr_equal(event.link, *ret_a);
}

bool end_readable(struct end *end)
{
	struct pollfd wait = { .fd = ops->fd(end->transport), .events = POLLIN };

	return poll(&wait, 1, 0) == 1;
}

void end_park(struct end *end)
{
	uint64_t until = test_now() + WAIT_NS;
	struct transport_event event;

	while (!ops->park(end->transport)) {
		if (ops->poll(end->transport, &event) == 0)
			fail_msg("event %d while parking", event.kind);
		if (test_now() > until)
			fail_msg("never parks");
	}
}
