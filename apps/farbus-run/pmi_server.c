/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pmi_server.c -- the launcher's side of PMI-1, without any I/O
 *
 * Invariants:
 *   1. waiting is the number of ranks in STATE_FENCE
 *   2. nobody waits when all are in the fence: the last one to come lets all go
 *   3. in[0..used) of a rank has no newline between two calls
 */
#include "apps/farbus-run/pmi_server.h"

#include "apps/farbus-run/kvs.h"
#include "base/alloc.h"
#include "base/error.h"
#include "runtime/boot/wire.h"
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KVSNAME "farbus"

enum state {
	STATE_NEW,	 /* started, has not spoken */
	STATE_READY,	 /* after init */
	STATE_FENCE,	 /* waits in a fence */
	STATE_FINALIZED, /* said goodbye, cannot fence any more */
	STATE_GONE,
};

struct client {
	enum state state;
	size_t used;
	char in[WIRE_LINE_MAX];
};

struct pmi_server {
	uint32_t size, waiting;
	const struct pmi_server_ops *ops; /* borrowed */
	void *arg;			  /* borrowed */
	struct kvs *kvs;		  /* owned */
	struct client *client;		  /* owned, one per rank */
};

int pmi_server_new(uint32_t size, const struct pmi_server_ops *ops, void *arg,
		   struct pmi_server **ret_server)
{
	struct pmi_server *server = alloc_zero(sizeof(*server));
	char mapping[64];
	int err = -ENOMEM;

	if (!server)
		return error_set(-ENOMEM, "no memory for the PMI server");
	server->size = size;
	server->ops = ops;
	server->arg = arg;
	server->client = alloc_array(size, sizeof(*server->client));
	if (server->client)
		err = kvs_new(&server->kvs);
	/* One node with all ranks; MPICH asks for it. */
	snprintf(mapping, sizeof(mapping), "(vector,(0,1,%u))", size);
	if (err == 0)
		err = kvs_put(server->kvs, "PMI_process_mapping", mapping);
	if (err < 0) {
		pmi_server_free(server);
		return error_set(err, "no memory for the PMI server");
	}
	*ret_server = server;
	return 0;
}

void pmi_server_free(struct pmi_server *server)
{
	if (!server)
		return;
	kvs_free(server->kvs);
	free(server->client);
	free(server);
}

