/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * region.c -- region handles: life, state, grants
 *
 * Invariants:
 *   1. The three lengths of a head are nonzero only while its state is READY and base is mapped.
 *   2. A handle in farbus->regions has an import index, and by_import[index] points to it.
 *   3. A region that is DEAD stays so; status says what its calls return.
 */
#include "addrmap/rights.h"
#include "base/alloc.h"
#include "base/counter.h"
#include "base/error.h"
#include "runtime/instance.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IMPORT_CHUNK 1024u
#define SUSPEND_WAIT_NS (100 * NS_PER_US)

struct farbus_region *region_by_import(struct farbus *farbus, uint32_t import)
{
	_Atomic(struct farbus_region *) *chunk;

	if (import / IMPORT_CHUNK >= 1024)
		return NULL;
	/* Pairs with the release store in region_register_locked(). */
	chunk = __atomic_load_n(&farbus->by_import[import / IMPORT_CHUNK], __ATOMIC_ACQUIRE);
	return chunk ? atomic_load_explicit(&chunk[import % IMPORT_CHUNK], memory_order_acquire) :
		       NULL;
}

int region_register_locked(struct farbus *farbus, struct farbus_region *region)
{
	_Atomic(struct farbus_region *) *chunk;

	if (region->import / IMPORT_CHUNK >= 1024)
		return error_set(-ENOSPC, "more than %u regions and imports", 1024 * IMPORT_CHUNK);
	chunk = farbus->by_import[region->import / IMPORT_CHUNK];
	if (!chunk) {
		chunk = alloc_array(IMPORT_CHUNK, sizeof(*chunk));
		if (!chunk)
			return error_set(-ENOMEM, "no memory for a region handle");
		__atomic_store_n(&farbus->by_import[region->import / IMPORT_CHUNK], chunk,
				 __ATOMIC_RELEASE);
	}
	atomic_store_explicit(&chunk[region->import % IMPORT_CHUNK], region, memory_order_release);
	LIST_INSERT_HEAD(&farbus->regions, region, link);
	return 0;
}

void region_unregister_locked(struct farbus *farbus, struct farbus_region *region)
{
	_Atomic(struct farbus_region *) *chunk = farbus->by_import[region->import / IMPORT_CHUNK];

	atomic_store_explicit(&chunk[region->import % IMPORT_CHUNK], NULL, memory_order_release);
	LIST_REMOVE(region, link);
}

int region_new(struct farbus *farbus, struct farbus_region **ret_region)
{
	struct farbus_region *region = alloc_aligned(64, sizeof(*region));

	if (!region)
		return error_set(-ENOMEM, "no memory for a region handle");
	region->head.abi = FARBUS_INLINE_ABI;
	region->head.tag = process_tag_new();
	region->farbus = farbus;
	region->fd = -1;
	region->map_unit = ADDR_PAGE_SIZE;
	atomic_store_explicit(&region->state, REGION_READY, memory_order_relaxed);
	SLIST_INIT(&region->served_threads);
	STAILQ_INIT(&region->stale);
	cond_init_monotonic(&region->served_room);
	*ret_region = region;
	return 0;
}

void region_free(struct farbus_region *region)
{
	struct served_thread *thread;

	region_unmap_memory(region);
	while ((thread = SLIST_FIRST(&region->served_threads))) {
		SLIST_REMOVE_HEAD(&region->served_threads, link);
		free(thread);
	}
	if (region->fd >= 0)
		close(region->fd);
	pthread_cond_destroy(&region->served_room);
	free(region);
}

/* Ordering: pairs with the guard protocol of inline.h; base is set before the lengths are. */
void region_open_locked(struct farbus_region *region)
{
	struct farbus_region_head *head = &region->head;
	uint64_t len = region->head.base ? region->len : 0;
	uint64_t words = (uintptr_t)region->head.base % 8 == 0 ? len / 8 * 8 : 0;

	atomic_store_explicit(&region->state, REGION_READY, memory_order_release);
	__atomic_store_n(&head->len_get, region->rights & FARBUS_R ? len : 0, __ATOMIC_RELEASE);
	__atomic_store_n(&head->len_put, region->rights & FARBUS_W ? len : 0, __ATOMIC_RELEASE);
	__atomic_store_n(&head->len_atomic, region->rights & FARBUS_A ? len : 0, __ATOMIC_RELEASE);
	__atomic_store_n(&head->words_get, region->rights & FARBUS_R ? words : 0, __ATOMIC_RELEASE);
	__atomic_store_n(&head->words_put, region->rights & FARBUS_W ? words : 0, __ATOMIC_RELEASE);
}

