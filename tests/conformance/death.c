/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * death.c -- conformance of death: SIGKILL in the middle of anything
 *
 * Rank 0 is the root and usually lives; the victim is killed while it does something, and the
 * survivors must learn it as an event and an error, release, go on, and leave nothing behind
 * (which conform.c searches for). How long the news took is printed, not judged.
 */
#include "tests/conformance/conform.h"

#include "base/clock.h"
#include <dirent.h>
#include <errno.h>
#include <farbus/inline.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define RW (FARBUS_R | FARBUS_W)
#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)
#define LEN 65536

enum { READY, RUNNING, KILLED, STOPPED, DONE, TIMED, END, NEVER = 60 };

static void wait_for_death(struct rank *rank)
{
	step_wait(rank->stage, NEVER, 1);
}

/* The survivors' part in every row: told once, refused from now on, and able to go on. */
static void victim_is_lost(struct rank *rank, uint32_t victim, struct farbus_region *region)
{
	struct farbus_region *again = NULL;
	struct farbus_region_info info;
	struct farbus_event event;
	uint64_t value = 3;

	rank_event(rank, FARBUS_EVENT_PEER_LOST, victim, &event);
	if (rank->rank == (victim + 1) % rank->stage->size)
		printf("     the news took %.1f ms\n",
		       (double)(clock_now_ns() - word_get(rank->stage, 60)) / 1e6);
	CHECK(event.status < 0);
	if (!region)
		return;
	MUST(farbus_region_info(region, &info));
	CHECK(info.status == -EHOSTDOWN && event.instance == info.home_instance);
	REFUSED(farbus_put(region, 0, &value, 8), -EHOSTDOWN, "release the handle");
	REFUSED(farbus_get(region, 0, &value, 8), -EHOSTDOWN, "release the handle");
	REFUSED(farbus_put64(region, 0, 1), -EHOSTDOWN, "release the handle");
	REFUSED(farbus_add64(region, 0, 1, &value), -EHOSTDOWN, "release the handle");
	REFUSED(farbus_signal(region, 0, 1, FARBUS_SWAP), -EHOSTDOWN, "release the handle");
	REFUSED(farbus_wait(region, 0, FARBUS_EQ, 12345, 5000, NULL), -EHOSTDOWN, NULL);
	REFUSED(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT),
		-EHOSTDOWN, NULL);
	CHECK(value == 3);
	CHECK(farbus_region_import(rank->farbus, &rank->stage->token[victim], 3000, &again) < 0);
	MUST(farbus_region_release(region));
}

/* Between the living everything works. */
static void living_go_on(struct rank *rank, struct farbus_region *region)
{
	uint64_t value = rank->rank, seen = 0;

	MUST(farbus_put(region, rank->rank * 8, &value, 8));
	MUST(farbus_get(region, rank->rank * 8, &seen, 8));
	CHECK(seen == value);
	MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
}

static void kill_now(struct stage *stage, uint32_t victim)
{
	word_set(stage, 60, clock_now_ns());
	control_kill(stage, victim);
	step_reach(stage, KILLED);
}

static void kill_running(struct stage *stage)
{
	step_wait(stage, RUNNING, stage->size - 1);
	kill_now(stage, 1);
}

/* All but the dead one. */
static void meet_living(struct rank *rank, unsigned int step)
{
	step_reach(rank->stage, step);
	step_wait(rank->stage, step, rank->stage->size - 1);
}

/* ---- a home dies under put streams ---- */

static void stream_until_lost(struct rank *rank, struct farbus_region *region)
{
	static uint8_t bytes[LEN];
	uint64_t n = 0;
	int err = 0;

	step_reach(rank->stage, RUNNING);
	while (err == 0) {
		err = farbus_put64(region, n % 100 * 8, n + 1);
		n++;
		if (err == 0)
			err = farbus_put(region, 1000, bytes, 60000);
		if (err == 0)
			err = farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE,
					   FARBUS_TIMEOUT_DEFAULT);
	}
	REFUSED(err, -EHOSTDOWN, NULL);
}

