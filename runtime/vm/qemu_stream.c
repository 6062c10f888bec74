/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * qemu_stream.c -- sections, commands and configuration of a migration stream of QEMU
 *
 * Only the section "ram" can be taken apart: the bodies of others have no length. They come as a
 * whole at the end (device state), from where all is forwarded; or, when a device is moved in
 * rounds beside RAM, at the start, before any page, and then all is forwarded.
 *
 * Invariants (qemu_stream_check):
 *   1. 1 <= want <= QEMU_PAGE_SIZE and have < want, unless all is forwarded
 *   2. block_in and block_out are -1 or below block_count
 *   3. block_count <= QEMU_BLOCK_MAX
 *   4. no block that is listed later is taken after all is forwarded
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "runtime/vm/qemu_stream_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_MAGIC 0x5145564du
#define STREAM_VERSION 3
#define RAM_VERSION 4
#define PAGE_BITS 12

enum section {
	SECTION_EOF = 0x00,
	SECTION_START = 0x01,
	SECTION_PART = 0x02,
	SECTION_END = 0x03,
	SECTION_FULL = 0x04,
	SECTION_SUBSECTION = 0x05,
	SECTION_CONFIGURATION = 0x07,
	SECTION_COMMAND = 0x08,
	SECTION_FOOTER = 0x7e,
};

enum command {
	COMMAND_POSTCOPY_ADVISE = 3,
	COMMAND_POSTCOPY_DISCARD = 6,
	COMMAND_PACKAGED = 7,
	COMMAND_COLO = 8,
	COMMAND_LAST = 11,
};

int qemu_forward(struct qemu_stream *stream, const void *data, size_t len)
{
	if (len == 0)
		return 0;
	stream->stats.forwarded += len;
	return stream->ops->forward(stream->arg, data, len);
}

int qemu_splice(struct qemu_stream *stream)
{
	stream->stats.through = true;
	return 0;
}

/* Nothing was taken yet, and nothing will be. */
static int give_up(struct qemu_stream *stream, const char *why)
{
	int err;

	if (stream->stats.pages + stream->stats.zeros > 0)
		return error_set(-EPROTO, "%s after pages of RAM: QEMU sends it before them", why);
	for (uint32_t i = 0; i < stream->block_count; i++)
		stream->block[i].taken = false;
	err = stream->ops->untaken(stream->arg, why);
	if (err < 0)
		return err;
	return qemu_splice(stream);
}

static int step_footer(struct qemu_stream *stream, const uint8_t *data)
{
	if (data[0] != SECTION_FOOTER || qemu_be32(data + 1) != stream->section_id)
		return error_set(-EPROTO,
				 "a section of the stream has no footer: machine types older than "
				 "pc-i440fx-2.4 cannot be moved");
	qemu_section_next(stream);
	return qemu_forward(stream, data, 5);
}

void qemu_footer_next(struct qemu_stream *stream)
{
	qemu_next(stream, step_footer, 5);
}

static int step_command(struct qemu_stream *stream, const uint8_t *data)
{
	uint32_t command = (uint32_t)data[0] << 8 | data[1];
	uint32_t len = (uint32_t)data[2] << 8 | data[3];
	int err;

	if (command == 0 || command > COMMAND_LAST)
		return error_set(-ENOTSUP, "command %u of the stream is not known", command);
	if (command == COMMAND_COLO)
		return error_set(-ENOTSUP, "COLO cannot be carried: turn x-colo off");
	err = qemu_forward(stream, data, 4);
	if (err < 0)
		return err;
	stream->raw = len;
	qemu_section_next(stream);
	/*
	 * The destination discards RAM behind our back now, and later takes a page that is there
	 * for a whole one.
	 */
	if (command == COMMAND_POSTCOPY_ADVISE || command == COMMAND_POSTCOPY_DISCARD ||
	    command == COMMAND_PACKAGED)
		return give_up(stream, "post-copy");
	return 0;
}

/* ---- configuration ------------------------------------------------------------------- */

static int step_capability_len(struct qemu_stream *stream, const uint8_t *data);

static void capability_next(struct qemu_stream *stream)
{
	if (stream->capabilities == 0)
		qemu_section_next(stream);
	else
		qemu_next(stream, step_capability_len, 1);
}

static int step_capability(struct qemu_stream *stream, const uint8_t *data)
{
	static const char ignored[] = "x-ignore-shared";
	size_t len = stream->text_len;

	if (len == sizeof(ignored) - 1 && memcmp(data, ignored, len) == 0)
		return error_set(-ENOTSUP, "x-ignore-shared leaves the RAM behind: turn it off on "
					   "both sides");
	stream->capabilities--;
	capability_next(stream);
	return qemu_forward(stream, data, len);
}

