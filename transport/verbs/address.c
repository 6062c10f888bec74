/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * address.c -- texts and addresses
 *
 *   [DEVICE/]HOST[:PORT]    to listen; HOST: 10.0.0.1, [fd00::1], fd00::1 without a port, eth0, rxe0
 *   HOST:PORT[/COOKIE]      a locator; HOST: a number
 */
#include "transport/verbs/verbs.h"

#include "base/error.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

socklen_t verbs_address_len(const struct sockaddr *socket)
{
	return socket->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) :
					       sizeof(struct sockaddr_in);
}

void verbs_address_port_set(struct sockaddr_storage *socket, uint16_t port)
{
	if (socket->ss_family == AF_INET6)
		((struct sockaddr_in6 *)socket)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)socket)->sin_port = htons(port);
}

uint16_t verbs_address_port(const struct sockaddr_storage *socket)
{
	return ntohs(socket->ss_family == AF_INET6 ? ((struct sockaddr_in6 *)socket)->sin6_port :
						     ((struct sockaddr_in *)socket)->sin_port);
}

static int part_copy(const char *from, size_t len, char *ret_part, size_t size)
{
	if (len >= size)
		return -EINVAL;
	memcpy(ret_part, from, len);
	ret_part[len] = '\0';
	return 0;
}

static int port_parse(const char *text, uint16_t *ret_port)
{
	size_t len = strspn(text, "0123456789");
	long port = len && len <= 5 && !text[len] ? atol(text) : -1;

	if (port < 0 || port > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

/* HOST[:PORT]; more than one colon outside of brackets: IPv6 without a port. */
static int host_parse(const char *text, struct verbs_address *address)
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);

	if (text[0] == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		colon = end[1] ? end + 1 : NULL;
		text++;
	} else if (colon && strchr(text, ':') == colon) {
		end = colon;
	} else {
		colon = NULL;
	}
	if (colon && port_parse(colon + 1, &address->port) < 0)
		return -EINVAL;
	return part_copy(text, (size_t)(end - text), address->host, sizeof(address->host));
}

static int numeric_parse(const char *host, struct sockaddr_storage *ret_socket)
{
	struct sockaddr_in *four = (struct sockaddr_in *)ret_socket;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret_socket;

	memset(ret_socket, 0, sizeof(*ret_socket));
	if (inet_pton(AF_INET, host, &four->sin_addr) == 1)
		four->sin_family = AF_INET;
	else if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1)
		six->sin6_family = AF_INET6;
	else
		return -EINVAL;
	return 0;
}

int verbs_address_local(const char *where, struct verbs_address *ret_address)
{
	struct verbs_address address = { 0 };
	const char *slash = strchr(where, '/');
	int err = 0;

	if (slash)
		err = part_copy(where, (size_t)(slash - where), address.device,
				sizeof(address.device));
	if (err < 0 || host_parse(slash ? slash + 1 : where, &address) < 0)
		return error_set(-EINVAL, "\"%s\": not [DEVICE/]ADDRESS[:PORT]", where);
	*ret_address = address;
	return 0;
}

int verbs_address_parse(const char *locator, struct verbs_address *ret_address)
{
	struct verbs_address address = { 0 };
	const char *slash = strchr(locator, '/');
	char text[TRANSPORT_LOCATOR_MAX];
	int err = part_copy(locator, slash ? (size_t)(slash - locator) : strlen(locator), text,
			    sizeof(text));

	if (err == 0 && slash) {
		address.cookie = strtoull(slash + 1, NULL, 16);
		if (strspn(slash + 1, "0123456789abcdef") != 16 || slash[17] || !address.cookie)
			err = -EINVAL;
	}
	if (err < 0 || host_parse(text, &address) < 0 || address.port == 0 ||
	    numeric_parse(address.host, &address.socket) < 0)
		return error_set(-EINVAL, "\"%s\": not ADDRESS:PORT[/COOKIE]", locator);
	verbs_address_port_set(&address.socket, address.port);
	*ret_address = address;
	return 0;
}

int verbs_address_format(const struct sockaddr *socket, uint64_t cookie,
			 char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	const struct sockaddr_in *four = (const void *)socket;
	const struct sockaddr_in6 *six = (const void *)socket;
	char host[VERBS_HOST_MAX], secret[20] = "";
	bool is_six = socket->sa_family == AF_INET6;

	if ((!is_six && socket->sa_family != AF_INET) ||
	    !inet_ntop(socket->sa_family, is_six ? (const void *)&six->sin6_addr : &four->sin_addr,
		       host, sizeof(host)))
		return error_set(-EINVAL, "the device has no internet address");
	if (cookie)
		snprintf(secret, sizeof(secret), "/%016llx", (unsigned long long)cookie);
	snprintf(ret_locator, TRANSPORT_LOCATOR_MAX, "%s%s%s:%u%s", is_six ? "[" : "", host,
		 is_six ? "]" : "", ntohs(is_six ? six->sin6_port : four->sin_port), secret);
	return 0;
}

/* Link-local addresses of IPv6 mean something else on the other side. 0: not at all. */
static int interface_rank(const struct ifaddrs *one)
{
	const struct sockaddr_in6 *six = (const void *)one->ifa_addr;

	if (!one->ifa_addr || !(one->ifa_flags & IFF_UP) || (one->ifa_flags & IFF_LOOPBACK))
		return 0;
	if (one->ifa_addr->sa_family == AF_INET)
		return 2;
	return one->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr);
}

static int visit_one(const struct verbs_address *address, const struct sockaddr *socket,
		     const char *interface,
		     int (*visit)(void *arg, const struct sockaddr *socket, const char *interface),
		     void *arg)
{
	struct sockaddr_storage is = { 0 };

	memcpy(&is, socket, verbs_address_len(socket));
	verbs_address_port_set(&is, address->port);
	return visit(arg, (struct sockaddr *)&is, interface);
}

/* Not this one; another may do. */
static bool passed_over(int err)
{
	return err == -EINVAL || err == -ENOSYS;
}

int verbs_address_each(const struct verbs_address *address,
		       int (*visit)(void *arg, const struct sockaddr *socket,
				    const char *interface),
		       void *arg)
{
	struct sockaddr_storage number;
	struct ifaddrs *all = NULL;
	int err = -EINVAL;

	if (numeric_parse(address->host, &number) == 0)
		return visit_one(address, (struct sockaddr *)&number, NULL, visit, arg);
	if (getifaddrs(&all) < 0)
		return error_set(-EINVAL, "the addresses of this host cannot be listed: %s",
				 strerror(errno));
	error_set(err, "no interface of this host is up and has an IP address");
	for (int rank = 2; rank > 0 && passed_over(err); rank--)
		for (struct ifaddrs *one = all; one && passed_over(err); one = one->ifa_next)
			if (interface_rank(one) == rank)
				err = visit_one(address, one->ifa_addr, one->ifa_name, visit, arg);
	freeifaddrs(all);
	return err;
}
