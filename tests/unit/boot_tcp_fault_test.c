/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * boot_tcp_fault_test.c -- tests of FARBUS_JOIN: ranks that are missing, die, come back, or are none
 *
 * What dies is a child process, started before this one has other threads.
 */
#include "base/error.h"
#include "base/log.h"
#include "base_common.h"
#include "boot_tcp_common.h"
#include "runtime/boot/tcp_server.h"
#include "runtime/boot/tcp_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_TEST(name)                       \
	static void name(void **state)         \
	{                                      \
		(void)state;                   \
		child_passes(in_##name, NULL); \
	}

/* --- ranks that never come --- */

static void in_open__nobody_listens__etimedout_says_what_to_start(void *arg)
{
	struct rank rank = { .timeout_ns = SHORT_NS };

	(void)arg;
	place_next();
	rank.config = join_conf("1", "2");
	rank_start(&rank);
	rank_end(&rank);
	CHECK(rank.err == -ETIMEDOUT);
	CHECK(strstr(rank.text, rank.config.join));
	CHECK(strstr(rank.text, "FARBUS_RANK=0"));
	CHECK(strstr(rank.text, "Connection refused"));
	rank.config.rank[0] = rank.config.size[0] = '\0';
	rank_start(&rank);
	rank_end(&rank);
	CHECK(rank.err == -ETIMEDOUT);
	CHECK(strstr(rank.text, "FARBUS_SIZE"));
}
CHILD_TEST(open__nobody_listens__etimedout_says_what_to_start)

static void in_open__ranks_missing__rank_0_names_them_to_all(void *arg)
{
	struct rank rank[2] = { { .timeout_ns = 2 * SHORT_NS }, { .timeout_ns = WAIT_NS } };

	(void)arg;
	place_next();
	rank[0].config = join_conf("0", "5");
	rank[1].config = join_conf("2", "5");
	rank_start(&rank[0]);
	rank_start(&rank[1]);
	rank_end(&rank[0]);
	CHECK(rank[0].err == -ETIMEDOUT);
	rank_end(&rank[1]);
	if (!strstr(rank[0].text, "2 of 5 ranks joined; missing: 1 3 4"))
		dprintf(2, "%s\n", rank[0].text);
	CHECK(strstr(rank[0].text, "2 of 5 ranks joined; missing: 1 3 4"));
	CHECK(rank[1].err == -EHOSTDOWN);
	CHECK(strstr(rank[1].text, "missing: 1 3 4"));
}
CHILD_TEST(open__ranks_missing__rank_0_names_them_to_all)

static void in_open__very_many_missing__the_text_is_cut(void *arg)
{
	struct rank rank = { .timeout_ns = SHORT_NS };

	(void)arg;
	place_next();
	rank.config = join_conf("0", "1024");
	rank_start(&rank);
	rank_end(&rank);
	CHECK(rank.err == -ETIMEDOUT);
	CHECK(strstr(rank.text, "1 of 1024 ranks joined; missing: 1 2 3"));
	CHECK(strstr(rank.text, "..."));
}
CHILD_TEST(open__very_many_missing__the_text_is_cut)

/* Both joined; one does not come to the fence. */
static void in_fence__rank_missing__rank_0_names_it(void *arg)
{
	struct rank rank[3] = { { .stay = true }, { .stay = true }, { .stay = true } };

	(void)arg;
	place_next();
	for (int i = 0; i < 3; i++) {
		rank[i].config = join_conf(i ? "" : "0", i ? "" : "3");
		rank_start(&rank[i]);
	}
	for (int i = 0; i < 3; i++) {
		rank_end(&rank[i]);
		CHECK(rank[i].err == 0);
	}
	CHECK(tcp_fence(rank[0].tcp, SHORT_NS) == -ETIMEDOUT);
	CHECK(strstr(error_text(), "1 of 3 ranks reached the fence; missing: 1 2"));
	CHECK(tcp_fence(rank[0].tcp, SHORT_NS) < 0);
	CHECK(tcp_fence(rank[1].tcp, SHORT_NS) < 0);
	for (int i = 2; i >= 0; i--)
		rank_close(&rank[i]);
}
CHILD_TEST(fence__rank_missing__rank_0_names_it)

/* --- ranks that die --- */

/* A process that joins, leaves a blob, and waits in the next fence until it is killed. */
/* fences: it goes into two of them; else it waits to be killed. */
static pid_t rank_process(const char *rank, const char *size, bool fences)
{
	struct config config = join_conf(rank, size);
	struct boot_info info;
	struct tcp *tcp;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CHECK(tcp_open(&config, WAIT_NS, &tcp, &info) == 0);
	CHECK(tcp_put(tcp, "process", "here", 4) == 0);
	while (!fences)
		pause();
	(void)tcp_fence(tcp, WAIT_NS);
	(void)tcp_fence(tcp, WAIT_NS);
	_exit(0);
}

static void process_kill(pid_t pid)
{
	int status;

	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status));
}

