/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_wire.c -- what rank 0 and the others say on FARBUS_JOIN's port */
#include "runtime/boot/tcp_wire.h"

#include "base/assert.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define HEAD_SIZE 12
#define MAGIC_SIZE 8
#define MESSAGE_HEAD 12
#define PROOF_PARTS_MAX (1 + TCP_HELLO_SIZE + TCP_JOIN_SIZE + TCP_ANSWER_SIZE)

static const uint8_t magic[MAGIC_SIZE] = { 'f', 'a', 'r', 'b', 'u', 's', '\r', '\n' };

/* What a proof or key is for: no two are made from the same bytes. */
enum purpose { PURPOSE_JOIN = 1, PURPOSE_ANSWER, PURPOSE_TO_SERVER, PURPOSE_TO_CLIENT };

static void put32(uint8_t *at, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(n >> 8 * i);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static void head_make(uint8_t *at)
{
	memcpy(at, magic, sizeof(magic));
	put32(at + MAGIC_SIZE, TCP_VERSION);
}

int tcp_head_check(const uint8_t *bytes, size_t len)
{
	if (memcmp(bytes, magic, len < MAGIC_SIZE ? len : MAGIC_SIZE) != 0)
		return -EPROTO;
	return len >= HEAD_SIZE && get32(bytes + MAGIC_SIZE) != TCP_VERSION ? -ENOTSUP : 0;
}

/* An HMAC of the purpose and of the handshake up to the given length. */
static void proof_make(const struct tcp_handshake *handshake, const uint8_t key[MAC_KEY_SIZE],
		       enum purpose purpose, size_t len, uint8_t ret_proof[MAC_PROOF_SIZE])
{
	uint8_t said[PROOF_PARTS_MAX];

	said[0] = (uint8_t)purpose;
	memcpy(said + 1, handshake->hello, TCP_HELLO_SIZE);
	memcpy(said + 1 + TCP_HELLO_SIZE, handshake->join, TCP_JOIN_SIZE);
	memcpy(said + 1 + TCP_HELLO_SIZE + TCP_JOIN_SIZE, handshake->answer, TCP_ANSWER_SIZE);
	FARBUS_ASSERT(1 + len <= sizeof(said));
	mac_proof(key, said, 1 + len, ret_proof);
}

#define SAID_BEFORE_JOIN_PROOF (TCP_HELLO_SIZE + TCP_JOIN_SIZE - MAC_PROOF_SIZE)
#define SAID_BEFORE_ANSWER_PROOF (TCP_HELLO_SIZE + TCP_JOIN_SIZE + TCP_ANSWER_SIZE - MAC_PROOF_SIZE)
#define SAID_ALL (TCP_HELLO_SIZE + TCP_JOIN_SIZE + TCP_ANSWER_SIZE)

void tcp_hello_make(struct tcp_handshake *handshake)
{
	head_make(handshake->hello);
	mac_random(handshake->hello + HEAD_SIZE, TCP_NONCE_SIZE);
}

void tcp_join_make(struct tcp_handshake *handshake, const uint8_t key[MAC_KEY_SIZE],
		   const struct tcp_join *join)
{
	uint8_t *at = handshake->join;

	head_make(at);
	put32(at + HEAD_SIZE, join->rank);
	put32(at + HEAD_SIZE + 4, join->size);
	memcpy(at + HEAD_SIZE + 8, join->host, HOST_NAME_SIZE);
	mac_random(at + HEAD_SIZE + 8 + HOST_NAME_SIZE, TCP_NONCE_SIZE);
	proof_make(handshake, key, PURPOSE_JOIN, SAID_BEFORE_JOIN_PROOF,
		   at + TCP_JOIN_SIZE - MAC_PROOF_SIZE);
}

int tcp_join_parse(const struct tcp_handshake *handshake, const uint8_t key[MAC_KEY_SIZE],
		   struct tcp_join *ret_join)
{
	const uint8_t *at = handshake->join;
	uint8_t proof[MAC_PROOF_SIZE];

	proof_make(handshake, key, PURPOSE_JOIN, SAID_BEFORE_JOIN_PROOF, proof);
	if (!mac_equal(proof, at + TCP_JOIN_SIZE - MAC_PROOF_SIZE, sizeof(proof)))
		return -EACCES;
	ret_join->rank = get32(at + HEAD_SIZE);
	ret_join->size = get32(at + HEAD_SIZE + 4);
	memcpy(ret_join->host, at + HEAD_SIZE + 8, HOST_NAME_SIZE);
	return 0;
}

static bool code_has_proof(enum tcp_code code)
{
	return code != TCP_NO_VERSION && code != TCP_NO_SECRET;
}

void tcp_answer_make(struct tcp_handshake *handshake, const uint8_t key[MAC_KEY_SIZE],
		     const struct tcp_answer *answer)
{
	uint8_t *at = handshake->answer;

	memset(at, 0, TCP_ANSWER_SIZE);
	put32(at, answer->code);
	if (!code_has_proof(answer->code))
		return;
	put32(at + 4, answer->rank);
	put32(at + 8, answer->size);
	proof_make(handshake, key, PURPOSE_ANSWER, SAID_BEFORE_ANSWER_PROOF,
		   at + TCP_ANSWER_SIZE - MAC_PROOF_SIZE);
}

int tcp_answer_parse(const struct tcp_handshake *handshake, const uint8_t key[MAC_KEY_SIZE],
		     struct tcp_answer *ret_answer)
{
	const uint8_t *at = handshake->answer;
	uint32_t code = get32(at);
	uint8_t proof[MAC_PROOF_SIZE];

	if (code >= TCP_CODE_COUNT)
		return -EPROTO;
	proof_make(handshake, key, PURPOSE_ANSWER, SAID_BEFORE_ANSWER_PROOF, proof);
	if (code_has_proof((enum tcp_code)code) &&
	    !mac_equal(proof, at + TCP_ANSWER_SIZE - MAC_PROOF_SIZE, sizeof(proof)))
		return -EACCES;
	*ret_answer = (struct tcp_answer){
		.code = (enum tcp_code)code,
		.rank = get32(at + 4),
		.size = get32(at + 8),
	};
	return 0;
}

_Static_assert(MAC_PROOF_SIZE == MAC_KEY_SIZE, "a proof can serve as a key");

void tcp_session_make(const struct tcp_handshake *handshake, const uint8_t key[MAC_KEY_SIZE],
		      bool server, struct tcp_session *ret_session)
{
	memset(ret_session, 0, sizeof(*ret_session));
	proof_make(handshake, key, PURPOSE_TO_SERVER, SAID_ALL,
		   server ? ret_session->key_in : ret_session->key_out);
	proof_make(handshake, key, PURPOSE_TO_CLIENT, SAID_ALL,
		   server ? ret_session->key_out : ret_session->key_in);
}

/*
 * Message: kind 1, length of key 1, length of value 2, a 4, b 4, key, value.
 */
size_t tcp_frame_make(struct tcp_session *session, const struct tcp_message *message,
		      uint8_t ret_frame[TCP_FRAME_MAX])
{
	size_t key_len = strlen(message->key);
	size_t len = MESSAGE_HEAD + key_len + message->len;
	uint8_t plain[TCP_MESSAGE_MAX];

	FARBUS_ASSERT(len <= sizeof(plain));
	plain[0] = (uint8_t)message->kind;
	plain[1] = (uint8_t)key_len;
	plain[2] = (uint8_t)message->len;
	plain[3] = (uint8_t)(message->len >> 8);
	put32(plain + 4, message->a);
	put32(plain + 8, message->b);
	memcpy(plain + MESSAGE_HEAD, message->key, key_len);
	memcpy(plain + MESSAGE_HEAD + key_len, message->value, message->len);
	mac_seal(session->key_out, session->count_out++, plain, len, ret_frame + 2);
	mac_wipe(plain, sizeof(plain));
	len += MAC_SEAL_SIZE;
	ret_frame[0] = (uint8_t)len;
	ret_frame[1] = (uint8_t)(len >> 8);
	return 2 + len;
}

int tcp_message_parse(const uint8_t *bytes, size_t len, struct tcp_message *ret_message)
{
	size_t key_len, value_len;

	if (len < MESSAGE_HEAD)
		return -EPROTO;
	key_len = bytes[1];
	value_len = (size_t)bytes[2] | (size_t)bytes[3] << 8;
	if (bytes[0] == 0 || bytes[0] >= TCP_KIND_END || key_len >= BOOT_KEY_MAX ||
	    value_len > BOOT_VALUE_MAX || len != MESSAGE_HEAD + key_len + value_len)
		return -EPROTO;
	if (memchr(bytes + MESSAGE_HEAD, '\0', key_len))
		return -EPROTO;
	if ((bytes[0] == TCP_PUT || bytes[0] == TCP_GET) != (key_len > 0))
		return -EPROTO;
	ret_message->kind = (enum tcp_kind)bytes[0];
	ret_message->a = get32(bytes + 4);
	ret_message->b = get32(bytes + 8);
	ret_message->len = value_len;
	memcpy(ret_message->key, bytes + MESSAGE_HEAD, key_len);
	ret_message->key[key_len] = '\0';
	memcpy(ret_message->value, bytes + MESSAGE_HEAD + key_len, value_len);
	ret_message->value[value_len] = '\0';
	return 0;
}

int tcp_frame_parse(struct tcp_session *session, const uint8_t *bytes, size_t len,
		    struct tcp_message *ret_message, size_t *ret_taken)
{
	uint8_t plain[TCP_MESSAGE_MAX];
	size_t sealed;
	int err;

	if (len < 2)
		return -EAGAIN;
	sealed = (size_t)bytes[0] | (size_t)bytes[1] << 8;
	if (sealed > TCP_FRAME_MAX - 2 || sealed < MAC_SEAL_SIZE + MESSAGE_HEAD)
		return -EPROTO;
	if (len < 2 + sealed)
		return -EAGAIN;
	err = mac_unseal(session->key_in, session->count_in, bytes + 2, sealed, plain);
	if (err < 0)
		return err;
	session->count_in++;
	err = tcp_message_parse(plain, sealed - MAC_SEAL_SIZE, ret_message);
	mac_wipe(plain, sizeof(plain));
	if (err == 0)
		*ret_taken = 2 + sealed;
	return err;
}