int region_close_locked(struct farbus_region *region, uint64_t timeout_ns)
{
	struct farbus_region_head *head = &region->head;

	__atomic_store_n(&head->len_get, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&head->len_put, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&head->len_atomic, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&head->words_get, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&head->words_put, 0, __ATOMIC_RELEASE);
	return process_guard_drain(head->tag, timeout_ns);
}

static int refusal_suspended(struct farbus_region *region)
{
	uint64_t until = clock_now_ns() + region->farbus->timeout_ns;
	struct timespec pause = { .tv_nsec = (long)SUSPEND_WAIT_NS };

	while (atomic_load_explicit(&region->state, memory_order_acquire) == REGION_SUSPENDED) {
		if (clock_now_ns() > until)
			return error_set(-ETIMEDOUT,
					 "region %llx is suspended while its home "
					 "gives it new memory, and the home is silent",
					 (unsigned long long)region->id);
		nanosleep(&pause, NULL);
	}
	return 0;
}

int region_refusal(struct farbus_region *region, uint64_t off, uint64_t len, uint32_t rights,
		   const char *what)
{
	int state, err = process_check();
	uint32_t missing = rights & ~region->rights;
	char have[6], need[6];

	if (err < 0)
		return err;
	if (len == 0)
		return error_set(-EINVAL, "%s of 0 bytes: give a length of 1 or more", what);
	if (missing) {
		rights_text(region->rights, have);
		rights_text(rights, need);
		return error_set(-EACCES,
				 "%s needs right %s, the grant of region %llx has %s: ask "
				 "its owner for a token with it",
				 what, need, (unsigned long long)region->id, have);
	}
	if (!addr_within(off, len, region->len))
		return error_set(-ERANGE,
				 "%s [%llu, +%llu) is past the end: the region handle has "
				 "%llu bytes",
				 what, (unsigned long long)off, (unsigned long long)len,
				 (unsigned long long)region->len);
	state = atomic_load_explicit(&region->state, memory_order_acquire);
	if (state == REGION_DEAD) {
		err = atomic_load_explicit(&region->status, memory_order_acquire);
		return error_set(err, "%s: region %llx of rank %u: %s; release the handle", what,
				 (unsigned long long)region->id, region->home_rank,
				 farbus_strerror(err));
	}
	return state == REGION_SUSPENDED ? refusal_suspended(region) : 0;
}

static int region_check(struct farbus_region *region)
{
	if (!region)
		return error_set(-EINVAL, "the region is NULL");
	return process_check();
}

int farbus_region_grant(struct farbus_region *region, uint64_t off, uint64_t len, uint32_t rights,
			const struct farbus_grant_opts *opts, struct farbus_token *ret_token)
{
	static const struct farbus_grant_opts none;
	struct request request = { 0 };
	struct export_grant_ask ask;
	struct farbus *farbus;
	uint32_t id = 0;
	int err = region_check(region);

	if (err < 0)
		return err;
	if (!ret_token)
		return error_set(-EINVAL, "ret_token is NULL: nowhere to put the token");
	opts = opts ? opts : &none;
	if (opts->flags & ~FARBUS_GRANT_SERVED)
		return error_set(-EINVAL, "grant flags 0x%x: only FARBUS_GRANT_SERVED is known",
				 opts->flags);
	err = rights_check(rights);
	if (err < 0)
		return err;
	farbus = region->farbus;
	lock_acquire(&farbus->lock);
	if (region->own) {
		ask = (struct export_grant_ask){
			.region = region->id,
			.maker = farbus->self.instance,
			.off = off,
			.len = len,
			.rights = rights,
			.flags = opts->flags,
			.expiry_s =
				opts->expiry_s ? clock_wall_ns() / NS_PER_S + opts->expiry_s : 0,
		};
		err = core_grant(farbus->core, region->id, &ask, &request.token);
	} else {
		err = core_grant_chained(farbus->core, region->import, off, len, rights,
					 opts->flags, opts->expiry_s, instance_deadline(farbus, -1),
					 clock_now_ns(), &id);
		err = request_run_locked(farbus, &request, err, id, "chained grant");
	}
	lock_release(&farbus->lock);
	if (err < 0)
		return err;
	counter_add(COUNTER_grant_made, 1);
	*ret_token = request.token;
	return 0;
}

