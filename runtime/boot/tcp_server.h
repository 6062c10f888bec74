/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_server.h -- rank 0's end of FARBUS_JOIN: who is in the job, its blobs and its fences
 *
 * It has a thread of its own that sleeps until somebody says something. What is not proven to be a
 * member costs at most TCP_HALF_OPEN_MAX connections for TCP_HANDSHAKE_S seconds each, and one line
 * of log altogether. A rank that died may join again, and finds the blobs that are there.
 *
 * Threads: one thread at a time, unless said otherwise.
 */
#ifndef RUNTIME_BOOT_TCP_SERVER_H
#define RUNTIME_BOOT_TCP_SERVER_H

#include "runtime/boot/tcp_wire.h"

#define TCP_SIZE_MAX 1024    /* ranks of a job that joins over TCP */
#define TCP_HALF_OPEN_MAX 64 /* accepted, nothing proven yet; the oldest makes room */
#define TCP_HANDSHAKE_S 5    /* for all of a handshake */
#define TCP_SERVER_TEXT_MAX 160

struct tcp_server;

struct tcp_server_conf {
	int listen_fd; /* taken if new succeeds */
	uint32_t size;
	uint8_t key[MAC_KEY_SIZE];
	uint8_t host[HOST_NAME_SIZE]; /* rank 0's */
};

/*
 * ret_fd and ret_session: rank 0's own end, a member already; the caller owns the descriptor.
 * Errors: -ENOMEM, -EMFILE.
 */
int tcp_server_new(const struct tcp_server_conf *conf, struct tcp_server **ret_server, int *ret_fd,
		   struct tcp_session *ret_session);
/* Errors: -ENOMEM no thread. */
int tcp_server_start(struct tcp_server *server);
/* What the thread does, for tests without one: handles what there is, or waits so long for it. */
void tcp_server_step(struct tcp_server *server, int timeout_ms);
/*
 * Tells the members that wait why, closes all connections, ends the thread. ret_why: what the ranks
 * that did wait were waiting for: "" if none did.
 */
void tcp_server_stop(struct tcp_server *server, char ret_why[TCP_SERVER_TEXT_MAX]);
void tcp_server_free(struct tcp_server *server); /* stops it, takes NULL */

#endif
