/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_owner_test.c -- ownership of ranges: each transition, who is asked for what, deaths, limits */
#include "addrmap_common.h"

#include "addrmap/owner_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAGE ADDR_PAGE_SIZE
#define PAGES 64

_Static_assert(sizeof(struct hold) <= 32, "per holder of a range");
_Static_assert(sizeof(struct segment) <= 72, "per range");

/* Events as text: "ask 2 CI 0+4; grant 1 0+4; " in pages. */
static char events[4096];

static void on_event(void *arg, const struct owner_event *event)
{
	static const char *const name[] = { "?", "ask", "grant", "lost" };
	size_t at = strlen(events);

	(void)arg;
	snprintf(events + at, sizeof(events) - at, "%s %u%s%s%s %llu+%llu; ", name[event->kind],
		 event->instance, event->actions ? " " : "",
		 event->actions & OWNER_CLEAN ? "C" : "",
		 event->actions & OWNER_INVALIDATE ? "I" : "",
		 (unsigned long long)(event->off / PAGE), (unsigned long long)(event->len / PAGE));
}

static void expect_events(const char *text)
{
	assert_string_equal(events, text);
	events[0] = '\0';
}

static int table_setup(void **state)
{
	events[0] = '\0';
	return owner_table_new(PAGES * PAGE, (struct owner_table **)state);
}

static int table_teardown(void **state)
{
	owner_check(*state);
	owner_table_free(*state);
	return 0;
}

static int request(struct owner_table *table, uint32_t instance, enum owner_state want,
		   uint64_t page, uint64_t pages, uint32_t *ret_request)
{
	struct owner_ask ask = { instance, want, page * PAGE, pages * PAGE };
	int err = owner_request(table, &ask, on_event, NULL, ret_request);

	owner_check(table);
	return err;
}

