/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.c -- the memory behind a region handle: own, adopted, and its replacement
 *
 * A descriptor made here holds the region's pages, then one control page (struct signal_lane):
 *
 *   fd:  | region, whole pages | control page |
 *          mem_off               control_off
 *
 * An adopted descriptor is somebody else's file: no control page, waits fall back to polling.
 */
#include "base/alloc.h"
#include "base/counter.h"
#include "base/error.h"
#include "base/maps.h"
#include "runtime/instance.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Maps len bytes of fd at a place of our choice, or at exactly va. */
static int map_at(int fd, uint64_t off, size_t len, int prot, uint64_t va, uint8_t **ret_map)
{
	int flags = MAP_SHARED | (va ? MAP_FIXED_NOREPLACE : 0);
	void *map = mmap((void *)(uintptr_t)va, len, prot, flags, fd, (off_t)off);

	if (map == MAP_FAILED)
		return error_set(errno == EEXIST ? -EEXIST : -ENOMEM, "cannot map %zu bytes%s: %s",
				 len, va ? " at the region's SAME_VA address" : "",
				 strerror(errno));
	if (va && map != (void *)(uintptr_t)va) {
		munmap(map, len);
		return error_set(-EEXIST, "the SAME_VA address is taken in this process");
	}
	madvise(map, len, MADV_DONTFORK);
	*ret_map = map;
	return 0;
}

size_t memory_unit(int fd)
{
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != HUGETLBFS_MAGIC)
		return ADDR_PAGE_SIZE;
	return (size_t)fs.f_bsize;
}

/* Whether an access to va would raise SIGBUS now. The kernel looks for us, without a signal. */
static bool page_there(void *va)
{
	void *page = (void *)((uintptr_t)va & ~(uintptr_t)(ADDR_PAGE_SIZE - 1));

	if (madvise(page, ADDR_PAGE_SIZE, MADV_POPULATE_WRITE) == 0)
		return true;
	/* EINVAL: the mapping is read-only. */
	return errno == EINVAL && madvise(page, ADDR_PAGE_SIZE, MADV_POPULATE_READ) == 0;
}

/*
 * Waits until the memory behind va is there again. While the home replaces it (we were told:
 * SUSPENDED; or the message still waits for our service thread: READY) it will be; and it may be
 * by now, if the handler came late. Own memory that is READY was cut off by somebody else.
 */
