/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * data.c -- one-sided operations of a link: posted in order, told when they are done
 *
 * A put is written without asking for a completion; a read of its last byte behind it completes when
 * the bytes are where the target's CPU sees them. Only one such read is under way at a time: it
 * stands for all puts before it, and what came meanwhile has the next one.
 *
 * A failure puts the queue pair into its error state: nothing behind it was carried out. The pair is
 * connected anew, and what was under way is posted again from its beginning, but for
 *   - those on a key that the peer's device refused: -ESTALE
 *   - atomics of which it is not known whether they were carried out: -ETIMEDOUT
 *
 * What one call makes ready goes to the device at once, a put and the read behind it with one doorbell.
 *
 *   operations: [ posted ... | next ... ]      posts: post_tail <= flush_at < post_head
 *
 * Invariants:
 *   1. operations before next are posted as a whole, those behind it not at all
 *   2. one post is kept free for the read behind a put
 *   3. bounce [bounce_tail, bounce_head) belongs to posts under way, in their order
 */
#include "transport/verbs/verbs.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_MAX (1u << 20) /* any device sends that at once */
#define BOUNCE_ALIGN 64u
#define RETRY_NS (50 * NS_PER_MS)

enum post_kind { POST_WRITE, POST_READ, POST_ATOMIC, POST_FLUSH };

struct post {
	struct operation *operation;
	enum post_kind kind;
	uint8_t *bounce; /* NULL: the device has the user's memory, or it was inline */
	uint8_t *to;	 /* where bytes that were read go */
	uint32_t len, bounce_end;
};

enum data_state { DATA_DOWN, DATA_CONNECTING, DATA_UP };

struct data {
	struct transport_link *link; /* borrows */
	struct pair pair;
	enum data_state state;
	uint64_t retry_at;   /* DATA_DOWN: connect again then */
	uint64_t give_up_at; /* 0: nothing waits, or it goes on */
	struct operation_queue operations, unused;
	struct operation *next; /* NULL: all are posted */
	unsigned registered;
	struct post post[VERBS_QUEUE_MAX];
	uint32_t post_head, post_tail;
	struct ibv_send_wr chain[VERBS_QUEUE_MAX]; /* not handed to the device yet */
	struct ibv_sge chain_memory[VERBS_QUEUE_MAX];
	unsigned chained;
	struct operation
		*unflushed;    /* whose write was the last; NULL: all have a read behind them */
	uint64_t unflushed_va; /* its last byte */
	uint32_t unflushed_rkey;
	bool flushing;
	uint32_t bounce_head, bounce_tail;
	struct ibv_mr *memory;		  /* owned */
	_Alignas(64) uint8_t flushed[64]; /* what the read behind a put brings */
	uint8_t bounce[VERBS_BOUNCE_SIZE];
	struct operation operation[VERBS_OPERATION_MAX];
};

/* ---- the end of an operation ---- */

static void finish(struct data *data, struct operation *operation, int status)
{
	struct transport *transport = data->link->transport;

	if (data->next == operation)
		data->next = TAILQ_NEXT(operation, queue);
	if (data->unflushed == operation)
		data->unflushed = NULL;
	TAILQ_REMOVE(&data->operations, operation, queue);
	if (operation->mr) {
		transport->library->dereg_mr(operation->mr);
		operation->mr = NULL;
		data->registered--;
	}
	operation->status = status;
	TAILQ_INSERT_TAIL(&transport->done, operation, queue);
}

void verbs_operation_free(struct operation *operation)
{
	struct transport_remote *remote = operation->remote;
	struct transport_link *link = operation->link;

	link->transport->untold--;
	remote->operations--;
	if (remote->closed && remote->operations == 0)
		free(remote);
	link->untold--;
	TAILQ_INSERT_HEAD(&link->data->unused, operation, queue);
}

/* ---- posting ---- */

static uint32_t posts_free(const struct data *data)
{
	return VERBS_QUEUE_MAX - (data->post_head - data->post_tail);
}

