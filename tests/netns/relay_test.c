/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay_test.c -- tests of tests/netns/relay.c: what a test of ours relies on when it blames a wire
 *
 * This process is both ends; the relay (argv[1]) is a child, one per case.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 20000
#define ARGUMENT_MAX 16
#define SUM (1 << 20)

static const char *program;

struct wire {
	pid_t pid;
	FILE *says;
	int listener;		    /* what the relay connects to */
	struct sockaddr_in address; /* where it listens */
};

static int readable(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, WAIT_MS);
}

/* The next line the relay prints is this one. */
static void says(struct wire *wire, const char *line)
{
	char text[200] = "";

	assert_int_equal(readable(fileno(wire->says)), 1);
	assert_non_null(fgets(text, sizeof(text), wire->says));
	text[strcspn(text, "\n")] = '\0';
	assert_string_equal(text, line);
}

static struct sockaddr_in loopback(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };

	return address;
}

static void child_exec(struct wire *wire, int out, const char *const *argument)
{
	const char *argv[ARGUMENT_MAX + 4] = { program };
	socklen_t len = sizeof(wire->address);
	struct sockaddr_in to;
	char target[40];
	int n = 1;

	for (; *argument; argument++)
		argv[n++] = *argument;
	memset(&to, 0, sizeof(to));
	getsockname(wire->listener, (struct sockaddr *)&to, &len);
	snprintf(target, sizeof(target), "127.0.0.1:%u", ntohs(to.sin_port));
	argv[n++] = "127.0.0.1:0";
	argv[n] = target;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out, 1);
	execv(program, (char *const *)argv);
	_exit(127);
}

static void wire_start(struct wire *wire, const char *const *argument)
{
	unsigned int port = 0;
	char line[100] = "";
	int out[2];

	wire->address = loopback();
	wire->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
		bind(wire->listener, (struct sockaddr *)&wire->address, sizeof(wire->address)), 0);
	assert_int_equal(listen(wire->listener, 8), 0);
	assert_int_equal(pipe(out), 0);
	wire->pid = fork();
	assert_true(wire->pid >= 0);
	if (wire->pid == 0)
		child_exec(wire, out[1], argument);
	close(out[1]);
	wire->says = fdopen(out[0], "r");
	/* One line at a time: poll must see what is not read yet. */
	setvbuf(wire->says, NULL, _IONBF, 0);
	assert_non_null(fgets(line, sizeof(line), wire->says));
	assert_int_equal(sscanf(line, "listening 127.0.0.1:%u", &port), 1);
	wire->address.sin_port = htons((uint16_t)port);
}

static void wire_end(struct wire *wire)
{
	int status;

	assert_int_equal(kill(wire->pid, SIGTERM), 0);
	assert_int_equal(waitpid(wire->pid, &status, 0), wire->pid);
	assert_int_equal(status, 0);
	fclose(wire->says);
	close(wire->listener);
}

/* Both ends of a connection through it. */
static void wire_connect(struct wire *wire, int end[2])
{
	end[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(end[0], (struct sockaddr *)&wire->address, sizeof(wire->address)),
			 0);
	assert_int_equal(readable(wire->listener), 1);
	end[1] = accept(wire->listener, NULL, NULL);
	assert_true(end[1] >= 0);
}

static void ends_close(int end[2])
{
	close(end[0]);
	close(end[1]);
}

static uint8_t pattern(size_t at)
{
	return (uint8_t)(at * 2654435761u >> 11);
}

/* Sends what the kernel takes of a stream of sum bytes; says how far it is. */
static void feed(int fd, size_t sum, size_t *sent)
{
	uint8_t bytes[4096];
	size_t len = sum - *sent < sizeof(bytes) ? sum - *sent : sizeof(bytes);
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		bytes[i] = pattern(*sent + i);
	n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	*sent += n > 0 ? (size_t)n : 0;
}

/* Receives what is there; returns recv's last answer: 0 the end, -1 with errno. */
static ssize_t drain(int fd, size_t *got)
{
	uint8_t bytes[4096];
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(bytes[i], pattern(*got + (size_t)i));
		*got += (size_t)n;
	}
	return n;
}

