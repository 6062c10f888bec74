/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm.h -- what the two sides of a library migration share (internal to runtime/vm)
 *
 * After the mailbox is connected the destination sends one OFFER: what its memory is and the tokens
 * for it. The source sends ALIVE while pages travel, then the switch-over (runtime/move/move.h).
 */
#ifndef RUNTIME_VM_VM_H
#define RUNTIME_VM_VM_H

#include "runtime/move/move.h"
#include <farbus/vm.h>
#include <stdatomic.h>

#define VM_OFFER MAIL_KIND_USER
#define VM_ALIVE (MAIL_KIND_USER + 1)
#define VM_OFFER_MAGIC 0x31464f4d56424641u
#define VM_SLICE_MS 100 /* how soon a cancel is noticed in a wait */

struct vm_offer_slot {
	uint64_t len;
	struct farbus_token token;
};

struct vm_offer {
	uint64_t magic;
	uint32_t count;
	uint32_t flags; /* FARBUS_VM_ZERO */
	struct vm_offer_slot slot[FARBUS_VM_SLOT_MAX];
};
_Static_assert(sizeof(struct vm_offer) <= MAIL_DATA_MAX, "one message");
_Static_assert(sizeof(struct vm_offer_slot) == 136, "the peer sees it");

struct farbus_vm {
	struct farbus *farbus; /* borrows */
	struct farbus_vm_conf conf;
	uint64_t len[FARBUS_VM_SLOT_MAX]; /* whole pages */
	uint8_t *va[FARBUS_VM_SLOT_MAX];  /* borrows the slots' memory */
	int timeout_ms;
	_Atomic bool canceled; /* set by any thread; only looked at: no partner */
	struct commit commit;
	struct farbus_vm_stats stats;
};

static inline size_t vm_offer_size(uint32_t count)
{
	return offsetof(struct vm_offer, slot) + count * sizeof(struct vm_offer_slot);
}

/*
 * A peer's offer for these slots: as many, as long, tokens that end.
 * Errors: -EPROTO, with a text that says what differs.
 */
int vm_offer_check(const struct vm_offer *offer, size_t len, const uint64_t *slot_len,
		   uint32_t count);

enum farbus_vm_where vm_where(const struct commit *commit);

#endif
