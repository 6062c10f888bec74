/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window.c -- windows: local addresses whose loads and stores go to a region
 *
 * Invariants:
 *   1. Each window that farbus_map() made is in the window table with WINDOW_MADE set, claimed in
 *      the process's VA registry, and registered in the SIGBUS chain. Own memory is in the table
 *      without WINDOW_MADE: it is unmapped with its region.
 *   2. A window of a region whose home is lost shows its last state: a private mapping of it, so
 *      that nothing stored there reaches a home that may live after all, or PROT_NONE (FENCE).
 *   3. A window of a region that is SUSPENDED or DEAD by revocation maps the tombstone, an empty
 *      memfd: any access is SIGBUS, and region_fault() decides.
 */
#include "base/counter.h"
#include "base/error.h"
#include "base/maps.h"
#include "runtime/instance.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define WINDOW_MADE 0x80000000u
#define WINDOW_FENCE 0x40000000u
#define WINDOW_PROT_MASK 0xffu
#define RECLAIM_TIMEOUT_NS (10 * NS_PER_MS)

static void *extent_pointer(const struct window_extent *extent)
{
	return addr_pointer(extent->va);
}

typedef int (*extent_fn)(struct farbus_region *region, const struct window_extent *extent);

/* All of them, whatever fails; the first failure is returned. */
static int window_each(struct farbus_region *region, extent_fn fn)
{
	struct window_extent extent;
	farbus_va_t at = { 0 };
	int err = 0;

	while (window_next(region->farbus->windows, at, &extent) == 0) {
		at.v = extent.va.v + extent.len;
		if (extent.import == region->import) {
			int one = fn(region, &extent);

			err = err < 0 ? err : one;
		}
	}
	return err;
}

static int extent_tombstone(struct farbus_region *region, const struct window_extent *extent)
{
	if (!(extent->flags & WINDOW_MADE))
		return 0;
	return maps_replace(extent_pointer(extent), extent->len,
			    (int)(extent->flags & WINDOW_PROT_MASK), MAP_SHARED,
			    region->farbus->tombstone, 0);
}

int window_tombstone_locked(struct farbus_region *region)
{
	int err = window_each(region, extent_tombstone);

	window_state_set(region->farbus->windows, region->import, WINDOW_BLOCKED);
	return err;
}

static int extent_remap(struct farbus_region *region, const struct window_extent *extent)
{
	int err;

	if (!(extent->flags & WINDOW_MADE))
		return 0;
	err = maps_replace(extent_pointer(extent), extent->len,
			   (int)(extent->flags & WINDOW_PROT_MASK), MAP_SHARED, region->fd,
			   (off_t)(region->mem_off + extent->off));
	if (err < 0)
		return err;
	madvise(extent_pointer(extent), extent->len, MADV_DONTFORK);
	return 0;
}

int window_remap_locked(struct farbus_region *region)
{
	int err = window_each(region, extent_remap);

	window_state_set(region->farbus->windows, region->import, WINDOW_READY);
	return err;
}

/* What is stored from now on is in a copy of the page that nobody else sees. */
static int extent_detach(struct farbus_region *region, const struct window_extent *extent)
{
	if (!(extent->flags & WINDOW_MADE))
		return 0;
	if (extent->flags & WINDOW_FENCE)
		return mprotect(extent_pointer(extent), extent->len, PROT_NONE) < 0 ? -errno : 0;
	if (region->fd < 0)
		return 0;
	if (maps_replace(extent_pointer(extent), extent->len,
			 (int)(extent->flags & WINDOW_PROT_MASK), MAP_PRIVATE | MAP_NORESERVE,
			 region->fd, (off_t)(region->mem_off + extent->off)) < 0)
		return mprotect(extent_pointer(extent), extent->len, PROT_READ) < 0 ? -errno : 0;
	madvise(extent_pointer(extent), extent->len, MADV_DONTFORK);
	return 0;
}

int window_detach_locked(struct farbus_region *region)
{
	int err = window_each(region, extent_detach);

	window_state_set(region->farbus->windows, region->import, WINDOW_DEAD);
	return err;
}

/* Frees sub-tables once no reader can be inside them; they wait for the next time if one is. */
static void windows_reclaim(struct farbus *farbus)
{
	if (process_guard_drain(farbus->window_tag, RECLAIM_TIMEOUT_NS) == 0)
		window_reclaim(farbus->windows);
}

static void extent_drop(struct farbus *farbus, const struct window_extent *extent)
{
	window_remove(farbus->windows, extent->va, extent->len);
	if (!(extent->flags & WINDOW_MADE))
		return;
	process_fault_unregister(extent_pointer(extent));
	process_va_unclaim(farbus, extent_pointer(extent), extent->len);
	munmap(extent_pointer(extent), extent->len);
}

