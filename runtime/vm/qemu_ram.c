/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * qemu_ram.c -- the section "ram" of a migration stream: the list of blocks, records of pages
 *
 * A record is an offset with flags in its low bits. One that says CONTINUE is of the block of the
 * record before; what is forwarded lacks the pages that were taken, so its CONTINUE is made anew.
 */
#include "base/error.h"
#include "runtime/vm/qemu_stream_private.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define FLAG_ZERO 0x02u
#define FLAG_MEM_SIZE 0x04u
#define FLAG_PAGE 0x08u
#define FLAG_EOS 0x10u
#define FLAG_CONTINUE 0x20u
#define FLAG_XBZRLE 0x40u
#define FLAG_HOOK 0x80u
#define FLAG_COMPRESS 0x100u
#define FLAG_MULTIFD 0x200u
#define FLAG_ALL (QEMU_PAGE_SIZE - 1u)

static int step_record(struct qemu_stream *stream, const uint8_t *data);
static int step_size_len(struct qemu_stream *stream, const uint8_t *data);

void qemu_ram_next(struct qemu_stream *stream)
{
	qemu_next(stream, step_record, 8);
}

/* ---- the list of blocks -------------------------------------------------------------- */

static int block_find(const struct qemu_stream *stream, const char *name)
{
	for (uint32_t i = 0; i < stream->block_count; i++)
		if (strcmp(stream->block[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* data: text_len bytes. Errors: -EPROTO a NUL in it. */
static int name_copy(const struct qemu_stream *stream, const uint8_t *data,
		     char name[QEMU_NAME_MAX])
{
	if (memchr(data, '\0', stream->text_len))
		return error_set(-EPROTO, "a name of a RAM block has a NUL");
	memcpy(name, data, stream->text_len);
	name[stream->text_len] = '\0';
	return 0;
}

static int block_add(struct qemu_stream *stream, const char *name, uint64_t len)
{
	struct qemu_block *block = &stream->block[stream->block_count];
	int err;

	if (stream->block_count == QEMU_BLOCK_MAX)
		return error_set(-ENOSPC, "more than %d blocks of RAM", QEMU_BLOCK_MAX);
	if (block_find(stream, name) >= 0)
		return error_set(-EPROTO, "the RAM block '%s' is listed twice", name);
	if (len > stream->sizes_left)
		return error_set(-EPROTO,
				 "RAM block '%s' of %" PRIu64 " bytes, %" PRIu64 " are left", name,
				 len, stream->sizes_left);
	*block = (struct qemu_block){ .len = len };
	memcpy(block->name, name, strlen(name));
	err = stream->ops->block(stream->arg, stream->block_count, name, len, &block->taken);
	if (err < 0)
		return err;
	stream->block_count++;
	stream->sizes_left -= len;
	return 0;
}

static void sizes_next(struct qemu_stream *stream)
{
	if (stream->sizes_left == 0)
		qemu_next(stream, step_record, 8);
	else
		qemu_next(stream, step_size_len, 1);
}

static int step_size(struct qemu_stream *stream, const uint8_t *data)
{
	char name[QEMU_NAME_MAX];
	int err = name_copy(stream, data, name);
	if (err < 0)
		return err;
	err = block_add(stream, name, qemu_be64(data + stream->text_len));
	if (err < 0)
		return err;
	sizes_next(stream);
	return qemu_forward(stream, data, stream->text_len + 8u);
}

static int step_size_len(struct qemu_stream *stream, const uint8_t *data)
{
	if (data[0] == 0)
		return error_set(-EPROTO, "a RAM block without a name");
	stream->text_len = data[0];
	qemu_next(stream, step_size, data[0] + 8u);
	return qemu_forward(stream, data, 1);
}

static int sizes_begin(struct qemu_stream *stream, const uint8_t *data)
{
	if (stream->block_count > 0)
		return error_set(-EPROTO, "the RAM blocks are listed twice");
	stream->sizes_left = stream->record & ~(uint64_t)FLAG_ALL;
	sizes_next(stream);
	return qemu_forward(stream, data, 8);
}

/* ---- pages --------------------------------------------------------------------------- */

static int record_forward(struct qemu_stream *stream)
{
	const struct qemu_block *block = &stream->block[stream->block_in];
	bool same = stream->block_in == stream->block_out;
	uint64_t record = (stream->record & ~(uint64_t)FLAG_CONTINUE) | (same ? FLAG_CONTINUE : 0);
	uint8_t head[8 + QEMU_NAME_MAX];
	size_t len = 8, name_len = strlen(block->name);

	for (int i = 0; i < 8; i++)
		head[i] = (uint8_t)(record >> (56 - 8 * i));
	if (!same) {
		head[len++] = (uint8_t)name_len;
		memcpy(head + len, block->name, name_len);
		len += name_len;
	}
	stream->block_out = stream->block_in;
	return qemu_forward(stream, head, len);
}

static int step_page(struct qemu_stream *stream, const uint8_t *data)
{
	uint64_t off = stream->record & ~(uint64_t)FLAG_ALL;
	int err;

	qemu_ram_next(stream);
	if (stream->block[stream->block_in].taken) {
		stream->stats.pages++;
		return stream->ops->page(stream->arg, (uint32_t)stream->block_in, off, data);
	}
	stream->stats.pages_in_stream++;
	err = record_forward(stream);
	if (err < 0)
		return err;
	return qemu_forward(stream, data, QEMU_PAGE_SIZE);
}

static int step_zero(struct qemu_stream *stream, const uint8_t *data)
{
	uint64_t off = stream->record & ~(uint64_t)FLAG_ALL;
	int err;

	if (data[0] != 0)
		return error_set(-EPROTO, "a page filled with 0x%02x: only 0 is known", data[0]);
	qemu_ram_next(stream);
	if (stream->block[stream->block_in].taken) {
		stream->stats.zeros++;
		return stream->ops->zero(stream->arg, (uint32_t)stream->block_in, off);
	}
	stream->stats.zeros_in_stream++;
	err = record_forward(stream);
	if (err < 0)
		return err;
	return qemu_forward(stream, data, 1);
}

/* block_in is set. */
static int payload_next(struct qemu_stream *stream)
{
	const struct qemu_block *block = &stream->block[stream->block_in];
	uint64_t off = stream->record & ~(uint64_t)FLAG_ALL;

	if (block->len < QEMU_PAGE_SIZE || off > block->len - QEMU_PAGE_SIZE)
		return error_set(-EPROTO,
				 "a page at 0x%" PRIx64 " of RAM block '%s', which has 0x%" PRIx64,
				 off, block->name, block->len);
	if (stream->record & FLAG_PAGE)
		qemu_next(stream, step_page, QEMU_PAGE_SIZE);
	else
		qemu_next(stream, step_zero, 1);
	return 0;
}

static int step_block(struct qemu_stream *stream, const uint8_t *data)
{
	char name[QEMU_NAME_MAX];
	int err = name_copy(stream, data, name);
	if (err < 0)
		return err;
	stream->block_in = block_find(stream, name);
	if (stream->block_in < 0)
		return error_set(-EPROTO, "a page of RAM block '%s', which is not listed", name);
	return payload_next(stream);
}

static int step_block_len(struct qemu_stream *stream, const uint8_t *data)
{
	if (data[0] == 0)
		return error_set(-EPROTO, "a page of a RAM block without a name");
	stream->text_len = data[0];
	qemu_next(stream, step_block, data[0]);
	return 0;
}

static int page_begin(struct qemu_stream *stream)
{
	if (!(stream->record & FLAG_CONTINUE)) {
		qemu_next(stream, step_block_len, 1);
		return 0;
	}
	if (stream->block_in < 0)
		return error_set(-EPROTO, "the first page is of the block of the one before");
	return payload_next(stream);
}

static int section_end(struct qemu_stream *stream, const uint8_t *data)
{
	int err = stream->ops->round(stream->arg, stream->section_ends);
	if (err < 0)
		return err;
	stream->stats.rounds++;
	qemu_footer_next(stream);
	return qemu_forward(stream, data, 8);
}

static int record_refuse(uint32_t flags)
{
	if (flags & FLAG_XBZRLE)
		return error_set(-ENOTSUP,
				 "pages come as differences: turn the capability xbzrle off");
	if (flags & FLAG_COMPRESS)
		return error_set(-ENOTSUP,
				 "pages come compressed: turn the capability compress off");
	if (flags & FLAG_HOOK)
		return error_set(-ENOTSUP,
				 "the stream is one of QEMU's own rdma: give migrate a unix: URI");
	if (flags & FLAG_MULTIFD)
		return error_set(-ENOTSUP,
				 "pages come on other sockets: turn the capability multifd off");
	return error_set(-EPROTO, "a RAM record with flags 0x%x", flags);
}

static int step_record(struct qemu_stream *stream, const uint8_t *data)
{
	uint32_t flags;

	stream->record = qemu_be64(data);
	flags = (uint32_t)(stream->record & FLAG_ALL);
	switch (flags & ~FLAG_CONTINUE) {
	case FLAG_PAGE:
	case FLAG_ZERO:
		return page_begin(stream);
	case FLAG_EOS:
		return section_end(stream, data);
	case FLAG_MEM_SIZE:
		return sizes_begin(stream, data);
	default:
		return record_refuse(flags);
	}
}
