/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * assert.h -- what a bug would break
 *
 * FARBUS_ASSERT stays in release builds and is for O(1) facts; FARBUS_DEBUG_ASSERT is for walks.
 * Neither is for what a peer, a file or the kernel can cause.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

/* Prints the line and ends the process with SIGABRT. */
void assert_failed(const char *what, const char *file, int line) __attribute__((noreturn, cold));

#define FARBUS_ASSERT(fact) ((fact) ? (void)0 : assert_failed(#fact, __FILE__, __LINE__))

#ifdef NDEBUG
#define FARBUS_DEBUG_ASSERT(fact) ((void)sizeof(fact))
#else
#define FARBUS_DEBUG_ASSERT(fact) FARBUS_ASSERT(fact)
#endif

#endif
