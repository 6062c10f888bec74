/* SPDX-License-Identifier: BSD-3-Clause */
/* link.c -- the life of a link: connection, messages, the end */
#include "transport/ucx/ucx.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define AM_ID 1
#define RING_ALIGN 64u
#define FRAME_UP_SEQUENCE 0

_Static_assert((UCX_FRAME_MAX & (UCX_FRAME_MAX - 1)) == 0, "sequence numbers wrap");
_Static_assert((UCX_RING_SIZE & (UCX_RING_SIZE - 1)) == 0, "positions wrap");

/* ---- memory ---- */

/* Makes room for one more, and finds it. */
static int slot_find(struct transport *transport, unsigned *ret_index)
{
	struct transport_link **array;
	unsigned size = transport->link_size;

	for (unsigned i = 0; i < size; i++) {
		unsigned index = (transport->link_next + i) % size;

		if (!transport->link[index]) {
			*ret_index = index;
			return 0;
		}
	}
	if (size == UCX_LINK_MAX)
		return error_set(-ENOSPC, "more than %u links", UCX_LINK_MAX);
	array = alloc_resize(transport->link, size ? 2 * size : 16, sizeof(*array));
	if (!array)
		return error_set(-ENOMEM, "no memory for a link");
	transport->link = array;
	transport->link_size = size ? 2 * size : 16;
	for (unsigned i = size; i < transport->link_size; i++)
		array[i] = NULL;
	*ret_index = size;
	return 0;
}

static void operations_init(struct transport_link *link)
{
	for (unsigned i = 0; i < UCX_FRAME_MAX; i++)
		link->send[i].link = link;
	link->ack.link = link;
}

int ucx_link_new(struct transport *transport, enum link_state state,
		 struct transport_link **ret_link)
{
	size_t header =
		(sizeof(struct transport_link) + RING_ALIGN - 1) & ~(size_t)(RING_ALIGN - 1);
	struct transport_link *link;
	unsigned index = 0;
	uint64_t token;
	int err = slot_find(transport, &index);

