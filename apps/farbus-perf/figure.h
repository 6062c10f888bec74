/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figure.h -- what farbus-perf measures: a table of figures, and what each came to
 *
 * Threads: owner thread.
 */
#ifndef FARBUS_PERF_FIGURE_H
#define FARBUS_PERF_FIGURE_H

#include "apps/farbus-perf/measure.h"
#include "apps/farbus-perf/options.h"
#include "apps/farbus-perf/pair.h"

#define FIGURE_NAME_MAX 32

enum figure_needs {
	FIGURE_NEEDS_PAIR = 0x1,   /* two instances */
	FIGURE_NEEDS_STREAM = 0x2, /* and the long region */
};

enum figure_better { FIGURE_TIMES_FLOOR, FIGURE_OF_FLOOR }; /* less, more of the ratio is better */

struct figure;

/* What measuring has to go by. */
struct figure_bench {
	const struct options *options;
	const struct pair *pair; /* borrows; NULL: no figure that was chosen needs it */
	uint64_t budget_ns;
};

typedef int (*figure_fn)(const struct figure_bench *bench, const struct figure *figure,
			 struct measure_result *ret_result);

struct figure {
	char name[FIGURE_NAME_MAX];
	const char *group;
	const char *floor; /* what it is, for people; NULL: there is none in this build */
	figure_fn measure;
	size_t bytes;	   /* that one operation moves; 0: none */
	uint32_t param;	   /* the function's own */
	uint32_t needs;	   /* enum figure_needs */
	uint32_t onesided; /* FARBUS_ONESIDED_ bit that it depends on; 0: no target */
	const char *path;  /* NULL: the region's */
	enum figure_better better;
};

/*
 * The chosen figures, in the order of the table. Errors: -EINVAL a name that is none, -ENOMEM.
 * Ownership: the caller frees *ret_figure.
 */
int figures_new(const struct options *options, struct figure **ret_figure, size_t *ret_count);

/* What its floor is where it was measured; NULL: there is none. pair may be NULL. */
const char *figure_floor_name(const struct figure *figure, const struct pair *pair);

/* figure_access.c: put, get and atomics */
int figure_put8_flush(const struct figure_bench *bench, const struct figure *figure,
		      struct measure_result *ret_result);
int figure_get8(const struct figure_bench *bench, const struct figure *figure,
		struct measure_result *ret_result);
int figure_fadd(const struct figure_bench *bench, const struct figure *figure,
		struct measure_result *ret_result);
int figure_put8_rate(const struct figure_bench *bench, const struct figure *figure,
		     struct measure_result *ret_result);
int figure_put8_rate_next(const struct figure_bench *bench, const struct figure *figure,
			  struct measure_result *ret_result);
int figure_put8_rate_call(const struct figure_bench *bench, const struct figure *figure,
			  struct measure_result *ret_result);
int figure_put(const struct figure_bench *bench, const struct figure *figure,
	       struct measure_result *ret_result);
int figure_get(const struct figure_bench *bench, const struct figure *figure,
	       struct measure_result *ret_result);
int figure_getv(const struct figure_bench *bench, const struct figure *figure,
		struct measure_result *ret_result);
int figure_stream(const struct figure_bench *bench, const struct figure *figure,
		  struct measure_result *ret_result);

/* figure_translate.c: param regions in the window table */
int figure_translate(const struct figure_bench *bench, const struct figure *figure,
		     struct measure_result *ret_result);

/* figure_ring.c: in batches of param */
int figure_ring(const struct figure_bench *bench, const struct figure *figure,
		struct measure_result *ret_result);

#endif
