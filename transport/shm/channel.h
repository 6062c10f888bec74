/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * channel.h -- messages over a pair of rings in one piece of shared memory
 *
 * A message is a run of slots; its first slot, with the header, is written last, so that whoever
 * sees the header has the whole message, and a writer that dies in the middle leaves nothing.
 *
 * Sleeping: each side has a word "armed" that it sets before it sleeps and that the other side
 * takes away when it rings, at most once each time. Never a lost wake-up, because
 *     sleeper: stores armed, fence, looks at the rings again
 *     other:   stores slot or credit, fence, looks at armed
 * and of two seq_cst fences one is first: either the sleeper sees the slot or the other sees armed.
 *
 * It is pure memory: descriptors and doorbells are the link's. Everything read from the memory
 * is checked; -EPROTO is final.
 *
 * Threads: one thread at a time on each side.
 */
#ifndef TRANSPORT_SHM_CHANNEL_H
#define TRANSPORT_SHM_CHANNEL_H

#include "transport/shm/ring.h"
#include "transport/transport.h"

#define SHM_MESSAGE_MAX 8192
#define CHANNEL_SLOTS 1024 /* of each direction */
#define CHANNEL_HEAD_DATA (RING_PAYLOAD - 8)
#define CHANNEL_MESSAGE_SLOTS_MAX \
	(1 + (SHM_MESSAGE_MAX - CHANNEL_HEAD_DATA + RING_PAYLOAD - 1) / RING_PAYLOAD)

_Static_assert(CHANNEL_SLOTS - RING_CREDIT >= CHANNEL_MESSAGE_SLOTS_MAX,
	       "an idle ring takes the longest message, whatever credit is not yet published");

#define CHANNEL_ARMED_MESSAGE 1u /* ring when there is a message */
#define CHANNEL_ARMED_ROOM 2u	 /* ring when there is a credit, too */

struct channel_side {
	uint32_t armed;	 /* set by the side, taken by the other */
	uint32_t closed; /* 1: the side closed the link; absent, it died */
	uint8_t reserved[56];
} __attribute__((aligned(64)));

struct channel_ring { /* a struct ring_memory with its slots */
	uint8_t bytes[sizeof(struct ring_memory) + CHANNEL_SLOTS * sizeof(struct ring_slot)];
} __attribute__((aligned(64)));

struct channel_memory {
	struct channel_side side[2];
	struct channel_ring ring[2]; /* ring[s] is filled by side s */
};

#define CHANNEL_SIZE ((sizeof(struct channel_memory) + 4095) & ~(size_t)4095)

struct channel {
	struct channel_memory *memory; /* borrows */
	unsigned self;		       /* side: 0 connector, 1 acceptor */
	struct ring_producer out;
	struct ring_consumer in;
};

void channel_init(struct channel *channel, void *memory, unsigned self);

/*
 * serial: nonzero with a message that has a descriptor. *ret_bell is set when the other side has
 * to be rung. Errors: -EAGAIN no room, -EMSGSIZE, -EPROTO.
 */
int channel_send(struct channel *channel, const void *data, size_t len, uint32_t serial,
		 bool *ret_bell);
/* data: SHM_MESSAGE_MAX bytes. Returns the length. Errors: -EAGAIN nothing, -EPROTO. */
int channel_receive(struct channel *channel, void *data, uint32_t *ret_serial, bool *ret_bell);

/* 1: room for a message of len bytes; 0: none; -EPROTO. */
int channel_room(struct channel *channel, size_t len);
/* Is there something to receive (a message, or something wrong)? */
bool channel_pending(struct channel *channel);

/* What wakes this side from now on. The caller then runs channel_fence(), and looks again. */
void channel_arm(struct channel *channel, uint32_t armed);
static inline void channel_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Positions, for those who have to know when something was received. */
static inline uint64_t channel_sent(const struct channel *channel)
{
	return channel->out.head;
}
uint64_t channel_acknowledged(struct channel *channel);

void channel_close_mark(struct channel *channel);
bool channel_peer_closed(const struct channel *channel);

#endif