	if (err < 0)
		return err;
	if (getrandom(&token, sizeof(token), 0) != sizeof(token))
		return error_set(-ENOSYS, "getrandom(2) is needed: %s", strerror(errno));
	link = alloc_zero(header + 2 * (size_t)UCX_RING_SIZE);
	if (!link)
		return error_set(-ENOMEM, "no memory for the buffers of a link");
	link->watch.kind = WATCH_LINK;
	link->transport = transport;
	link->state = state;
	link->accepted = state == LINK_ACCEPTING;
	link->index = index;
	link->token = token << UCX_LINK_BITS | index;
	link->socket = -1;
	link->ring = (uint8_t *)link + header;
	link->buffer = link->ring + UCX_RING_SIZE;
	operations_init(link);
	transport->link[index] = link;
	transport->link_next = index + 1;
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

static void ready_set(struct transport_link *link, bool ready)
{
	if (link->is_ready == ready)
		return;
	link->is_ready = ready;
	if (ready)
		TAILQ_INSERT_TAIL(&link->transport->ready, link, ready_link);
	else
		TAILQ_REMOVE(&link->transport->ready, link, ready_link);
}

static void ack_due_set(struct transport_link *link, bool due)
{
	if (link->ack_due == due)
		return;
	link->ack_due = due;
	if (due)
		TAILQ_INSERT_TAIL(&link->transport->acks, link, ack_link);
	else
		TAILQ_REMOVE(&link->transport->acks, link, ack_link);
}

static void socket_close(struct transport_link *link)
{
	if (link->socket < 0)
		return;
	close(link->socket);
	link->socket = -1;
	link->transport->watch_gone = true;
}

void ucx_link_bury(struct transport_link *link)
{
	struct transport *transport = link->transport;

	if (link->state == LINK_DEAD)
		return;
	if (link->state == LINK_CLOSING)
		transport->closing--;
	due_clear(link);
	ready_set(link, false);
	ack_due_set(link, false);
	if (transport->held == link)
		transport->held = NULL;
	if (link->greeting)
		ucx_greeting_free(link->greeting);
	socket_close(link);
	if (link->endpoint)
		ucx_endpoint_put(link->endpoint);
	link->endpoint = NULL;
	link->state = LINK_DEAD;
	if (link->busy == 0)
		transport->dead++;
}

void ucx_link_free(struct transport_link *link)
{
	struct transport *transport = link->transport;

	ucx_link_bury(link);
	if (link->busy == 0)
		transport->dead--;
	transport->link[link->index] = NULL;
	free(link);
}

/* ---- what poll() is to tell ---- */

void ucx_link_due(struct transport_link *link, unsigned due)
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

void ucx_link_fail(struct transport_link *link, int status)
{
	switch (link->state) {
	case LINK_ACCEPTING:
	case LINK_CLOSING:
		ucx_link_bury(link);
		break;
	case LINK_CONNECTING:
	case LINK_UP:
		if (link->due & DUE_DOWN)
			break;
		link->broken = true;
		link->deadline = 0;
		link->status = status;
		ucx_link_due(link, (link->due & DUE_UP) | DUE_DOWN);
		break;
	case LINK_DOWN:
	case LINK_DEAD:
		break;
	}
}

static void link_up(struct transport_link *link)
{
	if (link->state != LINK_CONNECTING && link->state != LINK_ACCEPTING)
		return;
	link->state = LINK_UP;
	link->deadline = 0;
	ucx_descriptors_connected(link->transport);
	ucx_link_due(link, DUE_UP);
	if (link->want) {
		link->want = false;
		ucx_link_due(link, DUE_WRITABLE);
	}
}

/* ---- frames go out ---- */

static bool ring_roomy(const struct transport_link *link)
{
	return link->ring_head - link->ring_tail <= UCX_RING_ROOMY &&
	       link->head - link->tail <= UCX_FRAME_MAX / 2;
}

/* Where len bytes have room: *ret_start, a position modulo 2^32. The last frame is for CLOSE. */
static bool ring_room(const struct transport_link *link, size_t len, uint32_t *ret_start)
{
	uint32_t start = link->ring_head, at = start % UCX_RING_SIZE;

	if (link->head - link->tail >= UCX_FRAME_MAX - 1)
		return false;
	if (at + len > UCX_RING_SIZE)
		start += UCX_RING_SIZE - at;
	*ret_start = start;
	return start + (uint32_t)len - link->ring_tail <= UCX_RING_SIZE;
}

/* What is acknowledged, and not read by UCX any more, makes room. */
static void tail_advance(struct transport_link *link)
{
	while (link->tail != link->acked && !link->send[link->tail % UCX_FRAME_MAX].busy) {
		link->ring_tail = link->send[link->tail % UCX_FRAME_MAX].end;
		link->tail++;
	}
	if (link->state == LINK_CLOSING && link->acked == link->head)
		ucx_link_bury(link);
	else if (link->state == LINK_UP && link->want && !link->broken && ring_roomy(link)) {
		link->want = false;
		ucx_link_due(link, DUE_WRITABLE);
	}
}

static void operation_done(void *request, ucs_status_t status, void *arg)
{
	struct operation *operation = arg;
	struct transport_link *link = operation->link;

	link->transport->library->request_free(request);
	operation->busy = false;
	link->busy--;
	if (link->state == LINK_DEAD) {
		if (link->busy == 0)
			link->transport->dead++;
		return;
	}
	if (status != UCS_OK)
		ucx_link_fail(link, -EHOSTDOWN);
	else
		tail_advance(link);
}

/* The acknowledgement that goes with a frame spares one of its own. */
static void ack_fill(struct transport_link *link, struct ucx_frame *frame)
{
	frame->ack = link->seen;
	link->acknowledged = link->seen;
	link->seen_bytes = 0;
	ack_due_set(link, false);
}

/* Errors: -EHOSTDOWN. */
static int operation_post(struct operation *operation, enum frame_kind kind, const void *data,
			  size_t len)
{
	struct transport_link *link = operation->link;
	struct ucx_frame *frame = &operation->frame;
	ucp_request_param_t param = { .op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK |
						      UCP_OP_ATTR_FIELD_USER_DATA |
						      UCP_OP_ATTR_FIELD_FLAGS |
						      UCP_OP_ATTR_FIELD_MEMORY_TYPE,
				      .flags = UCP_AM_SEND_FLAG_EAGER,
				      .user_data = operation,
				      .memory_type = UCS_MEMORY_TYPE_HOST };
	ucs_status_ptr_t request;

	param.cb.send = operation_done;
	frame->token = link->peer_token;
	frame->kind = (uint16_t)kind;
	ack_fill(link, frame);
	request = link->transport->library->am_send_nbx(link->endpoint->ep, AM_ID, frame,
							sizeof(*frame), data, len, &param);
	if (UCS_PTR_IS_ERR(request)) {
		ucx_link_fail(link, -EHOSTDOWN);
		return error_set(
			-EHOSTDOWN, "UCX does not send: %s",
			link->transport->library->status_string(UCS_PTR_RAW_STATUS(request)));
	}
	operation->busy = request != NULL;
	link->busy += operation->busy;
	return 0;
}

/* A frame that counts, with len bytes that are at start in the ring. */
static int frame_send(struct transport_link *link, enum frame_kind kind, uint32_t start, size_t len)
{
	struct operation *operation = &link->send[link->head % UCX_FRAME_MAX];

	operation->frame.sequence = link->head;
	operation->frame.start = start;
	operation->end = (uint32_t)(start + len + RING_ALIGN - 1) & ~(RING_ALIGN - 1);
	link->head++;
	link->ring_head = operation->end;
	return operation_post(operation, kind, link->ring + start % UCX_RING_SIZE, len);
}

static int put_off(struct transport_link *link)
{
	link->want = true;
	return -EAGAIN;
}

int ucx_link_send(struct transport_link *link, const void *data, size_t len, int fd)
{
	uint32_t start = 0;

	if (len > UCX_MESSAGE_MAX)
		return error_set(-EMSGSIZE, "message of %zu bytes: at most %d", len,
				 UCX_MESSAGE_MAX);
	if (fd >= 0)
		return error_set(-ENOTSUP, "no descriptors go to another host");
	if (link->broken || link->state > LINK_UP)
		return -EHOSTDOWN;
	if (link->state != LINK_UP || !ring_room(link, len, &start))
		return put_off(link);
	if (len)
		memcpy(link->ring + start % UCX_RING_SIZE, data, len);
	return frame_send(link, FRAME_DATA, start, len);
}

void ucx_link_acknowledge(struct transport_link *link)
{
	ack_due_set(link, false);
	if (!link->endpoint || link->ack.busy || link->acknowledged == link->seen)
		return;
	operation_post(&link->ack, FRAME_ACK, NULL, 0);
}

/* ---- frames come in ---- */

static bool ack_wanted(const struct transport_link *link)
{
	return link->seen - link->acknowledged >= UCX_ACK_COUNT ||
	       link->seen_bytes >= UCX_ACK_BYTES;
}

/* A frame that has had its effect. */
static void arrival_seen(struct transport_link *link, bool at_once)
{
	struct arrival *arrival = &link->arrival[link->seen % UCX_FRAME_MAX];

	link->seen_bytes += arrival->len + RING_ALIGN;
	arrival->kind = 0;
	link->seen++;
	if (at_once || ack_wanted(link))
		ack_due_set(link, true);
}

/* Everything up to the next message for the user. */
static void arrivals_run(struct transport_link *link)
{
	while (link->state != LINK_DEAD) {
		uint16_t kind = link->arrival[link->next % UCX_FRAME_MAX].kind;

		if (!kind)
			return;
		if (kind == FRAME_DATA && link->state != LINK_CLOSING) {
			ready_set(link, link->state == LINK_UP);
			return;
		}
		link->next++;
		arrival_seen(link, kind == FRAME_CLOSE);
		if (kind == FRAME_UP) {
			link->came_up = true;
			if (link->endpoint)
				link_up(link);
		} else if (kind == FRAME_CLOSE && link->state != LINK_CLOSING) {
			ucx_link_fail(link, -ECONNRESET);
		}
	}
}

/* Is it what an honest peer sends? The rest of the function that calls it relies on that. */
static bool frame_valid(const struct transport_link *link, const struct ucx_frame *frame,
			size_t len)
{
	if (frame->zero || frame->ack - link->acked > link->head - link->acked)
		return false;
	if (frame->kind == FRAME_ACK)
		return len == 0;
	if (frame->sequence - link->next >= UCX_FRAME_MAX ||
	    link->arrival[frame->sequence % UCX_FRAME_MAX].kind)
		return false;
	if ((frame->kind == FRAME_UP) != (frame->sequence == FRAME_UP_SEQUENCE && !link->came_up))
		return false;
	if (frame->kind != FRAME_DATA)
		return (frame->kind == FRAME_UP || frame->kind == FRAME_CLOSE) && len == 0;
	return len <= UCX_MESSAGE_MAX && frame->start % RING_ALIGN == 0 &&
	       frame->start % UCX_RING_SIZE + len <= UCX_RING_SIZE;
}

static void frame_take(struct transport_link *link, const struct ucx_frame *frame, const void *data,
		       size_t len)
{
	struct arrival *arrival = &link->arrival[frame->sequence % UCX_FRAME_MAX];

	if (len)
		memcpy(link->buffer + frame->start % UCX_RING_SIZE, data, len);
	arrival->kind = frame->kind;
	arrival->start = frame->start;
	arrival->len = (uint32_t)len;
	arrivals_run(link);
}

ucs_status_t ucx_link_arrived(void *arg, const void *header, size_t header_len, void *data,
			      size_t len, const ucp_am_recv_param_t *param)
{
	struct transport *transport = arg;
	struct transport_link *link;
	struct ucx_frame frame;

	/* Who connects to UCX's own port may send anything. */
	if (header_len != sizeof(frame) || param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV)
		return UCS_OK;
	memcpy(&frame, header, sizeof(frame));
	link = frame.token % UCX_LINK_MAX < transport->link_size ?
		       transport->link[frame.token % UCX_LINK_MAX] :
		       NULL;
	if (!link || link->token != frame.token || link->state == LINK_DEAD)
		return UCS_OK;
	transport->came = true;
	if (!frame_valid(link, &frame, len)) {
		log_warning("a peer sent a frame that it must not send");
		ucx_link_fail(link, -EPROTO);
		return UCS_OK;
	}
	if (frame.ack != link->acked) {
		link->acked = frame.ack;
		tail_advance(link);
	}
	if (frame.kind != FRAME_ACK && link->state != LINK_DEAD)
		frame_take(link, &frame, data, len);
	return UCS_OK;
}

void ucx_link_deliver(struct transport_link *link, struct transport_event *ret_event)
{
	const struct arrival *arrival = &link->arrival[link->next % UCX_FRAME_MAX];

	ready_set(link, false);
	link->next++;
	link->transport->held = link;
	ret_event->kind = TRANSPORT_MESSAGE;
	ret_event->link = link;
	ret_event->data = link->buffer + arrival->start % UCX_RING_SIZE;
	ret_event->len = arrival->len;
}

void ucx_link_seen(struct transport_link *link)
{
	arrival_seen(link, false);
	arrivals_run(link);
}

/* ---- connection ---- */

int ucx_link_connect(struct transport *transport, const char *locator,
		     struct transport_link **ret_link)
{
	struct transport_link *link;
	struct address address;
	uint64_t cookie;
	int err = ucx_locator_parse(locator, &address, &cookie);

