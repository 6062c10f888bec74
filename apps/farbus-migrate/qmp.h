/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * qmp.h -- a client of QEMU's monitor protocol
 *
 * Threads: one thread at a time. Every call is bounded by QMP_TIMEOUT_MS.
 */
#ifndef APPS_FARBUS_MIGRATE_QMP_H
#define APPS_FARBUS_MIGRATE_QMP_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#define QMP_TIMEOUT_MS 20000
#define QMP_LINE_MAX (1u << 20) /* bytes of an answer */

struct qmp {
	int fd;
	pid_t pid;  /* of QEMU */
	char *line; /* owned: what was read and not used */
	size_t have;
	uint64_t stop_us; /* when QEMU last said that the guest stopped; its clock, 0: not yet */
};

/* Errors: -ENOENT nobody listens there, -EPROTO it is no QEMU, -ETIMEDOUT somebody else uses it. */
int qmp_open(const char *path, struct qmp *ret_qmp);
void qmp_close(struct qmp *qmp);

/*
 * arguments: taken, may be NULL. *ret_answer, which may be NULL: the caller owns it.
 * Errors: -EIO QEMU refuses: error_text() has its words, -EPROTO, -ETIMEDOUT, -ECONNRESET.
 */
int qmp_call(struct qmp *qmp, const char *command, json_t *arguments, json_t **ret_answer);

/* The text of a field of an answer, copied; "" if there is none. */
int qmp_text(struct qmp *qmp, const char *command, const char *field, char *ret_text, size_t size);

/* A property of an object under /objects. The caller owns *ret_value. */
int qmp_property(struct qmp *qmp, const char *object, const char *property, json_t **ret_value);

#endif
