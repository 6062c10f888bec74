/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ucx.c -- the transport between hosts over UCX: open, poll, park
 *
 * poll() turns UCX's progress, which is where messages come from. It looks at epoll (greetings,
 * the timer) when it slept and no message explains why, and otherwise now and then; what it misses
 * keeps fd() readable, so that the next sleep is short.
 */
#include "transport/ucx/ucx.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define AM_ID 1

/*
 * Not UCP_FEATURE_RMA: with it a worker carries out the puts and gets of whoever reaches it, to any
 * address of the process, under any key (docs/transports.md).
 */
#define FEATURES (UCP_FEATURE_AM | UCP_FEATURE_WAKEUP)

#define LOOK_EVENTS 16
#define LOOK_IDLE_NS 20000 /* between looks while nothing comes */
#define LOOK_BUSY_NS 1000000

struct ucx_timing ucx_timing = {
	.connect_ns = 10 * NS_PER_S,
	.probe_ns = 5 * NS_PER_S,
	.linger_ns = 20 * NS_PER_S,
	.grace_ns = 2 * NS_PER_S,
	.idle_ns = 30 * NS_PER_S,
	.flush_ns = 5 * NS_PER_S,
	.close_ns = 2 * NS_PER_S,
	.ack_ns = 100 * NS_PER_MS,
};

static struct watch watch_ucx = { WATCH_UCX }, watch_timer = { WATCH_TIMER },
		    watch_wake = { WATCH_WAKE }, watch_listener = { WATCH_LISTENER };

/* Names the calling thread. */
static const void *thread_name(void)
{
	static _Thread_local char name;

	return &name;
}

/* ---- settings of UCX ---- */

/*
 * Ours, unless the user has another. Shared memory has no failure handler in UCX, and a transport of
 * our own. Keepalive is the greeting's matter, but without any UCX 1.13 puts plain pointers on the wire
 * and would follow those that come late, for endpoints that are gone.
 *
 * Always ours: no cache of registrations. It needs the patched mmap() that library.c prevents, and
 * would send what was once at an address.
 *
 * Those of a device have a name of their own in UCX 1.13, which takes any name without a word.
 */
static const struct setting {
	const char *name, *name_device, *value;
	bool always;
} settings[] = {
	{ "TLS", NULL, "ib,tcp", false },
	{ "KEEPALIVE_INTERVAL", NULL, "3600s", false },
	{ "TCP_TX_SEG_SIZE", "TX_SEG_SIZE", "72k", false }, /* a message in one piece */
	{ "TCP_RX_SEG_SIZE", "RX_SEG_SIZE", "144k", false },
	{ "IB_REG_METHODS", "REG_METHODS", "direct", true },
	{ "RCACHE_ENABLE", NULL, "n", true }, /* in later versions */
};

static void setting_set(const struct ucx_library *library, ucp_config_t *config,
			const struct setting *setting)
{
	char variable[64];
	ucs_status_t status;

	snprintf(variable, sizeof(variable), "UCX_%s", setting->name);
	if (getenv(variable) && !setting->always) {
		log_debug("%s is set: used instead of %s", variable, setting->value);
		return;
	}
	status = library->config_modify(config, setting->name, setting->value);
	if (status == UCS_OK && setting->name_device)
		status = library->config_modify(config, setting->name_device, setting->value);
	if (status != UCS_OK)
		log_info("UCX does not know %s=%s: %s", variable, setting->value,
			 library->status_string(status));
}

static int open_error(const struct transport *transport, const char *what, ucs_status_t status)
{
	if (status == UCS_ERR_NO_MEMORY)
		return error_set(-ENOMEM, "no memory for %s of UCX", what);
	return error_set(-ENOSYS,
			 "UCX has no %s here: %s. Is UCX_TLS or UCX_NET_DEVICES set to what this "
			 "host does not have, the device missing in /sys/class/net, or ulimit -n "
			 "too low?",
			 what, transport->library->status_string(status));
}

