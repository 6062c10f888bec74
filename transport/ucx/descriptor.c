/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * descriptor.c -- the descriptors of UCX, which does not hand them out
 *
 * What appears while UCX is opened is UCX's (or of another thread at that moment: it becomes CLOEXEC,
 * too). What comes later is in the epoll set of its worker, or in one that is in there, and
 * /proc/self/fdinfo says what is in an epoll set. Where /proc is missing none of that happens.
 */
#include "transport/ucx/ucx.h"

#include "base/alloc.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <linux/sockios.h>

#define EPOLL_DEPTH 3 /* of the worker, of a device, and one more */

static void cloexec_set(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags >= 0 && !(flags & FD_CLOEXEC))
		fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

/* ---- opened with UCX ---- */

static void fd_walk(void (*look)(int fd, void *arg), void *arg)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] != '.' && fd != dirfd(dir))
			look(fd, arg);
	}
	closedir(dir);
}

static void mark_look(int fd, void *arg)
{
	struct fd_mark *mark = arg;

	if ((size_t)fd >= mark->count) {
		size_t count = (size_t)fd + 64;
		uint8_t *open = alloc_resize(mark->open, count, 1);

		if (!open)
			return;
		memset(open + mark->count, 0, count - mark->count);
		mark->open = open;
		mark->count = count;
	}
	mark->open[fd] = 1;
}

void ucx_descriptors_mark(struct fd_mark *ret_mark)
{
	*ret_mark = (struct fd_mark){ 0 };
	fd_walk(mark_look, ret_mark);
}

static void opened_look(int fd, void *arg)
{
	const struct fd_mark *before = arg;

	if ((size_t)fd >= before->count || !before->open[fd])
		cloexec_set(fd);
}

void ucx_descriptors_opened(struct fd_mark *before)
{
	if (before->open)
		fd_walk(opened_look, before);
	free(before->open);
	before->open = NULL;
}

/* ---- opened later ---- */

static uint64_t inode_of(int fd)
{
	struct stat stat;

	return fstat(fd, &stat) < 0 ? 0 : stat.st_ino;
}

static bool is_connected(int fd)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	return getpeername(fd, (struct sockaddr *)&name, &len) == 0 &&
	       (name.ss_family == AF_INET || name.ss_family == AF_INET6);
}

static void socket_add(struct transport *transport, int fd)
{
	uint64_t inode = inode_of(fd);

	for (unsigned i = 0; i < transport->socket_count; i++)
		if (transport->socket[i].fd == fd && transport->socket[i].inode == inode)
			return;
	if (transport->socket_count < UCX_SOCKET_MAX)
		transport->socket[transport->socket_count++] =
			(struct ucx_socket){ .fd = fd, .inode = inode };
}

/* fd: an epoll set, or anything, which has nothing in it. */
static void epoll_walk(struct transport *transport, int fd, int depth)
{
	char path[64], line[256];
	FILE *file;
	int inside;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "tfd: %d", &inside) != 1)
			continue;
		cloexec_set(inside);
		if (is_connected(inside))
			socket_add(transport, inside);
		else if (depth > 1)
			epoll_walk(transport, inside, depth - 1);
	}
	fclose(file);
}

void ucx_descriptors_connected(struct transport *transport)
{
	for (unsigned i = transport->socket_count; i-- > 0;)
		if (inode_of(transport->socket[i].fd) != transport->socket[i].inode)
			transport->socket[i] = transport->socket[--transport->socket_count];
	epoll_walk(transport, transport->ucx_fd, EPOLL_DEPTH);
}

bool ucx_descriptors_flushed(const struct transport *transport)
{
	for (unsigned i = 0; i < transport->socket_count; i++) {
		const struct ucx_socket *socket = &transport->socket[i];
		int left = 0;

		if (inode_of(socket->fd) == socket->inode &&
		    ioctl(socket->fd, SIOCOUTQ, &left) == 0 && left != 0)
			return false;
	}
	return true;
}
