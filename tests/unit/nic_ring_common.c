/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_ring_common.c -- a ring with both its sides in one process */
#include "nic_ring_common.h"

#include <stdlib.h>
#include <unistd.h>

struct both *both_open(struct nic_ring_conf conf)
{
	struct both *both = calloc(1, sizeof(*both));
	struct nic_agg_conf agg = { .want = NIC_WANT_TCP4 | NIC_WANT_TCP6,
				    .flags = NIC_AGG_VERIFY };
	int fd;

	assert_int_equal(nic_ring_create(&conf, &fd), 0);
	assert_int_equal(nic_ring_map(fd, &both->nic), 0);
	assert_int_equal(nic_ring_map(fd, &both->process), 0);
	close(fd);
	assert_int_equal(nic_ring_device_new(&both->nic, &both->device), 0);
	assert_int_equal(nic_ring_host_new(&both->process, &both->host), 0);
	assert_int_equal(nic_agg_new(&agg, &nic_ring_sink_ops, both->device, &both->agg), 0);
	return both;
}

void both_close(struct both *both)
{
	nic_agg_flush(both->agg);
	nic_ring_device_check(both->device);
	nic_ring_host_check(both->host);
	nic_agg_free(both->agg);
	nic_ring_device_free(both->device);
	nic_ring_host_free(both->host);
	nic_ring_unmap(&both->nic);
	nic_ring_unmap(&both->process);
	free(both);
}

void both_send(struct both *both, uint32_t payload_len)
{
	both->next.payload_len = payload_len;
	both->next.id++;
	frame_build(&both->next, &both->frame);
	both->next.seq += payload_len;
	struct nic_packet packet = frame_packet(&both->frame);
	nic_agg_input(both->agg, &packet, 0);
}

void both_train(struct both *both, unsigned count, uint32_t payload_len)
{
	for (unsigned i = 0; i < count; i++)
		both_send(both, payload_len);
	nic_agg_flush(both->agg);
}

uint8_t *chain_bytes(const struct nic_chain *chain)
{
	uint8_t *bytes = malloc(chain->len), *at = bytes;

	for (const struct nic_mbuf *mbuf = chain->first; mbuf; mbuf = mbuf->next) {
		memcpy(at, mbuf->data, mbuf->len);
		at += mbuf->len;
	}
	assert_int_equal(at - bytes, chain->len);
	return bytes;
}

unsigned both_drain(struct both *both)
{
	struct nic_chain chain;
	unsigned count = 0;

	while (nic_ring_host_recv(both->host, &chain, 1) == 1) {
		assert_int_equal(nic_ring_host_release(both->host, &chain), 0);
		count++;
	}
	return count;
}
