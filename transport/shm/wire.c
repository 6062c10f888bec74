/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wire.c -- the socket of a shm link: names, small messages, descriptors, who the peer is
 *
 * Every socket is non-blocking and every call on it says so once more: the peer shares nothing of
 * our end, so nothing it does can make us wait.
 */
#include "transport/shm/shm.h"

#include "base/alloc.h"
#include "base/error.h"
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define WIRE_MAGIC 0x66620001u /* "fb", version of this protocol */

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static int address_make(const char *locator, struct sockaddr_un *ret_address, socklen_t *ret_len)
{
	size_t len = strlen(locator);

	if (len == 0)
		return error_set(-EINVAL, "empty locator: give a name to listen at");
	if (len >= TRANSPORT_LOCATOR_MAX || len > sizeof(ret_address->sun_path) - 1)
		return error_set(-ENAMETOOLONG, "locator of %zu characters: at most %d", len,
				 TRANSPORT_LOCATOR_MAX - 1);
	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->sun_family = AF_UNIX;
	memcpy(ret_address->sun_path + 1, locator, len); /* after a NUL: abstract, no file */
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
	return 0;
}

static int socket_new(int *ret_socket)
{
	int fd = -1;

	errno = EMFILE;
	if (!alloc_fault_point())
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		return error_set(-EMFILE, "no descriptor left for a socket: raise ulimit -n");
	if (fd < 0)
		return error_set(-ENOMEM, "no socket: %s", strerror(errno));
	*ret_socket = fd;
	return 0;
}

int wire_listen(const char *locator, int *ret_socket)
{
	struct sockaddr_un address;
	socklen_t len;
	int fd, err;

	err = address_make(locator, &address, &len);
	if (err < 0)
		return err;
	err = socket_new(&fd);
	if (err < 0)
		return err;
	if (bind(fd, (struct sockaddr *)&address, len) < 0) {
		err = errno == EADDRINUSE ?
			      error_set(-EEXIST,
					"somebody listens at %s already: end it, or "
					"choose another name",
					locator) :
			      error_set(-ENOMEM, "cannot bind to %s: %s", locator, strerror(errno));
		goto close;
	}
	if (listen(fd, SHM_LINK_MAX) < 0) {
		err = error_set(-ENOMEM, "cannot listen at %s: %s", locator, strerror(errno));
		goto close;
	}
	*ret_socket = fd;
	return 0;

close:
	close(fd);
	return err;
}

static int connect_error(const char *locator, int error)
{
	switch (error) {
	case ECONNREFUSED:
		return error_set(-ECONNREFUSED,
				 "nobody listens at %s: it has ended, or not yet started", locator);
	case EAGAIN:
		return error_set(-EAGAIN,
				 "%s has its queue of connections full: try again, or raise "
				 "net.core.somaxconn",
				 locator);
	default:
		return error_set(-ECONNREFUSED, "cannot connect to %s: %s", locator,
				 strerror(error));
	}
}

int wire_connect(const char *locator, int *ret_socket)
{
	struct sockaddr_un address;
	socklen_t len;
	int fd, err;

	err = address_make(locator, &address, &len);
	if (err < 0)
		return err;
	err = socket_new(&fd);
	if (err < 0)
		return err;
	while (connect(fd, (struct sockaddr *)&address, len) < 0) {
		if (errno == EINTR)
			continue;
		err = connect_error(locator, errno);
		close(fd);
		return err;
	}
	*ret_socket = fd;
	return 0;
}

int wire_send(int socket, const struct wire_message *message, const int *fds, unsigned count)
{
	union {
		struct cmsghdr align;
		uint8_t space[CMSG_SPACE(SHM_HELLO_FDS * sizeof(int))];
	} control = { 0 };
	struct wire_message out = *message;
	struct iovec iov = { .iov_base = &out, .iov_len = sizeof(out) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	out.magic = WIRE_MAGIC;
	if (count) {
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = control.align.cmsg_len;
	}
	do
		n = sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(out))
		return 0;
	if (n < 0 && errno == EBADF)
		return error_set(-EBADF, "the descriptor to send is not open");
	/* The user's descriptors under way are limited to RLIMIT_NOFILE; they get fewer. */
	if (n < 0 &&
	    (errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM))
		return -EAGAIN;
	return -EHOSTDOWN;
}

/* Takes what came as SCM_RIGHTS; more than asked for was dropped by the kernel. */
static unsigned fds_take(struct msghdr *msg, int *ret_fds, unsigned count)
{
	unsigned got = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		unsigned here;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		here = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (unsigned i = 0; i < here; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (got < count)
				ret_fds[got++] = fd;
			else
				close(fd);
		}
	}
	return got;
}

static ssize_t receive_once(int socket, struct msghdr *msg)
{
	size_t size = msg->msg_controllen;
	ssize_t n;

	for (int reset = 0;;) {
		msg->msg_controllen = size;
		n = recvmsg(socket, msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n >= 0)
			return n;
		/* Said once, when the peer left something unread; what it sent comes after. */
		if (errno == ECONNRESET && !reset++)
			continue;
		if (errno != EINTR)
			return -errno;
	}
}

int wire_receive(int socket, struct wire_message *ret_message, int *ret_fds, unsigned count,
		 unsigned *ret_count)
{
	union {
		struct cmsghdr align;
		uint8_t space[CMSG_SPACE(SHM_HELLO_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = ret_message, .iov_len = sizeof(*ret_message) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	*ret_count = 0;
	if (count) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_LEN(count * sizeof(int));
	}
	n = receive_once(socket, &msg);
	if (n < 0)
		return n == -EAGAIN ? -EAGAIN : -EHOSTDOWN;
	*ret_count = count ? fds_take(&msg, ret_fds, count) : 0;
	if (n == 0)
		return -EHOSTDOWN;
	if (n != (ssize_t)sizeof(*ret_message) || (msg.msg_flags & MSG_TRUNC) ||
	    ret_message->magic != WIRE_MAGIC)
		return -EPROTO;
	if ((msg.msg_flags & MSG_CTRUNC) && *ret_count < count)
		return -EMFILE;
	return 0;
}

int wire_peer(int socket, const char *who, pid_t *ret_pid, uid_t *ret_uid)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	uid_t self = geteuid();

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return error_set(-EACCES, "cannot learn who %s is: %s", who, strerror(errno));
	if (peer.uid != self && peer.uid != 0 && self != 0)
		return error_set(-EACCES,
				 "%s (pid %d) is of user %u, we are of %u: run the whole job as "
				 "one user",
				 who, (int)peer.pid, (unsigned)peer.uid, (unsigned)self);
	*ret_pid = peer.pid;
	*ret_uid = peer.uid;
	return 0;
}

int wire_pidfd(int socket, pid_t pid)
{
	struct pollfd end = { .fd = socket, .events = POLLRDHUP };
	int fd = -1;
	socklen_t len = sizeof(fd);

	if (pid == getpid() || alloc_fault_point())
		return -1;
	/* Linux 6.5: of the very process. Before: by number, right if it has not ended since. */
	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
		return fd;
	if (pid <= 0)
		return -1;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd >= 0 && poll(&end, 1, 0) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}
