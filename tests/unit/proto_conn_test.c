/* SPDX-License-Identifier: BSD-3-Clause */
/* proto_conn_test.c -- who is let in: secret, job, version, ranks, instances; and connecting */
#include "proto_test.h"

#include "addrmap/token.h"
#include "runtime/proto/message.h"

/* Rank 0 alone, of a job of size ranks. */
static struct net *net_with_root(uint64_t seed, uint32_t size)
{
	struct net *net = net_new(&(struct net_conf){ .seed = seed, .size = size });
	uint32_t node;

	EXPECT_INT(net_start(net, &(struct net_node_conf){ .rank = 0 }, &node), 0);
	EXPECT_INT(net_wait(net, net_join(net, 0, MS)), 0);
	return net;
}

static uint32_t start(struct net *net, const struct net_node_conf *conf)
{
	uint32_t node;

	EXPECT_INT(net_start(net, conf, &node), 0);
	return node;
}

static void join__other_secret_job_or_size__refused_at_once_and_nobody_hurt(void **state)
{
	static const struct {
		struct net_node_conf conf;
		int status;
	} cases[] = {
		{ { .rank = 1, .other_secret = true }, -EACCES },
		{ { .rank = 1, .job = NET_JOB + 1 }, -EACCES },
		{ { .rank = 1, .size = 2 }, -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct net *net = net_with_root(i, 3);
		struct ask *join;
		uint32_t bad = start(net, &cases[i].conf), good;

		join = net_join(net, bad, MS);
		EXPECT_INT(net_wait(net, join), cases[i].status);
		EXPECT(net_now(net) < join->deadline);
		EXPECT(join->why[0]);
		EXPECT_INT(net_node(net, 0)->event_count, 0);
		good = start(net, &(struct net_node_conf){ .rank = 1 });
		EXPECT_INT(net_wait(net, net_join(net, good, MS)), 0);
		net_free(net, true);
	}
}

static void version_change(void *arg, uint32_t node, void *data, size_t len)
{
	struct message_hello *hello = data;

	(void)arg;
	if (node == 1 && len == sizeof(*hello) && hello->head.kind == MESSAGE_HELLO)
		hello->version++;
}

static void join__other_version__eproto_that_names_it(void **state)
{
	struct net *net = net_with_root(1, 2);
	uint32_t node = start(net, &(struct net_node_conf){ .rank = 1 });
	struct ask *join;

	(void)state;
	net_on_send(net, version_change, NULL);
	join = net_join(net, node, MS);
	EXPECT_INT(net_wait(net, join), -EPROTO);
	assert_non_null(strstr(join->why, "version"));
	net_free(net, true);
}

static void join__before_rank_0_is_there__waits_for_it(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_new(&(struct net_conf){ .seed = seed, .size = 2 });
		uint32_t node = start(net, &(struct net_node_conf){ .rank = 1 });
		struct ask *join = net_join(net, node, 500), *late;

		EXPECT_INT(net_wait(net, join), -ETIMEDOUT);
		EXPECT_INT(net_now(net), join->deadline);
		late = net_join(net, node, 500);
		net_run_for(net, 300 * NS_PER_MS);
		start(net, &(struct net_node_conf){ .rank = 0 });
		sim_refuse(net_sim(net), 1, 2); /* it is not listening yet */
		EXPECT_INT(net_wait(net, late), 0);
		net_free(net, true);
	}
}

static void join__rank_0_stopped_in_the_greeting__etimedout_at_the_deadline(void **state)
{
	struct net *net = net_with_root(1, 2);
	uint32_t node = start(net, &(struct net_node_conf){ .rank = 1 });
	struct ask *join = net_join(net, node, 5000);

	(void)state;
	while (core_link_rank(net_node(net, 0)->core, 0) == 0) /* nobody yet */
		EXPECT(net_step(net));
	EXPECT(net_step(net)); /* it has accepted */
	net_stop(net, 0);
	EXPECT_INT(net_wait(net, join), -ETIMEDOUT);
	EXPECT_INT(net_now(net), join->deadline);
	net_continue(net, 0);
	EXPECT_INT(net_wait(net, net_join(net, node, MS)), 0);
	net_free(net, true);
}

