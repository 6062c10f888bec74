/* SPDX-License-Identifier: BSD-3-Clause */
/* qemu_stream_private.h -- the parser's state, shared by its halves: sections and RAM records */
#ifndef RUNTIME_VM_QEMU_STREAM_PRIVATE_H
#define RUNTIME_VM_QEMU_STREAM_PRIVATE_H

#include "runtime/vm/qemu_stream.h"

struct qemu_block {
	char name[QEMU_NAME_MAX];
	uint64_t len;
	bool taken;
};

struct qemu_stream;

/* Handles the next `want` bytes, and sets step and want for what follows. */
typedef int (*qemu_step_fn)(struct qemu_stream *stream, const uint8_t *data);

struct qemu_stream {
	const struct qemu_sink_ops *ops;
	void *arg;
	qemu_step_fn step;
	size_t want;  /* bytes the step needs at once; 1 .. QEMU_PAGE_SIZE */
	size_t have;  /* of them in buffer */
	uint64_t raw; /* bytes to forward before the step */
	int error;
	bool configured;	     /* in the configuration section: subsections may follow */
	bool ram_known;		     /* the section "ram" was started */
	bool section_ends;	     /* the section that is read is the last of its kind */
	uint32_t ram_id;	     /* of the section "ram" */
	uint32_t section_id;	     /* of the one that is read */
	uint32_t capabilities;	     /* still to come */
	uint64_t sizes_left;	     /* bytes of blocks still to be listed */
	uint64_t record;	     /* offset and flags of the record that is read */
	uint8_t text_len;	     /* of the name that is read */
	int32_t block_in, block_out; /* of the last record that came, and that was forwarded; -1 */
	uint32_t block_count;
	struct qemu_stream_stats stats;
	struct qemu_block block[QEMU_BLOCK_MAX];
	uint8_t buffer[QEMU_PAGE_SIZE];
};

static inline uint32_t qemu_be32(const uint8_t *data)
{
	return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static inline uint64_t qemu_be64(const uint8_t *data)
{
	return (uint64_t)qemu_be32(data) << 32 | qemu_be32(data + 4);
}

static inline void qemu_next(struct qemu_stream *stream, qemu_step_fn step, size_t want)
{
	stream->step = step;
	stream->want = want;
}

int qemu_forward(struct qemu_stream *stream, const void *data, size_t len);

/* All that follows is forwarded, unparsed. */
int qemu_splice(struct qemu_stream *stream);

/* The type of a section comes next. */
void qemu_section_next(struct qemu_stream *stream);
/* The footer of a section comes next. */
void qemu_footer_next(struct qemu_stream *stream);
/* The records of the section "ram" come next. */
void qemu_ram_next(struct qemu_stream *stream);

#endif
