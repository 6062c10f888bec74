/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * alloc.h -- every allocation of the library, with a fault point for tests
 *
 * alloc_fault_arm(n) makes the n-th allocation from now (1 = next) fail, once. Tests loop n = 1, 2, ... until
 * the call under test succeeds, and so visit every unwind path.
 */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

void *alloc_zero(size_t size);				  /* NULL: no memory. free() it. */
void *alloc_array(size_t count, size_t size);		  /* zeroed, overflow-checked */
void *alloc_aligned(size_t align, size_t size);		  /* zeroed */
void *alloc_resize(void *old, size_t count, size_t size); /* new part not zeroed */
char *alloc_text(const char *text);

/*
 * Pages of zeros that cost address space alone, also where memory is not overcommitted: read-only,
 * until a part of them (whole pages) is made writable. false, NULL: no memory.
 */
void *alloc_sparse(size_t size);
bool alloc_sparse_open(void *part, size_t size);
void alloc_sparse_free(void *sparse, size_t size); /* takes NULL */

void alloc_fault_arm(unsigned long n); /* 0 disarms */
bool alloc_fault_fired(void);	       /* since it was armed */
/* For other resources (descriptors, mappings) that want the same treatment: true = fail now. */
bool alloc_fault_point(void);

#endif
