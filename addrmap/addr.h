/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addr.h -- address spaces as types: passing one as another does not compile
 *
 *  VA --window table--> import index + offset --import table--> bus address --home's export table--> HVA
 *
 * Only code that includes this header opens .v; at -O2 the code is that of the plain integer.
 */
#ifndef ADDRMAP_ADDR_H
#define ADDRMAP_ADDR_H

#include <farbus/farbus.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
	uint64_t v;
} farbus_va_t; /* an address in this process */

typedef struct {
	uint64_t v;
} farbus_hva_t; /* an address in the home's process */

#define ADDR_VA_BITS 47
#define ADDR_PAGE_SHIFT 12
#define ADDR_PAGE_SIZE ((uint64_t)1 << ADDR_PAGE_SHIFT)
#define ADDR_BLOCK_SHIFT 21
#define ADDR_BLOCK_SIZE ((uint64_t)1 << ADDR_BLOCK_SHIFT)

static inline farbus_va_t addr_va(const void *p)
{
	return (farbus_va_t){ (uint64_t)(uintptr_t)p };
}

static inline void *addr_pointer(farbus_va_t va)
{
	return (void *)(uintptr_t)va.v;
}

static inline uint64_t addr_region_id(uint32_t instance, uint32_t serial)
{
	return (uint64_t)instance << 32 | serial;
}

static inline uint32_t addr_region_birth(uint64_t region)
{
	return (uint32_t)(region >> 32);
}

/* [off, off + n) lies inside [0, len); n > 0; nothing wraps. */
static inline bool addr_within(uint64_t off, uint64_t n, uint64_t len)
{
	return n != 0 && off < len && len - off >= n;
}

#endif
