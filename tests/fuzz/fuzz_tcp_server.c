/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_tcp_server.c -- rank 0's end of FARBUS_JOIN, whatever strangers and members send
 *
 * The invariants of tcp_server_private.h are checked after every step.
 *
 * Input: pieces of a byte (who, and what), a byte of length, and that much of data:
 *   who 0, 1, 2   what 0: the data sealed as one message of that rank; 1: raw; 2: it ends
 *   who 3         a stranger sends the data raw; what 1: another stranger from here on
 */
#include "base/assert.h"
#include "base/log.h"
#include "runtime/boot/tcp_server_private.h"
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RANK_COUNT 3
#define PIECE_MAX 64
#define STRANGER RANK_COUNT

struct job {
	struct tcp_server *server;
	int fd[RANK_COUNT + 1]; /* -1: not there */
	struct tcp_session session[RANK_COUNT];
};

static const uint8_t key[MAC_KEY_SIZE] = { 1, 2, 3 };

static void server_check(const struct tcp_server *server)
{
	uint32_t present = 0, half_open = 0;
	const struct conn *conn;

	for (uint32_t r = 0; r < server->size; r++) {
		conn = server->member[r].conn;
		present += conn != NULL;
		FARBUS_ASSERT(!conn || conn->proven);
		FARBUS_ASSERT(!conn || conn->rank == r);
	}
	FARBUS_ASSERT(server->present == present);
	TAILQ_FOREACH(conn, &server->members, link) {
		FARBUS_ASSERT(server->member[conn->rank].conn == conn);
		FARBUS_ASSERT(conn->in_used <= sizeof(conn->in));
		FARBUS_ASSERT(conn->out_used <= sizeof(conn->out));
		FARBUS_ASSERT(conn->waits != WAIT_READY || !server->ready);
		FARBUS_ASSERT(conn->waits != WAIT_FENCE || server->member[conn->rank].fences > 0);
	}
	TAILQ_FOREACH(conn, &server->half_open, link) {
		FARBUS_ASSERT(!conn->proven);
		half_open++;
	}
	FARBUS_ASSERT(server->half_open_count == half_open);
}

static void server_run(struct job *job)
{
	char heard[4096];

	for (int i = 0; i < 8; i++) {
		tcp_server_step(job->server, 0);
		server_check(job->server);
	}
	for (int i = 0; i <= RANK_COUNT; i++)
		if (job->fd[i] >= 0)
			(void)!recv(job->fd[i], heard, sizeof(heard), MSG_DONTWAIT);
}

static int connection(struct job *job)
{
	int fd[2];

	FARBUS_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) == 0);
	tcp_conn_add(job->server, fd[1], "a stranger");
	return fd[0];
}

/* An honest handshake. */
static void member_join(struct job *job, uint32_t rank)
{
	struct tcp_join join = { .rank = rank, .host = { (uint8_t)rank } };
	struct tcp_handshake said;
	int fd = job->fd[rank] = connection(job);

	memset(&said, 0, sizeof(said));
	FARBUS_ASSERT(recv(fd, said.hello, TCP_HELLO_SIZE, 0) == TCP_HELLO_SIZE);
	tcp_join_make(&said, key, &join);
	FARBUS_ASSERT(send(fd, said.join, TCP_JOIN_SIZE, 0) == TCP_JOIN_SIZE);
	tcp_server_step(job->server, 0);
	FARBUS_ASSERT(recv(fd, said.answer, TCP_ANSWER_SIZE, 0) == TCP_ANSWER_SIZE);
	FARBUS_ASSERT(said.answer[0] == TCP_WELCOME);
	tcp_session_make(&said, key, false, &job->session[rank]);
}

static void sealed_send(struct job *job, uint32_t rank, const uint8_t *data, size_t len)
{
	uint8_t frame[2 + 255 + MAC_SEAL_SIZE];
	size_t sealed = len + MAC_SEAL_SIZE;

	frame[0] = (uint8_t)sealed;
	frame[1] = (uint8_t)(sealed >> 8);
	mac_seal(job->session[rank].key_out, job->session[rank].count_out++, data, len, frame + 2);
	(void)!send(job->fd[rank], frame, 2 + sealed, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void piece(struct job *job, uint32_t who, uint32_t what, const uint8_t *data, size_t len)
{
	int *fd = &job->fd[who];

	if ((who == STRANGER && what == 1) || (who < STRANGER && what == 2)) {
		if (*fd >= 0)
			close(*fd);
		*fd = who == STRANGER ? connection(job) : -1;
	}
	if (*fd < 0)
		return;
	if (who < STRANGER && what == 0)
		sealed_send(job, who, data, len);
	else
		(void)!send(*fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcp_server_conf conf = { .size = RANK_COUNT };
	struct job job;

	memset(&job, 0, sizeof(job));
	memcpy(conf.key, key, sizeof(key));
	log_level_max = LOG_ERROR;
	conf.listen_fd = eventfd(0, EFD_CLOEXEC); /* which nobody knocks at */
	FARBUS_ASSERT(mac_init() == 0);
	FARBUS_ASSERT(tcp_server_new(&conf, &job.server, &job.fd[0], &job.session[0]) == 0);
	member_join(&job, 1);
	member_join(&job, 2);
	job.fd[STRANGER] = connection(&job);
	server_run(&job);
	FARBUS_ASSERT(job.server->ready);
	for (int i = 0; i < PIECE_MAX && size >= 2; i++) {
		size_t len = data[1] < size - 2 ? data[1] : size - 2;

		piece(&job, data[0] & 3, data[0] >> 2 & 3, data + 2, len);
		server_run(&job);
		data += 2 + len;
		size -= 2 + len;
	}
	for (int i = 0; i <= RANK_COUNT; i++)
		if (job.fd[i] >= 0)
			close(job.fd[i]);
	tcp_server_free(job.server);
	return 0;
}
