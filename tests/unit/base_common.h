/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * base_common.h -- what the tests of base/ share: cases that need a process of their own
 *
 * base/ has state that a process has once, writes to stderr and ends processes on bugs; such a case
 * runs in a child, which tells by its exit code and its stderr what happened.
 */
#ifndef TESTS_UNIT_BASE_COMMON_H
#define TESTS_UNIT_BASE_COMMON_H

#include <stddef.h>

#define CHILD_TEXT_MAX 65536

struct child {
	int status; /* as from waitpid(2) */
	char text[CHILD_TEXT_MAX];
};

/* Runs the case in a child, for at most a minute; when it returns, the child exits with 0. */
void child_run(void (*run)(void *arg), void *arg, struct child *ret_child);

/* The same, and it has to exit with 0. */
void child_passes(void (*run)(void *arg), void *arg);

/* In a child: says which line, and exits with 1. */
#define CHECK(fact) ((fact) ? (void)0 : check_failed(#fact, __FILE__, __LINE__))
void check_failed(const char *what, const char *file, int line) __attribute__((noreturn));

/* Parent of the test: how often needle stands in text. */
int text_times(const char *text, const char *needle);

#endif
