/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * work.c -- what the core asks the runtime to do with memory (CORE_WORK)
 *
 * The two that stop access keep one order: lengths to 0, drain the guard, then the mapping goes.
 * So an operation either finished before, or finds the length 0 and asks region_refusal().
 */
#include "base/counter.h"
#include "base/error.h"
#include "base/log.h"
#include "base/maps.h"
#include "runtime/instance.h"
#include "transport/copy.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_DRAIN_NS (5 * NS_PER_S)
#define SUSPEND_DRAIN_NS (50 * NS_PER_MS)

/* The region's mapping and every window lose the memory. Errors: -ENOMEM, one of them has it still. */
static int memory_tombstone(struct farbus_region *region)
{
	int err = window_tombstone_locked(region);

	if (region->map) {
		int one = maps_replace(region->map, region->map_len, PROT_READ | PROT_WRITE,
				       MAP_SHARED, region->farbus->tombstone, 0);

		err = one < 0 ? one : err;
	}
	if (err < 0)
		log_error("region %llx: cannot take its memory out of the address space: %s; raise "
			  "vm.max_map_count",
			  (unsigned long long)region->id, strerror(-err));
	return err;
}

static void region_kill(struct farbus_region *region, int status)
{
	atomic_store_explicit(&region->status, status, memory_order_release);
	atomic_store_explicit(&region->state, REGION_DEAD, memory_order_release);
}

/* Revoked: after this returns 0 nothing here can reach the memory any more. */
static int work_block(struct farbus_region *region, int status)
{
	int err;

	region_kill(region, status < 0 ? status : -ESTALE);
	fabric_fail_locked(region, status < 0 ? status : -ESTALE);
	err = region_close_locked(region, BLOCK_DRAIN_NS);
	if (err < 0)
		return err;
	err = memory_tombstone(region);
	if (err < 0)
		return err;
	if (region->fd >= 0)
		close(region->fd);
	region->fd = -1;
	return 0;
}

/*
 * A thread that is still inside after the drain meets the tombstone, waits in region_fault(), and
 * repeats its access on the new memory: nothing is lost either way.
 */
static int work_suspend(struct farbus_region *region)
{
	atomic_store_explicit(&region->state, REGION_SUSPENDED, memory_order_release);
	region_close_locked(region, SUSPEND_DRAIN_NS);
	return memory_tombstone(region);
}

static int mapping_replace(struct farbus_region *region)
{
	int prot = PROT_READ | (region->rights & FARBUS_W ? PROT_WRITE : 0);
	uint64_t skew = region->mem_off % region->map_unit;
	int err;

	if (region->map) {
		err = maps_replace(region->map, region->map_len, prot, MAP_SHARED, region->fd,
				   (off_t)(region->mem_off - skew));
		if (err < 0)
			return err;
		madvise(region->map, region->map_len, MADV_DONTFORK);
	}
	if (region->lane) {
		err = maps_replace(region->lane, region->map_unit, PROT_READ | PROT_WRITE,
				   MAP_SHARED, region->fd, (off_t)region->control_off);
		if (err < 0)
			return err;
		madvise(region->lane, region->map_unit, MADV_DONTFORK);
	}
	return 0;
}

static int region_resume(struct farbus_region *region, int fd)
{
	int err;

	if (region->fd >= 0)
		close(region->fd);
	region->fd = fd;
	err = mapping_replace(region);
	if (err < 0)
		return err;
	err = window_remap_locked(region);
	atomic_fetch_add_explicit(&region->remap_count, 1, memory_order_release);
	region_open_locked(region);
	return err;
}

static int work_remap(struct farbus_region *region, const struct core_output *output)
{
	struct stat st;

	if (output->fd < 0 || fstat(output->fd, &st) < 0)
		return -EPROTO;
	if (!addr_within(region->mem_off, region->len, (uint64_t)st.st_size)) {
		close(output->fd);
		return -EPROTO;
	}
	return region_resume(region, output->fd);
}

static int memory_copy(int from, int to, size_t len)
{
	uint8_t *src, *dst;
	int err = 0;

	src = mmap(NULL, len, PROT_READ, MAP_SHARED, from, 0);
	if (src == MAP_FAILED)
		return -ENOMEM;
	dst = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, to, 0);
	if (dst == MAP_FAILED)
		err = -ENOMEM;
	else
		copy_bytes(dst, src, len);
	if (dst != MAP_FAILED)
		munmap(dst, len);
	munmap(src, len);
	return err;
}

