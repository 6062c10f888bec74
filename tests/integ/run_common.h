/* SPDX-License-Identifier: BSD-3-Clause */
/* run_common.h -- what the tests of farbus-run share */
#ifndef TESTS_INTEG_RUN_COMMON_H
#define TESTS_INTEG_RUN_COMMON_H

#include "tests/integ/run_program.h"

#define CLIENT RUN_CLIENT
#define RUN(...) ((char *[]){ (char *)FARBUS_RUN, __VA_ARGS__, NULL })

/* XDG_RUNTIME_DIR while the tests run. */
extern char runtime_dir[];

int directory_entries(const char *path);
/* Runs it to its end with this standard input; nothing is left in runtime_dir. */
void run(struct program *program, char **argv, const char *input);
/* One line on stderr, with this in it, and nothing on stdout. */
void refused(char **argv, int code, const char *text);
/* The n-th "pid NUMBER" in a text. */
pid_t pid_find(const char *text, int n);
int run_environment_make(void **state);
int run_environment_remove(void **state);

#endif