/* Until the process left its blob: from then on it is in the fence, or on its way into it. */
static void process_wait(struct tcp *tcp)
{
	uint64_t deadline = clock_now_ns() + WAIT_NS;
	char value[8];
	size_t len;
	int err;

	while ((err = tcp_get(tcp, "process", value, sizeof(value), &len, WAIT_NS)) == -ENOENT) {
		CHECK(clock_now_ns() < deadline);
		poll(NULL, 0, 2);
	}
	CHECK(err == 0);
}

static void fence_body(struct rank *rank)
{
	rank->body_err = tcp_fence(rank->tcp, WAIT_NS);
}

static void fence_and_kill_body(struct rank *rank)
{
	process_wait(rank->tcp);
	process_kill(*(pid_t *)rank->arg);
	rank->body_err = tcp_fence(rank->tcp, WAIT_NS);
}

static void in_fence__member_killed_before_it__ehostdown_names_it(void *arg)
{
	struct rank rank[2] = { { .body = fence_and_kill_body, .stay = true },
				{ .body = fence_body, .stay = true } };
	pid_t pid;

	(void)arg;
	place_next();
	/* One that has reached the fence may die: the others come through it if they are quick. */
	pid = rank_process("2", "3", false);
	rank[0].arg = &pid;
	rank[0].config = join_conf("0", "3");
	rank[1].config = join_conf("1", "3");
	rank_start(&rank[0]);
	rank_start(&rank[1]);
	for (int i = 0; i < 2; i++) {
		rank_end(&rank[i]);
		CHECK(rank[i].err == 0);
		CHECK(rank[i].body_err == -EHOSTDOWN);
		CHECK(strstr(rank[i].text, "rank 2 ended before the fence"));
	}
	/* The connection is as good as before. */
	CHECK(tcp_put(rank[1].tcp, "k", "v", 1) == 0);
	rank_close(&rank[1]);
	rank_close(&rank[0]);
}
CHILD_TEST(fence__member_killed_before_it__ehostdown_names_it)

static void in_open__member_killed_before_all_are_there__its_rank_is_free_again(void *arg)
{
	struct rank rank[3] = { { .body = fence_body },
				{ .body = fence_body },
				{ .body = fence_body } };
	static const char *const number[] = { "0", "1", "2" };
	pid_t pid;

	(void)arg;
	place_next();
	pid = rank_process("1", "3", true);
	for (int i = 0; i < 3; i++)
		rank[i].config = join_conf(number[i], "3");
	rank_start(&rank[0]);
	/* It may have joined or not: rank 1 can be had when it is dead. */
	close(place_connect());
	process_kill(pid);
	rank_start(&rank[1]);
	rank_start(&rank[2]);
	for (int i = 0; i < 3; i++) {
		rank_end(&rank[i]);
		CHECK(rank[i].err == 0);
		CHECK(rank[i].body_err == 0);
	}
}
CHILD_TEST(open__member_killed_before_all_are_there__its_rank_is_free_again)

