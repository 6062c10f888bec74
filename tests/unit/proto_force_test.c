/* SPDX-License-Identifier: BSD-3-Clause */
/* proto_force_test.c -- taking memory from under silent importers, while others keep working */
#include "proto_test.h"

#include "runtime/proto/message.h"

/* Home 0; 1 is silent and holds what is revoked; 2 and 3 hold another grant of the region. */
struct scene {
	struct net *net;
	struct farbus_token revoked, other;
	uint64_t region;
	uint32_t silent, survivor[4]; /* imports; survivor by node */
};

static void scene_open(struct scene *scene, uint64_t seed)
{
	scene->net = net_joined(seed, 4);
	scene->region = region_with(scene->net, 0, RWA, 0, &scene->revoked);
	EXPECT_INT(net_grant(scene->net, 0, scene->region, 0, 2 * PAGE, RWA, 0, &scene->other), 0);
	scene->silent = import_of(scene->net, 1, &scene->revoked);
	for (uint32_t node = 0; node < 4; node++)
		if (node != 1)
			scene->survivor[node] = import_of(scene->net, node, &scene->other);
	net_stop(scene->net, 1);
}

static struct ask *scene_force(struct scene *scene)
{
	return net_revoke(scene->net, 0, &scene->revoked, true, 100);
}

/* True: it has added one. A suspended thread waits; nobody may get a SIGBUS. */
static bool survivor_adds(struct scene *scene, uint32_t node)
{
	int err = net_add(scene->net, node, scene->survivor[node], 0, 1);

	EXPECT(err == 0 || err == -EAGAIN);
	return err == 0;
}

static void force__silent_importer__cut_off_and_survivors_lose_no_update(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct scene scene;
		struct ask *revoke;
		uint64_t sum = 0;

		scene_open(&scene, seed);
		revoke = scene_force(&scene);
		/* Also while it is over at the home and the survivors have not heard of it. */
		do {
			for (uint32_t node = 0; node < 4; node++)
				sum += node != 1 && survivor_adds(&scene, node);
		} while (net_step(scene.net));
		EXPECT_INT(revoke->status, 0);
		EXPECT_INT(net_store_raw(scene.net, 1, scene.silent, 0, 1), -EFAULT);
		for (uint32_t node = 0; node < 4; node++)
			if (node != 1)
				EXPECT_INT(net_add(scene.net, node, scene.survivor[node], 0, 1), 0);
		EXPECT_INT(net_word(scene.net, 0, scene.region, 0), sum + 3);
		net_continue(scene.net, 1);
		net_run(scene.net);
		EXPECT_INT(net_add(scene.net, 1, scene.silent, 0, 1), -ESTALE);
		EXPECT_INT(net_store_raw(scene.net, 1, scene.silent, 0, 1), -EFAULT);
		net_free(scene.net, true);
	}
}

static void force__importer_lets_go_in_time__no_memory_is_moved(void **state)
{
	struct scene scene;
	struct ask *revoke;

	(void)state;
	scene_open(&scene, 1);
	revoke = scene_force(&scene);
	net_run_for(scene.net, 20 * NS_PER_MS);
	net_continue(scene.net, 1);
	EXPECT_INT(net_wait(scene.net, revoke), 0);
	net_run(scene.net);
	EXPECT_INT(net_node(scene.net, 0)->force_count, 0);
	EXPECT_INT(net_node(scene.net, 2)->suspend_count, 0);
	net_free(scene.net, true);
}

static void force__after_a_revoke_that_timed_out__zero(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, 1);
	EXPECT_INT(net_wait(scene.net, net_revoke(scene.net, 0, &scene.revoked, false, 20)),
		   -ETIMEDOUT);
	EXPECT_INT(net_store_raw(scene.net, 1, scene.silent, 0, 1), 0);
	EXPECT_INT(net_wait(scene.net, scene_force(&scene)), 0);
	EXPECT_INT(net_store_raw(scene.net, 1, scene.silent, 0, 1), -EFAULT);
	net_continue(scene.net, 1);
	net_free(scene.net, true);
}

