/* SPDX-License-Identifier: BSD-3-Clause */
/* job.c -- conformance of joining, names, events, several instances in one process, and fork */
#include "tests/conformance/conform.h"

#include <errno.h>
#include <farbus/inline.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW (FARBUS_R | FARBUS_W)
#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)

enum { READY, GO, DONE, OUT, FREE, END };

/* ---- joining ---- */

/* How many of the ranks below end are on the host of this one. */
static uint32_t local_below(const struct stage *stage, uint32_t rank, uint32_t end)
{
	return stage->mixed ? (end + 1 - rank % 2) / 2 : end;
}

static void self_is_right(struct rank *rank)
{
	struct farbus_self self;

	MUST(farbus_self(rank->farbus, &self));
	CHECK(self.rank == rank->rank && self.size == rank->stage->size);
	CHECK(self.local_rank == local_below(rank->stage, rank->rank, rank->rank));
	CHECK(self.local_size == local_below(rank->stage, rank->rank, rank->stage->size));
	word_set(rank->stage, rank->rank, self.instance);
	word_set(rank->stage, 8 + rank->rank, self.job);
	step_meet(rank, READY);
	for (uint32_t i = 0; i < rank->stage->size; i++) {
		CHECK(i == rank->rank || word_get(rank->stage, i) != self.instance);
		CHECK(word_get(rank->stage, 8 + i) == self.job);
	}
	step_meet(rank, DONE); /* a reopened rank is another instance */
	if (rank->rank == 1) {
		MUST(farbus_close(rank->farbus));
		MUST(rank_open(rank->stage, 1, 0, &rank->farbus));
		MUST(farbus_self(rank->farbus, &self));
		CHECK(self.instance != word_get(rank->stage, 1));
	}
	step_meet(rank, END);
}

static void open_refused(struct rank *rank)
{
	struct farbus_conf conf = { .job = rank->stage->job, .rank = 0, .size = 2 };
	const char *why = rank->stage->network ? NULL : "open already";
	struct farbus *farbus = NULL;
	char nobody[96];

	step_meet(rank, READY);
	REFUSED(rank_open(rank->stage, 0, 0, &farbus), -EEXIST, why);
	REFUSED(rank_open(rank->stage, 1, 0, &farbus), -EEXIST, why);
	conf.rank = 2;
	REFUSED(farbus_open(&conf, &farbus), -EINVAL, "conf.rank 2");
	conf.rank = 0;
	conf.size = 0;
	REFUSED(farbus_open(&conf, &farbus), -EINVAL, "conf.size 0");
	conf.size = UINT32_MAX;
	REFUSED(farbus_open(&conf, &farbus), -EINVAL, "conf.size");
	conf = (struct farbus_conf){ .job = "", .size = 1 };
	REFUSED(farbus_open(&conf, &farbus), -EINVAL, "conf.job is empty");
	REFUSED(farbus_open(&conf, NULL), -EINVAL, "NULL");
	/* A job whose rank 0 is not there. */
	snprintf(nobody, sizeof(nobody), "%s-%u", rank->stage->job, rank->rank);
	conf = (struct farbus_conf){ nobody, 1, 2, 200 };
	REFUSED(job_open(rank->stage, 1 + rank->rank, &conf, &farbus), -ETIMEDOUT, "rank 0");
	/* Both of the job are as they were. */
	CHECK(!farbus);
	MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
	REFUSED(farbus_self(NULL, NULL), -EINVAL, "NULL");
	MUST(farbus_close(NULL));
	MUST(farbus_region_release(NULL));
}

