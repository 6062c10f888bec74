/* SPDX-License-Identifier: BSD-3-Clause */
/* mac.c -- the only door to libsodium */
#include "base/mac.h"

#include "base/error.h"
#include <errno.h>
#include <sodium.h>
#include <string.h>

_Static_assert(MAC_PROOF_SIZE == crypto_auth_BYTES, "HMAC-SHA-512/256 is 32 bytes");
_Static_assert(MAC_KEY_SIZE == crypto_auth_KEYBYTES, "its key is too");
_Static_assert(MAC_SEAL_SIZE == crypto_aead_chacha20poly1305_ietf_ABYTES, "Poly1305's tag");
_Static_assert(MAC_KEY_SIZE == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "its key is too");
_Static_assert(MAC_TAG_SIZE == crypto_generichash_BYTES_MIN, "BLAKE2b-128");

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int mac_init(void)
{
	if (sodium_init() < 0)
		return error_set(-ENOSYS, "libsodium cannot start: no source of random bytes");
	return 0;
}

void mac_random(void *buf, size_t len)
{
	randombytes_buf(buf, len);
}

void mac_tag(const uint8_t key[MAC_KEY_SIZE], const void *data, size_t len,
	     uint8_t ret_tag[MAC_TAG_SIZE])
{
	crypto_generichash(ret_tag, MAC_TAG_SIZE, data, len, key, MAC_KEY_SIZE);
}

void mac_proof(const uint8_t key[MAC_KEY_SIZE], const void *data, size_t len,
	       uint8_t ret_proof[MAC_PROOF_SIZE])
{
	crypto_auth(ret_proof, data, len, key);
}

void mac_key_derive(const void *text, size_t len, uint8_t ret_key[MAC_KEY_SIZE])
{
	crypto_generichash(ret_key, MAC_KEY_SIZE, text, len, NULL, 0);
}

static void nonce_make(uint64_t count,
		       uint8_t ret_nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
	memset(ret_nonce, 0, crypto_aead_chacha20poly1305_ietf_NPUBBYTES);
	for (int i = 0; i < 8; i++)
		ret_nonce[i] = (uint8_t)(count >> 8 * i);
}

void mac_seal(const uint8_t key[MAC_KEY_SIZE], uint64_t count, const void *data, size_t len,
	      void *ret_sealed)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	nonce_make(count, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(ret_sealed, NULL, data, len, NULL, 0, NULL, nonce,
						  key);
}

int mac_unseal(const uint8_t key[MAC_KEY_SIZE], uint64_t count, const void *sealed, size_t len,
	       void *ret_data)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	nonce_make(count, nonce);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(ret_data, NULL, NULL, sealed, len, NULL, 0,
						      nonce, key) < 0)
		return -EACCES;
	return 0;
}

bool mac_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

void mac_wipe(void *buf, size_t len)
{
	sodium_memzero(buf, len);
}

int mac_text_encode(const void *data, size_t len, char *text, size_t size)
{
	const uint8_t *in = data;
	size_t n = (len * 8 + 5) / 6;
	uint32_t bits = 0;
	int held = 0;

	if (size < n + 1)
		return error_set(-ENOSPC, "text of %zu bytes needs %zu characters", len, n + 1);
	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | in[i];
		held += 8;
		while (held >= 6) {
			held -= 6;
			*text++ = alphabet[bits >> held & 63];
		}
	}
	if (held)
		*text++ = alphabet[bits << (6 - held) & 63];
	*text = '\0';
	return 0;
}

static int digit(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

/* Nothing is written before all of it is known to be good. */
static int text_check(const char *text, size_t text_len, size_t len)
{
	unsigned int spare = (unsigned int)(text_len * 6 - len * 8); /* bits after the last byte */

	for (size_t i = 0; i < text_len; i++) {
		if (digit(text[i]) < 0)
			return error_set(-EINVAL, "character %zu is not base64url", i);
	}
	if (text_len && (unsigned int)digit(text[text_len - 1]) & ((1u << spare) - 1))
		return error_set(-EINVAL, "stray bits in the last character");
	return 0;
}

int mac_text_decode(const char *text, size_t text_len, void *ret_data, size_t len)
{
	uint8_t *out = ret_data;
	uint32_t bits = 0;
	int held = 0, err;

	if (text_len != (len * 8 + 5) / 6)
		return error_set(-EINVAL, "%zu characters cannot hold %zu bytes", text_len, len);
	err = text_check(text, text_len, len);
	if (err < 0)
		return err;
	for (size_t i = 0; i < text_len; i++) {
		bits = bits << 6 | (uint32_t)digit(text[i]);
		held += 6;
		if (held >= 8) {
			held -= 8;
			*out++ = (uint8_t)(bits >> held);
		}
	}
	return 0;
}