/* That nobody has to do anything for. */
static void have(struct owner_table *table, uint32_t instance, enum owner_state want, uint64_t page,
		 uint64_t pages)
{
	uint32_t id = 99;

	assert_int_equal(request(table, instance, want, page, pages, &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(owner_lookup(table, instance, page * PAGE), want);
	events[0] = '\0';
}

static int ack(struct owner_table *table, uint32_t id, uint32_t instance)
{
	int err = owner_ack(table, id, instance, on_event, NULL);

	owner_check(table);
	return err;
}

/* Another instance's request, for each pair of what is held and what is wanted. */
static void request__others_hold__actions_by_transition(void **state)
{
	static const struct {
		enum owner_state held, want, left;
		const char *actions;
	} cases[] = {
		{ OWNER_READ, OWNER_READ, OWNER_READ, NULL },
		{ OWNER_READ, OWNER_WRITE, OWNER_INVALID, "I" },
		{ OWNER_WRITE, OWNER_READ, OWNER_READ, "C" },
		{ OWNER_WRITE, OWNER_WRITE, OWNER_INVALID, "CI" },
		{ OWNER_WRITE, OWNER_INVALID, OWNER_WRITE, NULL },
		{ OWNER_READ, OWNER_INVALID, OWNER_READ, NULL },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char text[64];
		uint32_t id = 0;

		have(*state, 1, cases[i].held, 2, 4);
		assert_int_equal(request(*state, 2, cases[i].want, 2, 4, &id), 0);
		if (cases[i].actions) {
			snprintf(text, sizeof(text), "ask 1 %s 2+4; ", cases[i].actions);
			expect_events(text);
			assert_int_equal(owner_lookup(*state, 1, 2 * PAGE), cases[i].held);
			assert_int_equal(owner_lookup(*state, 2, 2 * PAGE), OWNER_INVALID);
			assert_int_equal(ack(*state, id, 1), 0);
		}
		expect_events("grant 2 2+4; ");
		assert_int_equal(owner_lookup(*state, 1, 2 * PAGE), cases[i].left);
		assert_int_equal(owner_lookup(*state, 2, 2 * PAGE), cases[i].want);
		owner_death(*state, 1, on_event, NULL);
		owner_death(*state, 2, on_event, NULL);
		events[0] = '\0';
		owner_check(*state);
	}
}

static void request__less_than_it_has__the_asker_itself_is_asked(void **state)
{
	uint32_t id;

	have(*state, 1, OWNER_WRITE, 0, 8);
	assert_int_equal(request(*state, 1, OWNER_READ, 0, 4, &id), 0);
	expect_events("ask 1 C 0+4; ");
	assert_int_equal(owner_lookup(*state, 1, 0), OWNER_WRITE);
	assert_int_equal(ack(*state, id, 1), 0);
	expect_events("grant 1 0+4; ");
	assert_int_equal(request(*state, 1, OWNER_INVALID, 2, 4, &id), 0);
	expect_events("ask 1 I 2+2; ask 1 CI 4+2; ");
	assert_int_equal(ack(*state, id, 1), 0);
	expect_events("grant 1 2+4; ");
	assert_int_equal(owner_lookup(*state, 1, PAGE), OWNER_READ);
	assert_int_equal(owner_lookup(*state, 1, 2 * PAGE), OWNER_INVALID);
	assert_int_equal(owner_lookup(*state, 1, 6 * PAGE), OWNER_WRITE);
	have(*state, 1, OWNER_WRITE, 0, 8); /* up again: nobody else is there */
}

static void request__several_holders__granted_after_the_last(void **state)
{
	uint32_t id;

	for (uint32_t i = 1; i <= 3; i++)
		have(*state, i, OWNER_READ, i, 4);
	have(*state, 4, OWNER_WRITE, 8, 2);
	assert_int_equal(request(*state, 2, OWNER_WRITE, 0, 10, &id), 0);
	expect_events("ask 1 I 1+1; ask 1 I 2+1; ask 1 I 3+2; ask 3 I 3+2; ask 3 I 5+1; "
		      "ask 3 I 6+1; ask 4 CI 8+2; ");
	assert_int_equal(ack(*state, id, 2), -ENOENT);
	assert_int_equal(ack(*state, id, 9), -ENOENT);
	assert_int_equal(ack(*state, id + 1, 1), -ENOENT);
	assert_int_equal(ack(*state, id, 3), 0);
	assert_int_equal(ack(*state, id, 3), -ENOENT);
	assert_int_equal(ack(*state, id, 4), 0);
	expect_events("");
	assert_int_equal(ack(*state, id, 1), 0);
	expect_events("grant 2 0+10; ");
	assert_int_equal(ack(*state, id, 1), -ENOENT);
	assert_int_equal(((struct owner_table *)*state)->segment_count, 1);
}

static void request__overlaps_one_under_way__eagain_until_granted(void **state)
{
	uint32_t id, other;

	have(*state, 1, OWNER_WRITE, 0, 4);
	assert_int_equal(request(*state, 2, OWNER_READ, 2, 8, &id), 0);
	events[0] = '\0';
	assert_int_equal(request(*state, 3, OWNER_READ, 9, 2, &other), -EAGAIN);
	assert_int_equal(request(*state, 1, OWNER_INVALID, 0, 3, &other), -EAGAIN);
	expect_events("");
	have(*state, 3, OWNER_WRITE, 10, 1);
	assert_int_equal(ack(*state, id, 1), 0);
	events[0] = '\0';
	assert_int_equal(request(*state, 1, OWNER_INVALID, 0, 3, &other), 0);
	expect_events("ask 1 CI 0+2; ask 1 I 2+1; ");
}

static void request__bad_ask__named_error(void **state)
{
	uint32_t id;
	struct owner_ask ask = { 1, OWNER_READ, 0, PAGE / 2 };

	assert_int_equal(owner_request(*state, &ask, on_event, NULL, &id), -EINVAL);
	ask = (struct owner_ask){ 1, OWNER_READ, 8, PAGE };
	assert_int_equal(owner_request(*state, &ask, on_event, NULL, &id), -EINVAL);
	assert_int_equal(request(*state, 0, OWNER_READ, 0, 1, &id), -EINVAL);
	assert_int_equal(request(*state, 1, OWNER_WRITE + 1, 0, 1, &id), -EINVAL);
	assert_int_equal(request(*state, 1, OWNER_READ, 0, 0, &id), -ERANGE);
	assert_int_equal(request(*state, 1, OWNER_READ, PAGES, 1, &id), -ERANGE);
	assert_int_equal(request(*state, 1, OWNER_READ, PAGES - 1, 2, &id), -ERANGE);
	assert_int_equal(request(*state, 1, OWNER_READ, 1, UINT64_MAX / PAGE, &id), -ERANGE);
	have(*state, 1, OWNER_READ, PAGES - 1, 1);
	assert_int_equal(owner_lookup(*state, 1, UINT64_MAX), OWNER_INVALID);
	assert_int_equal(owner_table_new(0, (struct owner_table **)&id), -EINVAL);
	assert_int_equal(owner_table_new(PAGE + 1, (struct owner_table **)&id), -EINVAL);
}

static void death__writer_that_was_asked__lost_and_the_waiting_goes_on(void **state)
{
	uint32_t id;

	have(*state, 1, OWNER_WRITE, 0, 4);
	have(*state, 1, OWNER_WRITE, 10, 2);
	assert_int_equal(request(*state, 2, OWNER_READ, 2, 4, &id), 0);
	events[0] = '\0';
	owner_death(*state, 1, on_event, NULL);
	owner_check(*state);
	expect_events("lost 1 0+2; lost 1 2+2; lost 1 10+2; grant 2 2+4; ");
	assert_int_equal(owner_lookup(*state, 2, 2 * PAGE), OWNER_READ);
	assert_int_equal(ack(*state, id, 1), -ENOENT);
}

static void death__asker__those_asked_still_answer_and_nothing_is_granted(void **state)
{
	uint32_t id, other;

	have(*state, 1, OWNER_WRITE, 0, 4);
	have(*state, 3, OWNER_READ, 4, 1);
	assert_int_equal(request(*state, 2, OWNER_WRITE, 0, 5, &id), 0);
	events[0] = '\0';
	owner_death(*state, 2, on_event, NULL);
	owner_check(*state);
	expect_events("");
	/* 1 may be cleaning just now: nobody gets in between. */
	assert_int_equal(request(*state, 4, OWNER_READ, 0, 1, &other), -EAGAIN);
	assert_int_equal(ack(*state, id, 1), 0);
	owner_death(*state, 3, on_event, NULL);
	owner_check(*state);
	expect_events("");
	assert_int_equal(ack(*state, id, 3), -ENOENT);
	assert_int_equal(((struct owner_table *)*state)->segment_count, 0);
	have(*state, 4, OWNER_WRITE, 0, PAGES);
}

/* ---- limits ---- */

static void request__owner_request_max__enospc_then_room(void **state)
{
	struct owner_table *table;
	uint32_t id = 0, last = 0;

	(void)state;
	assert_int_equal(owner_table_new((uint64_t)(OWNER_REQUEST_MAX + 1) * PAGE, &table), 0);
	have(table, 1, OWNER_WRITE, 0, OWNER_REQUEST_MAX + 1);
	for (uint32_t i = 0; i < OWNER_REQUEST_MAX; i++) {
		struct owner_ask ask = { 2, OWNER_READ, i * PAGE, PAGE };

		events[0] = '\0';
		assert_int_equal(owner_request(table, &ask, on_event, NULL, &last), 0);
		assert_int_not_equal(last, 0);
	}
	assert_int_equal(request(table, 2, OWNER_READ, OWNER_REQUEST_MAX, 1, &id), -ENOSPC);
	assert_int_equal(ack(table, last, 1), 0);
	assert_int_equal(request(table, 2, OWNER_READ, OWNER_REQUEST_MAX, 1, &id), 0);
	owner_death(table, 1, on_event, NULL);
	owner_check(table);
	assert_int_equal(owner_lookup(table, 2, 0), OWNER_READ);
	owner_table_free(table);
}

static void request__owner_segment_max__enospc_and_untouched(void **state)
{
	struct owner_table *table;
	uint32_t id;

	(void)state;
	assert_int_equal(owner_table_new((uint64_t)3 * OWNER_SEGMENT_MAX * PAGE, &table), 0);
	for (uint64_t i = 0; i < OWNER_SEGMENT_MAX; i++) {
		struct owner_ask ask = { 1, OWNER_READ, i * 2 * PAGE, PAGE };

		events[0] = '\0';
		assert_int_equal(owner_request(table, &ask, on_event, NULL, &id), 0);
	}
	assert_int_equal(request(table, 1, OWNER_READ, 2 * OWNER_SEGMENT_MAX + 1, 1, &id), -ENOSPC);
	expect_text("own larger pieces");
	assert_int_equal(request(table, 2, OWNER_READ, 0, 4, &id), -ENOSPC);
	assert_int_equal(table->segment_count, OWNER_SEGMENT_MAX);
	assert_int_equal(table->hold_count, OWNER_SEGMENT_MAX);
	have(table, 2, OWNER_READ, 0, 1);
	owner_table_free(table);
}

static void request__owner_hold_max__enospc_and_untouched(void **state)
{
	enum { EACH = OWNER_HOLD_MAX / 4096 };
	struct owner_table *table;
	uint32_t id, instance;

	(void)state;
	assert_int_equal(owner_table_new(4096 * 2 * PAGE, &table), 0);
	for (uint64_t i = 0; i < 4096; i++) {
		for (instance = 1; instance <= EACH; instance++) {
			struct owner_ask ask = { instance, OWNER_READ, i * 2 * PAGE, PAGE };

			events[0] = '\0';
			assert_int_equal(owner_request(table, &ask, on_event, NULL, &id), 0);
		}
	}
	assert_int_equal(table->hold_count, OWNER_HOLD_MAX);
	assert_int_equal(request(table, EACH + 1, OWNER_READ, 0, 1, &id), -ENOSPC);
	expect_text("holders");
	assert_int_equal(request(table, EACH + 1, OWNER_READ, 1, 1, &id), -ENOSPC);
	have(table, 1, OWNER_READ, 0, 1);
	owner_table_free(table);
}

/* ---- failing allocations ---- */

static int call_request(void *arg)
{
	uint32_t id;
	int err = request(arg, 3, OWNER_WRITE, 2, 10, &id);

	if (err == 0)
		return 0;
	expect_events("");
	assert_int_equal(((struct owner_table *)arg)->segment_count, 2);
	assert_int_equal(((struct owner_table *)arg)->hold_count, 3);
	return err;
}

static void request__every_allocation_fails_once__enomem_and_untouched(void **state)
{
	have(*state, 1, OWNER_READ, 0, 4);
	have(*state, 2, OWNER_READ, 0, 4);
	have(*state, 1, OWNER_WRITE, 11, 4);
	/*
	 * The request; its slots are there. Split at 2: a segment and two holders; at 12: a
	 * segment and one; the gap in between; the asker in all three of them.
	 */
	assert_int_equal(every_allocation_fails_once(call_request, NULL, *state),
			 1 + 3 + 2 + 1 + 3);
	expect_events("ask 1 I 2+2; ask 2 I 2+2; ask 1 CI 11+1; ");
}

static int call_new(void *arg)
{
	return owner_table_new(PAGE, arg);
}

static void new__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	struct owner_table *table = NULL;

	(void)state;
	assert_int_equal(every_allocation_fails_once(call_new, NULL, &table), 1);
	owner_table_free(table);
	assert_null(owner_table_free(NULL));
}

int main(void)
{
#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, table_setup, table_teardown)
	const struct CMUnitTest tests[] = {
		WITH_TABLE(request__others_hold__actions_by_transition),
		WITH_TABLE(request__less_than_it_has__the_asker_itself_is_asked),
		WITH_TABLE(request__several_holders__granted_after_the_last),
		WITH_TABLE(request__overlaps_one_under_way__eagain_until_granted),
		WITH_TABLE(request__bad_ask__named_error),
		WITH_TABLE(death__writer_that_was_asked__lost_and_the_waiting_goes_on),
		WITH_TABLE(death__asker__those_asked_still_answer_and_nothing_is_granted),
		cmocka_unit_test(request__owner_request_max__enospc_then_room),
		cmocka_unit_test(request__owner_segment_max__enospc_and_untouched),
		cmocka_unit_test(request__owner_hold_max__enospc_and_untouched),
		WITH_TABLE(request__every_allocation_fails_once__enomem_and_untouched),
		cmocka_unit_test(new__every_allocation_fails_once__enomem_and_no_leak),
	};

	return cmocka_run_group_tests_name("addrmap/owner", tests, NULL, NULL);
}
