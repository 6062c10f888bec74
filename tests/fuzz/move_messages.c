/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * move_messages.c -- fuzz target: messages of a switch-over, and the offer of a destination
 *
 * The first byte chooses. 0: the rest is an offer. Else: messages to both roles, each a byte for its
 * kind, four for its argument, one for its length in units of 8, then its data.
 */
#include "base/assert.h"
#include "runtime/vm/vm.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void offer_run(const uint8_t *data, size_t size)
{
	static struct vm_offer offer;
	static const uint64_t len[2] = { 4096, 8192 };

	if (size > sizeof(offer))
		return;
	memset(&offer, 0xff, sizeof(offer));
	memcpy(&offer, data, size);
	if (vm_offer_check(&offer, size, len, 2) < 0)
		return;
	FARBUS_ASSERT(offer.count == 2);
	FARBUS_ASSERT(offer.slot[0].len == len[0]);
	FARBUS_ASSERT(offer.slot[1].len == len[1]);
	for (int i = 0; i < 2; i++)
		FARBUS_ASSERT(strlen(offer.slot[i].token.text) < sizeof(offer.slot[i].token.text));
}

static void messages_run(const uint8_t *data, size_t size)
{
	struct move_state state = { .data = NULL };
	struct commit dest, source;

	commit_init(&dest, COMMIT_DEST);
	commit_init(&source, COMMIT_SOURCE);
	while (size >= 6) {
		struct commit_message said = { .kind = data[1], .state = data[2] }, answer;
		struct mail_message message = { .kind = data[0] };
		bool ran = commit_runnable(&dest), gone = source.state == COMMIT_THERE;

		memcpy(&message.arg, data + 1, sizeof(message.arg));
		message.len = data[5] * 8u;
		message.data = data + 6;
		if (message.len > size - 6)
			message.len = (uint32_t)(size - 6);
		(void)move_switch_message(&message, &state, &dest);
		(void)commit_receive(&source, &said, &answer);
		FARBUS_ASSERT(state.have <= state.len);
		FARBUS_ASSERT(state.len <= MOVE_STATE_MAX);
		/* Nobody loaded anything: no word of a peer lets it run. Nor takes the source back. */
		FARBUS_ASSERT(ran || !commit_runnable(&dest));
		FARBUS_ASSERT(!gone || source.state == COMMIT_THERE);
		data += 6 + message.len;
		size -= 6 + message.len;
	}
	move_state_free(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 0)
		offer_run(data + 1, size - 1);
	else
		messages_run(data + 1, size - 1);
	return 0;
}
