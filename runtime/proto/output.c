/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * output.c -- what the core wants done, in order
 *
 * A few outputs are kept in reserve, so that an event, a closing or a lost import is told even
 * when there is no memory; messages, which may be long, are not: without memory for one its
 * connection ends.
 */
#include "base/alloc.h"
#include "base/counter.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct out *out_new(struct core *core, enum core_output_kind kind, size_t len)
{
	/* Not zeroed: data may be long, and whoever asks for it fills it. */
	struct out *out = alloc_resize(NULL, 1, sizeof(*out) + len);

	if (!out && len == 0 && (out = STAILQ_FIRST(&core->reserve))) {
		STAILQ_REMOVE_HEAD(&core->reserve, link);
		core->reserve_count--;
	}
	if (!out)
		return NULL;
	memset(out, 0, sizeof(*out));
	out->is.kind = kind;
	out->is.fd = -1;
	if (len) {
		out->is.data = out->data;
		out->is.len = len;
	}
	return out;
}

void out_free(struct core *core, struct out *out)
{
	if (!out)
		return;
	free(out->buffer);
	out->buffer = NULL;
	if (core->reserve_count < CORE_RESERVE) {
		STAILQ_INSERT_HEAD(&core->reserve, out, link);
		core->reserve_count++;
		return;
	}
	free(out);
}

void out_push(struct core *core, struct out *out)
{
	STAILQ_INSERT_TAIL(&core->outs, out, link);
}

bool core_output(struct core *core, struct core_output *ret_output)
{
	struct out *out = STAILQ_FIRST(&core->outs);

	out_free(core, core->last);
	core->last = NULL;
	if (core->lost_untold) {
		core->lost_untold = false;
		*ret_output = (struct core_output){ .kind = CORE_WORK,
						    .work_kind = CORE_WORK_LOST,
						    .status = -EHOSTDOWN,
						    .fd = -1 };
		return true;
	}
	core->last = out;
	if (!out)
		return false;
	STAILQ_REMOVE_HEAD(&core->outs, link);
	*ret_output = out->is;
	return true;
}

bool core_output_send_next(const struct core *core)
{
	const struct out *out = STAILQ_FIRST(&core->outs);

	return out && out->is.kind == CORE_SEND;
}

void out_fd_drop(struct core *core, int fd)
{
	struct out *out;

	if (fd < 0)
		return;
	out = out_new(core, CORE_FD, 0);
	if (!out)
		return; /* the descriptor stays open: all that can be done without memory */
	out->is.fd = fd;
	out_push(core, out);
}

void out_event(struct core *core, uint32_t kind, uint32_t rank, uint32_t instance, uint64_t region,
	       int status)
{
	struct out *out = out_new(core, CORE_EVENT, 0);

	if (!out) {
		counter_add(COUNTER_event_lost, 1);
		return;
	}
	out->is.event = (struct farbus_event){
		.kind = kind,
		.rank = rank,
		.instance = instance,
		.status = status,
		.region = region,
	};
	out_push(core, out);
}
