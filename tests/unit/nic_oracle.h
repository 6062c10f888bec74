/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_oracle.h -- is what comes out of the aggregator what went in?
 *
 * Each packet that goes in is remembered under its flow. Each aggregate that comes out is cut again,
 * and must be the next packets of its flow, byte for byte. So no byte, no packet and no order within
 * a flow can be lost, whatever was merged.
 */
#ifndef TESTS_UNIT_NIC_ORACLE_H
#define TESTS_UNIT_NIC_ORACLE_H

#include "nic_common.h"

struct oracle;

/* want: the aggregator's. full: aggregates are to have whole checksums. */
struct oracle *oracle_new(unsigned want, bool full);
/* Everything must have come out. */
void oracle_free(struct oracle *oracle);
/* Before the packet goes in; end: without padding. */
void oracle_sent(struct oracle *oracle, const struct nic_packet *packet, uint32_t end);
/* For struct collect. */
void oracle_judge(void *oracle, const struct output *output);
/* Packets that came out as part of an aggregate of two or more. */
unsigned long oracle_merged(const struct oracle *oracle);

#endif
