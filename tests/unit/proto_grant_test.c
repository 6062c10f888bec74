/* SPDX-License-Identifier: BSD-3-Clause */
/* proto_grant_test.c -- grants, imports, served access, chained grants, rotation and renewal */
#include "proto_test.h"

#include "addrmap/token.h"

/* ---- import ---- */

static void import__mappable_grant_of_other_rank__mapped_at_its_offset(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 3);
		struct farbus_token token;
		uint64_t region = net_region(net, 1, 4 * PAGE, NET_MAPPABLE);
		const struct net_import *import;
		uint32_t index;

		assert_int_equal(net_grant(net, 1, region, PAGE, 2 * PAGE, RWA, 0, &token), 0);
		index = import_of(net, 2, &token);
		import = net_import_at(net, 2, index);
		EXPECT(import->fd >= 0);
		EXPECT_INT(import->mem_off, PAGE);
		EXPECT_INT(import->len, 2 * PAGE);
		EXPECT_INT(net_add(net, 2, index, 8, 7), 0);
		EXPECT_INT(net_word(net, 1, region, PAGE + 8), 7);
		net_free(net, true);
	}
}

static void import__no_mapping_allowed__served_and_no_descriptor(void **state)
{
	static const struct {
		uint64_t off, len;
		uint32_t flags, region_flags;
	} cases[] = {
		{ 0, 2 * PAGE, FARBUS_GRANT_SERVED, NET_MAPPABLE },
		{ 8, PAGE, 0, NET_MAPPABLE },	  /* starts inside a page */
		{ 0, PAGE + 8, 0, NET_MAPPABLE }, /* ends inside one */
		{ 0, 2 * PAGE, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct net *net = net_joined(i, 2);
		struct farbus_token token;
		uint64_t region = net_region(net, 0, 2 * PAGE, cases[i].region_flags);
		uint32_t index;

		EXPECT_INT(net_grant(net, 0, region, cases[i].off, cases[i].len, RWA,
				     cases[i].flags, &token),
			   0);
		index = import_of(net, 1, &token);
		EXPECT(net_import_at(net, 1, index)->fd < 0);
		EXPECT_INT(put_word(net, 1, index, 16, 5), 0);
		EXPECT_INT(net_word(net, 0, region, cases[i].off + 16), 5);
		net_free(net, true);
	}
}

static void import__of_own_region__mapped_through_no_link(void **state)
{
	struct net *net = net_joined(1, 2);
	struct farbus_token token;
	uint64_t region = region_with(net, 1, RWA, 0, &token);
	uint32_t index = import_of(net, 1, &token);

	(void)state;
	EXPECT(net_import_at(net, 1, index)->fd >= 0);
	EXPECT_INT(net_add(net, 1, index, 0, 3), 0);
	EXPECT_INT(net_word(net, 1, region, 0), 3);
	EXPECT_INT(net_wait(net, net_revoke(net, 1, &token, false, MS)), 0);
	EXPECT_INT(net_store_raw(net, 1, index, 0, 1), -EFAULT);
	net_free(net, true);
}

static void import__bad_tokens__refused_with_the_documented_error(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token token, bad;
	uint64_t region = region_with(net, 1, RWA, 0, &token);
	struct export_grant_ask ask = { .region = region, .len = PAGE, .rights = FARBUS_R };
	struct token is;
	uint8_t key[MAC_KEY_SIZE] = { 0 };

	(void)state;
	EXPECT_INT(token_parse(&token, &is), 0);
	is.rights |= FARBUS_G;
	token_seal(&is, key, &bad); /* more rights, and a MAC by somebody without the key */
	EXPECT_INT(net_wait(net, net_import(net, 2, &bad, MS)), -EACCES);
	EXPECT_INT(token_parse(&token, &is), 0);
	is.job++;
	token_seal(&is, key, &bad);
	EXPECT_INT(net_wait(net, net_import(net, 2, &bad, MS)), -EACCES);
	EXPECT_INT(token_parse(&token, &is), 0);
	is.hint_rank = 3;
	token_seal(&is, key, &bad);
	EXPECT_INT(net_wait(net, net_import(net, 2, &bad, MS)), -EINVAL);
	is.hint_rank = 0; /* not its home */
	token_seal(&is, key, &bad);
	EXPECT(net_wait(net, net_import(net, 2, &bad, MS)) < 0);
	memset(&bad, 'x', sizeof(bad));
	EXPECT_INT(net_wait(net, net_import(net, 2, &bad, MS)), -EINVAL);
	ask.expiry_s = NET_WALL_START; /* long ago */
	EXPECT_INT(core_grant(net_node(net, 1)->core, region, &ask, &bad), 0);
	EXPECT_INT(net_wait(net, net_import(net, 2, &bad, MS)), -ETIME);
	EXPECT_INT(net_wait(net, net_import(net, 2, &token, MS)), 0);
	net_free(net, true);
}

static void import__home_stopped__etimedout_at_deadline_and_given_back_when_late(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token token;
	uint32_t index;
	struct ask *ask;

	(void)state;
	region_with(net, 1, RWA, 0, &token);
	index = import_of(net, 2, &token); /* there is a connection */
	net_stop(net, 1);
	ask = net_import(net, 2, &token, 50);
	EXPECT_INT(net_wait(net, ask), -ETIMEDOUT);
	EXPECT_INT(net_now(net), ask->deadline);
	EXPECT_INT(net_events(net, 2, FARBUS_EVENT_PEER_LOST, 1), 0);
	EXPECT_INT(net_add(net, 2, index, 0, 1), 0);
	net_continue(net, 1);
	net_run(net);
	/* The late answer was given back: one importer is left to ask. */
	EXPECT_INT(net_wait(net, net_revoke(net, 1, &token, false, MS)), 0);
	EXPECT_INT(net_node(net, 2)->block_count, 1);
	net_free(net, true);
}

static void import__home_stopped_before_any_connection__etimedout_at_deadline(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token token;
	struct ask *ask;

	(void)state;
	region_with(net, 1, RWA, 0, &token);
	net_stop(net, 1);
	/* Longer than it takes to give up a connection that does not prove the secret. */
	ask = net_import(net, 2, &token, 5000);
	EXPECT_INT(net_wait(net, ask), -ETIMEDOUT);
	EXPECT_INT(net_now(net), ask->deadline);
	net_continue(net, 1);
	EXPECT_INT(net_wait(net, net_import(net, 2, &token, MS)), 0);
	net_free(net, true);
}

static void release__then_revoke__nobody_is_asked(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 2);
		struct farbus_token token;
		uint32_t index;

		region_with(net, 0, RWA, 0, &token);
		index = import_of(net, 1, &token);
		net_release(net, 1, index);
		net_run(net);
		EXPECT_INT(net_wait(net, net_revoke(net, 0, &token, false, MS)), 0);
		EXPECT_INT(net_node(net, 1)->block_count, 0);
		net_free(net, true);
	}
}