/* NULL: no room now. */
static uint8_t *bounce_get(struct data *data, uint32_t len)
{
	uint32_t start = data->bounce_head;

	if (start % VERBS_BOUNCE_SIZE + len > VERBS_BOUNCE_SIZE)
		start += VERBS_BOUNCE_SIZE - start % VERBS_BOUNCE_SIZE;
	if (start + len - data->bounce_tail > VERBS_BOUNCE_SIZE)
		return NULL;
	data->bounce_head = (start + len + BOUNCE_ALIGN - 1) & ~(BOUNCE_ALIGN - 1);
	return data->bounce + start % VERBS_BOUNCE_SIZE;
}

static void data_break(struct data *data, bool unknown, uint64_t retry_ns);

/* There is room: posts_free(). */
static void post(struct data *data, const struct ibv_send_wr *wr, const struct post *is)
{
	struct ibv_send_wr *last = &data->chain[data->chained];

	data->chain_memory[data->chained] = *wr->sg_list;
	*last = *wr;
	last->sg_list = &data->chain_memory[data->chained];
	last->wr_id = verbs_pair_wr_id(&data->pair, (uint16_t)(data->post_head & 0x7fffu));
	if (is->kind != POST_WRITE)
		last->send_flags |= IBV_SEND_SIGNALED;
	if (data->chained++)
		last[-1].next = last;
	data->post[data->post_head % VERBS_QUEUE_MAX] = *is;
	data->post[data->post_head % VERBS_QUEUE_MAX].bounce_end = data->bounce_head;
	data->post_head++;
}

static void chain_send(struct data *data)
{
	struct ibv_send_wr *bad;

	if (data->chained == 0)
		return;
	data->chained = 0;
	if (ibv_post_send(data->pair.id->qp, data->chain, &bad) != 0)
		data_break(data, true, RETRY_NS);
}

static void flush_post(struct data *data)
{
	struct ibv_sge sge = { (uintptr_t)data->flushed, 1, data->memory->lkey };
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_RDMA_READ };
	const struct post is = { .operation = data->unflushed, .kind = POST_FLUSH };

	if (data->flushing || !data->unflushed || posts_free(data) == 0)
		return;
	wr.wr.rdma.remote_addr = data->unflushed_va;
	wr.wr.rdma.rkey = data->unflushed_rkey;
	data->flushing = true;
	data->unflushed = NULL;
	post(data, &wr, &is);
}

/* How much of it goes into one post, and with which key. */
static uint32_t piece_len(const struct operation *operation, uint64_t *ret_va, uint32_t *ret_rkey)
{
	const struct transport_remote *remote = operation->remote;
	uint64_t at = operation->off + operation->posted, chunk = at / remote->chunk;
	uint64_t len = operation->len - operation->posted;
	uint64_t max = operation->mr ? PIECE_MAX : VERBS_BOUNCE_MAX;
	uint64_t rest = (chunk + 1) * remote->chunk - at;

	*ret_va = remote->va + at;
	*ret_rkey = remote->rkey[chunk];
	len = len < max ? len : max;
	return (uint32_t)(len < rest ? len : rest);
}

/* Where the device finds the bytes, or puts them. False: no room now. */
static bool piece_memory(struct data *data, struct operation *operation, struct ibv_send_wr *wr,
			 struct post *is)
{
	uint8_t *user = operation->local + operation->posted;
	bool put = operation->kind == OPERATION_PUT;

	wr->sg_list->addr = (uintptr_t)user;
	if (operation->mr) {
		wr->sg_list->lkey = operation->mr->lkey;
		return true;
	}
	if (put && is->len <= data->pair.inline_max) {
		wr->send_flags = IBV_SEND_INLINE;
		return true;
	}
	is->bounce = bounce_get(data, is->len);
	if (!is->bounce)
		return false;
	if (put)
		memcpy(is->bounce, user, is->len);
	is->to = put ? NULL : user;
	wr->sg_list->addr = (uintptr_t)is->bounce;
	wr->sg_list->lkey = data->memory->lkey;
	return true;
}

static void atomic_fill(const struct operation *operation, struct ibv_send_wr *wr, uint64_t va,
			uint32_t rkey)
{
	bool add = operation->atomic == TRANSPORT_FETCH_ADD;

	wr->opcode = add ? IBV_WR_ATOMIC_FETCH_AND_ADD : IBV_WR_ATOMIC_CMP_AND_SWP;
	wr->wr.atomic.remote_addr = va;
	wr->wr.atomic.rkey = rkey;
	wr->wr.atomic.compare_add = add ? operation->operand : operation->compare;
	wr->wr.atomic.swap = operation->operand;
}

