/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fabric.c -- one-sided access: the importer's device reaches the home's memory by itself
 *
 * The home exposes a grant's range when it is imported and hides it when the grant ends, so that a
 * revocation needs nobody's answer. An importer whose key is refused asks the home why: either the
 * grant is at its end, and what was under way fails with that, or the memory has another key now
 * (the region was given new memory), and it is done again with that. Puts and gets may be done twice;
 * atomics are the home's (served.c), because a device's atomics and a CPU's do not see each other.
 *
 * Invariants:
 *   1. an operation is with the transport, in its region's stale, or in fabric_waiting
 *   2. it counts in its thread's and region's pending until it ends, which it does once
 */
#include "base/alloc.h"
#include "base/counter.h"
#include "base/error.h"
#include "base/log.h"
#include "runtime/instance.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FABRIC_COPY_MAX ((size_t)8 << 10)  /* a put of at most this returns before it is done */
#define FABRIC_PIECE_MAX ((size_t)1 << 20) /* one operation of the device */

/* ---- operations ---- */

static void op_end(struct fabric_op *op, int status, const char *why)
{
	served_ended(op->region, op->thread, status, why ? why : farbus_strerror(status));
	free(op);
}

static void rekey_start(struct farbus_region *region);

/* Hands it to the transport; what that does not take now waits for room. */
static void op_post(struct fabric_op *op)
{
	struct farbus_region *region = op->region;
	const struct transport_ops *ops = region->remote_backend->ops;
	uint64_t cookie = (uint64_t)(uintptr_t)op;
	int err;

	if (region->rekeying) {
		STAILQ_INSERT_TAIL(&region->stale, op, link);
		return;
	}
	if (op->get)
		err = ops->get(region->remote, op->off, op->dst, op->len, cookie);
	else
		err = ops->put(region->remote, op->off, op->src, op->len, cookie);
	if (err == -EAGAIN)
		STAILQ_INSERT_TAIL(&region->farbus->fabric_waiting, op, link);
	else if (err < 0)
		op_end(op, err, error_text());
}

static void waiting_post(struct farbus *farbus) REQUIRES(&farbus->lock)
{
	struct fabric_ops list = STAILQ_HEAD_INITIALIZER(list);
	struct fabric_op *op;

	STAILQ_CONCAT(&list, &farbus->fabric_waiting);
	while ((op = STAILQ_FIRST(&list))) {
		STAILQ_REMOVE_HEAD(&list, link);
		op_post(op);
	}
}

void fabric_complete_locked(struct farbus *farbus, uint64_t cookie, int status)
{
	struct fabric_op *op = (struct fabric_op *)(uintptr_t)cookie;
	struct farbus_region *region = op->region;
	bool dead = atomic_load_explicit(&region->state, memory_order_acquire) == REGION_DEAD;

	if (status == -ESTALE && !dead) {
		STAILQ_INSERT_TAIL(&region->stale, op, link);
		rekey_start(region);
	} else if (status < 0 && dead) {
		op_end(op, atomic_load_explicit(&region->status, memory_order_acquire), NULL);
	} else {
		op_end(op, status, status < 0 ? "the network's device could not carry it out" : "");
	}
	waiting_post(farbus);
}

void fabric_fail_locked(struct farbus_region *region, int status)
{
	struct fabric_ops rest = STAILQ_HEAD_INITIALIZER(rest);
	struct farbus *farbus = region->farbus;
	struct fabric_op *op;

	lock_held(&farbus->lock);
	while ((op = STAILQ_FIRST(&region->stale))) {
		STAILQ_REMOVE_HEAD(&region->stale, link);
		op_end(op, status, NULL);
	}
	while ((op = STAILQ_FIRST(&farbus->fabric_waiting))) {
		STAILQ_REMOVE_HEAD(&farbus->fabric_waiting, link);
		if (op->region == region)
			op_end(op, status, NULL);
		else
			STAILQ_INSERT_TAIL(&rest, op, link);
	}
	STAILQ_CONCAT(&farbus->fabric_waiting, &rest);
}

/* ---- a key that is not valid any more ---- */

static void remote_set(struct farbus_region *region, const void *key, size_t key_len)
{
	struct transport_key is = { .len = (uint32_t)key_len };
	struct farbus *farbus = region->farbus;
	uint32_t number = core_rank_link(farbus->core, region->home_rank);
	struct link *link;

	if (key_len == 0 || key_len > sizeof(is.data) || number >= farbus->link_top)
		return;
	link = &farbus->links[number];
	if (!link->transport || !link->backend->ops->remote_open)
		return;
	memcpy(is.data, key, key_len);
	if (link->backend->ops->remote_open(link->transport, &is, region->len, &region->remote) <
	    0) {
		log_info("region %llx is served: %s", (unsigned long long)region->id, error_text());
		region->remote = NULL;
		return;
	}
	region->remote_backend = link->backend;
	region->onesided = link->backend->ops->remote_onesided(region->remote);
}

