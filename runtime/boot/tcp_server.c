/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_server.c -- rank 0's end of FARBUS_JOIN: its connections and its thread */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "runtime/boot/tcp_server_private.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

/* ---- one connection ---- */

static bool conn_has_room(const struct conn *conn)
{
	return sizeof(conn->out) - conn->out_used >= 2 * TCP_FRAME_MAX;
}

static void conn_arm(struct tcp_server *server, struct conn *conn)
{
	struct epoll_event event = { .data.ptr = conn };

	event.events = (conn_has_room(conn) ? EPOLLIN : 0u) | (conn->out_used ? EPOLLOUT : 0u);
	if (event.events == conn->armed)
		return;
	conn->armed = event.events;
	(void)epoll_ctl(server->epoll, EPOLL_CTL_MOD, conn->fd, &event);
}

/* Sends what the kernel takes. What fails here is seen as an event, too. */
static void conn_flush(struct tcp_server *server, struct conn *conn)
{
	ssize_t n = send(conn->fd, conn->out, conn->out_used, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0) {
		conn->out_used -= (size_t)n;
		memmove(conn->out, conn->out + n, conn->out_used);
	}
	conn_arm(server, conn);
}

static void conn_free(struct conn *conn)
{
	close(conn->fd);
	mac_wipe(conn, sizeof(*conn));
	free(conn);
}

void tcp_conn_say(struct tcp_server *server, struct conn *conn, const struct tcp_message *message)
{
	if (sizeof(conn->out) - conn->out_used < TCP_FRAME_MAX)
		return; /* invariant 5: only if it was told twice */
	conn->out_used += tcp_frame_make(&conn->session, message, conn->out + conn->out_used);
	conn_flush(server, conn);
}

void tcp_conn_fail(struct tcp_server *server, struct conn *conn, enum tcp_fault fault,
		   const char *text)
{
	struct tcp_message message = { .kind = TCP_FAILED, .a = fault };

	message.len = (size_t)snprintf((char *)message.value, TCP_SERVER_TEXT_MAX, "%s", text);
	if (message.len >= TCP_SERVER_TEXT_MAX)
		message.len = TCP_SERVER_TEXT_MAX - 1;
	tcp_conn_say(server, conn, &message);
}

void tcp_conn_done(struct tcp_server *server, struct conn *conn)
{
	const struct tcp_message message = { .kind = TCP_DONE };

	tcp_conn_say(server, conn, &message);
}

/* ---- coming and going ---- */

/* Ownership: takes conn. */
static void conn_close(struct tcp_server *server, struct conn *conn)
{
	if (conn->proven) {
		log_debug("rank %u left FARBUS_JOIN (%s)", conn->rank, conn->peer);
		tcp_member_gone(server, conn);
		conn_free(conn);
		tcp_members_fence(server);
		return;
	}
	TAILQ_REMOVE(&server->half_open, conn, link);
	server->half_open_count--;
	conn_free(conn);
}

/* Logged once: whoever knocks could otherwise fill the disk. Ownership: takes conn. */
static void conn_refuse(struct tcp_server *server, struct conn *conn, const char *why)
{
	if (server->refused++ == 0)
		log_warning("FARBUS_JOIN: %s was sent away: %s; others will only be counted",
			    conn->peer, why);
	conn_close(server, conn);
}

/* Says it, then closes. Ownership: takes conn. */
static void conn_answer_no(struct tcp_server *server, struct conn *conn, enum tcp_code code,
			   const char *why)
{
	const struct tcp_answer answer = { .code = code, .size = server->size };

	tcp_answer_make(&conn->handshake, server->key, &answer);
	(void)send(conn->fd, conn->handshake.answer, TCP_ANSWER_SIZE, MSG_NOSIGNAL | MSG_DONTWAIT);
	conn_refuse(server, conn, why);
}