static void home_dies(struct rank *rank)
{
	struct farbus_region *region;

	if (rank->rank < 2) {
		region = rank_alloc(rank, LEN, 0);
		rank_grant(rank, region, 0, LEN, RWA, rank->rank);
		step_meet(rank, READY);
		if (rank->rank == 1)
			wait_for_death(rank);
		step_reach(rank->stage, RUNNING);
		victim_is_lost(rank, 1, NULL);
	} else {
		step_meet(rank, READY);
		region = rank_import(rank, 1);
		stream_until_lost(rank, region);
		victim_is_lost(rank, 1, region);
		region = rank_import(rank, 0);
	}
	living_go_on(rank, region);
	REFUSED(farbus_barrier(rank->farbus, 5000), -EHOSTDOWN, NULL);
	meet_living(rank, END);
}

/* ---- an importer dies in a put, inside its guard or not; its holds go with it ---- */

static void importer_dies(struct rank *rank)
{
	struct farbus_region *region;

	if (rank->rank == 1) {
		step_wait(rank->stage, READY, 1);
		region = rank_import(rank, 0);
		stream_until_lost(rank, region);
	}
	if (rank->rank == 0) {
		region = rank_alloc(rank, LEN, 0);
		rank_grant(rank, region, 0, LEN, RWA, 0);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, KILLED, 1);
		MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0,
					  CONFORM_WAIT_MS));
		pattern_fill(region_va(region), LEN, 1);
		rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
		CHECK(pattern_diff(region_va(region), LEN, 1) == LEN);
		MUST(farbus_region_release(region));
	}
}

/* ---- killed while others wait for it ---- */

static void import_of_dying(struct rank *rank)
{
	struct farbus_region *region = NULL;

	if (rank->rank == 1) {
		rank_grant(rank, rank_alloc(rank, LEN, 0), 0, LEN, RWA, 1);
		step_meet(rank, READY);
		wait_for_death(rank);
	}
	step_meet(rank, READY);
	if (rank->rank == 2) {
		step_reach(rank->stage, RUNNING);
		step_wait(rank->stage, STOPPED, 1);
		/* It is stopped now, and will be killed while we ask. */
		REFUSED(farbus_region_import(rank->farbus, &rank->stage->token[1],
					     FARBUS_TIMEOUT_DEFAULT, &region),
			-EHOSTDOWN, "import");
	}
	rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
	meet_living(rank, END);
}

static void import_of_dying_control(struct stage *stage)
{
	step_wait(stage, RUNNING, 1);
	control_stop(stage, 1);
	step_reach(stage, STOPPED);
	usleep(50000); /* most likely it has asked by now; right in either order */
	kill_now(stage, 1);
}

static void revoke_of_dying(struct rank *rank)
{
	struct farbus_region *region;

	if (rank->rank == 1) {
		step_wait(rank->stage, READY, 1);
		region = rank_import(rank, 0);
		step_reach(rank->stage, RUNNING);
		wait_for_death(rank);
	}
	region = rank_alloc(rank, LEN, 0);
	rank_grant(rank, region, 0, LEN, RWA, 0);
	step_reach(rank->stage, READY);
	step_wait(rank->stage, STOPPED, 1);
	/* Waits for the stopped one until that is dead. */
	MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, CONFORM_WAIT_MS));
	rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
}

static void revoke_by_dying(struct rank *rank)
{
	struct farbus_region *region;

	if (rank->rank == 1) {
		rank_grant(rank, rank_alloc(rank, LEN, 0), 0, LEN, RWA, 1);
		step_meet(rank, READY);
		step_wait(rank->stage, STOPPED, 1);
		/* The stopped importer keeps this from ending. */
		farbus_region_revoke(rank->farbus, &rank->stage->token[1], 0, CONFORM_WAIT_MS);
		wait_for_death(rank);
	}
	step_meet(rank, READY);
	if (rank->rank == 2) {
		region = rank_import(rank, 1);
		step_reach(rank->stage, RUNNING);
		/* Stopped here; then both the revoke and the death are news. */
		rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
		CHECK(farbus_put64(region, 0, 1) < 0);
		MUST(farbus_region_release(region));
	}
	meet_living(rank, END);
}

