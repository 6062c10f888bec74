/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sleep.c -- conformance of completion: what happens while the target sleeps
 *
 * A mapped target is stopped as a whole process; 10 000 operations of each kind complete, and the
 * parent looks into its memory from outside before it goes on. A served target may have all its
 * application threads busy; stopped as a whole it gives -ETIMEDOUT, nothing false and no loss.
 * A network's device carries out puts and gets while the target is stopped, and nothing else.
 * property.arg is the rank of the target: the root of the job (0), or another.
 */
#include "tests/conformance/conform.h"

#include <errno.h>
#include <farbus/inline.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)
#define OPS 10000
#define SLOTS 1024 /* 64 bytes each, from offset 4096 */

enum { READY, IMPORTED, STOPPED, OPS_DONE, LOOKED, TIMED_OUT, ALIVE, END };

static uint64_t slot_off(uint64_t i)
{
	return 4096 + i % SLOTS * 64;
}

static void slot_fill(uint64_t slot[8], uint64_t i)
{
	for (uint64_t k = 0; k < 8; k++)
		slot[k] = i * 8 + k;
}

/* Of word 0 to 2: added, signalled by SWAP, signalled by ADD. */
static void operate(struct rank *rank, struct farbus_region *region, uint64_t ops)
{
	uint64_t slot[8], seen[8], old = 0;

	for (uint64_t i = 0; i < ops; i++) {
		slot_fill(slot, i);
		MUST(farbus_put(region, slot_off(i), slot, sizeof(slot)));
		MUST(farbus_get(region, slot_off(i), seen, sizeof(seen)));
		CHECK(memcmp(slot, seen, sizeof(slot)) == 0);
		MUST(farbus_put64(region, 64, i));
		MUST(farbus_atomic(region, 0, FARBUS_ADD, 8, 1, 0, &old));
		CHECK(old == i);
		MUST(farbus_signal(region, 8, i + 1, FARBUS_SWAP));
		MUST(farbus_signal(region, 16, 2, FARBUS_ADD));
		MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE,
				  FARBUS_TIMEOUT_DEFAULT));
	}
}

static void memory_verify(const uint8_t *memory, uint64_t ops)
{
	const uint64_t *word = (const uint64_t *)(const void *)memory;
	uint64_t slot[8];

	CHECK(word[0] == ops && word[1] == ops && word[2] == 2 * ops && word[8] == ops - 1);
	for (uint64_t i = ops < SLOTS ? 0 : ops - SLOTS; i < ops; i++) {
		slot_fill(slot, i);
		CHECK(memcmp(memory + slot_off(i), slot, sizeof(slot)) == 0);
	}
}

/* What is shown here of the property's class is what docs/transports.md says of it. */
static void expect_table(struct rank *rank, uint32_t target, bool put, bool get, bool rest)
{
	const char *transport = getenv("FARBUS_TRANSPORT");
	struct table_row row;

	if (rank->rank == target)
		return;
	if (!transport || strcmp(transport, "auto") == 0)
		transport = "shm";
	table_row(transport, rank_class(rank->stage, rank->rank, target), &row);
	CHECK(row.put == put && row.get == get && row.atomic == rest && row.signal == rest);
}

/* ---- mapped, the whole process stopped ---- */

static void stopped_target(struct rank *rank)
{
	struct farbus_region *region = rank_adopt_memory(rank);

	rank_grant(rank, region, 0, CONFORM_MEMORY, RWA, 0);
	step_reach(rank->stage, READY);
	/* Here it is stopped. */
	step_wait(rank->stage, TIMED_OUT, 1);
	memory_verify(region_va(region), OPS);
	step_wait(rank->stage, ALIVE, 2);
	rank_no_event(rank);
}