/* A job has one process for a rank: when a second one proves the secret, the first has ended. */
static void join__same_rank_again__the_older_one_is_lost(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 3);
		uint32_t again = start(net, &(struct net_node_conf){ .rank = 2 });

		EXPECT_INT(net_wait(net, net_join(net, again, MS)), 0);
		net_run(net);
		EXPECT_INT(net_events(net, 0, FARBUS_EVENT_PEER_LOST, 2), 1);
		EXPECT_INT(net_events(net, 1, FARBUS_EVENT_PEER_LOST, 2), 1);
		EXPECT_INT(net_wait(net, net_lookup(net, 2, "x", 0)), -EHOSTDOWN);
		net_free(net, true);
	}
}

static void join__rank_of_whom_it_joins__eexist(void **state)
{
	struct net *net = net_with_root(1, 2);
	struct message_hello hello = {
		.head = { .kind = MESSAGE_HELLO },
		.magic = MESSAGE_MAGIC,
		.version = MESSAGE_VERSION,
		.job = NET_JOB,
		.rank = 0,
		.size = 2,
		.instance = 77,
	};
	struct {
		struct message_reply reply;
		char why[MESSAGE_WHY_MAX];
	} answer;

	(void)state;
	net_inject(net, 0, net_stranger(net, 0), &hello, sizeof(hello), false);
	EXPECT(net_stranger_take(net, &answer, sizeof(answer)) >= sizeof(answer.reply));
	EXPECT_INT(answer.reply.head.kind, MESSAGE_REFUSE);
	EXPECT_INT(answer.reply.status, -EEXIST);
	EXPECT(net_stranger_closed(net));
	net_free(net, true);
}

static void join__instance_id_of_somebody_else__eexist_and_that_one_unhurt(void **state)
{
	struct net *net = net_joined(1, 4);
	struct net_node_conf conf = { .rank = 3 };
	uint32_t thief;

	(void)state;
	net_kill(net, 3);
	net_run(net);
	conf.instance = net_node(net, 2)->instance;
	thief = start(net, &conf);
	EXPECT_INT(net_wait(net, net_join(net, thief, MS)), -EEXIST);
	conf.instance = net_node(net, 0)->instance;
	thief = start(net, &conf);
	EXPECT_INT(net_wait(net, net_join(net, thief, MS)), -EEXIST);
	EXPECT_INT(net_wait(net, net_lookup(net, 2, "x", 0)), -ETIMEDOUT);
	EXPECT_INT(net_events(net, 0, FARBUS_EVENT_PEER_LOST, 2), 0);
	net_free(net, true);
}

static void restart__of_a_home__old_tokens_estale_and_new_ones_good(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 3);
		struct farbus_token old, new;
		uint32_t index, again;

		region_with(net, 1, RWA, 0, &old);
		index = import_of(net, 2, &old);
		net_kill(net, 1);
		if (seed % 2)
			net_run(net);
		again = start(net, &(struct net_node_conf){ .rank = 1 });
		EXPECT_INT(net_wait(net, net_join(net, again, MS)), 0);
		net_run(net);
		EXPECT_INT(net_add(net, 2, index, 0, 1), -EHOSTDOWN);
		EXPECT_INT(net_events(net, 2, FARBUS_EVENT_PEER_LOST, 1), 1);
		EXPECT_INT(net_wait(net, net_import(net, 2, &old, MS)), -ESTALE);
		region_with(net, again, RWA, 0, &new);
		index = import_of(net, 2, &new);
		EXPECT_INT(net_add(net, 2, index, 0, 1), 0);
		EXPECT_INT(net_wait(net, net_revoke(net, 2, &old, false, MS)), -ENOENT);
		net_free(net, true);
	}
}

/* Its last message comes when the one that was started in its place is in. */
static void restart__old_greeting_ends_after_the_new_one__the_new_one_stays(void **state)
{
	unsigned late = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct net *net = net_with_root(seed, 2);
		uint32_t old = start(net, &(struct net_node_conf){ .rank = 1 }), new;
		struct ask *join;

		net_join(net, old, MS);
		net_run_for(net, 60 * NS_PER_US + net_random(net, 120 * NS_PER_US));
		net_kill(net, old);
		sim_delay_set(net_sim(net), 100, 2000);
		new = start(net, &(struct net_node_conf){ .rank = 1 });
		join = net_join(net, new, MS);
		EXPECT_INT(net_wait(net, join), 0);
		net_run(net);
		late += net_events(net, 0, FARBUS_EVENT_PEER_LOST, 1) > 0;
		EXPECT_INT(net_events(net, new, FARBUS_EVENT_PEER_LOST, 0), 0);
		EXPECT_INT(net_wait(net, net_lookup(net, new, "x", 0)), -ETIMEDOUT);
		net_free(net, true);
	}
	EXPECT(late > 0);
}

