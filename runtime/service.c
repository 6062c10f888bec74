/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service.c -- the service thread: a loop over the protocol core
 *
 * It sleeps in epoll on the transport, a timer and a wake-up eventfd, and costs nothing while
 * nothing happens. Application threads that wait for an answer pump the same core under the same
 * lock instead of waiting for this thread.
 *
 * Invariants:
 *   1. A link that is in use, or lingers, has a transport link, whose user pointer is its number + 1.
 *   2. Messages of a link leave in the order in which the core made them: while its queue is not
 *      empty everything goes through the queue.
 */
#include "runtime/instance.h"

#include "base/alloc.h"
#include "base/counter.h"
#include "base/error.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PUMP_ROUND_MAX 256 /* transport events per lock hold */

static int link_new(struct farbus *farbus, struct backend *backend,
		    struct transport_link *transport, uint32_t rank)
{
	for (uint32_t i = 0; i < INSTANCE_LINK_MAX; i++) {
		struct link *link = &farbus->links[i];

		if (link->transport)
			continue;
		memset(link, 0, sizeof(*link));
		STAILQ_INIT(&link->queue);
		link->transport = transport;
		link->backend = backend;
		link->rank = rank;
		if (i >= farbus->link_top)
			farbus->link_top = i + 1;
		backend->ops->link_user_set(transport, (void *)(uintptr_t)(i + 1));
		return (int)i;
	}
	return error_set(-ENOSPC, "more than %d links", INSTANCE_LINK_MAX);
}

static void link_queue_free(struct link *link)
{
	struct pending_message *message;

	while ((message = STAILQ_FIRST(&link->queue))) {
		STAILQ_REMOVE_HEAD(&link->queue, link);
		if (message->fd >= 0)
			close(message->fd);
		free(message);
	}
	link->queued = 0;
}

static void link_free(struct link *link)
{
	link_queue_free(link);
	link->backend->ops->link_close(link->transport);
	link->transport = NULL;
}

/* After the core knows of its end. Its number stays taken until nobody has the other end. */
static void link_end(struct farbus *farbus, uint32_t number) REQUIRES(&farbus->lock)
{
	struct link *link = &farbus->links[number];
	const struct transport_ops *ops = link->backend->ops;

	link->closing = false;
	if (ops->link_linger && ops->link_linger(link->transport)) {
		link_queue_free(link);
		link->lingers = true;
		return;
	}
	link_free(link);
	core_link_gone(farbus->core, number, clock_now_ns());
}

static struct link *link_of(struct farbus *farbus, const struct backend *backend,
			    struct transport_link *transport, uint32_t *ret_number)
{
	uintptr_t user = (uintptr_t)backend->ops->link_user(transport);

	if (user == 0 || user > INSTANCE_LINK_MAX)
		return NULL;
	*ret_number = (uint32_t)user - 1;
	return &farbus->links[*ret_number];
}

static void link_queue(struct link *link, const struct core_output *output, int fd)
{
	size_t len = output->len + output->tail_len;
	struct pending_message *message = alloc_zero(sizeof(*message) + len);

	if (!message || link->queued + len > INSTANCE_QUEUE_MAX) {
		/* Order is all a link has: one message lost and it must go. */
		log_warning("rank %d takes nothing: its link is given up", (int)link->rank);
		free(message);
		link->closing = true;
		return;
	}
	message->len = len;
	message->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	memcpy(message->data, output->data, output->len);
	if (output->tail_len)
		memcpy(message->data + output->len, output->tail, output->tail_len);
	STAILQ_INSERT_TAIL(&link->queue, message, link);
	link->queued += len ? len : 1;
	counter_add(COUNTER_message_again, 1);
}

static void link_flush(struct link *link)
{
	struct pending_message *message;

	while ((message = STAILQ_FIRST(&link->queue))) {
		int err = link->backend->ops->send(link->transport, message->data, message->len,
						   message->fd);

		if (err == -EAGAIN)
			return;
		STAILQ_REMOVE_HEAD(&link->queue, link);
		link->queued -= message->len ? message->len : 1;
		if (message->fd >= 0)
			close(message->fd);
		free(message);
	}
}

