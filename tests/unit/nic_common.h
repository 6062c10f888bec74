/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_common.h -- what the tests of nicdrv/ share: frames from a description, and a sink that judges
 *
 * Frames are built and checksums computed here by the plainest code there is, so that the tests do
 * not ask the code under test what is right.
 */
#ifndef TESTS_UNIT_NIC_COMMON_H
#define TESTS_UNIT_NIC_COMMON_H

#include "nicdrv/device/agg.h"

#define FRAME_ROOM (NIC_FRAME_MAX + 64)

/* Zero is an ordinary packet: IPv4, TCP, ACK. */
struct desc {
	bool v6, udp, tunnel, outer_v6, outer_csum, fragment, no_df, ip_option, bad_csum,
		bad_ip_csum;
	bool bad_outer_csum;
	unsigned vlans, extension; /* extension: bytes of a destination options header, times 8 */
	unsigned flow;		   /* ports and addresses */
	uint8_t tos, ttl, flags;   /* flags: besides ACK */
	bool no_ack;
	uint32_t seq, ack, flow_label;
	uint16_t id, outer_id, window;
	uint8_t option[40]; /* of TCP */
	unsigned option_len;
	uint32_t payload_len;
	unsigned payload_seed;
	unsigned pad; /* bytes behind the datagram */
};

struct frame {
	uint8_t data[FRAME_ROOM];
	uint32_t len;	  /* with padding */
	uint32_t end;	  /* without */
	uint32_t payload; /* offset */
};

void frame_build(const struct desc *desc, struct frame *ret_frame);
/* The naive sum of 16-bit big-endian words. */
uint32_t plain_sum(const uint8_t *data, uint32_t len, uint32_t start);
struct nic_packet frame_packet(const struct frame *frame);

/* One thing that was published. */
struct output {
	uint8_t *data; /* header and payload, the header as it has to be */
	struct nic_aggregate aggregate;
	uint32_t len;
};

#define OUTPUT_ROOM 4096

/* A sink that copies what it is given, checks the contract of sink.h, and keeps what comes out. */
struct collect {
	struct output output[OUTPUT_ROOM];
	unsigned count;
	unsigned places, unplaces;
	unsigned open;
	unsigned long refuse; /* the n-th place from now fails; 0: none */
	/* Called instead of keeping, if set. */
	void (*judge)(void *arg, const struct output *output);
	void *judge_arg;
};

extern const struct nic_sink_ops collect_ops;
void collect_clear(struct collect *collect);

#endif
