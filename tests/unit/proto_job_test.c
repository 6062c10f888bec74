/* SPDX-License-Identifier: BSD-3-Clause */
/* proto_job_test.c -- names, collectives, deaths and departures, abort */
#include "proto_test.h"

#include "base/error.h"

#define SIZE 4

static void token_text(struct farbus_token *token, const char *text)
{
	memset(token, 0, sizeof(*token));
	snprintf(token->text, sizeof(token->text), "%s", text);
}

/* ---- names ---- */

static void lookup__before_and_after_publish__token_of_the_publisher(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, SIZE);
		struct farbus_token token;
		struct ask *early[SIZE], *late;

		token_text(&token, "one");
		for (uint32_t node = 0; node < SIZE; node++)
			early[node] = net_lookup(net, node, "a name", MS);
		net_run_for(net, NS_PER_MS);
		EXPECT_INT(net_wait(net, net_publish(net, 2, "another", &token, MS)), 0);
		for (uint32_t node = 0; node < SIZE; node++)
			EXPECT(!early[node]->done);
		EXPECT_INT(net_wait(net, net_publish(net, 1, "a name", &token, MS)), 0);
		for (uint32_t node = 0; node < SIZE; node++) {
			EXPECT_INT(net_wait(net, early[node]), 0);
			assert_string_equal(early[node]->token.text, "one");
		}
		late = net_lookup(net, 3, "a name", 0);
		EXPECT_INT(net_wait(net, late), 0);
		assert_string_equal(late->token.text, "one");
		net_free(net, true);
	}
}

static void publish__bad_names_and_twice__refused_and_first_one_stays(void **state)
{
	struct net *net = net_joined(1, SIZE);
	struct farbus_token token, other;
	char name[FARBUS_NAME_MAX + 1];
	struct ask *ask;

	(void)state;
	token_text(&token, "one");
	token_text(&other, "two");
	memset(name, 'n', sizeof(name));
	name[FARBUS_NAME_MAX] = '\0';
	EXPECT_INT(net_wait(net, net_publish(net, 1, name, &token, MS)), -ENAMETOOLONG);
	EXPECT_INT(net_wait(net, net_lookup(net, 1, name, MS)), -ENAMETOOLONG);
	EXPECT_INT(net_wait(net, net_publish(net, 1, "", &token, MS)), -EINVAL);
	name[FARBUS_NAME_MAX - 1] = '\0';
	EXPECT_INT(net_wait(net, net_publish(net, 1, name, &token, MS)), 0);
	EXPECT_INT(net_wait(net, net_publish(net, 1, name, &other, MS)), -EEXIST);
	EXPECT_INT(net_wait(net, net_publish(net, 2, name, &other, MS)), -EEXIST);
	ask = net_lookup(net, 0, name, MS);
	EXPECT_INT(net_wait(net, ask), 0);
	assert_string_equal(ask->token.text, "one");
	memset(&other, 'x', sizeof(other)); /* no end */
	EXPECT_INT(net_wait(net, net_publish(net, 2, "bad", &other, MS)), -EINVAL);
	net_free(net, true);
}

static void lookup__nobody_publishes__etimedout_at_the_deadline_and_forgotten(void **state)
{
	struct net *net = net_joined(1, SIZE);
	struct farbus_token token;
	struct ask *ask = net_lookup(net, 2, "never", 50), *look;

	(void)state;
	EXPECT_INT(net_wait(net, ask), -ETIMEDOUT);
	EXPECT_INT(net_now(net), ask->deadline);
	look = net_lookup(net, 2, "never", 0);
	EXPECT_INT(net_wait(net, look), -ETIMEDOUT);
	EXPECT(net_now(net) < look->started + NS_PER_S); /* it only looks */
	net_run(net);
	token_text(&token, "late");
	EXPECT_INT(net_wait(net, net_publish(net, 1, "never", &token, MS)), 0);
	net_free(net, true);
}

static void lookup__more_requests_than_an_instance_has__enospc_and_says_so(void **state)
{
	struct net *net = net_joined(1, SIZE);
	struct core *core = net_node(net, 2)->core;
	uint64_t now = net_now(net), deadline = now + NS_PER_S;
	uint32_t id, last = 0;

	(void)state;
	/* Not through the simulation, which would check everything after each of them. */
	for (int i = 0; i < CORE_REQUEST_MAX; i++) {
		EXPECT_INT(core_lookup(core, "never", deadline, now, &id), 0);
		EXPECT(id != last);
		last = id;
	}
	EXPECT_INT(core_lookup(core, "never", deadline, now, &id), -ENOSPC);
	assert_non_null(strstr(error_text(), "requests"));
	net_free(net, false);
}

