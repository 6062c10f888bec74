/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * csum.h -- the Internet checksum's sum, alone or fused with the copy
 *
 * A sum here is the ones' complement sum of the data as 16-bit words in memory order, folded to 16
 * bits; an odd last byte counts as the first of its word. Sums add up with csum_add(); one of data
 * that begins at an odd place is swapped first. The checksum of a packet is ~sum, stored as it is.
 *
 * Threads: any thread.
 */
#ifndef NICDRV_DEVICE_CSUM_H
#define NICDRV_DEVICE_CSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct csum_ops {
	const char *name;
	uint32_t (*sum)(const void *data, size_t len);
	uint32_t (*copy)(void *restrict to, const void *restrict from, size_t len);
};

/* The fastest this CPU has; never NULL. */
const struct csum_ops *csum_best(void);
/* For tests and benchmarks: all this CPU has, the portable one first. NULL: index is past them. */
const struct csum_ops *csum_variant(unsigned index);

/* To 16 bits. */
static inline uint32_t csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)((sum & 0xffff) + (sum >> 16));
}

static inline uint32_t csum_swap(uint32_t sum)
{
	return (sum & 0xff) << 8 | (sum >> 8 & 0xff);
}

/* Of a header: short, and an even number of bytes. Congruent to the sum of its words; not folded. */
static inline uint64_t csum_header(const uint8_t *data, size_t len)
{
	uint64_t sum = 0;
	uint32_t two;
	uint16_t one;

	for (; len >= 4; len -= 4, data += 4) {
		memcpy(&two, data, 4);
		sum += two;
	}
	if (len == 0)
		return sum;
	memcpy(&one, data, 2);
	return sum + one;
}

#endif
