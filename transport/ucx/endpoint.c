/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * endpoint.c -- endpoints of UCX, one for each worker of a peer
 *
 * UCX calls back from inside of its functions; what follows from that is done later, by
 * ucx_endpoints_run(), outside of UCX.
 */
#include "transport/ucx/ucx.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests of an endpoint ---- */

static void request_done(void *request, ucs_status_t status, void *arg)
{
	struct endpoint *endpoint = arg;

	(void)status;
	endpoint->transport->library->request_free(request);
	endpoint->pending--;
	endpoint->transport->endpoint_due = true;
	if (endpoint->state == ENDPOINT_CLOSING)
		endpoint->closed = endpoint->pending == 0;
	else
		endpoint->state = ENDPOINT_FLUSHED;
}

static ucp_request_param_t request_param(struct endpoint *endpoint, uint32_t flags)
{
	ucp_request_param_t param = { .op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK |
						      UCP_OP_ATTR_FIELD_USER_DATA |
						      UCP_OP_ATTR_FIELD_FLAGS,
				      .flags = flags,
				      .user_data = endpoint };

	param.cb.send = request_done;
	return param;
}

static void endpoint_flush(struct endpoint *endpoint, uint64_t now)
{
	ucp_request_param_t param = request_param(endpoint, 0);
	void *request = endpoint->transport->library->ep_flush_nbx(endpoint->ep, &param);

	endpoint->deadline = now + ucx_timing.flush_ns;
	ucx_timer_want(endpoint->transport, endpoint->deadline);
	endpoint->state = ENDPOINT_FLUSHING;
	if (UCS_PTR_IS_PTR(request))
		endpoint->pending++;
	else
		endpoint->state = ENDPOINT_FLUSHED;
}

/* By force: UCX gives up what is under way, and asks nobody. */
static void endpoint_close(struct endpoint *endpoint)
{
	ucp_request_param_t param = request_param(endpoint, UCP_EP_CLOSE_FLAG_FORCE);
	void *request;

	endpoint->deadline = 0;
	endpoint->state = ENDPOINT_CLOSING;
	endpoint->pending++; /* not closed in between */
	request = endpoint->transport->library->ep_close_nbx(endpoint->ep, &param);
	if (!UCS_PTR_IS_PTR(request))
		endpoint->pending--;
	endpoint->closed = endpoint->pending == 0;
}

/* ---- life ---- */

static void endpoint_failed(void *arg, ucp_ep_h ep, ucs_status_t status)
{
	struct endpoint *endpoint = arg;
	struct transport *transport = endpoint->transport;

	(void)ep;
	log_debug("ucx: endpoint failed: %s", transport->library->status_string(status));
	endpoint->failed = true;
	transport->endpoint_due = true;
}

static bool usable(const struct endpoint *endpoint)
{
	return !endpoint->failed && endpoint->state == ENDPOINT_OPEN;
}

static int endpoint_new(struct transport *transport, const struct ucx_hello *hello,
			const void *address, struct endpoint **ret_endpoint)
{
	ucp_ep_params_t params = { .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS |
						 UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
						 UCP_EP_PARAM_FIELD_ERR_HANDLER,
				   .address = address,
				   .err_mode = UCP_ERR_HANDLING_MODE_PEER };
	struct endpoint *endpoint = alloc_zero(sizeof(*endpoint) + hello->address_len);
	ucs_status_t status;

	if (!endpoint)
		return error_set(-ENOMEM, "no memory for an endpoint");
	endpoint->transport = transport;
	memcpy(endpoint->worker, hello->worker, UCX_WORKER_ID);
	endpoint->address_len = hello->address_len;
	memcpy(endpoint->address, address, hello->address_len);
	params.err_handler.cb = endpoint_failed;
	params.err_handler.arg = endpoint;
	status = transport->library->ep_create(transport->worker, &params, &endpoint->ep);
	if (status != UCS_OK) {
		free(endpoint);
		return error_set(-EHOSTDOWN,
				 "UCX has no way to the peer (%s): both need a device of the same "
				 "kind; is UCX_TLS or UCX_NET_DEVICES set?",
				 transport->library->status_string(status));
	}
	TAILQ_INSERT_TAIL(&transport->endpoints, endpoint, entry);
	*ret_endpoint = endpoint;
	return 0;
}

