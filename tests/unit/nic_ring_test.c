/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nic_ring_test.c -- the ring between NIC and process: what arrives, what is not touched, who lies
 *
 * Linking without touching is proved by taking the buffers away from the process's mapping while it
 * links; the negative control shows that a single look at a packet byte would be noticed.
 */
#include "nic_oracle.h"
#include "nic_ring_common.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CONF ((struct nic_ring_conf){ .buffer_count = 64, .buffer_size = 2048 })

static int setup(void **state)
{
	*state = both_open(CONF);
	return 0;
}

static int teardown(void **state)
{
	both_close(*state);
	return 0;
}

static struct nic_chain recv_one(struct both *both)
{
	struct nic_chain chain;

	assert_int_equal(nic_ring_host_recv(both->host, &chain, 1), 1);
	return chain;
}

/* ---- what arrives ---- */

static void recv__aggregate__header_at_head_payload_behind(void **state)
{
	struct both *both = *state;

	both_train(both, 4, 1448);
	struct nic_chain chain = recv_one(both);
	assert_int_equal(chain.segment_count, 4);
	assert_int_equal(chain.mbuf_count, 4);
	assert_int_equal(chain.gso_size, 1448);
	assert_int_equal(chain.header_len, 54);
	assert_int_equal(chain.len, 54 + 4 * 1448);
	assert_int_equal(chain.first->len, 54 + 1448);
	assert_int_equal(chain.first->next->len, 1448);
	assert_int_equal(chain.l4, 34);
	assert_true(chain.flow != 0);
	uint8_t *bytes = chain_bytes(&chain);
	assert_int_equal(be16_get(bytes + ETH_LEN + IP4_TOTAL), 40 + 4 * 1448);
	for (uint32_t i = 0; i < 4 * 1448; i++)
		assert_int_equal(bytes[54 + i], (uint8_t)(i * 131 + i / 256));
	free(bytes);
	assert_int_equal(nic_ring_host_held(both->host), 4);
	assert_int_equal(nic_ring_host_release(both->host, &chain), 0);
	assert_int_equal(nic_ring_host_held(both->host), 0);
}

/* Outputs of the ring for the oracle, which wants them in one piece. */
static void judge_chain(struct oracle *oracle, const struct nic_chain *chain)
{
	uint8_t *bytes = chain_bytes(chain);
	struct nic_parsed parsed;

	nic_parse(bytes, chain->len, NIC_WANT_TCP4 | NIC_WANT_TCP6, &parsed);
	struct output output = {
		.data = bytes,
		.len = chain->len,
		.aggregate = { .header_len = chain->header_len,
			       .payload_len = chain->len - chain->header_len,
			       .segment_count = chain->segment_count,
			       .gso_size = chain->gso_size,
			       .flags = (uint8_t)chain->flags,
			       .layout = parsed.layout },
	};
	oracle_judge(oracle, &output);
	free(bytes);
}

static void random_traffic(struct nic_ring_conf conf, uint64_t seed)
{
	struct both *both = both_open(conf);
	struct oracle *oracle = oracle_new(NIC_WANT_TCP4 | NIC_WANT_TCP6, false);
	struct desc flow[5] = { 0 };

	for (unsigned i = 0; i < 5; i++)
		flow[i] = (struct desc){ .flow = i, .v6 = i == 3, .vlans = i == 4 };
	for (unsigned n = 0; n < ROUNDS(400); n++) {
		struct desc *desc = &flow[random_below(&seed, 5)];
		unsigned train = (unsigned)random_below(&seed, 10);

		for (unsigned k = 0; k < train; k++) {
			desc->payload_len =
				random_below(&seed, 6) ? 1447 : (uint32_t)random_below(&seed, 1448);
			desc->id++;
			desc->bad_csum = random_below(&seed, 40) == 0;
			frame_build(desc, &both->frame);
			desc->seq += desc->payload_len;
			struct nic_packet packet = frame_packet(&both->frame);
			oracle_sent(oracle, &packet, both->frame.end);
			nic_agg_input(both->agg, &packet, n);
		}
		nic_agg_flush(both->agg);
		struct nic_chain chains[4];
		int count;
		while ((count = nic_ring_host_recv(both->host, chains, 4)) > 0)
			for (int i = 0; i < count; i++) {
				judge_chain(oracle, &chains[i]);
				assert_int_equal(nic_ring_host_release(both->host, &chains[i]), 0);
			}
		assert_int_equal(count, 0);
		nic_ring_device_check(both->device);
		nic_ring_host_check(both->host);
	}
	assert_int_equal(nic_ring_device_stats(both->device)->full, 0);
	assert_int_equal(nic_ring_device_stats(both->device)->bad_posts, 0);
	assert_int_equal(nic_ring_device_room(both->device), conf.buffer_count);
	assert_true(oracle_merged(oracle) > ROUNDS(400));
	oracle_free(oracle);
	both_close(both);
}

