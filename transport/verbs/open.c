/* SPDX-License-Identifier: BSD-3-Clause */
/* open.c -- which device, and what is made on it */
#include "transport/verbs/verbs.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "transport/verbs/open.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LISTEN_BACKLOG 128
#define CQ_FIRST 1024

void verbs_device_text(const struct transport *transport, char *ret_text, size_t size)
{
	char gid[INET6_ADDRSTRLEN] = "unknown";
	union ibv_gid is;

	if (!transport->verbs) {
		snprintf(ret_text, size, "no device");
		return;
	}
	if (transport->library->query_gid(transport->verbs, transport->listener->port_num, 0,
					  &is) == 0)
		inet_ntop(AF_INET6, is.raw, gid, sizeof(gid));
	snprintf(ret_text, size, "device %s, port %d, GID %s", transport->verbs->device->name,
		 transport->listener->port_num, gid);
}

static int events_open(struct transport *transport)
{
	errno = ENOMEM;
	if (!alloc_fault_point())
		transport->events = transport->library->create_events();
	if (!transport->events) {
		if (errno == EMFILE || errno == ENFILE)
			return error_set(-EMFILE, "no descriptor left: raise ulimit -n");
		if (errno == ENOMEM)
			return error_set(-ENOMEM, "no memory for a transport");
		return error_set(-ENOSYS,
				 "no RDMA connection manager (%s): modprobe rdma_ucm, and "
				 "/dev/infiniband/rdma_cm must be open to this user",
				 strerror(errno));
	}
	fcntl(transport->events->fd, F_SETFL, O_NONBLOCK);
	fcntl(transport->events->fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

/* ---- the device: the first active port behind an address that was meant ---- */

struct choice {
	struct transport *transport;
	const struct verbs_address *address;
};

static int bind_error(const char *host, int err)
{
	if (err == EADDRINUSE)
		return error_set(-EEXIST, "somebody listens there: choose another port");
	if (err == EADDRNOTAVAIL)
		return error_set(-EINVAL, "%s is not an address of this host", host);
	return error_set(-EINVAL, "%s: rdma_bind_addr: %s", host, strerror(err));
}

static int port_check(struct transport *transport, struct rdma_cm_id *id, const char *host)
{
	struct ibv_port_attr port = { 0 };

	if (!id->verbs)
		return error_set(-ENOSYS, "%s is not on an RDMA device: ibv_devices, rdma link",
				 host);
	if (transport->library->query_port(id->verbs, id->port_num, &port) != 0 ||
	    port.state != IBV_PORT_ACTIVE)
		return error_set(-ENOSYS,
				 "device %s, port %d is not active: is its interface up, its "
				 "cable in? rdma link shows it",
				 id->verbs->device->name, id->port_num);
	return 0;
}

/* Does the text mean it? HOST is a number, an interface, a device, or nothing. */
static bool is_meant(const struct verbs_address *address, const char *interface, const char *device)
{
	if (address->device[0] && strcmp(address->device, device) != 0)
		return false;
	return !interface || !address->host[0] || strcmp(address->host, interface) == 0 ||
	       strcmp(address->host, device) == 0;
}

static int choice_visit(void *arg, const struct sockaddr *socket, const char *interface)
{
	struct choice *choice = arg;
	struct transport *transport = choice->transport;
	const struct verbs_library *library = transport->library;
	const char *host = interface ? interface : choice->address->host;
	struct rdma_cm_id *id = NULL;
	int err = 0;

	if (alloc_fault_point() ||
	    library->create_id(transport->events, &id, NULL, RDMA_PS_TCP) != 0)
		return error_set(-ENOMEM, "no memory to listen");
	if (library->bind_addr(id, (struct sockaddr *)(uintptr_t)socket) != 0)
		err = bind_error(host, errno);
	if (err == 0)
		err = port_check(transport, id, host);
	if (err == 0 && !is_meant(choice->address, interface, id->verbs->device->name))
		err = -ENOSYS;
	if (err < 0) {
		library->destroy_id(id);
		return err;
	}
	transport->listener = id;
	transport->verbs = id->verbs;
	return 0;
}

static int device_choose(struct transport *transport, const struct verbs_address *address)
{
	struct choice choice = { .transport = transport, .address = address };
	char last[ERROR_TEXT_MAX];
	int err;

	error_clear();
	err = verbs_address_each(address, choice_visit, &choice);
	if (err == -ENOMEM || err == -EEXIST || err == 0)
		return err;
	snprintf(last, sizeof(last), "%s", error_text());
	if (address->host[0] || address->device[0])
		return error_set(-EINVAL,
				 "no RDMA device for \"%s%s%s\": ibv_devices lists them, and its "
				 "interface needs an IP address%s%.100s",
				 address->device, address->device[0] ? "/" : "", address->host,
				 last[0] ? ": " : "", last);
	return error_set(-ENOSYS,
			 "no RDMA device with an active port and an IP address on its interface: "
			 "ibv_devices, rdma link, ip addr%s%.100s",
			 last[0] ? ": " : "", last);
}

/* ---- what is made on it ---- */

static int resource_error(const struct transport *transport, const char *what)
{
	char device[VERBS_REASON_MAX];
	int err = errno;

	verbs_device_text(transport, device, sizeof(device));
	if (err == EMFILE || err == ENFILE)
		return error_set(-EMFILE, "no descriptor left for %s: raise ulimit -n", what);
	if (err == ENOMEM)
		return error_set(-ENOMEM, "no memory for %s on %s", what, device);
	return error_set(-ENOSYS, "%s: no %s: %s", device, what, strerror(err));
}

static int queues_open(struct transport *transport)
{
	const struct verbs_library *library = transport->library;

	errno = ENOMEM;
	if (library->query_device(transport->verbs, &transport->device) != 0)
		return resource_error(transport, "attributes");
	transport->pd = alloc_fault_point() ? NULL : library->alloc_pd(transport->verbs);
	transport->data_pd = alloc_fault_point() ? NULL : library->alloc_pd(transport->verbs);
	if (!transport->pd || !transport->data_pd)
		return resource_error(transport, "protection domain");
	transport->channel = alloc_fault_point() ? NULL : library->create_channel(transport->verbs);
	if (!transport->channel)
		return resource_error(transport, "completion channel");
	fcntl(transport->channel->fd, F_SETFL, O_NONBLOCK);
	fcntl(transport->channel->fd, F_SETFD, FD_CLOEXEC);
	fcntl(transport->verbs->async_fd, F_SETFL, O_NONBLOCK);
	fcntl(transport->verbs->async_fd, F_SETFD, FD_CLOEXEC);
	for (int i = 0; i < QUEUE_COUNT; i++) {
		if (!alloc_fault_point())
			transport->queue[i].cq = library->create_cq(
				transport->verbs,
				transport->device.max_cqe < CQ_FIRST ? transport->device.max_cqe :
								       CQ_FIRST,
				&transport->queue[i], transport->channel, 0);
		if (!transport->queue[i].cq)
			return resource_error(transport, "completion queue");
	}
	return 0;
}

static int listener_open(struct transport *transport, const struct verbs_address *address)
{
	const struct sockaddr *is;
	int err;

	if (transport->library->listen(transport->listener, LISTEN_BACKLOG) != 0)
		return errno == EADDRINUSE ? bind_error(address->host, errno) :
					     resource_error(transport, "listener");
	is = rdma_get_local_addr(transport->listener);
	memcpy(&transport->address, is, verbs_address_len(is));
	if (getrandom(&transport->pass, sizeof(transport->pass), 0) != sizeof(transport->pass) ||
	    getrandom(&transport->cookie, sizeof(transport->cookie), 0) !=
		    sizeof(transport->cookie))
		return error_set(-ENOSYS, "getrandom(2) is needed: %s", strerror(errno));
	transport->cookie = address->port ? 0 : transport->cookie | 1;
	err = verbs_address_format(is, transport->cookie, transport->locator);
	return err;
}

static int watch_add(struct transport *transport, int fd, enum watch_kind kind)
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
	int err;

	if (!alloc_fault_point())
		transport->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!alloc_fault_point())
		transport->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!alloc_fault_point())
		transport->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (transport->epoll < 0 || transport->timer < 0 || transport->wake < 0)
		return error_set(-EMFILE, "no descriptor left for the transport: raise ulimit -n");
	err = watch_add(transport, transport->channel->fd, WATCH_CQ);
	if (err == 0)
		err = watch_add(transport, transport->events->fd, WATCH_CM);
	if (err == 0)
		err = watch_add(transport, transport->verbs->async_fd, WATCH_DEVICE);
	if (err == 0)
		err = watch_add(transport, transport->timer, WATCH_TIMER);
	return err < 0 ? err : watch_add(transport, transport->wake, WATCH_WAKE);
}