static void force__imports_meanwhile__parked_and_get_the_new_memory(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct scene scene;
		struct ask *revoke, *import[3], *bad;
		int n = 0;

		scene_open(&scene, seed);
		net_stop(scene.net, 3); /* so that it takes a while */
		revoke = scene_force(&scene);
		net_run_for(scene.net, 60 * NS_PER_MS);
		EXPECT(!revoke->done);
		import[n++] = net_import(scene.net, 2, &scene.other, MS);
		import[n++] = net_import(scene.net, 0, &scene.other, MS);
		import[n++] = net_import(scene.net, 2, &scene.other, 5); /* gives up meanwhile */
		bad = net_import(scene.net, 2, &scene.revoked, MS);
		net_run_for(scene.net, NS_PER_MS);
		EXPECT(!import[0]->done);
		EXPECT_INT(net_wait(scene.net, revoke), 0);
		for (int i = 0; i < 2; i++) {
			EXPECT_INT(net_wait(scene.net, import[i]), 0);
			EXPECT_INT(net_add(scene.net, import[i]->node, import[i]->import, 8, 1), 0);
			EXPECT_INT(net_word(scene.net, 0, scene.region, 8), i + 1);
		}
		EXPECT_INT(net_wait(scene.net, import[2]), -ETIMEDOUT);
		EXPECT_INT(net_wait(scene.net, bad), -ESTALE);
		net_continue(scene.net, 3);
		net_continue(scene.net, 1);
		net_run(scene.net);
		EXPECT_INT(net_add(scene.net, 3, scene.survivor[3], 8, 1), 0);
		EXPECT_INT(net_word(scene.net, 0, scene.region, 8), 3);
		EXPECT_INT(net_wait(scene.net, net_withdraw(scene.net, 0, scene.region, false, MS)),
			   0);
		net_free(scene.net, true);
	}
}

static void
force__more_imports_meanwhile_than_are_parked__enospc_and_the_others_get_theirs(void **state)
{
	struct ask *revoke, *first = NULL, *last = NULL;
	struct scene scene;

	(void)state;
	scene_open(&scene, 1);
	net_stop(scene.net, 3); /* a survivor that holds the force up */
	revoke = scene_force(&scene);
	net_run_for(scene.net, 60 * NS_PER_MS);
	for (int i = 0; i <= CORE_PARKED_MAX; i++) {
		last = net_import(scene.net, 2, &scene.other, MS);
		first = first ? first : last;
	}
	EXPECT_INT(net_wait(scene.net, last), -ENOSPC);
	EXPECT(!first->done);
	EXPECT_INT(net_wait(scene.net, revoke), 0);
	EXPECT_INT(net_wait(scene.net, first), 0);
	net_continue(scene.net, 1);
	net_continue(scene.net, 3);
	net_run(scene.net);
	EXPECT_INT(net_wait(scene.net, net_import(scene.net, 2, &scene.other, MS)), 0);
	net_free(scene.net, true);
}

static void force__parked_importer_dies__the_others_get_theirs(void **state)
{
	struct scene scene;
	struct ask *revoke, *import;

	(void)state;
	scene_open(&scene, 1);
	net_stop(scene.net, 3);
	revoke = scene_force(&scene);
	net_run_for(scene.net, 60 * NS_PER_MS);
	net_import(scene.net, 2, &scene.other, MS);
	import = net_import(scene.net, 0, &scene.other, MS);
	net_run_for(scene.net, NS_PER_MS);
	net_kill(scene.net, 2);
	EXPECT_INT(net_wait(scene.net, revoke), 0);
	EXPECT_INT(net_wait(scene.net, import), 0);
	net_kill(scene.net, 1);
	net_kill(scene.net, 3);
	net_run(scene.net);
	net_free(scene.net, true);
}

static void force__memory_cannot_be_replaced__enotsup_and_grant_stays_revoking(void **state)
{
	struct scene scene;
	struct ask *revoke;

	(void)state;
	scene_open(&scene, 1);
	net_region_find(scene.net, 0, scene.region)->fixed = true;
	revoke = scene_force(&scene);
	EXPECT_INT(net_wait(scene.net, revoke), -ENOTSUP);
	net_run(scene.net);
	EXPECT_INT(net_add(scene.net, 2, scene.survivor[2], 0, 1), 0);
	EXPECT_INT(net_word(scene.net, 0, scene.region, 0), 1);
	EXPECT_INT(net_store_raw(scene.net, 1, scene.silent, 8, 1), 0);
	EXPECT_INT(net_wait(scene.net, net_import(scene.net, 2, &scene.revoked, MS)), -ESTALE);
	net_continue(scene.net, 1);
	EXPECT_INT(net_wait(scene.net, net_revoke(scene.net, 0, &scene.revoked, false, MS)), 0);
	EXPECT_INT(net_store_raw(scene.net, 1, scene.silent, 8, 2), -EFAULT);
	net_free(scene.net, true);
}

