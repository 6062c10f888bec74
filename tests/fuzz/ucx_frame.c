/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ucx_frame.c -- fuzz target: a peer that knows a link's token and sends any frames over it
 *
 * UCX itself is replaced: what we send is complete at once. Input: steps. In each a frame comes, made of
 * the input but near what the link expects next, or its user does something. Whatever comes, a
 * message that is delivered lies in the link's buffer, and the window of what was sent stays one.
 */
#include "base/assert.h"
#include "base/log.h"
#include "transport/ucx/ucx.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define LEN_MAX (UCX_MESSAGE_MAX + 64)

struct input {
	const uint8_t *data;
	size_t left;
};

static uint32_t number(struct input *input, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0 && input->left > 0) {
		value = value << 8 | *input->data++;
		input->left--;
	}
	return value;
}

/* ---- instead of UCX ---- */

static ucs_status_t ep_create(ucp_worker_h worker, const ucp_ep_params_t *params, ucp_ep_h *ret_ep)
{
	static uint8_t one;

	(void)worker, (void)params;
	*ret_ep = (ucp_ep_h)(void *)&one;
	return UCS_OK;
}

/* The message is read, as UCX would. */
static ucs_status_ptr_t am_send(ucp_ep_h ep, unsigned id, const void *header, size_t header_len,
				const void *data, size_t len, const ucp_request_param_t *param)
{
	uint32_t sum = 0;

	(void)ep, (void)id, (void)param;
	FARBUS_ASSERT(header_len == sizeof(struct ucx_frame));
	FARBUS_ASSERT(((const struct ucx_frame *)header)->zero == 0);
	for (size_t i = 0; i < len; i++)
		sum += ((const uint8_t *)data)[i];
	__asm__ volatile("" : : "r"(sum));
	return NULL;
}

static const struct ucx_library library = { .ep_create = ep_create, .am_send_nbx = am_send };

static struct transport_link *link_open(struct transport *transport)
{
	static const struct ucx_hello hello = { .token = 7 };
	struct transport_link *link = NULL;

	*transport = (struct transport){ .library = &library };
	transport->epoll = transport->timer = transport->wake = transport->listener = -1;
	transport->ucx_fd = -1;
	transport->timer_at = UINT64_MAX;
	TAILQ_INIT(&transport->due_now);
	TAILQ_INIT(&transport->due_down);
	TAILQ_INIT(&transport->ready);
	TAILQ_INIT(&transport->acks);
	TAILQ_INIT(&transport->endpoints);
	TAILQ_INIT(&transport->greetings);
	FARBUS_ASSERT(ucx_link_new(transport, LINK_ACCEPTING, &link) == 0);
	FARBUS_ASSERT(ucx_link_greeted(link, &hello, "") == 0);
	return link;
}

/* ---- steps ---- */

static void frame_comes(struct transport_link *link, struct input *input)
{
	uint32_t odd = number(input, 1);
	struct ucx_frame frame = { .token = link->token ^ (odd & 1 ? 0x10000 : 0),
				   .sequence = link->next + (uint32_t)(int8_t)number(input, 1),
				   .start = number(input, 2) << (odd & 2 ? 0 : 6),
				   .ack = link->acked + number(input, 1),
				   .kind = (uint16_t)(number(input, 1) % 6),
				   .zero = odd & 4 };
	ucp_am_recv_param_t param = { .recv_attr = odd & 8 ? UCP_AM_RECV_ATTR_FLAG_RNDV : 0 };
	size_t len = number(input, 2) % LEN_MAX;
	uint8_t *data = malloc(len + 1); /* of its own, so that a sanitizer sees its end */

	FARBUS_ASSERT(data);
	memset(data, 0x5a, len);
	if (frame.kind != FRAME_DATA && !(odd & 16))
		len = 0;
	FARBUS_ASSERT(ucx_link_arrived(link->transport, &frame, sizeof(frame) - (odd & 32 ? 1 : 0),
				       data, len, &param) == UCS_OK);
	free(data);
}

/* The user takes a message, as poll() gives it. */
static void message_taken(struct transport *transport)
{
	struct transport_link *link = TAILQ_FIRST(&transport->ready);
	struct transport_event event = { .fd = -1 };
	const uint8_t *data;

	if (!link)
		return;
	ucx_link_deliver(link, &event);
	data = event.data;
	FARBUS_ASSERT(event.len <= UCX_MESSAGE_MAX);
	FARBUS_ASSERT(data >= link->buffer);
	FARBUS_ASSERT(data + event.len <= link->buffer + UCX_RING_SIZE);
	for (size_t i = 0; i < event.len; i++)
		FARBUS_ASSERT(data[i] == 0x5a);
	transport->held = NULL;
	ucx_link_seen(link);
}

static void step(struct transport_link *link, struct input *input)
{
	static uint8_t bytes[4096];
	struct transport *transport = link->transport;

	switch (number(input, 1) % 16) {
	case 10:
	case 11:
	case 12:
		message_taken(transport);
		break;
	case 13:
		(void)ucx_link_send(link, bytes, number(input, 2) % sizeof(bytes), -1);
		break;
	case 14:
		while (!TAILQ_EMPTY(&transport->acks))
			ucx_link_acknowledge(TAILQ_FIRST(&transport->acks));
		break;
	case 15:
		if (number(input, 1) % 8 == 0)
			ucx_link_close(link);
		break;
	default:
		frame_comes(link, input);
	}
}

static void check(const struct transport_link *link)
{
	FARBUS_ASSERT(link->head - link->tail <= UCX_FRAME_MAX);
	FARBUS_ASSERT(link->acked - link->tail <= link->head - link->tail);
	FARBUS_ASSERT(link->ring_head - link->ring_tail <= UCX_RING_SIZE);
	FARBUS_ASSERT(link->next - link->seen <= 1);
	FARBUS_ASSERT(link->is_ready == !TAILQ_EMPTY(&link->transport->ready));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	log_open(LOG_ERROR, 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct transport transport;
	struct transport_link *link = link_open(&transport);

	while (input.left > 0 && link->state != LINK_DEAD) {
		step(link, &input);
		check(link);
	}
	ucx_link_free(link);
	ucx_endpoints_free(&transport);
	free(transport.link);
	return 0;
}