static void fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void verbs_free(struct transport *transport)
{
	const struct verbs_library *library = transport->library;
	struct operation *operation;

	for (unsigned i = transport->link_count; i-- > 0;)
		verbs_link_bury(transport->link[i]);
	while ((operation = TAILQ_FIRST(&transport->done))) {
		TAILQ_REMOVE(&transport->done, operation, queue);
		verbs_operation_free(operation);
	}
	while (transport->link_count)
		verbs_link_free(transport->link[transport->link_count - 1]);
	while (!LIST_EMPTY(&transport->exposures))
		verbs_memory_hide(LIST_FIRST(&transport->exposures));
	free(transport->link);
	free(transport->pair);
	for (int i = 0; i < QUEUE_COUNT; i++) {
		struct queue *queue = &transport->queue[i];

		if (queue->events)
			library->ack_cq_events(queue->cq, queue->events);
		if (queue->cq)
			library->destroy_cq(queue->cq);
	}
	if (transport->channel)
		library->destroy_channel(transport->channel);
	if (transport->pd)
		library->dealloc_pd(transport->pd);
	if (transport->data_pd)
		library->dealloc_pd(transport->data_pd);
	if (transport->listener) /* its device may be closed with it */
		library->destroy_id(transport->listener);
	if (transport->events)
		library->destroy_events(transport->events);
	fd_close(transport->epoll);
	fd_close(transport->timer);
	fd_close(transport->wake);
	free(transport);
}

