/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * socket.c -- what a socket is set to, and whether the peer's kernel is there
 *
 * A silent host. Nothing under way: keepalive, 5 s and then thrice 5 s. Unacknowledged bytes: the
 * kernel retransmits for many minutes, so we look at the age of the last acknowledgement. A peer
 * with a full receive window acknowledges every window probe: only unanswered probes count. They
 * may be 2 minutes apart, 5 s where the kernel has TCP_RTO_MAX_MS (6.15). TCP_USER_TIMEOUT would
 * also end connections to a stopped process with a full window, and so is not used.
 */
#include "transport/tcp/tcp.h"

#include "base/clock.h"
#include <linux/sockios.h>
#include <linux/tcp.h> /* struct tcp_info in full; <netinet/tcp.h> cannot be included beside it */
#include <netinet/in.h>
#include <sys/ioctl.h>

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#define KEEPALIVE_COUNT 3
#define PROBES_SILENT 3

void tcp_socket_setup(int socket)
{
	int on = 1, count = KEEPALIVE_COUNT, idle = (int)(tcp_link_timing.probe_ns / NS_PER_S);
	int most = idle * 1000;

	setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
	setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(socket, IPPROTO_TCP, TCP_RTO_MAX_MS, &most, sizeof(most));
}

uint64_t tcp_socket_silence(int socket, bool *ret_idle)
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

bool tcp_socket_flushed(int socket)
{
	int left = 0;

	return ioctl(socket, SIOCOUTQ, &left) < 0 || left == 0;
}
