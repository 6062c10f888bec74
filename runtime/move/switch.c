/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * switch.c -- the switch-over: messages of commit.h over a mailbox, and the state blob before them
 *
 * Invariant: a message that commit.h wants to be said is sent after everything that it stands for.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "runtime/move/move.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAIL_STATE 2  /* data: struct piece, then bytes */
#define MAIL_COMMIT 3 /* arg: kind | state << 8 */

struct piece {
	uint64_t off, total;
};
_Static_assert(sizeof(struct piece) == 16, "the peer sees it");
#define PIECE_MAX (MAIL_DATA_MAX - sizeof(struct piece))

/* ---- messages ---- */

static int commit_say(struct mail *mail, const struct commit_message *message, int timeout_ms)
{
	struct mail_message out = { .kind = MAIL_COMMIT,
				    .arg = message->kind | message->state << 8 };

	return message->kind == 0 ? 0 : mail_send(mail, &out, timeout_ms);
}

static int commit_heard(const struct mail_message *message, struct commit *commit,
			struct commit_message *ret_answer)
{
	struct commit_message in = { .kind = message->arg & 0xff, .state = message->arg >> 8 };

	return commit_receive(commit, &in, ret_answer);
}

/* One message, and its answer. */
static int commit_turn(struct mail *mail, int timeout_ms, struct commit *commit)
{
	struct commit_message answer = { .kind = 0 };
	struct mail_message message;
	int err;

	err = mail_receive(mail, timeout_ms, &message);
	if (err < 0)
		return err;
	if (message.kind != MAIL_COMMIT)
		return error_set(-EPROTO, "a message of kind %u in the switch-over", message.kind);
	err = commit_heard(&message, commit, &answer);
	if (err < 0)
		return err;
	return commit_say(mail, &answer, timeout_ms);
}

/* Whatever failed: from now on the other end is as good as gone. */
static int switch_failed(struct commit *commit, int err)
{
	commit_lost(commit);
	return err;
}

/* ---- source ---- */

static int state_send(struct mail *mail, const uint8_t *state, uint64_t len, int timeout_ms)
{
	uint8_t *buffer = alloc_zero(MAIL_DATA_MAX);
	int err = buffer ? 0 : error_set(-ENOMEM, "no memory to send the state");

	for (uint64_t off = 0; err == 0 && off < len;) {
		struct piece piece = { .off = off, .total = len };
		uint64_t n = len - off < PIECE_MAX ? len - off : PIECE_MAX;
		struct mail_message message = { .kind = MAIL_STATE,
						.len = (uint32_t)(sizeof(piece) + n),
						.data = buffer };

		memcpy(buffer, &piece, sizeof(piece));
		memcpy(buffer + sizeof(piece), state + off, n);
		err = mail_send(mail, &message, timeout_ms);
		off += n;
	}
	free(buffer);
	return err;
}

int move_switch_source(struct mail *mail, const void *state, uint64_t len, int timeout_ms,
		       struct commit *commit)
{
	struct commit_message message;
	int err;

	if (len > MOVE_STATE_MAX)
		err = error_set(-EMSGSIZE, "a state of %llu bytes: %llu at most",
				(unsigned long long)len, (unsigned long long)MOVE_STATE_MAX);
	else
		err = state_send(mail, state, len, timeout_ms);
	if (err == 0)
		err = commit_prepare(commit, &message);
	if (err == 0)
		err = commit_say(mail, &message, timeout_ms);
	while (err == 0 && !commit_ended(commit))
		err = commit_turn(mail, timeout_ms, commit);
	if (err < 0 && !commit_ended(commit)) {
		(void)move_switch_abort(mail, timeout_ms, commit);
		return switch_failed(commit, err);
	}
	if (err == 0 && commit->state == COMMIT_HERE)
		err = error_set(-ECANCELED, "rank %u, the destination, gave the move up",
				mail_peer(mail));
	return err;
}

int move_switch_abort(struct mail *mail, int timeout_ms, struct commit *commit)
{
	char text[ERROR_TEXT_MAX];
	struct commit_message message;
	int err;

	strncpy(text, error_text(), sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err = commit_abort(commit, &message);
	if (err == 0)
		(void)commit_say(mail, &message, timeout_ms);
	(void)error_set(-ECANCELED, "%s", text); /* what led here is what people want to read */
	return err;
}

/* ---- destination ---- */

void move_state_free(struct move_state *state)
{
	free(state->data);
	*state = (struct move_state){ .data = NULL };
}

static int state_open(struct move_state *state, uint64_t total)
{
	if (total == 0 || total > MOVE_STATE_MAX)
		return error_set(-EMSGSIZE, "a state of %llu bytes is announced: %llu at most",
				 (unsigned long long)total, (unsigned long long)MOVE_STATE_MAX);
	state->data = alloc_zero(total);
	if (!state->data)
		return error_set(-ENOMEM, "no memory for a state of %llu bytes",
				 (unsigned long long)total);
	state->len = total;
	return 0;
}

static int state_take(struct move_state *state, const struct mail_message *message)
{
	struct piece piece;
	uint64_t n;
	int err = 0;

	if (message->len <= sizeof(piece))
		return error_set(-EPROTO, "a piece of state without data");
	memcpy(&piece, message->data, sizeof(piece));
	n = message->len - sizeof(piece);
	if (!state->data)
		err = state_open(state, piece.total);
	if (err < 0)
		return err;
	if (piece.total != state->len || piece.off != state->have || n > state->len - state->have)
		return error_set(-EPROTO, "a piece of state that does not continue the one before");
	memcpy(state->data + state->have, message->data + sizeof(piece), n);
	state->have += n;
	return 0;
}

int move_switch_message(const struct mail_message *message, struct move_state *state,
			struct commit *commit)
{
	struct commit_message answer;
	int err;

	if (message->kind == MAIL_STATE && commit->state == COMMIT_MOVING)
		return state_take(state, message);
	if (message->kind != MAIL_COMMIT)
		return error_set(-EPROTO, "a message of kind %u while the move is %s",
				 message->kind, commit_state_name(commit->state));
	if ((message->arg & 0xff) == COMMIT_SAYS_PREPARE && state->have != state->len)
		return error_set(-EPROTO, "the state ended after %llu of %llu bytes",
				 (unsigned long long)state->have, (unsigned long long)state->len);
	err = commit_heard(message, commit, &answer);
	return err;
}

int move_switch_dest(struct mail *mail, int status, int timeout_ms, struct commit *commit)
{
	struct commit_message message;
	int err;

	err = commit_loaded(commit, status, &message);
	if (err == 0)
		err = commit_say(mail, &message, timeout_ms);
	while (err == 0 && !commit_ended(commit))
		err = commit_turn(mail, timeout_ms, commit);
	/* Once it may run, an answer that did not get away changes nothing. */
	if (commit->state == COMMIT_HERE)
		return 0;
	if (err < 0)
		return switch_failed(commit, err);
	return error_set(-ECANCELED, "the move was given up: the VM is the source's");
}

/* ---- both ---- */

int move_switch_settle(struct mail *mail, int timeout_ms, struct commit *commit)
{
	struct commit_message message;
	int err;

	commit_reconnected(commit, &message);
	err = commit_say(mail, &message, timeout_ms);
	if (err == 0)
		err = commit_turn(mail, timeout_ms, commit); /* the peer's state, always */
	while (err == 0 && !commit_ended(commit))
		err = commit_turn(mail, timeout_ms, commit);
	return err < 0 ? switch_failed(commit, err) : 0;
}
