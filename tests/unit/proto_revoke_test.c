/* SPDX-License-Identifier: BSD-3-Clause */
/* proto_revoke_test.c -- revoke and withdraw: who lets go, who waits, what races with it */
#include "proto_test.h"

/* Whatever this node has of it, stores through it reach nothing that counts. */
static void expect_shut(struct net *net, uint32_t home, uint64_t region, uint32_t node,
			uint32_t import)
{
	uint64_t before = net_word(net, home, region, 0);

	net_store_raw(net, node, import, 0, ~before);
	EXPECT_INT(net_word(net, home, region, 0), before);
}

static void revoke__mapped_importers__zero_and_no_store_lands_any_more(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 4);
		struct farbus_token token;
		uint64_t region = region_with(net, 1, RWA, 0, &token), sum = 0;
		uint32_t index[4];
		struct ask *revoke;

		for (uint32_t node = 0; node < 4; node++)
			index[node] = import_of(net, node, &token);
		revoke = net_revoke(net, 1, &token, false, MS);
		while (!revoke->done) {
			for (uint32_t node = 0; node < 4; node++)
				sum += net_add(net, node, index[node], 0, 1) == 0;
			net_step(net);
		}
		EXPECT_INT(revoke->status, 0);
		EXPECT_INT(net_word(net, 1, region, 0), sum);
		for (uint32_t node = 0; node < 4; node++) {
			EXPECT_INT(net_add(net, node, index[node], 0, 1), -ESTALE);
			expect_shut(net, 1, region, node, index[node]);
			EXPECT_INT(net_events(net, node, FARBUS_EVENT_REVOKED, 1), 1);
			net_release(net, node, index[node]);
		}
		EXPECT_INT(net_wait(net, net_import(net, 2, &token, MS)), -ESTALE);
		net_free(net, true);
	}
}

static void served_seen(void *arg, uint32_t node, const struct core_output *output)
{
	(void)node;
	(void)output;
	++*(unsigned *)arg;
}

static void revoke__served_importer_puts_on__nothing_is_carried_out_after_zero(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 2);
		struct farbus_token token;
		struct ask *put[100];
		uint64_t word = 1;
		unsigned served = 0, at_end;
		uint32_t index;

		region_with(net, 0, RWA, FARBUS_GRANT_SERVED, &token);
		index = import_of(net, 1, &token);
		net_on_serve(net, served_seen, &served);
		for (int i = 0; i < 100; i++)
			put[i] = net_put(net, 1, index, 0, &word, sizeof(word), MS);
		for (uint64_t i = 0; i < seed * 5; i++)
			net_step(net);
		/* Nothing is mapped: it is over at once, with puts on the way. */
		EXPECT_INT(net_wait(net, net_revoke(net, 0, &token, false, MS)), 0);
		at_end = served;
		EXPECT(at_end < 100);
		for (int i = 0; i < 100; i++)
			EXPECT_INT(net_wait(net, put[i]), i < (int)at_end ? 0 : -ESTALE);
		EXPECT_INT(served, at_end);
		net_free(net, true);
	}
}

static void revoke__stopped_importer__etimedout_and_asked_again_waits_on(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token token;
	uint64_t region = region_with(net, 0, RWA, 0, &token);
	uint32_t one = import_of(net, 1, &token), two = import_of(net, 2, &token);
	struct ask *again;

	(void)state;
	net_stop(net, 1);
	EXPECT_INT(net_wait(net, net_revoke(net, 0, &token, false, 50)), -ETIMEDOUT);
	EXPECT_INT(net_add(net, 2, two, 0, 1), -ESTALE);
	EXPECT_INT(net_store_raw(net, 1, one, 8, 1), 0); /* that is why it is not 0 */
	EXPECT_INT(net_wait(net, net_import(net, 2, &token, MS)), -ESTALE);
	again = net_revoke(net, 0, &token, false, MS);
	net_run_for(net, 20 * NS_PER_MS);
	EXPECT(!again->done);
	net_continue(net, 1);
	EXPECT_INT(net_wait(net, again), 0);
	expect_shut(net, 0, region, 1, one);
	net_free(net, true);
}