static void recv__random_traffic_any_buffer_size__byte_stream_and_no_leak(void **state)
{
	static const uint32_t sizes[] = { 1024, 1536, 2048, 65536 };

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		random_traffic((struct nic_ring_conf){ .buffer_count = 61,
						       .buffer_size = sizes[i],
						       .headroom = 13 + 50 * i },
			       i + 1);
}

static void recv__large_buffers__aggregate_in_one(void **state)
{
	struct both *both =
		both_open((struct nic_ring_conf){ .buffer_count = 3, .buffer_size = 65536 });

	(void)state;
	both_train(both, 40, 1448);
	struct nic_chain chain = recv_one(both);
	assert_int_equal(chain.segment_count, 40);
	assert_int_equal(chain.mbuf_count, 1);
	assert_int_equal(chain.len, 54 + 40 * 1448);
	assert_int_equal(nic_ring_host_release(both->host, &chain), 0);
	both_close(both);
}

static void create__no_buffer_size__ten_packets_a_buffer(void **state)
{
	struct both *both = both_open((struct nic_ring_conf){ .buffer_count = 4 });

	(void)state;
	assert_int_equal(both->nic.conf.buffer_size, 16384);
	assert_int_equal(both->nic.conf.headroom, 64);
	both_train(both, 20, 1448);
	struct nic_chain chain = recv_one(both);
	assert_int_equal(chain.segment_count, 20);
	assert_int_equal(chain.mbuf_count, 2);
	assert_int_equal(nic_ring_host_release(both->host, &chain), 0);
	both_close(both);
}

static void place__headroom__never_overwritten_by_data(void **state)
{
	struct both *both = *state;
	uint8_t expected[64];

	memset(expected, 0xa5, sizeof(expected));
	for (uint32_t i = 0; i < 64; i++)
		memset(both->process.buffers + i * 2048, 0xa5, 64);
	for (unsigned round = 0; round < 20; round++) {
		/* As sent, the headroom of a first buffer is what it was. */
		both_train(both, 1 + round % 5, 1448);
		struct nic_chain chain = recv_one(both);
		for (struct nic_mbuf *mbuf = chain.first->next; mbuf; mbuf = mbuf->next)
			memset(both->process.buffers + mbuf->buffer * 2048, 0xa5, 64);
		assert_memory_equal(chain.first->data - 64, expected, 64);
		uint8_t *at = nic_chain_virtio(&chain);
		assert_ptr_equal(at, chain.first->data - 12);
		assert_memory_equal(chain.first->data - 64, expected, 52);
		struct virtio_net_hdr_v1 header;
		memcpy(&header, at, 12);
		assert_int_equal(header.num_buffers, chain.mbuf_count);
		assert_int_equal(header.flags, round % 5 ? VIRTIO_NET_HDR_F_NEEDS_CSUM :
							   VIRTIO_NET_HDR_F_DATA_VALID);
		assert_int_equal(header.gso_size, round % 5 ? 1448 : 0);
		assert_int_equal(header.csum_start, round % 5 ? 34 : 0);
		memset(at, 0xa5, 12);
		assert_int_equal(nic_ring_host_release(both->host, &chain), 0);
	}
}

