/* SPDX-License-Identifier: BSD-3-Clause */
/* link.c -- the life of a link: connection, messages, the end */
#include "transport/ofi/ofi.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define CONNECT_MAGIC 0x66627831u /* names the version, too */
#define CONNECT_RETRY_NS (10 * NS_PER_MS)
#define SEND_RETRY_NS NS_PER_MS
#define STRANGERS_NS (10 * NS_PER_S)
#define BROKEN_NS (2 * NS_PER_S)
#define RING_ALIGN 64u

/* What comes with a connection request. */
struct connect_data {
	uint32_t magic;
	uint32_t message_max;
	uint64_t cookie;
};

/* ---- memory ---- */

static int link_new(struct transport *transport, struct transport_link **ret_link)
{
	size_t header =
		(sizeof(struct transport_link) + RING_ALIGN - 1) & ~(size_t)(RING_ALIGN - 1);
	struct transport_link *link, **array;

	if (transport->link_count == OFI_LINK_MAX)
		return error_set(-ENOSPC, "more than %d links", OFI_LINK_MAX);
	if (transport->link_count == transport->link_size) {
		unsigned size = transport->link_size ? 2 * transport->link_size : 16;

		array = alloc_resize(transport->link, size, sizeof(*array));
		if (!array)
			return error_set(-ENOMEM, "no memory for a link");
		transport->link = array;
		transport->link_size = size;
	}
	link = alloc_zero(header + OFI_RING_SIZE + (size_t)OFI_RECEIVE_MAX * OFI_MESSAGE_MAX);
	if (!link)
		return error_set(-ENOMEM, "no memory for the buffers of a link");
	link->transport = transport;
	link->socket = -1;
	link->ring = (uint8_t *)link + header;
	link->buffer = link->ring + OFI_RING_SIZE;
	for (unsigned i = 0; i < OFI_SEND_MAX; i++)
		link->send[i] = (struct operation){ .link = link, .kind = OPERATION_SEND };
	for (unsigned i = 0; i < OFI_RECEIVE_MAX; i++)
		link->receive[i] =
			(struct operation){ .link = link, .kind = OPERATION_RECEIVE, .number = i };
	link->index = transport->link_count;
	transport->link[transport->link_count++] = link;
	*ret_link = link;
	return 0;
}

static void due_clear(struct transport_link *link)
{
	struct transport *transport = link->transport;

	if (!link->due)
		return;
	TAILQ_REMOVE(link->due == DUE_DOWN ? &transport->due_down : &transport->due_now, link,
		     due_link);
	link->due = 0;
}

static void endpoint_close(struct transport_link *link)
{
	if (link->endpoint)
		fi_close(&link->endpoint->fid);
	link->endpoint = NULL;
	link->socket = -1;
}

void ofi_link_bury(struct transport_link *link)
{
	struct transport *transport = link->transport;

	if (link->state == LINK_DEAD)
		return;
	if (link->state == LINK_CLOSING)
		transport->closing--;
	due_clear(link);
	if (transport->held && transport->held->link == link)
		transport->held = NULL;
	endpoint_close(link);
	link->state = LINK_DEAD;
	transport->dead++;
}

void ofi_link_free(struct transport_link *link)
{
	struct transport *transport = link->transport;
	struct transport_link *last = transport->link[transport->link_count - 1];

	ofi_link_bury(link);
	transport->dead--;
	if (link->memory)
		fi_close(&link->memory->fid);
	transport->link[link->index] = last;
	last->index = link->index;
	transport->link_count--;
	free(link);
}

/* ---- what poll() is to tell ---- */

void ofi_link_due(struct transport_link *link, unsigned due)
{
	struct transport *transport = link->transport;
	unsigned all = link->due | due;

	due_clear(link);
	link->due = all;
	if (all == DUE_DOWN)
		TAILQ_INSERT_TAIL(&transport->due_down, link, due_link);
	else
		TAILQ_INSERT_TAIL(&transport->due_now, link, due_link);
}

