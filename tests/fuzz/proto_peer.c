/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto_peer.c -- fuzz target: instances that have proved the secret, and then say anything
 *
 * Three ranks (root, home, importer) with regions, grants, imports and names run over the
 * simulated network; between what they do themselves the input puts messages on their links, well-formed
 * ones with some bytes changed. They may end in closed links, never in a crash, a broken
 * invariant, an access outside a region, or a request that does not end.
 */
#include "base/assert.h"
#include "proto_bytes.h"
#include "runtime/proto/message.h"
#include "tests/unit/proto_sim.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIZE 3
#define HOME 1
#define IMPORTER 2
#define PAGE 4096u
#define RIGHTS (FARBUS_R | FARBUS_W | FARBUS_A | FARBUS_G)
#define STEPS_MAX 100
#define TAIL_MAX 64
#define TOKENS 4

union message {
	struct message_head head;
	struct message_reply reply;
	struct message_dead dead;
	struct message_name name;
	struct message_collective collective;
	struct message_import import;
	struct message_renew renew;
	struct message_record record;
	struct message_grant grant;
	struct message_revoke revoke;
	struct message_access access;
	struct message_abort abort;
	uint8_t bytes[512];
};

struct fuzz {
	struct bytes bytes;
	struct net *net; /* owned */
	struct farbus_token token[TOKENS];
	uint64_t region;
};

static uint32_t import_any(struct fuzz *fuzz, uint32_t node)
{
	return net_alive(fuzz->net, node) ? byte_take(&fuzz->bytes) % 6 : 0;
}

/* The record that the home has for one of the importer's imports. */
static uint32_t record_any(struct fuzz *fuzz)
{
	struct import_entry entry;
	uint32_t index = byte_take(&fuzz->bytes) % 6;

	if (import_lookup(core_imports(net_node(fuzz->net, IMPORTER)->core), index, &entry) < 0)
		return index;
	return entry.remote;
}

static void fill_imported(struct fuzz *fuzz, struct message_reply *reply)
{
	struct message_imported *is = (struct message_imported *)(reply + 1);

	*is = (struct message_imported){
		.region = fuzz->region,
		.len = 2 * PAGE,
		.rights = RIGHTS,
		.grant = 1 + byte_take(&fuzz->bytes) % 4,
		.epoch = 1,
		.record = record_any(fuzz),
		.mapped = byte_take(&fuzz->bytes) % 2,
	};
}

static void fill_reply(struct fuzz *fuzz, struct message_reply *reply)
{
	reply->answers = byte_take(&fuzz->bytes) % MESSAGE_KINDS;
	reply->status = byte_take(&fuzz->bytes) % 3 ? 0 : -(int)byte_take(&fuzz->bytes);
	if (reply->answers == MESSAGE_IMPORT)
		fill_imported(fuzz, reply);
}

static void fill(struct fuzz *fuzz, union message *message)
{
	const struct farbus_token *token = &fuzz->token[byte_take(&fuzz->bytes) % TOKENS];

	switch (message->head.kind) {
	case MESSAGE_REPLY:
		fill_reply(fuzz, &message->reply);
		break;
	case MESSAGE_DEAD:
		message->dead.rank = byte_take(&fuzz->bytes) % SIZE;
		message->dead.instance = net_node(fuzz->net, message->dead.rank)->instance;
		break;
	case MESSAGE_PUBLISH:
	case MESSAGE_LOOKUP:
		message->name.name[0] = (char)('a' + byte_take(&fuzz->bytes) % 4);
		message->name.token = *token;
		break;
	case MESSAGE_COLLECTIVE:
		message->collective.serial = byte_take(&fuzz->bytes) % 4;
		message->collective.collective = byte_take(&fuzz->bytes) % 4;
		message->collective.type = byte_take(&fuzz->bytes) % 4;
		message->collective.op = byte_take(&fuzz->bytes) % 4;
		message->collective.len = byte_take(&fuzz->bytes) % TAIL_MAX;
		break;
	case MESSAGE_IMPORT:
		message->import.token = *token;
		message->import.index = byte_take(&fuzz->bytes) % 6;
		break;
	case MESSAGE_RENEW:
		message->renew.token = *token;
		message->renew.record = record_any(fuzz);
		break;
	case MESSAGE_GRANT:
		message->grant.record = record_any(fuzz);
		message->grant.rights = RIGHTS;
		message->grant.len = 8;
		break;
	case MESSAGE_REVOKE:
		message->revoke.token = *token;
		message->revoke.force = byte_take(&fuzz->bytes) % 2;
		message->revoke.timeout_ms = byte_take(&fuzz->bytes);
		break;
	case MESSAGE_PUT:
	case MESSAGE_GET:
	case MESSAGE_ATOMIC:
		message->access.record = record_any(fuzz);
		message->access.len = byte_take(&fuzz->bytes) % TAIL_MAX;
		message->access.off = byte_take(&fuzz->bytes) * 64u;
		message->access.width = byte_take(&fuzz->bytes) % 2 ? 8 : 4;
		message->access.op = byte_take(&fuzz->bytes) % 7;
		break;
	default: /* orders, acknowledgements, RELEASE and REKEY have this form; others have no more */
		message->record.record = record_any(fuzz);
		message->record.index = byte_take(&fuzz->bytes) % 6;
		break;
	}
}

