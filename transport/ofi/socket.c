/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * socket.c -- the sockets of the tcp provider, which does not hand them out
 *
 * They are found in /proc/self/fd by their addresses, to be made CLOEXEC, to ask the kernel
 * whether the peer's kernel is alive, to let what was sent arrive after the endpoint is gone, and
 * to shut down connections that say nothing. Where /proc is missing, or with a provider
 * that has no sockets, none of that happens, and the provider's own limits hold.
 *
 * A silent host. Nothing under way: keepalive, 5 s and then thrice 5 s. Unacknowledged bytes: the
 * kernel retransmits for many minutes, so we look at the age of the last acknowledgement. A peer
 * with a full receive window acknowledges every window probe: only unanswered probes count. They
 * may be 2 minutes apart, 5 s where the kernel has TCP_RTO_MAX_MS (6.15). TCP_USER_TIMEOUT would
 * also end connections to a stopped process with a full window, and so is not used.
 */
#include "transport/ofi/ofi.h"

#include "base/alloc.h"
#include "base/clock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h> /* struct tcp_info in full; <netinet/tcp.h> cannot be included beside it */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/sockios.h>

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#define KEEPALIVE_COUNT 3
#define PROBES_SILENT 3
#define LINGER_READS 64
#define STATE_ESTABLISHED 1 /* TCP_ESTABLISHED of <netinet/tcp.h> */

/* ---- finding ---- */

/* Calls look() for every descriptor, until it returns true. */
static void fd_walk(bool (*look)(int fd, void *arg), void *arg)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || fd == dirfd(dir))
			continue;
		if (look(fd, arg))
			break;
	}
	closedir(dir);
}

static bool address_equal(const struct sockaddr *a, const struct sockaddr *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET)
		return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a->sa_family == AF_INET6 && a6->sin6_port == b6->sin6_port &&
	       memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

static bool is_listening(int fd)
{
	int listening = 0;
	socklen_t len = sizeof(listening);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening;
}

struct find {
	const struct sockaddr *local, *peer;
	int found;
};

static bool find_look(int fd, void *arg)
{
	struct find *find = arg;
	struct sockaddr_storage name = { 0 };
	socklen_t len = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &len) < 0 ||
	    !address_equal((struct sockaddr *)&name, find->local) || is_listening(fd))
		return false;
	len = sizeof(name);
	memset(&name, 0, sizeof(name));
	if (find->peer && (getpeername(fd, (struct sockaddr *)&name, &len) < 0 ||
			   !address_equal((struct sockaddr *)&name, find->peer)))
		return false;
	find->found = fd;
	return true;
}

int ofi_socket_find(const struct sockaddr *local, const struct sockaddr *peer)
{
	struct find find = { .local = local, .peer = peer, .found = -1 };

	fd_walk(find_look, &find);
	return find.found;
}

static void cloexec_set(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags >= 0 && !(flags & FD_CLOEXEC))
		fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

void ofi_socket_setup(int socket)
{
	int on = 1, count = KEEPALIVE_COUNT, idle = (int)(ofi_timing.probe_ns / NS_PER_S);
	int most = idle * 1000;

	cloexec_set(socket);
	setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
	setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(socket, IPPROTO_TCP, TCP_RTO_MAX_MS, &most, sizeof(most));
}

/* ---- descriptors that libfabric opens for itself ---- */

static bool mark_look(int fd, void *arg)
{
	struct fd_mark *mark = arg;

	if ((size_t)fd >= mark->count) {
		size_t count = (size_t)fd + 64;
		uint8_t *open = alloc_resize(mark->open, count, 1);

		if (!open)
			return true;
		memset(open + mark->count, 0, count - mark->count);
		mark->open = open;
		mark->count = count;
	}
	mark->open[fd] = 1;
	return false;
}

void ofi_socket_mark(struct fd_mark *ret_mark)
{
	*ret_mark = (struct fd_mark){ 0 };
	fd_walk(mark_look, ret_mark);
}

static bool cloexec_look(int fd, void *arg)
{
	const struct fd_mark *mark = arg;

	if ((size_t)fd >= mark->count || !mark->open[fd])
		cloexec_set(fd);
	return false;
}

/* What another thread opened in between is made CLOEXEC, too. */
void ofi_socket_cloexec(struct fd_mark *mark)
{
	if (mark->open)
		fd_walk(cloexec_look, mark);
	free(mark->open);
	mark->open = NULL;
}

/* ---- is the peer's kernel there? ---- */

uint64_t ofi_socket_silence(int socket, bool *ret_idle)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	*ret_idle = false;
	if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	*ret_idle = info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0;
	if ((info.tcpi_unacked && info.tcpi_retransmits) || info.tcpi_probes >= PROBES_SILENT)
		return info.tcpi_last_ack_recv * NS_PER_MS;
	return 0;
}

bool ofi_socket_flushed(int socket)
{
	int left = 0;

	return ioctl(socket, SIOCOUTQ, &left) < 0 || left == 0;
}

/* ---- sockets that outlive their link ---- */