static bool leads_to(const struct endpoint *endpoint, const struct ucx_hello *hello,
		     const void *address)
{
	return memcmp(endpoint->worker, hello->worker, UCX_WORKER_ID) == 0 &&
	       endpoint->address_len == hello->address_len &&
	       memcmp(endpoint->address, address, hello->address_len) == 0;
}

int ucx_endpoint_get(struct transport *transport, const struct ucx_hello *hello,
		     const void *address, struct endpoint **ret_endpoint)
{
	struct endpoint *endpoint;
	int err;

	TAILQ_FOREACH(endpoint, &transport->endpoints, entry)
		if (usable(endpoint) && leads_to(endpoint, hello, address))
			break;
	if (!endpoint) {
		err = endpoint_new(transport, hello, address, &endpoint);
		if (err < 0)
			return err;
	}
	endpoint->links++;
	endpoint->deadline = 0;
	*ret_endpoint = endpoint;
	return 0;
}

void ucx_endpoint_put(struct endpoint *endpoint)
{
	if (--endpoint->links)
		return;
	if (endpoint->failed) {
		endpoint->transport->endpoint_due = true;
		return;
	}
	endpoint->deadline = clock_now_ns() + ucx_timing.idle_ns;
	ucx_timer_want(endpoint->transport, endpoint->deadline);
}

static void links_fail(struct endpoint *endpoint)
{
	struct transport *transport = endpoint->transport;

	for (unsigned i = 0; i < transport->link_size; i++)
		if (transport->link[i] && transport->link[i]->endpoint == endpoint)
			ucx_link_fail(transport->link[i], -EHOSTDOWN);
}

/* One step; false: it is no more. */
static bool endpoint_run(struct endpoint *endpoint, uint64_t now)
{
	bool late = endpoint->deadline && now >= endpoint->deadline;

	if (endpoint->failed && endpoint->links)
		links_fail(endpoint);
	if (endpoint->links)
		return true;
	if (endpoint->state == ENDPOINT_OPEN && !endpoint->failed && late) {
		endpoint_flush(endpoint, now);
		late = false;
	}
	if (endpoint->state != ENDPOINT_CLOSING &&
	    (endpoint->failed || endpoint->state == ENDPOINT_FLUSHED || late))
		endpoint_close(endpoint);
	if (!endpoint->closed)
		return true;
	TAILQ_REMOVE(&endpoint->transport->endpoints, endpoint, entry);
	free(endpoint);
	return false;
}

uint64_t ucx_endpoints_run(struct transport *transport, uint64_t now)
{
	struct endpoint *endpoint, *following;
	uint64_t next = UINT64_MAX;

	transport->endpoint_due = false;
	for (endpoint = TAILQ_FIRST(&transport->endpoints); endpoint; endpoint = following) {
		following = TAILQ_NEXT(endpoint, entry);
		if (endpoint_run(endpoint, now) && endpoint->deadline && endpoint->deadline < next)
			next = endpoint->deadline;
	}
	return next;
}

bool ucx_endpoints_flush(struct transport *transport)
{
	struct endpoint *endpoint;
	bool all = true;

	TAILQ_FOREACH(endpoint, &transport->endpoints, entry) {
		if (usable(endpoint))
			endpoint_flush(endpoint, clock_now_ns());
		all = all && (endpoint->failed || endpoint->state >= ENDPOINT_FLUSHED);
	}
	return all;
}

bool ucx_endpoints_close(struct transport *transport)
{
	struct endpoint *endpoint;
	bool all = true;

	TAILQ_FOREACH(endpoint, &transport->endpoints, entry) {
		if (endpoint->state != ENDPOINT_CLOSING)
			endpoint_close(endpoint);
		all = all && endpoint->closed;
	}
	return all;
}

void ucx_endpoints_free(struct transport *transport)
{
	struct endpoint *endpoint;

	while ((endpoint = TAILQ_FIRST(&transport->endpoints))) {
		TAILQ_REMOVE(&transport->endpoints, endpoint, entry);
		free(endpoint);
	}
}
