/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * figure_access.c -- put, get and atomics, each beside the bare instructions
 *
 * The 8-byte figures walk through SMALL_LEN, as those of bench/peers do. Subject and floor differ
 * in nothing but how they reach the byte.
 */
#include "apps/farbus-perf/figure.h"

#include "apps/farbus-perf/tcp_floor.h"
#include "base/clock.h"
#include <farbus/inline.h>
#include <string.h>

#define SMALL_LEN ((uint64_t)256 << 10)
#define BATCH_NS (100 * NS_PER_US)
#define ROUND_MIN 4
#define ROUND_TRIP_MAX ((size_t)64 << 10) /* gets up to this are one request and one answer */

struct access {
	const struct pair *pair;
	struct farbus_region *region;
	uint8_t *memory; /* the floor's */
	uint8_t *local;
	size_t len, piece;
	uint64_t cursor;
};

/* ---- over a network: bare TCP -------------------------------------------------------------- */

/* As many bytes there as back: a put and what says that it is done, or an atomic, has no less. */
static int tcp_round_floor(void *arg, uint64_t count)
{
	struct access *access = arg;
	int err = 0;

	for (uint64_t i = 0; i < count && err == 0; i++)
		err = tcp_floor_round(access->pair->tcp_floor, access->local, access->local,
				      access->piece);
	return err;
}

static uint64_t piece_next(struct access *access);

static int tcp_fetch_floor(void *arg, uint64_t count)
{
	struct access *access = arg;
	int err = 0;

	for (uint64_t i = 0; i < count && err == 0; i++) {
		uint64_t off = piece_next(access);

		err = tcp_floor_fetch(access->pair->tcp_floor, off, access->local + off,
				      access->piece);
	}
	return err;
}

/* As long as there is memory in a row: the pieces that are left, up to the end. */
static uint64_t run_next(struct access *access, uint64_t *count)
{
	uint64_t off = access->cursor, most = (access->len - off) / access->piece;

	*count = *count < most ? *count : most;
	access->cursor = off + *count * access->piece;
	if (access->cursor + access->piece > access->len)
		access->cursor = 0;
	return off;
}

static int tcp_put_stream_floor(void *arg, uint64_t count)
{
	struct access *access = arg;
	int err = 0;

	while (count && err == 0) {
		uint64_t n = count, off = run_next(access, &n);

		err = tcp_floor_stream(access->pair->tcp_floor, off, access->local + off,
				       n * access->piece, access->piece);
		count -= n;
	}
	return err < 0 ? err : tcp_floor_settle(access->pair->tcp_floor);
}

static int tcp_get_stream_floor(void *arg, uint64_t count)
{
	struct access *access = arg;
	int err = 0;

	while (count && err == 0) {
		uint64_t n = count, off = run_next(access, &n);

		err = tcp_floor_fetch(access->pair->tcp_floor, off, access->local + off,
				      n * access->piece);
		count -= n;
	}
	return err;
}

enum network_floor { NETWORK_ROUND, NETWORK_FETCH, NETWORK_PUT_STREAM, NETWORK_GET_STREAM };

static enum network_floor network_floor(const struct figure *figure)
{
	if (figure->better == FIGURE_TIMES_FLOOR)
		return NETWORK_ROUND;
	if (figure->measure == figure_getv)
		return NETWORK_GET_STREAM;
	if (figure->measure != figure_get)
		return NETWORK_PUT_STREAM;
	return figure->bytes <= ROUND_TRIP_MAX ? NETWORK_FETCH : NETWORK_GET_STREAM;
}

static measure_fn floor_choose(const struct figure_bench *bench, const struct figure *figure,
			       measure_fn memory)
{
	static const measure_fn network[] = {
		[NETWORK_ROUND] = tcp_round_floor,
		[NETWORK_FETCH] = tcp_fetch_floor,
		[NETWORK_PUT_STREAM] = tcp_put_stream_floor,
		[NETWORK_GET_STREAM] = tcp_get_stream_floor,
	};

	return bench->pair->tcp_floor ? network[network_floor(figure)] : memory;
}

