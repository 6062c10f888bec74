/* SPDX-License-Identifier: BSD-3-Clause */
/* options.c -- the command line of farbus-run */
#include "apps/farbus-run/options.h"

#include "base/clock.h"
#include "base/error.h"
#include "runtime/boot/wire.h"
#include <errno.h>
#include <farbus-build/commit.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRACE_PRESET_NS (3 * NS_PER_S)

enum {
	OPTION_BIND = 256,
	OPTION_REPORT_BINDINGS,
	OPTION_TAG,
	OPTION_TIMESTAMP,
	OPTION_STDIN,
	OPTION_KEEP_GOING,
	OPTION_TIMEOUT,
	OPTION_GRACE,
	OPTION_DRY_RUN,
	OPTION_RUN_DIR,
	OPTION_KEEP,
	OPTION_VERSION,
	OPTION_HOSTS,
};

static const char short_options[] = "+:n:x:hH:";

static const struct option long_options[] = {
	{ "bind", required_argument, NULL, OPTION_BIND },
	{ "report-bindings", no_argument, NULL, OPTION_REPORT_BINDINGS },
	{ "tag", no_argument, NULL, OPTION_TAG },
	{ "timestamp", no_argument, NULL, OPTION_TIMESTAMP },
	{ "stdin", required_argument, NULL, OPTION_STDIN },
	{ "keep-going", no_argument, NULL, OPTION_KEEP_GOING },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "grace", required_argument, NULL, OPTION_GRACE },
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
	{ "run-dir", required_argument, NULL, OPTION_RUN_DIR },
	{ "keep", no_argument, NULL, OPTION_KEEP },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "host", optional_argument, NULL, OPTION_HOSTS },
	{ "hosts", optional_argument, NULL, OPTION_HOSTS },
	{ "hostfile", optional_argument, NULL, OPTION_HOSTS },
	{ "machinefile", optional_argument, NULL, OPTION_HOSTS },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"Usage: farbus-run [options] -n N program [argument...]\n"
	"Starts N ranks of a program on this host, as one farbus job.\n"
	"\n"
	"  -n N                  number of ranks, 1 to 1024\n"
	"  -x VAR[=VALUE]        set VAR for the ranks; all other variables are passed on anyway\n"
	"  --bind POLICY         none, core or socket; preset: core, or none when there are more\n"
	"                        ranks than CPUs\n"
	"  --report-bindings     say on stderr where each rank is bound\n"
	"  --tag                 begin each line of output with [rank]\n"
	"  --timestamp           begin each line of output with the time\n"
	"  --stdin RANKS         who reads standard input: 0 (preset), none or all\n"
	"  --keep-going          when a rank fails, let the others go on\n"
	"  --timeout SECONDS     end the job after this time, with exit code 124\n"
	"  --grace SECONDS       time between SIGTERM and SIGKILL when a job is ended; preset 3\n"
	"  --run-dir DIRECTORY   where the job's directory is made (it is FARBUS_RUN_DIR for ranks)\n"
	"  --keep                leave that directory behind and say where it is\n"
	"  --dry-run             print what would run, and run nothing\n"
	"  -h, --help            print this\n"
	"  --version             print the version\n"
	"\n"
	"Exit code: 0, or that of the first rank that failed (128 + number for a signal);\n"
	"124 time limit, 125 farbus-run failed, 126 program not executable, 127 not found.\n"
	"Ctrl-C ends the ranks with SIGTERM; a second one kills them at once.\n";

struct word {
	const char *text;
	int value;
};

static int word_parse(const char *option, const char *text, const struct word *words,
		      const char *choices, int *ret_value)
{
	for (; words->text; words++) {
		if (strcmp(text, words->text) == 0) {
			*ret_value = words->value;
			return 0;
		}
	}
	return error_set(-EINVAL, "%s %.40s: give %s", option, text, choices);
}

static int size_parse(const char *text, uint32_t *ret_size)
{
	int64_t size;

	if (wire_number_parse(text, 1, RUN_RANK_MAX, &size) < 0)
		return error_set(-EINVAL, "-n %.40s: give a whole number of ranks from 1 to %d",
				 text, RUN_RANK_MAX);
	*ret_size = (uint32_t)size;
	return 0;
}

static int seconds_parse(const char *option, const char *text, bool zero, uint64_t *ret_ns)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !isfinite(seconds) || seconds > RUN_SECONDS_MAX ||
	    seconds < (zero ? 0 : 1e-3))
		return error_set(-EINVAL, "%s %.40s: give seconds from %s to %d", option, text,
				 zero ? "0" : "0.001", RUN_SECONDS_MAX);
	*ret_ns = (uint64_t)(seconds * 1e9);
	return 0;
}

