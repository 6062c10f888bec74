/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_socket.c -- the socket a front end connects to
 *
 * A message is read as a header, then as much as the header says, never more: descriptors belong to
 * the message whose first bytes they came with.
 */
#include "nicdrv/virtio/vhost_socket.h"

#include "base/error.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPLY_TIMEOUT_MS 1000

/* A socket that is left over from a process that was killed is in the way, and nothing else is. */
static int path_clear(const struct sockaddr_un *address)
{
	struct stat stat;
	int fd, err;

	if (lstat(address->sun_path, &stat) < 0)
		return 0;
	if (!S_ISSOCK(stat.st_mode))
		return error_set(-EEXIST, "%s exists and is no socket", address->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(-EMFILE, "no descriptor for a socket: %s", strerror(errno));
	err = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	close(fd);
	if (err != -ECONNREFUSED)
		return error_set(-EEXIST, "somebody listens at %s", address->sun_path);
	unlink(address->sun_path);
	return 0;
}

static int listener_bind(struct vhost_socket *socket, const struct sockaddr_un *address)
{
	mode_t mask = umask(0177);
	int err = 0;

	if (bind(socket->listener, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    listen(socket->listener, 4) < 0)
		err = -errno;
	umask(mask);
	if (err == 0)
		return 0;
	return error_set(err == -EACCES || err == -ENOENT ? err : -EIO, "listening at %s: %s",
			 address->sun_path, strerror(-err));
}

int vhost_socket_open(struct vhost_socket *ret_socket, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct vhost_socket made = { .listener = -1, .fd = -1 };
	size_t len = strlen(path);
	int err;

	if (len == 0 || len >= sizeof(address.sun_path))
		return error_set(-ENAMETOOLONG, "socket %.40s...: 1 to %zu characters", path,
				 sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, len);
	memcpy(made.path, path, len);
	err = path_clear(&address);
	if (err < 0)
		return err;
	made.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (made.listener < 0)
		return error_set(-EMFILE, "no descriptor for a socket: %s", strerror(errno));
	err = listener_bind(&made, &address);
	if (err < 0) {
		close(made.listener);
		return err;
	}
	*ret_socket = made;
	return 0;
}

static void message_drop(struct vhost_socket *socket)
{
	for (uint32_t i = 0; i < socket->fd_count; i++)
		close(socket->message_fd[i]);
	socket->fd_count = 0;
	socket->got = 0;
}

void vhost_socket_hangup(struct vhost_socket *socket)
{
	message_drop(socket);
	if (socket->fd >= 0)
		close(socket->fd);
	socket->fd = -1;
}

void vhost_socket_close(struct vhost_socket *socket)
{
	vhost_socket_hangup(socket);
	if (socket->listener < 0)
		return;
	close(socket->listener);
	unlink(socket->path);
	socket->listener = -1;
}

int vhost_socket_accept(struct vhost_socket *socket)
{
	if (socket->fd >= 0)
		return 0;
	socket->fd = accept4(socket->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return socket->fd >= 0;
}

/* ---- messages ---- */

static void fds_take(struct vhost_socket *socket, struct msghdr *message)
{
	for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
		size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(fd));
			if (socket->fd_count < VHOST_MESSAGE_FD_MAX)
				socket->message_fd[socket->fd_count++] = fd;
			else
				close(fd);
		}
	}
}

/* How many bytes the message has, as far as is known. */
static uint32_t message_len(const struct vhost_socket *socket)
{
	uint32_t len = sizeof(struct vhost_header);

	if (socket->got < len)
		return len;
	return len + socket->message.header.size;
}

/* 1: some bytes came; 0: none now. */
static int bytes_read(struct vhost_socket *socket)
{
	uint8_t control[CMSG_SPACE(VHOST_MESSAGE_FD_MAX * sizeof(int))];
	struct iovec piece = { (uint8_t *)&socket->message.header + socket->got,
			       message_len(socket) - socket->got };
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(socket->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		return error_set(-ECONNRESET, "the front end has gone");
	fds_take(socket, &message);
	if (message.msg_flags & MSG_CTRUNC)
		return error_set(-EPROTO, "a vhost-user message with more than %d descriptors",
				 VHOST_MESSAGE_FD_MAX);
	socket->got += (uint32_t)got;
	return 1;
}

/* A descriptor goes with the first bytes. */
static ssize_t reply_part(int fd, const void *data, size_t len, int with)
{
	uint8_t control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec piece = { (void *)(uintptr_t)data, len };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (with >= 0) {
		struct cmsghdr *head;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &with, sizeof(int));
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The front end waits for it; one that does not read it in time is given up. */
static int reply_write(struct vhost_socket *socket, const struct vhost_message *reply, int with)
{
	size_t len = sizeof(reply->header) + reply->header.size, done = 0;

	while (done < len) {
		struct pollfd poll_fd = { .fd = socket->fd, .events = POLLOUT };
		ssize_t sent = reply_part(socket->fd, (const uint8_t *)&reply->header + done,
					  len - done, done == 0 ? with : -1);

		if (sent > 0)
			done += (size_t)sent;
		else if (errno != EAGAIN && errno != EINTR)
			return error_set(-ECONNRESET, "the front end has gone");
		else if (poll(&poll_fd, 1, REPLY_TIMEOUT_MS) == 0)
			return error_set(-ECONNRESET, "the front end does not read replies");
	}
	return 0;
}

static int message_serve(struct vhost_socket *socket, struct vhost_user *user)
{
	struct vhost_message reply;
	bool replies;
	int err = vhost_user_message(user, &socket->message, socket->message_fd, socket->fd_count,
				     &reply, &replies);

	socket->fd_count = 0;
	socket->got = 0;
	if (err == 0 && replies)
		err = reply_write(socket, &reply, user->reply_fd);
	if (user->reply_fd >= 0)
		close(user->reply_fd);
	user->reply_fd = -1;
	return err;
}

int vhost_socket_read(struct vhost_socket *socket, struct vhost_user *user)
{
	/* Bounded: a front end that talks without end shall not keep others waiting. */
	for (int served = 0; served < 64;) {
		int got;

		if (socket->got >= sizeof(struct vhost_header) &&
		    socket->message.header.size > VHOST_MESSAGE_PAYLOAD_MAX)
			return error_set(-EPROTO, "a vhost-user message of %u bytes",
					 socket->message.header.size);
		if (socket->got < message_len(socket)) {
			got = bytes_read(socket);
			if (got <= 0)
				return got;
			continue;
		}
		int err = message_serve(socket, user);
		if (err < 0)
			return err;
		served++;
	}
	return 0;
}
