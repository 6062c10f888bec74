/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_virtq_common.h -- what the tests of virtqueues share: a queue and its driver, for all kinds of rings
 *
 * Each case runs for both kinds of rings, with and without event indices, with and without tables.
 */
#ifndef TESTS_UNIT_NIC_VIRTQ_COMMON_H
#define TESTS_UNIT_NIC_VIRTQ_COMMON_H

#include "addrmap_common.h"
#include "nic_driver.h"

struct kind {
	bool packed, event_idx, indirect;
};

struct world {
	struct driver driver;
	struct driver_queue queue;
	struct remap guest, front;
	struct dirty_report report;
	struct virtq vq;
	struct kind kind;
	uint64_t buffer; /* 64 KiB of the guest's */
};

extern struct kind kind; /* that the case runs for */
extern struct world *world;

#define VIRTQ_TEST(name)                      \
	{                                     \
#name, name, NULL, NULL, NULL \
	}
/* Each case for each kind. */
int virtq_run(const struct CMUnitTest *list, size_t count);

/* Another queue, from its beginning. */
void world_start(uint16_t size);
/* A chain with one buffer to write; its id. */
int add_one(uint32_t len);
struct virtq_chain pop_one(void);
/* count chains are added, popped, pushed, and published together. */
void use_some(unsigned count);
/* The driver finds this chain used; id -1: none. */
void used_is(int id, uint32_t len);
void put16(uint64_t gpa, uint16_t value);

#endif
