/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arq.h -- reliable links over a fabric that loses, doubles and reorders packets
 *
 * One direction of a link: the sender numbers what it sends and repeats it until it is acknowledged;
 * the receiver hands on what is next in order, keeps what is early, and drops what it had. A
 * sender that is not acknowledged for long gives up: then nobody knows what of its last messages
 * arrived.
 *
 *   arq_send() -> packets -> arq_data() -> messages, in order, once
 *                 arq_ack() <- packets <-
 *
 * Pure: time is an argument, packets and messages are the caller's, named by their sequence
 * number. Threads: one thread at a time.
 */
#ifndef TRANSPORT_SIM_ARQ_H
#define TRANSPORT_SIM_ARQ_H

#include <stdbool.h>
#include <stdint.h>

#define ARQ_WINDOW_MAX 64	  /* messages sent and not acknowledged, or kept early */
#define ARQ_TIMEOUT_NS 1000000ull /* until the first repetition; then twice as long each time */
#define ARQ_TIMEOUT_LONGEST_NS 200000000ull
#define ARQ_GIVE_UP_NS 20000000000ull /* without an acknowledgement */

struct arq {
	/* sender */
	uint64_t next;	  /* sequence number of the next message */
	uint64_t unacked; /* the oldest that is not acknowledged; == next: none */
	uint64_t since;	  /* when that one was sent first, or the last acknowledgement came */
	uint64_t timeout; /* of the next repetition */
	/* receiver */
	uint64_t expected;
	uint64_t early; /* bit n: expected + n is here; bit 0 is clear */
};

void arq_init(struct arq *arq);
/* Is there room in the window? */
bool arq_room(const struct arq *arq);
/* The message's sequence number; only with room. */
uint64_t arq_send(struct arq *arq, uint64_t now);
/* A packet of that message came. True: keep it; arq_take() says when. False: it is not wanted. */
bool arq_data(struct arq *arq, uint64_t sequence);
/* True: the message with this number is to be handed on now. */
bool arq_take(struct arq *arq, uint64_t *ret_sequence);
/* All before this number have arrived. True: it says something new. */
bool arq_ack(struct arq *arq, uint64_t before, uint64_t now);
/*
 * The time of a repetition has come. True: repeat [unacked, next), and again after timeout.
 * *ret_give_up: nobody answers, the link is at its end.
 */
bool arq_repeat(struct arq *arq, uint64_t now, bool *ret_give_up);
void arq_check(const struct arq *arq);

#endif
