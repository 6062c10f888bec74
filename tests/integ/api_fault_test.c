/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * api_fault_test.c -- the public calls when memory, descriptors or room run out
 *
 * Each test runs in a forked child, so that it starts with a process that never opened farbus,
 * and may lower its limits. A call that failed must have said why in one line, and left no
 * descriptor and no mapping behind.
 */
#include "base/alloc.h"
#include <dirent.h>
#include <errno.h>
#include <farbus/farbus.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FAULT_MAX 5000 /* allocations of one call; a bound, not an expectation */
#define TIMEOUT_MS 300 /* some faults swallow an answer: then this is what is waited for */
#define SKIP 77

#define CHECK(x) check(x, #x, __LINE__)

static void check(bool ok, const char *what, int line)
{
	if (ok)
		return;
	alloc_fault_arm(0);
	fprintf(stderr, "line %d: %s (%s)\n", line, what, farbus_last_error());
	_exit(1);
}

/* Runs the body in a child; its exit code 77 skips the test. */
static void in_child(void (*body)(void))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		body();
		exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIP)
		skip();
	assert_int_equal(status, 0);
}

static unsigned int fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	CHECK(dir != NULL);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static unsigned int map_count(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	char line[512];

	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, "memfd:farbus") && !strstr(line, "memfd:farbus-counters");
	fclose(file);
	return n;
}

static void said_why(int err)
{
	const char *text = farbus_last_error();

	CHECK(err < 0);
	CHECK(text[0] && !strchr(text, '\n'));
}

static int open_alone(struct farbus **ret_farbus)
{
	struct farbus_conf conf = { .timeout_ms = TIMEOUT_MS };

	return farbus_open(&conf, ret_farbus);
}

/* ---- the n-th allocation fails ---- */

struct subject {
	struct farbus *farbus;
	struct farbus_region *region, *result;
	struct farbus_token token, result_token;
	uint8_t *memory;
	void *va;
};

/* One call of which every allocation is to fail once, and what undoes it. */
struct call {
	const char *name;
	int (*run)(struct subject *subject);
	void (*undo)(struct subject *subject);
};

static int run_alloc(struct subject *subject)
{
	return farbus_region_alloc(subject->farbus, 8192, 0, &subject->result);
}

static int __attribute__((unused)) run_alloc_same_va(struct subject *subject)
{
	return farbus_region_alloc(subject->farbus, 8192, FARBUS_REGION_SAME_VA, &subject->result);
}

static int run_adopt_served(struct subject *subject)
{
	struct farbus_memory memory = { .fd = -1, .va = subject->memory, .len = 4096 };

	return farbus_region_adopt(subject->farbus, &memory, &subject->result);
}

static int run_adopt_replace(struct subject *subject)
{
	struct farbus_memory memory = {
		.fd = -1, .va = subject->memory, .len = 4096, .flags = FARBUS_ADOPT_REPLACE
	};

	return farbus_region_adopt(subject->farbus, &memory, &subject->result);
}

static int run_import(struct subject *subject)
{
	return farbus_region_import(subject->farbus, &subject->token, TIMEOUT_MS, &subject->result);
}

static void undo_region(struct subject *subject)
{
	CHECK(farbus_region_release(subject->result) == 0);
	subject->result = NULL;
}

static int run_grant(struct subject *subject)
{
	return farbus_region_grant(subject->region, 0, 4096, FARBUS_R, NULL,
				   &subject->result_token);
}

static void undo_grant(struct subject *subject)
{
	CHECK(farbus_region_revoke(subject->farbus, &subject->result_token, 0, TIMEOUT_MS) == 0);
}

static int run_map(struct subject *subject)
{
	return farbus_map(subject->region, 0, 8192, PROT_READ, 0, &subject->va);
}

static void undo_map(struct subject *subject)
{
	CHECK(farbus_unmap(subject->farbus, subject->va, 8192) == 0);
}

/* A hole makes two windows of one. When it cannot be made, the window is whole as before. */
static int run_hole(struct subject *subject)
{
	uint8_t *va = NULL;
	void *map = NULL;
	int err = farbus_map(subject->region, 0, 16384, PROT_READ, 0, &map);

	if (err < 0)
		return err;
	va = map;
	err = farbus_unmap(subject->farbus, va + 4096, 4096);
	if (err < 0) {
		CHECK(va[4096] == 0);
		CHECK(farbus_unmap(subject->farbus, va, 16384) == 0);
		return err;
	}
	CHECK(farbus_unmap(subject->farbus, va + 4096, 4096) == -ENOENT);
	CHECK(farbus_unmap(subject->farbus, va, 4096) == 0);
	CHECK(farbus_unmap(subject->farbus, va + 8192, 8192) == 0);
	return 0;
}

