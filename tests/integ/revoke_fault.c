/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * revoke_fault.c -- a revoke whose n-th allocation fails: what it returns is true all the same
 *
 *     revoke_fault run|stop N STOP_FILE        (two ranks)
 *
 * Rank 1 stores into a window without end. Rank 0 revokes its grant while allocation N fails, which may
 * cost it the link to rank 1 though both live. stop: rank 1 is stopped meanwhile. If revoke
 * returned 0, no store lands any more. Exit code of rank 0: 0 so it was, 2 there was no N-th
 * allocation, 1 stores landed.
 */
#include "base/alloc.h"

#include <farbus/farbus.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOOKS 20000
#define TIMEOUT_MS 300

static sigjmp_buf out;

static void check(int err, const char *what)
{
	if (err == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, farbus_last_error());
	exit(1);
}

static void on_fault(int signo)
{
	(void)signo;
	siglongjmp(out, 1);
}

/* Meant to race with what takes the window's memory away, which TSAN takes for a write. */
__attribute__((no_sanitize("thread"))) static void store(struct farbus *farbus, const char *stop)
{
	struct sigaction action = { .sa_handler = on_fault };
	struct farbus_region *region;
	struct farbus_token token;
	volatile uint64_t *window;
	void *va = NULL;

	check(farbus_lookup(farbus, "words", FARBUS_TIMEOUT_DEFAULT, &token), "lookup");
	check(farbus_region_import(farbus, &token, FARBUS_TIMEOUT_DEFAULT, &region), "import");
	check(farbus_map(region, 0, 4096, PROT_READ | PROT_WRITE, 0, &va), "map");
	window = va;
	window[1] = (uint64_t)getpid();
	sigaction(SIGBUS, &action, NULL);
	if (sigsetjmp(out, 1) == 0)
		while (access(stop, F_OK) < 0)
			for (int i = 0; i < 1000; i++)
				window[0]++;
	while (access(stop, F_OK) < 0)
		sched_yield();
}

/* Does the word change? */
static int landed(const volatile uint64_t *word, uint64_t seen)
{
	for (int i = 0; i < LOOKS; i++) {
		if (*word != seen)
			return 1;
		sched_yield();
	}
	return 0;
}

static int revoke_once(struct farbus *farbus, unsigned long n, bool stop)
{
	struct farbus_region *region = NULL;
	struct farbus_region_info info;
	struct farbus_token token;
	const volatile uint64_t *word;
	uint64_t seen;
	int err, fired;

	check(farbus_region_alloc(farbus, 4096, 0, &region), "alloc");
	check(farbus_region_grant(region, 0, 4096, FARBUS_R | FARBUS_W, NULL, &token), "grant");
	check(farbus_publish(farbus, "words", &token), "publish");
	check(farbus_region_info(region, &info), "info");
	word = info.va;
	while (!*word)
		sched_yield();
	if (stop)
		kill((pid_t)word[1], SIGSTOP);
	alloc_fault_arm(n);
	err = farbus_region_revoke(farbus, &token, 0, TIMEOUT_MS);
	fired = alloc_fault_fired();
	alloc_fault_arm(0);
	seen = *word;
	if (stop)
		kill((pid_t)word[1], SIGCONT);
	if (err == 0 && landed(word, seen))
		return 1;
	return fired ? 0 : 2;
}

int main(int argc, char **argv)
{
	struct farbus *farbus = NULL;
	struct farbus_self self;
	int code = 0;
	FILE *file;

	if (argc != 4)
		return 64;
	check(farbus_open(NULL, &farbus), "open");
	check(farbus_self(farbus, &self), "self");
	if (self.rank == 1) {
		store(farbus, argv[3]);
		_exit(0); /* it may have been given up: nobody waits for its goodbye */
	}
	code = revoke_once(farbus, strtoul(argv[2], NULL, 10), !strcmp(argv[1], "stop"));
	file = fopen(argv[3], "we");
	if (file)
		fclose(file);
	farbus_close(farbus);
	return code;
}
