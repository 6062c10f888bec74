/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commit.h -- who may run what was moved: the switch-over, as a state machine on either side
 *
 *   source                          destination
 *     MOVING                          MOVING        pages travel; the source may run
 *     PREPARING -- PREPARE -------->  PREPARING     stopped; the state was sent, is being loaded
 *               <-------- READY ----  READY         loaded, and paused
 *     UNSETTLED -- COMMIT --------->  HERE          may run
 *     THERE     <-------- DONE -----
 *
 * Invariants, whatever is lost and whoever dies:
 *   1. Never do both sides hold commit_runnable(), unless a person settled it wrongly.
 *   2. A source that sent COMMIT runs again only after the destination, or a person, said so.
 *   3. A cut between READY and DONE leaves UNSETTLED; STATE messages over a new connection, or one
 *      commit_settle(), end that.
 *
 * No I/O, no clock, no thread: messages and events go in, at most one message comes out of each.
 * A connection keeps order; what was under way when it ended never arrives.
 * Threads: one thread at a time.
 */
#ifndef RUNTIME_MOVE_COMMIT_H
#define RUNTIME_MOVE_COMMIT_H

#include <stdbool.h>
#include <stdint.h>

enum commit_role { COMMIT_SOURCE = 1, COMMIT_DEST = 2 };

enum commit_state {
	COMMIT_MOVING = 1,
	COMMIT_PREPARING = 2,
	COMMIT_READY = 3, /* destination only */
	COMMIT_UNSETTLED = 4,
	COMMIT_HERE = 5,
	COMMIT_THERE = 6,
};

enum commit_kind {
	COMMIT_SAYS_PREPARE = 1,
	COMMIT_SAYS_READY = 2,
	COMMIT_SAYS_COMMIT = 3,
	COMMIT_SAYS_DONE = 4,
	COMMIT_SAYS_ABORT = 5,
	COMMIT_SAYS_STATE = 6, /* the first message each way over a new connection */
};

struct commit_message {
	uint32_t kind;	/* enum commit_kind; 0: nothing to send */
	uint32_t state; /* STATE: enum commit_state of who says it */
};

struct commit {
	enum commit_role role;
	enum commit_state state;
	bool connected;
};

void commit_init(struct commit *commit, enum commit_role role);

/* May this side run it? */
static inline bool commit_runnable(const struct commit *commit)
{
	if (commit->state == COMMIT_HERE)
		return true;
	return commit->role == COMMIT_SOURCE && commit->state <= COMMIT_PREPARING;
}

static inline bool commit_ended(const struct commit *commit)
{
	return commit->state == COMMIT_HERE || commit->state == COMMIT_THERE;
}

/* Source: the VM is stopped, and all of it but COMMIT is at the destination. -EBUSY: not MOVING. */
int commit_prepare(struct commit *commit, struct commit_message *ret_message);

/* Destination: the state was loaded (0), or could not be. -EBUSY: not PREPARING. */
int commit_loaded(struct commit *commit, int status, struct commit_message *ret_message);

/*
 * Gives the attempt up: the VM is the source's. -EBUSY: too late, COMMIT was sent or may have been.
 */
int commit_abort(struct commit *commit, struct commit_message *ret_message);

/*
 * What the peer said. Writes a message with kind 0 if there is nothing to answer.
 * -EPROTO, with nothing changed: it cannot be said in this state, or makes no sense.
 */
int commit_receive(struct commit *commit, const struct commit_message *message,
		   struct commit_message *ret_message);

/* The connection ended: before the commit the VM is the source's, at it it is unsettled. */
void commit_lost(struct commit *commit);

/* There is a new one, to the same peer. */
void commit_reconnected(struct commit *commit, struct commit_message *ret_message);

/*
 * A person says where it runs, and has made sure that the other side does not run it too.
 * -EBUSY: it is settled, or there is a connection, which settles it.
 */
int commit_settle(struct commit *commit, bool here);

/* "moving", "unsettled", ... */
const char *commit_state_name(enum commit_state state);

#endif
