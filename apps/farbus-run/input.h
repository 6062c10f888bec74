/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * input.h -- passes the launcher's standard input on to one rank or to all
 *
 * One chunk is under way at a time: with several readers the slowest sets the pace.
 * Threads: owner thread.
 */
#ifndef APPS_FARBUS_RUN_INPUT_H
#define APPS_FARBUS_RUN_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INPUT_CHUNK_MAX 65536

struct input_reader {
	int fd;	    /* owned, non-blocking write end; -1: none or gone */
	size_t off; /* how much of the chunk it has */
	bool armed; /* waits for room */
};

struct input {
	int epoll;			 /* borrowed */
	uint64_t source_tag, reader_tag; /* epoll data; a reader's is reader_tag + rank */
	uint32_t size, reading;		 /* readers that are left */
	bool pollable, armed;
	bool paused; /* the terminal is another job's */
	size_t len;
	struct input_reader *reader; /* owned, one per rank */
	char chunk[INPUT_CHUNK_MAX];
};

/* Errors: -ENOMEM. */
int input_init(struct input *input, int epoll, uint32_t size, uint64_t source_tag,
	       uint64_t reader_tag);
void input_fini(struct input *input);
/* Takes fd. Before input_run(). Errors: those of epoll_ctl(). */
int input_reader_add(struct input *input, uint32_t rank, int fd);
/* The rank has ended. Any number of times. */
void input_reader_drop(struct input *input, uint32_t rank);
/* Moves what can be moved, arms what it waits for. ready: the source was reported readable. */
void input_run(struct input *input, bool ready);
/* A reader has room, or (EPOLLERR) has closed its end: that would be reported for ever. */
void input_reader_event(struct input *input, uint32_t rank, uint32_t events);
/* After SIGCONT: the terminal may be ours again. */
void input_resume(struct input *input);

#endif
