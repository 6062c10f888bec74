/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend.c -- which transports an instance has open, and which one reaches a rank
 *
 * A rank on this host is reached through shm, under a name that the job and the rank give. For
 * other hosts each rank leaves a card with the bootstrap: which host it is on, and where it listens
 * over which network transport. The first of ours that the card has, too, is used.
 *
 * A card is HOST_NAME_SIZE bytes that name the host, then lines "NAME LOCATOR\n" of text.
 *
 * Invariant: backend[] holds the open transports, shm, if it is wanted, and then those of networks in
 * order of preference.
 */
#include "base/error.h"
#include "base/log.h"
#include "runtime/instance.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CARD_TIMEOUT_NS (2 * NS_PER_S)

/* ---- settings ---- */

static bool automatic(const struct farbus *farbus)
{
	return strcmp(farbus->config.transport, "auto") == 0;
}

/* Is the name one of a list with commas? */
static bool listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0'))
			return true;
	}
	return false;
}

static void names_built(char *text, size_t size)
{
	size_t at = 0;

	for (const struct transport_ops *const *ops = transport_backends; *ops && at < size; ops++)
		at += (size_t)snprintf(text + at, size - at, "%s%s", at ? ", " : "", (*ops)->name);
}

int backends_setting_check(const struct farbus *farbus)
{
	char list[CONFIG_TEXT_MAX], built[128], *save = NULL;

	snprintf(list, sizeof(list), "%s", farbus->config.transport);
	for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save))
		if (strcmp(name, "auto") != 0 && !transport_find(name)) {
			names_built(built, sizeof(built));
			return error_set(-EINVAL,
					 "FARBUS_TRANSPORT=%s: this build has %s; farbus-info "
					 "says more of them",
					 name, built);
		}
	return 0;
}

bool backend_wants_shm(const struct farbus *farbus)
{
	return automatic(farbus) || listed(farbus->config.transport, "shm");
}

/* ---- opening ---- */

static int backend_add(struct farbus *farbus, const struct transport_ops *ops, const char *where)
{
	struct backend *backend = &farbus->backend[farbus->backend_count];
	int err;

	if (farbus->backend_count == INSTANCE_BACKEND_MAX)
		return error_set(-ENOSPC, "more than %d transports", INSTANCE_BACKEND_MAX);
	err = ops->open(where, &backend->transport);
	if (err < 0)
		return err;
	backend->farbus = farbus;
	backend->ops = ops;
	if (ops->place_set)
		ops->place_set(backend->transport, served_place, backend);
	ops->locator(backend->transport, backend->locator);
	farbus->backend_count++;
	return 0;
}

/* Errors: -ENOSYS none can be used here; its text is the last one's. */
static int network_first(struct farbus *farbus)
{
	char reason[256] = "this build has none";

	for (const struct transport_ops *const *ops = transport_backends; *ops; ops++) {
		if ((*ops)->same_host)
			continue;
		if ((*ops)->probe(reason, sizeof(reason)) < 0) {
			log_info("transport %s is not used: %s", (*ops)->name, reason);
			continue;
		}
		if (backend_add(farbus, *ops, farbus->config.address) == 0)
			return 0;
		log_info("transport %s is not used: %s", (*ops)->name, error_text());
	}
	return error_set(-ENOSYS, "other hosts cannot be reached: no network transport (%s)",
			 reason);
}

int backends_open_network(struct farbus *farbus)
{
	int err;

	host_name(farbus->config.node, farbus->host);
	if (automatic(farbus))
		return farbus->one_host ? 0 : network_first(farbus);
	for (const struct transport_ops *const *ops = transport_backends; *ops; ops++) {
		if ((*ops)->same_host || !listed(farbus->config.transport, (*ops)->name))
			continue;
		err = backend_add(farbus, *ops, farbus->config.address);
		if (err < 0)
			return err;
	}
	return 0;
}

static void shm_locator(const struct farbus *farbus, uint32_t rank,
			char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	snprintf(ret_locator, TRANSPORT_LOCATOR_MAX, "farbus.%016llx.%u",
		 (unsigned long long)farbus->self.job, rank);
}

int backends_open_host(struct farbus *farbus)
{
	char locator[TRANSPORT_LOCATOR_MAX];
	int err;

	if (!backend_wants_shm(farbus))
		return 0;
	shm_locator(farbus, farbus->self.rank, locator);
	err = backend_add(farbus, transport_find("shm"), locator);
	if (err == -EEXIST)
		return error_set(-EEXIST,
				 "rank %u of this job is open already: one instance per "
				 "rank; start the second under its own launcher or rank",
				 farbus->self.rank);
	return err;
}