static void remote_clear(struct farbus_region *region)
{
	if (region->remote)
		region->remote_backend->ops->remote_close(region->remote);
	region->remote = NULL;
	region->onesided = 0;
}

static void stale_repeat(struct farbus_region *region)
{
	struct fabric_ops list = STAILQ_HEAD_INITIALIZER(list);
	struct fabric_op *op;

	STAILQ_CONCAT(&list, &region->stale);
	while ((op = STAILQ_FIRST(&list))) {
		STAILQ_REMOVE_HEAD(&list, link);
		if (region->remote)
			op_post(op);
		else
			op_end(op, -EAGAIN,
			       "the home does not expose the region any more: repeat "
			       "the operation, it will be served");
	}
}

static void rekey_done(struct farbus *farbus, struct request *request, struct core_output *output)
{
	struct farbus_region *region = request->region;

	(void)farbus;
	region->rekeying = false;
	if (output->status < 0) {
		fabric_fail_locked(region, output->status);
	} else {
		remote_clear(region);
		remote_set(region, output->key, output->key_len);
		stale_repeat(region);
	}
	/* The request held the handle, as an operation does. */
	atomic_fetch_sub_explicit(&region->served_pending, 1, memory_order_release);
	pthread_cond_broadcast(&region->served_room);
	free(request);
}

static void rekey_start(struct farbus_region *region)
{
	struct farbus *farbus = region->farbus;
	struct request *request;
	uint32_t id = 0;
	int err;

	lock_held(&farbus->lock);
	if (region->rekeying)
		return;
	request = alloc_zero(sizeof(*request));
	if (!request) {
		fabric_fail_locked(region, -ENOMEM);
		return;
	}
	request->done = rekey_done;
	request->heap = true;
	request->region = region;
	region->rekeying = true;
	err = core_rekey(farbus->core, region->import, instance_deadline(farbus, -1),
			 clock_now_ns(), &id);
	if (err < 0) {
		region->rekeying = false;
		free(request);
		fabric_fail_locked(region, err);
		return;
	}
	atomic_fetch_add_explicit(&region->served_pending, 1, memory_order_release);
	request_add_locked(farbus, request, id);
}

/* ---- the importer's calls ---- */

void fabric_open_locked(struct farbus_region *region, const void *key, size_t key_len)
{
	lock_held(&region->farbus->lock);
	remote_set(region, key, key_len);
}

static struct fabric_op *op_new(struct farbus_region *region, struct served_thread *thread,
				uint64_t off, size_t len, size_t copy)
{
	struct fabric_op *op = alloc_zero(sizeof(*op) + copy);

	if (!op)
		return NULL;
	op->region = region;
	op->thread = thread;
	op->off = off;
	op->len = len;
	thread->pending++;
	atomic_fetch_add_explicit(&region->served_pending, 1, memory_order_release);
	return op;
}

void fabric_prepare_locked(struct farbus_region *region)
{
	struct served_thread here = { 0 };
	struct fabric_op *op;

	lock_held(&region->farbus->lock);
	if (!region->remote)
		return;
	op = op_new(region, &here, 0, 0, 0);
	if (!op)
		return;
	op->get = true;
	op_post(op);
	if (served_thread_wait_locked(region, &here) == 0)
		return;
	log_warning("region %llx is served instead of reached through %s: %s",
		    (unsigned long long)region->id, region->remote_backend->ops->name,
		    error_text());
	remote_clear(region);
}

void fabric_close_locked(struct farbus_region *region)
{
	lock_held(&region->farbus->lock);
	fabric_fail_locked(region, -EHOSTDOWN);
	remote_clear(region);
}

static int put_short_locked(struct farbus_region *region, struct served_thread *thread,
			    uint64_t off, const void *src, size_t len)
{
	struct fabric_op *op;

	served_room_wait_locked(region);
	op = op_new(region, thread, off, len, len);
	if (!op)
		return error_set(-ENOMEM, "no memory for a put");
	memcpy(op->data, src, len);
	op->src = op->data;
	op_post(op);
	return 0;
}

