/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dest.c -- the end where the guest arrives
 *
 * QEMU is told not to run what it loads. It runs when the source has said that it has let go, and
 * never before; so at no time two of them run.
 */
#include "apps/farbus-migrate/migrate.h"
#include "apps/farbus-migrate/talk.h"

#include "apps/common/tool.h"
#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct dest {
	const struct options *options;
	struct qmp qmp;
	struct talk talk;
	struct ram ram[OPTIONS_RAM_MAX];
	uint32_t ram_count;
	char dir[128], path[160];
	int fd; /* to QEMU */
	int signals;
	pthread_t forward;
	bool forwards;
	enum talk_word heard;
};

/* Stream: from the source to QEMU. */
static void *forward_thread(void *arg)
{
	static uint8_t buffer[65536];
	struct dest *dest = arg;
	size_t len = 1;

	while (len > 0 && talk_receive(&dest->talk, buffer, sizeof(buffer), &len) == 0 &&
	       all_write(dest->fd, buffer, len) == 0)
		;
	/* At the clean end QEMU has all of it, and may still have to answer. */
	shutdown(dest->fd, len == 0 ? SHUT_WR : SHUT_RDWR);
	return NULL;
}

/* Somebody else has to be able to write all of it. */
static int ram_check(const struct dest *dest)
{
	for (uint32_t i = 0; i < dest->ram_count; i++)
		if (dest->ram[i].fd < 0)
			return error_set(-ENOTSUP,
					 "RAM %s is private memory, or a memfd that cannot be "
					 "told apart: start this QEMU with a memory backend "
					 "that has share=on, or give --ram",
					 dest->ram[i].name);
	if (dest->ram_count == 0)
		return error_set(-ENOTSUP,
				 "this QEMU has no memory backend: give it -object "
				 "memory-backend-file,share=on,... and -machine memory-backend=");
	return 0;
}

static int qemu_prepare(struct dest *dest)
{
	char status[32];
	int err = qmp_open(dest->options->qmp, &dest->qmp);

	if (err == 0)
		err = qmp_text(&dest->qmp, "query-status", "status", status, sizeof(status));
	if (err == 0 && strcmp(status, "inmigrate") != 0)
		err = error_set(-EBUSY, "this QEMU is '%s': start one with -incoming defer",
				status);
	/* It was told to run by itself: not before the source has let go. */
	if (err == 0)
		err = qmp_call(&dest->qmp, "stop", NULL, NULL);
	if (err == 0)
		err = capability_set(&dest->qmp, "return-path", true);
	if (err == 0)
		err = ram_find(&dest->qmp, dest->options, dest->ram, &dest->ram_count);
	return err < 0 ? err : ram_check(dest);
}

