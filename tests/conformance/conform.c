/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conform.c -- the conformance suite's stage
 *
 * Invariants:
 *   1. The parent has no thread and no instance, so that it can fork at any time.
 *   2. Every wait ends: at its bound, or when any rank failed.
 */
#include "tests/conformance/conform.h"

#include "base/clock.h"
#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stage *here; /* the stage of this process */
static int me = -1;	   /* rank, or -1: the parent */
static const struct property *playing;

static bool rank_collect(struct stage *stage, uint32_t rank);

/* ---- failing ---- */

static void stage_wake(struct stage *stage)
{
	for (unsigned int i = 0; i < CONFORM_STEP_MAX; i++)
		syscall(SYS_futex, &stage->step[i], FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void ranks_end(struct stage *stage)
{
	for (uint32_t i = 0; i < CONFORM_RANK_MAX; i++) {
		pid_t pid = atomic_exchange(&stage->pid[i], 0);

		if (pid <= 0)
			continue;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

void conform_fail(const char *file, int line, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "%s: %s %d: %s:%d: %s\n", playing ? playing->name : "conform",
		me < 0 ? "control" : "rank", me, base ? base + 1 : file, line, text);
	if (here) {
		atomic_store(&here->failed, 1);
		stage_wake(here);
		if (me < 0)
			ranks_end(here);
	}
	_exit(1);
}

void conform_must(const char *file, int line, const char *text, int err)
{
	if (err < 0)
		conform_fail(file, line, "%s: %s (%s)", text, strerror(-err), farbus_last_error());
}

void conform_refused(const char *file, int line, const char *text, int err, int number,
		     const char *number_text, const char *word)
{
	if (err != number)
		conform_fail(file, line, "%s gave %d (%s), not %s (%s)", text, err,
			     err < 0 ? strerror(-err) : "success", number_text,
			     farbus_last_error());
	if (word && !strstr(farbus_last_error(), word))
		conform_fail(file, line, "%s: the text lacks \"%s\": %s", text, word,
			     farbus_last_error());
	if (strchr(farbus_last_error(), '\n'))
		conform_fail(file, line, "%s: the text is not one line", text);
}

/* ---- steps ---- */

void step_reach(struct stage *stage, unsigned int step)
{
	atomic_fetch_add(&stage->step[step], 1);
	syscall(SYS_futex, &stage->step[step], FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void step_wait(struct stage *stage, unsigned int step, uint32_t count)
{
	uint64_t until = clock_now_ns() + CONFORM_WAIT_MS * NS_PER_MS;
	struct timespec nap = { .tv_nsec = 100000000 };
	uint32_t seen;

	while ((seen = atomic_load(&stage->step[step])) < count) {
		if (me < 0)
			for (uint32_t i = 0; i < stage->size; i++)
				rank_collect(stage, i);
		if (atomic_load(&stage->failed)) {
			if (me < 0)
				ranks_end(stage);
			_exit(1); /* who failed has said why */
		}
		if (clock_now_ns() > until)
			conform_fail(__FILE__, __LINE__, "step %u was reached by %u of %u", step,
				     seen, count);
		syscall(SYS_futex, &stage->step[step], FUTEX_WAIT, seen, &nap, NULL, 0);
	}
}

void step_meet(struct rank *rank, unsigned int step)
{
	step_reach(rank->stage, step);
	step_wait(rank->stage, step, rank->stage->size);
}

uint64_t word_get(struct stage *stage, unsigned int word)
{
	return atomic_load(&stage->word[word]);
}

void word_set(struct stage *stage, unsigned int word, uint64_t value)
{
	atomic_store(&stage->word[word], value);
}

/* ---- what ranks need ---- */

int rank_open(struct stage *stage, uint32_t rank, uint32_t timeout_ms, struct farbus **ret_farbus)
{
	struct farbus_conf conf = {
		.job = stage->job,
		.rank = rank,
		.size = stage->size,
		.timeout_ms = timeout_ms ? timeout_ms : CONFORM_WAIT_MS,
	};

	place_enter(stage, 0, rank);
	return farbus_open(&conf, ret_farbus);
}

int job_open(struct stage *stage, unsigned int number, const struct farbus_conf *conf,
	     struct farbus **ret_farbus)
{
	CHECK(number > 0 && number < CONFORM_JOB_MAX);
	place_enter(stage, number, conf->rank);
	return farbus_open(conf, ret_farbus);
}

uint32_t grant_flags(const struct stage *stage)
{
	/* Over a network without devices for it that is what a grant without flags comes to. */
	const char *transport = getenv("FARBUS_TRANSPORT");
	bool anyway = stage->network && !(transport && strstr(transport, "verbs"));

	return stage->class == CONFORM_SERVED && !anyway ? FARBUS_GRANT_SERVED : 0;
}

struct farbus_region *rank_alloc(struct rank *rank, size_t len, uint32_t flags)
{
	struct farbus_region *region = NULL;

	MUST(farbus_region_alloc(rank->farbus, len, flags, &region));
	return region;
}

struct farbus_region *rank_adopt_memory(struct rank *rank)
{
	struct farbus_memory memory = { .fd = rank->stage->memory_fd, .len = CONFORM_MEMORY };
	struct farbus_region *region = NULL;

	MUST(farbus_region_adopt(rank->farbus, &memory, &region));
	return region;
}

uint8_t *region_va(struct farbus_region *region)
{
	struct farbus_region_info info;

	MUST(farbus_region_info(region, &info));
	return info.va;
}

uint64_t region_id(struct farbus_region *region)
{
	struct farbus_region_info info;

	MUST(farbus_region_info(region, &info));
	return info.region;
}

void rank_grant(struct rank *rank, struct farbus_region *region, uint64_t off, uint64_t len,
		uint32_t rights, unsigned int slot)
{
	struct farbus_grant_opts opts = { .flags = grant_flags(rank->stage) };

	MUST(farbus_region_grant(region, off, len, rights, &opts, &rank->stage->token[slot]));
}

struct farbus_region *rank_import(struct rank *rank, unsigned int slot)
{
	struct farbus_region *region = NULL;

	MUST(farbus_region_import(rank->farbus, &rank->stage->token[slot], FARBUS_TIMEOUT_DEFAULT,
				  &region));
	return region;
}

void rank_event(struct rank *rank, uint32_t kind, uint32_t about, struct farbus_event *ret_event)
{
	struct farbus_event event;
	size_t n = 0;

	for (;;) {
		MUST(farbus_poll(rank->farbus, &event, 1, CONFORM_WAIT_MS, &n));
		if (event.kind == kind && (event.rank == about || kind == FARBUS_EVENT_OVERFLOW))
			break;
	}
	if (ret_event)
		*ret_event = event;
}

void rank_no_event(struct rank *rank)
{
	struct farbus_event event = { 0 };
	size_t n = 0;
	int err = farbus_poll(rank->farbus, &event, 1, 0, &n);

	if (err == 0)
		conform_fail(__FILE__, __LINE__, "event %u about rank %u, status %d", event.kind,
			     event.rank, event.status);
	REFUSED(err, -ETIMEDOUT, "event");
}

void pattern_fill(uint8_t *p, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

#define LIKE_A_DEVICE __attribute__((noinline, no_sanitize("thread")))

LIKE_A_DEVICE uint64_t peek64(const void *p)
{
	return *(const volatile uint64_t *)p;
}

LIKE_A_DEVICE void poke64(void *p, uint64_t value)
{
	*(volatile uint64_t *)p = value;
}

LIKE_A_DEVICE size_t pattern_diff(const uint8_t *p, size_t len, uint8_t seed)
{
	size_t i = 0;

	while (i < len && ((const volatile uint8_t *)p)[i] == (uint8_t)(seed + i * 7 + (i >> 8)))
		i++;
	return i;
}

/* ---- what is left behind ---- */

/* The RDMA connection manager's library keeps the devices that it once used. */
static bool fd_kept(int dir, const char *name)
{
	char target[64] = "";

	return readlinkat(dir, name, target, sizeof(target) - 1) > 0 &&
	       strstr(target, "infiniband");
}

static unsigned int fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	unsigned int n = 0;

	CHECK(dir);
	while ((entry = readdir(dir)))
		n += !fd_kept(dirfd(dir), entry->d_name);
	closedir(dir);
	return n;
}

static void maps_search(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (strstr(line, "memfd:farbus") && !strstr(line, "memfd:farbus-counters"))
			conform_fail(__FILE__, __LINE__, "left behind: %s", line);
	fclose(file);
}

/*
 * The timeout covers joining, too: who plays this on a slow machine says what that takes at least there
 * (CONFORM_TIMEOUT_MIN, ms).
 */
static uint32_t rank_timeout(const struct property *property)
{
	const char *text = getenv("CONFORM_TIMEOUT_MIN");
	uint32_t least = text ? (uint32_t)strtoul(text, NULL, 10) : 0;

	return property->timeout_ms && property->timeout_ms < least ? least : property->timeout_ms;
}

static void rank_main(struct stage *stage, const struct property *property, uint32_t number)
{
	struct rank rank = { .stage = stage, .rank = number };
	unsigned int before = fd_count(), after;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	me = (int)number;
	MUST(rank_open(stage, number, rank_timeout(property), &rank.farbus));
	property->rank(&rank);
	MUST(farbus_close(rank.farbus));
	after = fd_count();
	/* The counters stay for the life of the process. */
	if (after != before + 1)
		conform_fail(__FILE__, __LINE__, "%u descriptors before, %u after", before, after);
	maps_search();
	exit(0);
}

/* ---- control ---- */

void control_stop(struct stage *stage, uint32_t rank)
{
	pid_t pid = atomic_load(&stage->pid[rank]);
	int status = 0;

	CHECK(kill(pid, SIGSTOP) == 0);
	CHECK(waitpid(pid, &status, WUNTRACED) == pid);
	CHECK(WIFSTOPPED(status));
}

void control_continue(struct stage *stage, uint32_t rank)
{
	CHECK(kill(atomic_load(&stage->pid[rank]), SIGCONT) == 0);
}

void control_kill(struct stage *stage, uint32_t rank)
{
	pid_t pid = atomic_exchange(&stage->pid[rank], 0);

	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

/* Takes a rank that has ended. Returns whether it has. */
static bool rank_collect(struct stage *stage, uint32_t rank)
{
	pid_t pid = atomic_load(&stage->pid[rank]);
	int status = 0, end = 0;

	if (pid == 0)
		return true; /* we had it, or control_kill() had */
	if (waitpid(pid, &status, WNOHANG) != pid)
		return false;
	atomic_store(&stage->pid[rank], 0);
	end = atomic_load(&stage->end[rank]);
	if (end ? !WIFSIGNALED(status) || WTERMSIG(status) != end : status != 0)
		conform_fail(__FILE__, __LINE__, "rank %u ended with status 0x%x", rank,
			     (unsigned int)status);
	return true;
}

static void ranks_collect(struct stage *stage)
{
	uint64_t until = clock_now_ns() + CONFORM_WAIT_MS * NS_PER_MS;
	struct timespec nap = { .tv_nsec = 500000 };
	uint32_t left;

	do {
		left = 0;
		for (uint32_t i = 0; i < stage->size; i++)
			left += !rank_collect(stage, i);
		if (clock_now_ns() > until)
			conform_fail(__FILE__, __LINE__, "%u ranks do not end", left);
		if (left)
			nanosleep(&nap, NULL);
	} while (left);
}

static struct stage *stage_new(const struct property *property, enum conform_class class)
{
	struct stage *stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t secret[2];

	CHECK(stage != MAP_FAILED);
	CHECK(getrandom(secret, sizeof(secret), 0) == sizeof(secret));
	snprintf(stage->job, sizeof(stage->job), "conform-%016llx%016llx",
		 (unsigned long long)secret[0], (unsigned long long)secret[1]);
	stage->class = class;
	place_init(stage);
	stage->size = property->size;
	stage->arg = property->arg;
	stage->memory_fd = memfd_create("conform", 0);
	CHECK(stage->memory_fd >= 0);
	CHECK(ftruncate(stage->memory_fd, CONFORM_MEMORY) == 0);
	stage->memory =
		mmap(NULL, CONFORM_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, stage->memory_fd, 0);
	CHECK(stage->memory != MAP_FAILED);
	return stage;
}

static void stage_free(struct stage *stage)
{
	place_fini(stage);
	close(stage->memory_fd);
	munmap(stage->memory, CONFORM_MEMORY);
	munmap(stage, sizeof(*stage));
}

static void play(const struct property *property, enum conform_class class)
{
	struct stage *stage = stage_new(property, class);

	here = stage;
	playing = property;
	for (uint32_t i = 0; i < property->size; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0)
			rank_main(stage, property, i);
		atomic_store(&stage->pid[i], pid);
	}
	if (property->control)
		property->control(stage);
	ranks_collect(stage);
	here = NULL;
	stage_free(stage);
}

/* 0: no such class. */
static enum conform_class class_named(const char *name)
{
	if (strcmp(name, "mapped") == 0)
		return CONFORM_MAPPED;
	if (strcmp(name, "served") == 0)
		return CONFORM_SERVED;
	return strcmp(name, "fabric") == 0 ? CONFORM_FABRIC : 0;
}

static bool wanted(const struct property *property, enum conform_class class, const char *word)
{
	bool mixed = transport_is_mixed();

	if (word && !strstr(property->name, word))
		return false;
	if (property->classes & CONFORM_MIXED)
		return mixed;
	return (property->classes & class) && (!mixed || property->size > 2);
}

int conform_main(int argc, char **argv, const struct property *property, size_t count)
{
	const char *transport = getenv("FARBUS_TRANSPORT");
	enum conform_class class;
	unsigned int played = 0;

	class = argc == 2 || argc == 3 ? class_named(argv[1]) : 0;
	if (!class) {
		fprintf(stderr, "usage: %s mapped|served|fabric [WORD]\n", argv[0]);
		return 2;
	}
	for (size_t i = 0; i < count; i++) {
		if (!wanted(&property[i], class, argc == 3 ? argv[2] : NULL))
			continue;
		fflush(stdout);
		play(&property[i], class);
		printf("pass %-6s %-6s %s\n", transport ? transport : "auto", argv[1],
		       property[i].name);
		played++;
	}
	printf("%u properties\n", played);
	return played ? 0 : 77;
}
