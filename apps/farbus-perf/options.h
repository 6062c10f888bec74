/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * options.h -- the command line of farbus-perf
 */
#ifndef FARBUS_PERF_OPTIONS_H
#define FARBUS_PERF_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PERF_SIZE_MAX ((size_t)256 << 20) /* bytes of one put or get */
#define PERF_SIZES_MAX 16		  /* values of --size */
#define PERF_STREAM_MAX ((size_t)1 << 40)
#define PERF_SECONDS_MAX 86400

enum {
	PERF_EXIT_FAILED = 1,
	PERF_EXIT_USAGE = 2,
	PERF_EXIT_DEBUG = 3, /* a Debug build does not measure */
};

struct options {
	bool json, list, target;
	uint64_t budget_ns;	     /* all figures together */
	size_t size[PERF_SIZES_MAX]; /* of put and get */
	size_t size_count;
	size_t stream_len;
	int cpu[2];  /* of initiator and target; -1: choose */
	char **name; /* figures or groups; borrows argv; none: all */
	size_t name_count;
};

/*
 * Returns 0 with ret_options, 1 when --help or --version was all there was to do, or -EINVAL with
 * the text in error_text().
 */
int options_parse(int argc, char **argv, struct options *ret_options);

/* "4k", "1m", "16384": the shortest exact form. */
void options_size_text(size_t size, char *ret_text, size_t text_size);

#endif
