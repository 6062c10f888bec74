/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.c -- the process's side of its ring: chains of mbufs, linked from control fields alone
 *
 * Invariants (nic_ring_host_check):
 *   1. each buffer is posted or held; one that is held was in exactly one chain
 *   2. a buffer's generation counts its posts
 *
 * A field that says what cannot be breaks the ring: nothing more is taken from it.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "nicdrv/ring/ring.h"

#include <errno.h>
#include <stdlib.h>

#define VIRTIO_HEADER (offsetof(struct virtio_net_hdr_v1, num_buffers) + 2)

struct own {
	struct nic_mbuf mbuf;
	uint16_t generation;
	bool held;
};

struct nic_ring_host {
	struct nic_ring_map map; /* borrows memory and buffers */
	struct own *own;	 /* owned: one per buffer */
	uint64_t field_tail, post_head;
	uint32_t held;
	bool broken;
	struct nic_ring_host_stats stats;
};

/* ---- posting ---- */

/* Ordering: the store of the last word pairs with its load in posts_take(), device.c. */
static inline void post_put(struct nic_ring_host *host, struct own *own)
{
	struct nic_post *slot = &host->map.post[host->post_head & (host->map.slot_count - 1)];
	uint64_t word[2] = { own->mbuf.buffer | (uint64_t)++own->generation << 32,
			     (host->post_head + 1) << 32 };

	host->post_head++;
	memcpy(slot, word, 8);
	__atomic_store_n((uint64_t *)(void *)slot + 1, word[1], __ATOMIC_RELEASE);
}

int nic_ring_host_new(const struct nic_ring_map *map, struct nic_ring_host **ret_host)
{
	struct nic_ring_host *host = alloc_zero(sizeof(*host));
	if (!host)
		return error_set(-ENOMEM, "no memory for the host of a NIC ring");
	host->map = *map;
	host->own = alloc_array(map->conf.buffer_count, sizeof(*host->own));
	if (!host->own) {
		nic_ring_host_free(host);
		return error_set(-ENOMEM, "no memory for %u mbufs of a NIC ring",
				 map->conf.buffer_count);
	}
	for (uint32_t i = 0; i < map->conf.buffer_count; i++) {
		host->own[i].mbuf.buffer = i;
		post_put(host, &host->own[i]);
	}
	*ret_host = host;
	return 0;
}

struct nic_ring_host *nic_ring_host_free(struct nic_ring_host *host)
{
	if (!host)
		return NULL;
	free(host->own);
	free(host);
	return NULL;
}

/* ---- receiving ---- */

static __attribute__((cold, noinline)) int broken(struct nic_ring_host *host, const char *what,
						  uint32_t value)
{
	host->broken = true;
	return error_set(-EPROTO, "the NIC broke the ring, field %llu: %s %u; open a new one",
			 (unsigned long long)host->field_tail, what, value);
}

/*
 * A field as it stands in memory, in four words: read once, so that what is checked is what is used.
 *
 * Ordering: the load of the last word pairs with its store in field_put(), device.c.
 */
struct words {
	uint64_t word[4];
};

static inline const struct nic_field *field_slot(const struct nic_ring_host *host, uint64_t at)
{
	return &host->map.field[at & (host->map.slot_count - 1)];
}

static inline struct words field_load(const struct nic_field *slot)
{
	const uint64_t *word = (const uint64_t *)(const void *)slot;
	struct words words;

	words.word[3] = __atomic_load_n(word + 3, __ATOMIC_ACQUIRE);
	words.word[0] = __atomic_load_n(word + 0, __ATOMIC_RELAXED);
	words.word[1] = __atomic_load_n(word + 1, __ATOMIC_RELAXED);
	words.word[2] = __atomic_load_n(word + 2, __ATOMIC_RELAXED);
	return words;
}

/* By shifts: going through memory in other sizes than it was written in costs 15 cycles. */
static inline struct nic_field field_of(const struct words *words)
{
	const uint64_t *word = words->word;

	return (struct nic_field){
		.version = (uint8_t)word[0],
		.position = (uint8_t)(word[0] >> 8),
		.generation = (uint16_t)(word[0] >> 16),
		.flow = (uint32_t)(word[0] >> 32),
		.buffer = (uint32_t)word[1],
		.offset = (uint16_t)(word[1] >> 32),
		.header_len = (uint8_t)(word[1] >> 48),
		.l4 = (uint8_t)(word[1] >> 56),
		.data_len = (uint32_t)word[2],
		.gso_size = (uint16_t)(word[2] >> 32),
		.segment_count = (uint16_t)(word[2] >> 48),
		.index = (uint16_t)word[3],
		.flags = (uint16_t)(word[3] >> 16),
		.sequence = (uint32_t)(word[3] >> 32),
	};
}

static inline bool field_ready(const struct nic_ring_host *host, uint64_t at)
{
	return __atomic_load_n(&field_slot(host, at)->sequence, __ATOMIC_ACQUIRE) ==
	       (uint32_t)at + 1;
}