static void force__no_memory_for_the_copy__enomem_then_again(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, 1);
	net_node(scene.net, 0)->work_fail[CORE_WORK_FORCE] = 1;
	EXPECT_INT(net_wait(scene.net, scene_force(&scene)), -ENOMEM);
	EXPECT_INT(net_wait(scene.net, scene_force(&scene)), 0);
	EXPECT_INT(net_store_raw(scene.net, 1, scene.silent, 8, 1), -EFAULT);
	net_continue(scene.net, 1);
	net_free(scene.net, true);
}

static void force__another_survivor_is_silent_too__not_waited_for_and_goes_on_later(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, 1);
	EXPECT_INT(net_add(scene.net, 3, scene.survivor[3], 0, 5), 0);
	net_stop(scene.net, 3);
	EXPECT_INT(net_wait(scene.net, scene_force(&scene)), 0);
	net_run(scene.net);
	EXPECT_INT(net_add(scene.net, 2, scene.survivor[2], 0, 1), 0);
	net_continue(scene.net, 3);
	net_run(scene.net);
	EXPECT_INT(net_add(scene.net, 3, scene.survivor[3], 0, 1), 0);
	EXPECT_INT(net_word(scene.net, 0, scene.region, 0), 7);
	net_continue(scene.net, 1);
	net_free(scene.net, true);
}

/* It cannot stop its threads: they must not go on in the old memory as if nothing had happened. */
static void force__survivor_cannot_suspend__its_import_is_lost(void **state)
{
	struct scene scene;
	int err;

	(void)state;
	scene_open(&scene, 1);
	net_node(scene.net, 2)->work_fail[CORE_WORK_SUSPEND] = 1;
	EXPECT_INT(net_wait(scene.net, scene_force(&scene)), 0);
	net_run(scene.net);
	err = net_add(scene.net, 2, scene.survivor[2], 0, 1);
	EXPECT(err == -ENOMEM);
	EXPECT(put_word(scene.net, 2, scene.survivor[2], 0, 1) < 0);
	EXPECT_INT(net_add(scene.net, 3, scene.survivor[3], 0, 1), 0);
	EXPECT_INT(net_word(scene.net, 0, scene.region, 0), 1);
	net_release(scene.net, 2, scene.survivor[2]);
	net_continue(scene.net, 1);
	EXPECT_INT(net_wait(scene.net, net_withdraw(scene.net, 0, scene.region, false, MS)), 0);
	net_free(scene.net, true);
}

static void force__survivor_cannot_map_the_new_memory__its_import_is_lost(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, 1);
	net_node(scene.net, 2)->work_fail[CORE_WORK_REMAP] = 1;
	EXPECT_INT(net_wait(scene.net, scene_force(&scene)), 0);
	net_run(scene.net);
	EXPECT(net_add(scene.net, 2, scene.survivor[2], 0, 1) < 0);
	EXPECT(net_import_at(scene.net, 2, scene.survivor[2])->state == MAP_DEAD);
	net_continue(scene.net, 1);
	EXPECT_INT(net_wait(scene.net, net_withdraw(scene.net, 0, scene.region, false, MS)), 0);
	net_free(scene.net, true);
}

static void remap_seen(void *arg, uint32_t node, void *data, size_t len)
{
	const struct message_head *head = data;

	(void)node;
	(void)len;
	*(unsigned *)arg += head->kind == MESSAGE_REMAP;
}

static void force__survivor_is_revoked_too_meanwhile__gets_no_new_memory(void **state)
{
	unsigned remaps = 0;
	struct scene scene;
	struct ask *revoke, *second;

	(void)state;
	scene_open(&scene, 1);
	net_on_send(scene.net, remap_seen, &remaps);
	net_stop(scene.net, 3);
	revoke = scene_force(&scene);
	net_run_for(scene.net, 60 * NS_PER_MS); /* 2 is suspended, 3 does not answer */
	EXPECT_INT(net_node(scene.net, 2)->suspend_count, 1);
	second = net_revoke(scene.net, 0, &scene.other, false, MS);
	EXPECT_INT(net_wait(scene.net, revoke), 0);
	EXPECT_INT(net_wait(scene.net, second), 0);
	net_run(scene.net);
	EXPECT_INT(remaps, 0);
	EXPECT_INT(net_store_raw(scene.net, 3, scene.survivor[3], 0, 1), -EFAULT);
	net_continue(scene.net, 3);
	net_continue(scene.net, 1);
	net_run(scene.net);
	for (uint32_t node = 0; node < 4; node++)
		if (node != 1) {
			EXPECT_INT(net_add(scene.net, node, scene.survivor[node], 0, 1), -ESTALE);
			EXPECT_INT(net_store_raw(scene.net, node, scene.survivor[node], 0, 1),
				   -EFAULT);
		}
	net_free(scene.net, true);
}

