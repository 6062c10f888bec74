/* SPDX-License-Identifier: BSD-3-Clause */
/* strerror.c -- one meaning per error number; the long form is docs/errors.md */
#include <farbus/farbus.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	int error;
	const char *text;
} meaning[] = {
	{ 0, "success" },
	{ EINVAL, "an argument that can never be right" },
	{ EACCES, "token, right or job secret refused" },
	{ ERANGE, "past the end of the region, grant or file" },
	{ ESTALE, "revoked, or its home restarted" },
	{ ETIME, "the token expired" },
	{ ETIMEDOUT, "no answer in time; the peer may be stopped" },
	{ EHOSTDOWN, "the instance died or closed" },
	{ ENOMEM, "no memory" },
	{ ENOSPC, "a limit of farbus or of the file system is reached" },
	{ ENOENT, "no such name, window or grant" },
	{ EEXIST, "taken: rank, name or address" },
	{ ENOTSUP, "not available on this path" },
	{ EPROTO, "the other side speaks another protocol, or the ranks disagree" },
	{ ECHILD, "called in a forked child" },
	{ EIO, "the output of a dump took not all of it" },
	{ ELOOP, "grants chained too deep" },
	{ EFAULT, "no memory or window at this address" },
	{ EBADF, "the descriptor is not open for writing" },
	{ EMFILE, "out of descriptors" },
	{ ENAMETOOLONG, "the name is too long" },
	{ EAGAIN, "not now: poll and try again" },
	{ EBUSY, "still in use" },
	{ ENOSYS, "the kernel or the build lacks it" },
	{ ECONNREFUSED, "nobody listens there" },
	{ EMSGSIZE, "larger than one message" },
	{ ECANCELED, "the move was given up" },
};

const char *farbus_strerror(int error)
{
	for (size_t i = 0; i < sizeof(meaning) / sizeof(meaning[0]); i++)
		if (meaning[i].error == abs(error))
			return meaning[i].text;
	return "an error number farbus does not use";
}