static void stopped_initiator(struct rank *rank)
{
	struct farbus_region_info info;
	struct farbus_region *region = rank_import(rank, 0);

	step_reach(rank->stage, IMPORTED);
	step_wait(rank->stage, STOPPED, 1);
	operate(rank, region, OPS);
	step_reach(rank->stage, OPS_DONE);
	step_wait(rank->stage, TIMED_OUT, 1);
	MUST(farbus_region_info(region, &info));
	CHECK(info.status == 0);
	rank_no_event(rank);
	step_reach(rank->stage, ALIVE);
	MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
	operate(rank, rank_import(rank, 1), 100);
	MUST(farbus_region_release(region));
}

static void stopped_newcomer(struct rank *rank)
{
	struct farbus_region *other = rank_alloc(rank, CONFORM_MEMORY, 0), *region = NULL;

	rank_grant(rank, other, 0, CONFORM_MEMORY, RWA, 1);
	step_reach(rank->stage, IMPORTED);
	step_wait(rank->stage, LOOKED, 1);
	REFUSED(farbus_region_import(rank->farbus, &rank->stage->token[0], 200, &region),
		-ETIMEDOUT, "import");
	CHECK(!region);
	rank_event(rank, FARBUS_EVENT_PEER_SILENT, (uint32_t)rank->stage->arg, NULL);
	step_reach(rank->stage, TIMED_OUT);
	region = rank_import(rank, 0);
	rank_no_event(rank);
	MUST(farbus_region_release(region));
	step_reach(rank->stage, ALIVE);
	MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
}

static void stopped_whole(struct rank *rank)
{
	uint32_t target = (uint32_t)rank->stage->arg;

	expect_table(rank, target, true, true, true);
	if (rank->rank == target) {
		stopped_target(rank);
		MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
	} else {
		step_wait(rank->stage, READY, 1);
		if (rank->rank == (target + 1) % 3)
			stopped_initiator(rank);
		else
			stopped_newcomer(rank);
	}
	step_meet(rank, END);
}

static void stopped_whole_control(struct stage *stage)
{
	uint32_t target = (uint32_t)stage->arg;

	step_wait(stage, IMPORTED, 2);
	control_stop(stage, target);
	step_reach(stage, STOPPED);
	step_wait(stage, OPS_DONE, 1);
	memory_verify(stage->memory, OPS); /* from outside, while it is stopped */
	step_reach(stage, LOOKED);
	step_wait(stage, TIMED_OUT, 1);
	control_continue(stage, target);
}

/* ---- served, its application threads busy ---- */

static _Atomic bool busy_end;
static int busy_pipe[2];

static void *compute(void *arg)
{
	uint64_t *sum = arg;

	while (!atomic_load_explicit(&busy_end, memory_order_relaxed))
		*sum = *sum * 3 + 1;
	return NULL;
}

static void *block_in_read(void *arg)
{
	char byte;

	(void)arg;
	CHECK(read(busy_pipe[0], &byte, 1) == 1);
	return NULL;
}

static void busy_target(struct rank *rank)
{
	struct farbus_region *region = rank_adopt_memory(rank);
	pthread_t computing, reading;
	uint64_t sum = 1;

	CHECK(pipe(busy_pipe) == 0);
	CHECK(pthread_create(&computing, NULL, compute, &sum) == 0);
	CHECK(pthread_create(&reading, NULL, block_in_read, NULL) == 0);
	rank_grant(rank, region, 0, CONFORM_MEMORY, RWA, 0);
	step_reach(rank->stage, READY);
	step_wait(rank->stage, OPS_DONE, 1); /* asleep, outside farbus */
	memory_verify(rank->stage->memory, 200);
	atomic_store(&busy_end, true);
	CHECK(write(busy_pipe[1], "x", 1) == 1);
	pthread_join(computing, NULL);
	pthread_join(reading, NULL);
	close(busy_pipe[0]);
	close(busy_pipe[1]);
}

static void busy_threads(struct rank *rank)
{
	if (rank->rank == (uint32_t)rank->stage->arg) {
		busy_target(rank);
	} else {
		step_wait(rank->stage, READY, 1);
		operate(rank, rank_import(rank, 0), 200);
		step_reach(rank->stage, OPS_DONE);
	}
	step_meet(rank, END);
}