static void revoke__asked_again_after_it_was_over__estale_also_for_the_maker(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token token, bad;
	uint32_t index;
	struct ask *chain;

	(void)state;
	region_with(net, 0, RWA | FARBUS_G, 0, &token);
	index = import_of(net, 1, &token);
	chain = net_chain(net, 1, index, 0, PAGE, FARBUS_R, 0, 0, MS);
	EXPECT_INT(net_wait(net, chain), 0);
	import_of(net, 2, &chain->token);
	net_stop(net, 2);
	EXPECT_INT(net_wait(net, net_revoke(net, 1, &chain->token, false, 50)), -ETIMEDOUT);
	net_stop(net, 1);
	EXPECT_INT(net_wait(net, net_revoke(net, 0, &token, false, 50)), -ETIMEDOUT);
	net_continue(net, 1);
	net_continue(net, 2);
	net_run(net); /* the acknowledgements come while nobody waits */
	EXPECT_INT(net_wait(net, net_revoke(net, 0, &token, false, MS)), -ESTALE);
	EXPECT_INT(net_wait(net, net_revoke(net, 1, &chain->token, false, MS)), -ESTALE);
	bad = token;
	bad.text[20] ^= 1;
	EXPECT(net_wait(net, net_revoke(net, 0, &bad, false, MS)) < 0);
	net_free(net, true);
}

static void revoke__one_epoch_asked_again_after_it_was_over__estale(void **state)
{
	struct net *net = net_joined(1, 2);
	struct farbus_token old, new;
	uint32_t index;

	(void)state;
	region_with(net, 0, RWA, 0, &old);
	index = import_of(net, 1, &old);
	EXPECT_INT(net_rotate(net, 0, &old, &new), 0);
	net_stop(net, 1);
	EXPECT_INT(net_wait(net, net_revoke(net, 0, &old, false, 50)), -ETIMEDOUT);
	net_continue(net, 1);
	net_run(net);
	EXPECT_INT(net_wait(net, net_revoke(net, 0, &old, false, MS)), -ESTALE);
	EXPECT_INT(net_add(net, 1, index, 0, 1), -ESTALE);
	EXPECT_INT(net_wait(net, net_import(net, 1, &new, MS)), 0);
	net_free(net, true);
}

static void revoke__importer_cannot_unmap__not_zero_until_it_has(void **state)
{
	struct net *net = net_joined(1, 2);
	struct farbus_token token;
	uint64_t region = region_with(net, 0, RWA, 0, &token);
	uint32_t index = import_of(net, 1, &token);

	(void)state;
	net_node(net, 1)->work_fail[CORE_WORK_BLOCK] = 2;
	EXPECT_INT(net_wait(net, net_revoke(net, 0, &token, false, 50)), -ETIMEDOUT);
	EXPECT_INT(net_store_raw(net, 1, index, 0, 1), 0);
	EXPECT_INT(net_wait(net, net_revoke(net, 0, &token, false, 50)), -ETIMEDOUT);
	EXPECT_INT(net_store_raw(net, 1, index, 0, 2), 0);
	EXPECT_INT(net_wait(net, net_revoke(net, 0, &token, false, MS)), 0);
	expect_shut(net, 0, region, 1, index);
	EXPECT_INT(net_events(net, 1, FARBUS_EVENT_REVOKED, 0), 1);
	net_free(net, true);
}

static void revoke__importer_cannot_unmap_but_releases__done(void **state)
{
	struct net *net = net_joined(1, 2);
	struct farbus_token token;
	uint32_t index;
	struct ask *revoke;

	(void)state;
	region_with(net, 0, RWA, 0, &token);
	index = import_of(net, 1, &token);
	net_node(net, 1)->work_fail[CORE_WORK_BLOCK] = 1;
	revoke = net_revoke(net, 0, &token, false, MS);
	net_run_for(net, 20 * NS_PER_MS);
	EXPECT(!revoke->done);
	net_release(net, 1, index);
	EXPECT_INT(net_wait(net, revoke), 0);
	EXPECT(net_now(net) < revoke->deadline);
	net_free(net, true);
}

