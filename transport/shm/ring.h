/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring.h -- descriptor ring in shared memory: one producer, one consumer, 64-byte slots
 *
 *   memory:  | credit line | slot 0 | slot 1 | ... | slot n-1 |     n is a power of two
 *   slot:    | 56 bytes of payload | sequence |
 *
 * A slot that carries position p (counted from 0, never wrapping) holds sequence p + 1. There is
 * no shared head: the consumer looks at the next slot's sequence. It tells the producer how far
 * it came, the credit, only every RING_CREDIT slots.
 *
 * Invariants:
 *   1. credit <= tail <= head <= credit + n
 *   2. the sequence of a slot at or after head is that of the lap before: p + 1 - n, or 0
 *
 * The other side is not trusted: what it wrote is read once and then checked. A credit or a
 * sequence that breaks the invariants sets broken, and the ring gives and takes nothing more.
 *
 * Ordering: the store of the sequence (release) pairs with its load (acquire) in ring_ready();
 * the store of the credit (release) in ring_credit_publish() with its load (acquire) in
 * ring_room(). Where the whole slot is written by one 64-byte store, which the CPUs that
 * ring_wide_probe() names make visible as a whole, that store is the release.
 *
 * Threads: one producer, one consumer.
 */
#ifndef TRANSPORT_SHM_RING_H
#define TRANSPORT_SHM_RING_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RING_PAYLOAD 56
#define RING_CREDIT 64	   /* slots between two credits */
#define RING_SLOTS_MIN 128 /* else a producer could wait for a credit that nobody owes it */
#define RING_SLOTS_MAX 65536

struct ring_slot {
	uint8_t payload[RING_PAYLOAD];
	uint64_t sequence;
} __attribute__((aligned(64)));

struct ring_memory {
	uint64_t credit;
	uint8_t reserved[56];
	struct ring_slot slot[];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct ring_slot) == 64, "a slot is one cache line");
_Static_assert(offsetof(struct ring_memory, slot) == 64, "the credit has a line of its own");

/* Each side's own part: never in shared memory. */
struct ring_producer {
	struct ring_memory *memory; /* borrows */
	uint64_t mask;
	uint64_t head;
	uint64_t limit; /* credit + n, as last seen */
	bool wide;
	bool broken;
};

struct ring_consumer {
	struct ring_memory *memory; /* borrows */
	uint64_t mask;
	uint64_t tail;
	uint64_t credit; /* as last published */
	bool broken;
};

/* Of memory for a ring; slots is a power of two from RING_SLOTS_MIN to RING_SLOTS_MAX, else 0. */
static inline size_t ring_size(size_t slots)
{
	if (slots < RING_SLOTS_MIN || slots > RING_SLOTS_MAX || (slots & (slots - 1)))
		return 0;
	return sizeof(struct ring_memory) + slots * sizeof(struct ring_slot);
}

/*
 * True where one aligned 64-byte store is seen by other CPUs as a whole or not at all. Intel does
 * not promise it in writing, but a store within a cache line is one access there; others split
 * 512-bit stores in two.
 */
static inline bool ring_wide_probe(void)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	__builtin_cpu_init();
	return __builtin_cpu_is("intel") && __builtin_cpu_supports("avx512f");
#else
	return false;
#endif
}

/* Zeroed memory, aligned to 64, is an empty ring; this makes it so. Before either side starts. */
static inline void ring_init(void *memory, size_t slots)
{
	memset(memory, 0, ring_size(slots));
}

static inline void ring_producer_init(struct ring_producer *ring, void *memory, size_t slots)
{
	*ring = (struct ring_producer){
		.memory = memory, .mask = slots - 1, .limit = slots, .wide = ring_wide_probe()
	};
}

static inline void ring_consumer_init(struct ring_consumer *ring, void *memory, size_t slots)
{
	*ring = (struct ring_consumer){ .memory = memory, .mask = slots - 1 };
}

/* ---- producer ---- */

/* Reads the credit. Apart, because it misses the cache and is rarely needed. */
static __attribute__((noinline, unused)) bool ring_limit_update(struct ring_producer *ring,
								uint64_t count)
{
	uint64_t slots = ring->mask + 1, before = ring->limit - slots;
	uint64_t credit = __atomic_load_n(&ring->memory->credit, __ATOMIC_ACQUIRE);

	if (ring->broken || credit - before > ring->head - before) {
		ring->broken = true;
		return false;
	}
	ring->limit = credit + slots;
	return ring->limit - ring->head >= count;
}

/* Room for count slots? */
static inline bool ring_room(struct ring_producer *ring, uint64_t count)
{
	if (__builtin_expect(ring->limit - ring->head >= count, 1))
		return !ring->broken;
	return ring_limit_update(ring, count);
}

