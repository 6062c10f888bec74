/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * address.h -- internet addresses as text: 10.0.0.1:7000, [fd00::1]:7000, fd00::1, eth0:7000
 *
 * Threads: any thread.
 */
#ifndef TRANSPORT_ADDRESS_H
#define TRANSPORT_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

#define ADDRESS_HOST_MAX 64
#define ADDRESS_PORT_MAX 8

struct address {
	char host[ADDRESS_HOST_MAX]; /* "": none given */
	char port[ADDRESS_PORT_MAX]; /* "0": none given */
	struct sockaddr_storage socket;
	socklen_t socket_len;
};

/*
 * Where to listen: [ADDRESS-or-INTERFACE][:PORT]; "" is the first address that is not loopback.
 * Errors: -EINVAL, without a text.
 */
int address_local(const char *text, struct address *ret_address);
/* Of a peer: ADDRESS:PORT. Errors: -EINVAL, without a text. */
int address_peer(const char *text, struct address *ret_address);
/* Errors: -EINVAL not an internet address, or longer than size. */
int address_format(const struct sockaddr *socket, char *ret_text, size_t size);

#endif
