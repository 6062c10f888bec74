/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * example.h -- what the longer examples share: ending on an error, options, imports from all
 */
#ifndef APPS_EXAMPLES_COMMON_EXAMPLE_H
#define APPS_EXAMPLES_COMMON_EXAMPLE_H

#include <farbus/farbus.h>
#include <stdbool.h>

#define EXAMPLE_RANK_MAX 64

/* The name that example_fail() puts first, with the rank once there is one. */
void example_name(const char *name);
void example_rank(uint32_t rank);

/* Prints what failed and farbus_last_error(), and ends the process; the launcher ends the rest. */
void example_fail(const char *call, int error) __attribute__((noreturn));

/*
 * For what every rank refuses alike. Returns code, after all have come here: a rank that left early
 * could be gone while another still joins, and that one would fail first, with another code.
 */
int example_refuse(struct farbus *bus, int code);

/* For calls whose failure is the end of the program. */
#define TRY(call)                                       \
	do {                                            \
		int try_error = (call);                 \
		if (try_error < 0)                      \
			example_fail(#call, try_error); \
	} while (0)

/* Errors: -EINVAL text is not a whole number in [min, max]. */
int example_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
/* Errors: -EINVAL text is not a decimal number in [min, max]. */
int example_real(const char *text, double min, double max, double *ret_value);

double example_seconds(void);

/* Publishes a grant on the whole of our region as "name.RANK". */
void example_offer(struct farbus *bus, const char *name, struct farbus_region *region,
		   uint32_t rights);
/* Imports what rank published as "name.RANK". Ownership: the caller owns the import. */
struct farbus_region *example_import(struct farbus *bus, const char *name, uint32_t rank);

/* "own", "mapped", "served" */
const char *example_path(uint32_t path);
/* "put,get,atomic", "-": whether the home's threads take part in none or all of them */
const char *example_onesided(uint32_t bits);

#endif
