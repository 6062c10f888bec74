/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_wire.c -- runtime/boot/wire.h, with any text
 *
 * Checked besides the sanitizers: a value that is found stands in the line, what is refused writes
 * nothing, blobs come back as they were, and a local rank is below the local size.
 */
#include "base/assert.h"
#include "runtime/boot/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_text(const char *line, const char *key)
{
	char value[WIRE_KEY_MAX] = "before", pair[2 * WIRE_KEY_MAX];
	int64_t number = 77;
	int err = wire_text(line, key, value, sizeof(value));

	FARBUS_ASSERT(err == 0 || err == -ENOENT || err == -EMSGSIZE);
	if (err == 0) {
		strcpy(pair, key);
		strcat(strcat(pair, "="), value);
		FARBUS_ASSERT(strstr(line, pair));
		FARBUS_ASSERT(!strpbrk(value, " \t\r"));
	} else {
		FARBUS_ASSERT(strcmp(value, "before") == 0);
	}
	err = wire_number(line, key, -5, 1000, &number);
	FARBUS_ASSERT(err < 0 ? number == 77 : number >= -5 && number <= 1000);
}

static void try_unhex(const char *text)
{
	unsigned char blob[600];
	char again[2 * sizeof(blob) + 1];
	size_t len = 77;
	int err = wire_unhex(text, blob, sizeof(blob), &len);

	if (err < 0) {
		FARBUS_ASSERT(len == 77);
		return;
	}
	wire_hex(blob, len, again);
	FARBUS_ASSERT(strcasecmp(again, text) == 0);
}

static void try_mapping(const char *text, uint32_t rank, uint32_t size)
{
	uint32_t local_rank = 77, local_size = 77;

	if (wire_mapping(text, rank, size, &local_rank, &local_size) < 0) {
		FARBUS_ASSERT(local_rank == 77);
		FARBUS_ASSERT(local_size == 77);
		return;
	}
	FARBUS_ASSERT(local_rank < local_size);
	FARBUS_ASSERT(local_size <= size);
	FARBUS_ASSERT(local_rank <= rank);
}

/* Two bytes choose rank and size; the rest is the text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const key[] = { "cmd", "rc", "key", "value", "kvsname", "a" };
	char *text;

	if (size < 2)
		return 0;
	text = calloc(1, size - 1);
	if (!text)
		return 0;
	memcpy(text, data + 2, size - 2);
	for (size_t i = 0; i < sizeof(key) / sizeof(key[0]); i++)
		try_text(text, key[i]);
	try_unhex(text);
	try_mapping(text, data[0], data[1]);
	free(text);
	return 0;
}