/* All pieces, then waits: what is borrowed may be used until they have ended. */
static int pieces_locked(struct farbus_region *region, uint64_t off, const uint8_t *src,
			 uint8_t *dst, size_t len)
{
	struct served_thread here = { 0 }; /* not the thread's: its failures are the next flush's */
	int err = 0, waited;

	for (size_t at = 0; at < len && err == 0;) {
		size_t n = len - at < FABRIC_PIECE_MAX ? len - at : FABRIC_PIECE_MAX;
		struct fabric_op *op;

		served_room_wait_locked(region);
		op = op_new(region, &here, off + at, n, 0);
		if (!op) {
			err = error_set(-ENOMEM, "no memory for an operation");
			break;
		}
		op->get = dst != NULL;
		op->src = src ? src + at : NULL;
		op->dst = dst ? dst + at : NULL;
		op_post(op);
		at += n;
	}
	waited = served_thread_wait_locked(region, &here);
	return err < 0 ? err : waited;
}

int fabric_put_locked(struct farbus_region *region, uint64_t off, const void *src, size_t len)
{
	struct served_thread *thread;

	if (len > FABRIC_COPY_MAX)
		return pieces_locked(region, off, src, NULL, len);
	thread = served_thread_locked(region);
	if (!thread)
		return error_set(-ENOMEM, "no memory for a put");
	return put_short_locked(region, thread, off, src, len);
}

int fabric_get_locked(struct farbus_region *region, uint64_t off, void *dst, size_t len)
{
	return pieces_locked(region, off, NULL, dst, len);
}

/* ---- the home's side ---- */

static struct exposure *exposure_find(struct farbus *farbus, uint32_t record)
{
	struct exposure *exposure;

	LIST_FOREACH(exposure, &farbus->exposures[record % INSTANCE_REQUEST_BUCKETS], link)
		if (exposure->record == record)
			return exposure;
	return NULL;
}

static int expose(struct farbus *farbus, const struct core_output *output,
		  struct transport_key *ret_key) REQUIRES(&farbus->lock)
{
	struct export_region export;
	struct farbus_region *region;
	struct exposure *exposure;
	struct link *link = &farbus->links[output->link];
	uint32_t access = TRANSPORT_GET | (output->expose.rights & FARBUS_W ? TRANSPORT_PUT : 0);
	int err = export_region_lookup(core_exports(farbus->core), output->region, &export);

	if (err < 0)
		return err;
	region = export.owner;
	if (!region || !region->head.base ||
	    !addr_within(output->expose.off, output->expose.len, region->len))
		return error_set(-ERANGE, "the grant is not in the region's memory");
	exposure = alloc_zero(sizeof(*exposure));
	if (!exposure)
		return error_set(-ENOMEM, "no memory to expose a region");
	err = link->backend->ops->memory_expose(
		link->backend->transport, region->head.base + output->expose.off,
		output->expose.len, access, &exposure->exposed, ret_key);
	if (err < 0) {
		free(exposure);
		return err;
	}
	exposure->record = output->record;
	exposure->backend = link->backend;
	LIST_INSERT_HEAD(&farbus->exposures[output->record % INSTANCE_REQUEST_BUCKETS], exposure,
			 link);
	return 0;
}

size_t fabric_expose_locked(struct farbus *farbus, const struct core_output *output,
			    struct transport_key *ret_key)
{
	struct link *link;
	int err;

	if (output->link >= farbus->link_top || !farbus->links[output->link].transport)
		return 0;
	link = &farbus->links[output->link];
	err = expose(farbus, output, ret_key);
	if (err < 0) {
		/* Never silent: access works, but slower than could be expected. */
		log_warning("region %llx is served to rank %d instead of exposed through %s: %s",
			    (unsigned long long)output->region,
			    (int)core_link_rank(farbus->core, output->link),
			    link->backend->ops->name, error_text());
		return 0;
	}
	return ret_key->len;
}

static void exposure_free(struct exposure *exposure)
{
	exposure->backend->ops->memory_hide(exposure->exposed);
	LIST_REMOVE(exposure, link);
	free(exposure);
}

void fabric_hide_locked(struct farbus *farbus, uint32_t record)
{
	struct exposure *exposure = exposure_find(farbus, record);

	if (exposure)
		exposure_free(exposure);
}

void fabric_hide_all_locked(struct farbus *farbus)
{
	struct exposure *exposure;

	for (int i = 0; i < INSTANCE_REQUEST_BUCKETS; i++)
		while ((exposure = LIST_FIRST(&farbus->exposures[i])))
			exposure_free(exposure);
}
