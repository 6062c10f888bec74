/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm_stream.c -- fuzz target: QEMU's migration stream from anybody, in pieces of any size
 *
 * No page outside its block; what is forwarded, read again, is a stream in which all is forwarded
 * unchanged. The first byte says which blocks are taken, the second how long the pieces are.
 */
#include "base/assert.h"
#include "runtime/vm/qemu_stream.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX (1u << 20)

struct end {
	uint8_t out[OUT_MAX];
	size_t len;
	uint64_t block_len[QEMU_BLOCK_MAX];
	bool taken[QEMU_BLOCK_MAX];
	uint8_t take; /* a bit per block, of the first eight */
	bool through;
};

static int end_forward(void *arg, const void *data, size_t len)
{
	struct end *end = arg;

	FARBUS_ASSERT(len <= OUT_MAX - end->len);
	memcpy(end->out + end->len, data, len);
	end->len += len;
	return 0;
}

static int end_block(void *arg, uint32_t index, const char *name, uint64_t len, bool *ret_taken)
{
	struct end *end = arg;

	FARBUS_ASSERT(index < QEMU_BLOCK_MAX);
	FARBUS_ASSERT(name[0] != '\0');
	FARBUS_ASSERT(strlen(name) < QEMU_NAME_MAX);
	end->block_len[index] = len;
	end->taken[index] = index < 8 && (end->take >> index & 1);
	*ret_taken = end->taken[index];
	return 0;
}

static int end_zero(void *arg, uint32_t index, uint64_t off)
{
	struct end *end = arg;

	FARBUS_ASSERT(end->taken[index]);
	FARBUS_ASSERT(!end->through);
	FARBUS_ASSERT(off % QEMU_PAGE_SIZE == 0);
	FARBUS_ASSERT(off < end->block_len[index]);
	FARBUS_ASSERT(end->block_len[index] - off >= QEMU_PAGE_SIZE);
	return 0;
}

static int end_page(void *arg, uint32_t index, uint64_t off, const uint8_t *data)
{
	volatile uint8_t last = data[QEMU_PAGE_SIZE - 1];

	(void)last;
	return end_zero(arg, index, off);
}

static int end_round(void *arg, bool final)
{
	(void)arg;
	(void) final;
	return 0;
}

static int end_untaken(void *arg, const char *why)
{
	struct end *end = arg;

	FARBUS_ASSERT(why[0] != '\0');
	end->through = true;
	return 0;
}

static const struct qemu_sink_ops ops = { end_forward, end_block, end_page,
					  end_zero,    end_round, end_untaken };

static int feed(struct end *end, const uint8_t *data, size_t size, size_t piece)
{
	struct qemu_stream *stream;
	int err = qemu_stream_new(&ops, end, &stream);

	FARBUS_ASSERT(err == 0);
	for (size_t at = 0; at < size && err == 0; at += piece) {
		err = qemu_stream_input(stream, data + at, size - at < piece ? size - at : piece);
		qemu_stream_check(stream);
	}
	qemu_stream_free(stream);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct end first, second;

	if (size < 2)
		return 0;
	memset(&first, 0, sizeof(first) - 0);
	memset(&second, 0, sizeof(second));
	first.take = data[0];
	feed(&first, data + 2, size - 2, data[1] ? data[1] : size);
	FARBUS_ASSERT(feed(&second, first.out, first.len, 4096) == 0);
	FARBUS_ASSERT(second.len <= first.len);
	FARBUS_ASSERT(memcmp(second.out, first.out, second.len) == 0);
	return 0;
}
