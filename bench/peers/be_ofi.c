/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * be_ofi.c -- libfabric; the variant names the provider (default shm)
 *
 * Completion is DELIVERY_COMPLETE for every operation: less would not be what flush promises.
 */
#include "peers.h"

#include <errno.h>
#include <poll.h>
#include <rdma/fabric.h>
#include <rdma/fi_atomic.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <string.h>
#include <sys/mman.h>

#define NAME_MAX_LEN 512
#define SLEEP_MS 1000

static struct fi_info *info;
static struct fid_fabric *fabric;
static struct fid_domain *domain;
static struct fid_ep *endpoint;
static struct fid_cq *queue;
static struct fid_av *vector;
static struct fid_mr *region, *local;
static fi_addr_t peer;
static char *memory;
static uint64_t remote, key, pending, word;
static int event_fd = -1;

static int ofi_info(void)
{
	struct fi_info *hints = fi_allocinfo();
	int err;

	if (!hints)
		return -ENOMEM;
	hints->caps = FI_RMA | FI_ATOMIC | FI_MSG;
	hints->ep_attr->type = FI_EP_RDM;
	hints->mode = FI_CONTEXT;
	hints->domain_attr->mr_mode =
		FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY | FI_MR_LOCAL;
	hints->tx_attr->op_flags = FI_DELIVERY_COMPLETE;
	hints->fabric_attr->prov_name = strdup(*peers_variant ? peers_variant : "shm");
	err = fi_getinfo(FI_VERSION(1, 17), NULL, NULL, 0, hints, &info);
	fi_freeinfo(hints);
	return err;
}

static int ofi_endpoint(void)
{
	struct fi_cq_attr cq = { .format = FI_CQ_FORMAT_CONTEXT,
				 .size = 1024,
				 .wait_obj = peers_wait ? FI_WAIT_FD : FI_WAIT_NONE };
	struct fi_av_attr av = { .type = FI_AV_MAP };
	int err = fi_fabric(info->fabric_attr, &fabric, NULL);

	if (err == 0)
		err = fi_domain(fabric, info, &domain, NULL);
	if (err == 0)
		err = fi_endpoint(domain, info, &endpoint, NULL);
	if (err == 0)
		err = fi_cq_open(domain, &cq, &queue, NULL);
	if (err == 0)
		err = fi_av_open(domain, &av, &vector, NULL);
	if (err == 0)
		err = fi_ep_bind(endpoint, &queue->fid, FI_TRANSMIT | FI_RECV);
	if (err == 0)
		err = fi_ep_bind(endpoint, &vector->fid, 0);
	if (err == 0 && peers_wait)
		err = fi_control(&queue->fid, FI_GETWAIT, &event_fd);
	return err < 0 ? err : fi_enable(endpoint);
}

static int ofi_memory(void)
{
	int err;

	memory = mmap(NULL, PEERS_LEN, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	err = fi_mr_reg(domain, memory, PEERS_LEN,
			FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE, 0, 1, 0, &region,
			NULL);
	if (err == 0)
		err = fi_mr_reg(domain, &word, sizeof(word), FI_READ | FI_WRITE, 0, 2, 0, &local,
				NULL);
	return err;
}

static int ofi_exchange(void)
{
	bool virt = info->domain_attr->mr_mode & FI_MR_VIRT_ADDR;
	uint64_t mine[2] = { virt ? (uint64_t)(uintptr_t)memory : 0, fi_mr_key(region) };
	char name[NAME_MAX_LEN], theirs[NAME_MAX_LEN];
	size_t len = sizeof(name);
	uint64_t got[2];
	int err = fi_getname(&endpoint->fid, name, &len);

	if (err == 0)
		err = peers_exchange(name, len, theirs, sizeof(theirs), &len);
	if (err == 0 && fi_av_insert(vector, theirs, 1, &peer, 0, NULL) != 1)
		err = -EADDRNOTAVAIL;
	if (err == 0)
		err = peers_exchange(mine, sizeof(mine), got, sizeof(got), &len);
	if (err < 0)
		return err;
	remote = got[0];
	key = got[1];
	return 0;
}

static int be_open(int rank)
{
	int err = ofi_info();

	(void)rank;
	if (err == 0)
		err = ofi_endpoint();
	if (err == 0)
		err = ofi_memory();
	return err < 0 ? err : ofi_exchange();
}

static void *be_memory(void)
{
	return memory;
}

static void be_sleep(int fd)
{
	struct pollfd poll_fd[2] = { { .fd = event_fd, .events = POLLIN },
				     { .fd = fd, .events = POLLIN } };
	struct fid *fid = &queue->fid;

	if (fi_trywait(fabric, &fid, 1) == FI_SUCCESS)
		poll(poll_fd, 2, SLEEP_MS);
}

static int ofi_reap(void)
{
	struct fi_cq_entry entry[16];
	ssize_t n = fi_cq_read(queue, entry, 16);

	if (n == -FI_EAGAIN)
		return 0;
	if (n < 0)
		return -EIO;
	pending -= (uint64_t)n;
	return 0;
}

/* Issues until it is accepted: providers refuse while a queue is full or a link comes up. */
#define OFI_ISSUE(call)                             \
	do {                                        \
		ssize_t n_;                         \
		while ((n_ = (call)) == -FI_EAGAIN) \
			if (ofi_reap() < 0)         \
				return -EIO;        \
		if (n_ < 0)                         \
			return (int)n_;             \
		pending++;                          \
		return 0;                           \
	} while (0)

static int be_put(uint64_t off, const void *src, size_t len)
{
	OFI_ISSUE(fi_write(endpoint, src, len, fi_mr_desc(local), peer, remote + off, key, NULL));
}

static int be_get(uint64_t off, void *dst, size_t len)
{
	OFI_ISSUE(fi_read(endpoint, dst, len, fi_mr_desc(local), peer, remote + off, key, NULL));
}

static int ofi_fadd_issue(uint64_t off, uint64_t value, uint64_t *ret_old)
{
	word = value;
	OFI_ISSUE(fi_fetch_atomic(endpoint, &word, 1, fi_mr_desc(local), ret_old, fi_mr_desc(local),
				  peer, remote + off, key, FI_UINT64, FI_SUM, NULL));
}

static int be_flush(void)
{
	while (pending) {
		uint64_t before = pending;

		if (ofi_reap() < 0)
			return -EIO;
		if (peers_wait && pending == before)
			be_sleep(-1);
	}
	return 0;
}

static int be_fadd(uint64_t off, uint64_t value, uint64_t *ret_old)
{
	int err = ofi_fadd_issue(off, value, ret_old);

	return err < 0 ? err : be_flush();
}

static void be_progress(void)
{
	struct fi_cq_entry entry;

	fi_cq_read(queue, &entry, 1);
}

static void be_close(int rank)
{
	(void)rank;
	fi_close(&endpoint->fid);
	fi_close(&region->fid);
	fi_close(&local->fid);
	fi_close(&vector->fid);
	fi_close(&queue->fid);
	fi_close(&domain->fid);
	fi_close(&fabric->fid);
	fi_freeinfo(info);
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
