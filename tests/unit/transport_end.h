/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transport_end.h -- both ends of links in one process, for tests over any backend
 *
 * Waiting for an event of one end polls the other ends, too: a backend may need both for one to
 * go on. What they have meanwhile is kept for later.
 */
#ifndef TESTS_UNIT_TRANSPORT_END_H
#define TESTS_UNIT_TRANSPORT_END_H

#include "transport_common.h"

#define END_MAX 4

/* Where this backend listens in tests; valid until the fourth call from now. */
const char *test_where(void);

struct end;

struct end *end_open(const char *where);
void end_close(struct end *end);
struct transport *end_transport(struct end *end);
const char *end_locator(struct end *end);

/* The next event, which has to be of this kind; data stays valid until the next call for end. */
void end_expect(struct end *end, enum transport_event_kind kind, struct transport_event *ret_event);
/* The next event there is by now. */
bool end_event(struct end *end, struct transport_event *ret_event);
void end_expect_nothing(struct end *end);
/* One poll of each end. */
void end_progress(void);
/* Connects a to b; both had LINK_UP. */
void end_join(struct end *a, struct end *b, struct transport_link **ret_a,
	      struct transport_link **ret_b);
bool end_readable(struct end *end);
/* Until park() says yes; what comes meanwhile fails the test. */
void end_park(struct end *end);

#endif
