/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_common.h -- what the tests of transport/ share */
#ifndef TESTS_UNIT_TRANSPORT_COMMON_H
#define TESTS_UNIT_TRANSPORT_COMMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "transport/transport.h"

#define WAIT_NS (20ull * 1000 * 1000 * 1000) /* bound of every wait; not a measure of anything */

/* Under a sanitizer things take longer: fewer rounds. */
#if defined(FARBUS_SANITIZE)
#define ROUNDS(n) ((n) / 10 + 1)
#else
#define ROUNDS(n) (n)
#endif

extern const struct transport_ops *const ops; /* the one under test */

/* A name that no other test has. */
const char *test_locator(const char *what);

/* The next event of this kind; any other fails the test. */
void expect_event(struct transport *transport, enum transport_event_kind kind,
		  struct transport_event *ret_event);
/* The next event of either; which one had it. For links within this process. */
bool next_event(struct transport *transport, uint64_t until, struct transport_event *ret_event);
void expect_nothing(struct transport *transport);
/* Connects a to b's locator; both have had LINK_UP. */
void join(struct transport *a, struct transport *b, const char *locator,
	  struct transport_link **ret_a, struct transport_link **ret_b);

unsigned fd_count(void);
uint64_t test_random(uint64_t *state); /* splitmix64 */
uint64_t test_now(void);

#endif
