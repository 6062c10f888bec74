/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mail.c -- messages of a move, by one-sided writes
 *
 * Invariants:
 *   1. sent counts what we put into the peer's box; its ack of sent - 1 was seen before.
 *   2. taken counts what we took out of ours; each was acknowledged after it was copied out.
 */
#include "runtime/move/mail.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOX_SEQ 0
#define BOX_ACK 64
#define BOX_CLAIM 128
#define BOX_HEADER 192
#define BOX_DATA 4096
#define BOX_LEN (BOX_DATA + MAIL_DATA_MAX)
#define BOX_RIGHTS (FARBUS_R | FARBUS_W | FARBUS_A)

#define MAIL_MAGIC 0x4c49414d4246u /* "FBMAIL" */
#define MAIL_HELLO 1
#define SLICE_MS 100 /* how soon a peer that died is noticed while nothing comes */

struct box_header {
	uint64_t magic;
	uint32_t kind, arg, len, pad;
};
_Static_assert(sizeof(struct box_header) == 24, "the peer sees it");
_Static_assert(sizeof(struct farbus_token) <= MAIL_DATA_MAX, "HELLO carries one");

struct mail {
	struct farbus *farbus;	    /* borrows */
	struct farbus_region *own;  /* owned */
	struct farbus_region *peer; /* owned; NULL: not connected */
	struct farbus_token token;  /* of own */
	uint64_t sent, taken;
	uint32_t peer_rank;
	int broken;
	uint8_t data[MAIL_DATA_MAX];
};

struct mail *mail_close(struct mail *mail)
{
	if (!mail)
		return NULL;
	farbus_region_release(mail->peer);
	farbus_region_release(mail->own);
	free(mail);
	return NULL;
}

static int mail_new(struct farbus *farbus, struct mail **ret_mail)
{
	struct mail *mail = alloc_zero(sizeof(*mail));
	int err;

	if (!mail)
		return error_set(-ENOMEM, "no memory for a mailbox");
	mail->farbus = farbus;
	err = farbus_region_alloc(farbus, BOX_LEN, 0, &mail->own);
	if (err < 0)
		goto close_mail;
	err = farbus_region_grant(mail->own, 0, BOX_LEN, BOX_RIGHTS, NULL, &mail->token);
	if (err < 0)
		goto close_mail;
	*ret_mail = mail;
	return 0;

close_mail:
	mail_close(mail);
	return err;
}

static int peer_import(struct mail *mail, const struct farbus_token *token, int timeout_ms)
{
	struct farbus_region_info info;
	struct farbus_region *peer;
	int err;

	err = farbus_region_import(mail->farbus, token, timeout_ms, &peer);
	if (err < 0)
		return err;
	err = farbus_region_info(peer, &info);
	if (err == 0 && (info.len != BOX_LEN || (info.rights & BOX_RIGHTS) != BOX_RIGHTS))
		err = error_set(-EPROTO, "rank %u gave a token that is not of a mailbox",
				info.home_rank);
	if (err < 0) {
		farbus_region_release(peer);
		return err;
	}
	mail->peer = peer;
	mail->peer_rank = info.home_rank;
	return 0;
}

int mail_listen(struct farbus *farbus, const char *name, struct mail **ret_mail)
{
	struct mail *mail;
	int err;

	err = mail_new(farbus, &mail);
	if (err < 0)
		return err;
	err = farbus_publish(farbus, name, &mail->token);
	if (err < 0) {
		mail_close(mail);
		return err;
	}
	*ret_mail = mail;
	return 0;
}

/* ---- waiting ---- */

/* What the peer's region says of it: 0, or why nothing more will come. */
static int peer_status(struct mail *mail)
{
	struct farbus_region_info info;
	int err;

	if (!mail->peer)
		return 0;
	err = farbus_region_info(mail->peer, &info);
	if (err == 0 && info.status < 0)
		err = error_set(-EHOSTDOWN, "rank %u, the other end of the move, is gone",
				mail->peer_rank);
	return err;
}

static int mail_break(struct mail *mail, int err)
{
	if (err < 0 && err != -ETIMEDOUT)
		mail->broken = err;
	return err;
}

/* Waits until the word at off of our box is not value any more. */
static int box_wait(struct mail *mail, uint64_t off, uint64_t value, int timeout_ms,
		    uint64_t *ret_seen)
{
	uint64_t end = clock_now_ns() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * NS_PER_MS;
	int err;

	for (;;) {
		uint64_t now = clock_now_ns();
		int left = now >= end ? 0 : (int)((end - now) / NS_PER_MS) + 1;

		err = farbus_wait(mail->own, off, FARBUS_NE, value,
				  left > SLICE_MS ? SLICE_MS : left, ret_seen);
		if (err != -ETIMEDOUT)
			return err;
		err = peer_status(mail);
		if (err < 0)
			return err;
		if (left == 0)
			return -ETIMEDOUT;
	}
}

/* ---- messages ---- */

/* The peer took what was sent before. */
static int sent_wait(struct mail *mail, int timeout_ms)
{
	uint64_t seen;
	int err;

	if (mail->sent == 0)
		return 0;
	err = box_wait(mail, BOX_ACK, mail->sent - 1, timeout_ms, &seen);
	if (err == -ETIMEDOUT)
		return error_set(err,
				 "rank %u, the other end of the move, took no message for "
				 "%d ms: it may be stopped",
				 mail->peer_rank, timeout_ms);
	if (err < 0)
		return err;
	if (seen != mail->sent)
		return error_set(-EPROTO, "rank %u acknowledges message %llu of %llu",
				 mail->peer_rank, (unsigned long long)seen,
				 (unsigned long long)mail->sent);
	return 0;
}