/* JOIN is there. Ownership: takes conn unless it returns true. */
static bool conn_join(struct tcp_server *server, struct conn *conn)
{
	static const char *const why[TCP_CODE_COUNT] = {
		[TCP_NO_SIZE] = "its FARBUS_SIZE is another",
		[TCP_NO_RANK] = "its FARBUS_RANK is not below the size",
		[TCP_RANK_TAKEN] = "its FARBUS_RANK is taken",
		[TCP_FULL] = "all ranks are taken",
	};
	struct tcp_answer answer = { .code = TCP_NO_SECRET };
	struct tcp_join join;

	if (tcp_join_parse(&conn->handshake, server->key, &join) < 0) {
		conn_answer_no(server, conn, TCP_NO_SECRET, "it has another secret");
		return false;
	}
	answer.code = tcp_member_judge(server, &join);
	if (answer.code != TCP_WELCOME) {
		conn_answer_no(server, conn, answer.code, why[answer.code]);
		return false;
	}
	answer.rank = join.rank;
	answer.size = server->size;
	tcp_answer_make(&conn->handshake, server->key, &answer);
	tcp_session_make(&conn->handshake, server->key, true, &conn->session);
	memcpy(conn->out + conn->out_used, conn->handshake.answer, TCP_ANSWER_SIZE);
	conn->out_used += TCP_ANSWER_SIZE;
	TAILQ_REMOVE(&server->half_open, conn, link);
	server->half_open_count--;
	tcp_member_add(server, conn, &join);
	conn_flush(server, conn);
	if (server->aborted[0])
		tcp_member_fail(server, conn, server->aborted);
	tcp_members_ready(server);
	return true;
}

/* ---- what arrives ---- */

static void conn_consume(struct conn *conn, size_t len)
{
	conn->in_used -= len;
	memmove(conn->in, conn->in + len, conn->in_used);
}

/* True: a step was made and there may be another. Ownership: takes conn when it returns false. */
static bool handshake_step(struct tcp_server *server, struct conn *conn, bool *ret_again)
{
	int err = tcp_head_check(conn->in, conn->in_used);

	*ret_again = false;
	if (err == -ENOTSUP) {
		conn_answer_no(server, conn, TCP_NO_VERSION, "it speaks another version");
		return false;
	}
	if (err < 0) {
		conn_refuse(server, conn, "it does not speak farbus");
		return false;
	}
	if (conn->in_used < TCP_JOIN_SIZE)
		return true;
	memcpy(conn->handshake.join, conn->in, TCP_JOIN_SIZE);
	conn_consume(conn, TCP_JOIN_SIZE);
	*ret_again = true;
	return conn_join(server, conn);
}

/* As above. */
static bool frame_step(struct tcp_server *server, struct conn *conn, bool *ret_again)
{
	struct tcp_message message;
	size_t taken = 0;
	int err = tcp_frame_parse(&conn->session, conn->in, conn->in_used, &message, &taken);

	*ret_again = false;
	if (err == -EAGAIN)
		return true;
	if (err == 0)
		conn_consume(conn, taken);
	if (err < 0 || !tcp_member_request(server, conn, &message)) {
		conn_refuse(server, conn, "a member sent what no member sends");
		return false;
	}
	*ret_again = true;
	return true;
}

/* Ownership: takes conn if it ends. */
static void conn_read(struct tcp_server *server, struct conn *conn)
{
	ssize_t n = recv(conn->fd, conn->in + conn->in_used, sizeof(conn->in) - conn->in_used,
			 MSG_DONTWAIT);
	bool again = true;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_close(server, conn);
		return;
	}
	conn->in_used += (size_t)n;
	while (again && conn_has_room(conn)) {
		if (conn->proven ? !frame_step(server, conn, &again) :
				   !handshake_step(server, conn, &again))
			return;
	}
	conn_arm(server, conn);
}

static void conn_event(struct tcp_server *server, struct conn *conn, uint32_t events)
{
	bool again = true;

	if (events & EPOLLIN) {
		conn_read(server, conn);
		return;
	}
	if (events & (EPOLLERR | EPOLLHUP)) {
		conn_close(server, conn);
		return;
	}
	conn_flush(server, conn);
	/* Requests that waited for room are in conn->in: no event tells of them. */
	while (conn->proven && again && conn_has_room(conn))
		if (!frame_step(server, conn, &again))
			return;
}

/* ---- the listener ---- */

static void listener_arm(struct tcp_server *server, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = &server->listen };

	(void)epoll_ctl(server->epoll, EPOLL_CTL_MOD, server->listen, &event);
}