void window_drop_locked(struct farbus_region *region)
{
	struct farbus *farbus = region->farbus;
	struct window_extent extent;
	farbus_va_t at = { 0 };
	bool any = false;

	while (window_next(farbus->windows, at, &extent) == 0) {
		at.v = extent.va.v + extent.len;
		if (extent.import != region->import)
			continue;
		extent_drop(farbus, &extent);
		any = true;
	}
	if (any)
		windows_reclaim(farbus);
}

static int not_mappable(const struct farbus_region *region)
{
	return error_set(-ENOTSUP, "region %llx cannot be mapped here: %s; use put and get",
			 (unsigned long long)region->id,
			 region->own ? "it is adopted anonymous memory (FARBUS_ADOPT_REPLACE "
				       "makes it mappable)" :
				       "its grant is served, not mappable");
}

static int map_check(struct farbus_region *region, uint64_t off, size_t len, int prot,
		     uint32_t flags)
{
	uint64_t unit = region->map_unit, end = (region->len + unit - 1) / unit * unit;
	uint32_t rights = FARBUS_R | (prot & PROT_WRITE ? FARBUS_W : 0);

	if (flags & ~(FARBUS_MAP_PAGED | FARBUS_MAP_SAME_VA | FARBUS_MAP_FENCE))
		return error_set(-EINVAL, "map flags 0x%x: see FARBUS_MAP_ in farbus.h", flags);
	if (flags & FARBUS_MAP_PAGED)
		return error_set(-ENOTSUP, "FARBUS_MAP_PAGED is not available on this path: every "
					   "home is on this host; use FARBUS_MAP_DIRECT");
	if (!(prot & PROT_READ) || (prot & ~(PROT_READ | PROT_WRITE)))
		return error_set(-EINVAL, "prot 0x%x: give PROT_READ, with PROT_WRITE if wanted",
				 (unsigned int)prot);
	if (len == 0 || off % ADDR_PAGE_SIZE)
		return error_set(-EINVAL, "window [%llu, +%zu): whole pages of 4096, at least one",
				 (unsigned long long)off, len);
	if (!addr_within(off, len, end))
		return error_set(-ERANGE,
				 "window [%llu, +%zu) is past the end: the handle has "
				 "%llu bytes",
				 (unsigned long long)off, len, (unsigned long long)region->len);
	if (region->served)
		return not_mappable(region);
	if (unit > ADDR_PAGE_SIZE && (off % unit || (len % unit && off + len < region->len)))
		return error_set(-EINVAL,
				 "window [%llu, +%zu): this memory is from the pool of huge pages, "
				 "give whole ones of %zu",
				 (unsigned long long)off, len, region->map_unit);
	if ((region->mem_off + off) % unit)
		return error_set(-ENOTSUP, "the grant does not start on a page: use put and get");
	return region_refusal(region, off, off + len > region->len ? region->len - off : len,
			      rights, "map");
}

/*
 * Reserves a range whose address equals off modulo 2 MiB, so that whole blocks have one entry in
 * the window table and huge pages can back it.
 */
