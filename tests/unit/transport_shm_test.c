/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_shm_test.c -- links of the shm transport: what transport_link_test does not cover */
#include "transport_common.h"

#include "base/alloc.h"
#include "base/error.h"
#include "transport/shm/shm.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

const struct transport_ops *const ops = &transport_shm;

struct pair {
	struct transport *a, *b;
	struct transport_link *to_b, *to_a;
};

static int pair_setup(void **state)
{
	static struct pair pair;
	const char *locator = test_locator("a");

	assert_int_equal(ops->open(locator, &pair.a), 0);
	locator = test_locator("b");
	assert_int_equal(ops->open(locator, &pair.b), 0);
	join(pair.a, pair.b, locator, &pair.to_b, &pair.to_a);
	*state = &pair;
	return 0;
}

static int pair_teardown(void **state)
{
	struct pair *pair = *state;

	ops->close(pair->a);
	ops->close(pair->b);
	return 0;
}

static bool readable(struct transport *transport)
{
	struct pollfd wait = { .fd = ops->fd(transport), .events = POLLIN };

	return poll(&wait, 1, 0) == 1;
}

/* ---- open and connect ---- */

static void open__name_taken__eexist(void **state)
{
	const char *locator = test_locator("taken");
	struct transport *first, *second = NULL;

	(void)state;
	assert_int_equal(ops->open(locator, &first), 0);
	assert_int_equal(ops->open(locator, &second), -EEXIST);
	assert_null(second);
	assert_non_null(strstr(error_text(), locator));
	ops->close(first);
	assert_int_equal(ops->open(locator, &second), 0);
	ops->close(second);
}

static void open__bad_locator__error_says_limit(void **state)
{
	char locator[TRANSPORT_LOCATOR_MAX + 1];
	struct transport *transport = NULL;

	(void)state;
	memset(locator, 'x', TRANSPORT_LOCATOR_MAX);
	locator[TRANSPORT_LOCATOR_MAX] = '\0';
	assert_int_equal(ops->open(locator, &transport), -ENAMETOOLONG);
	assert_non_null(strstr(error_text(), "95"));
	assert_int_equal(ops->open("", &transport), -EINVAL);
	assert_null(transport);
	locator[TRANSPORT_LOCATOR_MAX - 1] = '\0';
	assert_int_equal(ops->open(locator, &transport), 0);
	ops->close(transport);
}

static void connect__nobody_there__econnrefused(void **state)
{
	struct transport *transport;
	struct transport_link *link = NULL;

	(void)state;
	assert_int_equal(ops->open(test_locator("lonely"), &transport), 0);
	assert_int_equal(ops->connect(transport, "farbus.test.nobody", &link), -ECONNREFUSED);
	assert_null(link);
	assert_non_null(strstr(error_text(), "farbus.test.nobody"));
	expect_nothing(transport);
	ops->close(transport);
}

static void link_up__same_process__pid_and_uid_are_ours(void **state)
{
	const char *locator = test_locator("b");
	struct transport *a, *b;
	struct transport_event event;
	struct transport_link *link;

	(void)state;
	assert_int_equal(ops->open(locator, &b), 0);
	assert_int_equal(ops->open(test_locator("a"), &a), 0);
	assert_int_equal(ops->connect(a, locator, &link), 0);
	expect_event(b, TRANSPORT_LINK_UP, &event);
	assert_int_equal(event.pid, getpid());
	assert_int_equal(event.uid, geteuid());
	expect_event(a, TRANSPORT_LINK_UP, &event);
	assert_int_equal(event.pid, getpid());
	ops->close(a);
	ops->close(b);
}

/* ---- messages ---- */

static void send__ring_full__eagain_then_writable(void **state)
{
	static uint8_t out[SHM_MESSAGE_MAX];
	struct pair *pair = *state;
	struct transport_event event;
	unsigned sent = 0, got = 0;

	while (ops->send(pair->to_b, out, sizeof(out), -1) == 0)
		assert_true(++sent < 100);
	assert_true(sent >= 3);
	assert_int_equal(ops->send(pair->to_b, out, sizeof(out), -1), -EAGAIN);
	expect_nothing(pair->a);
	while (ops->poll(pair->b, &event) == 0)
		got++;
	assert_int_equal(got, sent);
	expect_event(pair->a, TRANSPORT_WRITABLE, &event);
	assert_ptr_equal(event.link, pair->to_b);
	expect_nothing(pair->a);
	assert_int_equal(ops->send(pair->to_b, out, sizeof(out), -1), 0);
}