/* ---- served access ---- */

static void served__rights_and_bounds__refused_and_bytes_unchanged(void **state)
{
	struct net *net = net_joined(1, 2);
	struct farbus_token read_only, no_atomics, all;
	uint64_t region = net_region(net, 0, 2 * PAGE, 0);
	uint32_t r, rw, rwa;
	uint64_t word = 0x1111;

	(void)state;
	EXPECT_INT(net_grant(net, 0, region, 64, 128, FARBUS_R, 0, &read_only), 0);
	EXPECT_INT(net_grant(net, 0, region, 64, 128, FARBUS_R | FARBUS_W, 0, &no_atomics), 0);
	EXPECT_INT(net_grant(net, 0, region, 64, 128, RWA, 0, &all), 0);
	r = import_of(net, 1, &read_only);
	rw = import_of(net, 1, &no_atomics);
	rwa = import_of(net, 1, &all);
	EXPECT_INT(put_word(net, 1, r, 0, word), -EACCES);
	EXPECT_INT(net_wait(net, net_atomic(net, 1, rw, 0, FARBUS_ADD, 1, MS)), -EACCES);
	EXPECT_INT(put_word(net, 1, rw, 121, word), -ERANGE);
	EXPECT_INT(put_word(net, 1, rw, 128, word), -ERANGE);
	EXPECT_INT(put_word(net, 1, rw, UINT64_MAX - 3, word), -ERANGE);
	EXPECT_INT(net_wait(net, net_get(net, 1, r, 120, 9, MS)), -ERANGE);
	EXPECT_INT(net_wait(net, net_atomic(net, 1, rwa, 128, FARBUS_ADD, 1, MS)), -ERANGE);
	EXPECT_INT(net_wait(net, net_atomic(net, 1, rwa, 0, 77, 1, MS)), -EINVAL);
	EXPECT_INT(net_wait(net, net_get(net, 1, r, 0, CORE_PIECE_MAX + 1, MS)), -EINVAL);
	EXPECT_INT(net_wait(net, net_get(net, 1, r, 0, 0, MS)), -EINVAL);
	for (uint64_t off = 0; off < 2 * PAGE; off += 8)
		EXPECT_INT(net_word(net, 0, region, off), 0);
	net_free(net, true);
}