const char *figure_floor_name(const struct figure *figure, const struct pair *pair)
{
	static const char *const network[] = {
		[NETWORK_ROUND] = "TCP round trip",
		[NETWORK_FETCH] = "TCP request and answer",
		[NETWORK_PUT_STREAM] = "TCP stream",
		[NETWORK_GET_STREAM] = "TCP stream",
	};

	if (!pair || !pair->tcp_floor || !(figure->needs & FIGURE_NEEDS_PAIR))
		return figure->floor;
	return network[network_floor(figure)];
}

/* Over a network a stream of puts ends when they are all there, as that of the floor does. */
static int stream_end(const struct access *access)
{
	if (!access->pair->tcp_floor)
		return 0;
	return farbus_flush(access->pair->farbus, access->region, FARBUS_FLUSH_REMOTE,
			    FARBUS_TIMEOUT_DEFAULT);
}

/* ---- measuring ----------------------------------------------------------------------------- */

/* passes: a batch is one pass over the whole memory, not what fits into BATCH_NS. */
static int access_measure(const struct figure_bench *bench, const struct figure *figure,
			  bool passes, measure_fn subject, measure_fn floor,
			  struct measure_result *ret_result)
{
	struct measure_plan plan = { .clock = CLOCK_MONOTONIC,
				     .batch_ns = BATCH_NS,
				     .budget_ns = bench->budget_ns,
				     .round_min = ROUND_MIN };
	const struct pair *pair = bench->pair;
	const struct access access = { .pair = pair,
				       .region = pair->memory.region,
				       .memory = pair->memory.window,
				       .local = pair->local,
				       .len = pair->memory.len,
				       .piece = figure->bytes };
	struct access with[2] = { access, access };
	struct measure_side sides[2] = { { subject, &with[0] },
					 { floor_choose(bench, figure, floor), &with[1] } };

	plan.batch_warm = passes;
	if (passes)
		plan.batch_count = pair->memory.len / figure->bytes;
	return measure_pair(&plan, &sides[1], &sides[0], ret_result);
}

static volatile uint64_t *word_at(uint8_t *memory, uint64_t off)
{
	return (volatile uint64_t *)(void *)(memory + off);
}

/* ---- 8 bytes ----------------------------------------------------------------------------- */

static int put8_flush_subject(void *arg, uint64_t count)
{
	struct access *access = arg;
	struct farbus_region *region = access->region;
	struct farbus *farbus = access->pair->farbus;

	for (uint64_t i = 0; i < count; i++) {
		int err = farbus_put64(region, i * 8 % SMALL_LEN, i);

		if (err == 0)
			err = farbus_flush(farbus, region, FARBUS_FLUSH_REMOTE,
					   FARBUS_TIMEOUT_DEFAULT);
		if (err < 0)
			return err;
	}
	return 0;
}

static int put8_flush_floor(void *arg, uint64_t count)
{
	uint8_t *memory = ((struct access *)arg)->memory;

	for (uint64_t i = 0; i < count; i++) {
		*word_at(memory, i * 8 % SMALL_LEN) = i;
		measure_fence();
	}
	return 0;
}

int figure_put8_flush(const struct figure_bench *bench, const struct figure *figure,
		      struct measure_result *ret_result)
{
	return access_measure(bench, figure, false, put8_flush_subject, put8_flush_floor,
			      ret_result);
}

/* Latency: where the next one goes depends on what this one brought (which is 0). */
static int get8_subject(void *arg, uint64_t count)
{
	struct access *access = arg;
	struct farbus_region *region = access->region;
	uint64_t off = 0, value = 0;

	for (uint64_t i = 0; i < count; i++) {
		int err = farbus_get64(region, off, &value);

		if (err < 0)
			return err;
		off = (off + 8 + value) % SMALL_LEN;
	}
	measure_keep(off);
	return 0;
}