/* False: no room now. */
static bool piece_post(struct data *data, struct operation *operation)
{
	uint64_t va;
	uint32_t rkey;
	struct post is = { .operation = operation };
	struct ibv_sge sge = { 0 };
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1 };

	is.len = sge.length = piece_len(operation, &va, &rkey);
	is.kind = operation->kind == OPERATION_PUT ? POST_WRITE :
		  operation->kind == OPERATION_GET ? POST_READ :
						     POST_ATOMIC;
	if (posts_free(data) < 2 || !piece_memory(data, operation, &wr, &is))
		return false;
	if (is.kind == POST_ATOMIC) {
		atomic_fill(operation, &wr, va, rkey);
	} else {
		wr.opcode = is.kind == POST_WRITE ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ;
		wr.wr.rdma.remote_addr = va;
		wr.wr.rdma.rkey = rkey;
	}
	operation->posted_once = true;
	operation->last = data->post_head;
	operation->posted += is.len;
	operation->pending++;
	post(data, &wr, &is);
	if (is.kind == POST_WRITE) {
		data->unflushed = operation;
		data->unflushed_va = va + is.len - 1;
		data->unflushed_rkey = rkey;
	}
	return true;
}

/* False: as many are registered as may be. */
static bool buffer_register(struct data *data, struct operation *operation)
{
	struct transport *transport = data->link->transport;

	if (operation->mr || operation->registered_once || operation->len <= VERBS_BOUNCE_MAX)
		return true;
	if (data->registered == VERBS_REGISTERED_MAX)
		return false;
	operation->registered_once = true;
	if (verbs_register(transport, transport->data_pd, operation->local, operation->len,
			   operation->kind == OPERATION_GET ? IBV_ACCESS_LOCAL_WRITE : 0,
			   &operation->mr) == 0)
		data->registered++;
	else
		log_debug("copied instead: %s", error_text());
	return true;
}

static void give_up_want(struct data *data)
{
	if (data->give_up_at)
		return;
	data->give_up_at = clock_now_ns() + verbs_tuning.replay_ns;
	verbs_timer_want(data->link->transport, data->give_up_at);
}

static void operations_post(struct data *data)
{
	struct operation *operation;

	while ((operation = data->next) && buffer_register(data, operation)) {
		while (operation->posted < operation->len)
			if (!piece_post(data, operation))
				return;
		data->next = TAILQ_NEXT(operation, queue);
		if (operation->len == 0)
			finish(data, operation, 0);
	}
}

static void run(struct data *data)
{
	if (data->state != DATA_UP) {
		if (data->next)
			give_up_want(data);
		return;
	}
	operations_post(data);
	flush_post(data);
	chain_send(data);
}

/* ---- failures ---- */

static void connect_now(struct data *data)
{
	const struct sockaddr *to = (const void *)&data->link->address.socket;

	data->state = DATA_CONNECTING;
	if (verbs_pair_connect(&data->pair, to) == 0)
		return;
	data->state = DATA_DOWN;
	data->retry_at = clock_now_ns() + RETRY_NS;
	verbs_timer_want(data->link->transport, data->retry_at);
}

/*
 * The pair goes, and what was under way is to be posted again. Unknown: whether it was carried
 * out, so an atomic is not.
 */
static void data_break(struct data *data, bool unknown, uint64_t retry_ns)
{
	struct operation *operation, *after;

	verbs_pair_close(&data->pair);
	data->state = DATA_DOWN;
	data->post_head = data->post_tail = 0;
	data->bounce_head = data->bounce_tail = 0;
	data->chained = 0;
	data->flushing = false;
	data->unflushed = NULL;
	for (operation = TAILQ_FIRST(&data->operations); operation; operation = after) {
		after = TAILQ_NEXT(operation, queue);
		operation->posted = 0;
		operation->pending = 0;
		if (unknown && operation->kind == OPERATION_ATOMIC && operation->posted_once)
			finish(data, operation, -ETIMEDOUT);
	}
	data->next = TAILQ_FIRST(&data->operations);
	if (data->next)
		give_up_want(data);
	data->retry_at = clock_now_ns() + retry_ns;
	verbs_timer_want(data->link->transport, data->retry_at);
	if (retry_ns == 0)
		connect_now(data);
}

