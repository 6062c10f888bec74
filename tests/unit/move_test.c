/* SPDX-License-Identifier: BSD-3-Clause */
/* move_test.c -- tests of runtime/move/move.h and mail.h */
#include "tests/unit/move_common.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEN ((uint64_t)SCENE_PAGES * SCENE_PAGE)

static struct mover *mover_of(struct scene *scene, bool remote_zero)
{
	struct move_set set = { .local = scene->memory[SRC],
				.len = LEN,
				.remote = scene->remote,
				.remote_zero = remote_zero };
	struct mover *mover = NULL;

	assert_int_equal(move_open(scene->farbus[SRC], &set, 1, &mover), 0);
	return mover;
}

static void fill(uint8_t *memory, uint64_t page, uint64_t count, uint8_t salt)
{
	for (uint64_t i = page * SCENE_PAGE; i < (page + count) * SCENE_PAGE; i++)
		memory[i] = (uint8_t)(i * 31 + i / SCENE_PAGE + salt) | 1;
}

static void same(const struct scene *scene)
{
	assert_memory_equal(scene->memory[SRC], scene->memory[DST], LEN);
}

static void pages__neighbours__one_write_and_zeros_not_sent(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, "move_test, pages");
	struct mover *mover = mover_of(&scene, true);

	fill(scene.memory[SRC], 0, 8, 1);
	fill(scene.memory[SRC], 16, 1, 2);
	scene.memory[SRC][40 * SCENE_PAGE + 4095] = 9; /* one byte, the last of its page */
	for (uint64_t page = 0; page < SCENE_PAGES; page++)
		assert_int_equal(move_pages(mover, 0, page * SCENE_PAGE, SCENE_PAGE), 0);
	assert_int_equal(move_flush(mover, SCENE_WAIT_MS), 0);
	same(&scene);
	assert_int_equal(move_counters(mover).pages, SCENE_PAGES);
	assert_int_equal(move_counters(mover).zero_pages, SCENE_PAGES - 10);
	assert_int_equal(move_counters(mover).bytes, 10 * SCENE_PAGE);
	assert_int_equal(move_counters(mover).runs, 3);

	/* A page that was sent and is zero now has to be sent as such. */
	memset(scene.memory[SRC] + 16 * SCENE_PAGE, 0, SCENE_PAGE);
	assert_int_equal(move_pages(mover, 0, 16 * SCENE_PAGE, SCENE_PAGE), 0);
	assert_int_equal(move_zero(mover, 0, 0, 2 * SCENE_PAGE), 0);
	memset(scene.memory[SRC], 0, 2 * SCENE_PAGE);
	assert_int_equal(move_flush(mover, SCENE_WAIT_MS), 0);
	same(&scene);
	move_close(mover);
	scene_close(&scene);
}

static void pages__destination_not_zero__zeros_are_sent(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, "move_test, dirty");
	fill(scene.memory[DST], 0, SCENE_PAGES, 3);
	struct mover *mover = mover_of(&scene, false);

	assert_int_equal(move_pages(mover, 0, 0, LEN / 2), 0);
	assert_int_equal(move_zero(mover, 0, LEN / 2, LEN / 2), 0);
	assert_int_equal(move_flush(mover, SCENE_WAIT_MS), 0);
	same(&scene);
	assert_int_equal(move_counters(mover).zero_pages, 0);
	move_close(mover);
	scene_close(&scene);
}

static void bytes__mixed_with_pages__in_the_order_they_were_named(void **state)
{
	uint8_t page[SCENE_PAGE];
	struct scene scene;

	(void)state;
	scene_open(&scene, "move_test, bytes");
	struct mover *mover = mover_of(&scene, true);

	fill(scene.memory[SRC], 0, 4, 5);
	memset(page, 0x77, sizeof(page));
	assert_int_equal(move_pages(mover, 0, 0, 4 * SCENE_PAGE), 0);
	assert_int_equal(move_bytes(mover, 0, SCENE_PAGE, page, SCENE_PAGE), 0);
	assert_int_equal(move_pages(mover, 0, 0, SCENE_PAGE), 0);
	assert_int_equal(move_zero(mover, 0, 0, SCENE_PAGE), 0);
	assert_int_equal(move_flush(mover, SCENE_WAIT_MS), 0);
	memcpy(scene.memory[SRC] + SCENE_PAGE, page, sizeof(page));
	memset(scene.memory[SRC], 0, SCENE_PAGE);
	same(&scene);
	move_close(mover);
	scene_close(&scene);
}

