/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * boot_tcp_common.h -- what the tests of FARBUS_JOIN share: an address, and ranks as threads
 *
 * Every test process has loopback addresses of its own (127.x.y.z from its pid), so tests that run
 * at the same time do not meet; every case has a port of its own.
 */
#ifndef TESTS_UNIT_BOOT_TCP_COMMON_H
#define TESTS_UNIT_BOOT_TCP_COMMON_H

#include "base/clock.h"
#include "runtime/boot/source.h"
#include <netinet/in.h>
#include <pthread.h>

#define WAIT_NS (20 * NS_PER_S)
#define SHORT_NS (200 * NS_PER_MS)
#define RANKS_MAX 8

/* FARBUS_JOIN of the next case. */
void place_next(void);
/* That, and these; rank "" and size "" are not given. */
struct config join_conf(const char *rank, const char *size);
/* The same as a socket address. */
struct sockaddr_in place_address(void);
/* A connection to it, made when somebody listens there, within WAIT_NS. */
int place_connect(void);

/* A rank that is a thread: opens, then runs the body, if any; both may be looked at when it ended. */
struct rank {
	struct config config;
	uint64_t timeout_ns;
	void (*body)(struct rank *rank);
	void *arg;
	pthread_t thread;
	int err;	/* of tcp_open */
	int body_err;	/* what the body leaves */
	char text[320]; /* error_text() at the end, if something failed */
	struct tcp *tcp;
	struct boot_info info;
	bool stay; /* leave tcp open */
};

void rank_start(struct rank *rank);
/* Joins the thread. */
void rank_end(struct rank *rank);
/* Closes what stayed open. */
void rank_close(struct rank *rank);

#endif
