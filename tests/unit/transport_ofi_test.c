/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_ofi_test.c -- links between hosts: addresses, strangers at the port, the ends of peers */
#include "transport_end.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "transport/ofi/ofi.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEADER_LEN 16 /* of the provider's connection request, before the data */

const struct transport_ops *const ops = &transport_ofi;
static struct ofi_timing timing;
static uint8_t bytes[OFI_MESSAGE_MAX];

const char *test_where(void)
{
	return "127.0.0.1";
}

static int timing_reset(void **state)
{
	(void)state;
	ofi_timing = timing;
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
		"tcp/127.0.0.1/x",
		"127.0.0.1:1/1/1/1",
		"256.0.0.1",
		"a:b:c",
		"tcp/nosuchdevice0:70",
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
		"verbs/127.0.0.1:7000",
		"tcp/127.0.0.1:7000/12",
		"tcp/127.0.0.1:7000/0000000000000000",
		"tcp/127.0.0.1:7000/00000000000000001",
		"tcp/127.0.0.1:7000/0123456789abcdeg",
		"/",
		"//",
		"tcp//0123456789abcdef",
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
	static const char *const where[] = { "",	   "lo",	  "tcp/lo", "tcp/127.0.0.1",
					     "tcp",	   "127.0.0.1:0", "::1",    "[::1]",
					     "tcp/[::1]:0" };
	struct transport_link *to_a, *to_b;

	(void)state;
	for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		struct end *a, *b;

		if (strcmp(where[i], "tcp") == 0)
			continue; /* the name of an interface, if of anything */
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
	*strrchr(where, '/') = '\0'; /* the cookie */
	assert_int_equal(ops->open(where, &second), -EEXIST);
	end_close(first);
	assert_int_equal(ops->open(where, &second), 0);
	/* A port that was asked for needs no cookie: it is all that others know. */
	char locator[TRANSPORT_LOCATOR_MAX];

	ops->locator(second, locator);
	assert_string_equal(locator, where);
	ops->close(second);
}

static void open__no_such_provider__enosys_names_package(void **state)
{
	struct transport *transport = NULL;

	(void)state;
	assert_int_equal(ops->open("nosuch/127.0.0.1", &transport), -ENOSYS);
	assert_non_null(strstr(error_text(), "libfabric1"));
	assert_non_null(strstr(error_text(), "nosuch"));
}

/* Before anything else loads the library. */
static void open__every_allocation_fails_once__error_and_no_leak(void **state)
{
	struct transport *transport = NULL;
	unsigned before = 0;
	bool fired = true;
	int err;

	(void)state;
	alloc_fault_arm(2);
	assert_int_equal(ops->open(test_where(), &transport), -ENOSYS);
	assert_non_null(strstr(error_text(), "libfabric1"));
	alloc_fault_arm(0);
	for (unsigned long n = 1; fired; n++) {
		alloc_fault_arm(n);
		err = ops->open(test_where(), &transport);
		fired = alloc_fault_fired();
		alloc_fault_arm(0);
		assert_true(err == 0 || err == -ENOMEM || err == -EMFILE || err == -ENOSYS);
		assert_true(err < 0 || !fired || n > 3);
		if (err == 0)
			ops->close(transport);
		if (before == 0 && n > 3)
			before = fd_count(); /* with what libfabric keeps for itself */
	}
	assert_int_equal(fd_count(), before);
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
	ofi_timing.connect_ns = 100000000;
	down_expect(end, locator, -ETIMEDOUT);
	end_close(end);
	close(fd);
}

static void connect__wrong_cookie__refused_and_nothing_told(void **state)
{
	struct end *a = end_open(test_where()), *b = end_open(test_where());
	char locator[TRANSPORT_LOCATOR_MAX], *cookie;
	struct transport_link *to_a, *to_b;

	(void)state;
	snprintf(locator, sizeof(locator), "%s", end_locator(b));
	cookie = strrchr(locator, '/') + 1;
	cookie[15] = cookie[15] == '1' ? '2' : '1';
	down_expect(a, locator, -ECONNREFUSED);
	cookie[-1] = '\0';
	down_expect(a, locator, -ECONNREFUSED);
	end_expect_nothing(b);
	end_join(a, b, &to_b, &to_a);
	end_close(a);
	end_close(b);
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
			/* The provider's own header, then data that is not ours. */
			memset(bytes, 0, HEADER_LEN);
			bytes[0] = 3;
			bytes[1] = 1;
			bytes[3] = (uint8_t)(len > HEADER_LEN ? (len - HEADER_LEN) % 256 : 0);
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
	ofi_timing.half_open_ns = 200000000;
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
		if (ours <= 2 * OFI_HALF_OPEN_MAX)
			break;
	}
	assert_true(ours <= 2 * OFI_HALF_OPEN_MAX);
	for (int i = 0; i < STRANGERS; i++)
		close(fd[i]);
	for (uint64_t until = test_now() + WAIT_NS; fd_count() > fds && test_now() < until;)
		end_progress();
	still_serves(end, fds);
	end_close(end);
}

