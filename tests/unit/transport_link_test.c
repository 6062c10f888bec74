/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transport_link_test.c -- what every backend promises of links
 *
 * Compiled once per backend: TEST_OPS names it, TEST_WHERE is where it listens (NULL: a name).
 */
#include "transport_end.h"

#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const struct transport_ops TEST_OPS;
const struct transport_ops *const ops = &TEST_OPS;

struct pair {
	struct end *a, *b;
	struct transport_link *to_b, *to_a;
};

static uint8_t bytes[TRANSPORT_MESSAGE_MAX + 1];

const char *test_where(void)
{
	return TEST_WHERE ? TEST_WHERE : test_locator("link");
}

static int pair_setup(void **state)
{
	static struct pair pair;

	pair.a = end_open(test_where());
	pair.b = end_open(test_where());
	end_join(pair.a, pair.b, &pair.to_b, &pair.to_a);
	*state = &pair;
	return 0;
}

static int pair_teardown(void **state)
{
	struct pair *pair = *state;

	end_close(pair->a);
	end_close(pair->b);
	return 0;
}

static void message_fill(uint8_t *data, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(test_random(&seed) >> 32);
}

/* Sends, polling everybody while there is no room. */
static void send_all(struct transport_link *link, const void *data, size_t len)
{
	uint64_t until = test_now() + WAIT_NS;
	int err;

	while ((err = ops->send(link, data, len, -1)) == -EAGAIN) {
		end_progress();
		assert_true(test_now() < until);
	}
	assert_int_equal(err, 0);
}

/* ---- connect ---- */

static void probe__here__works(void **state)
{
	char reason[320] = "";

	(void)state;
	assert_int_equal(ops->probe(reason, sizeof(reason)), 0);
	assert_string_equal(reason, "");
}

static void connect__itself__two_links(void **state)
{
	struct end *end = end_open(test_where());
	struct transport_event event;
	struct transport_link *link;

	(void)state;
	assert_int_equal(ops->connect(end_transport(end), end_locator(end), &link), 0);
	for (int ups = 0; ups < 2; ups++) {
		end_expect(end, TRANSPORT_LINK_UP, &event);
		assert_int_equal(event.accepted, event.link != link);
	}
	assert_int_equal(ops->send(link, "hello", 5, -1), 0);
	end_expect(end, TRANSPORT_MESSAGE, &event);
	assert_ptr_not_equal(event.link, link);
	end_close(end);
}

static void connect__closed_before_it_is_up__nothing_told(void **state)
{
	struct end *a = end_open(test_where()), *b = end_open(test_where());
	struct transport_event event;
	struct transport_link *link;

	(void)state;
	assert_int_equal(ops->connect(end_transport(a), end_locator(b), &link), 0);
	ops->link_close(link);
	/* b may have seen it: then it also sees the end. */
	for (int i = 0; i < 1000; i++)
		if (end_event(b, &event) && event.kind == TRANSPORT_LINK_DOWN)
			ops->link_close(event.link);
	end_expect_nothing(a);
	end_close(a);
	end_close(b);
}

static void connect__many__each_has_its_own_messages(void **state)
{
	enum { COUNT = 50 };
	struct transport_link *to_b[COUNT], *to_a[COUNT];
	struct end *a = end_open(test_where()), *b = end_open(test_where());
	struct transport_event event;

	(void)state;
	for (uintptr_t i = 0; i < COUNT; i++) {
		end_join(a, b, &to_b[i], &to_a[i]);
		ops->link_user_set(to_a[i], (void *)(i + 1));
	}
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(ops->send(to_b[i], &i, sizeof(i), -1), 0);
	for (uint32_t i = 0, number; i < COUNT; i++) {
		end_expect(b, TRANSPORT_MESSAGE, &event);
		memcpy(&number, event.data, sizeof(number));
		assert_int_equal((uintptr_t)ops->link_user(event.link), number + 1);
	}
	end_close(a);
	for (uint32_t i = 0; i < COUNT; i++) {
		end_expect(b, TRANSPORT_LINK_DOWN, &event);
		ops->link_close(event.link);
	}
	end_close(b);
}

/* ---- messages ---- */