static void served__largest_piece__arrives_and_comes_back(void **state)
{
	struct net *net = net_joined(1, 2);
	struct farbus_token token;
	static uint8_t data[CORE_PIECE_MAX];
	uint64_t region = net_region(net, 0, 32 * PAGE, 0);
	struct ask *ask;
	uint32_t index;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	EXPECT_INT(net_grant(net, 0, region, 0, 32 * PAGE, RWA, 0, &token), 0);
	index = import_of(net, 1, &token);
	len = core_import_piece_max(net_node(net, 1)->core, index);
	EXPECT(len >= CORE_PIECE_MIN);
	EXPECT(len <= sizeof(data));
	EXPECT_INT(net_wait(net, net_put(net, 1, index, 5, data, len, MS)), 0);
	ask = net_get(net, 1, index, 5, len, MS);
	EXPECT_INT(net_wait(net, ask), 0);
	EXPECT_INT(ask->len, len);
	assert_memory_equal(ask->data, data, len);
	net_free(net, true);
}

static void served_atomic__by_all_at_once__sum_and_old_values_exact(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 4);
		struct farbus_token token;
		uint64_t region = region_with(net, 0, RWA, FARBUS_GRANT_SERVED, &token);
		struct ask *ask[4 * 50];
		uint8_t seen[4 * 50] = { 0 };
		uint32_t index[4];

		for (uint32_t node = 0; node < 4; node++)
			index[node] = import_of(net, node, &token);
		for (uint32_t i = 0; i < 4 * 50; i++)
			ask[i] = net_atomic(net, i % 4, index[i % 4], 8, FARBUS_ADD, 1, MS);
		for (uint32_t i = 0; i < 4 * 50; i++) {
			EXPECT_INT(net_wait(net, ask[i]), 0);
			EXPECT(ask[i]->value < 4 * 50);
			EXPECT_INT(seen[ask[i]->value]++, 0);
		}
		EXPECT_INT(net_word(net, 0, region, 8), 4 * 50);
		net_free(net, true);
	}
}

static void served__home_stopped__etimedout_and_later_done_once(void **state)
{
	struct net *net = net_joined(1, 2);
	struct farbus_token token;
	uint64_t region = region_with(net, 0, RWA, FARBUS_GRANT_SERVED, &token);
	uint32_t index = import_of(net, 1, &token);

	(void)state;
	net_stop(net, 0);
	EXPECT_INT(net_wait(net, net_atomic(net, 1, index, 0, FARBUS_ADD, 1, 20)), -ETIMEDOUT);
	EXPECT_INT(net_word(net, 0, region, 0), 0);
	net_continue(net, 0);
	net_run(net);
	EXPECT_INT(net_word(net, 0, region, 0), 1);
	net_free(net, true);
}

