/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * source.c -- the end where the guest runs
 *
 * QEMU migrates to a socket of ours. Until it says "completed" it may run the guest again, and does
 * so by itself when the stream ends early. After "completed" it never does; only then is the
 * destination told to run it.
 */
#include "apps/farbus-migrate/migrate.h"
#include "apps/farbus-migrate/place.h"
#include "apps/farbus-migrate/report.h"
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

#define INPUT_SIZE (1u << 18)
#define TICK_MS 100

struct source {
	const struct options *options;
	struct qmp qmp;
	struct talk talk;
	struct ram ram[OPTIONS_RAM_MAX];
	uint32_t ram_count;
	struct place place;
	struct report report;
	char dir[128], path[160];
	int listener, fd; /* fd: from QEMU */
	int signals;
	pthread_t answers;
	bool answered, ran, cancelled;
	enum talk_word heard;
};

/* Return path: from the destination to QEMU. */
static void *answers_thread(void *arg)
{
	static uint8_t buffer[65536];
	struct source *source = arg;
	size_t len = 1;

	while (len > 0 && talk_receive(&source->talk, buffer, sizeof(buffer), &len) == 0 &&
	       all_write(source->fd, buffer, len) == 0)
		;
	shutdown(source->fd, len == 0 ? SHUT_WR : SHUT_RDWR);
	return NULL;
}

static int refuse_capabilities(struct qmp *qmp)
{
	static const struct {
		const char *name, *why;
	} refused[] = {
		{ "multifd", "pages would come on other sockets" },
		{ "xbzrle", "pages would come as differences" },
		{ "compress", "pages would come compressed" },
		{ "x-colo", "it is no move" },
		{ "x-ignore-shared", "the RAM would stay behind" },
		{ "mapped-ram", "it is for files" },
	};
	json_t *list, *item;
	size_t i;
	int err = qmp_call(qmp, "query-migrate-capabilities", NULL, &list);
	if (err < 0)
		return err;
	json_array_foreach(list, i, item)
	{
		const char *name = json_string_value(json_object_get(item, "capability"));

		for (size_t j = 0; name && j < sizeof(refused) / sizeof(refused[0]); j++)
			if (strcmp(name, refused[j].name) == 0 &&
			    json_is_true(json_object_get(item, "state")))
				err = error_set(-ENOTSUP,
						"the capability %s is on, and %s: turn it off",
						name, refused[j].why);
	}
	json_decref(list);
	return err;
}

static int refuse_tls(struct qmp *qmp)
{
	char tls[64];
	int err = qmp_text(qmp, "query-migrate-parameters", "tls-creds", tls, sizeof(tls));

	if (err == 0 && tls[0])
		err = error_set(-ENOTSUP,
				"tls-creds is '%s': the stream could not be read; farbus "
				"authenticates both ends, but does not encrypt",
				tls);
	return err;
}

static int qemu_prepare(struct source *source)
{
	struct qmp *qmp = &source->qmp;
	char status[32];
	int err = qmp_open(source->options->qmp, qmp);

	if (err == 0)
		err = qmp_text(qmp, "query-status", "status", status, sizeof(status));
	if (err < 0)
		return err;
	source->ran = strcmp(status, "running") == 0;
	if (!source->ran && strcmp(status, "paused") != 0)
		return error_set(-EBUSY, "this QEMU is '%s': nothing to move", status);
	err = refuse_capabilities(qmp);
	if (err == 0)
		err = refuse_tls(qmp);
	if (err == 0)
		err = capability_set(qmp, "return-path", true);
	if (err == 0)
		err = qmp_call(qmp, "migrate-set-parameters",
			       json_pack("{s:I, s:I}", "max-bandwidth",
					 (json_int_t)(source->options->bandwidth_mb * 1000000),
					 "downtime-limit",
					 (json_int_t)source->options->downtime_ms),
			       NULL);
	if (err == 0)
		err = ram_find(qmp, source->options, source->ram, &source->ram_count);
	return err;
}

/* QEMU is told to migrate to us. */
static int qemu_start(struct source *source)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct pollfd ready = { -1, POLLIN, 0 };
	char uri[192];
	int err = socket_dir(source->dir, sizeof(source->dir));

	if (err < 0)
		return err;
	snprintf(source->path, sizeof(source->path), "%s/out", source->dir);
	snprintf(uri, sizeof(uri), "unix:%s", source->path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", source->path);
	source->listener = ready.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ready.fd < 0 || bind(ready.fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(ready.fd, 1) < 0)
		return error_set(-EIO, "no socket for QEMU's stream: %s", strerror(errno));
	err = qmp_call(&source->qmp, "migrate", json_pack("{s:s}", "uri", uri), NULL);
	if (err < 0)
		return err;
	if (poll(&ready, 1, QMP_TIMEOUT_MS) <= 0)
		return error_set(-ETIMEDOUT, "QEMU does not connect to its migration socket");
	source->fd = accept4(ready.fd, NULL, NULL, SOCK_CLOEXEC);
	if (source->fd < 0)
		return error_set(-EMFILE, "QEMU's stream: %s", strerror(errno));
	report_start(&source->report);
	return 0;
}

/* Now and then: is the other side there, does somebody want it to end, how far is it. */
static int tick(struct source *source)
{
	struct pollfd ready = { source->signals, POLLIN, 0 };
	int err = talk_alive(&source->talk);
	if (err < 0)
		return err;
	if (talk_hear(&source->talk, TALK_READY, 0, &source->heard) == 0 &&
	    source->heard == TALK_FAILED)
		return error_set(-ECANCELED, "the destination gave up");
	if (!source->cancelled && poll(&ready, 1, 0) > 0) {
		source->cancelled = true;
		qmp_call(&source->qmp, "migrate_cancel", NULL, NULL);
		return error_set(-ECANCELED, "given up by a signal");
	}
	report_tick(&source->report, &source->place, &source->qmp);
	return 0;
}

