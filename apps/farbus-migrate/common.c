/* SPDX-License-Identifier: BSD-3-Clause */
/* common.c -- what both ends of a move need, and how a broken one is settled */
#include "apps/farbus-migrate/migrate.h"

#include "apps/common/tool.h"
#include "base/error.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int socket_dir(char *ret_dir, size_t size)
{
	const char *base = getenv("XDG_RUNTIME_DIR");

	/* QEMU opens it: only what is short enough for a socket, and there, will do. */
	if (!base || strlen(base) > 60 || access(base, W_OK) < 0)
		base = "/tmp";
	snprintf(ret_dir, size, "%s/farbus-migrate-XXXXXX", base);
	if (mkdtemp(ret_dir))
		return 0;
	ret_dir[0] = '\0';
	return error_set(-EIO, "no folder for a socket in %s: %s", base, strerror(errno));
}

int capability_set(struct qmp *qmp, const char *name, bool on)
{
	return qmp_call(
		qmp, "migrate-set-capabilities",
		json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", name, "state", on),
		NULL);
}

int all_write(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t done = send(fd, at, len, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return error_set(-ECONNRESET, "QEMU closed the stream");
		at += done;
		len -= (size_t)done;
	}
	return 0;
}

/* What a person decided: this one runs. */
int resume_run(const struct options *options)
{
	struct qmp qmp = { .fd = -1 };
	char status[32];
	int err = qmp_open(options->qmp, &qmp);

	if (err == 0)
		err = qmp_text(&qmp, "query-status", "status", status, sizeof(status));
	if (err == 0 && strcmp(status, "running") == 0)
		fprintf(stderr, MIGRATE_TOOL ": it runs here already\n");
	else if (err == 0 && strcmp(status, "paused") != 0 && strcmp(status, "postmigrate") != 0)
		err = error_set(-EBUSY, "this QEMU is '%s': it has no guest that was left paused",
				status);
	else if (err == 0)
		err = qmp_call(&qmp, "cont", NULL, NULL);
	if (err < 0)
		tool_complain(MIGRATE_TOOL);
	qmp_close(&qmp);
	return err < 0 ? MIGRATE_EXIT_STAYED : MIGRATE_EXIT_MOVED;
}
