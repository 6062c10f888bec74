/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_ring_common.h -- a ring with both its sides in one process, each with a mapping of its own */
#ifndef TESTS_UNIT_NIC_RING_COMMON_H
#define TESTS_UNIT_NIC_RING_COMMON_H

#include "addrmap_common.h"
#include "nic_common.h"
#include "nicdrv/ring/ring.h"

struct both {
	struct nic_ring_map nic, process; /* of one memfd */
	struct nic_ring_device *device;
	struct nic_ring_host *host;
	struct nic_agg *agg; /* publishes to device */
	struct frame frame;
	struct desc next;
};

struct both *both_open(struct nic_ring_conf conf);
void both_close(struct both *both);
/* The next packet of a flow in order goes to the aggregator. */
void both_send(struct both *both, uint32_t payload_len);
/* ... count of them, then a flush. */
void both_train(struct both *both, unsigned count, uint32_t payload_len);
/* Bytes of the chain in one piece; free() them. */
uint8_t *chain_bytes(const struct nic_chain *chain);
/* Receives all that is there and gives it back; returns how many chains. */
unsigned both_drain(struct both *both);

#endif