	if (err < 0)
		return err;
	err = ucx_link_new(transport, LINK_CONNECTING, &link);
	if (err < 0)
		return err;
	link->cookie = cookie;
	link->deadline = clock_now_ns() + ucx_timing.connect_ns;
	err = ucx_greeting_connect(link, &address);
	if (err < 0) {
		ucx_link_bury(link);
		return err;
	}
	ucx_timer_want(transport, link->deadline);
	*ret_link = link;
	return 0;
}

int ucx_link_greeted(struct transport_link *link, const struct ucx_hello *hello,
		     const void *address)
{
	int err = ucx_endpoint_get(link->transport, hello, address, &link->endpoint);

	if (err < 0)
		return err;
	link->peer_token = hello->token;
	err = frame_send(link, FRAME_UP, link->ring_head, 0);
	if (err == 0 && link->came_up)
		link_up(link);
	return err;
}

/*
 * The other end was closed. If the peer said CLOSE, or all it sent, that may still be on its way
 * through UCX, which learns of the end by itself: we wait for the first of the three.
 */
void ucx_link_socket(struct transport_link *link)
{
	socket_close(link);
	if (link->state != LINK_UP) {
		ucx_link_fail(link, -EHOSTDOWN);
		return;
	}
	if (link->due & DUE_DOWN)
		return;
	link->broken = true;
	link->deadline = clock_now_ns() + ucx_timing.grace_ns;
	ucx_timer_want(link->transport, link->deadline);
}

/* ---- the end ---- */

void ucx_link_close(struct transport_link *link)
{
	struct transport *transport;

	if (!link || link->state == LINK_CLOSING || link->state == LINK_DEAD)
		return;
	transport = link->transport;
	if (link->state != LINK_UP || link->broken) {
		ucx_link_acknowledge(link);
		ucx_link_bury(link);
		return;
	}
	if (transport->held == link) {
		transport->held = NULL;
		arrival_seen(link, false);
	}
	due_clear(link);
	ready_set(link, false);
	link->state = LINK_CLOSING;
	transport->closing++;
	link->deadline = clock_now_ns() + ucx_timing.linger_ns;
	ucx_timer_want(transport, link->deadline);
	if (frame_send(link, FRAME_CLOSE, link->ring_head, 0) == 0)
		arrivals_run(link);
}

/* The peer answers, over TCP; it is UCX's network that does not work. */
static void blame_network(const struct transport_link *link)
{
	if (link->state == LINK_CONNECTING && link->endpoint)
		log_warning("UCX does not reach a peer that answers over TCP: are UCX_TLS, "
			    "UCX_NET_DEVICES and UCX_IB_GID_INDEX right for this network?");
}

uint64_t ucx_link_tick(struct transport_link *link, uint64_t now)
{
	if (link->deadline && now >= link->deadline) {
		link->deadline = 0;
		blame_network(link);
		ucx_link_fail(link, link->state == LINK_CONNECTING ? -ETIMEDOUT : -EHOSTDOWN);
	}
	return link->state != LINK_DEAD && link->deadline ? link->deadline : UINT64_MAX;
}
