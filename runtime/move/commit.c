/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commit.c -- who may run what was moved
 *
 * Invariant (commit_check): only a destination is READY.
 */
#include "runtime/move/commit.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>

static const struct commit_message nothing;

static void commit_check(const struct commit *commit)
{
	FARBUS_ASSERT(commit->state >= COMMIT_MOVING);
	FARBUS_ASSERT(commit->state <= COMMIT_THERE);
	FARBUS_ASSERT(commit->role == COMMIT_DEST || commit->state != COMMIT_READY);
}

const char *commit_state_name(enum commit_state state)
{
	static const char *const name[] = { "?",	 "moving", "preparing", "ready",
					    "unsettled", "here",   "there" };

	return state > COMMIT_THERE ? name[0] : name[state];
}

static struct commit_message say(const struct commit *commit, enum commit_kind kind)
{
	return (struct commit_message){ .kind = kind, .state = commit->state };
}

/* Where the VM is when an attempt ended before the commit. */
static enum commit_state given_up(const struct commit *commit)
{
	return commit->role == COMMIT_SOURCE ? COMMIT_HERE : COMMIT_THERE;
}

void commit_init(struct commit *commit, enum commit_role role)
{
	*commit = (struct commit){ .role = role, .state = COMMIT_MOVING, .connected = true };
}

int commit_prepare(struct commit *commit, struct commit_message *ret_message)
{
	commit_check(commit);
	if (commit->role != COMMIT_SOURCE || commit->state != COMMIT_MOVING)
		return error_set(-EBUSY, "the move is %s: nothing to prepare",
				 commit_state_name(commit->state));
	commit->state = COMMIT_PREPARING;
	*ret_message = say(commit, COMMIT_SAYS_PREPARE);
	return 0;
}

int commit_loaded(struct commit *commit, int status, struct commit_message *ret_message)
{
	commit_check(commit);
	if (commit->role != COMMIT_DEST || commit->state != COMMIT_PREPARING)
		return error_set(-EBUSY, "the move is %s: nothing was loaded for it",
				 commit_state_name(commit->state));
	commit->state = status < 0 ? COMMIT_THERE : COMMIT_READY;
	*ret_message = say(commit, status < 0 ? COMMIT_SAYS_ABORT : COMMIT_SAYS_READY);
	return 0;
}

int commit_abort(struct commit *commit, struct commit_message *ret_message)
{
	commit_check(commit);
	if (commit->state > COMMIT_PREPARING)
		return error_set(-EBUSY, "the move is %s: too late to give it up",
				 commit_state_name(commit->state));
	commit->state = given_up(commit);
	*ret_message = commit->connected ? say(commit, COMMIT_SAYS_ABORT) : nothing;
	return 0;
}

/* ---- what the peer says ---- */

/* The peer's state over a new connection. */
static int source_told(struct commit *commit, uint32_t peer, struct commit_message *ret_message)
{
	if (peer == COMMIT_HERE && commit->state == COMMIT_HERE)
		return error_set(-EPROTO, "both sides run it: somebody settled the move on both");
	if (peer == COMMIT_HERE && commit->state == COMMIT_UNSETTLED)
		commit->state = COMMIT_THERE;
	else if (peer == COMMIT_THERE && commit->state == COMMIT_UNSETTLED)
		commit->state = COMMIT_HERE;
	else if (peer == COMMIT_UNSETTLED && commit->state >= COMMIT_UNSETTLED &&
		 commit->state != COMMIT_HERE)
		*ret_message = say(commit, COMMIT_SAYS_COMMIT);
	return 0;
}

static int dest_told(struct commit *commit, uint32_t peer, struct commit_message *ret_message)
{
	if (peer == COMMIT_HERE && commit->state == COMMIT_HERE)
		return error_set(-EPROTO, "both sides run it: somebody settled the move on both");
	if (peer == COMMIT_HERE && commit->state == COMMIT_UNSETTLED)
		commit->state = COMMIT_THERE;
	else if (commit->state == COMMIT_HERE && peer == COMMIT_UNSETTLED)
		*ret_message = say(commit, COMMIT_SAYS_DONE);
	return 0;
}