void backends_close(struct farbus *farbus)
{
	while (farbus->backend_count) {
		struct backend *backend = &farbus->backend[--farbus->backend_count];

		backend->ops->close(backend->transport);
	}
}

bool backends_park(struct farbus *farbus)
{
	for (unsigned i = 0; i < farbus->backend_count; i++)
		if (!farbus->backend[i].ops->park(farbus->backend[i].transport))
			return false;
	return true;
}

/* ---- cards ---- */

size_t card_make(const struct farbus *farbus, void *card, size_t size)
{
	char *text = (char *)card + HOST_NAME_SIZE;
	size_t room = size - HOST_NAME_SIZE, at = 0;

	memcpy(card, farbus->host, HOST_NAME_SIZE);
	if (backend_wants_shm(farbus))
		at += (size_t)snprintf(text, room, "shm -\n");
	for (unsigned i = 0; i < farbus->backend_count; i++) {
		const struct backend *backend = &farbus->backend[i];

		if (!backend->ops->same_host && at < room)
			at += (size_t)snprintf(text + at, room - at, "%s %s\n", backend->ops->name,
					       backend->locator);
	}
	return HOST_NAME_SIZE + (at < room ? at : room - 1);
}

/* The line of that transport. Errors: -ENOENT, without a text. */
static int card_line(const char *text, const char *name, char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	size_t name_len = strlen(name), len;

	for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		if (strncmp(at, name, name_len) != 0 || at[name_len] != ' ')
			continue;
		at += name_len + 1;
		len = strcspn(at, "\n");
		if (len == 0 || len >= TRANSPORT_LOCATOR_MAX)
			return -ENOENT;
		memcpy(ret_locator, at, len);
		ret_locator[len] = '\0';
		return 0;
	}
	return -ENOENT;
}

static struct backend *backend_shm(struct farbus *farbus)
{
	for (unsigned i = 0; i < farbus->backend_count; i++)
		if (farbus->backend[i].ops->same_host)
			return &farbus->backend[i];
	return NULL;
}

static int card_get(struct farbus *farbus, uint32_t rank, char *card, size_t size)
{
	char key[BOOT_KEY_MAX];
	size_t len = 0;
	int err;

	snprintf(key, sizeof(key), CARD_KEY "%u", rank);
	err = boot_get(farbus->boot, key, card, size - 1, &len, CARD_TIMEOUT_NS);
	if (err < 0)
		return err;
	if (len < HOST_NAME_SIZE)
		return error_set(-EPROTO,
				 "rank %u left a card of %zu bytes: run one farbus "
				 "version in the whole job",
				 rank, len);
	card[len] = '\0';
	return 0;
}

static int card_route(struct farbus *farbus, uint32_t rank, const char *card,
		      struct backend **ret_backend, char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	const char *text = card + HOST_NAME_SIZE;
	struct backend *shm = backend_shm(farbus);

	if (shm && memcmp(card, farbus->host, HOST_NAME_SIZE) == 0 &&
	    card_line(text, "shm", ret_locator) == 0) {
		shm_locator(farbus, rank, ret_locator);
		*ret_backend = shm;
		return 0;
	}
	for (unsigned i = 0; i < farbus->backend_count; i++) {
		struct backend *backend = &farbus->backend[i];

		if (backend->ops->same_host || card_line(text, backend->ops->name, ret_locator) < 0)
			continue;
		*ret_backend = backend;
		return 0;
	}
	return error_set(-EHOSTUNREACH,
			 "rank %u is on another host and has no network transport in common with "
			 "this one: give FARBUS_TRANSPORT=auto to both, or the same list",
			 rank);
}

int backend_route(struct farbus *farbus, uint32_t rank, struct backend **ret_backend,
		  char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	char card[BOOT_VALUE_MAX + 1];
	int err;

	if (farbus->one_host && farbus->backend_count) {
		shm_locator(farbus, rank, ret_locator);
		*ret_backend = &farbus->backend[0];
		return 0;
	}
	err = card_get(farbus, rank, card, sizeof(card));
	return err < 0 ? err : card_route(farbus, rank, card, ret_backend, ret_locator);
}
