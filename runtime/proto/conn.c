/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conn.c -- links: proof of the job secret, sending, the end
 *
 * A connection that has not proved the secret in time, or breaks the protocol, is closed. Whoever
 * is on the way up the stack may still look at a closed one: it is freed by core_settle().
 *
 * Invariants (core_check):
 *   1. a connection that is not closed is found by its number
 *   2. one that is UP is in the conns of its rank's peer, others are in none
 *   3. only UP ones have calls
 */
#include "base/alloc.h"
#include "base/counter.h"
#include "base/error.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conn *conn_find(const struct core *core, uint32_t number)
{
	struct conn *conn;

	LIST_FOREACH(conn, &core->conns[number % CORE_BUCKETS], link)
		if (conn->number == number)
			return conn;
	return NULL;
}

static struct conn *conn_new(struct core *core, uint32_t number)
{
	struct conn *conn = alloc_zero(sizeof(*conn));

	if (!conn)
		return NULL;
	conn->close = out_new(core, CORE_CLOSE, 0);
	if (!conn->close) {
		free(conn);
		return NULL;
	}
	conn->number = number;
	conn->rank = CORE_RANK_NONE;
	conn->message_max = MESSAGE_MAX_SMALL;
	timer_init(&conn->timer, TIMER_AUTH, conn);
	TAILQ_INIT(&conn->calls);
	LIST_INSERT_HEAD(&core->conns[number % CORE_BUCKETS], conn, link);
	return conn;
}

static void conn_free(struct core *core, struct conn *conn)
{
	timer_clear(core, &conn->timer);
	out_free(core, conn->close);
	free(conn);
}

/* To ourselves: always up, its messages go to the inbox. */
int conn_self_new(struct core *core)
{
	struct conn *conn = conn_new(core, CORE_LINK_SELF);
	struct peer *peer = &core->peers[core->conf.rank];

	if (!conn)
		return error_set(-ENOMEM, "no memory for an instance");
	conn->state = CONN_UP;
	conn->message_max = CORE_MESSAGE_MAX;
	conn->same_host = true;
	conn->rank = core->conf.rank;
	conn->instance = core->conf.instance;
	conn->incarnation = core->conf.incarnation;
	peer->conn = conn;
	peer->instance = conn->instance;
	peer->incarnation = conn->incarnation;
	LIST_INSERT_HEAD(&peer->conns, conn, peer_link);
	core->self = conn;
	return 0;
}

void conn_free_all(struct core *core)
{
	struct conn *conn;

	for (int i = 0; i < CORE_BUCKETS; i++)
		while ((conn = LIST_FIRST(&core->conns[i]))) {
			LIST_REMOVE(conn, link);
			conn_free(core, conn);
		}
	while ((conn = LIST_FIRST(&core->closed))) {
		LIST_REMOVE(conn, link);
		conn_free(core, conn);
	}
}

/* ---- sending ---- */

static bool self_send(struct core *core, const void *head, size_t head_len, const void *tail,
		      size_t tail_len, uint64_t region)
{
	struct inbox_message *message = alloc_zero(sizeof(*message) + head_len + tail_len);

	if (!message)
		return false;
	message->region = region;
	message->len = head_len + tail_len;
	memcpy(message->data, head, head_len);
	if (tail_len)
		memcpy(message->data + head_len, tail, tail_len);
	STAILQ_INSERT_TAIL(&core->inbox, message, link);
	return true;
}

static bool link_send_out(struct core *core, const struct conn *conn, const void *head,
			  size_t head_len, const void *tail, size_t tail_len, uint64_t region)
{
	struct out *out = out_new(core, CORE_SEND, head_len + tail_len);

	if (!out)
		return false;
	out->is.link = conn->number;
	out->is.region = region;
	memcpy(out->data, head, head_len);
	if (tail_len)
		memcpy(out->data + head_len, tail, tail_len);
	out_push(core, out);
	return true;
}