static int run_publish(struct subject *subject)
{
	static unsigned int n;
	char name[32];

	snprintf(name, sizeof(name), "name-%u", n++);
	return farbus_publish(subject->farbus, name, &subject->token);
}

static int run_lookup(struct subject *subject)
{
	return farbus_lookup(subject->farbus, "there", TIMEOUT_MS, &subject->result_token);
}

static int run_barrier(struct subject *subject)
{
	uint64_t sum = 1;
	int err = farbus_barrier(subject->farbus, TIMEOUT_MS);

	if (err < 0)
		return err;
	return farbus_allreduce(subject->farbus, &sum, 1, FARBUS_U64, FARBUS_SUM, TIMEOUT_MS);
}

static void undo_nothing(struct subject *subject)
{
	(void)subject;
}

static const struct call call[] = {
	{ "alloc", run_alloc, undo_region },
#ifndef __SANITIZE_THREAD__ /* its map of the address space has no room for the arena */
	{ "alloc SAME_VA", run_alloc_same_va, undo_region },
#endif
	{ "adopt", run_adopt_served, undo_region },
	{ "adopt REPLACE", run_adopt_replace, undo_region },
	{ "import", run_import, undo_region },
	{ "grant", run_grant, undo_grant },
	{ "map", run_map, undo_map },
	{ "unmap a part", run_hole, undo_nothing },
	{ "publish", run_publish, undo_nothing },
	{ "lookup", run_lookup, undo_nothing },
	{ "barrier, allreduce", run_barrier, undo_nothing },
};

static void subject_make(struct subject *subject)
{
	memset(subject, 0, sizeof(*subject));
	CHECK(open_alone(&subject->farbus) == 0);
	CHECK(farbus_region_alloc(subject->farbus, 16384, 0, &subject->region) == 0);
	CHECK(farbus_region_grant(subject->region, 0, 8192, FARBUS_R | FARBUS_W, NULL,
				  &subject->token) == 0);
	CHECK(farbus_publish(subject->farbus, "there", &subject->token) == 0);
	subject->memory =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(subject->memory != MAP_FAILED);
}

/*
 * One fault, in a process of its own: what it breaks for good is not the next one's business.
 * Exit code 2: no allocation was left to fail.
 */
static void fault_once(const struct call *each, unsigned long n)
{
	struct subject subject;
	unsigned int fds, maps;
	bool fired;
	int err;

	subject_make(&subject);
	/* What is made once and kept is there afterwards. */
	if (each->run(&subject) == 0)
		each->undo(&subject);
	fds = fd_count();
	maps = map_count();
	alloc_fault_arm(n);
	err = each->run(&subject);
	fired = alloc_fault_fired();
	alloc_fault_arm(0);
	if (err == 0)
		each->undo(&subject);
	else
		said_why(err);
	CHECK(err == 0 || fired);
	/* At once: not when some deadline is over. */
	CHECK(err == 0 || err == -ENOMEM || err == -EMFILE || err == -ENOSPC);
	CHECK(fd_count() == fds);
	CHECK(map_count() == maps);
	CHECK(farbus_close(subject.farbus) == 0);
	CHECK(map_count() == (subject.memory && strstr(each->name, "REPLACE") ? 1u : 0u));
	exit(fired ? 0 : 2);
}

/* Not a single process for all faults: a failed one may cost the link to oneself. */
static void calls__every_allocation_fails_once__error_and_no_leak(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(call) / sizeof(call[0]); i++) {
		unsigned long n = 1;
		int status = 0;

		for (; n < FAULT_MAX; n++) {
			pid_t pid;

			fflush(stdout);
			pid = fork();
			assert_true(pid >= 0);
			if (pid == 0)
				fault_once(&call[i], n);
			assert_int_equal(waitpid(pid, &status, 0), pid);
			if (status)
				break;
		}
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 2)
			fail_msg("%s: allocation %lu: status 0x%x", call[i].name, n,
				 (unsigned int)status);
		printf("%-20s %lu faults\n", call[i].name, n - 1);
	}
}