void ofi_link_fail(struct transport_link *link, int status)
{
	switch (link->state) {
	case LINK_ACCEPTING:
	case LINK_CLOSING:
		ofi_link_bury(link);
		break;
	case LINK_CONNECTING:
	case LINK_UP:
		if (link->due & DUE_DOWN)
			break;
		link->broken = true;
		link->status = status;
		ofi_link_due(link, (link->due & DUE_UP) | DUE_DOWN);
		break;
	case LINK_DOWN:
	case LINK_DEAD:
		break;
	}
}

/* ---- connection ---- */

void ofi_link_receive_post(struct operation *operation)
{
	struct transport_link *link = operation->link;
	ssize_t err;

	if (!link->endpoint)
		return;
	err = fi_recv(link->endpoint, link->buffer + (size_t)operation->number * OFI_MESSAGE_MAX,
		      OFI_MESSAGE_MAX, link->descriptor, 0, operation);
	if (err < 0 && !link->broken)
		ofi_link_fail(link, -EHOSTDOWN);
}

static int endpoint_prepare(struct transport_link *link)
{
	struct transport *transport = link->transport;
	size_t len = OFI_RING_SIZE + (size_t)OFI_RECEIVE_MAX * OFI_MESSAGE_MAX;
	int err = 0;

	if (transport->info->domain_attr->mr_mode & FI_MR_LOCAL && !link->memory)
		err = fi_mr_reg(transport->domain, link->ring, len, FI_SEND | FI_RECV, 0, 0, 0,
				&link->memory, NULL);
	if (err == 0)
		err = fi_ep_bind(link->endpoint, &transport->eq->fid, 0);
	if (err == 0)
		err = fi_ep_bind(link->endpoint, &transport->cq->fid, FI_RECV);
	if (err == 0)
		err = fi_ep_bind(link->endpoint, &transport->cq->fid,
				 FI_TRANSMIT | FI_SELECTIVE_COMPLETION);
	if (err == 0)
		err = fi_enable(link->endpoint);
	if (err < 0)
		return err;
	link->descriptor = link->memory ? fi_mr_desc(link->memory) : NULL;
	for (unsigned i = 0; i < OFI_RECEIVE_MAX; i++)
		ofi_link_receive_post(&link->receive[i]);
	return link->broken ? -EHOSTDOWN : 0;
}

static int endpoint_open(struct transport_link *link, struct fi_info *info)
{
	int err = alloc_fault_point() ?
			  -FI_ENOMEM :
			  fi_endpoint(link->transport->domain, info, &link->endpoint, link);

	if (err < 0)
		return err;
	err = endpoint_prepare(link);
	if (err < 0)
		endpoint_close(link);
	return err;
}

/* connected: the peer's address is known to the kernel. */
static void socket_learn(struct transport_link *link, bool connected)
{
	struct sockaddr_storage local = { 0 }, peer = { 0 };
	size_t local_len = sizeof(local), peer_len = sizeof(peer);

	if (link->socket >= 0 || fi_getname(&link->endpoint->fid, &local, &local_len) < 0)
		return;
	if (connected && fi_getpeer(link->endpoint, &peer, &peer_len) < 0)
		return;
	link->socket = ofi_socket_find((struct sockaddr *)&local,
				       connected ? (struct sockaddr *)&peer : NULL);
	if (link->socket >= 0)
		ofi_socket_setup(link->socket);
	if (!connected)
		link->socket = -1; /* not yet certain */
}

/* An info of ours, to this address. NULL: no memory. */
static struct fi_info *info_to(const struct transport *transport, const struct ofi_address *address)
{
	struct fi_info *info =
		alloc_fault_point() ? NULL : transport->library->dupinfo(transport->info);

	if (!info)
		return NULL;
	free(info->src_addr);
	free(info->dest_addr);
	info->src_addr = NULL;
	info->src_addrlen = 0;
	info->dest_addrlen = address->socket_len;
	info->dest_addr = alloc_zero(address->socket_len);
	if (!info->dest_addr) {
		transport->library->freeinfo(info);
		return NULL;
	}
	memcpy(info->dest_addr, &address->socket, address->socket_len);
	return info;
}

