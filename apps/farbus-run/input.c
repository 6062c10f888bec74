/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * input.c -- passes the launcher's standard input on to one rank or to all
 *
 * Invariants:
 *   1. reading counts the readers with fd >= 0; with none left nothing is read any more
 *   2. a new chunk is read only when every reader has all of the last one
 *   3. off <= len
 */
#include "apps/farbus-run/input.h"

#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Chunks in a row, so that a fast reader of a big file does not keep signals waiting. */
#define RUN_CHUNK_MAX 16

int input_init(struct input *input, int epoll, uint32_t size, uint64_t source_tag,
	       uint64_t reader_tag)
{
	struct epoll_event event = { .data.u64 = source_tag };

	input->epoll = epoll;
	input->size = size;
	input->source_tag = source_tag;
	input->reader_tag = reader_tag;
	input->reader = alloc_array(size, sizeof(*input->reader));
	if (!input->reader)
		return error_set(-ENOMEM, "no memory for standard input");
	for (uint32_t i = 0; i < size; i++)
		input->reader[i].fd = -1;
	/* Files cannot be polled: they are always ready. */
	input->pollable = epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event) == 0;
	if (input->pollable)
		epoll_ctl(epoll, EPOLL_CTL_DEL, 0, NULL);
	return 0;
}

void input_fini(struct input *input)
{
	for (uint32_t i = 0; input->reader && i < input->size; i++)
		input_reader_drop(input, i);
	free(input->reader);
	input->reader = NULL;
}

int input_reader_add(struct input *input, uint32_t rank, int fd)
{
	/* Without EPOLLOUT only its end is reported. */
	struct epoll_event event = { .data.u64 = input->reader_tag + rank };

	input->reader[rank].fd = fd;
	input->reader[rank].off = input->len;
	input->reading++;
	return epoll_ctl(input->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void input_reader_drop(struct input *input, uint32_t rank)
{
	struct input_reader *reader = &input->reader[rank];

	if (reader->fd < 0)
		return;
	close(reader->fd);
	reader->fd = -1;
	input->reading--;
}

/* Out of the epoll set while not wanted: its end would be reported for ever. */
static void source_arm(struct input *input, bool wanted)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = input->source_tag };

	if (!input->pollable || input->armed == wanted)
		return;
	if (epoll_ctl(input->epoll, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, 0, &event) == 0)
		input->armed = wanted;
}

static void reader_arm(struct input *input, uint32_t rank, bool wanted)
{
	struct input_reader *reader = &input->reader[rank];
	struct epoll_event event = { .events = wanted ? EPOLLOUT : 0,
				     .data.u64 = input->reader_tag + rank };

	if (reader->armed != wanted &&
	    epoll_ctl(input->epoll, EPOLL_CTL_MOD, reader->fd, &event) == 0)
		reader->armed = wanted;
}

/* True: this reader has the whole chunk, or is gone. */
static bool reader_feed(struct input *input, uint32_t rank)
{
	struct input_reader *reader = &input->reader[rank];

	while (reader->fd >= 0 && reader->off < input->len) {
		ssize_t n = write(reader->fd, input->chunk + reader->off, input->len - reader->off);

		if (n > 0)
			reader->off += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			break;
		else if (n < 0 && errno != EINTR)
			input_reader_drop(input, rank); /* EPIPE: it reads no more */
	}
	if (reader->fd < 0)
		return true;
	reader_arm(input, rank, reader->off < input->len);
	return reader->off == input->len;
}

static bool chunk_feed(struct input *input)
{
	bool done = true;

	for (uint32_t i = 0; i < input->size; i++)
		done = reader_feed(input, i) && done;
	return done;
}

/* The end is passed on: readers see it as the end of their own input. */
static void source_end(struct input *input)
{
	source_arm(input, false);
	for (uint32_t i = 0; i < input->size; i++)
		input_reader_drop(input, i);
}

/* False: nothing came, or nothing ever will. */
static bool chunk_read(struct input *input)
{
	ssize_t n = read(0, input->chunk, sizeof(input->chunk));

	if (n > 0) {
		input->len = (size_t)n;
		for (uint32_t i = 0; i < input->size; i++)
			input->reader[i].off = 0;
		return true;
	}
	/* EIO: a terminal that belongs to another job now (SIGTTIN is ignored); SIGCONT tells. */
	if (n < 0 && errno == EIO)
		input->paused = true;
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		source_end(input);
	return false;
}

void input_run(struct input *input, bool ready)
{
	bool fed = true;

	ready = ready || !input->pollable;
	for (int i = 0; i < RUN_CHUNK_MAX && input->reading > 0; i++) {
		fed = chunk_feed(input);
		if (!fed || !ready || input->paused || !chunk_read(input))
			break;
		ready = !input->pollable;
		fed = false;
	}
	/* A file that goes on: come back as soon as a reader has room. */
	for (uint32_t i = 0; i < input->size && !input->pollable && !input->paused; i++) {
		if (input->reader[i].fd >= 0)
			reader_arm(input, i, true);
	}
	source_arm(input, fed && input->reading > 0 && !input->paused);
}

void input_reader_event(struct input *input, uint32_t rank, uint32_t events)
{
	if (events & (EPOLLERR | EPOLLHUP))
		input_reader_drop(input, rank);
	input_run(input, false);
}

void input_resume(struct input *input)
{
	input->paused = false;
	input_run(input, false);
}
