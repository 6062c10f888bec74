/* SPDX-License-Identifier: BSD-3-Clause */
/* vm_stream_build.c -- migration streams of QEMU 7.2, as facts have them, and a sink that notes */
#include "vm_stream_build.h"

#include "base/assert.h"
#include <stdio.h>
#include <string.h>

#define RAM_ID 2

static void build_bytes(struct build *build, const void *data, size_t len)
{
	FARBUS_ASSERT(len <= BUILD_MAX - build->len);
	if (len > 0)
		memcpy(build->data + build->len, data, len);
	build->len += len;
}

void build_u8(struct build *build, uint8_t value)
{
	build_bytes(build, &value, 1);
}

void build_be32(struct build *build, uint32_t value)
{
	value = __builtin_bswap32(value);
	build_bytes(build, &value, 4);
}

void build_be64(struct build *build, uint64_t value)
{
	value = __builtin_bswap64(value);
	build_bytes(build, &value, 8);
}

void build_text(struct build *build, const char *text)
{
	build_u8(build, (uint8_t)strlen(text));
	build_bytes(build, text, strlen(text));
}

void build_head(struct build *build)
{
	static const char machine[] = "pc-i440fx-7.2";

	build_be32(build, 0x5145564d);
	build_be32(build, 3);
	build_u8(build, 0x07);
	build_be32(build, sizeof(machine) - 1);
	build_bytes(build, machine, sizeof(machine) - 1);
}

void build_command(struct build *build, uint16_t command, const void *payload, uint16_t len)
{
	build_u8(build, 0x08);
	build_u8(build, (uint8_t)(command >> 8));
	build_u8(build, (uint8_t)command);
	build_u8(build, (uint8_t)(len >> 8));
	build_u8(build, (uint8_t)len);
	build_bytes(build, payload, len);
}

void build_start(struct build *build, uint32_t id, const char *name, uint32_t version)
{
	build_u8(build, 0x01);
	build_be32(build, id);
	build_text(build, name);
	build_be32(build, 0);
	build_be32(build, version);
}

void build_setup(struct build *build)
{
	build_start(build, RAM_ID, "ram", 4);
	build_be64(build, 80 * QEMU_PAGE_SIZE | 0x04);
	build_text(build, "ram0");
	build_be64(build, 64 * QEMU_PAGE_SIZE);
	build_text(build, "vga");
	build_be64(build, 16 * QEMU_PAGE_SIZE);
	build_end(build);
}

void build_part(struct build *build, bool last)
{
	build_u8(build, last ? 0x03 : 0x02);
	build_be32(build, RAM_ID);
}

static void build_record(struct build *build, const char *name, uint64_t record)
{
	build_be64(build, record | (name ? 0 : 0x20));
	if (name)
		build_text(build, name);
}

void build_page(struct build *build, const char *name, uint64_t off, uint8_t fill)
{
	uint8_t page[QEMU_PAGE_SIZE];

	memset(page, fill, sizeof(page));
	build_record(build, name, off | 0x08);
	build_bytes(build, page, sizeof(page));
}

void build_zero(struct build *build, const char *name, uint64_t off)
{
	build_record(build, name, off | 0x02);
	build_u8(build, 0);
}

void build_end(struct build *build)
{
	build_be64(build, 0x10);
	build_u8(build, 0x7e);
	build_be32(build, RAM_ID);
}

void build_devices(struct build *build)
{
	build_u8(build, 0x04);
	build_be32(build, 0);
	build_text(build, "timer");
	build_be32(build, 0);
	build_be32(build, 2);
	/* Looks like a record of a page of ram0, and is none. */
	build_be64(build, 0x08);
	build_text(build, "ram0");
	build_u8(build, 0);
}

void build_whole(struct build *build)
{
	build->len = 0;
	build_head(build);
	build_command(build, 1, NULL, 0);
	build_command(build, 2, "\0\0\0\1", 4);
	build_setup(build);
	build_part(build, false);
	build_page(build, "ram0", 0, 0x11);
	build_page(build, NULL, 1 * QEMU_PAGE_SIZE, 0x12);
	build_zero(build, NULL, 2 * QEMU_PAGE_SIZE);
	build_page(build, "vga", 0, 0x21);
	build_page(build, NULL, 15 * QEMU_PAGE_SIZE, 0x22);
	build_page(build, "ram0", 63 * QEMU_PAGE_SIZE, 0x13);
	build_end(build);
	build_part(build, false);
	build_page(build, NULL, 5 * QEMU_PAGE_SIZE, 0x14);
	build_zero(build, "vga", 3 * QEMU_PAGE_SIZE);
	build_end(build);
	build_part(build, true);
	build_page(build, "ram0", 0, 0x15);
	build_end(build);
	build_devices(build);
}

/* ---- the sink ---- */

static int note_forward(void *arg, const void *data, size_t len)
{
	struct sink *sink = arg;

	build_bytes(&sink->out, data, len);
	return 0;
}

static int note_block(void *arg, uint32_t index, const char *name, uint64_t len, bool *ret_taken)
{
	struct sink *sink = arg;

	(void)index;
	(void)len;
	*ret_taken = sink->taken && strcmp(name, sink->taken) == 0;
	return 0;
}

static int note_page(void *arg, uint32_t index, uint64_t off, const uint8_t *data)
{
	struct sink *sink = arg;

	FARBUS_ASSERT(data[0] == data[QEMU_PAGE_SIZE - 1]);
	if (sink->notes < NOTE_MAX)
		sink->note[sink->notes++] = (struct note){ index, off, data[0], false };
	return sink->fail;
}

static int note_zero(void *arg, uint32_t index, uint64_t off)
{
	struct sink *sink = arg;

	if (sink->notes < NOTE_MAX)
		sink->note[sink->notes++] = (struct note){ index, off, 0, true };
	return 0;
}

static int note_round(void *arg, bool final)
{
	struct sink *sink = arg;

	sink->rounds++;
	if (final && sink->finals++ == 0)
		sink->out_at_final = sink->out.len;
	return 0;
}

static int note_untaken(void *arg, const char *why)
{
	struct sink *sink = arg;

	snprintf(sink->untaken, sizeof(sink->untaken), "%s", why);
	return 0;
}

const struct qemu_sink_ops sink_ops = { note_forward, note_block, note_page,
					note_zero,    note_round, note_untaken };