/* ---- what is not touched ---- */

static void buffers_protect(struct both *both, int protection)
{
	size_t len = (size_t)both->process.conf.buffer_count * both->process.conf.buffer_size;

	assert_int_equal(mprotect(both->process.buffers, len, protection), 0);
}

static void recv_and_release__buffers_taken_away__still_link(void **state)
{
	struct both *both = *state;

	buffers_protect(both, PROT_NONE);
	for (unsigned round = 0; round < 30; round++) {
		both_train(both, 16, 1448);
		struct nic_chain chain = recv_one(both);
		assert_int_equal(chain.segment_count, 16);
		assert_int_equal(chain.mbuf_count, 16);
		unsigned count = 0;
		for (const struct nic_mbuf *mbuf = chain.first; mbuf; mbuf = mbuf->next)
			count += mbuf->len > 0;
		assert_int_equal(count, 16);
		assert_int_equal(nic_ring_host_release(both->host, &chain), 0);
	}
	buffers_protect(both, PROT_READ | PROT_WRITE);
}

static sigjmp_buf caught;

static void on_fault(int number)
{
	(void)number;
	siglongjmp(caught, 1);
}

/* The control: who parses the packet, as linking without control fields would have to, is noticed. */
static void parse__buffers_taken_away__fault(void **state)
{
	struct sigaction action = { .sa_handler = on_fault }, segv, bus;
	struct both *both = *state;
	struct nic_parsed parsed;
	volatile bool faulted = false;

	both_train(both, 1, 1448);
	struct nic_chain chain = recv_one(both);
	nic_parse(chain.first->data, chain.first->len, NIC_WANT_TCP4, &parsed);
	assert_int_equal(parsed.kind, NIC_KIND_FLOW);
	assert_int_equal(sigaction(SIGSEGV, &action, &segv), 0);
	assert_int_equal(sigaction(SIGBUS, &action, &bus), 0);
	buffers_protect(both, PROT_NONE);
	if (sigsetjmp(caught, 1) == 0)
		nic_parse(chain.first->data, chain.first->len, NIC_WANT_TCP4, &parsed);
	else
		faulted = true;
	buffers_protect(both, PROT_READ | PROT_WRITE);
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	assert_true(faulted);
}

/* ---- full ---- */

static void place__nothing_posted__dropped_counted_and_recovers(void **state)
{
	struct both *both = *state;
	unsigned chains = 0;

	both_train(both, 63, 1448);
	both_train(both, 3, 1448);
	assert_int_equal(nic_ring_device_stats(both->device)->full, 2);
	assert_int_equal(nic_agg_stats(both->agg)->dropped, 2);
	assert_int_equal(nic_ring_host_full(both->host), 2);
	nic_ring_device_check(both->device);
	chains = both_drain(both);
	/* 45 segments are 64 KiB: 63 are two aggregates, and one more got in. */
	assert_int_equal(chains, 3);
	assert_int_equal(nic_ring_device_room(both->device), 64);
	both_train(both, 2, 1448);
	assert_int_equal(both_drain(both), 1);
}

static void place__aggregate_that_does_not_fit__what_fits_is_published(void **state)
{
	struct both *both =
		both_open((struct nic_ring_conf){ .buffer_count = 4, .buffer_size = 2048 });

	(void)state;
	both_train(both, 6, 1448);
	struct nic_chain chain = recv_one(both);
	assert_int_equal(chain.segment_count, 4);
	assert_int_equal(nic_ring_host_release(both->host, &chain), 0);
	assert_int_equal(nic_ring_host_full(both->host), 2);
	/* Neither in part: a jumbo frame needs five of these. */
	both_train(both, 1, 9000);
	assert_int_equal(both_drain(both), 0);
	assert_int_equal(nic_ring_device_room(both->device), 4);
	both_close(both);
}

static void ring__wraps_many_times__nothing_lost(void **state)
{
	struct both *both = *state;

	for (unsigned i = 0; i < 500; i++) {
		both_train(both, 1 + i % 7, 100);
		assert_int_equal(both_drain(both), 1);
	}
	assert_int_equal(nic_ring_host_stats(both->host)->chains, 500);
	assert_int_equal(nic_ring_device_room(both->device), 64);
}

