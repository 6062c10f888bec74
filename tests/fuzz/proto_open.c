/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto_open.c -- fuzz target: what comes over links that have not proved the job secret
 *
 * The input is a list of messages, of times, of links that come and go, on both ends of a greeting.
 * Nobody here knows the secret: no link may ever be let in, no descriptor be kept, and the core is
 * checked after each step.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/mac.h"
#include "proto_bytes.h"
#include "runtime/proto/core.h"
#include "runtime/proto/message.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINKS 8
#define SIZE 4
#define STEPS_MAX 300

struct fuzz {
	struct bytes bytes;
	struct core *core; /* owned */
	uint64_t now;
	bool up[LINKS];
	uint32_t connecting[LINKS];
	unsigned connects, fds, closed_fds, asked, ended;
};

static void link_free(struct fuzz *fuzz, uint32_t link)
{
	FARBUS_ASSERT(link < LINKS);
	fuzz->up[link] = false;
}

static void outputs(struct fuzz *fuzz)
{
	struct core_output output;

	while (core_output(fuzz->core, &output)) {
		FARBUS_ASSERT(output.kind != CORE_WORK);
		FARBUS_ASSERT(output.kind != CORE_ABORT);
		if (output.kind == CORE_CLOSE)
			link_free(fuzz, output.link);
		else if (output.kind == CORE_CONNECT)
			fuzz->connecting[fuzz->connects++ % LINKS] = output.rank;
		else if (output.kind == CORE_FD)
			fuzz->closed_fds++;
		else if (output.kind == CORE_DONE)
			fuzz->ended++;
	}
	for (uint32_t link = 0; link < LINKS; link++)
		FARBUS_ASSERT(core_link_rank(fuzz->core, link) == UINT32_MAX);
	core_check(fuzz->core);
}

/* Somebody connects to us, or is where we wanted to connect to. */
static void link_new(struct fuzz *fuzz, bool ours)
{
	uint32_t link = byte_take(&fuzz->bytes) % LINKS;

	if (fuzz->up[link])
		return;
	if (ours && fuzz->connects == 0)
		return;
	fuzz->up[link] = true;
	core_link_up(fuzz->core, link,
		     ours ? fuzz->connecting[--fuzz->connects % LINKS] : UINT32_MAX, true,
		     fuzz->now);
}

static void receive(struct fuzz *fuzz, const void *data, size_t len)
{
	uint32_t link = byte_take(&fuzz->bytes) % LINKS;
	int fd = byte_take(&fuzz->bytes) % 4 ? -1 : 7;
	void *copy = malloc(len + 1); /* exact but for a first byte that makes it odd */

	FARBUS_ASSERT(copy);
	memcpy((char *)copy + 1, data, len);
	fuzz->fds += fd >= 0;
	core_receive(fuzz->core, link, (char *)copy + 1, len, fd, fuzz->now);
	outputs(fuzz);
	free(copy);
}

static void receive_raw(struct fuzz *fuzz)
{
	uint8_t data[256];
	size_t len = byte_take(&fuzz->bytes);

	bytes_take(&fuzz->bytes, data, len);
	receive(fuzz, data, len);
}

/* Of the right length for its kind, or nearly. */
static void receive_kind(struct fuzz *fuzz)
{
	uint8_t data[1024];
	uint32_t kind = byte_take(&fuzz->bytes) % (MESSAGE_KINDS + 1);
	uint8_t more = byte_take(&fuzz->bytes);
	size_t len = message_size(kind) + (more < 16 ? more : 0);

	bytes_take(&fuzz->bytes, data, len);
	if (len >= sizeof(kind))
		memcpy(data, &kind, sizeof(kind));
	receive(fuzz, data, len);
}

static void receive_hello(struct fuzz *fuzz)
{
	struct message_hello hello = {
		.head = { .kind = MESSAGE_HELLO },
		.magic = MESSAGE_MAGIC,
		.version = MESSAGE_VERSION,
		.job = 1,
		.rank = byte_take(&fuzz->bytes) % (SIZE + 1),
		.size = SIZE,
		.instance = byte_take(&fuzz->bytes),
	};
	uint8_t at = byte_take(&fuzz->bytes);

	if (at < sizeof(hello))
		((uint8_t *)&hello)[at] = byte_take(&fuzz->bytes);
	receive(fuzz, &hello, sizeof(hello));
}

static void ask(struct fuzz *fuzz)
{
	uint64_t deadline = fuzz->now + byte_take(&fuzz->bytes) * 50 * NS_PER_MS;
	uint32_t id;
	int err;

	if (byte_take(&fuzz->bytes) % 2)
		err = core_connect_root(fuzz->core, deadline, fuzz->now, &id);
	else
		err = core_lookup(fuzz->core, "a name", deadline, fuzz->now, &id);
	fuzz->asked += err == 0;
}

static void step(struct fuzz *fuzz)
{
	uint32_t link;

	switch (byte_take(&fuzz->bytes) % 8) {
	case 0:
		receive_raw(fuzz);
		break;
	case 1:
		receive_kind(fuzz);
		break;
	case 2:
		receive_hello(fuzz);
		break;
	case 3:
		fuzz->now += byte_take(&fuzz->bytes) * 20 * NS_PER_MS;
		break;
	case 4:
		link = byte_take(&fuzz->bytes) % LINKS;
		if (fuzz->up[link])
			core_link_down(fuzz->core, link, -(int)byte_take(&fuzz->bytes), fuzz->now);
		fuzz->up[link] = false;
		break;
	case 5:
		link_new(fuzz, false);
		break;
	case 6:
		link_new(fuzz, true);
		break;
	default:
		ask(fuzz);
		break;
	}
	outputs(fuzz);
	core_step(fuzz->core, fuzz->now);
	outputs(fuzz);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz fuzz = { .bytes = { data, size }, .now = NS_PER_S };
	struct core_conf conf = {
		.job = 1,
		.size = SIZE,
		.instance = 200,
		.incarnation = 1,
		.auth_timeout_ns = NS_PER_S,
		.host_mappable = true,
	};

	FARBUS_ASSERT(mac_init() == 0);
	memset(conf.secret, 0xa5, sizeof(conf.secret));
	conf.rank = byte_take(&fuzz.bytes) % 2; /* with a root of its own, or not */
	FARBUS_ASSERT(core_new(&conf, &fuzz.core) == 0);
	for (int i = 0; i < STEPS_MAX && fuzz.bytes.left; i++)
		step(&fuzz);
	fuzz.now += 100 * NS_PER_S;
	core_step(fuzz.core, fuzz.now);
	outputs(&fuzz);
	FARBUS_ASSERT(fuzz.ended == fuzz.asked);
	FARBUS_ASSERT(fuzz.closed_fds == fuzz.fds);
	core_free(fuzz.core);
	return 0;
}