static void pages__outside_or_in_parts__refused(void **state)
{
	static const struct {
		uint32_t set;
		uint64_t off, len;
		int err;
	} row[] = {
		{ 1, 0, SCENE_PAGE, -ERANGE },
		{ UINT32_MAX, 0, SCENE_PAGE, -ERANGE },
		{ 0, LEN, SCENE_PAGE, -ERANGE },
		{ 0, LEN - SCENE_PAGE, 2 * SCENE_PAGE, -ERANGE },
		{ 0, UINT64_MAX - SCENE_PAGE + 1, SCENE_PAGE, -ERANGE },
		{ 0, SCENE_PAGE, UINT64_MAX - SCENE_PAGE + 1, -ERANGE },
		{ 0, 1, SCENE_PAGE, -EINVAL },
		{ 0, 0, 1, -EINVAL },
	};
	struct scene scene;

	(void)state;
	scene_open(&scene, "move_test, range");
	struct mover *mover = mover_of(&scene, true);

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(move_pages(mover, row[i].set, row[i].off, row[i].len), row[i].err);
		assert_int_equal(move_zero(mover, row[i].set, row[i].off, row[i].len), row[i].err);
		assert_int_equal(
			move_bytes(mover, row[i].set, row[i].off, scene.memory[SRC], row[i].len),
			row[i].err);
	}
	move_close(mover);
	scene_close(&scene);
}

static void open__sets_that_do_not_fit__refused(void **state)
{
	static struct move_set many[MOVE_SET_MAX + 1];
	struct mover *mover = NULL;
	struct scene scene;

	(void)state;
	scene_open(&scene, "move_test, sets");
	struct move_set set = { scene.memory[SRC], LEN, scene.remote, true };

	for (size_t i = 0; i < MOVE_SET_MAX + 1; i++)
		many[i] = set;
	assert_int_equal(move_open(scene.farbus[SRC], many, 0, &mover), -EINVAL);
	assert_int_equal(move_open(scene.farbus[SRC], many, MOVE_SET_MAX + 1, &mover), -ENOSPC);
	assert_int_equal(move_open(scene.farbus[SRC], many, MOVE_SET_MAX, &mover), 0);
	move_close(mover);
	set.len += SCENE_PAGE;
	assert_int_equal(move_open(scene.farbus[SRC], &set, 1, &mover), -ERANGE);
	set.len = 5;
	assert_int_equal(move_open(scene.farbus[SRC], &set, 1, &mover), -EINVAL);
	scene_close(&scene);
}

/* ---- the switch-over ---- */

static uint8_t *blob_new(uint64_t len)
{
	uint8_t *blob = malloc(len);

	assert_non_null(blob);
	for (uint64_t i = 0; i < len; i++)
		blob[i] = (uint8_t)(i * 7 + (i >> 8));
	return blob;
}

static void switch__state_larger_than_messages__arrives_and_runs_there(void **state)
{
	static const uint64_t lens[] = { 1, MAIL_DATA_MAX - 16, MAIL_DATA_MAX, 1000003 };

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		uint8_t *blob = blob_new(lens[i]);
		struct scene scene;

		scene_open(&scene, "move_test, switch");
		scene_mail(&scene, "switch");
		scene_dest_start(&scene);
		assert_int_equal(move_switch_source(scene.mail[SRC], blob, lens[i], SCENE_WAIT_MS,
						    &scene.commit[SRC]),
				 0);
		scene_dest_join(&scene);
		assert_int_equal(scene.dest_err, 0);
		assert_int_equal(scene.commit[SRC].state, COMMIT_THERE);
		assert_int_equal(scene.commit[DST].state, COMMIT_HERE);
		assert_int_equal(scene.state.len, lens[i]);
		assert_memory_equal(scene.state.data, blob, lens[i]);
		scene_close(&scene);
		free(blob);
	}
}

static void switch__cannot_be_loaded__source_runs_on(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, "move_test, refused");
	scene_mail(&scene, "refused");
	scene.status = -EIO;
	scene_dest_start(&scene);
	assert_int_equal(
		move_switch_source(scene.mail[SRC], "state", 5, SCENE_WAIT_MS, &scene.commit[SRC]),
		-ECANCELED);
	scene_dest_join(&scene);
	assert_int_equal(scene.commit[SRC].state, COMMIT_HERE);
	assert_int_equal(scene.commit[DST].state, COMMIT_THERE);
	scene_close(&scene);
}

static void switch__destination_silent__source_runs_on_and_tells_it(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, "move_test, silent");
	scene_mail(&scene, "silent");
	assert_int_equal(
		move_switch_source(scene.mail[SRC], "state", 5, SCENE_SHORT_MS, &scene.commit[SRC]),
		-ETIMEDOUT);
	assert_int_equal(scene.commit[SRC].state, COMMIT_HERE);
	scene_close(&scene);
}

