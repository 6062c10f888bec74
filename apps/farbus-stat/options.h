/* SPDX-License-Identifier: BSD-3-Clause */
/* options.h -- the command line of farbus-stat */
#ifndef APPS_FARBUS_STAT_OPTIONS_H
#define APPS_FARBUS_STAT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define STAT_SECONDS_MAX 86400
#define STAT_COUNT_MAX 1000000000

struct options {
	bool all, json;
	uint64_t interval_ns; /* 0: print once */
	uint64_t count;	      /* of differences; 0: until all processes have ended */
	char **target;	      /* borrows argv, ends with NULL */
};

/* As that of farbus-run: 0, 1 when there is nothing left to do, or -EINVAL. */
int options_parse(int argc, char **argv, struct options *ret_options);

#endif