/* ---- served, the whole process stopped ---- */

static void put_waits_for_target(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t slot[8];

	expect_table(rank, (uint32_t)rank->stage->arg, false, false, false);
	if (rank->rank == (uint32_t)rank->stage->arg) {
		rank_grant(rank, rank_adopt_memory(rank), 0, CONFORM_MEMORY, RWA, 0);
		step_reach(rank->stage, READY);
	} else {
		step_wait(rank->stage, READY, 1);
		region = rank_import(rank, 0);
		step_reach(rank->stage, IMPORTED);
		step_wait(rank->stage, STOPPED, 1);
		for (uint64_t i = 0; i < 16; i++) {
			slot_fill(slot, i);
			MUST(farbus_put(region, slot_off(i), slot, sizeof(slot)));
		}
		REFUSED(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, 200), -ETIMEDOUT,
			"stopped");
		rank_event(rank, FARBUS_EVENT_PEER_SILENT, (uint32_t)rank->stage->arg, NULL);
		rank_no_event(rank);
		step_reach(rank->stage, TIMED_OUT);
		/* It goes on: nothing was lost. */
		MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE,
				  FARBUS_TIMEOUT_DEFAULT));
		for (uint64_t i = 0; i < 16; i++) {
			slot_fill(slot, i);
			CHECK(memcmp(rank->stage->memory + slot_off(i), slot, sizeof(slot)) == 0);
		}
	}
	step_meet(rank, END);
}

static void put_waits_control(struct stage *stage)
{
	step_wait(stage, IMPORTED, 1);
	control_stop(stage, (uint32_t)stage->arg);
	step_reach(stage, STOPPED);
	step_wait(stage, TIMED_OUT, 1);
	for (uint64_t i = 0; i < CONFORM_MEMORY; i++)
		CHECK(stage->memory[i] == 0);
	control_continue(stage, (uint32_t)stage->arg);
}

/* Calls that return a value cannot return one that nobody gave. */
static void get_and_atomic_time_out(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t value = 77, old = 77;

	expect_table(rank, (uint32_t)rank->stage->arg, false, false, false);
	if (rank->rank == (uint32_t)rank->stage->arg) {
		rank_grant(rank, rank_adopt_memory(rank), 0, CONFORM_MEMORY, RWA, 0);
		step_reach(rank->stage, READY);
	} else {
		step_wait(rank->stage, READY, 1);
		region = rank_import(rank, 0);
		step_reach(rank->stage, IMPORTED);
		step_wait(rank->stage, STOPPED, 1);
		REFUSED(farbus_get(region, 0, &value, 8), -ETIMEDOUT, "get");
		REFUSED(farbus_atomic(region, 8, FARBUS_ADD, 8, 1, 0, &old), -ETIMEDOUT, "atomic");
		REFUSED(farbus_signal(region, 16, 1, FARBUS_ADD), -ETIMEDOUT, NULL);
		CHECK(value == 77 && old == 77);
		rank_event(rank, FARBUS_EVENT_PEER_SILENT, (uint32_t)rank->stage->arg, NULL);
		step_reach(rank->stage, TIMED_OUT);
		step_wait(rank->stage, ALIVE, 1);
		/* What timed out was carried out once or never. */
		MUST(farbus_atomic(region, 8, FARBUS_ADD, 8, 10, 0, &old));
		CHECK(old <= 1);
		MUST(farbus_get(region, 16, &value, 8));
		CHECK(value <= 1);
		rank_no_event(rank);
	}
	step_meet(rank, END);
}

static void time_out_control(struct stage *stage)
{
	put_waits_control(stage);
	step_reach(stage, ALIVE);
}

/* ---- fabric, the whole process stopped ---- */

#define FABRIC_OPS 300