/* ---- the ends of peers ---- */

/* A process with a link to end; runs until it is killed. */
static pid_t peer_start(struct end *end,
			void (*run)(struct transport *transport, struct transport_link *link))
{
	char locator[TRANSPORT_LOCATOR_MAX];
	pid_t pid;

	snprintf(locator, sizeof(locator), "%s", end_locator(end));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct transport_event event;
		struct transport *transport;
		struct transport_link *link;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ops->open("127.0.0.1", &transport) < 0 ||
		    ops->connect(transport, locator, &link) < 0)
			_exit(1);
		while (ops->poll(transport, &event) < 0)
			sched_yield();
		if (event.kind == TRANSPORT_LINK_UP)
			run(transport, link);
		_exit(1);
	}
	return pid;
}

static void peer_end(pid_t pid, int signal)
{
	int status;

	kill(pid, signal);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void run_sender(struct transport *transport, struct transport_link *link)
{
	struct transport_event event;
	uint64_t number = 0;

	for (;;) {
		memcpy(bytes, &number, sizeof(number));
		if (ops->send(link, bytes, sizeof(bytes), -1) == 0)
			number++;
		else
			ops->poll(transport, &event);
	}
}

static void run_echo(struct transport *transport, struct transport_link *link)
{
	static uint8_t copy[OFI_MESSAGE_MAX];
	struct transport_event event, ignored;

	for (;;) {
		struct pollfd wait = { .fd = ops->fd(transport), .events = POLLIN };

		if (ops->poll(transport, &event) < 0) {
			if (ops->park(transport))
				poll(&wait, 1, -1);
			continue;
		}
		if (event.kind != TRANSPORT_MESSAGE)
			continue;
		memcpy(copy, event.data, event.len);
		while (ops->send(link, copy, event.len, -1) == -EAGAIN)
			ops->poll(transport, &ignored);
	}
}

static void link_down__peer_killed_in_mid_stream__prefix_then_ehostdown(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++) {
		struct end *end = end_open(test_where());
		pid_t pid = peer_start(end, run_sender);
		struct transport_event event;
		uint64_t number, expected = 0;

		end_expect(end, TRANSPORT_LINK_UP, &event);
		while (expected < (uint64_t)(20 * round)) {
			end_expect(end, TRANSPORT_MESSAGE, &event);
			memcpy(&number, event.data, sizeof(number));
			assert_int_equal(number, expected);
			expected++;
		}
		peer_end(pid, SIGKILL);
		for (uint64_t until = test_now() + WAIT_NS; test_now() < until;) {
			if (!end_event(end, &event))
				continue;
			if (event.kind == TRANSPORT_LINK_DOWN)
				break;
			assert_int_equal(event.kind, TRANSPORT_MESSAGE);
			assert_int_equal(event.len, sizeof(bytes));
			memcpy(&number, event.data, sizeof(number));
			assert_int_equal(number, expected);
			expected++;
		}
		assert_int_equal(event.kind, TRANSPORT_LINK_DOWN);
		assert_int_equal(event.status, -EHOSTDOWN);
		assert_int_equal(ops->send(event.link, "x", 1, -1), -EHOSTDOWN);
		end_close(end);
	}
}

