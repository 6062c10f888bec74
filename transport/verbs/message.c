/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message.c -- messages of a link: the ring they wait in, credits, what comes
 *
 *   entry_tail <= entry_next <= entry_head    fragments: posted, then those that wait for credit
 *   post_tail <= post_signalled <= post_head  posts under way
 *
 * The bytes of a fragment stay in the ring until a completion stands for it. Not every post asks for
 * one; enough of them do for the ring never to be full of posts that nothing will be heard of.
 */
#include "transport/verbs/verbs.h"

#include "base/error.h"
#include <errno.h>
#include <string.h>

#define PART_MAX (VERBS_FRAGMENT_MAX - sizeof(struct fragment))
#define PARTS_MAX ((TRANSPORT_MESSAGE_MAX + PART_MAX - 1) / PART_MAX)
#define SIGNAL_POSTS (VERBS_SEND_MAX / 4)
#define SIGNAL_BYTES (VERBS_RING_SIZE / 4)
#define RING_ALIGN 64u

/* With no more than this in the ring any message has room, wherever the head is. */
#define RING_ROOMY \
	(VERBS_RING_SIZE - TRANSPORT_MESSAGE_MAX - (PARTS_MAX + 1) * 128 - VERBS_FRAGMENT_MAX)
#define ENTRIES_ROOMY (VERBS_SEND_MAX - PARTS_MAX)
_Static_assert(SIGNAL_BYTES + VERBS_FRAGMENT_MAX <= RING_ROOMY,
	       "what is not signalled leaves room");
_Static_assert(SIGNAL_POSTS <= ENTRIES_ROOMY, "likewise");
_Static_assert(VERBS_QUEUE_MAX >= VERBS_SEND_MAX + VERBS_RECEIVE_MAX + 2,
	       "fragments, credits and a probe fit into the queue");

/* ---- posts ---- */

static uint32_t posts_free(const struct transport_link *link)
{
	return VERBS_QUEUE_MAX - (link->post_head - link->post_tail);
}

static bool post(struct transport_link *link, struct ibv_send_wr *wr, bool signalled)
{
	struct send_post *is = &link->post[link->post_head % VERBS_QUEUE_MAX];
	struct ibv_send_wr *bad;

	signalled = signalled || link->post_head + 1 - link->post_signalled >= SIGNAL_POSTS;
	wr->wr_id = verbs_pair_wr_id(&link->pair, (uint16_t)(link->post_head & 0x7fffu));
	wr->send_flags |= signalled ? IBV_SEND_SIGNALED : 0;
	if (ibv_post_send(link->pair.id->qp, wr, &bad) != 0) {
		verbs_link_fail(link, -EHOSTDOWN);
		return false;
	}
	is->entry_tail = link->entry_next;
	is->ring_tail = link->entry_next == link->entry_head ?
				link->ring_head :
				link->entry[link->entry_next % VERBS_SEND_MAX].start;
	link->post_head++;
	if (signalled) {
		link->post_signalled = link->post_head;
		link->bytes_signalled = is->ring_tail;
	}
	return true;
}

static void credit_fill(struct transport_link *link, struct fragment *fragment)
{
	fragment->consumed = link->consumed;
	link->returned = link->consumed;
	link->sent++;
}

static bool post_entry(struct transport_link *link)
{
	struct ring_entry *entry = &link->entry[link->entry_next % VERBS_SEND_MAX];
	uint8_t *at = link->ring + entry->start % VERBS_RING_SIZE;
	struct ibv_sge sge = { (uintptr_t)at, entry->len, link->memory->lkey };
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND };

	credit_fill(link, (struct fragment *)at);
	if (entry->len <= link->pair.inline_max)
		wr.send_flags = IBV_SEND_INLINE;
	link->entry_next++;
	return post(link, &wr,
		    (link->close_queued && link->entry_next == link->entry_head) ||
			    entry->end - link->bytes_signalled >= SIGNAL_BYTES);
}

static bool credit_due(const struct transport_link *link)
{
	return link->consumed - link->returned >= VERBS_RECEIVE_MAX / 2;
}

static void post_credit(struct transport_link *link)
{
	struct fragment *word = &link->word[link->post_head % VERBS_QUEUE_MAX];
	struct ibv_sge sge = { (uintptr_t)word, sizeof(*word), link->memory->lkey };
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND };

	*word = (struct fragment){ .kind = FRAGMENT_CREDIT };
	credit_fill(link, word);
	if (sizeof(*word) <= link->pair.inline_max)
		wr.send_flags = IBV_SEND_INLINE;
	post(link, &wr, false);
}

