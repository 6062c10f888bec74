/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm.h -- live migration for virtual machine monitors
 *
 * A VMM keeps the guest's memory in regions of its own ("slots"), and gives farbus callbacks to stop
 * and start the guest, to save and load what is not memory, and, if it has such, logs of what was
 * written. farbus_vm_send() at the source and farbus_vm_receive() at the destination then move the
 * running guest: the pages travel by one-sided writes, in rounds, while it runs.
 *
 * The guest never runs on both sides. If the connection breaks at the very moment of the commit,
 * neither side can know: both keep the guest paused, where is FARBUS_VM_UNSETTLED, and a person
 * decides with farbus_vm_settle().
 *
 * Conventions are those of farbus.h.
 */
#ifndef FARBUS_VM_H
#define FARBUS_VM_H

#include <farbus/farbus.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FARBUS_VM_SLOT_MAX 256	 /* slots of a VM */
#define FARBUS_VM_DIRTY_MAX 16	 /* logs of a VM */
#define FARBUS_VM_PAGE_SIZE 4096 /* what a bit in a log stands for */

enum farbus_vm_where {
	FARBUS_VM_HERE = 1,	 /* this side has the guest; it was resumed */
	FARBUS_VM_THERE = 2,	 /* the other side has it; here it stays paused for good */
	FARBUS_VM_UNSETTLED = 3, /* paused, until farbus_vm_settle() */
};

struct farbus_vm_stats {
	uint32_t where;	 /* enum farbus_vm_where */
	uint32_t rounds; /* that ended */
	uint64_t ram_bytes;
	uint64_t pages;	      /* looked at, of which */
	uint64_t zero_pages;  /* were zero and not sent */
	uint64_t bytes;	      /* written to the destination */
	uint64_t dirty_pages; /* when the last round ended */
	uint64_t predicted_stop_us;
	uint64_t stop_us;  /* paused here, until the destination said that it runs there */
	uint64_t copy_us;  /* of it: the last pages */
	uint64_t total_us; /* the whole call */
};

/*
 * What a VMM does. Each returns 0 or a negative errno; all are called from the thread in
 * farbus_vm_send(), _receive() or _settle(), with the VMM's pointer.
 */
struct farbus_vm_ops {
	/* When it returns the guest, and its devices, write no memory any more. */
	int (*pause)(void *vm);
	/* The guest runs: at the destination for the first time, at the source after a failure. */
	int (*resume)(void *vm);
	/* Everything but memory. *ret_state stays valid until resume, or the end of the call. */
	int (*state_save)(void *vm, const void **ret_state, size_t *ret_len);
	int (*state_load)(void *vm, const void *state, size_t len);
	/* NULL, or told after every round. */
	void (*progress)(void *vm, const struct farbus_vm_stats *stats);
};

/* One log of written pages: of a hypervisor, a device, a vhost back-end. Several are combined by OR. */
struct farbus_vm_dirty {
	int (*start)(void *log); /* NULL: it runs already. From here on every write is logged */
	/*
	 * ORs into bitmap the pages of a slot that were written since the last call, and forgets
	 * them: bit n of word w is page w * 64 + n. Called once more after pause.
	 */
	int (*sync)(void *log, uint32_t slot, uint64_t *bitmap);
	void (*stop)(void *log); /* NULL: it may run on */
	void *log;
};

/*
 * Find what this process writes by itself (Linux 6.7, no privilege); what peers write one-sided, or
 * devices, is not seen: for these there are logs.
 */
#define FARBUS_VM_SCAN 0x1u
#define FARBUS_VM_ZERO 0x2u /* destination: the slots hold zeros, so that zeros need not be sent */

struct farbus_vm_conf {
	struct farbus_region *const *slot; /* own regions, the same sizes on both sides */
	uint32_t slot_count;
	const struct farbus_vm_ops *ops;
	void *vm;
	const struct farbus_vm_dirty *dirty; /* source: these, and FARBUS_VM_SCAN, or one of both */
	uint32_t dirty_count;
	uint32_t flags;	      /* FARBUS_VM_SCAN, FARBUS_VM_ZERO */
	uint32_t downtime_ms; /* longest predicted pause; 0: 300 */
	uint32_t round_max;   /* 0: 64 */
	uint64_t bandwidth;   /* bytes per second while the guest runs; 0: no limit */
	uint32_t timeout_ms;  /* of each answer of the other side; 0: 30000 */
};

struct farbus_vm;

/*
 * Borrows everything in conf until farbus_vm_close(). Errors: -EINVAL no slots or no ops, a slot
 * that is no own region; -ENOSPC more than FARBUS_VM_SLOT_MAX or _DIRTY_MAX, -ENOMEM.
 */
FARBUS_API int farbus_vm_open(struct farbus *farbus, const struct farbus_vm_conf *conf,
			      struct farbus_vm **ret_vm);

/* Takes NULL. Only while no other thread uses vm. */
FARBUS_API struct farbus_vm *farbus_vm_close(struct farbus_vm *vm);

/*
 * Source: moves the running guest to whoever receives under name. Writes *ret_stats always; where
 * says who has the guest. 0: the destination. With an error it is HERE and runs on, or UNSETTLED.
 * Errors: -ETIMEDOUT nobody receives, or no answer; -EHOSTDOWN the destination ended;
 * -ECANCELED by farbus_vm_cancel(), or the destination, or because the guest writes faster than
 * pages travel (raise downtime_ms, or slow it down); -EPROTO the two sides do not fit;
 * -EINVAL no log and no FARBUS_VM_SCAN; -ENOSYS, -EACCES no FARBUS_VM_SCAN on this kernel.
 */
FARBUS_API int farbus_vm_send(struct farbus_vm *vm, const char *name,
			      struct farbus_vm_stats *ret_stats);

/*
 * Destination: waits at most timeout_ms for a source, then takes the guest and resumes it. Writes
 * *ret_stats always. 0: it is HERE. With an error it is THERE (the slots hold parts of it), or UNSETTLED.
 * Errors: -ETIMEDOUT, -EHOSTDOWN the source ended, -ECANCELED by either side, -EEXIST name is taken,
 * -EPROTO, and what state_load returned.
 */
FARBUS_API int farbus_vm_receive(struct farbus_vm *vm, const char *name, int timeout_ms,
				 struct farbus_vm_stats *ret_stats);

/* Any thread: gives a running send or receive up, if it is not too late. The result says whether. */
FARBUS_API void farbus_vm_cancel(struct farbus_vm *vm);

/*
 * Ends UNSETTLED by decision of a person, who has made sure that the other side does not run the
 * guest. here: resumes it on this side. Errors: -EBUSY nothing to settle; what resume returned.
 */
FARBUS_API int farbus_vm_settle(struct farbus_vm *vm, int here);

#ifdef __cplusplus
}
#endif

#endif