static void publish__publisher_dies__name_goes_and_can_be_taken(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, SIZE);
		struct farbus_token token;
		struct ask *ask;

		token_text(&token, "one");
		EXPECT_INT(net_wait(net, net_publish(net, 1, "a name", &token, MS)), 0);
		net_kill(net, 1);
		net_run(net);
		EXPECT_INT(net_wait(net, net_lookup(net, 2, "a name", 0)), -ETIMEDOUT);
		token_text(&token, "two");
		ask = net_lookup(net, 3, "a name", MS);
		EXPECT_INT(net_wait(net, net_publish(net, 2, "a name", &token, MS)), 0);
		EXPECT_INT(net_wait(net, ask), 0);
		assert_string_equal(ask->token.text, "two");
		net_free(net, true);
	}
}

static void publish__as_many_as_there_may_be__then_enospc(void **state)
{
	struct net *net = net_joined(1, 2);
	struct farbus_token token;
	struct ask *ask = NULL;
	char name[32];

	(void)state;
	token_text(&token, "t");
	for (int i = 0; i < CORE_NAME_MAX; i++) {
		snprintf(name, sizeof(name), "name %d", i);
		ask = net_publish(net, 1, name, &token, MS);
		if (i % 64 == 0)
			EXPECT_INT(net_wait(net, ask), 0);
	}
	EXPECT_INT(net_wait(net, ask), 0);
	EXPECT_INT(net_wait(net, net_publish(net, 1, "one more", &token, MS)), -ENOSPC);
	EXPECT_INT(net_wait(net, net_lookup(net, 0, "name 4095", 0)), 0);
	net_kill(net, 1);
	net_run(net);
	EXPECT_INT(net_wait(net, net_publish(net, 0, "one more", &token, MS)), 0);
	net_free(net, true);
}

static void request__as_many_as_there_may_be__then_enospc_and_each_ends(void **state)
{
	struct net *net = net_joined(1, 2);
	struct farbus_token token;
	uint32_t id, ended = 0;
	struct core *core = net_node(net, 1)->core;
	struct core_output output;

	(void)state;
	token_text(&token, "t");
	net_kill(net, 0);
	for (int i = 0; i < CORE_REQUEST_MAX; i++)
		EXPECT_INT(core_lookup(core, "x", net_now(net) + NS_PER_S, net_now(net), &id), 0);
	EXPECT_INT(core_lookup(core, "x", net_now(net) + NS_PER_S, net_now(net), &id), -ENOSPC);
	core_step(core, net_now(net) + NS_PER_S);
	while (core_output(core, &output))
		ended += output.kind == CORE_DONE && output.status == -ETIMEDOUT;
	EXPECT_INT(ended, CORE_REQUEST_MAX);
	core_check(core);
	net_free(net, true);
}

/* ---- collectives ---- */

static void collectives__all_ranks__right_results_in_order(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, SIZE);
		struct ask *barrier[SIZE], *broadcast[SIZE], *reduce[SIZE];
		uint64_t words[3];
		char data[FARBUS_MESSAGE_MAX];

		memset(data, 'd', sizeof(data));
		for (uint32_t node = 1; node < SIZE; node++)
			barrier[node] = net_barrier(net, node, MS);
		net_run_for(net, 10 * NS_PER_MS);
		for (uint32_t node = 1; node < SIZE; node++)
			EXPECT(!barrier[node]->done);
		barrier[0] = net_barrier(net, 0, MS);
		for (uint32_t node = 0; node < SIZE; node++)
			EXPECT_INT(net_wait(net, barrier[node]), 0);
		for (uint32_t node = 0; node < SIZE; node++)
			broadcast[node] = net_broadcast(net, node, 2, data, sizeof(data), MS);
		for (uint32_t node = 0; node < SIZE; node++) {
			EXPECT_INT(net_wait(net, broadcast[node]), 0);
			EXPECT_INT(broadcast[node]->len, sizeof(data));
			assert_memory_equal(broadcast[node]->data, data, sizeof(data));
		}
		for (uint32_t node = 0; node < SIZE; node++) {
			words[0] = node + 1;
			words[1] = UINT64_MAX;
			words[2] = 1ull << node;
			reduce[node] =
				net_allreduce(net, node, words, 3, FARBUS_U64, FARBUS_SUM, MS);
		}
		for (uint32_t node = 0; node < SIZE; node++) {
			EXPECT_INT(net_wait(net, reduce[node]), 0);
			EXPECT_INT(reduce[node]->len, sizeof(words));
			memcpy(words, reduce[node]->data, sizeof(words));
			EXPECT_INT(words[0], 10);
			EXPECT_INT(words[1], -4);
			EXPECT_INT(words[2], 15);
		}
		net_free(net, true);
	}
}