static void create__most_buffers__all_can_be_filled(void **state)
{
	struct both *both =
		both_open((struct nic_ring_conf){ .buffer_count = NIC_RING_BUFFER_MAX,
						  .buffer_size = NIC_RING_BUFFER_SIZE_MIN,
						  .headroom = NIC_RING_HEADROOM_MAX });

	(void)state;
	for (unsigned i = 0; i < NIC_RING_BUFFER_MAX + 1; i++) {
		both->next.flow = i;
		both_train(both, 1, 1);
	}
	assert_int_equal(nic_ring_host_full(both->host), 1);
	assert_int_equal(both_drain(both), NIC_RING_BUFFER_MAX);
	both_close(both);
}

/* ---- a NIC that lies ---- */

static void lie_version(struct nic_field *field)
{
	field->version++;
}

static void lie_position(struct nic_field *field)
{
	field->position = NIC_MID;
}

static void lie_generation(struct nic_field *field)
{
	field->generation++;
}

static void lie_buffer(struct nic_field *field)
{
	field->buffer = 64;
}

static void lie_offset(struct nic_field *field)
{
	field->offset += 2;
}

static void lie_header(struct nic_field *field)
{
	field->header_len = 255;
	field->data_len = 100;
}

static void lie_l4(struct nic_field *field)
{
	field->l4 = 200;
}

static void lie_empty(struct nic_field *field)
{
	field->data_len = 0;
}

static void lie_long(struct nic_field *field)
{
	field->data_len = 2048 - 63;
}

static void lie_huge(struct nic_field *field)
{
	field->data_len = UINT32_MAX;
}

static void lie_gso(struct nic_field *field)
{
	field->gso_size = 0;
}

static void lie_segments(struct nic_field *field)
{
	field->segment_count++;
}

static void lie_no_segments(struct nic_field *field)
{
	field->segment_count = 0;
}

static void lie_more(struct nic_field *field)
{
	field->index++;
}

static void lie_none(struct nic_field *field)
{
	field->index = 0;
}

static void lie_many(struct nic_field *field)
{
	field->index = 65535;
}

static void lie_flags(struct nic_field *field)
{
	field->flags |= 0x8000;
}

static void recv__nic_lies_in_head__eproto_for_good(void **state)
{
	static void (*const lies[])(struct nic_field * field) = {
		lie_version, lie_position,    lie_generation, lie_buffer, lie_offset,
		lie_header,  lie_l4,	      lie_empty,      lie_long,	  lie_huge,
		lie_gso,     lie_segments,    lie_more,	      lie_none,	  lie_many,
		lie_flags,   lie_no_segments,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct both *both = both_open(CONF);
		struct nic_chain chain[2];

		both_train(both, 3, 1448);
		both_train(both, 3, 1448);
		lies[i](&both->nic.field[3]);
		assert_int_equal(nic_ring_host_recv(both->host, chain, 2), 1);
		assert_int_equal(chain[0].segment_count, 3);
		assert_int_equal(nic_ring_host_recv(both->host, chain, 2), -EPROTO);
		assert_int_equal(nic_ring_host_recv(both->host, chain, 2), -EPROTO);
		both_close(both);
	}
}

static void recv__nic_lies_behind_head__eproto(void **state)
{
	(void)state;
	for (unsigned lie = 0; lie < 8; lie++) {
		struct both *both = both_open(CONF);
		struct nic_field *field = &both->nic.field[1], before;
		struct nic_chain chain;

		both_train(both, 3, 1448);
		before = *field;
		field->position = lie == 0 ? NIC_TAIL : before.position;
		field->buffer = lie == 1 ? both->nic.field[0].buffer : before.buffer;
		field->offset = lie == 2 ? 64 : before.offset;
		field->data_len = lie == 3 ? 2049 : before.data_len;
		field->index = lie == 4 ? 2 : before.index;
		field->flow = lie == 5 ? before.flow + 1 : before.flow;
		field->sequence = lie == 6 ? 0 : before.sequence;
		field->generation = lie == 7 ? 9 : before.generation;
		assert_int_equal(nic_ring_host_recv(both->host, &chain, 1), -EPROTO);
		both_close(both);
	}
}

