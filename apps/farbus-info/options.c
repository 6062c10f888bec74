/* SPDX-License-Identifier: BSD-3-Clause */
/* options.c -- the command line of farbus-info */
#include "apps/farbus-info/options.h"

#include "addrmap/addr.h"
#include "apps/common/tool.h"
#include "base/error.h"
#include <ctype.h>
#include <errno.h>
#include <farbus-build/commit.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_JSON = 256, OPTION_TRACE, OPTION_VERSION };

static const struct option long_options[] = {
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "trace", no_argument, NULL, OPTION_TRACE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"Usage: farbus-info [--json]\n"
	"       farbus-info [--json] PID[.INSTANCE]\n"
	"       farbus-info [--json] --trace PID[.INSTANCE] ADDRESS\n"
	"Prints what this farbus is, its settings, what the machine gives it, and which instances of\n"
	"this user live on this host; or all about the instances of one process; or where an address\n"
	"in that process leads.\n"
	"\n"
	"  --trace     follow ADDRESS from window to import, bus address and home\n"
	"  --json      print one JSON document\n"
	"  -h, --help  print this\n"
	"  --version   print the version\n"
	"\n"
	"Exit code: 0; 1 something asked for could not be shown; 2 wrong command line.\n";

int options_name_parse(const char *text, pid_t *ret_pid, uint32_t *ret_instance)
{
	uint64_t pid, instance = 0;
	size_t len = strcspn(text, ".");
	char first[16];

	if (len >= sizeof(first))
		goto refuse;
	memcpy(first, text, len);
	first[len] = '\0';
	if (!tool_number_parse(first, 1, INT_MAX, &pid))
		goto refuse;
	if (text[len] && !tool_number_parse(text + len + 1, 1, UINT32_MAX, &instance))
		goto refuse;
	*ret_pid = (pid_t)pid;
	*ret_instance = (uint32_t)instance;
	return 0;

refuse:
	return error_set(-EINVAL, "%.40s: give a PID or PID.INSTANCE; farbus-info alone lists them",
			 text);
}

static int address_parse(const char *text, uint64_t *ret_va)
{
	char *end;
	unsigned long long va;

	errno = 0;
	va = strtoull(text, &end, 16);
	if (!isxdigit((unsigned char)text[0]) || *end || errno || va >> ADDR_VA_BITS)
		return error_set(-EINVAL,
				 "address %.40s: give it as hex below 2^%d, as %%p prints it", text,
				 ADDR_VA_BITS);
	*ret_va = va;
	return 0;
}

static int option_apply(int option, char **argv, struct options *options)
{
	switch (option) {
	case OPTION_JSON:
		options->json = true;
		return 0;
	case OPTION_TRACE:
		options->trace = true;
		return 0;
	case 'h':
		fputs(help, stdout);
		return 1;
	case OPTION_VERSION:
		printf("farbus-info %s (%s, %s)\n", FARBUS_VERSION, FARBUS_COMMIT,
		       FARBUS_BUILD_TYPE);
		return 1;
	default:
		return tool_option_refuse("farbus-info", option, argv);
	}
}

static int operands_parse(char **operand, int count, struct options *options)
{
	int err;

	if (options->trace && count != 2)
		return error_set(-EINVAL, "--trace needs PID[.INSTANCE] and ADDRESS; see "
					  "farbus-info --help");
	if (!options->trace && count > 1)
		return error_set(-EINVAL, "%.40s: one PID at a time; farbus-info alone lists all",
				 operand[1]);
	if (count == 0)
		return 0;
	err = options_name_parse(operand[0], &options->pid, &options->instance);
	if (err == 0 && options->trace)
		err = address_parse(operand[1], &options->va);
	return err;
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
	err = operands_parse(&argv[optind], argc - optind, &options);
	if (err == 0)
		*ret_options = options;
	return err;
}
