/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay.c -- a wire between two addresses that resets, stalls, cuts in the middle, and delays
 *
 *   relay [OPTION]... LISTEN:PORT TO:PORT
 *
 *   --chunk N        forward at most N bytes at a time
 *   --delay-ms N     each piece this much later than it came
 *   --seed N         each connection that goes wrong does so by chance: how, and where up to --at
 *   --fault KIND     what goes wrong: reset (RST to both), cut (the end of the stream after exactly
 *                    so many bytes), stall (nothing more is forwarded)
 *   --at N           after so many bytes of a connection, both directions together
 *   --times N        only the first N connections go wrong (1); 0: all
 *   --from NETNS, --to NETNS   listen, and connect, in these network namespaces (paths)
 *
 * Signals: USR1 stalls everything, and again lets it go on; USR2 resets all connections; HUP cuts
 * them; TERM ends the relay. It prints "listening ADDRESS:PORT" when it does (port 0 gets one), and
 * for each connection that ends "connection N: A there, B back, HOW".
 *
 * Invariants:
 *   1. bytes leave in the order they came, and none is made up: what is lost is a suffix
 *   2. a fault happens after exactly so many bytes were handed to the kernel, not before
 *   3. a pipe reads only while it has room
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTION_MAX 64
#define PIPE_SIZE 65536
#define PIECE_MAX 256 /* pieces of a pipe that wait for their time */

enum fault { FAULT_NONE, FAULT_RESET, FAULT_CUT, FAULT_STALL };

static const char *const fault_name[] = { "end", "reset", "cut", "stall" };

/* What came at one time, and when it may go on. */
struct piece {
	uint64_t at_ms;
	size_t len;
};

/* One direction: what was read from one socket and not yet written to the other. */
struct pipe {
	int from, to; /* borrowed */
	size_t first, used, first_piece, pieces;
	uint64_t sum;
	bool ended, told; /* the end was read, and passed on */
	struct piece piece[PIECE_MAX];
	uint8_t bytes[PIPE_SIZE];
};

struct connection {
	int fd[2]; /* owned; who called, and whom we called */
	unsigned int number;
	bool connecting, stalled;
	enum fault fault;
	uint64_t fault_at;
	struct pipe there, back;
};

static struct {
	size_t chunk;
	uint64_t delay_ms, at, times, seed;
	enum fault fault;
	bool by_seed;
	int from, to; /* namespaces, or -1 */
	struct sockaddr_in listen, target;
} conf = { .chunk = PIPE_SIZE, .times = 1, .from = -1, .to = -1 };

static struct connection *connections[CONNECTION_MAX];
static unsigned int connection_count; /* so far */
static bool all_stalled;

