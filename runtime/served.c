/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * served.c -- access that the home carries out: pieces of what fits a message, as requests
 *
 * Puts are pipelined: SERVED_DEPTH pieces of a region may be under way, then the putting thread
 * waits, so a slow home slows its clients. A put that fails later is kept per (thread, region)
 * and given to that thread's next flush, once. The pieces of a get, and those of a getv, are pipelined
 * within the call.
 *
 * Invariant: region->served_pending is the sum of its threads' pending.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "runtime/instance.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct served_thread *served_thread_locked(struct farbus_region *region)
{
	const void *slot = process_slot_self();
	struct served_thread *thread;

	SLIST_FOREACH(thread, &region->served_threads, link)
		if (thread->slot == slot)
			return thread;
	thread = alloc_zero(sizeof(*thread));
	if (!thread)
		return NULL;
	thread->slot = slot;
	SLIST_INSERT_HEAD(&region->served_threads, thread, link);
	return thread;
}

/* An operation of the thread has ended; its failure is the next flush's. */
void served_ended(struct farbus_region *region, struct served_thread *thread, int status,
		  const char *why)
{
	thread->pending--;
	atomic_fetch_sub_explicit(&region->served_pending, 1, memory_order_release);
	thread->failed += status < 0;
	if (status < 0 && thread->error == 0) {
		thread->error = status;
		snprintf(thread->why, sizeof(thread->why), "%.120s", why);
	}
	pthread_cond_broadcast(&region->served_room);
}

static void put_done(struct farbus *farbus, struct request *request, struct core_output *output)
{
	(void)farbus;
	served_ended(request->region, request->thread, output->status, output->why);
	free(request);
}

static int put_piece_locked(struct farbus_region *region, struct served_thread *thread,
			    uint64_t off, const void *src, size_t len)
{
	struct farbus *farbus = region->farbus;
	struct request *request = alloc_zero(sizeof(*request));
	uint32_t id = 0;
	int err;

	lock_held(&farbus->lock);
	if (!request)
		return error_set(-ENOMEM, "no memory for a served put");
	request->done = put_done;
	request->heap = true;
	request->region = region;
	request->thread = thread;
	err = core_served_put(farbus->core, region->import, off, src, len,
			      instance_deadline(farbus, -1), clock_now_ns(), &id);
	if (err < 0) {
		free(request);
		return err;
	}
	thread->pending++;
	atomic_fetch_add_explicit(&region->served_pending, 1, memory_order_release);
	request_add_locked(farbus, request, id);
	service_push_locked(farbus);
	return 0;
}

static bool room(const void *arg)
{
	const struct farbus_region *region = arg;

	return atomic_load_explicit(&region->served_pending, memory_order_acquire) < SERVED_DEPTH;
}

static bool region_idle(const void *arg)
{
	const struct farbus_region *region = arg;

	return atomic_load_explicit(&region->served_pending, memory_order_acquire) == 0;
}

static bool thread_idle(const void *arg)
{
	return ((const struct served_thread *)arg)->pending == 0;
}

static bool half_empty(const void *arg)
{
	const struct farbus_region *region = arg;

	return atomic_load_explicit(&region->served_pending, memory_order_acquire) <=
	       SERVED_DEPTH / 2;
}

/*
 * For room for many, so that not every put has to wait; the rest keeps the home busy meanwhile.
 * Puts end by their deadlines, so that this ends, too.
 */
void served_room_wait_locked(struct farbus_region *region)
{
	lock_held(&region->farbus->lock);
	if (!room(region))
		wait_until_locked(region->farbus, &region->served_room, half_empty, region,
				  UINT64_MAX);
}

/* Operations end by their deadlines, so that this ends, too. Returns its first failure, once. */
int served_thread_wait_locked(struct farbus_region *region, struct served_thread *thread)
{
	int err;

	lock_held(&region->farbus->lock);
	if (region->remote)
		wait_poll_locked(region->farbus, thread_idle, thread);
	wait_until_locked(region->farbus, &region->served_room, thread_idle, thread, UINT64_MAX);
	err = thread->error;
	thread->error = 0;
	return err < 0 ? error_set(err, "%s", thread->why[0] ? thread->why : farbus_strerror(err)) :
			 0;
}

static bool fabric(const struct farbus_region *region, uint32_t operation)
{
	return region->remote && (region->onesided & operation);
}

/* Puts by the device must be there before the home carries out a signal. */
static int fabric_settle_locked(struct farbus_region *region)
{
	struct served_thread *thread;

	lock_held(&region->farbus->lock);
	if (!region->remote)
		return 0;
	thread = served_thread_locked(region);
	return thread ? served_thread_wait_locked(region, thread) : 0;
}

