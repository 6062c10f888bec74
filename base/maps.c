/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * maps.c -- reading /proc/self/maps; other memory in the place of what is mapped
 *
 * Invariant: lines come in the order of addresses; they are read one at a time, and a mapping that
 * changes meanwhile may be seen as it was or as it is.
 */
#include "base/maps.h"

#include "base/error.h"
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE_SIZE 512

/* "start-end rw.." False: not such a line. */
static bool line_parse(const char *line, uintptr_t *ret_start, uintptr_t *ret_end,
		       const char **ret_rights)
{
	unsigned long start, end;
	int at = 0;

	if (sscanf(line, "%lx-%lx %n", &start, &end, &at) < 2 || at == 0)
		return false;
	*ret_start = start;
	*ret_end = end;
	*ret_rights = line + at;
	return true;
}

/* Reads on to the end of a line that is longer than the buffer: a path may be. */
static void line_finish(FILE *file, char *line, size_t size)
{
	while (!strchr(line, '\n') && fgets(line, (int)size, file))
		;
}

static int not_mapped(uintptr_t at)
{
	return error_set(-EFAULT, "no memory is mapped at %p: map all of the range first",
			 (void *)at);
}

static int walk(FILE *file, uintptr_t at, uintptr_t end)
{
	char line[LINE_SIZE];
	uintptr_t start, stop;
	const char *rights;

	while (at < end && fgets(line, sizeof(line), file)) {
		if (!line_parse(line, &start, &stop, &rights))
			return error_set(-ENOSYS, "/proc/self/maps is not in the form it has on "
						  "Linux: mount the kernel's own /proc");
		if (stop > at) {
			if (start > at)
				return not_mapped(at);
			if (strncmp(rights, "rw", 2) != 0)
				return error_set(-EACCES,
						 "memory at %p is mapped %.4s: it needs PROT_READ "
						 "and PROT_WRITE, see mprotect(2)",
						 (void *)at, rights);
			at = stop;
		}
		line_finish(file, line, sizeof(line));
	}
	return at < end ? not_mapped(at) : 0;
}

int maps_writable(const void *start, size_t len)
{
	uintptr_t at = (uintptr_t)start;
	FILE *file;
	int err;

	if (at + len < at)
		return not_mapped(at);
	file = fopen("/proc/self/maps", "re");
	if (!file && (errno == EMFILE || errno == ENFILE))
		return error_set(-EMFILE, "no descriptor left: raise ulimit -n");
	if (!file)
		return error_set(-ENOSYS, "cannot read /proc/self/maps (%s): mount /proc",
				 strerror(errno));
	err = walk(file, at, at + len);
	fclose(file);
	return err;
}

int maps_replace(void *va, size_t len, int prot, int flags, int fd, off_t off)
{
	long map = syscall(SYS_mmap, va, len, prot, flags | MAP_FIXED, fd, off);

	return map == -1 ? -errno : 0;
}
