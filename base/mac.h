/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mac.h -- the only door to libsodium: random bytes, keyed MACs, sealing, constant-time compare,
 * base64url
 */
#ifndef BASE_MAC_H
#define BASE_MAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAC_KEY_SIZE 32
#define MAC_TAG_SIZE 16	  /* tokens: keyed BLAKE2b, 128 bits */
#define MAC_PROOF_SIZE 32 /* connections: HMAC-SHA-512/256 */
#define MAC_SEAL_SIZE 16  /* what sealing adds: ChaCha20-Poly1305 */

/* Once per process, before anything else here. Errors: -ENOSYS libsodium cannot start. */
int mac_init(void);

void mac_random(void *buf, size_t len);
void mac_tag(const uint8_t key[MAC_KEY_SIZE], const void *data, size_t len,
	     uint8_t ret_tag[MAC_TAG_SIZE]);
void mac_proof(const uint8_t key[MAC_KEY_SIZE], const void *data, size_t len,
	       uint8_t ret_proof[MAC_PROOF_SIZE]);
/* A key from any text: a job name, a secret file. */
void mac_key_derive(const void *text, size_t len, uint8_t ret_key[MAC_KEY_SIZE]);
/*
 * Encrypts and authenticates. A count may be used once with a key. ret_sealed has room for
 * len + MAC_SEAL_SIZE bytes.
 */
void mac_seal(const uint8_t key[MAC_KEY_SIZE], uint64_t count, const void *data, size_t len,
	      void *ret_sealed);
/*
 * The other way. ret_data has room for len - MAC_SEAL_SIZE bytes. Errors: -EACCES not sealed with
 * this key and count, or changed since; no text; ret_data is not to be used.
 */
int mac_unseal(const uint8_t key[MAC_KEY_SIZE], uint64_t count, const void *sealed, size_t len,
	       void *ret_data);
bool mac_equal(const void *a, const void *b, size_t len);
void mac_wipe(void *buf, size_t len);

/* text gets (len * 8 + 5) / 6 characters and a NUL. Errors: -ENOSPC. */
int mac_text_encode(const void *data, size_t len, char *text, size_t size);
/*
 * Exactly len bytes or -EINVAL, and then nothing is written: no other alphabet, padding, or stray
 * bits are taken.
 */
int mac_text_decode(const char *text, size_t text_len, void *ret_data, size_t len);

#endif
