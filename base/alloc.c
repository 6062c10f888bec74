/* SPDX-License-Identifier: BSD-3-Clause */
/* alloc.c -- every allocation of the library, with a fault point for tests */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Allocations until one fails; 0: disarmed. Any thread counts down, one of them sees 1. */
static _Atomic unsigned long fault_left;
static _Atomic bool fault_hit;

void alloc_fault_arm(unsigned long n)
{
	atomic_store(&fault_hit, false);
	atomic_store(&fault_left, n);
}

bool alloc_fault_fired(void)
{
	return atomic_load(&fault_hit);
}

bool alloc_fault_point(void)
{
	unsigned long left = atomic_load_explicit(&fault_left, memory_order_relaxed);

	while (left) {
		if (!atomic_compare_exchange_weak(&fault_left, &left, left - 1))
			continue;
		if (left == 1)
			atomic_store(&fault_hit, true);
		return left == 1;
	}
	return false;
}

void *alloc_zero(size_t size)
{
	return alloc_fault_point() ? NULL : calloc(1, size);
}

void *alloc_array(size_t count, size_t size)
{
	size_t whole;

	/* calloc() checks too, but the sanitizers' take it for a bug of ours and end the process. */
	if (alloc_fault_point() || __builtin_mul_overflow(count, size, &whole))
		return NULL;
	return calloc(count, size);
}

void *alloc_aligned(size_t align, size_t size)
{
	size_t whole = (size + align - 1) / align * align;
	void *p = alloc_fault_point() || whole < size ? NULL : aligned_alloc(align, whole);

	return p ? memset(p, 0, whole) : NULL;
}

void *alloc_resize(void *old, size_t count, size_t size)
{
	size_t whole;

	if (alloc_fault_point() || __builtin_mul_overflow(count, size, &whole))
		return NULL;
	return realloc(old, whole);
}

char *alloc_text(const char *text)
{
	return alloc_fault_point() ? NULL : strdup(text);
}

void *alloc_sparse(size_t size)
{
	void *p = alloc_fault_point() ? MAP_FAILED :
					mmap(NULL, size, PROT_READ,
					     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

bool alloc_sparse_open(void *part, size_t size)
{
	return !alloc_fault_point() && mprotect(part, size, PROT_READ | PROT_WRITE) == 0;
}

void alloc_sparse_free(void *sparse, size_t size)
{
	if (sparse)
		munmap(sparse, size);
}