/* The driver may take its time: an order that is repeated is not done before the first one is. */
static void revoke__asked_again_while_unmapping__not_zero_before_it_is_done(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_new(&(struct net_conf){
			.seed = seed, .size = 2, .work_delay_max_ns = 5 * NS_PER_MS });
		struct farbus_token token;
		struct ask *one, *two;
		uint64_t region;
		uint32_t node, index;

		EXPECT_INT(net_start(net, &(struct net_node_conf){ .rank = 0 }, &node), 0);
		EXPECT_INT(net_start(net, &(struct net_node_conf){ .rank = 1 }, &node), 0);
		EXPECT_INT(net_wait(net, net_join(net, 1, MS)), 0);
		region = region_with(net, 0, RWA, 0, &token);
		index = import_of(net, 1, &token);
		one = net_revoke(net, 0, &token, false, MS);
		two = net_revoke(net, 0, &token, false, MS);
		while (!one->done && !two->done)
			EXPECT(net_step(net));
		expect_shut(net, 0, region, 1, index);
		EXPECT_INT(net_wait(net, one), 0);
		EXPECT_INT(net_wait(net, two), 0);
		net_free(net, true);
	}
}

static void revoke__importer_dies_instead_of_answering__zero(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 3);
		struct farbus_token token;
		struct ask *revoke;

		region_with(net, 1, RWA, 0, &token);
		import_of(net, 2, &token);
		net_stop(net, 2);
		revoke = net_revoke(net, 1, &token, false, MS);
		net_run_for(net, NS_PER_MS);
		EXPECT(!revoke->done);
		net_kill(net, 2);
		EXPECT_INT(net_wait(net, revoke), 0);
		EXPECT(net_now(net) < revoke->deadline);
		net_free(net, true);
	}
}

static void revoke__release_under_way__both_end_and_no_store_lands(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 3);
		struct farbus_token token;
		uint64_t region = region_with(net, 1, RWA, 0, &token);
		uint32_t index = import_of(net, 2, &token);
		struct ask *revoke = net_revoke(net, 1, &token, false, MS), *again;

		for (uint64_t i = 0; i < seed % 4; i++)
			net_step(net);
		net_release(net, 2, index);
		/* Its index goes to another import while the order for the old one is on the way. */
		EXPECT_INT(net_grant(net, 1, region, 0, PAGE, RWA, 0, &token), 0);
		again = net_import(net, 2, &token, MS);
		EXPECT_INT(net_wait(net, revoke), 0);
		EXPECT_INT(net_wait(net, again), 0);
		net_run(net);
		EXPECT_INT(net_add(net, 2, again->import, 0, 1), 0);
		net_free(net, true);
	}
}

static void revoke__import_under_way__refused_or_revoked(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 3);
		struct farbus_token token;
		uint64_t region = region_with(net, 1, RWA, 0, &token);
		struct ask *import, *revoke;

		import_of(net, 2, &token);
		import = net_import(net, 2, &token, MS);
		for (uint64_t i = 0; i < seed % 5; i++)
			net_step(net);
		revoke = net_revoke(net, 1, &token, false, MS);
		EXPECT_INT(net_wait(net, revoke), 0);
		if (net_wait(net, import) == 0) {
			EXPECT_INT(net_add(net, 2, import->import, 0, 1), -ESTALE);
			expect_shut(net, 1, region, 2, import->import);
		} else {
			EXPECT_INT(import->status, -ESTALE);
		}
		net_free(net, true);
	}
}

/* ---- chained ---- */

