/* SPDX-License-Identifier: BSD-3-Clause */
/* options.c -- the command line of farbus-stat */
#include "apps/farbus-stat/options.h"

#include "apps/common/tool.h"
#include "base/error.h"
#include <errno.h>
#include <farbus-build/commit.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPTION_ALL = 256, OPTION_JSON, OPTION_INTERVAL, OPTION_COUNT, OPTION_VERSION };

static const struct option long_options[] = {
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "interval", required_argument, NULL, OPTION_INTERVAL },
	{ "count", required_argument, NULL, OPTION_COUNT },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"Usage: farbus-stat [options] [PID | DIRECTORY | FILE]...\n"
	"Prints what processes that use farbus have counted, while they live and after.\n"
	"\n"
	"  PID        a process, live or dead\n"
	"  DIRECTORY  the one that farbus-run --keep names\n"
	"  FILE       a counters.PID file\n"
	"Without any: all of this user on this host.\n"
	"\n"
	"  --all               also counters that are 0\n"
	"  --interval SECONDS  then, again and again, what was counted since the last time\n"
	"  --count N           that many times; preset: until all these processes have ended\n"
	"  --json              a JSON document; with --interval, one a line\n"
	"  -h, --help          print this\n"
	"  --version           print the version\n"
	"\n"
	"Exit code: 0; 1 something asked for could not be shown; 2 wrong command line.\n";

static int interval_parse(const char *text, uint64_t *ret_ns)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !isfinite(seconds) || seconds < 1e-3 ||
	    seconds > STAT_SECONDS_MAX)
		return error_set(-EINVAL, "--interval %.40s: give seconds from 0.001 to %d", text,
				 STAT_SECONDS_MAX);
	*ret_ns = (uint64_t)(seconds * 1e9);
	return 0;
}

static int option_apply(int option, char **argv, struct options *options)
{
	switch (option) {
	case OPTION_ALL:
		options->all = true;
		return 0;
	case OPTION_JSON:
		options->json = true;
		return 0;
	case OPTION_INTERVAL:
		return interval_parse(optarg, &options->interval_ns);
	case OPTION_COUNT:
		if (!tool_number_parse(optarg, 1, STAT_COUNT_MAX, &options->count))
			return error_set(-EINVAL, "--count %.40s: give a whole number from 1 to %d",
					 optarg, STAT_COUNT_MAX);
		return 0;
	case 'h':
		fputs(help, stdout);
		return 1;
	case OPTION_VERSION:
		printf("farbus-stat %s (%s, %s)\n", FARBUS_VERSION, FARBUS_COMMIT,
		       FARBUS_BUILD_TYPE);
		return 1;
	default:
		return tool_option_refuse("farbus-stat", option, argv);
	}
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options options = { 0 };
	int option, err;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		err = option_apply(option, argv, &options);
		if (err != 0)
			return err;
	}
	if (options.count && !options.interval_ns)
		return error_set(-EINVAL, "--count needs --interval SECONDS");
	options.target = &argv[optind];
	*ret_options = options;
	return 0;
}