static int conn_new(struct tcp_server *server, int fd, struct conn **ret_conn)
{
	struct conn *conn = alloc_zero(sizeof(*conn));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = conn };

	if (!conn)
		return -ENOMEM;
	conn->fd = fd;
	conn->armed = EPOLLIN;
	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		free(conn);
		return -ENOMEM;
	}
	*ret_conn = conn;
	return 0;
}

/* Ownership: takes fd. */
void tcp_conn_add(struct tcp_server *server, int fd, const char *peer)
{
	struct conn *conn = NULL;

	if (server->half_open_count == TCP_HALF_OPEN_MAX)
		conn_refuse(server, TAILQ_FIRST(&server->half_open),
			    "it said nothing, and others wait");
	if (conn_new(server, fd, &conn) < 0) {
		close(fd);
		return;
	}
	snprintf(conn->peer, sizeof(conn->peer), "%s", peer);
	conn->deadline = clock_now_ns() + TCP_HANDSHAKE_S * NS_PER_S;
	TAILQ_INSERT_TAIL(&server->half_open, conn, link);
	server->half_open_count++;
	tcp_hello_make(&conn->handshake);
	memcpy(conn->out, conn->handshake.hello, TCP_HELLO_SIZE);
	conn->out_used = TCP_HELLO_SIZE;
	conn_flush(server, conn);
}

static void accept_one(struct tcp_server *server)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int fd = accept4(server->listen, (struct sockaddr *)&address, &len,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);
	char peer[TCP_PEER_MAX];

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
		if (!server->accept_warned)
			log_warning("FARBUS_JOIN: cannot accept (%s): raise ulimit -n of rank 0",
				    strerror(errno));
		server->accept_warned = true;
		server->accept_at = clock_now_ns() + ACCEPT_PAUSE_NS;
		listener_arm(server, 0);
	}
	if (fd < 0)
		return;
	tcp_tune(fd);
	tcp_peer_text((struct sockaddr *)&address, len, peer);
	tcp_conn_add(server, fd, peer);
}

/* ---- time ---- */

static void deadlines_check(struct tcp_server *server)
{
	uint64_t now = clock_now_ns();
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&server->half_open)) && conn->deadline <= now)
		conn_refuse(server, conn, "it did not finish its handshake in time");
	if (server->accept_at && server->accept_at <= now) {
		server->accept_at = 0;
		listener_arm(server, EPOLLIN);
	}
}

/* Until the next deadline; -1: there is none. */
static int wait_ms(const struct tcp_server *server)
{
	const struct conn *conn = TAILQ_FIRST(&server->half_open);
	uint64_t now = clock_now_ns(), until = UINT64_MAX;

	if (conn)
		until = conn->deadline;
	if (server->accept_at && server->accept_at < until)
		until = server->accept_at;
	if (until == UINT64_MAX)
		return -1;
	return until <= now ? 0 : (int)((until - now) / NS_PER_MS + 1);
}

void tcp_server_step(struct tcp_server *server, int timeout_ms)
{
	int ms = wait_ms(server);
	struct epoll_event event;
	int n;

	if (timeout_ms >= 0 && (ms < 0 || timeout_ms < ms))
		ms = timeout_ms;
	n = epoll_wait(server->epoll, &event, 1, ms);
	if (n == 1 && event.data.ptr == &server->stop)
		server->stopping = true;
	else if (n == 1 && event.data.ptr == &server->listen)
		accept_one(server);
	else if (n == 1)
		conn_event(server, event.data.ptr, event.events);
	deadlines_check(server);
}

/* ---- life ---- */

static void *server_thread(void *arg)
{
	struct tcp_server *server = arg;

	while (!server->stopping)
		tcp_server_step(server, -1);
	return NULL;
}

static int descriptors_open(struct tcp_server *server, int pair[2])
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &server->stop };

	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	server->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->epoll < 0 || server->stop < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
	    epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->stop, &event) < 0)
		return error_set(-EMFILE,
				 "no descriptor left for FARBUS_JOIN (%s): raise ulimit "
				 "-n",
				 strerror(errno));
	return 0;
}

/* Rank 0 is a member without a handshake: both ends are here. */
static int own_member_add(struct tcp_server *server, const struct tcp_server_conf *conf, int fd,
			  struct tcp_session *ret_session)
{
	struct tcp_join join = { .rank = 0 };
	struct conn *conn = NULL;

