/* SPDX-License-Identifier: BSD-3-Clause */
/* access.c -- conformance of put, get, atomics, signal, wait and flush, and of what they refuse */
#include "tests/conformance/conform.h"

#include <errno.h>
#include <farbus/inline.h>
#include <stdlib.h>
#include <sys/mman.h>

#define R FARBUS_R
#define RW (FARBUS_R | FARBUS_W)
#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)

enum { READY, GO, DONE, SEEN, END };

/* ---- info ---- */

static void info_says_what_it_is(struct rank *rank)
{
	const char *transport = getenv("FARBUS_TRANSPORT");
	enum conform_class class = rank_class(rank->stage, rank->rank, 0);
	static const uint32_t path[] = { [CONFORM_MAPPED] = FARBUS_PATH_MAPPED,
					 [CONFORM_SERVED] = FARBUS_PATH_SERVED,
					 [CONFORM_FABRIC] = FARBUS_PATH_FABRIC };
	struct farbus_region_info info;
	struct farbus_region *region;
	struct table_row row;

	table_check();
	if (rank->rank == 0) {
		region = rank_alloc(rank, 12288, 0);
		MUST(farbus_region_info(region, &info));
		CHECK(info.path == FARBUS_PATH_OWN && info.len == 12288 && info.off == 0);
		CHECK(info.va && info.page_size >= 4096);
		rank_grant(rank, region, 4096, 8192, RW, 0);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 2);
		return;
	}
	step_wait(rank->stage, READY, 1);
	region = rank_import(rank, 0);
	MUST(farbus_region_info(region, &info));
	CHECK(info.path == path[class]);
	table_row(info.transport, class, &row);
	CHECK(info.onesided ==
	      ((row.put ? FARBUS_ONESIDED_PUT : 0) | (row.get ? FARBUS_ONESIDED_GET : 0) |
	       (row.atomic ? FARBUS_ONESIDED_ATOMIC : 0)));
	CHECK(info.off == 4096 && info.len == 8192 && info.rights == RW);
	CHECK(info.home_rank == 0 && info.status == 0 && !info.va);
	if (rank->stage->mixed)
		transport = class == CONFORM_MAPPED ? "shm" : strchr(transport, ',') + 1;
	if (transport && strcmp(transport, "auto"))
		CHECK(strcmp(info.transport, transport) == 0);
	step_reach(rank->stage, DONE);
}

/* ---- put, get, vectors ---- */

#define ROUND_TRIP_MAX (20u << 20)

static void round_trip_one(struct farbus_region *region, uint64_t off, size_t len, uint8_t seed)
{
	uint8_t *out = malloc(len), *in = calloc(1, len);

	CHECK(out && in);
	pattern_fill(out, len, seed);
	MUST(farbus_put(region, off, out, len));
	MUST(farbus_get(region, off, in, len));
	CHECK(pattern_diff(in, len, seed) == len);
	free(in);
	free(out);
}

static void put_get_every_length(struct rank *rank)
{
	static const size_t length[] = { 1,    2,    3,	   4,	 5,    7,    8,	    9,
					 15,   16,   17,   31,	 63,   64,   65,    255,
					 4095, 4096, 4097, 7167, 7168, 7169, 65537, 1048583 };
	size_t big = rank->stage->class == CONFORM_MAPPED ? ROUND_TRIP_MAX : 3u << 20;
	struct farbus_region *region;
	uint8_t *va;

	if (rank->rank == 0) {
		region = rank_alloc(rank, ROUND_TRIP_MAX, 0);
		va = region_va(region);
		va[0] = va[ROUND_TRIP_MAX - 1] = 0x5a;
		rank_grant(rank, region, 4096, ROUND_TRIP_MAX - 8192, RW, 0);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 1);
		CHECK(va[0] == 0x5a && va[4095] == 0 && va[ROUND_TRIP_MAX - 1] == 0x5a);
		return;
	}
	step_wait(rank->stage, READY, 1);
	region = rank_import(rank, 0);
	for (size_t i = 0; i < sizeof(length) / sizeof(length[0]); i++)
		for (uint64_t off = 0; off < 70; off += 23)
			round_trip_one(region, off, length[i], (uint8_t)(i + off));
	round_trip_one(region, 1, big - 8193, 77);
	step_reach(rank->stage, DONE);
}