static void all_finish(struct data *data, const struct transport_remote *remote, int status)
{
	struct operation *operation, *after;

	for (operation = TAILQ_FIRST(&data->operations); operation; operation = after) {
		after = TAILQ_NEXT(operation, queue);
		if (!remote || operation->remote == remote)
			finish(data, operation, status);
	}
}

static void failed(struct data *data, const struct post *is, const struct ibv_wc *wc)
{
	const struct verbs_library *library = data->link->transport->library;
	struct transport_remote *remote = is->operation->remote;

	verbs_pair_close(&data->pair); /* from here on the device touches no buffer */
	switch (wc->status) {
	case IBV_WC_REM_ACCESS_ERR:
		remote->stale = true;
		all_finish(data, remote, -ESTALE);
		data_break(data, false, 0);
		break;
	case IBV_WC_RETRY_EXC_ERR:
	case IBV_WC_RNR_RETRY_EXC_ERR:
	case IBV_WC_WR_FLUSH_ERR:
		data_break(data, true, RETRY_NS);
		break;
	default:
		/* It would fail again: the others are worth another try, this one is not. */
		log_warning("one-sided access: %s (vendor error 0x%x)",
			    library->status_text(wc->status), wc->vendor_err);
		finish(data, is->operation, -ETIMEDOUT);
		data_break(data, true, RETRY_NS);
		break;
	}
}

/* ---- completions ---- */

static void post_done(struct data *data, const struct post *is)
{
	struct operation *operation = is->operation;

	data->bounce_tail = is->bounce_end;
	if (is->kind == POST_FLUSH)
		return;
	operation->pending--;
	if (is->kind == POST_WRITE)
		return;
	if (is->to)
		memcpy(is->to, is->bounce, is->len);
	if (operation->posted == operation->len && operation->pending == 0)
		finish(data, operation, 0);
}

/* Puts whose last write was before that post. */
static void puts_finish(struct data *data, uint32_t flush)
{
	struct operation *operation, *after;

	for (operation = TAILQ_FIRST(&data->operations); operation && operation != data->next;
	     operation = after) {
		after = TAILQ_NEXT(operation, queue);
		if (operation->kind == OPERATION_PUT && (int32_t)(operation->last - flush) < 0)
			finish(data, operation, 0);
	}
}

void verbs_data_completed(struct data *data, uint16_t number, const struct ibv_wc *wc)
{
	uint32_t head = data->post_head, at = (head & ~0x7fffu) | number;

	at -= at >= head ? 0x8000u : 0; /* numbers are the low bits of a count */
	if (wc->status != IBV_WC_SUCCESS) {
		failed(data, &data->post[at % VERBS_QUEUE_MAX], wc);
		return;
	}
	data->link->heard = true;
	data->give_up_at = 0;
	while (data->post_tail != at + 1)
		post_done(data, &data->post[data->post_tail++ % VERBS_QUEUE_MAX]);
	if (data->post[at % VERBS_QUEUE_MAX].kind == POST_FLUSH) {
		data->flushing = false;
		puts_finish(data, at);
	}
	run(data);
}

/* ---- the pair ---- */

int verbs_data_open(struct transport_link *link, uint64_t pass)
{
	struct transport *transport = link->transport;
	struct data *data;
	int err;

	if (link->data)
		return 0;
	data = alloc_aligned(4096, (sizeof(*data) + 4095) & ~(size_t)4095);
	if (!data)
		return error_set(-ENOMEM, "no memory for one-sided access");
	data->link = link;
	TAILQ_INIT(&data->operations);
	TAILQ_INIT(&data->unused);
	for (unsigned i = 0; i < VERBS_OPERATION_MAX; i++)
		TAILQ_INSERT_TAIL(&data->unused, &data->operation[i], queue);
	err = verbs_pair_init(&data->pair, link, PAIR_DATA);
	data->pair.pass = pass;
	if (err == 0)
		err = verbs_register(transport, transport->data_pd, data->flushed,
				     offsetof(struct data, operation) -
					     offsetof(struct data, flushed),
				     IBV_ACCESS_LOCAL_WRITE, &data->memory);
	if (err < 0) {
		verbs_data_free(data);
		return err;
	}
	link->data = data;
	connect_now(data);
	return 0;
}