static void rank_0_dies_body(struct rank *rank)
{
	pid_t pid = *(pid_t *)rank->arg;

	if (rank->info.rank == 1) {
		rank->body_err = tcp_fence(rank->tcp, WAIT_NS);
		return;
	}
	process_wait(rank->tcp);
	process_kill(pid);
	rank->body_err = tcp_put(rank->tcp, "k", "v", 1);
	CHECK(tcp_fence(rank->tcp, WAIT_NS) == rank->body_err);
}

static void in_everything__rank_0_killed__ehostdown_no_hang(void *arg)
{
	struct rank rank[2];
	pid_t pid;

	(void)arg;
	place_next();
	memset(rank, 0, sizeof(rank));
	pid = rank_process("0", "3", true);
	for (int i = 0; i < 2; i++) {
		rank[i].config = join_conf(i ? "2" : "1", "3");
		rank[i].body = rank_0_dies_body;
		rank[i].arg = &pid;
		rank_start(&rank[i]);
	}
	for (int i = 0; i < 2; i++) {
		rank_end(&rank[i]);
		CHECK(rank[i].err == 0);
		CHECK(rank[i].body_err == -EHOSTDOWN);
	}
}
CHILD_TEST(everything__rank_0_killed__ehostdown_no_hang)

/* A rank that comes back passes the fence the job has behind it, and finds the blobs. */
static void in_open__rank_restarted_after_the_fence__gets_the_blobs(void *arg)
{
	struct rank rank = { .body = fence_body, .stay = true }, again = { .stay = true };
	char value[8];
	size_t len;
	pid_t pid;

	(void)arg;
	place_next();
	pid = rank_process("1", "2", true);
	rank.config = join_conf("0", "2");
	rank_start(&rank);
	rank_end(&rank);
	CHECK(rank.err == 0 && rank.body_err == 0);
	CHECK(tcp_put(rank.tcp, "job", "data", 4) == 0);
	process_kill(pid);
	for (int assigned = 0; assigned < 2; assigned++) {
		again.config = join_conf(assigned ? "" : "1", "");
		rank_start(&again);
		rank_end(&again);
		CHECK(again.err == 0);
		CHECK(again.info.rank == 1 && again.info.size == 2);
		CHECK(again.info.local_rank == 1 && again.info.local_size == 2);
		CHECK(tcp_put(again.tcp, "process", "back", 4) == 0);
		CHECK(tcp_fence(again.tcp, WAIT_NS) == 0);
		CHECK(tcp_get(again.tcp, "job", value, sizeof(value), &len, WAIT_NS) == 0);
		CHECK(len == 4 && memcmp(value, "data", 4) == 0);
		CHECK(tcp_get(rank.tcp, "process", value, sizeof(value), &len, WAIT_NS) == 0);
		CHECK(len == 4 && memcmp(value, "back", 4) == 0);
		if (assigned == 0)
			rank_close(&again);
	}
	/* It counts for the next fence like any other. */
	CHECK(tcp_fence(rank.tcp, SHORT_NS) == -ETIMEDOUT);
	CHECK(strstr(error_text(), "missing: 1"));
	rank_close(&again);
	rank_close(&rank);
}
CHILD_TEST(open__rank_restarted_after_the_fence__gets_the_blobs)

static void abort_body(struct rank *rank)
{
	if (rank->info.rank == 1)
		tcp_abort(rank->tcp, "no more\nmoney");
	rank->body_err = tcp_fence(rank->tcp, WAIT_NS);
}

static void in_abort__others_wait__they_learn_why(void *arg)
{
	struct rank rank[3];

	(void)arg;
	place_next();
	memset(rank, 0, sizeof(rank));
	for (int i = 0; i < 3; i++) {
		rank[i].config = join_conf(i ? "" : "0", i ? "" : "3");
		rank[i].body = abort_body;
		rank[i].stay = true;
		rank_start(&rank[i]);
	}
	for (int i = 0; i < 3; i++) {
		rank_end(&rank[i]);
		CHECK(rank[i].err == 0);
		CHECK(rank[i].body_err == -EHOSTDOWN);
		CHECK(strstr(rank[i].text, "rank 1 ended the job: no more?money"));
	}
	for (int i = 2; i >= 0; i--)
		rank_close(&rank[i]);
}
CHILD_TEST(abort__others_wait__they_learn_why)