static void allreduce__every_type_and_operation__as_computed_here(void **state)
{
	static const int64_t sample[SIZE] = { -3, 5, INT64_MIN, 2 };
	struct net *net = net_joined(1, SIZE);

	(void)state;
	for (enum farbus_type type = FARBUS_U64; type <= FARBUS_F64; type++)
		for (enum farbus_reduce op = FARBUS_SUM; op <= FARBUS_MAX; op++) {
			struct ask *ask[SIZE];
			int64_t got, wanted;
			double real;

			for (uint32_t node = 0; node < SIZE; node++) {
				real = (double)sample[node];
				ask[node] = net_allreduce(net, node,
							  type == FARBUS_F64 ? (const void *)&real :
									       &sample[node],
							  1, type, op, MS);
			}
			for (uint32_t node = 0; node < SIZE; node++) {
				EXPECT_INT(net_wait(net, ask[node]), 0);
				memcpy(&got, ask[node]->data, 8);
				memcpy(&real, ask[node]->data, 8);
				if (type == FARBUS_F64)
					got = (int64_t)real;
				wanted = op == FARBUS_SUM ? INT64_MIN + 4 :
					 op == FARBUS_MIN ? INT64_MIN :
							    5;
				if (type == FARBUS_U64 && op == FARBUS_MIN)
					wanted = 2;
				if (type == FARBUS_U64 && op == FARBUS_MAX)
					wanted = -3;
				if (type == FARBUS_F64 && op == FARBUS_SUM)
					wanted = INT64_MIN; /* 4 is less than half an ulp */
				EXPECT_INT(got, wanted);
			}
		}
	net_free(net, true);
}

static void allreduce__floats_in_any_order_of_arrival__same_bits(void **state)
{
	static const double part[SIZE] = { 1e100, 3.14159, -1e100, 1e-7 };
	double wanted = part[0];
	uint64_t first = 0;

	(void)state;
	for (uint32_t node = 1; node < SIZE; node++)
		wanted += part[node];
	memcpy(&first, &wanted, sizeof(first));
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, SIZE);
		struct ask *ask[SIZE];
		uint64_t bits;

		for (uint32_t i = 0; i < SIZE; i++) {
			uint32_t node = (uint32_t)(i + seed) % SIZE;

			ask[node] = net_allreduce(net, node, &part[node], 1, FARBUS_F64, FARBUS_SUM,
						  MS);
			net_run_for(net, net_random(net, NS_PER_MS));
		}
		for (uint32_t node = 0; node < SIZE; node++) {
			EXPECT_INT(net_wait(net, ask[node]), 0);
			memcpy(&bits, ask[node]->data, sizeof(bits));
			EXPECT(bits == first);
		}
		net_free(net, true);
	}
}

static void collective__ranks_call_different_ones__eproto_for_all_and_from_then_on(void **state)
{
	(void)state;
	for (int kind = 0; kind < 5; kind++)
		FOR_SEEDS(seed)
		{
			struct net *net = net_joined(seed, SIZE);
			struct ask *ask[SIZE];
			uint64_t word[2] = { 1, 2 };

			for (uint32_t node = 0; node < SIZE; node++)
				if (node != 2)
					ask[node] = net_allreduce(net, node, word, 1, FARBUS_U64,
								  FARBUS_SUM, MS);
			ask[2] =
				kind == 0 ?
					net_barrier(net, 2, MS) :
				kind == 1 ?
					net_broadcast(net, 2, 2, word, 8, MS) :
				kind == 2 ?
					net_allreduce(net, 2, word, 2, FARBUS_U64, FARBUS_SUM, MS) :
				kind == 3 ?
					net_allreduce(net, 2, word, 1, FARBUS_I64, FARBUS_SUM, MS) :
					net_allreduce(net, 2, word, 1, FARBUS_U64, FARBUS_MAX, MS);
			for (uint32_t node = 0; node < SIZE; node++)
				EXPECT_INT(net_wait(net, ask[node]), -EPROTO);
			for (uint32_t node = 0; node < SIZE; node++)
				EXPECT_INT(net_wait(net, net_barrier(net, node, MS)), -EPROTO);
			/* Names go on. */
			EXPECT_INT(net_wait(net, net_lookup(net, 1, "x", 0)), -ETIMEDOUT);
			net_free(net, true);
		}
}

