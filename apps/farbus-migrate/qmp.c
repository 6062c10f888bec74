/* SPDX-License-Identifier: BSD-3-Clause */
/* qmp.c -- a client of QEMU's monitor protocol: a line of JSON each way */
#include "apps/farbus-migrate/qmp.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void event_note(struct qmp *qmp, const json_t *line, const char *event)
{
	const json_t *when = json_object_get(line, "timestamp");

	if (strcmp(event, "STOP") == 0)
		qmp->stop_us =
			(uint64_t)json_integer_value(json_object_get(when, "seconds")) * 1000000 +
			(uint64_t)json_integer_value(json_object_get(when, "microseconds"));
}

static int line_fill(struct qmp *qmp, uint64_t deadline)
{
	struct pollfd ready = { qmp->fd, POLLIN, 0 };
	uint64_t now = clock_now_ns();
	ssize_t got;

	if (qmp->have == QMP_LINE_MAX)
		return error_set(-EPROTO, "QMP: a line of more than %u bytes", QMP_LINE_MAX);
	if (now >= deadline || poll(&ready, 1, (int)((deadline - now) / 1000000) + 1) == 0)
		return error_set(-ETIMEDOUT,
				 "QMP: QEMU does not answer; is another client connected?");
	got = read(qmp->fd, qmp->line + qmp->have, QMP_LINE_MAX - qmp->have);
	if (got < 0 && errno == EINTR)
		return 0;
	if (got <= 0)
		return error_set(-ECONNRESET, "QMP: QEMU is gone");
	qmp->have += (size_t)got;
	return 0;
}

/* The next line, parsed; the caller owns it. */
static int line_next(struct qmp *qmp, uint64_t deadline, json_t **ret_line)
{
	char *end;
	size_t len;
	int err;

	while (!(end = memchr(qmp->line, '\n', qmp->have))) {
		err = line_fill(qmp, deadline);
		if (err < 0)
			return err;
	}
	len = (size_t)(end - qmp->line);
	*ret_line = json_loadb(qmp->line, len, 0, NULL);
	qmp->have -= len + 1;
	memmove(qmp->line, end + 1, qmp->have);
	return *ret_line ? 0 : error_set(-EPROTO, "QMP: QEMU's answer is no JSON");
}

static int answer_next(struct qmp *qmp, const char *command, json_t **ret_answer)
{
	uint64_t deadline = clock_now_ns() + QMP_TIMEOUT_MS * UINT64_C(1000000);

	for (;;) {
		json_t *line, *value;
		const char *event;
		int err = line_next(qmp, deadline, &line);
		if (err < 0)
			return err;
		event = json_string_value(json_object_get(line, "event"));
		if (event)
			event_note(qmp, line, event);
		value = json_object_get(line, "error");
		if (value) {
			const char *why = json_string_value(json_object_get(value, "desc"));

			err = error_set(-EIO, "QEMU refuses %s: %.200s", command, why ? why : "?");
		}
		value = json_object_get(line, "return");
		if (value && ret_answer)
			*ret_answer = json_incref(value);
		json_decref(line);
		if (value || err < 0)
			return err;
	}
}

static int all_write(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t done = send(fd, text, len, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return error_set(-ECONNRESET, "QMP: QEMU is gone");
		text += done;
		len -= (size_t)done;
	}
	return 0;
}

int qmp_call(struct qmp *qmp, const char *command, json_t *arguments, json_t **ret_answer)
{
	json_t *call = json_pack("{s:s}", "execute", command);
	char *text;
	int err;

	if (arguments)
		json_object_set_new(call, "arguments", arguments);
	text = json_dumps(call, JSON_COMPACT);
	json_decref(call);
	if (!text)
		return error_set(-ENOMEM, "no memory for QMP");
	err = all_write(qmp->fd, text, strlen(text));
	free(text);
	if (err == 0)
		err = all_write(qmp->fd, "\n", 1);
	return err < 0 ? err : answer_next(qmp, command, ret_answer);
}

int qmp_text(struct qmp *qmp, const char *command, const char *field, char *ret_text, size_t size)
{
	const char *text;
	json_t *answer;
	int err = qmp_call(qmp, command, NULL, &answer);
	if (err < 0)
		return err;
	text = json_string_value(json_object_get(answer, field));
	snprintf(ret_text, size, "%s", text ? text : "");
	json_decref(answer);
	return 0;
}

int qmp_property(struct qmp *qmp, const char *object, const char *property, json_t **ret_value)
{
	char path[300];

	snprintf(path, sizeof(path), "/objects/%s", object);
	return qmp_call(qmp, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", property),
			ret_value);
}

static int connect_to(const char *path, struct qmp *qmp)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred who;
	socklen_t len = sizeof(who);

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(-ENAMETOOLONG, "--qmp %.60s...: longer than a socket's name",
				 path);
	memcpy(address.sun_path, path, strlen(path));
	qmp->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (qmp->fd < 0)
		return error_set(-EMFILE, "no descriptor for QMP: %s", strerror(errno));
	if (connect(qmp->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(-ENOENT,
				 "QMP at %.200s: %s; QEMU needs -qmp unix:PATH,server=on,wait=off",
				 path, strerror(errno));
	if (getsockopt(qmp->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
		qmp->pid = who.pid;
	return 0;
}

static int greet(struct qmp *qmp)
{
	uint64_t deadline = clock_now_ns() + QMP_TIMEOUT_MS * UINT64_C(1000000);
	json_t *line;
	bool known;
	int err = line_next(qmp, deadline, &line);
	if (err < 0)
		return err;
	known = json_object_get(line, "QMP") != NULL;
	json_decref(line);
	if (!known)
		return error_set(-EPROTO, "QMP: what answers there is no QEMU");
	return qmp_call(qmp, "qmp_capabilities", NULL, NULL);
}

int qmp_open(const char *path, struct qmp *ret_qmp)
{
	struct qmp qmp = { .fd = -1, .line = alloc_zero(QMP_LINE_MAX) };
	int err = qmp.line ? connect_to(path, &qmp) : error_set(-ENOMEM, "no memory for QMP");

	if (err == 0)
		err = greet(&qmp);
	if (err < 0) {
		qmp_close(&qmp);
		return err;
	}
	*ret_qmp = qmp;
	return 0;
}

void qmp_close(struct qmp *qmp)
{
	if (qmp->fd >= 0)
		close(qmp->fd);
	qmp->fd = -1;
	free(qmp->line);
	qmp->line = NULL;
}
