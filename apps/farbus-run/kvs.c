/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kvs.c -- the bounded table of keys and values that ranks exchange
 *
 * Open addressing with linear steps; nothing is ever taken out. The table doubles when half full.
 *
 * Invariants:
 *   1. size is a power of two, used <= size / 2, so that every search ends at a free slot
 *   2. an entry lies between its hash slot and the next free one
 *   3. used <= KVS_ENTRY_MAX
 */
#include "apps/farbus-run/kvs.h"

#include "base/alloc.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_FIRST 64

struct entry {
	char *key, *value; /* owned; NULL: free slot */
};

struct kvs {
	size_t used, size;
	struct entry *entry; /* owned, size of them */
};

int kvs_new(struct kvs **ret_kvs)
{
	struct kvs *kvs = alloc_zero(sizeof(*kvs));

	if (!kvs)
		return -ENOMEM;
	kvs->size = SIZE_FIRST;
	kvs->entry = alloc_array(kvs->size, sizeof(*kvs->entry));
	if (!kvs->entry) {
		free(kvs);
		return -ENOMEM;
	}
	*ret_kvs = kvs;
	return 0;
}

void kvs_free(struct kvs *kvs)
{
	if (!kvs)
		return;
	for (size_t i = 0; i < kvs->size; i++) {
		free(kvs->entry[i].key);
		free(kvs->entry[i].value);
	}
	free(kvs->entry);
	free(kvs);
}

/* FNV-1a. Ranks are of one user and one job: they can only slow down themselves. */
static size_t slot_first(const struct kvs *kvs, const char *key)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 0x100000001b3;
	return hash & (kvs->size - 1);
}

/* The key's slot, or the free one where it would go. */
static struct entry *slot_find(const struct kvs *kvs, const char *key)
{
	size_t at = slot_first(kvs, key);

	while (kvs->entry[at].key && strcmp(kvs->entry[at].key, key) != 0)
		at = (at + 1) & (kvs->size - 1);
	return &kvs->entry[at];
}

static int grow(struct kvs *kvs)
{
	struct kvs more = { .used = kvs->used, .size = kvs->size * 2 };

	more.entry = alloc_array(more.size, sizeof(*more.entry));
	if (!more.entry)
		return -ENOMEM;
	for (size_t i = 0; i < kvs->size; i++) {
		if (kvs->entry[i].key)
			*slot_find(&more, kvs->entry[i].key) = kvs->entry[i];
	}
	free(kvs->entry);
	*kvs = more;
	return 0;
}

/* A free slot for a new key. */
static int slot_add(struct kvs *kvs, const char *key, struct entry **ret_entry)
{
	struct entry *entry;

	if (kvs->used == KVS_ENTRY_MAX)
		return -ENOSPC;
	if (kvs->used == kvs->size / 2 && grow(kvs) < 0)
		return -ENOMEM;
	entry = slot_find(kvs, key);
	entry->key = alloc_text(key);
	if (!entry->key)
		return -ENOMEM;
	kvs->used++;
	*ret_entry = entry;
	return 0;
}

int kvs_put(struct kvs *kvs, const char *key, const char *value)
{
	struct entry *entry = slot_find(kvs, key);
	char *copy = alloc_text(value);
	int err = 0;

	if (!copy)
		return -ENOMEM;
	if (!entry->key)
		err = slot_add(kvs, key, &entry);
	if (err < 0) {
		free(copy);
		return err;
	}
	free(entry->value);
	entry->value = copy;
	return 0;
}

const char *kvs_get(const struct kvs *kvs, const char *key)
{
	return slot_find(kvs, key)->value;
}