static int region_fd_locked(struct farbus *farbus, uint64_t id) REQUIRES(&farbus->lock)
{
	struct farbus_region *region;

	LIST_FOREACH(region, &farbus->regions, link)
		if (region->own && region->id == id)
			return region->fd;
	return -1;
}

static int link_send(struct link *link, const struct core_output *output, int fd)
{
	const struct transport_ops *ops = link->backend->ops;
	uint8_t both[TRANSPORT_MESSAGE_MAX];

	if (output->tail_len == 0)
		return ops->send(link->transport, output->data, output->len, fd);
	if (ops->sendv)
		return ops->sendv(link->transport, output->data, output->len, output->tail,
				  output->tail_len);
	if (output->len + output->tail_len > sizeof(both))
		return -EMSGSIZE;
	memcpy(both, output->data, output->len);
	memcpy(both + output->len, output->tail, output->tail_len);
	return ops->send(link->transport, both, output->len + output->tail_len, fd);
}

static void output_send(struct farbus *farbus, const struct core_output *output)
	REQUIRES(&farbus->lock)
{
	struct link *link;
	int fd, err = -EAGAIN;

	if (output->link >= farbus->link_top || !farbus->links[output->link].transport ||
	    farbus->links[output->link].lingers)
		return; /* went down meanwhile; the core is told in order */
	link = &farbus->links[output->link];
	fd = output->region ? region_fd_locked(farbus, output->region) : -1;
	counter_add(COUNTER_message_sent, 1);
	if (STAILQ_EMPTY(&link->queue))
		err = link_send(link, output, fd);
	if (err == -EAGAIN)
		link_queue(link, output, fd);
	/* Any other failure is a dead link: its LINK_DOWN is on the way. */
}

static int connect_start(struct farbus *farbus, uint32_t rank) REQUIRES(&farbus->lock)
{
	struct transport_link *transport = NULL;
	char locator[TRANSPORT_LOCATOR_MAX];
	struct backend *backend;
	int err, number;

	err = backend_route(farbus, rank, &backend, locator);
	if (err < 0)
		return err;
	err = backend->ops->connect(backend->transport, locator, &transport);
	if (err < 0)
		return err;
	number = link_new(farbus, backend, transport, rank);
	if (number < 0) {
		backend->ops->link_close(transport);
		return number;
	}
	farbus->links[number].connecting = true;
	return 0;
}

static void output_connect(struct farbus *farbus, uint32_t rank) REQUIRES(&farbus->lock)
{
	int err = connect_start(farbus, rank);

	if (err < 0)
		core_connect_failed(farbus->core, rank, err, clock_now_ns());
}

static void output_abort(const struct core_output *output)
{
	log_error("the job was aborted with code %d: %.*s", output->status,
		  (int)sizeof(output->why), output->why);
	_exit(output->status);
}

/* An import of our own region: nobody sends us its descriptor. */
static void output_own_fd(struct farbus *farbus, struct core_output *output) REQUIRES(&farbus->lock)
{
	bool wants = output->kind == CORE_DONE ||
		     (output->kind == CORE_WORK && output->work_kind == CORE_WORK_REMAP);

	if (!wants || output->region == 0 || output->fd >= 0 || output->status < 0)
		return;
	output->fd = fcntl(region_fd_locked(farbus, output->region), F_DUPFD_CLOEXEC, 0);
	if (output->fd >= 0 || output->kind != CORE_DONE)
		return;
	core_import_release(farbus->core, output->import, clock_now_ns());
	output->status = -EMFILE;
	snprintf(output->why, sizeof(output->why), "no descriptor left: raise ulimit -n");
}

