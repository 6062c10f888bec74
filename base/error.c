/* SPDX-License-Identifier: BSD-3-Clause */
/* error.c -- the calling thread's last failure, as one line for people */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef error_set /* what clang-tidy is told */

static __thread char error_line[ERROR_TEXT_MAX] __attribute__((tls_model("initial-exec")));

int error_set(int error, const char *format, ...)
{
	char line[ERROR_TEXT_MAX]; /* the arguments may be the last text */
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	memcpy(error_line, line, strlen(line) + 1);
	return error;
}

const char *error_text(void)
{
	return error_line;
}

void error_clear(void)
{
	error_line[0] = '\0';
}