/* ---- exposed memory ---- */

static struct net *net_one_sided(uint64_t seed, uint32_t size)
{
	struct net *net =
		net_new(&(struct net_conf){ .seed = seed, .size = size, .one_sided = true });
	uint32_t node;

	for (uint32_t rank = 0; rank < size; rank++)
		EXPECT_INT(net_start(net, &(struct net_node_conf){ .rank = rank }, &node), 0);
	for (uint32_t rank = 0; rank < size; rank++)
		EXPECT_INT(net_wait(net, net_join(net, rank, MS)), 0);
	return net;
}

static void exposed__grant_over_a_one_sided_link__reached_without_the_home(void **state)
{
	struct net *net = net_one_sided(1, 3);
	struct farbus_token token, served, part;
	uint64_t region = region_with(net, 1, RWA, 0, &token);
	uint32_t index = import_of(net, 2, &token), other;

	(void)state;
	net_stop(net, 1);
	EXPECT_INT(net_store_exposed(net, 2, index, 8, 3), 0);
	EXPECT_INT(net_word(net, 1, region, 8), 3);
	net_continue(net, 1);
	EXPECT_INT(net_grant(net, 1, region, 0, PAGE, RWA, FARBUS_GRANT_SERVED, &served), 0);
	other = import_of(net, 2, &served);
	EXPECT_INT(net_store_exposed(net, 2, other, 8, 4), -EACCES);
	EXPECT_INT(net_grant(net, 1, region, 24, 16, FARBUS_R, 0, &part), 0);
	other = import_of(net, 2, &part);
	EXPECT_INT(net_store_exposed(net, 2, other, 0, 4), -EACCES);
	EXPECT_INT(net_word(net, 1, region, 24), 0);
	net_free(net, true);
}

static void exposed__revoked_while_the_importer_is_stopped__zero_at_once_and_key_dead(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_one_sided(seed, 3);
		struct farbus_token token;
		uint32_t index;
		struct ask *revoke;

		region_with(net, 1, RWA, 0, &token);
		index = import_of(net, 2, &token);
		net_stop(net, 2);
		revoke = net_revoke(net, 1, &token, false, MS);
		EXPECT(revoke->done);
		EXPECT_INT(revoke->status, 0);
		EXPECT_INT(net_store_exposed(net, 2, index, 0, 1), -EACCES);
		net_continue(net, 2);
		EXPECT_INT(net_wait(net, net_rekey(net, 2, index, MS)), -ESTALE);
		net_free(net, true);
	}
}

static void exposed__revoke_while_it_is_imported__refused_or_dead(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_one_sided(seed, 3);
		struct farbus_token token;
		struct ask *import;

		region_with(net, 1, RWA, 0, &token);
		import = net_import(net, 2, &token, MS);
		net_run_for(net, 1 + net_random(net, 400 * NS_PER_US));
		EXPECT_INT(net_wait(net, net_revoke(net, 1, &token, false, MS)), 0);
		if (net_wait(net, import) == 0)
			EXPECT_INT(net_store_exposed(net, 2, import->import, 0, 1), -EACCES);
		else
			EXPECT_INT(import->status, -ESTALE);
		net_free(net, true);
	}
}

