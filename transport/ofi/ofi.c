/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ofi.c -- the transport between hosts: open, poll, park
 *
 * poll() reads the completion queue, which is where messages come from. It looks at epoll (the
 * event queue, the timer) when it slept and no completion explains why, and otherwise now and
 * then; what it misses keeps fd() readable, so that the next sleep is short.
 */
#include "transport/ofi/ofi.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define API_VERSION FI_VERSION(1, 9)
#define CQ_SIZE 4096
#define LOOK_EVENTS 16
#define LOOK_IDLE_NS 20000 /* between looks while nothing comes */
#define LOOK_BUSY_NS 1000000
#define EQ_TURNS 64
#define MUTE_NS (200 * NS_PER_MS)

struct ofi_timing ofi_timing = {
	.connect_ns = 10 * NS_PER_S,
	.half_open_ns = 10 * NS_PER_S,
	.linger_ns = 20 * NS_PER_S,
	.probe_ns = 5 * NS_PER_S,
	.silence_ns = 20 * NS_PER_S,
	.close_ns = 2 * NS_PER_S,
};

/* Names the calling thread. */
static const void *thread_name(void)
{
	static _Thread_local char name;

	return &name;
}

/* ---- open and close ---- */

static int open_error(const struct transport *transport, const char *what, int err)
{
	const char *text = transport->library->strerror(-err);

	switch (-err) {
	case EADDRINUSE:
		return error_set(-EEXIST, "somebody listens there: choose another port");
	case EADDRNOTAVAIL:
		return error_set(-EINVAL, "not an address of this host (%s)", what);
	case EMFILE:
	case ENFILE:
		return error_set(-EMFILE, "no descriptor left for %s: raise ulimit -n", what);
	case ENOMEM:
		return error_set(-ENOMEM, "no memory for %s", what);
	default:
		return error_set(-ENOSYS, "libfabric: %s: %s", what, text);
	}
}

static struct fi_info *hints_new(const struct ofi_library *library, const char *provider)
{
	struct fi_info *hints = alloc_fault_point() ? NULL : library->dupinfo(NULL);

	if (!hints)
		return NULL;
	hints->caps = FI_MSG;
	hints->mode = FI_CONTEXT | FI_CONTEXT2;
	hints->ep_attr->type = FI_EP_MSG;
	hints->domain_attr->mr_mode =
		FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
	hints->domain_attr->threading = FI_THREAD_DOMAIN;
	hints->domain_attr->control_progress = FI_PROGRESS_MANUAL;
	hints->domain_attr->data_progress = FI_PROGRESS_MANUAL;
	hints->tx_attr->msg_order = FI_ORDER_SAS;
	hints->rx_attr->msg_order = FI_ORDER_SAS;
	hints->fabric_attr->prov_name = alloc_text(provider);
	if (hints->fabric_attr->prov_name)
		return hints;
	library->freeinfo(hints);
	return NULL;
}

static int info_get(struct transport *transport, const struct ofi_address *address)
{
	struct fi_info *hints = hints_new(transport->library, address->provider);
	uint32_t version = transport->library->version();
	int err;

	if (!hints)
		return error_set(-ENOMEM, "no memory for a transport");
	err = transport->library->getinfo(API_VERSION, address->host, address->port,
					  FI_SOURCE | FI_NUMERICHOST, hints, &transport->info);
	transport->library->freeinfo(hints);
	if (err == 0)
		return 0;
	return error_set(-ENOSYS,
			 "libfabric %u.%u has no provider %s with connected endpoints on %s (%s): "
			 "fi_info -p %s -t FI_EP_MSG lists them; package libfabric1",
			 FI_MAJOR(version), FI_MINOR(version), address->provider, address->host,
			 transport->library->strerror(-err), address->provider);
}

static int queues_open(struct transport *transport)
{
	struct fi_eq_attr eq = { .wait_obj = FI_WAIT_FD };
	struct fi_cq_attr cq = { .size = CQ_SIZE,
				 .format = FI_CQ_FORMAT_DATA,
				 .wait_obj = FI_WAIT_FD };
	int err =
		transport->library->fabric(transport->info->fabric_attr, &transport->fabric, NULL);

	if (err < 0)
		return open_error(transport, "fi_fabric", err);
	err = fi_eq_open(transport->fabric, &eq, &transport->eq, NULL);
	if (err < 0)
		return open_error(transport, "fi_eq_open", err);
	err = fi_domain(transport->fabric, transport->info, &transport->domain, NULL);
	if (err < 0)
		return open_error(transport, "fi_domain", err);
	err = fi_cq_open(transport->domain, &cq, &transport->cq, NULL);
	return err < 0 ? open_error(transport, "fi_cq_open", err) : 0;
}

