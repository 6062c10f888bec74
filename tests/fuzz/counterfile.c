/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * counterfile.c -- fuzz target: the reader of counter files
 *
 * A counter file is mostly zeros, and too long for a fuzzer. So the input is its header, then the
 * file's length, then bytes that fill counters and slots over and over.
 */
#include "apps/farbus-stat/counterfile.h"
#include "base/assert.h"
#include <stdlib.h>
#include <string.h>

#define HEADER sizeof(struct process_page)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void file_check(const struct counterfile *file)
{
	char name[COUNTERFILE_NAME_SIZE];
	size_t rows = counterfile_rows(file);

	FARBUS_ASSERT(file->count <= COUNTERFILE_COUNTER_MAX);
	FARBUS_ASSERT(file->thread_count <= PROCESS_THREAD_MAX);
	FARBUS_ASSERT(file->instance_count <= PROCESS_INSTANCE_MAX);
	FARBUS_ASSERT(rows >= PROCESS_THREAD_COUNTERS + COUNTER_MAX);
	FARBUS_ASSERT(rows <= PROCESS_THREAD_COUNTERS + COUNTERFILE_COUNTER_MAX);
	for (size_t row = 0; row < rows; row++) {
		counterfile_name(row, name);
		FARBUS_ASSERT(name[0] && strlen(name) < COUNTERFILE_NAME_SIZE);
		FARBUS_ASSERT(counterfile_meaning(row) != NULL);
		(void)counterfile_value(file, row);
	}
}

static void image_run(const void *image, size_t size)
{
	static struct counterfile file;

	if (counterfile_parse("input", image, size, &file) == 0)
		file_check(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t length;
	uint8_t *image;

	image_run(data, size);
	if (size <= HEADER + sizeof(length))
		return 0;
	memcpy(&length, data + HEADER, sizeof(length));
	length = HEADER + length % (PROCESS_PAGE_SIZE - HEADER + 1);
	image = calloc(1, length);
	FARBUS_ASSERT(image != NULL);
	memcpy(image, data, HEADER);
	data += HEADER + sizeof(length);
	size -= HEADER + sizeof(length);
	for (size_t at = PROCESS_PAGE_COUNTER_OFF; at < length; at += size)
		memcpy(image + at, data, length - at < size ? length - at : size);
	image_run(image, length);
	free(image);
	return 0;
}
