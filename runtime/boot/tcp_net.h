/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_net.h -- FARBUS_JOIN's host:port as sockets: names, IPv4 and IPv6
 *
 * Threads: any thread.
 */
#ifndef RUNTIME_BOOT_TCP_NET_H
#define RUNTIME_BOOT_TCP_NET_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define TCP_HOST_MAX 256 /* bytes of a host name, with its NUL */
#define TCP_PEER_MAX 64	 /* bytes of an address and port as text, with the NUL */

struct tcp_place {
	char host[TCP_HOST_MAX];
	char port[8];
};

/* "host:port", "[IPv6]:port". Errors: -EINVAL. */
int tcp_place_parse(const char *text, struct tcp_place *ret_place);
/*
 * Takes as long as the resolver's own limits allow. Ownership: freeaddrinfo() it.
 * Errors: -EINVAL no such host, -EAGAIN the name service has no answer now.
 */
int tcp_resolve(const struct tcp_place *place, struct addrinfo **ret_list);
bool tcp_is_loopback(const struct sockaddr *address);
void tcp_peer_text(const struct sockaddr *address, socklen_t len, char ret_text[TCP_PEER_MAX]);

/*
 * Listens on the first address of the list that is this host's. Errors: -EEXIST taken, -ENOENT
 * none is this host's, -EINVAL the kernel does not let us, -EMFILE.
 */
int tcp_listen(const struct addrinfo *list, int *ret_fd);
/*
 * To the first address that takes it; gives each at most timeout_ns. The socket does not block.
 * Errors: -ECONNREFUSED none took it (the text has the last reason), -EMFILE.
 */
int tcp_connect(const struct addrinfo *list, uint64_t timeout_ns, int *ret_fd);
/* No delay, and the death of the other host is noticed within half a minute. */
void tcp_tune(int fd);
/* Errors: -ETIMEDOUT; no text. */
int tcp_wait(int fd, short events, uint64_t deadline);

#endif
