/* SPDX-License-Identifier: BSD-3-Clause */
/* channel.c -- messages over a pair of rings in one piece of shared memory */
#include "transport/shm/channel.h"

struct channel_head {
	uint32_t len;
	uint32_t serial;
};

struct channel_first {
	struct channel_head head;
	uint8_t data[CHANNEL_HEAD_DATA];
};

_Static_assert(sizeof(struct channel_first) == RING_PAYLOAD,
	       "the header fills no more than a slot");
void channel_init(struct channel *channel, void *memory, unsigned self)
{
	channel->memory = memory;
	channel->self = self;
	ring_producer_init(&channel->out, channel->memory->ring[self].bytes, CHANNEL_SLOTS);
	ring_consumer_init(&channel->in, channel->memory->ring[!self].bytes, CHANNEL_SLOTS);
}

static uint64_t slots_of(size_t len)
{
	if (len <= CHANNEL_HEAD_DATA)
		return 1;
	return 1 + (len - CHANNEL_HEAD_DATA + RING_PAYLOAD - 1) / RING_PAYLOAD;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * Takes the other side's armed word away if it has one of the bits. Ordering: the caller stored
 * what the sleeper waits for; fence and load pair with the sleeper's store and channel_fence().
 */
static bool bell_take(struct channel *channel, uint32_t bits)
{
	uint32_t *armed = &channel->memory->side[!channel->self].armed;

	channel_fence();
	if (!(__atomic_load_n(armed, __ATOMIC_RELAXED) & bits))
		return false;
	return __atomic_exchange_n(armed, 0, __ATOMIC_SEQ_CST) & bits;
}

/* From the last slot to the second: the first one is what makes the message visible. */
static void tail_put(struct channel *channel, const uint8_t *data, size_t len, uint64_t slots)
{
	uint8_t last[RING_PAYLOAD] = { 0 };

	for (uint64_t i = slots - 1; i > 0; i--) {
		size_t off = CHANNEL_HEAD_DATA + (size_t)(i - 1) * RING_PAYLOAD;

		if (len - off >= RING_PAYLOAD) {
			ring_put(&channel->out, i, data + off);
			continue;
		}
		memcpy(last, data + off, len - off);
		ring_put(&channel->out, i, last);
	}
}

int channel_send(struct channel *channel, const void *data, size_t len, uint32_t serial,
		 bool *ret_bell)
{
	struct channel_first first = { .head = { .len = (uint32_t)len, .serial = serial } };
	uint64_t slots = slots_of(len);

	if (len > SHM_MESSAGE_MAX)
		return -EMSGSIZE;
	if (!ring_room(&channel->out, slots))
		return channel->out.broken ? -EPROTO : -EAGAIN;
	if (len)
		memcpy(first.data, data, min_size(len, CHANNEL_HEAD_DATA));
	tail_put(channel, data, len, slots);
	ring_put(&channel->out, 0, &first);
	ring_put_done(&channel->out, slots);
	*ret_bell = bell_take(channel, CHANNEL_ARMED_MESSAGE);
	return 0;
}

static int tail_take(struct channel *channel, uint8_t *data, size_t len, uint64_t slots)
{
	uint8_t last[RING_PAYLOAD];

	for (uint64_t i = 1; i < slots; i++) {
		size_t off = CHANNEL_HEAD_DATA + (size_t)(i - 1) * RING_PAYLOAD;

		if (!ring_ready(&channel->in, i))
			return -EPROTO; /* the header comes last */
		ring_take(&channel->in, i, last);
		memcpy(data + off, last, min_size(len - off, RING_PAYLOAD));
	}
	return 0;
}

int channel_receive(struct channel *channel, void *data, uint32_t *ret_serial, bool *ret_bell)
{
	struct channel_first first;
	uint64_t slots;
	bool credit;

	if (!ring_ready(&channel->in, 0))
		return channel->in.broken ? -EPROTO : -EAGAIN;
	ring_take(&channel->in, 0, &first);
	if (first.head.len > SHM_MESSAGE_MAX) {
		channel->in.broken = true;
		return -EPROTO;
	}
	memcpy(data, first.data, min_size(first.head.len, CHANNEL_HEAD_DATA));
	slots = slots_of(first.head.len);
	if (tail_take(channel, data, first.head.len, slots) < 0) {
		channel->in.broken = true;
		return -EPROTO;
	}
	credit = ring_take_done(&channel->in, slots);
	/* A sender has few descriptors under way, so it has to learn of each. */
	if (first.head.serial && !credit) {
		ring_credit_publish(&channel->in);
		credit = true;
	}
	*ret_bell = credit && bell_take(channel, CHANNEL_ARMED_ROOM);
	*ret_serial = first.head.serial;
	return (int)first.head.len;
}

int channel_room(struct channel *channel, size_t len)
{
	if (ring_room(&channel->out, slots_of(len)))
		return 1;
	return channel->out.broken ? -EPROTO : 0;
}

bool channel_pending(struct channel *channel)
{
	return ring_ready(&channel->in, 0) || channel->in.broken;
}

void channel_arm(struct channel *channel, uint32_t armed)
{
	uint32_t *self = &channel->memory->side[channel->self].armed;

	/* Acquire: whoever took it away stored its slot or credit before. */
	if (__atomic_load_n(self, __ATOMIC_ACQUIRE) != armed)
		__atomic_store_n(self, armed, __ATOMIC_SEQ_CST);
}

uint64_t channel_acknowledged(struct channel *channel)
{
	ring_limit_update(&channel->out, 0);
	return channel->out.limit - CHANNEL_SLOTS;
}

/* Ordering: only a reason; the socket's end says when to look at it. */
void channel_close_mark(struct channel *channel)
{
	__atomic_store_n(&channel->memory->side[channel->self].closed, 1, __ATOMIC_RELEASE);
}

bool channel_peer_closed(const struct channel *channel)
{
	return __atomic_load_n(&channel->memory->side[!channel->self].closed, __ATOMIC_ACQUIRE) ==
	       1;
}
