/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pair.c -- queue pairs and how they are connected
 *
 * The connection manager speaks of an id; its context is the pair, but for the listener's and that of a
 * request that was not looked at yet. An event is acknowledged before it is acted on, because an id
 * with unacknowledged events cannot be destroyed.
 */
#include "transport/verbs/verbs.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define HELLO_MAGIC 0x66627632u /* names the version, too */
#define INLINE_WANTED 220
#define READ_DEPTH_WANTED 16
#define RETRY_COUNT 6 /* not 7, which soft-RoCE takes to mean for ever */
#define PASSIVE_COUNT_MAX \
	4 /* of a link: what a peer rebuilds comes before the old one's end is heard of */
#define EVENT_TURNS 64
#define ADDRESS_MS 5000

/* Goes with a request, and with what answers it. */
struct hello {
	uint32_t magic;
	uint32_t kind;
	uint64_t cookie;
	uint64_t nonce; /* control: of the sender's link; data: of the receiver's */
	uint64_t pass;
	uint64_t back_cookie; /* control: the sender listens, too */
	uint16_t back_port;
	uint16_t zero[3];
};
_Static_assert(sizeof(struct hello) <= 56, "what a connection request has room for");

/* What is left of an event after it was acknowledged. */
struct happened {
	struct rdma_cm_id *id;
	enum rdma_cm_event_type type;
	int status;
	uint8_t read_depth;
	bool has_hello;
	struct hello hello;
};

/* ---- room in the completion queues ---- */

static struct queue *queue_of(const struct pair *pair)
{
	return &pair->transport->queue[pair->kind == PAIR_CONTROL ? QUEUE_CONTROL : QUEUE_DATA];
}

static uint32_t pair_posts(const struct pair *pair)
{
	switch (pair->kind) {
	case PAIR_CONTROL:
		return VERBS_QUEUE_MAX + VERBS_RECEIVE_MAX;
	case PAIR_DATA:
		return 2 * VERBS_QUEUE_MAX; /* what is left of the one before */
	case PAIR_PASSIVE:
		break;
	}
	return 0;
}

static int room_take(struct pair *pair)
{
	struct transport *transport = pair->transport;
	struct queue *queue = queue_of(pair);
	uint32_t needed = queue->room + pair_posts(pair);
	uint32_t max = (uint32_t)transport->device.max_cqe, size = (uint32_t)queue->cq->cqe;
	char device[VERBS_REASON_MAX];

	if (needed > size) {
		size = 2 * size > needed ? 2 * size : needed;
		size = size > max ? max : size;
		if (needed > size || transport->library->resize_cq(queue->cq, (int)size) != 0) {
			verbs_device_text(transport, device, sizeof(device));
			return error_set(
				-ENOSPC,
				"%s: no room for %u completions (its max_cqe is %u): fewer "
				"peers, or transport ofi",
				device, needed, max);
		}
	}
	queue->room = needed;
	pair->counted = true;
	return 0;
}

/* ---- a pair ---- */

int verbs_pair_init(struct pair *pair, struct transport_link *link, enum pair_kind kind)
{
	struct transport *transport = link->transport;
	struct pair **array;
	unsigned index = 0, size;

	memset(pair, 0, sizeof(*pair));
	pair->transport = transport;
	pair->link = link;
	pair->kind = kind;
	while (index < transport->pair_size && transport->pair[index])
		index++;
	if (index > UINT16_MAX)
		return error_set(-ENOSPC, "more than %d queue pairs", UINT16_MAX + 1);
	if (index == transport->pair_size) {
		size = transport->pair_size ? 2 * transport->pair_size : 16;
		array = alloc_resize(transport->pair, size, sizeof(struct pair *));
		if (!array)
			return error_set(-ENOMEM, "no memory for a queue pair");
		memset(array + transport->pair_size, 0,
		       (size - transport->pair_size) * sizeof(struct pair *));
		transport->pair = array;
		transport->pair_size = size;
	}
	pair->index = (uint16_t)index;
	transport->pair[index] = pair;
	return room_take(pair);
}

uint64_t verbs_pair_wr_id(const struct pair *pair, uint16_t number)
{
	return (uint64_t)pair->serial << 32 | (uint64_t)pair->index << 16 | number;
}

