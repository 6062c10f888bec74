/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_token_test.c -- tokens: what is sealed parses, what was altered is found out */
#include "addrmap_common.h"

#include "addrmap/rights.h"
#include "addrmap/token.h"
#include <errno.h>
#include <string.h>

_Static_assert(sizeof(struct farbus_token) == 128, "the size that users keep");

static uint8_t key[MAC_KEY_SIZE];

static int mac_setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 7 + 1);
	return mac_init();
}

/* No two fields have equal bytes, and none is 0. */
static struct token token_sample(void)
{
	return (struct token){
		.rights = 0x1f,
		.flags = 0x21,
		.depth = 3,
		.job = 0x0102030405060708,
		.region = 0x1112131415161718,
		.incarnation = 0x21222324,
		.grant = 0x31323334,
		.off = 0x4142434445464748,
		.len = 0x5152535455565758,
		.epoch = 0x61626364,
		.expiry_s = 0x7172737475767778,
		.hint_rank = 0x81828384,
		.hint = "sixteen bytes..",
	};
}

static void expect_equal(const struct token *a, const struct token *b)
{
	assert_int_equal(a->version, b->version);
	assert_int_equal(a->rights, b->rights);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->depth, b->depth);
	assert_int_equal(a->job, b->job);
	assert_int_equal(a->region, b->region);
	assert_int_equal(a->incarnation, b->incarnation);
	assert_int_equal(a->grant, b->grant);
	assert_int_equal(a->off, b->off);
	assert_int_equal(a->len, b->len);
	assert_int_equal(a->epoch, b->epoch);
	assert_int_equal(a->expiry_s, b->expiry_s);
	assert_int_equal(a->hint_rank, b->hint_rank);
	assert_memory_equal(a->mac, b->mac, sizeof(a->mac));
	assert_memory_equal(a->hint, b->hint, sizeof(a->hint));
}

static void seal__any_fields__parse_gives_them_back(void **state)
{
	struct token token = token_sample(), parsed;
	struct farbus_token text;
	uint64_t random = 1;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		token_seal(&token, key, &text);
		token_check(&text);
		assert_int_equal(strlen(text.text), FARBUS_TOKEN_SIZE - 1);
		assert_int_equal(strspn(text.text,
					"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					"0123456789-_"),
				 FARBUS_TOKEN_SIZE - 1);
		assert_int_equal(token_parse(&text, &parsed), 0);
		expect_equal(&token, &parsed);
		assert_true(token_authentic(&parsed, key));
		for (size_t at = 0; at < sizeof(token); at++)
			((uint8_t *)&token)[at] = (uint8_t)random_next(&random);
	}
}

static void authentic__any_authenticated_byte_changed__false(void **state)
{
	/* Every field that is under the MAC, and its width. */
#define FIELD(name)                                                                    \
	{                                                                              \
#name, offsetof(struct token, name), sizeof(((struct token *)0)->name) \
	}
	static const struct {
		const char *name;
		size_t at, size;
	} fields[] = {
		FIELD(version), FIELD(rights),	    FIELD(flags), FIELD(depth), FIELD(job),
		FIELD(region),	FIELD(incarnation), FIELD(grant), FIELD(off),	FIELD(len),
		FIELD(epoch),	FIELD(expiry_s),    FIELD(mac),
	};
	struct token token = token_sample(), altered;
	struct farbus_token text;
	size_t bits = 0;

	(void)state;
	token_seal(&token, key, &text);
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		for (size_t bit = 0; bit < fields[i].size * 8; bit++, bits++) {
			altered = token;
			((uint8_t *)&altered)[fields[i].at + bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (token_authentic(&altered, key))
				fail_msg("bit %zu of %s is not under the MAC", bit, fields[i].name);
		}
	}
	assert_int_equal(bits, (56 + MAC_TAG_SIZE) * 8);
	altered = token;
	altered.hint_rank ^= 1;
	altered.hint[15] ^= 1;
	assert_true(token_authentic(&altered, key));
}

/* Every single character of a text replaced by another one of the alphabet. */
static void parse__any_character_changed__error_or_not_authentic(void **state)
{
	struct token token = token_sample(), parsed;
	struct farbus_token text, altered;
	/* 4 of prefix, then 72 bytes under the MAC or of it: exactly 96 characters. */
	const size_t guarded = 4 + 96;

	(void)state;
	token_seal(&token, key, &text);
	for (size_t i = 0; i < FARBUS_TOKEN_SIZE - 1; i++) {
		for (const char *c = "AZaz09-_Q"; *c; c++) {
			altered = text;
			if (altered.text[i] == *c)
				continue;
			altered.text[i] = *c;
			if (token_parse(&altered, &parsed) < 0)
				continue;
			token_check(&altered);
			assert_int_equal(token_authentic(&parsed, key), i >= guarded);
		}
	}
}

