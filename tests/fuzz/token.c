/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * token.c -- fuzz target: token texts
 *
 * The bytes are taken twice: as a text, and as the fields of a token. Whatever parses, seals to
 * the text it came from (but for the MAC, when it was made with another key); whatever is sealed,
 * parses to the fields it was made of. A text that is authentic is one that was sealed here.
 */
#include "addrmap/token.h"
#include "base/assert.h"
#include "base/error.h"
#include <errno.h>
#include <string.h>

static const uint8_t key[MAC_KEY_SIZE] = "known to this target only";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fields_compare(const struct token *a, const struct token *b)
{
	FARBUS_ASSERT(a->version == b->version);
	FARBUS_ASSERT(a->rights == b->rights);
	FARBUS_ASSERT(a->flags == b->flags);
	FARBUS_ASSERT(a->depth == b->depth);
	FARBUS_ASSERT(a->job == b->job);
	FARBUS_ASSERT(a->region == b->region);
	FARBUS_ASSERT(a->incarnation == b->incarnation);
	FARBUS_ASSERT(a->grant == b->grant);
	FARBUS_ASSERT(a->off == b->off);
	FARBUS_ASSERT(a->len == b->len);
	FARBUS_ASSERT(a->epoch == b->epoch);
	FARBUS_ASSERT(a->expiry_s == b->expiry_s);
	FARBUS_ASSERT(a->hint_rank == b->hint_rank);
	FARBUS_ASSERT(memcmp(a->hint, b->hint, sizeof(a->hint)) == 0);
}

static void text_run(const struct farbus_token *text)
{
	struct token token, again;
	struct farbus_token sealed;
	int err = token_parse(text, &token);

	if (err < 0) {
		FARBUS_ASSERT(err == -EINVAL || err == -EPROTO);
		FARBUS_ASSERT(error_text()[0] != '\0');
		return;
	}
	token_check(text);
	again = token;
	token_seal(&again, key, &sealed);
	FARBUS_ASSERT(token_parse(&sealed, &again) == 0);
	fields_compare(&token, &again);
	bool same = memcmp(sealed.text, text->text, sizeof(text->text)) == 0;

	FARBUS_ASSERT(token_authentic(&token, key) == same);
	FARBUS_ASSERT(token_authentic(&again, key));
}

static void fields_run(const uint8_t *data, size_t size)
{
	struct token token = { 0 }, parsed;
	struct farbus_token text;

	memcpy(&token, data, size < sizeof(token) ? size : sizeof(token));
	token_seal(&token, key, &text);
	FARBUS_ASSERT(text.text[FARBUS_TOKEN_SIZE - 1] == '\0');
	FARBUS_ASSERT(token_parse(&text, &parsed) == 0);
	fields_compare(&token, &parsed);
	FARBUS_ASSERT(token_authentic(&parsed, key));
	text_run(&text);
	/* One character of it replaced by a byte of the input. */
	if (size < 2)
		return;
	text.text[data[0] % (FARBUS_TOKEN_SIZE - 1)] = (char)data[1];
	text_run(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct farbus_token text = { 0 };

	if (!ready)
		FARBUS_ASSERT(mac_init() == 0);
	ready = true;
	memcpy(text.text, data, size < sizeof(text.text) ? size : sizeof(text.text));
	text_run(&text);
	fields_run(data, size);
	return 0;
}
