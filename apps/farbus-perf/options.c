/* SPDX-License-Identifier: BSD-3-Clause */
/* options.c -- the command line of farbus-perf */
#include "apps/farbus-perf/options.h"

#include "base/clock.h"
#include "base/error.h"
#include <ctype.h>
#include <errno.h>
#include <farbus-build/commit.h>
#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPTION_JSON = 256,
	OPTION_QUICK,
	OPTION_TIME,
	OPTION_SIZE,
	OPTION_STREAM,
	OPTION_CPUS,
	OPTION_LIST,
	OPTION_TARGET,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "quick", no_argument, NULL, OPTION_QUICK },
	{ "time", required_argument, NULL, OPTION_TIME },
	{ "size", required_argument, NULL, OPTION_SIZE },
	{ "stream", required_argument, NULL, OPTION_STREAM },
	{ "cpus", required_argument, NULL, OPTION_CPUS },
	{ "list", no_argument, NULL, OPTION_LIST },
	{ "target", no_argument, NULL, OPTION_TARGET }, /* what the initiator starts */
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"Usage: farbus-perf [options] [figure or group...]\n"
	"Measures the operations of farbus, each in turn with its floor: what the same work costs\n"
	"without farbus. Starts its two instances itself, or is both ranks of farbus-run -n 2.\n"
	"\n"
	"  --list            print the figures, their groups and their floors\n"
	"  --json            print one JSON object per line instead of a table\n"
	"  --time SECONDS    measure that long in all; preset 10\n"
	"  --quick           the same as --time 1\n"
	"  --size SIZE,...   sizes of put and get; preset 4k,64k,1m,16m\n"
	"  --stream SIZE     what stream_4k_pieces covers; preset 1g\n"
	"  --cpus A,B        CPUs of the initiator and of the target; preset: the first two\n"
	"  -h, --help        print this\n"
	"  --version         print the version\n"
	"\n"
	"SIZE is a number of bytes, or one with k, m or g. The target sleeps while its memory is\n"
	"accessed. Exit code: 0; 1 something failed; 2 bad command line; 3 this is a Debug build.\n";

static int size_parse(const char *option, const char *text, size_t most, size_t *ret_size)
{
	static const char units[] = "kmg";
	char *end;
	unsigned long long value;
	const char *unit;

	errno = 0;
	value = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
	if (value && errno == 0) {
		unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
		if (unit && *end && !end[1]) {
			unsigned shift = 10 * ((unsigned)(unit - units) + 1);

			value = value > most >> shift ? 0 : value << shift;
		} else if (*end) {
			value = 0;
		}
	}
	if (value == 0 || errno || value > most)
		return error_set(-EINVAL,
				 "%s %.40s: give bytes, or a number with k, m or g, up to "
				 "%zum",
				 option, text, most >> 20);
	*ret_size = (size_t)value;
	return 0;
}

void options_size_text(size_t size, char *ret_text, size_t text_size)
{
	static const char *const unit[] = { "", "k", "m", "g" };
	unsigned i = 0;

	for (; i < 3 && size >= 1024 && size % 1024 == 0; i++)
		size /= 1024;
	snprintf(ret_text, text_size, "%zu%s", size, unit[i]);
}

static int sizes_parse(char *text, struct options *options)
{
	char *rest, *word = strtok_r(text, ",", &rest);

	options->size_count = 0;
	for (; word; word = strtok_r(NULL, ",", &rest)) {
		size_t size;
		int err = size_parse("--size", word, PERF_SIZE_MAX, &size);

		if (err < 0)
			return err;
		for (size_t i = 0; i < options->size_count; i++)
			if (options->size[i] == size)
				return error_set(-EINVAL, "--size: %.40s is given twice", word);
		if (options->size_count == PERF_SIZES_MAX)
			return error_set(-EINVAL, "--size: give at most %d sizes", PERF_SIZES_MAX);
		options->size[options->size_count++] = size;
	}
	return options->size_count ? 0 : error_set(-EINVAL, "--size: give at least one size");
}

static int stream_parse(const char *text, size_t *ret_len)
{
	int err = size_parse("--stream", text, PERF_STREAM_MAX, ret_len);

	if (err == 0 && *ret_len < 4096)
		return error_set(-EINVAL, "--stream %.40s: give 4k or more", text);
	return err;
}

static int time_parse(const char *text, uint64_t *ret_ns)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !isfinite(seconds) || seconds < 0.01 ||
	    seconds > PERF_SECONDS_MAX)
		return error_set(-EINVAL, "--time %.40s: give seconds from 0.01 to %d", text,
				 PERF_SECONDS_MAX);
	*ret_ns = (uint64_t)(seconds * 1e9);
	return 0;
}

static int cpus_parse(const char *text, int ret_cpu[2])
{
	int end = 0;

	if (sscanf(text, "%d,%d%n", &ret_cpu[0], &ret_cpu[1], &end) != 2 || text[end] ||
	    ret_cpu[0] < 0 || ret_cpu[1] < 0 || ret_cpu[0] >= CPU_SETSIZE ||
	    ret_cpu[1] >= CPU_SETSIZE)
		return error_set(-EINVAL, "--cpus %.40s: give two numbers of CPUs, as 0,1", text);
	return 0;
}

static int option_take(int option, struct options *options)
{
	switch (option) {
	case OPTION_JSON:
		options->json = true;
		return 0;
	case OPTION_QUICK:
		options->budget_ns = NS_PER_S;
		return 0;
	case OPTION_TIME:
		return time_parse(optarg, &options->budget_ns);
	case OPTION_SIZE:
		return sizes_parse(optarg, options);
	case OPTION_STREAM:
		return stream_parse(optarg, &options->stream_len);
	case OPTION_CPUS:
		return cpus_parse(optarg, options->cpu);
	case OPTION_LIST:
		options->list = true;
		return 0;
	case OPTION_TARGET:
		options->target = true;
		return 0;
	case 'h':
		fputs(help, stdout);
		return 1;
	case OPTION_VERSION:
		printf("farbus-perf %s (%s, commit %s)\n", FARBUS_VERSION, FARBUS_BUILD_TYPE,
		       FARBUS_COMMIT);
		return 1;
	}
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
	static const size_t sizes[] = { 4 << 10, 64 << 10, 1 << 20, 16 << 20 };
	struct options options = { .budget_ns = 10 * NS_PER_S,
				   .size_count = sizeof(sizes) / sizeof(sizes[0]),
				   .stream_len = (size_t)1 << 30,
				   .cpu = { -1, -1 } };
	int option, err;

	memcpy(options.size, sizes, sizeof(sizes));
	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		if (option == '?' || option == ':')
			return error_set(-EINVAL, "%.60s: %s; see farbus-perf --help",
					 argv[optind - 1],
					 option == ':' ? "needs a value" : "no such option");
		err = option_take(option, &options);
		if (err != 0)
			return err;
	}
	options.name = argv + optind;
	options.name_count = (size_t)(argc - optind);
	*ret_options = options;
	return 0;
}