static int get8_floor(void *arg, uint64_t count)
{
	uint8_t *memory = ((struct access *)arg)->memory;
	uint64_t off = 0;

	for (uint64_t i = 0; i < count; i++)
		off = (off + 8 + *word_at(memory, off)) % SMALL_LEN;
	measure_keep(off);
	return 0;
}

int figure_get8(const struct figure_bench *bench, const struct figure *figure,
		struct measure_result *ret_result)
{
	int err;

	/* Zero again, whatever was put there before: the chain goes on from word to word. */
	memset(bench->pair->local, 0, SMALL_LEN);
	memset(bench->pair->memory.window, 0, SMALL_LEN);
	err = farbus_put(bench->pair->memory.region, 0, bench->pair->local, SMALL_LEN);
	if (err < 0)
		return err;
	return access_measure(bench, figure, false, get8_subject, get8_floor, ret_result);
}

static int fadd_subject(void *arg, uint64_t count)
{
	struct access *access = arg;
	struct farbus_region *region = access->region;
	uint64_t old = 0;

	for (uint64_t i = 0; i < count; i++) {
		int err = farbus_add64(region, i * 8 % SMALL_LEN, 1, &old);

		if (err < 0)
			return err;
		measure_keep(old);
	}
	return 0;
}

static int fadd_floor(void *arg, uint64_t count)
{
	uint8_t *memory = ((struct access *)arg)->memory;

	for (uint64_t i = 0; i < count; i++)
		measure_keep(__atomic_fetch_add(word_at(memory, i * 8 % SMALL_LEN), 1,
						__ATOMIC_SEQ_CST));
	return 0;
}

int figure_fadd(const struct figure_bench *bench, const struct figure *figure,
		struct measure_result *ret_result)
{
	return access_measure(bench, figure, false, fadd_subject, fadd_floor, ret_result);
}

/*
 * Each word lies in another line than the one before, and after all lines of SMALL_LEN come the
 * next words of each: what a stream of small messages does to memory.
 */
static uint64_t scattered(uint64_t i)
{
	return i * 72 % SMALL_LEN;
}

static int put8_rate_subject(void *arg, uint64_t count)
{
	struct access *access = arg;
	struct farbus_region *region = access->region;

	for (uint64_t i = 0; i < count; i++) {
		int err = farbus_put64(region, scattered(i), i);

		if (err < 0)
			return err;
	}
	return stream_end(access);
}

static int put8_rate_call_subject(void *arg, uint64_t count)
{
	struct access *access = arg;
	struct farbus_region *region = access->region;

	for (uint64_t i = 0; i < count; i++) {
		int err = farbus_put(region, scattered(i), &i, sizeof(i));

		if (err < 0)
			return err;
	}
	return stream_end(access);
}

static int put8_rate_floor(void *arg, uint64_t count)
{
	uint8_t *memory = ((struct access *)arg)->memory;

	for (uint64_t i = 0; i < count; i++)
		*word_at(memory, scattered(i)) = i;
	return 0;
}

/* Words next to each other: CPUs write two of a line at once, which the guard's slot prevents. */
static int put8_rate_next_subject(void *arg, uint64_t count)
{
	struct access *access = arg;
	struct farbus_region *region = access->region;

	for (uint64_t i = 0; i < count; i++) {
		int err = farbus_put64(region, i * 8 % SMALL_LEN, i);

		if (err < 0)
			return err;
	}
	return stream_end(access);
}

static int put8_rate_next_floor(void *arg, uint64_t count)
{
	uint8_t *memory = ((struct access *)arg)->memory;

	for (uint64_t i = 0; i < count; i++)
		*word_at(memory, i * 8 % SMALL_LEN) = i;
	return 0;
}

int figure_put8_rate(const struct figure_bench *bench, const struct figure *figure,
		     struct measure_result *ret_result)
{
	return access_measure(bench, figure, false, put8_rate_subject, put8_rate_floor, ret_result);
}

