/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run_client.c -- a rank that does what a test of farbus-run asks for
 *
 *   run_client WHAT [argument...]
 */
#include "base/clock.h"
#include "base/config.h"
#include "base/error.h"
#include "runtime/boot/boot.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_NS (20 * NS_PER_S)

static struct boot *boot;
static struct boot_info info;

static void die(const char *what)
{
	fprintf(stderr, "run_client: %s: %s\n", what, error_text());
	exit(99);
}

static void open_boot(void)
{
	struct config config;

	if (config_load(&config) < 0 || boot_open(&config, TIMEOUT_NS, &boot, &info) < 0)
		die("boot_open");
}

static uint32_t rank_here(void)
{
	const char *text = getenv("PMI_RANK");

	return text ? (uint32_t)atoi(text) : 0;
}

static void blob_make(uint32_t rank, unsigned char blob[BOOT_VALUE_MAX])
{
	for (uint32_t i = 0; i < BOOT_VALUE_MAX; i++)
		blob[i] = (unsigned char)(rank * 31 + i);
}

/* Everybody's largest blob reaches everybody, twice. */
static int fence(void)
{
	unsigned char blob[BOOT_VALUE_MAX], got[BOOT_VALUE_MAX];
	char key[BOOT_KEY_MAX];
	size_t len;

	open_boot();
	for (int round = 0; round < 2; round++) {
		blob_make(info.rank + (uint32_t)round, blob);
		snprintf(key, sizeof(key), "blob-%d-%u", round, info.rank);
		if (boot_put(boot, key, blob, sizeof(blob)) < 0)
			die("boot_put");
		if (boot_fence(boot, TIMEOUT_NS) < 0)
			die("boot_fence");
		for (uint32_t i = 0; i < info.size; i++) {
			snprintf(key, sizeof(key), "blob-%d-%u", round, i);
			if (boot_get(boot, key, got, sizeof(got), &len, TIMEOUT_NS) < 0)
				die("boot_get");
			blob_make(i + (uint32_t)round, blob);
			if (len != sizeof(blob) || memcmp(got, blob, len) != 0)
				die("a wrong blob");
		}
	}
	printf("fenced %s %u/%u local %u/%u\n", info.source, info.rank, info.size, info.local_rank,
	       info.local_size);
	boot_close(boot);
	return 0;
}

/* As little as there is to do before a first barrier. */
static int barrier(void)
{
	open_boot();
	if (boot_fence(boot, TIMEOUT_NS) < 0)
		die("boot_fence");
	boot_close(boot);
	return 0;
}

/* RANK CODE: that rank aborts, the others wait in a fence. */
static int abort_one(char **argv)
{
	open_boot();
	if (info.rank == (uint32_t)atoi(argv[0]))
		boot_abort(boot, atoi(argv[1]), "as asked");
	else
		(void)boot_fence(boot, TIMEOUT_NS);
	return 98; /* the launcher did not end us */
}

/* RANK: that rank leaves, the others wait in a fence. */
static int leave(char **argv)
{
	int err;

	open_boot();
	if (info.rank == (uint32_t)atoi(argv[0]))
		return 0;
	err = boot_fence(boot, TIMEOUT_NS);
	printf("fence %d: %s\n", err, err < 0 ? error_text() : "");
	return err < 0 ? 0 : 98;
}

/* RANK CODE: that rank leaves, and ends later with this code, or with 0 never; the others wait in a fence. */
static int linger(char **argv)
{
	open_boot();
	if (info.rank != (uint32_t)atoi(argv[0]))
		return boot_fence(boot, TIMEOUT_NS) < 0 ? 0 : 98;
	boot_close(boot);
	if (atoi(argv[1]) == 0)
		for (;;)
			pause();
	usleep(100000); /* the launcher has time to do it wrong */
	puts("last words");
	return atoi(argv[1]);
}

