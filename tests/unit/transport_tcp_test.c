/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_tcp_test.c -- links over TCP: addresses, strangers at the port, frames, places */
#include "transport_end.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "transport/tcp/tcp.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GREETING "fbus1tpc\1\0\0\0\0\0\0" /* and its NUL: 16 bytes */

const struct transport_ops *const ops = &transport_tcp;
static struct tcp_link_timing timing;
static uint8_t bytes[TCP_LINK_MESSAGE_MAX];

const char *test_where(void)
{
	return "127.0.0.1";
}

static int timing_reset(void **state)
{
	(void)state;
	tcp_link_timing = timing;
	return 0;
}

/* ---- addresses ---- */

static void open__where_that_is_none__einval_names_it(void **state)
{
	static const char *const wrong[] = {
		"10.0.0.1:",
		"10.0.0.1:x",
		"10.0.0.1:65536",
		"[::1",
		"[::1]x",
		"nosuchdevice0",
		"203.0.113.7",
		"tcp/127.0.0.1",
		"127.0.0.1:1/1/1/1",
		"256.0.0.1",
		"a:b:c",
		"nosuchdevice0:70",
		"127.0.0.1:-1",
		"127.0.0.1:999999999",
	};
	struct transport *transport = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		error_clear();
		assert_int_equal(ops->open(wrong[i], &transport), -EINVAL);
		assert_string_not_equal(error_text(), "");
		assert_null(transport);
	}
}

static void connect__locator_that_is_none__einval_names_it(void **state)
{
	static const char *const wrong[] = {
		"",
		"127.0.0.1",
		"127.0.0.1:0",
		"eth0:7000",
		"localhost:7000",
		"tcp/127.0.0.1:7000",
		"/",
		"//",
		"[]:1",
		"farbus.1.2",
	};
	struct end *end = end_open(test_where());
	struct transport_link *link = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(ops->connect(end_transport(end), wrong[i], &link), -EINVAL);
		assert_non_null(strstr(error_text(), wrong[i]));
	}
	assert_null(link);
	end_expect_nothing(end);
	end_close(end);
}

static void open__every_form_of_where__can_be_connected_to(void **state)
{
	static const char *const where[] = { "",    "lo",    "127.0.0.1:0", "lo:0",
					     "::1", "[::1]", "[::1]:0" };
	struct transport_link *to_a, *to_b;

	(void)state;
	for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		struct end *a, *b;

		if (strstr(where[i], "::") && access("/proc/net/if_inet6", R_OK) < 0)
			continue;
		a = end_open(where[i]);
		b = end_open(where[i]);
		end_join(a, b, &to_b, &to_a);
		end_close(a);
		end_close(b);
	}
}

static void open__port_taken__eexist(void **state)
{
	struct end *first = end_open(test_where());
	char where[TRANSPORT_LOCATOR_MAX];
	struct transport *second = NULL;

	(void)state;
	snprintf(where, sizeof(where), "%s", end_locator(first));
	assert_int_equal(ops->open(where, &second), -EEXIST);
	end_close(first);
	assert_int_equal(ops->open(where, &second), 0);
	ops->close(second);
}

static void open__every_allocation_fails_once__error_and_no_leak(void **state)
{
	struct transport *transport = NULL;
	unsigned before = fd_count();
	bool fired = true;
	int err;

	(void)state;
	for (unsigned long n = 1; fired; n++) {
		alloc_fault_arm(n);
		err = ops->open(test_where(), &transport);
		fired = alloc_fault_fired();
		alloc_fault_arm(0);
		assert_int_equal(err < 0, fired);
		assert_true(err == 0 || err == -ENOMEM || err == -EMFILE);
		if (err == 0)
			ops->close(transport);
		assert_int_equal(fd_count(), before);
	}
}

