/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * move_commit_test.c -- tests of runtime/move/commit.h
 *
 * One test walks every reachable state of both sides and the connection between them, with every
 * order of messages, cuts, new connections and failures, and looks at the promises in each.
 */
#include "runtime/move/commit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#define QUEUE_MAX 6
#define WORLD_MAX 20000

/* Everything that there is: both sides and what is under way. */
struct world {
	struct commit side[2];
	struct commit_message queue[2][QUEUE_MAX]; /* to side i */
	unsigned queued[2];
};

enum event { DELIVER_0, DELIVER_1, PREPARE, LOADED, LOAD_FAILS, ABORT_0, ABORT_1, CUT, CONNECT };
#define EVENT_COUNT (CONNECT + 1)

static struct world seen[WORLD_MAX];
static unsigned seen_count;

static void world_new(struct world *world)
{
	memset(world, 0, sizeof(*world));
	commit_init(&world->side[0], COMMIT_SOURCE);
	commit_init(&world->side[1], COMMIT_DEST);
}

static void send_to(struct world *world, unsigned to, const struct commit_message *message)
{
	if (message->kind == 0)
		return;
	assert_true(world->side[0].connected);
	assert_true(world->queued[to] < QUEUE_MAX);
	world->queue[to][world->queued[to]++] = *message;
}

static int deliver(struct world *world, unsigned to)
{
	struct commit_message message = world->queue[to][0], answer;
	int err;

	if (world->queued[to] == 0)
		return -EBUSY;
	world->queued[to]--;
	memmove(&world->queue[to][0], &world->queue[to][1], world->queued[to] * sizeof(message));
	memset(&world->queue[to][world->queued[to]], 0, sizeof(message));
	err = commit_receive(&world->side[to], &message, &answer);
	assert_int_equal(err, 0); /* honest sides never surprise one another */
	send_to(world, 1 - to, &answer);
	return 0;
}

static int cut(struct world *world)
{
	if (!world->side[0].connected)
		return -EBUSY;
	commit_lost(&world->side[0]);
	commit_lost(&world->side[1]);
	memset(world->queue, 0, sizeof(world->queue));
	memset(world->queued, 0, sizeof(world->queued));
	return 0;
}

static int connect_again(struct world *world)
{
	struct commit_message message[2];

	if (world->side[0].connected)
		return -EBUSY;
	commit_reconnected(&world->side[0], &message[0]);
	commit_reconnected(&world->side[1], &message[1]);
	send_to(world, 1, &message[0]);
	send_to(world, 0, &message[1]);
	return 0;
}

/* -EBUSY: it cannot happen now. */
static int step(struct world *world, enum event event)
{
	struct commit_message message = { .kind = 0 };
	unsigned from = event == LOADED || event == LOAD_FAILS || event == ABORT_1;
	int err;

	switch (event) {
	case DELIVER_0:
	case DELIVER_1:
		return deliver(world, event == DELIVER_1);
	case PREPARE:
		err = commit_prepare(&world->side[0], &message);
		break;
	case LOADED:
	case LOAD_FAILS:
		err = commit_loaded(&world->side[1], event == LOADED ? 0 : -EIO, &message);
		break;
	case ABORT_0:
	case ABORT_1:
		err = commit_abort(&world->side[from], &message);
		break;
	case CUT:
		return cut(world);
	default:
		return connect_again(world);
	}
	if (err == 0)
		send_to(world, 1 - from, &message);
	return err;
}

static bool is_new(const struct world *world)
{
	for (unsigned i = 0; i < seen_count; i++)
		if (memcmp(&seen[i], world, sizeof(*world)) == 0)
			return false;
	return true;
}

/* A connection that holds, and a load that works, end every move with exactly one side. */
static void ends_settled(struct world world)
{
	step(&world, CONNECT);
	step(&world, LOADED);
	while (deliver(&world, 0) == 0 || deliver(&world, 1) == 0)
		step(&world, LOADED);
	if (!commit_ended(&world.side[0]) || !commit_ended(&world.side[1])) {
		assert_int_equal(world.side[0].state, COMMIT_MOVING);
		return;
	}
	assert_int_equal(commit_runnable(&world.side[0]) + commit_runnable(&world.side[1]), 1);
}