static void revoke__parent__all_that_were_chained_from_it_end(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 4);
		struct farbus_token token, other;
		uint64_t region = region_with(net, 0, RWA | FARBUS_G, 0, &token);
		uint32_t one = import_of(net, 1, &token), two, three, beside;
		struct ask *chain, *deeper;

		EXPECT_INT(net_grant(net, 0, region, 0, 2 * PAGE, RWA, 0, &other), 0);
		beside = import_of(net, 3, &other);
		chain = net_chain(net, 1, one, 0, PAGE, RWA | FARBUS_G, 0, 0, MS);
		EXPECT_INT(net_wait(net, chain), 0);
		two = import_of(net, 2, &chain->token);
		deeper = net_chain(net, 2, two, 0, PAGE, RWA, FARBUS_GRANT_SERVED, 0, MS);
		EXPECT_INT(net_wait(net, deeper), 0);
		three = import_of(net, 3, &deeper->token);
		EXPECT_INT(put_word(net, 3, three, 0, 1), 0);
		EXPECT_INT(net_wait(net, net_revoke(net, 0, &token, false, MS)), 0);
		EXPECT_INT(put_word(net, 3, three, 0, 2), -ESTALE);
		expect_shut(net, 0, region, 1, one);
		expect_shut(net, 0, region, 2, two);
		EXPECT_INT(net_add(net, 3, beside, 0, 1), 0);
		EXPECT_INT(net_wait(net, net_import(net, 2, &deeper->token, MS)), -ESTALE);
		net_free(net, true);
	}
}

static void revoke__by_maker_ancestor_and_strangers__allowed_as_documented(void **state)
{
	struct net *net = net_joined(1, 4);
	struct farbus_token token;
	struct ask *chain, *deeper;

	(void)state;
	region_with(net, 0, RWA | FARBUS_G, 0, &token);
	chain = net_chain(net, 1, import_of(net, 1, &token), 0, PAGE, RWA | FARBUS_G, 0, 0, MS);
	EXPECT_INT(net_wait(net, chain), 0);
	deeper = net_chain(net, 2, import_of(net, 2, &chain->token), 0, 8, RWA, 0, 0, MS);
	EXPECT_INT(net_wait(net, deeper), 0);
	EXPECT_INT(net_wait(net, net_revoke(net, 3, &deeper->token, false, MS)), -EACCES);
	EXPECT_INT(net_wait(net, net_revoke(net, 2, &chain->token, false, MS)), -EACCES);
	EXPECT_INT(net_wait(net, net_revoke(net, 1, &token, false, MS)), -EACCES);
	EXPECT_INT(net_wait(net, net_revoke(net, 1, &deeper->token, false, MS)), 0);
	EXPECT_INT(net_wait(net, net_import(net, 3, &deeper->token, MS)), -ESTALE);
	EXPECT_INT(net_wait(net, net_revoke(net, 1, &chain->token, false, MS)), 0);
	EXPECT_INT(net_wait(net, net_import(net, 3, &chain->token, MS)), -ESTALE);
	EXPECT_INT(net_wait(net, net_import(net, 3, &token, MS)), 0);
	net_free(net, true);
}

static void
revoke__by_maker_with_stopped_importer__etimedout_in_time_with_the_homes_text(void **state)
{
	struct net *net = net_joined(1, 4);
	struct farbus_token token;
	struct ask *chain, *revoke;

	(void)state;
	region_with(net, 0, RWA | FARBUS_G, 0, &token);
	chain = net_chain(net, 1, import_of(net, 1, &token), 0, PAGE, RWA, 0, 0, MS);
	EXPECT_INT(net_wait(net, chain), 0);
	import_of(net, 2, &chain->token);
	net_stop(net, 2);
	revoke = net_revoke(net, 1, &chain->token, false, 50);
	EXPECT_INT(net_wait(net, revoke), -ETIMEDOUT);
	assert_non_null(strstr(revoke->why, "rank 2"));
	net_kill(net, 0);
	EXPECT_INT(net_wait(net, net_revoke(net, 1, &chain->token, false, 50)), -EHOSTDOWN);
	net_free(net, true);
}

