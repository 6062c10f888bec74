/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * place.c -- the graph in regions of all ranks
 *
 *   rank r:  graph  | out[nodes + 1] | target[edges] |   stored by rank 0 through a window
 *            score  | nodes words |                      loaded by rank 0 at the end
 *            sum    | nodes words |                      everybody adds, atomically
 */
#include "apps/examples/03-pagerank/pagerank.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define READ_TIMEOUT_MS (600 * 1000) /* others wait this long for rank 0 to read the file */

/* Each rank gets about as many nodes and edges together as the others. */
static void share_divide(const struct graph *graph, uint32_t size, struct share *share)
{
	uint64_t all = graph->node_count + graph->edge_count, node = 0;

	share->node_count = graph->node_count;
	share->edge_count = graph->edge_count;
	for (uint32_t rank = 0; rank < size; rank++) {
		uint64_t goal = all / size * (rank + 1);

		share->first[rank] = node;
		while (node < graph->node_count &&
		       (rank + 1 == size || node + graph->out[node] < goal))
			node++;
		share->edges[rank] = graph->out[node] - graph->out[share->first[rank]];
	}
	share->first[size] = node;
}

static struct farbus_region *words_alloc(struct place *place, const char *name, uint64_t words,
					 uint32_t rights, uint64_t **ret_word)
{
	struct farbus_region *region;
	struct farbus_region_info info;

	/* A rank without nodes has a region too: everybody can import it alike. */
	TRY(farbus_region_alloc(place->bus, (words + 1) * sizeof(uint64_t), 0, &region));
	TRY(farbus_region_info(region, &info));
	*ret_word = info.va;
	example_offer(place->bus, name, region, rights);
	return region;
}

/* Rank 0: what rank gets, built here in word[]. */
static void part_build(const struct graph *graph, const struct share *share, uint32_t size,
		       uint32_t rank, uint64_t *word)
{
	uint64_t first = share->first[rank], end = share->first[rank + 1];
	uint64_t base = graph->out[first];

	for (uint64_t node = first; node <= end; node++)
		*word++ = graph->out[node] - base;
	for (uint64_t edge = base; edge < graph->out[end]; edge++) {
		uint64_t node = graph->target[edge];
		uint32_t low = 0, high = size;

		while (high - low > 1) {
			uint32_t middle = (low + high) / 2;

			if (share->first[middle] <= node)
				low = middle;
			else
				high = middle;
		}
		*word++ = target_pack(low, node - share->first[low]);
	}
}

/* Stores the part through a window, or puts it where the region cannot be mapped. */
static void part_place(struct place *place, const struct graph *graph, uint32_t rank)
{
	const struct share *share = &place->share;
	uint64_t words = share->first[rank + 1] - share->first[rank] + 1 + share->edges[rank];
	struct farbus_region *region = example_import(place->bus, "pagerank.graph", rank);
	struct farbus_region_info info;
	uint64_t *buffer;
	void *window;
	int err;

	TRY(farbus_region_info(region, &info));
	err = farbus_map(region, 0, info.len, PROT_READ | PROT_WRITE, FARBUS_MAP_DIRECT, &window);
	if (err == 0) {
		part_build(graph, share, place->self.size, rank, window);
		TRY(farbus_unmap(place->bus, window, info.len));
	} else if (err == -ENOTSUP) {
		place->how = "put";
		buffer = malloc(words * sizeof(*buffer));
		if (!buffer)
			example_fail("malloc", -ENOMEM);
		part_build(graph, share, place->self.size, rank, buffer);
		TRY(farbus_put(region, 0, buffer, words * sizeof(*buffer)));
		TRY(farbus_flush(place->bus, region, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
		free(buffer);
	} else {
		example_fail("farbus_map", err);
	}
	TRY(farbus_region_release(region));
}

/* What rank 0 stored is checked once, so that the iterations need not. */
static bool part_good(const struct place *place)
{
	const struct share *share = &place->share;

	if (place->out[0] != 0 || place->out[place->nodes] != place->edges)
		return false;
	for (uint64_t node = 0; node < place->nodes; node++)
		if (place->out[node] > place->out[node + 1])
			return false;
	for (uint64_t edge = 0; edge < place->edges; edge++) {
		uint64_t rank = place->target[edge] >> 32;

		if (rank >= place->self.size ||
		    (uint32_t)place->target[edge] >= share->first[rank + 1] - share->first[rank])
			return false;
	}
	return true;
}

static void regions_open(struct place *place)
{
	uint64_t *word;

	place->graph = words_alloc(place, "pagerank.graph", place->nodes + 1 + place->edges,
				   FARBUS_R | FARBUS_W, &word);
	place->out = word;
	place->target = word + place->nodes + 1;
	place->score =
		words_alloc(place, "pagerank.score", place->nodes, FARBUS_R, &place->score_word);
	place->sum = words_alloc(place, "pagerank.sum", place->nodes,
				 FARBUS_R | FARBUS_W | FARBUS_A, &place->sum_word);
	for (uint32_t rank = 0; rank < place->self.size; rank++)
		place->sum_at[rank] = rank == place->self.rank ?
					      place->sum :
					      example_import(place->bus, "pagerank.sum", rank);
}

int place_graph(struct place *place, const struct graph *graph)
{
	struct share *share = &place->share;

	if (place->self.rank == 0 && share->status == 0)
		share_divide(graph, place->self.size, share);
	TRY(farbus_broadcast(place->bus, 0, share, sizeof(*share), READ_TIMEOUT_MS));
	if (share->status < 0)
		return (int)share->status;
	place->nodes = share->first[place->self.rank + 1] - share->first[place->self.rank];
	place->edges = share->edges[place->self.rank];
	place->how = "windows";
	regions_open(place);
	if (place->self.rank == 0)
		for (uint32_t rank = 0; rank < place->self.size; rank++)
			part_place(place, graph, rank);
	TRY(farbus_barrier(place->bus, READ_TIMEOUT_MS));
	if (!part_good(place)) {
		fprintf(stderr, "pagerank: rank %u: what rank 0 stored here is not a graph\n",
			place->self.rank);
		return -EINVAL;
	}
	return 0;
}

static void scores_load(struct place *place, uint32_t rank, double *score)
{
	struct farbus_region *region = example_import(place->bus, "pagerank.score", rank);
	uint64_t count = place->share.first[rank + 1] - place->share.first[rank];
	struct farbus_region_info info;
	const uint64_t *word;
	void *window;
	uint64_t value;
	int err;

	TRY(farbus_region_info(region, &info));
	err = farbus_map(region, 0, info.len, PROT_READ, FARBUS_MAP_DIRECT, &window);
	if (err < 0 && err != -ENOTSUP)
		example_fail("farbus_map", err);
	word = err == 0 ? window : NULL;
	for (uint64_t i = 0; i < count; i++) {
		if (!word)
			TRY(farbus_get(region, i * sizeof(value), &value, sizeof(value)));
		score[i] = (double)(word ? word[i] : value) / (double)SCORE_ONE;
	}
	if (word)
		TRY(farbus_unmap(place->bus, window, info.len));
	TRY(farbus_region_release(region));
}

double *scores_gather(struct place *place)
{
	double *score = calloc(place->share.node_count, sizeof(*score));

	if (!score)
		example_fail("calloc", -ENOMEM);
	for (uint32_t rank = 0; rank < place->self.size; rank++)
		scores_load(place, rank, score + place->share.first[rank]);
	return score;
}
