/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- farbus-stat: counters of live and dead processes
 */
#include "apps/common/tool.h"
#include "apps/farbus-stat/options.h"
#include "apps/farbus-stat/report.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TOOL "farbus-stat"

static bool complained;

static void complain(void)
{
	tool_complain(TOOL);
	complained = true;
}

static void print(const struct report *report, bool json)
{
	if (!json)
		report_print(report);
	else if (report_print_json(report) < 0)
		complain();
}

static bool any_live(const struct targets *targets)
{
	for (size_t i = 0; i < targets->count; i++)
		if (targets->target[i]->state != TARGET_DEAD)
			return true;
	return false;
}

static void read_all(struct targets *targets, struct counterfile *before)
{
	for (size_t i = 0; i < targets->count; i++) {
		before[i] = targets->target[i]->file;
		if (target_read(targets->target[i]) < 0)
			complain();
	}
}

/* Until all have ended, count times are over, or nobody reads what we write. */
static void follow(const struct options *options, struct targets *targets)
{
	struct report report = { .targets = targets, .all = options->all };
	struct counterfile *before = alloc_array(targets->count + 1, sizeof(*before));
	uint64_t last = clock_now_ns(), next = last;

	if (!before) {
		error_set(-ENOMEM, "no memory for the counts of %zu files", targets->count);
		complain();
		return;
	}
	report.before = before;
	for (uint64_t i = 0; any_live(targets) && (i < options->count || !options->count); i++) {
		struct timespec until;
		uint64_t now;

		next += options->interval_ns;
		until.tv_sec = (time_t)(next / NS_PER_S);
		until.tv_nsec = (long)(next % NS_PER_S);
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
			;
		now = clock_now_ns();
		read_all(targets, before);
		report.seconds = (double)(now - last) / 1e9;
		last = now;
		print(&report, options->json);
		if (fflush(stdout) != 0 || complained)
			break;
	}
	free(before);
}

static void targets_find(const struct options *options, struct targets *targets)
{
	if (!options->target[0])
		targets_add_all(targets, complain);
	for (char **at = options->target; *at; at++)
		if (targets_add(targets, *at) < 0)
			complain();
}

int main(int argc, char **argv)
{
	struct targets targets = { 0 };
	struct options options;
	struct report report = { .targets = &targets };
	int err = options_parse(argc, argv, &options);

	if (err > 0)
		return tool_close(TOOL, TOOL_EXIT_OK);
	if (err < 0) {
		tool_complain(TOOL);
		return TOOL_EXIT_USAGE;
	}
	targets_find(&options, &targets);
	report.all = options.all;
	if (targets.count || options.json)
		print(&report, options.json);
	else if (!complained)
		puts("No process of this user has farbus open, and none left a counter file.");
	if (options.interval_ns && fflush(stdout) == 0)
		follow(&options, &targets);
	targets_free(&targets);
	return tool_close(TOOL, complained ? TOOL_EXIT_FAILED : TOOL_EXIT_OK);
}
