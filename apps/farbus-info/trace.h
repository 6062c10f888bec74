/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace.h -- one address through every stage: window, import, bus address, home
 */
#ifndef APPS_FARBUS_INFO_TRACE_H
#define APPS_FARBUS_INFO_TRACE_H

#include <jansson.h>
#include <stdint.h>

/*
 * In a document that was checked. What is found is an object: "va", "pid", "instance", "window",
 * "import", "bus", "home"; pid and va of the home are there if this instance is the home itself.
 * Errors: -ENOENT no window or own region there, -EPROTO the document contradicts itself, -ENOMEM.
 */
int trace_new(const json_t *document, uint64_t va, json_t **ret_trace);

/* The last stage, from what the home says about itself. Nothing to add: no error. */
void trace_home_add(json_t *trace, const json_t *home);

void trace_print(const json_t *trace);

#endif