static void connect__every_allocation_fails_once__error_or_link(void **state)
{
	struct end *a = end_open(test_where()), *b = end_open(test_where());
	struct transport_link *link = NULL;
	struct transport_event event;
	int err = -ENOMEM;

	(void)state;
	for (unsigned long n = 1; err < 0; n++) {
		alloc_fault_arm(n);
		err = ops->connect(end_transport(a), end_locator(b), &link);
		assert_true(err == 0 || err == -ENOMEM || err == -EMFILE || err == -ECONNREFUSED);
		assert_true(n < 100);
	}
	alloc_fault_arm(0);
	end_expect(a, TRANSPORT_LINK_UP, &event);
	end_close(a);
	end_close(b);
}

/* ---- connecting ---- */

static int listener_raw(uint16_t *ret_port)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
	*ret_port = ntohs(name.sin_port);
	return fd;
}

static void down_expect(struct end *end, const char *locator, int status)
{
	struct transport_event event;
	struct transport_link *link;
	int err = ops->connect(end_transport(end), locator, &link);

	if (err == status)
		return;
	assert_int_equal(err, 0);
	end_expect(end, TRANSPORT_LINK_DOWN, &event);
	assert_ptr_equal(event.link, link);
	assert_int_equal(event.status, status);
	ops->link_close(link);
}

static void connect__nobody_there__econnrefused(void **state)
{
	struct end *end = end_open(test_where());
	char locator[TRANSPORT_LOCATOR_MAX];
	uint16_t port;
	int fd = listener_raw(&port); /* bound, not listening */

	(void)state;
	snprintf(locator, sizeof(locator), "127.0.0.1:%u", port);
	down_expect(end, locator, -ECONNREFUSED);
	end_close(end);
	close(fd);
}

static void connect__nobody_answers__etimedout(void **state)
{
	struct end *end = end_open(test_where());
	char locator[TRANSPORT_LOCATOR_MAX];
	uint16_t port;
	int fd = listener_raw(&port);

	(void)state;
	assert_int_equal(listen(fd, 5), 0);
	snprintf(locator, sizeof(locator), "127.0.0.1:%u", port);
	tcp_link_timing.connect_ns = 100000000;
	down_expect(end, locator, -ETIMEDOUT);
	end_close(end);
	close(fd);
}

/* ---- strangers ---- */

static int stranger(struct end *end)
{
	const char *colon = strrchr(end_locator(end), ':');
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	name.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	return fd;
}

/* Until the other side closes; what it says is read away. */
static void closed_expect(int fd)
{
	uint64_t until = test_now() + WAIT_NS;
	char answer[256];

	for (;;) {
		ssize_t n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		end_progress();
		assert_true(test_now() < until);
	}
	close(fd);
}

/* Whoever comes after strangers is served as ever, and nothing is left of them. */
static void still_serves(struct end *b, unsigned fds)
{
	struct end *a = end_open(test_where());
	struct transport_link *to_a, *to_b;
	struct transport_event event;

	end_join(a, b, &to_b, &to_a);
	assert_int_equal(ops->send(to_b, "x", 1, -1), 0);
	end_expect(b, TRANSPORT_MESSAGE, &event);
	end_close(a);
	end_expect(b, TRANSPORT_LINK_DOWN, &event);
	ops->link_close(event.link);
	end_expect_nothing(b);
	assert_int_equal(fd_count(), fds);
}

static void listen__garbage__closed_and_nothing_told(void **state)
{
	struct end *end = end_open(test_where());
	uint64_t seed = 11;
	unsigned fds = fd_count();

	(void)state;
	for (int i = 0; i < ROUNDS(300); i++) {
		size_t len = 1 + test_random(&seed) % sizeof(bytes) / 64;
		int fd = stranger(end);

		for (size_t at = 0; at < len; at++)
			bytes[at] = (uint8_t)test_random(&seed);
		if (i % 2) {
			/* Nearly a greeting, and what follows one. */
			memcpy(bytes, GREETING, len < 16 ? len : 16);
			bytes[8 + i % 3]++;
		}
		assert_true(send(fd, bytes, len, MSG_NOSIGNAL) > 0);
		shutdown(fd, SHUT_WR);
		closed_expect(fd);
	}
	end_expect_nothing(end);
	still_serves(end, fds);
	end_close(end);
}

