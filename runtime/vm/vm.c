/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm.c -- the handle of a VM, and what its two sides say to each other
 */
#include "runtime/vm/vm.h"
#include "addrmap/addr.h"
#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(FARBUS_VM_PAGE_SIZE == ADDR_PAGE_SIZE, "a bit of a log is a page of a move");

static int conf_check(const struct farbus_vm_conf *conf)
{
	const struct farbus_vm_ops *ops = conf->ops;

	if (conf->slot_count == 0 || !conf->slot)
		return error_set(-EINVAL, "a VM without memory: give at least one slot");
	if (conf->slot_count > FARBUS_VM_SLOT_MAX)
		return error_set(-ENOSPC, "a VM of %u slots: %d at most", conf->slot_count,
				 FARBUS_VM_SLOT_MAX);
	if (conf->dirty_count > FARBUS_VM_DIRTY_MAX)
		return error_set(-ENOSPC, "%u logs of written pages: %d at most", conf->dirty_count,
				 FARBUS_VM_DIRTY_MAX);
	if (!ops || !ops->pause || !ops->resume || !ops->state_save || !ops->state_load)
		return error_set(-EINVAL, "a VM needs pause, resume, state_save and state_load");
	for (uint32_t i = 0; i < conf->dirty_count; i++)
		if (!conf->dirty[i].sync)
			return error_set(-EINVAL, "log %u of written pages has no sync", i);
	if (conf->flags & ~(FARBUS_VM_SCAN | FARBUS_VM_ZERO))
		return error_set(-EINVAL, "unknown flags 0x%x of a VM", conf->flags);
	return 0;
}

static int slot_open(struct farbus_vm *vm, uint32_t slot)
{
	struct farbus_region_info info;
	int err;

	err = farbus_region_info(vm->conf.slot[slot], &info);
	if (err < 0)
		return err;
	if (info.path != FARBUS_PATH_OWN || !info.va)
		return error_set(-EINVAL, "slot %u is not a region of this instance", slot);
	vm->va[slot] = info.va;
	vm->len[slot] = info.len & ~(uint64_t)(ADDR_PAGE_SIZE - 1);
	if (vm->len[slot] != info.len || (uintptr_t)info.va % ADDR_PAGE_SIZE)
		return error_set(-EINVAL, "slot %u does not consist of whole pages", slot);
	vm->stats.ram_bytes += info.len;
	return 0;
}

int farbus_vm_open(struct farbus *farbus, const struct farbus_vm_conf *conf,
		   struct farbus_vm **ret_vm)
{
	struct farbus_vm *vm;
	int err;

	if (!farbus || !conf)
		return error_set(-EINVAL, "farbus_vm_open() of NULL");
	err = conf_check(conf);
	if (err < 0)
		return err;
	vm = alloc_zero(sizeof(*vm));
	if (!vm)
		return error_set(-ENOMEM, "no memory for a VM");
	vm->farbus = farbus;
	vm->conf = *conf;
	vm->timeout_ms = conf->timeout_ms ? (int)conf->timeout_ms : 30000;
	commit_init(&vm->commit, COMMIT_SOURCE);
	for (uint32_t i = 0; err == 0 && i < conf->slot_count; i++)
		err = slot_open(vm, i);
	if (err < 0) {
		free(vm);
		return err;
	}
	*ret_vm = vm;
	return 0;
}

struct farbus_vm *farbus_vm_close(struct farbus_vm *vm)
{
	free(vm);
	return NULL;
}

void farbus_vm_cancel(struct farbus_vm *vm)
{
	atomic_store_explicit(&vm->canceled, true, memory_order_relaxed);
}

int farbus_vm_settle(struct farbus_vm *vm, int here)
{
	int err;

	err = commit_settle(&vm->commit, here != 0);
	if (err < 0 || !here)
		return err;
	return vm->conf.ops->resume(vm->conf.vm);
}

enum farbus_vm_where vm_where(const struct commit *commit)
{
	if (commit->state == COMMIT_UNSETTLED)
		return FARBUS_VM_UNSETTLED;
	return commit_runnable(commit) ? FARBUS_VM_HERE : FARBUS_VM_THERE;
}

int vm_offer_check(const struct vm_offer *offer, size_t len, const uint64_t *slot_len,
		   uint32_t count)
{
	if (len < vm_offer_size(0) || offer->magic != VM_OFFER_MAGIC)
		return error_set(-EPROTO, "what answered is no farbus VM, or of another version");
	if (offer->count != count || len != vm_offer_size(count))
		return error_set(-EPROTO, "the destination's VM has %u slots, this one %u",
				 offer->count, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct vm_offer_slot *slot = &offer->slot[i];

		if (slot->len != slot_len[i])
			return error_set(
				-EPROTO, "the destination's slot %u has %llu bytes, this one %llu",
				i, (unsigned long long)slot->len, (unsigned long long)slot_len[i]);
		if (!memchr(slot->token.text, 0, sizeof(slot->token.text)))
			return error_set(-EPROTO, "the destination's token of slot %u has no end",
					 i);
	}
	return 0;
}
