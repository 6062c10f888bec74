/* SPDX-License-Identifier: BSD-3-Clause */
/* options.h -- the command line of farbus-migrate */
#ifndef APPS_FARBUS_MIGRATE_OPTIONS_H
#define APPS_FARBUS_MIGRATE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define OPTIONS_RAM_MAX 16 /* memory backends of a guest */
#define OPTIONS_WAIT_MAX 3600
#define OPTIONS_DOWNTIME_MAX 60000
#define OPTIONS_BANDWIDTH_MAX 1000000

enum options_mode { OPTIONS_SOURCE = 1, OPTIONS_DEST = 2, OPTIONS_RESUME = 3 };

struct options_ram {
	const char *name, *path; /* borrow argv */
};

struct options {
	enum options_mode mode;
	const char *qmp, *join, *secret_file; /* borrow argv */
	struct options_ram ram[OPTIONS_RAM_MAX];
	uint32_t ram_count;
	uint64_t downtime_ms, bandwidth_mb; /* bandwidth 0: as much as there is */
	uint64_t wait_s;
	bool placed, json, here, paused;
};

/* Results borrow argv. 1: help or version was printed. Errors: -EINVAL; error_text() says what. */
int options_parse(int argc, char **argv, struct options *ret_options);

#endif