static int step_capability_len(struct qemu_stream *stream, const uint8_t *data)
{
	if (data[0] == 0)
		return error_set(-EPROTO, "a capability in the stream has no name");
	stream->text_len = data[0];
	qemu_next(stream, step_capability, data[0]);
	return qemu_forward(stream, data, 1);
}

static int step_capabilities(struct qemu_stream *stream, const uint8_t *data)
{
	stream->capabilities = qemu_be32(data);
	if (stream->capabilities > QEMU_NAME_MAX)
		return error_set(-EPROTO, "%u capabilities in the stream", stream->capabilities);
	capability_next(stream);
	return qemu_forward(stream, data, 4);
}

static int step_page_bits(struct qemu_stream *stream, const uint8_t *data)
{
	if (qemu_be32(data) != PAGE_BITS)
		return error_set(-ENOTSUP, "pages of 2^%u bytes: only 4 KiB can be moved",
				 qemu_be32(data));
	qemu_section_next(stream);
	return qemu_forward(stream, data, 4);
}

static bool name_is(const struct qemu_stream *stream, const uint8_t *data, const char *name)
{
	return stream->text_len == strlen(name) && memcmp(data, name, stream->text_len) == 0;
}

static int step_subsection(struct qemu_stream *stream, const uint8_t *data)
{
	if (name_is(stream, data, "configuration/capabilities")) {
		qemu_next(stream, step_capabilities, 4);
	} else if (name_is(stream, data, "configuration/target-page-bits")) {
		qemu_next(stream, step_page_bits, 4);
	} else if (name_is(stream, data, "configuration/uuid")) {
		stream->raw = 16;
		qemu_section_next(stream);
	} else {
		return error_set(-ENOTSUP,
				 "the stream's configuration has '%.*s', which is not known",
				 (int)stream->text_len, (const char *)data);
	}
	return qemu_forward(stream, data, stream->text_len + 4u);
}

static int step_subsection_len(struct qemu_stream *stream, const uint8_t *data)
{
	if (data[0] == 0)
		return error_set(-EPROTO, "a part of the stream's configuration has no name");
	stream->text_len = data[0];
	qemu_next(stream, step_subsection, data[0] + 4u);
	return qemu_forward(stream, data, 1);
}

static int step_configuration(struct qemu_stream *stream, const uint8_t *data)
{
	uint32_t len = qemu_be32(data);

	if (len == 0 || len > QEMU_MACHINE_MAX)
		return error_set(-EPROTO, "a machine type of %u bytes in the stream", len);
	stream->raw = len;
	stream->configured = true;
	qemu_section_next(stream);
	return qemu_forward(stream, data, 4);
}

/* ---- sections ------------------------------------------------------------------------ */

static int step_start(struct qemu_stream *stream, const uint8_t *data)
{
	uint32_t version = qemu_be32(data + stream->text_len + 4);
	bool is_ram = name_is(stream, data, "ram");
	char why[QEMU_NAME_MAX + 64];
	int err;

	if (is_ram && version != RAM_VERSION)
		return error_set(-ENOTSUP, "version %u of the section 'ram': only %d is known",
				 version, RAM_VERSION);
	if (is_ram && stream->ram_known)
		return error_set(-EPROTO, "the section 'ram' starts twice");
	err = qemu_forward(stream, data, stream->text_len + 8u);
	if (err < 0)
		return err;
	if (!is_ram) {
		snprintf(why, sizeof(why), "a device that moves in rounds ('%.*s')",
			 (int)stream->text_len, (const char *)data);
		return give_up(stream, why);
	}
	stream->ram_known = true;
	stream->ram_id = stream->section_id;
	qemu_ram_next(stream);
	return 0;
}

static int step_start_id(struct qemu_stream *stream, const uint8_t *data)
{
	stream->section_id = qemu_be32(data);
	stream->text_len = data[4];
	if (data[4] == 0)
		return error_set(-EPROTO, "a section of the stream has no name");
	qemu_next(stream, step_start, data[4] + 8u);
	return qemu_forward(stream, data, 5);
}

static int step_part(struct qemu_stream *stream, const uint8_t *data)
{
	stream->section_id = qemu_be32(data);
	if (!stream->ram_known || stream->section_id != stream->ram_id)
		return error_set(-EPROTO, "section %u of the stream goes on but never started",
				 stream->section_id);
	qemu_ram_next(stream);
	return qemu_forward(stream, data, 4);
}

/* What comes now is the state of the devices, or the end: RAM is complete. */
static int device_state(struct qemu_stream *stream)
{
	int err;

	if (!stream->stats.device_state) {
		err = stream->ops->round(stream->arg, true);
		if (err < 0)
			return err;
	}
	stream->stats.device_state = true;
	return qemu_splice(stream);
}