static void settings_refused(struct rank *rank)
{
	char *transport = getenv("FARBUS_TRANSPORT"), job[96];
	struct farbus_conf conf = { .job = job, .size = 1 };
	struct farbus *farbus = NULL;

	snprintf(job, sizeof(job), "%s-settings", rank->stage->job);
	setenv("FARBUS_TRANSPORT", "pigeon", 1);
	REFUSED(farbus_open(&conf, &farbus), -EINVAL, "FARBUS_TRANSPORT=pigeon");
	if (transport)
		setenv("FARBUS_TRANSPORT", transport, 1);
	else
		unsetenv("FARBUS_TRANSPORT");
	setenv("FARBUS_LOG", "loud", 1);
	REFUSED(farbus_open(&conf, &farbus), -EINVAL, "FARBUS_LOG=loud");
	unsetenv("FARBUS_LOG");
	setenv("FARBUS_TIMEOUT", "soon", 1);
	REFUSED(farbus_open(&conf, &farbus), -EINVAL, "FARBUS_TIMEOUT");
	unsetenv("FARBUS_TIMEOUT");
	MUST(job_open(rank->stage, 1, &conf, &farbus));
	MUST(farbus_close(farbus));
}

/* ---- names ---- */

static void names(struct rank *rank)
{
	struct farbus_token token, mine = { "" };
	char name[FARBUS_NAME_MAX + 2];

	memset(name, 'n', sizeof(name));
	name[FARBUS_NAME_MAX] = '\0';
	rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RW, rank->rank);
	mine = rank->stage->token[rank->rank];
	REFUSED(farbus_lookup(rank->farbus, "later", 0, &token), -ETIMEDOUT, "later");
	REFUSED(farbus_lookup(rank->farbus, "later", 50, &token), -ETIMEDOUT, "later");
	REFUSED(farbus_publish(rank->farbus, name, &mine), -ENAMETOOLONG, "63");
	REFUSED(farbus_lookup(rank->farbus, name, 0, &token), -ENAMETOOLONG, "63");
	REFUSED(farbus_publish(rank->farbus, "", &mine), -EINVAL, "empty");
	REFUSED(farbus_publish(rank->farbus, "x", NULL), -EINVAL, "token");
	REFUSED(farbus_lookup(rank->farbus, "x", 0, NULL), -EINVAL, "NULL");
	step_meet(rank, READY);
	name[FARBUS_NAME_MAX - 1] = '\0';
	if (rank->rank == 1) {
		step_wait(rank->stage, GO, 1); /* the others are about to look it up */
		MUST(farbus_publish(rank->farbus, "later", &mine));
		MUST(farbus_publish(rank->farbus, name, &mine));
		step_meet(rank, DONE);
		step_wait(rank->stage, OUT, 2);
		MUST(farbus_close(rank->farbus));
		MUST(rank_open(rank->stage, 1, 0, &rank->farbus));
		step_reach(rank->stage, END);
		step_wait(rank->stage, END, 3);
		return;
	}
	step_reach(rank->stage, GO);
	MUST(farbus_lookup(rank->farbus, "later", FARBUS_TIMEOUT_DEFAULT, &token));
	CHECK(strcmp(token.text, rank->stage->token[1].text) == 0);
	MUST(farbus_lookup(rank->farbus, name, FARBUS_TIMEOUT_DEFAULT, &token));
	step_meet(rank, DONE);
	REFUSED(farbus_publish(rank->farbus, "later", &mine), -EEXIST, "later");
	step_reach(rank->stage, OUT);
	/* The name ends with the instance that published it. */
	rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
	step_wait(rank->stage, END, 1);
	REFUSED(farbus_lookup(rank->farbus, "later", 0, &token), -ETIMEDOUT, "later");
	step_reach(rank->stage, FREE);
	step_wait(rank->stage, FREE, 2);
	if (rank->rank == 0)
		MUST(farbus_publish(rank->farbus, "later", &mine));
	step_reach(rank->stage, END);
	step_wait(rank->stage, END, 3);
}