static void down_send(struct net *net, uint32_t to, uint32_t rank, uint32_t instance)
{
	struct message_dead dead = {
		.head = { .kind = MESSAGE_DEAD },
		.rank = rank,
		.instance = instance,
		.status = -EHOSTDOWN,
	};

	net_inject(net, to, core_rank_link(net_node(net, to)->core, 0), &dead, sizeof(dead), false);
}

/* Given up by the root, it runs on: neither side may pick up again where it was. */
static void dead__instance_that_is_not__no_connection_either_way(void **state)
{
	struct net *net = net_joined(1, 3);
	struct farbus_token of_1, of_2;
	struct ask *ask;

	(void)state;
	region_with(net, 1, RWA, 0, &of_1);
	region_with(net, 2, RWA, 0, &of_2);
	down_send(net, 2, 1, net_node(net, 1)->instance);
	EXPECT_INT(net_events(net, 2, FARBUS_EVENT_PEER_LOST, 1), 1);
	ask = net_import(net, 2, &of_1, MS);
	EXPECT_INT(net_wait(net, ask), -EHOSTDOWN);
	ask = net_import(net, 1, &of_2, MS);
	EXPECT_INT(net_wait(net, ask), -EHOSTDOWN);
	net_free(net, true);
}

static void link__that_says_nothing__closed_in_time(void **state)
{
	struct net *net = net_with_root(1, 2);

	(void)state;
	net_stranger(net, 0);
	net_run_for(net, NS_PER_S - 1);
	EXPECT(!net_stranger_closed(net));
	net_run_for(net, 2);
	EXPECT(net_stranger_closed(net));
	net_free(net, true);
}

static void link__anything_but_a_greeting_first__closed(void **state)
{
	struct net *net = net_with_root(1, 2);
	uint64_t data[CORE_MESSAGE_MAX / 8 + 2] = { 0 };
	struct message_head *head = (struct message_head *)data;

	(void)state;
	for (uint32_t kind = 0; kind < MESSAGE_KINDS + 2; kind++)
		for (int grow = -1; grow <= 1; grow++) {
			uint32_t link = net_stranger(net, 0);
			size_t size = message_size(kind) + (size_t)(grow + 1);

			if (kind == MESSAGE_HELLO && grow == 0)
				continue; /* refused for what it says: see above */
			head->kind = kind;
			net_inject(net, 0, link, data, size ? size - 1 : 0, false);
			EXPECT(net_stranger_closed(net));
		}
	net_inject(net, 0, net_stranger(net, 0), data, sizeof(data), false);
	EXPECT(net_stranger_closed(net));
	EXPECT_INT(net_node(net, 0)->event_count, 0);
	net_free(net, true);
}

/* Taps what two instances say, and says it again. */
struct tape {
	uint8_t data[16][512];
	size_t len[16], count;
};

static void tape_add(void *arg, uint32_t node, void *data, size_t len)
{
	struct tape *tape = arg;

	if (node != 1 || tape->count == 16 || len > 512)
		return;
	memcpy(tape->data[tape->count], data, len);
	tape->len[tape->count++] = len;
}

static void greeting__said_again_by_who_heard_it__not_let_in(void **state)
{
	struct net *net = net_with_root(1, 2);
	struct tape tape = { 0 };
	uint32_t link, node = start(net, &(struct net_node_conf){ .rank = 1 });

	(void)state;
	net_on_send(net, tape_add, &tape);
	EXPECT_INT(net_wait(net, net_join(net, node, MS)), 0);
	EXPECT(tape.count >= 2); /* HELLO, PROOF */
	net_on_send(net, NULL, NULL);
	link = net_stranger(net, 0);
	net_inject(net, 0, link, tape.data[0], tape.len[0], false);
	EXPECT(!net_stranger_closed(net)); /* up to here anybody comes */
	net_inject(net, 0, link, tape.data[1], tape.len[1], false);
	EXPECT(net_stranger_closed(net));
	EXPECT(core_link_rank(net_node(net, 0)->core, link) == UINT32_MAX);
	EXPECT_INT(net_node(net, 0)->event_count, 0);
	net_free(net, true);
}

