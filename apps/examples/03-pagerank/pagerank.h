/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pagerank.h -- the parts of the program
 *
 * Scores are whole numbers, 2^60 standing for 1: sums of them do not depend on the order in which
 * ranks add, so that the result has the same bits for any number of ranks and in every run. All
 * scores sum up to at most 2^60, and so no sum below overflows.
 */
#ifndef APPS_EXAMPLES_03_PAGERANK_PAGERANK_H
#define APPS_EXAMPLES_03_PAGERANK_PAGERANK_H

#include "apps/examples/03-pagerank/graph.h"
#include "apps/examples/common/example.h"

#define SCORE_ONE (1ull << 60)
#define TOP_MAX 1000

struct options {
	const char *input, *json;
	uint64_t iterations, top;
	double damping, tolerance;
	bool check;
};

/* What rank 0 tells everybody: how the nodes are divided. */
struct share {
	int64_t status; /* negative errno: the input is bad, and rank 0 said why */
	uint64_t node_count, edge_count;
	uint64_t first[EXAMPLE_RANK_MAX + 1]; /* rank r has nodes first[r] ... first[r + 1] - 1 */
	uint64_t edges[EXAMPLE_RANK_MAX];
};

/* An edge's target as its home and its place there: no search when scores are sent. */
static inline uint64_t target_pack(uint32_t rank, uint64_t place)
{
	return (uint64_t)rank << 32 | place;
}

struct place {
	struct farbus *bus;
	struct farbus_self self;
	struct share share;
	uint64_t nodes, edges;	     /* ours */
	struct farbus_region *graph; /* out[nodes + 1], then target[edges]; rank 0 stores it */
	struct farbus_region *score, *sum;		/* one word per node of ours */
	struct farbus_region *sum_at[EXAMPLE_RANK_MAX]; /* everybody's sums, our own too */
	const uint64_t *out, *target;
	uint64_t *score_word, *sum_word;
	const char *how; /* rank 0: the graph was stored through windows, or put */
};

/*
 * Places rank 0's graph in regions of all ranks. Everybody calls it; graph is rank 0's.
 * Returns 0, or -EINVAL when what arrived is not the graph.
 */
int place_graph(struct place *place, const struct graph *graph);

struct result {
	uint64_t iterations;
	bool converged;
	double delta; /* how much the last iteration moved, summed over all nodes */
	double seconds;
};

/* Everybody calls it. */
void iterate(struct place *place, const struct options *options, struct result *ret_result);

/* Rank 0: all scores by loads from the regions of all ranks. Ownership: the caller frees it. */
double *scores_gather(struct place *place);

struct difference {
	double sum, max; /* of |parallel - reference|, all nodes; of one node */
	double allowed;	 /* of sum */
	double seconds;
};

/* The same number of iterations in doubles, by one thread, pulling along reversed edges. */
int reference_compare(const struct graph *graph, const struct options *options, uint64_t iterations,
		      const double *score, struct difference *ret_difference);

struct report {
	const struct graph *graph;
	const struct options *options;
	struct place *place;
	const struct result *result;
	const struct difference *difference; /* NULL: not compared */
	const double *score;
	double read_seconds, place_seconds;
};

/* For people on stdout, and for programs in options->json. Returns a negative errno if that fails. */
int report_print(const struct report *report);

#endif
