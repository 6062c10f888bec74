/* SPDX-License-Identifier: BSD-3-Clause */
/* single.c -- the source without a launcher: rank 0 of 1, blobs kept in this process */
#include "runtime/boot/single.h"

#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct blob {
	char key[BOOT_KEY_MAX];
	size_t len;
	unsigned char value[BOOT_VALUE_MAX];
};

struct single {
	size_t count;
	struct blob *blob[SINGLE_BLOB_MAX]; /* owned, the first count are set */
};

int single_open(struct single **ret_single, struct boot_info *ret_info)
{
	struct single *single = alloc_zero(sizeof(*single));

	if (!single)
		return error_set(-ENOMEM, "no memory for the bootstrap");
	*ret_info = (struct boot_info){ .source = "single", .size = 1, .local_size = 1 };
	*ret_single = single;
	return 0;
}

static struct blob *blob_find(const struct single *single, const char *key)
{
	for (size_t i = 0; i < single->count; i++) {
		if (strcmp(single->blob[i]->key, key) == 0)
			return single->blob[i];
	}
	return NULL;
}

static int blob_add(struct single *single, const char *key, struct blob **ret_blob)
{
	struct blob *blob;

	if (single->count == SINGLE_BLOB_MAX)
		return error_set(-ENOSPC, "more than %d blobs", SINGLE_BLOB_MAX);
	blob = alloc_zero(sizeof(*blob));
	if (!blob)
		return error_set(-ENOMEM, "no memory for a blob");
	strcpy(blob->key, key);
	single->blob[single->count++] = blob;
	*ret_blob = blob;
	return 0;
}

int single_put(struct single *single, const char *key, const void *value, size_t len)
{
	struct blob *blob;

	if (!key[0] || strlen(key) >= BOOT_KEY_MAX)
		return error_set(-EINVAL, "a key of %zu characters: give 1 to %d", strlen(key),
				 BOOT_KEY_MAX - 1);
	if (strpbrk(key, " =\t\r\n")) /* what works alone has to work with a launcher, too */
		return error_set(-EINVAL, "the key %.64s has a blank or '=' in it", key);
	if (len > BOOT_VALUE_MAX)
		return error_set(-EMSGSIZE, "a blob of %zu bytes: give up to %d", len,
				 BOOT_VALUE_MAX);
	blob = blob_find(single, key);
	if (!blob) {
		int err = blob_add(single, key, &blob);

		if (err < 0)
			return err;
	}
	memcpy(blob->value, value, len);
	blob->len = len;
	return 0;
}

int single_get(struct single *single, const char *key, void *ret_value, size_t size,
	       size_t *ret_len)
{
	const struct blob *blob = blob_find(single, key);

	if (!blob)
		return error_set(-ENOENT, "no rank gave %s before the fence", key);
	if (blob->len > size)
		return error_set(-EMSGSIZE, "the blob of %s is longer than %zu bytes", key, size);
	memcpy(ret_value, blob->value, blob->len);
	*ret_len = blob->len;
	return 0;
}

void single_close(struct single *single)
{
	if (!single)
		return;
	for (size_t i = 0; i < single->count; i++)
		free(single->blob[i]);
	free(single);
}
