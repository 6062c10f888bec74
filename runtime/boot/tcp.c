/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp.c -- the source for ranks that meet at FARBUS_JOIN: who listens, and the client of it
 *
 * Rank 0 is the process that may listen there, and can. It serves the others from a thread
 * (tcp_server.h) and is a client of it like them, over a socket pair.
 *
 * Invariants:
 *   1. at most one request is under way
 *   2. after a failed exchange (an answer may still come) broken is set and nothing more is sent
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "runtime/boot/source.h"
#include "runtime/boot/tcp_conf.h"
#include "runtime/boot/tcp_server.h"
#include "runtime/boot/tcp_wire.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLOSE_WAIT_NS (NS_PER_S / 2)
#define CONNECT_WAIT_NS (3 * NS_PER_S)
#define TAKEN_WAIT_NS NS_PER_S /* how long the end of an earlier rank 0 may take */
#define RETRY_FIRST_MS 5
#define RETRY_LAST_MS 250

struct tcp {
	int fd; /* owned */
	int broken;
	uint32_t rank, size;
	uint64_t timeout_ns;
	struct tcp_server *server; /* owned; NULL: this is not rank 0 */
	struct tcp_session session;
	size_t used;
	uint8_t in[TCP_FRAME_MAX];
	char where[TCP_HOST_MAX + 16]; /* FARBUS_JOIN, for texts */
};

/* ---- bytes ---- */

static int down(const struct tcp *tcp, const char *how)
{
	return error_set(-EHOSTDOWN,
			 "rank 0, at FARBUS_JOIN=%.100s, closed the connection (%s): it has ended, "
			 "or cannot be reached any more",
			 tcp->where, how);
}

static int late(const struct tcp *tcp)
{
	return error_set(-ETIMEDOUT,
			 "rank 0, at FARBUS_JOIN=%.100s, did not answer in time: see whether all "
			 "ranks came as far as this one, or raise FARBUS_TIMEOUT",
			 tcp->where);
}

static int bytes_send(struct tcp *tcp, const uint8_t *bytes, size_t len, uint64_t deadline)
{
	while (len > 0) {
		ssize_t n = send(tcp->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			if (tcp_wait(tcp->fd, POLLOUT, deadline) < 0)
				return late(tcp);
		} else if (errno != EINTR) {
			return down(tcp, strerror(errno));
		}
	}
	return 0;
}

/* Waits for more in in[]. */
static int bytes_receive(struct tcp *tcp, size_t max, uint64_t deadline)
{
	for (;;) {
		ssize_t n = recv(tcp->fd, tcp->in + tcp->used, max - tcp->used, MSG_DONTWAIT);

		if (n > 0) {
			tcp->used += (size_t)n;
			return 0;
		}
		if (n == 0)
			return down(tcp, "end of file");
		if (errno == EAGAIN) {
			if (tcp_wait(tcp->fd, POLLIN, deadline) < 0)
				return late(tcp);
		} else if (errno != EINTR) {
			return down(tcp, strerror(errno));
		}
	}
}

/* ---- messages ---- */