/* A jumbo frame: no count of segments gives a wrong length away. */
static void recv__nic_lies_about_a_length_of_one_packet__eproto(void **state)
{
	static const uint32_t lies[] = { 0, 2049, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lies); i++) {
		struct both *both = both_open(CONF);
		struct nic_chain chain;

		both_train(both, 1, 9000);
		both->nic.field[2].data_len = lies[i];
		assert_int_equal(nic_ring_host_recv(both->host, &chain, 1), -EPROTO);
		both_close(both);
	}
}

static void recv__nic_publishes_a_buffer_twice__eproto(void **state)
{
	struct both *both = *state;
	struct nic_chain chain;

	both_train(both, 1, 100);
	both->nic.field[1] = both->nic.field[0];
	both->nic.field[1].sequence = 2;
	assert_int_equal(nic_ring_host_recv(both->host, &chain, 1), 1);
	assert_int_equal(nic_ring_host_recv(both->host, &chain, 1), -EPROTO);
}

/* ---- a process that lies ---- */

static void post_raw(struct both *both, uint64_t at, uint32_t buffer, uint16_t generation)
{
	struct nic_post *slot = &both->process.post[at & 63];

	slot->buffer = buffer;
	slot->generation = generation;
	slot->sequence = (uint32_t)at + 1;
}

static void posts__bad_ones__ignored_and_counted(void **state)
{
	struct both *both = *state;

	assert_int_equal(nic_ring_device_room(both->device), 64);
	post_raw(both, 64, 64, 1);	   /* no such buffer */
	post_raw(both, 65, UINT32_MAX, 1); /* nor that */
	post_raw(both, 66, 5, 2);	   /* the NIC has it */
	assert_int_equal(nic_ring_device_room(both->device), 64);
	assert_int_equal(nic_ring_device_stats(both->device)->bad_posts, 3);
	both_train(both, 2, 1448);
	nic_ring_device_check(both->device);
	/* Given, but of the generation it had already. */
	post_raw(both, 67, both->nic.field[0].buffer, 1);
	assert_int_equal(nic_ring_device_room(both->device), 62);
	assert_int_equal(nic_ring_device_stats(both->device)->bad_posts, 4);
}

static void posts__sequence_jumps__no_more_are_taken(void **state)
{
	struct both *both = *state;

	assert_int_equal(nic_ring_device_room(both->device), 64);
	both->process.post[0].sequence = 12345;
	both_train(both, 2, 1448);
	assert_int_equal(both_drain(both), 1);
	assert_int_equal(nic_ring_device_stats(both->device)->bad_posts, 0);
	both->process.post[0].sequence = 12345;
	assert_int_equal(nic_ring_device_room(both->device), 62);
	assert_int_equal(nic_ring_device_room(both->device), 62);
	assert_int_equal(nic_ring_device_stats(both->device)->bad_posts, 1);
	nic_ring_device_check(both->device);
}

static void release__twice__einval_and_nothing_posted(void **state)
{
	struct both *both = *state;

	both_train(both, 3, 1448);
	struct nic_chain chain = recv_one(both);
	assert_int_equal(nic_ring_host_release(both->host, &chain), 0);
	assert_int_equal(nic_ring_host_release(both->host, &chain), -EINVAL);
	nic_ring_host_check(both->host);
	struct nic_mbuf stranger = { .buffer = 7 }, far = { .buffer = 1000000 };
	chain.mbuf_count = 1;
	chain.first = &stranger;
	assert_int_equal(nic_ring_host_release(both->host, &chain), -EINVAL);
	chain.first = &far;
	assert_int_equal(nic_ring_host_release(both->host, &chain), -EINVAL);
	assert_int_equal(nic_ring_device_room(both->device), 64);
	assert_int_equal(nic_ring_device_stats(both->device)->bad_posts, 0);
}