static void vec_fill(struct farbus_vec vec[2], uint8_t *local)
{
	vec[0] = (struct farbus_vec){
		.off = 10, .local = local, .len = 3, .count = 40, .stride = 9, .local_stride = 5
	};
	vec[1] = (struct farbus_vec){ .off = 1000, .local = local + 500, .len = 100 };
}

static void vectors_equal_loops(struct rank *rank)
{
	uint8_t local[1024], back[1024] = { 0 }, expect[2048] = { 0 }, seen[2048];
	struct farbus_region *region;
	struct farbus_vec vec[2];

	if (rank->rank == 0) {
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RW, 0);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 1);
		return;
	}
	step_wait(rank->stage, READY, 1);
	region = rank_import(rank, 0);
	pattern_fill(local, sizeof(local), 3);
	vec_fill(vec, local);
	MUST(farbus_putv(region, vec, 2));
	for (size_t i = 0; i < 40; i++)
		memcpy(expect + 10 + i * 9, local + i * 5, 3);
	memcpy(expect + 1000, local + 500, 100);
	MUST(farbus_get(region, 0, seen, sizeof(seen)));
	CHECK(memcmp(seen, expect, sizeof(seen)) == 0);
	vec_fill(vec, back);
	MUST(farbus_getv(region, vec, 2));
	for (size_t i = 0; i < 40; i++)
		CHECK(memcmp(back + i * 5, local + i * 5, 3) == 0);
	CHECK(memcmp(back + 500, local + 500, 100) == 0);
	/* All pieces are checked before the first is written. */
	memset(local, 0xee, sizeof(local));
	vec_fill(vec, local);
	vec[1].off = 4096 - 50;
	REFUSED(farbus_putv(region, vec, 2), -ERANGE, "past the end");
	MUST(farbus_get(region, 0, seen, sizeof(seen)));
	CHECK(memcmp(seen, expect, sizeof(seen)) == 0);
	step_reach(rank->stage, DONE);
}

static void copy_third_party(struct rank *rank)
{
	static uint8_t bytes[200000];
	struct farbus_region *from, *to;

	if (rank->rank < 2) {
		from = rank_alloc(rank, sizeof(bytes), 0);
		if (rank->rank == 0)
			pattern_fill(region_va(from), sizeof(bytes), 9);
		rank_grant(rank, from, 0, sizeof(bytes), rank->rank == 0 ? R : RW, rank->rank);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 1);
		if (rank->rank == 1)
			CHECK(pattern_diff(region_va(from) + 5, 150000, 9) == 150000);
		return;
	}
	step_wait(rank->stage, READY, 2);
	from = rank_import(rank, 0);
	to = rank_import(rank, 1);
	MUST(farbus_copy(to, 5, from, 0, 150000));
	MUST(farbus_flush(rank->farbus, to, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
	REFUSED(farbus_copy(from, 0, to, 0, 8), -EACCES, "copy to");
	REFUSED(farbus_copy(to, 0, from, sizeof(bytes) - 4, 8), -ERANGE, "past the end");
	step_reach(rank->stage, DONE);
}

/* ---- flush and signal ---- */

static void flush_is_visible(struct rank *rank)
{
	static const size_t length[] = { 1, 8, 61, 4096, 65536, 900001 };
	static uint8_t bytes[CONFORM_MEMORY];
	struct stage *stage = rank->stage;
	struct farbus_region *region;

	if (rank->rank == 0) {
		rank_grant(rank, rank_adopt_memory(rank), 0, CONFORM_MEMORY, RW, 0);
		step_reach(stage, READY);
	} else {
		step_wait(stage, READY, 1);
		region = rank_import(rank, 0);
	}
	for (uint32_t i = 0; i < 60; i++) {
		size_t len = length[i % 6];

		if (rank->rank == 0) {
			/* Plain loads, without a call into the library. */
			step_wait(stage, GO, i + 1);
			CHECK(pattern_diff(stage->memory + i, len, (uint8_t)i) == len);
			step_reach(stage, SEEN);
			continue;
		}
		pattern_fill(bytes, len, (uint8_t)i);
		MUST(farbus_put(region, i, bytes, len));
		memset(bytes, 0, len); /* put returned: the source is ours again */
		MUST(farbus_flush(rank->farbus, i % 2 ? region : NULL, FARBUS_FLUSH_REMOTE,
				  FARBUS_TIMEOUT_DEFAULT));
		step_reach(stage, GO);
		step_wait(stage, SEEN, i + 1);
	}
}

#define SIGNAL_ROUNDS 2000
#define SIGNAL_WORDS 512

/* Whoever saw signal n sees the puts before it. */
static void signal_after_puts(struct rank *rank)
{
	uint64_t block[SIGNAL_WORDS], seen = 0;
	struct farbus_region *region;
	const uint64_t *words;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 8192, 0);
		words = (const uint64_t *)(void *)region_va(region);
		rank_grant(rank, region, 0, 8192, RWA, 0);
		step_reach(rank->stage, READY);
		while (seen < SIGNAL_ROUNDS) {
			MUST(farbus_wait(region, 8184, FARBUS_GE, seen + 1, CONFORM_WAIT_MS,
					 &seen));
			/* Later rounds may be arriving, earlier ones must have arrived. */
			for (size_t i = 0; i < SIGNAL_WORDS; i++)
				CHECK(peek64(&words[i]) >= seen);
		}
		return;
	}
	step_wait(rank->stage, READY, 1);
	region = rank_import(rank, 0);
	for (uint64_t n = 1; n <= SIGNAL_ROUNDS; n++) {
		size_t half = n % SIGNAL_WORDS;

		for (size_t i = 0; i < SIGNAL_WORDS; i++)
			block[i] = n;
		if (half)
			MUST(farbus_put(region, 0, block, half * 8));
		MUST(farbus_put(region, half * 8, block + half, (SIGNAL_WORDS - half) * 8));
		MUST(farbus_signal(region, 8184, n % 2 ? n : 1, n % 2 ? FARBUS_SWAP : FARBUS_ADD));
	}
}

