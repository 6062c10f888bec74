/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loop.c -- descriptors to listen to
 *
 * Events are taken one at a time: what one of them removes cannot be called by the next.
 */
#include "apps/farbus-nic/loop.h"

#include "base/error.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RUN_MAX 16 /* events of one loop_run() */

int loop_open(struct loop *loop)
{
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return error_set(-EMFILE, "no descriptor for epoll: %s", strerror(errno));
	return 0;
}

void loop_close(struct loop *loop)
{
	if (loop->epoll >= 0)
		close(loop->epoll);
	loop->epoll = -1;
}

int loop_add(struct loop *loop, struct watch *watch)
{
	struct epoll_event event = { .events = EPOLLIN | (watch->edge ? EPOLLET : 0),
				     .data.ptr = watch };

	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &event) == 0 || errno == EEXIST)
		return 0;
	return error_set(errno == ENOMEM ? -ENOMEM : -ENOSPC, "watching descriptor %d: %s",
			 watch->fd, strerror(errno));
}

void loop_remove(struct loop *loop, struct watch *watch)
{
	if (watch->fd >= 0)
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
}

void loop_run(struct loop *loop, int timeout_ms)
{
	struct epoll_event event;

	for (int i = 0; i < RUN_MAX; i++) {
		struct watch *watch;

		/* The kernel's list goes round: the others are next. */
		if (epoll_wait(loop->epoll, &event, 1, i == 0 ? timeout_ms : 0) != 1)
			return;
		watch = event.data.ptr;
		watch->ready(watch->arg);
	}
}
