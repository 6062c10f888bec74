/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * counterfile.h -- a process page as farbus-stat reads it from a file: checked, then copied
 *
 * The layout is base/process_page.h. Counters are read by position: a file of an older farbus has
 * fewer of them, one of a newer may have more, which then have no name here.
 */
#ifndef APPS_FARBUS_STAT_COUNTERFILE_H
#define APPS_FARBUS_STAT_COUNTERFILE_H

#include "base/process_page.h"
#include <stddef.h>

#define COUNTERFILE_COUNTER_MAX 512 /* one page of them */
#define COUNTERFILE_NAME_SIZE 32

struct counterfile {
	uint32_t pid;
	uint64_t start_ns; /* wall clock */
	uint32_t count;	   /* of counter[], as the file has it */
	uint64_t counter[COUNTERFILE_COUNTER_MAX];
	uint64_t thread[PROCESS_THREAD_COUNTERS]; /* sums over all threads, ended ones too */
	uint32_t thread_count;			  /* threads that have a slot now */
	uint32_t instance_count;
	struct process_instance instance[PROCESS_INSTANCE_MAX]; /* instance 0: it was closed */
};

/*
 * The first size bytes of a file. name is for the error text. Errors: -EPROTO not a counter file,
 * of another version, damaged or cut off; -EAGAIN it is being made: the magic is written last.
 */
int counterfile_parse(const char *name, const void *data, size_t size,
		      struct counterfile *ret_file);

/* From an open file; it may be written meanwhile. Errors: also -EIO, -ENOMEM. */
int counterfile_read(const char *name, int fd, struct counterfile *ret_file);

/* Both kinds as one row: threads' counters first. */
size_t counterfile_rows(const struct counterfile *file);
uint64_t counterfile_value(const struct counterfile *file, size_t row);
void counterfile_name(size_t row, char ret_name[COUNTERFILE_NAME_SIZE]);
const char *counterfile_meaning(size_t row); /* never NULL */

#endif
