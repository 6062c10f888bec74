/* SPDX-License-Identifier: BSD-3-Clause */
/* proto_bytes.h -- a fuzzer's bytes as choices, for the targets of the protocol */
#ifndef TESTS_FUZZ_PROTO_BYTES_H
#define TESTS_FUZZ_PROTO_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *data; /* borrows */
	size_t left;
};

static inline uint8_t byte_take(struct bytes *bytes)
{
	if (bytes->left == 0)
		return 0;
	bytes->left--;
	return *bytes->data++;
}

/* What is missing is 0. */
static inline void bytes_take(struct bytes *bytes, void *into, size_t len)
{
	size_t n = len < bytes->left ? len : bytes->left;

	memset(into, 0, len);
	memcpy(into, bytes->data, n);
	bytes->data += n;
	bytes->left -= n;
}

#endif
