/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_pmi_server.c -- the launcher's side of PMI-1, whatever three ranks send
 *
 * Checked besides the sanitizers: every answer is one whole line to a rank that is still there, and
 * a rank that broke the protocol hears nothing more.
 */
#include "apps/farbus-run/pmi_server.h"
#include "base/assert.h"
#include "runtime/boot/wire.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RANK_COUNT 3
#define PIECE_MAX 64

struct job {
	struct pmi_server *server;
	int gone[RANK_COUNT];
	int keep_going;
};

static void on_send(void *arg, uint32_t rank, const char *line, size_t len)
{
	const struct job *job = arg;
	char command[32];

	FARBUS_ASSERT(rank < RANK_COUNT);
	FARBUS_ASSERT(!job->gone[rank]);
	FARBUS_ASSERT(len > 0);
	FARBUS_ASSERT(len < WIRE_LINE_MAX);
	FARBUS_ASSERT(memchr(line, '\n', len) == line + len - 1);
	FARBUS_ASSERT(strlen(line) == len);
	FARBUS_ASSERT(wire_text(line, "cmd", command, sizeof(command)) == 0);
}

static void on_abort(void *arg, uint32_t rank, int code)
{
	(void)arg;
	(void)code;
	FARBUS_ASSERT(rank < RANK_COUNT);
}

static void on_stuck(void *arg, uint32_t gone, uint32_t waiting)
{
	struct job *job = arg;

	FARBUS_ASSERT(gone < RANK_COUNT);
	FARBUS_ASSERT(waiting > 0);
	FARBUS_ASSERT(waiting < RANK_COUNT);
	if (job->keep_going)
		pmi_server_release(job->server);
}

/* A piece is a byte (rank, 3: it goes), a byte of length, and that much of what it sends. */
static void piece(struct job *job, const uint8_t **data, size_t *size)
{
	uint32_t rank = (*data)[0] & 3, goes = rank == 3;
	size_t len = (*data)[1];

	rank = goes ? (*data)[0] / 4 % RANK_COUNT : rank;
	*data += 2;
	*size -= 2;
	len = len < *size ? len : *size;
	if (goes) {
		job->gone[rank] = 1;
		pmi_server_gone(job->server, rank);
	} else if (!job->gone[rank]) {
		int err = pmi_server_input(job->server, rank, (const char *)*data, len);

		FARBUS_ASSERT(err == 0 || err == -EPROTO);
		job->gone[rank] = err < 0;
		if (err < 0)
			pmi_server_gone(job->server, rank);
	}
	*data += len;
	*size -= len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pmi_server_ops ops = { on_send, on_abort, on_stuck };
	struct job job = { .keep_going = size & 1 };

	if (pmi_server_new(RANK_COUNT, &ops, &job, &job.server) < 0)
		return 0;
	for (int i = 0; i < PIECE_MAX && size >= 2; i++)
		piece(&job, &data, &size);
	pmi_server_free(job.server);
	return 0;
}