/* "VAR=value" as it is; "VAR" as it is set here. */
static int export_add(struct options *options, const char *text)
{
	size_t name_len = strcspn(text, "=");

	if (options->export_count == RUN_EXPORT_MAX)
		return error_set(-EINVAL,
				 "-x is given more than %d times: set the variables "
				 "before farbus-run, which passes them on",
				 RUN_EXPORT_MAX);
	if (name_len == 0)
		return error_set(-EINVAL, "-x %.40s: give a name, as in -x VAR=value", text);
	if (!text[name_len]) {
		if (!getenv(text))
			return error_set(-EINVAL,
					 "-x %.40s: it is not set here: give -x %.40s=value", text,
					 text);
		return 0; /* everything that is set is passed on */
	}
	options->export[options->export_count++] = text;
	return 0;
}

static int bind_parse(const char *text, struct options *options)
{
	static const struct word words[] = {
		{ "none", BIND_NONE }, { "core", BIND_CORE }, { "socket", BIND_SOCKET }, { NULL, 0 }
	};
	int value, err = word_parse("--bind", text, words, "none, core or socket", &value);

	if (err == 0)
		options->bind = (enum bind_policy)value;
	return err;
}

static int input_parse(const char *text, struct options *options)
{
	static const struct word words[] = {
		{ "0", INPUT_FIRST }, { "none", INPUT_NONE }, { "all", INPUT_ALL }, { NULL, 0 }
	};
	int value, err = word_parse("--stdin", text, words, "0, none or all", &value);

	if (err == 0)
		options->input = (enum input_policy)value;
	return err;
}

/* The options that are only switches. False: it is not one of them. */
static bool switch_apply(int option, struct options *options)
{
	switch (option) {
	case OPTION_REPORT_BINDINGS:
		return options->report_bindings = true;
	case OPTION_TAG:
		return options->tag = true;
	case OPTION_TIMESTAMP:
		return options->timestamp = true;
	case OPTION_KEEP_GOING:
		return options->keep_going = true;
	case OPTION_DRY_RUN:
		return options->dry_run = true;
	case OPTION_KEEP:
		return options->keep = true;
	default:
		return false;
	}
}

static int unknown_refuse(int option, char **argv)
{
	if (option == ':' && optopt < 256)
		return error_set(-EINVAL, "option -%c needs a value; see farbus-run --help",
				 optopt);
	if (option == ':')
		return error_set(-EINVAL, "option %.40s needs a value; see farbus-run --help",
				 argv[optind - 1]);
	if (optopt && optopt < 256)
		return error_set(-EINVAL,
				 "unknown option -%c; farbus-run --help lists them, and "
				 "options of the program go after its name",
				 optopt);
	return error_set(-EINVAL,
			 "unknown or ambiguous option %.40s; farbus-run --help lists them, "
			 "and options of the program go after its name",
			 argv[optind - 1]);
}

static int hosts_refuse(void)
{
	return error_set(-EINVAL,
			 "this farbus-run starts ranks on this host only; for several hosts "
			 "start the same program with mpiexec.hydra or srun --mpi=pmi2");
}

static int option_apply(int option, char **argv, struct options *options)
{
	switch (option) {
	case 'n':
		return size_parse(optarg, &options->size);
	case 'x':
		return export_add(options, optarg);
	case OPTION_BIND:
		return bind_parse(optarg, options);
	case OPTION_STDIN:
		return input_parse(optarg, options);
	case OPTION_TIMEOUT:
		return seconds_parse("--timeout", optarg, false, &options->timeout_ns);
	case OPTION_GRACE:
		return seconds_parse("--grace", optarg, true, &options->grace_ns);
	case OPTION_RUN_DIR:
		options->run_dir = optarg;
		return 0;
	case 'h':
		fputs(help, stdout);
		return 1;
	case OPTION_VERSION:
		printf("farbus-run %s (%s, %s)\n", FARBUS_VERSION, FARBUS_COMMIT,
		       FARBUS_BUILD_TYPE);
		return 1;
	case 'H':
	case OPTION_HOSTS:
		return hosts_refuse();
	default:
		return switch_apply(option, options) ? 0 : unknown_refuse(option, argv);
	}
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options options = { .grace_ns = GRACE_PRESET_NS };
	int option, err;

	optind = 0; /* glibc: start anew, even after an earlier parse with "+" */
	opterr = 0;
	while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		err = option_apply(option, argv, &options);
		if (err != 0)
			return err;
	}
	if (options.size == 0)
		return error_set(-EINVAL,
				 "the number of ranks is missing: farbus-run -n N program");
	if (!argv[optind])
		return error_set(-EINVAL, "the program is missing: farbus-run -n %u program",
				 options.size);
	if (!argv[optind][0])
		return error_set(-EINVAL, "the program's name is empty: farbus-run -n %u program",
				 options.size);
	options.command = &argv[optind];
	*ret_options = options;
	return 0;
}