/* Errors: -EAGAIN the provider wants to be asked again. */
static int connect_start(struct transport_link *link)
{
	struct connect_data data = { .magic = CONNECT_MAGIC,
				     .message_max = OFI_MESSAGE_MAX,
				     .cookie = link->address.cookie };
	struct fi_info *info = info_to(link->transport, &link->address);
	int err;

	if (!info)
		return error_set(-ENOMEM, "no memory to connect");
	err = endpoint_open(link, info);
	if (err == 0)
		err = fi_connect(link->endpoint, info->dest_addr, &data, sizeof(data));
	link->transport->library->freeinfo(info);
	if (err == 0)
		socket_learn(link, false);
	else
		endpoint_close(link);
	if (err == 0 || err == -FI_EAGAIN)
		return err;
	if (err == -EMFILE || err == -ENFILE)
		return error_set(-EMFILE, "no descriptor left to connect: raise ulimit -n");
	if (err == -FI_ENOMEM)
		return error_set(-ENOMEM, "no memory to connect");
	return error_set(-ECONNREFUSED, "cannot connect to %s port %s: %s", link->address.host,
			 link->address.port, link->transport->library->strerror(-err));
}

int ofi_link_connect(struct transport *transport, const char *locator,
		     struct transport_link **ret_link)
{
	struct transport_link *link;
	struct ofi_address address;
	int err;

	err = ofi_address_parse(locator, &address);
	if (err < 0)
		return err;
	if (strcmp(address.provider, transport->info->fabric_attr->prov_name) != 0)
		return error_set(-EINVAL, "\"%s\": our provider is %s", locator,
				 transport->info->fabric_attr->prov_name);
	err = link_new(transport, &link);
	if (err < 0)
		return err;
	link->state = LINK_CONNECTING;
	link->address = address;
	link->deadline = clock_now_ns() + ofi_timing.connect_ns;
	err = connect_start(link);
	if (err < 0 && err != -FI_EAGAIN) {
		ofi_link_bury(link);
		return err;
	}
	ofi_timer_want(transport, err < 0 ? clock_now_ns() + CONNECT_RETRY_NS : link->deadline);
	*ret_link = link;
	return 0;
}

static bool request_valid(const struct transport *transport, const void *data, size_t len)
{
	struct connect_data request;

	if (len < sizeof(request))
		return false;
	memcpy(&request, data, sizeof(request));
	return request.magic == CONNECT_MAGIC && request.message_max == OFI_MESSAGE_MAX &&
	       (request.cookie ^ transport->cookie) == 0;
}

static int request_accept(struct transport_link *link, struct fi_info *info)
{
	int err;

	link->state = LINK_ACCEPTING;
	link->accepted = true;
	link->deadline = clock_now_ns() + ofi_timing.connect_ns;
	err = endpoint_open(link, info);
	if (err < 0)
		return err;
	socket_learn(link, true);
	err = fi_accept(link->endpoint, NULL, 0);
	if (err == 0)
		ofi_timer_want(link->transport, link->deadline);
	return err;
}

void ofi_stranger_log(struct transport *transport, unsigned count, const char *why)
{
	uint64_t now = clock_now_ns();

	transport->strangers += count;
	if (now < transport->strangers_log_at)
		return;
	log_warning("turned away %u connections; the last: %s", transport->strangers, why);
	transport->strangers = 0;
	transport->strangers_log_at = now + STRANGERS_NS;
}

void ofi_link_request(struct transport *transport, struct fi_info *info, const void *data,
		      size_t len)
{
	struct transport_link *link;
	int err;

	if (!request_valid(transport, data, len)) {
		ofi_stranger_log(transport, 1,
				 "not our version of farbus, or not this port's cookie");
		err = -EPROTO;
	} else if ((err = link_new(transport, &link)) == 0) {
		err = request_accept(link, info);
		if (err < 0)
			ofi_link_bury(link);
	}
	if (err < 0)
		fi_reject(transport->listener, info->handle, NULL, 0);
	transport->library->freeinfo(info);
}

void ofi_link_connected(struct transport_link *link)
{
	if (link->state != LINK_CONNECTING && link->state != LINK_ACCEPTING)
		return;
	if (link->due & DUE_DOWN)
		return;
	link->state = LINK_UP;
	link->deadline = 0;
	socket_learn(link, true);
	ofi_link_due(link, DUE_UP);
	if (link->want) {
		link->want = false;
		ofi_link_due(link, DUE_WRITABLE);
	}
}

/* ---- messages ---- */