/* Sends sum bytes from one end, and returns how many came and how it ended: 0 or errno. */
static size_t stream(int from, int to, size_t sum, int *ret_how)
{
	size_t sent = 0, got = 0;
	ssize_t n;

	for (;;) {
		struct pollfd pollfd[] = { { to, POLLIN, 0 },
					   { sent < sum ? from : -1, POLLOUT, 0 } };

		assert_true(poll(pollfd, 2, WAIT_MS) > 0);
		if (sent < sum)
			feed(from, sum, &sent);
		n = drain(to, &got);
		if (n == 0 || (n < 0 && errno != EAGAIN) || got == sum)
			break;
	}
	*ret_how = n == 0 ? 0 : errno;
	return got;
}

#define ARGUMENTS(...) ((const char *const[]){ __VA_ARGS__ })

static void relay__both_directions__same_bytes_and_ends(void **state)
{
	static const char *const chunk[] = { "1000000", "7" };
	struct wire wire;
	int end[2], how;
	char bye;

	(void)state;
	for (int i = 0; i < 2; i++) {
		size_t sum = i ? SUM / 16 : SUM;
		char line[100];

		wire_start(&wire, ARGUMENTS("--chunk", chunk[i], NULL));
		wire_connect(&wire, end);
		assert_int_equal(stream(end[0], end[1], sum, &how), sum);
		assert_int_equal(stream(end[1], end[0], sum, &how), sum);
		/* One half ends; the other still carries. */
		assert_int_equal(shutdown(end[0], SHUT_WR), 0);
		assert_int_equal(readable(end[1]), 1);
		assert_int_equal(recv(end[1], &bye, 1, 0), 0);
		assert_int_equal(send(end[1], "b", 1, 0), 1);
		assert_int_equal(recv(end[0], &bye, 1, 0), 1);
		close(end[1]);
		assert_int_equal(recv(end[0], &bye, 1, 0), 0);
		close(end[0]);
		snprintf(line, sizeof(line), "connection 1: %zu there, %zu back, end", sum,
			 sum + 1);
		says(&wire, line);
		wire_end(&wire);
	}
}

static void relay__reset_at_n__n_bytes_then_econnreset(void **state)
{
	struct wire wire;
	int end[2], how;

	(void)state;
	wire_start(&wire, ARGUMENTS("--fault", "reset", "--at", "100001", NULL));
	wire_connect(&wire, end);
	/* A reset may overtake bytes that were not read yet, as on a real wire. */
	assert_in_range(stream(end[0], end[1], SUM, &how), 0, 100001);
	assert_int_equal(how, ECONNRESET);
	says(&wire, "connection 1: 100001 there, 0 back, reset");
	ends_close(end);
	/* The next one is let through. */
	wire_connect(&wire, end);
	assert_int_equal(stream(end[0], end[1], SUM, &how), SUM);
	ends_close(end);
	wire_end(&wire);
}

static void relay__cut_at_n__exactly_n_bytes_then_the_end(void **state)
{
	struct wire wire;
	int end[2], how;

	(void)state;
	wire_start(&wire, ARGUMENTS("--fault", "cut", "--at", "70003", "--times", "0", NULL));
	for (int i = 1; i <= 2; i++) {
		char line[100];

		wire_connect(&wire, end);
		assert_int_equal(stream(end[0], end[1], 70004, &how), 70003);
		assert_int_equal(how, 0);
		snprintf(line, sizeof(line), "connection %d: 70003 there, 0 back, cut", i);
		says(&wire, line);
		ends_close(end);
	}
	wire_end(&wire);
}

