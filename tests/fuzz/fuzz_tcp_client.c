/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_tcp_client.c -- a rank at FARBUS_JOIN, whatever listens there says
 *
 * The source is included: the connection is one that is there already.
 *
 * Input: a byte; bit 0: what follows is what a stranger says to a rank that wants to join. Else it is
 * pieces of a byte of length and that much of data, each sealed as one message of rank 0.
 */
#include "runtime/boot/tcp.c" /* NOLINT(bugprone-suspicious-include) */

#include "base/assert.h"
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEND_MAX 32768 /* what a socket takes at once */

static void requests(struct tcp *tcp)
{
	char blob[BOOT_VALUE_MAX];
	struct boot_info info;
	size_t len = 0;

	if (ready_wait(tcp, &info, clock_now_ns() + NS_PER_S) == 0) {
		FARBUS_ASSERT(info.rank < info.size);
		FARBUS_ASSERT(info.local_rank < info.local_size);
		FARBUS_ASSERT(info.local_size <= info.size);
	}
	(void)tcp_put(tcp, "key", "blob", 4);
	(void)tcp_fence(tcp, NS_PER_S);
	if (tcp_get(tcp, "key", blob, sizeof(blob), &len, NS_PER_S) == 0)
		FARBUS_ASSERT(len <= sizeof(blob));
	if (tcp_get(tcp, "other", blob, 3, &len, NS_PER_S) == 0)
		FARBUS_ASSERT(len <= 3);
}

static void sealed_send(int fd, const uint8_t key[MAC_KEY_SIZE], const uint8_t *data, size_t size)
{
	uint8_t frame[2 + 255 + MAC_SEAL_SIZE];

	for (uint64_t count = 0; size >= 1; count++) {
		size_t len = data[0] < size - 1 ? data[0] : size - 1;
		size_t sealed = len + MAC_SEAL_SIZE;

		frame[0] = (uint8_t)sealed;
		frame[1] = (uint8_t)(sealed >> 8);
		mac_seal(key, count, data + 1, len, frame + 2);
		if (send(fd, frame, 2 + sealed, MSG_DONTWAIT) < 0)
			return;
		data += 1 + len;
		size -= 1 + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcp *tcp = alloc_zero(sizeof(*tcp));
	struct tcp_conf conf;
	int fd[2];

	if (!tcp || size < 1 || size > SEND_MAX || mac_init() < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0) {
		free(tcp);
		return 0;
	}
	tcp->fd = fd[0];
	tcp->size = 2;
	tcp->timeout_ns = NS_PER_S;
	memset(&conf, 0, sizeof(conf));
	conf.rank = 1;
	if (data[0] & 1)
		FARBUS_ASSERT(write(fd[1], data + 1, size - 1) == (ssize_t)size - 1);
	else
		sealed_send(fd[1], tcp->session.key_in, data + 1, size - 1);
	shutdown(fd[1], SHUT_WR); /* so that no wait is longer than its answer */
	if (data[0] & 1)
		(void)handshake(tcp, &conf, clock_now_ns() + NS_PER_S);
	else
		requests(tcp);
	tcp_close(tcp);
	close(fd[1]);
	return 0;
}