static int source_receive(struct commit *commit, const struct commit_message *message,
			  struct commit_message *ret_message)
{
	switch (message->kind) {
	case COMMIT_SAYS_READY:
		if (commit->state == COMMIT_HERE) /* given up meanwhile; the ABORT is under way */
			return 0;
		if (commit->state != COMMIT_PREPARING)
			return -EPROTO;
		commit->state = COMMIT_UNSETTLED;
		*ret_message = say(commit, COMMIT_SAYS_COMMIT);
		return 0;
	case COMMIT_SAYS_DONE:
		if (commit->state != COMMIT_UNSETTLED && commit->state != COMMIT_THERE)
			return -EPROTO;
		commit->state = COMMIT_THERE;
		return 0;
	case COMMIT_SAYS_ABORT: /* the destination says so only where it cannot be running */
		if (commit->state == COMMIT_THERE)
			return -EPROTO;
		commit->state = COMMIT_HERE;
		return 0;
	case COMMIT_SAYS_STATE:
		return source_told(commit, message->state, ret_message);
	default:
		return -EPROTO;
	}
}

static int dest_receive(struct commit *commit, const struct commit_message *message,
			struct commit_message *ret_message)
{
	switch (message->kind) {
	case COMMIT_SAYS_PREPARE:
		if (commit->state == COMMIT_THERE) /* given up meanwhile, likewise */
			return 0;
		if (commit->state != COMMIT_MOVING)
			return -EPROTO;
		commit->state = COMMIT_PREPARING;
		return 0;
	case COMMIT_SAYS_COMMIT:
		if (commit->state != COMMIT_READY && commit->state != COMMIT_UNSETTLED)
			return -EPROTO;
		commit->state = COMMIT_HERE;
		*ret_message = say(commit, COMMIT_SAYS_DONE);
		return 0;
	case COMMIT_SAYS_ABORT:
		if (commit->state == COMMIT_HERE)
			return -EPROTO;
		commit->state = COMMIT_THERE;
		return 0;
	case COMMIT_SAYS_STATE:
		return dest_told(commit, message->state, ret_message);
	default:
		return -EPROTO;
	}
}

int commit_receive(struct commit *commit, const struct commit_message *message,
		   struct commit_message *ret_message)
{
	struct commit_message answer = nothing;
	enum commit_state before = commit->state;
	int err;

	commit_check(commit);
	if (message->kind == COMMIT_SAYS_STATE &&
	    (message->state < COMMIT_MOVING || message->state > COMMIT_THERE))
		return error_set(-EPROTO, "the peer says state %u, which is none", message->state);
	error_set(-EPROTO, "the peer says %u while the move is %s", message->kind,
		  commit_state_name(before));
	if (commit->role == COMMIT_SOURCE)
		err = source_receive(commit, message, &answer);
	else
		err = dest_receive(commit, message, &answer);
	if (err < 0)
		return err;
	commit_check(commit);
	*ret_message = answer;
	return 0;
}

/* ---- the connection ---- */

void commit_lost(struct commit *commit)
{
	commit_check(commit);
	commit->connected = false;
	if (commit->state == COMMIT_READY)
		commit->state = COMMIT_UNSETTLED;
	else if (commit->state < COMMIT_READY)
		commit->state = given_up(commit);
}

void commit_reconnected(struct commit *commit, struct commit_message *ret_message)
{
	commit_check(commit);
	commit->connected = true;
	*ret_message = say(commit, COMMIT_SAYS_STATE);
}

int commit_settle(struct commit *commit, bool here)
{
	commit_check(commit);
	if (commit->state != COMMIT_UNSETTLED)
		return error_set(-EBUSY, "the move is %s: nothing to settle",
				 commit_state_name(commit->state));
	if (commit->connected)
		return error_set(-EBUSY, "the peer is connected again: that settles the move");
	commit->state = here ? COMMIT_HERE : COMMIT_THERE;
	return 0;
}
