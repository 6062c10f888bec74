/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * names.c -- the root's table of published names, and who waits for one
 *
 * Invariants (core_check):
 *   1. name_count names are in the table, each once, none of a dead instance
 *   2. nobody waits for a name that is there
 */
#include "base/alloc.h"
#include "base/error.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t bucket(const char *text)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 16777619u;
	return hash % CORE_BUCKETS;
}

static struct name *name_find(const struct core *core, const char *text)
{
	struct name *name;

	LIST_FOREACH(name, &core->names[bucket(text)], link)
		if (strcmp(name->text, text) == 0)
			return name;
	return NULL;
}

static bool name_fits(const struct message_name *message)
{
	size_t len = strnlen(message->name, sizeof(message->name));

	return len > 0 && len < sizeof(message->name) &&
	       memchr(message->token.text, '\0', sizeof(message->token.text));
}

/* False: it was answered already. */
static bool names_here(struct core *core, struct conn *conn, const struct message_name *message)
{
	if (core->conf.rank != 0) {
		conn_refuse(core, conn, &message->head, -EPROTO, "rank 0 has the names");
		return false;
	}
	if (!name_fits(message)) {
		conn_bad(core, conn, "a name without an end");
		return false;
	}
	return true;
}

static void waiter_end(struct core *core, struct waiter *waiter, const struct farbus_token *token)
{
	LIST_REMOVE(waiter, link);
	core->waiter_count--;
	if (token)
		conn_reply(core, waiter->conn, &waiter->asked, 0, token, sizeof(*token));
	free(waiter);
}

static void waiters_answer(struct core *core, const struct name *name)
{
	struct waiter *waiter, *next;

	for (waiter = LIST_FIRST(&core->waiters); waiter; waiter = next) {
		next = LIST_NEXT(waiter, link);
		if (strcmp(waiter->text, name->text) == 0)
			waiter_end(core, waiter, &name->token);
	}
}

static int name_insert(struct core *core, const struct conn *conn,
		       const struct message_name *message, struct name **ret_name)
{
	struct name *name = name_find(core, message->name);

	if (name)
		return error_set(-EEXIST, "the name is taken, by instance %x", name->instance);
	if (core->name_count == CORE_NAME_MAX)
		return error_set(-ENOSPC, "%d names are published: that is all a job can have",
				 CORE_NAME_MAX);
	name = alloc_zero(sizeof(*name));
	if (!name)
		return error_set(-ENOMEM, "rank 0 has no memory for a name");
	memcpy(name->text, message->name, sizeof(name->text));
	name->token = message->token;
	name->instance = conn->instance;
	LIST_INSERT_HEAD(&core->names[bucket(name->text)], name, link);
	core->name_count++;
	*ret_name = name;
	return 0;
}

void names_publish(struct core *core, struct conn *conn, const struct message_name *message)
{
	struct name *name;
	int err;

	if (!names_here(core, conn, message))
		return;
	err = name_insert(core, conn, message, &name);
	if (err < 0) {
		conn_refuse(core, conn, &message->head, err, NULL);
		return;
	}
	conn_reply(core, conn, &message->head, 0, NULL, 0);
	waiters_answer(core, name);
}

static int waiter_insert(struct core *core, struct conn *conn, const struct message_name *message)
{
	struct waiter *waiter;

	if (core->waiter_count == CORE_REQUEST_MAX)
		return error_set(-ENOSPC, "%d lookups wait already", CORE_REQUEST_MAX);
	waiter = alloc_zero(sizeof(*waiter));
	if (!waiter)
		return error_set(-ENOMEM, "rank 0 has no memory for a lookup");
	memcpy(waiter->text, message->name, sizeof(waiter->text));
	waiter->conn = conn;
	waiter->asked = message->head;
	LIST_INSERT_HEAD(&core->waiters, waiter, link);
	core->waiter_count++;
	return 0;
}

void names_lookup(struct core *core, struct conn *conn, const struct message_name *message)
{
	const struct name *name;
	int err;

	if (!names_here(core, conn, message))
		return;
	name = name_find(core, message->name);
	if (name) {
		conn_reply(core, conn, &message->head, 0, &name->token, sizeof(name->token));
		return;
	}
	if (message->only_look) {
		conn_refuse(core, conn, &message->head, -ETIMEDOUT,
			    "nobody has published this name");
		return;
	}
	err = waiter_insert(core, conn, message);
	if (err < 0)
		conn_refuse(core, conn, &message->head, err, NULL);
}

void names_cancel(struct core *core, struct conn *conn, uint32_t call)
{
	struct waiter *waiter;

	LIST_FOREACH(waiter, &core->waiters, link)
		if (waiter->conn == conn && waiter->asked.call == call) {
			waiter_end(core, waiter, NULL);
			return;
		}
}

void names_conn_gone(struct core *core, struct conn *conn)
{
	struct waiter *waiter, *next;

	for (waiter = LIST_FIRST(&core->waiters); waiter; waiter = next) {
		next = LIST_NEXT(waiter, link);
		if (waiter->conn == conn)
			waiter_end(core, waiter, NULL);
	}
}

void names_instance_gone(struct core *core, uint32_t instance)
{
	struct name *name, *next;

	for (int i = 0; i < CORE_BUCKETS; i++)
		for (name = LIST_FIRST(&core->names[i]); name; name = next) {
			next = LIST_NEXT(name, link);
			if (name->instance != instance)
				continue;
			LIST_REMOVE(name, link);
			core->name_count--;
			free(name);
		}
}

void names_free_all(struct core *core)
{
	struct name *name;
	struct waiter *waiter;

	for (int i = 0; i < CORE_BUCKETS; i++)
		while ((name = LIST_FIRST(&core->names[i]))) {
			LIST_REMOVE(name, link);
			free(name);
		}
	while ((waiter = LIST_FIRST(&core->waiters))) {
		LIST_REMOVE(waiter, link);
		free(waiter);
	}
}