static void linger_remove(struct transport *transport, unsigned i)
{
	close(transport->linger[i].socket);
	transport->linger[i] = transport->linger[--transport->linger_count];
}

void ofi_linger_add(struct transport *transport, int socket)
{
	unsigned oldest = 0;

	shutdown(socket, SHUT_WR);
	if (transport->linger_count == OFI_LINGER_MAX) {
		for (unsigned i = 1; i < transport->linger_count; i++)
			if (transport->linger[i].deadline < transport->linger[oldest].deadline)
				oldest = i;
		linger_remove(transport, oldest);
	}
	if (ofi_watch_add(transport, socket, WATCH_LINGER) < 0) {
		close(socket);
		return;
	}
	transport->linger[transport->linger_count++] = (struct lingering){
		.socket = socket,
		.deadline = clock_now_ns() + ofi_timing.linger_ns,
	};
	ofi_timer_want(transport, clock_now_ns() + ofi_timing.linger_ns);
}

/* Unread bytes would make close() a reset, and what the peer has not got yet would be lost. */
static bool linger_ended(int socket)
{
	char bytes[4096];
	ssize_t n = 1;

	for (int i = 0; i < LINGER_READS && n > 0; i++)
		n = recv(socket, bytes, sizeof(bytes), MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

void ofi_linger_read(struct transport *transport)
{
	for (unsigned i = transport->linger_count; i-- > 0;)
		if (linger_ended(transport->linger[i].socket))
			linger_remove(transport, i);
}

uint64_t ofi_linger_tick(struct transport *transport, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = transport->linger_count; i-- > 0;)
		if (now >= transport->linger[i].deadline)
			linger_remove(transport, i);
		else if (transport->linger[i].deadline < next)
			next = transport->linger[i].deadline;
	return next;
}

/* ---- connections that say nothing ---- */

struct scan {
	struct transport *transport;
	uint64_t now;
	struct fd_mark known;			   /* sockets of links */
	struct half_open found[OFI_HALF_OPEN_MAX]; /* the new list */
	unsigned count, ended;
};

static bool is_ours(const struct transport *transport, int fd)
{
	struct sockaddr_storage name = { 0 };
	socklen_t len = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &len) < 0 || is_listening(fd))
		return false;
	if (name.ss_family == AF_INET)
		return ((struct sockaddr_in *)&name)->sin_port == transport->port;
	return name.ss_family == AF_INET6 &&
	       ((struct sockaddr_in6 *)&name)->sin6_port == transport->port;
}

static uint64_t half_open_deadline(const struct transport *transport, uint64_t inode, uint64_t now)
{
	for (unsigned i = 0; i < transport->half_open_count; i++)
		if (transport->half_open[i].inode == inode)
			return transport->half_open[i].deadline;
	return now + ofi_timing.half_open_ns;
}

/*
 * The provider waits for the rest of a request for ever, also when the peer has ended, and then
 * in a loop. What it takes note of is an error, which a disconnected socket gives.
 */
static void half_open_end(int fd)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	connect(fd, &nowhere, sizeof(nowhere));
}

static bool peer_ended(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state != STATE_ESTABLISHED;
}

/*
 * Which is the oldest is not known for those that came since the last scan: one that is over the
 * limit goes.
 */
static bool scan_look(int fd, void *arg)
{
	struct scan *scan = arg;
	struct half_open *found = &scan->found[scan->count];
	struct stat stat;

	if (((size_t)fd < scan->known.count && scan->known.open[fd]) ||
	    !is_ours(scan->transport, fd) || fstat(fd, &stat) < 0)
		return false;
	cloexec_set(fd);
	if (scan->count < OFI_HALF_OPEN_MAX && !peer_ended(fd)) {
		found->inode = stat.st_ino;
		found->deadline = half_open_deadline(scan->transport, stat.st_ino, scan->now);
		if (scan->now < found->deadline) {
			scan->count++;
			return false;
		}
	}
	half_open_end(fd);
	scan->ended++;
	return false;
}

/* Walking the descriptors takes one: the reserve is for that. */
uint64_t ofi_half_open_scan(struct transport *transport, uint64_t now)
{
	struct scan scan = { .transport = transport, .now = now };

	transport->accepts = 0;
	for (unsigned i = 0; i < transport->link_count; i++)
		if (transport->link[i]->socket >= 0)
			mark_look(transport->link[i]->socket, &scan.known);
	for (unsigned i = 0; i < transport->linger_count; i++)
		mark_look(transport->linger[i].socket, &scan.known);
	if (transport->reserve >= 0)
		close(transport->reserve);
	fd_walk(scan_look, &scan);
	transport->reserve = eventfd(0, EFD_CLOEXEC);
	free(scan.known.open);
	memcpy(transport->half_open, scan.found, scan.count * sizeof(scan.found[0]));
	transport->half_open_count = scan.count;
	if (scan.ended)
		ofi_stranger_log(transport, scan.ended, "no connection request");
	return scan.count ? now + ofi_timing.half_open_ns / 8 : UINT64_MAX;
}
