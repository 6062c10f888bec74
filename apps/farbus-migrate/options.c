/* SPDX-License-Identifier: BSD-3-Clause */
/* options.c -- the command line of farbus-migrate */
#include "apps/farbus-migrate/options.h"

#include "apps/common/tool.h"
#include "base/error.h"
#include <errno.h>
#include <farbus-build/commit.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum {
	OPTION_QMP = 256,
	OPTION_JOIN,
	OPTION_SECRET_FILE,
	OPTION_RAM,
	OPTION_DOWNTIME,
	OPTION_BANDWIDTH,
	OPTION_WAIT,
	OPTION_PLACED,
	OPTION_JSON,
	OPTION_PAUSED,
	OPTION_HERE,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{ "qmp", required_argument, NULL, OPTION_QMP },
	{ "join", required_argument, NULL, OPTION_JOIN },
	{ "secret-file", required_argument, NULL, OPTION_SECRET_FILE },
	{ "ram", required_argument, NULL, OPTION_RAM },
	{ "downtime", required_argument, NULL, OPTION_DOWNTIME },
	{ "bandwidth", required_argument, NULL, OPTION_BANDWIDTH },
	{ "wait", required_argument, NULL, OPTION_WAIT },
	{ "placed", no_argument, NULL, OPTION_PLACED },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "paused", no_argument, NULL, OPTION_PAUSED },
	{ "here", no_argument, NULL, OPTION_HERE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"Usage: farbus-migrate dest   --qmp PATH --join HOST:PORT [options]\n"
	"       farbus-migrate source --qmp PATH --join HOST:PORT [options]\n"
	"       farbus-migrate resume --here --qmp PATH\n"
	"Moves a running guest of QEMU to another QEMU, its RAM by one-sided writes. dest first, on\n"
	"the host with a QEMU that was started with -incoming defer; it listens at HOST:PORT.\n"
	"\n"
	"  --qmp PATH          QEMU's monitor: a unix socket that speaks QMP\n"
	"  --join HOST:PORT    where both meet: an address of dest's host\n"
	"  --secret-file FILE  a secret that both have; needed unless HOST is this machine\n"
	"  --ram NAME=FILE     the file of a memory backend, if QMP does not tell\n"
	"  --downtime MS       how long the guest may stop; preset: 100\n"
	"  --bandwidth MB      at most so many MB per second; preset: no limit\n"
	"  --wait SECONDS      how long to wait for the other side; preset: 60\n"
	"  --placed            take the pages from QEMU's stream, not from its memory\n"
	"  --paused            dest: leave the guest paused when it has come\n"
	"  --json              progress and result as JSON lines on stdout\n"
	"  --here              resume: run the guest of this QEMU, which a broken move left paused\n"
	"  -h, --help          print this\n"
	"  --version           print the version\n"
	"\n"
	"Ctrl-C at the source gives up: the guest goes on there.\n"
	"Exit code: 0 it runs at dest; 1 it was not moved, and runs at the source; 2 wrong command\n"
	"line; 3 paused on both sides, or unknown: see farbus-migrate resume.\n";

static int mode_parse(const char *text, enum options_mode *ret_mode)
{
	if (strcmp(text, "source") == 0)
		*ret_mode = OPTIONS_SOURCE;
	else if (strcmp(text, "dest") == 0)
		*ret_mode = OPTIONS_DEST;
	else if (strcmp(text, "resume") == 0)
		*ret_mode = OPTIONS_RESUME;
	else
		return error_set(-EINVAL,
				 "'%.40s': give source, dest or resume; farbus-migrate --help",
				 text);
	return 0;
}

static int number_parse(const char *option, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	if (tool_number_parse(optarg, min, max, ret_value))
		return 0;
	return error_set(-EINVAL, "%s %.40s: give a whole number from %llu to %llu", option, optarg,
			 (unsigned long long)min, (unsigned long long)max);
}

static int ram_add(struct options *options, char *text)
{
	char *equal = strchr(text, '=');

	if (!equal || equal == text || !equal[1])
		return error_set(-EINVAL, "--ram %.60s: give NAME=FILE", text);
	if (options->ram_count == OPTIONS_RAM_MAX)
		return error_set(-EINVAL, "at most %d times --ram", OPTIONS_RAM_MAX);
	*equal = '\0';
	options->ram[options->ram_count++] = (struct options_ram){ text, equal + 1 };
	return 0;
}

static int option_apply(int option, char **argv, struct options *options)
{
	switch (option) {
	case OPTION_QMP:
		options->qmp = optarg;
		return 0;
	case OPTION_JOIN:
		options->join = optarg;
		return 0;
	case OPTION_SECRET_FILE:
		options->secret_file = optarg;
		return 0;
	case OPTION_RAM:
		return ram_add(options, optarg);
	case OPTION_DOWNTIME:
		return number_parse("--downtime", 1, OPTIONS_DOWNTIME_MAX, &options->downtime_ms);
	case OPTION_BANDWIDTH:
		return number_parse("--bandwidth", 1, OPTIONS_BANDWIDTH_MAX,
				    &options->bandwidth_mb);
	case OPTION_WAIT:
		return number_parse("--wait", 1, OPTIONS_WAIT_MAX, &options->wait_s);
	case OPTION_PLACED:
		options->placed = true;
		return 0;
	case OPTION_JSON:
		options->json = true;
		return 0;
	case OPTION_PAUSED:
		options->paused = true;
		return 0;
	case OPTION_HERE:
		options->here = true;
		return 0;
	case 'h':
		fputs(help, stdout);
		return 1;
	case OPTION_VERSION:
		printf("farbus-migrate %s (%s, %s)\n", FARBUS_VERSION, FARBUS_COMMIT,
		       FARBUS_BUILD_TYPE);
		return 1;
	default:
		return tool_option_refuse("farbus-migrate", option, argv);
	}
}

static int options_check(const struct options *options)
{
	if (!options->qmp)
		return error_set(-EINVAL,
				 "give --qmp PATH, the monitor of QEMU; farbus-migrate --help");
	if (options->mode == OPTIONS_RESUME && !options->here)
		return error_set(-EINVAL, "resume needs --here: the guest of this QEMU is to run; "
					  "end the other QEMU first");
	if (options->mode != OPTIONS_RESUME && !options->join)
		return error_set(-EINVAL, "give --join HOST:PORT, where both sides meet");
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options options = { .downtime_ms = 100, .wait_s = 60 };
	int option, err;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		err = option_apply(option, argv, &options);
		if (err != 0)
			return err;
	}
	if (argc - optind != 1)
		return error_set(-EINVAL,
				 "give source, dest or resume, once; farbus-migrate --help");
	err = mode_parse(argv[optind], &options.mode);
	if (err == 0)
		err = options_check(&options);
	if (err < 0)
		return err;
	*ret_options = options;
	return 0;
}
