/* SPDX-License-Identifier: BSD-3-Clause */
/* bench.h -- one subject: a connection to a server process, and what is done over it */
#ifndef BENCH_TCP_BENCH_H
#define BENCH_TCP_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#define BENCH_ADDRESS_MAX 96
#define BENCH_LEN_MAX 65536

/*
 * The server echoes every message whose first byte is 'e', and answers one that starts with 'l'
 * with one byte; it sleeps in epoll whenever it has nothing to do. All of these end the process
 * on failure: it is a benchmark.
 */
struct bench_subject {
	const char *name;
	/* Server: listens, writes its address, then serves one client until it goes. */
	void (*listen)(char ret_address[BENCH_ADDRESS_MAX]);
	void (*serve)(void);
	/* Client. */
	void (*connect)(const char *address);
	void (*send)(const void *data, size_t len);
	/* Waits for the next message, in epoll unless spin. */
	void (*receive)(bool spin);
	void (*close)(void);
};

extern const struct bench_subject bench_raw;
extern const struct bench_subject bench_link; /* bench_link_ops says which transport */
extern const char *bench_link_ops, *bench_where;

void bench_check(bool fine, const char *what);

#endif
