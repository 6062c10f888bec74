/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * counterfile.c -- a process page as farbus-stat reads it from a file: checked, then copied
 *
 * The file is copied by read(), never mapped: somebody may cut it off while we look at it.
 */
#include "apps/farbus-stat/counterfile.h"

#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(PROCESS_PAGE_SLOT_OFF - PROCESS_PAGE_COUNTER_OFF ==
		       COUNTERFILE_COUNTER_MAX * sizeof(uint64_t),
	       "as many counters as have room before the slots");

static int damaged(const char *name, const char *what, uint64_t is, uint64_t most)
{
	return error_set(-EPROTO,
			 "%.200s: damaged: %s is %llu, at most %llu makes sense; take another copy",
			 name, what, (unsigned long long)is, (unsigned long long)most);
}

static int header_check(const char *name, const struct process_page *page, size_t size)
{
	if (page->version != PROCESS_PAGE_VERSION)
		return error_set(-EPROTO,
				 "%.200s: layout version %u, this farbus-stat reads %u: use the "
				 "one of the farbus that wrote it",
				 name, page->version, PROCESS_PAGE_VERSION);
	if (page->counter_off != PROCESS_PAGE_COUNTER_OFF ||
	    page->slot_off != PROCESS_PAGE_SLOT_OFF ||
	    page->slot_size != sizeof(struct process_slot))
		return error_set(-EPROTO,
				 "%.200s: damaged: counters at %u, slots of %u bytes at %u, where "
				 "version %u has %d, %zu and %d",
				 name, page->counter_off, page->slot_size, page->slot_off,
				 PROCESS_PAGE_VERSION, PROCESS_PAGE_COUNTER_OFF,
				 sizeof(struct process_slot), PROCESS_PAGE_SLOT_OFF);
	if (page->counter_count > COUNTERFILE_COUNTER_MAX)
		return damaged(name, "the number of counters", page->counter_count,
			       COUNTERFILE_COUNTER_MAX);
	if (page->slot_count > PROCESS_THREAD_MAX)
		return damaged(name, "the number of threads", page->slot_count, PROCESS_THREAD_MAX);
	if (page->thread_counter_count > PROCESS_THREAD_COUNTERS)
		return damaged(name, "the number of counters per thread",
			       page->thread_counter_count, PROCESS_THREAD_COUNTERS);
	if (size < page->slot_off + (size_t)page->slot_count * page->slot_size)
		return error_set(
			-EPROTO, "%.200s: cut off: it has %zu bytes of %zu; take another copy",
			name, size, page->slot_off + (size_t)page->slot_count * page->slot_size);
	return 0;
}

static void instances_copy(const struct process_page *page, struct counterfile *file)
{
	for (int i = 0; i < PROCESS_INSTANCE_MAX; i++) {
		const struct process_instance *row = &page->instance[i];

		/* A row that was used keeps its job and rank when its instance is closed. */
		if (row->instance || row->job)
			file->instance[file->instance_count++] = *row;
	}
}

static void slots_copy(const struct process_page *page, const uint8_t *data,
		       struct counterfile *file)
{
	struct process_slot slot;

	for (uint32_t i = 0; i < page->slot_count; i++) {
		memcpy(&slot, data + page->slot_off + (size_t)i * sizeof(slot), sizeof(slot));
		file->thread_count += slot.tid != 0;
		for (uint32_t j = 0; j < page->thread_counter_count; j++)
			file->thread[j] += slot.counter[j];
	}
}

int counterfile_parse(const char *name, const void *data, size_t size, struct counterfile *ret_file)
{
	struct process_page page;
	int err;

	page.magic = 0;
	memcpy(&page.magic, data, size < sizeof(page.magic) ? size : sizeof(page.magic));
	if (page.magic == 0)
		return error_set(-EAGAIN,
				 "%.200s: nothing in it yet: its process has just begun, or was "
				 "killed then; try again, or give a counters.PID",
				 name);
	if (page.magic != PROCESS_PAGE_MAGIC || size < sizeof(page.magic))
		return error_set(-EPROTO,
				 "%.200s: not a counter file of farbus; give a counters.PID or the "
				 "directory that farbus-run --keep names",
				 name);
	if (size < PROCESS_PAGE_SLOT_OFF)
		return error_set(-EPROTO,
				 "%.200s: cut off: it has %zu bytes, its header and counters %d; "
				 "take another copy",
				 name, size, PROCESS_PAGE_SLOT_OFF);
	memcpy(&page, data, sizeof(page));
	err = header_check(name, &page, size);
	if (err < 0)
		return err;
	memset(ret_file, 0, sizeof(*ret_file));
	ret_file->pid = page.pid;
	ret_file->start_ns = page.start_ns;
	ret_file->count = page.counter_count;
	memcpy(ret_file->counter, (const uint8_t *)data + page.counter_off,
	       page.counter_count * sizeof(uint64_t));
	instances_copy(&page, ret_file);
	slots_copy(&page, data, ret_file);
	return 0;
}

int counterfile_read(const char *name, int fd, struct counterfile *ret_file)
{
	uint8_t *data = alloc_zero(PROCESS_PAGE_SIZE);
	size_t size = 0;
	ssize_t n;
	int err;

	if (!data)
		return error_set(-ENOMEM, "no memory to read %.200s", name);
	do {
		n = pread(fd, data + size, PROCESS_PAGE_SIZE - size, (off_t)size);
		if (n > 0)
			size += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		err = error_set(-EIO, "%.200s: cannot be read: %s", name, strerror(errno));
	else
		err = counterfile_parse(name, data, size, ret_file);
	free(data);
	return err;
}

size_t counterfile_rows(const struct counterfile *file)
{
	return PROCESS_THREAD_COUNTERS + (file->count > COUNTER_MAX ? file->count : COUNTER_MAX);
}

uint64_t counterfile_value(const struct counterfile *file, size_t row)
{
	if (row < PROCESS_THREAD_COUNTERS)
		return file->thread[row];
	row -= PROCESS_THREAD_COUNTERS;
	return row < file->count ? file->counter[row] : 0;
}

void counterfile_name(size_t row, char ret_name[COUNTERFILE_NAME_SIZE])
{
	const char *name;

	if (row < PROCESS_THREAD_COUNTERS)
		name = counter_thread_name((unsigned int)row);
	else
		name = counter_name((enum counter)(row - PROCESS_THREAD_COUNTERS));
	if (name)
		snprintf(ret_name, COUNTERFILE_NAME_SIZE, "%s", name);
	else
		snprintf(ret_name, COUNTERFILE_NAME_SIZE, "counter_%zu",
			 row - PROCESS_THREAD_COUNTERS);
}

const char *counterfile_meaning(size_t row)
{
	const char *meaning;

	if (row < PROCESS_THREAD_COUNTERS)
		meaning = counter_thread_meaning((unsigned int)row);
	else
		meaning = counter_meaning((enum counter)(row - PROCESS_THREAD_COUNTERS));
	return meaning ? meaning : "counted by a newer farbus than this";
}