static void listen__says_nothing_or_half__closed_in_bounded_time(void **state)
{
	struct end *end = end_open(test_where());
	unsigned fds = fd_count();
	int silent, half;

	(void)state;
	tcp_link_timing.connect_ns = 200000000;
	silent = stranger(end);
	half = stranger(end);
	assert_int_equal(send(half, "\3\1\0", 3, MSG_NOSIGNAL), 3);
	closed_expect(silent);
	closed_expect(half);
	still_serves(end, fds);
	end_close(end);
}

static void listen__many_say_nothing__bounded_and_others_are_served(void **state)
{
	enum { STRANGERS = 300 };
	struct end *end = end_open(test_where());
	unsigned fds = fd_count(), ours;
	int fd[STRANGERS];

	(void)state;
	for (int i = 0; i < STRANGERS; i++) {
		fd[i] = stranger(end);
		for (int j = 0; j < 4; j++) {
			sched_yield();
			end_progress();
		}
	}
	for (uint64_t until = test_now() + WAIT_NS; test_now() < until;) {
		end_progress();
		ours = fd_count() - fds - STRANGERS;
		if (ours <= 2 * TCP_LINK_HALF_OPEN_MAX)
			break;
	}
	assert_true(ours <= 2 * TCP_LINK_HALF_OPEN_MAX);
	for (int i = 0; i < STRANGERS; i++)
		close(fd[i]);
	for (uint64_t until = test_now() + WAIT_NS; fd_count() > fds && test_now() < until;)
		end_progress();
	still_serves(end, fds);
	end_close(end);
}

/* A peer of the transport that has not proved anything yet: frames that are none. */
static void link_down__frames_that_are_none__eproto_after_what_came_before(void **state)
{
	static const uint32_t wrong[][2] = { { 0, 8 },	 { 3, 0 },
					     { 2, 8 },	 { 1, TCP_LINK_MESSAGE_MAX + 1 },
					     { 1, ~0u }, { ~0u, ~0u } };
	static const uint32_t message[] = { 1, 3, 0x434241, 0 };
	struct end *end = end_open(test_where());
	unsigned fds = fd_count();

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct transport_event event;
		int fd = stranger(end);

		assert_int_equal(send(fd, GREETING, 16, MSG_NOSIGNAL), 16);
		assert_int_equal(send(fd, message, sizeof(message), MSG_NOSIGNAL), sizeof(message));
		assert_int_equal(send(fd, wrong[i], sizeof(wrong[i]), MSG_NOSIGNAL),
				 sizeof(wrong[i]));
		end_expect(end, TRANSPORT_LINK_UP, &event);
		end_expect(end, TRANSPORT_MESSAGE, &event);
		assert_int_equal(event.len, 3);
		assert_memory_equal(event.data, "ABC", 3);
		end_expect(end, TRANSPORT_LINK_DOWN, &event);
		assert_int_equal(event.status, -EPROTO);
		ops->link_close(event.link);
		closed_expect(fd);
	}
	still_serves(end, fds);
	end_close(end);
}

/* ---- places ---- */

enum { PLACE_LEN = 65536, PLACE_SKIP = 56 };

struct places {
	uint8_t to[PLACE_LEN];
	unsigned asked, limit; /* refuses from the limit-th time on */
};

static bool place_for(void *arg, struct transport_link *link, const void *head, size_t len,
		      struct transport_place *ret_place)
{
	struct places *places = arg;

	(void)link;
	assert_int_equal(len, PLACE_SKIP + PLACE_LEN);
	assert_memory_equal(head, bytes, TRANSPORT_HEAD_MIN);
	*ret_place = (struct transport_place){ places->to, PLACE_SKIP };
	return ++places->asked < places->limit;
}

static void message_sendv(struct transport_link *link)
{
	int err;

	while ((err = ops->sendv(link, bytes, PLACE_SKIP, bytes + PLACE_SKIP, PLACE_LEN)) ==
	       -EAGAIN)
		end_progress();
	assert_int_equal(err, 0);
}

