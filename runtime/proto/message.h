/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message.h -- what instances say to each other, byte by byte
 *
 * Little-endian, natural alignment, no implicit padding. A message is a fixed part, whose size
 * its kind gives, and for some kinds data up to the end. Everything is checked by receive.c and by
 * the handler of its kind before it is used.
 *
 *   connector                          acceptor
 *   HELLO  rank, instance, nonce  -->
 *                                 <--  CHALLENGE  rank, instance, nonce, proof
 *   PROOF  proof                  -->
 *
 * A proof is the HMAC, under the job's secret, of who proves and of both fixed parts, so that it
 * is good for this connection and in this direction alone.
 */
#ifndef RUNTIME_PROTO_MESSAGE_H
#define RUNTIME_PROTO_MESSAGE_H

#include "base/mac.h"
#include <farbus/farbus.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "messages are little-endian");

#define MESSAGE_MAGIC 0x73756266u /* "fbus" */
#define MESSAGE_VERSION 1
#define MESSAGE_NONCE_SIZE 16
#define MESSAGE_WHY_MAX 128
#define MESSAGE_KEY_SIZE 64 /* room for a transport's key */

/* MESSAGE(kind, fixed part, data follows, may come from: 0 a connection that proves itself, 1 UP) */
#define MESSAGES                                             \
	MESSAGE(HELLO, struct message_hello, 0, 0)           \
	MESSAGE(CHALLENGE, struct message_challenge, 0, 0)   \
	MESSAGE(PROOF, struct message_proof, 0, 0)           \
	MESSAGE(REFUSE, struct message_reply, 1, 0)          \
	MESSAGE(REPLY, struct message_reply, 1, 1)           \
	MESSAGE(JOIN, struct message_head, 0, 1)             \
	MESSAGE(GOODBYE, struct message_head, 0, 1)          \
	MESSAGE(CANCEL, struct message_head, 0, 1)           \
	MESSAGE(DEAD, struct message_dead, 0, 1)             \
	MESSAGE(ABORT, struct message_abort, 0, 1)           \
	MESSAGE(PUBLISH, struct message_name, 0, 1)          \
	MESSAGE(LOOKUP, struct message_name, 0, 1)           \
	MESSAGE(COLLECTIVE, struct message_collective, 1, 1) \
	MESSAGE(IMPORT, struct message_import, 0, 1)         \
	MESSAGE(RENEW, struct message_renew, 0, 1)           \
	MESSAGE(REKEY, struct message_record, 0, 1)          \
	MESSAGE(RELEASE, struct message_record, 0, 1)        \
	MESSAGE(GRANT, struct message_grant, 0, 1)           \
	MESSAGE(REVOKE, struct message_revoke, 0, 1)         \
	MESSAGE(BLOCK, struct message_record, 0, 1)          \
	MESSAGE(BLOCKED, struct message_record, 0, 1)        \
	MESSAGE(SUSPEND, struct message_record, 0, 1)        \
	MESSAGE(SUSPENDED, struct message_record, 0, 1)      \
	MESSAGE(REMAP, struct message_record, 0, 1)          \
	MESSAGE(REMAPPED, struct message_record, 0, 1)       \
	MESSAGE(PUT, struct message_access, 1, 1)            \
	MESSAGE(GET, struct message_access, 0, 1)            \
	MESSAGE(ATOMIC, struct message_access, 0, 1)

enum message_kind {
	MESSAGE_NONE,
#define MESSAGE(kind, fixed, data, up) MESSAGE_##kind,
	MESSAGES
#undef MESSAGE
		MESSAGE_KINDS
};

struct message_head {
	uint32_t kind; /* enum message_kind */
	uint32_t
		call; /* the requester's name for it, given back in the REPLY; 0: no answer wanted */
};

struct message_hello {
	struct message_head head;
	uint32_t magic, version;
	uint64_t job;
	uint32_t rank, size, instance, incarnation;
	uint8_t nonce[MESSAGE_NONCE_SIZE];
};

