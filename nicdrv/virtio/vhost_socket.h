/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost_socket.h -- the socket a front end connects to
 *
 * One front end at a time; another one waits in the queue until the first is gone. Nothing blocks:
 * a message that comes in parts is put together.
 *
 * Threads: one thread at a time.
 */
#ifndef NICDRV_VIRTIO_VHOST_SOCKET_H
#define NICDRV_VIRTIO_VHOST_SOCKET_H

#include "nicdrv/virtio/vhost_user.h"
#include <sys/un.h>

struct vhost_socket {
	int listener; /* owned; readable: vhost_socket_accept() */
	int fd;	      /* owned: the front end's; -1: none. Readable: vhost_socket_read() */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct vhost_message message; /* as much as has come */
	uint32_t got;
	int message_fd[VHOST_MESSAGE_FD_MAX]; /* owned: those that came with it */
	uint32_t fd_count;
};

/*
 * Listens at path; a socket that nobody listens to any more is replaced. Mode 0600.
 * Errors: -EEXIST somebody listens, or it is no socket; -ENAMETOOLONG; -EACCES, -ENOENT its folder;
 * -EMFILE.
 */
int vhost_socket_open(struct vhost_socket *socket, const char *path);
void vhost_socket_close(struct vhost_socket *socket);

/* 1: a front end is there; 0: none, or one has been before. */
int vhost_socket_accept(struct vhost_socket *socket);
void vhost_socket_hangup(struct vhost_socket *socket);

/*
 * Serves the messages that are there. Errors, after which vhost_socket_hangup() is due: -ECONNRESET
 * the front end has gone; -EPROTO it broke the rules.
 */
int vhost_socket_read(struct vhost_socket *socket, struct vhost_user *user);

#endif
