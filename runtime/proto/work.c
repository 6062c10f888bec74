/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * work.c -- what the driver does with memory for the core, and its answers
 *
 * Invariant (core_check): a work is found by its id until the driver has answered it.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <stdlib.h>

static struct work *work_find(const struct core *core, uint32_t id)
{
	struct work *work;

	LIST_FOREACH(work, &core->works[id % CORE_BUCKETS], link)
		if (work->id == id)
			return work;
	return NULL;
}

struct work *work_new(struct core *core, enum core_work_kind kind, struct out **ret_out, size_t len)
{
	struct work *work = alloc_zero(sizeof(*work));

	if (!work)
		return NULL;
	*ret_out = out_new(core, CORE_WORK, len);
	if (!*ret_out) {
		free(work);
		return NULL;
	}
	work->kind = kind;
	do
		work->id = ++core->work_last;
	while (work->id == 0 || work_find(core, work->id));
	return work;
}

void work_push(struct core *core, struct work *work, struct out *out)
{
	LIST_INSERT_HEAD(&core->works[work->id % CORE_BUCKETS], work, link);
	out->is.work = work->id;
	out->is.work_kind = work->kind;
	out_push(core, out);
}

void work_conn_gone(struct core *core, struct conn *conn)
{
	struct work *work;

	for (int i = 0; i < CORE_BUCKETS; i++)
		LIST_FOREACH(work, &core->works[i], link)
			if (work->conn == conn)
				work->conn = NULL;
}

void work_free_all(struct core *core)
{
	struct work *work;

	for (int i = 0; i < CORE_BUCKETS; i++)
		while ((work = LIST_FIRST(&core->works[i]))) {
			LIST_REMOVE(work, link);
			free(work);
		}
}

void core_work_done(struct core *core, uint32_t id, int status, uint64_t now)
{
	struct work *work = work_find(core, id);

	core->now = now;
	if (!work || work->kind == CORE_WORK_SERVE || work->kind == CORE_WORK_EXPOSE)
		return;
	LIST_REMOVE(work, link);
	if (work->kind == CORE_WORK_FORCE)
		force_worked(core, work->region, status);
	else
		importer_work_done(core, work, status);
	free(work);
	core_settle(core);
}

void core_work_exposed(struct core *core, uint32_t id, const void *key, size_t key_len,
		       uint64_t now)
{
	struct work *work = work_find(core, id);

	core->now = now;
	if (!work || work->kind != CORE_WORK_EXPOSE)
		return;
	LIST_REMOVE(work, link);
	home_exposed(core, work, key, key_len);
	free(work);
	core_settle(core);
}

static const char *serve_fault(int status)
{
	switch (status) {
	case -EINVAL:
		return "the access is not aligned where the memory is: an atomic needs its width";
	case -ERANGE:
		return "the access is past the end of the memory";
	case -ESTALE:
		return "the region was released by its owner";
	default:
		return farbus_strerror(status);
	}
}

void core_serve_done(struct core *core, uint32_t id, int status, const void *data, size_t len,
		     uint64_t value, uint64_t now)
{
	struct work *work = work_find(core, id);

	core->now = now;
	if (!work || work->kind != CORE_WORK_SERVE)
		return;
	LIST_REMOVE(work, link);
	if (work->conn && status < 0)
		conn_refuse(core, work->conn, &work->asked, status, serve_fault(status));
	else if (work->conn && work->get)
		conn_reply_lent(core, work->conn, &work->asked, data,
				len == work->get_len ? len : 0);
	else if (work->conn)
		conn_reply(core, work->conn, &work->asked, value, NULL, 0);
	free(work);
	core_settle(core);
}
