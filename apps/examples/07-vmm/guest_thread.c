/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_thread.c -- the guest's program on a thread, where there is no KVM
 *
 * Paced: every millisecond it makes as many writes as its rate asks for.
 */
#include "apps/examples/07-vmm/guest.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct guest {
	uint8_t *ram;  /* borrows */
	uint64_t rate; /* writes per second */
	struct guest_state state;
	pthread_t thread;
	bool running;
	_Atomic bool stop;
};

static int thread_open(uint8_t *ram, size_t len, uint64_t rate, struct guest **ret_guest,
		       const char **ret_why)
{
	struct guest *guest = calloc(1, sizeof(*guest));

	(void)len;
	if (!guest) {
		*ret_why = "no memory";
		return -ENOMEM;
	}
	guest->ram = ram;
	guest->rate = rate;
	*ret_guest = guest;
	return 0;
}

/* What a guest writes while its pages are copied is copied again: no race of the VMM's, as TSAN thinks. */
__attribute__((no_sanitize("thread"))) static void guest_write(struct guest *guest)
{
	struct guest_state *state = &guest->state;
	uint32_t x = state->x = state->x * 1664525u + 1013904223u;
	uint8_t *page = guest->ram + GUEST_DATA + (size_t)(x >> 8 & state->mask) * GUEST_PAGE;

	*(volatile uint32_t *)(void *)(page + (x >> 2 & 1020u)) = ++state->count;
}

static void *guest_main(void *arg)
{
	struct guest *guest = arg;
	struct timespec next;
	uint64_t due = 0;

	clock_gettime(CLOCK_MONOTONIC, &next);
	while (!atomic_load(&guest->stop)) {
		for (due += guest->rate; due >= 1000; due -= 1000)
			guest_write(guest);
		next.tv_nsec += 1000000;
		if (next.tv_nsec >= 1000000000) {
			next.tv_nsec -= 1000000000;
			next.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return NULL;
}

static int thread_run(struct guest *guest)
{
	atomic_store(&guest->stop, false);
	guest->running = pthread_create(&guest->thread, NULL, guest_main, guest) == 0;
	return guest->running ? 0 : -EAGAIN;
}

static int thread_pause(struct guest *guest)
{
	if (!guest->running)
		return 0;
	atomic_store(&guest->stop, true);
	guest->running = false;
	return -pthread_join(guest->thread, NULL);
}

static void thread_close(struct guest *guest)
{
	thread_pause(guest);
	free(guest);
}

static void thread_get(struct guest *guest, struct guest_state *ret_state)
{
	*ret_state = guest->state;
}

static void thread_set(struct guest *guest, const struct guest_state *state)
{
	guest->state = *state;
}

const struct guest_ops guest_thread = {
	.name = "thread",
	.kind = 1,
	.open = thread_open,
	.close = thread_close,
	.run = thread_run,
	.pause = thread_pause,
	.get = thread_get,
	.set = thread_set,
};
