/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_floor.h -- the floor of access that goes over a network: bare TCP to a process that sleeps
 *
 * That process is on the target's CPU, in epoll, and does nothing but what it is asked for. Its
 * memory is as long as the target's, and what is sent ends up in the same places of it.
 *
 * Threads: owner thread.
 */
#ifndef FARBUS_PERF_TCP_FLOOR_H
#define FARBUS_PERF_TCP_FLOOR_H

#include <stddef.h>
#include <stdint.h>

struct tcp_floor;

/*
 * Over loopback, which is what both instances of a benchmark on one host use. cpu: of the other
 * process; -1: wherever. len: of its memory.
 * Errors: -EIO, with the text.
 */
int tcp_floor_open(int cpu, size_t len, struct tcp_floor **ret_floor);
/* Takes NULL. */
void tcp_floor_close(struct tcp_floor *floor);

/* len bytes there and as many back; sleeps until they are. Errors: -EIO. */
int tcp_floor_round(struct tcp_floor *floor, const void *src, void *dst, size_t len);
/* A request of few bytes for the len bytes at off, which come back to dst. Errors: -EIO. */
int tcp_floor_fetch(struct tcp_floor *floor, uint64_t off, void *dst, size_t len);
/* Sends len bytes to off, a piece per call; returns when the socket has them. Errors: -EIO. */
int tcp_floor_stream(struct tcp_floor *floor, uint64_t off, const void *src, size_t len,
		     size_t piece);
/* Until all that was streamed is in memory there. Errors: -EIO. */
int tcp_floor_settle(struct tcp_floor *floor);

#endif