#if defined(__AVX512F__)
#define RING_WIDE_CLOBBER "xmm16", "k1",
#else /* then the compiler does not use them, and has no name for them */
#define RING_WIDE_CLOBBER
#endif

static inline void ring_slot_store(struct ring_slot *slot, const void *payload, uint64_t sequence,
				   bool wide)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	if (wide) {
		__asm__ volatile("kmovw %k[low], %%k1\n\t"
				 "vpbroadcastq %[sequence], %%zmm16\n\t"
				 "vmovdqu64 %[payload], %%zmm16%{%%k1%}\n\t"
				 "vmovdqa64 %%zmm16, %[slot]"
				 : [slot] "=m"(*slot)
				 : [low] "r"(0x7f), [sequence] "r"(sequence),
				   [payload] "m"(*(const uint8_t(*)[RING_PAYLOAD])payload)
				 : RING_WIDE_CLOBBER "memory");
		return;
	}
#endif
	(void)wide;
	memcpy(slot->payload, payload, RING_PAYLOAD);
	__atomic_store_n(&slot->sequence, sequence, __ATOMIC_RELEASE);
}

/* Writes the slot offset places after the head, without moving it. Needs room. */
static inline void ring_put(struct ring_producer *ring, uint64_t offset, const void *payload)
{
	uint64_t at = ring->head + offset;

	ring_slot_store(&ring->memory->slot[at & ring->mask], payload, at + 1, ring->wide);
}

/* The head moves over count slots that ring_put() wrote. */
static inline void ring_put_done(struct ring_producer *ring, uint64_t count)
{
	ring->head += count;
}

/* payload: RING_PAYLOAD bytes. False: no room now. */
static inline bool ring_push(struct ring_producer *ring, const void *payload)
{
	if (!ring_room(ring, 1))
		return false;
	ring_put(ring, 0, payload);
	ring_put_done(ring, 1);
	return true;
}

/* payload: count times RING_PAYLOAD bytes. Returns how many went, from 0 to count. */
static inline unsigned ring_push_batch(struct ring_producer *ring, const void *payload,
				       unsigned count)
{
	const uint8_t *from = payload;

	if (!ring_room(ring, count)) {
		uint64_t room = ring->broken ? 0 : ring->limit - ring->head;

		if (room < count)
			count = (unsigned)room;
	}
	for (unsigned i = 0; i < count; i++)
		ring_put(ring, i, from + (size_t)i * RING_PAYLOAD);
	ring_put_done(ring, count);
	return count;
}

/* ---- consumer ---- */

/* Is the slot offset places after the tail filled? */
static inline bool ring_ready(struct ring_consumer *ring, uint64_t offset)
{
	uint64_t at = ring->tail + offset, slots = ring->mask + 1;
	const struct ring_slot *slot = &ring->memory->slot[at & ring->mask];
	uint64_t sequence = __atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE);

	if (__builtin_expect(sequence == at + 1, 1))
		return !ring->broken;
	if (sequence != (at < slots ? 0 : at + 1 - slots))
		ring->broken = true;
	return false;
}

/*
 * Copies the payload of a filled slot once. The barrier keeps the compiler from going back to
 * shared memory for what it has in the copy.
 */
static inline void ring_take(const struct ring_consumer *ring, uint64_t offset, void *payload)
{
	memcpy(payload, ring->memory->slot[(ring->tail + offset) & ring->mask].payload,
	       RING_PAYLOAD);
	__asm__ volatile("" ::: "memory");
}

static inline void ring_credit_publish(struct ring_consumer *ring)
{
	ring->credit = ring->tail;
	__atomic_store_n(&ring->memory->credit, ring->tail, __ATOMIC_RELEASE);
}

/* The tail moves over count slots. True: that made a credit. */
static inline bool ring_take_done(struct ring_consumer *ring, uint64_t count)
{
	ring->tail += count;
	if (__builtin_expect(ring->tail - ring->credit < RING_CREDIT, 1))
		return false;
	ring_credit_publish(ring);
	return true;
}

/* payload: RING_PAYLOAD bytes. False: nothing there. */
static inline bool ring_pop(struct ring_consumer *ring, void *payload)
{
	if (!ring_ready(ring, 0))
		return false;
	ring_take(ring, 0, payload);
	ring_take_done(ring, 1);
	return true;
}

/* payload: room for count times RING_PAYLOAD bytes. Returns how many came. */
static inline unsigned ring_pop_batch(struct ring_consumer *ring, void *payload, unsigned count)
{
	uint8_t *to = payload;
	unsigned n;

	for (n = 0; n < count && ring_ready(ring, n); n++)
		ring_take(ring, n, to + (size_t)n * RING_PAYLOAD);
	ring_take_done(ring, n);
	return n;
}

#endif
