/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault.h -- memory whose pages are fetched when somebody touches them, and in the background
 *
 * [va, va + len) is a shared mapping and alias a second one of the same memory. Pages that are missing
 * are fetched into alias, then appear at va all at once: whoever touches one before waits. One thread
 * does both: a page that somebody waits for goes ahead of the background.
 *
 * When a fetch fails everything stops, and whoever waits for a page goes on waiting: no page of zeros
 * ever appears. fault_retry() takes it up again.
 *
 * Threads: one thread at a time calls; the memory may be touched by any.
 */
#ifndef RUNTIME_PAGING_FAULT_H
#define RUNTIME_PAGING_FAULT_H

#include <stdint.h>

#define FAULT_BATCH 16 /* pages of one background fetch */

struct fault;

struct fault_conf {
	void *va, *alias;
	uint64_t len; /* whole pages */
	/* Bit n of word w: page w * 64 + n is missing. Copied. */
	const uint64_t *missing;
	/* Writes [off, off + len) to dst, 0 or a negative errno. Called from the thread of fault. */
	int (*fetch)(void *arg, uint64_t off, void *dst, uint64_t len);
	void *arg;
};

struct fault_stats {
	uint64_t missing; /* still */
	uint64_t urgent;  /* fetched because somebody waited */
	uint64_t ahead;	  /* in the background */
	int status;	  /* 0, or why it has stopped */
};

/*
 * Errors: -ENOSYS the kernel lacks it, -EACCES not permitted here, -EINVAL not whole pages, or memory
 * that is not shared; -EBUSY watched already, -EMFILE, -ENOMEM.
 */
int fault_open(const struct fault_conf *conf, struct fault **ret_fault);

/* What is still missing stays as it is in the memory. Takes NULL. */
struct fault *fault_close(struct fault *fault);

/* Waits until nothing is missing. Errors: -ETIMEDOUT, or what a fetch returned: fault_retry(). */
int fault_wait(struct fault *fault, int timeout_ms);

/* After a failed fetch: goes on where it stopped. */
void fault_retry(struct fault *fault);

struct fault_stats fault_stats(struct fault *fault);

#endif