	if (conn_new(server, fd, &conn) < 0)
		return error_set(-ENOMEM, "no memory for rank 0's end of FARBUS_JOIN");
	memcpy(join.host, conf->host, HOST_NAME_SIZE);
	snprintf(conn->peer, sizeof(conn->peer), "this process");
	memset(ret_session, 0, sizeof(*ret_session));
	mac_random(ret_session->key_in, MAC_KEY_SIZE);
	mac_random(ret_session->key_out, MAC_KEY_SIZE);
	memcpy(conn->session.key_in, ret_session->key_out, MAC_KEY_SIZE);
	memcpy(conn->session.key_out, ret_session->key_in, MAC_KEY_SIZE);
	tcp_member_add(server, conn, &join);
	tcp_members_ready(server);
	return 0;
}

int tcp_server_new(const struct tcp_server_conf *conf, struct tcp_server **ret_server, int *ret_fd,
		   struct tcp_session *ret_session)
{
	struct tcp_server *server =
		alloc_zero(sizeof(*server) + conf->size * sizeof(server->member[0]));
	struct epoll_event event = { .events = EPOLLIN };
	int pair[2] = { -1, -1 }, err;

	if (!server)
		return error_set(-ENOMEM, "no memory for FARBUS_JOIN");
	server->epoll = server->stop = server->listen = -1;
	server->size = conf->size;
	memcpy(server->key, conf->key, MAC_KEY_SIZE);
	TAILQ_INIT(&server->half_open);
	TAILQ_INIT(&server->members);
	err = descriptors_open(server, pair);
	if (err < 0)
		goto free_server;
	if (tcp_store_new(conf->size, &server->store) < 0) {
		err = error_set(-ENOMEM, "no memory for the job's blobs");
		goto close_pair;
	}
	event.data.ptr = &server->listen;
	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, conf->listen_fd, &event) < 0) {
		err = error_set(-ENOMEM, "cannot watch the listener: %s", strerror(errno));
		goto close_pair;
	}
	err = own_member_add(server, conf, pair[1], ret_session);
	if (err < 0)
		goto close_pair;
	server->listen = conf->listen_fd;
	*ret_fd = pair[0];
	*ret_server = server;
	return 0;

close_pair:
	if (pair[0] >= 0) {
		close(pair[0]);
		close(pair[1]);
	}
free_server:
	tcp_server_free(server);
	return err;
}

int tcp_server_start(struct tcp_server *server)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* the application's signals are not ours */
	err = pthread_create(&server->thread, NULL, server_thread, server);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return error_set(-ENOMEM, "no thread for FARBUS_JOIN: %s", strerror(err));
	server->thread_there = true;
	return 0;
}

void tcp_server_stop(struct tcp_server *server, char ret_why[TCP_SERVER_TEXT_MAX])
{
	static const uint64_t one = 1;
	char text[TCP_SERVER_TEXT_MAX + 32];

	if (server->thread_there) {
		/* An eventfd takes the first write always. */
		(void)!write(server->stop, &one, sizeof(one));
		pthread_join(server->thread, NULL);
		server->thread_there = false;
	}
	if (!server->stopped) {
		server->stopped = true;
		tcp_members_why(server);
		snprintf(text, sizeof(text), "rank 0 gave up: %s", server->why);
		tcp_members_fail(server, text);
	}
	if (ret_why)
		strcpy(ret_why, server->why);
}

void tcp_server_free(struct tcp_server *server)
{
	struct conn *conn;

	if (!server)
		return;
	tcp_server_stop(server, NULL);
	if (server->refused > 1)
		log_info("FARBUS_JOIN: %u connections were sent away", server->refused);
	while ((conn = TAILQ_FIRST(&server->half_open))) {
		TAILQ_REMOVE(&server->half_open, conn, link);
		conn_free(conn);
	}
	while ((conn = TAILQ_FIRST(&server->members))) {
		TAILQ_REMOVE(&server->members, conn, link);
		conn_free(conn);
	}
	tcp_store_free(server->store);
	if (server->epoll >= 0)
		close(server->epoll);
	if (server->stop >= 0)
		close(server->stop);
	if (server->listen >= 0)
		close(server->listen);
	mac_wipe(server->key, sizeof(server->key));
	free(server);
}
