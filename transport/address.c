/* SPDX-License-Identifier: BSD-3-Clause */
/* address.c -- internet addresses as text */
#include "transport/address.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies [from, from + len). Errors: -EINVAL too long. */
static int part_copy(const char *from, size_t len, char *ret_part, size_t size)
{
	if (len >= size)
		return -EINVAL;
	memcpy(ret_part, from, len);
	ret_part[len] = '\0';
	return 0;
}

static int port_parse(const char *text, struct address *address)
{
	size_t len = strlen(text);

	if (len == 0 || text[strspn(text, "0123456789")] || len >= ADDRESS_PORT_MAX ||
	    atoi(text) > 65535)
		return -EINVAL;
	return part_copy(text, len, address->port, sizeof(address->port));
}

/* HOST[:PORT]; more than one colon outside of brackets: IPv6 without a port. */
static int text_parse(const char *text, struct address *address)
{
	const char *colon = strrchr(text, ':'), *bracket = strchr(text, ']');
	size_t host_len = strlen(text);

	memset(address, 0, sizeof(*address));
	strcpy(address->port, "0");
	if (text[0] == '[') {
		if (!bracket || (bracket[1] && bracket[1] != ':'))
			return -EINVAL;
		text++;
		host_len = (size_t)(bracket - text);
		colon = bracket[1] ? bracket + 1 : NULL;
	} else if (colon && strchr(text, ':') == colon) {
		host_len = (size_t)(colon - text);
	} else {
		colon = NULL;
	}
	if (colon && port_parse(colon + 1, address) < 0)
		return -EINVAL;
	return part_copy(text, host_len, address->host, sizeof(address->host));
}

static int numeric_resolve(struct address *address)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int err = -EINVAL;

	if (getaddrinfo(address->host, address->port, &hints, &found) != 0)
		return -EINVAL;
	if (found->ai_family == AF_INET || found->ai_family == AF_INET6) {
		memcpy(&address->socket, found->ai_addr, found->ai_addrlen);
		address->socket_len = found->ai_addrlen;
		err = 0;
	}
	freeaddrinfo(found);
	return err;
}

/*
 * How much we like an address of ours to be reached at; 0: not at all. A link-local one of IPv6
 * means something else on the other side.
 */
static int interface_rank(const struct ifaddrs *one, const char *name)
{
	const struct sockaddr_in6 *six = (const void *)one->ifa_addr;
	int rank = 0;

	if (!one->ifa_addr || !(one->ifa_flags & IFF_UP))
		return 0;
	if (name[0] && strcmp(one->ifa_name, name) != 0)
		return 0;
	if (one->ifa_addr->sa_family == AF_INET)
		rank = 2;
	else if (one->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr))
		rank = 1;
	return rank && !(one->ifa_flags & IFF_LOOPBACK) ? rank + 2 : rank;
}

static socklen_t socket_len(const struct sockaddr *socket)
{
	return socket->sa_family == AF_INET ? sizeof(struct sockaddr_in) :
					      sizeof(struct sockaddr_in6);
}

static int interface_resolve(struct address *address)
{
	struct ifaddrs *all = NULL, *best = NULL;
	int err = -EINVAL, best_rank = 0;

	if (getifaddrs(&all) < 0)
		return -EINVAL;
	for (struct ifaddrs *one = all; one; one = one->ifa_next) {
		int rank = interface_rank(one, address->host);

		if (rank > best_rank) {
			best = one;
			best_rank = rank;
		}
	}
	if (best && getnameinfo(best->ifa_addr, socket_len(best->ifa_addr), address->host,
				sizeof(address->host), NULL, 0, NI_NUMERICHOST) == 0)
		err = numeric_resolve(address);
	freeifaddrs(all);
	return err;
}

int address_local(const char *text, struct address *ret_address)
{
	struct address address;

	if (text_parse(text, &address) < 0 ||
	    ((!address.host[0] || numeric_resolve(&address) < 0) &&
	     interface_resolve(&address) < 0))
		return -EINVAL;
	*ret_address = address;
	return 0;
}

int address_peer(const char *text, struct address *ret_address)
{
	struct address address;

	if (text_parse(text, &address) < 0 || !address.host[0] || atoi(address.port) == 0 ||
	    numeric_resolve(&address) < 0)
		return -EINVAL;
	*ret_address = address;
	return 0;
}

int address_format(const struct sockaddr *socket, char *ret_text, size_t size)
{
	char host[ADDRESS_HOST_MAX], port[ADDRESS_PORT_MAX];
	bool six = socket->sa_family == AF_INET6;

	if ((!six && socket->sa_family != AF_INET) ||
	    getnameinfo(socket, socket_len(socket), host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return -EINVAL;
	if ((size_t)snprintf(ret_text, size, "%s%s%s:%s", six ? "[" : "", host, six ? "]" : "",
			     port) >= size)
		return -EINVAL;
	return 0;
}
