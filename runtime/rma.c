/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rma.c -- put, get and atomics by (region, offset)
 *
 * The mapped path is a guard, a bounds check against the head, and a copy. What the head refuses
 * goes to one slow function that finds out why: wrong (an error with its reason), suspended (wait,
 * then again), or served by the home.
 */
#include "addrmap/rights.h"
#include "base/error.h"
#include "base/process.h"
#include "runtime/instance.h"
#include "transport/copy.h"
#include <errno.h>
#include <string.h>

/*
 * A long copy leaves the guard now and then, so that a revoke or move waits for one piece only.
 * Large enough that the guard's cost (1 ns) and the loss of streaming at its edges do not show.
 */
#define RMA_PIECE_MAX ((size_t)8 << 20)

static struct process_slot *slot_here(void)
{
	if (__builtin_expect(farbus_guard_slot != NULL, 1))
		return (struct process_slot *)(void *)farbus_guard_slot;
	return process_slot_self();
}

static void count(struct process_slot *slot, enum process_thread_counter counter, uint64_t n)
{
	__atomic_store_n(&slot->counter[counter], slot->counter[counter] + n, __ATOMIC_RELAXED);
}

static int no_region(const struct farbus_region *region, const void *local)
{
	if (!region)
		return error_set(-EINVAL, "the region is NULL");
	if (!local)
		return error_set(-EINVAL, "the local buffer is NULL");
	return process_check();
}

static int no_slot(void)
{
	int err = process_check();

	if (err < 0)
		return err;
	return error_set(-ENOSPC, "more than %d threads use farbus in this process",
			 PROCESS_THREAD_MAX);
}

/* One piece; false: the head refused it. */
static bool put_piece(struct process_slot *slot, const struct farbus_region_head *head,
		      uint64_t off, const void *src, size_t len)
{
	bool ok;

	farbus_guard_enter(&slot->guard, head->tag);
	ok = farbus_within(off, len, __atomic_load_n(&head->len_put, __ATOMIC_ACQUIRE));
	if (__builtin_expect(ok, 1)) {
		/* One access for what is one word, so that nobody sees half of it. */
		if (len == 8 && ((uintptr_t)(head->base + off) & 7) == 0) {
			uint64_t value;

			memcpy(&value, src, 8);
			__atomic_store_n((uint64_t *)(void *)(head->base + off), value,
					 __ATOMIC_RELAXED);
		} else {
			copy_bytes(head->base + off, src, len);
		}
	}
	farbus_guard_leave(&slot->guard);
	return ok;
}

static bool get_piece(struct process_slot *slot, const struct farbus_region_head *head,
		      uint64_t off, void *dst, size_t len)
{
	bool ok;

	farbus_guard_enter(&slot->guard, head->tag);
	ok = farbus_within(off, len, __atomic_load_n(&head->len_get, __ATOMIC_ACQUIRE));
	if (__builtin_expect(ok, 1)) {
		if (len == 8 && ((uintptr_t)(head->base + off) & 7) == 0) {
			uint64_t value = __atomic_load_n((uint64_t *)(void *)(head->base + off),
							 __ATOMIC_RELAXED);

			memcpy(dst, &value, 8);
		} else {
			copy_bytes(dst, head->base + off, len);
		}
	}
	farbus_guard_leave(&slot->guard);
	return ok;
}

static int put_long(struct farbus_region *region, uint64_t off, const void *src, size_t len)
{
	struct process_slot *slot = slot_here();
	const uint8_t *from = src;
	int err = no_region(region, src);

	if (err < 0)
		return err;
	if (!slot)
		return no_slot();
	err = region_refusal(region, off, len, FARBUS_R | FARBUS_W, "put");
	if (err < 0)
		return err;
	if (region->served)
		return served_put(region, off, src, len);
	while (len) {
		size_t n = len < RMA_PIECE_MAX ? len : RMA_PIECE_MAX;

		if (!put_piece(slot, &region->head, off, from, n)) {
			err = region_refusal(region, off, n, FARBUS_R | FARBUS_W, "put");
			if (err < 0)
				return err;
			continue;
		}
		off += n;
		from += n;
		len -= n;
	}
	return 0;
}

int farbus_put(struct farbus_region *region, uint64_t off, const void *src, size_t len)
{
	struct process_slot *slot = (struct process_slot *)(void *)farbus_guard_slot;
	int err;

	if (__builtin_expect(slot && region && src && len - 1 < RMA_PIECE_MAX, 1) &&
	    __builtin_expect(put_piece(slot, &region->head, off, src, len), 1)) {
		count(slot, PROCESS_PUT_OPS, 1);
		count(slot, PROCESS_PUT_BYTES, len);
		return 0;
	}
	err = put_long(region, off, src, len);
	slot = slot_here();
	if (err == 0 && slot) {
		count(slot, PROCESS_PUT_OPS, 1);
		count(slot, PROCESS_PUT_BYTES, len);
	}
	return err;
}