static int open_parts(struct transport *transport, const struct verbs_address *address)
{
	int err = events_open(transport);

	if (err == 0)
		err = device_choose(transport, address);
	if (err == 0)
		err = queues_open(transport);
	if (err == 0)
		err = listener_open(transport, address);
	return err < 0 ? err : descriptors_open(transport);
}

int verbs_open(const char *where, struct transport **ret_transport)
{
	struct transport *transport;
	struct verbs_address address;
	int err = verbs_address_local(where, &address);

	if (err < 0)
		return err;
	transport = alloc_zero(sizeof(*transport));
	if (!transport)
		return error_set(-ENOMEM, "no memory for a transport");
	transport->epoll = transport->timer = transport->wake = -1;
	transport->timer_at = UINT64_MAX;
	transport->look_due = true;
	TAILQ_INIT(&transport->due_now);
	TAILQ_INIT(&transport->due_down);
	TAILQ_INIT(&transport->done);
	LIST_INIT(&transport->exposures);
	err = verbs_library_get(&transport->library);
	if (err < 0)
		free(transport);
	else if ((err = open_parts(transport, &address)) < 0)
		verbs_free(transport);
	if (err == 0)
		*ret_transport = transport;
	return err;
}

/* What open("") would say, without listening. */
int verbs_probe(char *ret_reason, size_t size)
{
	const struct verbs_address address = { 0 };
	struct transport transport = { 0 };
	int err = verbs_library_get(&transport.library);

	if (err == 0)
		err = events_open(&transport);
	if (err == 0)
		err = device_choose(&transport, &address);
	if (transport.listener)
		transport.library->destroy_id(transport.listener);
	if (transport.events)
		transport.library->destroy_events(transport.events);
	if (err < 0 && size)
		snprintf(ret_reason, size, "%s", error_text());
	return err;
}
