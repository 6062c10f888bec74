/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.c -- memory that peers reach, and the keys to it
 *
 * Each exposure has registrations of its own, and hiding it is to deregister them: the device has
 * finished with them when that returns. A device that pages on demand pins nothing.
 */
#include "transport/verbs/verbs.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define KEY_MAGIC 0x6656u

/* What a key holds; an importer trusts it no further than its own checks. */
struct key {
	uint16_t magic;
	uint8_t access;
	uint8_t chunks;
	uint32_t zero;
	uint64_t va, pass, chunk;
	uint32_t rkey[VERBS_CHUNK_MAX];
};
_Static_assert(sizeof(struct key) == TRANSPORT_KEY_MAX, "a key is full, and without padding");

/* ---- registration ---- */

static int register_error(const struct transport *transport, size_t len, int err)
{
	char device[VERBS_REASON_MAX];
	struct rlimit limit = { 0 };

	verbs_device_text(transport, device, sizeof(device));
	getrlimit(RLIMIT_MEMLOCK, &limit);
	if ((err == ENOMEM || err == EPERM || err == EAGAIN) && limit.rlim_cur != RLIM_INFINITY)
		return error_set(-ENOSPC,
				 "%s: %zu bytes cannot be pinned: RLIMIT_MEMLOCK is %llu (of all "
				 "pinned memory): raise ulimit -l",
				 device, len, (unsigned long long)limit.rlim_cur);
	if (err == ENOMEM)
		return error_set(-ENOMEM,
				 "%s: %zu bytes cannot be registered (its max_mr is %d, its "
				 "max_mr_size %llu)",
				 device, len, transport->device.max_mr,
				 (unsigned long long)transport->device.max_mr_size);
	return error_set(-ENOTSUP, "%s: %zu bytes cannot be registered: %s", device, len,
			 strerror(err));
}

int verbs_register(struct transport *transport, struct ibv_pd *pd, void *va, size_t len, int access,
		   struct ibv_mr **ret_mr)
{
	struct ibv_mr *mr = NULL;

	errno = ENOMEM;
	if (!alloc_fault_point())
		mr = transport->library->reg_mr(pd, va, len, access);
	if (!mr)
		return register_error(transport, len, errno);
	*ret_mr = mr;
	return 0;
}

/* Does the device fetch pages when it needs them, for what peers do? */
static bool pages_on_demand(const struct transport *transport)
{
	const uint32_t needed = IBV_ODP_SUPPORT_WRITE | IBV_ODP_SUPPORT_READ;
	struct ibv_device_attr_ex attr = { 0 };
	struct verbs_context *context = verbs_get_ctx_op(transport->verbs, query_device_ex);

	if (!context || context->query_device_ex(transport->verbs, NULL, &attr, sizeof(attr)) != 0)
		return false;
	return (attr.odp_caps.general_caps & IBV_ODP_SUPPORT) &&
	       (attr.odp_caps.per_transport_caps.rc_odp_caps & needed) == needed;
}

static int chunk_register(struct transport *transport, void *va, size_t len, int access,
			  struct ibv_mr **ret_mr)
{
	if (pages_on_demand(transport) &&
	    verbs_register(transport, transport->data_pd, va, len, access | IBV_ACCESS_ON_DEMAND,
			   ret_mr) == 0)
		return 0;
	return verbs_register(transport, transport->data_pd, va, len, access, ret_mr);
}

/* ---- the home ---- */

static uint64_t chunk_len(const struct transport *transport)
{
	uint64_t max = transport->device.max_mr_size;

	return verbs_tuning.chunk_len < max ? verbs_tuning.chunk_len : max;
}

static int access_flags(uint32_t access)
{
	int flags = IBV_ACCESS_REMOTE_READ; /* a put is known to be there when a read after it is */

	if (access & TRANSPORT_PUT)
		flags |= IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_LOCAL_WRITE;
	if (access & TRANSPORT_ATOMIC)
		flags |= IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_LOCAL_WRITE;
	return flags;
}