static void wait_is_woken(struct rank *rank)
{
	uint64_t mine = rank->rank ? 8 : 0, theirs = 8 - mine, seen = 77;
	struct farbus_region *region;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 4096, 0);
		rank_grant(rank, region, 0, 4096, RWA, 0);
		step_reach(rank->stage, READY);
	} else {
		step_wait(rank->stage, READY, 1);
		region = rank_import(rank, 0);
	}
	for (uint64_t i = 1; i <= 300; i++) {
		if (rank->rank == 0)
			MUST(farbus_signal(region, theirs, 1, FARBUS_ADD));
		MUST(farbus_wait(region, mine, i % 2 ? FARBUS_EQ : FARBUS_GE, i, CONFORM_WAIT_MS,
				 &seen));
		CHECK(seen == i);
		if (rank->rank == 1)
			MUST(farbus_signal(region, theirs, i, FARBUS_SWAP));
	}
	step_meet(rank, DONE);
	seen = 77;
	MUST(farbus_wait(region, mine, FARBUS_NE, 0, 0, NULL));
	REFUSED(farbus_wait(region, mine, FARBUS_EQ, 5, 20, &seen), -ETIMEDOUT, "still 300");
	CHECK(seen == 77);
	/* A plain store of the home is noticed, too. */
	step_meet(rank, SEEN);
	if (rank->rank == 0)
		__atomic_store_n((uint64_t *)(void *)(region_va(region) + 64), 9, __ATOMIC_RELEASE);
	else
		MUST(farbus_wait(region, 64, FARBUS_EQ, 9, CONFORM_WAIT_MS, &seen));
	step_meet(rank, END);
}

/* ---- atomics ---- */

#define ADDERS 4
#ifdef FARBUS_SANITIZE
#define MAPPED_ADDS 4000
#else
#define MAPPED_ADDS 400000 /* fewer are over before the ranks really meet */
#endif

struct sums {
	uint64_t add8, add8_fetch, old_sum, swap8, cas8, bits_or, bits_and, bits_xor;
	uint32_t add4, guard4, add4_fetch, guard4b;
};
#define AT(field) offsetof(struct sums, field)