/* QEMU's stream, until its end. */
static int stream_carry(struct source *source)
{
	static uint8_t buffer[INPUT_SIZE];
	struct pollfd ready = { source->fd, POLLIN, 0 };
	uint64_t next = 0;

	for (;;) {
		ssize_t got = 0;
		int err = 0, count = poll(&ready, 1, TICK_MS);

		if (clock_now_ns() >= next || count == 0) {
			err = tick(source);
			next = clock_now_ns() + TICK_MS * NS_PER_MS;
		}
		if (count > 0)
			got = read(source->fd, buffer, sizeof(buffer));
		if (err == 0 && got > 0)
			err = place_input(&source->place, buffer, (size_t)got);
		if (err < 0)
			return err;
		if (count > 0 && got == 0)
			return talk_send_end(&source->talk);
		if (got < 0 && errno != EINTR)
			return error_set(-EIO, "QEMU's stream: %s", strerror(errno));
	}
}

/* How QEMU thinks it went. */
static int outcome(struct source *source)
{
	uint64_t end = clock_now_ns() + MIGRATE_COMMIT_MS * NS_PER_MS;
	char status[32];

	for (;;) {
		int err = qmp_text(&source->qmp, "query-migrate", "status", status, sizeof(status));
		if (err < 0)
			return err;
		if (strcmp(status, "completed") == 0)
			return 0;
		if (strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0)
			return error_set(-EIO, "QEMU says that the migration is '%s'", status);
		if (clock_now_ns() > end)
			return error_set(-ETIMEDOUT, "QEMU's migration stays '%s'", status);
		poll(NULL, 0, 1);
	}
}

static int stay(struct source *source)
{
	char status[32] = "unknown";

	tool_complain(MIGRATE_TOOL);
	if (source->talk.farbus)
		talk_say(&source->talk, TALK_FAILED);
	/* QEMU lets go of the stream, and runs the guest again. */
	if (source->fd >= 0) {
		shutdown(source->fd, SHUT_RDWR);
		outcome(source);
	}
	qmp_text(&source->qmp, "query-status", "status", status, sizeof(status));
	report_stayed(&source->report, status);
	if (strcmp(status, source->ran ? "running" : "paused") == 0)
		return MIGRATE_EXIT_STAYED;
	fprintf(stderr,
		MIGRATE_TOOL
		": the guest here is '%s'. If it does not run at the destination: " MIGRATE_TOOL
		" resume --here --qmp %s\n",
		status, source->options->qmp);
	return MIGRATE_EXIT_UNKNOWN;
}

/* QEMU has let go. From here on the guest never runs here again by itself. */
static int commit(struct source *source)
{
	enum talk_word word = TALK_NOTHING;
	int err;

	report_commit(&source->report);
	err = talk_say(&source->talk, source->ran ? TALK_COMMIT_RUN : TALK_COMMIT_PAUSED);

	if (err == 0)
		err = talk_hear(&source->talk, TALK_READY, MIGRATE_COMMIT_MS, &word);
	if (err == 0 && word == TALK_RUNNING) {
		report_moved(&source->report, &source->place, &source->qmp);
		return MIGRATE_EXIT_MOVED;
	}
	if (err == 0)
		error_set(-EIO, "the destination could not run the guest");
	tool_complain(MIGRATE_TOOL);
	fprintf(stderr,
		MIGRATE_TOOL
		": the guest was handed over, and is paused here. Look at the "
		"destination; if it does not run there, run it on one side: " MIGRATE_TOOL
		" resume --here --qmp %s\n",
		source->options->qmp);
	return MIGRATE_EXIT_UNKNOWN;
}

static int go(struct source *source)
{
	int err = talk_open(source->options, source->ram, source->ram_count, &source->talk);

	if (err == 0)
		err = place_open(&source->talk, source->ram, source->ram_count,
				 source->options->placed, &source->place);
	if (err == 0)
		err = talk_hear(&source->talk, TALK_NOTHING, (int)source->options->wait_s * 1000,
				&source->heard);
	if (err == 0 && source->heard != TALK_READY)
		err = error_set(-ECANCELED, "the destination gave up");
	if (err == 0)
		err = qemu_start(source);
	if (err == 0 && pthread_create(&source->answers, NULL, answers_thread, source) != 0)
		err = error_set(-EMFILE, "no thread for the return path");
	if (err < 0)
		return err;
	source->answered = true;
	err = stream_carry(source);
	return err < 0 ? err : outcome(source);
}

static void source_close(struct source *source)
{
	if (source->talk.farbus)
		talk_break(&source->talk, -ECANCELED);
	if (source->fd >= 0)
		shutdown(source->fd, SHUT_RDWR);
	if (source->answered)
		pthread_join(source->answers, NULL);
	if (source->fd >= 0)
		close(source->fd);
	if (source->listener >= 0)
		close(source->listener);
	place_close(&source->place);
	talk_close(&source->talk);
	qmp_close(&source->qmp);
	ram_close(source->ram, source->ram_count);
	if (source->dir[0]) {
		unlink(source->path);
		rmdir(source->dir);
	}
}

int source_run(const struct options *options)
{
	static struct source source = { .fd = -1, .listener = -1, .qmp = { .fd = -1 } };
	int code, err;

	source.options = options;
	source.report.options = options;
	source.signals = signals_open();
	err = qemu_prepare(&source);
	if (err < 0) {
		tool_complain(MIGRATE_TOOL);
		code = MIGRATE_EXIT_STAYED;
	} else {
		err = go(&source);
		code = err < 0 ? stay(&source) : commit(&source);
	}
	source_close(&source);
	return code;
}