static void link__both_connect_at_once__requests_of_both_are_answered(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 3);
		struct farbus_token of_1, of_2;
		struct ask *a, *b;

		region_with(net, 1, RWA, 0, &of_1);
		region_with(net, 2, RWA, 0, &of_2);
		a = net_import(net, 1, &of_2, MS);
		b = net_import(net, 2, &of_1, MS);
		EXPECT_INT(net_wait(net, a), 0);
		EXPECT_INT(net_wait(net, b), 0);
		net_run(net);
		EXPECT_INT(net_wait(net, net_revoke(net, 1, &of_1, false, MS)), 0);
		EXPECT_INT(net_wait(net, net_revoke(net, 2, &of_2, false, MS)), 0);
		net_kill(net, 1);
		net_run(net);
		EXPECT_INT(net_events(net, 2, FARBUS_EVENT_PEER_LOST, 1), 1);
		net_free(net, true);
	}
}

/* What the driver says of a connection it could not make is what its user hears. */
static void connect__fails_here__its_error_not_the_peers_death(void **state)
{
	struct net *net = net_joined(1, 3);
	struct core *core = net_node(net, 2)->core;
	struct farbus_token token;
	struct core_output output;
	uint32_t id;
	int ended = 0;

	(void)state;
	region_with(net, 1, RWA, 0, &token);
	EXPECT_INT(core_import(core, &token, NULL, net_now(net) + NS_PER_S, net_now(net), &id), 0);
	while (core_output(core, &output)) {
		if (output.kind == CORE_CONNECT)
			core_connect_failed(core, output.rank, -EMFILE, net_now(net));
		if (output.kind != CORE_DONE)
			continue;
		EXPECT_INT(output.request, id);
		EXPECT_INT(output.status, -EMFILE);
		assert_null(strstr(output.why, "ended"));
		ended++;
	}
	EXPECT_INT(ended, 1);
	net_free(net, true);
}

static void run__same_seed__same_digest(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		uint64_t digest[2];

		for (int i = 0; i < 2; i++) {
			struct net *net = net_joined(seed, 4);
			struct farbus_token token;

			region_with(net, 1, RWA, 0, &token);
			import_of(net, 2, &token);
			net_stop(net, 2);
			net_wait(net, net_revoke(net, 1, &token, true, 100));
			net_kill(net, 3);
			net_continue(net, 2);
			net_run(net);
			digest[i] = sim_digest(net_sim(net));
			net_free(net, true);
		}
		EXPECT(digest[0] == digest[1]);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(join__other_secret_job_or_size__refused_at_once_and_nobody_hurt),
		cmocka_unit_test(join__other_version__eproto_that_names_it),
		cmocka_unit_test(join__before_rank_0_is_there__waits_for_it),
		cmocka_unit_test(join__rank_0_stopped_in_the_greeting__etimedout_at_the_deadline),
		cmocka_unit_test(join__same_rank_again__the_older_one_is_lost),
		cmocka_unit_test(join__rank_of_whom_it_joins__eexist),
		cmocka_unit_test(join__instance_id_of_somebody_else__eexist_and_that_one_unhurt),
		cmocka_unit_test(restart__of_a_home__old_tokens_estale_and_new_ones_good),
		cmocka_unit_test(restart__old_greeting_ends_after_the_new_one__the_new_one_stays),
		cmocka_unit_test(dead__instance_that_is_not__no_connection_either_way),
		cmocka_unit_test(link__that_says_nothing__closed_in_time),
		cmocka_unit_test(link__anything_but_a_greeting_first__closed),
		cmocka_unit_test(greeting__said_again_by_who_heard_it__not_let_in),
		cmocka_unit_test(link__both_connect_at_once__requests_of_both_are_answered),
		cmocka_unit_test(connect__fails_here__its_error_not_the_peers_death),
		cmocka_unit_test(run__same_seed__same_digest),
	};

	test_choose(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
