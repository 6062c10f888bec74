/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_server_private.h -- between tcp_server.c (connections) and tcp_members.c (what members do)
 *
 * Invariants:
 *   1. member[r].conn, if not NULL, is proven, and its rank is r; no other connection has that rank
 *   2. half_open holds the connections that have proven nothing, the oldest first, half_open_count
 *      of them; members the others, present of them
 *   3. a member that waits is told once: the answer and waits = WAIT_NOTHING go together
 *   4. epoll gives one event at a time, so none can name a connection that was closed meanwhile
 *   5. a request is read only when there is room for its answer and for one more
 *
 * Threads: the server's only, or whoever stopped it.
 */
#ifndef RUNTIME_BOOT_TCP_SERVER_PRIVATE_H
#define RUNTIME_BOOT_TCP_SERVER_PRIVATE_H

#include "runtime/boot/tcp_net.h"
#include "runtime/boot/tcp_server.h"
#include "runtime/boot/tcp_store.h"
#include <pthread.h>
#include <sys/queue.h>

enum waits { WAIT_NOTHING, WAIT_READY, WAIT_FENCE };

struct conn {
	TAILQ_ENTRY(conn) link; /* half_open or members */
	int fd;			/* owned */
	bool proven;
	uint32_t rank;
	enum waits waits;
	uint32_t armed; /* what epoll looks for */
	uint64_t deadline;
	size_t in_used, out_used;
	struct tcp_handshake handshake;
	struct tcp_session session;
	char peer[TCP_PEER_MAX];
	uint8_t in[TCP_FRAME_MAX];
	uint8_t out[3 * TCP_FRAME_MAX];
};

TAILQ_HEAD(conn_list, conn);

struct member {
	struct conn *conn; /* NULL: not there */
	uint32_t fences;   /* entered and not failed */
	uint8_t host[HOST_NAME_SIZE];
};

struct tcp_server {
	int epoll, listen, stop; /* owned */
	struct tcp_store *store; /* owned */
	uint8_t key[MAC_KEY_SIZE];
	uint32_t size, present;
	bool ready; /* all were there at the same time */
	bool stopping, stopped, thread_there, accept_warned;
	uint64_t accept_at; /* not 0: the listener rests until then */
	unsigned int half_open_count, refused;
	struct conn_list half_open, members;
	pthread_t thread;
	char why[TCP_SERVER_TEXT_MAX];	   /* what the waiting waited for, at the stop */
	char aborted[TCP_SERVER_TEXT_MAX]; /* "": not */
	struct member member[];
};

/* ---- tcp_server.c ---- */

/* A connection of somebody who has proven nothing yet. Ownership: takes fd. */
void tcp_conn_add(struct tcp_server *server, int fd, const char *peer);
void tcp_conn_say(struct tcp_server *server, struct conn *conn, const struct tcp_message *message);
void tcp_conn_fail(struct tcp_server *server, struct conn *conn, enum tcp_fault fault,
		   const char *text);
void tcp_conn_done(struct tcp_server *server, struct conn *conn);

/* ---- tcp_members.c ---- */

/* Whether it may join; then join->rank is the rank it gets. */
enum tcp_code tcp_member_judge(const struct tcp_server *server, struct tcp_join *join);
/* conn is proven, in no list, and waits for the others from here on. */
void tcp_member_add(struct tcp_server *server, struct conn *conn, const struct tcp_join *join);
/* Takes conn out of members; the caller frees it, and then looks at the fence. */
void tcp_member_gone(struct tcp_server *server, struct conn *conn);
/* Does what it asks for. False: nothing that a member asks, or not now. */
bool tcp_member_request(struct tcp_server *server, struct conn *conn,
			const struct tcp_message *message);
/* Ends its wait with this text; of all that wait. */
void tcp_member_fail(struct tcp_server *server, struct conn *conn, const char *text);
void tcp_members_fail(struct tcp_server *server, const char *text);
/* Tells those who can go on, or cannot any more: after each change. */
void tcp_members_ready(struct tcp_server *server);
void tcp_members_fence(struct tcp_server *server);
/* Makes server->why. */
void tcp_members_why(struct tcp_server *server);

#endif
