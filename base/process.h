/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * process.h -- the one object that a process has once, however many instances it opens
 *
 * It owns: the guard slots of this process's threads and their counters (one mmap'ed file or
 * memfd, the "process page"), the membarrier registration, the SIGBUS chain, the registry that
 * keeps windows of two instances apart, and the fork handlers.
 *
 * Threads: any thread, unless said otherwise.
 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <farbus/inline.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCESS_THREAD_MAX 1024

/*
 * One per thread, two cache lines: the guard, then counters that only this thread writes (plain
 * stores). farbus-stat reads them from outside while and after the process lives.
 */
struct process_slot {
	struct farbus_guard_slot guard __attribute__((aligned(128)));
	uint32_t tid; /* 0: free */
	uint32_t reserved;
	uint64_t counter[8] __attribute__((aligned(64))); /* enum process_thread_counter */
};

enum process_thread_counter {
#define THREAD_COUNTER(constant, name, meaning) PROCESS_##constant,
#include "base/thread_counters.def"
#undef THREAD_COUNTER
	PROCESS_THREAD_COUNTERS
};
_Static_assert(PROCESS_THREAD_COUNTERS == 8, "as many as a slot has");

/*
 * Counted reference. The first one creates the process page: as a file counters.PID in dir (mode
 * 0600, fallocate'd), or as a memfd "farbus-counters" when dir is NULL.
 * Later ones use the page that is there, whatever dir is; it lives as long as the process.
 * Errors: -ENOSPC, -EACCES, -ENOENT, -ENAMETOOLONG dir; -EMFILE, -ENOMEM; -ENOSYS no membarrier;
 * -ECHILD in a forked child.
 */
int process_get(const char *dir);
void process_put(void);

/* -ECHILD in a forked child of a process that has farbus open, else 0. One load. */
int process_check(void);

/* This thread's slot, registered on first use, given back when the thread ends. NULL: all taken. */
struct process_slot *process_slot_self(void);

/* Adds to a counter of this thread; one that has no slot counts nothing. */
static inline void process_count(enum process_thread_counter counter, uint64_t n)
{
	struct process_slot *slot = (struct process_slot *)(void *)farbus_guard_slot;

	if (__builtin_expect(slot != NULL, 1))
		__atomic_store_n(&slot->counter[counter], slot->counter[counter] + n,
				 __ATOMIC_RELAXED);
}

/* Descriptor of the process page, to hand to a home. Borrowed. */
int process_page_fd(void);

/* A tag no other region handle of this process has or had. Never 0. */
uint64_t process_tag_new(void);

/*
 * Returns when no slot holds tag any more. The caller stored "no admission" before. Issues
 * membarrier(2) and waits at most timeout_ns: -ETIMEDOUT.
 */
int process_guard_drain(uint64_t tag, uint64_t timeout_ns);

/*
 * SIGBUS chain. fault() runs in the signal handler of the thread that touched va inside
 * [start, start + len); it returns true when the access may be retried, false to let the next handler (in
 * the end: the previous disposition, with the address reported) have it. fault() must be
 * async-signal-safe. Of overlapping ranges any may be asked. A forked child has no ranges.
 * Ownership: borrows arg until process_fault_unregister(start), after which a call that had begun
 * may still be running in another thread.
 * Errors: -ENOMEM; -EINVAL the handler cannot be installed.
 */
typedef bool (*process_fault_fn)(void *arg, void *va);
int process_fault_register(void *start, size_t len, process_fault_fn fault, void *arg);
void process_fault_unregister(void *start);
/* The range moves its ends; what it covers before and after is covered all the time. */
void process_fault_resize(void *start, void *new_start, size_t new_len);

/*
 * Claims a VA range for a window of this instance (any pointer that names it). Errors: -EEXIST
 * overlaps a window of the same or another instance, -EINVAL empty or wraps, -ENOMEM.
 */
int process_va_claim(const void *owner, void *start, size_t len);
/*
 * Gives back what owner claimed in this range; other owners' claims stay. Taking a piece out of the
 * middle needs memory: without it that claim stays whole.
 */
void process_va_unclaim(const void *owner, void *start, size_t len);

/* Between process.c and process_fault.c: the fork handlers' part of the latter. */
void process_fault_fork_prepare(void);
void process_fault_fork_parent(void);
void process_fault_fork_child(void);

#endif
