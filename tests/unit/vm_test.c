/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm_test.c -- tests of include/farbus/vm.h with a VMM whose guest is a thread
 *
 * The guest writes pages of two slots in a pseudo-random order and counts. It keeps its position
 * in the state blob and its last values in memory, so that a lost page shows: both images are compared
 * while it is stopped, and again by the values that the state predicts.
 */
#include "runtime/vm/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 2
#define PAGES 256
#define LEN ((size_t)PAGES * 4096)
#define STATE_LEN 200000 /* more than one message */
#define WAIT_MS 20000

enum fail { NOTHING, PAUSE, SAVE, LOAD, SYNC };

struct vmm {
	struct farbus *farbus;
	struct farbus_region *slot[SLOTS];
	uint8_t *memory[SLOTS];
	struct farbus_vm *vm;
	struct farbus_vm_stats stats;
	pthread_t guest;
	_Atomic bool running, stop, imaged;
	uint64_t position;			 /* of the guest: how many writes it made */
	_Atomic uint64_t log[SLOTS][PAGES / 64]; /* what the guest logs of its writes */
	bool log_on;
	_Atomic unsigned lose; /* log nothing: the negative control */
	enum fail fail;
	uint32_t cancel_at; /* round */
	unsigned pauses, resumes;
	uint8_t state[STATE_LEN];
	uint8_t image[SLOTS][LEN]; /* of the paused source */
	int err;
	const char *name;
};

static struct vmm vmm[2];

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15u;
	return x ^ x >> 29;
}

/* The migration reads what this writes, at the same time: that is what dirty logs are for. */
__attribute__((no_sanitize("thread"))) static void guest_write(struct vmm *v)
{
	uint64_t random = mix(v->position + 1), page = random % PAGES;
	unsigned slot = random >> 20 & 1;
	volatile uint64_t *word = (uint64_t *)(void *)(v->memory[slot] + page * 4096);

	word[random >> 32 & 511] = v->position + 1;
	atomic_thread_fence(memory_order_seq_cst);
	if (v->log_on && atomic_load(&v->lose) == 0)
		atomic_fetch_or(&v->log[slot][page / 64], (uint64_t)1 << page % 64);
	v->position++;
}

static void *guest_run(void *arg)
{
	struct vmm *v = arg;

	while (!atomic_load(&v->stop)) {
		for (int i = 0; i < 64; i++)
			guest_write(v);
		sched_yield();
	}
	return NULL;
}

static void guest_start(struct vmm *v)
{
	atomic_store(&v->stop, false);
	assert_int_equal(pthread_create(&v->guest, NULL, guest_run, v), 0);
	atomic_store(&v->running, true);
}

static void guest_stop(struct vmm *v)
{
	if (!atomic_exchange(&v->running, false))
		return;
	atomic_store(&v->stop, true);
	assert_int_equal(pthread_join(v->guest, NULL), 0);
}

/* ---- the VMM ---- */

static int vm_pause(void *vm)
{
	struct vmm *v = vm;

	v->pauses++;
	if (v->fail == PAUSE)
		return -EIO;
	guest_stop(v);
	for (int i = 0; i < SLOTS; i++)
		memcpy(v->image[i], v->memory[i], LEN);
	atomic_store(&v->imaged, true); /* pairs with the load in vm_resume() */
	return 0;
}

static int vm_resume(void *vm)
{
	struct vmm *v = vm;

	v->resumes++;
	assert_false(atomic_load(&vmm[0].running) || atomic_load(&vmm[1].running));
	if (v == &vmm[1] &&
	    atomic_load(
		    &vmm[0].imaged)) /* compared before it runs: every byte, as the source left it */
		for (int i = 0; i < SLOTS; i++)
			v->err |= memcmp(v->memory[i], vmm[0].image[i], LEN) != 0;
	guest_start(v);
	return 0;
}