static int get_long(struct farbus_region *region, uint64_t off, void *dst, size_t len)
{
	struct process_slot *slot = slot_here();
	uint8_t *to = dst;
	int err = no_region(region, dst);

	if (err < 0)
		return err;
	if (!slot)
		return no_slot();
	err = region_refusal(region, off, len, FARBUS_R, "get");
	if (err < 0)
		return err;
	if (region->served)
		return served_get(region, off, dst, len);
	while (len) {
		size_t n = len < RMA_PIECE_MAX ? len : RMA_PIECE_MAX;

		if (!get_piece(slot, &region->head, off, to, n)) {
			err = region_refusal(region, off, n, FARBUS_R, "get");
			if (err < 0)
				return err;
			continue;
		}
		off += n;
		to += n;
		len -= n;
	}
	return 0;
}

int farbus_get(struct farbus_region *region, uint64_t off, void *dst, size_t len)
{
	struct process_slot *slot = (struct process_slot *)(void *)farbus_guard_slot;
	int err;

	if (__builtin_expect(slot && region && dst && len - 1 < RMA_PIECE_MAX, 1) &&
	    __builtin_expect(get_piece(slot, &region->head, off, dst, len), 1)) {
		count(slot, PROCESS_GET_OPS, 1);
		count(slot, PROCESS_GET_BYTES, len);
		return 0;
	}
	err = get_long(region, off, dst, len);
	slot = slot_here();
	if (err == 0 && slot) {
		count(slot, PROCESS_GET_OPS, 1);
		count(slot, PROCESS_GET_BYTES, len);
	}
	return err;
}

int rma_getv(struct farbus_region *region, const struct farbus_vec *vec, size_t n)
{
	struct process_slot *slot = slot_here();
	int err = slot ? served_getv(region, vec, n) : no_slot();

	for (size_t i = 0; err == 0 && i < n; i++) {
		size_t pieces = vec[i].count ? vec[i].count : 1;

		count(slot, PROCESS_GET_OPS, pieces);
		count(slot, PROCESS_GET_BYTES, pieces * vec[i].len);
	}
	return err;
}

static uint64_t atomic_apply64(uint64_t *p, enum farbus_atomic_op op, uint64_t operand,
			       uint64_t compare)
{
	switch (op) {
	case FARBUS_ADD:
		return __atomic_fetch_add(p, operand, __ATOMIC_SEQ_CST);
	case FARBUS_AND:
		return __atomic_fetch_and(p, operand, __ATOMIC_SEQ_CST);
	case FARBUS_OR:
		return __atomic_fetch_or(p, operand, __ATOMIC_SEQ_CST);
	case FARBUS_XOR:
		return __atomic_fetch_xor(p, operand, __ATOMIC_SEQ_CST);
	case FARBUS_SWAP:
		return __atomic_exchange_n(p, operand, __ATOMIC_SEQ_CST);
	case FARBUS_CAS:
		__atomic_compare_exchange_n(p, &compare, operand, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST);
		return compare;
	}
	return 0;
}

static uint32_t atomic_apply32(uint32_t *p, enum farbus_atomic_op op, uint32_t operand,
			       uint32_t compare)
{
	switch (op) {
	case FARBUS_ADD:
		return __atomic_fetch_add(p, operand, __ATOMIC_SEQ_CST);
	case FARBUS_AND:
		return __atomic_fetch_and(p, operand, __ATOMIC_SEQ_CST);
	case FARBUS_OR:
		return __atomic_fetch_or(p, operand, __ATOMIC_SEQ_CST);
	case FARBUS_XOR:
		return __atomic_fetch_xor(p, operand, __ATOMIC_SEQ_CST);
	case FARBUS_SWAP:
		return __atomic_exchange_n(p, operand, __ATOMIC_SEQ_CST);
	case FARBUS_CAS:
		__atomic_compare_exchange_n(p, &compare, operand, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST);
		return compare;
	}
	return 0;
}

uint64_t rma_atomic_apply(void *p, enum farbus_atomic_op op, size_t width, uint64_t operand,
			  uint64_t compare)
{
	if (width == 8)
		return atomic_apply64(p, op, operand, compare);
	return atomic_apply32(p, op, (uint32_t)operand, (uint32_t)compare);
}

int rma_atomic_check(uint64_t off, enum farbus_atomic_op op, size_t width)
{
	if (op < FARBUS_ADD || op > FARBUS_CAS)
		return error_set(-EINVAL, "atomic op %d: see enum farbus_atomic_op", (int)op);
	if (width != 4 && width != 8)
		return error_set(-EINVAL, "atomic of %zu bytes: give width 4 or 8", width);
	if (off % width)
		return error_set(-EINVAL, "atomic at offset %llu: it must be a multiple of %zu",
				 (unsigned long long)off, width);
	return 0;
}

