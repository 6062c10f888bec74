/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_ucx_peer_test.c -- links over UCX: peers that die, stop, or fall silent */
#include "transport_end.h"

#include "base/log.h"
#include "transport/ucx/ucx.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

const struct transport_ops *const ops = &transport_ucx;
static struct ucx_timing timing;
static uint8_t bytes[UCX_MESSAGE_MAX];

const char *test_where(void)
{
	return "127.0.0.1";
}

static int timing_reset(void **state)
{
	(void)state;
	ucx_timing = timing;
	return 0;
}

/* ---- the ends of peers ---- */

/* A program with a link to end; runs until it is killed. UCX does not survive a fork() alone. */
static pid_t peer_start(struct end *end, const char *what)
{
	char locator[TRANSPORT_LOCATOR_MAX];
	pid_t pid;

	snprintf(locator, sizeof(locator), "%s", end_locator(end));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl("/proc/self/exe", "transport_ucx_peer_test", what, locator, (char *)NULL);
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

_Noreturn static void run_sender(struct transport *transport, struct transport_link *link)
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

_Noreturn static void run_echo(struct transport *transport, struct transport_link *link)
{
	static uint8_t copy[UCX_MESSAGE_MAX];
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

static int peer_main(const char *what, const char *locator)
{
	struct transport_event event;
	struct transport *transport;
	struct transport_link *link;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ops->open("127.0.0.1", &transport) < 0 || ops->connect(transport, locator, &link) < 0)
		return 1;
	while (ops->poll(transport, &event) < 0)
		sched_yield();
	if (event.kind != TRANSPORT_LINK_UP)
		return 1;
	if (strcmp(what, "echo") == 0)
		run_echo(transport, link);
	else
		run_sender(transport, link);
	return 1;
}

static void link_down__peer_killed_in_mid_stream__prefix_then_ehostdown(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++) {
		struct end *end = end_open(test_where());
		pid_t pid = peer_start(end, "sender");
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
	ucx_timing.probe_ns = 1000000000;
	end = end_open(test_where());
	pid = peer_start(end, "echo");
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

/* UCX's own flush and close would wait for it. */
static void close__peer_stopped_with_messages_under_way__returns(void **state)
{
	struct end *end = end_open(test_where());
	pid_t pid = peer_start(end, "echo");
	struct transport_event event;
	struct transport_link *link;

	(void)state;
	ucx_timing.close_ns = 200000000;
	end_expect(end, TRANSPORT_LINK_UP, &event);
	link = event.link;
	kill(pid, SIGSTOP);
	while (ops->send(link, bytes, sizeof(bytes), -1) == 0)
		end_progress();
	alarm(WAIT_NS / 1000000000);
	end_close(end);
	alarm(0);
	peer_end(pid, SIGKILL);
}

/* UCX's connection breaks, the greeting's stays: which messages still come is open, but no part of one. */
static void link_down__connection_of_ucx_broken__whole_messages_only(void **state)
{
	(void)state;
	for (uint32_t limit = 0; limit < 40; limit += 13) {
		struct end *a = end_open(test_where()), *b = end_open(test_where());
		struct transport *transport = end_transport(a);
		bool down_a = false, down_b = false;
		struct transport_link *link, *to_a;
		struct transport_event event;
		uint32_t sent = 0, got = 0;

		end_join(a, b, &link, &to_a);
		assert_true(transport->socket_count > 0);
		for (uint64_t until = test_now() + WAIT_NS; !down_a || !down_b;) {
			assert_true(test_now() < until);
			memcpy(bytes, &sent, sizeof(sent));
			sent += !down_a && ops->send(link, bytes, 30000, -1) == 0;
			for (unsigned i = 0; sent > limit && i < transport->socket_count; i++)
				shutdown(transport->socket[i].fd, SHUT_RDWR);
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
		assert_true(got <= sent);
		end_close(a);
		end_close(b);
	}
}

/* ---- a host that falls silent: two network namespaces, and the link between them is cut ---- */

/* UCX does not see a device before it has a carrier, which takes a moment. */
#define CARRIER \
	"for i in $(seq 200); do grep -q up /sys/class/net/fb?/operstate && break; sleep .05; done"

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

/* UCX looks for devices in /sys, which shows those of the network that it was mounted in. */
static bool sys_own(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("sysfs", "/sys", "sysfs", 0, NULL) == 0;
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

	if (!network_own() || !sys_own() || pipe(fds) < 0 || pipe(out) < 0)
		return 77;
	pid = fork();
	if (pid == 0) {
		bool yes = unshare(CLONE_NEWNET) == 0 && sys_own();

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(fds[1], &yes, 1) != 1 || read(out[0], &yes, 1) != 1)
			_exit(1);
		if (!command("ip addr add 10.77.0.2/24 dev fb1 && ip link set fb1 up && " CARRIER,
			     0) ||
		    ops->open("10.77.0.2", &transport) < 0)
			_exit(1);
		ops->locator(transport, locator);
		if (write(fds[1], locator, sizeof(locator)) != sizeof(locator))
			_exit(1);
		for (;;)
			ops->poll(transport, &event);
	}
	close(fds[1]); /* if the child is gone we do not wait for it */
	if (read(fds[0], locator, 1) != 1 || !locator[0] ||
	    !command("ip link add fb0 type veth peer name fb1 netns %d 2>/dev/null", (int)pid) ||
	    !command("ip addr add 10.77.0.1/24 dev fb0 && ip link set fb0 up", 0))
		return 77;
	if (write(out[1], "x", 1) != 1 || read(fds[0], locator, sizeof(locator)) != sizeof(locator))
		return 1;
	if (!command(CARRIER, 0) || ops->open("10.77.0.1", &transport) < 0 ||
	    ops->connect(transport, locator, &link) < 0)
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
	int status;
	pid_t pid;

#ifdef __SANITIZE_THREAD__
	skip(); /* it allows no threads after fork() */
#endif
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		ucx_timing.probe_ns = 1000000000;
		ucx_timing.grace_ns = 100000000;
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

int main(int argc, char **argv)
{
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, timing_reset, timing_reset)
	const struct CMUnitTest tests[] = {
		PLAIN(link_down__peer_killed_in_mid_stream__prefix_then_ehostdown),
		PLAIN(link__peer_stopped_and_continued__stays_up_and_nothing_is_lost),
		PLAIN(close__peer_stopped_with_messages_under_way__returns),
		PLAIN(link_down__connection_of_ucx_broken__whole_messages_only),
		PLAIN(link_down__host_silent_while_idle__ehostdown),
		PLAIN(link_down__host_silent_while_sending__ehostdown),
	};

	if (argc == 3)
		return peer_main(argv[1], argv[2]);
	timing = ucx_timing;
	log_open(LOG_ERROR, 0);
	return cmocka_run_group_tests_name("transport/ucx peers", tests, NULL, NULL);
}