static int box_write(struct mail *mail, const struct mail_message *message)
{
	struct box_header header = {
		.magic = MAIL_MAGIC, .kind = message->kind, .arg = message->arg, .len = message->len
	};
	int err;

	if (message->len > 0) {
		err = farbus_put(mail->peer, BOX_DATA, message->data, message->len);
		if (err < 0)
			return err;
	}
	err = farbus_put(mail->peer, BOX_HEADER, &header, sizeof(header));
	if (err < 0)
		return err;
	return farbus_signal(mail->peer, BOX_SEQ, mail->sent + 1, FARBUS_SWAP);
}

int mail_send(struct mail *mail, const struct mail_message *message, int timeout_ms)
{
	int err;

	if (mail->broken)
		return error_set(mail->broken, "the connection of this move has ended");
	if (!mail->peer)
		return error_set(-EHOSTDOWN, "nobody is connected");
	if (message->len > MAIL_DATA_MAX)
		return error_set(-EMSGSIZE, "a message of %u bytes: %d at most", message->len,
				 MAIL_DATA_MAX);
	err = sent_wait(mail, timeout_ms);
	if (err < 0)
		return mail_break(mail, err);
	err = box_write(mail, message);
	if (err < 0)
		return mail_break(mail, err);
	mail->sent++;
	return 0;
}

static int header_check(const struct mail *mail, const struct box_header *header, uint64_t seq)
{
	if (seq != mail->taken + 1 || header->magic != MAIL_MAGIC || header->kind == 0)
		return error_set(-EPROTO, "what came from the other end of the move is no message");
	if (header->len > MAIL_DATA_MAX)
		return error_set(-EPROTO, "a message of %u bytes came: %d at most", header->len,
				 MAIL_DATA_MAX);
	return 0;
}

/* Copies it out, then checks the copy: the box can change at any time. */
static int box_read(struct mail *mail, uint64_t seq, struct mail_message *ret_message)
{
	struct box_header header;
	int err;

	err = farbus_get(mail->own, BOX_HEADER, &header, sizeof(header));
	if (err < 0)
		return err;
	err = header_check(mail, &header, seq);
	if (err == 0 && header.len > 0)
		err = farbus_get(mail->own, BOX_DATA, mail->data, header.len);
	if (err < 0)
		return err;
	*ret_message = (struct mail_message){
		.kind = header.kind, .arg = header.arg, .len = header.len, .data = mail->data
	};
	return 0;
}

static int box_ack(struct mail *mail)
{
	mail->taken++;
	if (!mail->peer)
		return 0;
	return farbus_signal(mail->peer, BOX_ACK, mail->taken, FARBUS_SWAP);
}

int mail_receive(struct mail *mail, int timeout_ms, struct mail_message *ret_message)
{
	uint64_t seq;
	int err;

	if (mail->broken)
		return error_set(mail->broken, "the connection of this move has ended");
	err = box_wait(mail, BOX_SEQ, mail->taken, timeout_ms, &seq);
	if (err == -ETIMEDOUT)
		return error_set(err, "no message from the other end of the move for %d ms",
				 timeout_ms);
	if (err == 0)
		err = box_read(mail, seq, ret_message);
	if (err < 0)
		return mail_break(mail, err);
	/* What was said stays said, also if its sender has gone since. */
	(void)mail_break(mail, box_ack(mail));
	return 0;
}

/* ---- the two ends ---- */

int mail_accept(struct mail *mail, int timeout_ms)
{
	struct mail_message message;
	struct farbus_token token;
	uint64_t seq;
	int err;

	err = box_wait(mail, BOX_SEQ, mail->taken, timeout_ms, &seq);
	if (err == -ETIMEDOUT)
		return error_set(err, "no source connected for %d ms", timeout_ms);
	if (err == 0)
		err = box_read(mail, seq, &message);
	if (err < 0)
		return mail_break(mail, err);
	if (message.kind != MAIL_HELLO || message.len != sizeof(token))
		return mail_break(mail,
				  error_set(-EPROTO, "what connected is no source of a move"));
	memcpy(&token, message.data, sizeof(token));
	token.text[sizeof(token.text) - 1] = '\0';
	err = peer_import(mail, &token, timeout_ms);
	if (err == 0)
		err = box_ack(mail);
	return mail_break(mail, err);
}

/* One source at a time: it claims the box before it writes into it. */
static int box_claim(struct mail *mail)
{
	uint64_t old;
	int err;

	err = farbus_atomic(mail->peer, BOX_CLAIM, FARBUS_CAS, 8, 1, 0, &old);
	if (err == 0 && old != 0)
		err = error_set(-EBUSY,
				"rank %u has a source already: let it listen again under "
				"another name",
				mail->peer_rank);
	return err;
}

int mail_connect(struct farbus *farbus, const char *name, int timeout_ms, struct mail **ret_mail)
{
	struct farbus_token token;
	struct mail_message hello;
	struct mail *mail;
	int err;

	err = farbus_lookup(farbus, name, timeout_ms, &token);
	if (err < 0)
		return err;
	err = mail_new(farbus, &mail);
	if (err < 0)
		return err;
	err = peer_import(mail, &token, timeout_ms);
	if (err == 0)
		err = box_claim(mail);
	hello = (struct mail_message){ .kind = MAIL_HELLO,
				       .len = sizeof(mail->token),
				       .data = (const uint8_t *)&mail->token };
	if (err == 0)
		err = mail_send(mail, &hello, timeout_ms);
	if (err == 0)
		err = sent_wait(mail, timeout_ms);
	if (err < 0) {
		mail_close(mail);
		return err;
	}
	*ret_mail = mail;
	return 0;
}

uint32_t mail_peer(const struct mail *mail)
{
	return mail->peer_rank;
}