/* Longer than what a silent host is given. */
static void link__peer_stopped_and_continued__stays_up_and_nothing_is_lost(void **state)
{
	struct end *end;
	struct transport_event event;
	uint32_t sent = 0, got = 0;
	uint64_t until;
	pid_t pid;

	(void)state;
	ofi_timing.probe_ns = 1000000000;
	ofi_timing.silence_ns = 1000000000;
	end = end_open(test_where());
	pid = peer_start(end, run_echo);
	end_expect(end, TRANSPORT_LINK_UP, &event);
	kill(pid, SIGSTOP);
	for (until = test_now() + 3000000000u; test_now() < until;) {
		memcpy(bytes, &sent, sizeof(sent));
		sent += ops->send(event.link, bytes, 8192, -1) == 0;
		if (ops->poll(end_transport(end), &event) == 0)
			assert_int_equal(event.kind, TRANSPORT_WRITABLE);
		usleep(1000);
	}
	kill(pid, SIGCONT);
	for (until = test_now() + WAIT_NS; got < sent && test_now() < until;)
		if (end_event(end, &event) && event.kind != TRANSPORT_WRITABLE) {
			assert_int_equal(event.kind, TRANSPORT_MESSAGE);
			assert_memory_equal(event.data, &got, sizeof(got));
			got++;
		}
	assert_int_equal(got, sent);
	peer_end(pid, SIGKILL);
	end_expect(end, TRANSPORT_LINK_DOWN, &event);
	end_close(end);
}

/* Forwards both ways; after limit bytes from the connector both sides get a reset. */
static void relay_run(int listener, uint16_t to, size_t limit)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				    .sin_port = htons(to) };
	struct linger hard = { .l_onoff = 1 };
	int from = accept(listener, NULL, NULL), out = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd wait[2] = { { .fd = from, .events = POLLIN },
				  { .fd = out, .events = POLLIN } };
	static char data[4096];

	if (from < 0 || connect(out, (struct sockaddr *)&name, sizeof(name)) < 0)
		_exit(1);
	while (limit && poll(wait, 2, -1) > 0)
		for (int i = 0; i < 2; i++) {
			size_t want = i == 0 && limit < sizeof(data) ? limit : sizeof(data);
			ssize_t n = wait[i].revents ? recv(wait[i].fd, data, want, 0) : 0;

			if (n > 0)
				send(wait[1 - i].fd, data, (size_t)n, MSG_NOSIGNAL);
			if (i == 0 && n > 0)
				limit -= (size_t)n;
		}
	setsockopt(from, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	setsockopt(out, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	_exit(0);
}

static pid_t relay_start(struct end *end, size_t limit, char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	const char *colon = strrchr(end_locator(end), ':');
	uint16_t port, to = (uint16_t)strtoul(colon + 1, NULL, 10);
	int fd = listener_raw(&port);
	pid_t pid;

	assert_int_equal(listen(fd, 5), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		relay_run(fd, to, limit);
	}
	close(fd);
	snprintf(ret_locator, TRANSPORT_LOCATOR_MAX, "tcp/127.0.0.1:%u%s", port,
		 strchr(colon, '/'));
	return pid;
}

static void link_down__reset_in_mid_message__whole_messages_only(void **state)
{
	static const size_t limits[] = { 100, 5000, 70000, 200001, 1000003 };

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct end *a = end_open(test_where()), *b = end_open(test_where());
		char locator[TRANSPORT_LOCATOR_MAX];
		pid_t pid = relay_start(b, limits[i], locator);
		bool down_a = false, down_b = false;
		struct transport_event event;
		struct transport_link *link;
		uint32_t sent = 0, got = 0;

		assert_int_equal(ops->connect(end_transport(a), locator, &link), 0);
		end_expect(a, TRANSPORT_LINK_UP, &event);
		end_expect(b, TRANSPORT_LINK_UP, &event);
		for (uint64_t until = test_now() + WAIT_NS; !down_a || !down_b;) {
			assert_true(test_now() < until);
			memcpy(bytes, &sent, sizeof(sent));
			sent += !down_a && ops->send(link, bytes, 30000, -1) == 0;
			if (end_event(a, &event))
				down_a |= event.kind == TRANSPORT_LINK_DOWN;
			if (!end_event(b, &event))
				continue;
			down_b |= event.kind == TRANSPORT_LINK_DOWN;
			if (event.kind == TRANSPORT_MESSAGE) {
				assert_int_equal(event.len, 30000);
				assert_memory_equal(event.data, &got, sizeof(got));
				got++;
			}
		}
		assert_true(got <= limits[i] / 30000);
		peer_end(pid, SIGKILL);
		end_close(a);
		end_close(b);
	}
}

/* ---- a host that falls silent: two network namespaces, and the link between them is cut ---- */

static bool command(const char *format, int number)
{
	char line[256];

	snprintf(line, sizeof(line), format, number);
	return system(line) == 0;
}

static bool file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool fine = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return fine;
}

/* Root of a network of our own. */
static bool network_own(void)
{
	char map[64];

	snprintf(map, sizeof(map), "0 %u 1", (unsigned)geteuid());
	if (geteuid() == 0)
		return unshare(CLONE_NEWNET) == 0;
	return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 && file_write("/proc/self/uid_map", map);
}

