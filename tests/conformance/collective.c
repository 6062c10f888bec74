/* SPDX-License-Identifier: BSD-3-Clause */
/* collective.c -- conformance of barrier, broadcast and allreduce */
#include "tests/conformance/conform.h"

#include <errno.h>
#include <stdlib.h>

#define RANKS 4
#define ELEMENT_MAX (FARBUS_MESSAGE_MAX / 8)

enum { READY, GO, DONE, END };

/* Nobody leaves before everybody came. */
static void barrier_holds(struct rank *rank)
{
	for (uint64_t i = 1; i <= 200; i++) {
		atomic_fetch_add(&rank->stage->word[0], 1);
		MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
		CHECK(word_get(rank->stage, 0) >= i * RANKS);
		MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
	}
	CHECK(word_get(rank->stage, 0) == 200 * RANKS);
}

static void broadcast_every_root(struct rank *rank)
{
	static const size_t length[] = { 1, 7, 8, 100, 4095, FARBUS_MESSAGE_MAX };
	uint8_t bytes[FARBUS_MESSAGE_MAX + 1];

	for (uint32_t root = 0; root < RANKS; root++)
		for (size_t i = 0; i < sizeof(length) / sizeof(length[0]); i++) {
			memset(bytes, 0xab, sizeof(bytes));
			if (rank->rank == root)
				pattern_fill(bytes, length[i], (uint8_t)(root + i));
			MUST(farbus_broadcast(rank->farbus, root, bytes, length[i],
					      FARBUS_TIMEOUT_DEFAULT));
			CHECK(pattern_diff(bytes, length[i], (uint8_t)(root + i)) == length[i]);
			CHECK(bytes[length[i]] == 0xab);
		}
}

/* ---- allreduce against an oracle that knows everybody's input ---- */

union element {
	uint64_t u;
	int64_t i;
	double f;
};

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15;
	return x ^ x >> 29;
}

static union element input(enum farbus_type type, uint64_t rank, uint64_t at)
{
	uint64_t bits = mix(rank * 1000003 + at * 7919 + (uint64_t)type + 1);
	union element element = { .u = bits };

	/* Sums of such doubles depend on the order. */
	if (type == FARBUS_F64)
		element.f = ((double)(bits >> 11) - 4.5e15) * (at % 3 ? 1e-9 : 1e9);
	return element;
}

static union element combine(enum farbus_type type, enum farbus_reduce op, union element a,
			     union element b)
{
	if (op == FARBUS_SUM) {
		if (type == FARBUS_F64)
			a.f += b.f;
		else
			a.u += b.u;
		return a;
	}
	bool less = type == FARBUS_F64 ? b.f < a.f : type == FARBUS_I64 ? b.i < a.i : b.u < a.u;
	bool same = a.u == b.u;

	return same || less == (op == FARBUS_MIN) ? b : a;
}

static void allreduce_one(struct rank *rank, enum farbus_type type, enum farbus_reduce op,
			  size_t count)
{
	union element data[ELEMENT_MAX + 1], expect;

	data[count].u = 0xcccc;
	for (size_t at = 0; at < count; at++)
		data[at] = input(type, rank->rank, at);
	MUST(farbus_allreduce(rank->farbus, data, count, type, op, FARBUS_TIMEOUT_DEFAULT));
	for (size_t at = 0; at < count; at++) {
		expect = input(type, 0, at);
		for (uint64_t from = 1; from < RANKS; from++)
			expect = combine(type, op, expect, input(type, from, at));
		CHECK(data[at].u == expect.u); /* the same bits */
	}
	CHECK(data[count].u == 0xcccc);
}

static void allreduce_all(struct rank *rank)
{
	static const size_t count[] = { 1, 2, 63, ELEMENT_MAX };

	for (enum farbus_type type = FARBUS_U64; type <= FARBUS_F64; type++)
		for (enum farbus_reduce op = FARBUS_SUM; op <= FARBUS_MAX; op++)
			for (size_t i = 0; i < sizeof(count) / sizeof(count[0]); i++)
				allreduce_one(rank, type, op, count[i]);
}

/* ---- when ranks disagree ---- */

