/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * info.c -- tells farbus-info about a live instance: one JSON document per connection
 *
 * Listens on the abstract unix socket "farbus-info.PID.INSTANCE" (no file; see unix(7)) and
 * answers only the same user or root, as the kernel reports them. The document is made under the
 * lock and sent outside it, for at most SEND_TIMEOUT_MS.
 */
#include "addrmap/rights.h"
#include "base/error.h"
#include "runtime/instance.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SEND_TIMEOUT_MS 200

int info_open(struct farbus *farbus)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int len, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_set(-EMFILE, "no descriptor left (%s): raise ulimit -n",
				 strerror(errno));
	len = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "farbus-info.%d.%u",
		       (int)getpid(), farbus->self.instance);
	if (bind(fd, (struct sockaddr *)&addr,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) < 0 ||
	    listen(fd, 4) < 0) {
		close(fd);
		return error_set(-EEXIST, "cannot listen for farbus-info: %s", strerror(errno));
	}
	farbus->info = fd;
	return 0;
}

struct grant_print {
	FILE *out;
	const char *comma;
};

static void grant_print(void *arg, const struct export_grant *grant)
{
	struct grant_print *print = arg;
	static const char *const state[] = { "?", "live", "revoking", "revoked" };
	char rights[6];

	rights_text(grant->rights, rights);
	fprintf(print->out,
		"%s{\"grant\":%u,\"parent\":%u,\"off\":%llu,\"len\":%llu,\"rights\":\"%s\","
		"\"served\":%s,\"state\":\"%s\",\"imports\":%u}",
		print->comma, grant->grant, grant->parent, (unsigned long long)grant->off,
		(unsigned long long)grant->len, rights,
		grant->flags & FARBUS_GRANT_SERVED ? "true" : "false",
		state[grant->state <= GRANT_REVOKED ? grant->state : 0], grant->import_count);
	print->comma = ",";
}

static void regions_print(struct farbus *farbus, FILE *out) REQUIRES(&farbus->lock)
{
	struct farbus_region *region;
	const char *comma = "";

	fprintf(out, "\"regions\":[");
	LIST_FOREACH(region, &farbus->regions, link) {
		struct grant_print print = { out, "" };

		if (!region->own)
			continue;
		fprintf(out,
			"%s{\"id\":\"%llx\",\"import\":%u,\"len\":%llu,\"page_size\":%llu,"
			"\"generation\":%u,"
			"\"va\":\"%p\",\"mappable\":%s,\"grants\":[",
			comma, (unsigned long long)region->id, region->import,
			(unsigned long long)region->len, (unsigned long long)region->page_size,
			region->generation, (void *)region->head.base,
			region->fd >= 0 ? "true" : "false");
		export_grant_each(core_exports(farbus->core), region->id, grant_print, &print);
		fprintf(out, "]}");
		comma = ",";
	}
	fprintf(out, "],");
}

static const char *truth(uint32_t bits)
{
	return bits ? "true" : "false";
}

/* Why an import is reached as it is. */
static const char *path_why(const struct farbus_region *region)
{
	const struct transport_ops *ops = transport_find(region_transport(region));

	if (region->remote)
		return "the network's devices reach the memory";
	if (!region->served)
		return "same host, same user, mappable grant";
	if (!ops || ops->same_host)
		return "the grant or the home does not allow a mapping";
	if (ops->memory_expose)
		return "the grant, the home or its device does not allow one-sided access";
	return "this transport has no one-sided access, the home carries everything out";
}

static void import_print(const struct farbus_region *region, const char *comma, FILE *out)
{
	uint32_t one = region_onesided(region);
	int status = atomic_load_explicit(&region->status, memory_order_acquire);
	char rights[6];

	rights_text(region->rights, rights);
	fprintf(out,
		"%s{\"import\":%u,\"region\":\"%llx\",\"off\":%llu,\"len\":%llu,\"rights\":\"%s\","
		"\"home_rank\":%u,\"home_instance\":%u,\"path\":\"%s\",\"why\":\"%s\","
		"\"onesided\":{\"put\":%s,\"get\":%s,\"atomic\":%s},\"transport\":\"%s\","
		"\"status\":\"%s\"}",
		comma, region->import, (unsigned long long)region->id,
		(unsigned long long)region->off, (unsigned long long)region->len, rights,
		region->home_rank, region->home_instance,
		region->remote ? "fabric" :
		region->served ? "served" :
				 "mapped",
		path_why(region), truth(one & FARBUS_ONESIDED_PUT),
		truth(one & FARBUS_ONESIDED_GET), truth(one & FARBUS_ONESIDED_ATOMIC),
		region_transport(region), farbus_strerror(status));
}

