/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agg.h -- aggregated receive: packets of one flow that follow each other become one
 *
 * What comes out can be cut again into the packets that went in, byte for byte (segment.h), so it is
 * safe to forward. Merged is only what the kernel's GRO would merge: the same headers but for
 * lengths, IP ID, sequence, checksums and PSH; no packet of a flow overtakes another.
 *
 * Memory is bounded and taken once, at nic_agg_new(). A packet costs no allocation, no system call
 * and no walk over flows: a flow is looked for in one set of NIC_AGG_WAYS.
 *
 * Threads: one thread at a time.
 */
#ifndef NICDRV_DEVICE_AGG_H
#define NICDRV_DEVICE_AGG_H

#include "nicdrv/device/sink.h"

#define NIC_AGG_FLOW_MAX 65536
#define NIC_AGG_WAYS 8

enum nic_agg_flags {
	NIC_AGG_VERIFY = 1,    /* checksums, of packets the port does not vouch for */
	NIC_AGG_CSUM_FULL = 2, /* aggregates get a whole checksum, not the pseudo header's sum */
};

struct nic_agg_conf {
	unsigned want;	   /* enum nic_parse_want; 0: TCP over IPv4 and IPv6 */
	unsigned flags;	   /* enum nic_agg_flags */
	uint32_t flow_max; /* 0: 1024; rounded up to a power of two */
	uint32_t
		segment_max; /* 0: 64, the most a Linux guest takes of UDP; at most NIC_SEGMENT_MAX */
	uint64_t hold_ns;    /* how long nic_agg_expire() leaves an aggregate open; 0: not at all */
	uint64_t seed;	     /* random, kept from senders: else they choose who collides */
};

struct nic_agg_stats {
	uint64_t packets, bytes;      /* given in */
	uint64_t published, segments; /* aggregates and single packets; packets in them */
	uint64_t merged;	      /* packets that were not the first of theirs */
	uint64_t other;		      /* of no flow that is looked at */
	uint64_t fragments;
	uint64_t checksum_bad;	       /* IP, TCP or UDP; passed on alone, not vouched for */
	uint64_t dropped;	       /* the sink had no room */
	uint64_t evicted;	       /* flows whose place another one took */
	uint64_t close[NIC_CLOSE_MAX]; /* why aggregates and single packets ended */
};

struct nic_flow_stats {
	uint64_t packets, bytes;
	uint64_t published, merged;
	uint64_t used_ns; /* time of the last packet */
};

struct nic_agg;

/*
 * Ownership: borrows ops and sink until nic_agg_free().
 * Errors: -EINVAL a number of conf, -ENOMEM.
 */
int nic_agg_new(const struct nic_agg_conf *conf, const struct nic_sink_ops *ops, void *sink,
		struct nic_agg **ret_agg);
/* What is open is not published: nic_agg_flush() first. Takes NULL, returns NULL. */
struct nic_agg *nic_agg_free(struct nic_agg *agg);

/*
 * Takes one packet, and may publish any number of aggregates. A packet's length is 1 to
 * NIC_FRAME_MAX. now_ns does not go back.
 */
void nic_agg_input(struct nic_agg *agg, const struct nic_packet *packet, uint64_t now_ns);
/* The same as one call each, but fetches headers ahead. */
void nic_agg_input_burst(struct nic_agg *agg, const struct nic_packet *packets, uint32_t count,
			 uint64_t now_ns);

/* Publishes all that is open, oldest first: at the end of a batch. */
void nic_agg_flush(struct nic_agg *agg);
/* Publishes what was opened at or before now_ns - hold_ns. Returns when to call again, 0: nothing is open. */
uint64_t nic_agg_expire(struct nic_agg *agg, uint64_t now_ns);

const struct nic_agg_stats *nic_agg_stats(const struct nic_agg *agg);
/* Open aggregates. */
uint32_t nic_agg_open_count(const struct nic_agg *agg);
/*
 * Flow of this number (below nic_agg_flow_max()), for listings and for capture.
 * Errors: -ENOENT no flow has this number now.
 */
int nic_agg_flow(const struct nic_agg *agg, uint32_t flow, struct nic_key *ret_key,
		 struct nic_flow_stats *ret_stats);
uint32_t nic_agg_flow_max(const struct nic_agg *agg);
/* "push" and so on; "?" for what is none. */
const char *nic_close_name(unsigned close);

void nic_agg_check(const struct nic_agg *agg);

#endif