static int window_place(uint64_t off, size_t len, void **ret_va)
{
	size_t slack = len + ADDR_BLOCK_SIZE;
	uint8_t *room =
		mmap(NULL, slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t start, skip;

	if (room == MAP_FAILED)
		return error_set(-ENOMEM, "no address space for a window of %zu bytes: %s", len,
				 strerror(errno));
	start = (uint64_t)(uintptr_t)room;
	skip = (off - start) & (ADDR_BLOCK_SIZE - 1);
	if (skip)
		munmap(room, skip);
	munmap(room + skip + len, ADDR_BLOCK_SIZE - skip);
	*ret_va = room + skip;
	return 0;
}

static int window_memory(struct farbus_region *region, uint64_t off, size_t len, int prot,
			 uint32_t flags, void **ret_va)
{
	void *va = NULL, *map;
	int fixed = MAP_FIXED, err;

	if (flags & FARBUS_MAP_SAME_VA) {
		if (!region->same_va)
			return error_set(-ENOTSUP,
					 "region %llx has no SAME_VA address: its owner "
					 "must allocate it with FARBUS_REGION_SAME_VA",
					 (unsigned long long)region->id);
		va = (void *)(uintptr_t)(region->same_va + off);
		fixed = MAP_FIXED_NOREPLACE;
	} else {
		err = window_place(off, len, &va);
		if (err < 0)
			return err;
	}
	map = mmap(va, len, prot, MAP_SHARED | fixed, region->fd, (off_t)(region->mem_off + off));
	if (map == MAP_FAILED || map != va) {
		err = map == MAP_FAILED ? errno : EEXIST;
		if (map != MAP_FAILED)
			munmap(map, len);
		else if (fixed == MAP_FIXED)
			munmap(va, len);
		return error_set(err == EEXIST ? -EEXIST : -ENOMEM, "cannot map a window at %p: %s",
				 va, strerror(err));
	}
	madvise(map, len, MADV_DONTFORK);
	*ret_va = map;
	return 0;
}

static int window_enter(struct farbus_region *region,
			const struct window_extent *extent) NO_LOCK_ANALYSIS
{
	struct farbus *farbus = region->farbus;
	void *va = extent_pointer(extent);
	int err = process_va_claim(farbus, va, extent->len);

	if (err < 0)
		return err;
	err = process_fault_register(va, extent->len, region_fault, region);
	if (err < 0)
		goto unclaim;
	err = window_insert(farbus->windows, extent);
	if (err < 0)
		goto unregister;
	return 0;

unregister:
	process_fault_unregister(va);
unclaim:
	process_va_unclaim(farbus, va, extent->len);
	return err;
}

static int map_locked(struct farbus_region *region, struct window_extent *extent, int prot,
		      uint32_t flags, void **ret_va)
{
	void *va = NULL;
	int err, state = atomic_load_explicit(&region->state, memory_order_acquire);

	if (state == REGION_DEAD)
		return region_refusal(region, extent->off, 1, FARBUS_R, "map");
	if (state == REGION_SUSPENDED)
		return -EAGAIN;
	if (region->fd < 0)
		return not_mappable(region);
	err = window_memory(region, extent->off, extent->len, prot, flags, &va);
	if (err < 0)
		return err;
	extent->va = addr_va(va);
	err = window_enter(region, extent);
	if (err < 0) {
		munmap(va, extent->len);
		return err;
	}
	*ret_va = va;
	return 0;
}

int farbus_map(struct farbus_region *region, uint64_t off, size_t len, int prot, uint32_t flags,
	       void **ret_va)
{
	struct window_extent extent = { .off = off, .state = WINDOW_READY };
	int err;

	if (!region || !ret_va)
		return error_set(-EINVAL, "map needs a region and room for the address");
	err = instance_check(region->farbus);
	if (err < 0)
		return err;
	err = map_check(region, off, len, prot, flags);
	if (err < 0)
		return err;
	if (region->own && (flags & FARBUS_MAP_SAME_VA)) {
		if (!region->same_va)
			return error_set(-ENOTSUP, "allocate it with FARBUS_REGION_SAME_VA");
		*ret_va = region->head.base + off; /* its memory is there already */
		return 0;
	}
	extent.len = (len + region->map_unit - 1) / region->map_unit * region->map_unit;
	extent.import = region->import;
	extent.rights = region->rights & (FARBUS_R | (prot & PROT_WRITE ? FARBUS_W | FARBUS_A : 0));
	extent.flags = WINDOW_MADE | (flags & FARBUS_MAP_FENCE ? WINDOW_FENCE : 0) | (uint32_t)prot;
	do {
		err = map_check(region, off, len, prot, flags); /* waits while it is suspended */
		if (err < 0)
			return err;
		lock_acquire(&region->farbus->lock);
		err = map_locked(region, &extent, prot, flags, ret_va);
		lock_release(&region->farbus->lock);
	} while (err == -EAGAIN);
	if (err == 0)
		counter_add(COUNTER_map_made, 1);
	return err;
}

/* Up to where: who gives back all of a region that ends inside a huge page means that page. */
static uint64_t piece_end(struct farbus *farbus, const struct window_extent *extent, uint64_t end)
{
	const struct farbus_region *region = region_by_import(farbus, extent->import);
	uint64_t stop = extent->va.v + extent->len;

	return end >= stop || extent->off + (end - extent->va.v) >= region->len ? stop : end;
}

/* Of a window [start, stop) only [start, from) and [to, stop) are left. */
static void piece_unregister(uint64_t start, uint64_t from, uint64_t to, uint64_t stop)
{
	void *window = (void *)(uintptr_t)start;

	if (from > start)
		process_fault_resize(window, window, from - start);
	else if (to < stop)
		process_fault_resize(window, (void *)(uintptr_t)to, stop - to);
	else
		process_fault_unregister(window);
}

/*
 * Takes [va, end) out of one window; what is left of it on both sides stays registered, without a
 * moment in between. Errors: -ENOMEM, the window is as it was.
 */
static int unmap_piece(struct farbus *farbus, const struct window_extent *extent, uint64_t va,
		       uint64_t end)
{
	struct farbus_region *region = region_by_import(farbus, extent->import);
	uint64_t start = extent->va.v, stop = extent->va.v + extent->len;
	uint64_t from = va > start ? va : start, to = piece_end(farbus, extent, end);
	void *piece = (void *)(uintptr_t)from, *rest = (void *)(uintptr_t)to;
	bool hole = from > start && to < stop;
	int err = 0;

	if (hole)
		err = process_fault_register(rest, stop - to, region_fault, region);
	if (err < 0)
		return err;
	err = window_remove(farbus->windows, (farbus_va_t){ from }, to - from);
	if (err < 0) {
		if (hole)
			process_fault_unregister(rest);
		return err;
	}
	piece_unregister(start, from, to, stop);
	process_va_unclaim(farbus, piece, to - from);
	munmap(piece, to - from);
	return 0;
}

/* The kernel splits a mapping of huge pages between them only. */
static int unmap_unit_check(struct farbus *farbus, const struct window_extent *extent, uint64_t va,
			    uint64_t end)
{
	size_t unit = region_by_import(farbus, extent->import)->map_unit;

	if (unit <= ADDR_PAGE_SIZE ||
	    ((va <= extent->va.v || va % unit == 0) && piece_end(farbus, extent, end) % unit == 0))
		return 0;
	return error_set(-EINVAL,
			 "unmap [0x%llx, 0x%llx): this memory is from the pool of huge pages, give "
			 "whole ones of %zu",
			 (unsigned long long)va, (unsigned long long)end, unit);
}

static int unmap_check(struct farbus *farbus, uint64_t va, uint64_t end)
{
	struct window_extent extent;
	uint64_t at = va;
	int err;

	while (at < end) {
		if (window_next(farbus->windows, (farbus_va_t){ at }, &extent) < 0 ||
		    extent.va.v > at || !(extent.flags & WINDOW_MADE))
			return error_set(-ENOENT, "no window at %p: unmap what farbus_map() gave",
					 (void *)(uintptr_t)at);
		err = unmap_unit_check(farbus, &extent, va, end);
		if (err < 0)
			return err;
		at = extent.va.v + extent.len;
	}
	return 0;
}

int farbus_unmap(struct farbus *farbus, void *va, size_t len)
{
	uint64_t at = (uint64_t)(uintptr_t)va, end;
	struct window_extent extent;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (len == 0 || at % ADDR_PAGE_SIZE || len > (uint64_t)1 << ADDR_VA_BITS)
		return error_set(-EINVAL, "unmap %p + %zu: whole pages of 4096, at least one", va,
				 len);
	end = (at + len + ADDR_PAGE_SIZE - 1) / ADDR_PAGE_SIZE * ADDR_PAGE_SIZE;
	lock_acquire(&farbus->lock);
	err = unmap_check(farbus, at, end);
	while (err == 0 && at < end &&
	       window_next(farbus->windows, (farbus_va_t){ at }, &extent) == 0) {
		if (extent.va.v >= end)
			break;
		err = unmap_piece(farbus, &extent, at, end);
		at = extent.va.v + extent.len;
	}
	windows_reclaim(farbus);
	lock_release(&farbus->lock);
	return err;
}

/* Translation of a VA, safe against a concurrent unmap: the window table's own guard tag. */
bool window_find(struct farbus *farbus, const void *va, struct window_hit *ret_hit)
{
	struct process_slot *slot = process_slot_self();
	bool found;

	if (!slot)
		return false;
	__atomic_store_n(&slot->guard.tag[1], farbus->window_tag, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	found = window_translate(farbus->windows, addr_va(va), ret_hit);
	__atomic_store_n(&slot->guard.tag[1], 0, __ATOMIC_RELEASE);
	return found;
}

int farbus_where(struct farbus *farbus, const void *va, farbus_addr_t *ret_addr)
{
	struct farbus_region *region;
	struct window_hit hit;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (!ret_addr)
		return error_set(-EINVAL, "ret_addr is NULL: nowhere to put the address");
	if (!window_find(farbus, va, &hit))
		return error_set(-ENOENT, "%p is in no window of this instance", va);
	region = region_by_import(farbus, hit.import);
	if (!region)
		return error_set(-ENOENT, "%p is in a window that is going away", va);
	*ret_addr = (farbus_addr_t){ .region = region->id, .offset = region->off + hit.off };
	return 0;
}

int farbus_addr_resolve(struct farbus *farbus, farbus_addr_t addr,
			struct farbus_region **ret_region, uint64_t *ret_off)
{
	struct farbus_region *region = NULL;
	uint32_t index;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (!ret_region || !ret_off)
		return error_set(-EINVAL, "resolve needs room for the region and the offset");
	lock_acquire(&farbus->lock);
	err = import_find(core_imports(farbus->core), addr, &index);
	if (err == 0)
		region = region_by_import(farbus, index);
	lock_release(&farbus->lock);
	if (err < 0 || !region)
		return error_set(-ENOENT,
				 "bus address %llx:%llx is in no region or import here: "
				 "import it first",
				 (unsigned long long)addr.region, (unsigned long long)addr.offset);
	*ret_region = region;
	*ret_off = addr.offset - region->off;
	return 0;
}
