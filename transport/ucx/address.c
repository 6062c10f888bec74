/* SPDX-License-Identifier: BSD-3-Clause */
/* address.c -- locators, and the devices behind an address */
#include "transport/ucx/ucx.h"

#include "base/error.h"
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RDMA_FOLDER "/sys/class/infiniband"
#define RDMA_PORTS 8
#define COOKIE_DIGITS 16

/* ---- texts ---- */

static int cookie_parse(const char *text, uint64_t *ret_cookie)
{
	if (strspn(text, "0123456789abcdef") != COOKIE_DIGITS || text[COOKIE_DIGITS])
		return -EINVAL;
	*ret_cookie = strtoull(text, NULL, 16);
	return *ret_cookie == 0 ? -EINVAL : 0;
}

int ucx_locator_parse(const char *locator, struct address *ret_address, uint64_t *ret_cookie)
{
	const char *slash = strchr(locator, '/');
	size_t len = slash ? (size_t)(slash - locator) : strlen(locator);
	char text[TRANSPORT_LOCATOR_MAX];
	uint64_t cookie = 0;

	if (len < sizeof(text)) {
		memcpy(text, locator, len);
		text[len] = '\0';
	}
	if (len >= sizeof(text) || (slash && cookie_parse(slash + 1, &cookie) < 0) ||
	    address_peer(text, ret_address) < 0)
		return error_set(-EINVAL, "\"%s\": not ADDRESS:PORT[/COOKIE]", locator);
	*ret_cookie = cookie;
	return 0;
}

int ucx_locator_format(const struct sockaddr *socket, uint64_t cookie,
		       char ret_locator[TRANSPORT_LOCATOR_MAX])
{
	char text[TRANSPORT_LOCATOR_MAX - COOKIE_DIGITS - 1];

	if (address_format(socket, text, sizeof(text)) < 0)
		return error_set(-EINVAL, "not an internet address that has room in a locator");
	snprintf(ret_locator, TRANSPORT_LOCATOR_MAX, "%s", text);
	if (cookie)
		snprintf(ret_locator + strlen(text), TRANSPORT_LOCATOR_MAX - strlen(text),
			 "/%016llx", (unsigned long long)cookie);
	return 0;
}

/* ---- devices ---- */

static bool same_host(const struct sockaddr *a, const struct sockaddr *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a->sa_family == AF_INET6 &&
	       memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

static bool interface_find(const struct address *address, char ret_name[IF_NAMESIZE])
{
	struct ifaddrs *all = NULL;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (struct ifaddrs *one = all; one && !found; one = one->ifa_next)
		if (one->ifa_addr &&
		    same_host(one->ifa_addr, (const struct sockaddr *)&address->socket)) {
			snprintf(ret_name, IF_NAMESIZE, "%s", one->ifa_name);
			found = true;
		}
	freeifaddrs(all);
	return found;
}

/* Is this port of an RDMA device on that interface? */
static bool rdma_port_on(const char *device, int port, const char *interface)
{
	char path[sizeof(RDMA_FOLDER) + NAME_MAX + 64], name[IF_NAMESIZE] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/ports/%d/gid_attrs/ndevs/0", RDMA_FOLDER, device, port);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(name, sizeof(name), file))
		name[0] = '\0';
	fclose(file);
	name[strcspn(name, "\n")] = '\0';
	return strcmp(name, interface) == 0;
}

bool ucx_address_devices(const struct address *address, char ret_devices[UCX_DEVICES_SIZE])
{
	char interface[IF_NAMESIZE];
	struct dirent *entry;
	size_t at;
	DIR *dir;

	if (!interface_find(address, interface))
		return false;
	at = (size_t)snprintf(ret_devices, UCX_DEVICES_SIZE, "%s", interface);
	dir = opendir(RDMA_FOLDER);
	while (dir && (entry = readdir(dir)))
		for (int port = 1; port <= RDMA_PORTS && at < UCX_DEVICES_SIZE; port++)
			if (entry->d_name[0] != '.' && rdma_port_on(entry->d_name, port, interface))
				at += (size_t)snprintf(ret_devices + at, UCX_DEVICES_SIZE - at,
						       ",%s:%d", entry->d_name, port);
	if (dir)
		closedir(dir);
	return at < UCX_DEVICES_SIZE;
}
