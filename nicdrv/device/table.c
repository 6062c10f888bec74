/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table.c -- flows by key: sets of NIC_AGG_WAYS, and the list of those that are open
 *
 * Invariants (nic_agg_check):
 *   1. a way's tag is 0 if and only if its flow is not used, else it is the flow's hash
 *   2. a flow is in the set of its hash; no two flows have one key
 *   3. the list has each open flow once, in the order of opening
 */
#include "nicdrv/device/agg_private.h"

#include "base/assert.h"

static uint64_t multiply(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint32_t nic_table_hash(const struct nic_agg *agg, const struct nic_key *key)
{
	const uint64_t *word = key->word, *secret = agg->secret;
	uint64_t hash = multiply(word[0] ^ secret[0], word[4] ^ secret[1]);

	if (word[1] | word[2] | word[3])
		hash ^= multiply(word[1] ^ secret[1], word[2] ^ secret[2]) +
			multiply(word[3] ^ secret[3], secret[0] | 1);
	hash = multiply(hash ^ word[5], secret[2] | 1);
	hash ^= hash >> 32;
	return (uint32_t)hash ? (uint32_t)hash : 1;
}

static uint32_t set_of(const struct nic_agg *agg, uint32_t hash)
{
	return hash & agg->set_mask;
}

/* Bit w: way w has this tag. */
static unsigned ways_with(const struct nic_set *set, uint32_t tag)
{
	unsigned ways = 0;

	for (unsigned i = 0; i < NIC_AGG_WAYS; i++)
		ways |= (unsigned)(set->tag[i] == tag) << i;
	return ways;
}

struct nic_flow *nic_table_find(struct nic_agg *agg, const struct nic_key *key, uint32_t hash)
{
	uint32_t set = set_of(agg, hash);

	for (unsigned ways = ways_with(&agg->set[set], hash); ways; ways &= ways - 1) {
		struct nic_flow *flow =
			&agg->flow[set * NIC_AGG_WAYS + (unsigned)__builtin_ctz(ways)];

		if (nic_key_equal(&flow->key, key))
			return flow;
	}
	return NULL;
}

/* A closed flow goes before an open one, one that was not used for long before others. */
static bool worse(const struct nic_flow *a, const struct nic_flow *b)
{
	if (a->open != b->open)
		return !a->open;
	return a->open ? a->opened_ns < b->opened_ns : a->stats.used_ns < b->stats.used_ns;
}

static struct nic_flow *victim(struct nic_agg *agg, uint32_t set)
{
	struct nic_flow *flow = &agg->flow[set * NIC_AGG_WAYS], *worst = flow;

	for (unsigned i = 0; i < NIC_AGG_WAYS; i++) {
		if (!flow[i].used)
			return &flow[i];
		if (worse(&flow[i], worst))
			worst = &flow[i];
	}
	if (worst->open)
		nic_close(agg, worst, NIC_CLOSE_evict);
	agg->stats.evicted++;
	return worst;
}

struct nic_flow *nic_table_take(struct nic_agg *agg, const struct nic_key *key, uint32_t hash)
{
	uint32_t set = set_of(agg, hash);
	struct nic_flow *flow = victim(agg, set);

	flow->used = true;
	flow->hash = hash;
	flow->key = *key;
	flow->stats = (struct nic_flow_stats){ .used_ns = agg->now_ns };
	agg->set[set].tag[(flow - agg->flow) % NIC_AGG_WAYS] = hash;
	return flow;
}

void nic_list_append(struct nic_agg *agg, struct nic_flow *flow)
{
	uint32_t number = (uint32_t)(flow - agg->flow);

	flow->older = agg->newest;
	flow->newer = LIST_END;
	if (agg->newest == LIST_END)
		agg->oldest = number;
	else
		agg->flow[agg->newest].newer = number;
	agg->newest = number;
	agg->open_count++;
}

void nic_list_remove(struct nic_agg *agg, struct nic_flow *flow)
{
	if (flow->older == LIST_END)
		agg->oldest = flow->newer;
	else
		agg->flow[flow->older].newer = flow->newer;
	if (flow->newer == LIST_END)
		agg->newest = flow->older;
	else
		agg->flow[flow->newer].older = flow->older;
	agg->open_count--;
}

/* ---- check ---- */

static void flow_check(const struct nic_agg *agg, uint32_t number)
{
	const struct nic_flow *flow = &agg->flow[number];
	uint32_t set = number / NIC_AGG_WAYS, tag = agg->set[set].tag[number % NIC_AGG_WAYS];

	FARBUS_ASSERT(tag == (flow->used ? flow->hash : 0));
	FARBUS_ASSERT(flow->used || !flow->open);
	if (!flow->used)
		return;
	FARBUS_ASSERT(set_of(agg, flow->hash) == set);
	FARBUS_ASSERT(nic_table_hash(agg, &flow->key) == flow->hash);
	for (uint32_t i = number + 1; i % NIC_AGG_WAYS; i++)
		FARBUS_ASSERT(!agg->flow[i].used || !nic_key_equal(&agg->flow[i].key, &flow->key));
	if (!flow->open)
		return;
	FARBUS_ASSERT(flow->segment_count >= 1);
	FARBUS_ASSERT(flow->segment_count <= agg->segment_max);
	FARBUS_ASSERT(flow->payload_len == (uint32_t)flow->segment_count * flow->gso_size);
	FARBUS_ASSERT(flow->layout.header_len - flow->layout.l3 + flow->payload_len <= NIC_IP_MAX);
	FARBUS_ASSERT(!flow->push);
}

void nic_agg_check(const struct nic_agg *agg)
{
	uint32_t open = 0, before = LIST_END;
	uint64_t closed = 0;

	for (uint32_t i = 0; i < nic_agg_flow_max(agg); i++)
		flow_check(agg, i);
	for (uint32_t i = agg->oldest; i != LIST_END; before = i, i = agg->flow[i].newer) {
		FARBUS_ASSERT(agg->flow[i].open);
		FARBUS_ASSERT(agg->flow[i].older == before);
		FARBUS_ASSERT(open++ < agg->open_count);
	}
	FARBUS_ASSERT(open == agg->open_count);
	FARBUS_ASSERT(before == agg->newest);
	FARBUS_ASSERT(!agg->none.open);
	for (unsigned i = 0; i < NIC_CLOSE_MAX; i++)
		closed += agg->stats.close[i];
	FARBUS_ASSERT(closed == agg->stats.published);
	FARBUS_ASSERT(agg->stats.segments <= agg->stats.packets);
}
