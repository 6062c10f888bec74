/* SPDX-License-Identifier: BSD-3-Clause */
/* log.c -- one line per event on stderr, written with one write(2) so that lines stay whole */
#include "base/log.h"

#include "base/assert.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024

int log_level_max = LOG_WARNING;
static unsigned int log_rank;

void log_open(int level_max, unsigned int rank)
{
	__atomic_store_n(&log_level_max, level_max, __ATOMIC_RELAXED);
	__atomic_store_n(&log_rank, rank, __ATOMIC_RELAXED);
}

/* A text may come from a peer or a file: it must not look like two lines, or speak to terminals. */
static void line_clean(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
	}
}

static void line_write(const char *line, size_t len)
{
	ssize_t n;

	do
		n = write(STDERR_FILENO, line, len); /* failed: there is nobody to tell */
	while (n < 0 && errno == EINTR);
}

void log_write(enum log_level level, const char *format, ...)
{
	static const char *const name[] = { "error", "warning", "info", "debug" };
	unsigned int rank = __atomic_load_n(&log_rank, __ATOMIC_RELAXED);
	char line[LOG_LINE_MAX];
	int saved = errno;
	va_list args;
	int head, body;

	head = snprintf(line, sizeof(line), "farbus[%u] %s: ", rank, name[level]);
	va_start(args, format);
	errno = saved; /* the format may have %m */
	body = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, args);
	va_end(args);
	if (body >= 0) {
		body = body < (int)sizeof(line) - head - 2 ? body : (int)sizeof(line) - head - 2;
		line_clean(line + head, (size_t)body);
		line[head + body] = '\n';
		line_write(line, (size_t)head + (size_t)body + 1);
	}
	errno = saved;
}

void assert_failed(const char *what, const char *file, int line)
{
	log_write(LOG_ERROR, "%s:%d: this must hold and does not: %s", file, line, what);
	abort();
}