void verbs_data_end(struct data *data, int status)
{
	if (!data)
		return;
	verbs_pair_close(&data->pair);
	data->state = DATA_DOWN;
	data->retry_at = UINT64_MAX;
	all_finish(data, NULL, status);
}

void verbs_data_free(struct data *data)
{
	if (!data)
		return;
	verbs_pair_fini(&data->pair);
	if (data->memory)
		data->link->transport->library->dereg_mr(data->memory);
	free(data);
}

void verbs_data_up(struct data *data)
{
	if (data->state != DATA_CONNECTING)
		return;
	data->state = DATA_UP;
	run(data);
}

void verbs_data_down(struct data *data, int status)
{
	log_debug("one-sided access: the connection ended or was not made: %d", status);
	data_break(data, true, RETRY_NS);
}

uint64_t verbs_data_tick(struct data *data, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	if (data->give_up_at && now >= data->give_up_at) {
		data->give_up_at = 0;
		if (data->state != DATA_UP)
			all_finish(data, NULL, -ETIMEDOUT);
	}
	if (data->state == DATA_DOWN && now >= data->retry_at)
		connect_now(data);
	if (data->state == DATA_DOWN)
		next = data->retry_at;
	if (data->give_up_at && data->give_up_at < next)
		next = data->give_up_at;
	return next;
}

/* ---- operations ---- */

static bool transport_armed(const struct transport *transport)
{
	return transport->queue[QUEUE_DATA].armed;
}

static int start(struct transport_remote *remote, const struct operation *is)
{
	struct transport_link *link = remote->link;
	struct operation *operation;
	struct data *data;

	if (is->off > remote->len || is->len > remote->len - is->off)
		return error_set(-ERANGE, "past the end of the region");
	if (!link || link->state != LINK_UP || link->broken)
		return -EHOSTDOWN;
	data = link->data;
	operation = TAILQ_FIRST(&data->unused);
	if (!operation)
		return -EAGAIN;
	TAILQ_REMOVE(&data->unused, operation, queue);
	*operation = *is;
	operation->link = link;
	operation->remote = remote;
	remote->operations++;
	link->untold++;
	link->transport->untold++;
	TAILQ_INSERT_TAIL(&data->operations, operation, queue);
	if (!data->next)
		data->next = operation;
	if (remote->stale)
		finish(data, operation, -ESTALE);
	else
		run(data);
	/* Who put it may never wait for it: what it waits for has to wake somebody. */
	if (data->next && data->state == DATA_UP && !transport_armed(link->transport))
		verbs_wake(link->transport);
	return 0;
}

int verbs_put(struct transport_remote *remote, uint64_t off, const void *src, size_t len,
	      uint64_t cookie)
{
	const struct operation is = { .kind = OPERATION_PUT,
				      .off = off,
				      .local = (uint8_t *)(uintptr_t)src,
				      .len = len,
				      .cookie = cookie };

	return start(remote, &is);
}

int verbs_get(struct transport_remote *remote, uint64_t off, void *dst, size_t len, uint64_t cookie)
{
	const struct operation is = {
		.kind = OPERATION_GET, .off = off, .local = dst, .len = len, .cookie = cookie
	};

	return start(remote, &is);
}

int verbs_atomic(struct transport_remote *remote, uint64_t off, enum transport_atomic op,
		 uint64_t operand, uint64_t compare, uint64_t *ret_old, uint64_t cookie)
{
	const struct operation is = { .kind = OPERATION_ATOMIC,
				      .atomic = op,
				      .off = off,
				      .local = (uint8_t *)ret_old,
				      .len = sizeof(uint64_t),
				      .operand = operand,
				      .compare = compare,
				      .cookie = cookie };

	if (off % sizeof(uint64_t) != 0)
		return error_set(-ERANGE, "an atomic at an offset that is not a multiple of 8");
	return start(remote, &is);
}