/* ---- descriptors ---- */

static int file_with(uint32_t number)
{
	int fd = memfd_create("number", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, &number, sizeof(number)), sizeof(number));
	return fd;
}

static uint32_t file_number(int fd)
{
	uint32_t number = UINT32_MAX;

	assert_int_equal(pread(fd, &number, sizeof(number), 0), sizeof(number));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	return number;
}

static void send__descriptors_among_messages__each_with_its_message(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;
	uint64_t seed = 3;
	uint32_t sent = 0, got = 0;
	const uint32_t total = ROUNDS(5000);

	while (got < total) {
		if (sent < total && test_random(&seed) % 2) {
			int fd = sent % 3 ? -1 : file_with(sent);
			int err = ops->send(pair->to_b, &sent, sizeof(sent), fd);

			assert_true(err == 0 || err == -EAGAIN);
			sent += err == 0;
			if (fd >= 0)
				close(fd);
		} else if (ops->poll(pair->b, &event) == 0) {
			assert_int_equal(event.kind, TRANSPORT_MESSAGE);
			assert_memory_equal(event.data, &got, sizeof(got));
			assert_int_equal(event.fd >= 0, got % 3 == 0);
			if (event.fd >= 0) {
				assert_int_equal(file_number(event.fd), got);
				close(event.fd);
			}
			got++;
		}
	}
}

static void send__descriptors_only__eagain_at_the_limit_then_writable(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;
	int fd = file_with(1);

	for (int i = 0; i < SHM_FD_MAX; i++)
		assert_int_equal(ops->send(pair->to_b, "x", 1, fd), 0);
	assert_int_equal(ops->send(pair->to_b, "x", 1, fd), -EAGAIN);
	expect_nothing(pair->a);
	expect_event(pair->b, TRANSPORT_MESSAGE, &event);
	close(event.fd);
	expect_event(pair->a, TRANSPORT_WRITABLE, &event);
	assert_int_equal(ops->send(pair->to_b, "x", 1, fd), 0);
	close(fd);
	for (int i = 0; i < SHM_FD_MAX; i++) {
		expect_event(pair->b, TRANSPORT_MESSAGE, &event);
		close(event.fd);
	}
}

static void send__closed_descriptor__ebadf_and_link_goes_on(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	assert_int_equal(ops->send(pair->to_b, "x", 1, 9999), -EBADF);
	assert_int_equal(ops->send(pair->to_b, "y", 1, -1), 0);
	expect_event(pair->b, TRANSPORT_MESSAGE, &event);
	assert_memory_equal(event.data, "y", 1);
}

