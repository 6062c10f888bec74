/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault.c -- pages on demand: minor faults of userfaultfd, continued when the page is there
 *
 * Invariants:
 *   1. A missing page is not mapped at va: it appears by UFFDIO_CONTINUE, after its fetch.
 *   2. The bitmap and the counts change under the lock, by the thread alone.
 */
#include "runtime/paging/fault.h"
#include "addrmap/addr.h"
#include "addrmap/dirty.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/lock.h"
#include "runtime/paging/kernel.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define FAULT_NEED "fetching pages on demand"
#define FAULT_MESSAGES 16

struct fault {
	struct fault_conf conf;
	uint64_t pages, next; /* next: where the background is */
	uint64_t *missing;    /* owned */
	int uffd, wake;	      /* owned */
	pthread_t thread;
	bool started;
	struct lock lock;
	pthread_cond_t changed;
	bool stop, retry;
	struct fault_stats stats;
	struct uffd_msg message[FAULT_MESSAGES];
};

/* ---- the thread ---- */

/* Already there, or its process is going: both are fine. */
static void page_show(struct fault *fault, uint64_t page, uint64_t count)
{
	struct uffdio_continue show = { .range = { (uintptr_t)fault->conf.va +
							   page * ADDR_PAGE_SIZE,
						   count * ADDR_PAGE_SIZE } };

	while (ioctl(fault->uffd, UFFDIO_CONTINUE, &show) < 0 && errno == EAGAIN)
		;
	/* Somebody may wait for a page that was mapped meanwhile. */
	(void)ioctl(fault->uffd, UFFDIO_WAKE, &show.range);
}

static bool page_missing(const struct fault *fault, uint64_t page)
{
	return fault->missing[page / 64] >> page % 64 & 1;
}

static int pages_fetch(struct fault *fault, uint64_t page, uint64_t count, bool urgent)
{
	uint64_t off = page * ADDR_PAGE_SIZE, len = count * ADDR_PAGE_SIZE;
	int err = fault->conf.fetch(fault->conf.arg, off, (uint8_t *)fault->conf.alias + off, len);

	if (err < 0)
		return err;
	for (uint64_t i = page; i < page + count; i++) {
		fault->missing[i / 64] &= ~((uint64_t)1 << i % 64);
		page_show(fault, i, 1);
	}
	lock_acquire(&fault->lock);
	fault->stats.missing -= count;
	*(urgent ? &fault->stats.urgent : &fault->stats.ahead) += count;
	lock_release(&fault->lock);
	return 0;
}

/* Returns how many somebody waited for, or a negative errno. The ones after a failure fault again. */
static int urgent_serve(struct fault *fault)
{
	ssize_t n = read(fault->uffd, fault->message, sizeof(fault->message));
	int count = n > 0 ? (int)((size_t)n / sizeof(fault->message[0])) : 0, err = 0;

	for (int i = 0; i < count; i++) {
		uint64_t va = fault->message[i].arg.pagefault.address;
		uint64_t page = (va - (uintptr_t)fault->conf.va) / ADDR_PAGE_SIZE;

		if (fault->message[i].event != UFFD_EVENT_PAGEFAULT || page >= fault->pages)
			continue;
		if (!page_missing(fault, page))
			page_show(fault, page, 1);
		else if (err == 0)
			err = pages_fetch(fault, page, 1, true);
	}
	return err < 0 ? err : count;
}

static int background_step(struct fault *fault)
{
	uint64_t page, count;

	if (!dirty_run_next(fault->missing, fault->pages, fault->next, &page, &count)) {
		fault->next = 0;
		return 0;
	}
	count = count < FAULT_BATCH ? count : FAULT_BATCH;
	fault->next = page + count;
	return pages_fetch(fault, page, count, false);
}

static bool stopped(struct fault *fault)
{
	bool stop;

	lock_acquire(&fault->lock);
	stop = fault->stop;
	lock_release(&fault->lock);
	return stop;
}

/* Whoever waits for a page that a failed fetch left is woken, faults again, and is seen again. */
static void failed_wait(struct fault *fault, int err) NO_LOCK_ANALYSIS
{
	struct uffdio_range all = { (uintptr_t)fault->conf.va, fault->conf.len };

	lock_acquire(&fault->lock);
	fault->stats.status = err;
	pthread_cond_broadcast(&fault->changed);
	while (!fault->retry && !fault->stop)
		pthread_cond_wait(&fault->changed, &fault->lock.mutex);
	fault->retry = false;
	lock_release(&fault->lock);
	fault->next = 0;
	(void)ioctl(fault->uffd, UFFDIO_WAKE, &all);
}

static void *fault_main(void *arg)
{
	struct fault *fault = arg;
	struct pollfd fds[2] = { { .fd = fault->uffd, .events = POLLIN },
				 { .fd = fault->wake, .events = POLLIN } };

	while (!stopped(fault)) {
		bool idle = fault->stats.missing == 0; /* only this thread changes it */
		int err = urgent_serve(fault);

		if (err == 0 && !idle)
			err = background_step(fault);
		if (err < 0)
			failed_wait(fault, err);
		if (fault->stats.missing == 0) {
			lock_acquire(&fault->lock);
			pthread_cond_broadcast(&fault->changed);
			lock_release(&fault->lock);
			(void)poll(fds, 2, -1);
		}
	}
	return NULL;
}