static int vm_save(void *vm, const void **ret_state, size_t *ret_len)
{
	struct vmm *v = vm;

	if (v->fail == SAVE)
		return -EIO;
	memset(v->state, 0x5a, sizeof(v->state));
	memcpy(v->state + STATE_LEN - 8, &v->position, 8);
	*ret_state = v->state;
	*ret_len = sizeof(v->state);
	return 0;
}

static int vm_load(void *vm, const void *state, size_t len)
{
	struct vmm *v = vm;

	if (v->fail == LOAD || len != STATE_LEN)
		return -EIO;
	memcpy(&v->position, (const uint8_t *)state + STATE_LEN - 8, 8);
	return 0;
}

__attribute__((no_sanitize("thread"))) static void vm_progress(void *vm,
							       const struct farbus_vm_stats *stats)
{
	struct vmm *v = vm;

	if (atomic_load(&v->lose) && stats->rounds == 1)
		v->memory[0][5 * 4096] ^= 0x80; /* after its page was sent */
	if (v->cancel_at && stats->rounds >= v->cancel_at)
		farbus_vm_cancel(v->vm);
}

static const struct farbus_vm_ops ops = { vm_pause, vm_resume, vm_save, vm_load, vm_progress };

static int log_start(void *log)
{
	struct vmm *v = log;

	for (int i = 0; i < SLOTS; i++)
		for (int w = 0; w < PAGES / 64; w++)
			atomic_store(&v->log[i][w], 0);
	return 0;
}

static int log_sync(void *log, uint32_t slot, uint64_t *bitmap)
{
	struct vmm *v = log;

	if (v->fail == SYNC)
		return -EIO;
	for (int w = 0; w < PAGES / 64; w++)
		bitmap[w] |= atomic_exchange(&v->log[slot][w], 0);
	return 0;
}

/* ---- two of them ---- */

static struct farbus_vm_dirty dirty;

static void vmms_open(const char *job, uint32_t flags)
{
	struct farbus_conf open = { .job = job, .size = 2 };

	memset(vmm, 0, sizeof(vmm));
	for (open.rank = 0; open.rank < 2; open.rank++) {
		struct vmm *v = &vmm[open.rank];
		struct farbus_region_info info;
		struct farbus_vm_conf conf = { .slot = v->slot,
					       .slot_count = SLOTS,
					       .ops = &ops,
					       .vm = v,
					       .flags = flags | FARBUS_VM_ZERO,
					       .timeout_ms = WAIT_MS };

		v->name = "vm";
		v->log_on = !(flags & FARBUS_VM_SCAN);
		assert_int_equal(farbus_open(&open, &v->farbus), 0);
		for (int i = 0; i < SLOTS; i++) {
			assert_int_equal(farbus_region_alloc(v->farbus, LEN, 0, &v->slot[i]), 0);
			assert_int_equal(farbus_region_info(v->slot[i], &info), 0);
			v->memory[i] = info.va;
		}
		dirty = (struct farbus_vm_dirty){ log_start, log_sync, NULL, &vmm[0] };
		conf.dirty = &dirty;
		conf.dirty_count = v->log_on;
		assert_int_equal(farbus_vm_open(v->farbus, &conf, &v->vm), 0);
	}
}

static void vmms_close(void)
{
	for (int i = 0; i < 2; i++) {
		guest_stop(&vmm[i]);
		vmm[i].vm = farbus_vm_close(vmm[i].vm);
	}
	for (int i = 0; i < 2; i++)
		if (vmm[i].farbus)
			assert_int_equal(farbus_close(vmm[i].farbus), 0);
}

static void *receive_run(void *arg)
{
	struct vmm *v = arg;

	return (void *)(intptr_t)farbus_vm_receive(v->vm, v->name, WAIT_MS, &v->stats);
}

/* Returns what send gave; *ret_received what receive did. */
static int migrate(int *ret_received)
{
	pthread_t thread;
	void *received;
	int err;

	for (int i = 0; i < 1000; i++) /* so that there is something in any case */
		guest_write(&vmm[0]);
	guest_start(&vmm[0]);
	assert_int_equal(pthread_create(&thread, NULL, receive_run, &vmm[1]), 0);
	err = farbus_vm_send(vmm[0].vm, vmm[0].name, &vmm[0].stats);
	assert_int_equal(pthread_join(thread, &received), 0);
	*ret_received = (int)(intptr_t)received;
	return err;
}