static int qemu_connect(struct dest *dest)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char uri[192];
	int err = socket_dir(dest->dir, sizeof(dest->dir));

	if (err < 0)
		return err;
	snprintf(dest->path, sizeof(dest->path), "%s/in", dest->dir);
	snprintf(uri, sizeof(uri), "unix:%s", dest->path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", dest->path);
	err = qmp_call(&dest->qmp, "migrate-incoming", json_pack("{s:s}", "uri", uri), NULL);
	if (err < 0)
		return err;
	dest->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (dest->fd < 0 || connect(dest->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(-EIO, "QEMU does not take the stream: %s", strerror(errno));
	return 0;
}

/* Answers: from QEMU to the source, until QEMU is done or the source is heard of. */
static int answers_carry(struct dest *dest)
{
	static uint8_t buffer[65536];
	struct pollfd ready[2] = { { dest->fd, POLLIN, 0 }, { dest->signals, POLLIN, 0 } };

	for (;;) {
		ssize_t got;
		int err = poll(ready, 2, 100) < 0 && errno != EINTR ? -EIO : 0;

		if (ready[1].revents)
			return error_set(-ECANCELED, "given up by a signal");
		if (err == 0)
			err = talk_alive(&dest->talk);
		if (err == 0 && talk_hear(&dest->talk, TALK_NOTHING, 0, &dest->heard) == 0)
			return 0;
		if (err < 0)
			return err;
		if (!ready[0].revents)
			continue;
		got = read(dest->fd, buffer, sizeof(buffer));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return talk_send_end(&dest->talk);
		err = talk_send(&dest->talk, buffer, (size_t)got);
		if (err < 0)
			return err;
	}
}

/* The source let go. */
static int guest_take(struct dest *dest)
{
	uint64_t end = clock_now_ns() + MIGRATE_COMMIT_MS * NS_PER_MS;
	char status[32] = "";
	int err = 0;

	while (err == 0 && strcmp(status, "paused") != 0) {
		err = qmp_text(&dest->qmp, "query-status", "status", status, sizeof(status));
		if (err == 0 && strcmp(status, "inmigrate") != 0 && strcmp(status, "paused") != 0)
			return error_set(-EPROTO, "QEMU has taken the guest, but is '%s'", status);
		if (clock_now_ns() > end)
			return error_set(-ETIMEDOUT, "QEMU does not finish loading");
	}
	if (err == 0 && dest->heard == TALK_COMMIT_RUN && !dest->options->paused)
		err = qmp_call(&dest->qmp, "cont", NULL, NULL);
	return err;
}

/* Nothing came of it; what QEMU has loaded must not run. */
static int give_up(struct dest *dest, bool said)
{
	tool_complain(MIGRATE_TOOL);
	if (!said)
		talk_say(&dest->talk, TALK_FAILED);
	qmp_call(&dest->qmp, "quit", NULL, NULL);
	return MIGRATE_EXIT_STAYED;
}

/* The source is gone, and it is not known whether it let go. */
static int held(struct dest *dest)
{
	char status[32] = "";

	tool_complain(MIGRATE_TOOL);
	if (qmp_text(&dest->qmp, "query-status", "status", status, sizeof(status)) < 0 ||
	    strcmp(status, "inmigrate") == 0)
		return MIGRATE_EXIT_STAYED;
	fprintf(stderr,
		MIGRATE_TOOL ": the guest was loaded and is held here, paused. If it does not run "
			     "at the source: " MIGRATE_TOOL " resume --here --qmp %s\n",
		dest->options->qmp);
	return MIGRATE_EXIT_UNKNOWN;
}

static int settle(struct dest *dest, int err)
{
	if (err == -ECANCELED)
		return give_up(dest, false);
	if (err == 0 && dest->heard == TALK_NOTHING)
		err = talk_hear(&dest->talk, TALK_NOTHING, MIGRATE_COMMIT_MS, &dest->heard);
	if (err < 0)
		return held(dest);
	if (dest->heard == TALK_FAILED) {
		error_set(-ECANCELED, "the source gave up; the guest stays there");
		return give_up(dest, true);
	}
	if (dest->heard != TALK_COMMIT_RUN && dest->heard != TALK_COMMIT_PAUSED) {
		error_set(-EPROTO, "the source says what it cannot say");
		return held(dest);
	}
	err = guest_take(dest);
	if (err < 0)
		return held(dest);
	talk_say(&dest->talk, TALK_RUNNING);
	fprintf(stderr, MIGRATE_TOOL ": the guest is here%s\n",
		dest->options->paused	       ? ", paused" :
		dest->heard == TALK_COMMIT_RUN ? ", and runs" :
						 ", paused as it was");
	return MIGRATE_EXIT_MOVED;
}

static int carry(struct dest *dest)
{
	int err = talk_open(dest->options, dest->ram, dest->ram_count, &dest->talk);
	if (err < 0)
		return err;
	err = qemu_connect(dest);
	if (err < 0)
		return err;
	if (pthread_create(&dest->forward, NULL, forward_thread, dest) != 0)
		return error_set(-EMFILE, "no thread to forward the stream");
	dest->forwards = true;
	err = talk_say(&dest->talk, TALK_READY);
	return err < 0 ? err : answers_carry(dest);
}

static void dest_close(struct dest *dest)
{
	talk_break(&dest->talk, -ECANCELED);
	if (dest->fd >= 0)
		shutdown(dest->fd, SHUT_RDWR);
	if (dest->forwards)
		pthread_join(dest->forward, NULL);
	if (dest->fd >= 0)
		close(dest->fd);
	talk_close(&dest->talk);
	qmp_close(&dest->qmp);
	ram_close(dest->ram, dest->ram_count);
	if (dest->dir[0]) {
		unlink(dest->path);
		rmdir(dest->dir);
	}
}

int dest_run(const struct options *options)
{
	static struct dest dest = { .fd = -1, .qmp = { .fd = -1 } };
	int code = MIGRATE_EXIT_STAYED, err;

	dest.options = options;
	dest.signals = signals_open();
	err = qemu_prepare(&dest);
	if (err < 0) {
		tool_complain(MIGRATE_TOOL);
	} else {
		err = carry(&dest);
		if (dest.forwards) {
			code = settle(&dest, err);
		} else {
			tool_complain(MIGRATE_TOOL);
			if (dest.talk.farbus)
				talk_say(&dest.talk, TALK_FAILED);
		}
	}
	dest_close(&dest);
	return code;
}
