/* SPDX-License-Identifier: BSD-3-Clause */
/* environment.c -- what a rank finds in its environment */
#include "apps/farbus-run/environment.h"

#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Variables of ours; the first three differ from rank to rank. */
enum { OWN_RANK, OWN_FD, OWN_LOCAL_RANK, OWN_SIZE, OWN_LOCAL_SIZE, OWN_RUN_DIR };

static bool name_same(const char *a, const char *b)
{
	size_t len = strcspn(a, "=");

	return len == strcspn(b, "=") && strncmp(a, b, len) == 0;
}

/* A launcher within a launcher: ranks must not talk to the outer one. */
static bool outer(const char *entry)
{
	return strncmp(entry, "PMI_", 4) == 0 || strncmp(entry, "PMIX_", 5) == 0 ||
	       strncmp(entry, "MPI_LOCAL", 9) == 0;
}

static bool replaced(const struct environment *environment, const struct options *options,
		     const char *entry)
{
	for (size_t i = 0; i < environment->own_count; i++) {
		if (name_same(entry, environment->own[i]))
			return true;
	}
	for (size_t i = 0; i < options->export_count; i++) {
		if (name_same(entry, options->export[i]))
			return true;
	}
	return outer(entry);
}

static bool export_replaced(const struct environment *environment, const struct options *options,
			    size_t at)
{
	for (size_t i = 0; i < environment->own_count; i++) {
		if (name_same(options->export[at], environment -> own[i]))
			return true;
	}
	for (size_t i = at + 1; i < options->export_count; i++) {
		if (name_same(options->export[at], options -> export[i]))
			return true;
	}
	return false;
}

static void own_fill(struct environment *environment, uint32_t size, const char *run_dir)
{
	environment_rank(environment, 0, -1);
	snprintf(environment->own[OWN_SIZE], sizeof(environment->own[0]), "PMI_SIZE=%u", size);
	snprintf(environment->own[OWN_LOCAL_SIZE], sizeof(environment->own[0]),
		 "MPI_LOCALNRANKS=%u", size);
	environment->own_count = OWN_RUN_DIR;
	if (run_dir) {
		snprintf(environment->own[OWN_RUN_DIR], sizeof(environment->own[0]),
			 "FARBUS_RUN_DIR=%s", run_dir);
		environment->own_count++;
	}
}

int environment_new(const struct options *options, const char *run_dir,
		    struct environment **ret_environment)
{
	struct environment *environment = alloc_zero(sizeof(*environment));
	size_t count = 0;

	if (!environment)
		return error_set(-ENOMEM, "no memory for the environment");
	own_fill(environment, options->size, run_dir);
	for (char **at = environ; at && *at; at++)
		count++;
	environment->entry = alloc_array(count + options->export_count + ENVIRONMENT_OWN_MAX + 1,
					 sizeof(char *));
	if (!environment->entry) {
		free(environment);
		return error_set(-ENOMEM, "no memory for the environment");
	}
	count = 0;
	for (size_t i = 0; i < environment->own_count; i++)
		environment->entry[count++] = environment->own[i];
	for (size_t i = 0; i < options->export_count; i++) {
		if (!export_replaced(environment, options, i))
			environment->entry[count++] = (char *)options->export[i];
	}
	for (char **at = environ; at && *at; at++) {
		if (!replaced(environment, options, *at))
			environment->entry[count++] = *at;
	}
	*ret_environment = environment;
	return 0;
}

void environment_rank(struct environment *environment, uint32_t rank, int pmi_fd)
{
	snprintf(environment->own[OWN_RANK], sizeof(environment->own[0]), "PMI_RANK=%u", rank);
	snprintf(environment->own[OWN_FD], sizeof(environment->own[0]), "PMI_FD=%d", pmi_fd);
	snprintf(environment->own[OWN_LOCAL_RANK], sizeof(environment->own[0]),
		 "MPI_LOCALRANKID=%u", rank);
}

void environment_free(struct environment *environment)
{
	if (!environment)
		return;
	free(environment->entry);
	free(environment);
}
