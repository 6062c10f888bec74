/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kvs.c -- the bounded table of keys and values that ranks exchange
 *
 * Open addressing with linear steps; nothing is ever taken out.
 *
 * Invariants:
 *   1. used <= KVS_ENTRY_MAX < SLOT_COUNT, so that every search ends at a free slot
 *   2. an entry lies between its hash slot and the next free one
 */
#include "apps/farbus-run/kvs.h"

#include "base/alloc.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_COUNT (2 * KVS_ENTRY_MAX)
_Static_assert((SLOT_COUNT & (SLOT_COUNT - 1)) == 0, "a mask finds the slot");

struct entry {
	char *key, *value; /* owned; NULL: free slot */
};

struct kvs {
	size_t used;
	struct entry entry[SLOT_COUNT]; /* untouched pages cost nothing */
};

int kvs_new(struct kvs **ret_kvs)
{
	struct kvs *kvs = alloc_zero(sizeof(*kvs));

	if (!kvs)
		return -ENOMEM;
	*ret_kvs = kvs;
	return 0;
}

void kvs_free(struct kvs *kvs)
{
	if (!kvs)
		return;
	for (size_t i = 0; i < SLOT_COUNT && kvs->used > 0; i++) {
		if (!kvs->entry[i].key)
			continue;
		free(kvs->entry[i].key);
		free(kvs->entry[i].value);
		kvs->used--;
	}
	free(kvs);
}

/* FNV-1a. Ranks are of one user and one job: they can only slow down themselves. */
static size_t slot_first(const char *key)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 0x100000001b3;
	return hash & (SLOT_COUNT - 1);
}

/* The key's slot, or the free one where it would go. */
static size_t slot_find(const struct kvs *kvs, const char *key)
{
	size_t at = slot_first(key);

	while (kvs->entry[at].key && strcmp(kvs->entry[at].key, key) != 0)
		at = (at + 1) & (SLOT_COUNT - 1);
	return at;
}

int kvs_put(struct kvs *kvs, const char *key, const char *value)
{
	struct entry *entry = &kvs->entry[slot_find(kvs, key)];
	char *copy;

	if (!entry->key && kvs->used == KVS_ENTRY_MAX)
		return -ENOSPC;
	copy = alloc_text(value);
	if (!copy)
		return -ENOMEM;
	if (!entry->key) {
		entry->key = alloc_text(key);
		if (!entry->key) {
			free(copy);
			return -ENOMEM;
		}
		kvs->used++;
	}
	free(entry->value);
	entry->value = copy;
	return 0;
}

const char *kvs_get(const struct kvs *kvs, const char *key)
{
	return kvs->entry[slot_find(kvs, key)].value;
}