static void output_run(struct farbus *farbus, struct core_output *output) REQUIRES(&farbus->lock)
{
	output_own_fd(farbus, output);
	switch (output->kind) {
	case CORE_SEND:
		output_send(farbus, output);
		break;
	case CORE_CONNECT:
		output_connect(farbus, output->rank);
		break;
	case CORE_CLOSE:
		if (output->why[0])
			log_warning("link closed: %.*s", (int)sizeof(output->why), output->why);
		if (output->link < farbus->link_top && farbus->links[output->link].transport &&
		    !farbus->links[output->link].lingers)
			link_end(farbus, output->link);
		break;
	case CORE_DONE:
		request_done_locked(farbus, output);
		break;
	case CORE_EVENT:
		event_push_locked(farbus, &output->event);
		break;
	case CORE_WORK:
		work_run_locked(farbus, output);
		break;
	case CORE_FD:
		if (output->fd >= 0)
			close(output->fd);
		break;
	case CORE_ABORT:
		output_abort(output);
		break;
	}
}

static void batch_set(struct farbus *farbus, bool begin) REQUIRES(&farbus->lock)
{
	if (farbus->batching == begin)
		return;
	farbus->batching = begin;
	for (unsigned i = 0; i < farbus->backend_count; i++)
		if (farbus->backend[i].ops->batch)
			farbus->backend[i].ops->batch(farbus->backend[i].transport, begin);
}

/* Messages that follow one another go out together. Whether there was anything. */
static bool outputs_run(struct farbus *farbus) REQUIRES(&farbus->lock)
{
	struct core_output output;
	bool any = false;

	while (core_output(farbus->core, &output)) {
		bool more = output.kind == CORE_SEND && core_output_send_next(farbus->core);

		if (more || output.kind != CORE_SEND)
			batch_set(farbus, more);
		output_run(farbus, &output);
		if (!more)
			batch_set(farbus, false);
		any = true;
	}
	return any;
}

static void link_up(struct farbus *farbus, struct backend *backend,
		    const struct transport_event *event) REQUIRES(&farbus->lock)
{
	uint64_t now = clock_now_ns();
	struct link *link;
	uint32_t number;
	int err;

	if (event->accepted) {
		err = link_new(farbus, backend, event->link, UINT32_MAX);
		if (err < 0) {
			backend->ops->link_close(event->link);
			return;
		}
		number = (uint32_t)err;
	} else {
		link = link_of(farbus, backend, event->link, &number);
		if (!link)
			return;
		link->connecting = false;
	}
	core_link_up(farbus->core, number, farbus->links[number].rank,
		     backend->ops->same_host && event->uid == getuid(), now);
	core_link_traits_set(farbus->core, number, backend->ops->message_max,
			     backend->ops->memory_expose != NULL);
}

static void link_down(struct farbus *farbus, struct backend *backend,
		      const struct transport_event *event) REQUIRES(&farbus->lock)
{
	uint64_t now = clock_now_ns();
	struct link *link;
	uint32_t number, rank;
	bool connecting;

	link = link_of(farbus, backend, event->link, &number);
	if (!link) {
		backend->ops->link_close(event->link);
		return;
	}
	connecting = link->connecting;
	rank = link->rank;
	if (connecting) {
		link_free(link);
		core_connect_failed(farbus->core, rank, event->status, now);
		return;
	}
	core_link_down(farbus->core, number, event->status, now);
	/* The other end learns that we are gone when nothing here reaches its memory any more. */
	outputs_run(farbus);
	if (link->transport && !link->lingers)
		link_end(farbus, number);
}

static void link_gone(struct farbus *farbus, struct backend *backend,
		      const struct transport_event *event) REQUIRES(&farbus->lock)
{
	struct link *link;
	uint32_t number;

	link = link_of(farbus, backend, event->link, &number);
	if (!link)
		return;
	link_free(link);
	core_link_gone(farbus->core, number, clock_now_ns());
}

static void message_placed(struct farbus *farbus, struct backend *backend,
			   const struct transport_event *event) REQUIRES(&farbus->lock)
{
	uint32_t number;

	if (!link_of(farbus, backend, event->link, &number))
		return;
	core_receive_placed(farbus->core, number, event->data, event->len + event->placed,
			    event->lost, clock_now_ns());
}