struct message_challenge {
	struct message_head head;
	uint32_t rank, size, instance, incarnation;
	uint8_t nonce[MESSAGE_NONCE_SIZE];
	uint8_t proof[MAC_PROOF_SIZE];
};

struct message_proof {
	struct message_head head;
	uint8_t proof[MAC_PROOF_SIZE];
};

struct message_reply { /* data: the answer, or, with a negative status, a text */
	struct message_head head;
	int32_t status;
	uint32_t answers; /* enum message_kind of what it answers */
	uint64_t value;
};

struct message_dead {
	struct message_head head;
	uint32_t rank, instance;
	int32_t status;
	uint32_t reserved;
};

struct message_abort {
	struct message_head head;
	int32_t code;
	uint32_t reserved;
	char why[MESSAGE_WHY_MAX];
};

struct message_name {
	struct message_head head;
	char name[FARBUS_NAME_MAX];
	struct farbus_token token; /* PUBLISH */
	uint32_t only_look;	   /* LOOKUP: answer now */
	uint32_t reserved;
};

enum collective_kind { COLLECTIVE_BARRIER = 1, COLLECTIVE_BROADCAST, COLLECTIVE_ALLREDUCE };

struct message_collective { /* data: of broadcast only from the root rank */
	struct message_head head;
	uint64_t serial;
	uint32_t collective, root, type, op;
	uint32_t len; /* of the result */
	uint32_t reserved;
};

struct message_import {
	struct message_head head;
	struct farbus_token token;
	uint32_t index; /* the importer's */
	uint32_t reserved;
};

struct message_imported { /* the data of the REPLY; a descriptor comes with it when mapped */
	uint64_t region, off, len;
	uint64_t mem_off, same_va, page_size, control_off;
	uint32_t rights, flags, grant, epoch, generation, record;
	uint32_t mapped;
	uint32_t key_len; /* 0: no one-sided access */
	uint8_t key[MESSAGE_KEY_SIZE];
};

/* The data of the REPLY to REKEY: the importer's key is not valid any more, and why not? */
struct message_key {
	uint32_t key_len;
	uint32_t reserved;
	uint8_t key[MESSAGE_KEY_SIZE];
};

struct message_renew {
	struct message_head head;
	struct farbus_token token;
	uint32_t record, reserved;
};

struct message_record { /* a descriptor comes with REMAP */
	struct message_head head;
	uint32_t record, index;
	int32_t status;
	uint32_t reserved;
	uint64_t mem_off;
};

struct message_grant {
	struct message_head head;
	uint32_t record, rights;
	uint64_t off, len;
	uint32_t flags, expiry_s;
};

struct message_revoke {
	struct message_head head;
	struct farbus_token token;
	uint32_t force, timeout_ms;
};

struct message_access {
	struct message_head head;
	uint32_t record, len;
	uint64_t off;
	uint64_t operand, compare;
	uint32_t op, width, signal, reserved;
};

_Static_assert(MESSAGE_NONCE_SIZE == MAC_TAG_SIZE, "a nonce is a tag of a counter");
_Static_assert(sizeof(struct message_hello) == 56, "no padding");
_Static_assert(sizeof(struct message_challenge) == 72, "no padding");
_Static_assert(sizeof(struct message_reply) == 24, "no padding");
_Static_assert(sizeof(struct message_name) == 208, "no padding");
_Static_assert(sizeof(struct message_collective) == 40, "no padding");
_Static_assert(sizeof(struct message_import) == 144, "no padding");
_Static_assert(sizeof(struct message_imported) == 88 + MESSAGE_KEY_SIZE, "no padding");
_Static_assert(sizeof(struct message_record) == 32, "no padding");
_Static_assert(sizeof(struct message_grant) == 40, "no padding");
_Static_assert(sizeof(struct message_revoke) == 144, "no padding");
_Static_assert(sizeof(struct message_access) == 56, "no padding");

/* The fixed part of this kind; 0: there is no such kind. */
size_t message_size(uint32_t kind);
/* May data follow the fixed part? */
bool message_has_data(uint32_t kind);
/* Only from a connection that is up? */
bool message_needs_up(uint32_t kind);
const char *message_text(uint32_t kind);

#endif
