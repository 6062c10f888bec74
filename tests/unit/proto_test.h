/* SPDX-License-Identifier: BSD-3-Clause */
/* proto_test.h -- what the tests of the protocol share: cmocka, rights, a region with a token */
#ifndef TESTS_UNIT_PROTO_TEST_H
#define TESTS_UNIT_PROTO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/proto_sim.h"
#include <errno.h>
#include <string.h>

#define PAGE 4096u
#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)
#define MS 1000 /* a timeout that nothing should need */
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Seeds that a test runs with: the order of messages differs. */
#define FOR_SEEDS(seed) for (uint64_t seed = 1; seed <= 20; seed++)

/* A region of two pages in node, and a token for all of it. */
static inline uint64_t region_with(struct net *net, uint32_t node, uint32_t rights, uint32_t flags,
				   struct farbus_token *ret_token)
{
	uint64_t region = net_region(net, node, 2 * PAGE, NET_MAPPABLE);

	EXPECT(region);
	EXPECT_INT(net_grant(net, node, region, 0, 2 * PAGE, rights, flags, ret_token), 0);
	return region;
}

static inline uint32_t import_of(struct net *net, uint32_t node, const struct farbus_token *token)
{
	struct ask *ask = net_import(net, node, token, MS);

	EXPECT_INT(net_wait(net, ask), 0);
	return ask->import;
}

static inline int put_word(struct net *net, uint32_t node, uint32_t import, uint64_t off,
			   uint64_t word)
{
	return net_wait(net, net_put(net, node, import, off, &word, sizeof(word), MS));
}

/* One test alone: its name is the argument. */
static inline void test_choose(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
}

#endif
