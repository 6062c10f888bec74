/* SPDX-License-Identifier: BSD-3-Clause */
/* error.c -- the calling thread's last failure, as one line for people */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

#undef error_set /* what clang-tidy is told */

static __thread char error_line[ERROR_TEXT_MAX] __attribute__((tls_model("initial-exec")));

int error_set(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error_line, sizeof(error_line), format, args);
	va_end(args);
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