/* What the sums of all ranks must be when each does its part n times. */
static uint64_t atomics_part(struct rank *rank, struct farbus_region *region, uint64_t n)
{
	uint64_t me = rank->rank, old, swapped = 0;

	for (uint64_t i = 0; i < n; i++) {
		MUST(farbus_atomic(region, AT(add8), FARBUS_ADD, 8, me + 1, 0, NULL));
		MUST(farbus_atomic(region, AT(add4), FARBUS_ADD, 4, me + 1, 0, NULL));
		MUST(farbus_atomic(region, AT(add8_fetch), FARBUS_ADD, 8, 1, 0, &old));
		MUST(farbus_atomic(region, AT(old_sum), FARBUS_ADD, 8, old, 0, NULL));
		MUST(farbus_atomic(region, AT(add4_fetch), FARBUS_ADD, 4, 1, 0, &old));
		CHECK(old <= UINT32_MAX);
		/* Its own bit goes up, and down again but for the last time. */
		MUST(farbus_atomic(region, AT(bits_xor), FARBUS_XOR, 8, 1ull << me, 0, &old));
		CHECK((old >> me & 1) == (i & 1));
		MUST(farbus_atomic(region, AT(bits_or), FARBUS_OR, 8, 1ull << (me * 16 + i % 16), 0,
				   NULL));
		MUST(farbus_atomic(region, AT(bits_and), FARBUS_AND, 8,
				   ~(1ull << (me * 16 + i % 16)), 0, NULL));
		/* What is swapped out is what somebody swapped in. */
		MUST(farbus_atomic(region, AT(swap8), FARBUS_SWAP, 8, me * n + i, 0, &old));
		swapped += me * n + i - old;
		do {
			MUST(farbus_get(region, AT(cas8), &old, 8));
			uint64_t compare = old;

			MUST(farbus_atomic(region, AT(cas8), FARBUS_CAS, 8, compare + 3, compare,
					   &old));
			if (old == compare)
				break;
		} while (true);
	}
	return swapped;
}

static void sums_peek(struct sums *sums, const uint8_t *va)
{
	uint64_t word;

	for (size_t i = 0; i < sizeof(*sums); i += 8) {
		word = peek64(va + i);
		memcpy((uint8_t *)sums + i, &word, 8);
	}
}

static void atomics_sum_exactly(struct rank *rank)
{
	uint64_t n = rank->stage->class == CONFORM_MAPPED ? MAPPED_ADDS : 160, total = n * ADDERS;
	struct sums sums = { .bits_and = UINT64_MAX, .guard4 = 0xabadcafe, .guard4b = 0xfeedbabe };
	struct farbus_region *region;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 4096, 0);
		memcpy(region_va(region), &sums, sizeof(sums));
		rank_grant(rank, region, 0, 4096, RWA, 0);
		step_reach(rank->stage, READY);
	} else {
		step_wait(rank->stage, READY, 1);
		region = rank_import(rank, 0);
	}
	step_meet(rank, GO);
	word_set(rank->stage, rank->rank, atomics_part(rank, region, n));
	step_meet(rank, DONE);
	if (rank->rank == 0)
		sums_peek(&sums, region_va(region));
	else
		MUST(farbus_get(region, 0, &sums, sizeof(sums)));
	CHECK(sums.add8 == n * 10 && sums.add4 == n * 10);
	CHECK(sums.add8_fetch == total && sums.add4_fetch == total);
	CHECK(sums.old_sum == total * (total - 1) / 2);
	CHECK(sums.cas8 == 3 * total);
	CHECK(sums.bits_or == UINT64_MAX && sums.bits_and == 0 && sums.bits_xor == 0);
	CHECK(sums.guard4 == 0xabadcafe && sums.guard4b == 0xfeedbabe);
	for (unsigned int i = 0; i < ADDERS; i++)
		sums.swap8 -= word_get(rank->stage, i);
	CHECK(sums.swap8 == 0);
	step_meet(rank, END);
}

