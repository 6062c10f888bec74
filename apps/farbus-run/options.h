/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * options.h -- the command line of farbus-run
 */
#ifndef APPS_FARBUS_RUN_OPTIONS_H
#define APPS_FARBUS_RUN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_RANK_MAX 1024
#define RUN_EXPORT_MAX 256
#define RUN_SECONDS_MAX 31536000 /* a year */

/* The exit code rule; anything else is the first failing rank's code, or 128 + its signal. */
enum {
	RUN_EXIT_TIME = 124,
	RUN_EXIT_LAUNCHER = 125,
	RUN_EXIT_NOT_EXECUTABLE = 126,
	RUN_EXIT_NOT_FOUND = 127,
};

enum bind_policy { BIND_AUTO, BIND_NONE, BIND_CORE, BIND_SOCKET };
enum input_policy { INPUT_FIRST, INPUT_NONE, INPUT_ALL };

struct options {
	uint32_t size;
	enum bind_policy bind;
	enum input_policy input;
	bool report_bindings, tag, timestamp, keep, keep_going, dry_run;
	uint64_t timeout_ns; /* 0: none */
	uint64_t grace_ns;
	const char *run_dir;		    /* borrows argv; NULL: choose */
	const char *export[RUN_EXPORT_MAX]; /* VAR=value; borrows argv or the environment */
	size_t export_count;
	char **command; /* borrows argv, ends with NULL */
};

/*
 * Returns 0 with ret_options, 1 when --help or --version was all there was to do, or -EINVAL with
 * the text in error_text().
 */
int options_parse(int argc, char **argv, struct options *ret_options);

#endif
