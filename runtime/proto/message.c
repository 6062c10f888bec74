/* SPDX-License-Identifier: BSD-3-Clause */
/* message.c -- the table of message kinds */
#include "runtime/proto/message.h"

struct kind {
	size_t size;
	bool data, up;
	const char *text;
};

static const struct kind kinds[MESSAGE_KINDS] = {
#define MESSAGE(kind, fixed, data, up) [MESSAGE_##kind] = { sizeof(fixed), data, up, #kind },
	MESSAGES
#undef MESSAGE
};

size_t message_size(uint32_t kind)
{
	return kind < MESSAGE_KINDS ? kinds[kind].size : 0;
}

bool message_has_data(uint32_t kind)
{
	return kind < MESSAGE_KINDS && kinds[kind].data;
}

bool message_needs_up(uint32_t kind)
{
	return kind < MESSAGE_KINDS && kinds[kind].up;
}

const char *message_text(uint32_t kind)
{
	return message_size(kind) ? kinds[kind].text : "unknown";
}
