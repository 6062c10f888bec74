/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * csum.c -- the portable sum, and the choice among what the CPU has
 *
 * 2^16 is 1 in ones' complement, so words of any multiple of 16 bits may be added, and 32-bit lanes
 * of 64-bit sums cannot overflow below 16 GiB.
 */
#include "nicdrv/device/csum.h"

#include "nicdrv/device/csum_x86.h"

/* What is left of len below 8 bytes, as one word. */
static uint64_t tail_load(const uint8_t *at, size_t len)
{
	uint64_t word = 0;

	memcpy(&word, at, len);
	return word;
}

static uint64_t word_sum(uint64_t word)
{
	return (word & 0xffffffff) + (word >> 32);
}

static uint32_t portable_sum(const void *data, size_t len)
{
	const uint8_t *at = data;
	uint64_t sum = 0, word;

	for (; len >= 8; len -= 8, at += 8) {
		memcpy(&word, at, 8);
		sum += word_sum(word);
	}
	return csum_fold(sum + word_sum(tail_load(at, len)));
}

static uint32_t portable_copy(void *restrict to, const void *restrict from, size_t len)
{
	const uint8_t *at = from;
	uint8_t *out = to;
	uint64_t sum = 0, word;

	for (; len >= 8; len -= 8, at += 8, out += 8) {
		memcpy(&word, at, 8);
		memcpy(out, &word, 8);
		sum += word_sum(word);
	}
	memcpy(out, at, len);
	return csum_fold(sum + word_sum(tail_load(at, len)));
}

static const struct csum_ops portable = { "portable", portable_sum, portable_copy };

const struct csum_ops *csum_variant(unsigned index)
{
	if (index == 0)
		return &portable;
	return csum_x86_variant(index - 1);
}

const struct csum_ops *csum_best(void)
{
	const struct csum_ops *best = &portable, *next;

	for (unsigned i = 1; (next = csum_variant(i)); i++)
		best = next;
	return best;
}