/* Each op, each width, one caller: the old value and the new. */
static void atomics_compute(struct rank *rank)
{
	static const struct {
		enum farbus_atomic_op op;
		uint64_t operand, compare, result;
	} row[] = {
		{ FARBUS_ADD, UINT64_MAX, 0, 0xf0f0f0f0f0f0f0ef },
		{ FARBUS_AND, 0xff00ff00ff00ff00, 0, 0xf000f000f000f000 },
		{ FARBUS_OR, 0x0f, 0, 0xf0f0f0f0f0f0f0ff },
		{ FARBUS_XOR, UINT64_MAX, 0, 0x0f0f0f0f0f0f0f0f },
		{ FARBUS_SWAP, 7, 0, 7 },
		{ FARBUS_CAS, 9, 0xf0f0f0f0f0f0f0f0, 9 },
		{ FARBUS_CAS, 9, 0xf0f0f0f1f0f0f0f1, 0xf0f0f0f0f0f0f0f0 },
	};
	const uint64_t start = 0xf0f0f0f0f0f0f0f0;
	struct farbus_region *region;

	if (rank->rank == 0) {
		rank_grant(rank, rank_alloc(rank, 4096, 0), 0, 4096, RWA, 0);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 1);
		return;
	}
	step_wait(rank->stage, READY, 1);
	region = rank_import(rank, 0);
	for (size_t i = 0; i < 2 * sizeof(row) / sizeof(row[0]); i++) {
		size_t width = i % 2 ? 4 : 8;
		uint64_t mask = width == 8 ? UINT64_MAX : UINT32_MAX, old = 1, now = 0;

		MUST(farbus_put(region, 8, &start, 8));
		MUST(farbus_atomic(region, 8, row[i / 2].op, width, row[i / 2].operand,
				   row[i / 2].compare, &old));
		MUST(farbus_get(region, 8, &now, 8));
		CHECK(old == (start & mask));
		CHECK(now == ((row[i / 2].result & mask) | (start & ~mask)));
	}
	step_reach(rank->stage, DONE);
}

/* ---- what is refused ---- */

static void refuse_read_only(struct rank *rank, struct farbus_region *region)
{
	uint64_t value = 1;
	void *va = NULL;

	MUST(farbus_get(region, 0, &value, 8));
	REFUSED(farbus_put(region, 0, &value, 8), -EACCES, "put needs right RW");
	REFUSED(farbus_put_inline(region, 0, &value, 8), -EACCES, "put needs right");
	REFUSED(farbus_put64(region, 0, 1), -EACCES, "put needs right");
	REFUSED(farbus_signal(region, 0, 1, FARBUS_SWAP), -EACCES, "needs right");
	REFUSED(farbus_signal(region, 0, 1, FARBUS_ADD), -EACCES, "needs right");
	REFUSED(farbus_atomic(region, 0, FARBUS_ADD, 8, 1, 0, NULL), -EACCES, "needs right");
	if (rank->stage->class == CONFORM_MAPPED)
		REFUSED(farbus_map(region, 0, 4096, PROT_READ | PROT_WRITE, 0, &va), -EACCES,
			"map needs right");
}