static void arrived(int sent, int received)
{
	assert_int_equal(sent, 0);
	assert_int_equal(received, 0);
	assert_int_equal(vmm[0].stats.where, FARBUS_VM_THERE);
	assert_int_equal(vmm[1].stats.where, FARBUS_VM_HERE);
	assert_false(atomic_load(&vmm[0].running));
	assert_true(atomic_load(&vmm[1].running));
	assert_int_equal(vmm[1].resumes, 1);
	assert_true(atomic_load(&vmm[0].imaged));
	assert_int_equal(vmm[0].resumes, 0);
}

/* It runs on at the source, and the destination never ran it. */
static void stayed(void)
{
	assert_int_equal(vmm[0].stats.where, FARBUS_VM_HERE);
	assert_int_equal(vmm[1].stats.where, FARBUS_VM_THERE);
	assert_true(atomic_load(&vmm[0].running));
	assert_false(atomic_load(&vmm[1].running));
	assert_int_equal(vmm[1].resumes, 0);
}

static void send__guest_logs_its_writes__every_byte_arrives(void **state)
{
	int sent, received;

	(void)state;
	vmms_open("vm_test, log", 0);
	sent = migrate(&received);
	arrived(sent, received);
	assert_int_equal(vmm[1].err, 0);
	assert_true(vmm[0].stats.rounds >= 1);
	assert_true(vmm[0].stats.bytes > 0);
	assert_int_equal(vmm[0].stats.ram_bytes, SLOTS * LEN);
	vmms_close();
}

static void send__scan_finds_writes__every_byte_arrives(void **state)
{
	int sent, received;

	(void)state;
	vmms_open("vm_test, scan", FARBUS_VM_SCAN);
	sent = migrate(&received);
	if (sent == -ENOSYS || sent == -EACCES) {
		vmms_close();
		skip();
	}
	arrived(sent, received);
	assert_int_equal(vmm[1].err, 0);
	vmms_close();
}

/* The negative control: a guest whose writes are not all logged arrives damaged, and it shows. */
static void send__log_that_loses_writes__the_comparison_notices(void **state)
{
	int sent, received;

	(void)state;
	vmms_open("vm_test, lossy", 0);
	atomic_store(&vmm[0].lose, 1);
	log_start(&vmm[0]);
	sent = migrate(&received);
	arrived(sent, received);
	assert_int_equal(vmm[1].err, 1);
	vmms_close();
}

static void send__a_callback_fails__runs_on_at_the_source(void **state)
{
	static const enum fail fails[] = { PAUSE, SAVE, LOAD, SYNC };

	(void)state;
	for (size_t i = 0; i < sizeof(fails) / sizeof(fails[0]); i++) {
		int sent, received;

		vmms_open("vm_test, fails", 0);
		vmm[fails[i] == LOAD].fail = fails[i];
		sent = migrate(&received);
		assert_int_equal(sent, fails[i] == LOAD ? -ECANCELED : -EIO);
		assert_int_equal(received, fails[i] == LOAD ? -EIO : -ECANCELED);
		stayed();
		vmms_close();
	}
}

static void send__canceled_in_a_round__runs_on_and_can_go_later(void **state)
{
	int sent, received;

	(void)state;
	vmms_open("vm_test, cancel", 0);
	vmm[0].cancel_at = 1;
	sent = migrate(&received);
	assert_int_equal(sent, -ECANCELED);
	assert_int_equal(received, -ECANCELED);
	stayed();
	guest_stop(&vmm[0]);
	vmm[0].cancel_at = 0;
	vmm[0].name = vmm[1].name = "vm, again";
	sent = migrate(&received);
	assert_int_equal(sent, 0);
	assert_int_equal(received, 0);
	assert_true(atomic_load(&vmm[1].running));
	vmms_close();
}

