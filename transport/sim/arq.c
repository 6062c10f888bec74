/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arq.c -- numbers, acknowledgements and repetitions of one direction of a link
 *
 * Invariants (arq_check):
 *   1. unacked <= next, and they are at most ARQ_WINDOW_MAX apart
 *   2. what is expected is not here: bit 0 of early is clear
 */
#include "transport/sim/arq.h"

#include "base/assert.h"

_Static_assert(ARQ_WINDOW_MAX == 64, "early is one word");

void arq_init(struct arq *arq)
{
	*arq = (struct arq){ .timeout = ARQ_TIMEOUT_NS };
}

bool arq_room(const struct arq *arq)
{
	return arq->next - arq->unacked < ARQ_WINDOW_MAX;
}

uint64_t arq_send(struct arq *arq, uint64_t now)
{
	FARBUS_ASSERT(arq_room(arq));
	if (arq->unacked == arq->next) {
		arq->since = now;
		arq->timeout = ARQ_TIMEOUT_NS;
	}
	return arq->next++;
}

bool arq_data(struct arq *arq, uint64_t sequence)
{
	uint64_t ahead = sequence - arq->expected;

	/* Old ones wrap to far ahead. */
	if (ahead >= ARQ_WINDOW_MAX || (arq->early >> ahead & 1))
		return false;
	arq->early |= (uint64_t)1 << ahead;
	return true;
}

bool arq_take(struct arq *arq, uint64_t *ret_sequence)
{
	if (!(arq->early & 1))
		return false;
	*ret_sequence = arq->expected++;
	arq->early >>= 1;
	return true;
}

bool arq_ack(struct arq *arq, uint64_t before, uint64_t now)
{
	if (before - arq->unacked - 1 >= arq->next - arq->unacked)
		return false;
	arq->unacked = before;
	arq->since = now;
	arq->timeout = ARQ_TIMEOUT_NS;
	return true;
}

bool arq_repeat(struct arq *arq, uint64_t now, bool *ret_give_up)
{
	*ret_give_up = false;
	if (arq->unacked == arq->next)
		return false;
	if (now - arq->since >= ARQ_GIVE_UP_NS) {
		*ret_give_up = true;
		return false;
	}
	arq->timeout *= 2;
	if (arq->timeout > ARQ_TIMEOUT_LONGEST_NS)
		arq->timeout = ARQ_TIMEOUT_LONGEST_NS;
	return true;
}

void arq_check(const struct arq *arq)
{
	FARBUS_ASSERT(arq->unacked <= arq->next);
	FARBUS_ASSERT(arq->next - arq->unacked <= ARQ_WINDOW_MAX);
	FARBUS_ASSERT(!(arq->early & 1));
}