static int failed(const struct tcp_message *message)
{
	static const int error[TCP_FAULT_END] = {
		[TCP_FAULT_KEY] = -ENOENT,
		[TCP_FAULT_FULL] = -ENOSPC,
		[TCP_FAULT_DOWN] = -EHOSTDOWN,
	};
	char text[TCP_SERVER_TEXT_MAX];

	snprintf(text, sizeof(text), "%.*s", TCP_SERVER_TEXT_MAX - 1, (const char *)message->value);
	for (char *at = text; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	if (message->a == 0 || message->a >= TCP_FAULT_END)
		return error_set(-EPROTO, "rank 0 answers with an error that this version does not "
					  "know: run one farbus version in the whole job");
	return error_set(error[message->a], "%s", text);
}

static int message_receive(struct tcp *tcp, struct tcp_message *ret_message, uint64_t deadline)
{
	for (;;) {
		size_t taken = 0;
		int err = tcp_frame_parse(&tcp->session, tcp->in, tcp->used, ret_message, &taken);

		if (err == 0) {
			tcp->used -= taken;
			memmove(tcp->in, tcp->in + taken, tcp->used);
			return 0;
		}
		if (err != -EAGAIN)
			return error_set(-EPROTO,
					 "what came from FARBUS_JOIN=%.100s was not sent by "
					 "rank 0, or was changed on its way",
					 tcp->where);
		err = bytes_receive(tcp, sizeof(tcp->in), deadline);
		if (err < 0)
			return err;
	}
}

/* The answer of that kind. A failure that rank 0 tells leaves the connection as good as it was. */
static int answer_receive(struct tcp *tcp, enum tcp_kind kind, struct tcp_message *ret_message,
			  uint64_t deadline)
{
	int err = message_receive(tcp, ret_message, deadline);

	if (err < 0) {
		tcp->broken = err;
		return err;
	}
	if (ret_message->kind == TCP_FAILED)
		return failed(ret_message);
	if (ret_message->kind != kind) {
		tcp->broken = -EPROTO;
		return error_set(-EPROTO, "rank 0 gave another answer than was asked for: run one "
					  "farbus version in the whole job");
	}
	return 0;
}

static int exchange(struct tcp *tcp, const struct tcp_message *message, enum tcp_kind kind,
		    struct tcp_message *ret_answer, uint64_t deadline)
{
	uint8_t frame[TCP_FRAME_MAX];
	int err;

	if (tcp->broken)
		return error_set(tcp->broken,
				 "the connection to rank 0 (FARBUS_JOIN=%.100s) failed before and "
				 "cannot be used any more: end this process",
				 tcp->where);
	err = bytes_send(tcp, frame, tcp_frame_make(&tcp->session, message, frame), deadline);
	if (err < 0) {
		/* Why it was closed may have been said before. */
		if (err == -EHOSTDOWN && message_receive(tcp, ret_answer, clock_now_ns()) == 0 &&
		    ret_answer->kind == TCP_FAILED)
			err = failed(ret_answer);
		tcp->broken = err;
		return err;
	}
	return answer_receive(tcp, kind, ret_answer, deadline);
}

/* ---- joining ---- */

static int refused(const struct tcp *tcp, const struct tcp_conf *conf,
		   const struct tcp_answer *answer)
{
	switch (answer->code) {
	case TCP_NO_VERSION:
		return error_set(-EPROTO,
				 "rank 0, at FARBUS_JOIN=%.100s, speaks another version: run one "
				 "farbus version in the whole job",
				 tcp->where);
	case TCP_NO_SECRET:
		return error_set(-EACCES,
				 "rank 0, at FARBUS_JOIN=%.100s, has another secret: give all "
				 "ranks the same FARBUS_SECRET_FILE or FARBUS_SECRET (this one "
				 "has %s)",
				 tcp->where, conf->has_secret ? "one" : "none");
	case TCP_NO_SIZE:
		return error_set(-EPROTO,
				 "FARBUS_SIZE=%u, but the job at FARBUS_JOIN=%.100s has %u ranks",
				 conf->size, tcp->where, answer->size);
	case TCP_NO_RANK:
		return error_set(-EINVAL,
				 "FARBUS_RANK=%u, but the job at FARBUS_JOIN=%.100s has ranks 0 to "
				 "%u",
				 conf->rank, tcp->where, answer->size - 1);
	case TCP_RANK_TAKEN:
		return error_set(-EEXIST,
				 "rank %u of the job at FARBUS_JOIN=%.100s is taken: give each "
				 "process another FARBUS_RANK; that of a host that died is free "
				 "again after half a minute",
				 conf->rank, tcp->where);
	default:
		return error_set(-EEXIST,
				 "all %u ranks of the job at FARBUS_JOIN=%.100s are taken: raise "
				 "FARBUS_SIZE or start fewer",
				 answer->size, tcp->where);
	}
}

/* Fills a part of the handshake, and checks its head where it has one. */
static int part_receive(struct tcp *tcp, uint8_t *part, size_t len, bool head, uint64_t deadline)
{
	while (tcp->used < len) {
		int err = bytes_receive(tcp, len, deadline);

		if (err < 0)
			return err;
		err = head ? tcp_head_check(tcp->in, tcp->used) : 0;
		if (err == -ENOTSUP)
			return error_set(-EPROTO,
					 "rank 0, at FARBUS_JOIN=%.100s, speaks another version: "
					 "run one farbus version in the whole job",
					 tcp->where);
		if (err < 0)
			return error_set(-EPROTO,
					 "what listens at FARBUS_JOIN=%.100s is no farbus: choose "
					 "a port that is free",
					 tcp->where);
	}
	memcpy(part, tcp->in, len);
	tcp->used = 0;
	return 0;
}

/* Errors: -EHOSTDOWN the connection ended in the middle: worth another try. */
static int handshake(struct tcp *tcp, const struct tcp_conf *conf, uint64_t deadline)
{
	struct tcp_join join = { .rank = conf->rank, .size = conf->size };
	struct tcp_handshake said;
	struct tcp_answer answer;
	int err;

	memset(&said, 0, sizeof(said));
	memcpy(join.host, conf->host, HOST_NAME_SIZE);
	err = part_receive(tcp, said.hello, TCP_HELLO_SIZE, true, deadline);
	if (err < 0)
		return err;
	tcp_join_make(&said, conf->key, &join);
	err = bytes_send(tcp, said.join, TCP_JOIN_SIZE, deadline);
	if (err < 0)
		return err;
	err = part_receive(tcp, said.answer, TCP_ANSWER_SIZE, false, deadline);
	if (err < 0)
		return err;
	err = tcp_answer_parse(&said, conf->key, &answer);
	if (err == -EACCES)
		return error_set(-EACCES,
				 "what listens at FARBUS_JOIN=%.100s does not know the job's "
				 "secret",
				 tcp->where);
	if (err < 0)
		return error_set(err, "what listens at FARBUS_JOIN=%.100s is no farbus",
				 tcp->where);
	if (answer.code != TCP_WELCOME)
		return refused(tcp, conf, &answer);
	tcp_session_make(&said, conf->key, false, &tcp->session);
	tcp->rank = answer.rank;
	tcp->size = answer.size;
	return 0;
}

static int server_open(struct tcp *tcp, const struct tcp_conf *conf, int listen_fd)
{
	struct tcp_server_conf server = { .listen_fd = listen_fd, .size = conf->size };
	int err;

	memcpy(server.key, conf->key, sizeof(server.key));
	memcpy(server.host, conf->host, sizeof(server.host));
	err = tcp_server_new(&server, &tcp->server, &tcp->fd, &tcp->session);
	mac_wipe(server.key, sizeof(server.key));
	if (err < 0) {
		close(listen_fd);
		return err;
	}
	tcp->size = conf->size;
	return tcp_server_start(tcp->server);
}

/* Errors: -EAGAIN not now, the text has why. */
static int client_open(struct tcp *tcp, const struct tcp_conf *conf, const struct addrinfo *list,
		       uint64_t deadline)
{
	uint64_t now = clock_now_ns(), left = now < deadline ? deadline - now : 0;
	int err = tcp_connect(list, left < CONNECT_WAIT_NS ? left : CONNECT_WAIT_NS, &tcp->fd);

	if (err == -ECONNREFUSED)
		return -EAGAIN;
	if (err < 0)
		return err;
	tcp->used = 0;
	err = handshake(tcp, conf, deadline);
	if (err < 0) {
		close(tcp->fd);
		tcp->fd = -1;
	}
	return err == -EHOSTDOWN ? -EAGAIN : err;
}

/* Once: as rank 0 if this may be it and nobody is, else as a client. Errors: -EAGAIN as above. */
static int try_once(struct tcp *tcp, const struct tcp_conf *conf, uint64_t deadline)
{
	struct addrinfo *list = NULL;
	int listen_fd, err = tcp_resolve(&conf->place, &list);

	if (err < 0)
		return err;
	err = tcp_conf_allows(conf, list);
	if (err < 0)
		goto free_list;
	if (conf->size && (conf->rank == 0 || conf->rank == TCP_RANK_ANY)) {
		err = tcp_listen(list, &listen_fd);
		if (err == 0) {
			err = server_open(tcp, conf, listen_fd);
			goto free_list;
		}
		if (conf->rank == 0 || (err != -EEXIST && err != -ENOENT))
			goto free_list;
	}
	err = client_open(tcp, conf, list, deadline);
free_list:
	freeaddrinfo(list);
	return err;
}

static int join(struct tcp *tcp, const struct tcp_conf *conf, uint64_t deadline)
{
	uint64_t taken_until = clock_now_ns() + TAKEN_WAIT_NS;
	int err, ms = RETRY_FIRST_MS;
	char last[120];

	for (;;) {
		uint64_t now;

		err = try_once(tcp, conf, deadline);
		now = clock_now_ns();
		if (now >= deadline)
			break;
		if (err != -EAGAIN && !(err == -EEXIST && conf->rank == 0 && now < taken_until))
			break;
		if ((deadline - now) / NS_PER_MS + 1 < (uint64_t)ms)
			ms = (int)((deadline - now) / NS_PER_MS + 1);
		(void)poll(NULL, 0, ms);
		ms = ms * 2 < RETRY_LAST_MS ? ms * 2 : RETRY_LAST_MS;
	}
	if (err != -EAGAIN)
		return err;
	snprintf(last, sizeof(last), "%s", error_text());
	return error_set(-ETIMEDOUT,
			 "rank 0 was not found at FARBUS_JOIN=%.80s in time (%s): start a process "
			 "with %s there, or raise FARBUS_TIMEOUT",
			 tcp->where, last,
			 conf->rank == TCP_RANK_ANY ? "FARBUS_SIZE" : "FARBUS_RANK=0");
}

/* Rank 0 knows whom everybody waited for; it tells them, too, and ends its part. */
static int give_up(struct tcp *tcp, const char *what)
{
	char why[TCP_SERVER_TEXT_MAX];

	if (!tcp->server)
		return -ETIMEDOUT;
	tcp_server_stop(tcp->server, why);
	return error_set(-ETIMEDOUT, "%s: %s: see why they did not come, or raise FARBUS_TIMEOUT",
			 what, why[0] ? why : "not all ranks came");
}

static int ready_wait(struct tcp *tcp, struct boot_info *info, uint64_t deadline)
{
	struct tcp_message message;
	int err = answer_receive(tcp, TCP_READY, &message, deadline);

	if (err == -ETIMEDOUT)
		return give_up(tcp, "not all ranks joined in time");
	if (err < 0)
		return err;
	if (tcp->size == 0 || tcp->size > TCP_SIZE_MAX || tcp->rank >= tcp->size ||
	    message.b > tcp->size || message.a >= message.b)
		return error_set(-EPROTO,
				 "rank 0 gave rank %u of %u, %u of %u of this host: run "
				 "one farbus version in the whole job",
				 tcp->rank, tcp->size, message.a, message.b);
	*info = (struct boot_info){
		.source = "tcp",
		.rank = tcp->rank,
		.size = tcp->size,
		.local_rank = message.a,
		.local_size = message.b,
	};
	return 0;
}

static void tcp_free(struct tcp *tcp)
{
	if (tcp->fd >= 0)
		close(tcp->fd);
	tcp_server_free(tcp->server);
	mac_wipe(&tcp->session, sizeof(tcp->session));
	free(tcp);
}

int tcp_open(const struct config *config, uint64_t timeout_ns, struct tcp **ret_tcp,
	     struct boot_info *ret_info)
{
	uint64_t deadline = clock_now_ns() + timeout_ns;
	struct tcp_conf conf;
	struct tcp *tcp;
	int err = mac_init();

	if (err == 0)
		err = tcp_conf_load(config, &conf);
	if (err < 0)
		return err;
	tcp = alloc_zero(sizeof(*tcp));
	if (!tcp) {
		mac_wipe(&conf, sizeof(conf));
		return error_set(-ENOMEM, "no memory for FARBUS_JOIN");
	}
	tcp->fd = -1;
	tcp->timeout_ns = timeout_ns;
	snprintf(tcp->where, sizeof(tcp->where), "%s", config->join);
	err = join(tcp, &conf, deadline);
	mac_wipe(&conf, sizeof(conf));
	if (err == 0)
		err = ready_wait(tcp, ret_info, deadline);
	if (err < 0) {
		tcp_free(tcp);
		return err;
	}
	*ret_tcp = tcp;
	return 0;
}

/* ---- put, fence, get ---- */

static int message_make(enum tcp_kind kind, const char *key, struct tcp_message *ret_message)
{
	memset(ret_message, 0, sizeof(*ret_message));
	ret_message->kind = kind;
	if (!key[0] || strlen(key) >= BOOT_KEY_MAX)
		return error_set(-EINVAL, "a key of %zu characters: give 1 to %d", strlen(key),
				 BOOT_KEY_MAX - 1);
	if (strpbrk(key, " =\t\r\n")) /* what works here has to work with a launcher, too */
		return error_set(-EINVAL, "the key %.64s has a blank or '=' in it", key);
	strcpy(ret_message->key, key);
	return 0;
}

int tcp_put(struct tcp *tcp, const char *key, const void *value, size_t len)
{
	struct tcp_message message, answer;
	int err = message_make(TCP_PUT, key, &message);

	if (err < 0)
		return err;
	if (len > BOOT_VALUE_MAX)
		return error_set(-EMSGSIZE, "a blob of %zu bytes: give up to %d", len,
				 BOOT_VALUE_MAX);
	memcpy(message.value, value, len);
	message.len = len;
	err = exchange(tcp, &message, TCP_DONE, &answer, clock_now_ns() + tcp->timeout_ns);
	mac_wipe(&message, sizeof(message)); /* it may be the job's secret */
	return err;
}

int tcp_fence(struct tcp *tcp, uint64_t timeout_ns)
{
	const struct tcp_message message = { .kind = TCP_FENCE };
	struct tcp_message answer;
	int err = exchange(tcp, &message, TCP_DONE, &answer, clock_now_ns() + timeout_ns);

	return err == -ETIMEDOUT ? give_up(tcp, "not all ranks came to the fence in time") : err;
}

int tcp_get(struct tcp *tcp, const char *key, void *ret_value, size_t size, size_t *ret_len,
	    uint64_t timeout_ns)
{
	struct tcp_message message, answer;
	int err = message_make(TCP_GET, key, &message);

	if (err < 0)
		return err;
	err = exchange(tcp, &message, TCP_VALUE, &answer, clock_now_ns() + timeout_ns);
	if (err == -ENOENT)
		return error_set(-ENOENT, "no rank gave %s before the fence", key);
	if (err < 0)
		return err;
	if (answer.len > size)
		return error_set(-EMSGSIZE, "the blob of %s is longer than %zu bytes", key, size);
	memcpy(ret_value, answer.value, answer.len);
	*ret_len = answer.len;
	mac_wipe(&answer, sizeof(answer));
	return 0;
}

void tcp_close(struct tcp *tcp)
{
	const struct tcp_message message = { .kind = TCP_BYE };
	struct tcp_message answer;

	if (!tcp)
		return;
	if (!tcp->broken && !tcp->server &&
	    exchange(tcp, &message, TCP_DONE, &answer, clock_now_ns() + CLOSE_WAIT_NS) < 0)
		log_debug("rank 0 did not acknowledge the end: %s", error_text());
	tcp_free(tcp);
}

void tcp_abort(struct tcp *tcp, const char *why)
{
	struct tcp_message message = { .kind = TCP_ABORT }, answer;

	message.len = strnlen(why, TCP_SERVER_TEXT_MAX - 1);
	memcpy(message.value, why, message.len);
	(void)exchange(tcp, &message, TCP_DONE, &answer, clock_now_ns() + CLOSE_WAIT_NS);
}
