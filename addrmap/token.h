/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * token.h -- what a region's owner hands out: encode, decode, authenticate
 *
 * Pure: the MAC key comes from the caller. Parsing accepts exactly what encoding produces: a text
 * is not trusted before token_authentic(). Threads: any thread.
 */
#ifndef ADDRMAP_TOKEN_H
#define ADDRMAP_TOKEN_H

#include "addrmap/addr.h"
#include "base/mac.h"

#define TOKEN_VERSION 1

struct token {
	uint8_t version;
	uint8_t rights; /* FARBUS_R ... */
	uint8_t flags;	/* FARBUS_GRANT_ */
	uint8_t depth;	/* 0: by the owner; +1 per chained grant */
	uint64_t job;
	uint64_t region;
	uint32_t incarnation; /* of the birth instance */
	uint32_t grant;	      /* id at the home, never reused */
	uint64_t off, len;    /* in the region */
	uint32_t epoch;
	uint64_t expiry_s;	   /* wall clock, seconds; 0: never */
	uint8_t mac[MAC_TAG_SIZE]; /* over all of the above */
	/* Not under the MAC: only a hint where to ask. */
	uint32_t hint_rank;
	uint8_t hint[16];
};

/* Fills in token->version and token->mac, the latter with key, and writes the text. */
void token_seal(struct token *token, const uint8_t key[MAC_KEY_SIZE],
		struct farbus_token *ret_text);

/* Errors: -EINVAL not a token (text says why), -EPROTO another version. */
int token_parse(const struct farbus_token *text, struct token *ret_token);

bool token_authentic(const struct token *token, const uint8_t key[MAC_KEY_SIZE]);

/* Asserts that the text of a token is the one its fields have. */
void token_check(const struct farbus_token *text);

#endif
