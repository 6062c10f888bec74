/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_pattern.h -- the bytes that travel between host and guest: each 8 of them name their place */
#ifndef TESTS_QEMU_NIC_PATTERN_H
#define TESTS_QEMU_NIC_PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t pattern_word(uint64_t index)
{
	return (index + 1) * 0x9e3779b97f4a7c15ull;
}

static inline unsigned char pattern_byte(uint64_t at)
{
	return (unsigned char)(pattern_word(at / 8) >> at % 8 * 8);
}

static inline void pattern_fill(char *to, uint64_t at, size_t len)
{
	for (; len > 0 && at % 8; at++, len--)
		*to++ = (char)pattern_byte(at);
	for (; len >= 8; at += 8, len -= 8, to += 8) {
		uint64_t word = pattern_word(at / 8);

		memcpy(to, &word, 8);
	}
	for (; len > 0; at++, len--)
		*to++ = (char)pattern_byte(at);
}

static inline uint64_t pattern_bad(const char *from, uint64_t at, size_t len)
{
	uint64_t bad = 0;

	for (; len > 0 && at % 8; at++, len--)
		bad += (unsigned char)*from++ != pattern_byte(at);
	for (; len >= 8; at += 8, len -= 8, from += 8) {
		uint64_t word;

		memcpy(&word, from, 8);
		if (word == pattern_word(at / 8))
			continue;
		for (int i = 0; i < 8; i++)
			bad += (unsigned char)from[i] != pattern_byte(at + (uint64_t)i);
	}
	for (; len > 0; at++, len--)
		bad += (unsigned char)*from++ != pattern_byte(at);
	return bad;
}

#endif