static void revoke__more_at_a_time_than_a_home_takes__enospc_then_room_again(void **state)
{
	struct net *net = net_joined(1, 3);
	struct ask *chain, *first = NULL, *last = NULL;
	struct farbus_token token;

	(void)state;
	region_with(net, 0, RWA | FARBUS_G, 0, &token);
	chain = net_chain(net, 1, import_of(net, 1, &token), 0, PAGE, RWA, 0, 0, MS);
	EXPECT_INT(net_wait(net, chain), 0);
	import_of(net, 2, &chain->token);
	net_stop(net, 2);
	for (int i = 0; i <= CORE_REVOCATION_MAX; i++) {
		last = net_revoke(net, 1, &chain->token, false, 50);
		first = first ? first : last;
	}
	EXPECT_INT(net_wait(net, last), -ENOSPC);
	assert_non_null(strstr(last->why, "too many revocations"));
	EXPECT(!first->done);
	EXPECT_INT(net_wait(net, first), -ETIMEDOUT);
	net_run_for(net, 60 * NS_PER_MS);
	net_continue(net, 2);
	EXPECT_INT(net_wait(net, net_revoke(net, 1, &chain->token, false, MS)), 0);
	net_free(net, true);
}

/* ---- withdraw ---- */

static void withdraw__all_kinds_of_holders__zero_and_region_forgotten(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 3);
		struct farbus_token mapped, served;
		uint64_t region = region_with(net, 1, RWA | FARBUS_G, 0, &mapped);
		uint32_t one = import_of(net, 2, &mapped), two, own = import_of(net, 1, &mapped);
		struct export_region is;
		struct ask *chain;

		EXPECT_INT(net_grant(net, 1, region, 0, 8, FARBUS_R, FARBUS_GRANT_SERVED, &served),
			   0);
		two = import_of(net, 2, &served);
		chain = net_chain(net, 2, one, 0, PAGE, RWA, 0, 0, MS);
		EXPECT_INT(net_wait(net, chain), 0);
		import_of(net, 0, &chain->token);
		EXPECT_INT(net_wait(net, net_withdraw(net, 1, region, false, MS)), 0);
		expect_shut(net, 1, region, 2, one);
		expect_shut(net, 1, region, 1, own);
		EXPECT(net_wait(net, net_get(net, 2, two, 0, 8, MS)) == -ESTALE);
		EXPECT_INT(net_wait(net, net_import(net, 2, &mapped, MS)), -ESTALE);
		EXPECT_INT(export_region_lookup(core_exports(net_node(net, 1)->core), region, &is),
			   -ENOENT);
		EXPECT_INT(net_wait(net, net_withdraw(net, 1, region, false, MS)), -ENOENT);
		net_free(net, true);
	}
}

static void withdraw__stopped_importer__etimedout_then_again_forced(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token token;
	uint64_t region = region_with(net, 1, RWA, 0, &token);
	uint32_t index = import_of(net, 2, &token);

	(void)state;
	net_stop(net, 2);
	EXPECT_INT(net_wait(net, net_withdraw(net, 1, region, false, 50)), -ETIMEDOUT);
	EXPECT_INT(net_wait(net, net_withdraw(net, 1, region, true, 50)), 0);
	expect_shut(net, 1, region, 2, index);
	net_continue(net, 2);
	net_run(net);
	EXPECT_INT(net_add(net, 2, index, 0, 1), -ESTALE);
	net_free(net, true);
}

/* Ends the link to a node that imported, at the home's end; the node lives on. */
static void link_break(struct net *net, uint32_t home, uint32_t node)
{
	uint32_t link = core_rank_link(net_node(net, home)->core, node), garbage[8] = { 0xdead };

	net_inject(net, home, link, garbage, sizeof(garbage), false);
	EXPECT(core_rank_link(net_node(net, home)->core, node) == UINT32_MAX);
}