static void transport_event_run(struct farbus *farbus, struct backend *backend,
				const struct transport_event *event) REQUIRES(&farbus->lock)
{
	struct link *link;
	uint32_t number;

	switch (event->kind) {
	case TRANSPORT_LINK_UP:
		link_up(farbus, backend, event);
		break;
	case TRANSPORT_LINK_DOWN:
		link_down(farbus, backend, event);
		break;
	case TRANSPORT_MESSAGE:
		counter_add(COUNTER_message_received, 1);
		if (event->placed)
			message_placed(farbus, backend, event);
		else if (link_of(farbus, backend, event->link, &number))
			core_receive(farbus->core, number, event->data, event->len, event->fd,
				     clock_now_ns());
		else if (event->fd >= 0)
			close(event->fd);
		break;
	case TRANSPORT_WRITABLE:
		link = link_of(farbus, backend, event->link, &number);
		if (link)
			link_flush(link);
		break;
	case TRANSPORT_LINK_GONE:
		link_gone(farbus, backend, event);
		break;
	case TRANSPORT_COMPLETE:
		fabric_complete_locked(farbus, event->cookie, event->status);
		break;
	}
}

static void links_give_up(struct farbus *farbus) REQUIRES(&farbus->lock)
{
	for (uint32_t i = 0; i < farbus->link_top; i++) {
		struct link *link = &farbus->links[i];

		if (!link->transport || !link->closing)
			continue;
		link->closing = false;
		core_link_down(farbus->core, i, -EHOSTDOWN, clock_now_ns());
		outputs_run(farbus);
		if (link->transport && !link->lingers)
			link_end(farbus, i);
	}
}

/*
 * Runs what is due and arms the timer for the core's next deadline. A timer that is armed for
 * an earlier time stays: firing for nothing costs less than moving it with every request.
 */
static void timer_run(struct farbus *farbus) REQUIRES(&farbus->lock)
{
	struct itimerspec when = { 0 };
	uint64_t at;

	/* What an output asks for may have a deadline of its own: the core is asked again. */
	do
		at = core_step(farbus->core, clock_now_ns());
	while (outputs_run(farbus));
	if (at >= farbus->timer_at)
		return;
	farbus->timer_at = at;
	when.it_value.tv_sec = (time_t)(at / NS_PER_S);
	when.it_value.tv_nsec = (long)(at % NS_PER_S) + (at == 0);
	timerfd_settime(farbus->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void drain_fd(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) > 0)
		;
}

