/* SPDX-License-Identifier: BSD-3-Clause */
/* lock.c -- mutexes; a misuse (relock, foreign unlock) is a bug and ends the process */
#include "base/lock.h"

#include "base/assert.h"
#include <errno.h>

void lock_init(struct lock *lock)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	FARBUS_ASSERT(pthread_mutex_init(&lock->mutex, &attr) == 0);
	pthread_mutexattr_destroy(&attr);
}

void lock_fini(struct lock *lock)
{
	pthread_mutex_destroy(&lock->mutex);
}

void lock_acquire(struct lock *lock) NO_LOCK_ANALYSIS
{
	FARBUS_ASSERT(pthread_mutex_lock(&lock->mutex) == 0);
}

int lock_try(struct lock *lock) NO_LOCK_ANALYSIS
{
	return pthread_mutex_trylock(&lock->mutex) == 0;
}

void lock_release(struct lock *lock) NO_LOCK_ANALYSIS
{
	FARBUS_ASSERT(pthread_mutex_unlock(&lock->mutex) == 0);
}
