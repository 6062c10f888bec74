/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loop.h -- descriptors to listen to, in one thread
 *
 * Threads: owner thread.
 */
#ifndef APPS_FARBUS_NIC_LOOP_H
#define APPS_FARBUS_NIC_LOOP_H

#include <stdbool.h>

struct loop {
	int epoll; /* owned */
};

/* One descriptor, and what to do when it is readable. Of zeros with fd -1: none. */
struct watch {
	int fd; /* borrowed while it is watched */
	void (*ready)(void *arg);
	void *arg;
	bool edge; /* each time somebody writes, also if nothing is read */
};

/* Errors: -EMFILE. */
int loop_open(struct loop *loop);
void loop_close(struct loop *loop);

/* Ownership: borrows watch until loop_remove(). Errors: -ENOSPC the kernel's limit, -ENOMEM. */
int loop_add(struct loop *loop, struct watch *watch);
void loop_remove(struct loop *loop, struct watch *watch); /* one that is not watched is fine */

/* Runs what is ready; waits for it at most timeout_ms, -1: without end. */
void loop_run(struct loop *loop, int timeout_ms);

#endif
