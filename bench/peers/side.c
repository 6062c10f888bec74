/* SPDX-License-Identifier: BSD-3-Clause */
/* side.c -- a socket between the two ranks that no measured library knows of */
#include "side.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SIDE_WAIT_NS (20 * NS_PER_S)

static socklen_t side_address(const char *name, struct sockaddr_un *ret_address)
{
	size_t len = strlen(name);

	if (len > sizeof(ret_address->sun_path) - 1)
		len = sizeof(ret_address->sun_path) - 1;
	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->sun_family = AF_UNIX;
	memcpy(ret_address->sun_path + 1, name, len);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
}

static int side_accept(const struct sockaddr_un *address, socklen_t len, int *ret_fd)
{
	struct timeval limit = { .tv_sec = SIDE_WAIT_NS / NS_PER_S };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int fd, err = 0;

	if (listener < 0)
		return -errno;
	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (bind(listener, (const struct sockaddr *)address, len) < 0 || listen(listener, 1) < 0) {
		err = -errno;
	} else {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			err = -errno;
		else
			*ret_fd = fd;
	}
	close(listener);
	return err;
}

static int side_connect(const struct sockaddr_un *address, socklen_t len, int *ret_fd)
{
	uint64_t end = clock_now_ns() + SIDE_WAIT_NS;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *)address, len) < 0) {
		err = -errno;
		if (err != -ECONNREFUSED || clock_now_ns() > end) {
			close(fd);
			return err;
		}
		usleep(1000); /* the listener is still starting */
	}
	*ret_fd = fd;
	return 0;
}

int side_open(const char *name, int rank, int *ret_fd)
{
	struct sockaddr_un address;
	socklen_t len = side_address(name, &address);

	return rank == 1 ? side_accept(&address, len, ret_fd) : side_connect(&address, len, ret_fd);
}

int side_send(int fd, const void *data, size_t len)
{
	ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int side_recv(int fd, void *data, size_t size, bool wait, size_t *ret_len)
{
	ssize_t n;

	do {
		n = recv(fd, data, size, wait ? 0 : MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EPIPE;
	*ret_len = (size_t)n;
	return 0;
}