static void revoke_by_dying_control(struct stage *stage)
{
	step_wait(stage, RUNNING, 1);
	control_stop(stage, 2);
	step_reach(stage, STOPPED);
	usleep(100000); /* most likely it revokes by now; right in either order */
	kill_now(stage, 1);
	control_continue(stage, 2);
}

/* ---- in a barrier, in a wait ---- */

static void barrier_with_dying(struct rank *rank)
{
	double sum = 1;

	MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
	if (rank->rank == 1)
		wait_for_death(rank);
	step_reach(rank->stage, RUNNING);
	REFUSED(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT), -EHOSTDOWN, "barrier");
	REFUSED(farbus_allreduce(rank->farbus, &sum, 1, FARBUS_F64, FARBUS_SUM, 5000), -EHOSTDOWN,
		NULL);
	CHECK(sum == 1);
	rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
	meet_living(rank, END);
}

static void wait_on_dying(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t seen = 9;

	if (rank->rank == 1) {
		rank_grant(rank, rank_alloc(rank, LEN, 0), 0, LEN, RWA, 1);
		step_meet(rank, READY);
		wait_for_death(rank);
	}
	step_meet(rank, READY);
	if (rank->rank == 2)
		region = rank_import(rank, 1);
	step_reach(rank->stage, RUNNING);
	if (rank->rank == 2) {
		REFUSED(farbus_wait(region, 0, FARBUS_EQ, 1, FARBUS_TIMEOUT_DEFAULT, &seen),
			-EHOSTDOWN, NULL);
		CHECK(seen == 9);
	}
	rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
	meet_living(rank, END);
}

/* ---- the root ---- */

static void root_dies(struct rank *rank)
{
	struct farbus_region *region = NULL;
	struct farbus_token token;

	if (rank->rank == 0) {
		rank_grant(rank, rank_alloc(rank, LEN, 0), 0, LEN, RWA, 0);
		step_meet(rank, READY);
		wait_for_death(rank);
	}
	if (rank->rank == 1)
		rank_grant(rank, rank_alloc(rank, LEN, 0), 0, LEN, RWA, 1);
	step_meet(rank, READY);
	if (rank->rank == 2)
		region = rank_import(rank, 1);
	step_reach(rank->stage, RUNNING);
	rank_event(rank, FARBUS_EVENT_PEER_LOST, 0, NULL);
	REFUSED(farbus_lookup(rank->farbus, "x", 5000, &token), -EHOSTDOWN, NULL);
	REFUSED(farbus_publish(rank->farbus, "x", &rank->stage->token[1]), -EHOSTDOWN, NULL);
	REFUSED(farbus_barrier(rank->farbus, 5000), -EHOSTDOWN, NULL);
	if (rank->rank == 2)
		living_go_on(rank, region); /* names are gone, memory is not */
	meet_living(rank, END);
}

static void root_dies_control(struct stage *stage)
{
	step_wait(stage, RUNNING, stage->size - 1);
	kill_now(stage, 0);
}

/* ---- windows of the dead ---- */

static sigjmp_buf fenced;

static void on_fault(int signal)
{
	siglongjmp(fenced, signal);
}

static void window_of_dead(struct rank *rank)
{
	struct farbus_region *volatile region;
	volatile uint8_t *plain = NULL, *fence = NULL;
	struct sigaction action = { .sa_handler = on_fault };

	if (rank->rank == 1) {
		region = rank_alloc(rank, LEN, 0);
		pattern_fill(region_va(region), LEN, 12);
		rank_grant(rank, region, 0, LEN, RW, 1);
		step_meet(rank, READY);
		wait_for_death(rank);
	}
	step_meet(rank, READY);
	if (rank->rank == 2) {
		region = rank_import(rank, 1);
		MUST(farbus_map(region, 0, LEN, PROT_READ, 0, (void **)&plain));
		MUST(farbus_map(region, 0, LEN, PROT_READ, FARBUS_MAP_FENCE, (void **)&fence));
		CHECK(plain[5] == fence[5]);
	}
	step_reach(rank->stage, RUNNING);
	rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
	if (rank->rank == 2) {
		/* The last state stays readable, but not through the fence. */
		CHECK(pattern_diff((const uint8_t *)plain, LEN, 12) == LEN);
		sigaction(SIGSEGV, &action, NULL);
		if (sigsetjmp(fenced, 1) == 0)
			conform_fail(__FILE__, __LINE__, "read %d through the fence", fence[5]);
		MUST(farbus_unmap(rank->farbus, (void *)fence, LEN));
		MUST(farbus_region_release(region));
	}
	meet_living(rank, END);
}