static void send__every_length__arrives_as_sent(void **state)
{
	const size_t max = ops->message_max;
	const size_t lens[] = { 0,    1,    2,	  47,	48,   49,      55,	56,   57,
				103,  104,  105,  127,	128,  129,     160,	4095, 4096,
				4097, 8143, 8144, 8191, 8192, max / 2, max - 1, max };
	struct pair *pair = *state;
	struct transport_event event;

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		message_fill(bytes, lens[i], i);
		assert_int_equal(ops->send(pair->to_b, bytes, lens[i], -1), 0);
		end_expect(pair->b, TRANSPORT_MESSAGE, &event);
		assert_ptr_equal(event.link, pair->to_a);
		assert_int_equal(event.fd, -1);
		assert_int_equal(event.len, lens[i]);
		assert_memory_equal(event.data, bytes, lens[i]);
	}
	end_expect_nothing(pair->b);
	end_expect_nothing(pair->a);
}

static void send__too_long__emsgsize_and_nothing_sent(void **state)
{
	struct pair *pair = *state;

	assert_int_equal(ops->send(pair->to_b, bytes, ops->message_max + 1, -1), -EMSGSIZE);
	end_expect_nothing(pair->b);
}

static size_t traffic_len(uint64_t number)
{
	/* Mostly short, some as long as can be. */
	size_t r = (size_t)(number * 2654435761u >> 7);

	return 8 + r % (number % 8 ? 200 : ops->message_max - 8);
}

static void traffic_send(struct transport_link *link, uint64_t *sent)
{
	static uint8_t data[TRANSPORT_MESSAGE_MAX];
	size_t len = traffic_len(*sent);
	int err;

	memcpy(data, sent, 8);
	message_fill(data + 8, len - 8, *sent);
	err = ops->send(link, data, len, -1);
	assert_true(err == 0 || err == -EAGAIN);
	*sent += err == 0;
}

static void traffic_check(const struct transport_event *event, uint64_t *got)
{
	static uint8_t data[TRANSPORT_MESSAGE_MAX];
	size_t len = traffic_len(*got);

	assert_int_equal(event->kind, TRANSPORT_MESSAGE);
	assert_int_equal(event->len, len);
	memcpy(data, got, 8);
	message_fill(data + 8, len - 8, *got);
	assert_memory_equal(event->data, data, len);
	++*got;
}

static void send__random_traffic_both_ways__in_order_and_unchanged(void **state)
{
	const uint64_t total = ROUNDS(10000);
	uint64_t seed = 7, sent[2] = { 0 }, got[2] = { 0 }, until = test_now() + 3 * WAIT_NS;
	struct pair *pair = *state;
	struct transport_event event;

	while (got[0] < total || got[1] < total) {
		uint64_t r = test_random(&seed);

		assert_true(test_now() < until);
		if (r % 4 == 0 && sent[0] < total)
			traffic_send(pair->to_b, &sent[0]);
		else if (r % 4 == 1 && sent[1] < total)
			traffic_send(pair->to_a, &sent[1]);
		else if (r % 4 == 2 && end_event(pair->b, &event) &&
			 event.kind != TRANSPORT_WRITABLE)
			traffic_check(&event, &got[0]);
		else if (r % 4 == 3 && end_event(pair->a, &event) &&
			 event.kind != TRANSPORT_WRITABLE)
			traffic_check(&event, &got[1]);
	}
}

/*
 * The peer reads nothing: memory does not grow for ever, and the sender learns when there is room.
 * Sends until nothing goes any more, polling only the sender.
 */
static unsigned fill(struct pair *pair)
{
	unsigned sent = 0, idle = 0;
	struct transport_event event;

	while (idle < 2000) {
		if (ops->send(pair->to_b, bytes, ops->message_max, -1) == 0) {
			sent++;
			idle = 0;
			assert_true(sent < 10000);
			continue;
		}
		idle++;
		/* The kernel takes some on its way: room again is no mistake. */
		if (ops->poll(end_transport(pair->a), &event) == 0)
			assert_int_equal(event.kind, TRANSPORT_WRITABLE);
	}
	return sent;
}

static void send__slow_reader__eagain_then_writable(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;
	unsigned sent = fill(pair), got = 0;

	assert_true(sent >= 3);
	assert_int_equal(ops->send(pair->to_b, bytes, ops->message_max, -1), -EAGAIN);
	while (got < sent) {
		end_expect(pair->b, TRANSPORT_MESSAGE, &event);
		assert_int_equal(event.len, ops->message_max);
		got++;
	}
	end_expect(pair->a, TRANSPORT_WRITABLE, &event);
	assert_ptr_equal(event.link, pair->to_b);
	assert_int_equal(ops->send(pair->to_b, bytes, ops->message_max, -1), 0);
	end_expect(pair->b, TRANSPORT_MESSAGE, &event);
}

/* ---- the end of a link ---- */