static void rights_are_kept(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t value = 1;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 8192, 0);
		pattern_fill(region_va(region), 8192, 1);
		rank_grant(rank, region, 0, 4096, R, 0);
		rank_grant(rank, region, 4096, 4096, RW, 1);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 1);
		CHECK(pattern_diff(region_va(region), 8192, 1) == 8192);
		REFUSED(farbus_region_grant(region, 0, 8, FARBUS_W, NULL, &rank->stage->token[2]),
			-EINVAL, "R");
		REFUSED(farbus_region_grant(region, 0, 8, R | FARBUS_A, NULL,
					    &rank->stage->token[2]),
			-EINVAL, "W");
		REFUSED(farbus_region_grant(region, 0, 8, 0, NULL, &rank->stage->token[2]), -EINVAL,
			NULL);
		REFUSED(farbus_region_grant(region, 0, 8, 0x100, NULL, &rank->stage->token[2]),
			-EINVAL, NULL);
		return;
	}
	step_wait(rank->stage, READY, 1);
	refuse_read_only(rank, rank_import(rank, 0));
	region = rank_import(rank, 1);
	REFUSED(farbus_atomic(region, 0, FARBUS_ADD, 8, 1, 0, NULL), -EACCES,
		"atomic needs right RWA");
	REFUSED(farbus_add64(region, 0, 1, &value), -EACCES, "atomic needs right");
	REFUSED(farbus_signal(region, 0, 1, FARBUS_ADD), -EACCES, "needs right");
	CHECK(value == 1);
	MUST(farbus_flush(rank->farbus, NULL, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
	step_reach(rank->stage, DONE);
}

static void refuse_past_the_end(struct farbus_region *region, uint64_t off, size_t len)
{
	static uint8_t bytes[8192];

	memset(bytes, 0xcc, sizeof(bytes));
	REFUSED(farbus_put(region, off, bytes, len), -ERANGE, "past the end");
	REFUSED(farbus_get(region, off, bytes, len), -ERANGE, "past the end");
	if (len <= 16) {
		REFUSED(farbus_put_inline(region, off, bytes, len), -ERANGE, "past the end");
		REFUSED(farbus_get_inline(region, off, bytes, len), -ERANGE, "past the end");
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		CHECK(bytes[i] == 0xcc);
}

static void bounds_are_kept(struct rank *rank)
{
	static const struct {
		uint64_t off;
		size_t len;
	} row[] = {
		{ 4096, 1 },	 { 4095, 2 },	     { 0, 4097 },	    { 1, 4096 },
		{ 4090, 7 },	 { UINT64_MAX, 1 },  { UINT64_MAX - 7, 8 }, { 0, SIZE_MAX },
		{ 1, SIZE_MAX }, { 4096, SIZE_MAX }, { 1ull << 63, 8 },	    { 8191, 1 },
	};
	struct farbus_region *region;
	uint64_t old = 5;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 3 * 4096, 0);
		pattern_fill(region_va(region), 3 * 4096, 2);
		rank_grant(rank, region, 4096, 4096, RWA, 0);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 1);
		CHECK(pattern_diff(region_va(region), 3 * 4096, 2) == 3 * 4096);
		REFUSED(farbus_region_grant(region, 8192, 4097, R, NULL, &rank->stage->token[1]),
			-ERANGE, "12288");
		REFUSED(farbus_region_grant(region, UINT64_MAX, 2, R, NULL, &rank->stage->token[1]),
			-ERANGE, NULL);
		return;
	}
	step_wait(rank->stage, READY, 1);
	region = rank_import(rank, 0);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		refuse_past_the_end(region, row[i].off, row[i].len);
	REFUSED(farbus_atomic(region, 4096, FARBUS_ADD, 8, 1, 0, &old), -ERANGE, "past the end");
	REFUSED(farbus_add64(region, 4096, 1, &old), -ERANGE, "past the end");
	REFUSED(farbus_signal(region, 4096, 1, FARBUS_SWAP), -ERANGE, "past the end");
	REFUSED(farbus_wait(region, 4096, FARBUS_NE, 1, 100, &old), -ERANGE, "past the end");
	CHECK(old == 5);
	step_reach(rank->stage, DONE);
}

static void refuse_arguments(struct rank *rank, struct farbus_region *region)
{
	uint64_t value = 5;
	enum farbus_atomic_op op = (enum farbus_atomic_op)9;

	REFUSED(farbus_put(region, 0, &value, 0), -EINVAL, "0 bytes");
	REFUSED(farbus_get(region, 0, &value, 0), -EINVAL, "0 bytes");
	REFUSED(farbus_put_inline(region, 0, &value, 0), -EINVAL, "0 bytes");
	REFUSED(farbus_put(NULL, 0, &value, 8), -EINVAL, "NULL");
	REFUSED(farbus_put(region, 0, NULL, 8), -EINVAL, "NULL");
	REFUSED(farbus_get(region, 0, NULL, 8), -EINVAL, "NULL");
	REFUSED(farbus_atomic(region, 4, FARBUS_ADD, 8, 1, 0, &value), -EINVAL, "multiple of 8");
	REFUSED(farbus_atomic(region, 2, FARBUS_ADD, 4, 1, 0, &value), -EINVAL, "multiple of 4");
	REFUSED(farbus_atomic(region, 0, FARBUS_ADD, 2, 1, 0, &value), -EINVAL, "width 4 or 8");
	REFUSED(farbus_atomic(region, 0, op, 8, 1, 0, &value), -EINVAL, "op 9");
	REFUSED(farbus_add64(region, 4, 1, &value), -EINVAL, "multiple of 8");
	REFUSED(farbus_signal(region, 0, 1, FARBUS_XOR), -EINVAL, "FARBUS_SWAP or FARBUS_ADD");
	REFUSED(farbus_signal(region, 12, 1, FARBUS_ADD), -EINVAL, "multiple of 8");
	REFUSED(farbus_wait(region, 4, FARBUS_EQ, 1, 10, &value), -EINVAL, "multiple of 8");
	REFUSED(farbus_wait(region, 0, (enum farbus_compare)7, 1, 10, &value), -EINVAL,
		"FARBUS_EQ");
	REFUSED(farbus_flush(rank->farbus, region, (enum farbus_flush_level)0, 10), -EINVAL,
		"level 0");
	REFUSED(farbus_putv(region, NULL, 1), -EINVAL, "piece");
	CHECK(value == 5);
}

