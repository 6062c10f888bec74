/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.c -- what was measured, as a table for people or one JSON object per line
 *
 * Times are ns per operation everywhere. A ratio compares fastest with fastest batch: times the
 * floor where less is better (latency), fraction of the floor's speed where more is.
 */
#include "apps/farbus-perf/report.h"

#include <farbus-build/commit.h>
#include <stdio.h>

#ifndef FARBUS_SANITIZE
#define FARBUS_SANITIZE ""
#endif

static const char *path_name(const struct pair *pair, const struct figure *figure)
{
	if (figure->path)
		return figure->path;
	switch (pair->info.path) {
	case FARBUS_PATH_MAPPED:
		return "mapped";
	case FARBUS_PATH_SERVED:
		return "served";
	case FARBUS_PATH_OWN:
		return "own";
	default:
		return "?";
	}
}

/* "true", "false", or "null" where no target takes part. */
static const char *onesided_name(const struct pair *pair, const struct figure *figure)
{
	if (!figure->onesided)
		return "null";
	return pair->info.onesided & figure->onesided ? "true" : "false";
}

static double ratio_of(const struct figure *figure, double subject, double floor)
{
	return figure->better == FIGURE_TIMES_FLOOR ? subject / floor : floor / subject;
}

static void json_figure(const struct pair *pair, const struct figure *figure,
			const struct measure_result *result)
{
	const struct measure_stat *s = &result->subject, *f = &result->floor;
	const char *floor = figure_floor_name(figure, pair);

	printf("{\"name\":\"%s\",\"group\":\"%s\",\"unit\":\"ns\",\"min\":%.4g,\"median\":%.4g,",
	       figure->name, figure->group, s->min, s->median);
	if (floor)
		printf("\"floor\":%.4g,\"floor_median\":%.4g,\"floor_is\":\"%s\",\"ratio\":%.4f,"
		       "\"ratio_median\":%.4f,",
		       f->min, f->median, floor, ratio_of(figure, s->min, f->min),
		       ratio_of(figure, s->median, f->median));
	else
		printf("\"floor\":null,\"ratio\":null,");
	printf("\"better\":\"%s\",\"path\":\"%s\",\"onesided\":%s,\"bytes\":%zu,\"batches\":%u,"
	       "\"build\":\"%s\",\"sanitizer\":\"%s\",\"commit\":\"%s\"}\n",
	       figure->better == FIGURE_TIMES_FLOOR ? "less" : "more", path_name(pair, figure),
	       onesided_name(pair, figure), figure->bytes, result->rounds, FARBUS_BUILD_TYPE,
	       FARBUS_SANITIZE, FARBUS_COMMIT);
}

static void rate_text(const struct figure *figure, double ns, char *ret_text, size_t size)
{
	if (figure->bytes > 64)
		snprintf(ret_text, size, "%.1f GB/s", (double)figure->bytes / ns);
	else
		snprintf(ret_text, size, "%.0f M/s", 1e3 / ns);
}

static void table_figure(const struct pair *pair, const struct figure *figure,
			 const struct measure_result *result)
{
	const struct measure_stat *s = &result->subject, *f = &result->floor;
	const char *floor = figure_floor_name(figure, pair);
	char rate[32];

	rate_text(figure, s->min, rate, sizeof(rate));
	printf("%-17s %10.4g %10.4g %12s", figure->name, s->min, s->median, rate);
	if (floor)
		printf(" %10.4g %7.2f %7.2f  %s %s\n", f->min, ratio_of(figure, s->min, f->min),
		       ratio_of(figure, s->median, f->median),
		       figure->better == FIGURE_TIMES_FLOOR ? "x" : "of", floor);
	else
		printf(" %10s %7s %7s  no floor in this build\n", "-", "-", "-");
}

void report_begin(const struct options *options, const struct pair *pair)
{
	if (*FARBUS_SANITIZE)
		fprintf(stderr, "farbus-perf: built with -fsanitize=%s: the figures mean nothing\n",
			FARBUS_SANITIZE);
	if (options->json)
		return;
	printf("farbus-perf %s, %s, commit %s\n", FARBUS_VERSION, FARBUS_BUILD_TYPE, FARBUS_COMMIT);
	if (pair)
		printf("path %s (%s), pages of %llu KiB, one-sided: put %s, get %s, atomics %s%s\n",
		       path_name(pair, &(struct figure){ 0 }), pair->info.transport,
		       (unsigned long long)pair->info.page_size >> 10,
		       pair->info.onesided & FARBUS_ONESIDED_PUT ? "yes" : "no",
		       pair->info.onesided & FARBUS_ONESIDED_GET ? "yes" : "no",
		       pair->info.onesided & FARBUS_ONESIDED_ATOMIC ? "yes" : "no",
		       pair->cpu < 0 ? "; not pinned" : "");
	printf("ns per operation; ratios of min and median: \"x\" times the floor, \"of\" its speed\n"
	       "%-17s %10s %10s %12s %10s %7s %7s\n",
	       "", "min", "median", "best", "floor", "ratio", "median");
}

void report_figure(const struct options *options, const struct pair *pair,
		   const struct figure *figure, const struct measure_result *result)
{
	if (options->json)
		json_figure(pair, figure, result);
	else
		table_figure(pair, figure, result);
	fflush(stdout);
}

void report_list(const struct figure *figure, size_t count)
{
	printf("%-17s %-10s %s\n", "figure", "group", "floor");
	for (size_t i = 0; i < count; i++)
		printf("%-17s %-10s %s\n", figure[i].name, figure[i].group, figure[i].floor);
}
