/* SPDX-License-Identifier: BSD-3-Clause */
/* tool.c -- what the tools share: exit codes, complaints, numbers, the end of the output */
#include "apps/common/tool.h"

#include "base/error.h"
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void tool_complain(const char *tool)
{
	fprintf(stderr, "%s: %s\n", tool, error_text());
}

int tool_option_refuse(const char *tool, int option, char **argv)
{
	if (option == ':')
		return error_set(-EINVAL, "option %.40s needs a value; see %s --help",
				 argv[optind - 1], tool);
	if (optopt > ' ' && optopt < 0x7f)
		return error_set(-EINVAL, "unknown option -%c; %s --help lists them", optopt, tool);
	return error_set(-EINVAL,
			 "unknown or ambiguous option, or one that takes no value: %.40s; "
			 "%s --help lists them",
			 argv[optind - 1], tool);
}

bool tool_number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (value < min || value > max)
		return false;
	*ret_value = value;
	return true;
}

int tool_json_print(const json_t *document)
{
	char *text = json_dumps(document, JSON_COMPACT | JSON_PRESERVE_ORDER);

	if (!text)
		return error_set(-ENOMEM, "no memory for the JSON document");
	puts(text);
	free(text);
	return 0;
}

/* When a buffer was written before the end, errno is gone; the pipe itself still knows. */
static bool reader_gone(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

int tool_close(const char *tool, int code)
{
	int err = 0;

	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout))
		err = errno ? errno : EIO;
	if (!err)
		return code;
	if (err != EPIPE && !reader_gone())
		fprintf(stderr, "%s: the output could not be written: %s; free some space there\n",
			tool, err == EIO ? "write error" : strerror(err));
	return TOOL_EXIT_FAILED;
}