static void force__home_dies_in_the_middle__suspended_imports_are_lost_not_stuck(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct scene scene;

		scene_open(&scene, seed);
		net_stop(scene.net, 3);
		scene_force(&scene);
		net_run_for(scene.net, 60 * NS_PER_MS);
		net_kill(scene.net, 0);
		net_run(scene.net);
		EXPECT_INT(net_add(scene.net, 2, scene.survivor[2], 0, 1), -EHOSTDOWN);
		EXPECT(net_events(scene.net, 2, FARBUS_EVENT_PEER_LOST, 0) == 1);
		net_continue(scene.net, 1);
		net_continue(scene.net, 3);
		net_run(scene.net);
		EXPECT_INT(net_add(scene.net, 3, scene.survivor[3], 0, 1), -EHOSTDOWN);
		net_free(scene.net, true);
	}
}

static void force__survivor_releases_or_dies_while_suspended__force_goes_on(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct scene scene;
		struct ask *revoke;

		scene_open(&scene, seed);
		revoke = scene_force(&scene);
		net_run_for(scene.net, 50 * NS_PER_MS + seed * 10000);
		if (seed % 2)
			net_release(scene.net, 2, scene.survivor[2]);
		else
			net_kill(scene.net, 2);
		EXPECT_INT(net_wait(scene.net, revoke), 0);
		net_run(scene.net);
		EXPECT_INT(net_add(scene.net, 3, scene.survivor[3], 0, 1), 0);
		net_continue(scene.net, 1);
		net_run(scene.net);
		net_free(scene.net, true);
	}
}

static void force__two_grants_at_once__both_zero(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct scene scene;
		struct ask *one, *two;

		scene_open(&scene, seed);
		net_stop(scene.net, 2);
		one = scene_force(&scene);
		net_run_for(scene.net, seed * 3 * NS_PER_MS);
		two = net_revoke(scene.net, 0, &scene.other, true, 100);
		EXPECT_INT(net_wait(scene.net, one), 0);
		EXPECT_INT(net_wait(scene.net, two), 0);
		EXPECT_INT(net_store_raw(scene.net, 1, scene.silent, 0, 1), -EFAULT);
		EXPECT_INT(net_store_raw(scene.net, 2, scene.survivor[2], 0, 1), -EFAULT);
		net_continue(scene.net, 2);
		net_continue(scene.net, 1);
		net_run(scene.net);
		EXPECT_INT(net_add(scene.net, 2, scene.survivor[2], 0, 1), -ESTALE);
		net_free(scene.net, true);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(force__silent_importer__cut_off_and_survivors_lose_no_update),
		cmocka_unit_test(force__importer_lets_go_in_time__no_memory_is_moved),
		cmocka_unit_test(force__after_a_revoke_that_timed_out__zero),
		cmocka_unit_test(force__imports_meanwhile__parked_and_get_the_new_memory),
		cmocka_unit_test(
			force__more_imports_meanwhile_than_are_parked__enospc_and_the_others_get_theirs),
		cmocka_unit_test(force__parked_importer_dies__the_others_get_theirs),
		cmocka_unit_test(
			force__memory_cannot_be_replaced__enotsup_and_grant_stays_revoking),
		cmocka_unit_test(force__no_memory_for_the_copy__enomem_then_again),
		cmocka_unit_test(
			force__another_survivor_is_silent_too__not_waited_for_and_goes_on_later),
		cmocka_unit_test(force__survivor_cannot_suspend__its_import_is_lost),
		cmocka_unit_test(force__survivor_cannot_map_the_new_memory__its_import_is_lost),
		cmocka_unit_test(force__survivor_is_revoked_too_meanwhile__gets_no_new_memory),
		cmocka_unit_test(
			force__home_dies_in_the_middle__suspended_imports_are_lost_not_stuck),
		cmocka_unit_test(force__survivor_releases_or_dies_while_suspended__force_goes_on),
		cmocka_unit_test(force__two_grants_at_once__both_zero),
	};

	test_choose(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
