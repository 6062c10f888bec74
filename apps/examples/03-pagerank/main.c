/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- pagerank: which nodes of a graph matter, computed by ranks that share it
 *
 *   farbus-run -n 4 pagerank [options] EDGES
 *
 * Exit codes: 0 done; 1 the input, a call or the comparison failed; 2 the command line is wrong.
 */
#include "apps/examples/03-pagerank/pagerank.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITERATION_MAX 100000

static void usage(FILE *file)
{
	fprintf(file,
		"usage: pagerank [options] EDGES\n"
		"  EDGES           a file with one edge per line: src dst; plain or gzip\n"
		"  --iterations N  stop after N steps (100)\n"
		"  --damping D     share of a score that goes along edges, 0 to 1 (0.85)\n"
		"  --tolerance T   stop when a step moves less than T in all (1e-9)\n"
		"  --top N         print the N best nodes, up to %d (10)\n"
		"  --check         compare with the same computed by one thread in doubles\n"
		"  --json FILE     the result as one JSON object\n",
		TOP_MAX);
}

/* 1: argv[*i] was taken, with its value; 0: it is none of these; -EINVAL: its value is bad. */
static int option_take(struct options *options, int argc, char **argv, int *i)
{
	const char *name = argv[*i], *value = *i + 1 < argc ? argv[*i + 1] : "";
	int err;

	if (strcmp(name, "--check") == 0) {
		options->check = true;
		return 1;
	}
	if (strcmp(name, "--iterations") == 0)
		err = example_number(value, 1, ITERATION_MAX, &options->iterations);
	else if (strcmp(name, "--top") == 0)
		err = example_number(value, 0, TOP_MAX, &options->top);
	else if (strcmp(name, "--damping") == 0)
		err = example_real(value, 0, 1, &options->damping);
	else if (strcmp(name, "--tolerance") == 0)
		err = example_real(value, 0, 2, &options->tolerance);
	else if (strcmp(name, "--json") == 0)
		err = *value ? (options->json = value, 0) : -EINVAL;
	else
		return 0;
	++*i;
	return err < 0 ? err : 1;
}

/* Returns -1 to go on, else the exit code. Every rank parses, rank 0 alone speaks. */
static int options_parse(struct options *options, int argc, char **argv, bool speak)
{
	const char *wrong = NULL;
	int taken;

	for (int i = 1; i < argc && !wrong; i++) {
		const char *name = argv[i];

		if (strcmp(name, "--help") == 0) {
			if (speak)
				usage(stdout);
			return 0;
		}
		taken = option_take(options, argc, argv, &i);
		if (taken < 0 || (taken == 0 && (name[0] == '-' || options->input)))
			wrong = name;
		else if (taken == 0)
			options->input = name;
	}
	if (!wrong && options->input)
		return -1;
	if (speak && wrong)
		fprintf(stderr, "pagerank: %s: not an option, or its value is bad\n", wrong);
	else if (speak)
		fprintf(stderr, "pagerank: no file with edges is given\n");
	if (speak)
		usage(stderr);
	return 2;
}

/* Rank 0, after the last iteration. Returns the exit code. */
static int finish(struct report *report)
{
	struct difference difference;
	double *score = scores_gather(report->place);
	int err = 0;

	report->score = score;
	if (report->options->check) {
		err = reference_compare(report->graph, report->options, report->result->iterations,
					score, &difference);
		if (err < 0)
			fprintf(stderr, "pagerank: no memory for the comparison\n");
		else
			report->difference = &difference;
	}
	if (err == 0)
		err = report_print(report);
	free(score);
	if (err == 0 && report->difference && difference.sum > difference.allowed)
		err = -ERANGE;
	return err < 0;
}

static int run(struct place *place, const struct options *options)
{
	struct graph graph = { 0 };
	struct result result;
	struct report report = {
		.graph = &graph, .options = options, .place = place, .result = &result
	};
	double start = example_seconds();
	int code = 1;

	if (place->self.rank == 0)
		place->share.status = graph_read(options->input, &graph);
	report.read_seconds = example_seconds() - start;
	if (place_graph(place, &graph) < 0)
		goto free_graph;
	report.place_seconds = example_seconds() - start - report.read_seconds;
	iterate(place, options, &result);
	code = place->self.rank == 0 ? finish(&report) : 0;
	/* Nobody leaves while rank 0 still reads scores; comparing takes its time. */
	TRY(farbus_barrier(place->bus, 3600 * 1000));
free_graph:
	graph_fini(&graph);
	return code;
}

int main(int argc, char **argv)
{
	static struct place place;
	struct options options = {
		.iterations = 100, .top = 10, .damping = 0.85, .tolerance = 1e-9
	};
	int code;

	example_name("pagerank");
	TRY(farbus_open(NULL, &place.bus));
	TRY(farbus_self(place.bus, &place.self));
	example_rank(place.self.rank);
	code = options_parse(&options, argc, argv, place.self.rank == 0);
	if (code < 0 && place.self.size > EXAMPLE_RANK_MAX) {
		if (place.self.rank == 0)
			fprintf(stderr, "pagerank: %u ranks: %d is the most\n", place.self.size,
				EXAMPLE_RANK_MAX);
		code = 2;
	}
	if (code >= 0)
		return example_refuse(place.bus, code);
	code = run(&place, &options);
	TRY(farbus_close(place.bus));
	return code;
}