static void receive__canceled_while_it_waits__ecanceled(void **state)
{
	(void)state;
	vmms_open("vm_test, wait", 0);
	farbus_vm_cancel(vmm[1].vm);
	assert_int_equal(farbus_vm_receive(vmm[1].vm, "x", WAIT_MS, &vmm[1].stats), -ECANCELED);
	assert_int_equal(vmm[1].stats.where, FARBUS_VM_THERE);
	assert_int_equal(farbus_vm_receive(vmm[1].vm, "y", 1, &vmm[1].stats), -ETIMEDOUT);
	vmms_close();
}

/* ---- a destination that goes away ---- */

/* Takes what comes until the phase is reached, then is gone. */
static void *receive_and_die(void *arg)
{
	struct vmm *v = arg;
	struct farbus_token token;
	struct vm_offer *offer = calloc(1, sizeof(*offer));
	struct mail_message message = { .kind = VM_OFFER,
					.len = (uint32_t)vm_offer_size(SLOTS),
					.data = (const uint8_t *)offer };
	struct mail *mail = NULL;

	offer->magic = VM_OFFER_MAGIC;
	offer->count = SLOTS;
	for (int i = 0; i < SLOTS; i++) {
		offer->slot[i].len = LEN;
		(void)farbus_region_grant(v->slot[i], 0, LEN, FARBUS_R | FARBUS_W, NULL, &token);
		offer->slot[i].token = token;
	}
	v->err = mail_listen(v->farbus, v->name, &mail);
	if (v->err == 0)
		v->err = mail_accept(mail, WAIT_MS);
	if (v->err == 0 && v->fail >= PAUSE)
		v->err = mail_send(mail, &message, WAIT_MS);
	if (v->err == 0 && v->fail >= SAVE) { /* the state comes, and PREPARE */
		struct commit commit;
		struct move_state state = { .data = NULL };

		commit_init(&commit, COMMIT_DEST);
		while (v->err == 0 && commit.state == COMMIT_MOVING) {
			v->err = mail_receive(mail, WAIT_MS, &message);
			if (v->err == 0 && message.kind < MAIL_KIND_USER)
				v->err = move_switch_message(&message, &state, &commit);
		}
		move_state_free(&state);
		message = (struct mail_message){ .kind = 3, .arg = COMMIT_SAYS_READY };
		if (v->err == 0 && v->fail >= LOAD) /* and takes the COMMIT with it */
			v->err = mail_send(mail, &message, WAIT_MS);
		if (v->err == 0 && v->fail >= LOAD)
			v->err = mail_receive(mail, WAIT_MS, &message);
	}
	mail_close(mail);
	free(offer);
	(void)farbus_close(v->farbus);
	return NULL;
}

static void send__destination_dies_at_each_phase__never_two_and_settles(void **state)
{
	(void)state;
	for (enum fail phase = NOTHING; phase <= LOAD; phase++) {
		pthread_t thread;
		int sent;

		vmms_open("vm_test, dies", 0);
		vmm[1].vm = farbus_vm_close(vmm[1].vm);
		vmm[1].fail = phase;
		guest_start(&vmm[0]);
		assert_int_equal(pthread_create(&thread, NULL, receive_and_die, &vmm[1]), 0);
		sent = farbus_vm_send(vmm[0].vm, vmm[0].name, &vmm[0].stats);
		assert_int_equal(pthread_join(thread, NULL), 0);
		vmm[1].farbus = NULL;
		assert_int_equal(vmm[1].err, 0);
		assert_true(sent < 0);
		if (phase < LOAD) {
			assert_int_equal(vmm[0].stats.where, FARBUS_VM_HERE);
			assert_true(atomic_load(&vmm[0].running));
			assert_int_equal(farbus_vm_settle(vmm[0].vm, 1), -EBUSY);
		} else {
			assert_int_equal(vmm[0].stats.where, FARBUS_VM_UNSETTLED);
			assert_false(atomic_load(&vmm[0].running));
			assert_int_equal(farbus_vm_settle(vmm[0].vm, 1), 0);
			assert_true(atomic_load(&vmm[0].running));
		}
		vmms_close();
	}
}

