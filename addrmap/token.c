/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * token.c -- the text of a token
 *
 *   fb1_ | base64url of: | fields, 56 | MAC, 16 | hint rank, 4 | hint, 16 |
 *                        '--- MAC ---'
 *
 * Invariants (token_check):
 *   1. the fields are little-endian and have no gaps: equal tokens have equal texts
 *   2. the text fills struct farbus_token to its last byte, the NUL
 *   3. what token_parse() takes, token_seal() could have written: it reads every bit
 */
#include "addrmap/token.h"

#include "base/assert.h"
#include "base/error.h"
#include <endian.h>
#include <errno.h>
#include <string.h>

#define PREFIX "fb1_"
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define TEXT_LEN ((size_t)FARBUS_TOKEN_SIZE - 1)
#define BODY_LEN (TEXT_LEN - PREFIX_LEN)

#define VERSION_END 8 /* of any release's prefix */

#define HINT_SIZE sizeof(((struct token *)0)->hint)
#define FIELDS_SIZE 56
#define TOKEN_SIZE (FIELDS_SIZE + MAC_TAG_SIZE + 4 + HINT_SIZE)

/* Where the part after the MAC begins in the text. */
#define HINT_AT (PREFIX_LEN + (FIELDS_SIZE + MAC_TAG_SIZE) * 8 / 6)

_Static_assert((FIELDS_SIZE + MAC_TAG_SIZE) * 8 % 6 == 0, "no character has bits of both parts");
_Static_assert((TOKEN_SIZE * 8 + 5) / 6 == BODY_LEN, "the text fills struct farbus_token");
_Static_assert(TOKEN_VERSION == 1, "PREFIX names the version");

static uint8_t *put(uint8_t *at, uint64_t value, size_t size)
{
	uint64_t le = htole64(value);

	memcpy(at, &le, size);
	return at + size;
}

static uint64_t take(const uint8_t **at, size_t size)
{
	uint64_t le = 0;

	memcpy(&le, *at, size);
	*at += size;
	return le64toh(le);
}

static void fields_pack(const struct token *token, uint8_t ret_fields[FIELDS_SIZE])
{
	uint8_t *at = ret_fields;

	at = put(at, token->version, 1);
	at = put(at, token->rights, 1);
	at = put(at, token->flags, 1);
	at = put(at, token->depth, 1);
	at = put(at, token->job, 8);
	at = put(at, token->region, 8);
	at = put(at, token->incarnation, 4);
	at = put(at, token->grant, 4);
	at = put(at, token->off, 8);
	at = put(at, token->len, 8);
	at = put(at, token->epoch, 4);
	at = put(at, token->expiry_s, 8);
	FARBUS_ASSERT(at == ret_fields + FIELDS_SIZE);
}

static void token_unpack(const uint8_t *at, struct token *ret_token)
{
	ret_token->version = (uint8_t)take(&at, 1);
	ret_token->rights = (uint8_t)take(&at, 1);
	ret_token->flags = (uint8_t)take(&at, 1);
	ret_token->depth = (uint8_t)take(&at, 1);
	ret_token->job = take(&at, 8);
	ret_token->region = take(&at, 8);
	ret_token->incarnation = (uint32_t)take(&at, 4);
	ret_token->grant = (uint32_t)take(&at, 4);
	ret_token->off = take(&at, 8);
	ret_token->len = take(&at, 8);
	ret_token->epoch = (uint32_t)take(&at, 4);
	ret_token->expiry_s = take(&at, 8);
	memcpy(ret_token->mac, at, MAC_TAG_SIZE);
	at += MAC_TAG_SIZE;
	ret_token->hint_rank = (uint32_t)take(&at, 4);
	memcpy(ret_token->hint, at, HINT_SIZE);
}

void token_seal(struct token *token, const uint8_t key[MAC_KEY_SIZE], struct farbus_token *ret_text)
{
	uint8_t all[TOKEN_SIZE], *at = all + FIELDS_SIZE;

	token->version = TOKEN_VERSION;
	fields_pack(token, all);
	mac_tag(key, all, FIELDS_SIZE, token->mac);
	memcpy(at, token->mac, MAC_TAG_SIZE);
	at = put(at + MAC_TAG_SIZE, token->hint_rank, 4);
	memcpy(at, token->hint, HINT_SIZE);

	memcpy(ret_text->text, PREFIX, PREFIX_LEN);
	int err = mac_text_encode(all, TOKEN_SIZE, ret_text->text + PREFIX_LEN, BODY_LEN + 1);
	FARBUS_ASSERT(err == 0);
}

/* "fb2_...", "fb12_...": made by another release. */
static bool other_version(const char *text)
{
	size_t at = 2;

	if (strncmp(text, "fb", 2) != 0 || strncmp(text, PREFIX, PREFIX_LEN) == 0)
		return false;
	while (at < VERSION_END && text[at] >= '0' && text[at] <= '9')
		at++;
	return at > 2 && text[at] == '_';
}

int token_parse(const struct farbus_token *text, struct token *ret_token)
{
	size_t len = strnlen(text->text, FARBUS_TOKEN_SIZE);
	uint8_t all[TOKEN_SIZE];

	if (other_version(text->text))
		return error_set(-EPROTO,
				 "token of another version: this farbus makes and takes " PREFIX
				 "..., use the same release on both sides");
	if (strncmp(text->text, PREFIX, PREFIX_LEN) != 0)
		return error_set(-EINVAL, "not a token: it has to begin with " PREFIX);
	if (len != TEXT_LEN)
		return error_set(-EINVAL,
				 "token has %zu%s characters instead of %zu: copy all of it, "
				 "without spaces or line breaks",
				 len, len == FARBUS_TOKEN_SIZE ? " or more" : "", TEXT_LEN);
	int err = mac_text_decode(text->text + PREFIX_LEN, BODY_LEN, all, TOKEN_SIZE);
	if (err < 0)
		return err;
	if (all[0] != TOKEN_VERSION)
		return error_set(-EPROTO, "token of version %u: this farbus takes %u", all[0],
				 TOKEN_VERSION);
	token_unpack(all, ret_token);
	return 0;
}

bool token_authentic(const struct token *token, const uint8_t key[MAC_KEY_SIZE])
{
	uint8_t fields[FIELDS_SIZE], mac[MAC_TAG_SIZE];

	fields_pack(token, fields);
	mac_tag(key, fields, FIELDS_SIZE, mac);
	return mac_equal(mac, token->mac, MAC_TAG_SIZE);
}

void token_check(const struct farbus_token *text)
{
	static const uint8_t key[MAC_KEY_SIZE];
	struct token token, copy;
	struct farbus_token again;

	FARBUS_ASSERT(token_parse(text, &token) == 0);
	copy = token;
	token_seal(&copy, key, &again);
	/* All characters but those with bits of the MAC, whose key is not known here. */
	FARBUS_ASSERT(memcmp(again.text, text->text, PREFIX_LEN + FIELDS_SIZE * 8 / 6) == 0);
	FARBUS_ASSERT(memcmp(again.text + HINT_AT, text->text + HINT_AT, TEXT_LEN - HINT_AT) == 0);
	FARBUS_ASSERT(text->text[TEXT_LEN] == '\0');
}
