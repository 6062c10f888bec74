/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * import.c -- reaching somebody else's region
 *
 * The mapping is made while the core reports the import done, under the lock, so that a revoke
 * that follows at once finds it.
 */
#include "base/counter.h"
#include "base/error.h"
#include "runtime/instance.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the home says of its descriptor is checked against the descriptor itself. */
static int import_fd_check(const struct farbus_region *region)
{
	size_t unit = memory_unit(region->fd);
	struct stat st;
	uint64_t size;

	if (fstat(region->fd, &st) < 0)
		return error_set(-EPROTO, "the home's descriptor cannot be read: %s",
				 strerror(errno));
	size = (uint64_t)st.st_size;
	if (!addr_within(region->mem_off, region->len, size))
		return error_set(-EPROTO,
				 "the home's descriptor has %llu bytes, the grant ends "
				 "past them",
				 (unsigned long long)size);
	if (region->page_size != ADDR_PAGE_SIZE && region->page_size != ADDR_BLOCK_SIZE)
		return error_set(-EPROTO, "the home speaks of pages of %llu bytes",
				 (unsigned long long)region->page_size);
	if (region->mem_off % unit || region->control_off % unit)
		return error_set(-EPROTO, "the home's range or control page is not on a page");
	if (region->control_off && !addr_within(region->control_off, unit, size))
		return error_set(-EPROTO, "the home's control page is past its descriptor's end");
	return 0;
}

/* A grant may begin anywhere in its region, but on the same page offset as in the descriptor. */
static int import_same_va_check(const struct farbus_region *region)
{
	uint64_t skew = region->same_va % ADDR_BLOCK_SIZE;

	if (!region->same_va)
		return 0;
	if (region->same_va % ADDR_PAGE_SIZE == region->mem_off % ADDR_PAGE_SIZE &&
	    sameva_valid(region->home_rank, (farbus_va_t){ region->same_va - skew },
			 region->len + skew))
		return 0;
	return error_set(-EPROTO, "the home's SAME_VA address is outside its slice");
}

static int import_map(struct farbus_region *region, const struct core_output *output)
{
	int err;

	region->fd = output->fd;
	region->mem_off = output->mem_off;
	region->control_off = output->control_off;
	region->page_size = output->page_size ? output->page_size : ADDR_PAGE_SIZE;
	region->same_va = output->same_va;
	err = import_fd_check(region);
	if (err < 0)
		return err;
	err = import_same_va_check(region);
	if (err < 0)
		return err;
	return region_map_memory(region);
}

int import_finish_locked(struct farbus *farbus, struct farbus_region *region,
			 struct core_output *output)
{
	struct import_entry entry;
	int err = import_lookup(core_imports(farbus->core), output->import, &entry);

	if (err < 0) {
		if (output->fd >= 0)
			close(output->fd);
		return err;
	}
	if (entry.state == IMPORT_LOST) {
		/* CORE_WORK_LOST may have been before this: nobody would take the mapping away. */
		if (output->fd >= 0)
			close(output->fd);
		core_import_release(farbus->core, output->import, clock_now_ns());
		return error_set(-EHOSTDOWN, "the region's home, rank %u, ended meanwhile",
				 entry.home_rank);
	}
	region->import = output->import;
	region->id = entry.region;
	region->off = entry.off;
	region->len = entry.len;
	region->rights = entry.rights;
	region->home_rank = entry.home_rank;
	region->home_instance = entry.home_instance;
	region->generation = entry.generation;
	region->served = output->fd < 0;
	region->page_size = ADDR_PAGE_SIZE;
	err = output->fd >= 0 ? import_map(region, output) : 0;
	if (err == 0)
		err = region_register_locked(farbus, region);
	if (err < 0) {
		core_import_release(farbus->core, output->import, clock_now_ns());
		return err;
	}
	region_open_locked(region);
	fabric_open_locked(region, output->key, output->key_len);
	counter_add(COUNTER_import_made, 1);
	return 0;
}

static void import_done(struct farbus *farbus, struct request *request,
			struct core_output *output) NO_LOCK_ANALYSIS
{
	request->status = output->status;
	memcpy(request->why, output->why, sizeof(request->why));
	request->why[sizeof(request->why) - 1] = '\0';
	if (output->status == 0) {
		request->status = import_finish_locked(farbus, request->region, output);
		if (request->status < 0)
			snprintf(request->why, sizeof(request->why), "%.120s", error_text());
	}
	request->finished = true;
	if (request->wake)
		pthread_cond_signal(request->wake);
}

int farbus_region_import(struct farbus *farbus, const struct farbus_token *token, int timeout_ms,
			 struct farbus_region **ret_region)
{
	struct request request = { .done = import_done };
	struct farbus_region *region;
	uint32_t id = 0;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (!token || !ret_region)
		return error_set(-EINVAL, "import needs a token and room for the region");
	err = region_new(farbus, &region);
	if (err < 0)
		return err;
	request.region = region;
	lock_acquire(&farbus->lock);
	err = core_import(farbus->core, token, region, instance_deadline(farbus, timeout_ms),
			  clock_now_ns(), &id);
	err = request_run_locked(farbus, &request, err, id, "import");
	if (err == 0)
		fabric_prepare_locked(region);
	lock_release(&farbus->lock);
	if (err < 0) {
		region_free(region);
		return err;
	}
	process_slot_self();
	*ret_region = region;
	return 0;
}

int farbus_region_renew(struct farbus_region *region, const struct farbus_token *token,
			int timeout_ms)
{
	struct request request = { 0 };
	struct farbus *farbus;
	uint32_t id = 0;
	int err;

	if (!region || !token || region->own)
		return error_set(-EINVAL, "renew needs an import and the rotated token");
	farbus = region->farbus;
	err = instance_check(farbus);
	if (err < 0)
		return err;
	lock_acquire(&farbus->lock);
	err = core_renew(farbus->core, region->import, token, instance_deadline(farbus, timeout_ms),
			 clock_now_ns(), &id);
	err = request_run_locked(farbus, &request, err, id, "renew");
	lock_release(&farbus->lock);
	return err;
}