int farbus_region_revoke(struct farbus *farbus, const struct farbus_token *token, uint32_t flags,
			 int timeout_ms)
{
	struct request request = { 0 };
	uint32_t id = 0;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (!token || (flags & ~FARBUS_REVOKE_FORCE))
		return error_set(-EINVAL, "revoke needs a token, and flags 0 or "
					  "FARBUS_REVOKE_FORCE");
	lock_acquire(&farbus->lock);
	err = core_revoke(farbus->core, token, flags & FARBUS_REVOKE_FORCE,
			  instance_deadline(farbus, timeout_ms), clock_now_ns(), &id);
	err = request_run_locked(farbus, &request, err, id, "revoke");
	lock_release(&farbus->lock);
	if (err == 0)
		counter_add(COUNTER_grant_revoked, 1);
	return err;
}

int farbus_grant_rotate(struct farbus *farbus, const struct farbus_token *token,
			struct farbus_token *ret_token)
{
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (!token || !ret_token)
		return error_set(-EINVAL, "rotate needs the token and room for the new one");
	lock_acquire(&farbus->lock);
	err = core_rotate(farbus->core, token, ret_token);
	lock_release(&farbus->lock);
	return err;
}

/* What carries the requests to its home; shm is how own memory is shared. */
const char *region_transport(const struct farbus_region *region)
{
	const struct farbus *farbus = region->farbus;
	uint32_t link = core_rank_link(farbus->core, region->home_rank);

	if (region->own || link >= farbus->link_top || !farbus->links[link].transport)
		return "shm";
	return farbus->links[link].backend->ops->name;
}

uint32_t region_onesided(const struct farbus_region *region)
{
	if (region->remote)
		return (region->onesided & TRANSPORT_PUT ? FARBUS_ONESIDED_PUT : 0) |
		       (region->onesided & TRANSPORT_GET ? FARBUS_ONESIDED_GET : 0);
	return region->served ? 0 :
				FARBUS_ONESIDED_PUT | FARBUS_ONESIDED_GET | FARBUS_ONESIDED_ATOMIC;
}

int farbus_region_info(struct farbus_region *region, struct farbus_region_info *ret_info)
{
	struct farbus_region_info info = { 0 };
	int err = region_check(region);

	if (err < 0)
		return err;
	if (!ret_info)
		return error_set(-EINVAL, "ret_info is NULL: nowhere to put the answer");
	lock_acquire(&region->farbus->lock);
	service_pump_locked(region->farbus);
	info.region = region->id;
	info.off = region->off;
	info.len = region->len;
	info.rights = region->rights;
	info.home_rank = region->home_rank;
	info.home_instance = region->home_instance;
	info.generation = region->generation;
	info.path = region->own	   ? FARBUS_PATH_OWN :
		    region->remote ? FARBUS_PATH_FABRIC :
		    region->served ? FARBUS_PATH_SERVED :
				     FARBUS_PATH_MAPPED;
	info.onesided = region_onesided(region);
	info.page_size = region->page_size;
	if (atomic_load_explicit(&region->state, memory_order_acquire) == REGION_DEAD)
		info.status = atomic_load_explicit(&region->status, memory_order_acquire);
	info.transport = region_transport(region);
	info.va = region->own ? region->head.base : NULL;
	lock_release(&region->farbus->lock);
	*ret_info = info;
	return 0;
}

int farbus_region_advise(struct farbus_region *region, uint64_t off, uint64_t len,
			 enum farbus_advice advice)
{
	uint8_t *start, *end;
	int err = region_check(region);

	if (err < 0)
		return err;
	if (advice != FARBUS_ADVISE_POPULATE)
		return error_set(-EINVAL, "advice %d: only FARBUS_ADVISE_POPULATE is known",
				 (int)advice);
	err = region_refusal(region, off, len, FARBUS_R, "advise");
	if (err < 0)
		return err;
	if (!region->map)
		return 0; /* served, or memory that the application mapped itself: nothing to fault in */
	start = region->head.base + off;
	end = start + len;
	start -= (uintptr_t)start % ADDR_PAGE_SIZE;
	if (madvise(start, (size_t)(end - start),
		    region->rights & FARBUS_W ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) < 0)
		return error_set(errno == ENOMEM ? -ENOMEM : -EFAULT, "populate: %s",
				 strerror(errno));
	return 0;
}
