/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * copy.h -- copy loops for mapped memory
 *
 * Runs that are long, or pieces that continue one another (what a stream of page-sized puts is),
 * bypass the cache; others go through it. The choice adapts to the CPU once, at the first call.
 * Threads: any thread. dst and src do not overlap.
 */
#ifndef TRANSPORT_COPY_H
#define TRANSPORT_COPY_H

#include <stddef.h>
#include <stdint.h>

void copy_bytes(void *dst, const void *src, size_t len);
/* Run length in bytes from which stores bypass the cache (setting FARBUS_STREAM_KIB). */
void copy_stream_set(size_t len);

#endif
