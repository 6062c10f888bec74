/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run_program.h -- starts a program with pipes and collects what it prints, within a bound
 *
 * Threads: owner thread.
 */
#ifndef TESTS_INTEG_RUN_PROGRAM_H
#define TESTS_INTEG_RUN_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct program {
	pid_t pid;
	int input, output, error; /* our ends; -1: closed */
	char *out, *err;	  /* what came so far, as texts; owned */
	size_t out_len, err_len;
	int code; /* exit code, 128 + signal; valid after program_wait() */
};

/* All of these fail the test, and end the program, when the bound of 60 s is over. */
void program_start(struct program *program, char *const argv[]);
void program_write(struct program *program, const char *data, size_t len); /* then closes */
/* Until text stands count times in its stdout. */
void program_expect(struct program *program, const char *text, int count);
/* Until text stands in its stderr. */
void program_expect_error(struct program *program, const char *text);
/* Until its end, and the end of its output. */
void program_wait(struct program *program);
void program_free(struct program *program);

/* How often text stands in it. */
int text_count(const char *in, const char *text);
/* No such process, or only its remains; reaps ours. Waits up to 20 s for it. */
bool process_gone(pid_t pid);

#endif