static bool ring_roomy(const struct transport_link *link)
{
	return link->ring_head - link->ring_tail <= OFI_RING_ROOMY &&
	       link->send_head - link->send_tail <= OFI_SEND_MAX / 2;
}

/* Where len bytes have room: *ret_start, a position modulo 2^32. */
static bool ring_room(const struct transport_link *link, size_t len, uint32_t *ret_start)
{
	uint32_t start = link->ring_head, at = start % OFI_RING_SIZE;

	if (link->send_head - link->send_tail == OFI_SEND_MAX)
		return false;
	if (at + len > OFI_RING_SIZE)
		start += OFI_RING_SIZE - at;
	*ret_start = start;
	return start + (uint32_t)len - link->ring_tail <= OFI_RING_SIZE;
}

/* Every so often a send has to say that it is complete, or we never learn that there is room. */
static bool signal_due(const struct transport_link *link, uint32_t end)
{
	return link->send_head + 1 - link->send_signalled >= OFI_SIGNAL_COUNT ||
	       end - link->ring_signalled >= OFI_SIGNAL_BYTES;
}

static ssize_t message_send(struct transport_link *link, struct operation *operation,
			    const void *data, size_t len, uint64_t flags)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct fi_msg message = { .msg_iov = &iov,
				  .desc = &link->descriptor,
				  .iov_count = len ? 1 : 0,
				  .context = operation,
				  .data = 1 };

	return fi_sendmsg(link->endpoint, &message, flags);
}

static int put_off(struct transport_link *link)
{
	link->want = true;
	return -EAGAIN;
}

static void send_count(struct transport_link *link, uint32_t end, bool signalled)
{
	link->ring_head = end;
	link->send_head++;
	if (signalled) {
		link->send_signalled = link->send_head;
		link->ring_signalled = end;
	}
	if (link->watched)
		return;
	link->watched = true;
	ofi_timer_want(link->transport, clock_now_ns() + ofi_timing.probe_ns);
}

static int send_error(struct transport_link *link, ssize_t err)
{
	if (err == -FI_EAGAIN) {
		if (link->send_signalled == link->send_tail) /* nobody will tell of room */
			ofi_timer_want(link->transport, clock_now_ns() + SEND_RETRY_NS);
		return put_off(link);
	}
	link->broken = true;
	link->deadline = clock_now_ns() + BROKEN_NS;
	ofi_timer_want(link->transport, link->deadline);
	return -EHOSTDOWN;
}

static int ring_send(struct transport_link *link, const void *data, size_t len)
{
	struct operation *operation = &link->send[link->send_head % OFI_SEND_MAX];
	uint32_t start = 0, end;
	bool signalled;
	ssize_t err;

	if (!ring_room(link, len, &start))
		return put_off(link);
	end = (uint32_t)(start + len + RING_ALIGN - 1) & ~(RING_ALIGN - 1);
	signalled = signal_due(link, end);
	operation->number = link->send_head;
	operation->end = end;
	if (len)
		memcpy(link->ring + start % OFI_RING_SIZE, data, len);
	err = message_send(link, operation, link->ring + start % OFI_RING_SIZE, len,
			   signalled ? FI_COMPLETION : 0);
	if (err < 0)
		return send_error(link, err);
	send_count(link, end, signalled);
	return 0;
}

int ofi_link_send(struct transport_link *link, const void *data, size_t len, int fd)
{
	ssize_t err;

	if (len > OFI_MESSAGE_MAX)
		return error_set(-EMSGSIZE, "message of %zu bytes: at most %d", len,
				 OFI_MESSAGE_MAX);
	if (fd >= 0)
		return error_set(-ENOTSUP, "no descriptors go to another host");
	if (link->broken || link->state > LINK_UP)
		return -EHOSTDOWN;
	if (link->state != LINK_UP)
		return put_off(link);
	if (!len || len > link->transport->info->tx_attr->inject_size ||
	    signal_due(link, link->ring_head) || link->send_head - link->send_tail == OFI_SEND_MAX)
		return ring_send(link, data, len);
	err = fi_inject(link->endpoint, data, len, 0);
	if (err < 0)
		return send_error(link, err);
	send_count(link, link->ring_head, false);
	return 0;
}

/* ---- the end ---- */

