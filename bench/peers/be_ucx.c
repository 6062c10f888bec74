/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * be_ucx.c -- UCX, ucp_put_nbx and relatives
 *
 * variant: allocate (default: memory UCX allocated), user (memory from mmap). UCX_TLS chooses the
 * transports.
 */
#include "peers.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucp/api/ucp.h>

#define BLOB_MAX 4096
#define SLEEP_MS 1000

static ucp_context_h context;
static ucp_worker_h worker;
static ucp_ep_h endpoint;
static ucp_rkey_h rkey;
static ucp_mem_h memory;
static void *base;
static uint64_t remote;
static int event_fd = -1;

/* What came before it was armed need not make an event: it is looked for once more. */
static void be_sleep(int fd)
{
	struct pollfd poll_fd[2] = { { .fd = event_fd, .events = POLLIN },
				     { .fd = fd, .events = POLLIN } };

	if (ucp_worker_arm(worker) == UCS_OK && !ucp_worker_progress(worker))
		poll(poll_fd, 2, SLEEP_MS);
}

static int ucx_result(ucs_status_ptr_t request)
{
	ucs_status_t status;

	if (!request)
		return 0;
	if (UCS_PTR_IS_ERR(request))
		return -EIO;
	do {
		bool idle = !ucp_worker_progress(worker);

		status = ucp_request_check_status(request);
		if (status == UCS_INPROGRESS && idle && peers_wait)
			be_sleep(-1);
	} while (status == UCS_INPROGRESS);
	ucp_request_free(request);
	return status == UCS_OK ? 0 : -EIO;
}

static int ucx_start(void)
{
	ucp_params_t params = { .field_mask = UCP_PARAM_FIELD_FEATURES,
				.features = UCP_FEATURE_RMA | UCP_FEATURE_AMO64 };
	ucp_worker_params_t worker_params = { .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
					      .thread_mode = UCS_THREAD_MODE_SINGLE };
	ucp_config_t *config;

	if (peers_wait)
		params.features |= UCP_FEATURE_WAKEUP;
	if (ucp_config_read(NULL, NULL, &config) != UCS_OK)
		return -EIO;
	if (ucp_init(&params, config, &context) != UCS_OK)
		return -EIO;
	ucp_config_release(config);
	if (ucp_worker_create(context, &worker_params, &worker) != UCS_OK)
		return -EIO;
	return peers_wait && ucp_worker_get_efd(worker, &event_fd) != UCS_OK ? -EIO : 0;
}

static int ucx_memory(void)
{
	ucp_mem_map_params_t params = { .field_mask = UCP_MEM_MAP_PARAM_FIELD_LENGTH |
						      UCP_MEM_MAP_PARAM_FIELD_FLAGS,
					.length = PEERS_LEN,
					.flags = UCP_MEM_MAP_ALLOCATE };
	ucp_mem_attr_t attr = { .field_mask = UCP_MEM_ATTR_FIELD_ADDRESS };

	if (strcmp(peers_variant, "user") == 0) {
		params.address = mmap(NULL, PEERS_LEN, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		params.field_mask |= UCP_MEM_MAP_PARAM_FIELD_ADDRESS;
		params.flags = 0;
	}
	if (ucp_mem_map(context, &params, &memory) != UCS_OK ||
	    ucp_mem_query(memory, &attr) != UCS_OK)
		return -EIO;
	base = attr.address;
	memset(base, 0, PEERS_LEN);
	return 0;
}

static int ucx_connect(void)
{
	ucp_ep_params_t params = { .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS };
	ucp_address_t *address;
	char theirs[BLOB_MAX];
	size_t len;
	int err;

	if (ucp_worker_get_address(worker, &address, &len) != UCS_OK)
		return -EIO;
	err = peers_exchange(address, len, theirs, sizeof(theirs), &len);
	ucp_worker_release_address(worker, address);
	if (err < 0)
		return err;
	params.address = (ucp_address_t *)(void *)theirs;
	return ucp_ep_create(worker, &params, &endpoint) == UCS_OK ? 0 : -EIO;
}

static int ucx_key(void)
{
	char theirs[BLOB_MAX];
	void *key;
	size_t len;
	int err;

	if (ucp_rkey_pack(context, memory, &key, &len) != UCS_OK)
		return -EIO;
	err = peers_exchange(key, len, theirs, sizeof(theirs), &len);
	ucp_rkey_buffer_release(key);
	if (err < 0)
		return err;
	if (ucp_ep_rkey_unpack(endpoint, theirs, &rkey) != UCS_OK)
		return -EIO;
	return peers_exchange(&base, sizeof(base), &remote, sizeof(remote), &len);
}

static int be_open(int rank)
{
	int err = ucx_start();

	(void)rank;
	if (err == 0)
		err = ucx_memory();
	if (err == 0)
		err = ucx_connect();
	return err < 0 ? err : ucx_key();
}

static void *be_memory(void)
{
	return base;
}

static const ucp_request_param_t plain = { 0 };

static int ucx_issued(ucs_status_ptr_t request)
{
	if (!request)
		return 0;
	if (UCS_PTR_IS_ERR(request))
		return -EIO;
	ucp_request_free(request); /* flush waits for it */
	return 0;
}

static int be_put(uint64_t off, const void *src, size_t len)
{
	return ucx_issued(ucp_put_nbx(endpoint, src, len, remote + off, rkey, &plain));
}

static int be_get(uint64_t off, void *dst, size_t len)
{
	return ucx_issued(ucp_get_nbx(endpoint, dst, len, remote + off, rkey, &plain));
}

static int be_fadd(uint64_t off, uint64_t value, uint64_t *ret_old)
{
	ucp_request_param_t param = { .op_attr_mask = UCP_OP_ATTR_FIELD_DATATYPE |
						      UCP_OP_ATTR_FIELD_REPLY_BUFFER,
				      .datatype = ucp_dt_make_contig(8),
				      .reply_buffer = ret_old };

	return ucx_result(ucp_atomic_op_nbx(endpoint, UCP_ATOMIC_OP_ADD, &value, 1, remote + off,
					    rkey, &param));
}

static int be_flush(void)
{
	return ucx_result(ucp_worker_flush_nbx(worker, &plain));
}

static void be_progress(void)
{
	ucp_worker_progress(worker);
}

static void be_close(int rank)
{
	(void)rank;
	ucp_rkey_destroy(rkey);
	ucp_mem_unmap(context, memory);
}

const struct peers_ops peers_backend = {
	.open = be_open,
	.memory = be_memory,
	.put = be_put,
	.get = be_get,
	.fadd = be_fadd,
	.flush = be_flush,
	.progress = be_progress,
	.sleep = be_sleep,
	.close = be_close,
};