static void place__every_message__there_and_short_ones_between_as_ever(void **state)
{
	static struct places places;
	struct end *a = end_open(test_where()), *b = end_open(test_where());
	struct transport_link *to_a, *to_b;
	struct transport_event event;
	uint64_t seed = 5;
	unsigned placed = 0;

	(void)state;
	end_join(a, b, &to_b, &to_a);
	places = (struct places){ .limit = ~0u };
	ops->place_set(end_transport(b), place_for, &places);
	for (int round = 0; round < ROUNDS(200); round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(test_random(&seed) >> 32);
		message_sendv(to_b);
		assert_int_equal(ops->send(to_b, &round, sizeof(round), -1), 0);
		end_expect(b, TRANSPORT_MESSAGE, &event);
		if (event.placed) {
			placed++;
			assert_int_equal(event.placed, PLACE_LEN);
			assert_false(event.lost);
			assert_memory_equal(places.to, bytes + PLACE_SKIP, PLACE_LEN);
			assert_int_equal(event.len, PLACE_SKIP);
		} else {
			assert_int_equal(event.len, PLACE_SKIP + PLACE_LEN);
		}
		assert_memory_equal(event.data, bytes, event.len);
		end_expect(b, TRANSPORT_MESSAGE, &event);
		assert_int_equal(event.placed, 0);
		assert_memory_equal(event.data, &round, sizeof(round));
	}
	assert_true(placed > 0);
	end_close(a);
	end_close(b);
}

/* Sent byte by byte nearly, so that there is a moment in the middle. */
static void place__taken_back_in_the_middle__not_written_any_more_and_lost(void **state)
{
	static struct places places;
	struct end *end = end_open(test_where());
	const struct tcp_frame frame = { TCP_FRAME_MESSAGE, PLACE_SKIP + PLACE_LEN };
	size_t written = 0, at = 30000;
	struct transport_event event;
	int fd = stranger(end);

	(void)state;
	memset(bytes, 0xa5, sizeof(bytes));
	places = (struct places){ .limit = ~0u };
	ops->place_set(end_transport(end), place_for, &places);
	assert_int_equal(send(fd, GREETING, 16, MSG_NOSIGNAL), 16);
	end_expect(end, TRANSPORT_LINK_UP, &event);
	assert_int_equal(send(fd, &frame, sizeof(frame), MSG_NOSIGNAL), sizeof(frame));
	assert_int_equal(send(fd, bytes, at, MSG_NOSIGNAL), at);
	for (uint64_t until = test_now() + WAIT_NS; places.to[at - PLACE_SKIP - 1] != 0xa5;) {
		assert_false(end_event(end, &event));
		assert_true(test_now() < until);
	}
	places.limit = 0;
	assert_int_equal(send(fd, bytes + at, frame.len - at, MSG_NOSIGNAL), frame.len - at);
	assert_int_equal(send(fd, "\2\0\0\0\0\0\0", 8, MSG_NOSIGNAL), 8);
	end_expect(end, TRANSPORT_MESSAGE, &event);
	assert_true(event.lost);
	assert_int_equal(event.len, PLACE_SKIP);
	end_expect(end, TRANSPORT_LINK_DOWN, &event);
	assert_int_equal(event.status, -ECONNRESET);
	while (written < PLACE_LEN && places.to[written] == 0xa5)
		written++;
	assert_int_equal(written, at - PLACE_SKIP);
	end_close(end);
	close(fd);
}

/* ---- answers ---- */

static void send__short_answers_to_long_messages__all_sent_before_park_says_yes(void **state)
{
	static struct places places;
	struct end *a = end_open(test_where()), *b = end_open(test_where());
	struct transport_link *to_a, *to_b;
	struct transport_event event;

	(void)state;
	end_join(a, b, &to_b, &to_a);
	memset(bytes, 0x3c, sizeof(bytes));
	places = (struct places){ .limit = ~0u };
	ops->place_set(end_transport(b), place_for, &places);
	for (int round = 0; round < ROUNDS(100); round++) {
		uint64_t count = (uint64_t)round % 24 + 1;

		for (uint64_t i = 0; i < count; i++)
			message_sendv(to_b);
		for (uint64_t i = 0; i < count; i++) {
			end_expect(b, TRANSPORT_MESSAGE, &event);
			assert_int_equal(ops->send(to_a, &i, sizeof(i), -1), 0);
		}
		end_park(b);
		assert_int_equal(to_a->out_head, to_a->out_tail);
		for (uint64_t i = 0; i < count; i++) {
			end_expect(a, TRANSPORT_MESSAGE, &event);
			assert_int_equal(event.len, sizeof(i));
			assert_memory_equal(event.data, &i, sizeof(i));
		}
	}
	end_close(a);
	end_close(b);
}