static void rekey__good_import__new_key_and_the_old_one_is_dead(void **state)
{
	struct net *net = net_one_sided(1, 3);
	struct farbus_token token;
	uint64_t region = region_with(net, 1, RWA, 0, &token), old;
	uint32_t index = import_of(net, 2, &token);

	(void)state;
	old = net_import_at(net, 2, index)->key;
	EXPECT(old);
	EXPECT_INT(net_wait(net, net_rekey(net, 2, index, MS)), 0);
	EXPECT(net_import_at(net, 2, index)->key != old);
	EXPECT_INT(net_store_exposed(net, 2, index, 0, 9), 0);
	EXPECT_INT(net_word(net, 1, region, 0), 9);
	net_import_at(net, 2, index)->key = old;
	EXPECT_INT(net_store_exposed(net, 2, index, 0, 1), -EACCES);
	net_node(net, 1)->work_fail[CORE_WORK_EXPOSE] = 1;
	EXPECT_INT(net_wait(net, net_rekey(net, 2, index, MS)), 0);
	EXPECT_INT(net_import_at(net, 2, index)->key, 0); /* served from now on */
	EXPECT_INT(put_word(net, 2, index, 0, 2), 0);
	net_release(net, 2, index);
	net_run(net);
	net_free(net, true);
}

/* ---- chained grants ---- */

static void chain__sub_range_with_fewer_rights__resolved_at_root_home(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 4);
		struct farbus_token token;
		uint64_t region = net_region(net, 1, 4 * PAGE, NET_MAPPABLE);
		struct ask *chain;
		uint32_t index, end;

		EXPECT_INT(net_grant(net, 1, region, PAGE, 3 * PAGE, RWA | FARBUS_G, 0, &token), 0);
		index = import_of(net, 2, &token);
		chain = net_chain(net, 2, index, PAGE, PAGE, RWA, 0, 0, MS);
		EXPECT_INT(net_wait(net, chain), 0);
		end = import_of(net, 3, &chain->token);
		EXPECT_INT(net_add(net, 3, end, 0, 9), 0);
		EXPECT_INT(net_word(net, 1, region, 2 * PAGE), 9);
		/* No hop: the middle may go. */
		net_kill(net, 2);
		net_run(net);
		EXPECT_INT(net_add(net, 3, end, 0, 1), 0);
		EXPECT_INT(net_word(net, 1, region, 2 * PAGE), 10);
		net_free(net, true);
	}
}

static void chain__too_much_asked__refused(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token token, closed;
	uint32_t index, no_g;

	(void)state;
	region_with(net, 1, FARBUS_R | FARBUS_G, 0, &token);
	region_with(net, 1, RWA, 0, &closed);
	index = import_of(net, 2, &token);
	no_g = import_of(net, 2, &closed);
	EXPECT_INT(net_wait(net, net_chain(net, 2, no_g, 0, 8, FARBUS_R, 0, 0, MS)), -EACCES);
	EXPECT_INT(net_wait(net, net_chain(net, 2, index, 0, 8, FARBUS_R | FARBUS_W, 0, 0, MS)),
		   -EACCES);
	EXPECT_INT(net_wait(net, net_chain(net, 2, index, 0, 2 * PAGE + 1, FARBUS_R, 0, 0, MS)),
		   -ERANGE);
	EXPECT_INT(net_wait(net, net_chain(net, 2, index, 0, 8, FARBUS_W, 0, 0, MS)), -EINVAL);
	EXPECT_INT(net_wait(net, net_chain(net, 2, index, 0, 8, FARBUS_R, 0x80, 0, MS)), -EINVAL);
	EXPECT_INT(net_wait(net, net_chain(net, 2, index, 0, 8, FARBUS_R, 0, 0, MS)), 0);
	net_free(net, true);
}

static void chain__deeper_than_the_limit__eloop(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token token;
	struct ask *chain = NULL;

	(void)state;
	region_with(net, 0, RWA | FARBUS_G, 0, &token);
	for (uint32_t depth = 1; depth <= EXPORT_CHAIN_MAX + 1; depth++) {
		uint32_t node = 1 + depth % 2;
		uint32_t index = import_of(net, node, &token);

		chain = net_chain(net, node, index, 0, PAGE, RWA | FARBUS_G, 0, 0, MS);
		EXPECT_INT(net_wait(net, chain), depth <= EXPORT_CHAIN_MAX ? 0 : -ELOOP);
		token = chain->token;
	}
	net_free(net, true);
}

