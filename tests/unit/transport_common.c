/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_common.c -- what the tests of transport/ share */
#include "transport_common.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t test_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

const char *test_locator(const char *what)
{
	static char names[4][TRANSPORT_LOCATOR_MAX]; /* the last few are valid */
	static unsigned count;
	char *name = names[count % 4];

	snprintf(name, TRANSPORT_LOCATOR_MAX, "farbus.test.%s.%d.%u", what, (int)getpid(), count++);
	return name;
}

bool next_event(struct transport *transport, uint64_t until, struct transport_event *ret_event)
{
	do {
		if (ops->poll(transport, ret_event) == 0)
			return true;
		sched_yield();
	} while (test_now() < until);
	return false;
}

void expect_event(struct transport *transport, enum transport_event_kind kind,
		  struct transport_event *ret_event)
{
	if (!next_event(transport, test_now() + WAIT_NS, ret_event))
		fail_msg("no event, waited for kind %d", kind);
	assert_int_equal(ret_event->kind, kind);
}

/* Twice what it takes poll() to look at its descriptors. */
void expect_nothing(struct transport *transport)
{
	struct transport_event event;
	uint64_t until = test_now() + 200000;

	if (next_event(transport, until, &event))
		fail_msg("event %d with status %d, expected none", event.kind, event.status);
}

void join(struct transport *a, struct transport *b, const char *locator,
	  struct transport_link **ret_a, struct transport_link **ret_b)
{
	struct transport_event event;

	assert_int_equal(ops->connect(a, locator, ret_a), 0);
	expect_event(b, TRANSPORT_LINK_UP, &event);
	assert_true(event.accepted);
	*ret_b = event.link;
	expect_event(a, TRANSPORT_LINK_UP, &event);
	assert_false(event.accepted);
	assert_ptr_equal(event.link, *ret_a);
}

unsigned fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

uint64_t test_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}