/* ---- opening and closing ---- */

struct fault *fault_close(struct fault *fault)
{
	uint64_t one = 1;

	if (!fault)
		return NULL;
	lock_acquire(&fault->lock);
	fault->stop = true;
	pthread_cond_broadcast(&fault->changed);
	lock_release(&fault->lock);
	if (fault->started && write(fault->wake, &one, sizeof(one)) == sizeof(one))
		pthread_join(fault->thread, NULL);
	if (fault->uffd >= 0)
		close(fault->uffd); /* whoever waits goes on */
	if (fault->wake >= 0)
		close(fault->wake);
	pthread_cond_destroy(&fault->changed);
	lock_fini(&fault->lock);
	free(fault->missing);
	free(fault);
	return NULL;
}

/* Registered first, then unmapped: from there on no touch goes unseen. */
static int range_watch(struct fault *fault)
{
	struct uffdio_register reg = { .range = { (uintptr_t)fault->conf.va, fault->conf.len },
				       .mode = UFFDIO_REGISTER_MODE_MINOR };

	if (ioctl(fault->uffd, UFFDIO_REGISTER, &reg) < 0) {
		if (errno == EBUSY)
			return error_set(-EBUSY, FAULT_NEED ": this memory is watched already");
		return error_set(-EINVAL, FAULT_NEED ": this memory cannot be watched: %s",
				 strerror(errno));
	}
	if (madvise(fault->conf.va, fault->conf.len, MADV_DONTNEED) < 0)
		return error_set(-EINVAL, FAULT_NEED ": this memory cannot be unmapped: %s",
				 strerror(errno));
	return 0;
}

static int thread_start(struct fault *fault)
{
	fault->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fault->wake < 0)
		return error_set(-EMFILE, FAULT_NEED ": no descriptor: %s", strerror(errno));
	if (pthread_create(&fault->thread, NULL, fault_main, fault) != 0)
		return error_set(-ENOMEM, FAULT_NEED ": no thread");
	fault->started = true;
	return 0;
}

int fault_open(const struct fault_conf *conf, struct fault **ret_fault)
{
	struct fault *fault;
	int err;

	if (conf->len == 0 || conf->len % ADDR_PAGE_SIZE || (uintptr_t)conf->va % ADDR_PAGE_SIZE)
		return error_set(-EINVAL, FAULT_NEED ": the memory does not consist of pages");
	fault = alloc_zero(sizeof(*fault));
	if (!fault)
		return error_set(-ENOMEM, FAULT_NEED ": no memory");
	fault->conf = *conf;
	fault->pages = conf->len / ADDR_PAGE_SIZE;
	fault->uffd = fault->wake = -1;
	lock_init(&fault->lock);
	pthread_cond_init(&fault->changed, NULL);
	fault->missing = alloc_array(dirty_words(fault->pages), sizeof(uint64_t));
	err = fault->missing ? 0 : error_set(-ENOMEM, FAULT_NEED ": no memory");
	for (uint64_t i = 0; err == 0 && i < fault->pages; i++)
		if (conf->missing[i / 64] >> i % 64 & 1) {
			fault->missing[i / 64] |= (uint64_t)1 << i % 64;
			fault->stats.missing++;
		}
	if (err == 0)
		err = kernel_uffd_open(UFFD_FEATURE_MINOR_SHMEM, FAULT_NEED, &fault->uffd);
	if (err == 0)
		err = range_watch(fault);
	if (err == 0)
		err = thread_start(fault);
	if (err < 0) {
		fault_close(fault);
		return err;
	}
	*ret_fault = fault;
	return 0;
}

int fault_wait(struct fault *fault, int timeout_ms) NO_LOCK_ANALYSIS
{
	uint64_t end = clock_wall_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	struct timespec until = { .tv_sec = (time_t)(end / NS_PER_S),
				  .tv_nsec = (long)(end % NS_PER_S) };
	int late = 0, err = 0;

	lock_acquire(&fault->lock);
	while (fault->stats.missing > 0 && fault->stats.status == 0 && !late)
		late = pthread_cond_timedwait(&fault->changed, &fault->lock.mutex, &until);
	if (fault->stats.status < 0)
		err = error_set(fault->stats.status, "%llu pages could not be fetched",
				(unsigned long long)fault->stats.missing);
	else if (fault->stats.missing > 0)
		err = error_set(-ETIMEDOUT, "%llu pages are missing after %d ms",
				(unsigned long long)fault->stats.missing, timeout_ms);
	lock_release(&fault->lock);
	return err;
}

void fault_retry(struct fault *fault)
{
	lock_acquire(&fault->lock);
	fault->retry |= fault->stats.status < 0;
	fault->stats.status =
		0; /* here, so that a wait that follows does not see the old failure */
	pthread_cond_broadcast(&fault->changed);
	lock_release(&fault->lock);
}

struct fault_stats fault_stats(struct fault *fault)
{
	struct fault_stats stats;

	lock_acquire(&fault->lock);
	stats = fault->stats;
	lock_release(&fault->lock);
	return stats;
}