/* New memory with the same bytes and the same layout. */
static int memory_clone(struct farbus_region *region, int *ret_fd)
{
	struct transport_memory memory;
	struct stat st;
	int err;

	if (fstat(region->fd, &st) < 0)
		return -errno;
	err = transport_find("shm")->memory_alloc((size_t)st.st_size, 0, &memory);
	if (err < 0)
		return err;
	err = memory_copy(region->fd, memory.fd, (size_t)st.st_size);
	*ret_fd = err < 0 ? -1 : fcntl(memory.fd, F_DUPFD_CLOEXEC, 0);
	transport_find("shm")->memory_free(&memory);
	return err < 0 ? err : *ret_fd < 0 ? -EMFILE : 0;
}

/*
 * Forced revoke: the silent importer's mapping is of the old file; truncating that takes every
 * page from under it, running or stopped (facts: 12.7 ms for 64 MiB).
 */
static int work_force(struct farbus_region *region)
{
	int fd = -1, old, err;

	if (region->fd < 0 || (region->adopted && !region->replaced))
		return -ENOTSUP;
	old = fcntl(region->fd, F_DUPFD_CLOEXEC, 0);
	if (old < 0)
		return -EMFILE;
	err = work_suspend(region);
	if (err < 0) {
		region_resume(region, old);
		return err;
	}
	err = memory_clone(region, &fd);
	if (err < 0) {
		log_error("forced revoke of region %llx: no memory for the copy",
			  (unsigned long long)region->id);
		fd = old;
		old = -1;
	}
	if (old >= 0) {
		if (ftruncate(old, 0) < 0) {
			err = -errno;
			log_error("forced revoke: cannot truncate: %s", strerror(errno));
		} else {
			counter_add(COUNTER_revoke_forced, 1);
		}
		close(old);
	}
	if (fd >= 0) {
		int resumed = region_resume(region, fd);

		return err < 0 ? err : resumed;
	}
	return err;
}

/*
 * The home may live, and only the link to it have ended: then it cannot tell us of a revoke, and
 * counts on it that nothing of ours lands in its memory once our end of the link is closed. Its last
 * state stays readable, also in a region that was SUSPENDED unless the home cut that memory off.
 * An operation that is under way goes on in the private pages.
 */
static int mapping_detach(struct farbus_region *region)
{
	int prot = PROT_READ | (region->rights & FARBUS_W ? PROT_WRITE : 0);
	int flags = MAP_PRIVATE | MAP_NORESERVE;
	uint64_t skew = region->mem_off % region->map_unit;

	if (region->fd < 0)
		return 0;
	if (region->map) {
		if (maps_replace(region->map, region->map_len, prot, flags, region->fd,
				 (off_t)(region->mem_off - skew)) < 0 &&
		    mprotect(region->map, region->map_len, PROT_READ) < 0)
			return -errno;
		madvise(region->map, region->map_len, MADV_DONTFORK);
	}
	if (region->lane) {
		if (maps_replace(region->lane, region->map_unit, PROT_READ | PROT_WRITE, flags,
				 region->fd, (off_t)region->control_off) < 0 &&
		    mprotect(region->lane, region->map_unit, PROT_READ) < 0)
			return -errno;
		madvise(region->lane, region->map_unit, MADV_DONTFORK);
	}
	return 0;
}

static void work_lost(struct farbus_region *region, int status)
{
	int err, one;

	status = status < 0 ? status : -EHOSTDOWN;
	fabric_fail_locked(region, status);
	/* One that is revoked says so; but work_block() may have failed to take its memory. */
	if (atomic_load_explicit(&region->state, memory_order_acquire) != REGION_DEAD)
		region_kill(region, status);
	/* Nobody needs to be waited for: the memory stays until the handle is released. */
	region_close_locked(region, 0);
	err = mapping_detach(region);
	one = window_detach_locked(region);
	if (err < 0 || one < 0)
		log_error("region %llx, whose home is lost, is still mapped: %s; raise "
			  "vm.max_map_count",
			  (unsigned long long)region->id, strerror(err < 0 ? -err : -one));
}

static void work_lost_all(struct farbus *farbus, int status) REQUIRES(&farbus->lock)
{
	struct farbus_region *region;
	struct import_entry entry;

	LIST_FOREACH(region, &farbus->regions, link)
		if (!region->own &&
		    import_lookup(core_imports(farbus->core), region->import, &entry) == 0 &&
		    entry.state != IMPORT_READY)
			work_lost(region, status);
}

/* The region's memory may begin anywhere: what is aligned for the importer need not be here. */
static bool serve_aligned(const struct core_output *output, const uint8_t *at)
{
	size_t width = output->serve.width;

	if (output->serve.op != CORE_SERVE_ATOMIC)
		return true;
	return (width == 4 || width == 8) && (uintptr_t)at % width == 0;
}

