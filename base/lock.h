/* SPDX-License-Identifier: BSD-3-Clause */
/* lock.h -- mutexes whose use clang's thread-safety analysis checks at compile time */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>

#if defined(__clang__)
#define LOCK_ATTR(x) __attribute__((x))
#else
#define LOCK_ATTR(x)
#endif
#define CAPABILITY(name) LOCK_ATTR(capability(name))
#define GUARDED_BY(lock) LOCK_ATTR(guarded_by(lock))
#define REQUIRES(...) LOCK_ATTR(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) LOCK_ATTR(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) LOCK_ATTR(acquire_capability(__VA_ARGS__))
#define RELEASE(...) LOCK_ATTR(release_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) LOCK_ATTR(try_acquire_capability(__VA_ARGS__))
#define ASSERTS_HELD(...) LOCK_ATTR(assert_capability(__VA_ARGS__))
#define NO_LOCK_ANALYSIS LOCK_ATTR(no_thread_safety_analysis)

struct CAPABILITY("mutex") lock {
	pthread_mutex_t mutex;
};

void lock_init(struct lock *lock);
void lock_fini(struct lock *lock);
void lock_acquire(struct lock *lock) ACQUIRE(lock);
int lock_try(struct lock *lock) TRY_ACQUIRE(1, lock); /* 1 taken, 0 not */
void lock_release(struct lock *lock) RELEASE(lock);

/*
 * For functions that reach the lock by another name than their caller did (region->farbus->lock):
 * tells the analysis that it is held. Says what the caller promised; checks nothing.
 */
static inline void lock_held(struct lock *lock) ASSERTS_HELD(lock)
{
	(void)lock;
}

#endif