struct pair *verbs_pair_of(const struct transport *transport, uint64_t wr_id)
{
	unsigned index = (unsigned)(wr_id >> 16) & 0xffffu;
	struct pair *pair = index < transport->pair_size ? transport->pair[index] : NULL;

	return pair && pair->id && pair->serial == (uint32_t)(wr_id >> 32) ? pair : NULL;
}

void verbs_pair_close(struct pair *pair)
{
	const struct verbs_library *library;

	if (!pair->id)
		return;
	library = pair->transport->library;
	if (pair->id->qp)
		library->destroy_qp(pair->id);
	library->destroy_id(pair->id);
	pair->id = NULL;
}

void verbs_pair_fini(struct pair *pair)
{
	struct transport *transport = pair->transport;

	if (!transport)
		return;
	verbs_pair_close(pair);
	if (pair->counted)
		queue_of(pair)->room -= pair_posts(pair);
	if (pair->index < transport->pair_size && transport->pair[pair->index] == pair)
		transport->pair[pair->index] = NULL;
	pair->transport = NULL;
}

static void passive_free(struct pair *pair)
{
	LIST_REMOVE(pair, passives);
	verbs_pair_fini(pair);
	free(pair);
}

void verbs_passives_free(struct transport_link *link)
{
	while (!LIST_EMPTY(&link->passives))
		passive_free(LIST_FIRST(&link->passives));
}

static int qp_open(struct pair *pair)
{
	struct transport *transport = pair->transport;
	struct ibv_pd *pd = pair->kind == PAIR_CONTROL ? transport->pd : transport->data_pd;
	struct ibv_qp_init_attr attr = { .send_cq = queue_of(pair)->cq,
					 .recv_cq = queue_of(pair)->cq,
					 .qp_type = IBV_QPT_RC };
	char device[VERBS_REASON_MAX];

	attr.cap.max_send_wr = pair->kind == PAIR_PASSIVE ? 1 : VERBS_QUEUE_MAX;
	attr.cap.max_recv_wr = pair->kind == PAIR_CONTROL ? VERBS_RECEIVE_MAX : 1;
	attr.cap.max_send_sge = attr.cap.max_recv_sge = 1;
	attr.cap.max_inline_data = pair->kind == PAIR_PASSIVE ? 0 : INLINE_WANTED;
	pair->serial = ++transport->serial;
	errno = ENOMEM;
	if (!alloc_fault_point() && transport->library->create_qp(pair->id, pd, &attr) != 0) {
		attr.cap.max_inline_data = 0; /* some devices have none */
		transport->library->create_qp(pair->id, pd, &attr);
	}
	if (!pair->id->qp) {
		verbs_device_text(transport, device, sizeof(device));
		return error_set(-ENOMEM, "%s: no queue pair (its max_qp is %d): %s", device,
				 transport->device.max_qp, strerror(errno));
	}
	pair->inline_max = attr.cap.max_inline_data;
	transport->library->set_option(pair->id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT,
				       &verbs_tuning.ack_timeout, sizeof(uint8_t));
	if (pair->kind == PAIR_CONTROL)
		return verbs_link_receives_post(pair->link);
	return 0;
}

/* ---- connecting ---- */

int verbs_pair_connect(struct pair *pair, const struct sockaddr *to)
{
	struct transport *transport = pair->transport;
	struct sockaddr_storage from = transport->address;

	verbs_address_port_set(&from, 0);
	if (to->sa_family != from.ss_family)
		return error_set(-EINVAL, "an IPv4 and an IPv6 address cannot be connected");
	errno = ENOMEM;
	if (alloc_fault_point() ||
	    transport->library->create_id(transport->events, &pair->id, pair, RDMA_PS_TCP) != 0)
		return error_set(-ENOMEM, "no memory to connect: %s", strerror(errno));
	if (transport->library->resolve_addr(pair->id, (struct sockaddr *)&from,
					     (struct sockaddr *)(uintptr_t)to, ADDRESS_MS) == 0)
		return 0;
	error_set(-EHOSTDOWN, "rdma_resolve_addr: %s", strerror(errno));
	verbs_pair_close(pair);
	return -EHOSTDOWN;
}