void verbs_message_run(struct transport_link *link)
{
	if (link->broken || !link->pair.id ||
	    (link->state != LINK_UP && link->state != LINK_CLOSING))
		return;
	while (link->entry_next != link->entry_head && (int32_t)(link->allowed - link->sent) >= 2 &&
	       posts_free(link) > 2)
		if (!post_entry(link))
			return;
	if (credit_due(link) && (int32_t)(link->allowed - link->sent) >= 1 && posts_free(link) > 1)
		post_credit(link);
}

void verbs_message_probe(struct transport_link *link)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_RDMA_WRITE };

	if (!link->pair.id || posts_free(link) == 0)
		return;
	link->probing = post(link, &wr, true);
}

/* ---- sending ---- */

static bool roomy(const struct transport_link *link)
{
	return link->entry_head - link->entry_tail <= ENTRIES_ROOMY &&
	       link->ring_head - link->ring_tail <= RING_ROOMY;
}

static int put_off(struct transport_link *link)
{
	link->want = true;
	return -EAGAIN;
}

/* Into the ring; there is room. */
static void entry_add(struct transport_link *link, enum fragment_kind kind, const void *data,
		      size_t len)
{
	struct ring_entry *entry = &link->entry[link->entry_head % VERBS_SEND_MAX];
	struct fragment fragment = { .kind = (uint16_t)kind };
	uint32_t start = link->ring_head, size = (uint32_t)(sizeof(fragment) + len);
	uint8_t *at;

	if (start % VERBS_RING_SIZE + size > VERBS_RING_SIZE)
		start += VERBS_RING_SIZE - start % VERBS_RING_SIZE;
	at = link->ring + start % VERBS_RING_SIZE;
	memcpy(at, &fragment, sizeof(fragment));
	if (len)
		memcpy(at + sizeof(fragment), data, len);
	*entry = (struct ring_entry){ .start = start,
				      .end = (start + size + RING_ALIGN - 1) & ~(RING_ALIGN - 1),
				      .len = size };
	link->ring_head = entry->end;
	link->entry_head++;
}

/* Is there room for parts of this message, wherever the head is? */
static bool has_room(const struct transport_link *link, size_t len)
{
	size_t parts = len / PART_MAX + 1;
	size_t bytes = len + parts * (sizeof(struct fragment) + RING_ALIGN) +
		       (len > VERBS_FRAGMENT_MAX ? VERBS_FRAGMENT_MAX : len + RING_ALIGN);

	return link->entry_head - link->entry_tail + parts <= VERBS_SEND_MAX &&
	       link->ring_head - link->ring_tail + bytes <= VERBS_RING_SIZE;
}

int verbs_message_send(struct transport_link *link, const void *data, size_t len, int fd)
{
	const uint8_t *from = data;

	if (len > TRANSPORT_MESSAGE_MAX)
		return error_set(-EMSGSIZE, "message of %zu bytes: at most %d", len,
				 TRANSPORT_MESSAGE_MAX);
	if (fd >= 0)
		return error_set(-ENOTSUP, "no descriptors go to another host");
	if (link->broken || link->state > LINK_UP)
		return -EHOSTDOWN;
	if (link->state != LINK_UP || !has_room(link, len))
		return put_off(link);
	for (size_t left = len;;) {
		size_t part = left < PART_MAX ? left : PART_MAX;

		left -= part;
		entry_add(link, left ? FRAGMENT_PART : FRAGMENT_LAST, from, part);
		if (!left)
			break;
		from += part;
	}
	verbs_message_run(link);
	return link->broken ? -EHOSTDOWN : 0;
}

static void close_finish(struct transport_link *link)
{
	if (link->state == LINK_CLOSING && link->close_queued &&
	    link->entry_tail == link->entry_head)
		verbs_link_bury(link);
}

void verbs_message_close(struct transport_link *link)
{
	if (!link->close_queued && has_room(link, 0)) {
		link->close_queued = true;
		entry_add(link, FRAGMENT_CLOSE, NULL, 0);
	}
	verbs_message_run(link);
	if (link->broken && link->state == LINK_CLOSING)
		verbs_link_bury(link);
}