static void name_of_the_dead(struct rank *rank)
{
	struct farbus_token token;

	if (rank->rank == 1) {
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RW, 1);
		MUST(farbus_publish(rank->farbus, "mortal", &rank->stage->token[1]));
		step_reach(rank->stage, GO);
		step_wait(rank->stage, END, 1); /* killed here */
	}
	MUST(farbus_lookup(rank->farbus, "mortal", FARBUS_TIMEOUT_DEFAULT, &token));
	step_reach(rank->stage, READY);
	rank_event(rank, FARBUS_EVENT_PEER_LOST, 1, NULL);
	REFUSED(farbus_lookup(rank->farbus, "mortal", 0, &token), -ETIMEDOUT, "mortal");
}

static void name_control(struct stage *stage)
{
	step_wait(stage, GO, 1);
	step_wait(stage, READY, 1);
	control_kill(stage, 1);
}

/* ---- events ---- */

static bool fd_readable(struct farbus *farbus, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = farbus_fd(farbus), .events = POLLIN };

	CHECK(poll_fd.fd >= 0);
	return poll(&poll_fd, 1, timeout_ms) == 1;
}

#define EVENTS 1024 /* INSTANCE_EVENT_MAX: what fits */
#define IMPORTS (EVENTS + 76)

/* Without taking an event. The event is made together with the status. */
static void wait_revoked(struct farbus_region *region)
{
	struct farbus_region_info info = { 0 };

	for (int tries = 0; tries < CONFORM_WAIT_MS && info.status == 0; tries++) {
		MUST(farbus_region_info(region, &info));
		if (info.status == 0)
			usleep(1000);
	}
	CHECK(info.status == -ESTALE);
}

static void events_importer(struct rank *rank)
{
	static struct farbus_region *import[IMPORTS];
	struct farbus_event event[64];
	size_t n = 0, seen = 0;
	int err;

	CHECK(!fd_readable(rank->farbus, 0));
	REFUSED(farbus_poll(rank->farbus, event, 0, 0, &n), -EINVAL, "room");
	REFUSED(farbus_poll(rank->farbus, NULL, 1, 0, &n), -EINVAL, "room");
	REFUSED(farbus_poll(rank->farbus, event, 1, 30, &n), -ETIMEDOUT, "no event");
	for (int i = 0; i < IMPORTS; i++)
		import[i] = rank_import(rank, 0);
	step_reach(rank->stage, GO);
	CHECK(fd_readable(rank->farbus, CONFORM_WAIT_MS));
	step_wait(rank->stage, DONE, 1);
	for (int i = 0; i < IMPORTS; i++)
		wait_revoked(import[i]);
	while ((err = farbus_poll(rank->farbus, event, 64, 0, &n)) == 0) {
		CHECK(n >= 1 && n <= 64);
		for (size_t i = 0; i < n; i++, seen++) {
			if (event[i].kind == FARBUS_EVENT_OVERFLOW)
				break;
			CHECK(event[i].kind == FARBUS_EVENT_REVOKED && event[i].rank == 0);
			CHECK(event[i].region == region_id(import[0]) &&
			      event[i].status == -ESTALE);
		}
		if (event[n - 1].kind == FARBUS_EVENT_OVERFLOW)
			break;
		CHECK(fd_readable(rank->farbus, 0));
	}
	CHECK(err == 0 && event[n - 1].kind == FARBUS_EVENT_OVERFLOW);
	CHECK(seen == EVENTS);
	CHECK(!fd_readable(rank->farbus, 0));
	REFUSED(farbus_poll(rank->farbus, event, 64, 0, &n), -ETIMEDOUT, "no event");
}

static void events(struct rank *rank)
{
	if (rank->rank == 0) {
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RW, 0);
		step_meet(rank, READY);
		step_wait(rank->stage, GO, 1);
		MUST(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0,
					  CONFORM_WAIT_MS));
		step_reach(rank->stage, DONE);
	} else {
		step_meet(rank, READY);
		events_importer(rank);
	}
	step_meet(rank, END);
}

/* ---- several instances in one process ---- */

#define INSTANCES 4