static void collective__one_rank_does_not_come__etimedout_for_all(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, SIZE);
		struct ask *ask[SIZE];

		for (uint32_t node = 0; node < SIZE; node++)
			if (node != 1)
				ask[node] = net_barrier(net, node, node == 3 ? 50 : MS);
		for (uint32_t node = 0; node < SIZE; node++)
			if (node != 1)
				EXPECT_INT(net_wait(net, ask[node]), -ETIMEDOUT);
		/* Nobody waited longer than the first who gave up. */
		EXPECT(net_now(net) < ask[0]->deadline);
		EXPECT_INT(net_wait(net, net_barrier(net, 1, MS)), -ETIMEDOUT);
		net_free(net, true);
	}
}

static void collective__a_rank_dies_in_it__ehostdown_for_all(void **state)
{
	(void)state;
	for (uint32_t dies = 0; dies < SIZE; dies++)
		FOR_SEEDS(seed)
		{
			struct net *net = net_joined(seed, SIZE);
			struct ask *ask[SIZE];

			for (uint32_t node = 0; node < SIZE; node++)
				if (node != dies || seed % 2)
					ask[node] = net_barrier(net, node, MS);
			if (seed % 2 == 0)
				ask[dies] = NULL;
			net_run_for(net, 1 + net_random(net, 200 * NS_PER_US));
			net_kill(net, dies);
			for (uint32_t node = 0; node < SIZE; node++)
				if (node != dies)
					EXPECT(net_wait(net, ask[node]) == -EHOSTDOWN ||
					       (seed % 2 && ask[node]->status == 0));
			for (uint32_t node = 0; node < SIZE; node++)
				if (node != dies)
					EXPECT_INT(net_wait(net, net_barrier(net, node, MS)),
						   -EHOSTDOWN);
			net_free(net, true);
		}
}

static void collective__what_no_rank_may_ask__refused_here_and_nothing_sent(void **state)
{
	struct net *net = net_joined(1, 2);
	uint64_t words[FARBUS_MESSAGE_MAX / 8 + 1] = { 0 };
	struct ask *ask[2];

	(void)state;
	for (uint32_t node = 0; node < 2; node++) {
		EXPECT_INT(net_wait(net, net_allreduce(net, node, words, 1, 0, FARBUS_SUM, MS)),
			   -EINVAL);
		EXPECT_INT(net_wait(net, net_allreduce(net, node, words, 1, 4, FARBUS_SUM, MS)),
			   -EINVAL);
		EXPECT_INT(net_wait(net, net_allreduce(net, node, words, 1, FARBUS_U64, 0, MS)),
			   -EINVAL);
		EXPECT_INT(net_wait(net, net_allreduce(net, node, words, 1, FARBUS_U64, 4, MS)),
			   -EINVAL);
		EXPECT_INT(net_wait(net, net_allreduce(net, node, words, COUNT_OF(words),
						       FARBUS_U64, FARBUS_SUM, MS)),
			   -EINVAL);
		EXPECT_INT(net_wait(net, net_allreduce(net, node, words, SIZE_MAX / 8 + 2,
						       FARBUS_U64, FARBUS_SUM, MS)),
			   -EINVAL);
		EXPECT_INT(net_wait(net, net_broadcast(net, node, 2, words, 8, MS)), -EINVAL);
		EXPECT_INT(net_wait(net, net_broadcast(net, node, 0, words, 0, MS)), -EINVAL);
		EXPECT_INT(net_wait(net, net_broadcast(net, node, 0, words, SIZE_MAX, MS)),
			   -EINVAL);
	}
	for (uint32_t node = 0; node < 2; node++)
		ask[node] = net_barrier(net, node, MS);
	for (uint32_t node = 0; node < 2; node++)
		EXPECT_INT(net_wait(net, ask[node]), 0);
	net_free(net, true);
}

