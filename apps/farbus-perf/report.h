/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.h -- what was measured, as a table for people or one JSON object per line
 *
 * Threads: owner thread.
 */
#ifndef FARBUS_PERF_REPORT_H
#define FARBUS_PERF_REPORT_H

#include "apps/farbus-perf/figure.h"

/* pair: NULL, when no figure needed it. */
void report_begin(const struct options *options, const struct pair *pair);
void report_figure(const struct options *options, const struct pair *pair,
		   const struct figure *figure, const struct measure_result *result);
void report_list(const struct figure *figure, size_t count);

#endif