static void link_close__after_sends__all_arrive_before_down(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(ops->send(pair->to_b, &i, sizeof(i), -1), 0);
	ops->link_close(pair->to_b);
	for (uint32_t i = 0; i < 50; i++) {
		end_expect(pair->b, TRANSPORT_MESSAGE, &event);
		assert_memory_equal(event.data, &i, sizeof(i));
	}
	end_expect(pair->b, TRANSPORT_LINK_DOWN, &event);
	assert_ptr_equal(event.link, pair->to_a);
	assert_int_equal(event.status, -ECONNRESET);
	assert_int_equal(ops->send(pair->to_a, "x", 1, -1), -EHOSTDOWN);
	end_expect_nothing(pair->b);
	ops->link_close(pair->to_a);
	end_expect_nothing(pair->b);
	end_expect_nothing(pair->a);
}

static void link_close__reader_behind__all_arrive(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;
	unsigned sent = fill(pair);

	ops->link_close(pair->to_b);
	for (unsigned got = 0; got < sent; got++) {
		end_expect(pair->b, TRANSPORT_MESSAGE, &event);
		assert_int_equal(event.len, ops->message_max);
	}
	end_expect(pair->b, TRANSPORT_LINK_DOWN, &event);
	assert_int_equal(event.status, -ECONNRESET);
}

static void link_close__peer_had_not_read__its_messages_still_arrive(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	for (int i = 0; i < 3; i++)
		assert_int_equal(ops->send(pair->to_b, bytes, ops->message_max / 2, -1), 0);
	assert_int_equal(ops->send(pair->to_a, "y", 1, -1), 0);
	ops->link_close(pair->to_a);
	end_expect(pair->a, TRANSPORT_MESSAGE, &event);
	assert_memory_equal(event.data, "y", 1);
	end_expect(pair->a, TRANSPORT_LINK_DOWN, &event);
	assert_int_equal(event.status, -ECONNRESET);
}

static void link_linger__other_end_open__gone_is_told_when_it_closes(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	if (!ops->link_linger)
		skip();
	assert_int_equal(ops->send(pair->to_b, "x", 1, -1), 0);
	assert_true(ops->link_linger(pair->to_b));
	assert_int_equal(ops->send(pair->to_b, "y", 1, -1), -EHOSTDOWN);
	end_expect(pair->b, TRANSPORT_MESSAGE, &event);
	end_expect(pair->b, TRANSPORT_LINK_DOWN, &event);
	end_expect_nothing(pair->a);
	assert_false(ops->link_linger(pair->to_a));
	ops->link_close(pair->to_a);
	end_expect(pair->a, TRANSPORT_LINK_GONE, &event);
	assert_ptr_equal(event.link, pair->to_b);
	ops->link_close(pair->to_b);
	end_expect_nothing(pair->a);
}

static void link_linger__closed_before_the_other_end__nothing_told(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	if (!ops->link_linger)
		skip();
	assert_true(ops->link_linger(pair->to_b));
	ops->link_close(pair->to_b);
	end_expect(pair->b, TRANSPORT_LINK_DOWN, &event);
	ops->link_close(pair->to_a);
	end_expect_nothing(pair->a);
	end_expect_nothing(pair->b);
}

static void close__whole_transport__what_was_sent_arrives(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	send_all(pair->to_a, "unread", 6);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(ops->send(pair->to_b, &i, sizeof(i), -1), 0);
	end_close(pair->a);
	for (uint32_t i = 0; i < 20; i++) {
		end_expect(pair->b, TRANSPORT_MESSAGE, &event);
		assert_memory_equal(event.data, &i, sizeof(i));
	}
	end_expect(pair->b, TRANSPORT_LINK_DOWN, &event);
	pair->a = end_open(test_where());
}

static void open__descriptors__cloexec_and_gone_after_close(void **state)
{
	unsigned before = fd_count();
	struct transport_link *to_a, *to_b;
	bool was_open[256];
	struct end *a, *b;

	(void)state;
	for (int fd = 0; fd < 256; fd++)
		was_open[fd] = fcntl(fd, F_GETFD) >= 0;
	b = end_open(test_where());
	a = end_open(test_where());
	end_join(a, b, &to_b, &to_a);
	assert_true(fd_count() > before);
	for (int fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && !was_open[fd])
			assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ops->link_close(to_a);
	end_close(a);
	end_close(b);
	assert_int_equal(fd_count(), before);
}

/* ---- sleeping ---- */

