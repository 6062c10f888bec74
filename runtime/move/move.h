/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * move.h -- the engine that moves memory: pages by one-sided writes, then one commit
 *
 * A mover writes pages of a set of local memories into the regions that take their place. Whoever
 * paces it (runtime/vm's own rounds, or the stream of QEMU) says which pages, any number of times;
 * what a page holds is read no earlier than it is named and no later than the next move_flush(). So
 * a page that is written meanwhile has to be named again, as every dirty log makes it.
 *
 * The switch-over (runtime/move/commit.h) goes over a mailbox (runtime/move/mail.h):
 *
 *   source: mail_connect()  move_pages() ...  move_flush()  move_switch_source()
 *   dest:   mail_listen()   mail_accept()     move_switch_accept()  load it  move_switch_dest()
 *
 * Threads: one thread at a time.
 */
#ifndef RUNTIME_MOVE_MOVE_H
#define RUNTIME_MOVE_MOVE_H

#include "runtime/move/commit.h"
#include "runtime/move/mail.h"

#define MOVE_SET_MAX 512		   /* memories of one move */
#define MOVE_RUN_MAX (1u << 20)		   /* bytes of one write */
#define MOVE_STATE_MAX ((uint64_t)1 << 30) /* bytes of a state blob */

struct move_set {
	const void *local; /* borrows until move_close(); page-aligned */
	uint64_t len;	   /* bytes, in pages */
	struct farbus_region
		*remote;  /* borrows until move_close(); an import that may be written */
	bool remote_zero; /* the region holds zeros now, so that pages of zeros need not be sent */
};

struct move_counters {
	uint64_t pages;	     /* named, of which */
	uint64_t zero_pages; /* were zero and not sent */
	uint64_t bytes;	     /* written */
	uint64_t runs;	     /* writes */
};

struct mover;

/*
 * Errors: -EINVAL no set, or one that is not in pages; -ENOSPC more than MOVE_SET_MAX; -ERANGE the
 * region is shorter than the memory; -EACCES it may not be written; -ENOMEM.
 * Ownership: the caller owns *ret_mover.
 */
int move_open(struct farbus *farbus, const struct move_set *set, uint32_t count,
	      struct mover **ret_mover);
struct mover *move_close(struct mover *mover);

/*
 * Writes [off, off + len) of a set, whole pages, from its local memory. Neighbours that are named one
 * after the other become one write. Errors: -ERANGE outside the set, -EINVAL not in pages, as
 * farbus_put().
 */
int move_pages(struct mover *mover, uint32_t set, uint64_t off, uint64_t len);

/* The same from src, which can be reused at once. In order with what was named before. */
int move_bytes(struct mover *mover, uint32_t set, uint64_t off, const void *src, uint64_t len);

/* The same with zeros; nothing is sent where zeros are known to be. */
int move_zero(struct mover *mover, uint32_t set, uint64_t off, uint64_t len);

/* All of it is visible to the CPUs of the destination. Errors: as farbus_flush(). */
int move_flush(struct mover *mover, int timeout_ms);

struct move_counters move_counters(const struct mover *mover);

/* ---- the switch-over ---- */

/*
 * Source, with the VM stopped and all pages flushed: hands the state over and commits. Where the VM
 * is afterwards says commit: HERE with an error (run it), THERE with 0, UNSETTLED with
 * -ETIMEDOUT or -EHOSTDOWN (do not run it: move_switch_settle()).
 * timeout_ms bounds each step. Errors: -EMSGSIZE state above MOVE_STATE_MAX, -ECANCELED the
 * destination gave up, -EHOSTDOWN, -ETIMEDOUT, -EPROTO.
 */
int move_switch_source(struct mail *mail, const void *state, uint64_t len, int timeout_ms,
		       struct commit *commit);

/* A state blob that is coming in. Zero it before its first use; move_state_free() frees data. */
struct move_state {
	uint8_t *data; /* owned */
	uint64_t have, len;
};

/*
 * Destination: takes one message of the switch-over. Call it with each message whose kind is below
 * MAIL_KIND_USER until commit is PREPARING (state is complete: load it, then move_switch_dest()), or
 * ended. Errors: -EPROTO, -EMSGSIZE, -ENOMEM.
 */
int move_switch_message(const struct mail_message *message, struct move_state *state,
			struct commit *commit);

/*
 * Destination: it was loaded (status 0, paused), or could not be. Waits for the commit: 0 and
 * HERE, run it; an error and THERE, drop it; -ETIMEDOUT or -EHOSTDOWN and UNSETTLED: keep it paused.
 */
int move_switch_dest(struct mail *mail, int status, int timeout_ms, struct commit *commit);

void move_state_free(struct move_state *state);

/* Tells the other end that the attempt is given up, if there still is one. 0, or -EBUSY: too late. */
int move_switch_abort(struct mail *mail, int timeout_ms, struct commit *commit);

/*
 * Over a new mailbox between the same ends of an UNSETTLED move: both call it, and afterwards both
 * know where it runs. Errors: -ETIMEDOUT, -EHOSTDOWN it stays unsettled; -EPROTO both run it.
 * Without a connection a person decides: commit_settle().
 */
int move_switch_settle(struct mail *mail, int timeout_ms, struct commit *commit);

#endif