/* Both directions count. */
static void relay__stall_at_n__n_bytes_and_no_end(void **state)
{
	struct wire wire;
	size_t got = 0;
	int end[2], how;
	char byte;

	(void)state;
	wire_start(&wire, ARGUMENTS("--fault", "stall", "--at", "1500", NULL));
	wire_connect(&wire, end);
	assert_int_equal(stream(end[0], end[1], 1000, &how), 1000);
	assert_int_equal(send(end[1], "12345678", 8, 0), 8);
	for (int i = 0; i < 8; i++)
		assert_int_equal(recv(end[0], &byte, 1, 0), 1);
	for (size_t sent = 0; sent < 2000;)
		feed(end[0], 2000, &sent);
	says(&wire, "connection 1: stalled");
	while (got < 492) {
		assert_int_equal(readable(end[1]), 1);
		assert_true(drain(end[1], &got) < 0);
		assert_int_equal(errno, EAGAIN);
	}
	assert_int_equal(got, 492);
	kill(wire.pid, SIGUSR2);
	says(&wire, "connection 1: 1492 there, 8 back, reset");
	assert_int_equal(drain(end[1], &got), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(got, 492);
	ends_close(end);
	wire_end(&wire);
}

static void relay__signals__stall_go_on_cut(void **state)
{
	struct wire wire;
	int end[2], how;
	char byte;

	(void)state;
	wire_start(&wire, ARGUMENTS(NULL));
	wire_connect(&wire, end);
	assert_int_equal(stream(end[0], end[1], 100, &how), 100);
	kill(wire.pid, SIGUSR1);
	says(&wire, "stalled");
	assert_int_equal(send(end[0], "x", 1, 0), 1);
	kill(wire.pid, SIGUSR1);
	says(&wire, "going on");
	assert_int_equal(readable(end[1]), 1);
	assert_int_equal(recv(end[1], &byte, 1, 0), 1);
	kill(wire.pid, SIGHUP);
	says(&wire, "connection 1: 101 there, 0 back, cut");
	assert_int_equal(recv(end[1], &byte, 1, 0), 0);
	assert_int_equal(recv(end[0], &byte, 1, 0), 0);
	ends_close(end);
	wire_end(&wire);
}

static void relay__seed__the_same_faults_again(void **state)
{
	char line[3][4][200];
	static const char *const seed[] = { "7", "7", "8" };
	struct wire wire;
	int end[2];

	(void)state;
	for (int i = 0; i < 3; i++) {
		wire_start(&wire,
			   ARGUMENTS("--seed", seed[i], "--at", "100000", "--times", "0", NULL));
		for (int c = 0; c < 4; c++) {
			wire_connect(&wire, end);
			assert_int_equal(readable(fileno(wire.says)), 1);
			assert_non_null(fgets(line[i][c], sizeof(line[i][c]), wire.says));
			assert_non_null(strstr(line[i][c], " after "));
			kill(wire.pid, SIGUSR2);
			{
				char ended[200];

				assert_non_null(fgets(ended, sizeof(ended), wire.says));
			}
			ends_close(end);
		}
		wire_end(&wire);
	}
	for (int c = 0; c < 4; c++)
		assert_string_equal(line[0][c], line[1][c]);
	assert_string_not_equal(line[0][0], line[2][0]);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* No upper bound: that would be the machine's. */
static void relay__delay__never_earlier(void **state)
{
	struct wire wire;
	uint64_t start;
	int end[2], how;

	(void)state;
	wire_start(&wire, ARGUMENTS("--delay-ms", "50", NULL));
	wire_connect(&wire, end);
	start = now_ms();
	assert_int_equal(stream(end[0], end[1], SUM, &how), SUM);
	assert_true(now_ms() - start >= 49);
	ends_close(end);
	wire_end(&wire);
}

static void relay__nobody_at_the_other_end__caller_is_reset(void **state)
{
	struct wire wire;
	char byte;
	int fd;

	(void)state;
	wire_start(&wire, ARGUMENTS(NULL));
	close(wire.listener);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&wire.address, sizeof(wire.address)), 0);
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	wire.listener = dup(2);
	wire_end(&wire);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(relay__both_directions__same_bytes_and_ends),
		cmocka_unit_test(relay__reset_at_n__n_bytes_then_econnreset),
		cmocka_unit_test(relay__cut_at_n__exactly_n_bytes_then_the_end),
		cmocka_unit_test(relay__stall_at_n__n_bytes_and_no_end),
		cmocka_unit_test(relay__signals__stall_go_on_cut),
		cmocka_unit_test(relay__seed__the_same_faults_again),
		cmocka_unit_test(relay__delay__never_earlier),
		cmocka_unit_test(relay__nobody_at_the_other_end__caller_is_reset),
	};

	if (argc != 2) {
		fprintf(stderr, "relay_test: give the relay\n");
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
