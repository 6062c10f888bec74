/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_agg.c -- fuzz target: hostile frames through the aggregator, judged by the oracle
 *
 * Input: one byte of configuration, then operations. 0: a frame of the bytes that follow; 1 to 3: the
 * next packet of a well-formed flow, perhaps with one byte changed; 4 and 5: the frame before with
 * some bytes changed; 6: flush; 7: time passes. What comes out, cut again, is what went in; the
 * aggregator's own check runs after each step.
 */
#include "base/assert.h"
#include "tests/unit/nic_oracle.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t left;
};

static unsigned byte(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->data++;
}

static struct collect collect;
static struct frame frame;
static struct desc flow;
static unsigned want;

/* Of exactly its length on the heap, so that a sanitizer sees the first byte too far. */
static void deliver(struct nic_agg *agg, struct oracle *oracle, uint64_t now)
{
	uint8_t *copy = malloc(frame.len);
	struct nic_packet packet = { .data = copy, .len = frame.len };
	struct nic_parsed parsed;

	memcpy(copy, frame.data, frame.len);
	nic_parse(copy, frame.len, want, &parsed);
	FARBUS_ASSERT(!parsed.mergeable || parsed.kind == NIC_KIND_FLOW);
	FARBUS_ASSERT(parsed.layout.header_len + parsed.payload_len <= frame.len);
	oracle_sent(oracle, &packet, parsed.layout.header_len + parsed.payload_len);
	nic_agg_input(agg, &packet, now);
	free(copy);
}

static void raw_frame(struct input *in)
{
	uint32_t len = 1 + byte(in);

	for (uint32_t i = 0; i < len; i++)
		frame.data[i] = (uint8_t)byte(in);
	frame.len = len;
}

static void changed_frame(struct input *in)
{
	unsigned changes = byte(in) % 4;

	for (unsigned i = 0; i < changes; i++)
		frame.data[(byte(in) | byte(in) << 8) % frame.len] ^= (uint8_t)byte(in);
}

static void next_frame(struct input *in)
{
	unsigned kind = byte(in), where = byte(in), what = byte(in);

	if (kind & 1) {
		flow.v6 = kind & 2;
		flow.udp = kind & 4;
		flow.tunnel = kind & 8;
		flow.outer_csum = flow.outer_v6 = kind & 16;
		flow.vlans = kind >> 5 & 1;
		flow.extension = flow.v6 && kind & 64;
	}
	flow.payload_len = kind & 128 ? what : 64;
	flow.id++;
	flow.outer_id++;
	frame_build(&flow, &frame);
	flow.seq += flow.payload_len;
	if (where < frame.payload && what)
		frame.data[where] ^= (uint8_t)what;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned mode = byte(&in);
	struct nic_agg_conf conf = { .want = mode >> 2 & 15,
				     .flags = mode & NIC_AGG_CSUM_FULL,
				     .flow_max = 16,
				     .segment_max = mode & 64 ? 3 : 0,
				     .hold_ns = 3 };
	conf.want = conf.want ? conf.want : NIC_WANT_TCP4;
	want = conf.want;
	struct oracle *oracle = oracle_new(conf.want, conf.flags & NIC_AGG_CSUM_FULL);
	struct nic_agg *agg = NULL;
	uint64_t now = 0;

	/* Damaged packets that are merged without a look are not what comes out of a cut. */
	conf.flags |= NIC_AGG_VERIFY;
	collect.judge = oracle_judge;
	collect.judge_arg = oracle;
	flow = (struct desc){ .payload_len = 64 };
	frame_build(&flow, &frame);
	FARBUS_ASSERT(nic_agg_new(&conf, &collect_ops, &collect, &agg) == 0);
	while (in.left > 0) {
		unsigned what = byte(&in) % 8;

		now++;
		if (what == 6) {
			nic_agg_flush(agg);
		} else if (what == 7) {
			nic_agg_expire(agg, now);
		} else {
			(what < 4 ? what == 0 ? raw_frame : next_frame : changed_frame)(&in);
			deliver(agg, oracle, now);
		}
		nic_agg_check(agg);
	}
	nic_agg_flush(agg);
	FARBUS_ASSERT(nic_agg_open_count(agg) == 0);
	nic_agg_free(agg);
	oracle_free(oracle);
	return 0;
}