static void park__nothing_there__fd_silent_until_a_message(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	end_expect_nothing(pair->b);
	for (int i = 0; i < 20; i++) {
		struct pollfd wait = { .fd = ops->fd(end_transport(pair->b)), .events = POLLIN };

		end_park(pair->b);
		assert_false(end_readable(pair->b));
		assert_int_equal(ops->send(pair->to_b, "x", 1, -1), 0);
		assert_int_equal(poll(&wait, 1, (int)(WAIT_NS / 1000000)), 1);
		end_expect(pair->b, TRANSPORT_MESSAGE, &event);
	}
	end_park(pair->b);
	assert_false(end_readable(pair->b));
}

static void park__message_waiting__false_or_fd_readable(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	assert_int_equal(ops->send(pair->to_b, "x", 1, -1), 0);
	if (ops->park(end_transport(pair->b))) {
		struct pollfd wait = { .fd = ops->fd(end_transport(pair->b)), .events = POLLIN };

		assert_int_equal(poll(&wait, 1, (int)(WAIT_NS / 1000000)), 1);
	}
	end_expect(pair->b, TRANSPORT_MESSAGE, &event);
	end_park(pair->b);
}

/* The sender sleeps on its descriptor, nothing else: it has to be woken when there is room. */
static void park__waiting_for_room__woken(void **state)
{
	struct pair *pair = *state;
	uint64_t until = test_now() + WAIT_NS;
	struct transport_event event;
	bool writable = false;

	fill(pair);
	assert_int_equal(ops->send(pair->to_b, bytes, ops->message_max, -1), -EAGAIN);
	while (!writable) {
		assert_true(test_now() < until);
		if (!ops->park(end_transport(pair->a)) || end_readable(pair->a))
			writable = ops->poll(end_transport(pair->a), &event) == 0 &&
				   event.kind == TRANSPORT_WRITABLE;
		ops->poll(end_transport(pair->b), &event);
	}
}

static void park__peer_closes__fd_readable_then_down(void **state)
{
	struct pollfd wait = { .events = POLLIN };
	struct pair *pair = *state;
	struct transport_event event;

	end_park(pair->b);
	ops->link_close(pair->to_b);
	wait.fd = ops->fd(end_transport(pair->b));
	assert_int_equal(poll(&wait, 1, (int)(WAIT_NS / 1000000)), 1);
	end_expect(pair->b, TRANSPORT_LINK_DOWN, &event);
	ops->link_close(pair->to_a);
	end_expect_nothing(pair->b);
	end_park(pair->b);
	assert_false(end_readable(pair->b));
}

/* One thread sleeps, another polls: what the second leaves inside must wake the first. */
static void poll__another_thread_sleeps__wakes_it_for_the_rest(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	(void)event;
	end_park(pair->b);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ops->send(pair->to_b, "x", 1, -1), 0);
	end_expect(pair->b, TRANSPORT_MESSAGE, &event);
	for (int i = 1; i < 5; i++) {
		assert_false(ops->park(end_transport(pair->b)) && !end_readable(pair->b));
		end_expect(pair->b, TRANSPORT_MESSAGE, &event);
	}
}

int main(void)
{
#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, pair_setup, pair_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe__here__works),
		cmocka_unit_test(connect__itself__two_links),
		cmocka_unit_test(connect__closed_before_it_is_up__nothing_told),
		cmocka_unit_test(connect__many__each_has_its_own_messages),
		WITH_PAIR(send__every_length__arrives_as_sent),
		WITH_PAIR(send__too_long__emsgsize_and_nothing_sent),
		WITH_PAIR(send__random_traffic_both_ways__in_order_and_unchanged),
		WITH_PAIR(send__slow_reader__eagain_then_writable),
		WITH_PAIR(link_close__after_sends__all_arrive_before_down),
		WITH_PAIR(link_close__reader_behind__all_arrive),
		WITH_PAIR(link_close__peer_had_not_read__its_messages_still_arrive),
		WITH_PAIR(link_linger__other_end_open__gone_is_told_when_it_closes),
		WITH_PAIR(link_linger__closed_before_the_other_end__nothing_told),
		WITH_PAIR(close__whole_transport__what_was_sent_arrives),
		cmocka_unit_test(open__descriptors__cloexec_and_gone_after_close),
		WITH_PAIR(park__nothing_there__fd_silent_until_a_message),
		WITH_PAIR(park__message_waiting__false_or_fd_readable),
		WITH_PAIR(park__waiting_for_room__woken),
		WITH_PAIR(park__peer_closes__fd_readable_then_down),
		WITH_PAIR(poll__another_thread_sleeps__wakes_it_for_the_rest),
	};
	char reason[ERROR_TEXT_MAX];

	if (ops->probe(reason, sizeof(reason)) < 0) {
		printf("skipped: %s\n", reason);
		return 77;
	}
	return cmocka_run_group_tests_name(ops->name, tests, NULL, NULL);
}