static void authentic__other_key__false(void **state)
{
	struct token token = token_sample();
	struct farbus_token text;
	uint8_t other[MAC_KEY_SIZE];

	(void)state;
	token_seal(&token, key, &text);
	for (size_t bit = 0; bit < sizeof(other) * 8; bit++) {
		memcpy(other, key, sizeof(other));
		other[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(token_authentic(&token, other));
	}
}

static void expect_parse(const char *text, int err, const char *part)
{
	struct token parsed, untouched;
	struct farbus_token token;

	memset(&token, 0, sizeof(token));
	memcpy(token.text, text, strnlen(text, sizeof(token.text)));
	memset(&parsed, 0xa5, sizeof(parsed));
	untouched = parsed;
	assert_int_equal(token_parse(&token, &parsed), err);
	expect_text(part);
	assert_memory_equal(&parsed, &untouched, sizeof(parsed));
}

static void parse__not_a_token__error_names_why(void **state)
{
	struct token token = token_sample();
	struct farbus_token text;
	char bad[FARBUS_TOKEN_SIZE + 1] = { 0 };

	(void)state;
	token_seal(&token, key, &text);
	expect_parse("", -EINVAL, "begin with fb1_");
	expect_parse("f", -EINVAL, "begin with fb1_");
	expect_parse("fb", -EINVAL, "begin with fb1_");
	expect_parse("fb1", -EINVAL, "begin with fb1_");
	expect_parse("fb1A", -EINVAL, "begin with fb1_");
	expect_parse("fb1_", -EINVAL, "4 characters");
	expect_parse("fb2_whatever", -EPROTO, "another version");
	expect_parse("fb12_whatever", -EPROTO, "another version");
	memcpy(bad, text.text, FARBUS_TOKEN_SIZE);
	bad[FARBUS_TOKEN_SIZE - 2] = '\0';
	expect_parse(bad, -EINVAL, "126 characters");
	memcpy(bad, text.text, FARBUS_TOKEN_SIZE);
	bad[FARBUS_TOKEN_SIZE - 1] = 'A'; /* no NUL at all */
	expect_parse(bad, -EINVAL, "128 or more");
	bad[2] = '2'; /* and a longer one of a later release */
	expect_parse(bad, -EPROTO, "another version");
	expect_parse("fb_", -EINVAL, "begin with fb1_");
	expect_parse("fb123456789_", -EINVAL, "begin with fb1_");
	memcpy(bad, text.text, FARBUS_TOKEN_SIZE);
	bad[60] = '+';
	expect_parse(bad, -EINVAL, "base64url");
	bad[60] = '\n';
	expect_parse(bad, -EINVAL, "base64url");
	bad[60] = (char)0x80;
	expect_parse(bad, -EINVAL, "base64url");
}

/* The last character holds 2 bits of the token only if it has 4 to spare: all but one are errors. */
static void parse__stray_bits__einval(void **state)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct token token = token_sample(), parsed;
	struct farbus_token text;
	unsigned accepted = 0;

	(void)state;
	token_seal(&token, key, &text);
	for (const char *c = alphabet; *c; c++) {
		text.text[FARBUS_TOKEN_SIZE - 2] = *c;
		accepted += token_parse(&text, &parsed) == 0;
	}
	/* 92 bytes are 736 bits, 123 characters 738: two bits have to be 0. */
	assert_int_equal(accepted, 16);
}

static void parse__version_byte_of_another__eproto(void **state)
{
	struct token token = token_sample(), parsed;
	struct farbus_token text;

	(void)state;
	token_seal(&token, key, &text);
	text.text[4] = 'B'; /* the first byte's upper bits */
	assert_int_equal(token_parse(&text, &parsed), -EPROTO);
	expect_text("version");
}

/* ---- rights ---- */

static void rights_check__all_sums__only_lattice_members(void **state)
{
	(void)state;
	for (uint32_t rights = 0; rights < 64; rights++) {
		bool good = rights != 0 && rights < 32;

		if (rights & FARBUS_W)
			good = good && (rights & FARBUS_R);
		if (rights & FARBUS_A)
			good = good && (rights & FARBUS_R) && (rights & FARBUS_W);
		assert_int_equal(rights_check(rights), good ? 0 : -EINVAL);
	}
	assert_int_equal(rights_check(UINT32_MAX), -EINVAL);
	assert_int_equal(rights_check(FARBUS_W), -EINVAL);
	expect_text("W needs R");
	assert_int_equal(rights_check(FARBUS_A | FARBUS_R), -EINVAL);
	expect_text("A needs R and W");
}

static void rights_subset__all_pairs__as_sets(void **state)
{
	char text[6];

	(void)state;
	for (uint32_t of = 0; of < 32; of++)
		for (uint32_t rights = 0; rights < 32; rights++)
			assert_int_equal(rights_subset(rights, of), (rights | of) == of);
	rights_text(0, text);
	assert_string_equal(text, "-----");
	rights_text(FARBUS_R | FARBUS_A | FARBUS_G, text);
	assert_string_equal(text, "R-A-G");
	rights_text(RIGHTS_ALL, text);
	assert_string_equal(text, "RWAMG");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seal__any_fields__parse_gives_them_back),
		cmocka_unit_test(authentic__any_authenticated_byte_changed__false),
		cmocka_unit_test(parse__any_character_changed__error_or_not_authentic),
		cmocka_unit_test(authentic__other_key__false),
		cmocka_unit_test(parse__not_a_token__error_names_why),
		cmocka_unit_test(parse__stray_bits__einval),
		cmocka_unit_test(parse__version_byte_of_another__eproto),
		cmocka_unit_test(rights_check__all_sums__only_lattice_members),
		cmocka_unit_test(rights_subset__all_pairs__as_sets),
	};

	return cmocka_run_group_tests_name("addrmap/token", tests, mac_setup, NULL);
}
