/* SPDX-License-Identifier: BSD-3-Clause */
/* live.c -- which instances of this host say that they are alive */
#include "apps/common/live.h"

#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE 512 /* a name has at most 107 bytes */
#define ROOM_STEP 64
#define FLAG_LISTENING 0x10000ul /* __SO_ACCEPTCON */
#define FLAGS_FIELD 3
#define NAME_FIELD 7
#define PREFIX "@farbus-info."

/* A decimal number as we write it: no sign, no leading zero. NULL: there is none in [1, max]. */
static const char *number_take(const char *text, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (*text < '1' || *text > '9')
		return NULL;
	for (; *text >= '0' && *text <= '9'; text++) {
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return NULL;
	}
	*ret_value = value;
	return text;
}

/* The n-th field, counted from 0. NULL: the line is shorter. */
static const char *field_at(const char *line, int n)
{
	for (; n > 0; n--) {
		line += strcspn(line, " \n");
		line += strspn(line, " ");
	}
	return *line && *line != '\n' ? line : NULL;
}

bool live_line_parse(const char *line, struct live *ret_live)
{
	const char *flags = field_at(line, FLAGS_FIELD), *name = field_at(line, NAME_FIELD);
	uint64_t pid, instance;

	if (!flags || !name || !(strtoul(flags, NULL, 16) & FLAG_LISTENING))
		return false;
	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return false;
	name = number_take(name + strlen(PREFIX), INT_MAX, &pid);
	if (!name || *name != '.')
		return false;
	name = number_take(name + 1, UINT32_MAX, &instance);
	if (!name || (*name && *name != '\n'))
		return false;
	ret_live->pid = (pid_t)pid;
	ret_live->instance = (uint32_t)instance;
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct live *left = a, *right = b;

	if (left->pid != right->pid)
		return left->pid < right->pid ? -1 : 1;
	return left->instance < right->instance ? -1 : left->instance > right->instance;
}

static int list_read(FILE *file, struct live **list, size_t *count)
{
	char line[LINE_SIZE];
	struct live live;
	size_t room = 0;

	while (*count < LIVE_MAX && fgets(line, sizeof(line), file)) {
		if (!live_line_parse(line, &live))
			continue;
		if (*count == room) {
			struct live *more = alloc_resize(*list, room + ROOM_STEP, sizeof(**list));

			if (!more)
				return error_set(-ENOMEM, "no memory for a list of instances");
			*list = more;
			room += ROOM_STEP;
		}
		(*list)[(*count)++] = live;
	}
	return 0;
}

int live_list(const char *path, struct live **ret_list, size_t *ret_count)
{
	FILE *file = fopen(path, "re");
	struct live *list = NULL;
	size_t count = 0;
	int err;

	if (!file)
		return error_set(-ENOENT,
				 "cannot read %s: %s; it is where live instances are found", path,
				 strerror(errno));
	err = list_read(file, &list, &count);
	fclose(file);
	if (err < 0) {
		free(list);
		return err;
	}
	if (count)
		qsort(list, count, sizeof(*list), compare);
	*ret_list = list;
	*ret_count = count;
	return 0;
}
