/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm_source.c -- the source of a library migration
 *
 * Invariants:
 *   1. A log is asked (and forgets) before the pages that it names are read.
 *   2. The last time it is asked is after pause: what is written later does not exist.
 *   3. If the guest was paused here and is ours after all, it is resumed.
 */
#include "addrmap/dirty.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "runtime/move/rounds.h"
#include "runtime/paging/track.h"
#include "runtime/vm/vm.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DOWNTIME_MS 300
#define ROUND_MAX 64
#define STOP_FIXED_NS NS_PER_MS /* a stop without pages: generous on one host, right between two */
#define CHUNK_PAGES 256		/* between two looks at the cap and at cancel */
#define ALIVE_NS NS_PER_S

struct source_slot {
	struct farbus_region *remote; /* owned */
	struct track *track;	      /* owned; NULL: not asked for */
	uint64_t *bitmap;	      /* owned; what to send in this round */
	uint64_t pages;
};

struct source {
	struct farbus_vm *vm;	  /* borrows */
	struct mail *mail;	  /* owned */
	struct mover *mover;	  /* owned */
	struct source_slot *slot; /* owned */
	uint32_t started;	  /* logs that run */
	bool paused;
	uint64_t start_ns, alive_ns;
	struct rounds rounds;
};

/* ---- logs ---- */

static int logs_start(struct source *source)
{
	const struct farbus_vm_conf *conf = &source->vm->conf;
	int err = 0;

	if (conf->dirty_count == 0 && !(conf->flags & FARBUS_VM_SCAN))
		return error_set(-EINVAL, "nothing says which pages the guest writes: give a log, "
					  "or FARBUS_VM_SCAN");
	for (uint32_t i = 0; err == 0 && i < conf->dirty_count; i++) {
		if (conf->dirty[i].start)
			err = conf->dirty[i].start(conf->dirty[i].log);
		if (err == 0)
			source->started++;
		else
			error_set(err, "log %u of written pages did not start", i);
	}
	for (uint32_t i = 0; err == 0 && conf->flags & FARBUS_VM_SCAN && i < conf->slot_count; i++)
		err = track_open(source->vm->va[i], source->vm->len[i], &source->slot[i].track);
	return err;
}

static void logs_stop(struct source *source)
{
	const struct farbus_vm_conf *conf = &source->vm->conf;

	for (uint32_t i = 0; i < source->started; i++)
		if (conf->dirty[i].stop)
			conf->dirty[i].stop(conf->dirty[i].log);
}

/*
 * What was written since the last call, of all slots, from all logs. With last, it is added to what
 * was found before and is not sent yet.
 */
static int logs_sync(struct source *source, bool last, uint64_t *ret_dirty)
{
	const struct farbus_vm_conf *conf = &source->vm->conf;
	uint64_t dirty = 0;
	int err = 0;

	for (uint32_t i = 0; i < conf->slot_count; i++) {
		struct source_slot *slot = &source->slot[i];
		uint64_t words = dirty_words(slot->pages);

		if (!last)
			memset(slot->bitmap, 0, words * sizeof(uint64_t));
		for (uint32_t k = 0; err == 0 && k < conf->dirty_count; k++) {
			err = conf->dirty[k].sync(conf->dirty[k].log, i, slot->bitmap);
			if (err < 0)
				error_set(err, "log %u of written pages failed", k);
		}
		if (err == 0 && slot->track)
			err = track_scan(slot->track, last, slot->bitmap);
		if (err < 0)
			return err;
		if (slot->pages % 64) /* bits behind the last page mean nothing */
			slot->bitmap[words - 1] &= ((uint64_t)1 << slot->pages % 64) - 1;
		for (uint64_t w = 0; w < words; w++)
			dirty += (uint64_t)__builtin_popcountll(slot->bitmap[w]);
	}
	*ret_dirty = dirty;
	return 0;
}

/* ---- pages ---- */

static int canceled(struct source *source)
{
	if (!atomic_load_explicit(&source->vm->canceled, memory_order_relaxed))
		return 0;
	return error_set(-ECANCELED, "the migration was canceled here");
}

/* The destination waits for pages that it does not see coming: tell it that they do. */
static int alive(struct source *source, uint64_t now)
{
	struct mail_message message = { .kind = VM_ALIVE };

	if (now - source->alive_ns < ALIVE_NS)
		return 0;
	source->alive_ns = now;
	return mail_send(source->mail, &message, source->vm->timeout_ms);
}