static void batch__short_and_long_ones_to_two_peers__all_there_in_order_after_end(void **state)
{
	struct end *from = end_open(test_where()), *to[2];
	struct transport_link *link[2], *back;
	struct transport_event event;

	(void)state;
	for (int i = 0; i < 2; i++) {
		to[i] = end_open(test_where());
		end_join(from, to[i], &link[i], &back);
	}
	for (uint32_t round = 0; round < ROUNDS(100); round++) {
		ops->batch(end_transport(from), true);
		for (uint32_t i = 0; i < 24; i++) {
			size_t len = i % 5 == 4 ? 20000 : 8;

			memcpy(bytes, &i, sizeof(i));
			assert_int_equal(ops->send(link[i / (round % 3 + 1) % 2], bytes, len, -1),
					 0);
		}
		ops->batch(end_transport(from), false);
		for (int i = 0; i < 2; i++)
			assert_true(link[i]->out_watched || link[i]->out_head == link[i]->out_tail);
		for (uint32_t i = 0; i < 24; i++) {
			end_expect(to[i / (round % 3 + 1) % 2], TRANSPORT_MESSAGE, &event);
			assert_int_equal(event.len, i % 5 == 4 ? 20000 : 8);
			assert_memory_equal(event.data, &i, sizeof(i));
		}
	}
	end_close(from);
	end_close(to[0]);
	end_close(to[1]);
}

static void batch__peer_gone_meanwhile__link_down_and_no_more(void **state)
{
	struct end *a = end_open(test_where()), *b = end_open(test_where());
	struct transport_link *to_a, *to_b;
	struct transport_event event;
	uint64_t value = 1;

	(void)state;
	end_join(a, b, &to_b, &to_a);
	ops->batch(end_transport(a), true);
	assert_int_equal(ops->send(to_b, &value, sizeof(value), -1), 0);
	ops->link_close(to_b);
	ops->batch(end_transport(a), false);
	end_expect(b, TRANSPORT_MESSAGE, &event);
	assert_memory_equal(event.data, &value, sizeof(value));
	end_expect(b, TRANSPORT_LINK_DOWN, &event);
	end_close(a);
	end_close(b);
}

int main(void)
{
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, timing_reset, timing_reset)
	const struct CMUnitTest tests[] = {
		PLAIN(open__every_allocation_fails_once__error_and_no_leak),
		PLAIN(open__where_that_is_none__einval_names_it),
		PLAIN(open__every_form_of_where__can_be_connected_to),
		PLAIN(open__port_taken__eexist),
		PLAIN(connect__locator_that_is_none__einval_names_it),
		PLAIN(connect__every_allocation_fails_once__error_or_link),
		PLAIN(connect__nobody_there__econnrefused),
		PLAIN(connect__nobody_answers__etimedout),
		PLAIN(listen__garbage__closed_and_nothing_told),
		PLAIN(listen__says_nothing_or_half__closed_in_bounded_time),
		PLAIN(listen__many_say_nothing__bounded_and_others_are_served),
		PLAIN(link_down__frames_that_are_none__eproto_after_what_came_before),
		PLAIN(place__every_message__there_and_short_ones_between_as_ever),
		PLAIN(place__taken_back_in_the_middle__not_written_any_more_and_lost),
		PLAIN(send__short_answers_to_long_messages__all_sent_before_park_says_yes),
		PLAIN(batch__short_and_long_ones_to_two_peers__all_there_in_order_after_end),
		PLAIN(batch__peer_gone_meanwhile__link_down_and_no_more),
	};

	timing = tcp_link_timing;
	log_open(LOG_ERROR, 0);
	return cmocka_run_group_tests_name("transport/tcp", tests, NULL, NULL);
}
