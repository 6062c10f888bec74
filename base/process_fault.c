/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * process_fault.c -- the SIGBUS chain, and the registry that keeps windows apart
 *
 * Invariants:
 *   1. An entry's start is 0 while it is free or being changed; its seq is odd meanwhile.
 *   2. Chunks are never freed: the handler may be reading them.
 *   3. claims are sorted by start and do not overlap.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/process.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_ENTRIES 1024
#define CHUNK_MAX 512 /* half a million ranges */
#define LOOKS 10000   /* at an entry that is being changed: for about a second */
#define LOOKS_YIELDING 100
#define LOOK_PAUSE_NS 100000

struct fault_entry {
	_Atomic uint32_t seq;
	_Atomic uintptr_t start;
	_Atomic size_t len;
	_Atomic(process_fault_fn) fn;
	_Atomic(void *) arg;
};

struct claim {
	uintptr_t start, end;
	const void *owner;
};

static struct lock fault_lock = { .mutex = PTHREAD_MUTEX_INITIALIZER };
static _Atomic(struct fault_entry *) chunk[CHUNK_MAX];
static _Atomic uint32_t entry_top; /* entries ever used */
static bool installed;
static struct sigaction previous;
static struct claim *claims;
static size_t claim_count, claim_max;

static struct fault_entry *entry_at(uint32_t i)
{
	struct fault_entry *entries =
		atomic_load_explicit(&chunk[i / CHUNK_ENTRIES], memory_order_acquire);

	return entries ? &entries[i % CHUNK_ENTRIES] : NULL;
}

enum look { LOOK_ELSEWHERE, LOOK_HIT, LOOK_CHANGING };

/* One look at an entry. */
static enum look entry_look(struct fault_entry *entry, uintptr_t va, process_fault_fn *ret_fn,
			    void **ret_arg)
{
	uint32_t seq = atomic_load_explicit(&entry->seq, memory_order_acquire);
	uintptr_t start = atomic_load_explicit(&entry->start, memory_order_relaxed);
	size_t len = atomic_load_explicit(&entry->len, memory_order_relaxed);

	*ret_fn = atomic_load_explicit(&entry->fn, memory_order_relaxed);
	*ret_arg = atomic_load_explicit(&entry->arg, memory_order_relaxed);
	/* Pairs with entry_set(): an even, unchanged seq means that all four belong together. */
	atomic_thread_fence(memory_order_acquire);
	if ((seq & 1) || atomic_load_explicit(&entry->seq, memory_order_relaxed) != seq)
		return LOOK_CHANGING;
	return start && va >= start && va - start < len ? LOOK_HIT : LOOK_ELSEWHERE;
}

/*
 * Waits while it is being changed, since a range that is resized covers va before and after. Not for
 * ever: a signal handler of the thread that changes it may be what touched va.
 */
static bool entry_match(struct fault_entry *entry, uintptr_t va, process_fault_fn *ret_fn,
			void **ret_arg)
{
	static const struct timespec pause = { .tv_nsec = LOOK_PAUSE_NS };
	enum look look = LOOK_CHANGING;

	for (int i = 0; i < LOOKS && look == LOOK_CHANGING; i++) {
		look = entry_look(entry, va, ret_fn, ret_arg);
		/* Who changes it may have lost its CPU, to others than us: then yielding is no wait. */
		if (look == LOOK_CHANGING && i < LOOKS_YIELDING)
			sched_yield();
		else if (look == LOOK_CHANGING)
			nanosleep(&pause, NULL);
	}
	return look == LOOK_HIT;
}

static void entry_set(struct fault_entry *entry, uintptr_t start, size_t len, process_fault_fn fn,
		      void *arg)
{
	atomic_fetch_add_explicit(&entry->seq, 1, memory_order_acq_rel);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&entry->start, start, memory_order_relaxed);
	atomic_store_explicit(&entry->len, len, memory_order_relaxed);
	atomic_store_explicit(&entry->fn, fn, memory_order_relaxed);
	atomic_store_explicit(&entry->arg, arg, memory_order_relaxed);
	atomic_fetch_add_explicit(&entry->seq, 1, memory_order_release);
}