static bool fault_wait(struct farbus_region *region, void *va)
{
	struct timespec pause = { .tv_nsec = 200000 };
	uint64_t until = clock_now_ns() + region->farbus->timeout_ns;

	while (clock_now_ns() < until) {
		uint32_t count = atomic_load_explicit(&region->remap_count, memory_order_acquire);
		int state = atomic_load_explicit(&region->state, memory_order_acquire);

		if (page_there(va))
			return true;
		if (state == REGION_DEAD)
			return false;
		/* Same count: no replacement began and ended between the looks. */
		if (region->own && state == REGION_READY &&
		    count == atomic_load_explicit(&region->remap_count, memory_order_acquire) &&
		    atomic_load_explicit(&region->state, memory_order_acquire) == REGION_READY)
			return false;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* SIGBUS in a mapping: its memory was taken away. */
bool region_fault(void *arg, void *va)
{
	return fault_wait(arg, va);
}

/*
 * SIGBUS in the control page, where a waiter or signaller of a revoked region may still be: it is
 * about to learn that, and must not die of it. A page of its own takes the place.
 */
static bool lane_fault(void *arg, void *va)
{
	struct farbus_region *region = arg;

	if (fault_wait(region, va))
		return true;
	if (atomic_load_explicit(&region->state, memory_order_acquire) != REGION_DEAD)
		return false;
	return mmap(region->lane, region->map_unit, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static int control_map(struct farbus_region *region)
{
	uint8_t *map = NULL;
	int err;

	if (region->control_off == 0)
		return 0;
	err = map_at(region->fd, region->control_off, region->map_unit, PROT_READ | PROT_WRITE, 0,
		     &map);
	if (err < 0)
		return err;
	region->lane = (struct signal_lane *)(void *)map;
	return process_fault_register(map, ADDR_PAGE_SIZE, lane_fault, region);
}

/* Maps the region's range of fd and its control page; sets head.base. */
int region_map_memory(struct farbus_region *region)
{
	int prot = PROT_READ | (region->rights & FARBUS_W ? PROT_WRITE : 0);
	uint64_t va = region->own ? region->same_va : 0;
	uint64_t skew;
	int err;

	region->map_unit = memory_unit(region->fd);
	skew = region->mem_off % region->map_unit;
	region->map_len = round_up(region->len + skew, region->map_unit);
	if (region->page_size > ADDR_PAGE_SIZE)
		region->map_len = round_up(region->map_len, region->page_size);
	err = map_at(region->fd, region->mem_off - skew, region->map_len, prot, va, &region->map);
	if (err < 0)
		return err;
	region->head.base = region->map + skew;
	err = process_fault_register(region->map, region->map_len, region_fault, region);
	if (err == 0)
		err = control_map(region);
	return err;
}

void region_unmap_memory(struct farbus_region *region)
{
	if (region->lane) {
		process_fault_unregister(region->lane);
		munmap(region->lane, region->map_unit);
		region->lane = NULL;
	}
	if (region->map) {
		process_fault_unregister(region->map);
		if (!region->replaced) /* else it is the application's memory */
			munmap(region->map, region->map_len);
		region->map = NULL;
	}
	region->head.base = NULL;
}

static int own_register(struct farbus *farbus, struct farbus_region *region) REQUIRES(&farbus->lock)
{
	struct import_entry entry = {
		.region = region->id,
		.len = region->len,
		.rights = region->rights,
		.home_rank = farbus->self.rank,
		.home_instance = farbus->self.instance,
		.home_incarnation = farbus->self.incarnation,
		.state = IMPORT_READY,
		.owner = region,
	};
	int err = import_insert(core_imports(farbus->core), &entry, &region->import);

	if (err < 0)
		return err;
	err = region_register_locked(farbus, region);
	if (err < 0)
		import_remove(core_imports(farbus->core), region->import);
	return err;
}

static int own_export(struct farbus *farbus, struct farbus_region *region)
{
	struct export_region export = {
		.region = region->id,
		.len = region->len,
		.owner = region,
	};
	struct core_region_facts facts = {
		.mappable = region->fd >= 0 && farbus->config.mappable,
		.mem_off = region->mem_off,
		.same_va = region->same_va,
		.page_size = region->page_size,
		.map_unit = region->map_unit,
		.control_off = region->control_off,
	};
	int err;

	mac_random(export.key, sizeof(export.key));
	err = export_region_insert(core_exports(farbus->core), &export);
	mac_wipe(export.key, sizeof(export.key));
	if (err < 0)
		return err;
	err = core_region_facts_set(farbus->core, region->id, &facts);
	if (err < 0)
		export_region_remove(core_exports(farbus->core), region->id);
	return err;
}

/* Own memory is a window too: farbus_where() and the plain-VA calls know it. */
static int own_window(struct farbus *farbus, struct farbus_region *region)
{
	struct window_extent extent = {
		.va = addr_va(region->head.base),
		.len = round_up(region->len, ADDR_PAGE_SIZE),
		.import = region->import,
		.rights = region->rights,
		.state = WINDOW_READY,
	};

	if (extent.va.v % ADDR_PAGE_SIZE)
		return 0;
	return window_insert(farbus->windows, &extent);
}

static int own_open_locked(struct farbus *farbus, struct farbus_region *region)
	REQUIRES(&farbus->lock)
{
	int err;

	region->id = addr_region_id(farbus->self.instance, ++farbus->serial);
	region->own = true;
	region->rights = FARBUS_R | FARBUS_W | FARBUS_A | FARBUS_M | FARBUS_G;
	region->home_rank = farbus->self.rank;
	region->home_instance = farbus->self.instance;
	err = own_register(farbus, region);
	if (err < 0)
		return err;
	err = own_export(farbus, region);
	if (err < 0)
		goto unregister;
	err = own_window(farbus, region);
	if (err < 0)
		goto unexport;
	counter_add(COUNTER_region_bytes, region->len);
	region_open_locked(region);
	return 0;

unexport:
	export_region_remove(core_exports(farbus->core), region->id);
unregister:
	region_unregister_locked(farbus, region);
	import_remove(core_imports(farbus->core), region->import);
	return err;
}

static int own_open(struct farbus *farbus, struct farbus_region *region,
		    struct farbus_region **ret_region)
{
	int err;

	lock_acquire(&farbus->lock);
	err = own_open_locked(farbus, region);
	lock_release(&farbus->lock);
	if (err < 0)
		return err;
	process_slot_self();
	*ret_region = region;
	return 0;
}

static int memory_new(struct farbus_region *region, uint32_t flags)
{
	const struct transport_ops *ops = transport_find("shm");
	struct transport_memory memory;
	uint64_t data = round_up(region->len, ADDR_PAGE_SIZE);
	int err;

	err = ops->memory_alloc(data + ADDR_PAGE_SIZE,
				flags & FARBUS_REGION_HUGE ? TRANSPORT_MEMORY_HUGE : 0, &memory);
	if (err < 0)
		return err;
	region->fd = fcntl(memory.fd, F_DUPFD_CLOEXEC, 0);
	region->page_size = memory.page_size;
	region->control_off = round_up(data, memory.page_size);
	if (region->control_off + ADDR_PAGE_SIZE > memory.len)
		region->control_off = memory.len - ADDR_PAGE_SIZE;
	if (region->control_off % memory.page_size)
		region->control_off = 0; /* huge pages only: the last one is the region's own */
	ops->memory_free(&memory);
	if (region->fd < 0)
		return error_set(-EMFILE, "no descriptor left for region memory: raise ulimit -n");
	return 0;
}

static int same_va_take(struct farbus_region *region)
{
	struct farbus *farbus = region->farbus;
	farbus_va_t va;
	int err;

	lock_acquire(&farbus->lock);
	err = sameva_alloc(farbus->sameva, round_up(region->len, ADDR_BLOCK_SIZE), &va);
	lock_release(&farbus->lock);
	if (err == 0)
		region->same_va = va.v;
	return err;
}

/* Only after its memory is unmapped: the next to take the range maps it at once. */
static void same_va_give_locked(struct farbus_region *region)
{
	if (region->own && region->same_va)
		sameva_release(region->farbus->sameva, (farbus_va_t){ region->same_va },
			       round_up(region->len, ADDR_BLOCK_SIZE));
}

int farbus_region_alloc(struct farbus *farbus, size_t len, uint32_t flags,
			struct farbus_region **ret_region)
{
	struct farbus_region *region;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (!ret_region || (flags & ~(FARBUS_REGION_HUGE | FARBUS_REGION_SAME_VA)))
		return error_set(-EINVAL, "region flags 0x%x: HUGE and SAME_VA are known", flags);
	if (len == 0 || len > (size_t)1 << 46)
		return error_set(-EINVAL, "region of %zu bytes: give 1 to 2^46", len);
	err = region_new(farbus, &region);
	if (err < 0)
		return err;
	region->len = len;
	region->own = true;
	region->rights = FARBUS_R | FARBUS_W | FARBUS_A;
	err = memory_new(region, flags);
	if (err == 0 && (flags & FARBUS_REGION_SAME_VA))
		err = same_va_take(region);
	if (err == 0)
		err = region_map_memory(region);
	if (err == 0)
		err = own_open(farbus, region, ret_region);
	if (err < 0) {
		region_unmap_memory(region);
		lock_acquire(&farbus->lock);
		same_va_give_locked(region);
		lock_release(&farbus->lock);
		region_free(region);
	}
	return err;
}

static int adopt_fd_check(const struct farbus_memory *memory)
{
	int mode = fcntl(memory->fd, F_GETFL);
	struct stat st;

	if (mode < 0 || (mode & O_ACCMODE) != O_RDWR)
		return error_set(-EBADF,
				 "descriptor %d is not open for reading and writing: open "
				 "it with O_RDWR",
				 memory->fd);
	if (fstat(memory->fd, &st) < 0 || memory->off > (uint64_t)st.st_size ||
	    (uint64_t)st.st_size - memory->off < memory->len)
		return error_set(-ERANGE,
				 "descriptor %d has fewer than %llu + %zu bytes: ftruncate "
				 "it first",
				 memory->fd, (unsigned long long)memory->off, memory->len);
	if (memory->off % ADDR_PAGE_SIZE)
		return error_set(-EINVAL, "offset %llu in the descriptor: give a multiple of 4096",
				 (unsigned long long)memory->off);
	return 0;
}

/* Copies [va, va + len) to a memfd and maps that there. */
static int adopt_replace(struct farbus_region *region, const struct farbus_memory *memory)
{
	uint8_t *map = NULL;
	int err;

	if ((uintptr_t)memory->va % ADDR_PAGE_SIZE || memory->len % ADDR_PAGE_SIZE)
		return error_set(-EINVAL, "FARBUS_ADOPT_REPLACE: va and len must be whole pages");
	err = memory_new(region, 0);
	if (err < 0)
		return err;
	err = map_at(region->fd, 0, memory->len, PROT_READ | PROT_WRITE, 0, &map);
	if (err < 0)
		return err;
	memcpy(map, memory->va, memory->len);
	munmap(map, memory->len);
	map = mmap(memory->va, memory->len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		   region->fd, 0);
	if (map == MAP_FAILED)
		return error_set(-ENOMEM, "cannot replace the mapping at %p: %s", memory->va,
				 strerror(errno));
	region->head.base = region->map = map;
	region->map_len = memory->len;
	region->replaced = true;
	err = process_fault_register(map, memory->len, region_fault, region);
	return err < 0 ? err : control_map(region);
}

static int adopt_memory(struct farbus_region *region, const struct farbus_memory *memory)
{
	int err;

	region->page_size = ADDR_PAGE_SIZE;
	region->adopted = true;
	if (memory->fd >= 0) {
		err = adopt_fd_check(memory);
		if (err < 0)
			return err;
		region->mem_off = memory->off;
		region->fd = fcntl(memory->fd, F_DUPFD_CLOEXEC, 0);
		if (region->fd < 0)
			return error_set(-EMFILE, "no descriptor left: raise ulimit -n");
		region->map_unit = memory_unit(region->fd);
		if (!memory->va)
			return region_map_memory(region);
	}
	if (!memory->va)
		return error_set(-EINVAL, "give a descriptor, or a va");
	/* A served access would end this process where it is not. */
	err = maps_writable(memory->va, memory->len);
	if (err < 0)
		return err;
	if (memory->fd < 0 && (memory->flags & FARBUS_ADOPT_REPLACE))
		return adopt_replace(region, memory);
	region->head.base = memory->va;
	return 0;
}

int farbus_region_adopt(struct farbus *farbus, const struct farbus_memory *memory,
			struct farbus_region **ret_region)
{
	struct farbus_region *region;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (!memory || !ret_region || (memory->flags & ~FARBUS_ADOPT_REPLACE))
		return error_set(-EINVAL, "adopt needs a memory description with flags 0 or "
					  "FARBUS_ADOPT_REPLACE");
	if (memory->len == 0 || memory->len > (size_t)1 << 46)
		return error_set(-EINVAL, "adopt of %zu bytes: give 1 to 2^46", memory->len);
	err = region_new(farbus, &region);
	if (err < 0)
		return err;
	region->len = memory->len;
	region->own = true;
	region->rights = FARBUS_R | FARBUS_W | FARBUS_A;
	err = adopt_memory(region, memory);
	if (err == 0)
		err = own_open(farbus, region, ret_region);
	if (err < 0)
		region_free(region);
	return err;
}

static int own_withdraw_locked(struct farbus *farbus, struct farbus_region *region)
	REQUIRES(&farbus->lock)
{
	struct request request = { 0 };
	uint32_t id = 0;
	int err = core_region_withdraw(farbus->core, region->id, true,
				       instance_deadline(farbus, -1), clock_now_ns(), &id);

	return request_run_locked(farbus, &request, err, id, "release: withdrawing the region");
}

static int release_locked(struct farbus *farbus, struct farbus_region *region)
	REQUIRES(&farbus->lock)
{
	int err;

	if (region->own) {
		err = own_withdraw_locked(farbus, region);
		if (err < 0)
			return err;
	}
	err = region_close_locked(region, farbus->timeout_ns);
	if (err < 0)
		return err;
	served_drain_locked(region);
	fabric_close_locked(region);
	window_drop_locked(region);
	if (region->own) {
		region_unmap_memory(region);
		same_va_give_locked(region);
		import_remove(core_imports(farbus->core), region->import);
	} else {
		core_import_release(farbus->core, region->import, clock_now_ns());
	}
	region_unregister_locked(farbus, region);
	service_pump_locked(farbus);
	return 0;
}

int farbus_region_release(struct farbus_region *region)
{
	struct farbus *farbus;
	int err;

	if (!region)
		return 0;
	err = process_check();
	if (err < 0)
		return err;
	farbus = region->farbus;
	lock_acquire(&farbus->lock);
	err = release_locked(farbus, region);
	lock_release(&farbus->lock);
	if (err < 0)
		return err;
	region_free(region);
	return 0;
}