static void message_send(struct fuzz *fuzz)
{
	uint32_t to = byte_take(&fuzz->bytes) % SIZE;
	uint32_t from = (to + 1 + byte_take(&fuzz->bytes) % (SIZE - 1)) % SIZE;
	uint32_t link = core_rank_link(net_node(fuzz->net, to)->core, from);
	union message message = { 0 };
	uint8_t changes, tail;
	uint8_t *exact;
	size_t len;

	message.head.kind = byte_take(&fuzz->bytes) % (MESSAGE_KINDS + 1);
	message.head.call = byte_take(&fuzz->bytes) % 16;
	fill(fuzz, &message);
	tail = byte_take(&fuzz->bytes);
	len = message_size(message.head.kind);
	if (message.head.kind == MESSAGE_REPLY && message.reply.answers == MESSAGE_IMPORT)
		len += sizeof(struct message_imported);
	else if (message_has_data(message.head.kind))
		len += tail % TAIL_MAX;
	for (changes = byte_take(&fuzz->bytes) % 4; changes && len; changes--)
		message.bytes[byte_take(&fuzz->bytes) % len] = byte_take(&fuzz->bytes);
	if (link == UINT32_MAX)
		return;
	exact = malloc(len ? len : 1);
	FARBUS_ASSERT(exact);
	memcpy(exact, message.bytes, len);
	net_inject(fuzz->net, to, link, exact, len, tail >= 128);
	free(exact);
}

static void node_act(struct fuzz *fuzz)
{
	uint32_t node = byte_take(&fuzz->bytes) % SIZE;
	const struct farbus_token *token = &fuzz->token[byte_take(&fuzz->bytes) % TOKENS];
	uint32_t index = import_any(fuzz, node);
	uint64_t word = 1;

	switch (byte_take(&fuzz->bytes) % 11) {
	case 0:
		net_import(fuzz->net, node, token, 20);
		break;
	case 1:
		net_revoke(fuzz->net, node, token, byte_take(&fuzz->bytes) % 2, 20);
		break;
	case 2:
		net_put(fuzz->net, node, index, 0, &word, sizeof(word), 20);
		break;
	case 3:
		net_get(fuzz->net, node, index, 0, 8, 20);
		break;
	case 4:
		net_barrier(fuzz->net, node, 20);
		break;
	case 5:
		net_lookup(fuzz->net, node, "a", 20);
		break;
	case 6:
		net_publish(fuzz->net, node, "a", token, 20);
		break;
	case 7:
		net_release(fuzz->net, node, index);
		break;
	case 9:
		net_rekey(fuzz->net, node, index, 20);
		break;
	case 8:
		net_chain(fuzz->net, node, index, 0, 8, FARBUS_R, 0, 0, 20);
		break;
	default:
		net_renew(fuzz->net, node, index, token, 20);
		break;
	}
}

static void setup(struct fuzz *fuzz)
{
	struct net_conf conf = { .seed = 1, .size = SIZE, .hostile = true };
	uint32_t node;

	conf.one_sided = byte_take(&fuzz->bytes) % 2;
	fuzz->net = net_new(&conf);
	for (uint32_t rank = 0; rank < SIZE; rank++)
		EXPECT(net_start(fuzz->net, &(struct net_node_conf){ .rank = rank }, &node) == 0);
	for (uint32_t rank = 0; rank < SIZE; rank++)
		EXPECT(net_wait(fuzz->net, net_join(fuzz->net, rank, 1000)) == 0);
	fuzz->region = net_region(fuzz->net, HOME, 2 * PAGE, NET_MAPPABLE);
	for (uint32_t i = 0; i < 2; i++)
		EXPECT(net_grant(fuzz->net, HOME, fuzz->region, 0, 2 * PAGE, RIGHTS,
				 i ? FARBUS_GRANT_SERVED : 0, &fuzz->token[i]) == 0);
	for (uint32_t i = 0; i < 2; i++)
		EXPECT(net_wait(fuzz->net,
				net_import(fuzz->net, IMPORTER, &fuzz->token[i], 1000)) == 0);
	EXPECT(net_rotate(fuzz->net, HOME, &fuzz->token[0], &fuzz->token[2]) == 0);
	memset(&fuzz->token[3], 'x', sizeof(fuzz->token[3]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz fuzz = { .bytes = { data, size } };

	setup(&fuzz);
	for (int i = 0; i < STEPS_MAX && fuzz.bytes.left; i++) {
		uint8_t what = byte_take(&fuzz.bytes);

		if (what % 4 < 2)
			message_send(&fuzz);
		else if (what % 4 == 2)
			node_act(&fuzz);
		else
			net_run_for(fuzz.net, what * 1000u);
	}
	net_run(fuzz.net);
	net_free(fuzz.net, true);
	return 0;
}