/* --- what is no rank --- */

/* Until the other side has closed; returns how much it said before. */
static size_t closed_wait(int fd, void *ret_said, size_t size)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	size_t used = 0;
	ssize_t n;

	for (;;) {
		CHECK(poll(&pollfd, 1, (int)(WAIT_NS / NS_PER_MS)) == 1);
		n = recv(fd, (char *)ret_said + used, size - used, 0);
		if (n <= 0)
			break;
		used += (size_t)n;
		CHECK(used < size);
	}
	CHECK(n == 0 || errno == ECONNRESET);
	close(fd);
	return used;
}

static void strangers_knock(void)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", partial[] = "farbus\r\n\1";
	static uint8_t noise[70000];
	struct tcp_handshake said;
	uint8_t heard[256];
	int fd;

	memset(&said, 0, sizeof(said));
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 2654435761u >> 13);
	fd = place_connect();
	CHECK(write(fd, http, sizeof(http) - 1) > 0);
	CHECK(closed_wait(fd, heard, sizeof(heard)) == TCP_HELLO_SIZE);
	fd = place_connect();
	(void)!send(fd, noise, sizeof(noise), MSG_NOSIGNAL);
	CHECK(closed_wait(fd, heard, sizeof(heard)) <= TCP_HELLO_SIZE);
	close(place_connect());
	fd = place_connect();
	CHECK(write(fd, partial, sizeof(partial) - 1) > 0);
	close(fd);
	/* Another version: is told so. */
	fd = place_connect();
	tcp_hello_make(&said);
	said.hello[8]++;
	CHECK(write(fd, said.hello, 12) == 12);
	CHECK(closed_wait(fd, heard, sizeof(heard)) == TCP_HELLO_SIZE + TCP_ANSWER_SIZE);
	CHECK(heard[TCP_HELLO_SIZE] == TCP_NO_VERSION);
	/* All the bytes of a JOIN, and no secret. */
	fd = place_connect();
	tcp_hello_make(&said);
	memcpy(said.join, said.hello, 12);
	CHECK(write(fd, said.join, TCP_JOIN_SIZE) == TCP_JOIN_SIZE);
	CHECK(closed_wait(fd, heard, sizeof(heard)) == TCP_HELLO_SIZE + TCP_ANSWER_SIZE);
	CHECK(heard[TCP_HELLO_SIZE] == TCP_NO_SECRET);
}

static void strangers_case(void *arg)
{
	struct rank rank[2] = { { .body = fence_body }, { .body = fence_body } };

	(void)arg;
	log_open(LOG_INFO, 0);
	place_next();
	rank[0].config = join_conf("0", "2");
	rank[1].config = join_conf("1", "2");
	rank_start(&rank[0]);
	strangers_knock();
	rank_start(&rank[1]);
	for (int i = 0; i < 2; i++) {
		rank_end(&rank[i]);
		CHECK(rank[i].err == 0 && rank[i].body_err == 0);
	}
}

static void server__strangers_knock__closed_and_logged_once(void **state)
{
	static struct child child;

	(void)state;
	child_run(strangers_case, NULL, &child);
	if (child.status)
		print_error("%s\n", child.text);
	assert_int_equal(child.status, 0);
	assert_int_equal(text_times(child.text, "was sent away: it does not speak farbus"), 1);
	assert_int_equal(text_times(child.text, "was sent away"), 1);
	assert_int_equal(text_times(child.text, "4 connections were sent away"), 1);
}