static void fabric_operate(struct rank *rank, struct farbus_region *region)
{
	uint64_t slot[8], seen[8];

	for (uint64_t i = 0; i < FABRIC_OPS; i++) {
		slot_fill(slot, i);
		MUST(farbus_put(region, slot_off(i), slot, sizeof(slot)));
		if (i % 3 == 0)
			MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE,
					  CONFORM_WAIT_MS));
		MUST(farbus_get(region, slot_off(i), seen, sizeof(seen)));
		CHECK(memcmp(slot, seen, sizeof(slot)) == 0);
	}
	MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, CONFORM_WAIT_MS));
}

static void put_get_of_stopped(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t old = 77;

	expect_table(rank, (uint32_t)rank->stage->arg, true, true, false);
	if (rank->rank == (uint32_t)rank->stage->arg) {
		rank_grant(rank, rank_adopt_memory(rank), 0, CONFORM_MEMORY, RWA, 0);
		step_reach(rank->stage, READY);
	} else {
		step_wait(rank->stage, READY, 1);
		region = rank_import(rank, 0);
		step_reach(rank->stage, IMPORTED);
		step_wait(rank->stage, STOPPED, 1);
		fabric_operate(rank, region);
		REFUSED(farbus_atomic(region, 8, FARBUS_ADD, 8, 1, 0, &old), -ETIMEDOUT, "atomic");
		CHECK(old == 77);
		rank_event(rank, FARBUS_EVENT_PEER_SILENT, (uint32_t)rank->stage->arg, NULL);
		step_reach(rank->stage, TIMED_OUT);
		step_wait(rank->stage, ALIVE, 1);
		MUST(farbus_atomic(region, 8, FARBUS_ADD, 8, 10, 0, &old));
		CHECK(old <= 1);
		rank_no_event(rank);
	}
	step_meet(rank, END);
}

static void put_get_control(struct stage *stage)
{
	uint64_t slot[8];

	step_wait(stage, IMPORTED, 1);
	control_stop(stage, (uint32_t)stage->arg);
	step_reach(stage, STOPPED);
	step_wait(stage, TIMED_OUT, 1);
	for (uint64_t i = 0; i < FABRIC_OPS; i++) { /* from outside, while it is stopped */
		slot_fill(slot, i);
		CHECK(memcmp(stage->memory + slot_off(i), slot, sizeof(slot)) == 0);
	}
	control_continue(stage, (uint32_t)stage->arg);
	step_reach(stage, ALIVE);
}

static const struct property property[] = {
	{ "sleep__fabric_home_stopped__puts_and_gets_complete", CONFORM_FABRIC, 2,
	  put_get_of_stopped, put_get_control, 1, 1000 },
	{ "sleep__fabric_root_stopped__puts_and_gets_complete", CONFORM_FABRIC, 2,
	  put_get_of_stopped, put_get_control, 0, 1000 },
	{ "sleep__root_stopped__every_operation_completes_and_nobody_is_dead", CONFORM_MAPPED, 3,
	  stopped_whole, stopped_whole_control, 0, 0 },
	{ "sleep__other_stopped__every_operation_completes_and_nobody_is_dead", CONFORM_MAPPED, 3,
	  stopped_whole, stopped_whole_control, 1, 0 },
	{ "sleep__threads_asleep_computing_in_a_system_call__operations_complete", CONFORM_ALL, 2,
	  busy_threads, NULL, 0, 0 },
	{ "sleep__other_threads_busy__operations_complete", CONFORM_ALL, 2, busy_threads, NULL, 1,
	  0 },
	{ "sleep__served_home_stopped__flush_times_out_and_completes_later", CONFORM_SERVED, 2,
	  put_waits_for_target, put_waits_control, 1, 0 },
	{ "sleep__served_root_stopped__flush_times_out_and_completes_later", CONFORM_SERVED, 2,
	  put_waits_for_target, put_waits_control, 0, 0 },
	{ "sleep__served_home_stopped__get_and_atomic_time_out_without_a_value", CONFORM_SERVED, 2,
	  get_and_atomic_time_out, time_out_control, 1, 300 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