static void answer(struct pmi_server *server, uint32_t rank, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void answer(struct pmi_server *server, uint32_t rank, const char *format, ...)
{
	char line[WIRE_LINE_MAX];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	/* Keys and values are bounded far below a line. */
	if (n > 0 && (size_t)n < sizeof(line))
		server->ops->send(server->arg, rank, line, (size_t)n);
}

static int violation(uint32_t rank, const char *what, const char *line)
{
	return error_set(-EPROTO, "rank %u broke the PMI-1 protocol (%s): \"%.60s\"", rank, what,
			 line);
}

static int on_init(struct pmi_server *server, uint32_t rank, const char *line)
{
	int64_t version = 0;

	if (server->client[rank].state != STATE_NEW)
		return violation(rank, "a second init: open farbus once per rank", line);
	if (wire_number(line, "pmi_version", 0, INT_MAX, &version) < 0 || version != 1) {
		answer(server, rank,
		       "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=-1 "
		       "msg=only_version_1\n");
		return 0;
	}
	server->client[rank].state = STATE_READY;
	answer(server, rank, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
	return 0;
}

static int on_get_maxes(struct pmi_server *server, uint32_t rank, const char *line)
{
	(void)line;
	answer(server, rank, "cmd=maxes kvsname_max=%d keylen_max=%d vallen_max=%d rc=0\n",
	       WIRE_NAME_MAX, WIRE_KEY_MAX, WIRE_VALUE_MAX);
	return 0;
}

static int on_get_appnum(struct pmi_server *server, uint32_t rank, const char *line)
{
	(void)line;
	answer(server, rank, "cmd=appnum appnum=0 rc=0\n");
	return 0;
}

static int on_get_universe_size(struct pmi_server *server, uint32_t rank, const char *line)
{
	(void)line;
	answer(server, rank, "cmd=universe_size size=%u rc=0\n", server->size);
	return 0;
}

static int on_get_my_kvsname(struct pmi_server *server, uint32_t rank, const char *line)
{
	(void)line;
	answer(server, rank, "cmd=my_kvsname kvsname=" KVSNAME " rc=0\n");
	return 0;
}

/* NULL: fine. There is one kvs. */
static const char *name_check(const char *line)
{
	char name[WIRE_NAME_MAX];

	if (wire_text(line, "kvsname", name, sizeof(name)) < 0 || strcmp(name, KVSNAME) != 0)
		return "no_such_kvs";
	return NULL;
}

static const char *put_value(struct pmi_server *server, const char *line)
{
	char key[WIRE_KEY_MAX], value[WIRE_VALUE_MAX];
	const char *refusal = name_check(line);
	int err;

	if (refusal)
		return refusal;
	if (wire_text(line, "key", key, sizeof(key)) < 0 || !key[0])
		return "no_key_or_too_long";
	if (wire_text(line, "value", value, sizeof(value)) < 0)
		return "no_value_or_too_long";
	err = kvs_put(server->kvs, key, value);
	if (err == -ENOSPC)
		return "kvs_full";
	return err < 0 ? "no_memory" : NULL;
}

static int on_put(struct pmi_server *server, uint32_t rank, const char *line)
{
	const char *refusal = put_value(server, line);

	answer(server, rank, "cmd=put_result rc=%d msg=%s\n", refusal ? -1 : 0,
	       refusal ? refusal : "success");
	return 0;
}

static int on_get(struct pmi_server *server, uint32_t rank, const char *line)
{
	const char *value = NULL, *refusal = name_check(line);
	char key[WIRE_KEY_MAX];

	if (!refusal && wire_text(line, "key", key, sizeof(key)) < 0)
		refusal = "no_key_or_too_long";
	if (!refusal)
		value = kvs_get(server->kvs, key);
	if (value)
		answer(server, rank, "cmd=get_result rc=0 msg=success value=%s\n", value);
	else
		answer(server, rank, "cmd=get_result rc=-1 msg=%s value=unknown\n",
		       refusal ? refusal : "key_not_found");
	return 0;
}

static void fence_end(struct pmi_server *server, const char *line)
{
	for (uint32_t i = 0; i < server->size; i++) {
		if (server->client[i].state != STATE_FENCE)
			continue;
		server->client[i].state = STATE_READY;
		answer(server, i, "%s\n", line);
	}
	server->waiting = 0;
}

/* Reports a fence that somebody can never reach. */
static void stuck_check(struct pmi_server *server)
{
	for (uint32_t i = 0; i < server->size && server->waiting > 0; i++) {
		enum state state = server->client[i].state;

		if (state == STATE_GONE || state == STATE_FINALIZED) {
			server->ops->stuck(server->arg, i, server->waiting);
			return;
		}
	}
}

static int on_barrier_in(struct pmi_server *server, uint32_t rank, const char *line)
{
	(void)line;
	server->client[rank].state = STATE_FENCE;
	if (++server->waiting == server->size)
		fence_end(server, "cmd=barrier_out rc=0");
	else
		stuck_check(server);
	return 0;
}

static int on_finalize(struct pmi_server *server, uint32_t rank, const char *line)
{
	(void)line;
	server->client[rank].state = STATE_FINALIZED;
	answer(server, rank, "cmd=finalize_ack rc=0\n");
	stuck_check(server);
	return 0;
}

static int on_abort(struct pmi_server *server, uint32_t rank, const char *line)
{
	int64_t code = 1;

	(void)wire_number(line, "exitcode", INT_MIN, INT_MAX, &code);
	server->ops->abort(server->arg, rank, (int)code);
	return 0;
}

/* Names and spawning need more than one job: refused, so that nobody waits. */
static int on_publish_name(struct pmi_server *server, uint32_t rank, const char *line)
{
	(void)line;
	answer(server, rank, "cmd=publish_result rc=-1 info=not_supported msg=not_supported\n");
	return 0;
}

static int on_unpublish_name(struct pmi_server *server, uint32_t rank, const char *line)
{
	(void)line;
	answer(server, rank, "cmd=unpublish_result rc=-1 info=not_supported msg=not_supported\n");
	return 0;
}

static int on_lookup_name(struct pmi_server *server, uint32_t rank, const char *line)
{
	(void)line;
	answer(server, rank, "cmd=lookup_result rc=-1 info=not_supported msg=not_supported\n");
	return 0;
}

static const struct command {
	const char *name;
	int (*handle)(struct pmi_server *server, uint32_t rank, const char *line);
} commands[] = {
	{ "init", on_init },
	{ "get_maxes", on_get_maxes },
	{ "get_appnum", on_get_appnum },
	{ "get_universe_size", on_get_universe_size },
	{ "get_my_kvsname", on_get_my_kvsname },
	{ "put", on_put },
	{ "get", on_get },
	{ "barrier_in", on_barrier_in },
	{ "finalize", on_finalize },
	{ "abort", on_abort },
	{ "publish_name", on_publish_name },
	{ "unpublish_name", on_unpublish_name },
	{ "lookup_name", on_lookup_name },
};

static int line_handle(struct pmi_server *server, uint32_t rank, const char *line)
{
	enum state state = server->client[rank].state;
	char name[32];

	if (wire_text(line, "cmd", name, sizeof(name)) < 0)
		return violation(rank, "no command", line);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		/* Only init comes before init; abort may come at any time. */
		if (state == STATE_FENCE && commands[i].handle != on_abort)
			return violation(rank, "a request while it waits in a fence", line);
		if (state != STATE_READY && commands[i].handle != on_init &&
		    commands[i].handle != on_abort)
			return violation(rank, "a request before init or after finalize", line);
		return commands[i].handle(server, rank, line);
	}
	return violation(rank, "unknown command", line);
}

/* Handles in[0..used) up to its last newline. */
static int lines_handle(struct pmi_server *server, uint32_t rank)
{
	struct client *client = &server->client[rank];
	char *start = client->in, *end;
	int err = 0;

	while (err == 0 &&
	       (end = memchr(start, '\n', client->used - (size_t)(start - client->in)))) {
		*end = '\0';
		err = strlen(start) == (size_t)(end - start) ?
			      line_handle(server, rank, start) :
			      violation(rank, "a zero byte", start);
		start = end + 1;
	}
	client->used -= (size_t)(start - client->in);
	memmove(client->in, start, client->used);
	return err;
}

static void client_gone(struct pmi_server *server, struct client *client)
{
	server->waiting -= client->state == STATE_FENCE;
	client->state = STATE_GONE;
	client->used = 0;
}

int pmi_server_input(struct pmi_server *server, uint32_t rank, const char *data, size_t len)
{
	struct client *client = &server->client[rank];
	int err = 0;

	while (len > 0 && err == 0 && client->state != STATE_GONE) {
		size_t room = sizeof(client->in) - client->used;
		size_t n = len < room ? len : room;

		memcpy(client->in + client->used, data, n);
		client->used += n;
		data += n;
		len -= n;
		err = lines_handle(server, rank);
		if (err == 0 && client->used == sizeof(client->in))
			err = error_set(-EPROTO,
					"rank %u sent more than %d bytes without a "
					"newline to PMI_FD",
					rank, WIRE_LINE_MAX);
	}
	/* Not the check for stuck ranks: why this one is gone is for the caller to say first. */
	if (err < 0)
		client_gone(server, client);
	return err;
}

void pmi_server_gone(struct pmi_server *server, uint32_t rank)
{
	struct client *client = &server->client[rank];

	if (client->state == STATE_GONE)
		return;
	client_gone(server, client);
	stuck_check(server);
}

void pmi_server_release(struct pmi_server *server)
{
	fence_end(server, "cmd=barrier_out rc=-1 msg=a_rank_has_ended");
}