int figure_put8_rate_next(const struct figure_bench *bench, const struct figure *figure,
			  struct measure_result *ret_result)
{
	return access_measure(bench, figure, false, put8_rate_next_subject, put8_rate_next_floor,
			      ret_result);
}

int figure_put8_rate_call(const struct figure_bench *bench, const struct figure *figure,
			  struct measure_result *ret_result)
{
	return access_measure(bench, figure, false, put8_rate_call_subject, put8_rate_floor,
			      ret_result);
}

/* ---- pieces ------------------------------------------------------------------------------ */

/* Piece after piece through the whole memory, however short a batch is. */
static uint64_t piece_next(struct access *access)
{
	uint64_t off = access->cursor;

	access->cursor = off + 2 * access->piece <= access->len ? off + access->piece : 0;
	return off;
}

static int put_subject(void *arg, uint64_t count)
{
	struct access *access = arg;
	int err = 0;

	for (uint64_t i = 0; i < count && err == 0; i++) {
		uint64_t off = piece_next(access);

		err = farbus_put(access->region, off, access->local + off, access->piece);
	}
	return err < 0 ? err : stream_end(access);
}

static int put_floor(void *arg, uint64_t count)
{
	struct access *access = arg;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t off = piece_next(access);

		memcpy(access->memory + off, access->local + off, access->piece);
	}
	return 0;
}

static int get_subject(void *arg, uint64_t count)
{
	struct access *access = arg;
	int err = 0;

	for (uint64_t i = 0; i < count && err == 0; i++) {
		uint64_t off = piece_next(access);

		err = farbus_get(access->region, off, access->local + off, access->piece);
	}
	return err;
}

/* All with one call: over a network many of them are under way together. */
static int getv_subject(void *arg, uint64_t count)
{
	struct access *access = arg;
	int err = 0;

	while (count && err == 0) {
		uint64_t n = count, off = run_next(access, &n);
		const struct farbus_vec vec = { .off = off,
						.local = access->local + off,
						.len = access->piece,
						.count = n,
						.stride = access->piece,
						.local_stride = access->piece };

		err = farbus_getv(access->region, &vec, 1);
		count -= n;
	}
	return err;
}

static int get_floor(void *arg, uint64_t count)
{
	struct access *access = arg;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t off = piece_next(access);

		memcpy(access->local + off, access->memory + off, access->piece);
	}
	return 0;
}

int figure_put(const struct figure_bench *bench, const struct figure *figure,
	       struct measure_result *ret_result)
{
	return access_measure(bench, figure, true, put_subject, put_floor, ret_result);
}

int figure_get(const struct figure_bench *bench, const struct figure *figure,
	       struct measure_result *ret_result)
{
	return access_measure(bench, figure, true, get_subject, get_floor, ret_result);
}

int figure_getv(const struct figure_bench *bench, const struct figure *figure,
		struct measure_result *ret_result)
{
	return access_measure(bench, figure, true, getv_subject, get_floor, ret_result);
}

/* One batch is one pass over all of the stream's memory, from memory as long as it. */
int figure_stream(const struct figure_bench *bench, const struct figure *figure,
		  struct measure_result *ret_result)
{
	const struct pair *pair = bench->pair;
	struct access subject = { .pair = pair,
				  .region = pair->stream.region,
				  .memory = pair->stream.window,
				  .local = pair->local,
				  .len = pair->stream.len,
				  .piece = figure->bytes };
	struct access floor = subject;
	struct measure_side sides[2] = { { put_subject, &subject },
					 { floor_choose(bench, figure, put_floor), &floor } };
	struct measure_plan plan = { .clock = CLOCK_MONOTONIC,
				     .budget_ns = bench->budget_ns,
				     .round_min = ROUND_MIN,
				     .batch_count = pair->stream.len / figure->bytes };

	if (plan.batch_count == 0)
		plan.batch_count = 1;
	return measure_pair(&plan, &sides[1], &sides[0], ret_result);
}