static void arguments_are_checked(struct rank *rank)
{
	struct farbus_region *region;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 4096, 0);
		refuse_arguments(rank, region);
		rank_grant(rank, region, 0, 4096, RWA, 0);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 1);
		CHECK(region_va(region)[0] == 0 && region_va(region)[4] == 0);
		return;
	}
	step_wait(rank->stage, READY, 1);
	refuse_arguments(rank, rank_import(rank, 0));
	step_reach(rank->stage, DONE);
}

/* A grant that does not start on a page works all the same. */
static void odd_grants_work(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t old = 0;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 8192, 0);
		rank_grant(rank, region, 8, 4000, RWA, 0);
		rank_grant(rank, region, 4101, 100, RWA, 1);
		step_reach(rank->stage, READY);
		step_wait(rank->stage, DONE, 1);
		CHECK(pattern_diff(region_va(region) + 4101, 100, 4) == 100);
		CHECK(region_va(region)[4100] == 0 && region_va(region)[4201] == 0);
		CHECK(region_va(region)[16] == 3);
		return;
	}
	step_wait(rank->stage, READY, 1);
	region = rank_import(rank, 0);
	MUST(farbus_signal(region, 8, 2, FARBUS_ADD));
	MUST(farbus_atomic(region, 8, FARBUS_ADD, 8, 1, 0, &old));
	CHECK(old == 2);
	region = rank_import(rank, 1);
	round_trip_one(region, 0, 100, 4);
	REFUSED(farbus_put(region, 100, &old, 1), -ERANGE, "past the end");
	/* Offset 0 is 4101 there. */
	CHECK(farbus_atomic(region, 0, FARBUS_ADD, 8, 1, 0, &old) == -EINVAL);
	MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
	step_reach(rank->stage, DONE);
}

static const struct property property[] = {
	{ "region_info__import__path_and_onesided_of_its_class", CONFORM_ALL, 3,
	  info_says_what_it_is, NULL, 0, 0 },
	{ "put_get__every_length_and_alignment__same_bytes", CONFORM_ALL, 2, put_get_every_length,
	  NULL, 0, 0 },
	{ "putv_getv__strides__as_loops_and_all_or_nothing", CONFORM_ALL, 2, vectors_equal_loops,
	  NULL, 0, 0 },
	{ "copy__two_imports__bytes_move", CONFORM_ALL, 3, copy_third_party, NULL, 0, 0 },
	{ "flush__remote__visible_in_the_target", CONFORM_ALL, 2, flush_is_visible, NULL, 0, 0 },
	{ "signal__after_puts__never_seen_before_them", CONFORM_ALL, 2, signal_after_puts, NULL, 0,
	  0 },
	{ "wait__signals_both_ways__woken", CONFORM_ALL, 2, wait_is_woken, NULL, 0, 0 },
	{ "atomic__all_ranks_at_once__exact_sums", CONFORM_ALL, ADDERS, atomics_sum_exactly, NULL,
	  0, 0 },
	{ "atomic__every_op_and_width__old_and_new_value", CONFORM_ALL, 2, atomics_compute, NULL, 0,
	  0 },
	{ "access__right_missing__eacces_and_target_unchanged", CONFORM_ALL, 2, rights_are_kept,
	  NULL, 0, 0 },
	{ "access__past_the_end__erange_and_target_unchanged", CONFORM_ALL, 2, bounds_are_kept,
	  NULL, 0, 0 },
	{ "access__never_right__einval_with_the_reason", CONFORM_ALL, 2, arguments_are_checked,
	  NULL, 0, 0 },
	{ "grant__not_on_a_page__works", CONFORM_ALL, 2, odd_grants_work, NULL, 0, 0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