/* Opens twice: the second time must be refused, and the first still works. */
static int twice(void)
{
	struct config config;
	struct boot *second;
	struct boot_info other;
	int err;

	open_boot();
	if (config_load(&config) < 0)
		die("config_load");
	err = boot_open(&config, TIMEOUT_NS, &second, &other);
	printf("second %s: %s\n", err == -EEXIST ? "EEXIST" : "not refused", error_text());
	if (boot_fence(boot, TIMEOUT_NS) < 0)
		die("boot_fence");
	boot_close(boot);
	return 0;
}

/*
 * TEXT: rank 0 sends it to the launcher as it is, rank 1 waits in a fence, the others never come
 * to it: whatever rank 0 says, the fence does not end.
 */
static int raw(char **argv)
{
	char byte;

	while (rank_here() > 1)
		pause();
	if (rank_here() == 1) {
		open_boot();
		(void)boot_fence(boot, TIMEOUT_NS);
		return 98;
	}
	if (send(atoi(getenv("PMI_FD")), argv[0], strlen(argv[0]), 0) < 0)
		return 97;
	while (recv(atoi(getenv("PMI_FD")), &byte, 1, 0) > 0)
		;
	for (;;)
		pause();
}

/* More bytes than a line may have, without a newline. */
static void __attribute__((noreturn)) flood(void)
{
	char noise[1024];

	memset(noise, 'x', sizeof(noise));
	while (send(atoi(getenv("PMI_FD")), noise, sizeof(noise), MSG_NOSIGNAL) > 0)
		;
	for (;;)
		pause();
}

/* [ignore]: says its pid, then waits to be ended. */
static void __attribute__((noreturn)) wait_for_end(char **argv)
{
	if (argv[0] && strcmp(argv[0], "ignore") == 0)
		signal(SIGTERM, SIG_IGN);
	printf("pid %d\n", (int)getpid());
	fflush(stdout);
	for (;;)
		pause();
}

/* Leaves a process of its own behind, which holds our output open. */
static int offspring(char **argv)
{
	pid_t child = fork();

	if (child == 0) {
		for (;;)
			pause();
	}
	printf("pid %d\n", (int)child);
	fflush(stdout);
	if (argv[0])
		return 0;
	printf("pid %d\n", (int)getpid());
	fflush(stdout);
	for (;;)
		pause();
}

/* Says which signals come, until SIGTERM. */
static int signals(void)
{
	sigset_t set;
	int signal;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGCONT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("pid %d\n", (int)getpid());
	fflush(stdout);
	do {
		if (sigwait(&set, &signal) != 0)
			return 1;
		printf("signal %s\n", sigabbrev_np(signal));
		fflush(stdout);
	} while (signal != SIGTERM);
	return 0;
}

/* LINES: each line in three writes, numbered, with its rank in every word. */
static int lines(char **argv)
{
	uint32_t rank = rank_here();
	char text[64];

	for (int i = 0; i < atoi(argv[0]); i++) {
		size_t len =
			(size_t)snprintf(text, sizeof(text), "line %u %d of %u\n", rank, i, rank);

		for (size_t at = 0; at < len;) {
			size_t n = len - at < 7 ? len - at : 7;
			ssize_t done = write(i % 2 ? 1 : 2, text + at, n);

			if (done < 0)
				return 1;
			at += (size_t)done;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "fence") == 0)
		return fence();
	if (strcmp(what, "barrier") == 0)
		return barrier();
	if (strcmp(what, "abort") == 0 && argc == 4)
		return abort_one(argv + 2);
	if (strcmp(what, "leave") == 0 && argc == 3)
		return leave(argv + 2);
	if (strcmp(what, "linger") == 0 && argc == 4)
		return linger(argv + 2);
	if (strcmp(what, "twice") == 0)
		return twice();
	if (strcmp(what, "raw") == 0 && argc == 3)
		return raw(argv + 2);
	if (strcmp(what, "flood") == 0)
		flood();
	if (strcmp(what, "wait") == 0)
		wait_for_end(argv + 2);
	if (strcmp(what, "offspring") == 0)
		return offspring(argv + 2);
	if (strcmp(what, "signals") == 0)
		return signals();
	if (strcmp(what, "lines") == 0 && argc == 3)
		return lines(argv + 2);
	fprintf(stderr, "run_client: what is \"%s\"?\n", what);
	return 96;
}