/* CLOSE has gone out, so all has: the rest is the kernel's. */
static void close_finish(struct transport_link *link)
{
	struct transport *transport = link->transport;
	int socket = link->socket >= 0 ? fcntl(link->socket, F_DUPFD_CLOEXEC, 0) : -1;

	if (socket < 0)
		fi_shutdown(link->endpoint, 0);
	ofi_link_bury(link);
	if (socket >= 0)
		ofi_linger_add(transport, socket);
}

static void close_send(struct transport_link *link)
{
	struct operation *operation = &link->send[link->send_head % OFI_SEND_MAX];
	ssize_t err;

	if (link->send_head - link->send_tail == OFI_SEND_MAX)
		return;
	operation->number = link->send_head;
	operation->end = link->ring_head;
	err = message_send(link, operation, NULL, 0, FI_COMPLETION | FI_REMOTE_CQ_DATA);
	if (err == 0) {
		link->close_sent = true;
		send_count(link, link->ring_head, true);
	} else if (err != -FI_EAGAIN) {
		ofi_link_bury(link);
	}
}

void ofi_link_close(struct transport_link *link)
{
	struct transport *transport;

	if (!link || link->state == LINK_CLOSING || link->state == LINK_DEAD)
		return;
	transport = link->transport;
	if (link->state != LINK_UP || link->broken) {
		ofi_link_bury(link);
		return;
	}
	due_clear(link);
	link->state = LINK_CLOSING;
	transport->closing++;
	link->deadline = clock_now_ns() + ofi_timing.linger_ns;
	close_send(link);
	if (link->state == LINK_CLOSING)
		ofi_timer_want(transport,
			       link->close_sent ? link->deadline : clock_now_ns() + SEND_RETRY_NS);
}

void ofi_link_sent(struct operation *operation, int status)
{
	struct transport_link *link = operation->link;

	if (link->state == LINK_DEAD)
		return;
	if (status < 0 && link->state == LINK_CLOSING) {
		ofi_link_bury(link);
	} else if (status < 0) {
		if (!link->broken)
			send_error(link, status);
		return;
	} else {
		link->send_tail = operation->number + 1;
		link->ring_tail = operation->end;
	}
	if (link->state == LINK_CLOSING) {
		if (!link->close_sent)
			close_send(link);
		else if (link->send_tail == link->send_head)
			close_finish(link);
	} else if (link->want && link->state == LINK_UP && !link->broken && ring_roomy(link)) {
		link->want = false;
		ofi_link_due(link, DUE_WRITABLE);
	}
}

/* ---- time ---- */

static void connect_tick(struct transport_link *link)
{
	int err;

	if (link->endpoint || link->due)
		return;
	err = connect_start(link);
	if (err < 0 && err != -FI_EAGAIN)
		ofi_link_fail(link, err);
}

/* Is there still somebody? Nothing to look at while everything is acknowledged. */
static void silence_tick(struct transport_link *link)
{
	bool idle = false;

	if (link->socket < 0 || ofi_socket_silence(link->socket, &idle) >= ofi_timing.silence_ns) {
		link->watched = false;
		if (link->socket >= 0)
			ofi_link_fail(link, -EHOSTDOWN);
	} else if (idle) {
		link->watched = false;
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t ofi_link_tick(struct transport_link *link, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	if (link->deadline && now >= link->deadline) {
		link->deadline = 0;
		ofi_link_fail(link, link->state == LINK_CONNECTING ? -ETIMEDOUT : -EHOSTDOWN);
	}
	if (link->deadline)
		next = link->deadline;
	if (link->state == LINK_CONNECTING) {
		connect_tick(link);
		if (!link->endpoint && !link->due)
			next = earlier(next, now + CONNECT_RETRY_NS);
	}
	if (link->state == LINK_CLOSING && !link->close_sent) {
		close_send(link);
		next = earlier(next, now + SEND_RETRY_NS);
	}
	if (link->state == LINK_UP && link->want && link->send_signalled == link->send_tail) {
		link->want = false;
		ofi_link_due(link, DUE_WRITABLE);
	}
	if (link->state == LINK_UP && link->watched)
		silence_tick(link);
	if (link->state == LINK_UP && link->watched)
		next = earlier(next, now + ofi_timing.probe_ns);
	return next;
}
