/* SPDX-License-Identifier: BSD-3-Clause */
/* collective.c -- names, barrier, broadcast, allreduce: requests to the root through the core */
#include "runtime/instance.h"

#include "base/counter.h"
#include "base/error.h"
#include <errno.h>
#include <string.h>

static int name_check(const char *name)
{
	if (!name || !name[0])
		return error_set(-EINVAL, "the name is empty");
	if (strnlen(name, FARBUS_NAME_MAX) == FARBUS_NAME_MAX)
		return error_set(-ENAMETOOLONG, "the name is longer than %d bytes",
				 FARBUS_NAME_MAX - 1);
	return 0;
}

int farbus_publish(struct farbus *farbus, const char *name, const struct farbus_token *token)
{
	struct request request = { 0 };
	uint32_t id = 0;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	err = name_check(name);
	if (err < 0)
		return err;
	if (!token)
		return error_set(-EINVAL, "the token is NULL");
	lock_acquire(&farbus->lock);
	err = core_publish(farbus->core, name, token, instance_deadline(farbus, -1), clock_now_ns(),
			   &id);
	err = request_run_locked(farbus, &request, err, id, name);
	lock_release(&farbus->lock);
	return err;
}

int farbus_lookup(struct farbus *farbus, const char *name, int timeout_ms,
		  struct farbus_token *ret_token)
{
	struct request request = { 0 };
	uint64_t deadline;
	uint32_t id = 0;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	err = name_check(name);
	if (err < 0)
		return err;
	if (!ret_token)
		return error_set(-EINVAL, "ret_token is NULL: nowhere to put the token");
	deadline = instance_deadline(farbus, timeout_ms);
	lock_acquire(&farbus->lock);
	/* Not later than now: that is how the core knows that we only look. */
	err = core_lookup(farbus->core, name, deadline, timeout_ms ? clock_now_ns() : deadline,
			  &id);
	err = request_run_locked(farbus, &request, err, id, name);
	lock_release(&farbus->lock);
	if (err == 0)
		*ret_token = request.token;
	return err;
}

int farbus_barrier(struct farbus *farbus, int timeout_ms)
{
	struct request request = { 0 };
	uint32_t id = 0;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	lock_acquire(&farbus->lock);
	err = core_barrier(farbus->core, instance_deadline(farbus, timeout_ms), clock_now_ns(),
			   &id);
	err = request_run_locked(farbus, &request, err, id, "barrier");
	lock_release(&farbus->lock);
	if (err == 0)
		counter_add(COUNTER_barrier, 1);
	return err;
}

int farbus_broadcast(struct farbus *farbus, uint32_t root, void *data, size_t len, int timeout_ms)
{
	struct request request = { .data = data, .size = len };
	uint32_t id = 0;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (!data || len == 0 || len > FARBUS_MESSAGE_MAX)
		return error_set(-EINVAL, "broadcast of %zu bytes: give 1 to %d", len,
				 FARBUS_MESSAGE_MAX);
	if (root >= farbus->self.size)
		return error_set(-EINVAL, "broadcast root %u: the job has ranks 0 to %u", root,
				 farbus->self.size - 1);
	lock_acquire(&farbus->lock);
	err = core_broadcast(farbus->core, root, data, len, instance_deadline(farbus, timeout_ms),
			     clock_now_ns(), &id);
	err = request_run_locked(farbus, &request, err, id, "broadcast");
	lock_release(&farbus->lock);
	if (err == 0)
		counter_add(COUNTER_broadcast, 1);
	return err;
}

int farbus_allreduce(struct farbus *farbus, void *data, size_t count, enum farbus_type type,
		     enum farbus_reduce op, int timeout_ms)
{
	struct request request = { .data = data, .size = count * 8 };
	uint32_t id = 0;
	int err = instance_check(farbus);

	if (err < 0)
		return err;
	if (!data || count == 0 || count > FARBUS_MESSAGE_MAX / 8)
		return error_set(-EINVAL, "allreduce of %zu elements: give 1 to %d", count,
				 FARBUS_MESSAGE_MAX / 8);
	if (type < FARBUS_U64 || type > FARBUS_F64 || op < FARBUS_SUM || op > FARBUS_MAX)
		return error_set(-EINVAL, "allreduce type %d op %d: see farbus.h", (int)type,
				 (int)op);
	lock_acquire(&farbus->lock);
	err = core_allreduce(farbus->core, data, count, type, op,
			     instance_deadline(farbus, timeout_ms), clock_now_ns(), &id);
	err = request_run_locked(farbus, &request, err, id, "allreduce");
	lock_release(&farbus->lock);
	if (err == 0)
		counter_add(COUNTER_allreduce, 1);
	return err;
}
