/* SPDX-License-Identifier: BSD-3-Clause */
/* environment.h -- what a rank finds in its environment */
#ifndef APPS_FARBUS_RUN_ENVIRONMENT_H
#define APPS_FARBUS_RUN_ENVIRONMENT_H

#include "apps/farbus-run/options.h"

#define ENVIRONMENT_OWN_MAX 8

/*
 * The launcher's environment without what an outer launcher left, then -x, then our own variables.
 * The first own_count entries are ours. Ownership: the caller's; the texts of others are borrowed.
 */
struct environment {
	char **entry; /* owned, ends with NULL */
	size_t own_count;
	char own[ENVIRONMENT_OWN_MAX][320];
};

/* run_dir NULL: no FARBUS_RUN_DIR. Errors: -ENOMEM. */
int environment_new(const struct options *options, const char *run_dir,
		    struct environment **ret_environment);
/* Points the rank's own variables at it. pmi_fd: the descriptor's number in the rank. */
void environment_rank(struct environment *environment, uint32_t rank, int pmi_fd);
void environment_free(struct environment *environment);

#endif