static void revoke__link_to_a_stopped_importer_ended__not_zero_while_it_has_the_memory(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token token;
	uint64_t region = region_with(net, 1, RWA, 0, &token);
	uint32_t index = import_of(net, 2, &token);

	(void)state;
	net_stop(net, 2);
	link_break(net, 1, 2);
	EXPECT_INT(net_events(net, 1, FARBUS_EVENT_PEER_LOST, 2), 1);
	EXPECT_INT(net_wait(net, net_revoke(net, 1, &token, false, 50)), -ETIMEDOUT);
	EXPECT_INT(net_store_raw(net, 2, index, 0, 1), 0); /* that is why it is not 0 */
	EXPECT_INT(net_wait(net, net_revoke(net, 1, &token, true, 50)), 0);
	expect_shut(net, 1, region, 2, index);
	net_continue(net, 2);
	net_run(net);
	EXPECT_INT(net_add(net, 2, index, 0, 1), -EHOSTDOWN);
	net_free(net, true);
}

static void revoke__link_to_a_stopped_importer_ended__zero_when_it_goes_on_or_dies(void **state)
{
	(void)state;
	for (int dies = 0; dies < 2; dies++) {
		struct net *net = net_joined(1, 3);
		struct farbus_token token;
		uint64_t region = region_with(net, 1, RWA, 0, &token);
		uint32_t index = import_of(net, 2, &token);
		struct ask *revoke;

		net_stop(net, 2);
		link_break(net, 1, 2);
		revoke = net_revoke(net, 1, &token, false, MS);
		net_run_for(net, MS * NS_PER_MS / 4);
		EXPECT(!revoke->done);
		if (dies)
			net_kill(net, 2);
		else
			net_continue(net, 2);
		EXPECT_INT(net_wait(net, revoke), 0);
		if (!dies)
			expect_shut(net, 1, region, 2, index);
		net_free(net, true);
	}
}

static void lost__importer_ends_the_link_to_a_living_home__nothing_lands_any_more(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 3);
		struct farbus_token token;
		uint64_t region = region_with(net, 1, RWA, 0, &token);
		uint32_t index = import_of(net, 2, &token);

		link_break(net, 2, 1);
		expect_shut(net, 1, region, 2, index);
		EXPECT_INT(net_add(net, 2, index, 0, 1), -EHOSTDOWN);
		EXPECT_INT(net_wait(net, net_revoke(net, 1, &token, false, MS)), 0);
		net_free(net, true);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(revoke__mapped_importers__zero_and_no_store_lands_any_more),
		cmocka_unit_test(
			revoke__served_importer_puts_on__nothing_is_carried_out_after_zero),
		cmocka_unit_test(revoke__stopped_importer__etimedout_and_asked_again_waits_on),
		cmocka_unit_test(revoke__asked_again_after_it_was_over__estale_also_for_the_maker),
		cmocka_unit_test(revoke__one_epoch_asked_again_after_it_was_over__estale),
		cmocka_unit_test(revoke__importer_cannot_unmap__not_zero_until_it_has),
		cmocka_unit_test(revoke__importer_cannot_unmap_but_releases__done),
		cmocka_unit_test(revoke__asked_again_while_unmapping__not_zero_before_it_is_done),
		cmocka_unit_test(revoke__importer_dies_instead_of_answering__zero),
		cmocka_unit_test(revoke__release_under_way__both_end_and_no_store_lands),
		cmocka_unit_test(revoke__import_under_way__refused_or_revoked),
		cmocka_unit_test(revoke__parent__all_that_were_chained_from_it_end),
		cmocka_unit_test(revoke__by_maker_ancestor_and_strangers__allowed_as_documented),
		cmocka_unit_test(
			revoke__by_maker_with_stopped_importer__etimedout_in_time_with_the_homes_text),
		cmocka_unit_test(revoke__more_at_a_time_than_a_home_takes__enospc_then_room_again),
		cmocka_unit_test(withdraw__all_kinds_of_holders__zero_and_region_forgotten),
		cmocka_unit_test(withdraw__stopped_importer__etimedout_then_again_forced),
		cmocka_unit_test(
			revoke__link_to_a_stopped_importer_ended__not_zero_while_it_has_the_memory),
		cmocka_unit_test(
			revoke__link_to_a_stopped_importer_ended__zero_when_it_goes_on_or_dies),
		cmocka_unit_test(
			lost__importer_ends_the_link_to_a_living_home__nothing_lands_any_more),
	};

	test_choose(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
