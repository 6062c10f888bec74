/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * signal.c -- signal and wait: a value in memory, and sleepers on a futex beside it
 *
 * Each region's control page has lanes, chosen by offset. A waiter counts itself in, looks at the
 * value again, then sleeps on the lane's sequence number for at most 1 ms; a signaller changes
 * the value with a full barrier, then looks whether anybody waits.
 *
 * Ordering: the signaller's locked store of the value comes before its load of waiters, the
 * waiter's locked increment of waiters before its load of the value: one of them sees the other.
 * And if a hostile or broken peer scribbles over the page, the 1 ms re-check still holds.
 */
#include "base/counter.h"
#include "base/error.h"
#include "runtime/instance.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WAIT_RECHECK_NS NS_PER_MS
#define WAIT_SERVED_MIN_NS (50 * NS_PER_US)

static struct signal_lane *lane_of(struct farbus_region *region, uint64_t off)
{
	/* By the offset in the region, so that every import of it agrees. */
	return region->lane ? &region->lane[((region->off + off) >> 3) % SIGNAL_LANE_MAX] : NULL;
}

void signal_wake(struct farbus_region *region, uint64_t off)
{
	struct signal_lane *lane = lane_of(region, off);

	if (!lane || atomic_load_explicit(&lane->waiters, memory_order_seq_cst) == 0)
		return;
	atomic_fetch_add_explicit(&lane->seq, 1, memory_order_release);
	syscall(SYS_futex, &lane->seq, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* A signal of SWAP needs only W: it is a put that wakes. */
static int signal_store(struct farbus_region *region, uint64_t off, uint64_t value)
{
	int err = farbus_put(region, off, &value, sizeof(value));

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return err;
}

int farbus_signal(struct farbus_region *region, uint64_t off, uint64_t value,
		  enum farbus_atomic_op op)
{
	uint32_t rights = FARBUS_R | FARBUS_W | (op == FARBUS_ADD ? FARBUS_A : 0);
	int err;

	if (op != FARBUS_ADD && op != FARBUS_SWAP)
		return error_set(-EINVAL, "signal op %d: FARBUS_SWAP or FARBUS_ADD", (int)op);
	err = rma_atomic_check(off, op, sizeof(value));
	if (err < 0)
		return err;
	if (!region)
		return error_set(-EINVAL, "the region is NULL");
	if (region->served) {
		err = region_refusal(region, off, 8, rights, "signal");
		if (err == 0)
			err = served_atomic(region, off, op, 8, value, 0, true, NULL);
	} else if (op == FARBUS_SWAP) {
		err = signal_store(region, off, value);
	} else {
		err = farbus_atomic(region, off, op, sizeof(value), value, 0, NULL);
	}
	if (err < 0)
		return err;
	if (!region->served)
		signal_wake(region, off);
	process_count(PROCESS_SIGNAL_OPS, 1);
	return 0;
}

static bool compare_true(enum farbus_compare compare, uint64_t seen, uint64_t value)
{
	switch (compare) {
	case FARBUS_EQ:
		return seen == value;
	case FARBUS_NE:
		return seen != value;
	case FARBUS_GE:
		return seen >= value;
	}
	return false;
}

struct wait {
	struct farbus_region *region;
	uint64_t off;
	enum farbus_compare compare;
	uint64_t value, seen, deadline;
};

/* 1: true now; 0: not yet; negative: the region is gone. */
static int wait_look(struct wait *wait)
{
	int err = farbus_get64(wait->region, wait->off, &wait->seen);

	if (err < 0)
		return err;
	return compare_true(wait->compare, wait->seen, wait->value);
}

static int wait_spin(struct wait *wait)
{
	struct farbus *farbus = wait->region->farbus;
	uint64_t until = clock_now_ns() + farbus->config.spin_us * NS_PER_US;
	int result;

	do {
		for (int i = 0; i < 64; i++) {
			result = wait_look(wait);
			if (result != 0)
				return result;
		}
	} while (farbus->spin && clock_now_ns() < until);
	return 0;
}

static int wait_park(struct wait *wait, struct signal_lane *lane)
{
	uint64_t now = clock_now_ns();
	uint64_t nap =
		wait->deadline - now < WAIT_RECHECK_NS ? wait->deadline - now : WAIT_RECHECK_NS;
	struct timespec pause = { .tv_nsec = (long)nap };
	uint32_t seq;
	int result;

	if (now >= wait->deadline)
		return 0;
	counter_add(COUNTER_wait_park, 1);
	if (!lane) {
		nanosleep(&pause, NULL);
		return wait_look(wait);
	}
	seq = atomic_load_explicit(&lane->seq, memory_order_acquire);
	atomic_fetch_add_explicit(&lane->waiters, 1, memory_order_seq_cst);
	result = wait_look(wait);
	if (result == 0 && syscall(SYS_futex, &lane->seq, FUTEX_WAIT, seq, &pause, NULL, 0) == 0)
		counter_add(COUNTER_wait_woken, 1);
	atomic_fetch_sub_explicit(&lane->waiters, 1, memory_order_seq_cst);
	return result ? result : wait_look(wait);
}

/* Each look is a request to the home: wait longer and longer between two, up to 1 ms. */
static int wait_served(struct wait *wait)
{
	uint64_t nap = WAIT_SERVED_MIN_NS;
	struct timespec pause = { 0 };
	int result = 0;

	while (result == 0 && clock_now_ns() < wait->deadline) {
		pause.tv_nsec = (long)nap;
		nanosleep(&pause, NULL);
		nap = nap * 2 < WAIT_RECHECK_NS ? nap * 2 : WAIT_RECHECK_NS;
		result = wait_look(wait);
	}
	return result;
}

int farbus_wait(struct farbus_region *region, uint64_t off, enum farbus_compare compare,
		uint64_t value, int timeout_ms, uint64_t *ret_seen)
{
	struct wait wait = { region, off, compare, value, 0, 0 };
	int result;

	if (!region || compare < FARBUS_EQ || compare > FARBUS_GE)
		return error_set(-EINVAL, "wait needs a region and FARBUS_EQ, NE or GE");
	if (off % 8)
		return error_set(-EINVAL, "wait at offset %llu: give a multiple of 8",
				 (unsigned long long)off);
	result = process_check();
	if (result < 0)
		return result;
	wait.deadline = instance_deadline(region->farbus, timeout_ms);
	result = region->served ? wait_look(&wait) : wait_spin(&wait);
	if (result == 0 && region->served)
		result = wait_served(&wait);
	while (result == 0 && clock_now_ns() < wait.deadline)
		result = wait_park(&wait, lane_of(region, off));
	if (result < 0)
		return result;
	if (result == 0)
		return error_set(-ETIMEDOUT, "wait: the value at offset %llu is still %llu",
				 (unsigned long long)off, (unsigned long long)wait.seen);
	if (ret_seen)
		*ret_seen = wait.seen;
	process_count(PROCESS_WAIT_OPS, 1);
	return 0;
}