static void
collective__second_one_while_the_first_is_under_way__ebusy_and_the_first_goes_on(void **state)
{
	(void)state;
	for (uint32_t twice = 0; twice < 2; twice++) {
		struct net *net = net_joined(1, 2);
		struct ask *first = net_barrier(net, twice, MS), *other;

		EXPECT_INT(net_wait(net, net_barrier(net, twice, MS)), -EBUSY);
		net_run_for(net, NS_PER_MS);
		EXPECT_INT(net_wait(net, net_barrier(net, twice, MS)), -EBUSY);
		other = net_barrier(net, !twice, MS);
		EXPECT_INT(net_wait(net, first), 0);
		EXPECT_INT(net_wait(net, other), 0);
		first = net_barrier(net, twice, MS);
		other = net_barrier(net, !twice, MS);
		EXPECT_INT(net_wait(net, first), 0);
		EXPECT_INT(net_wait(net, other), 0);
		net_free(net, true);
	}
}

/* ---- deaths and departures ---- */

static void death__of_each_rank__others_get_one_event_and_go_on(void **state)
{
	(void)state;
	for (uint32_t dies = 1; dies < SIZE; dies++)
		FOR_SEEDS(seed)
		{
			struct net *net = net_joined(seed, SIZE);
			uint32_t home = dies == 1 ? 2 : 1;
			struct farbus_token token;
			uint32_t index;

			net_kill(net, dies);
			net_run(net);
			for (uint32_t node = 0; node < SIZE; node++)
				if (node != dies)
					EXPECT_INT(
						net_events(net, node, FARBUS_EVENT_PEER_LOST, dies),
						1);
			region_with(net, home, RWA, FARBUS_GRANT_SERVED, &token);
			index = import_of(net, 0, &token);
			EXPECT_INT(put_word(net, 0, index, 0, 1), 0);
			net_free(net, true);
		}
}

static void death__of_the_home__import_fails_and_can_be_released(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, SIZE);
		struct farbus_token mapped, served;
		uint32_t one, two;
		struct ask *get;

		region_with(net, 1, RWA, 0, &mapped);
		region_with(net, 1, RWA, FARBUS_GRANT_SERVED, &served);
		one = import_of(net, 2, &mapped);
		two = import_of(net, 3, &served);
		get = net_get(net, 3, two, 0, 8, MS);
		net_kill(net, 1);
		EXPECT(net_wait(net, get) == 0 || get->status == -EHOSTDOWN);
		net_run(net);
		EXPECT_INT(net_add(net, 2, one, 0, 1), -EHOSTDOWN);
		EXPECT_INT(net_node(net, 2)->lost_count, 1);
		EXPECT_INT(put_word(net, 3, two, 0, 1), -EHOSTDOWN);
		EXPECT_INT(net_wait(net, net_renew(net, 2, one, &mapped, MS)), -EHOSTDOWN);
		EXPECT_INT(net_wait(net, net_import(net, 2, &mapped, MS)), -EHOSTDOWN);
		EXPECT_INT(net_wait(net, net_revoke(net, 2, &mapped, false, MS)), -EHOSTDOWN);
		net_release(net, 2, one);
		net_release(net, 3, two);
		net_free(net, true);
	}
}

static void death__of_the_root__requests_of_it_fail_and_the_rest_goes_on(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, SIZE);
		struct farbus_token token;
		struct ask *lookup = net_lookup(net, 2, "x", MS), *barrier;
		uint32_t index;

		region_with(net, 1, RWA, 0, &token);
		index = import_of(net, 2, &token);
		barrier = net_barrier(net, 3, MS);
		net_kill(net, 0);
		EXPECT_INT(net_wait(net, lookup), -EHOSTDOWN);
		EXPECT_INT(net_wait(net, barrier), -EHOSTDOWN);
		net_run(net);
		for (uint32_t node = 1; node < SIZE; node++)
			EXPECT_INT(net_events(net, node, FARBUS_EVENT_PEER_LOST, 0), 1);
		EXPECT_INT(net_wait(net, net_publish(net, 1, "x", &token, MS)), -EHOSTDOWN);
		EXPECT_INT(net_wait(net, net_barrier(net, 1, MS)), -EHOSTDOWN);
		EXPECT_INT(net_add(net, 2, index, 0, 1), 0);
		EXPECT_INT(net_wait(net, net_import(net, 3, &token, MS)), 0);
		net_free(net, true);
	}
}

static void goodbye__of_one__like_a_death_but_before_its_end(void **state)
{
	struct net *net = net_joined(1, SIZE);
	struct farbus_token token;
	uint32_t index;

	(void)state;
	region_with(net, 1, RWA, 0, &token);
	index = import_of(net, 2, &token);
	net_goodbye(net, 1);
	net_run(net);
	EXPECT(net_alive(net, 1));
	for (uint32_t node = 0; node < SIZE; node++)
		EXPECT_INT(net_events(net, node, FARBUS_EVENT_PEER_LOST, 1), node != 1);
	EXPECT_INT(net_add(net, 2, index, 0, 1), -EHOSTDOWN);
	EXPECT_INT(net_node(net, 1)->event_count, 0);
	net_free(net, true);
}

