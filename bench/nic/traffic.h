/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * traffic.h -- frames of TCP flows in the order of a pattern, and whoever is compared with
 *
 * 1514 bytes each, with timestamps, all checksums right. A burst is what a port hands over at once. Two
 * bursts take turns, so that frames are found in the second-level cache; from memory each costs 30 to
 * 50 ns more for whoever reads its payload.
 */
#ifndef BENCH_NIC_TRAFFIC_H
#define BENCH_NIC_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#define TRAFFIC_BURST 128
#define TRAFFIC_BURSTS 2
#define TRAFFIC_PACKETS (TRAFFIC_BURST * TRAFFIC_BURSTS)
#define TRAFFIC_FRAME 1514
#define TRAFFIC_HEADER 66
#define TRAFFIC_FLOWS 64

struct traffic_pattern {
	const char *name;
	unsigned flows, train; /* so many packets of one flow, then the next flow */
};

extern const struct traffic_pattern traffic_patterns[];
extern const unsigned traffic_pattern_count;

/* Writes packet index of the pattern: TRAFFIC_FRAME bytes. */
void traffic_write(const struct traffic_pattern *pattern, unsigned index, uint8_t *frame);

/*
 * The peer. peer_open() false: not built in, or it does not run here. Frames are written to where it
 * says; peer_ready() makes a burst as it was received; peer_merge() is what is measured, and
 * returns how many packets came out.
 */
bool peer_open(char *name);
uint8_t *peer_frame(unsigned index);
void peer_ready(unsigned burst);
unsigned peer_merge(unsigned burst);
/* The same, and all bytes that came out are copied to where they go. */
unsigned peer_merge_copy(unsigned burst, uint8_t *to);

#endif