static void serve_put(const struct core_output *output, uint8_t *at)
{
	copy_bytes(at, output->serve.data, output->serve.len);
	counter_add(COUNTER_served_put, 1);
	counter_add(COUNTER_served_bytes, output->serve.len);
}

/* An aligned word is one access: nobody gets half of it. */
static const void *serve_get(const struct core_output *output, const uint8_t *at, uint64_t *word)
{
	if (output->serve.len != sizeof(*word) || (uintptr_t)at % sizeof(*word))
		return at;
	*word = __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_RELAXED);
	return word;
}

/* The core has checked grant, rights and bounds; the handle checks that the memory is there. */
static void work_serve(struct farbus *farbus, struct core_output *output) REQUIRES(&farbus->lock)
{
	struct export_region export;
	struct farbus_region *region;
	uint64_t now = clock_now_ns(), value = 0, word;
	const void *data = NULL;
	uint8_t *at;

	if (export_region_lookup(core_exports(farbus->core), output->region, &export) < 0 ||
	    !export.owner) {
		core_serve_done(farbus->core, output->work, -ESTALE, NULL, 0, 0, now);
		return;
	}
	region = export.owner;
	if (!region->head.base || !addr_within(output->serve.off, output->serve.len, region->len)) {
		core_serve_done(farbus->core, output->work, -ERANGE, NULL, 0, 0, now);
		return;
	}
	at = region->head.base + output->serve.off;
	if (!serve_aligned(output, at)) {
		core_serve_done(farbus->core, output->work, -EINVAL, NULL, 0, 0, now);
		return;
	}
	switch (output->serve.op) {
	case CORE_SERVE_PUT:
		serve_put(output, at);
		break;
	case CORE_SERVE_GET:
		data = serve_get(output, at, &word);
		counter_add(COUNTER_served_get, 1);
		counter_add(COUNTER_served_bytes, output->serve.len);
		break;
	case CORE_SERVE_ATOMIC:
		value = rma_atomic_apply(at, output->serve.atomic, output->serve.width,
					 output->serve.operand, output->serve.compare);
		if (output->serve.signal)
			signal_wake(region, output->serve.off);
		counter_add(COUNTER_served_atomic, 1);
		break;
	}
	core_serve_done(farbus->core, output->work, 0, data, output->serve.len, value, now);
}

static struct farbus_region *work_region(struct farbus *farbus, const struct core_output *output)
{
	struct export_region export;

	if (output->work_kind != CORE_WORK_FORCE)
		return region_by_import(farbus, output->import);
	if (export_region_lookup(core_exports(farbus->core), output->region, &export) < 0)
		return NULL;
	return export.owner;
}

static void work_expose(struct farbus *farbus, struct core_output *output) REQUIRES(&farbus->lock)
{
	struct transport_key key = { 0 };
	size_t len = fabric_expose_locked(farbus, output, &key);

	core_work_exposed(farbus->core, output->work, key.data, len, clock_now_ns());
}

void work_run_locked(struct farbus *farbus, struct core_output *output)
{
	struct farbus_region *region;
	int err = 0;

	switch (output->work_kind) {
	case CORE_WORK_SERVE:
		work_serve(farbus, output);
		return;
	case CORE_WORK_EXPOSE:
		work_expose(farbus, output);
		return;
	case CORE_WORK_HIDE:
		fabric_hide_locked(farbus, output->record);
		return;
	default:
		break;
	}
	if (output->work_kind == CORE_WORK_LOST && output->import == 0) {
		work_lost_all(farbus, output->status);
		return;
	}
	region = work_region(farbus, output);
	if (!region) {
		/* Released meanwhile: there is nothing left that could be reached. */
		if (output->work_kind == CORE_WORK_REMAP && output->fd >= 0)
			close(output->fd);
		if (output->work_kind != CORE_WORK_LOST)
			core_work_done(farbus->core, output->work, 0, clock_now_ns());
		return;
	}
	switch (output->work_kind) {
	case CORE_WORK_BLOCK:
		err = work_block(region, output->status);
		break;
	case CORE_WORK_SUSPEND:
		err = work_suspend(region);
		break;
	case CORE_WORK_REMAP:
		err = work_remap(region, output);
		break;
	case CORE_WORK_FORCE:
		err = work_force(region);
		break;
	case CORE_WORK_LOST:
		work_lost(region, output->status);
		return;
	default:
		break;
	}
	core_work_done(farbus->core, output->work, err, clock_now_ns());
}
