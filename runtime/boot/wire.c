/* SPDX-License-Identifier: BSD-3-Clause */
/* wire.c -- the text of PMI-1: lines of blank-separated key=value, blobs as hex */
#include "runtime/boot/wire.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What Hydra and Slurm write has a handful; a hostile one could make the sum below slow. */
#define MAPPING_BLOCK_MAX 64
#define MAPPING_NUMBER_MAX 1000000

static const char blank[] = " \t\r";

int wire_text(const char *line, const char *key, char *ret_value, size_t size)
{
	size_t key_len = strlen(key);

	for (const char *at = line + strspn(line, blank); *at; at += strspn(at, blank)) {
		size_t len = strcspn(at, blank);

		if (len > key_len && strncmp(at, key, key_len) == 0 && at[key_len] == '=') {
			size_t value_len = len - key_len - 1;

			if (value_len >= size)
				return -EMSGSIZE;
			memcpy(ret_value, at + key_len + 1, value_len);
			ret_value[value_len] = '\0';
			return 0;
		}
		at += len;
	}
	return -ENOENT;
}

int wire_number_parse(const char *text, int64_t min, int64_t max, int64_t *ret_number)
{
	char *end;
	long long n;

	if (!isdigit((unsigned char)text[0]) &&
	    !(text[0] == '-' && isdigit((unsigned char)text[1])))
		return -EINVAL;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno == ERANGE || n < min || n > max)
		return -ERANGE;
	*ret_number = n;
	return 0;
}

int wire_number(const char *line, const char *key, int64_t min, int64_t max, int64_t *ret_number)
{
	char text[32];
	int err = wire_text(line, key, text, sizeof(text));

	if (err < 0)
		return err == -EMSGSIZE ? -EINVAL : err;
	return wire_number_parse(text, min, max, ret_number);
}

void wire_hex(const void *blob, size_t len, char *ret_text)
{
	static const char digit[] = "0123456789abcdef";
	const unsigned char *byte = blob;

	for (size_t i = 0; i < len; i++) {
		ret_text[2 * i] = digit[byte[i] >> 4];
		ret_text[2 * i + 1] = digit[byte[i] & 15];
	}
	ret_text[2 * len] = '\0';
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int wire_unhex(const char *text, void *ret_blob, size_t size, size_t *ret_len)
{
	unsigned char *byte = ret_blob;
	size_t len = strlen(text);

	if (len % 2)
		return -EINVAL;
	if (len / 2 > size)
		return -EMSGSIZE;
	for (size_t i = 0; i < len; i++) {
		if (nibble(text[i]) < 0)
			return -EINVAL;
	}
	for (size_t i = 0; i < len / 2; i++)
		byte[i] = (unsigned char)(nibble(text[2 * i]) * 16 + nibble(text[2 * i + 1]));
	*ret_len = len / 2;
	return 0;
}

struct block {
	int64_t node, nodes, ranks;
};

/* "node,nodes,ranks)" */
static bool block_parse(const char **at, struct block *ret_block)
{
	int64_t *field[] = { &ret_block->node, &ret_block->nodes, &ret_block->ranks };

	for (int i = 0; i < 3; i++) {
		int64_t n = 0;

		if (!isdigit((unsigned char)**at))
			return false;
		for (; isdigit((unsigned char)**at); (*at)++) {
			n = n * 10 + (**at - '0');
			if (n > MAPPING_NUMBER_MAX)
				return false;
		}
		if (*(*at)++ != (i < 2 ? ',' : ')'))
			return false;
		*field[i] = n;
	}
	return ret_block->nodes > 0 && ret_block->ranks > 0;
}

/* Number of blocks, 0: not of that form. */
static int mapping_parse(const char *text, struct block *ret_block)
{
	static const char head[] = "(vector";
	const char *at = text + sizeof(head) - 1;
	int count = 0;

	if (strncmp(text, head, sizeof(head) - 1) != 0)
		return 0;
	while (at[0] == ',' && at[1] == '(' && count < MAPPING_BLOCK_MAX) {
		at += 2;
		if (!block_parse(&at, &ret_block[count++]))
			return 0;
	}
	return strcmp(at, ")") == 0 ? count : 0;
}

/* Node of each rank in order; calls nothing, allocates nothing: a walk that can be resumed. */
struct walk {
	const struct block *block;
	int count, at;
	int64_t node, rank; /* within block[at] */
};

static int64_t walk_next(struct walk *walk)
{
	const struct block *block = &walk->block[walk->at];
	int64_t node = block->node + walk->node;

	if (++walk->rank == block->ranks) {
		walk->rank = 0;
		if (++walk->node == block->nodes) {
			walk->node = 0;
			walk->at = (walk->at + 1) % walk->count;
		}
	}
	return node;
}

int wire_mapping(const char *text, uint32_t rank, uint32_t size, uint32_t *ret_local_rank,
		 uint32_t *ret_local_size)
{
	struct block block[MAPPING_BLOCK_MAX];
	struct walk walk = { .block = block, .count = mapping_parse(text, block) };
	uint32_t local_rank = 0, local_size = 0;
	int64_t home = -1;

	if (walk.count == 0 || rank >= size || size > MAPPING_NUMBER_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i <= rank; i++)
		home = walk_next(&walk);
	walk = (struct walk){ .block = block, .count = walk.count };
	for (uint32_t i = 0; i < size; i++) {
		if (walk_next(&walk) != home)
			continue;
		local_rank += i < rank;
		local_size++;
	}
	*ret_local_rank = local_rank;
	*ret_local_size = local_size;
	return 0;
}