static void receive__no_descriptor_left__message_with_emfile(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;
	struct rlimit old, low;
	int fd = file_with(5);

	assert_int_equal(ops->send(pair->to_b, "x", 1, fd), 0);
	assert_int_equal(ops->send(pair->to_b, "y", 1, fd), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	expect_event(pair->b, TRANSPORT_MESSAGE, &event);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(event.fd, -1);
	assert_int_equal(event.status, -EMFILE);
	assert_memory_equal(event.data, "x", 1);
	expect_event(pair->b, TRANSPORT_MESSAGE, &event);
	assert_int_equal(event.status, 0);
	assert_int_equal(file_number(event.fd), 5);
	close(event.fd);
	close(fd);
}

/* ---- the end of a link ---- */

static void link_close__after_sends__all_arrive_before_down(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;
	int fd = file_with(9);

	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(ops->send(pair->to_b, &i, sizeof(i), i == 50 ? fd : -1), 0);
	close(fd);
	ops->link_close(pair->to_b);
	for (uint32_t i = 0; i < 100; i++) {
		expect_event(pair->b, TRANSPORT_MESSAGE, &event);
		assert_memory_equal(event.data, &i, sizeof(i));
		if (i == 50) {
			assert_int_equal(file_number(event.fd), 9);
			close(event.fd);
		}
	}
	expect_event(pair->b, TRANSPORT_LINK_DOWN, &event);
	assert_ptr_equal(event.link, pair->to_a);
	assert_int_equal(event.status, -ECONNRESET);
	assert_int_equal(ops->send(pair->to_a, "x", 1, -1), -EHOSTDOWN);
	expect_nothing(pair->b);
	ops->link_close(pair->to_a);
	expect_nothing(pair->b);
}

static void link_close__peer_had_not_read__its_messages_still_arrive(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;
	int fd = file_with(2);

	/* b's socket has something unread when it closes; a is to get what b sent all the same. */
	assert_int_equal(ops->send(pair->to_b, "x", 1, fd), 0);
	assert_int_equal(ops->send(pair->to_a, "y", 1, fd), 0);
	close(fd);
	ops->link_close(pair->to_a);
	expect_event(pair->a, TRANSPORT_MESSAGE, &event);
	assert_int_equal(file_number(event.fd), 2);
	close(event.fd);
	expect_event(pair->a, TRANSPORT_LINK_DOWN, &event);
	assert_int_equal(event.status, -ECONNRESET);
}

static void open__descriptors__cloexec_and_gone_after_close(void **state)
{
	unsigned before = fd_count();
	bool was_open[256];
	const char *locator;
	struct transport *a, *b;
	struct transport_link *to_a, *to_b;

	(void)state;
	for (int fd = 0; fd < 256; fd++)
		was_open[fd] = fcntl(fd, F_GETFD) >= 0;
	locator = test_locator("leak");
	assert_int_equal(ops->open(locator, &b), 0);
	assert_int_equal(ops->open(test_locator("leak"), &a), 0);
	join(a, b, locator, &to_b, &to_a);
	assert_true(fd_count() > before);
	for (int fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && !was_open[fd])
			assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ops->close(a);
	ops->close(b);
	assert_int_equal(fd_count(), before);
}

/* ---- sleeping ---- */

static void park__nothing_there__fd_silent_until_a_message(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	while (!ops->park(pair->b))
		;
	assert_false(readable(pair->b));
	assert_int_equal(ops->send(pair->to_b, "x", 1, -1), 0);
	assert_true(readable(pair->b));
	expect_event(pair->b, TRANSPORT_MESSAGE, &event);
	/* Somebody who only polls must not take the wake-up away from who sleeps. */
	assert_true(readable(pair->b));
	while (!ops->park(pair->b))
		;
	assert_false(readable(pair->b));
}

static void park__message_waiting__false(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	assert_int_equal(ops->send(pair->to_b, "x", 1, -1), 0);
	assert_false(ops->park(pair->b));
	expect_event(pair->b, TRANSPORT_MESSAGE, &event);
	assert_true(ops->park(pair->b));
}

static void park__waiting_for_room__woken_by_the_first_credit(void **state)
{
	static uint8_t out[SHM_MESSAGE_MAX];
	struct pair *pair = *state;
	struct transport_event event;

	while (ops->send(pair->to_b, out, sizeof(out), -1) == 0)
		;
	assert_true(ops->park(pair->a));
	assert_false(readable(pair->a));
	while (ops->poll(pair->b, &event) == 0)
		;
	assert_true(readable(pair->a));
	assert_false(ops->park(pair->a));
	expect_event(pair->a, TRANSPORT_WRITABLE, &event);
}

static void park__peer_closes__fd_readable(void **state)
{
	struct pair *pair = *state;
	struct transport_event event;

	assert_true(ops->park(pair->b));
	ops->link_close(pair->to_b);
	assert_true(readable(pair->b));
	expect_event(pair->b, TRANSPORT_LINK_DOWN, &event);
	assert_true(ops->park(pair->b));
	assert_false(readable(pair->b));
}

int main(void)
{
#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, pair_setup, pair_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open__name_taken__eexist),
		cmocka_unit_test(open__bad_locator__error_says_limit),
		cmocka_unit_test(connect__nobody_there__econnrefused),
		cmocka_unit_test(link_up__same_process__pid_and_uid_are_ours),
		WITH_PAIR(send__ring_full__eagain_then_writable),
		WITH_PAIR(send__descriptors_among_messages__each_with_its_message),
		WITH_PAIR(send__descriptors_only__eagain_at_the_limit_then_writable),
		WITH_PAIR(send__closed_descriptor__ebadf_and_link_goes_on),
		WITH_PAIR(receive__no_descriptor_left__message_with_emfile),
		WITH_PAIR(link_close__after_sends__all_arrive_before_down),
		WITH_PAIR(link_close__peer_had_not_read__its_messages_still_arrive),
		cmocka_unit_test(open__descriptors__cloexec_and_gone_after_close),
		WITH_PAIR(park__nothing_there__fd_silent_until_a_message),
		WITH_PAIR(park__message_waiting__false),
		WITH_PAIR(park__waiting_for_room__woken_by_the_first_credit),
		WITH_PAIR(park__peer_closes__fd_readable),
	};

	return cmocka_run_group_tests_name("transport/shm", tests, NULL, NULL);
}