int served_put(struct farbus_region *region, uint64_t off, const void *src, size_t len)
{
	const uint8_t *from = src;
	struct served_thread *thread;
	uint32_t failed;
	size_t piece;
	int err = 0;

	lock_acquire(&region->farbus->lock);
	if (fabric(region, TRANSPORT_PUT)) {
		err = fabric_put_locked(region, off, src, len);
		lock_release(&region->farbus->lock);
		return err;
	}
	thread = served_thread_locked(region);
	if (!thread)
		err = error_set(-ENOMEM, "no memory for a served put");
	failed = thread ? thread->failed : 0;
	while (err == 0 && len) {
		size_t n;

		served_room_wait_locked(region);
		/* Each round of pieces would wait as long again for a home that is silent. */
		if (thread->failed != failed) {
			err = error_set(thread->error, "put: %s",
					thread->why[0] ? thread->why :
							 farbus_strerror(thread->error));
			break;
		}
		/* The wait gave the lock away: there may be another link now, or none. */
		piece = core_import_piece_max(region->farbus->core, region->import);
		n = len < piece ? len : piece;
		err = put_piece_locked(region, thread, off, from, n);
		off += n;
		from += n;
		len -= n;
	}
	lock_release(&region->farbus->lock);
	return err;
}

/* Of a thread's gets, in the order in which they were asked for; [ended, started) are under way. */
struct gets {
	struct farbus_region *region; /* borrows */
	unsigned started, ended;
	int err; /* the first failure */
	struct request request[SERVED_GET_DEPTH];
};

static void gets_end_oldest_locked(struct gets *gets)
{
	struct farbus *farbus = gets->region->farbus;
	struct request *request = &gets->request[gets->ended++ % SERVED_GET_DEPTH];
	int err;

	lock_held(&farbus->lock);
	err = request_wait_locked(farbus, request);
	if (err == 0 && request->len != request->size)
		err = -EPROTO;
	if (err < 0 && gets->err == 0)
		gets->err = error_set(err, "served get: %s",
				      request->why[0] ? request->why : farbus_strerror(err));
}

/* Threads share: what a home has to keep for a client that does not read grows little with them. */
static unsigned gets_depth(const struct farbus *farbus)
{
	unsigned depth = SERVED_GET_DEPTH / farbus->holds;

	return depth > SERVED_GET_DEPTH_MIN ? depth : SERVED_GET_DEPTH_MIN;
}

/* Waits for half of them at a time: each wait is a sleep. The others keep the home busy meanwhile. */
static void gets_room_locked(struct gets *gets)
{
	struct farbus *farbus = gets->region->farbus;
	unsigned depth = gets_depth(farbus), until = gets->started - depth / 2;

	lock_held(&farbus->lock);
	if (gets->started - gets->ended < depth)
		return;
	request_wait_locked(farbus, &gets->request[(until - 1) % SERVED_GET_DEPTH]);
	while (gets->ended != until)
		gets_end_oldest_locked(gets);
}

static int gets_start_locked(struct gets *gets, uint64_t off, void *dst, size_t len)
{
	struct farbus *farbus = gets->region->farbus;
	struct request *request = &gets->request[gets->started % SERVED_GET_DEPTH];
	uint32_t id = 0;
	int err;

	lock_held(&farbus->lock);
	err = core_served_get(farbus->core, gets->region->import, off, len,
			      instance_deadline(farbus, -1), clock_now_ns(), &id);
	if (err < 0)
		return err;
	memset(request, 0, sizeof(*request));
	request->data = dst;
	request->size = len;
	request_add_locked(farbus, request, id);
	gets->started++;
	return 0;
}

static void gets_add_locked(struct gets *gets, uint64_t off, uint8_t *dst, size_t len)
{
	struct farbus_region *region = gets->region;
	size_t n;

	lock_held(&region->farbus->lock);
	for (; len && gets->err == 0; off += n, dst += n, len -= n) {
		gets_room_locked(gets);
		if (gets->err < 0)
			return;
		/* The wait gave the lock away: there may be another link now, or none. */
		n = core_import_piece_max(region->farbus->core, region->import);
		n = len < n ? len : n;
		gets->err = gets_start_locked(gets, off, dst, n);
	}
}

/* Also after a failure: where the pieces under way are received is the caller's. */
static int gets_finish_locked(struct gets *gets)
{
	while (gets->ended != gets->started)
		gets_end_oldest_locked(gets);
	return gets->err;
}