static void report(uintptr_t va)
{
	static const char hex[] = "0123456789abcdef";
	char line[] = "farbus: SIGBUS at 0x0000000000000000: the memory behind this address is "
		      "gone (revoked, or its file was truncated)\n";
	char *at = strstr(line, "0x") + 2;

	for (int i = 0; i < 16; i++)
		at[i] = hex[va >> (60 - 4 * i) & 15];
	if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		return; /* nobody to tell */
}

/* Sent by kill(2) or sigqueue(3): there is no access behind it. */
static bool was_sent(const siginfo_t *info)
{
	return info->si_code <= 0;
}

static void chain(int signal, siginfo_t *info, void *context, bool ours)
{
	struct sigaction standard = { .sa_handler = SIG_DFL };

	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(signal, info, context);
		return;
	}
	if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(signal);
		return;
	}
	if (previous.sa_handler == SIG_IGN && was_sent(info))
		return; /* one that comes from an access cannot be ignored */
	if (ours)
		report((uintptr_t)info->si_addr);
	/* Back to the default; the access is repeated and ends the process. */
	sigaction(SIGBUS, &standard, NULL);
	if (was_sent(info))
		raise(SIGBUS);
}

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	uint32_t top = atomic_load_explicit(&entry_top, memory_order_acquire);
	uintptr_t va = (uintptr_t)info->si_addr;
	int saved = errno;
	bool ours = false;

	for (uint32_t i = 0; !was_sent(info) && i < top; i++) {
		struct fault_entry *entry = entry_at(i);
		process_fault_fn fn;
		void *arg;

		if (!entry || !entry_match(entry, va, &fn, &arg))
			continue;
		ours = true;
		if (fn(arg, info->si_addr)) {
			errno = saved;
			return;
		}
	}
	errno = saved;
	chain(signal, info, context, ours);
}

static int install_locked(void) REQUIRES(&fault_lock)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	if (installed)
		return 0;
	sigemptyset(&action.sa_mask);
	/* Two calls: from the second on a handler may run, and needs to know the previous one. */
	if (sigaction(SIGBUS, NULL, &previous) < 0 || sigaction(SIGBUS, &action, NULL) < 0)
		return error_set(-EINVAL, "cannot install the SIGBUS handler: %s", strerror(errno));
	installed = true;
	return 0;
}

static struct fault_entry *entry_free_locked(void) REQUIRES(&fault_lock)
{
	static uint32_t hint;
	uint32_t top = atomic_load_explicit(&entry_top, memory_order_relaxed);
	struct fault_entry *entry;

	for (uint32_t n = 0; n < top && n < CHUNK_ENTRIES; n++) {
		hint = hint + 1 < top ? hint + 1 : 0;
		entry = entry_at(hint);
		if (entry && !atomic_load_explicit(&entry->start, memory_order_relaxed))
			return entry;
	}
	if (top == CHUNK_ENTRIES * CHUNK_MAX)
		return NULL;
	if (top % CHUNK_ENTRIES == 0) {
		entry = alloc_array(CHUNK_ENTRIES, sizeof(*entry));
		if (!entry)
			return NULL;
		atomic_store_explicit(&chunk[top / CHUNK_ENTRIES], entry, memory_order_release);
	}
	/* Pairs with the acquire load in on_sigbus(). */
	atomic_store_explicit(&entry_top, top + 1, memory_order_release);
	return entry_at(top);
}

int process_fault_register(void *start, size_t len, process_fault_fn fault, void *arg)
{
	struct fault_entry *entry;
	int err;

	lock_acquire(&fault_lock);
	err = install_locked();
	if (err == 0) {
		entry = entry_free_locked();
		if (entry)
			entry_set(entry, (uintptr_t)start, len, fault, arg);
		else
			err = error_set(-ENOMEM, "no memory to watch a mapping for SIGBUS");
	}
	lock_release(&fault_lock);
	return err;
}

static struct fault_entry *entry_find_locked(void *start) REQUIRES(&fault_lock)
{
	/* Newest first: what is short-lived is at the end. */
	for (uint32_t i = atomic_load_explicit(&entry_top, memory_order_relaxed); i-- > 0;) {
		struct fault_entry *entry = entry_at(i);

		if (entry &&
		    atomic_load_explicit(&entry->start, memory_order_relaxed) == (uintptr_t)start)
			return entry;
	}
	return NULL;
}

