/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * place.h -- the sink of QEMU's stream: pages to the destination's memory, the rest to its QEMU
 *
 * Threads: one thread at a time.
 */
#ifndef APPS_FARBUS_MIGRATE_PLACE_H
#define APPS_FARBUS_MIGRATE_PLACE_H

#include "apps/farbus-migrate/talk.h"
#include "runtime/move/move.h"
#include "runtime/vm/qemu_stream.h"

#define PLACE_OUT_SIZE 65536 /* bytes of the stream that are sent together */

struct place {
	struct talk *talk; /* borrowed */
	struct mover *mover;
	struct qemu_stream *stream;
	void *local[OPTIONS_RAM_MAX]; /* mappings, of the source's RAM where it can be had */
	uint64_t local_len[OPTIONS_RAM_MAX];
	bool direct[OPTIONS_RAM_MAX];
	int32_t set_of[QEMU_BLOCK_MAX]; /* which set a block is; -1: none */
	size_t out_len;
	uint8_t out[PLACE_OUT_SIZE];
};

/* Borrows talk and ram until close. */
int place_open(struct talk *talk, const struct ram *ram, uint32_t ram_count, bool placed,
	       struct place *ret_place);
void place_close(struct place *place);

/* Bytes of QEMU's stream. Errors: of qemu_stream_input(), move_flush(), talk_send(). */
int place_input(struct place *place, const uint8_t *data, size_t len);

#endif