/* Its collective has everybody but the last when the root leaves, and one of them is gone already. */
static void goodbye__of_the_root_in_a_collective__nobody_is_answered_who_has_gone(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, 3);
		struct ask *last;

		net_barrier(net, 0, MS);
		net_barrier(net, 1, MS);
		net_run_for(net, 5 * NS_PER_MS);
		last = net_barrier(net, 2, MS);
		for (uint64_t i = 0; i < seed % 3; i++)
			net_step(net);
		net_goodbye(net, 0);
		net_kill(net, 1);
		EXPECT(net_wait(net, last) == 0 || last->status == -EHOSTDOWN);
		net_kill(net, 2);
		net_run(net);
		net_free(net, true);
	}
}

static void abort__by_any_rank__all_others_get_its_code(void **state)
{
	(void)state;
	for (uint32_t by = 0; by < SIZE; by++) {
		struct net *net = net_joined(by, SIZE);

		net_abort(net, by, 40 + (int)by, "because");
		net_run(net);
		for (uint32_t node = 0; node < SIZE; node++) {
			EXPECT_INT(net_node(net, node)->aborted, node != by);
			if (node != by)
				EXPECT_INT(net_node(net, node)->abort_code, 40 + (int)by);
		}
		net_free(net, true);
	}
}

/* ---- stopped ---- */

static void stop__and_continue__nobody_is_declared_dead(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct net *net = net_joined(seed, SIZE);
		struct ask *barrier[SIZE];
		uint32_t stopped = (uint32_t)seed % SIZE;

		for (uint32_t node = 0; node < SIZE; node++)
			barrier[node] = net_barrier(net, node, 60000);
		net_stop(net, stopped);
		net_run_for(net, 30 * NS_PER_S);
		for (uint32_t node = 0; node < SIZE; node++)
			EXPECT_INT(net_node(net, node)->event_count, 0);
		net_continue(net, stopped);
		for (uint32_t node = 0; node < SIZE; node++)
			EXPECT_INT(net_wait(net, barrier[node]), 0);
		net_free(net, true);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lookup__before_and_after_publish__token_of_the_publisher),
		cmocka_unit_test(publish__bad_names_and_twice__refused_and_first_one_stays),
		cmocka_unit_test(lookup__nobody_publishes__etimedout_at_the_deadline_and_forgotten),
		cmocka_unit_test(lookup__more_requests_than_an_instance_has__enospc_and_says_so),
		cmocka_unit_test(publish__publisher_dies__name_goes_and_can_be_taken),
		cmocka_unit_test(publish__as_many_as_there_may_be__then_enospc),
		cmocka_unit_test(request__as_many_as_there_may_be__then_enospc_and_each_ends),
		cmocka_unit_test(collectives__all_ranks__right_results_in_order),
		cmocka_unit_test(allreduce__every_type_and_operation__as_computed_here),
		cmocka_unit_test(allreduce__floats_in_any_order_of_arrival__same_bits),
		cmocka_unit_test(
			collective__ranks_call_different_ones__eproto_for_all_and_from_then_on),
		cmocka_unit_test(collective__one_rank_does_not_come__etimedout_for_all),
		cmocka_unit_test(collective__a_rank_dies_in_it__ehostdown_for_all),
		cmocka_unit_test(collective__what_no_rank_may_ask__refused_here_and_nothing_sent),
		cmocka_unit_test(
			collective__second_one_while_the_first_is_under_way__ebusy_and_the_first_goes_on),
		cmocka_unit_test(death__of_each_rank__others_get_one_event_and_go_on),
		cmocka_unit_test(death__of_the_home__import_fails_and_can_be_released),
		cmocka_unit_test(death__of_the_root__requests_of_it_fail_and_the_rest_goes_on),
		cmocka_unit_test(goodbye__of_one__like_a_death_but_before_its_end),
		cmocka_unit_test(
			goodbye__of_the_root_in_a_collective__nobody_is_answered_who_has_gone),
		cmocka_unit_test(abort__by_any_rank__all_others_get_its_code),
		cmocka_unit_test(stop__and_continue__nobody_is_declared_dead),
	};

	test_choose(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