int served_getv(struct farbus_region *region, const struct farbus_vec *vec, size_t n)
{
	struct gets gets; /* its requests are made when they are started */
	int err = 0;

	gets.region = region;
	gets.started = gets.ended = 0;
	gets.err = 0;
	lock_acquire(&region->farbus->lock);
	wait_hold_locked(region->farbus);
	for (size_t i = 0; i < n && err == 0 && gets.err == 0; i++) {
		uint64_t off = vec[i].off;
		uint8_t *dst = vec[i].local;

		for (size_t k = vec[i].count ? vec[i].count : 1; k && err == 0 && gets.err == 0;
		     k--) {
			if (fabric(region, TRANSPORT_GET))
				err = fabric_get_locked(region, off, dst, vec[i].len);
			else
				gets_add_locked(&gets, off, dst, vec[i].len);
			off += vec[i].stride;
			dst += vec[i].local_stride;
		}
	}
	gets_finish_locked(&gets);
	wait_unhold_locked(region->farbus);
	lock_release(&region->farbus->lock);
	return err < 0 ? err : gets.err;
}

int served_get(struct farbus_region *region, uint64_t off, void *dst, size_t len)
{
	const struct farbus_vec vec = { .off = off, .local = dst, .len = len };

	return served_getv(region, &vec, 1);
}

int served_atomic(struct farbus_region *region, uint64_t off, enum farbus_atomic_op op,
		  size_t width, uint64_t operand, uint64_t compare, bool signal, uint64_t *ret_old)
{
	struct farbus *farbus = region->farbus;
	struct request request = { 0 };
	uint32_t id = 0;
	int err;

	lock_acquire(&farbus->lock);
	err = signal ? fabric_settle_locked(region) : 0;
	if (err == 0)
		err = core_served_atomic(farbus->core, region->import, off, op, (uint32_t)width,
					 operand, compare, signal, instance_deadline(farbus, -1),
					 clock_now_ns(), &id);
	err = request_run_locked(farbus, &request, err, id, "served atomic");
	lock_release(&farbus->lock);
	if (err == 0 && ret_old)
		*ret_old = request.value;
	return err;
}

static int flush_wait_locked(struct farbus_region *region, struct served_thread *thread,
			     int timeout_ms)
{
	uint64_t deadline = instance_deadline(region->farbus, timeout_ms);

	lock_held(&region->farbus->lock);
	if (region->remote)
		wait_poll_locked(region->farbus, thread_idle, thread);
	if (wait_until_locked(region->farbus, &region->served_room, thread_idle, thread, deadline) <
	    0) {
		core_rank_silent(region->farbus->core, region->home_rank);
		service_pump_locked(region->farbus);
		return error_set(-ETIMEDOUT,
				 "flush: the home of region %llx has not carried out "
				 "%u puts yet; is it stopped?",
				 (unsigned long long)region->id, thread->pending);
	}
	return 0;
}

void served_drain_locked(struct farbus_region *region)
{
	lock_held(&region->farbus->lock);
	wait_until_locked(region->farbus, &region->served_room, region_idle, region, UINT64_MAX);
}

int served_flush(struct farbus_region *region, int timeout_ms)
{
	const void *slot = process_slot_self();
	struct served_thread *thread;
	int err = 0;

	if (!slot)
		return 0; /* a thread without a slot has put nothing */
	lock_acquire(&region->farbus->lock);
	SLIST_FOREACH(thread, &region->served_threads, link)
		if (thread->slot == slot)
			break;
	if (thread)
		err = flush_wait_locked(region, thread, timeout_ms);
	if (thread && err == 0 && thread->error) {
		err = error_set(thread->error, "an earlier put failed: %s",
				thread->why[0] ? thread->why : farbus_strerror(thread->error));
		thread->error = 0;
	}
	lock_release(&region->farbus->lock);
	return err;
}

/* ---- long messages, received where they belong ---- */

static void *region_place(struct farbus *farbus, const struct core_place *place, size_t len)
{
	struct export_region export;
	const struct farbus_region *region;

	if (export_region_lookup(core_exports(farbus->core), place->region, &export) < 0 ||
	    !export.owner)
		return NULL;
	region = export.owner;
	if (!region->head.base || !addr_within(place->off, len, region->len))
		return NULL;
	return region->head.base + place->off;
}

static void *request_place(struct farbus *farbus, const struct core_place *place, size_t len)
{
	const struct request *request;

	lock_held(&farbus->lock);
	request = request_find_locked(farbus, place->request);
	return request && !request->done && request->size == len ? request->data : NULL;
}

/* The same checks as before a copy; within poll(), so under the lock. */
bool served_place(void *arg, struct transport_link *link, const void *head, size_t len,
		  struct transport_place *ret_place)
{
	const struct backend *backend = arg;
	uintptr_t user = (uintptr_t)backend->ops->link_user(link);
	struct farbus *farbus = backend->farbus;
	struct core_place place;
	void *to;

	lock_held(&farbus->lock);
	if (user == 0 || !core_place(farbus->core, (uint32_t)user - 1, head, len, &place))
		return false;
	if (place.region)
		to = region_place(farbus, &place, len - place.skip);
	else
		to = request_place(farbus, &place, len - place.skip);
	if (!to)
		return false;
	*ret_place = (struct transport_place){ .to = to, .skip = place.skip };
	return true;
}
