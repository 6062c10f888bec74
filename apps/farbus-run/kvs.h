/* SPDX-License-Identifier: BSD-3-Clause */
/* kvs.h -- the bounded table of keys and values that ranks exchange */
#ifndef APPS_FARBUS_RUN_KVS_H
#define APPS_FARBUS_RUN_KVS_H

#include <stddef.h>

/* With WIRE_KEY_MAX and WIRE_VALUE_MAX a full table is 71 MB; one key per rank is 1024 of them. */
#define KVS_ENTRY_MAX 65536

struct kvs;

int kvs_new(struct kvs **ret_kvs);
void kvs_free(struct kvs *kvs);
/* Copies both; a key that is there gets the new value. Errors: -ENOSPC, -ENOMEM. */
int kvs_put(struct kvs *kvs, const char *key, const char *value);
/* NULL: no such key. Borrowed until the next put of that key. */
const char *kvs_get(const struct kvs *kvs, const char *key);

#endif