/* What holds for every field, alone. */
static inline int field_check(struct nic_ring_host *host, const struct nic_field *field, bool first)
{
	uint32_t size = host->map.conf.buffer_size;

	if (field->version != FIELD_VERSION)
		return broken(host, "version", field->version);
	if (field->buffer >= host->map.conf.buffer_count)
		return broken(host, "no such buffer", field->buffer);
	const struct own *own = &host->own[field->buffer];
	if (own->held)
		return broken(host, "a buffer that was not posted", field->buffer);
	if (own->generation != field->generation)
		return broken(host, "a buffer of another generation", field->buffer);
	if (field->offset != (first ? host->map.conf.headroom : 0))
		return broken(host, "offset", field->offset);
	if (field->data_len == 0 || field->data_len > size - field->offset)
		return broken(host, "length", field->data_len);
	return 0;
}

static inline struct nic_mbuf *mbuf_take(struct nic_ring_host *host, uint32_t buffer,
					 uint32_t offset, uint32_t len)
{
	struct own *own = &host->own[buffer];

	own->held = true;
	own->mbuf.next = NULL;
	own->mbuf.data = host->map.buffers + (size_t)buffer * host->map.conf.buffer_size + offset;
	own->mbuf.len = len;
	return &own->mbuf;
}

/* Why the field of the chain's buffer i is none: only called when it is so. */
static __attribute__((cold, noinline)) int rest_refuse(struct nic_ring_host *host, uint32_t i,
						       const struct words *words)
{
	struct nic_field field = field_of(words);

	host->held += i - 1; /* those that were taken */
	if (field.sequence != (uint32_t)(host->field_tail + i) + 1)
		return broken(host, "a chain without its buffer", i);
	int err = field_check(host, &field, false);
	if (err < 0)
		return err;
	if (field.position != NIC_MID && field.position != NIC_TAIL)
		return broken(host, "position", field.position);
	return broken(host, "a field of another chain, at its buffer", i);
}

/*
 * The buffers behind the first one. All that a field may say is known but its buffer and its length,
 * so that four comparisons check it.
 */
static int chain_rest(struct nic_ring_host *host, uint32_t flow, struct nic_chain *chain)
{
	uint32_t count = chain->mbuf_count, size = host->map.conf.buffer_size;
	uint32_t buffers = host->map.conf.buffer_count, total = 0;
	uint64_t same = FIELD_VERSION | (uint64_t)NIC_MID << 8 | (uint64_t)flow << 32;
	struct nic_mbuf *last = chain->first;

	for (uint32_t i = 1; i < count; i++) {
		uint64_t at = host->field_tail + i;
		struct words words = field_load(field_slot(host, at));
		uint32_t buffer = (uint32_t)words.word[1], len = (uint32_t)words.word[2];

		if (i + 1 == count)
			same += (uint64_t)(NIC_TAIL - NIC_MID) << 8;
		/* Offset, header, gso size, segments and flags are HEAD's: here they are 0. */
		if (words.word[3] != (i | (at + 1) << 32) ||
		    (words.word[1] | words.word[2]) >> 32 || buffer >= buffers || len - 1 >= size)
			return rest_refuse(host, i, &words);
		const struct own *own = &host->own[buffer];
		if (words.word[0] != (same | (uint64_t)own->generation << 16) || own->held)
			return rest_refuse(host, i, &words);
		last->next = mbuf_take(host, buffer, 0, len);
		last = last->next;
		total += len;
	}
	chain->len += total;
	host->held += count - 1;
	return 0;
}

/* Do the numbers fit together? What a reader would divide or index by is then safe. */
static int chain_check(struct nic_ring_host *host, const struct nic_chain *chain)
{
	uint32_t payload = chain->len - chain->header_len;

	if (chain->header_len > chain->first->len || chain->header_len > chain->len)
		return broken(host, "header length", chain->header_len);
	if (chain->l4 > chain->header_len && chain->header_len)
		return broken(host, "transport header at", chain->l4);
	if (chain->flags & ~FIELD_FLAGS_ALL)
		return broken(host, "flags", chain->flags);
	if (chain->segment_count == 0)
		return broken(host, "segments", 0);
	if (chain->segment_count > 1 && (chain->gso_size == 0 || chain->header_len == 0))
		return broken(host, "gso size", chain->gso_size);
	/* An aggregate made elsewhere has one segment here, and more when it is cut. */
	if (chain->segment_count > 1 &&
	    (payload + chain->gso_size - 1) / chain->gso_size != chain->segment_count)
		return broken(host, "segments", chain->segment_count);
	return 0;
}