bool conn_send(struct core *core, struct conn *conn, const void *head, size_t head_len,
	       const void *tail, size_t tail_len, uint64_t region)
{
	bool sent;

	if (conn->state == CONN_CLOSED)
		return true;
	if (conn == core->self)
		sent = self_send(core, head, head_len, tail, tail_len, region);
	else
		sent = link_send_out(core, conn, head, head_len, tail, tail_len, region);
	/* Order is all a connection has: one message lost, and it must go. Not while callers look. */
	if (!sent && conn != core->self)
		conn->failed = core->conn_failed = true;
	if (!sent && conn == core->self)
		core->self_failed = true;
	return sent || conn != core->self;
}

void conn_send_out(struct core *core, struct conn *conn, struct out *out)
{
	if (conn == core->self) {
		if (!self_send(core, out->is.data, out->is.len, NULL, 0, 0))
			core->self_failed = true;
		out_free(core, out);
		return;
	}
	out->is.link = conn->number;
	out_push(core, out);
}

void conn_reply(struct core *core, struct conn *conn, const struct message_head *to, uint64_t value,
		const void *data, size_t len)
{
	struct message_reply reply = {
		.head = { .kind = MESSAGE_REPLY, .call = to->call },
		.answers = to->kind,
		.value = value,
	};

	conn_send(core, conn, &reply, sizeof(reply), data, len, 0);
}

void conn_reply_lent(struct core *core, struct conn *conn, const struct message_head *to,
		     const void *data, size_t len)
{
	struct message_reply reply = {
		.head = { .kind = MESSAGE_REPLY, .call = to->call },
		.answers = to->kind,
	};
	struct out *out;

	if (conn == core->self || len < CORE_LEND_MIN || conn->state == CONN_CLOSED) {
		conn_reply(core, conn, to, 0, data, len);
		return;
	}
	out = out_new(core, CORE_SEND, sizeof(reply));
	if (!out) {
		conn->failed = core->conn_failed = true;
		return;
	}
	memcpy(out->data, &reply, sizeof(reply));
	out->is.tail = data;
	out->is.tail_len = len;
	conn_send_out(core, conn, out);
}

static void refuse_with(struct core *core, struct conn *conn, enum message_kind kind,
			const struct message_head *to, int status, const char *why)
{
	struct message_reply reply = {
		.head = { .kind = kind, .call = to->call },
		.status = status,
		.answers = to->kind,
	};

	conn_send(core, conn, &reply, sizeof(reply), why, strnlen(why, MESSAGE_WHY_MAX - 1), 0);
}

void conn_refuse(struct core *core, struct conn *conn, const struct message_head *to, int status,
		 const char *why)
{
	refuse_with(core, conn, MESSAGE_REPLY, to, status, why ? why : error_text());
}

/* ---- the end ---- */

static void conn_down(struct core *core, struct conn *conn, int status)
{
	struct peer *peer = &core->peers[conn->rank];
	struct call *call;

	LIST_REMOVE(conn, peer_link);
	if (peer->conn == conn)
		peer->conn = LIST_FIRST(&peer->conns);
	while ((call = TAILQ_FIRST(&conn->calls)))
		call_cut(core, call, status, NULL);
	work_conn_gone(core, conn);
	revoke_conn_gone(core, conn);
	force_conn_gone(core, conn);
	home_conn_gone(core, conn);
	names_conn_gone(core, conn);
	collective_conn_gone(core, conn);
	peer_lost(core, peer, conn->instance, status);
}

static void conn_end(struct core *core, struct conn *conn, int status, const char *why)
{
	enum conn_state was = conn->state;
	struct peer *peer;

	LIST_REMOVE(conn, link);
	LIST_INSERT_HEAD(&core->closed, conn, link);
	conn->state = CONN_CLOSED;
	timer_clear(core, &conn->timer);
	if (was == CONN_UP) {
		conn_down(core, conn, status);
	} else if (conn->initiator) {
		peer = &core->peers[conn->rank];
		peer_connect_failed(core, peer, status, why);
	}
}