static int base_aligned(const struct farbus_region *region, size_t width)
{
	if ((uintptr_t)region->head.base % width == 0)
		return 0;
	return error_set(-EINVAL,
			 "the region starts at an address that is no multiple of %zu: "
			 "adopt or grant it at an aligned one",
			 width);
}

static int atomic_slow(struct farbus_region *region, uint64_t off, enum farbus_atomic_op op,
		       size_t width, uint64_t operand, uint64_t compare, uint64_t *ret_old,
		       bool *ret_again)
{
	int err;

	*ret_again = false;
	err = region_refusal(region, off, width, FARBUS_R | FARBUS_W | FARBUS_A, "atomic");
	if (err < 0)
		return err;
	if (region->served)
		return served_atomic(region, off, op, width, operand, compare, false, ret_old);
	*ret_again = true;
	return 0;
}

int farbus_atomic(struct farbus_region *region, uint64_t off, enum farbus_atomic_op op,
		  size_t width, uint64_t operand, uint64_t compare, uint64_t *ret_old)
{
	struct process_slot *slot = slot_here();
	const struct farbus_region_head *head;
	uint64_t old = 0;
	bool ok, again;
	int err = rma_atomic_check(off, op, width);

	if (err < 0)
		return err;
	if (!region)
		return error_set(-EINVAL, "the region is NULL");
	if (!slot)
		return no_slot();
	head = &region->head;
	do {
		farbus_guard_enter(&slot->guard, head->tag);
		ok = farbus_within(off, width,
				   __atomic_load_n(&head->len_atomic, __ATOMIC_ACQUIRE)) &&
		     (uintptr_t)head->base % width == 0;
		if (ok)
			old = rma_atomic_apply(head->base + off, op, width, operand, compare);
		farbus_guard_leave(&slot->guard);
		if (ok)
			break;
		err = atomic_slow(region, off, op, width, operand, compare, ret_old, &again);
		if (err == 0 && again)
			err = base_aligned(region, width);
		if (err < 0)
			return err;
		if (!again)
			return 0;
	} while (true);
	count(slot, PROCESS_ATOMIC_OPS, 1);
	if (ret_old)
		*ret_old = old;
	return 0;
}

/* ---- flush ---- */

static int __attribute__((noinline))
flush_region(struct farbus_region *region, enum farbus_flush_level level, int timeout_ms)
{
	int err;

	if (level == FARBUS_FLUSH_REMOTE &&
	    atomic_load_explicit(&region->state, memory_order_relaxed) == REGION_DEAD) {
		err = atomic_load_explicit(&region->status, memory_order_acquire);
		return error_set(err, "flush: region %llx of rank %u: %s",
				 (unsigned long long)region->id, region->home_rank,
				 farbus_strerror(err));
	}
	if (!region->served)
		return 0;
	process_count(PROCESS_FLUSH_OPS, 1);
	return served_flush(region, timeout_ms);
}

/* Not inline: its locals would put a stack canary into every flush. */
static int __attribute__((noinline)) flush_all(struct farbus *farbus, int timeout_ms)
{
	struct farbus_region *region;
	int err = 0, one;

	for (uint32_t i = 1; i != 0;) {
		uint32_t next;

		lock_acquire(&farbus->lock);
		one = import_next(core_imports(farbus->core), i - 1, &next);
		region = one < 0 ? NULL : region_by_import(farbus, next);
		lock_release(&farbus->lock);
		if (one < 0)
			break;
		if (region && region->served) {
			process_count(PROCESS_FLUSH_OPS, 1);
			one = served_flush(region, timeout_ms);
			err = err < 0 ? err : one;
		}
		i = next + 1;
	}
	return err;
}

int farbus_flush(struct farbus *farbus, struct farbus_region *region, enum farbus_flush_level level,
		 int timeout_ms)
{
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (level < FARBUS_FLUSH_ORDER || level > FARBUS_FLUSH_REMOTE)
		return error_set(-EINVAL, "flush level %d: ORDER, LOCAL or REMOTE", (int)level);
	/* Stores of this CPU are in memory order for everybody on this host after this. */
	__atomic_thread_fence(level == FARBUS_FLUSH_REMOTE ? __ATOMIC_SEQ_CST : __ATOMIC_RELEASE);
	/* Served accesses are ordered by their link, and their sources were copied by put. */
	if (region)
		return __builtin_expect(!region->served && __atomic_load_n(&region->head.len_get,
									   __ATOMIC_RELAXED),
					1) ?
			       0 :
			       flush_region(region, level, timeout_ms);
	return level == FARBUS_FLUSH_REMOTE ? flush_all(farbus, timeout_ms) : 0;
}