void verbs_message_sent(struct transport_link *link, uint16_t number)
{
	uint32_t head = link->post_head, at = (head & ~0x7fffu) | number;
	const struct send_post *is;

	at -= at >= head ? 0x8000u : 0; /* numbers are the low bits of a count */
	is = &link->post[at % VERBS_QUEUE_MAX];
	link->post_tail = at + 1;
	link->entry_tail = is->entry_tail;
	link->ring_tail = is->ring_tail;
	link->heard = true;
	link->probing = false;
	if (link->state == LINK_CLOSING && !link->close_queued)
		verbs_message_close(link);
	else
		verbs_message_run(link);
	close_finish(link);
	if (link->want && link->state == LINK_UP && !link->broken && roomy(link)) {
		link->want = false;
		verbs_link_due(link, DUE_WRITABLE);
	}
}

/* ---- receiving ---- */

void verbs_message_release(struct transport_link *link, unsigned number)
{
	struct ibv_sge sge = { .length = VERBS_FRAGMENT_MAX, .lkey = link->memory->lkey };
	struct ibv_recv_wr *bad, wr = { .sg_list = &sge, .num_sge = 1 };

	if (number == VERBS_RECEIVE_MAX || !link->pair.id)
		return;
	sge.addr = (uintptr_t)link->buffer + (size_t)number * VERBS_FRAGMENT_MAX;
	wr.wr_id = verbs_pair_wr_id(&link->pair, (uint16_t)(0x8000u | number));
	if (ibv_post_recv(link->pair.id->qp, &wr, &bad) != 0) {
		verbs_link_fail(link, -EHOSTDOWN);
		return;
	}
	link->consumed++;
	verbs_message_run(link);
}

/* False: the peer does not keep to the protocol. */
static bool credit_take(struct transport_link *link, const struct fragment *fragment)
{
	uint32_t allowed = fragment->consumed + VERBS_RECEIVE_MAX;

	/* Not back, and no more than what was sent. */
	if ((int32_t)(allowed - link->allowed) < 0 ||
	    (int32_t)(link->sent - fragment->consumed) < 0)
		return false;
	link->allowed = allowed;
	return true;
}

static bool assemble(struct transport_link *link, const uint8_t *data, uint32_t len)
{
	if (len > TRANSPORT_MESSAGE_MAX - link->assembled)
		return false;
	memcpy(link->assembly + link->assembled, data, len);
	link->assembled += len;
	return true;
}

static void hold(struct transport_link *link, unsigned number)
{
	link->transport->held = link;
	link->transport->held_number = number;
}

/* A part of a message; true: it is whole. */
static bool part_received(struct transport_link *link, unsigned number, uint32_t len, bool last,
			  struct transport_event *ret_event)
{
	const uint8_t *data =
		link->buffer + (size_t)number * VERBS_FRAGMENT_MAX + sizeof(struct fragment);

	ret_event->kind = TRANSPORT_MESSAGE;
	ret_event->link = link;
	if (last && link->assembled == 0) {
		hold(link, number);
		ret_event->data = data;
		ret_event->len = len;
		return true;
	}
	if (!assemble(link, data, len)) {
		verbs_link_fail(link, -EPROTO);
		return false;
	}
	verbs_message_release(link, number);
	if (!last)
		return false;
	ret_event->data = link->assembly;
	ret_event->len = link->assembled;
	link->assembled = 0;
	return true;
}

bool verbs_message_received(struct transport_link *link, unsigned number, uint32_t len,
			    struct transport_event *ret_event)
{
	const struct fragment *fragment =
		(void *)(link->buffer + (size_t)number * VERBS_FRAGMENT_MAX);

	link->heard = true;
	if (link->state == LINK_DEAD || link->state == LINK_DOWN)
		return false;
	if (len < sizeof(*fragment) || len > VERBS_FRAGMENT_MAX || !credit_take(link, fragment)) {
		verbs_link_fail(link, -EPROTO);
		return false;
	}
	if (link->state == LINK_UP && !link->peer_closed) {
		len -= (uint32_t)sizeof(*fragment);
		if (fragment->kind == FRAGMENT_PART || fragment->kind == FRAGMENT_LAST)
			return part_received(link, number, len, fragment->kind == FRAGMENT_LAST,
					     ret_event);
		if (fragment->kind == FRAGMENT_CLOSE) {
			link->peer_closed = true;
			verbs_link_fail(link, -ECONNRESET);
			return false;
		}
		if (fragment->kind != FRAGMENT_CREDIT) {
			verbs_link_fail(link, -EPROTO);
			return false;
		}
	}
	verbs_message_release(link, number); /* and what more credit allows goes out */
	return false;
}