/* In a child with its own network. Returns an exit status. */
static int silent_host(bool busy)
{
	struct transport_event event;
	struct transport *transport;
	struct transport_link *link;
	char locator[TRANSPORT_LOCATOR_MAX];
	int fds[2], out[2];
	pid_t pid;

	if (!network_own() || pipe(fds) < 0 || pipe(out) < 0)
		return 77;
	pid = fork();
	if (pid == 0) {
		bool yes = unshare(CLONE_NEWNET) == 0;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(fds[1], &yes, 1) != 1 || read(out[0], &yes, 1) != 1)
			_exit(1);
		if (!command("ip addr add 10.77.0.2/24 dev fb1 && ip link set fb1 up", 0) ||
		    ops->open("10.77.0.2", &transport) < 0)
			_exit(1);
		ops->locator(transport, locator);
		if (write(fds[1], locator, sizeof(locator)) != sizeof(locator))
			_exit(1);
		for (;;)
			ops->poll(transport, &event);
	}
	if (read(fds[0], locator, 1) != 1 || !locator[0] ||
	    !command("ip link add fb0 type veth peer name fb1 netns %d 2>/dev/null", (int)pid) ||
	    !command("ip addr add 10.77.0.1/24 dev fb0 && ip link set fb0 up", 0))
		return 77;
	if (write(out[1], "x", 1) != 1 || read(fds[0], locator, sizeof(locator)) != sizeof(locator))
		return 1;
	if (ops->open("10.77.0.1", &transport) < 0 || ops->connect(transport, locator, &link) < 0)
		return 2;
	for (uint64_t until = test_now() + WAIT_NS; ops->poll(transport, &event) < 0;)
		if (test_now() > until)
			return 3;
	if (event.kind != TRANSPORT_LINK_UP)
		return 4;
	/* No carrier on our side, but our stack still has the address and the route. */
	if (!command("nsenter -t %d -n ip link set fb1 down", (int)pid))
		return 77;
	if (busy && ops->send(link, bytes, 1000, -1) < 0)
		return 5;
	for (uint64_t until = test_now() + WAIT_NS; ops->poll(transport, &event) < 0; usleep(1000))
		if (test_now() > until)
			return 6;
	kill(pid, SIGKILL);
	return event.kind == TRANSPORT_LINK_DOWN && event.status == -EHOSTDOWN ? 0 : 7;
}

static void silent_host_run(bool busy)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		ofi_timing.probe_ns = 1000000000;
		ofi_timing.silence_ns = 2000000000;
		_exit(silent_host(busy));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void link_down__host_silent_while_idle__ehostdown(void **state)
{
	(void)state;
	silent_host_run(false);
}

static void link_down__host_silent_while_sending__ehostdown(void **state)
{
	(void)state;
	silent_host_run(true);
}

int main(void)
{
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, timing_reset, timing_reset)
	const struct CMUnitTest tests[] = {
		PLAIN(open__every_allocation_fails_once__error_and_no_leak),
		PLAIN(open__where_that_is_none__einval_names_it),
		PLAIN(open__every_form_of_where__can_be_connected_to),
		PLAIN(open__port_taken__eexist),
		PLAIN(open__no_such_provider__enosys_names_package),
		PLAIN(connect__locator_that_is_none__einval_names_it),
		PLAIN(connect__every_allocation_fails_once__error_or_link),
		PLAIN(connect__nobody_there__econnrefused),
		PLAIN(connect__nobody_answers__etimedout),
		PLAIN(connect__wrong_cookie__refused_and_nothing_told),
		PLAIN(listen__garbage__closed_and_nothing_told),
		PLAIN(listen__says_nothing_or_half__closed_in_bounded_time),
		PLAIN(listen__many_say_nothing__bounded_and_others_are_served),
		PLAIN(link_down__peer_killed_in_mid_stream__prefix_then_ehostdown),
		PLAIN(link__peer_stopped_and_continued__stays_up_and_nothing_is_lost),
		PLAIN(link_down__reset_in_mid_message__whole_messages_only),
		PLAIN(link_down__host_silent_while_idle__ehostdown),
		PLAIN(link_down__host_silent_while_sending__ehostdown),
	};

	timing = ofi_timing;
	log_open(LOG_ERROR, 0);
	return cmocka_run_group_tests_name("transport/ofi", tests, NULL, NULL);
}