void conn_close(struct core *core, struct conn *conn, int status, const char *why)
{
	struct out *out = conn->close;

	if (conn->state == CONN_CLOSED)
		return;
	out->is.link = conn->number;
	snprintf(out->is.why, sizeof(out->is.why), "%s", why ? why : "");
	conn->close = NULL;
	conn_end(core, conn, status, why);
	/* After CORE_WORK_LOST: who sees the end of it may rely on that. */
	out_push(core, out);
}

void conn_bad(struct core *core, struct conn *conn, const char *why)
{
	char text[96];

	counter_add(COUNTER_message_bad, 1);
	if (conn == core->self)
		return;
	snprintf(text, sizeof(text), "rank %d broke the protocol: %s", (int)conn->rank, why);
	conn_close(core, conn, -EPROTO, text);
}

void core_link_down(struct core *core, uint32_t link, int status, uint64_t now)
{
	struct conn *conn = conn_find(core, link);

	core->now = now;
	if (conn && conn != core->self)
		conn_end(core, conn, status < 0 ? status : -EHOSTDOWN, NULL);
	core_settle(core);
}

void core_link_gone(struct core *core, uint32_t link, uint64_t now)
{
	struct conn *conn;

	core->now = now;
	LIST_FOREACH(conn, &core->closed, link)
		if (conn->number == link && conn->strays)
			break;
	if (conn)
		home_end_gone(core, conn);
	core_settle(core);
}

/* ---- proving the secret ---- */

/* Never the same twice, and nobody can know the next one; yet a run from one seed is always the same. */
static void nonce_make(struct core *core, uint8_t ret_nonce[MESSAGE_NONCE_SIZE])
{
	core->nonce_last++;
	mac_tag(core->conf.random, &core->nonce_last, sizeof(core->nonce_last), ret_nonce);
}

static void proof_make(const struct core *core, char side, const struct message_hello *hello,
		       const struct message_challenge *challenge, uint8_t ret_proof[MAC_PROOF_SIZE])
{
	size_t said = offsetof(struct message_challenge, proof);
	uint8_t all[1 + sizeof(*hello) + sizeof(*challenge)];

	all[0] = (uint8_t)side;
	memcpy(all + 1, hello, sizeof(*hello));
	memcpy(all + 1 + sizeof(*hello), challenge, said);
	mac_proof(core->conf.secret, all, 1 + sizeof(*hello) + said, ret_proof);
}

static struct message_hello hello_make(const struct core *core, const struct conn *conn)
{
	struct message_hello hello = {
		.head = { .kind = MESSAGE_HELLO },
		.magic = MESSAGE_MAGIC,
		.version = MESSAGE_VERSION,
		.job = core->conf.job,
		.rank = core->conf.rank,
		.size = core->conf.size,
		.instance = core->conf.instance,
		.incarnation = core->conf.incarnation,
	};

	memcpy(hello.nonce, conn->nonce, sizeof(hello.nonce));
	return hello;
}

static void link_up_failed(struct core *core, uint32_t link, uint32_t rank)
{
	struct out *out = out_new(core, CORE_CLOSE, 0);

	if (out) {
		out->is.link = link;
		snprintf(out->is.why, sizeof(out->is.why), "no memory for a connection");
		out_push(core, out);
	}
	if (rank < core->conf.size)
		peer_connect_failed(core, &core->peers[rank], -ENOMEM,
				    "no memory for a connection");
}

void core_link_up(struct core *core, uint32_t link, uint32_t rank, bool same_host, uint64_t now)
{
	struct conn *conn = conn_new(core, link);
	struct message_hello hello;

	core->now = now;
	if (!conn) {
		link_up_failed(core, link, rank);
		core_settle(core);
		return;
	}
	conn->same_host = same_host;
	timer_set(core, &conn->timer, now + core->conf.auth_timeout_ns);
	if (rank >= core->conf.size) {
		conn->state = CONN_HELLO;
		return;
	}
	conn->state = CONN_CHALLENGE;
	conn->initiator = true;
	conn->rank = rank;
	conn->greeted = ++core->greet_serial;
	nonce_make(core, conn->nonce);
	hello = hello_make(core, conn);
	conn_send(core, conn, &hello, sizeof(hello), NULL, 0, 0);
	core_settle(core);
}

