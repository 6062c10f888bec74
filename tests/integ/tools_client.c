/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tools_client.c -- a process that farbus-stat and farbus-info are pointed at by tools.sh
 *
 *   tools_client counters [DIRECTORY]   a process page with known counts, without an instance
 *   tools_client answer PID INSTANCE FILE
 *                                       listens as farbus-info.PID.INSTANCE (PID 0: its own) and
 *                                       answers each connection with what FILE has then
 *
 * Each prints "ready" and its facts when it is, and ends when its standard input does.
 */
#include "base/counter.h"
#include "base/error.h"
#include "base/process_page.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "tools_client: %s: %s\n", what, error_text());
	exit(99);
}

/* Standard input is at its end: the test that started us is done, or gone. */
static void input_wait(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

static int counters(const char *dir)
{
	struct process_slot *slot;

	if (process_get(dir) < 0)
		die("process_get");
	process_instance_add(70007, 7, 0xabcdef);
	process_instance_add(80008, 8, 0xabcdef);
	process_instance_remove(80008);
	counter_add(COUNTER_grant_made, 11);
	slot = process_slot_self();
	if (!slot)
		die("process_slot_self");
	slot->counter[PROCESS_PUT_OPS] = 1234;
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	/* One more count per line of input, for --interval. */
	for (char byte; read(STDIN_FILENO, &byte, 1) > 0;)
		counter_add(COUNTER_grant_made, 1);
	return 0;
}

/* Everything it answers with, so that a test can give any bytes at all. */
static void answer_one(int listener, const char *file)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), in;
	char data[65536];
	ssize_t n;

	if (fd < 0)
		return;
	in = open(file, O_RDONLY | O_CLOEXEC);
	while (in >= 0 && (n = read(in, data, sizeof(data))) > 0)
		if (send(fd, data, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	if (in >= 0)
		close(in);
	close(fd);
}

static int answer(const char *pid, const char *instance, const char *file)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct pollfd polled[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
				    { .events = POLLIN } };
	int len, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int named = atoi(pid) ? atoi(pid) : (int)getpid();

	len = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "farbus-info.%d.%s", named,
		       instance);
	if (fd < 0 ||
	    bind(fd, (struct sockaddr *)&addr,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) < 0 ||
	    listen(fd, 4) < 0)
		die("listen");
	printf("ready %d\n", named);
	fflush(stdout);
	polled[1].fd = fd;
	while (poll(polled, 2, -1) > 0) {
		if (polled[1].revents)
			answer_one(fd, file);
		if (polled[0].revents)
			break;
	}
	input_wait();
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "counters") == 0)
		return counters(argv[2]);
	if (argc == 5 && strcmp(argv[1], "answer") == 0)
		return answer(argv[2], argv[3], argv[4]);
	fprintf(stderr, "tools_client: see the head of tools_client.c\n");
	return 99;
}
