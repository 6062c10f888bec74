/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sameva.h -- arena of addresses that are free in every instance of the job
 *
 * Each instance hands out addresses only from its own slice, so no two can collide and nothing is
 * negotiated. Threads: one thread at a time.
 */
#ifndef ADDRMAP_SAMEVA_H
#define ADDRMAP_SAMEVA_H

#include "addrmap/addr.h"

#define SAMEVA_BASE 0x200000000000ull
#define SAMEVA_SLICE (64ull << 30)
#define SAMEVA_RANK_MAX 1024

struct sameva;
/* Errors: -EINVAL rank, -ENOMEM. */
int sameva_new(uint32_t rank, struct sameva **ret_arena);
struct sameva *sameva_free(struct sameva *arena);
/* Whole blocks of 2 MiB. Errors: -EINVAL len is 0, -ENOSPC no free run of that length. */
int sameva_alloc(struct sameva *arena, uint64_t len, farbus_va_t *ret_va);
/* What was allocated, or a part of it. Errors: -EINVAL not of this arena, -ENOENT free already. */
int sameva_release(struct sameva *arena, farbus_va_t va, uint64_t len);
/* Is [va, va + len) inside the slice of that rank? What a peer says must pass this. */
bool sameva_valid(uint32_t rank, farbus_va_t va, uint64_t len);
void sameva_check(const struct sameva *arena);

#endif
