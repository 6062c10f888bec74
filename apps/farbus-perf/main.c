/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- farbus-perf: what the operations of farbus cost, each beside its floor
 */
#include "apps/farbus-perf/figure.h"
#include "apps/farbus-perf/report.h"
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(int code)
{
	fprintf(stderr, "farbus-perf: %s\n", error_text());
	return code;
}

static int figures_run(const struct options *options, const struct pair *pair,
		       const struct figure *figure, size_t count)
{
	struct figure_bench bench = { .options = options, .pair = pair };

	bench.budget_ns = options->budget_ns / (count ? count : 1);
	report_begin(options, pair);
	for (size_t i = 0; i < count; i++) {
		struct measure_result result;
		int err;

		error_clear();
		err = figure[i].measure(&bench, &figure[i], &result);
		if (err < 0) {
			const char *why = *error_text() ? error_text() : farbus_last_error();

			return error_set(err, "%s: %s", figure[i].name,
					 *why ? why : strerror(-err));
		}
		report_figure(options, pair, &figure[i], &result);
	}
	if (fflush(stdout) != 0 || ferror(stdout))
		return error_set(-EIO, "cannot write the figures: is the disk full?");
	return 0;
}

static int run(const struct options *options, char **argv, const struct figure *figure,
	       size_t count)
{
	struct pair *pair = NULL;
	uint32_t needs = 0;
	int err = 0, end, cpu;

	for (size_t i = 0; i < count; i++)
		needs |= figure[i].needs;
	if (needs || pair_launched()) {
		err = pair_open(options, argv, needs & FIGURE_NEEDS_STREAM, &pair);
		if (err < 0 || !pair)
			return err;
	} else {
		pair_pin(options->cpu[0], 0, &cpu);
	}
	err = figures_run(options, pair, figure, count);
	end = pair_close(pair);
	return err < 0 ? err : end;
}

int main(int argc, char **argv)
{
	struct figure *figure = NULL;
	struct options options;
	size_t count = 0;
	int err = options_parse(argc, argv, &options);

	if (err > 0)
		return fflush(stdout) == 0 ? 0 : PERF_EXIT_FAILED;
	if (err == 0)
		err = figures_new(&options, &figure, &count);
	if (err < 0)
		return fail(err == -EINVAL ? PERF_EXIT_USAGE : PERF_EXIT_FAILED);
	if (options.list) {
		report_list(figure, count);
	} else if (strcmp(FARBUS_BUILD_TYPE, "Debug") == 0) {
		free(figure);
		error_set(-ENOTSUP, "this is a Debug build, which measures the wrong thing: "
				    "configure with -DCMAKE_BUILD_TYPE=Release");
		return fail(PERF_EXIT_DEBUG);
	} else {
		err = run(&options, argv, figure, count);
	}
	free(figure);
	if (err < 0)
		return fail(PERF_EXIT_FAILED);
	return fflush(stdout) == 0 ? 0 : PERF_EXIT_FAILED;
}