static void disagree(struct rank *rank)
{
	uint64_t data[4] = { 1, 2, 3, 4 };
	bool odd = rank->rank == 2;
	int err;

	MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT));
	switch (rank->stage->arg) {
	case 0:
		err = odd ? farbus_allreduce(rank->farbus, data, 1, FARBUS_U64, FARBUS_SUM, 10000) :
			    farbus_barrier(rank->farbus, 10000);
		break;
	case 1:
		err = farbus_allreduce(rank->farbus, data, odd ? 3 : 4, FARBUS_U64, FARBUS_SUM,
				       10000);
		break;
	case 2:
		err = farbus_allreduce(rank->farbus, data, 4, odd ? FARBUS_I64 : FARBUS_U64,
				       FARBUS_SUM, 10000);
		break;
	case 3:
		err = farbus_allreduce(rank->farbus, data, 4, FARBUS_U64,
				       odd ? FARBUS_MIN : FARBUS_SUM, 10000);
		break;
	case 4:
		err = farbus_broadcast(rank->farbus, odd ? 1 : 0, data, 8, 10000);
		break;
	default:
		err = farbus_broadcast(rank->farbus, 0, data, odd ? 16 : 8, 10000);
		break;
	}
	REFUSED(err, -EPROTO, NULL);
	/* They stay failed. */
	CHECK(farbus_barrier(rank->farbus, 5000) < 0);
	step_meet(rank, END);
}

/* Somebody does not come. */
static void one_is_late(struct rank *rank)
{
	if (rank->rank != 2)
		REFUSED(farbus_barrier(rank->farbus, 200), -ETIMEDOUT, "barrier");
	step_meet(rank, READY);
	CHECK(farbus_barrier(rank->farbus, 2000) < 0);
	rank_no_event(rank);
	step_meet(rank, END);
}

static void arguments(struct rank *rank)
{
	uint64_t data[2] = { 0 };

	REFUSED(farbus_broadcast(rank->farbus, 0, data, 0, 10), -EINVAL, "4096");
	REFUSED(farbus_broadcast(rank->farbus, 0, data, FARBUS_MESSAGE_MAX + 1, 10), -EINVAL,
		"4096");
	REFUSED(farbus_broadcast(rank->farbus, RANKS, data, 8, 10), -EINVAL, "ranks 0 to 3");
	REFUSED(farbus_broadcast(rank->farbus, 0, NULL, 8, 10), -EINVAL, NULL);
	REFUSED(farbus_allreduce(rank->farbus, data, 0, FARBUS_U64, FARBUS_SUM, 10), -EINVAL,
		"512");
	REFUSED(farbus_allreduce(rank->farbus, data, ELEMENT_MAX + 1, FARBUS_U64, FARBUS_SUM, 10),
		-EINVAL, "512");
	REFUSED(farbus_allreduce(rank->farbus, data, SIZE_MAX / 4, FARBUS_U64, FARBUS_SUM, 10),
		-EINVAL, "512");
	REFUSED(farbus_allreduce(rank->farbus, data, 1, (enum farbus_type)4, FARBUS_SUM, 10),
		-EINVAL, "type 4");
	REFUSED(farbus_allreduce(rank->farbus, data, 1, FARBUS_U64, (enum farbus_reduce)0, 10),
		-EINVAL, "op 0");
	MUST(farbus_barrier(rank->farbus, FARBUS_TIMEOUT_DEFAULT)); /* nothing was started */
}

static const struct property property[] = {
	{ "barrier__many_rounds__nobody_leaves_before_all_came", CONFORM_ALL, RANKS, barrier_holds,
	  NULL, 0, 0 },
	{ "broadcast__every_root_and_length__same_bytes", CONFORM_ALL, RANKS, broadcast_every_root,
	  NULL, 0, 0 },
	{ "allreduce__every_type_and_op__same_bits_in_rank_order", CONFORM_ALL, RANKS,
	  allreduce_all, NULL, 0, 0 },
	{ "collective__other_call__eproto_for_all", CONFORM_ALL, RANKS, disagree, NULL, 0, 0 },
	{ "collective__other_count__eproto_for_all", CONFORM_ALL, RANKS, disagree, NULL, 1, 0 },
	{ "collective__other_type__eproto_for_all", CONFORM_ALL, RANKS, disagree, NULL, 2, 0 },
	{ "collective__other_op__eproto_for_all", CONFORM_ALL, RANKS, disagree, NULL, 3, 0 },
	{ "collective__other_root__eproto_for_all", CONFORM_ALL, RANKS, disagree, NULL, 4, 0 },
	{ "collective__other_length__eproto_for_all", CONFORM_ALL, RANKS, disagree, NULL, 5, 0 },
	{ "collective__one_does_not_come__etimedout_and_nobody_is_dead", CONFORM_ALL, RANKS,
	  one_is_late, NULL, 0, 0 },
	{ "collective__never_right__einval_and_nothing_started", CONFORM_ALL, RANKS, arguments,
	  NULL, 0, 0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