static void fail(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* splitmix64: the same faults for the same seed, on every machine. */
static uint64_t chance(void)
{
	uint64_t z = conf.seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* ---- one direction ---- */

static bool pipe_wants(const struct pipe *pipe)
{
	return !pipe->ended && pipe->pieces < PIECE_MAX && pipe->used < PIPE_SIZE;
}

static void pipe_read(struct pipe *pipe)
{
	size_t at = (pipe->first + pipe->used) % PIPE_SIZE;
	size_t room = PIPE_SIZE - pipe->used, whole = PIPE_SIZE - at;
	ssize_t n = recv(pipe->from, pipe->bytes + at, room < whole ? room : whole, MSG_DONTWAIT);
	struct piece *piece = &pipe->piece[(pipe->first_piece + pipe->pieces) % PIECE_MAX];

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		pipe->ended = true;
		return;
	}
	*piece = (struct piece){ now_ms() + conf.delay_ms, (size_t)n };
	pipe->pieces++;
	pipe->used += (size_t)n;
}

/* Bytes that may go now, and how many of them are in one run. */
static size_t pipe_due(const struct pipe *pipe, uint64_t budget)
{
	const struct piece *piece = &pipe->piece[pipe->first_piece];
	size_t len = PIPE_SIZE - pipe->first;

	if (pipe->pieces == 0 || piece->at_ms > now_ms())
		return 0;
	len = piece->len < len ? piece->len : len;
	len = conf.chunk < len ? conf.chunk : len;
	return budget < len ? (size_t)budget : len;
}

/* Returns what it forwarded. */
static size_t pipe_write(struct pipe *pipe, uint64_t budget)
{
	size_t len = pipe_due(pipe, budget);
	ssize_t n =
		len ? send(pipe->to, pipe->bytes + pipe->first, len, MSG_DONTWAIT | MSG_NOSIGNAL) :
		      0;

	if (n <= 0)
		return 0;
	pipe->first = (pipe->first + (size_t)n) % PIPE_SIZE;
	pipe->used -= (size_t)n;
	pipe->sum += (uint64_t)n;
	pipe->piece[pipe->first_piece].len -= (size_t)n;
	if (pipe->piece[pipe->first_piece].len == 0) {
		pipe->first_piece = (pipe->first_piece + 1) % PIECE_MAX;
		pipe->pieces--;
	}
	return (size_t)n;
}

static void pipe_end(struct pipe *pipe)
{
	if (!pipe->ended || pipe->used || pipe->told)
		return;
	pipe->told = true;
	(void)shutdown(pipe->to, SHUT_WR);
}

/* ---- one connection ---- */

/* What nobody has read would make the kernel send a reset after the end of the stream. */
static void end_quietly(int fd)
{
	static char rest[PIPE_SIZE];

	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < 64 && recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0; i++)
		;
}

static void connection_end(struct connection *connection, enum fault how)
{
	struct linger linger = { .l_onoff = 1 };

	for (int i = 0; i < 2; i++) {
		if (how == FAULT_RESET)
			(void)setsockopt(connection->fd[i], SOL_SOCKET, SO_LINGER, &linger,
					 sizeof(linger));
		else
			end_quietly(connection->fd[i]);
		close(connection->fd[i]);
	}
	printf("connection %u: %llu there, %llu back, %s\n", connection->number,
	       (unsigned long long)connection->there.sum, (unsigned long long)connection->back.sum,
	       fault_name[how]);
	fflush(stdout);
	for (int i = 0; i < CONNECTION_MAX; i++)
		if (connections[i] == connection)
			connections[i] = NULL;
	free(connection);
}

static void connections_end(enum fault how)
{
	for (int i = 0; i < CONNECTION_MAX; i++)
		if (connections[i])
			connection_end(connections[i], how);
}

static void fault_choose(struct connection *connection)
{
	if (conf.times && connection->number > conf.times)
		return;
	connection->fault = conf.fault;
	connection->fault_at = conf.at;
	if (!conf.by_seed)
		return;
	connection->fault = (enum fault)(FAULT_RESET + chance() % 3);
	connection->fault_at = chance() % (conf.at + 1);
	printf("connection %u: %s after %llu\n", connection->number, fault_name[connection->fault],
	       (unsigned long long)connection->fault_at);
	fflush(stdout);
}

/* Forwards what may go. Returns false when the connection is gone. */
static bool connection_move(struct connection *connection)
{
	struct pipe *pipe[] = { &connection->there, &connection->back };
	size_t moved;

	do {
		moved = 0;
		for (int i = 0; i < 2; i++) {
			uint64_t sum = connection->there.sum + connection->back.sum;
			uint64_t budget =
				connection->fault ? connection->fault_at - sum : UINT64_MAX;

			if (connection->fault && budget == 0)
				break;
			moved += pipe_write(pipe[i], budget);
		}
	} while (moved);
	if (connection->fault &&
	    connection->there.sum + connection->back.sum == connection->fault_at) {
		if (connection->fault != FAULT_STALL) {
			connection_end(connection, connection->fault);
			return false;
		}
		connection->fault = FAULT_NONE;
		connection->stalled = true;
		printf("connection %u: stalled\n", connection->number);
		fflush(stdout);
		return true;
	}
	pipe_end(&connection->there);
	pipe_end(&connection->back);
	if (connection->there.told && connection->back.told) {
		connection_end(connection, FAULT_NONE);
		return false;
	}
	return true;
}

