/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * graph.h -- an edge list in memory: words numbered in the order they first appear
 */
#ifndef APPS_EXAMPLES_03_PAGERANK_GRAPH_H
#define APPS_EXAMPLES_03_PAGERANK_GRAPH_H

#include <stddef.h>
#include <stdint.h>

#define GRAPH_NODE_MAX (1u << 28)
#define GRAPH_EDGE_MAX (1ull << 32)
#define GRAPH_LINE_MAX 4096 /* bytes of a line with its end */

struct graph {
	uint64_t node_count, edge_count;
	uint64_t *out;	  /* owned; edges of node i are target[out[i]] ... target[out[i + 1] - 1] */
	uint32_t *target; /* owned */
	uint64_t *name;	  /* owned; of node i, as a place in text */
	char *text;	  /* owned; all names, each with its NUL */
};

/*
 * Reads `src dst` lines, plain or gzip. Empty lines and those that start with # are skipped; an
 * edge that comes twice counts twice. On an error prints FILE:LINE: and what is wrong, and
 * returns a negative errno: -EINVAL for the file's contents. Ownership: graph_fini().
 */
int graph_read(const char *path, struct graph *ret_graph);
void graph_fini(struct graph *graph);

static inline const char *graph_name(const struct graph *graph, uint64_t node)
{
	return graph->text + graph->name[node];
}

#endif