static void switch__destination_dies_before_ready__source_runs_on(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, "move_test, dies");
	scene_mail(&scene, "dies");
	scene.mail[DST] = mail_close(scene.mail[DST]);
	assert_int_equal(farbus_close(scene.farbus[DST]), 0);
	scene.farbus[DST] = NULL;
	assert_true(move_switch_source(scene.mail[SRC], "state", 5, SCENE_WAIT_MS,
				       &scene.commit[SRC]) < 0);
	assert_int_equal(scene.commit[SRC].state, COMMIT_HERE);
	scene_close(&scene);
}

/* The destination says READY, and no more: what a cut at the commit looks like from the source. */
static void *ready_and_silent(void *arg)
{
	struct scene *scene = arg;

	scene->dest_err = scene_dest_prepare(scene);
	if (scene->dest_err == 0) /* no time to wait for COMMIT */
		scene->dest_err = move_switch_dest(scene->mail[DST], 0, 0, &scene->commit[DST]);
	return NULL;
}

static void *settle_dest(void *arg)
{
	struct scene *scene = arg;

	scene->dest_err = move_switch_settle(scene->mail[DST], SCENE_WAIT_MS, &scene->commit[DST]);
	return NULL;
}

/* Cuts at the commit until both sides are unsettled (the COMMIT may come within the moment). */
static void cut_at_commit(struct scene *scene)
{
	struct commit_message message;

	assert_int_equal(pthread_create(&scene->thread, NULL, ready_and_silent, scene), 0);
	(void)move_switch_source(scene->mail[SRC], "state", 5, SCENE_SHORT_MS, &scene->commit[SRC]);
	scene_dest_join(scene);
	if (scene->commit[SRC].state == COMMIT_UNSETTLED)
		return;
	/* It was faster than the cut: as if DONE and COMMIT had been lost. */
	commit_init(&scene->commit[SRC], COMMIT_SOURCE);
	assert_int_equal(commit_prepare(&scene->commit[SRC], &message), 0);
	message.kind = COMMIT_SAYS_READY;
	assert_int_equal(commit_receive(&scene->commit[SRC], &message, &message), 0);
	commit_lost(&scene->commit[SRC]);
	scene->commit[DST].state = COMMIT_UNSETTLED;
	commit_lost(&scene->commit[DST]);
}

static void settle__cut_at_the_commit__a_new_connection_ends_it(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, "move_test, cut");
	scene_mail(&scene, "cut");
	cut_at_commit(&scene);
	assert_false(commit_runnable(&scene.commit[SRC]));
	assert_false(commit_runnable(&scene.commit[DST]));
	for (int i = SRC; i <= DST; i++)
		scene.mail[i] = mail_close(scene.mail[i]);
	scene_mail(&scene, "cut again");
	assert_int_equal(pthread_create(&scene.thread, NULL, settle_dest, &scene), 0);
	assert_int_equal(move_switch_settle(scene.mail[SRC], SCENE_WAIT_MS, &scene.commit[SRC]), 0);
	scene_dest_join(&scene);
	assert_int_equal(scene.dest_err, 0);
	assert_int_equal(scene.commit[SRC].state, COMMIT_THERE);
	assert_int_equal(scene.commit[DST].state, COMMIT_HERE);
	scene_close(&scene);
}

/* ---- a peer that writes what it likes ---- */

static void say(struct scene *scene, uint32_t kind, uint32_t arg, const void *data, uint32_t len)
{
	struct mail_message message = { kind, arg, len, data };

	assert_int_equal(mail_send(scene->mail[SRC], &message, SCENE_WAIT_MS), 0);
}

struct piece {
	uint64_t off, total;
	uint8_t bytes[16];
};