/* ---- values of a peer ---- */

static void offer__hostile__refused(void **state)
{
	static struct vm_offer good, offer;
	const uint64_t len[SLOTS] = { LEN, LEN };
	size_t size = vm_offer_size(SLOTS);

	(void)state;
	good.magic = VM_OFFER_MAGIC;
	good.count = SLOTS;
	good.slot[0].len = good.slot[1].len = LEN;
	assert_int_equal(vm_offer_check(&good, size, len, SLOTS), 0);
	assert_int_equal(vm_offer_check(&good, 0, len, SLOTS), -EPROTO);
	assert_int_equal(vm_offer_check(&good, size - 1, len, SLOTS), -EPROTO);
	assert_int_equal(vm_offer_check(&good, size + 1, len, SLOTS), -EPROTO);
	offer = good;
	offer.magic++;
	assert_int_equal(vm_offer_check(&offer, size, len, SLOTS), -EPROTO);
	offer = good;
	offer.count = UINT32_MAX;
	assert_int_equal(vm_offer_check(&offer, size, len, SLOTS), -EPROTO);
	offer = good;
	offer.slot[1].len = LEN * 2;
	assert_int_equal(vm_offer_check(&offer, size, len, SLOTS), -EPROTO);
	offer = good;
	memset(offer.slot[1].token.text, 'x', sizeof(offer.slot[1].token.text));
	assert_int_equal(vm_offer_check(&offer, size, len, SLOTS), -EPROTO);
}

static void open__bad_conf__refused(void **state)
{
	struct farbus_region *many[FARBUS_VM_SLOT_MAX + 1];
	struct farbus_vm_dirty logs[FARBUS_VM_DIRTY_MAX + 1];
	struct farbus_vm *vm = NULL;

	(void)state;
	vmms_open("vm_test, conf", 0);
	struct farbus_vm_conf good = { .slot = many, .slot_count = 1, .ops = &ops };
	struct farbus_vm_conf conf = good;

	for (int i = 0; i <= FARBUS_VM_SLOT_MAX; i++)
		many[i] = vmm[0].slot[0];
	for (int i = 0; i <= FARBUS_VM_DIRTY_MAX; i++)
		logs[i] = dirty;
	conf.slot_count = FARBUS_VM_SLOT_MAX;
	conf.dirty = logs;
	conf.dirty_count = FARBUS_VM_DIRTY_MAX;
	assert_int_equal(farbus_vm_open(vmm[0].farbus, &conf, &vm), 0);
	farbus_vm_close(vm);
	conf.slot_count++;
	assert_int_equal(farbus_vm_open(vmm[0].farbus, &conf, &vm), -ENOSPC);
	conf.slot_count = 1;
	conf.dirty_count++;
	assert_int_equal(farbus_vm_open(vmm[0].farbus, &conf, &vm), -ENOSPC);
	conf = good;
	conf.slot_count = 0;
	assert_int_equal(farbus_vm_open(vmm[0].farbus, &conf, &vm), -EINVAL);
	conf = good;
	conf.ops = NULL;
	assert_int_equal(farbus_vm_open(vmm[0].farbus, &conf, &vm), -EINVAL);
	conf = good;
	conf.flags = 0x80;
	assert_int_equal(farbus_vm_open(vmm[0].farbus, &conf, &vm), -EINVAL);
	vmms_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(send__guest_logs_its_writes__every_byte_arrives),
		cmocka_unit_test(send__scan_finds_writes__every_byte_arrives),
		cmocka_unit_test(send__log_that_loses_writes__the_comparison_notices),
		cmocka_unit_test(send__a_callback_fails__runs_on_at_the_source),
		cmocka_unit_test(send__canceled_in_a_round__runs_on_and_can_go_later),
		cmocka_unit_test(receive__canceled_while_it_waits__ecanceled),
		cmocka_unit_test(send__destination_dies_at_each_phase__never_two_and_settles),
		cmocka_unit_test(offer__hostile__refused),
		cmocka_unit_test(open__bad_conf__refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
