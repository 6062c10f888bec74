/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inline.h -- put, get and atomics of up to 16 bytes without a call
 *
 * Same meaning, same errors as farbus_put() and its relatives, which do the work whenever the
 * region is not mapped here, is changing, or the access is refused.
 *
 * How it is safe: before it looks at the region, a thread writes the region's tag into its own
 * guard slot, and clears it afterwards, both plain stores. Whoever revokes, unmaps or moves the
 * region first sets the lengths below to 0, then issues membarrier(2), which orders those
 * plain stores on every CPU, then waits until no slot holds the tag. Source of the technique:
 * asymmetric fences, membarrier(2); "Userspace RCU", liburcu's memb flavour.
 */
#ifndef FARBUS_INLINE_H
#define FARBUS_INLINE_H

#include <farbus/farbus.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FARBUS_INLINE_ABI 1

/* First cache line of struct farbus_region. Read only, and only between enter and leave. */
struct farbus_region_head {
	uint64_t abi; /* FARBUS_INLINE_ABI */
	uint8_t *base;
	uint64_t len_get; /* bytes that may be read through base now; 0: use the call */
	uint64_t len_put;
	uint64_t len_atomic;
	uint64_t tag;
	/* As len_get and len_put, in whole words; 0 also where base is no multiple of 8. */
	uint64_t words_get;
	uint64_t words_put;
};

/* Two tags, because a copy uses two regions at once. */
struct farbus_guard_slot {
	uint64_t tag[2];
};

/* This thread's slot; NULL until its first call into the library. */
extern FARBUS_API __thread struct farbus_guard_slot *farbus_guard_slot
	__attribute__((tls_model("initial-exec")));

#ifdef __cplusplus
static_assert(sizeof(struct farbus_region_head) == 64, "one cache line, part of the ABI");
#else
_Static_assert(sizeof(struct farbus_region_head) == 64, "one cache line, part of the ABI");
#endif

static inline const struct farbus_region_head *farbus_head(const struct farbus_region *region)
{
	return (const struct farbus_region_head *)(const void *)region;
}

/*
 * Ordering: the compiler barrier after the store, and the writer's membarrier(2), make the store
 * visible before any read of the head. On x86 leave's release store is a plain store.
 */