static void eventfd_ring(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void service_wake(struct farbus *farbus)
{
	eventfd_ring(farbus->wake);
}

/* What the leading thread waits for has been done by another one's pump. */
static void lead_wake(struct farbus *farbus) REQUIRES(&farbus->lock)
{
	if (farbus->lead_rung)
		return;
	farbus->lead_rung = true;
	eventfd_ring(farbus->lead_wake);
}

void service_watch(struct farbus *farbus, bool watch)
{
	struct epoll_event event = { .events = watch ? EPOLLIN : 0, .data.fd = farbus->net };

	epoll_ctl(farbus->epoll, EPOLL_CTL_MOD, farbus->net, &event);
}

/* False: there may be more. */
static bool backend_poll(struct farbus *farbus, struct backend *backend) REQUIRES(&farbus->lock)
{
	struct transport_event event;

	for (int round = 0; round < PUMP_ROUND_MAX; round++) {
		memset(&event, 0, sizeof(event));
		event.fd = -1;
		if (backend->ops->poll(backend->transport, &event) < 0)
			return true;
		transport_event_run(farbus, backend, &event);
		outputs_run(farbus);
	}
	return false;
}

/* A leader that waits for what an output did sleeps until something comes. */
static void lead_check(struct farbus *farbus) REQUIRES(&farbus->lock)
{
	if (farbus->leader_done && farbus->leader_done(farbus->leader_arg))
		lead_wake(farbus);
}

void service_push_locked(struct farbus *farbus)
{
	outputs_run(farbus);
	links_give_up(farbus);
	timer_run(farbus);
	lead_check(farbus);
}

void service_pump_locked(struct farbus *farbus)
{
	bool more = false;

	core_wall_set(farbus->core, clock_wall_ns() / NS_PER_S);
	outputs_run(farbus);
	for (unsigned i = 0; i < farbus->backend_count; i++)
		if (!backend_poll(farbus, &farbus->backend[i]))
			more = true;
	/* A thread of the application may have other things to do. */
	if (more)
		service_wake(farbus);
	service_push_locked(farbus);
}

/* False: something came in while we were about to sleep. */
static bool service_turn(struct farbus *farbus)
{
	bool parked;

	lock_acquire(&farbus->lock);
	counter_add(COUNTER_service_wake, 1);
	service_pump_locked(farbus);
	parked = backends_park(farbus);
	lock_release(&farbus->lock);
	return parked;
}

static void *service_main(void *arg)
{
	struct farbus *farbus = arg;
	struct epoll_event event[8];

	while (!atomic_load_explicit(&farbus->stop, memory_order_acquire)) {
		int n;

		if (!service_turn(farbus))
			continue;
		n = epoll_wait(farbus->epoll, event, 8, -1);
		for (int i = 0; i < n; i++) {
			if (event[i].data.fd == farbus->info)
				info_answer(farbus);
			else if (event[i].data.fd == farbus->timer) {
				drain_fd(farbus->timer);
				lock_acquire(&farbus->lock);
				farbus->timer_at = UINT64_MAX;
				lock_release(&farbus->lock);
			} else if (event[i].data.fd == farbus->wake)
				drain_fd(farbus->wake);
		}
	}
	return NULL;
}

static int epoll_add(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return error_set(errno == ENOSPC ? -ENOSPC : -ENOMEM,
				 "cannot watch a descriptor (%s): raise "
				 "fs.epoll.max_user_watches",
				 strerror(errno));
	return 0;
}

static int net_watch(struct farbus *farbus)
{
	int err = epoll_add(farbus->net, farbus->lead_wake);

	for (unsigned i = 0; i < farbus->backend_count && err == 0; i++)
		err = epoll_add(farbus->net,
				farbus->backend[i].ops->fd(farbus->backend[i].transport));
	return err < 0 ? err : epoll_add(farbus->epoll, farbus->net);
}

static int thread_start(struct farbus *farbus)
{
	sigset_t all, old;
	int err;

	/* Signals are the application's: none is delivered to this thread, but SIGBUS must be. */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&farbus->service, NULL, service_main, farbus);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return error_set(-ENOMEM, "no service thread (%s): raise ulimit -u", strerror(err));
	farbus->service_started = true;
	pthread_setname_np(farbus->service, "farbus-service");
	return 0;
}

int service_start(struct farbus *farbus)
{
	int err;

	farbus->timer_at = UINT64_MAX;
	farbus->watched = true;
	farbus->epoll = epoll_create1(EPOLL_CLOEXEC);
	farbus->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	farbus->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	farbus->net = epoll_create1(EPOLL_CLOEXEC);
	farbus->lead_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (farbus->epoll < 0 || farbus->wake < 0 || farbus->timer < 0 || farbus->net < 0 ||
	    farbus->lead_wake < 0)
		return error_set(-EMFILE, "no descriptor left (%s): raise ulimit -n",
				 strerror(errno));
	err = info_open(farbus);
	if (err == 0)
		err = epoll_add(farbus->epoll, farbus->info);
	if (err == 0)
		err = epoll_add(farbus->epoll, farbus->wake);
	if (err == 0)
		err = epoll_add(farbus->epoll, farbus->timer);
	if (err == 0)
		err = net_watch(farbus);
	if (err < 0)
		return err;
	return thread_start(farbus);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void service_stop(struct farbus *farbus)
{
	if (!farbus->service_started)
		return;
	atomic_store_explicit(&farbus->stop, true, memory_order_release);
	service_wake(farbus);
	pthread_join(farbus->service, NULL);
	farbus->service_started = false;
}

void service_fini(struct farbus *farbus)
{
	for (uint32_t i = 0; i < farbus->link_top; i++)
		if (farbus->links[i].transport)
			link_free(&farbus->links[i]);
	close_fd(&farbus->info);
	close_fd(&farbus->net);
	close_fd(&farbus->lead_wake);
	close_fd(&farbus->timer);
	close_fd(&farbus->wake);
	close_fd(&farbus->epoll);
}
