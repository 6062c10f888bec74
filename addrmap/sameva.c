/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sameva.c -- arena of addresses that are free in every instance of the job
 *
 *   SAMEVA_BASE
 *   | slice of rank 0, 64 GiB | slice of rank 1 | ... | slice of rank 1023 |
 *
 * Invariants (sameva_check):
 *   1. the slice lies between the base and 2^47
 *   2. used is the number of blocks whose bit is set
 *
 * The search starts behind the last block given out, so that an address comes back as late as
 * possible: peers may still hold pointers there.
 */
#include "addrmap/sameva.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

#define BLOCK_MAX ((uint32_t)(SAMEVA_SLICE / ADDR_BLOCK_SIZE))

struct sameva {
	uint64_t start;
	uint32_t used, next; /* blocks; where the search starts */
	uint64_t taken[BLOCK_MAX / 64];
};

_Static_assert(BLOCK_MAX % 64 == 0, "the bitmap has no odd end");
_Static_assert(SAMEVA_BASE % ADDR_BLOCK_SIZE == 0, "slices begin with a block");
_Static_assert(SAMEVA_BASE + SAMEVA_RANK_MAX * SAMEVA_SLICE <= (uint64_t)1 << ADDR_VA_BITS,
	       "every slice is where windows may be");

static uint64_t slice_start(uint32_t rank)
{
	return SAMEVA_BASE + rank * SAMEVA_SLICE;
}

int sameva_new(uint32_t rank, struct sameva **ret_arena)
{
	if (rank >= SAMEVA_RANK_MAX)
		return error_set(-EINVAL, "rank %u has no SAME_VA addresses: at most %u ranks do",
				 rank, SAMEVA_RANK_MAX);
	struct sameva *arena = alloc_zero(sizeof(*arena));
	if (!arena)
		return error_set(-ENOMEM, "no memory for the arena of SAME_VA addresses");
	arena->start = slice_start(rank);
	*ret_arena = arena;
	return 0;
}

struct sameva *sameva_free(struct sameva *arena)
{
	free(arena);
	return NULL;
}

static bool block_taken(const struct sameva *arena, uint32_t block)
{
	return arena->taken[block / 64] >> block % 64 & 1;
}

static void blocks_flip(struct sameva *arena, uint32_t block, uint32_t count)
{
	for (; count > 0; count--, block++)
		arena->taken[block / 64] ^= (uint64_t)1 << block % 64;
}

/* The first run of count free blocks in [from, to); to if there is none. */
static uint32_t run_find(const struct sameva *arena, uint32_t from, uint32_t to, uint32_t count)
{
	uint32_t run = 0;

	for (uint32_t block = from; block < to; block++) {
		run = block_taken(arena, block) ? 0 : run + 1;
		if (run == count)
			return block + 1 - count;
	}
	return to;
}

int sameva_alloc(struct sameva *arena, uint64_t len, farbus_va_t *ret_va)
{
	uint32_t count, block;

	if (len == 0)
		return error_set(-EINVAL, "SAME_VA addresses for 0 bytes: ask for at least one");
	if (len > SAMEVA_SLICE)
		goto full;
	count = (uint32_t)((len + ADDR_BLOCK_SIZE - 1) / ADDR_BLOCK_SIZE);
	block = run_find(arena, arena->next, BLOCK_MAX, count);
	if (block == BLOCK_MAX)
		block = run_find(arena, 0, BLOCK_MAX, count);
	if (block == BLOCK_MAX)
		goto full;
	blocks_flip(arena, block, count);
	arena->used += count;
	arena->next = (block + count) % BLOCK_MAX;
	*ret_va = (farbus_va_t){ arena->start + block * ADDR_BLOCK_SIZE };
	return 0;

full:
	return error_set(-ENOSPC,
			 "no %llu bytes of SAME_VA addresses in one piece: this instance has %llu, "
			 "%llu are in use",
			 (unsigned long long)len, (unsigned long long)SAMEVA_SLICE,
			 (unsigned long long)(arena->used * ADDR_BLOCK_SIZE));
}

int sameva_release(struct sameva *arena, farbus_va_t va, uint64_t len)
{
	uint64_t off = va.v - arena->start;
	uint32_t block, count;

	if (va.v < arena->start || off % ADDR_BLOCK_SIZE || !addr_within(off, len, SAMEVA_SLICE))
		return error_set(-EINVAL, "%#llx is not an address of this SAME_VA arena",
				 (unsigned long long)va.v);
	block = (uint32_t)(off / ADDR_BLOCK_SIZE);
	count = (uint32_t)((len + ADDR_BLOCK_SIZE - 1) / ADDR_BLOCK_SIZE);
	for (uint32_t i = 0; i < count; i++)
		if (!block_taken(arena, block + i))
			return error_set(-ENOENT, "SAME_VA address %#llx is free already",
					 (unsigned long long)(va.v + i * ADDR_BLOCK_SIZE));
	blocks_flip(arena, block, count);
	arena->used -= count;
	return 0;
}

bool sameva_valid(uint32_t rank, farbus_va_t va, uint64_t len)
{
	if (rank >= SAMEVA_RANK_MAX || va.v < slice_start(rank) || va.v % ADDR_BLOCK_SIZE)
		return false;
	return addr_within(va.v - slice_start(rank), len, SAMEVA_SLICE);
}

void sameva_check(const struct sameva *arena)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < BLOCK_MAX / 64; i++)
		used += (uint32_t)__builtin_popcountll(arena->taken[i]);
	FARBUS_ASSERT(arena->used == used);
	FARBUS_ASSERT(arena->next < BLOCK_MAX);
	FARBUS_ASSERT(arena->start >= SAMEVA_BASE);
	FARBUS_ASSERT((arena->start - SAMEVA_BASE) % SAMEVA_SLICE == 0);
	FARBUS_ASSERT(arena->start + SAMEVA_SLICE <= (uint64_t)1 << ADDR_VA_BITS);
}