static int context_open(struct transport *transport, const struct address *address)
{
	ucp_params_t params = { .field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_NAME,
				.features = FEATURES,
				.name = "farbus" };
	const struct ucx_library *library = transport->library;
	char devices[UCX_DEVICES_SIZE];
	ucp_config_t *config;
	ucs_status_t status = library->config_read(NULL, NULL, &config);

	if (status != UCS_OK)
		return open_error(transport, "configuration", status);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		setting_set(library, config, &settings[i]);
	if (ucx_address_devices(address, devices))
		setting_set(library, config,
			    &(struct setting){ .name = "NET_DEVICES", .value = devices });
	status = library->init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config,
				       &transport->context);
	library->config_release(config);
	return status == UCS_OK ? 0 : open_error(transport, "context", status);
}

static int address_get(struct transport *transport)
{
	ucp_address_t *address;
	size_t len;
	ucs_status_t status =
		transport->library->worker_get_address(transport->worker, &address, &len);

	if (status != UCS_OK)
		return open_error(transport, "address", status);
	transport->address_len = len;
	if (len <= UCX_ADDRESS_MAX)
		memcpy(transport->address, address, len);
	transport->library->worker_release_address(transport->worker, address);
	if (len > UCX_ADDRESS_MAX)
		return error_set(-ENOSYS,
				 "the address of a UCX worker has %zu bytes: with fewer devices "
				 "(UCX_NET_DEVICES) it has at most %d",
				 len, UCX_ADDRESS_MAX);
	return 0;
}

static int worker_open(struct transport *transport)
{
	ucp_worker_params_t params = { .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
				       .thread_mode = UCS_THREAD_MODE_SERIALIZED };
	ucp_am_handler_param_t handler = { .field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID |
							 UCP_AM_HANDLER_PARAM_FIELD_FLAGS |
							 UCP_AM_HANDLER_PARAM_FIELD_CB |
							 UCP_AM_HANDLER_PARAM_FIELD_ARG,
					   .id = AM_ID,
					   .flags = UCP_AM_FLAG_WHOLE_MSG,
					   .cb = ucx_link_arrived,
					   .arg = transport };
	const struct ucx_library *library = transport->library;
	ucs_status_t status;

	status = library->worker_create(transport->context, &params, &transport->worker);
	if (status != UCS_OK)
		return open_error(transport, "worker", status);
	status = library->worker_set_am_recv_handler(transport->worker, &handler);
	if (status == UCS_OK)
		status = library->worker_get_efd(transport->worker, &transport->ucx_fd);
	return status == UCS_OK ? address_get(transport) :
				  open_error(transport, "descriptor to wait on", status);
}

/* UCX starts threads, which inherit the signal mask: signals are for the application's threads. */
static int ucx_open_quietly(struct transport *transport, const struct address *address)
{
	sigset_t all, before;
	struct fd_mark mark;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ucx_descriptors_mark(&mark);
	err = context_open(transport, address);
	if (err == 0)
		err = worker_open(transport);
	ucx_descriptors_opened(&mark);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

/* ---- open and close ---- */

int ucx_watch_add(struct transport *transport, int fd, uint32_t events, struct watch *watch)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	errno = ENOSPC;
	if (alloc_fault_point() || epoll_ctl(transport->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return error_set(-EMFILE,
				 "cannot watch a descriptor (%s): raise "
				 "fs.epoll.max_user_watches",
				 strerror(errno));
	return 0;
}

static int descriptors_open(struct transport *transport)
{
	if (!alloc_fault_point())
		transport->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!alloc_fault_point())
		transport->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!alloc_fault_point())
		transport->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (transport->epoll < 0 || transport->timer < 0 || transport->wake < 0)
		return error_set(-EMFILE, "no descriptor left for the transport: raise ulimit -n");
	return 0;
}

static int watches_add(struct transport *transport)
{
	int err = ucx_watch_add(transport, transport->ucx_fd, EPOLLIN, &watch_ucx);

	if (err == 0)
		err = ucx_watch_add(transport, transport->timer, EPOLLIN, &watch_timer);
	if (err == 0)
		err = ucx_watch_add(transport, transport->wake, EPOLLIN, &watch_wake);
	if (err == 0)
		err = ucx_watch_add(transport, transport->listener, EPOLLIN, &watch_listener);
	return err;
}

static void fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void worker_close(struct transport *transport)
{
	if (transport->worker)
		transport->library->worker_destroy(transport->worker);
	if (transport->context)
		transport->library->cleanup(transport->context);
	if (transport->uses)
		ucx_library_unuse();
}