static void message__hostile_pieces__refused_and_nothing_runs(void **state)
{
	static const struct {
		struct piece first, second;
		uint32_t len;
		int err;
	} row[] = {
		{ { 0, 0, { 0 } }, { 0, 0, { 0 } }, 32, -EMSGSIZE },
		{ { 0, MOVE_STATE_MAX + 1, { 0 } }, { 0, 0, { 0 } }, 32, -EMSGSIZE },
		{ { 0, 15, { 0 } }, { 0, 0, { 0 } }, 32, -EPROTO },
		{ { 1, 64, { 0 } }, { 0, 0, { 0 } }, 32, -EPROTO },
		{ { UINT64_MAX, 64, { 0 } }, { 0, 0, { 0 } }, 32, -EPROTO },
		{ { 0, 64, { 0 } }, { 0, 64, { 0 } }, 32, -EPROTO },
		{ { 0, 64, { 0 } }, { 16, 65, { 0 } }, 32, -EPROTO },
		{ { 0, 64, { 0 } }, { 32, 64, { 0 } }, 32, -EPROTO },
		{ { 0, 64, { 0 } }, { 0, 0, { 0 } }, 16, -EPROTO },
		{ { 0, 64, { 0 } }, { 0, 0, { 0 } }, 0, -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct mail_message first = { 2, 0, row[i].len, (const uint8_t *)&row[i].first };
		struct mail_message second = { 2, 0, row[i].len, (const uint8_t *)&row[i].second };
		struct move_state in = { .data = NULL };
		struct commit commit;
		int err;

		commit_init(&commit, COMMIT_DEST);
		err = move_switch_message(&first, &in, &commit);
		if (err == 0)
			err = move_switch_message(&second, &in, &commit);
		assert_int_equal(err, row[i].err);
		assert_false(commit_runnable(&commit));
		move_state_free(&in);
	}
}

static void message__prepare_before_the_state_is_whole__eproto(void **state)
{
	static const struct piece piece = { 0, 64, { 0 } };
	struct scene scene;

	(void)state;
	scene_open(&scene, "move_test, early");
	scene_mail(&scene, "early");
	scene_dest_start(&scene);
	say(&scene, 2, 0, &piece, sizeof(piece));
	say(&scene, 3, COMMIT_SAYS_PREPARE, NULL, 0);
	scene_dest_join(&scene);
	assert_int_equal(scene.dest_err, -EPROTO);
	assert_int_equal(scene.commit[DST].state, COMMIT_MOVING);
	scene_close(&scene);
}

/* The box is shared memory: garbage in its header and sequence number ends the connection. */
static void receive__garbage_in_the_box__eproto_for_good(void **state)
{
	static const uint64_t garbage[] = { 2, 3, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct mail_message message;
		struct farbus_token token;
		struct farbus_region *box;
		struct scene scene;

		scene_open(&scene, "move_test, garbage");
		assert_int_equal(mail_listen(scene.farbus[DST], "garbage", &scene.mail[DST]), 0);
		assert_int_equal(farbus_lookup(scene.farbus[SRC], "garbage", 0, &token), 0);
		assert_int_equal(
			farbus_region_import(scene.farbus[SRC], &token, SCENE_WAIT_MS, &box), 0);
		assert_int_equal(farbus_signal(box, 0, garbage[i], FARBUS_SWAP), 0);
		assert_int_equal(mail_accept(scene.mail[DST], SCENE_WAIT_MS), -EPROTO);
		assert_int_equal(mail_receive(scene.mail[DST], SCENE_WAIT_MS, &message), -EPROTO);
		scene_close(&scene);
	}
}

static void connect__second_source__ebusy_and_the_first_goes_on(void **state)
{
	struct mail *second = NULL;
	struct mail_message message;
	struct scene scene;

	(void)state;
	scene_open(&scene, "move_test, second");
	scene_mail(&scene, "second");
	assert_int_equal(mail_connect(scene.farbus[SRC], "second", SCENE_WAIT_MS, &second), -EBUSY);
	say(&scene, MAIL_KIND_USER, 7, "x", 1);
	assert_int_equal(mail_receive(scene.mail[DST], SCENE_WAIT_MS, &message), 0);
	assert_int_equal(message.arg, 7);
	assert_int_equal(mail_receive(scene.mail[DST], 0, &message), -ETIMEDOUT);
	scene_close(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages__neighbours__one_write_and_zeros_not_sent),
		cmocka_unit_test(pages__destination_not_zero__zeros_are_sent),
		cmocka_unit_test(bytes__mixed_with_pages__in_the_order_they_were_named),
		cmocka_unit_test(pages__outside_or_in_parts__refused),
		cmocka_unit_test(open__sets_that_do_not_fit__refused),
		cmocka_unit_test(switch__state_larger_than_messages__arrives_and_runs_there),
		cmocka_unit_test(switch__cannot_be_loaded__source_runs_on),
		cmocka_unit_test(switch__destination_silent__source_runs_on_and_tells_it),
		cmocka_unit_test(switch__destination_dies_before_ready__source_runs_on),
		cmocka_unit_test(settle__cut_at_the_commit__a_new_connection_ends_it),
		cmocka_unit_test(message__hostile_pieces__refused_and_nothing_runs),
		cmocka_unit_test(message__prepare_before_the_state_is_whole__eproto),
		cmocka_unit_test(receive__garbage_in_the_box__eproto_for_good),
		cmocka_unit_test(connect__second_source__ebusy_and_the_first_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