static uint8_t at_most(int device, int wanted)
{
	int least = device < wanted ? device : wanted;

	return (uint8_t)(least > 0 ? least : 0);
}

static void pair_up(struct pair *pair, const struct happened *happened)
{
	struct transport_link *link = pair->link;

	switch (pair->kind) {
	case PAIR_CONTROL:
		if (!link->accepted && happened->has_hello)
			link->peer_nonce = happened->hello.nonce;
		verbs_link_up(link);
		break;
	case PAIR_DATA:
		verbs_data_up(link->data);
		break;
	case PAIR_PASSIVE:
		break;
	}
}

static void pair_down(struct pair *pair, int status)
{
	switch (pair->kind) {
	case PAIR_CONTROL:
		verbs_link_fail(pair->link, status);
		break;
	case PAIR_DATA:
		verbs_data_down(pair->link->data, status);
		break;
	case PAIR_PASSIVE:
		passive_free(pair);
		break;
	}
}

static void connect_send(struct pair *pair)
{
	struct transport *transport = pair->transport;
	struct transport_link *link = pair->link;
	bool data = pair->kind == PAIR_DATA;
	struct hello hello = { .magic = HELLO_MAGIC,
			       .kind = (uint32_t)pair->kind,
			       .cookie = link->address.cookie,
			       .nonce = data ? link->peer_nonce : link->nonce,
			       .pass = pair->pass,
			       .back_cookie = data ? 0 : transport->cookie,
			       .back_port = verbs_address_port(&transport->address) };
	struct rdma_conn_param param = {
		.private_data = &hello,
		.private_data_len = sizeof(hello),
		.initiator_depth =
			data ? at_most(transport->device.max_qp_init_rd_atom, READ_DEPTH_WANTED) :
			       0,
		.retry_count = RETRY_COUNT,
		.rnr_retry_count = 7,
	};
	int err = qp_open(pair);

	if (err == 0 && transport->library->connect(pair->id, &param) != 0)
		err = error_set(-EHOSTDOWN, "rdma_connect: %s", strerror(errno));
	if (err < 0) {
		log_info("%s", error_text());
		pair_down(pair, err);
	}
}

/* ---- being connected to ---- */

static int accept_send(struct pair *pair, const struct happened *happened)
{
	struct transport *transport = pair->transport;
	struct hello hello = { .magic = HELLO_MAGIC,
			       .kind = (uint32_t)pair->kind,
			       .nonce = pair->link->nonce };
	struct rdma_conn_param param = {
		.private_data = &hello,
		.private_data_len = sizeof(hello),
		.responder_resources =
			at_most(transport->device.max_qp_rd_atom, happened->read_depth),
		.rnr_retry_count = 7,
	};
	int err = qp_open(pair);

	if (err == 0 && transport->library->accept(pair->id, &param) != 0)
		err = error_set(-EHOSTDOWN, "rdma_accept: %s", strerror(errno));
	return err;
}

/* Ownership: takes the id when it returns 0. */
static int control_accept(struct transport *transport, const struct happened *happened)
{
	struct transport_link *link;
	const struct sockaddr *peer;
	int err;

	if (transport->accepting == VERBS_ACCEPTING_MAX)
		return error_set(-ENOSPC, "more than %d peers connect at once",
				 VERBS_ACCEPTING_MAX);
	err = verbs_link_new(transport, &link);
	if (err < 0)
		return err;
	link->accepted = true;
	link->state = LINK_ACCEPTING;
	transport->accepting++;
	link->peer_nonce = happened->hello.nonce;
	link->address.cookie = happened->hello.back_cookie;
	peer = rdma_get_peer_addr(happened->id);
	memcpy(&link->address.socket, peer, verbs_address_len(peer));
	verbs_address_port_set(&link->address.socket, happened->hello.back_port);
	link->deadline = clock_now_ns() + verbs_tuning.connect_ns;
	verbs_timer_want(transport, link->deadline);
	link->pair.id = happened->id;
	happened->id->context = &link->pair;
	err = accept_send(&link->pair, happened);
	if (err < 0) {
		if (happened->id->qp)
			transport->library->destroy_qp(happened->id);
		link->pair.id = NULL; /* it is still to be told no */
		verbs_link_bury(link);
	}
	return err;
}

