/* SPDX-License-Identifier: BSD-3-Clause */
/* report.h -- how far a move is, and what it took: for people, or as JSON lines */
#ifndef APPS_FARBUS_MIGRATE_REPORT_H
#define APPS_FARBUS_MIGRATE_REPORT_H

#include "apps/farbus-migrate/options.h"
#include "apps/farbus-migrate/place.h"
#include "apps/farbus-migrate/qmp.h"

struct report {
	const struct options *options; /* borrowed */
	uint64_t start_ns, next_ns;
	bool line; /* a bar stands on the terminal */
};

void report_start(struct report *report);
/* Prints something once a second, on a terminal more often. */
void report_tick(struct report *report, const struct place *place, struct qmp *qmp);
/* QEMU has let go of the guest; the destination is about to be told. */
void report_commit(struct report *report);
void report_moved(struct report *report, const struct place *place, struct qmp *qmp);
void report_stayed(struct report *report, const char *status);

#endif