/* ---- files ---- */

static void create__bad_conf__einval(void **state)
{
	static const struct nic_ring_conf bad[] = {
		{ .buffer_count = 0, .buffer_size = 2048 },
		{ .buffer_count = NIC_RING_BUFFER_MAX + 1, .buffer_size = 2048 },
		{ .buffer_count = 1, .buffer_size = 2049 },
		{ .buffer_count = 1, .buffer_size = 960 },
		{ .buffer_count = 1, .buffer_size = NIC_RING_BUFFER_SIZE_MAX + 64 },
		{ .buffer_count = 1, .buffer_size = 2048, .headroom = 11 },
		{ .buffer_count = 1, .buffer_size = 2048, .headroom = NIC_RING_HEADROOM_MAX + 1 },
	};
	int fd = -7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(nic_ring_create(&bad[i], &fd), -EINVAL);
	assert_int_equal(fd, -7);
}

static void map__what_is_no_ring__eproto(void **state)
{
	struct nic_ring_conf conf = CONF;
	struct nic_ring_map map;
	int fd = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_int_equal(nic_ring_map(fd, &map), -EPROTO);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(nic_ring_map(fd, &map), -EPROTO);
	close(fd);
	assert_int_equal(nic_ring_map(-1, &map), -EBADF);
	for (unsigned i = 0; i < 6; i++) {
		uint32_t value = 3;

		assert_int_equal(nic_ring_create(&conf, &fd), 0);
		assert_int_equal(pwrite(fd, &value, 4, i * 4), 4);
		assert_int_equal(nic_ring_map(fd, &map), -EPROTO);
		close(fd);
	}
}

static void open__every_allocation_fails_once__no_leak(void **state)
{
	struct nic_ring_conf conf = CONF;
	struct nic_ring_device *device = NULL;
	struct nic_ring_host *host = NULL;
	unsigned long n = 0;
	bool done = false;

	(void)state;
	while (!done) {
		struct nic_ring_map map;
		int fd = -1;

		alloc_fault_arm(++n);
		done = nic_ring_create(&conf, &fd) == 0 && nic_ring_map(fd, &map) == 0 &&
		       nic_ring_device_new(&map, &device) == 0 &&
		       nic_ring_host_new(&map, &host) == 0;
		assert_int_equal(done, !alloc_fault_fired());
		alloc_fault_arm(0);
		device = nic_ring_device_free(device);
		host = nic_ring_host_free(host);
		if (fd >= 0)
			close(fd);
		if (n > 2)
			nic_ring_unmap(&map);
	}
	assert_int_equal(n, 8);
}

static void external__buffers_of_the_callers__filled(void **state)
{
	struct nic_ring_conf conf = { .buffer_count = 8, .buffer_size = 2048, .external = true };
	struct nic_agg_conf agg_conf = { 0 };
	uint8_t *memory = aligned_alloc(64, 8 * 2048);
	struct nic_ring_device *device;
	struct nic_ring_host *host;
	struct nic_agg *agg;
	struct nic_ring_map map;
	struct nic_chain chain;
	int fd;

	(void)state;
	assert_int_equal(nic_ring_create(&conf, &fd), 0);
	assert_int_equal(nic_ring_map(fd, &map), 0);
	close(fd);
	assert_null(map.buffers);
	assert_true(map.size <= 4096 * 2);
	map.buffers = memory;
	assert_int_equal(nic_ring_device_new(&map, &device), 0);
	assert_int_equal(nic_ring_host_new(&map, &host), 0);
	assert_int_equal(nic_agg_new(&agg_conf, &nic_ring_sink_ops, device, &agg), 0);
	static struct frame frame;
	frame_build(&(struct desc){ .payload_len = 500 }, &frame);
	struct nic_packet packet = frame_packet(&frame);
	nic_agg_input(agg, &packet, 0);
	nic_agg_flush(agg);
	assert_int_equal(nic_ring_host_recv(host, &chain, 1), 1);
	assert_true(chain.first->data > memory && chain.first->data < memory + 8 * 2048);
	assert_memory_equal(chain.first->data, frame.data, frame.len);
	nic_agg_free(agg);
	nic_ring_device_free(device);
	nic_ring_host_free(host);
	nic_ring_unmap(&map);
	free(memory);
}

