/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm_dest.c -- the destination of a library migration
 *
 * Invariant: the guest is resumed only after the commit made it ours.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "runtime/vm/vm.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct dest {
	struct farbus_vm *vm;	/* borrows */
	struct mail *mail;	/* owned */
	struct vm_offer *offer; /* owned; its first granted slots have tokens */
	uint32_t granted;
	struct move_state state;
};

static int offer_make(struct dest *dest)
{
	const struct farbus_vm_conf *conf = &dest->vm->conf;
	struct vm_offer *offer = alloc_zero(sizeof(*offer));
	int err = 0;

	if (!offer)
		return error_set(-ENOMEM, "no memory for an offer");
	dest->offer = offer;
	offer->magic = VM_OFFER_MAGIC;
	offer->count = conf->slot_count;
	offer->flags = conf->flags & FARBUS_VM_ZERO;
	for (uint32_t i = 0; err == 0 && i < conf->slot_count; i++) {
		offer->slot[i].len = dest->vm->len[i];
		err = farbus_region_grant(conf->slot[i], 0, dest->vm->len[i], FARBUS_R | FARBUS_W,
					  NULL, &offer->slot[i].token);
		if (err == 0)
			dest->granted++;
	}
	return err;
}

/* From here on nobody else writes the guest's memory; waits only for a source that still answers. */
static void offer_revoke(struct dest *dest)
{
	for (uint32_t i = 0; i < dest->granted; i++)
		(void)farbus_region_revoke(dest->vm->farbus, &dest->offer->slot[i].token, 0,
					   dest->vm->timeout_ms);
	free(dest->offer);
}

/* Waits in slices, so that a cancel is noticed. left_ms counts down. */
static int canceled(struct dest *dest)
{
	if (!atomic_load_explicit(&dest->vm->canceled, memory_order_relaxed))
		return 0;
	return error_set(-ECANCELED, "the migration was canceled here");
}

static int source_wait(struct dest *dest, int timeout_ms)
{
	int err;

	for (int left = timeout_ms;; left -= VM_SLICE_MS) {
		err = canceled(dest);
		if (err < 0)
			return err;
		err = mail_accept(dest->mail, left < VM_SLICE_MS ? left : VM_SLICE_MS);
		if (err != -ETIMEDOUT)
			return err;
		if (left <= VM_SLICE_MS)
			return error_set(err, "no source came for %d ms", timeout_ms);
	}
}

static int message_wait(struct dest *dest, struct mail_message *ret_message)
{
	int err;

	for (int left = dest->vm->timeout_ms;; left -= VM_SLICE_MS) {
		err = canceled(dest);
		if (err < 0)
			return err;
		err = mail_receive(dest->mail, VM_SLICE_MS, ret_message);
		if (err != -ETIMEDOUT || left <= VM_SLICE_MS)
			return err;
	}
}

static int offer_send(struct dest *dest)
{
	struct mail_message message = { .kind = VM_OFFER,
					.len = (uint32_t)vm_offer_size(dest->offer->count),
					.data = (const uint8_t *)dest->offer };

	return mail_send(dest->mail, &message, dest->vm->timeout_ms);
}

/* Until the state is whole, or the attempt has ended. */
static int pages_come(struct dest *dest)
{
	struct commit *commit = &dest->vm->commit;
	struct mail_message message;
	int err = 0;

	while (err == 0 && commit->state == COMMIT_MOVING) {
		err = message_wait(dest, &message);
		if (err < 0)
			return err;
		if (message.kind < MAIL_KIND_USER)
			err = move_switch_message(&message, &dest->state, commit);
		else if (message.kind != VM_ALIVE)
			err = error_set(-EPROTO, "the source says %u, which means nothing",
					message.kind);
	}
	if (err == 0 && commit->state != COMMIT_PREPARING)
		err = error_set(-ECANCELED, "the source gave the migration up");
	return err;
}

static int guest_take(struct dest *dest)
{
	const struct farbus_vm_conf *conf = &dest->vm->conf;
	int loaded, err;

	error_set(-EIO, "the VMM could not load the guest's state");
	loaded = conf->ops->state_load(conf->vm, dest->state.data, dest->state.have);
	err = move_switch_dest(dest->mail, loaded, dest->vm->timeout_ms, &dest->vm->commit);
	if (loaded < 0)
		return error_set(loaded, "the VMM could not load the guest's state");
	if (err < 0)
		return err;
	return conf->ops->resume(conf->vm);
}

static int dest_run(struct dest *dest, const char *name, int timeout_ms)
{
	int err;

	err = offer_make(dest);
	if (err == 0)
		err = mail_listen(dest->vm->farbus, name, &dest->mail);
	if (err == 0)
		err = source_wait(dest, timeout_ms);
	if (err == 0)
		err = offer_send(dest);
	if (err == 0)
		err = pages_come(dest);
	if (err < 0) {
		if (dest->mail && dest->vm->commit.state < COMMIT_READY)
			(void)move_switch_abort(dest->mail, VM_SLICE_MS, &dest->vm->commit);
		commit_lost(&dest->vm->commit);
		return err;
	}
	return guest_take(dest);
}

int farbus_vm_receive(struct farbus_vm *vm, const char *name, int timeout_ms,
		      struct farbus_vm_stats *ret_stats)
{
	struct dest dest = { .vm = vm };
	uint64_t start = clock_now_ns();
	int err;

	commit_init(&vm->commit, COMMIT_DEST);
	err = dest_run(&dest, name, timeout_ms < 0 ? vm->timeout_ms : timeout_ms);
	vm->commit.connected = false; /* of an unsettled move: a person decides */
	move_state_free(&dest.state);
	offer_revoke(&dest);
	mail_close(dest.mail);
	atomic_store_explicit(&vm->canceled, false, memory_order_relaxed);
	vm->stats.where = vm_where(&vm->commit);
	vm->stats.total_us = (clock_now_ns() - start) / NS_PER_US;
	*ret_stats = vm->stats;
	return err;
}