static void imports_print(struct farbus *farbus, FILE *out) REQUIRES(&farbus->lock)
{
	struct farbus_region *region;
	const char *comma = "";

	fprintf(out, "\"imports\":[");
	LIST_FOREACH(region, &farbus->regions, link) {
		if (region->own)
			continue;
		import_print(region, comma, out);
		comma = ",";
	}
	fprintf(out, "],");
}

static void windows_print(struct farbus *farbus, FILE *out) REQUIRES(&farbus->lock)
{
	static const char *const state[] = { "ready", "blocked", "dead" };
	struct window_extent extent;
	farbus_va_t at = { 0 };
	const char *comma = "";
	char rights[6];

	fprintf(out, "\"windows\":[");
	while (window_next(farbus->windows, at, &extent) == 0) {
		at.v = extent.va.v + extent.len;
		rights_text(extent.rights, rights);
		fprintf(out,
			"%s{\"va\":\"%llx\",\"len\":%llu,\"off\":%llu,\"import\":%u,"
			"\"rights\":\"%s\",\"state\":\"%s\"}",
			comma, (unsigned long long)extent.va.v, (unsigned long long)extent.len,
			(unsigned long long)extent.off, extent.import, rights,
			state[extent.state <= WINDOW_DEAD ? extent.state : 0]);
		comma = ",";
	}
	fprintf(out, "],");
}

static void links_print(struct farbus *farbus, FILE *out) REQUIRES(&farbus->lock)
{
	const char *comma = "";

	fprintf(out, "\"links\":[");
	for (uint32_t i = 0; i < farbus->link_top; i++) {
		uint32_t rank;

		if (!farbus->links[i].transport || farbus->links[i].lingers)
			continue;
		rank = core_link_rank(farbus->core, i);
		if (rank == UINT32_MAX)
			continue;
		fprintf(out, "%s{\"rank\":%u,\"transport\":\"%s\",\"why\":\"%s\",\"queued\":%zu}",
			comma, rank, farbus->links[i].backend->ops->name,
			strcmp(farbus->config.transport, "auto") != 0 ? "FARBUS_TRANSPORT" :
			farbus->links[i].backend->ops->same_host      ? "same host" :
									"another host",
			farbus->links[i].queued);
		comma = ",";
	}
	fprintf(out, "]");
}

static void backends_print(struct farbus *farbus, FILE *out)
{
	const char *comma = "";

	fprintf(out, "\"transports\":[");
	for (unsigned i = 0; i < farbus->backend_count; i++) {
		fprintf(out, "%s{\"name\":\"%s\",\"locator\":\"%s\"}", comma,
			farbus->backend[i].ops->name, farbus->backend[i].locator);
		comma = ",";
	}
	fprintf(out, "],");
}

static void document_print(struct farbus *farbus, FILE *out) REQUIRES(&farbus->lock)
{
	fprintf(out,
		"{\"pid\":%d,\"rank\":%u,\"size\":%u,\"instance\":%u,\"incarnation\":%u,"
		"\"job\":\"%016llx\",\"version\":\"%s\",",
		(int)getpid(), farbus->self.rank, farbus->self.size, farbus->self.instance,
		farbus->self.incarnation, (unsigned long long)farbus->self.job, farbus_version());
	backends_print(farbus, out);
	regions_print(farbus, out);
	imports_print(farbus, out);
	windows_print(farbus, out);
	links_print(farbus, out);
	fprintf(out, "}\n");
}

static void send_all(int fd, const char *text, size_t len)
{
	struct timeval limit = { .tv_usec = SEND_TIMEOUT_MS * 1000 };
	uint64_t until = clock_now_ns() + SEND_TIMEOUT_MS * NS_PER_MS;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	while (len && clock_now_ns() < until) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

void info_answer(struct farbus *farbus)
{
	int fd = accept4(farbus->info, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t peer_len = sizeof(peer);
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (fd < 0)
		return;
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len);
	if (peer.uid == getuid() || peer.uid == 0) {
		out = open_memstream(&text, &len);
		if (out) {
			lock_acquire(&farbus->lock);
			document_print(farbus, out);
			lock_release(&farbus->lock);
			fclose(out);
			send_all(fd, text, len);
			free(text);
		}
	}
	close(fd);
}
