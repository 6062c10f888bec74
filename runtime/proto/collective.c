/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * collective.c -- the root gathers every rank's part, combines them in rank order, and answers all
 *
 * One at a time: nobody can begin the next before everybody has come to this one. Once one has
 * failed all later ones do, because the ranks no longer agree on where they are.
 *
 * Invariants (core_check):
 *   1. count is the number of arrivals that are here
 *   2. data exists exactly while count > 0
 */
#include "base/alloc.h"
#include "base/error.h"
#include "runtime/proto/core_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void collective_clear(struct core *core)
{
	struct collective *collective = &core->collective;

	for (uint32_t rank = 0; rank < core->conf.size; rank++)
		collective->arrival[rank] = (struct arrival){ 0 };
	free(collective->data);
	collective->data = NULL;
	collective->count = 0;
}

void collective_fail(struct core *core, int status, const char *why)
{
	struct collective *collective = &core->collective;

	if (collective->failed < 0)
		return;
	collective->failed = status;
	snprintf(collective->why, sizeof(collective->why), "%s", why);
	for (uint32_t rank = 0; rank < core->conf.size; rank++) {
		struct arrival *arrival = &collective->arrival[rank];

		if (arrival->here && arrival->conn)
			conn_refuse(core, arrival->conn, &arrival->asked, status, why);
	}
	collective_clear(core);
}

/* ---- combining ---- */

static uint64_t combine_u64(uint64_t a, uint64_t b, uint32_t op)
{
	if (op == FARBUS_SUM)
		return a + b;
	return (op == FARBUS_MIN) == (b < a) ? b : a;
}

static int64_t combine_i64(int64_t a, int64_t b, uint32_t op)
{
	if (op == FARBUS_SUM)
		return (int64_t)((uint64_t)a + (uint64_t)b);
	return (op == FARBUS_MIN) == (b < a) ? b : a;
}

static double combine_f64(double a, double b, uint32_t op)
{
	if (op == FARBUS_SUM)
		return a + b;
	if (op == FARBUS_MIN)
		return b < a ? b : a;
	return b > a ? b : a;
}

static void combine(void *into, const void *from, const struct message_collective *what)
{
	for (uint32_t i = 0; i < what->len / 8; i++) {
		if (what->type == FARBUS_U64)
			((uint64_t *)into)[i] = combine_u64(((uint64_t *)into)[i],
							    ((const uint64_t *)from)[i], what->op);
		else if (what->type == FARBUS_I64)
			((int64_t *)into)[i] = combine_i64(((int64_t *)into)[i],
							   ((const int64_t *)from)[i], what->op);
		else
			((double *)into)[i] = combine_f64(((double *)into)[i],
							  ((const double *)from)[i], what->op);
	}
}

/* In rank order, so that the result has the same bits in every run. The result is at data. */
static void collective_combine(struct core *core)
{
	struct collective *collective = &core->collective;
	uint32_t len = collective->what.len;

	if (collective->what.collective == COLLECTIVE_BROADCAST)
		memmove(collective->data, collective->data + (size_t)collective->what.root * len,
			len);
	if (collective->what.collective != COLLECTIVE_ALLREDUCE)
		return;
	for (uint32_t rank = 1; rank < core->conf.size; rank++)
		combine(collective->data, collective->data + (size_t)rank * len, &collective->what);
}

static void collective_complete(struct core *core)
{
	struct collective *collective = &core->collective;

	collective_combine(core);
	collective->serial++;
	for (uint32_t rank = 0; rank < core->conf.size; rank++) {
		struct arrival *arrival = &collective->arrival[rank];

		/* Who came and has gone is not missed by a root that is leaving. */
		if (arrival->conn)
			conn_reply(core, arrival->conn, &arrival->asked, 0, collective->data,
				   collective->what.len);
	}
	collective_clear(core);
}

/* ---- arriving ---- */

static bool arrival_fits(const struct core *core, const struct conn *conn,
			 const struct message_collective *message, size_t data_len)
{
	switch (message->collective) {
	case COLLECTIVE_BARRIER:
		return message->len == 0 && data_len == 0;
	case COLLECTIVE_BROADCAST:
		return message->len > 0 && message->len <= FARBUS_MESSAGE_MAX &&
		       message->root < core->conf.size &&
		       data_len == (message->root == conn->rank ? message->len : 0);
	case COLLECTIVE_ALLREDUCE:
		return message->len > 0 && message->len <= FARBUS_MESSAGE_MAX &&
		       message->len % 8 == 0 && data_len == message->len &&
		       message->type >= FARBUS_U64 && message->type <= FARBUS_F64 &&
		       message->op >= FARBUS_SUM && message->op <= FARBUS_MAX;
	default:
		return false;
	}
}

static bool arrival_agrees(const struct collective *collective,
			   const struct message_collective *message)
{
	const struct message_collective *what = &collective->what;

	if (message->serial != collective->serial + 1)
		return false;
	return collective->count == 0 ||
	       (what->collective == message->collective && what->root == message->root &&
		what->type == message->type && what->op == message->op &&
		what->len == message->len);
}

static int collective_begin(struct core *core, const struct message_collective *message)
{
	struct collective *collective = &core->collective;

	collective->what = *message;
	/* One byte more: a barrier has no data, but "somebody is here" is told by the pointer. */
	collective->data = alloc_zero((size_t)message->len * core->conf.size + 1);
	return collective->data ? 0 : -ENOMEM;
}

void collective_arrive(struct core *core, struct conn *conn,
		       const struct message_collective *message, size_t data_len)
{
	struct collective *collective = &core->collective;
	struct arrival *arrival = &collective->arrival[conn->rank];

	if (core->conf.rank != 0) {
		conn_refuse(core, conn, &message->head, -EPROTO, "rank 0 runs the collectives");
		return;
	}
	if (collective->failed < 0) {
		conn_refuse(core, conn, &message->head, collective->failed, collective->why);
		return;
	}
	if (!arrival_fits(core, conn, message, data_len) || arrival->here) {
		conn_bad(core, conn, "a malformed collective");
		return;
	}
	*arrival = (struct arrival){ .conn = conn, .asked = message->head, .here = true };
	if (!arrival_agrees(collective, message)) {
		collective_fail(core, -EPROTO,
				"the ranks called different collectives, or with different sizes, "
				"roots, types or operations");
		return;
	}
	if (collective->count == 0 && collective_begin(core, message) < 0) {
		collective_fail(core, -ENOMEM, "rank 0 has no memory for the collective");
		return;
	}
	collective->count++;
	if (data_len)
		memcpy(collective->data + (size_t)conn->rank * message->len, message + 1, data_len);
	if (collective->count == core->conf.size)
		collective_complete(core);
}

void collective_cancel(struct core *core, struct conn *conn, uint32_t call)
{
	const struct arrival *arrival = &core->collective.arrival[conn->rank];

	if (arrival->here && arrival->conn == conn && arrival->asked.call == call)
		collective_fail(core, -ETIMEDOUT, "a rank gave up waiting for the others");
}

void collective_conn_gone(struct core *core, struct conn *conn)
{
	struct arrival *arrival = &core->collective.arrival[conn->rank];

	if (arrival->conn == conn)
		arrival->conn = NULL;
}

void collective_fini(struct core *core)
{
	free(core->collective.data);
	free(core->collective.arrival);
}
