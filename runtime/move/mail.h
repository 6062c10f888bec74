/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mail.h -- messages between the two ends of a move, written one-sided into each other's mailbox
 *
 * The destination listens under a name; one source at a time connects to it. Each end has a region
 * with one incoming message, and writes into the other's. So this works on every transport, and a
 * message comes after all one-sided writes of its sender that were flushed before it.
 *
 *   box:  seq (8)  ack (8)  claim (8) | header (32) | ... | data (MAIL_DATA_MAX)
 *          by the sender, one at a time: seq says that the rest is there; ack is of what we sent
 *
 * The box is open to its peer: its contents are copied out once and checked then.
 * Threads: one thread at a time.
 */
#ifndef RUNTIME_MOVE_MAIL_H
#define RUNTIME_MOVE_MAIL_H

#include <farbus/farbus.h>

#define MAIL_DATA_MAX 65536 /* bytes of a message */
#define MAIL_KIND_USER 16   /* smaller kinds are mail's and move's own */

struct mail;

struct mail_message {
	uint32_t kind;
	uint32_t arg;
	uint32_t len;
	const uint8_t *data; /* borrows mail, until the next mail_receive() */
};

/*
 * Destination: makes a mailbox and publishes it as name. Errors: -EEXIST the name is taken, as
 * farbus_region_alloc() and farbus_publish(). Ownership: the caller owns *ret_mail.
 */
int mail_listen(struct farbus *farbus, const char *name, struct mail **ret_mail);

/* Waits for a source. Errors: -ETIMEDOUT none came: call again; -EPROTO it is no farbus source. */
int mail_accept(struct mail *mail, int timeout_ms);

/*
 * Source: connects to who listens. Errors: -ETIMEDOUT nobody listens there, or it does not answer;
 * -EBUSY another source is connected; as farbus_region_import().
 */
int mail_connect(struct farbus *farbus, const char *name, int timeout_ms, struct mail **ret_mail);

struct mail *mail_close(struct mail *mail);

/*
 * Sends, once the peer has taken the message before; does not wait for it to take this one.
 * Errors: -EMSGSIZE, -ETIMEDOUT the peer takes nothing, -EHOSTDOWN it is gone. After -EHOSTDOWN and
 * -EPROTO the mailbox is broken and says the same again.
 */
int mail_send(struct mail *mail, const struct mail_message *message, int timeout_ms);

/* Errors: -ETIMEDOUT no message: call again; -EHOSTDOWN, -EPROTO what came is no message. */
int mail_receive(struct mail *mail, int timeout_ms, struct mail_message *ret_message);

/* Whom we are connected to, as a rank. */
uint32_t mail_peer(const struct mail *mail);

#endif