void process_fault_unregister(void *start)
{
	struct fault_entry *entry;

	lock_acquire(&fault_lock);
	entry = entry_find_locked(start);
	if (entry)
		entry_set(entry, 0, 0, NULL, NULL);
	lock_release(&fault_lock);
}

void process_fault_resize(void *start, void *new_start, size_t new_len)
{
	struct fault_entry *entry;

	lock_acquire(&fault_lock);
	entry = entry_find_locked(start);
	if (entry)
		entry_set(entry, (uintptr_t)new_start, new_len,
			  atomic_load_explicit(&entry->fn, memory_order_relaxed),
			  atomic_load_explicit(&entry->arg, memory_order_relaxed));
	lock_release(&fault_lock);
}

/* Index of the first claim that ends above va. */
static size_t claim_find(uintptr_t va)
{
	size_t low = 0, high = claim_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (claims[mid].end > va)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static int claim_insert_locked(size_t at, struct claim claim) REQUIRES(&fault_lock)
{
	if (claim_count == claim_max) {
		size_t max = claim_max ? claim_max * 2 : 64;
		struct claim *more = alloc_resize(claims, max, sizeof(*claims));

		if (!more)
			return error_set(-ENOMEM, "no memory for a window");
		claims = more;
		claim_max = max;
	}
	memmove(&claims[at + 1], &claims[at], (claim_count - at) * sizeof(*claims));
	claims[at] = claim;
	claim_count++;
	return 0;
}

int process_va_claim(const void *owner, void *start, size_t len)
{
	struct claim claim = { (uintptr_t)start, (uintptr_t)start + len, owner };
	size_t at;
	int err;

	if (len == 0 || claim.end < claim.start)
		return error_set(-EINVAL, "a window of 0 bytes, or past the end of memory");
	lock_acquire(&fault_lock);
	at = claim_find(claim.start);
	if (at < claim_count && claims[at].start < claim.end)
		err = error_set(-EEXIST, "%p + %zu overlaps a window of %s instance", start, len,
				claims[at].owner == owner ? "this" : "another");
	else
		err = claim_insert_locked(at, claim);
	lock_release(&fault_lock);
	return err;
}

/* Takes [start, end) out of one claim. Without memory for the second half it stays whole. */
static void claim_cut_locked(size_t at, uintptr_t start, uintptr_t end) REQUIRES(&fault_lock)
{
	struct claim rest = { end, claims[at].end, claims[at].owner };
	bool left = claims[at].start < start;
	bool right = claims[at].end > end;

	if (left && right) {
		if (claim_insert_locked(at + 1, rest) == 0)
			claims[at].end = start;
	} else if (left) {
		claims[at].end = start;
	} else if (right) {
		claims[at].start = end;
	} else {
		memmove(&claims[at], &claims[at + 1], (claim_count - at - 1) * sizeof(*claims));
		claim_count--;
	}
}

void process_va_unclaim(const void *owner, void *start, size_t len)
{
	uintptr_t from = (uintptr_t)start, to = from + len;
	size_t at;

	lock_acquire(&fault_lock);
	at = claim_find(from);
	while (at < claim_count && claims[at].start < to) {
		size_t before = claim_count;

		if (claims[at].owner == owner)
			claim_cut_locked(at, from, to);
		if (claim_count >= before)
			at++;
	}
	if (claim_count == 0) {
		free(claims);
		claims = NULL;
		claim_max = 0;
	}
	lock_release(&fault_lock);
}

void process_fault_fork_prepare(void) NO_LOCK_ANALYSIS
{
	lock_acquire(&fault_lock);
}

void process_fault_fork_parent(void) NO_LOCK_ANALYSIS
{
	lock_release(&fault_lock);
}

/* The ranges are not mapped in the child: what it has there, and its SIGBUS, are its own. */
void process_fault_fork_child(void)
{
	lock_init(&fault_lock);
	atomic_store_explicit(&entry_top, 0, memory_order_release);
}