/* After each chunk while the guest runs: the cap, the cancel, a sign of life. */
static int between_chunks(struct source *source)
{
	uint64_t now = clock_now_ns();
	uint64_t ns = rounds_pause(move_counters(source->mover).bytes, now - source->start_ns,
				   source->vm->conf.bandwidth);
	int err;

	err = canceled(source);
	if (err == 0)
		err = alive(source, now);
	if (err == 0 && ns > 0) {
		ns = ns < NS_PER_S / 10 ? ns : NS_PER_S / 10;
		struct timespec pause = { .tv_nsec = (long)ns };

		nanosleep(&pause, NULL);
	}
	return err;
}

static int run_send(struct source *source, uint32_t slot, uint64_t page, uint64_t count)
{
	int err = 0;

	while (err == 0 && count > 0) {
		uint64_t n = count < CHUNK_PAGES ? count : CHUNK_PAGES;

		err = move_pages(source->mover, slot, page * FARBUS_VM_PAGE_SIZE,
				 n * FARBUS_VM_PAGE_SIZE);
		page += n;
		count -= n;
		if (err == 0 && !source->paused)
			err = between_chunks(source);
	}
	return err;
}

static int bitmaps_send(struct source *source)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < source->vm->conf.slot_count; i++) {
		const struct source_slot *slot = &source->slot[i];
		uint64_t page, count;

		for (uint64_t from = 0;
		     err == 0 && dirty_run_next(slot->bitmap, slot->pages, from, &page, &count);
		     from = page + count)
			err = run_send(source, i, page, count);
	}
	return err < 0 ? err : move_flush(source->mover, source->vm->timeout_ms);
}

static void stats_update(struct source *source)
{
	struct farbus_vm_stats *stats = &source->vm->stats;
	struct move_counters counters = move_counters(source->mover);

	stats->rounds = source->rounds.round;
	stats->pages = counters.pages;
	stats->zero_pages = counters.zero_pages;
	stats->bytes = counters.bytes;
	stats->predicted_stop_us = source->rounds.predicted_ns / NS_PER_US;
	stats->where = FARBUS_VM_HERE;
	stats->total_us = (clock_now_ns() - source->start_ns) / NS_PER_US;
}

static int rounds_run(struct source *source)
{
	const struct farbus_vm_conf *conf = &source->vm->conf;
	enum rounds_next next = ROUNDS_AGAIN;
	uint64_t dirty = 0;
	int err = 0;

	for (uint32_t i = 0; i < conf->slot_count; i++) {
		memset(source->slot[i].bitmap, 0xff,
		       dirty_words(source->slot[i].pages) * sizeof(uint64_t));
		dirty += source->slot[i].pages;
	}
	while (err == 0 && next == ROUNDS_AGAIN) {
		uint64_t start = clock_now_ns(), sent = dirty;

		err = bitmaps_send(source);
		uint64_t ns = clock_now_ns() - start;

		if (err == 0)
			err = logs_sync(source, false, &dirty);
		if (err < 0)
			return err;
		next = rounds_end(&source->rounds, sent, ns, dirty);
		source->vm->stats.dirty_pages = dirty;
		stats_update(source);
		if (conf->ops->progress)
			conf->ops->progress(conf->vm, &source->vm->stats);
		err = canceled(source);
	}
	if (err == 0 && next == ROUNDS_STUCK)
		err = error_set(
			-ECANCELED,
			"the guest writes faster than pages travel: %llu pages are left after "
			"%u rounds, a stop would take %llu ms; allow more downtime, or slow "
			"the guest down",
			(unsigned long long)dirty, source->rounds.round,
			(unsigned long long)(source->rounds.predicted_ns / NS_PER_MS));
	return err;
}

/* ---- the stop ---- */

static int last_pages(struct source *source)
{
	uint64_t dirty;
	int err;

	err = logs_sync(source, true, &dirty);
	return err < 0 ? err : bitmaps_send(source);
}

static int stop_and_commit(struct source *source)
{
	const struct farbus_vm_conf *conf = &source->vm->conf;
	struct farbus_vm_stats *stats = &source->vm->stats;
	uint64_t start = clock_now_ns(), paused;
	const void *state = NULL;
	size_t len = 0;
	int err;

	error_set(-EIO, "the VMM could not pause the guest");
	err = conf->ops->pause(conf->vm);
	if (err < 0)
		return err;
	source->paused = true;
	paused = clock_now_ns();
	err = last_pages(source);
	stats->copy_us = (clock_now_ns() - paused) / NS_PER_US;
	if (err < 0)
		return err;
	error_set(-EIO, "the VMM could not save the guest's state");
	err = conf->ops->state_save(conf->vm, &state, &len);
	if (err == 0 && len == 0)
		err = error_set(-EINVAL, "the VMM saved a state of 0 bytes");
	if (err == 0)
		err = move_switch_source(source->mail, state, len, source->vm->timeout_ms,
					 &source->vm->commit);
	stats->stop_us = (clock_now_ns() - start) / NS_PER_US;
	return err;
}