/* As many silent connections as fit, and more: the oldest go, and a rank still joins. */
static void in_server__more_silent_connections_than_fit__oldest_make_room(void *arg)
{
	struct rank rank[2] = { { .body = fence_body }, { .body = fence_body } };
	int fd[TCP_HALF_OPEN_MAX + 10];
	uint8_t heard[64];

	(void)arg;
	log_open(LOG_ERROR, 0);
	place_next();
	rank[0].config = join_conf("0", "2");
	rank[1].config = join_conf("1", "2");
	rank_start(&rank[0]);
	for (int i = 0; i < TCP_HALF_OPEN_MAX + 10; i++)
		fd[i] = place_connect();
	for (int i = 0; i < 10; i++)
		CHECK(closed_wait(fd[i], heard, sizeof(heard)) == TCP_HELLO_SIZE);
	rank_start(&rank[1]);
	for (int i = 0; i < 2; i++) {
		rank_end(&rank[i]);
		CHECK(rank[i].err == 0 && rank[i].body_err == 0);
	}
	for (int i = 10; i < TCP_HALF_OPEN_MAX + 10; i++)
		CHECK(closed_wait(fd[i], heard, sizeof(heard)) == TCP_HELLO_SIZE);
}
CHILD_TEST(server__more_silent_connections_than_fit__oldest_make_room)

/* One that sends a byte now and then is closed at the deadline, by the server's own clock. */
static void in_server__handshake_byte_by_byte_for_ever__closed(void *arg)
{
	struct rank rank = { .timeout_ns = 3 * WAIT_NS, .body = fence_body };
	struct tcp_handshake said;
	struct pollfd pollfd = { .events = POLLRDHUP };
	size_t sent = 0;
	int fd;

	(void)arg;
	log_open(LOG_ERROR, 0);
	place_next();
	memset(&said, 0, sizeof(said));
	tcp_hello_make(&said);
	memcpy(said.join, said.hello, 12);
	rank.config = join_conf("0", "2");
	rank_start(&rank);
	fd = pollfd.fd = place_connect();
	/* Far fewer bytes than a JOIN has, in more time than the server gives. */
	while (sent < TCP_JOIN_SIZE - 1 && poll(&pollfd, 1, 100) == 0)
		CHECK(send(fd, said.join + sent++, 1, MSG_NOSIGNAL) == 1);
	CHECK(sent < TCP_JOIN_SIZE - 1);
	close(fd);
	{
		struct rank other = { .config = join_conf("1", "2"), .body = fence_body };

		rank_start(&other);
		rank_end(&other);
		CHECK(other.err == 0);
	}
	rank_end(&rank);
	CHECK(rank.err == 0);
}
CHILD_TEST(server__handshake_byte_by_byte_for_ever__closed)

/* --- what is no rank 0 --- */

struct impostor {
	const uint8_t *first;
	size_t len;
	bool answers; /* WELCOME, without knowing the secret */
	int listener;
};

static int impostor_listen(void)
{
	struct sockaddr_in address = place_address();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(listen(fd, 8) == 0);
	return fd;
}

static void *impostor_thread(void *arg)
{
	static const struct tcp_answer welcome = { .code = TCP_WELCOME, .rank = 1, .size = 2 };
	static const uint8_t key[MAC_KEY_SIZE] = { 1 };
	struct impostor *impostor = arg;
	struct tcp_handshake said;
	char rest[256];
	int fd = accept(impostor->listener, NULL, NULL);

	CHECK(fd >= 0);
	memset(&said, 0, sizeof(said));
	CHECK(write(fd, impostor->first, impostor->len) == (ssize_t)impostor->len);
	if (impostor->answers) {
		memcpy(said.hello, impostor->first, TCP_HELLO_SIZE);
		CHECK(recv(fd, said.join, TCP_JOIN_SIZE, MSG_WAITALL) == TCP_JOIN_SIZE);
		tcp_answer_make(&said, key, &welcome);
		CHECK(write(fd, said.answer, TCP_ANSWER_SIZE) == TCP_ANSWER_SIZE);
	}
	while (recv(fd, rest, sizeof(rest), 0) > 0)
		;
	close(fd);
	return NULL;
}

