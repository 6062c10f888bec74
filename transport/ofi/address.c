/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * address.c -- texts and addresses
 *
 *   [PROVIDER/]HOST[:PORT][/COOKIE]    HOST: 10.0.0.1, [fd00::1], fd00::1 without a port, eth0
 */
#include "transport/ofi/ofi.h"

#include "base/error.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROVIDER_DEFAULT "tcp"

/* Copies [from, from + len). Errors: -EINVAL too long. */
static int part_copy(const char *from, size_t len, char *ret_part, size_t size)
{
	if (len >= size)
		return -EINVAL;
	memcpy(ret_part, from, len);
	ret_part[len] = '\0';
	return 0;
}

static int cookie_parse(const char *text, uint64_t *ret_cookie)
{
	char *end;

	errno = 0;
	if (strspn(text, "0123456789abcdef") != 16)
		return -EINVAL;
	*ret_cookie = strtoull(text, &end, 16);
	return errno || *end || *ret_cookie == 0 ? -EINVAL : 0;
}

/* HOST[:PORT]; more than one colon outside of brackets: IPv6 without a port. */
static int host_parse(const char *text, size_t len, struct ofi_address *address)
{
	const char *colon = memrchr(text, ':', len), *bracket = memchr(text, ']', len);
	size_t host_len = len;
	int err = 0;

	if (text[0] == '[') {
		if (!bracket)
			return -EINVAL;
		host_len = (size_t)(bracket - text) - 1;
		if (bracket + 1 < text + len && bracket[1] != ':')
			return -EINVAL;
		colon = bracket + 1 < text + len ? bracket + 1 : NULL;
		text++;
		len--;
	} else if (colon && memchr(text, ':', len) == colon) {
		host_len = (size_t)(colon - text);
	} else {
		colon = NULL;
	}
	if (colon)
		err = part_copy(colon + 1, (size_t)(text + len - colon) - 1, address->port,
				sizeof(address->port));
	if (err == 0 && colon &&
	    (!address->port[0] || address->port[strspn(address->port, "0123456789")] ||
	     atoi(address->port) > 65535))
		err = -EINVAL;
	return err < 0 ? err : part_copy(text, host_len, address->host, sizeof(address->host));
}

static int text_parse(const char *text, struct ofi_address *address)
{
	const char *slash = strchr(text, '/'), *last = strrchr(text, '/');
	size_t len;
	int err = 0;

	memset(address, 0, sizeof(*address));
	strcpy(address->provider, PROVIDER_DEFAULT);
	strcpy(address->port, "0");
	if (slash && slash > text)
		err = part_copy(text, (size_t)(slash - text), address->provider,
				sizeof(address->provider));
	if (err < 0)
		return err;
	text = slash ? slash + 1 : text;
	len = strlen(text);
	if (slash && last != slash) {
		len = (size_t)(last - text);
		err = cookie_parse(last + 1, &address->cookie);
	}
	if (err < 0 || memchr(text, '/', len))
		return -EINVAL;
	return len ? host_parse(text, len, address) : 0;
}

static int numeric_resolve(struct ofi_address *address)
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

static int interface_resolve(struct ofi_address *address)
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
	if (best && getnameinfo(best->ifa_addr,
				best->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) :
								       sizeof(struct sockaddr_in6),
				address->host, sizeof(address->host), NULL, 0, NI_NUMERICHOST) == 0)
		err = numeric_resolve(address);
	freeifaddrs(all);
	return err;
}

int ofi_address_local(const char *where, struct ofi_address *ret_address)
{
	struct ofi_address address;

	if (text_parse(where, &address) < 0 || address.cookie)
		return error_set(-EINVAL, "\"%s\": not [PROVIDER/]ADDRESS[:PORT]", where);
	if ((!address.host[0] || numeric_resolve(&address) < 0) && interface_resolve(&address) < 0)
		return error_set(-EINVAL, "\"%s\": no such address or interface of this host",
				 where);
	*ret_address = address;
	return 0;
}

int ofi_address_parse(const char *locator, struct ofi_address *ret_address)
{
	struct ofi_address address;

	if (text_parse(locator, &address) < 0 || !address.host[0] || atoi(address.port) == 0 ||
	    numeric_resolve(&address) < 0)
		return error_set(-EINVAL, "\"%s\": not [PROVIDER/]ADDRESS:PORT", locator);
	*ret_address = address;
	return 0;
}

int ofi_address_format(const char *provider, const struct sockaddr *socket, uint64_t cookie,
		       char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	char host[OFI_HOST_MAX], port[OFI_PORT_MAX], secret[20] = "";
	bool six = socket->sa_family == AF_INET6;
	socklen_t len = six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);

	if ((!six && socket->sa_family != AF_INET) ||
	    getnameinfo(socket, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return error_set(-EINVAL, "provider %s has no internet addresses", provider);
	if (cookie)
		snprintf(secret, sizeof(secret), "/%016llx", (unsigned long long)cookie);
	if (snprintf(ret_locator, TRANSPORT_LOCATOR_MAX, "%s/%s%s%s:%s%s", provider, six ? "[" : "",
		     host, six ? "]" : "", port, secret) >= TRANSPORT_LOCATOR_MAX)
		return error_set(-EINVAL, "the locator of %s is longer than %d bytes", host,
				 TRANSPORT_LOCATOR_MAX - 1);
	return 0;
}