static void any_order__messages_cuts_and_failures__never_two_and_always_settled(void **state)
{
	unsigned unsettled = 0;

	(void)state;
	world_new(&seen[0]);
	seen_count = 1;
	for (unsigned i = 0; i < seen_count; i++) {
		assert_false(commit_runnable(&seen[i].side[0]) &&
			     commit_runnable(&seen[i].side[1]));
		unsettled += seen[i].side[0].state == COMMIT_UNSETTLED;
		ends_settled(seen[i]);
		for (enum event event = DELIVER_0; event < EVENT_COUNT; event++) {
			struct world next = seen[i];

			if (step(&next, event) < 0 || !is_new(&next))
				continue;
			assert_true(seen_count < WORLD_MAX);
			seen[seen_count++] = next;
		}
	}
	print_message("%u states, %u unsettled\n", seen_count, unsettled);
	assert_true(seen_count > 40);
	assert_true(unsettled > 3);
}

static void run_to_unsettled(struct world *world)
{
	world_new(world);
	assert_int_equal(step(world, PREPARE), 0);
	assert_int_equal(step(world, DELIVER_1), 0);
	assert_int_equal(step(world, LOADED), 0);
	assert_int_equal(step(world, DELIVER_0), 0); /* COMMIT is under way */
	assert_int_equal(step(world, CUT), 0);
	assert_int_equal(world->side[0].state, COMMIT_UNSETTLED);
	assert_int_equal(world->side[1].state, COMMIT_UNSETTLED);
}

static void settle__cut_at_the_commit__one_call_and_the_peer_learns_it(void **state)
{
	for (int side = 0; side < 2; side++) {
		struct world world;

		run_to_unsettled(&world);
		assert_false(commit_runnable(&world.side[0]));
		assert_false(commit_runnable(&world.side[1]));
		assert_int_equal(commit_settle(&world.side[side], true), 0);
		assert_true(commit_runnable(&world.side[side]));
		assert_int_equal(commit_settle(&world.side[side], true), -EBUSY);
		assert_int_equal(step(&world, CONNECT), 0);
		while (deliver(&world, 0) == 0 || deliver(&world, 1) == 0)
			;
		assert_int_equal(world.side[1 - side].state, COMMIT_THERE);
	}
	(void)state;
}

static void settle__while_connected_or_moving__ebusy(void **state)
{
	struct world world;

	(void)state;
	world_new(&world);
	assert_int_equal(commit_settle(&world.side[0], true), -EBUSY);
	run_to_unsettled(&world);
	assert_int_equal(step(&world, CONNECT), 0);
	assert_int_equal(commit_settle(&world.side[0], true), -EBUSY);
}

static void receive__both_were_settled_here__eproto(void **state)
{
	struct commit_message message = { .kind = COMMIT_SAYS_STATE, .state = COMMIT_HERE }, answer;
	struct world world;

	(void)state;
	run_to_unsettled(&world);
	assert_int_equal(commit_settle(&world.side[0], true), 0);
	assert_int_equal(commit_settle(&world.side[1], true), 0);
	assert_int_equal(commit_receive(&world.side[0], &message, &answer), -EPROTO);
	assert_int_equal(commit_receive(&world.side[1], &message, &answer), -EPROTO);
}

/* A peer that says anything at any time: no assertion, and no word of it makes a source run again. */
static void receive__anything__no_source_runs_again_without_abort_or_state(void **state)
{
	(void)state;
	for (uint32_t kind = 0; kind < 9; kind++)
		for (uint32_t told = 0; told < 9; told++)
			for (enum commit_state at = COMMIT_MOVING; at <= COMMIT_THERE; at++)
				for (int role = COMMIT_SOURCE; role <= COMMIT_DEST; role++) {
					struct commit_message message = { kind, told }, answer;
					struct commit commit = { role, at, true }, was = commit;

					if (role == COMMIT_SOURCE && at == COMMIT_READY)
						continue;
					if (commit_receive(&commit, &message, &answer) < 0)
						assert_memory_equal(&commit, &was, sizeof(was));
					if (role == COMMIT_SOURCE && at == COMMIT_THERE)
						assert_false(commit_runnable(&commit));
					if (role == COMMIT_DEST && at == COMMIT_THERE)
						assert_false(commit_runnable(&commit));
				}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			any_order__messages_cuts_and_failures__never_two_and_always_settled),
		cmocka_unit_test(settle__cut_at_the_commit__one_call_and_the_peer_learns_it),
		cmocka_unit_test(settle__while_connected_or_moving__ebusy),
		cmocka_unit_test(receive__both_were_settled_here__eproto),
		cmocka_unit_test(receive__anything__no_source_runs_again_without_abort_or_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