static void chain__expiry__never_later_than_the_parents(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token token;
	struct export_grant_ask ask = { .len = PAGE, .rights = FARBUS_R | FARBUS_G };
	struct ask *chain;
	struct token is;

	(void)state;
	ask.region = net_region(net, 0, PAGE, NET_MAPPABLE);
	ask.expiry_s = NET_WALL_START + 100;
	EXPECT_INT(core_grant(net_node(net, 0)->core, ask.region, &ask, &token), 0);
	chain = net_chain(net, 1, import_of(net, 1, &token), 0, 8, FARBUS_R, 0, 1000, MS);
	EXPECT_INT(net_wait(net, chain), 0);
	EXPECT_INT(token_parse(&chain->token, &is), 0);
	EXPECT_INT(is.expiry_s, NET_WALL_START + 100);
	net_run_for(net, 101 * NS_PER_S);
	EXPECT_INT(net_wait(net, net_import(net, 2, &chain->token, MS)), -ETIME);
	net_free(net, true);
}

/* ---- rotation ---- */

static void rotate__old_token_revoked__one_shut_out_other_without_failed_operation(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 3);
		struct farbus_token old, new;
		uint64_t region = region_with(net, 0, RWA, 0, &old);
		uint32_t stays = import_of(net, 1, &old), goes = import_of(net, 2, &old);
		struct ask *revoke;
		uint64_t sum = 0;

		EXPECT_INT(net_rotate(net, 0, &old, &new), 0);
		EXPECT_INT(net_add(net, 1, stays, 0, ++sum), 0);
		EXPECT_INT(net_wait(net, net_renew(net, 1, stays, &new, MS)), 0);
		revoke = net_revoke(net, 0, &old, false, MS);
		for (uint64_t i = 1; !revoke->done; i++) {
			EXPECT_INT(net_add(net, 1, stays, 8, 1), 0);
			EXPECT_INT(net_word(net, 0, region, 8), i);
			net_step(net);
		}
		EXPECT_INT(revoke->status, 0);
		EXPECT_INT(net_add(net, 1, stays, 16, 1), 0);
		EXPECT_INT(net_node(net, 1)->block_count, 0);
		EXPECT_INT(net_add(net, 2, goes, 16, 1), -ESTALE);
		EXPECT_INT(net_store_raw(net, 2, goes, 16, 1), -EFAULT);
		EXPECT_INT(net_events(net, 2, FARBUS_EVENT_REVOKED, 0), 1);
		EXPECT_INT(net_wait(net, net_import(net, 2, &old, MS)), -ESTALE);
		EXPECT_INT(net_wait(net, net_import(net, 2, &new, MS)), 0);
		net_free(net, true);
	}
}

static void rotate__served_importers__same(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token old, new;
	uint32_t stays, goes;

	(void)state;
	region_with(net, 0, RWA, FARBUS_GRANT_SERVED, &old);
	stays = import_of(net, 1, &old);
	goes = import_of(net, 2, &old);
	EXPECT_INT(net_rotate(net, 0, &old, &new), 0);
	EXPECT_INT(net_wait(net, net_renew(net, 1, stays, &new, MS)), 0);
	EXPECT_INT(net_wait(net, net_revoke(net, 0, &old, false, MS)), 0);
	EXPECT_INT(put_word(net, 1, stays, 0, 1), 0);
	EXPECT_INT(put_word(net, 2, goes, 0, 2), -ESTALE);
	net_free(net, true);
}