/* ---- two threads ---- */

#define THREAD_PACKETS ROUNDS(40000)

static void *nic_thread(void *arg)
{
	struct both *both = arg;

	for (unsigned i = 0; i < THREAD_PACKETS; i += 4) {
		/* Bounded by the other thread, which gives all buffers back. */
		while (nic_ring_device_room(both->device) < 4)
			sched_yield();
		both_train(both, 4, 1000);
	}
	return NULL;
}

static void recv__beside_a_nic_thread__all_bytes_in_order(void **state)
{
	struct both *both = *state;
	unsigned segments = 0;
	uint32_t at = 0, bad = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, nic_thread, both), 0);
	while (segments < THREAD_PACKETS) {
		struct nic_chain chain;
		int count = nic_ring_host_recv(both->host, &chain, 1);

		assert_true(count >= 0);
		if (count == 0) {
			sched_yield();
			continue;
		}
		uint8_t *bytes = chain_bytes(&chain);
		for (uint32_t i = chain.header_len; i < chain.len; i++, at++)
			bad += bytes[i] != (uint8_t)(at * 131 + at / 256);
		free(bytes);
		segments += chain.segment_count;
		assert_int_equal(at, segments * 1000);
		assert_int_equal(nic_ring_host_release(both->host, &chain), 0);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(bad, 0);
	assert_int_equal(nic_ring_host_full(both->host), 0);
}

static void arm__published_before_or_after__never_asleep_with_a_packet(void **state)
{
	struct both *both = *state;

	assert_true(nic_ring_host_arm(both->host));
	assert_false(nic_ring_device_wake(both->device));
	both_train(both, 1, 10);
	assert_true(nic_ring_device_wake(both->device));
	assert_false(nic_ring_device_wake(both->device));
	assert_false(nic_ring_host_arm(both->host));
	both_train(both, 1, 10);
	assert_false(nic_ring_device_wake(both->device));
	assert_int_equal(both_drain(both), 2);
	assert_true(nic_ring_host_arm(both->host));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(recv__aggregate__header_at_head_payload_behind),
		cmocka_unit_test(recv__random_traffic_any_buffer_size__byte_stream_and_no_leak),
		cmocka_unit_test(recv__large_buffers__aggregate_in_one),
		cmocka_unit_test(create__no_buffer_size__ten_packets_a_buffer),
		TEST(place__headroom__never_overwritten_by_data),
		TEST(recv_and_release__buffers_taken_away__still_link),
		TEST(parse__buffers_taken_away__fault),
		TEST(place__nothing_posted__dropped_counted_and_recovers),
		cmocka_unit_test(place__aggregate_that_does_not_fit__what_fits_is_published),
		TEST(ring__wraps_many_times__nothing_lost),
		cmocka_unit_test(create__most_buffers__all_can_be_filled),
		cmocka_unit_test(recv__nic_lies_in_head__eproto_for_good),
		cmocka_unit_test(recv__nic_lies_behind_head__eproto),
		cmocka_unit_test(recv__nic_lies_about_a_length_of_one_packet__eproto),
		TEST(recv__nic_publishes_a_buffer_twice__eproto),
		TEST(posts__bad_ones__ignored_and_counted),
		TEST(posts__sequence_jumps__no_more_are_taken),
		TEST(release__twice__einval_and_nothing_posted),
		cmocka_unit_test(create__bad_conf__einval),
		cmocka_unit_test(map__what_is_no_ring__eproto),
		cmocka_unit_test(open__every_allocation_fails_once__no_leak),
		cmocka_unit_test(external__buffers_of_the_callers__filled),
		TEST(recv__beside_a_nic_thread__all_bytes_in_order),
		TEST(arm__published_before_or_after__never_asleep_with_a_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
