/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * info_answer.c -- fuzz target: what farbus-info gets from the kernel's list and from an instance
 */
#include "apps/common/live.h"
#include "apps/farbus-info/document.h"
#include "apps/farbus-info/peer.h"
#include "apps/farbus-info/trace.h"
#include "base/assert.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void line_run(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);
	struct live live = { 0 };

	FARBUS_ASSERT(line != NULL);
	memcpy(line, data, size);
	line[size] = '\0';
	if (live_line_parse(line, &live))
		FARBUS_ASSERT(live.pid > 0 && live.instance > 0);
	free(line);
}

/* Every window's first and last byte leads somewhere, or to an error. */
static void traces_run(const json_t *document)
{
	json_t *window, *trace;
	size_t i;

	json_array_foreach(json_object_get(document, "windows"), i, window)
	{
		uint64_t va = document_hex(window, "va"), len = document_number(window, "len");

		if (trace_new(document, va, &trace) == 0) {
			trace_home_add(trace, document);
			json_decref(trace);
		}
		if (trace_new(document, va + len - 1, &trace) == 0)
			json_decref(trace);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *document;

	line_run(data, size);
	if (peer_answer_parse((const char *)data, size, &document) == 0) {
		traces_run(document);
		json_decref(document);
	}
	return 0;
}