/* The worker goes before what its callbacks point to. */
static void transport_free(struct transport *transport)
{
	struct greeting *greeting;

	if (!ucx_library_forked())
		worker_close(transport);
	for (unsigned i = 0; i < transport->link_size; i++)
		if (transport->link[i])
			ucx_link_free(transport->link[i]);
	while ((greeting = TAILQ_FIRST(&transport->greetings)))
		ucx_greeting_free(greeting);
	ucx_endpoints_free(transport);
	free(transport->link);
	fd_close(transport->listener);
	fd_close(transport->epoll);
	fd_close(transport->timer);
	fd_close(transport->wake);
	free(transport);
}

static int open_parts(struct transport *transport, const struct address *address)
{
	int err = ucx_library_get(&transport->library);

	if (err == 0)
		err = ucx_library_use();
	if (err < 0)
		return err;
	transport->uses = true;
	if (getrandom(transport->worker_id, sizeof(transport->worker_id), 0) !=
	    sizeof(transport->worker_id))
		return error_set(-ENOSYS, "getrandom(2) is needed: %s", strerror(errno));
	err = descriptors_open(transport);
	if (err == 0)
		err = ucx_listener_open(transport, address);
	if (err == 0)
		err = ucx_open_quietly(transport, address);
	return err < 0 ? err : watches_add(transport);
}

static int ucx_open(const char *where, struct transport **ret_transport)
{
	struct transport *transport;
	struct address address;
	int err;

	err = address_local(where, &address);
	if (err < 0)
		return error_set(err,
				 "\"%s\": no such address or interface of this host: "
				 "[ADDRESS-or-INTERFACE][:PORT]",
				 where);
	transport = alloc_zero(sizeof(*transport));
	if (!transport)
		return error_set(-ENOMEM, "no memory for a transport");
	transport->epoll = transport->timer = transport->wake = transport->listener = -1;
	transport->timer_at = UINT64_MAX;
	transport->look_due = true;
	TAILQ_INIT(&transport->due_now);
	TAILQ_INIT(&transport->due_down);
	TAILQ_INIT(&transport->ready);
	TAILQ_INIT(&transport->acks);
	TAILQ_INIT(&transport->endpoints);
	TAILQ_INIT(&transport->greetings);
	err = open_parts(transport, &address);
	if (err < 0)
		transport_free(transport);
	else
		*ret_transport = transport;
	return err;
}

static int ucx_probe(char *ret_reason, size_t size)
{
	const struct ucx_library *library;
	int err = ucx_library_get(&library);

	if (err < 0 && size)
		snprintf(ret_reason, size, "%s", error_text());
	return err;
}

static void ucx_locator(const struct transport *transport, char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	memcpy(ret_locator, transport->locator, TRANSPORT_LOCATOR_MAX);
}

static int ucx_fd(struct transport *transport)
{
	return transport->epoll;
}

/* ---- descriptors and time ---- */

