/* SPDX-License-Identifier: BSD-3-Clause */
/* figure.c -- the table of figures, and which of them were asked for */
#include "apps/farbus-perf/figure.h"

#include "apps/farbus-perf/ring_peer.h"
#include "base/error.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_PIECE ((size_t)4096)
#define GETV_PIECE ((size_t)64 << 10)

/* Before put and get of the chosen sizes. */
static const struct figure accesses[] = {
	{ "put8_flush", "latency", "store, fence", figure_put8_flush, 8, 0, FIGURE_NEEDS_PAIR,
	  FARBUS_ONESIDED_PUT, NULL, FIGURE_TIMES_FLOOR },
	{ "get8", "latency", "load", figure_get8, 8, 0, FIGURE_NEEDS_PAIR, FARBUS_ONESIDED_GET,
	  NULL, FIGURE_TIMES_FLOOR },
	{ "fadd", "atomics", "xadd", figure_fadd, 8, 0, FIGURE_NEEDS_PAIR, FARBUS_ONESIDED_ATOMIC,
	  NULL, FIGURE_TIMES_FLOOR },
	{ "put8_rate", "rate", "stores", figure_put8_rate, 8, 0, FIGURE_NEEDS_PAIR,
	  FARBUS_ONESIDED_PUT, NULL, FIGURE_OF_FLOOR },
	{ "put8_rate_next", "rate", "stores", figure_put8_rate_next, 8, 0, FIGURE_NEEDS_PAIR,
	  FARBUS_ONESIDED_PUT, NULL, FIGURE_OF_FLOOR },
	{ "put8_rate_call", "rate", "stores", figure_put8_rate_call, 8, 0, FIGURE_NEEDS_PAIR,
	  FARBUS_ONESIDED_PUT, NULL, FIGURE_OF_FLOOR },
};

static const struct figure put_of_size = {
	"put", "bandwidth",    "memcpy", figure_put, 0, 0, FIGURE_NEEDS_PAIR, FARBUS_ONESIDED_PUT,
	NULL,  FIGURE_OF_FLOOR
};
static const struct figure get_of_size = {
	"get", "bandwidth",    "memcpy", figure_get, 0, 0, FIGURE_NEEDS_PAIR, FARBUS_ONESIDED_GET,
	NULL,  FIGURE_OF_FLOOR
};

static const struct figure others[] = {
	{ "getv_64k_pieces", "bandwidth", "memcpy", figure_getv, GETV_PIECE, 0, FIGURE_NEEDS_PAIR,
	  FARBUS_ONESIDED_GET, NULL, FIGURE_OF_FLOOR },
	{ "stream_4k_pieces", "bandwidth", "memcpy", figure_stream, STREAM_PIECE, 0,
	  FIGURE_NEEDS_PAIR | FIGURE_NEEDS_STREAM, FARBUS_ONESIDED_PUT, NULL, FIGURE_OF_FLOOR },
	{ "translate_16", "translate", "one load", figure_translate, 0, 16, 0, 0, "window table",
	  FIGURE_TIMES_FLOOR },
	{ "translate_100k", "translate", "one load", figure_translate, 0, 100000, 0, 0,
	  "window table", FIGURE_TIMES_FLOOR },
	{ "ring64_b1", "ring", NULL, figure_ring, 64, 1, 0, 0, "two threads", FIGURE_OF_FLOOR },
	{ "ring64_b32", "ring", NULL, figure_ring, 64, 32, 0, 0, "two threads", FIGURE_OF_FLOOR },
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void sized_append(const struct options *options, const struct figure *like,
			 struct figure *figure, size_t *count)
{
	for (size_t i = 0; i < options->size_count; i++) {
		char size[FIGURE_NAME_MAX - 8];
		struct figure *next = &figure[(*count)++];

		*next = *like;
		next->bytes = options->size[i];
		options_size_text(options->size[i], size, sizeof(size));
		snprintf(next->name, sizeof(next->name), "%.6s_%s", like->name, size);
	}
}

static bool wanted(const struct options *options, const struct figure *figure)
{
	if (options->name_count == 0)
		return true;
	for (size_t i = 0; i < options->name_count; i++)
		if (strcmp(options->name[i], figure->name) == 0 ||
		    strcmp(options->name[i], figure->group) == 0)
			return true;
	return false;
}

/* Does every name stand for something? */
static int names_check(const struct options *options, const struct figure *figure, size_t count)
{
	for (size_t i = 0; i < options->name_count; i++) {
		size_t k = 0;

		while (k < count && strcmp(options->name[i], figure[k].name) != 0 &&
		       strcmp(options->name[i], figure[k].group) != 0)
			k++;
		if (k == count)
			return error_set(-EINVAL,
					 "%.40s: no such figure or group; see farbus-perf --list",
					 options->name[i]);
	}
	return 0;
}

int figures_new(const struct options *options, struct figure **ret_figure, size_t *ret_count)
{
	size_t most = LENGTH(accesses) + 2 * options->size_count + LENGTH(others);
	struct figure *figure = calloc(most, sizeof(*figure));
	size_t all = LENGTH(accesses), count = 0;
	int err;

	if (!figure)
		return error_set(-ENOMEM, "no memory");
	memcpy(figure, accesses, sizeof(accesses));
	sized_append(options, &put_of_size, figure, &all);
	sized_append(options, &get_of_size, figure, &all);
	memcpy(figure + all, others, sizeof(others));
	all += LENGTH(others);
	err = names_check(options, figure, all);
	if (err < 0) {
		free(figure);
		return err;
	}
	for (size_t i = 0; i < all; i++) {
		if (!wanted(options, &figure[i]))
			continue;
		figure[count] = figure[i];
		if (figure[count].measure == figure_ring)
			figure[count].floor = ring_peer()->name;
		count++;
	}
	*ret_figure = figure;
	*ret_count = count;
	return 0;
}
