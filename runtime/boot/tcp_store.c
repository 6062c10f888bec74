/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_store.c -- the blobs of a job that rank 0 keeps: a hash table of lists
 *
 * Invariants:
 *   1. a key is in the list its hash names, and there once
 *   2. count is the number of blobs, and at most max
 */
#include "runtime/boot/tcp_store.h"

#include "base/alloc.h"
#include "base/mac.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define BUCKETS 1024

struct blob {
	SLIST_ENTRY(blob) link;
	char key[BOOT_KEY_MAX];
	size_t len;
	unsigned char value[BOOT_VALUE_MAX];
};

SLIST_HEAD(bucket, blob);

struct tcp_store {
	size_t count, max;
	struct bucket bucket[BUCKETS];
};

int tcp_store_new(uint32_t size, struct tcp_store **ret_store)
{
	struct tcp_store *store = alloc_zero(sizeof(*store));

	if (!store)
		return -ENOMEM;
	store->max = (size_t)size * TCP_BLOB_MAX;
	*ret_store = store;
	return 0;
}

void tcp_store_free(struct tcp_store *store)
{
	struct blob *blob;

	if (!store)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while ((blob = SLIST_FIRST(&store->bucket[i]))) {
			SLIST_REMOVE_HEAD(&store->bucket[i], link);
			mac_wipe(blob->value, sizeof(blob->value)); /* one is the job's secret */
			free(blob);
		}
	}
	free(store);
}

/* FNV-1a: the keys are those of members, who have better ways to slow the job down. */
static size_t bucket_of(const char *key)
{
	uint32_t hash = 2166136261u;

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 16777619u;
	return hash % BUCKETS;
}

static struct blob *blob_find(const struct tcp_store *store, const char *key)
{
	struct blob *blob;

	SLIST_FOREACH(blob, &store->bucket[bucket_of(key)], link)
		if (strcmp(blob->key, key) == 0)
			return blob;
	return NULL;
}

int tcp_store_put(struct tcp_store *store, const char *key, const void *value, size_t len)
{
	struct blob *blob = blob_find(store, key);

	if (!blob) {
		if (store->count == store->max)
			return -ENOSPC;
		blob = alloc_zero(sizeof(*blob));
		if (!blob)
			return -ENOMEM;
		strcpy(blob->key, key);
		SLIST_INSERT_HEAD(&store->bucket[bucket_of(key)], blob, link);
		store->count++;
	}
	memcpy(blob->value, value, len);
	blob->len = len;
	return 0;
}

int tcp_store_get(const struct tcp_store *store, const char *key, const void **ret_value,
		  size_t *ret_len)
{
	const struct blob *blob = blob_find(store, key);

	if (!blob)
		return -ENOENT;
	*ret_value = blob->value;
	*ret_len = blob->len;
	return 0;
}