void conn_auth_late(struct core *core, struct conn *conn)
{
	counter_add(COUNTER_link_refused, 1);
	conn_close(core, conn, -ETIMEDOUT, "the other end did not prove the job secret in time");
}

/* Says why, then closes: what was sent stays readable for the other end. */
static void refuse(struct core *core, struct conn *conn, int status, const char *why)
{
	struct message_head none = { 0 };

	counter_add(COUNTER_link_refused, 1);
	refuse_with(core, conn, MESSAGE_REFUSE, &none, status, why);
	conn_close(core, conn, status, why);
}

/* Rights are by instance: nobody may take the id of another rank's. */
static bool instance_taken(const struct core *core, uint32_t rank, uint32_t instance)
{
	for (uint32_t i = 0; i < core->conf.size; i++)
		if (i != rank && core->peers[i].instance == instance)
			return true;
	return false;
}

/* Given up once is given up: others have released what it held. NULL: welcome. */
static const char *instance_fault(const struct core *core, uint32_t rank, uint32_t instance,
				  int *ret_status)
{
	*ret_status = -EEXIST;
	if (instance_taken(core, rank, instance))
		return "another rank has this instance id";
	*ret_status = -EHOSTDOWN;
	if (peer_gone(&core->peers[rank], instance))
		return "this instance was given up as dead: start it again";
	return NULL;
}

/*
 * The same at the end of a greeting. What a dead instance has said still arrives, and may do so after
 * the one that was started in its place has been let in.
 */
static const char *proof_fault(const struct core *core, const struct conn *conn, uint32_t instance,
			       int *ret_status)
{
	const struct peer *peer = &core->peers[conn->rank];

	*ret_status = -EHOSTDOWN;
	if (peer->instance != instance && conn->greeted < peer->greeted)
		return "a newer instance of this rank has come";
	return instance_fault(core, conn->rank, instance, ret_status);
}

/* NULL: welcome. */
static const char *hello_fault(const struct core *core, const struct message_hello *hello,
			       int *ret_status)
{
	*ret_status = -EPROTO;
	if (hello->magic != MESSAGE_MAGIC || hello->version != MESSAGE_VERSION)
		return "another version of farbus: use the same release in the whole job";
	if (hello->job != core->conf.job) {
		*ret_status = -EACCES;
		return "an instance of another job";
	}
	if (hello->size != core->conf.size || hello->rank >= core->conf.size || !hello->instance)
		return "the instances disagree on the size of the job";
	if (hello->rank == core->conf.rank) {
		*ret_status = -EEXIST;
		return "that rank is open already";
	}
	return instance_fault(core, hello->rank, hello->instance, ret_status);
}

static void hello_handle(struct core *core, struct conn *conn, const struct message_hello *hello)
{
	struct message_challenge challenge = {
		.head = { .kind = MESSAGE_CHALLENGE },
		.rank = core->conf.rank,
		.size = core->conf.size,
		.instance = core->conf.instance,
		.incarnation = core->conf.incarnation,
	};
	int status;
	const char *fault = hello_fault(core, hello, &status);

	if (fault) {
		refuse(core, conn, status, fault);
		return;
	}
	nonce_make(core, challenge.nonce);
	proof_make(core, 'A', hello, &challenge, challenge.proof);
	proof_make(core, 'C', hello, &challenge, conn->proof);
	conn->rank = hello->rank;
	conn->greeted = ++core->greet_serial;
	conn->instance = hello->instance;
	conn->incarnation = hello->incarnation;
	conn->state = CONN_PROOF;
	conn_send(core, conn, &challenge, sizeof(challenge), NULL, 0, 0);
}

static void conn_proved(struct core *core, struct conn *conn)
{
	conn->state = CONN_UP;
	timer_clear(core, &conn->timer);
	counter_add(COUNTER_link_up, 1);
	peer_conn_up(core, conn);
}

