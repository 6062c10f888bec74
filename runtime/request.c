/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * request.c -- blocking calls: a request to the core, and the wait for its CORE_DONE
 *
 * The core ends every request by its deadline, so a wait here needs no timeout of its own; the
 * service thread's timer sees to it even when no message ever comes.
 */
#include "runtime/instance.h"

#include "base/error.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint32_t bucket(uint32_t id)
{
	return id % INSTANCE_REQUEST_BUCKETS;
}

void request_add_locked(struct farbus *farbus, struct request *request, uint32_t id)
{
	request->id = id;
	LIST_INSERT_HEAD(&farbus->requests[bucket(id)], request, link);
}

static void request_keep(struct request *request, const struct core_output *output)
{
	request->status = output->status;
	request->token = output->token;
	request->value = output->value;
	memcpy(request->why, output->why, sizeof(request->why));
	request->why[sizeof(request->why) - 1] = '\0';
	if (output->status == 0 && request->data) {
		request->len = output->len < request->size ? output->len : request->size;
		if (request->len && output->data) /* else it is there */
			memcpy(request->data, output->data, request->len);
	}
	request->finished = true;
	if (request->wake)
		pthread_cond_signal(request->wake);
}

void request_done_locked(struct farbus *farbus, struct core_output *output)
{
	struct request *request;

	LIST_FOREACH(request, &farbus->requests[bucket(output->request)], link) {
		if (request->id != output->request)
			continue;
		LIST_REMOVE(request, link);
		if (request->done)
			request->done(farbus, request, output);
		else
			request_keep(request, output);
		return;
	}
}

struct request *request_find_locked(struct farbus *farbus, uint32_t id)
{
	struct request *request;

	LIST_FOREACH(request, &farbus->requests[bucket(id)], link)
		if (request->id == id)
			return request;
	return NULL;
}

static bool request_finished(const void *arg)
{
	return ((const struct request *)arg)->finished;
}

int request_wait_locked(struct farbus *farbus, struct request *request)
{
	pthread_cond_t cond;

	cond_init_monotonic(&cond);
	request->wake = &cond;
	wait_until_locked(farbus, &cond, request_finished, request, UINT64_MAX);
	request->wake = NULL;
	pthread_cond_destroy(&cond);
	return request->status;
}

int request_run_locked(struct farbus *farbus, struct request *request, int err, uint32_t id,
		       const char *what)
{
	if (err < 0)
		return err;
	request_add_locked(farbus, request, id);
	err = request_wait_locked(farbus, request);
	if (err < 0)
		return error_set(err, "%s: %s", what,
				 request->why[0] ? request->why : farbus_strerror(err));
	return 0;
}
