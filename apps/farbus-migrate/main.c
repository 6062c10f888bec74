/* SPDX-License-Identifier: BSD-3-Clause */
/* main.c -- farbus-migrate: moves a guest of QEMU, its RAM by one-sided writes */
#include "apps/common/tool.h"
#include "apps/farbus-migrate/migrate.h"
#include <signal.h>

int main(int argc, char **argv)
{
	struct options options;
	int err = options_parse(argc, argv, &options);

	if (err > 0)
		return tool_close(MIGRATE_TOOL, MIGRATE_EXIT_MOVED);
	if (err < 0) {
		tool_complain(MIGRATE_TOOL);
		return MIGRATE_EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	switch (options.mode) {
	case OPTIONS_SOURCE:
		return source_run(&options);
	case OPTIONS_DEST:
		return dest_run(&options);
	default:
		return resume_run(&options);
	}
}