static int listener_open(struct transport *transport)
{
	int err = fi_passive_ep(transport->fabric, transport->info, &transport->listener, NULL);

	if (err < 0)
		return open_error(transport, "fi_passive_ep", err);
	err = fi_pep_bind(transport->listener, &transport->eq->fid, 0);
	if (err < 0)
		return open_error(transport, "fi_pep_bind", err);
	err = fi_listen(transport->listener);
	return err < 0 ? open_error(transport, "fi_listen", err) : 0;
}

static int locator_make(struct transport *transport, const struct ofi_address *address)
{
	struct sockaddr_storage name = { 0 };
	size_t len = sizeof(name);
	int err = fi_getname(&transport->listener->fid, &name, &len);

	if (err < 0)
		return open_error(transport, "fi_getname", err);
	if (strcmp(address->port, "0") == 0 &&
	    getrandom(&transport->cookie, sizeof(transport->cookie), 0) !=
		    sizeof(transport->cookie))
		return error_set(-ENOSYS, "getrandom(2) is needed: %s", strerror(errno));
	if (name.ss_family == AF_INET)
		transport->port = ((struct sockaddr_in *)&name)->sin_port;
	else
		transport->port = ((struct sockaddr_in6 *)&name)->sin6_port;
	return ofi_address_format(address->provider, (struct sockaddr *)&name, transport->cookie,
				  transport->locator);
}

int ofi_watch_add(struct transport *transport, int fd, enum watch_kind kind)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = kind };

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
	int eq_fd, cq_fd, err;

	if (fi_control(&transport->eq->fid, FI_GETWAIT, &eq_fd) < 0 ||
	    fi_control(&transport->cq->fid, FI_GETWAIT, &cq_fd) < 0)
		return error_set(-ENOSYS, "provider %s has no descriptors to wait on",
				 transport->info->fabric_attr->prov_name);
	if (!alloc_fault_point())
		transport->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!alloc_fault_point())
		transport->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!alloc_fault_point())
		transport->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!alloc_fault_point())
		transport->reserve = eventfd(0, EFD_CLOEXEC);
	if (transport->epoll < 0 || transport->timer < 0 || transport->wake < 0 ||
	    transport->reserve < 0)
		return error_set(-EMFILE, "no descriptor left for the transport: raise ulimit -n");
	err = ofi_watch_add(transport, eq_fd, WATCH_EQ);
	if (err == 0)
		err = ofi_watch_add(transport, cq_fd, WATCH_CQ);
	if (err == 0)
		err = ofi_watch_add(transport, transport->timer, WATCH_TIMER);
	return err < 0 ? err : ofi_watch_add(transport, transport->wake, WATCH_WAKE);
}

static void fid_close(struct fid *fid)
{
	if (fid)
		fi_close(fid);
}

static void fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Requests that nobody will answer any more. */
static void requests_drop(struct transport *transport)
{
	union {
		struct fi_eq_cm_entry cm; /* ends with the data */
		uint8_t bytes[sizeof(struct fi_eq_cm_entry) + OFI_CONNECT_DATA_MAX];
	} entry;
	uint32_t event;

	while (fi_eq_read(transport->eq, &event, &entry, sizeof(entry), 0) > 0)
		if (event == FI_CONNREQ) {
			fi_reject(transport->listener, entry.cm.info->handle, NULL, 0);
			transport->library->freeinfo(entry.cm.info);
		}
}

static void transport_free(struct transport *transport)
{
	while (transport->link_count)
		ofi_link_free(transport->link[transport->link_count - 1]);
	while (transport->linger_count)
		close(transport->linger[--transport->linger_count].socket);
	free(transport->link);
	if (transport->listener)
		requests_drop(transport);
	fid_close(transport->listener ? &transport->listener->fid : NULL);
	fid_close(transport->cq ? &transport->cq->fid : NULL);
	fid_close(transport->domain ? &transport->domain->fid : NULL);
	fid_close(transport->eq ? &transport->eq->fid : NULL);
	fid_close(transport->fabric ? &transport->fabric->fid : NULL);
	if (transport->info)
		transport->library->freeinfo(transport->info);
	fd_close(transport->epoll);
	fd_close(transport->timer);
	fd_close(transport->wake);
	fd_close(transport->reserve);
	free(transport);
}