static void challenge_handle(struct core *core, struct conn *conn,
			     const struct message_challenge *challenge)
{
	struct message_hello hello = hello_make(core, conn);
	struct message_proof proof = { .head = { .kind = MESSAGE_PROOF } };
	uint8_t expected[MAC_PROOF_SIZE];
	const char *fault;
	int status;

	proof_make(core, 'A', &hello, challenge, expected);
	if (!mac_equal(expected, challenge->proof, sizeof(expected))) {
		refuse(core, conn, -EACCES, "the other end does not know the job secret");
		return;
	}
	if (challenge->rank != conn->rank || challenge->size != core->conf.size ||
	    !challenge->instance) {
		refuse(core, conn, -EPROTO, "another rank listens there");
		return;
	}
	fault = proof_fault(core, conn, challenge->instance, &status);
	if (fault) {
		refuse(core, conn, status, fault);
		return;
	}
	conn->instance = challenge->instance;
	conn->incarnation = challenge->incarnation;
	proof_make(core, 'C', &hello, challenge, proof.proof);
	conn_send(core, conn, &proof, sizeof(proof), NULL, 0, 0);
	if (conn->state != CONN_CLOSED)
		conn_proved(core, conn);
}

static void proof_handle(struct core *core, struct conn *conn, const struct message_proof *proof)
{
	const char *fault;
	int status;

	if (!mac_equal(conn->proof, proof->proof, sizeof(conn->proof))) {
		refuse(core, conn, -EACCES, "the other end does not know the job secret");
		return;
	}
	mac_wipe(conn->proof, sizeof(conn->proof));
	/* Somebody may have said so since its greeting. */
	fault = proof_fault(core, conn, conn->instance, &status);
	if (fault)
		refuse(core, conn, status, fault);
	else
		conn_proved(core, conn);
}

static void refuse_handle(struct core *core, struct conn *conn, const struct message_reply *reply,
			  size_t len)
{
	char why[MESSAGE_WHY_MAX];
	size_t n = len - sizeof(*reply);

	if (n > sizeof(why) - 1)
		n = sizeof(why) - 1;
	memcpy(why, reply + 1, n);
	why[n] = '\0';
	conn_close(core, conn, reply->status < 0 ? reply->status : -EACCES, why);
}

/* Messages of a connection that is not up; sizes have been checked. */
void conn_handshake(struct core *core, struct conn *conn, const void *data, size_t len)
{
	uint32_t kind = ((const struct message_head *)data)->kind;

	if (kind == MESSAGE_HELLO && conn->state == CONN_HELLO)
		hello_handle(core, conn, data);
	else if (kind == MESSAGE_CHALLENGE && conn->state == CONN_CHALLENGE)
		challenge_handle(core, conn, data);
	else if (kind == MESSAGE_PROOF && conn->state == CONN_PROOF)
		proof_handle(core, conn, data);
	else if (kind == MESSAGE_REFUSE && conn->initiator)
		refuse_handle(core, conn, data, len);
	else
		conn_bad(core, conn, "a message before the job secret was proved");
}

uint32_t core_link_rank(const struct core *core, uint32_t link)
{
	const struct conn *conn = conn_find(core, link);

	return conn && conn->state == CONN_UP ? conn->rank : CORE_RANK_NONE;
}

uint32_t core_rank_link(const struct core *core, uint32_t rank)
{
	const struct conn *conn = rank < core->conf.size ? core->peers[rank].conn : NULL;

	return conn ? conn->number : CORE_LINK_SELF;
}

void core_link_traits_set(struct core *core, uint32_t link, size_t message_max, bool one_sided)
{
	struct conn *conn = conn_find(core, link);

	if (!conn)
		return;
	conn->one_sided = one_sided;
	if (message_max >= MESSAGE_MAX_SMALL)
		conn->message_max = message_max < CORE_MESSAGE_MAX ? message_max : CORE_MESSAGE_MAX;
}
