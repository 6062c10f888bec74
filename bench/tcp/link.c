/* SPDX-License-Identifier: BSD-3-Clause */
/* link.c -- the subject: a link of a transport, used as the runtime's service thread uses it */
#include "bench.h"

#include "base/error.h"
#include "transport/transport.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

const char *bench_link_ops = "ofi";
static const struct transport_ops *ops;
static struct transport *transport;
static struct transport_link *link_;
static int queue = -1;

static void start(void)
{
	struct epoll_event event = { .events = EPOLLIN };

	ops = transport_find(bench_link_ops);
	bench_check(ops != NULL, "no such transport");
	bench_check(ops->open(ops->same_host ? "farbus.bench" : bench_where, &transport) == 0,
		    error_text());
	queue = epoll_create1(EPOLL_CLOEXEC);
	bench_check(epoll_ctl(queue, EPOLL_CTL_ADD, ops->fd(transport), &event) == 0, "epoll");
}

static void event_wait(struct transport_event *ret_event, bool spin)
{
	struct epoll_event event;

	while (ops->poll(transport, ret_event) < 0) {
		if (!spin && ops->park(transport))
			bench_check(epoll_wait(queue, &event, 1, -1) == 1, "epoll_wait");
	}
}

static void link_listen(char ret_address[BENCH_ADDRESS_MAX])
{
	start();
	ops->locator(transport, ret_address);
}

static void link_connect(const char *address)
{
	struct transport_event event;

	start();
	bench_check(ops->connect(transport, address, &link_) == 0, error_text());
	event_wait(&event, false);
	bench_check(event.kind == TRANSPORT_LINK_UP, "connect");
}

static void link_send(const void *data, size_t len)
{
	struct transport_event event;
	int err;

	while ((err = ops->send(link_, data, len, -1)) == -EAGAIN) {
		event_wait(&event, false);
		bench_check(event.kind == TRANSPORT_WRITABLE, "send");
	}
	bench_check(err == 0, "send");
}

static void link_receive(bool spin)
{
	struct transport_event event;

	do
		event_wait(&event, spin);
	while (event.kind == TRANSPORT_WRITABLE);
	bench_check(event.kind == TRANSPORT_MESSAGE, "receive");
}

static void link_serve(void)
{
	static char copy[BENCH_LEN_MAX];
	struct transport_event event;

	for (;;) {
		event_wait(&event, false);
		if (event.kind == TRANSPORT_LINK_UP) {
			link_ = event.link;
		} else if (event.kind == TRANSPORT_LINK_DOWN) {
			ops->close(transport);
			return;
		} else if (event.kind == TRANSPORT_MESSAGE && *(const char *)event.data == 'e') {
			memcpy(copy, event.data, event.len);
			link_send(copy, event.len);
		} else if (event.kind == TRANSPORT_MESSAGE && *(const char *)event.data == 'l') {
			link_send("l", 1);
		}
	}
}

static void link_close(void)
{
	ops->close(transport);
	close(queue);
}

const struct bench_subject bench_link = {
	.name = "link",
	.listen = link_listen,
	.serve = link_serve,
	.connect = link_connect,
	.send = link_send,
	.receive = link_receive,
	.close = link_close,
};
