/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * place.c -- the conformance suite's places: which rank is on which host, and where they meet
 *
 * Invariant: a port of the stage stays bound by the parent, so that nobody is given it; it never
 * listens there, and so does not keep rank 0 from doing it.
 */
#include "tests/conformance/conform.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* "shm", "auto" or nothing: the ranks are on this host, and need not meet. */
static bool transport_is_network(void)
{
	const char *transport = getenv("FARBUS_TRANSPORT");

	return transport && strcmp(transport, "auto") && strcmp(transport, "shm");
}

bool transport_is_mixed(void)
{
	const char *transport = getenv("FARBUS_TRANSPORT");

	return transport && strncmp(transport, "shm,", 4) == 0;
}

const char *class_name(enum conform_class class)
{
	return class == CONFORM_MAPPED ? "mapped" : class == CONFORM_SERVED ? "served" : "fabric";
}

static int port_take(uint16_t *ret_port)
{
	struct sockaddr_in name = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t len = sizeof(name);

	CHECK(fd >= 0);
	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
	CHECK(bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&name, &len) == 0);
	*ret_port = ntohs(name.sin_port);
	return fd;
}

void place_init(struct stage *stage)
{
	stage->network = transport_is_network();
	stage->mixed = transport_is_mixed();
	for (unsigned int i = 0; i < CONFORM_JOB_MAX; i++)
		stage->port_fd[i] = stage->network ? port_take(&stage->port[i]) : -1;
}

void place_fini(struct stage *stage)
{
	for (unsigned int i = 0; i < CONFORM_JOB_MAX; i++)
		if (stage->port_fd[i] >= 0)
			close(stage->port_fd[i]);
}

void place_enter(const struct stage *stage, unsigned int job, uint32_t rank)
{
	char join[32];

	if (!stage->network)
		return;
	snprintf(join, sizeof(join), "127.0.0.1:%u", stage->port[job]);
	CHECK(setenv("FARBUS_JOIN", join, 1) == 0);
	if (stage->mixed)
		CHECK(setenv("FARBUS_NODE", rank % 2 ? "odd" : "even", 1) == 0);
}

enum conform_class rank_class(const struct stage *stage, uint32_t rank, uint32_t home)
{
	return stage->mixed && rank % 2 == home % 2 ? CONFORM_MAPPED : stage->class;
}

bool port_listening(uint16_t port)
{
	FILE *file = fopen("/proc/net/tcp", "re");
	char line[512], wanted[32];
	bool found = false;

	CHECK(file);
	/* Local address and port, a peer that is none, state LISTEN. */
	snprintf(wanted, sizeof(wanted), "0100007F:%04X 00000000:0000 0A", port);
	while (!found && fgets(line, sizeof(line), file))
		found = strstr(line, wanted) != NULL;
	fclose(file);
	return found;
}
