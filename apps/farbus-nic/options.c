/* SPDX-License-Identifier: BSD-3-Clause */
/* options.c -- the command line of farbus-nic */
#include "apps/farbus-nic/options.h"

#include "apps/common/tool.h"
#include "base/error.h"
#include <errno.h>
#include <farbus-build/commit.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	OPTION_SOCKET = 256,
	OPTION_PORT,
	OPTION_QUEUES,
	OPTION_PACKED,
	OPTION_NO_AGGREGATION,
	OPTION_NO_VERIFY,
	OPTION_PCAP,
	OPTION_STATS,
	OPTION_CORE,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "port", required_argument, NULL, OPTION_PORT },
	{ "queues", required_argument, NULL, OPTION_QUEUES },
	{ "packed", no_argument, NULL, OPTION_PACKED },
	{ "no-aggregation", no_argument, NULL, OPTION_NO_AGGREGATION },
	{ "no-verify", no_argument, NULL, OPTION_NO_VERIFY },
	{ "pcap", required_argument, NULL, OPTION_PCAP },
	{ "stats", required_argument, NULL, OPTION_STATS },
	{ "core", required_argument, NULL, OPTION_CORE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"Usage: farbus-nic --socket PATH --port PORT [--socket PATH --port PORT]... [options]\n"
	"A network device for virtual machines: vhost-user at PATH, frames from and to PORT.\n"
	"\n"
	"  --socket PATH     where QEMU, or another front end, connects\n"
	"  --port PORT       tpacket:IFNAME  an interface, through AF_PACKET\n"
	"                    tap:IFNAME      a TAP interface of the host\n"
	"                    tpacket-fd:NUMBER, tap-fd:NUMBER  the same, opened by somebody else\n"
	"                    pcap:FILE       a capture file, replayed; FILE,fast: at once\n"
	"  --queues N        queue pairs of each device; preset: 1\n"
	"  --packed          offer packed rings, too\n"
	"  --no-aggregation  every packet alone, whatever the guest can take\n"
	"  --no-verify       trust checksums of what is aggregated\n"
	"  --pcap FILE       write down what the queues saw; with one device only\n"
	"  --stats SECONDS   print counts as a JSON line, again and again, and at the end; 0: at the end\n"
	"  --core N          run on this core, as hwloc counts them\n"
	"  -h, --help        print this\n"
	"  --version         print the version\n"
	"\n"
	"SIGUSR1 prints counts at once; SIGTERM and SIGINT end it.\n"
	"Exit code: 0; 1 a port or socket could not be opened; 2 wrong command line.\n";

static int socket_add(struct options *options, const char *path)
{
	if (options->device_count == OPTIONS_DEVICE_MAX)
		return error_set(-EINVAL, "at most %d times --socket", OPTIONS_DEVICE_MAX);
	if (options->device_count > 0 && !options->device[options->device_count - 1].port)
		return error_set(-EINVAL, "--socket %.60s has no --port behind it",
				 options->device[options->device_count - 1].socket);
	options->device[options->device_count++].socket = path;
	return 0;
}

static int port_add(struct options *options, const char *port)
{
	if (options->device_count == 0 || options->device[options->device_count - 1].port)
		return error_set(-EINVAL, "--port %.60s: one behind each --socket", port);
	options->device[options->device_count - 1].port = port;
	return 0;
}

static int stats_parse(struct options *options, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !isfinite(seconds) || seconds < 0 ||
	    seconds > OPTIONS_SECONDS_MAX || (seconds > 0 && seconds < 1e-2))
		return error_set(-EINVAL, "--stats %.40s: give 0, or seconds from 0.01 to %d", text,
				 OPTIONS_SECONDS_MAX);
	options->stats = true;
	options->stats_s = seconds;
	return 0;
}

static int number_parse(const char *option, const char *text, uint64_t min, uint64_t max,
			uint64_t *ret_value)
{
	if (tool_number_parse(text, min, max, ret_value))
		return 0;
	return error_set(-EINVAL, "%s %.40s: give a whole number from %llu to %llu", option, text,
			 (unsigned long long)min, (unsigned long long)max);
}

static int option_apply(int option, char **argv, struct options *options)
{
	uint64_t number;
	int err = 0;

	switch (option) {
	case OPTION_SOCKET:
		return socket_add(options, optarg);
	case OPTION_PORT:
		return port_add(options, optarg);
	case OPTION_QUEUES:
		err = number_parse("--queues", optarg, 1, VHOST_PAIR_MAX, &number);
		options->net.pairs = err == 0 ? (uint32_t)number : 0;
		return err;
	case OPTION_CORE:
		err = number_parse("--core", optarg, 0, 65535, &number);
		options->core = err == 0 ? (int)number : -1;
		return err;
	case OPTION_PACKED:
		options->net.offer_packed = true;
		return 0;
	case OPTION_NO_AGGREGATION:
		options->net.aggregate = false;
		return 0;
	case OPTION_NO_VERIFY:
		options->net.verify = false;
		return 0;
	case OPTION_PCAP:
		options->capture = optarg;
		return 0;
	case OPTION_STATS:
		return stats_parse(options, optarg);
	case 'h':
		fputs(help, stdout);
		return 1;
	case OPTION_VERSION:
		printf("farbus-nic %s (%s, %s)\n", FARBUS_VERSION, FARBUS_COMMIT,
		       FARBUS_BUILD_TYPE);
		return 1;
	default:
		return tool_option_refuse("farbus-nic", option, argv);
	}
}

static int options_check(const struct options *options, int argc, char **argv)
{
	if (optind < argc)
		return error_set(-EINVAL, "'%.60s' is no option; farbus-nic --help lists them",
				 argv[optind]);
	if (options->device_count == 0)
		return error_set(-EINVAL, "give --socket PATH and --port PORT; farbus-nic --help");
	if (!options->device[options->device_count - 1].port)
		return error_set(-EINVAL, "--socket %.60s has no --port behind it",
				 options->device[options->device_count - 1].socket);
	if (options->capture && options->device_count > 1)
		return error_set(-EINVAL, "--pcap with %u devices: one is the most",
				 options->device_count);
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options options = { .core = -1, .net = { .aggregate = true, .verify = true } };
	int option, err;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		err = option_apply(option, argv, &options);
		if (err != 0)
			return err;
	}
	err = options_check(&options, argc, argv);
	if (err < 0)
		return err;
	*ret_options = options;
	return 0;
}
