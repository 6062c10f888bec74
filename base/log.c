/* SPDX-License-Identifier: BSD-3-Clause */
/* log.c -- one line per event on stderr, written with one write(2) so that lines stay whole */
#include "base/log.h"

#include "base/assert.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024

int log_level_max = LOG_WARNING;
static unsigned int log_rank;

void log_open(int level_max, unsigned int rank)
{
	log_level_max = level_max;
	log_rank = rank;
}

void log_write(enum log_level level, const char *format, ...)
{
	static const char *const name[] = { "error", "warning", "info", "debug" };
	char line[LOG_LINE_MAX];
	va_list args;
	int head, body;

	head = snprintf(line, sizeof(line), "farbus[%u] %s: ", log_rank, name[level]);
	va_start(args, format);
	body = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, args);
	va_end(args);
	if (body < 0)
		return;
	body = body < (int)sizeof(line) - head - 2 ? body : (int)sizeof(line) - head - 2;
	line[head + body] = '\n';
	if (write(STDERR_FILENO, line, (size_t)head + (size_t)body + 1) < 0)
		return; /* nobody to tell */
}

void assert_failed(const char *what, const char *file, int line)
{
	log_write(LOG_ERROR, "%s:%d: this must hold and does not: %s", file, line, what);
	abort();
}
