/* SPDX-License-Identifier: BSD-3-Clause */
/* link.c -- the life of a link */
#include "transport/verbs/verbs.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LINK_ALIGN 64u
#define BUFFERS_SIZE ((size_t)VERBS_RECEIVE_MAX * VERBS_FRAGMENT_MAX)
#define WORDS_SIZE (VERBS_QUEUE_MAX * sizeof(struct fragment))

/* ---- memory ---- */

static int table_add(struct transport *transport, struct transport_link *link)
{
	struct transport_link **array;
	unsigned size;

	if (transport->link_count == VERBS_LINK_MAX)
		return error_set(-ENOSPC, "more than %d links", VERBS_LINK_MAX);
	if (transport->link_count == transport->link_size) {
		size = transport->link_size ? 2 * transport->link_size : 16;
		array = alloc_resize(transport->link, size, sizeof(*array));
		if (!array)
			return error_set(-ENOMEM, "no memory for a link");
		transport->link = array;
		transport->link_size = size;
	}
	link->index = transport->link_count;
	transport->link[transport->link_count++] = link;
	return 0;
}

int verbs_link_new(struct transport *transport, struct transport_link **ret_link)
{
	size_t header =
		(sizeof(struct transport_link) + LINK_ALIGN - 1) & ~(size_t)(LINK_ALIGN - 1);
	size_t shared = VERBS_RING_SIZE + BUFFERS_SIZE + WORDS_SIZE;
	struct transport_link *link = alloc_aligned(4096, header + shared + TRANSPORT_MESSAGE_MAX);
	int err;

	if (!link)
		return error_set(-ENOMEM, "no memory for the buffers of a link");
	link->transport = transport;
	LIST_INIT(&link->passives);
	LIST_INIT(&link->remotes);
	link->allowed = VERBS_RECEIVE_MAX;
	link->ring = (uint8_t *)link + header;
	link->buffer = link->ring + VERBS_RING_SIZE;
	link->word = (struct fragment *)(link->buffer + BUFFERS_SIZE);
	link->assembly = (uint8_t *)link->word + WORDS_SIZE;
	err = table_add(transport, link);
	if (err < 0) {
		free(link);
		return err;
	}
	err = verbs_pair_init(&link->pair, link, PAIR_CONTROL);
	if (err == 0 &&
	    getrandom(&link->nonce, sizeof(link->nonce), 0) != (ssize_t)sizeof(link->nonce))
		err = error_set(-ENOSYS, "getrandom(2) is needed: %s", strerror(errno));
	if (err == 0)
		err = verbs_register(transport, transport->pd, link->ring, shared,
				     IBV_ACCESS_LOCAL_WRITE, &link->memory);
	if (err < 0) {
		verbs_link_free(link);
		return err;
	}
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

static void remotes_leave(struct transport_link *link)
{
	struct transport_remote *remote;

	while ((remote = LIST_FIRST(&link->remotes))) {
		LIST_REMOVE(remote, remotes);
		remote->link = NULL;
	}
}

void verbs_link_bury(struct transport_link *link)
{
	struct transport *transport = link->transport;

	if (link->state == LINK_DEAD)
		return;
	if (link->state == LINK_CLOSING)
		transport->closing--;
	if (link->state == LINK_ACCEPTING)
		transport->accepting--;
	due_clear(link);
	if (transport->held == link)
		transport->held = NULL;
	verbs_data_end(link->data, -EHOSTDOWN);
	remotes_leave(link);
	verbs_passives_free(link);
	verbs_pair_close(&link->pair);
	link->state = LINK_DEAD;
	transport->dead++;
}

void verbs_link_free(struct transport_link *link)
{
	struct transport *transport = link->transport;
	struct transport_link *last = transport->link[transport->link_count - 1];

	verbs_link_bury(link);
	transport->dead--;
	verbs_data_free(link->data);
	verbs_pair_fini(&link->pair);
	if (link->memory)
		transport->library->dereg_mr(link->memory);
	transport->link[link->index] = last;
	last->index = link->index;
	transport->link_count--;
	free(link);
}

/* ---- what poll() is to tell ---- */

void verbs_link_due(struct transport_link *link, unsigned due)
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

void verbs_link_fail(struct transport_link *link, int status)
{
	switch (link->state) {
	case LINK_ACCEPTING:
	case LINK_CLOSING:
		verbs_link_bury(link);
		break;
	case LINK_CONNECTING:
	case LINK_UP:
		if (link->due & DUE_DOWN)
			break;
		link->broken = true;
		link->status = status;
		verbs_data_end(link->data, -EHOSTDOWN);
		verbs_link_due(link, (link->due & DUE_UP) | DUE_DOWN);
		break;
	case LINK_DOWN:
	case LINK_DEAD:
		break;
	}
}

/* ---- connection ---- */

int verbs_link_receives_post(struct transport_link *link)
{
	for (unsigned i = 0; i < VERBS_RECEIVE_MAX; i++) {
		struct ibv_sge sge = {
			.addr = (uintptr_t)link->buffer + (size_t)i * VERBS_FRAGMENT_MAX,
			.length = VERBS_FRAGMENT_MAX,
			.lkey = link->memory->lkey,
		};
		struct ibv_recv_wr *bad, wr = {
			.wr_id = verbs_pair_wr_id(&link->pair, (uint16_t)(0x8000u | i)),
			.sg_list = &sge,
			.num_sge = 1,
		};

		if (ibv_post_recv(link->pair.id->qp, &wr, &bad) != 0)
			return error_set(-ENOMEM, "ibv_post_recv: %s", strerror(errno));
	}
	return 0;
}

int verbs_link_connect(struct transport *transport, const char *locator,
		       struct transport_link **ret_link)
{
	struct verbs_address address;
	struct transport_link *link;
	int err = verbs_address_parse(locator, &address);

	if (err < 0)
		return err;
	err = verbs_link_new(transport, &link);
	if (err < 0)
		return err;
	link->address = address;
	link->deadline = clock_now_ns() + verbs_tuning.connect_ns;
	verbs_timer_want(transport, link->deadline);
	err = verbs_pair_connect(&link->pair, (struct sockaddr *)&link->address.socket);
	if (err == -EHOSTDOWN) {
		verbs_link_fail(link, err);
	} else if (err < 0) {
		verbs_link_free(link);
		return err;
	}
	*ret_link = link;
	return 0;
}

void verbs_link_up(struct transport_link *link)
{
	struct transport *transport = link->transport;

	if (link->state >= LINK_UP || link->broken)
		return;
	if (link->state == LINK_ACCEPTING)
		transport->accepting--;
	link->state = LINK_UP;
	link->heard = true;
	link->deadline = 0;
	verbs_timer_want(transport, clock_now_ns() + verbs_tuning.probe_ns);
	verbs_link_due(link, DUE_UP | (link->want ? DUE_WRITABLE : 0));
	link->want = false;
}

/* ---- the end ---- */

void verbs_link_close(struct transport_link *link)
{
	struct transport *transport;

	if (!link || link->state == LINK_CLOSING || link->state == LINK_DEAD)
		return;
	transport = link->transport;
	if (link->state != LINK_UP || link->broken) {
		verbs_link_bury(link);
		return;
	}
	due_clear(link);
	verbs_data_end(link->data, -EHOSTDOWN);
	remotes_leave(link);
	verbs_passives_free(link);
	link->state = LINK_CLOSING;
	transport->closing++;
	link->deadline = clock_now_ns() + verbs_tuning.linger_ns;
	verbs_timer_want(transport, link->deadline);
	verbs_message_close(link);
}

/* ---- time ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t verbs_link_tick(struct transport_link *link, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	if (link->deadline && now >= link->deadline) {
		link->deadline = 0;
		verbs_link_fail(link, link->state == LINK_CONNECTING ? -ETIMEDOUT : -EHOSTDOWN);
	}
	if (link->deadline)
		next = link->deadline;
	if (link->state == LINK_UP && !link->broken) {
		if (!link->heard && !link->probing)
			verbs_message_probe(link);
		link->heard = false;
		next = earlier(next, now + verbs_tuning.probe_ns);
		if (link->data)
			next = earlier(next, verbs_data_tick(link->data, now));
	}
	return next;
}
