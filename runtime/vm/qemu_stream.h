/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * qemu_stream.h -- the migration stream of QEMU, taken apart: pages of RAM, and all the rest
 *
 * Bytes go in as they come from `migrate unix:`. Pages of blocks that the sink takes leave the
 * stream; everything else is forwarded, and is a valid stream of its own: where a page is missing
 * before one that says "same block as the last", the name is put in.
 *
 * No I/O and no clock: what is done with the pages is the sink's matter. The stream is trusted in
 * nothing; a page handed out lies inside its block.
 */
#ifndef RUNTIME_VM_QEMU_STREAM_H
#define RUNTIME_VM_QEMU_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QEMU_PAGE_SIZE 4096
#define QEMU_BLOCK_MAX 128   /* RAM blocks of a guest */
#define QEMU_NAME_MAX 256    /* bytes of a block's or section's name, with its NUL */
#define QEMU_MACHINE_MAX 256 /* bytes of a machine type's name */

/*
 * What to do with what was found. All return 0 or a negative errno, which ends the stream.
 * Pointers are borrowed until the call returns.
 */
struct qemu_sink_ops {
	/* Bytes for the destination's QEMU, in order. */
	int (*forward)(void *arg, const void *data, size_t len);
	/*
	 * A block of the guest's RAM, before any page; index counts them from 0. *ret_taken: its
	 * pages are wanted, preset to false.
	 */
	int (*block)(void *arg, uint32_t index, const char *name, uint64_t len, bool *ret_taken);
	/* A page of a block that was taken. Data is as the stream has it. */
	int (*page)(void *arg, uint32_t index, uint64_t off, const uint8_t *data);
	int (*zero)(void *arg, uint32_t index, uint64_t off);
	/* The end of a round; final: what was handed out has to be visible before this returns. */
	int (*round)(void *arg, bool final);
	/* From here on nothing is taken: the pages follow in the stream. why is for people. */
	int (*untaken)(void *arg, const char *why);
};

struct qemu_stream;

/* Borrows ops and arg until free. Errors: -ENOMEM. */
int qemu_stream_new(const struct qemu_sink_ops *ops, void *arg, struct qemu_stream **ret_stream);
struct qemu_stream *qemu_stream_free(struct qemu_stream *stream);

/*
 * Takes all of data. After an error every call returns that error.
 * Errors: -EPROTO it is no stream of QEMU, or is damaged; -ENOTSUP it has something that cannot
 * be carried: error_text() names it and what to turn off; -ENOSPC more than QEMU_BLOCK_MAX blocks;
 * and what the sink returns.
 * Threads: one thread at a time.
 */
int qemu_stream_input(struct qemu_stream *stream, const uint8_t *data, size_t len);

struct qemu_stream_stats {
	uint64_t bytes;	       /* came in */
	uint64_t forwarded;    /* went out, in the stream */
	uint64_t pages, zeros; /* handed out */
	uint64_t pages_in_stream, zeros_in_stream;
	uint64_t rounds;
	bool device_state; /* the first section of the devices' state was seen: RAM is complete */
	bool through;	   /* all is forwarded from now on, unparsed */
};

void qemu_stream_stats(const struct qemu_stream *stream, struct qemu_stream_stats *ret_stats);

/* Asserts what is always true; see qemu_stream.c. */
void qemu_stream_check(const struct qemu_stream *stream);

#endif