static int open_parts(struct transport *transport, const struct ofi_address *address)
{
	struct fd_mark mark;
	int err = info_get(transport, address);

	if (err < 0)
		return err;
	ofi_socket_mark(&mark);
	err = queues_open(transport);
	if (err == 0)
		err = listener_open(transport);
	ofi_socket_cloexec(&mark);
	if (err == 0)
		err = locator_make(transport, address);
	return err < 0 ? err : descriptors_open(transport);
}

static int ofi_open(const char *where, struct transport **ret_transport)
{
	struct transport *transport;
	struct ofi_address address;
	int err;

	err = ofi_address_local(where, &address);
	if (err < 0)
		return err;
	transport = alloc_zero(sizeof(*transport));
	if (!transport)
		return error_set(-ENOMEM, "no memory for a transport");
	transport->epoll = transport->timer = transport->wake = transport->reserve = -1;
	transport->timer_at = transport->scan_at = UINT64_MAX;
	transport->look_due = true;
	TAILQ_INIT(&transport->due_now);
	TAILQ_INIT(&transport->due_down);
	err = ofi_library_get(&transport->library);
	if (err < 0)
		free(transport);
	else if ((err = open_parts(transport, &address)) < 0)
		transport_free(transport);
	if (err == 0)
		*ret_transport = transport;
	return err;
}

static int ofi_probe(char *ret_reason, size_t size)
{
	const struct ofi_library *library;
	int err = ofi_library_get(&library);

	if (err < 0 && size)
		snprintf(ret_reason, size, "%s", error_text());
	return err;
}

static void ofi_locator(const struct transport *transport, char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	memcpy(ret_locator, transport->locator, TRANSPORT_LOCATOR_MAX);
}

static int ofi_fd(struct transport *transport)
{
	return transport->epoll;
}

/* ---- the event queue ---- */

