/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * graph.c -- reads an edge list
 *
 * Names are found by a hash table with open addressing; edges are gathered in the order of the
 * file, then put in order of their sources by counting.
 *
 * Invariants of the reader:
 *   1. slots is a power of two and more than twice node_count; a slot holds node + 1, or 0
 *   2. name[node] is the start of a NUL-terminated word in text
 *   3. both ends of every edge are below node_count
 */
#include "apps/examples/03-pagerank/graph.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct edge {
	uint32_t from, to;
};

struct reader {
	const char *path;
	gzFile file;
	uint64_t line;
	struct graph graph;
	struct edge *edge; /* owned */
	uint32_t *slot;	   /* owned */
	uint64_t slots;
	uint64_t edge_room, node_room, text_len, text_room;
};

static int complain(const struct reader *reader, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int complain(const struct reader *reader, int error, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "pagerank: %s", reader->path);
	if (reader->line)
		fprintf(stderr, ":%llu", (unsigned long long)reader->line);
	fprintf(stderr, ": ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	return error;
}

/* Makes room for one more element of size bytes. */
static int grow(const struct reader *reader, void **array, uint64_t *room, uint64_t need,
		size_t size)
{
	uint64_t more = *room ? *room : 4096;
	void *moved;

	if (need <= *room)
		return 0;
	while (more < need)
		more *= 2;
	moved = realloc(*array, more * size);
	if (!moved)
		return complain(reader, -ENOMEM, "no memory for %llu more bytes",
				(unsigned long long)((more - *room) * size));
	*array = moved;
	*room = more;
	return 0;
}

/* FNV-1a */
static uint64_t hash(const char *word)
{
	uint64_t value = 0xcbf29ce484222325ull;

	for (; *word; word++)
		value = (value ^ (unsigned char)*word) * 0x100000001b3ull;
	return value ^ value >> 32;
}

/* The slot that holds word, or the free one where it belongs. */
static uint64_t slot_find(const struct reader *reader, const char *word)
{
	uint64_t slot = hash(word) & (reader->slots - 1);

	while (reader->slot[slot] &&
	       strcmp(graph_name(&reader->graph, reader->slot[slot] - 1), word) != 0)
		slot = (slot + 1) & (reader->slots - 1);
	return slot;
}

static int slots_grow(struct reader *reader)
{
	uint64_t slots = reader->slots ? reader->slots * 2 : 8192;
	uint32_t *slot;

	if (reader->slots > (reader->graph.node_count + 1) * 2)
		return 0;
	slot = calloc(slots, sizeof(*slot));
	if (!slot)
		return complain(reader, -ENOMEM, "no memory for %llu names",
				(unsigned long long)slots);
	free(reader->slot);
	reader->slot = slot;
	reader->slots = slots;
	for (uint64_t i = 0; i < reader->graph.node_count; i++)
		slot[slot_find(reader, graph_name(&reader->graph, i))] = (uint32_t)i + 1;
	return 0;
}

static int node_new(struct reader *reader, const char *word, uint64_t slot)
{
	struct graph *graph = &reader->graph;
	size_t size = strlen(word) + 1;
	int err;

	if (graph->node_count >= GRAPH_NODE_MAX)
		return complain(reader, -EINVAL, "more than %u different names", GRAPH_NODE_MAX);
	err = grow(reader, (void **)&graph->name, &reader->node_room, graph->node_count + 1,
		   sizeof(*graph->name));
	if (err < 0)
		return err;
	err = grow(reader, (void **)&graph->text, &reader->text_room, reader->text_len + size, 1);
	if (err < 0)
		return err;
	memcpy(graph->text + reader->text_len, word, size);
	graph->name[graph->node_count] = reader->text_len;
	reader->text_len += size;
	reader->slot[slot] = (uint32_t)++graph->node_count;
	return 0;
}

static int node_of(struct reader *reader, const char *word, uint32_t *ret_node)
{
	uint64_t slot;
	int err = slots_grow(reader);

	if (err < 0)
		return err;
	slot = slot_find(reader, word);
	if (!reader->slot[slot]) {
		err = node_new(reader, word, slot);
		if (err < 0)
			return err;
	}
	*ret_node = reader->slot[slot] - 1;
	return 0;
}

static int edge_add(struct reader *reader, const char *from, const char *to)
{
	struct graph *graph = &reader->graph;
	struct edge edge;
	int err;

	if (graph->edge_count >= GRAPH_EDGE_MAX)
		return complain(reader, -EINVAL, "more than %llu edges", GRAPH_EDGE_MAX);
	err = node_of(reader, from, &edge.from);
	if (err < 0)
		return err;
	err = node_of(reader, to, &edge.to);
	if (err < 0)
		return err;
	err = grow(reader, (void **)&reader->edge, &reader->edge_room, graph->edge_count + 1,
		   sizeof(edge));
	if (err < 0)
		return err;
	reader->edge[graph->edge_count++] = edge;
	return 0;
}

/* line: NUL-terminated at len, its end of line included unless it is the last one. */
static int line_take(struct reader *reader, char *line, size_t len)
{
	static const char blank[] = " \t\r\n\v\f";
	char *rest = NULL, *from, *to;

	if (strlen(line) != len)
		return complain(reader, -EINVAL, "a NUL byte: this is not a text file");
	if (line[0] == '#')
		return 0;
	from = strtok_r(line, blank, &rest);
	if (!from)
		return 0;
	to = strtok_r(NULL, blank, &rest);
	if (!to)
		return complain(reader, -EINVAL, "one word (%.40s) instead of `src dst`", from);
	if (strtok_r(NULL, blank, &rest))
		return complain(reader, -EINVAL, "more than two words instead of `src dst`");
	return edge_add(reader, from, to);
}

/* gzgets() does not tell a NUL byte from the end: how far the file went on does. */
static int line_read(struct reader *reader, char line[GRAPH_LINE_MAX], size_t *ret_len)
{
	z_off_t before = gztell(reader->file), after;
	const char *why;
	int error;

	reader->line++;
	if (!gzgets(reader->file, line, GRAPH_LINE_MAX)) {
		why = gzerror(reader->file, &error);
		if (error == Z_ERRNO)
			return complain(reader, -EIO, "cannot be read: %s", strerror(errno));
		if (error == Z_BUF_ERROR)
			return complain(reader, -EINVAL, "the compressed file is cut off");
		if (error != Z_OK && error != Z_STREAM_END)
			return complain(reader, -EINVAL, "damaged: %s", why);
		*ret_len = 0;
		return 0;
	}
	after = gztell(reader->file);
	*ret_len = (size_t)(after - before);
	if (*ret_len == GRAPH_LINE_MAX - 1 && line[*ret_len - 1] != '\n' && !gzeof(reader->file))
		return complain(reader, -EINVAL, "longer than %d bytes", GRAPH_LINE_MAX - 2);
	return 0;
}

static int lines_read(struct reader *reader)
{
	char line[GRAPH_LINE_MAX];
	size_t len;
	int err;

	for (;;) {
		err = line_read(reader, line, &len);
		if (err < 0)
			return err;
		if (len == 0)
			break;
		err = line_take(reader, line, len);
		if (err < 0)
			return err;
	}
	/* What zlib notices only at the end: a missing or wrong check sum. */
	err = gzclose_r(reader->file);
	reader->file = NULL;
	if (err == Z_BUF_ERROR)
		return complain(reader, -EINVAL, "the compressed file is cut off");
	if (err != Z_OK)
		return complain(reader, -EINVAL, "damaged, or it cannot be read");
	reader->line = 0;
	if (reader->graph.edge_count == 0)
		return complain(reader, -EINVAL, "no edge in it");
	return 0;
}

/* Counting sort: keeps the order of the file among edges of one source. */
static int edges_order(struct reader *reader)
{
	struct graph *graph = &reader->graph;

	graph->out = calloc(graph->node_count + 2, sizeof(*graph->out));
	graph->target = calloc(graph->edge_count, sizeof(*graph->target));
	if (!graph->out || !graph->target)
		return complain(reader, -ENOMEM, "no memory for %llu edges",
				(unsigned long long)graph->edge_count);
	for (uint64_t i = 0; i < graph->edge_count; i++)
		graph->out[reader->edge[i].from + 2]++;
	for (uint64_t i = 2; i < graph->node_count + 2; i++)
		graph->out[i] += graph->out[i - 1];
	/* Now out[i + 1] is where i starts; after the loop, where it ends. */
	for (uint64_t i = 0; i < graph->edge_count; i++)
		graph->target[graph->out[reader->edge[i].from + 1]++] = reader->edge[i].to;
	return 0;
}

int graph_read(const char *path, struct graph *ret_graph)
{
	struct reader reader = { .path = path };
	int err;

	reader.file = gzopen(path, "re");
	if (!reader.file)
		return complain(&reader, -ENOENT, "cannot be opened: %s",
				errno ? strerror(errno) : "no memory");
	gzbuffer(reader.file, 1 << 18);
	err = lines_read(&reader);
	if (err == 0)
		err = edges_order(&reader);
	if (reader.file)
		gzclose_r(reader.file);
	free(reader.edge);
	free(reader.slot);
	if (err < 0) {
		graph_fini(&reader.graph);
		return err;
	}
	*ret_graph = reader.graph;
	return 0;
}

void graph_fini(struct graph *graph)
{
	free(graph->out);
	free(graph->target);
	free(graph->name);
	free(graph->text);
	memset(graph, 0, sizeof(*graph));
}
