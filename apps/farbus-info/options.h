/* SPDX-License-Identifier: BSD-3-Clause */
/* options.h -- the command line of farbus-info */
#ifndef APPS_FARBUS_INFO_OPTIONS_H
#define APPS_FARBUS_INFO_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct options {
	bool json;
	bool trace;
	pid_t pid;	   /* 0: none was named */
	uint32_t instance; /* 0: all of pid */
	uint64_t va;	   /* what to trace */
};

/* As that of farbus-run: 0, 1 when there is nothing left to do, or -EINVAL. */
int options_parse(int argc, char **argv, struct options *ret_options);

/* "PID" or "PID.INSTANCE"; instance is 0 in the first case. Errors: -EINVAL. */
int options_name_parse(const char *text, pid_t *ret_pid, uint32_t *ret_instance);

#endif