void ofi_timer_want(struct transport *transport, uint64_t at)
{
	struct itimerspec when = { .it_value = { (time_t)(at / NS_PER_S), (long)(at % NS_PER_S) } };

	if (at >= transport->timer_at)
		return;
	transport->timer_at = at;
	timerfd_settime(transport->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static int shutdown_status(int err)
{
	switch (err) {
	case ECONNREFUSED:
	case ETIMEDOUT:
		return -err;
	default:
		return -EHOSTDOWN;
	}
}

static void eq_error(struct transport *transport)
{
	struct fi_eq_err_entry error = { 0 };
	struct transport_link *link;

	if (fi_eq_readerr(transport->eq, &error, 0) < 0 || !error.fid)
		return;
	if (error.fid->fclass != FI_CLASS_EP)
		return;
	link = error.fid->context;
	ofi_link_fail(link, shutdown_status(error.err));
}

/* False: nothing there. */
static bool eq_turn(struct transport *transport)
{
	union {
		struct fi_eq_cm_entry cm; /* ends with the data */
		uint8_t bytes[sizeof(struct fi_eq_cm_entry) + OFI_CONNECT_DATA_MAX];
	} entry;
	uint32_t event = 0;
	ssize_t n = fi_eq_read(transport->eq, &event, &entry, sizeof(entry), 0);

	if (n == -FI_EAVAIL)
		eq_error(transport);
	if (n < (ssize_t)sizeof(entry.cm))
		return n == -FI_EAVAIL;
	if (event == FI_CONNREQ)
		ofi_link_request(transport, entry.cm.info, entry.cm.data,
				 (size_t)n - sizeof(entry.cm));
	else if (event == FI_CONNECTED)
		ofi_link_connected(entry.cm.fid->context);
	else if (event == FI_SHUTDOWN)
		ofi_link_fail(entry.cm.fid->context, -EHOSTDOWN);
	return true;
}

static void eq_mute(struct transport *transport, bool mute)
{
	struct epoll_event event = { .events = mute ? 0 : EPOLLIN, .data.u32 = WATCH_EQ };
	int fd;

	transport->eq_muted = mute;
	if (fi_control(&transport->eq->fid, FI_GETWAIT, &fd) == 0)
		epoll_ctl(transport->epoll, EPOLL_CTL_MOD, fd, &event);
}

/* A connection was accepted, perhaps, or could not be: is there room, and who says nothing? */
static void eq_nothing(struct transport *transport)
{
	uint64_t now = clock_now_ns();
	int fd;

	if (transport->scan_at == UINT64_MAX) {
		transport->scan_at = now + ofi_timing.half_open_ns / 8;
		ofi_timer_want(transport, transport->scan_at);
	}
	if (++transport->accepts < OFI_HALF_OPEN_MAX)
		return;
	transport->scan_at = ofi_half_open_scan(transport, now);
	ofi_timer_want(transport, transport->scan_at);
	fd = dup(transport->wake);
	if (fd >= 0) {
		close(fd);
		return;
	}
	log_warning("no descriptor left for who connects to us: raise ulimit -n");
	eq_mute(transport, true);
	ofi_timer_want(transport, now + MUTE_NS);
}

/*
 * fi_trywait() resets the signal of events that were read. It also takes in new ones, and then
 * says so: nothing but its answer tells of those.
 */
static void eq_run(struct transport *transport)
{
	struct fid *fid = &transport->eq->fid;
	int turns = 0;

	transport->eq_due = false;
	if (transport->eq_muted)
		return;
	while (turns < EQ_TURNS && eq_turn(transport))
		turns++;
	transport->eq_due = fi_trywait(transport->fabric, &fid, 1) != 0;
	if (turns == 0 && !transport->eq_due)
		eq_nothing(transport);
}

static void timer_run(struct transport *transport)
{
	uint64_t count, next = UINT64_MAX, at, now;

	if (read(transport->timer, &count, sizeof(count)) < 0)
		return;
	now = clock_now_ns();
	transport->timer_at = UINT64_MAX;
	if (transport->eq_muted)
		eq_mute(transport, false);
	for (unsigned i = transport->link_count; i-- > 0;) {
		at = ofi_link_tick(transport->link[i], now);
		next = at < next ? at : next;
	}
	at = ofi_linger_tick(transport, now);
	next = at < next ? at : next;
	if (now >= transport->scan_at)
		transport->scan_at = ofi_half_open_scan(transport, now);
	next = transport->scan_at < next ? transport->scan_at : next;
	if (next != UINT64_MAX)
		ofi_timer_want(transport, next);
}

static void look(struct transport *transport)
{
	struct epoll_event event[LOOK_EVENTS];
	int n;

	transport->look_due = transport->came = false;
	if (transport->eq_due)
		eq_run(transport);
	n = epoll_wait(transport->epoll, event, LOOK_EVENTS, 0);
	for (int i = 0; i < n; i++)
		switch ((enum watch_kind)event[i].data.u32) {
		case WATCH_EQ:
			eq_run(transport);
			break;
		case WATCH_TIMER:
			timer_run(transport);
			break;
		case WATCH_LINGER:
			ofi_linger_read(transport);
			break;
		case WATCH_CQ:
		case WATCH_WAKE:
			break;
		}
}

/* ---- poll ---- */

/* The buffer that the last event pointed to. */
static void held_return(struct transport *transport)
{
	struct operation *held = transport->held;

	transport->held = NULL;
	if (held)
		ofi_link_receive_post(held);
}

static void dead_free(struct transport *transport)
{
	for (unsigned i = transport->link_count; transport->dead && i-- > 0;)
		if (transport->link[i]->state == LINK_DEAD)
			ofi_link_free(transport->link[i]);
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
		ofi_link_due(link, due);
	}
	return true;
}

static bool received_event(struct operation *operation, const struct fi_cq_data_entry *entry,
			   struct transport_event *ret_event)
{
	struct transport_link *link = operation->link;

	if (link->state == LINK_DEAD)
		return false;
	if (link->state != LINK_UP || link->peer_closed) {
		ofi_link_receive_post(operation);
		return false;
	}
	if (entry->flags & FI_REMOTE_CQ_DATA) {
		link->peer_closed = true;
		ofi_link_fail(link, -ECONNRESET);
		return false;
	}
	link->transport->held = operation;
	ret_event->kind = TRANSPORT_MESSAGE;
	ret_event->link = link;
	ret_event->data = link->buffer + (size_t)operation->number * OFI_MESSAGE_MAX;
	ret_event->len = entry->len;
	return true;
}

/* One completion. A message of a link whose LINK_UP is still to come waits for that. */
static bool batch_event(struct transport *transport, struct transport_event *ret_event)
{
	struct fi_cq_data_entry *entry = &transport->batch[transport->batch_next];
	struct operation *operation = entry->op_context;
	struct transport_link *link = operation->link;

	if (operation->kind == OPERATION_RECEIVE && link->state < LINK_UP) {
		ofi_link_connected(link);
		return false;
	}
	transport->batch_next++;
	if (operation->kind == OPERATION_RECEIVE)
		return received_event(operation, entry, ret_event);
	ofi_link_sent(operation, 0);
	return false;
}

static void completion_error(struct transport *transport)
{
	struct fi_cq_err_entry error = { 0 };
	struct operation *operation;

	if (fi_cq_readerr(transport->cq, &error, 0) <= 0)
		return;
	operation = error.op_context;
	if (!operation || operation->link->state == LINK_DEAD)
		return;
	if (operation->kind == OPERATION_SEND)
		ofi_link_sent(operation, -error.err);
	else if (error.err != FI_ECANCELED)
		ofi_link_fail(operation->link, error.err == FI_ETRUNC ? -EPROTO : -EHOSTDOWN);
}

/* False: the completion queue is empty. */
static bool batch_read(struct transport *transport)
{
	ssize_t n = fi_cq_read(transport->cq, transport->batch, OFI_BATCH);

	transport->batch_next = 0;
	transport->batch_count = n > 0 ? (unsigned)n : 0;
	if (n == -FI_EAVAIL)
		completion_error(transport);
	if (n <= 0)
		return n == -FI_EAVAIL;
	transport->look_due = false;
	transport->came = true;
	return true;
}

static bool look_wanted(struct transport *transport)
{
	uint64_t now;

	if (transport->look_due || transport->eq_due)
		return true;
	now = clock_now_ns();
	if (now - transport->look_at < (transport->came ? LOOK_BUSY_NS : LOOK_IDLE_NS))
		return false;
	transport->look_at = now;
	return true;
}

static bool poll_event(struct transport *transport, struct transport_event *ret_event)
{
	for (bool looked = false;;) {
		if (due_event(&transport->due_now, ret_event))
			return true;
		if (transport->batch_next < transport->batch_count) {
			if (batch_event(transport, ret_event))
				return true;
			continue;
		}
		if (batch_read(transport))
			continue;
		dead_free(transport);
		if (due_event(&transport->due_down, ret_event))
			return true;
		if (looked || !look_wanted(transport))
			return false;
		looked = true;
		look(transport);
	}
}

static void wake_ring(struct transport *transport)
{
	uint64_t one = 1;

	transport->rung = true;
	while (write(transport->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/*
 * A thread that polls while another one sleeps may take what made fd() readable, and leave the
 * rest inside: whoever gets an event wakes the sleeper, once.
 */
static int ofi_poll(struct transport *transport, struct transport_event *ret_event)
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

static bool ofi_park(struct transport *transport)
{
	struct fid *cq = &transport->cq->fid, *eq = &transport->eq->fid;
	uint64_t count;

	while (transport->rung && read(transport->wake, &count, sizeof(count)) < 0 &&
	       errno == EINTR)
		;
	transport->rung = false;
	held_return(transport);
	transport->look_due = true;
	if (!TAILQ_EMPTY(&transport->due_now) || !TAILQ_EMPTY(&transport->due_down) ||
	    transport->batch_next < transport->batch_count)
		return false;
	if (!transport->eq_muted && fi_trywait(transport->fabric, &eq, 1) != 0) {
		transport->eq_due = true;
		return false;
	}
	if (fi_trywait(transport->fabric, &cq, 1) != 0)
		return false;
	transport->parked = thread_name();
	return true;
}

/* ---- the end ---- */

static bool flushed(struct transport *transport)
{
	if (transport->closing)
		return false;
	for (unsigned i = 0; i < transport->linger_count; i++)
		if (!ofi_socket_flushed(transport->linger[i].socket))
			return false;
	return true;
}

/* Waits, bounded, until the kernels of the peers have what was sent. */
static void ofi_close(struct transport *transport)
{
	uint64_t until = clock_now_ns() + ofi_timing.close_ns;
	struct transport_event event;

	if (!transport)
		return;
	for (unsigned i = transport->link_count; i-- > 0;)
		ofi_link_close(transport->link[i]);
	while (!flushed(transport) && clock_now_ns() < until) {
		struct epoll_event ready;

		if (ofi_poll(transport, &event) == 0) {
			if (event.kind == TRANSPORT_LINK_UP)
				ofi_link_close(event.link);
		} else if (ofi_park(transport)) {
			epoll_wait(transport->epoll, &ready, 1, 1);
		}
	}
	transport_free(transport);
}

static void ofi_link_user_set(struct transport_link *link, void *user)
{
	link->user = user;
}

static void *ofi_link_user(const struct transport_link *link)
{
	return link->user;
}

const struct transport_ops transport_ofi = {
	.name = "ofi",
	.message_max = OFI_MESSAGE_MAX,
	.probe = ofi_probe,
	.open = ofi_open,
	.close = ofi_close,
	.locator = ofi_locator,
	.fd = ofi_fd,
	.connect = ofi_link_connect,
	.send = ofi_link_send,
	.poll = ofi_poll,
	.park = ofi_park,
	.link_close = ofi_link_close,
	.link_user_set = ofi_link_user_set,
	.link_user = ofi_link_user,
};
