/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- farbus-info: this build, this machine, and the instances that live on it
 */
#include "apps/common/table.h"
#include "apps/common/tool.h"
#include "apps/farbus-info/document.h"
#include "apps/farbus-info/local.h"
#include "apps/farbus-info/options.h"
#include "apps/farbus-info/peer.h"
#include "apps/farbus-info/trace.h"
#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TOOL "farbus-info"
#define LIVE_FILE "/proc/net/unix"

typedef bool (*live_want_fn)(const struct live *live, const void *arg);

/* Asks all live instances that are wanted. Ownership: peers_free(). */
static int peers_find(live_want_fn want, const void *arg, struct peer **ret_peers,
		      size_t *ret_count)
{
	struct live *list = NULL;
	struct peer *peers;
	size_t all = 0, count = 0;
	int err = live_list(LIVE_FILE, &list, &all);

	if (err < 0)
		return err;
	peers = alloc_array(all + 1, sizeof(*peers));
	if (!peers) {
		free(list);
		return error_set(-ENOMEM, "no memory for %zu instances", all);
	}
	for (size_t i = 0; i < all; i++)
		if (want(&list[i], arg))
			peers[count++].name = list[i];
	free(list);
	err = peers_ask(peers, count);
	if (err < 0) {
		peers_free(peers, count);
		return err;
	}
	*ret_peers = peers;
	*ret_count = count;
	return 0;
}

static bool want_all(const struct live *live, const void *arg)
{
	(void)live;
	(void)arg;
	return true;
}

static bool want_named(const struct live *live, const void *arg)
{
	const struct options *options = arg;

	return live->pid == options->pid &&
	       (!options->instance || live->instance == options->instance);
}

static bool want_instance(const struct live *live, const void *arg)
{
	return live->instance == *(const uint32_t *)arg;
}

/* What is printed of an instance in JSON: what it said, or why it said nothing. */
static json_t *peer_json(const struct peer *peer)
{
	if (peer->status == 0)
		return json_incref(peer->document);
	return json_pack("{s:I,s:I,s:s}", "pid", (json_int_t)peer->name.pid, "instance",
			 (json_int_t)peer->name.instance, "error", peer->why);
}

static json_t *peers_json(const struct peer *peers, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		if (peers[i].status != -EACCES)
			json_array_append_new(list, peer_json(&peers[i]));
	return list;
}

static void list_row(struct table *table, const struct peer *peer)
{
	const json_t *document = peer->document;

	if (!document) {
		table_row(table, "%d\t%u\t-\t-\t-\t-\t-\t%s", (int)peer->name.pid,
			  peer->name.instance, peer->why);
		return;
	}
	table_row(table, "%d\t%u\t%llu of %llu\t%s\t%zu\t%zu\t%zu\t", (int)peer->name.pid,
		  peer->name.instance, (unsigned long long)document_number(document, "rank"),
		  (unsigned long long)document_number(document, "size"),
		  document_text(document, "job"),
		  json_array_size(json_object_get(document, "regions")),
		  json_array_size(json_object_get(document, "imports")),
		  json_array_size(json_object_get(document, "windows")));
}

/* Those of other users are not shown: who they are is not ours to know. */
static void list_print(const struct peer *peers, size_t count)
{
	struct table *table = table_new(">PID|>instance|>rank|job|>regions|>imports|>windows|note");
	size_t shown = 0;

	for (size_t i = 0; i < count; i++) {
		if (peers[i].status == -EACCES)
			continue;
		list_row(table, &peers[i]);
		shown++;
	}
	if (shown)
		table_print(table, "Live instances of this user", "  ", stdout);
	else
		puts("\nNo live instance of this user on this host.");
	table_free(table);
}

