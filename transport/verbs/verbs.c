/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verbs.c -- the transport over RDMA devices: poll, park, the end
 *
 * poll() reads the completion queues. It looks at epoll (the connection manager, the device, the timer)
 * when it slept, and otherwise now and then; what it misses keeps fd() readable, so that the next
 * sleep is short.
 */
#include "transport/verbs/verbs.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "transport/verbs/open.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LOOK_EVENTS 8
#define LOOK_NS NS_PER_MS
#define CQ_EVENTS_BATCH 64

struct verbs_tuning verbs_tuning = {
	.connect_ns = 10 * NS_PER_S,
	.linger_ns = 20 * NS_PER_S,
	.probe_ns = 5 * NS_PER_S,
	.replay_ns = 20 * NS_PER_S,
	.close_ns = 2 * NS_PER_S,
	.chunk_len = UINT64_MAX,
	.ack_timeout = 17,
};

/* Names the calling thread. */
static const void *thread_name(void)
{
	static _Thread_local char name;

	return &name;
}

static void verbs_locator(const struct transport *transport,
			  char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	memcpy(ret_locator, transport->locator, TRANSPORT_LOCATOR_MAX);
}

static int verbs_fd(struct transport *transport)
{
	return transport->epoll;
}

void verbs_timer_want(struct transport *transport, uint64_t at)
{
	struct itimerspec when = { .it_value = { (time_t)(at / NS_PER_S), (long)(at % NS_PER_S) } };

	if (at >= transport->timer_at)
		return;
	transport->timer_at = at;
	timerfd_settime(transport->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* ---- what is looked at less often ---- */

static void timer_run(struct transport *transport)
{
	uint64_t count, next = UINT64_MAX, now;

	if (read(transport->timer, &count, sizeof(count)) < 0)
		return;
	now = clock_now_ns();
	transport->timer_at = UINT64_MAX;
	for (unsigned i = transport->link_count; i-- > 0;) {
		uint64_t at = verbs_link_tick(transport->link[i], now);

		next = at < next ? at : next;
	}
	if (next != UINT64_MAX)
		verbs_timer_want(transport, next);
}

static void cq_events_take(struct transport *transport)
{
	struct ibv_cq *cq;
	void *context;

	transport->fired = false;
	while (transport->library->get_cq_event(transport->channel, &cq, &context) == 0) {
		struct queue *queue = context;

		queue->armed = false;
		if (++queue->events < CQ_EVENTS_BATCH)
			continue;
		transport->library->ack_cq_events(queue->cq, queue->events);
		queue->events = 0;
	}
}

static void links_fail(struct transport *transport, int status)
{
	for (unsigned i = transport->link_count; i-- > 0;)
		verbs_link_fail(transport->link[i], status);
}

/* A port that is down ends no link by itself: it may come back before the peers are missed. */
static void device_events(struct transport *transport)
{
	char device[VERBS_REASON_MAX];
	struct ibv_async_event event;

	while (transport->library->get_async_event(transport->verbs, &event) == 0) {
		enum ibv_event_type type = event.event_type;

		transport->library->ack_async_event(&event);
		verbs_device_text(transport, device, sizeof(device));
		switch (type) {
		case IBV_EVENT_DEVICE_FATAL:
		case IBV_EVENT_CQ_ERR:
			log_error("%s: %s: all links over it are lost", device,
				  transport->library->event_text(type));
			links_fail(transport, -EHOSTDOWN);
			break;
		case IBV_EVENT_PORT_ERR:
		case IBV_EVENT_PORT_ACTIVE:
			log_warning("%s: %s", device, transport->library->event_text(type));
			break;
		default:
			log_debug("%s: %s", device, transport->library->event_text(type));
			break;
		}
	}
}

static void look(struct transport *transport)
{
	struct epoll_event event[LOOK_EVENTS];
	int n;

	transport->look_due = false;
	n = epoll_wait(transport->epoll, event, LOOK_EVENTS, 0);
	if (n > 0)
		transport->took = true;
	for (int i = 0; i < n; i++)
		switch ((enum watch_kind)event[i].data.u32) {
		case WATCH_CQ:
			cq_events_take(transport);
			break;
		case WATCH_CM:
			verbs_pair_events(transport);
			break;
		case WATCH_DEVICE:
			device_events(transport);
			break;
		case WATCH_TIMER:
			timer_run(transport);
			break;
		case WATCH_WAKE:
			break;
		}
}

static bool look_wanted(struct transport *transport)
{
	uint64_t now;

	if (transport->look_due)
		return true;
	now = clock_now_ns();
	if (now - transport->look_at < LOOK_NS)
		return false;
	transport->look_at = now;
	return true;
}

/* ---- poll ---- */

static void held_return(struct transport *transport)
{
	struct transport_link *held = transport->held;

	transport->held = NULL;
	if (held)
		verbs_message_release(held, transport->held_number);
}

static void dead_free(struct transport *transport)
{
	for (unsigned i = transport->link_count; transport->dead && i-- > 0;)
		if (transport->link[i]->state == LINK_DEAD && transport->link[i]->untold == 0)
			verbs_link_free(transport->link[i]);
}

static bool due_event(struct link_queue *queue, struct transport_event *ret_event)
{
	struct transport_link *link = TAILQ_FIRST(queue);
	unsigned due, rest;

	if (!link)
		return false;
	due = link->due & -link->due; /* the lowest */
	rest = link->due & ~due;
	TAILQ_REMOVE(queue, link, due_link);
	link->due = 0;
	if (rest)
		verbs_link_due(link, rest);
	ret_event->link = link;
	if (due == DUE_UP) {
		ret_event->kind = TRANSPORT_LINK_UP;
		ret_event->accepted = link->accepted;
		ret_event->uid = (uid_t)-1;
	} else if (due == DUE_WRITABLE) {
		ret_event->kind = TRANSPORT_WRITABLE;
	} else {
		ret_event->kind = TRANSPORT_LINK_DOWN;
		ret_event->status = link->status;
		link->state = LINK_DOWN;
	}
	return true;
}

static bool done_event(struct transport *transport, struct transport_event *ret_event)
{
	struct operation *operation = TAILQ_FIRST(&transport->done);

	if (!operation)
		return false;
	TAILQ_REMOVE(&transport->done, operation, queue);
	ret_event->kind = TRANSPORT_COMPLETE;
	ret_event->link = operation->link->state == LINK_DEAD ? NULL : operation->link;
	ret_event->status = operation->status;
	ret_event->cookie = operation->cookie;
	verbs_operation_free(operation);
	return true;
}

static void control_error(struct transport *transport, struct transport_link *link,
			  const struct ibv_wc *wc)
{
	if (wc->status != IBV_WC_WR_FLUSH_ERR && !link->broken)
		log_info("link to %s: %s", link->address.host[0] ? link->address.host : "a peer",
			 transport->library->status_text(wc->status));
	verbs_link_fail(link, -EHOSTDOWN);
}

/* One completion. True: it is an event. */
static bool batch_event(struct transport *transport, struct transport_event *ret_event)
{
	const struct ibv_wc *wc = &transport->batch[transport->batch_next];
	struct pair *pair = verbs_pair_of(transport, wc->wr_id);
	uint16_t number = (uint16_t)wc->wr_id;
	struct transport_link *link;

	if (pair && pair->kind == PAIR_CONTROL && pair->link->state < LINK_UP &&
	    !pair->link->broken && wc->status == IBV_WC_SUCCESS) {
		verbs_link_up(pair->link); /* a message was faster; it waits for LINK_UP */
		return false;
	}
	transport->batch_next++;
	if (!pair)
		return false;
	link = pair->link;
	if (pair->kind == PAIR_DATA)
		verbs_data_completed(link->data, number, wc);
	else if (wc->status != IBV_WC_SUCCESS)
		control_error(transport, link, wc);
	else if (number & 0x8000u)
		return verbs_message_received(link, number & 0x7fffu, wc->byte_len, ret_event);
	else
		verbs_message_sent(link, number);
	return false;
}

/*
 * False: the completion queues are empty. What is found in an armed queue made fd() readable, or
 * will.
 */
static bool batch_read(struct transport *transport)
{
	transport->batch_next = transport->batch_count = 0;
	for (int i = 0; i < QUEUE_COUNT; i++) {
		struct queue *queue = &transport->queue[i];
		int n = ibv_poll_cq(queue->cq, VERBS_BATCH, transport->batch);

		if (n <= 0)
			continue;
		transport->batch_count = (unsigned)n;
		if (queue->armed)
			transport->took = transport->fired = true;
		queue->armed = false;
		transport->look_due = false;
		return true;
	}
	return false;
}

static bool poll_event(struct transport *transport, struct transport_event *ret_event)
{
	for (bool looked = false;;) {
		if (due_event(&transport->due_now, ret_event) || done_event(transport, ret_event))
			return true;
		if (transport->batch_next < transport->batch_count) {
			if (batch_event(transport, ret_event))
				return true;
			continue;
		}
		if (batch_read(transport))
			continue;
		if (due_event(&transport->due_down, ret_event))
			return true;
		dead_free(transport);
		if (looked || !look_wanted(transport))
			return false;
		looked = true;
		look(transport);
	}
}

void verbs_wake(struct transport *transport)
{
	uint64_t one = 1;

	if (transport->rung)
		return;
	transport->rung = true;
	while (write(transport->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/*
 * A thread that polls while another one sleeps may take what made fd() readable, and leave the rest
 * inside: whoever gets an event wakes the sleeper, once.
 */
static int verbs_poll(struct transport *transport, struct transport_event *ret_event)
{
	struct transport_event event = { .fd = -1 };

	held_return(transport);
	if (transport->parked == thread_name())
		transport->parked = NULL;
	if (!poll_event(transport, &event))
		return -EAGAIN;
	if (transport->parked && transport->took) {
		transport->parked = NULL;
		verbs_wake(transport);
	}
	*ret_event = event;
	return 0;
}

static void wake_silence(struct transport *transport)
{
	uint64_t count;

	if (!transport->rung)
		return;
	transport->rung = false;
	while (read(transport->wake, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

static bool queues_arm(struct transport *transport)
{
	if (transport->fired)
		cq_events_take(transport);
	for (int i = 0; i < QUEUE_COUNT; i++) {
		struct queue *queue = &transport->queue[i];

		if (queue->armed || (i == QUEUE_DATA && transport->untold == 0))
			continue;
		if (ibv_req_notify_cq(queue->cq, 0) != 0)
			return false;
		queue->armed = true;
	}
	return true;
}

/* Armed first, then read: what comes in between is found by one or the other. */
static bool verbs_park(struct transport *transport)
{
	wake_silence(transport);
	held_return(transport);
	transport->look_due = true;
	if (!TAILQ_EMPTY(&transport->due_now) || !TAILQ_EMPTY(&transport->due_down) ||
	    !TAILQ_EMPTY(&transport->done) || transport->batch_next < transport->batch_count)
		return false;
	if (!queues_arm(transport) || batch_read(transport))
		return false;
	transport->took = false;
	transport->parked = thread_name();
	return true;
}

/* ---- the end ---- */

/* Waits, bounded, until the devices of the peers have what was sent. */
static void verbs_close(struct transport *transport)
{
	uint64_t until = clock_now_ns() + verbs_tuning.close_ns;
	struct transport_event event;

	if (!transport)
		return;
	for (unsigned i = transport->link_count; i-- > 0;)
		verbs_link_close(transport->link[i]);
	while (transport->closing && clock_now_ns() < until) {
		struct epoll_event ready;

		if (verbs_poll(transport, &event) == 0) {
			if (event.kind == TRANSPORT_LINK_UP)
				verbs_link_close(event.link);
		} else if (verbs_park(transport)) {
			epoll_wait(transport->epoll, &ready, 1, 1);
		}
	}
	verbs_free(transport);
}

static void verbs_link_user_set(struct transport_link *link, void *user)
{
	link->user = user;
}

static void *verbs_link_user(const struct transport_link *link)
{
	return link->user;
}

const struct transport_ops transport_verbs = {
	.name = "verbs",
	.message_max = TRANSPORT_MESSAGE_MAX,
	.probe = verbs_probe,
	.open = verbs_open,
	.close = verbs_close,
	.locator = verbs_locator,
	.fd = verbs_fd,
	.connect = verbs_link_connect,
	.send = verbs_message_send,
	.poll = verbs_poll,
	.park = verbs_park,
	.link_close = verbs_link_close,
	.link_user_set = verbs_link_user_set,
	.link_user = verbs_link_user,
	.memory_expose = verbs_memory_expose,
	.memory_hide = verbs_memory_hide,
	.remote_open = verbs_remote_open,
	.remote_close = verbs_remote_close,
	.remote_onesided = verbs_remote_onesided,
	.put = verbs_put,
	.get = verbs_get,
	.atomic = verbs_atomic,
};
