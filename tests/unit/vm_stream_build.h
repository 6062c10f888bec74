/* SPDX-License-Identifier: BSD-3-Clause */
/* vm_stream_build.h -- migration streams of QEMU, written by the tests, and a sink that notes */
#ifndef TESTS_UNIT_VM_STREAM_BUILD_H
#define TESTS_UNIT_VM_STREAM_BUILD_H

#include "runtime/vm/qemu_stream.h"

#define BUILD_MAX (1u << 17)
#define NOTE_MAX 64

struct build {
	uint8_t data[BUILD_MAX];
	size_t len;
};

void build_u8(struct build *build, uint8_t value);
void build_be32(struct build *build, uint32_t value);
void build_be64(struct build *build, uint64_t value);
void build_text(struct build *build, const char *text); /* a byte of length, then the text */

void build_head(struct build *build); /* magic, version, machine type */
void build_command(struct build *build, uint16_t command, const void *payload, uint16_t len);
void build_start(struct build *build, uint32_t id, const char *name, uint32_t version);
/* The section's name with all blocks: ram0 of 64 pages, vga of 16. */
void build_setup(struct build *build);
void build_part(struct build *build, bool last);
void build_page(struct build *build, const char *name, uint64_t off,
		uint8_t fill); /* NULL: as before */
void build_zero(struct build *build, const char *name, uint64_t off);
void build_end(struct build *build); /* of a section: EOS and footer */
void build_devices(struct build *build);

/* A whole migration: two rounds and the last, pages of both blocks between one another. */
void build_whole(struct build *build);

struct note {
	uint32_t index;
	uint64_t off;
	uint8_t fill;
	bool zero;
};

struct sink {
	struct build out; /* what was forwarded */
	struct note note[NOTE_MAX];
	size_t notes, rounds, finals;
	size_t out_at_final; /* out.len when the last round ended */
	const char *taken;   /* the block that is taken; NULL: none */
	char untaken[256];
	int fail; /* what page() returns */
};

extern const struct qemu_sink_ops sink_ops;

#endif