static void open_faults(void)
{
	struct farbus *farbus = NULL;
	unsigned int fds = 0;
	unsigned long n;
	bool fired = true;

	for (n = 1; n < FAULT_MAX && fired; n++) {
		int err;

		farbus = NULL;
		alloc_fault_arm(n);
		err = open_alone(&farbus);
		fired = alloc_fault_fired();
		alloc_fault_arm(0);
		CHECK(err < 0 || farbus);
		CHECK(err == 0 || (fired && !farbus));
		CHECK(err == 0 || err == -ENOMEM || err == -EMFILE || err == -ENOSPC);
		if (err < 0)
			said_why(err);
		CHECK(farbus_close(farbus) == 0);
		/* The counters stay from the first time on. */
		if (n == 1)
			fds = fd_count();
		CHECK(fd_count() <= fds + 1);
		fds = fd_count() > fds ? fd_count() : fds;
		CHECK(map_count() == 0);
	}
	printf("%-20s %lu faults\n", "open", n - 2);
	CHECK(n > 10 && n < FAULT_MAX);
	CHECK(open_alone(&farbus) == 0);
	CHECK(farbus_close(farbus) == 0);
}

static void open__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	(void)state;
	in_child(open_faults);
}

/* ---- descriptors ---- */

static void fd_limit(unsigned int n)
{
	struct rlimit limit;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = n;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* The call succeeds at some number of descriptors, and below it fails without a leak. */
static unsigned int fd_climb(struct subject *subject, const struct call *each)
{
	unsigned int before = fd_count(), open_max = before + 64, n, refused = 0;

	for (n = before - 3; n < open_max; n++) {
		int err;

		fd_limit(n);
		err = each->run(subject);
		fd_limit(1024);
		if (err == 0)
			break;
		said_why(err);
		CHECK(err == -EMFILE || err == -ENOSPC || err == -EPROTO || err == -EHOSTDOWN ||
		      err == -ECONNREFUSED);
		CHECK(fd_count() == before);
		CHECK(map_count() == (subject->region ? 2u : 0u));
		refused++;
	}
	CHECK(n < open_max);
	each->undo(subject);
	return refused;
}

static int run_open(struct subject *subject)
{
	return open_alone(&subject->farbus);
}

static void undo_open(struct subject *subject)
{
	CHECK(farbus_close(subject->farbus) == 0);
	subject->farbus = NULL;
}

static void descriptors_run_out(void)
{
	static const struct call open_call = { "open", run_open, undo_open };
	struct subject subject = { 0 };

	/* The counters are made once. */
	CHECK(open_alone(&subject.farbus) == 0);
	CHECK(farbus_close(subject.farbus) == 0);
	CHECK(fd_climb(&subject, &open_call) > 3);
	subject_make(&subject);
	CHECK(fd_climb(&subject, &call[0]) >= 1); /* alloc */
	CHECK(fd_climb(&subject, &call[0]) >= 1);
	fd_limit(1024);
	CHECK(farbus_barrier(subject.farbus, TIMEOUT_MS) == 0);
	CHECK(farbus_close(subject.farbus) == 0);
}

static void open_alloc__descriptors_run_out__emfile_and_no_leak(void **state)
{
	(void)state;
	in_child(descriptors_run_out);
}

/* ---- room for the counter file ---- */

static void disk_full(void)
{
	char dir[] = "/tmp/farbus-test-XXXXXX";
	struct farbus *farbus = NULL;
	unsigned int fds = fd_count();
	struct dirent *entry;
	DIR *left;
	int err;

	CHECK(mkdtemp(dir) != NULL);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("farbus-test", dir, "tmpfs", 0, "size=16k") < 0) {
		rmdir(dir);
		exit(SKIP); /* only root can make a full disk */
	}
	setenv("FARBUS_RUN_DIR", dir, 1);
	err = open_alone(&farbus);
	CHECK(err == -ENOSPC);
	said_why(err);
	CHECK(strstr(farbus_last_error(), dir) != NULL);
	left = opendir(dir);
	CHECK(left != NULL);
	while ((entry = readdir(left)))
		CHECK(entry->d_name[0] == '.');
	closedir(left);
	CHECK(fd_count() == fds);
	/* Elsewhere it works, in the same process. */
	unsetenv("FARBUS_RUN_DIR");
	CHECK(open_alone(&farbus) == 0);
	CHECK(farbus_close(farbus) == 0);
	CHECK(umount(dir) == 0);
	rmdir(dir);
}

