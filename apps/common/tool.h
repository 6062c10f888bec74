/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tool.h -- what the tools share: exit codes, complaints, numbers, the end of the output
 */
#ifndef APPS_COMMON_TOOL_H
#define APPS_COMMON_TOOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	TOOL_EXIT_OK = 0,
	TOOL_EXIT_FAILED = 1, /* something that was asked for could not be shown */
	TOOL_EXIT_USAGE = 2,  /* the command line is wrong */
};

/* error_text() as one line on stderr, with the tool's name in front. */
void tool_complain(const char *tool);

/* error_text() gets what getopt_long() has against argv. Returns -EINVAL. */
int tool_option_refuse(const char *tool, int option, char **argv);

/* Decimal digits alone, in [min, max]. */
bool tool_number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);

/* One document and a newline on stdout. Borrows it. Errors: -ENOMEM. */
int tool_json_print(const json_t *document);

/*
 * Flushes stdout. Returns code, or TOOL_EXIT_FAILED when not all of the output could be written;
 * it complains unless the reader is just gone.
 */
int tool_close(const char *tool, int code);

#endif
