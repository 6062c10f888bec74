/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest.h -- a guest that writes memory, on a virtual CPU of KVM or on a thread
 *
 * Both run the same program over the same memory and keep all of its state in struct guest_state:
 *
 *   for (;;) { x = x * 1664525 + 1013904223; page[x >> 8 & mask][x >> 2 & 1020] = ++count; }
 *
 * so that a guest that was started on one side can be continued, and checked, on the other.
 */
#ifndef APPS_EXAMPLES_07_VMM_GUEST_H
#define APPS_EXAMPLES_07_VMM_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_PAGE 4096u
#define GUEST_CODE 0x1000u   /* where the program is, in guest memory */
#define GUEST_DATA 0x100000u /* where it writes: from 1 MiB on */
#define GUEST_RAM_MIN (2u * GUEST_DATA)

struct guest_state {
	uint32_t x, count; /* of the program above */
	uint32_t mask;	   /* pages it writes, less one: a power of two */
	uint32_t kind;	   /* of guest: a program in memory, or one of ours */
};

struct guest;

struct guest_ops {
	const char *name;
	uint32_t kind;
	/* A guest that is paused. Borrows ram. Errors: -ENOTSUP, with the reason in *ret_why. */
	int (*open)(uint8_t *ram, size_t len, uint64_t rate, struct guest **ret_guest,
		    const char **ret_why);
	void (*close)(struct guest *guest);
	int (*run)(struct guest *guest);
	int (*pause)(struct guest *guest);
	/* While paused. */
	void (*get)(struct guest *guest, struct guest_state *ret_state);
	void (*set)(struct guest *guest, const struct guest_state *state);
	/* A log of its writes: NULL, for a guest whose writes this process makes itself. */
	int (*log_start)(void *guest);
	int (*log_sync)(void *guest, uint32_t slot, uint64_t *bitmap);
	void (*log_stop)(void *guest);
};

extern const struct guest_ops guest_thread, guest_kvm;

#endif