static void open__disk_of_the_counters_full__enospc_and_no_file(void **state)
{
	(void)state;
	in_child(disk_full);
}

static void run_dir_missing(void)
{
	struct farbus *farbus = NULL;
	int err;

	setenv("FARBUS_RUN_DIR", "/nonexistent/farbus", 1);
	err = open_alone(&farbus);
	CHECK(err == -ENOENT);
	CHECK(strstr(farbus_last_error(), "FARBUS_RUN_DIR=/nonexistent/farbus") != NULL);
	setenv("FARBUS_RUN_DIR", "/dev/null", 1);
	err = open_alone(&farbus);
	CHECK(err == -ENOENT);
	CHECK(strstr(farbus_last_error(), "FARBUS_RUN_DIR=/dev/null") != NULL);
}

static void open__run_dir_is_none__error_names_it(void **state)
{
	(void)state;
	in_child(run_dir_missing);
}

/* ---- the launcher ---- */

static void launcher_missing(void)
{
	struct farbus *farbus = NULL;
	int err;

	setenv("FARBUS_BOOT", "pmi1", 1);
	err = open_alone(&farbus);
	CHECK(err == -EINVAL && strstr(farbus_last_error(), "farbus-run"));
	setenv("PMI_FD", "999", 1);
	err = open_alone(&farbus);
	CHECK(err < 0 && strstr(farbus_last_error(), "PMI_FD"));
	said_why(err);
	setenv("FARBUS_BOOT", "smoke signals", 1);
	err = open_alone(&farbus);
	CHECK(err == -EINVAL && strstr(farbus_last_error(), "FARBUS_BOOT=smoke signals"));
	CHECK(!farbus);
}

static void open__launcher_missing__error_says_how_to_start(void **state)
{
	(void)state;
	in_child(launcher_missing);
}

/* ---- address space ---- */

static void address_space(void)
{
	struct rlimit limit = { 0 };
	struct subject subject;
	unsigned int fds;
	int err;

#ifdef FARBUS_SANITIZE
	exit(SKIP); /* a sanitizer takes more address space than any limit */
#endif
	subject_make(&subject);
	fds = fd_count();
	CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
	limit.rlim_cur = (rlim_t)1 << 32;
	CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	err = farbus_region_alloc(subject.farbus, (size_t)5 << 30, 0, &subject.result);
	CHECK(err == -ENOMEM);
	said_why(err);
	CHECK(fd_count() == fds && map_count() == 2);
	CHECK(run_alloc(&subject) == 0);
	undo_region(&subject);
	CHECK(farbus_close(subject.farbus) == 0);
}

static void region_alloc__address_space_runs_out__enomem_and_no_leak(void **state)
{
	(void)state;
	in_child(address_space);
}

static void file_size(void)
{
	struct rlimit limit = { 1 << 20, 1 << 20 };
	struct subject subject;
	int err;

	subject_make(&subject);
	signal(SIGXFSZ, SIG_IGN);
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	err = farbus_region_alloc(subject.farbus, 4 << 20, 0, &subject.result);
	CHECK(err == -ENOMEM && strstr(farbus_last_error(), "RLIMIT_FSIZE"));
	CHECK(run_alloc(&subject) == 0);
	undo_region(&subject);
	CHECK(farbus_close(subject.farbus) == 0);
}

static void region_alloc__file_size_limited__enomem_names_the_limit(void **state)
{
	(void)state;
	in_child(file_size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open__every_allocation_fails_once__enomem_and_no_leak),
		cmocka_unit_test(calls__every_allocation_fails_once__error_and_no_leak),
		cmocka_unit_test(open_alloc__descriptors_run_out__emfile_and_no_leak),
		cmocka_unit_test(open__disk_of_the_counters_full__enospc_and_no_file),
		cmocka_unit_test(open__run_dir_is_none__error_names_it),
		cmocka_unit_test(open__launcher_missing__error_says_how_to_start),
		cmocka_unit_test(region_alloc__address_space_runs_out__enomem_and_no_leak),
		cmocka_unit_test(region_alloc__file_size_limited__enomem_names_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
