/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iterate.c -- one step of PageRank after the other, and the same by one thread to compare with
 *
 *   new(v) = (1 - d) / N + d * (sum over edges u -> v of old(u) / edges(u) + D / N)
 *
 * where D is the score of all dangling nodes, those without an edge: it is spread over everybody.
 *
 * Each rank sends the scores of its nodes along their edges: an atomic add to the sum of the
 * target, wherever it is. Two collectives per step keep the ranks together:
 *
 *   send | allreduce D: all sums are complete | new scores, sums = 0 | allreduce delta | send ...
 *
 * Ordering: flush REMOTE makes a rank's adds visible before it enters the collective; a sum is
 * loaded and cleared by its owner alone, between the two collectives, when nobody adds.
 */
#include "apps/examples/03-pagerank/pagerank.h"

#include <errno.h>
#include <farbus/inline.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP_TIMEOUT_MS (600 * 1000)

/* d * score, d in units of 2^-32; rounds down. */
static uint64_t scale(uint64_t score, uint64_t damping)
{
	return (uint64_t)((unsigned __int128)score * damping >> 32);
}

/* Returns the score of our dangling nodes. */
static uint64_t send(struct place *place)
{
	uint64_t dangling = 0;

	for (uint64_t node = 0; node < place->nodes; node++) {
		uint64_t edges = place->out[node + 1] - place->out[node], part;

		if (edges == 0) {
			dangling += place->score_word[node];
			continue;
		}
		part = place->score_word[node] / edges;
		for (uint64_t i = place->out[node]; i < place->out[node + 1]; i++)
			TRY(farbus_add64(place->sum_at[place->target[i] >> 32],
					 (uint32_t)place->target[i] * sizeof(uint64_t), part,
					 NULL));
	}
	TRY(farbus_flush(place->bus, NULL, FARBUS_FLUSH_REMOTE, STEP_TIMEOUT_MS));
	return dangling;
}

/* Returns how much our scores moved. */
static uint64_t receive(struct place *place, uint64_t damping, uint64_t dangling)
{
	uint64_t count = place->share.node_count, moved = 0;
	uint64_t base = (SCORE_ONE - scale(SCORE_ONE, damping)) / count;

	for (uint64_t node = 0; node < place->nodes; node++) {
		uint64_t was = place->score_word[node];
		uint64_t is = base + scale(place->sum_word[node] + dangling / count, damping);

		moved += is > was ? is - was : was - is;
		place->score_word[node] = is;
		place->sum_word[node] = 0;
	}
	return moved;
}

static uint64_t sum_of_all(struct place *place, uint64_t value)
{
	TRY(farbus_allreduce(place->bus, &value, 1, FARBUS_U64, FARBUS_SUM, STEP_TIMEOUT_MS));
	return value;
}

static uint64_t damping_fixed(const struct options *options)
{
	return (uint64_t)llround(options->damping * 4294967296.0);
}

void iterate(struct place *place, const struct options *options, struct result *ret_result)
{
	uint64_t damping = damping_fixed(options), moved = 0;
	struct result result = { 0 };

	for (uint64_t node = 0; node < place->nodes; node++)
		place->score_word[node] = SCORE_ONE / place->share.node_count;
	TRY(farbus_barrier(place->bus, STEP_TIMEOUT_MS));
	result.seconds = example_seconds();
	while (result.iterations < options->iterations && !result.converged) {
		uint64_t dangling = sum_of_all(place, send(place));

		moved = sum_of_all(place, receive(place, damping, dangling));
		result.iterations++;
		result.delta = (double)moved / (double)SCORE_ONE;
		result.converged = result.delta <= options->tolerance;
	}
	result.seconds = example_seconds() - result.seconds;
	*ret_result = result;
}

/* ---- the reference ---- */

struct reverse {
	uint64_t *in; /* edges into node i: source[in[i]] ... source[in[i + 1] - 1] */
	uint32_t *source;
	double *old, *new;
};

static int reverse_init(struct reverse *reverse, const struct graph *graph)
{
	reverse->in = calloc(graph->node_count + 2, sizeof(*reverse->in));
	reverse->source = calloc(graph->edge_count, sizeof(*reverse->source));
	reverse->old = calloc(graph->node_count, sizeof(*reverse->old));
	reverse->new = calloc(graph->node_count, sizeof(*reverse->new));
	if (!reverse->in || !reverse->source || !reverse->old || !reverse->new)
		return -ENOMEM;
	for (uint64_t i = 0; i < graph->edge_count; i++)
		reverse->in[graph->target[i] + 2]++;
	for (uint64_t i = 2; i < graph->node_count + 2; i++)
		reverse->in[i] += reverse->in[i - 1];
	for (uint64_t node = 0; node < graph->node_count; node++)
		for (uint64_t i = graph->out[node]; i < graph->out[node + 1]; i++)
			reverse->source[reverse->in[graph->target[i] + 1]++] = (uint32_t)node;
	return 0;
}

static void reverse_fini(struct reverse *reverse)
{
	free(reverse->in);
	free(reverse->source);
	free(reverse->old);
	free(reverse->new);
}

static void reference_step(const struct graph *graph, struct reverse *reverse, double damping)
{
	double count = (double)graph->node_count, dangling = 0;
	double *swap = reverse->old;

	for (uint64_t node = 0; node < graph->node_count; node++)
		if (graph->out[node] == graph->out[node + 1])
			dangling += reverse->old[node];
	for (uint64_t node = 0; node < graph->node_count; node++) {
		double sum = 0;

		for (uint64_t i = reverse->in[node]; i < reverse->in[node + 1]; i++) {
			uint32_t from = reverse->source[i];

			sum += reverse->old[from] /
			       (double)(graph->out[from + 1] - graph->out[from]);
		}
		reverse->new[node] = (1 - damping) / count + damping *(sum + dangling / count);
	}
	reverse->old = reverse->new;
	reverse->new = swap;
}

int reference_compare(const struct graph *graph, const struct options *options, uint64_t iterations,
		      const double *score, struct difference *ret_difference)
{
	struct difference difference = { .seconds = example_seconds() };
	struct reverse reverse = { 0 };
	int err = reverse_init(&reverse, graph);

	if (err < 0)
		goto free_reverse;
	for (uint64_t node = 0; node < graph->node_count; node++)
		reverse.old[node] = 1.0 / (double)graph->node_count;
	/* The same d: both take it in units of 2^-32. */
	for (uint64_t i = 0; i < iterations; i++)
		reference_step(graph, &reverse, (double)damping_fixed(options) / 4294967296.0);
	for (uint64_t node = 0; node < graph->node_count; node++) {
		double off = fabs(score[node] - reverse.old[node]);

		difference.sum += off;
		difference.max = fmax(difference.max, off);
	}
	/*
	 * Each division rounds down by less than 2^-60, once per edge and twice per node in a
	 * step; later steps shrink what is lost by d. Doubles lose about 1e-16 of the whole per
	 * step and node chain; a thousand times that is still far from a wrong result.
	 */
	difference.allowed = 1e-12 + (double)iterations *
					     (double)(graph->edge_count + 3 * graph->node_count) /
					     (double)SCORE_ONE;
	difference.seconds = example_seconds() - difference.seconds;
	*ret_difference = difference;
free_reverse:
	reverse_fini(&reverse);
	return err;
}
