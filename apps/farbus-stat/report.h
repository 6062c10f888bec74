/* SPDX-License-Identifier: BSD-3-Clause */
/* report.h -- counters as tables for people or as a JSON document */
#ifndef APPS_FARBUS_STAT_REPORT_H
#define APPS_FARBUS_STAT_REPORT_H

#include "apps/farbus-stat/target.h"

struct report {
	const struct targets *targets;
	const struct counterfile *before; /* one per target: print differences; NULL: totals */
	double seconds;			  /* between before and now */
	bool all;
};

void report_print(const struct report *report);

/* Errors: -ENOMEM */
int report_print_json(const struct report *report);

#endif