static void connection_event(struct connection *connection, short caller, short called)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (connection->connecting) {
		if (!(called & (POLLOUT | POLLERR | POLLHUP)))
			return;
		(void)getsockopt(connection->fd[1], SOL_SOCKET, SO_ERROR, &err, &len);
		if (err) {
			connection_end(connection, FAULT_RESET);
			return;
		}
		connection->connecting = false;
	}
	/* An error is an end to be passed on as what it is: no peer mistakes it for a good one. */
	if ((caller | called) & POLLERR) {
		connection_end(connection, FAULT_RESET);
		return;
	}
	if (caller & (POLLIN | POLLHUP) && pipe_wants(&connection->there))
		pipe_read(&connection->there);
	if (called & (POLLIN | POLLHUP) && pipe_wants(&connection->back))
		pipe_read(&connection->back);
	(void)connection_move(connection);
}

/* ---- sockets ---- */

static void netns_enter(int netns)
{
	if (netns >= 0 && setns(netns, CLONE_NEWNET) < 0)
		fail("setns");
}

static void no_delay(int fd)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void connection_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), slot = 0;
	struct connection *connection;

	while (slot < CONNECTION_MAX && connections[slot])
		slot++;
	if (fd < 0 || slot == CONNECTION_MAX) {
		if (fd >= 0)
			close(fd);
		return;
	}
	connection = calloc(1, sizeof(*connection));
	if (!connection)
		fail("calloc");
	connection->number = ++connection_count;
	connection->fd[0] = fd;
	connection->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connection->fd[1] < 0)
		fail("socket");
	no_delay(fd);
	no_delay(connection->fd[1]);
	if (connect(connection->fd[1], (struct sockaddr *)&conf.target, sizeof(conf.target)) < 0 &&
	    errno != EINPROGRESS)
		fprintf(stderr, "relay: connect: %s\n", strerror(errno));
	connection->connecting = true;
	connection->there.from = connection->back.to = fd;
	connection->there.to = connection->back.from = connection->fd[1];
	fault_choose(connection);
	connections[slot] = connection;
}

static int listener_open(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	socklen_t len = sizeof(conf.listen);
	char text[INET_ADDRSTRLEN];

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&conf.listen, sizeof(conf.listen)) < 0 ||
	    listen(fd, 64) < 0 || getsockname(fd, (struct sockaddr *)&conf.listen, &len) < 0)
		fail("listen");
	printf("listening %s:%u\n", inet_ntop(AF_INET, &conf.listen.sin_addr, text, sizeof(text)),
	       ntohs(conf.listen.sin_port));
	fflush(stdout);
	return fd;
}