static int overview(bool json)
{
	struct peer *peers = NULL;
	json_t *local = NULL;
	bool refused = false;
	size_t count = 0;
	int code = TOOL_EXIT_OK;

	if (local_new(&local, &refused) < 0 || refused) {
		tool_complain(TOOL);
		code = TOOL_EXIT_FAILED;
	}
	if (peers_find(want_all, NULL, &peers, &count) < 0) {
		tool_complain(TOOL);
		code = TOOL_EXIT_FAILED;
	}
	if (json &&
	    (!local || json_object_set_new(local, "instances", peers_json(peers, count)) < 0 ||
	     tool_json_print(local) < 0))
		code = TOOL_EXIT_FAILED;
	if (!json && local)
		local_print(local);
	if (!json)
		list_print(peers, count);
	json_decref(local);
	peers_free(peers, count);
	return code;
}

static int named_missing(const struct options *options)
{
	char text[48];

	snprintf(text, sizeof(text), options->instance ? "%d.%u" : "%d", (int)options->pid,
		 options->instance);
	return error_set(-ENOENT,
			 "no live instance %s on this host; farbus-info alone lists them, "
			 "farbus-stat shows what dead ones counted",
			 text);
}

static int details(const struct options *options)
{
	struct peer *peers = NULL;
	size_t count = 0;
	int code = TOOL_EXIT_OK;

	if (peers_find(want_named, options, &peers, &count) < 0 ||
	    (count == 0 && named_missing(options) < 0)) {
		tool_complain(TOOL);
		code = TOOL_EXIT_FAILED;
	}
	for (size_t i = 0; i < count; i++) {
		if (peers[i].status < 0) {
			fprintf(stderr, TOOL ": %d.%u: %s\n", (int)peers[i].name.pid,
				peers[i].name.instance, peers[i].why);
			code = TOOL_EXIT_FAILED;
		} else if (!options->json) {
			document_print(peers[i].document);
			putchar('\n');
		}
	}
	if (options->json) {
		json_t *document = json_pack("{s:o}", "instances", peers_json(peers, count));

		if (tool_json_print(document) < 0)
			code = TOOL_EXIT_FAILED;
		json_decref(document);
	}
	peers_free(peers, count);
	return code;
}

/* Asks the home, if it lives here. That it does not answer is no failure: most is known. */
static void home_ask(json_t *trace)
{
	const json_t *home = json_object_get(trace, "home");
	uint32_t instance = (uint32_t)document_number(home, "instance");
	struct peer *peers = NULL;
	size_t count = 0;

	if (json_object_get(home, "pid"))
		return;
	if (peers_find(want_instance, &instance, &peers, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (peers[i].document)
			trace_home_add(trace, peers[i].document);
	peers_free(peers, count);
}

/* The first instance of the process that has the address. */
static int trace_find(const struct options *options, json_t **ret_trace)
{
	struct peer *peers = NULL;
	size_t count = 0;
	int err = peers_find(want_named, options, &peers, &count);

	if (err == 0 && count == 0)
		err = named_missing(options);
	for (size_t i = 0; i < count; i++) {
		err = peers[i].status < 0 ?
			      error_set(peers[i].status, "%d.%u: %s", (int)peers[i].name.pid,
					peers[i].name.instance, peers[i].why) :
			      trace_new(peers[i].document, options->va, ret_trace);
		if (err == 0)
			break;
	}
	peers_free(peers, count);
	return err;
}

static int trace(const struct options *options)
{
	json_t *found = NULL;
	int code = TOOL_EXIT_OK;

	if (trace_find(options, &found) < 0) {
		tool_complain(TOOL);
		return TOOL_EXIT_FAILED;
	}
	home_ask(found);
	if (!options->json)
		trace_print(found);
	else if (tool_json_print(found) < 0)
		code = TOOL_EXIT_FAILED;
	json_decref(found);
	return code;
}

int main(int argc, char **argv)
{
	struct options options;
	int code, err = options_parse(argc, argv, &options);

	if (err > 0)
		return tool_close(TOOL, TOOL_EXIT_OK);
	if (err < 0) {
		tool_complain(TOOL);
		return TOOL_EXIT_USAGE;
	}
	if (options.trace)
		code = trace(&options);
	else if (options.pid)
		code = details(&options);
	else
		code = overview(options.json);
	return tool_close(TOOL, code);
}