/* ---- nothing stays on the machine ---- */

static bool unix_socket_named(const char *part)
{
	FILE *file = fopen("/proc/net/unix", "re");
	char line[512];
	bool found = false;

	CHECK(file);
	while (!found && fgets(line, sizeof(line), file))
		found = strstr(line, part) != NULL;
	fclose(file);
	return found;
}

static unsigned int shm_files(void)
{
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir = opendir("/dev/shm");

	while (dir && (entry = readdir(dir)))
		n += strstr(entry->d_name, "farbus") != NULL;
	if (dir)
		closedir(dir);
	return n;
}

static void all_die(struct rank *rank)
{
	struct farbus_self self;

	rank_grant(rank, rank_alloc(rank, LEN, 0), 0, LEN, RWA, rank->rank);
	step_meet(rank, READY);
	rank_import(rank, (rank->rank + 1) % rank->stage->size);
	MUST(farbus_self(rank->farbus, &self));
	word_set(rank->stage, 0, self.job);
	step_reach(rank->stage, RUNNING);
	wait_for_death(rank);
}

static void all_die_control(struct stage *stage)
{
	char name[64];

	step_wait(stage, RUNNING, stage->size);
	snprintf(name, sizeof(name), "%016llx", (unsigned long long)word_get(stage, 0));
	/* Else the search below proves nothing. */
	CHECK(unix_socket_named(name) == (!stage->network || stage->mixed));
	CHECK(port_listening(stage->port[0]) == stage->network);
	for (uint32_t i = 0; i < stage->size; i++)
		control_kill(stage, i);
	CHECK(!unix_socket_named(name) && !port_listening(stage->port[0]));
	CHECK(shm_files() == 0);
}

static void revoke_of_dying_control(struct stage *stage)
{
	step_wait(stage, RUNNING, 1);
	control_stop(stage, 1);
	step_reach(stage, STOPPED);
	usleep(50000); /* most likely revoke waits by now; right in either order */
	kill_now(stage, 1);
}

static const struct property property[] = {
	{ "death__home_under_put_streams__event_error_and_survivors_go_on", CONFORM_ALL, 4,
	  home_dies, kill_running, 0, 0 },
	{ "death__importer_in_a_put__revoke_completes_and_nothing_lands", CONFORM_ALL, 2,
	  importer_dies, kill_running, 0, 0 },
	{ "death__home_while_imported__ehostdown", CONFORM_ALL, 3, import_of_dying,
	  import_of_dying_control, 0, 0 },
	{ "death__importer_while_revoked__revoke_completes", CONFORM_ALL, 2, revoke_of_dying,
	  revoke_of_dying_control, 0, 0 },
	{ "death__home_while_it_revokes__importer_learns_and_releases", CONFORM_ALL, 3,
	  revoke_by_dying, revoke_by_dying_control, 0, 0 },
	{ "death__in_a_barrier__ehostdown_for_all_survivors", CONFORM_ALL, 4, barrier_with_dying,
	  kill_running, 0, 0 },
	{ "death__home_of_a_wait__ehostdown", CONFORM_ALL, 3, wait_on_dying, kill_running, 0, 0 },
	{ "death__root__names_end_and_memory_stays", CONFORM_ALL, 3, root_dies, root_dies_control,
	  0, 0 },
	{ "death__home_of_windows__last_state_readable_but_fenced", CONFORM_MAPPED, 3,
	  window_of_dead, kill_running, 0, 0 },
	{ "death__everybody__no_socket_and_no_file_stays", CONFORM_ALL, 3, all_die, all_die_control,
	  0, 0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
