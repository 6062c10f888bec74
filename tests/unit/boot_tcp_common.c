/* SPDX-License-Identifier: BSD-3-Clause */
/* boot_tcp_common.c -- what the tests of FARBUS_JOIN share: an address, and ranks as threads */
#include "boot_tcp_common.h"

#include "base/error.h"
#include "base_common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Below the ports that the kernel gives out, so that no connection holds one by chance. */
static unsigned int port = 20000;
static unsigned int owner;

void place_next(void)
{
	port++;
	if (!owner)
		owner = (unsigned int)getpid();
}

struct sockaddr_in place_address(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr = { htonl(0x7f010000u + (owner & 0x7fffff)) }, /* 127.1.0.0 and up */
	};

	return address;
}

struct config join_conf(const char *rank, const char *size)
{
	struct sockaddr_in address = place_address();
	struct config config;

	memset(&config, 0, sizeof(config));
	snprintf(config.join, sizeof(config.join), "%s:%u", inet_ntoa(address.sin_addr), port);
	strcpy(config.rank, rank);
	strcpy(config.size, size);
	strcpy(config.secret, "for this test");
	return config;
}

int place_connect(void)
{
	struct sockaddr_in address = place_address();
	uint64_t deadline = clock_now_ns() + WAIT_NS;

	while (clock_now_ns() < deadline) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		CHECK(fd >= 0);
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return fd;
		CHECK(errno == ECONNREFUSED);
		close(fd);
		poll(NULL, 0, 2);
	}
	CHECK(!"somebody listens");
	return -1;
}

static void *rank_thread(void *arg)
{
	struct rank *rank = arg;

	error_clear();
	rank->err = tcp_open(&rank->config, rank->timeout_ns, &rank->tcp, &rank->info);
	if (rank->err == 0 && rank->body)
		rank->body(rank);
	snprintf(rank->text, sizeof(rank->text), "%s", error_text());
	if (rank->err == 0 && !rank->stay)
		rank_close(rank);
	return NULL;
}

void rank_start(struct rank *rank)
{
	if (!rank->timeout_ns)
		rank->timeout_ns = WAIT_NS;
	CHECK(pthread_create(&rank->thread, NULL, rank_thread, rank) == 0);
}

void rank_end(struct rank *rank)
{
	CHECK(pthread_join(rank->thread, NULL) == 0);
}

void rank_close(struct rank *rank)
{
	tcp_close(rank->tcp);
	rank->tcp = NULL;
}