static int chain_recv(struct nic_ring_host *host, struct nic_chain *chain)
{
	struct words words = field_load(field_slot(host, host->field_tail));
	struct nic_field field = field_of(&words);
	int err = field_check(host, &field, true);
	if (err < 0)
		return err;
	if (field.index == 0 || field.index > host->map.conf.buffer_count - host->held)
		return broken(host, "buffers of a chain", field.index);
	if (field.position != (field.index == 1 ? NIC_SINGLE : NIC_HEAD))
		return broken(host, "position", field.position);
	chain->first = mbuf_take(host, field.buffer, field.offset, field.data_len);
	host->held++;
	chain->flow = field.flow;
	chain->len = field.data_len;
	chain->mbuf_count = field.index;
	chain->segment_count = field.segment_count;
	chain->gso_size = field.gso_size;
	chain->flags = field.flags;
	chain->header_len = field.header_len;
	chain->l4 = field.l4;
	err = chain_rest(host, field.flow, chain);
	if (err < 0)
		return err;
	err = chain_check(host, chain);
	if (err < 0)
		return err;
	host->field_tail += field.index;
	host->stats.chains++;
	host->stats.segments += field.segment_count;
	host->stats.bytes += chain->len;
	return 0;
}

int nic_ring_host_recv(struct nic_ring_host *host, struct nic_chain *ret_chains, unsigned max)
{
	unsigned count = 0;

	if (host->broken)
		return error_set(-EPROTO, "the NIC broke this ring at field %llu: open a new one",
				 (unsigned long long)host->field_tail);
	while (count < max && field_ready(host, host->field_tail)) {
		int err = chain_recv(host, &ret_chains[count]);
		/* What came before the broken one is good, and the next call says it. */
		if (err < 0)
			return count ? (int)count : err;
		count++;
	}
	return (int)count;
}

/* ---- giving back ---- */

/* The mbuf is one of ours, and the caller's to give. */
static inline bool is_held(const struct nic_ring_host *host, const struct nic_mbuf *mbuf)
{
	uint32_t buffer = mbuf->buffer;

	return buffer < host->map.conf.buffer_count && mbuf == &host->own[buffer].mbuf &&
	       host->own[buffer].held;
}

int nic_ring_host_release(struct nic_ring_host *host, const struct nic_chain *chain)
{
	struct nic_mbuf *mbuf = chain->first;

	for (unsigned i = 0; i < chain->mbuf_count; i++) {
		if (!mbuf || !is_held(host, mbuf))
			return error_set(-EINVAL, "a chain is released that is not held: twice?");
		struct own *own = &host->own[mbuf->buffer];
		mbuf = mbuf->next;
		own->held = false;
		host->held--;
		post_put(host, own);
	}
	return 0;
}

/* Ordering: the fence pairs with the one of nic_ring_device_wake(). */
bool nic_ring_host_arm(struct nic_ring_host *host)
{
	uint32_t *armed = &host->map.memory->armed;

	__atomic_store_n(armed, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!field_ready(host, host->field_tail))
		return true;
	__atomic_store_n(armed, 0, __ATOMIC_RELAXED);
	return false;
}

uint64_t nic_ring_host_full(const struct nic_ring_host *host)
{
	return __atomic_load_n(&host->map.memory->full, __ATOMIC_RELAXED);
}

const struct nic_ring_host_stats *nic_ring_host_stats(const struct nic_ring_host *host)
{
	return &host->stats;
}

uint32_t nic_ring_host_held(const struct nic_ring_host *host)
{
	return host->held;
}

uint8_t *nic_chain_virtio(const struct nic_chain *chain)
{
	struct virtio_net_hdr_v1 header = { .num_buffers = chain->mbuf_count };
	uint8_t *at = chain->first->data - VIRTIO_HEADER;

	if (chain->flags & FIELD_PARTIAL) {
		header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header.csum_start = chain->l4;
		header.csum_offset = chain->flags & FIELD_UDP ? UDP_CSUM : TCP_CSUM;
	} else if (chain->flags & FIELD_VALID) {
		header.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (chain->gso_size) {
		header.gso_type = chain->flags & FIELD_V6 ? VIRTIO_NET_HDR_GSO_TCPV6 :
							    VIRTIO_NET_HDR_GSO_TCPV4;
		if (chain->flags & FIELD_UDP)
			header.gso_type = NIC_GSO_UDP_L4;
		header.gso_size = chain->gso_size;
		header.hdr_len = chain->header_len;
	}
	memcpy(at, &header, VIRTIO_HEADER);
	return at;
}

void nic_ring_host_check(const struct nic_ring_host *host)
{
	uint32_t held = 0;
	uint64_t posts = 0;

	for (uint32_t i = 0; i < host->map.conf.buffer_count; i++) {
		held += host->own[i].held;
		posts += host->own[i].generation;
		FARBUS_ASSERT(host->own[i].mbuf.buffer == i);
	}
	FARBUS_ASSERT(held == host->held);
	/* Generations have 16 bits. */
	FARBUS_ASSERT((uint16_t)posts == (uint16_t)host->post_head);
}