static int section_begin(struct qemu_stream *stream, uint8_t type)
{
	stream->section_ends = type == SECTION_END;
	switch (type) {
	case SECTION_CONFIGURATION:
		qemu_next(stream, step_configuration, 4);
		return 0;
	case SECTION_SUBSECTION:
		qemu_next(stream, step_subsection_len, 1);
		return stream->configured ? 0 :
					    error_set(-EPROTO, "a part of a section without one");
	case SECTION_COMMAND:
		qemu_next(stream, step_command, 4);
		return 0;
	case SECTION_START:
		qemu_next(stream, step_start_id, 5);
		return 0;
	case SECTION_PART:
	case SECTION_END:
		qemu_next(stream, step_part, 4);
		return 0;
	case SECTION_FULL:
	case SECTION_EOF:
		return device_state(stream);
	default:
		return error_set(-EPROTO, "0x%02x is no section of a stream of QEMU", type);
	}
}

static int step_section(struct qemu_stream *stream, const uint8_t *data)
{
	int err = section_begin(stream, data[0]);
	if (err < 0)
		return err;
	if (data[0] != SECTION_SUBSECTION && data[0] != SECTION_CONFIGURATION)
		stream->configured = false;
	return qemu_forward(stream, data, 1);
}

void qemu_section_next(struct qemu_stream *stream)
{
	qemu_next(stream, step_section, 1);
}

static int step_magic(struct qemu_stream *stream, const uint8_t *data)
{
	if (qemu_be32(data) != STREAM_MAGIC)
		return error_set(-EPROTO,
				 "no migration stream of QEMU: with multifd, TLS or compression "
				 "turned on it does not begin like one");
	if (qemu_be32(data + 4) != STREAM_VERSION)
		return error_set(-ENOTSUP, "version %u of QEMU's stream: only %d is known",
				 qemu_be32(data + 4), STREAM_VERSION);
	qemu_section_next(stream);
	return qemu_forward(stream, data, 8);
}

/* ---- input --------------------------------------------------------------------------- */

int qemu_stream_new(const struct qemu_sink_ops *ops, void *arg, struct qemu_stream **ret_stream)
{
	struct qemu_stream *stream = alloc_zero(sizeof(*stream));

	if (!stream)
		return error_set(-ENOMEM, "no memory to read a stream of QEMU");
	stream->ops = ops;
	stream->arg = arg;
	stream->block_in = stream->block_out = -1;
	qemu_next(stream, step_magic, 8);
	*ret_stream = stream;
	return 0;
}

struct qemu_stream *qemu_stream_free(struct qemu_stream *stream)
{
	free(stream);
	return NULL;
}

/* The bytes of one step, where they are if they are all there; else collected. */
static size_t gather(struct qemu_stream *stream, const uint8_t *data, size_t len,
		     const uint8_t **ret_whole)
{
	size_t take = stream->want - stream->have;

	*ret_whole = NULL;
	if (stream->have == 0 && len >= take) {
		*ret_whole = data;
		return take;
	}
	if (take > len)
		take = len;
	memcpy(stream->buffer + stream->have, data, take);
	stream->have += take;
	if (stream->have == stream->want) {
		*ret_whole = stream->buffer;
		stream->have = 0;
	}
	return take;
}

static size_t raw_len(const struct qemu_stream *stream, size_t len)
{
	if (stream->raw > 0)
		return stream->raw < len ? (size_t)stream->raw : len;
	return stream->stats.through ? len : 0;
}

int qemu_stream_input(struct qemu_stream *stream, const uint8_t *data, size_t len)
{
	stream->stats.bytes += stream->error == 0 ? len : 0;
	while (len > 0 && stream->error == 0) {
		const uint8_t *whole;
		size_t used = raw_len(stream, len);

		if (used > 0) {
			stream->error = qemu_forward(stream, data, used);
			stream->raw -= stream->raw > 0 ? used : 0;
		} else {
			used = gather(stream, data, len, &whole);
			if (whole)
				stream->error = stream->step(stream, whole);
		}
		data += used;
		len -= used;
	}
	return stream->error;
}

void qemu_stream_stats(const struct qemu_stream *stream, struct qemu_stream_stats *ret_stats)
{
	*ret_stats = stream->stats;
}

void qemu_stream_check(const struct qemu_stream *stream)
{
	FARBUS_ASSERT(stream->want >= 1);
	FARBUS_ASSERT(stream->want <= QEMU_PAGE_SIZE);
	FARBUS_ASSERT(stream->have < stream->want);
	FARBUS_ASSERT(stream->block_count <= QEMU_BLOCK_MAX);
	FARBUS_ASSERT(stream->block_in < (int32_t)stream->block_count);
	FARBUS_ASSERT(stream->block_out < (int32_t)stream->block_count);
}