static int signals_open(void)
{
	static const int taken[] = { SIGUSR1, SIGUSR2, SIGHUP, SIGTERM };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(&set, taken[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		fail("signalfd");
	return fd;
}

static void signal_handle(int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGUSR1:
		all_stalled = !all_stalled;
		printf("%s\n", all_stalled ? "stalled" : "going on");
		fflush(stdout);
		return;
	case SIGUSR2:
		connections_end(FAULT_RESET);
		return;
	case SIGHUP:
		connections_end(FAULT_CUT);
		return;
	default:
		connections_end(FAULT_NONE);
		exit(0);
	}
}

/* ---- the loop ---- */

static short events_wanted(const struct pipe *in, const struct pipe *out)
{
	return (short)((pipe_wants(in) ? POLLIN : 0) | (pipe_due(out, UINT64_MAX) ? POLLOUT : 0));
}

/* Until the next piece is due; -1: nothing waits for its time. */
static int delay_left(const struct pipe *pipe, int ms)
{
	uint64_t now = now_ms(), at = pipe->piece[pipe->first_piece].at_ms;

	if (pipe->pieces == 0 || at <= now)
		return ms;
	return ms < 0 || (uint64_t)ms > at - now ? (int)(at - now) : ms;
}

/* Fills two entries of poll per connection, and says how long poll may wait. */
static int connections_watch(struct pollfd *pollfd)
{
	int ms = -1;

	for (int i = 0; i < CONNECTION_MAX; i++) {
		const struct connection *at = connections[i];
		struct pollfd *two = &pollfd[2 * i];

		two[0] = two[1] = (struct pollfd){ .fd = -1 };
		if (!at || at->stalled || all_stalled)
			continue;
		two[0] = (struct pollfd){ at->fd[0], events_wanted(&at->there, &at->back), 0 };
		two[1] = (struct pollfd){ at->fd[1], events_wanted(&at->back, &at->there), 0 };
		if (at->connecting) {
			two[0].fd = -1;
			two[1].events = POLLOUT;
			continue;
		}
		/* An end or error that we cannot use now would wake us for ever. */
		for (int half = 0; half < 2; half++)
			if (!two[half].events)
				two[half].fd = -1;
		ms = delay_left(&at->there, delay_left(&at->back, ms));
	}
	return ms;
}

static void loop(int listener, int signals)
{
	struct pollfd pollfd[2 * CONNECTION_MAX + 2];
	int ms;

	for (;;) {
		pollfd[2 * CONNECTION_MAX] = (struct pollfd){ signals, POLLIN, 0 };
		pollfd[2 * CONNECTION_MAX + 1] = (struct pollfd){ listener, POLLIN, 0 };
		ms = connections_watch(pollfd);
		if (poll(pollfd, 2 * CONNECTION_MAX + 2, ms) < 0 && errno != EINTR)
			fail("poll");
		for (int i = 0; i < CONNECTION_MAX; i++)
			if (connections[i] && !connections[i]->stalled && !all_stalled)
				connection_event(connections[i], pollfd[2 * i].revents,
						 pollfd[2 * i + 1].revents);
		if (pollfd[2 * CONNECTION_MAX].revents)
			signal_handle(signals);
		if (pollfd[2 * CONNECTION_MAX + 1].revents)
			connection_accept(listener);
	}
}

/* ---- options ---- */

static void usage(const char *why)
{
	fprintf(stderr,
		"relay: %s; usage: relay [--chunk N] [--delay-ms N] [--seed N] [--fault KIND] "
		"[--at N] [--times N] [--from NETNS] [--to NETNS] LISTEN:PORT TO:PORT\n",
		why);
	exit(2);
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (!*text || *end)
		usage(text);
	return n;
}

static struct sockaddr_in address(const char *text)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	char host[64];
	const char *colon = strrchr(text, ':');

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		usage(text);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	address.sin_port = htons((uint16_t)number(colon + 1));
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		usage(text);
	return address;
}

static int netns_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail(path);
	return fd;
}

static void option(const char *name, const char *value)
{
	if (strcmp(name, "--chunk") == 0) {
		conf.chunk = number(value);
	} else if (strcmp(name, "--delay-ms") == 0) {
		conf.delay_ms = number(value);
	} else if (strcmp(name, "--at") == 0) {
		conf.at = number(value);
	} else if (strcmp(name, "--times") == 0) {
		conf.times = number(value);
	} else if (strcmp(name, "--from") == 0) {
		conf.from = netns_open(value);
	} else if (strcmp(name, "--to") == 0) {
		conf.to = netns_open(value);
	} else if (strcmp(name, "--seed") == 0) {
		conf.seed = number(value);
		conf.by_seed = true;
	} else if (strcmp(name, "--fault") == 0) {
		for (int i = FAULT_RESET; i <= FAULT_STALL; i++)
			if (strcmp(value, fault_name[i]) == 0)
				conf.fault = (enum fault)i;
		if (!conf.fault)
			usage(value);
	} else {
		usage(name);
	}
}

int main(int argc, char **argv)
{
	int at = 1, signals, listener;

	for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2)
		option(argv[at], argv[at + 1]);
	if (argc - at != 2)
		usage("two addresses are needed");
	if (conf.chunk == 0)
		usage("--chunk 0");
	conf.listen = address(argv[at]);
	conf.target = address(argv[at + 1]);
	signals = signals_open();
	netns_enter(conf.from);
	listener = listener_open();
	netns_enter(conf.to);
	loop(listener, signals);
}
