/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * output.h -- what ranks print, as whole lines on the launcher's stdout and stderr
 *
 * A line of more than OUTPUT_LINE_MAX bytes is passed on in pieces of that length. With one rank
 * and neither tag nor timestamp, bytes are passed on as they come.
 * Threads: owner thread.
 */
#ifndef APPS_FARBUS_RUN_OUTPUT_H
#define APPS_FARBUS_RUN_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTPUT_LINE_MAX 65536
#define OUTPUT_READ_MAX 16384 /* output_feed takes up to this much at a time */

/* Where to: stdout or stderr of the launcher. */
struct output_sink {
	int fd; /* borrowed */
	bool tag, timestamp, lines;
	int err;	   /* once writing failed: everything more is dropped */
	bool open_line;	   /* the last byte queued was no newline */
	uint32_t open_by;  /* whose it was */
	size_t start, end; /* queue[start..end) waits */
	char *queue;	   /* owned */
};

/* Where from: stdout or stderr of one rank. */
struct output_stream {
	uint32_t rank;
	size_t used;
	char line[OUTPUT_LINE_MAX]; /* without a newline so far */
};

/* Errors: -ENOMEM. */
int output_sink_init(struct output_sink *sink, int fd, bool tag, bool timestamp, bool lines);
void output_sink_fini(struct output_sink *sink);

/* True: there is room for one output_feed() of any stream. */
bool output_room(const struct output_sink *sink);
void output_feed(struct output_sink *sink, struct output_stream *stream, const char *data,
		 size_t len);
/* The stream's last line need not have a newline. */
void output_end(struct output_sink *sink, struct output_stream *stream);
/* A line of the launcher's own, "farbus-run: ..."; dropped when there is no room. */
void output_say(struct output_sink *sink, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Writes what can be written without waiting. */
void output_flush(struct output_sink *sink);
bool output_pending(const struct output_sink *sink);

#endif