/* A data pair of a peer: it knows a link of ours and our pass, which is in every key we gave. */
static int data_accept(struct transport *transport, const struct happened *happened)
{
	struct transport_link *link = NULL;
	struct pair *pair, *last = NULL;
	unsigned count = 0;
	int err;

	for (unsigned i = 0; i < transport->link_count && !link; i++)
		if (transport->link[i]->nonce == happened->hello.nonce &&
		    transport->link[i]->state <= LINK_UP)
			link = transport->link[i];
	if (!link || happened->hello.pass != transport->pass)
		return error_set(-EACCES, "a request for one-sided access by nobody we know");
	LIST_FOREACH(pair, &link->passives, passives) {
		last = pair;
		count++;
	}
	if (count >= PASSIVE_COUNT_MAX)
		passive_free(last);
	pair = alloc_zero(sizeof(*pair));
	if (!pair)
		return error_set(-ENOMEM, "no memory for a queue pair");
	err = verbs_pair_init(pair, link, PAIR_PASSIVE);
	LIST_INSERT_HEAD(&link->passives, pair, passives);
	pair->id = happened->id;
	happened->id->context = pair;
	if (err == 0)
		err = accept_send(pair, happened);
	if (err < 0) {
		if (happened->id->qp)
			transport->library->destroy_qp(happened->id);
		pair->id = NULL;
		passive_free(pair);
	}
	return err;
}

static void request_run(struct transport *transport, const struct happened *happened)
{
	const struct hello *hello = &happened->hello;
	int err = -EPROTO;

	happened->id->context = NULL;
	if (!happened->has_hello || hello->magic != HELLO_MAGIC)
		error_set(err, "a request by something else than this version of farbus");
	else if (transport->cookie && hello->cookie != transport->cookie)
		err = error_set(-EACCES, "a request without the cookie of our locator");
	else if (hello->kind == PAIR_CONTROL)
		err = control_accept(transport, happened);
	else if (hello->kind == PAIR_DATA)
		err = data_accept(transport, happened);
	if (err == 0)
		return;
	log_info("refused: %s", error_text());
	transport->library->reject(happened->id, NULL, 0);
	transport->library->destroy_id(happened->id);
}

/* ---- events ---- */

static int down_status(const struct happened *happened)
{
	switch (happened->type) {
	case RDMA_CM_EVENT_REJECTED:
		return -ECONNREFUSED;
	case RDMA_CM_EVENT_UNREACHABLE:
		return -ETIMEDOUT;
	default:
		return -EHOSTDOWN;
	}
}

static void pair_event(struct pair *pair, const struct happened *happened)
{
	switch (happened->type) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		if (pair->id->verbs != pair->transport->verbs ||
		    pair->transport->library->resolve_route(pair->id, ADDRESS_MS) != 0)
			pair_down(pair, -EHOSTDOWN);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		connect_send(pair);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		pair_up(pair, happened);
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
	case RDMA_CM_EVENT_ROUTE_ERROR:
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_REJECTED:
	case RDMA_CM_EVENT_DISCONNECTED:
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		pair_down(pair, down_status(happened));
		break;
	default:
		break;
	}
}

void verbs_pair_events(struct transport *transport)
{
	struct rdma_cm_event *event;

	for (int turns = 0;
	     turns < EVENT_TURNS && transport->library->get_event(transport->events, &event) == 0;
	     turns++) {
		const struct rdma_conn_param *conn = &event->param.conn;
		struct happened happened = { .id = event->id,
					     .type = event->event,
					     .status = event->status,
					     .read_depth = conn->responder_resources };

		if (conn->private_data && conn->private_data_len >= sizeof(happened.hello) &&
		    (event->event == RDMA_CM_EVENT_CONNECT_REQUEST ||
		     event->event == RDMA_CM_EVENT_ESTABLISHED)) {
			memcpy(&happened.hello, conn->private_data, sizeof(happened.hello));
			happened.has_hello = true;
		}
		transport->library->ack_event(event);
		if (happened.type == RDMA_CM_EVENT_CONNECT_REQUEST)
			request_run(transport, &happened);
		else if (happened.id->context)
			pair_event(happened.id->context, &happened);
	}
}