int verbs_memory_expose(struct transport *transport, void *va, size_t len, uint32_t access,
			struct transport_exposure **ret_exposure, struct transport_key *ret_key)
{
	uint64_t chunk = chunk_len(transport) < len ? chunk_len(transport) : len;
	struct key key = { .magic = KEY_MAGIC,
			   .access = (uint8_t)access,
			   .va = (uintptr_t)va,
			   .pass = transport->pass,
			   .chunk = chunk };
	struct transport_exposure *exposure;
	int err = 0;

	if (len == 0 || (len - 1) / chunk >= VERBS_CHUNK_MAX)
		return error_set(-ENOSPC,
				 "%zu bytes are more than %d registrations of %llu bytes, which is "
				 "the device's max_mr_size: grant smaller ranges",
				 len, VERBS_CHUNK_MAX, (unsigned long long)chunk);
	exposure = alloc_zero(sizeof(*exposure));
	if (!exposure)
		return error_set(-ENOMEM, "no memory to expose a region");
	exposure->transport = transport;
	LIST_INSERT_HEAD(&transport->exposures, exposure, exposures);
	for (uint64_t at = 0; at < len && err == 0; at += chunk) {
		struct ibv_mr **mr = &exposure->mr[exposure->count];

		err = chunk_register(transport, (uint8_t *)va + at,
				     len - at < chunk ? len - at : chunk, access_flags(access), mr);
		if (err < 0)
			break;
		key.rkey[exposure->count++] = (*mr)->rkey;
	}
	if (err < 0) {
		verbs_memory_hide(exposure);
		return err;
	}
	key.chunks = (uint8_t)exposure->count;
	ret_key->len = sizeof(key);
	memcpy(ret_key->data, &key, sizeof(key));
	*ret_exposure = exposure;
	return 0;
}

void verbs_memory_hide(struct transport_exposure *exposure)
{
	for (unsigned i = 0; i < exposure->count; i++)
		FARBUS_ASSERT(exposure->transport->library->dereg_mr(exposure->mr[i]) == 0);
	LIST_REMOVE(exposure, exposures);
	free(exposure);
}

/* ---- the importer ---- */

int verbs_remote_open(struct transport_link *link, const struct transport_key *key, size_t len,
		      struct transport_remote **ret_remote)
{
	struct transport_remote *remote;
	struct key is;
	int err;

	if (key->len != sizeof(is))
		return error_set(-EINVAL, "not a key of transport verbs");
	memcpy(&is, key->data, sizeof(is));
	if (is.magic != KEY_MAGIC || len == 0 || is.chunk == 0 || is.chunks == 0 ||
	    is.chunks > VERBS_CHUNK_MAX || (len - 1) / is.chunk >= is.chunks || is.va + len < is.va)
		return error_set(-EINVAL, "not a key of transport verbs for %zu bytes", len);
	if (link->state != LINK_UP || link->broken)
		return error_set(-EHOSTDOWN, "the link has ended");
	err = verbs_data_open(link, is.pass);
	if (err < 0)
		return err;
	remote = alloc_zero(sizeof(*remote));
	if (!remote)
		return error_set(-ENOMEM, "no memory for a key");
	remote->link = link;
	remote->va = is.va;
	remote->len = len;
	remote->chunk = is.chunk;
	remote->chunks = is.chunks;
	remote->access = is.access;
	memcpy(remote->rkey, is.rkey, sizeof(remote->rkey));
	LIST_INSERT_HEAD(&link->remotes, remote, remotes);
	*ret_remote = remote;
	return 0;
}

void verbs_remote_close(struct transport_remote *remote)
{
	if (!remote)
		return;
	if (remote->link)
		LIST_REMOVE(remote, remotes);
	remote->link = NULL;
	remote->closed = true;
	if (remote->operations == 0)
		free(remote);
}

/*
 * A device's atomics and those of a CPU do not see each other, and the home's users are CPUs: they
 * are carried out here, but not offered.
 */
uint32_t verbs_remote_onesided(const struct transport_remote *remote)
{
	return remote->access & (TRANSPORT_PUT | TRANSPORT_GET);
}
