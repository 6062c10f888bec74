/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_wire.h -- what rank 0 and the others say on FARBUS_JOIN's port
 *
 *   rank 0:  HELLO  magic, version, nonce
 *   other:   JOIN   magic, version, rank, size, host, nonce, proof
 *   rank 0:  ANSWER code, rank, size, proof
 *
 * Each proves the job's secret over all that was said before, under a name of its own. From then
 * on there are frames: a length and a message sealed with a key of this connection and direction.
 * Numbers are little-endian.
 *
 * Pure functions. Threads: any thread.
 */
#ifndef RUNTIME_BOOT_TCP_WIRE_H
#define RUNTIME_BOOT_TCP_WIRE_H

#include "base/mac.h"
#include "runtime/boot/boot.h"
#include "runtime/host.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TCP_VERSION 1
#define TCP_NONCE_SIZE 32
#define TCP_HELLO_SIZE 44
#define TCP_JOIN_SIZE (12 + 8 + HOST_NAME_SIZE + TCP_NONCE_SIZE + MAC_PROOF_SIZE)
#define TCP_ANSWER_SIZE (12 + MAC_PROOF_SIZE)
#define TCP_RANK_ANY UINT32_MAX
#define TCP_MESSAGE_MAX (12 + BOOT_KEY_MAX + BOOT_VALUE_MAX) /* bytes of a message */
#define TCP_FRAME_MAX (2 + TCP_MESSAGE_MAX + MAC_SEAL_SIZE)  /* bytes of a frame */

enum tcp_code {
	TCP_WELCOME,
	TCP_NO_VERSION, /* without a proof: nothing is shared yet */
	TCP_NO_SECRET,	/* likewise */
	TCP_NO_SIZE,	/* size: the job's */
	TCP_NO_RANK,	/* not below size */
	TCP_RANK_TAKEN,
	TCP_FULL, /* any rank would do, none is free */
	TCP_CODE_COUNT,
};

struct tcp_join {
	uint32_t rank; /* or TCP_RANK_ANY */
	uint32_t size; /* 0: as rank 0 says */
	uint8_t host[HOST_NAME_SIZE];
};

struct tcp_answer {
	enum tcp_code code;
	uint32_t rank, size;
};

/* Everything said in a handshake, as it was on the wire: what the proofs are over. */
struct tcp_handshake {
	uint8_t hello[TCP_HELLO_SIZE];
	uint8_t join[TCP_JOIN_SIZE];
	uint8_t answer[TCP_ANSWER_SIZE];
};

enum tcp_kind {
	/* asked */
	TCP_PUT = 1, /* key, value */
	TCP_GET,     /* key */
	TCP_FENCE,
	TCP_BYE,
	TCP_ABORT, /* value: why */
	/* answered */
	TCP_READY, /* all ranks are there: a of b ranks of this host */
	TCP_DONE,
	TCP_VALUE,  /* value */
	TCP_FAILED, /* a: enum tcp_fault, value: the text */
	TCP_KIND_END,
};

enum tcp_fault { TCP_FAULT_KEY = 1, TCP_FAULT_FULL, TCP_FAULT_DOWN, TCP_FAULT_END };

struct tcp_message {
	enum tcp_kind kind;
	uint32_t a, b;
	char key[BOOT_KEY_MAX];		   /* "" where the kind has none */
	uint8_t value[BOOT_VALUE_MAX + 1]; /* NUL behind it */
	size_t len;
};

/* The two keys of a connection, and how many frames they have sealed. */
struct tcp_session {
	uint8_t key_in[MAC_KEY_SIZE], key_out[MAC_KEY_SIZE];
	uint64_t count_in, count_out;
};

/* HELLO with a random nonce. */
void tcp_hello_make(struct tcp_handshake *handshake);
/*
 * Whether this can be a HELLO or a JOIN, as soon as the first bytes are there (len: how many).
 * Errors: -EPROTO no farbus, -ENOTSUP another version; no text.
 */
int tcp_head_check(const uint8_t *bytes, size_t len);
/* JOIN with a random nonce; handshake has the HELLO it answers. */
void tcp_join_make(struct tcp_handshake *handshake, const uint8_t key[MAC_KEY_SIZE],
		   const struct tcp_join *join);
/* Errors: -EACCES another secret. No text. */
int tcp_join_parse(const struct tcp_handshake *handshake, const uint8_t key[MAC_KEY_SIZE],
		   struct tcp_join *ret_join);
/* With a proof, unless the code says that the other has no secret or version in common with us. */
void tcp_answer_make(struct tcp_handshake *handshake, const uint8_t key[MAC_KEY_SIZE],
		     const struct tcp_answer *answer);
/* Errors: -EPROTO no such code, -EACCES a code that needs a proof and has none. No text. */
int tcp_answer_parse(const struct tcp_handshake *handshake, const uint8_t key[MAC_KEY_SIZE],
		     struct tcp_answer *ret_answer);
/* Keys of the connection that this handshake opened; server: this is rank 0's end. */
void tcp_session_make(const struct tcp_handshake *handshake, const uint8_t key[MAC_KEY_SIZE],
		      bool server, struct tcp_session *ret_session);

/* Returns the frame's length. message fits: it has no more than its fields can hold. */
size_t tcp_frame_make(struct tcp_session *session, const struct tcp_message *message,
		      uint8_t ret_frame[TCP_FRAME_MAX]);
/*
 * Takes one frame from the front of bytes. Errors: -EAGAIN not all of it is there, -EPROTO it is
 * too long or no message, -EACCES not sealed by the other end of this connection; no text.
 */
int tcp_frame_parse(struct tcp_session *session, const uint8_t *bytes, size_t len,
		    struct tcp_message *ret_message, size_t *ret_taken);
/* What is inside of the seal. Errors: -EPROTO. */
int tcp_message_parse(const uint8_t *bytes, size_t len, struct tcp_message *ret_message);

#endif