struct member {
	pthread_t thread;
	struct farbus *farbus;
	struct farbus_region *own, *next;
	struct farbus_token token;
	struct stage *stage;
	uint32_t rank;
};

static void *member_add(void *arg)
{
	struct member *member = arg;

	for (int i = 0; i < 500; i++)
		MUST(farbus_atomic(member->next, 0, FARBUS_ADD, 8, 1, 0, NULL));
	MUST(farbus_flush(member->farbus, NULL, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
	MUST(farbus_barrier(member->farbus, FARBUS_TIMEOUT_DEFAULT));
	return NULL;
}

static void members_work(struct stage *stage, struct member *member)
{
	struct farbus_grant_opts opts = { .flags = grant_flags(stage) };
	struct farbus_region_info info;
	void *va = NULL;

	for (int i = 0; i < INSTANCES; i++) {
		MUST(farbus_region_alloc(member[i].farbus, 8192, 0, &member[i].own));
		MUST(farbus_region_grant(member[i].own, 0, 8192, RWA, &opts, &member[i].token));
	}
	for (int i = 0; i < INSTANCES; i++)
		MUST(farbus_region_import(member[i].farbus, &member[(i + 1) % INSTANCES].token,
					  FARBUS_TIMEOUT_DEFAULT, &member[i].next));
	for (int i = 0; i < INSTANCES; i++)
		CHECK(pthread_create(&member[i].thread, NULL, member_add, &member[i]) == 0);
	for (int i = 0; i < INSTANCES; i++)
		pthread_join(member[i].thread, NULL);
	for (int i = 0; i < INSTANCES; i++) {
		MUST(farbus_region_info(member[i].own, &info));
		CHECK(*(uint64_t *)info.va == 500);
		if (stage->class != CONFORM_MAPPED)
			continue;
		/* A window of one instance is none of another. */
		MUST(farbus_map(member[i].next, 0, 4096, PROT_READ, 0, &va));
		REFUSED(farbus_unmap(member[(i + 1) % INSTANCES].farbus, va, 4096), -ENOENT,
			"no window");
	}
}

/* Over a network rank 0 waits for the others: each opens in a thread of its own. */
static void *member_open(void *arg)
{
	struct member *member = arg;
	struct farbus_conf conf = {
		.job = member->stage->job,
		.rank = member->rank,
		.size = INSTANCES,
		.timeout_ms = CONFORM_WAIT_MS,
	};

	MUST(farbus_open(&conf, &member->farbus));
	return NULL;
}

static void several_instances(struct rank *rank)
{
	struct member member[INSTANCES];
	struct stage other = *rank->stage;

	memset(member, 0, sizeof(member));
	strcat(other.job, "-several");
	place_enter(&other, 1, 0);
	for (uint32_t i = 0; i < INSTANCES; i++) {
		member[i].rank = i;
		member[i].stage = &other;
		CHECK(pthread_create(&member[i].thread, NULL, member_open, &member[i]) == 0);
	}
	for (uint32_t i = 0; i < INSTANCES; i++)
		pthread_join(member[i].thread, NULL);
	members_work(&other, member);
	for (uint32_t i = INSTANCES; i-- > 0;)
		MUST(farbus_close(member[i].farbus));
}

/* ---- a forked child ---- */

static void child_refused(struct rank *rank, struct farbus_region *region)
{
	struct farbus_conf conf = { .job = "conform child", .size = 1 };
	struct farbus *farbus = NULL;
	struct farbus_token token;
	struct farbus_event event;
	struct farbus_self self;
	farbus_addr_t addr;
	uint64_t value = 1;
	void *va = NULL;
	size_t n;

	REFUSED(farbus_open(&conf, &farbus), -ECHILD, "forked child");
	REFUSED(farbus_self(rank->farbus, &self), -ECHILD, "forked child");
	REFUSED(farbus_poll(rank->farbus, &event, 1, 0, &n), -ECHILD, "forked child");
	CHECK(farbus_fd(rank->farbus) == -ECHILD);
	REFUSED(farbus_publish(rank->farbus, "x", &token), -ECHILD, "forked child");
	REFUSED(farbus_lookup(rank->farbus, "x", 0, &token), -ECHILD, "forked child");
	REFUSED(farbus_barrier(rank->farbus, 0), -ECHILD, "forked child");
	REFUSED(farbus_broadcast(rank->farbus, 0, &value, 8, 0), -ECHILD, "forked child");
	REFUSED(farbus_allreduce(rank->farbus, &value, 1, FARBUS_U64, FARBUS_SUM, 0), -ECHILD,
		"forked child");
	REFUSED(farbus_region_alloc(rank->farbus, 4096, 0, &region), -ECHILD, "forked child");
	REFUSED(farbus_region_grant(region, 0, 8, RW, NULL, &token), -ECHILD, "forked child");
	REFUSED(farbus_region_revoke(rank->farbus, &rank->stage->token[0], 0, 0), -ECHILD,
		"forked child");
	REFUSED(farbus_region_import(rank->farbus, &rank->stage->token[0], 0, &region), -ECHILD,
		"forked child");
	REFUSED(farbus_map(region, 0, 4096, PROT_READ, 0, &va), -ECHILD, "forked child");
	REFUSED(farbus_where(rank->farbus, &value, &addr), -ECHILD, "forked child");
	REFUSED(farbus_put(region, 0, &value, 8), -ECHILD, "forked child");
	REFUSED(farbus_get(region, 0, &value, 8), -ECHILD, "forked child");
	REFUSED(farbus_put64(region, 0, 1), -ECHILD, "forked child");
	REFUSED(farbus_get64(region, 0, &value), -ECHILD, "forked child");
	REFUSED(farbus_add64(region, 0, 1, NULL), -ECHILD, "forked child");
	REFUSED(farbus_signal(region, 0, 1, FARBUS_SWAP), -ECHILD, "forked child");
	REFUSED(farbus_wait(region, 0, FARBUS_EQ, 1, 0, NULL), -ECHILD, "forked child");
	REFUSED(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, 0), -ECHILD,
		"forked child");
	REFUSED(farbus_region_release(region), -ECHILD, "forked child");
	REFUSED(farbus_close(rank->farbus), -ECHILD, "forked child");
}

static void forked_child(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t value = 0;
	int status = -1;
	pid_t pid;

	if (rank->rank == 0) {
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RWA, 0);
		step_meet(rank, READY);
		MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
		return;
	}
	step_meet(rank, READY);
	region = rank_import(rank, 0);
	MUST(farbus_put64(region, 0, 7));
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		child_refused(rank, region);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	/* The parent notices nothing. */
	MUST(farbus_get(region, 0, &value, 8));
	CHECK(value == 7);
	MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
}

static const struct property property[] = {
	{ "open__ranks_of_a_job__self_is_right_and_instances_differ", CONFORM_ALL, 3, self_is_right,
	  NULL, 0, 0 },
	{ "open__never_right__refused_with_the_reason", CONFORM_ALL, 2, open_refused, NULL, 0, 0 },
	{ "open__setting_that_is_none__einval_names_it", CONFORM_ALL, 1, settings_refused, NULL, 0,
	  0 },
	{ "names__publish_lookup_withdraw__as_promised", CONFORM_ALL, 3, names, NULL, 0, 0 },
	{ "names__publisher_killed__name_is_gone", CONFORM_ALL, 2, name_of_the_dead, name_control,
	  0, 0 },
	{ "events__more_than_fit__overflow_and_fd_readable_meanwhile", CONFORM_ALL, 2, events, NULL,
	  0, 0 },
	{ "open__several_instances_in_one_process__independent", CONFORM_ALL, 1, several_instances,
	  NULL, 0, 0 },
	{ "fork__child_calls__echild_and_parent_untouched", CONFORM_ALL, 2, forked_child, NULL, 0,
	  0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
