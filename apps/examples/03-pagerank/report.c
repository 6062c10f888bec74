/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.c -- the result, for people and as JSON
 */
#include "apps/examples/03-pagerank/pagerank.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nodes with the best scores, best first; equal ones in the order of their names. */
struct top {
	uint64_t count;
	uint64_t node[TOP_MAX];
};

static bool better(const struct report *report, uint64_t a, uint64_t b)
{
	if (report->score[a] != report->score[b])
		return report->score[a] > report->score[b];
	return strcmp(graph_name(report->graph, a), graph_name(report->graph, b)) < 0;
}

static void top_find(const struct report *report, struct top *ret_top)
{
	ret_top->count = 0;
	for (uint64_t node = 0; node < report->graph->node_count; node++) {
		uint64_t at = ret_top->count;

		if (at == report->options->top &&
		    (at == 0 || !better(report, node, ret_top->node[at - 1])))
			continue;
		at = at < report->options->top ? ret_top->count++ : at - 1;
		for (; at > 0 && better(report, node, ret_top->node[at - 1]); at--)
			ret_top->node[at] = ret_top->node[at - 1];
		ret_top->node[at] = node;
	}
}

/* How the sums of the last rank are reached: with one rank that is our own memory. */
static struct farbus_region_info path_info(const struct report *report)
{
	struct farbus_region_info info;

	TRY(farbus_region_info(report->place->sum_at[report->place->self.size - 1], &info));
	return info;
}

static bool passed(const struct report *report)
{
	return report->difference && report->difference->sum <= report->difference->allowed;
}

static void print_people(const struct report *report, const struct top *top)
{
	const struct result *result = report->result;
	const struct difference *difference = report->difference;
	struct farbus_region_info info = path_info(report);

	printf("pagerank: %llu nodes, %llu edges over %u ranks\n",
	       (unsigned long long)report->graph->node_count,
	       (unsigned long long)report->graph->edge_count, report->place->self.size);
	printf("pagerank: graph stored by %s; sums by remote atomics: path %s, one-sided: %s\n",
	       report->place->how, example_path(info.path), example_onesided(info.onesided));
	printf("pagerank: %llu iterations, the last moved %.3g: %s\n",
	       (unsigned long long)result->iterations, result->delta,
	       result->converged ? "converged" : "not converged");
	printf("pagerank: read %.3f s, placed %.3f s, iterated %.3f s, %.1f million adds a second\n",
	       report->read_seconds, report->place_seconds, result->seconds,
	       (double)report->graph->edge_count * (double)result->iterations / result->seconds /
		       1e6);
	for (uint64_t i = 0; i < top->count; i++)
		printf("%6llu  %.6e  %s\n", (unsigned long long)i + 1, report->score[top->node[i]],
		       graph_name(report->graph, top->node[i]));
	if (difference)
		printf("pagerank: against one thread in doubles (%.3f s): sum of differences %.3g, "
		       "largest %.3g, %.3g allowed: %s\n",
		       difference->seconds, difference->sum, difference->max, difference->allowed,
		       passed(report) ? "passed" : "FAILED");
}

/* Names may hold any bytes but blanks: whatever is not ASCII goes out as its number. */
static void json_text(FILE *file, const char *text)
{
	fputc('"', file);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c >= 0x7f)
			fprintf(file, "\\u%04x", c);
		else if (c == '"' || c == '\\')
			fprintf(file, "\\%c", c);
		else
			fputc(c, file);
	}
	fputc('"', file);
}

static void json_figures(FILE *file, const struct report *report)
{
	const struct result *result = report->result;
	struct farbus_region_info info = path_info(report);

	fprintf(file, "{\"nodes\":%llu,\"edges\":%llu,\"ranks\":%u,\"iterations\":%llu,",
		(unsigned long long)report->graph->node_count,
		(unsigned long long)report->graph->edge_count, report->place->self.size,
		(unsigned long long)result->iterations);
	fprintf(file, "\"converged\":%s,\"delta\":%.9g,\"damping\":%.9g,",
		result->converged ? "true" : "false", result->delta, report->options->damping);
	fprintf(file, "\"read_s\":%.6f,\"place_s\":%.6f,\"iterate_s\":%.6f,", report->read_seconds,
		report->place_seconds, result->seconds);
	fprintf(file, "\"graph\":\"%s\",\"path\":\"%s\",\"onesided\":\"%s\",", report->place->how,
		example_path(info.path), example_onesided(info.onesided));
}

static void json_write(FILE *file, const struct report *report, const struct top *top)
{
	const struct difference *difference = report->difference;

	json_figures(file, report);
	if (difference)
		fprintf(file,
			"\"check\":{\"sum\":%.9g,\"max\":%.9g,\"allowed\":%.9g,\"passed\":%s},",
			difference->sum, difference->max, difference->allowed,
			passed(report) ? "true" : "false");
	fprintf(file, "\"top\":[");
	for (uint64_t i = 0; i < top->count; i++) {
		fprintf(file, "%s{\"name\":", i ? "," : "");
		json_text(file, graph_name(report->graph, top->node[i]));
		/* 17 digits: the double comes back as it is. */
		fprintf(file, ",\"score\":%.17g}", report->score[top->node[i]]);
	}
	fprintf(file, "]}\n");
}

int report_print(const struct report *report)
{
	static struct top top;
	FILE *file;
	int err = 0;

	top_find(report, &top);
	print_people(report, &top);
	if (!report->options->json)
		return 0;
	file = fopen(report->options->json, "we");
	if (file)
		json_write(file, report, &top);
	if (!file || ferror(file))
		err = -EIO;
	if (file && fclose(file) != 0)
		err = -EIO;
	if (err < 0)
		fprintf(stderr, "pagerank: %s cannot be written: %s\n", report->options->json,
			strerror(errno));
	return err;
}