static void impostor_meet(struct impostor *impostor, int err, const char *text)
{
	struct rank rank = { .timeout_ns = err == -ETIMEDOUT ? SHORT_NS : WAIT_NS };
	pthread_t thread;

	place_next();
	rank.config = join_conf("1", "2");
	impostor->listener = impostor_listen();
	CHECK(pthread_create(&thread, NULL, impostor_thread, impostor) == 0);
	rank_start(&rank);
	rank_end(&rank);
	CHECK(pthread_join(thread, NULL) == 0);
	close(impostor->listener);
	if (rank.err != err || !strstr(rank.text, text))
		dprintf(2, "%d: %s\n", rank.err, rank.text);
	CHECK(rank.err == err);
	CHECK(strstr(rank.text, text));
}

static void in_open__no_rank_0_listens_there__says_so(void *arg)
{
	static const uint8_t ssh[] = "SSH-2.0-OpenSSH_9.2\r\n";
	struct tcp_handshake good, newer;
	struct impostor impostor[] = {
		{ ssh, sizeof(ssh) - 1, false, -1 },
		{ newer.hello, TCP_HELLO_SIZE, false, -1 },
		{ good.hello, 0, false, -1 },
		{ good.hello, TCP_HELLO_SIZE, false, -1 },
		{ good.hello, TCP_HELLO_SIZE, true, -1 },
	};

	(void)arg;
	memset(&good, 0, sizeof(good));
	tcp_hello_make(&good);
	newer = good;
	newer.hello[8]++;
	impostor_meet(&impostor[0], -EPROTO, "is no farbus");
	impostor_meet(&impostor[1], -EPROTO, "another version");
	impostor_meet(&impostor[2], -ETIMEDOUT, "did not answer");
	impostor_meet(&impostor[3], -ETIMEDOUT, "did not answer");
	impostor_meet(&impostor[4], -EACCES, "does not know the job's secret");
}
CHILD_TEST(open__no_rank_0_listens_there__says_so)

static void in_server__many_jobs_after_another__no_descriptor_left(void *arg)
{
	int before = dup(2);

	(void)arg;
	close(before);
	for (int i = 0; i < 20; i++) {
		struct rank rank[2] = { { .body = fence_body }, { .body = fence_body } };

		place_next();
		for (int r = 0; r < 2; r++) {
			rank[r].config = join_conf(r ? "1" : "0", "2");
			rank_start(&rank[r]);
		}
		for (int r = 0; r < 2; r++) {
			rank_end(&rank[r]);
			CHECK(rank[r].err == 0);
		}
	}
	CHECK(dup(2) == before);
}
CHILD_TEST(server__many_jobs_after_another__no_descriptor_left)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open__nobody_listens__etimedout_says_what_to_start),
		cmocka_unit_test(open__ranks_missing__rank_0_names_them_to_all),
		cmocka_unit_test(open__very_many_missing__the_text_is_cut),
		cmocka_unit_test(fence__rank_missing__rank_0_names_it),
		cmocka_unit_test(fence__member_killed_before_it__ehostdown_names_it),
		cmocka_unit_test(open__member_killed_before_all_are_there__its_rank_is_free_again),
		cmocka_unit_test(everything__rank_0_killed__ehostdown_no_hang),
		cmocka_unit_test(open__rank_restarted_after_the_fence__gets_the_blobs),
		cmocka_unit_test(abort__others_wait__they_learn_why),
		cmocka_unit_test(server__strangers_knock__closed_and_logged_once),
		cmocka_unit_test(server__more_silent_connections_than_fit__oldest_make_room),
		cmocka_unit_test(server__handshake_byte_by_byte_for_ever__closed),
		cmocka_unit_test(open__no_rank_0_listens_there__says_so),
		cmocka_unit_test(server__many_jobs_after_another__no_descriptor_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
