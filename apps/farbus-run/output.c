/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * output.c -- what ranks print, as whole lines on the launcher's stdout and stderr
 *
 * Invariants:
 *   1. start <= end <= QUEUE_SIZE
 *   2. output_room() leaves FEED_MAX bytes, so that no feed is ever cut
 *   3. with lines set, a stream's bytes are queued only up to a newline, or at its end
 */
#include "apps/farbus-run/output.h"

#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX_MAX 48 /* "2026-11-24T15:07:05.123 [1023] " */
/* The most that one feed can queue: only newlines, each with a prefix, after a full line. */
#define FEED_MAX (OUTPUT_LINE_MAX + OUTPUT_READ_MAX * (1 + PREFIX_MAX) + 2 * PREFIX_MAX)
#define QUEUE_SIZE (2 << 20)
_Static_assert(FEED_MAX <= QUEUE_SIZE / 2, "half a queue takes any feed");

/* A pipe that poll() calls writable takes this much without waiting. */
#define WRITE_MAX 4096

int output_sink_init(struct output_sink *sink, int fd, bool tag, bool timestamp, bool lines)
{
	*sink = (struct output_sink){ .fd = fd, .tag = tag, .timestamp = timestamp };
	sink->lines = lines || tag || timestamp;
	sink->queue = alloc_zero(QUEUE_SIZE);
	return sink->queue ? 0 : error_set(-ENOMEM, "no memory for the output queue");
}

void output_sink_fini(struct output_sink *sink)
{
	free(sink->queue);
	sink->queue = NULL;
}

bool output_room(const struct output_sink *sink)
{
	return sink->err || sink->end - sink->start <= QUEUE_SIZE - FEED_MAX;
}

static void queue_add(struct output_sink *sink, const char *data, size_t len)
{
	if (sink->err || len == 0)
		return;
	if (len > QUEUE_SIZE - sink->end) {
		memmove(sink->queue, sink->queue + sink->start, sink->end - sink->start);
		sink->end -= sink->start;
		sink->start = 0;
	}
	if (len > QUEUE_SIZE - sink->end)
		return; /* output_room() was not asked; only output_say() does that */
	memcpy(sink->queue + sink->end, data, len);
	sink->end += len;
}

static size_t prefix_make(const struct output_sink *sink, uint32_t rank, char *ret_prefix)
{
	struct timespec now;
	struct tm tm;
	size_t len = 0;

	if (sink->timestamp) {
		clock_gettime(CLOCK_REALTIME, &now);
		localtime_r(&now.tv_sec, &tm);
		len = strftime(ret_prefix, PREFIX_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
		len += (size_t)snprintf(ret_prefix + len, PREFIX_MAX - len, ".%03d ",
					(int)(now.tv_nsec / 1000000));
	}
	if (sink->tag)
		len += (size_t)snprintf(ret_prefix + len, PREFIX_MAX - len, "[%u] ", rank);
	return len;
}

/* Somebody else's unfinished line ends before another one begins. */
static void line_begin(struct output_sink *sink, uint32_t rank)
{
	if (sink->open_line && sink->open_by != rank) {
		queue_add(sink, "\n", 1);
		sink->open_line = false;
	}
}

/* One line of a stream, or what there is of it: first the part kept, then data. */
static void line_queue(struct output_sink *sink, struct output_stream *stream, const char *data,
		       size_t len)
{
	char prefix[PREFIX_MAX];
	char last = len ? data[len - 1] : stream->line[stream->used - 1];

	line_begin(sink, stream->rank);
	queue_add(sink, prefix, prefix_make(sink, stream->rank, prefix));
	queue_add(sink, stream->line, stream->used);
	queue_add(sink, data, len);
	stream->used = 0;
	sink->open_line = last != '\n';
	sink->open_by = stream->rank;
	/* A prefix must begin a line, so a piece of a line has to end one. */
	if (sink->open_line && (sink->tag || sink->timestamp)) {
		queue_add(sink, "\n", 1);
		sink->open_line = false;
	}
}

void output_feed(struct output_sink *sink, struct output_stream *stream, const char *data,
		 size_t len)
{
	if (!sink->lines && len > 0) {
		line_queue(sink, stream, data, len);
		return;
	}
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t n = newline ? (size_t)(newline - data) + 1 : len;
		size_t room = OUTPUT_LINE_MAX - stream->used;

		if (!newline && n < room) {
			memcpy(stream->line + stream->used, data, n);
			stream->used += n;
			return;
		}
		if (n > room)
			n = room;
		line_queue(sink, stream, data, n);
		data += n;
		len -= n;
	}
}

void output_end(struct output_sink *sink, struct output_stream *stream)
{
	if (stream->used > 0)
		line_queue(sink, stream, "", 0);
}

void output_say(struct output_sink *sink, const char *format, ...)
{
	char line[512];
	va_list args;
	int n, head = snprintf(line, sizeof(line), "farbus-run: ");

	va_start(args, format);
	n = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, args);
	va_end(args);
	n += head;
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	line_begin(sink, UINT32_MAX);
	queue_add(sink, line, (size_t)n);
}

bool output_pending(const struct output_sink *sink)
{
	return !sink->err && sink->end > sink->start;
}

static bool writable(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLOUT };

	return poll(&pollfd, 1, 0) > 0;
}

void output_flush(struct output_sink *sink)
{
	while (output_pending(sink) && writable(sink->fd)) {
		size_t len = sink->end - sink->start;
		ssize_t n = write(sink->fd, sink->queue + sink->start,
				  len < WRITE_MAX ? len : WRITE_MAX);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			sink->err = -errno;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0)
			sink->start += (size_t)n;
	}
	if (sink->start == sink->end)
		sink->start = sink->end = 0;
}