static inline void farbus_guard_enter(struct farbus_guard_slot *slot, uint64_t tag)
{
	__atomic_store_n(&slot->tag[0], tag, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void farbus_guard_leave(struct farbus_guard_slot *slot)
{
	__atomic_store_n(&slot->tag[0], (uint64_t)0, __ATOMIC_RELEASE);
}

/*
 * Ordering of the lengths: whoever maps the region again stores base, then the lengths with
 * release. The acquire loads below pair with that: a length that was seen goes with its base.
 */
static inline int farbus_within(uint64_t off, uint64_t n, uint64_t len)
{
	return off < len && len - off >= n;
}

/* An aligned word begins inside whole words, and so ends there. */
static inline int farbus_within_words(uint64_t off, uint64_t words)
{
	return off < words && (off & 7) == 0;
}

/* An adopted or granted range may begin anywhere. Looks at base: only after farbus_within(). */
static inline int farbus_aligned8(const struct farbus_region_head *head, uint64_t off)
{
	return ((off | (uint64_t)(uintptr_t)head->base) & 7) == 0;
}

#define FARBUS_LIKELY(x) __builtin_expect(!!(x), 1)

/* len should be a constant of 16 or less; anything else is passed on. */
static inline int farbus_put_inline(struct farbus_region *region, uint64_t off, const void *src,
				    size_t len)
{
	const struct farbus_region_head *head = farbus_head(region);
	struct farbus_guard_slot *slot = farbus_guard_slot;

	if (FARBUS_LIKELY(slot && len - 1 < 16)) {
		farbus_guard_enter(slot, head->tag);
		if (FARBUS_LIKELY(farbus_within(
			    off, len, __atomic_load_n(&head->len_put, __ATOMIC_ACQUIRE)))) {
			__builtin_memcpy(head->base + off, src, len);
			farbus_guard_leave(slot);
			return 0;
		}
		farbus_guard_leave(slot);
	}
	return farbus_put(region, off, src, len);
}

static inline int farbus_get_inline(struct farbus_region *region, uint64_t off, void *dst,
				    size_t len)
{
	const struct farbus_region_head *head = farbus_head(region);
	struct farbus_guard_slot *slot = farbus_guard_slot;

	if (FARBUS_LIKELY(slot && len - 1 < 16)) {
		farbus_guard_enter(slot, head->tag);
		if (FARBUS_LIKELY(farbus_within(
			    off, len, __atomic_load_n(&head->len_get, __ATOMIC_ACQUIRE)))) {
			__builtin_memcpy(dst, head->base + off, len);
			farbus_guard_leave(slot);
			return 0;
		}
		farbus_guard_leave(slot);
	}
	return farbus_get(region, off, dst, len);
}

/* An aligned 8-byte put or get is one access: nobody sees half of it. */
static inline int farbus_put64(struct farbus_region *region, uint64_t off, uint64_t value)
{
	const struct farbus_region_head *head = farbus_head(region);
	struct farbus_guard_slot *slot = farbus_guard_slot;
	uint64_t copy; /* so that value itself can stay in a register */

	if (FARBUS_LIKELY(slot != 0)) {
		farbus_guard_enter(slot, head->tag);
		if (FARBUS_LIKELY(farbus_within_words(
			    off, __atomic_load_n(&head->words_put, __ATOMIC_ACQUIRE)))) {
			__atomic_store_n((uint64_t *)(void *)(head->base + off), value,
					 __ATOMIC_RELAXED);
			farbus_guard_leave(slot);
			return 0;
		}
		farbus_guard_leave(slot);
	}
	copy = value;
	return farbus_put(region, off, &copy, sizeof(copy));
}

/*
 * Ordering: acquire, which pairs with the signal's or atomic's access to the same word: whoever
 * sees it sees what was put before it.
 */
static inline int farbus_get64(struct farbus_region *region, uint64_t off, uint64_t *ret_value)
{
	const struct farbus_region_head *head = farbus_head(region);
	struct farbus_guard_slot *slot = farbus_guard_slot;

	if (FARBUS_LIKELY(slot != 0)) {
		farbus_guard_enter(slot, head->tag);
		if (FARBUS_LIKELY(farbus_within_words(
			    off, __atomic_load_n(&head->words_get, __ATOMIC_ACQUIRE)))) {
			*ret_value = __atomic_load_n((uint64_t *)(void *)(head->base + off),
						     __ATOMIC_ACQUIRE);
			farbus_guard_leave(slot);
			return 0;
		}
		farbus_guard_leave(slot);
	}
	return farbus_get(region, off, ret_value, sizeof(*ret_value));
}

static inline int farbus_add64(struct farbus_region *region, uint64_t off, uint64_t value,
			       uint64_t *ret_old)
{
	const struct farbus_region_head *head = farbus_head(region);
	struct farbus_guard_slot *slot = farbus_guard_slot;

	if (FARBUS_LIKELY(slot != 0)) {
		farbus_guard_enter(slot, head->tag);
		if (FARBUS_LIKELY(
			    farbus_within(off, 8,
					  __atomic_load_n(&head->len_atomic, __ATOMIC_ACQUIRE)) &&
			    farbus_aligned8(head, off))) {
			uint64_t old = __atomic_fetch_add((uint64_t *)(void *)(head->base + off),
							  value, __ATOMIC_SEQ_CST);

			if (ret_old)
				*ret_old = old;
			farbus_guard_leave(slot);
			return 0;
		}
		farbus_guard_leave(slot);
	}
	return farbus_atomic(region, off, FARBUS_ADD, 8, value, 0, ret_old);
}

#ifdef __cplusplus
}
#endif

#endif