/* ---- setting up ---- */

static int slots_import(struct source *source, const struct vm_offer *offer)
{
	struct farbus_vm *vm = source->vm;
	struct move_set set[FARBUS_VM_SLOT_MAX];
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < vm->conf.slot_count; i++) {
		struct source_slot *slot = &source->slot[i];

		err = farbus_region_import(vm->farbus, &offer->slot[i].token, vm->timeout_ms,
					   &slot->remote);
		set[i] = (struct move_set){ .local = vm->va[i],
					    .len = vm->len[i],
					    .remote = slot->remote,
					    .remote_zero = offer->flags & FARBUS_VM_ZERO };
	}
	return err < 0 ? err : move_open(vm->farbus, set, vm->conf.slot_count, &source->mover);
}

static int offer_take(struct source *source)
{
	struct farbus_vm *vm = source->vm;
	struct vm_offer offer;
	struct mail_message message;
	int err;

	err = mail_receive(source->mail, vm->timeout_ms, &message);
	if (err < 0)
		return err;
	if (message.kind != VM_OFFER || message.len > sizeof(offer))
		return error_set(-EPROTO, "the destination says %u instead of an offer",
				 message.kind);
	memcpy(&offer, message.data, message.len);
	err = vm_offer_check(&offer, message.len, vm->len, vm->conf.slot_count);
	return err < 0 ? err : slots_import(source, &offer);
}

static int source_open(struct source *source, const char *name)
{
	struct farbus_vm *vm = source->vm;

	source->slot = alloc_array(vm->conf.slot_count, sizeof(*source->slot));
	if (!source->slot)
		return error_set(-ENOMEM, "no memory for a migration");
	for (uint32_t i = 0; i < vm->conf.slot_count; i++) {
		struct source_slot *slot = &source->slot[i];

		slot->pages = vm->len[i] / FARBUS_VM_PAGE_SIZE;
		slot->bitmap = alloc_array(dirty_words(slot->pages), sizeof(uint64_t));
		if (!slot->bitmap)
			return error_set(-ENOMEM, "no memory for a dirty bitmap");
	}
	return mail_connect(vm->farbus, name, vm->timeout_ms, &source->mail);
}

static void source_close(struct source *source)
{
	logs_stop(source);
	move_close(source->mover);
	for (uint32_t i = 0; source->slot && i < source->vm->conf.slot_count; i++) {
		track_close(source->slot[i].track);
		farbus_region_release(source->slot[i].remote);
		free(source->slot[i].bitmap);
	}
	free(source->slot);
	mail_close(source->mail);
}

/* The guest is ours after a failure: it goes on, and err stays what it was. */
static void guest_keep(struct source *source)
{
	struct farbus_vm *vm = source->vm;
	char text[ERROR_TEXT_MAX];

	strncpy(text, error_text(), sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	if (source->mail && vm->commit.state == COMMIT_MOVING)
		(void)move_switch_abort(source->mail, VM_SLICE_MS, &vm->commit);
	commit_lost(&vm->commit);
	if (source->paused && commit_runnable(&vm->commit))
		(void)vm->conf.ops->resume(vm->conf.vm);
	(void)error_set(-ECANCELED, "%s", text);
}

static int source_run(struct source *source, const char *name)
{
	const struct farbus_vm_conf *conf = &source->vm->conf;
	int err;

	rounds_init(&source->rounds,
		    (conf->downtime_ms ? conf->downtime_ms : DOWNTIME_MS) * NS_PER_MS,
		    STOP_FIXED_NS, conf->round_max ? conf->round_max : ROUND_MAX);
	err = source_open(source, name);
	if (err == 0)
		err = offer_take(source);
	if (err == 0)
		err = logs_start(source);
	if (err == 0)
		err = rounds_run(source);
	if (err == 0)
		err = stop_and_commit(source);
	return err;
}

int farbus_vm_send(struct farbus_vm *vm, const char *name, struct farbus_vm_stats *ret_stats)
{
	struct source source = { .vm = vm, .start_ns = clock_now_ns() };
	int err;

	source.alive_ns = source.start_ns;
	commit_init(&vm->commit, COMMIT_SOURCE);
	err = source_run(&source, name);
	if (source.mover)
		stats_update(&source);
	if (err < 0)
		guest_keep(&source);
	vm->commit.connected = false; /* of an unsettled move: a person decides */
	source_close(&source);
	atomic_store_explicit(&vm->canceled, false, memory_order_relaxed);
	vm->stats.where = vm_where(&vm->commit);
	vm->stats.total_us = (clock_now_ns() - source.start_ns) / NS_PER_US;
	*ret_stats = vm->stats;
	return err;
}