void ucx_timer_want(struct transport *transport, uint64_t at)
{
	struct itimerspec when = { .it_value = { (time_t)(at / NS_PER_S), (long)(at % NS_PER_S) } };

	if (at >= transport->timer_at)
		return;
	transport->timer_at = at;
	timerfd_settime(transport->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void timer_run(struct transport *transport)
{
	uint64_t count, next, now;

	if (read(transport->timer, &count, sizeof(count)) < 0)
		return;
	now = clock_now_ns();
	transport->timer_at = UINT64_MAX;
	if (transport->muted)
		ucx_listener_mute(transport, false);
	next = ucx_greetings_tick(transport, now);
	for (unsigned i = 0; i < transport->link_size; i++)
		if (transport->link[i])
			next = earlier(next, ucx_link_tick(transport->link[i], now));
	next = earlier(next, ucx_endpoints_run(transport, now));
	if (next != UINT64_MAX)
		ucx_timer_want(transport, next);
}

static void watch_run(struct transport *transport, struct watch *watch, uint32_t events)
{
	switch (watch->kind) {
	case WATCH_TIMER:
		timer_run(transport);
		break;
	case WATCH_LISTENER:
		ucx_listener_accept(transport);
		break;
	case WATCH_GREETING:
		ucx_greeting_run((struct greeting *)watch, events);
		break;
	case WATCH_LINK:
		ucx_link_socket((struct transport_link *)watch);
		break;
	case WATCH_UCX:
	case WATCH_WAKE:
		break;
	}
}

static void look(struct transport *transport)
{
	struct epoll_event event[LOOK_EVENTS];
	int n;

	transport->look_due = transport->came = false;
	transport->watch_gone = false;
	n = epoll_wait(transport->epoll, event, LOOK_EVENTS, 0);
	for (int i = 0; i < n && !transport->watch_gone; i++)
		watch_run(transport, event[i].data.ptr, event[i].events);
}

/* ---- poll ---- */

/* The message that the last event pointed to. */
static void held_return(struct transport *transport)
{
	struct transport_link *held = transport->held;

	transport->held = NULL;
	if (held)
		ucx_link_seen(held);
}

static void dead_free(struct transport *transport)
{
	for (unsigned i = 0; transport->dead && i < transport->link_size; i++) {
		struct transport_link *link = transport->link[i];

		if (link && link->state == LINK_DEAD && link->busy == 0)
			ucx_link_free(link);
	}
}

static void up_event(struct transport_link *link, struct transport_event *ret_event)
{
	ret_event->kind = TRANSPORT_LINK_UP;
	ret_event->accepted = link->accepted;
	ret_event->uid = (uid_t)-1;
}

static void down_event(struct transport_link *link, struct transport_event *ret_event)
{
	link->state = LINK_DOWN;
	ret_event->kind = TRANSPORT_LINK_DOWN;
	ret_event->status = link->status;
}

static bool due_event(struct link_queue *queue, struct transport_event *ret_event)
{
	struct transport_link *link = TAILQ_FIRST(queue);
	unsigned due;

	if (!link)
		return false;
	due = link->due & -link->due; /* the lowest */
	TAILQ_REMOVE(queue, link, due_link);
	link->due &= ~due;
	ret_event->link = link;
	if (due == DUE_UP)
		up_event(link, ret_event);
	else if (due == DUE_WRITABLE)
		ret_event->kind = TRANSPORT_WRITABLE;
	else
		down_event(link, ret_event);
	if (link->due) {
		due = link->due;
		link->due = 0;
		ucx_link_due(link, due);
	}
	return true;
}

static bool ready_event(struct transport *transport, struct transport_event *ret_event)
{
	struct transport_link *link = TAILQ_FIRST(&transport->ready);

	if (!link)
		return false;
	ucx_link_deliver(link, ret_event);
	return true;
}

/* UCX has no event left. */
static void idle_run(struct transport *transport)
{
	struct transport_link *link;

	while ((link = TAILQ_FIRST(&transport->acks)))
		ucx_link_acknowledge(link);
	if (transport->endpoint_due) {
		uint64_t next = ucx_endpoints_run(transport, clock_now_ns());

		if (next != UINT64_MAX)
			ucx_timer_want(transport, next);
	}
	dead_free(transport);
}

/* False: it has nothing. */
static bool progress(struct transport *transport)
{
	if (!transport->library->worker_progress(transport->worker))
		return false;
	transport->look_due = false;
	return true;
}

static bool look_wanted(struct transport *transport)
{
	uint64_t now;

	if (transport->look_due)
		return true;
	now = clock_now_ns();
	if (now - transport->look_at < (transport->came ? LOOK_BUSY_NS : LOOK_IDLE_NS))
		return false;
	transport->look_at = now;
	return true;
}

static bool poll_event(struct transport *transport, struct transport_event *ret_event)
{
	bool looked = false;

	for (int turns = 0; turns < UCX_PROGRESS_MAX; turns++) {
		if (due_event(&transport->due_now, ret_event) || ready_event(transport, ret_event))
			return true;
		if (progress(transport))
			continue;
		idle_run(transport);
		if (due_event(&transport->due_down, ret_event))
			return true;
		if (looked || !look_wanted(transport))
			return false;
		looked = true;
		look(transport);
	}
	return false;
}

static void wake_ring(struct transport *transport)
{
	uint64_t one = 1;

	while (write(transport->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/*
 * A thread that polls while another one sleeps may take what made fd() readable, and leave the
 * rest inside: whoever gets an event wakes the sleeper, once.
 */
static int ucx_poll(struct transport *transport, struct transport_event *ret_event)
{
	struct transport_event event = { .fd = -1 };

	held_return(transport);
	if (transport->parked == thread_name())
		transport->parked = NULL;
	if (!poll_event(transport, &event))
		return -EAGAIN;
	if (transport->parked) {
		transport->parked = NULL;
		wake_ring(transport);
	}
	*ret_event = event;
	return 0;
}

static bool ucx_park(struct transport *transport)
{
	uint64_t count;

	while (read(transport->wake, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	held_return(transport);
	transport->look_due = true;
	if (!TAILQ_EMPTY(&transport->due_now) || !TAILQ_EMPTY(&transport->due_down) ||
	    !TAILQ_EMPTY(&transport->ready) || !TAILQ_EMPTY(&transport->acks) ||
	    transport->endpoint_due)
		return false;
	if (transport->library->worker_arm(transport->worker) != UCS_OK)
		return false;
	/* What came before it was armed makes no event, with devices other than Mellanox's. */
	if (progress(transport))
		return false;
	transport->parked = thread_name();
	return true;
}

/* ---- the end ---- */

/* One turn for close(): events are for nobody any more. False: nothing happened. */
static bool close_turn(struct transport *transport)
{
	struct transport_event event;
	struct epoll_event ready;

	if (ucx_poll(transport, &event) == 0) {
		if (event.kind == TRANSPORT_LINK_UP)
			ucx_link_close(event.link);
		return true;
	}
	if (!ucx_park(transport))
		return true;
	epoll_wait(transport->epoll, &ready, 1, 1);
	return false;
}

/*
 * Do the kernels of the peers have what was sent, so that it arrives whatever we do? UCX's flush
 * answers that where a device acknowledges; over TCP it asks the peer's process. There, if UCX has
 * nothing to do though its sockets are empty, it has nothing left either.
 */
static bool sent(struct transport *transport, unsigned idle_turns)
{
	if (ucx_endpoints_flush(transport))
		return true;
	return transport->socket_count && idle_turns > 1 && ucx_descriptors_flushed(transport);
}

/*
 * Waits, bounded, until the peers have seen what was sent; a little, if it is only known that
 * their kernels have it.
 */
static void sent_wait(struct transport *transport, uint64_t until)
{
	uint64_t now = clock_now_ns();
	unsigned idle_turns = 0;
	bool known = false;

	while (now < until && (transport->closing || !known)) {
		idle_turns = close_turn(transport) ? 0 : idle_turns + 1;
		now = clock_now_ns();
		if (known || !sent(transport, idle_turns))
			continue;
		known = true;
		until = earlier(until, now + ucx_timing.ack_ns);
	}
}

static void ucx_close(struct transport *transport)
{
	uint64_t until = clock_now_ns() + ucx_timing.close_ns;

	if (!transport)
		return;
	if (ucx_library_forked()) {
		transport_free(transport);
		return;
	}
	for (unsigned i = 0; i < transport->link_size; i++)
		if (transport->link[i])
			ucx_link_close(transport->link[i]);
	sent_wait(transport, until);
	until += ucx_timing.close_ns;
	while (!ucx_endpoints_close(transport) && clock_now_ns() < until)
		transport->library->worker_progress(transport->worker);
	transport_free(transport);
}

static void ucx_link_user_set(struct transport_link *link, void *user)
{
	link->user = user;
}

static void *ucx_link_user(const struct transport_link *link)
{
	return link->user;
}

const struct transport_ops transport_ucx = {
	.name = "ucx",
	.message_max = UCX_MESSAGE_MAX,
	.probe = ucx_probe,
	.open = ucx_open,
	.close = ucx_close,
	.locator = ucx_locator,
	.fd = ucx_fd,
	.connect = ucx_link_connect,
	.send = ucx_link_send,
	.poll = ucx_poll,
	.park = ucx_park,
	.link_close = ucx_link_close,
	.link_user_set = ucx_link_user_set,
	.link_user = ucx_link_user,
};