static void rotate__twice__holders_of_the_first_are_out(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token one, two, three;
	uint32_t index;

	(void)state;
	region_with(net, 0, RWA, 0, &one);
	index = import_of(net, 1, &one);
	EXPECT_INT(net_rotate(net, 0, &one, &two), 0);
	EXPECT_INT(net_rotate(net, 0, &two, &three), 0);
	net_run(net);
	EXPECT_INT(net_add(net, 1, index, 0, 1), -ESTALE);
	EXPECT_INT(net_wait(net, net_import(net, 1, &one, MS)), -ESTALE);
	EXPECT_INT(net_wait(net, net_import(net, 1, &two, MS)), 0);
	EXPECT_INT(net_wait(net, net_import(net, 1, &three, MS)), 0);
	/* Waits for the holders of the first one, even if they were told before: none is left. */
	EXPECT_INT(net_wait(net, net_revoke(net, 0, &three, false, MS)), 0);
	EXPECT_INT(net_wait(net, net_import(net, 1, &two, MS)), 0);
	net_free(net, true);
}

static void renew__token_of_other_grant__einval_and_import_unchanged(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token token, other;
	uint32_t index;

	(void)state;
	region_with(net, 0, RWA, 0, &token);
	region_with(net, 0, RWA, 0, &other);
	index = import_of(net, 1, &token);
	EXPECT_INT(net_wait(net, net_renew(net, 1, index, &other, MS)), -EINVAL);
	EXPECT_INT(net_add(net, 1, index, 0, 1), 0);
	net_free(net, true);
}

static void renew__home_has_ordered_it_out_already__estale(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 2);
		struct farbus_token one, two, three;
		struct ask *renew;
		uint32_t index;

		region_with(net, 0, RWA, 0, &one);
		index = import_of(net, 1, &one);
		EXPECT_INT(net_rotate(net, 0, &one, &two), 0);
		EXPECT_INT(net_rotate(net, 0, &two, &three), 0); /* BLOCK is under way */
		renew = net_renew(net, 1, index, &three, MS);
		EXPECT_INT(net_wait(net, renew), -ESTALE);
		net_run(net);
		EXPECT_INT(net_add(net, 1, index, 0, 1), -ESTALE);
		net_free(net, true);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(import__mappable_grant_of_other_rank__mapped_at_its_offset),
		cmocka_unit_test(import__no_mapping_allowed__served_and_no_descriptor),
		cmocka_unit_test(import__of_own_region__mapped_through_no_link),
		cmocka_unit_test(import__bad_tokens__refused_with_the_documented_error),
		cmocka_unit_test(
			import__home_stopped__etimedout_at_deadline_and_given_back_when_late),
		cmocka_unit_test(import__home_stopped_before_any_connection__etimedout_at_deadline),
		cmocka_unit_test(release__then_revoke__nobody_is_asked),
		cmocka_unit_test(served__rights_and_bounds__refused_and_bytes_unchanged),
		cmocka_unit_test(served__largest_piece__arrives_and_comes_back),
		cmocka_unit_test(served_atomic__by_all_at_once__sum_and_old_values_exact),
		cmocka_unit_test(served__home_stopped__etimedout_and_later_done_once),
		cmocka_unit_test(exposed__grant_over_a_one_sided_link__reached_without_the_home),
		cmocka_unit_test(
			exposed__revoked_while_the_importer_is_stopped__zero_at_once_and_key_dead),
		cmocka_unit_test(exposed__revoke_while_it_is_imported__refused_or_dead),
		cmocka_unit_test(rekey__good_import__new_key_and_the_old_one_is_dead),
		cmocka_unit_test(chain__sub_range_with_fewer_rights__resolved_at_root_home),
		cmocka_unit_test(chain__too_much_asked__refused),
		cmocka_unit_test(chain__deeper_than_the_limit__eloop),
		cmocka_unit_test(chain__expiry__never_later_than_the_parents),
		cmocka_unit_test(
			rotate__old_token_revoked__one_shut_out_other_without_failed_operation),
		cmocka_unit_test(rotate__served_importers__same),
		cmocka_unit_test(rotate__twice__holders_of_the_first_are_out),
		cmocka_unit_test(renew__token_of_other_grant__einval_and_import_unchanged),
		cmocka_unit_test(renew__home_has_ordered_it_out_already__estale),
	};

	test_choose(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
