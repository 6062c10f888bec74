/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run_bind_test.c -- tests of apps/farbus-run/bind.h on described machines (HWLOC_SYNTHETIC)
 *
 * With HWLOC_THISSYSTEM=1 a described machine counts as this one, and masks are made. hwloc reads
 * both when it is used: every case runs in a child.
 */
#include "apps/farbus-run/bind.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base_common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHILD_TEST(name)                       \
	static void name(void **state)         \
	{                                      \
		(void)state;                   \
		child_passes(in_##name, NULL); \
	}

static struct bind *bind_on(const char *machine, enum bind_policy policy, uint32_t size)
{
	struct bind *bind;
	int err;

	setenv("HWLOC_SYNTHETIC", machine, 1);
	err = bind_new(policy, size, &bind);
	if (err < 0)
		dprintf(2, "%s\n", error_text());
	CHECK(err == 0);
	CHECK(bind->size == size);
	return bind;
}

/* text[i] is the place of rank i. */
static void places(const char *machine, enum bind_policy policy, uint32_t size,
		   const char *const *text)
{
	struct bind *bind = bind_on(machine, policy, size);

	for (uint32_t i = 0; i < size; i++) {
		if (strcmp(bind->place[i].text, text[i]) != 0)
			dprintf(2, "rank %u: %s, not %s\n", i, bind->place[i].text, text[i]);
		CHECK(strcmp(bind->place[i].text, text[i]) == 0);
		CHECK(!bind->place[i].mask); /* not this machine */
	}
	bind_free(bind);
}

static void in_core__as_many_as_cores__one_each_sockets_in_turn(void *arg)
{
	static const char *const four[] = { "core 0 (CPUs 0-1)", "core 1 (CPUs 2-3)",
					    "core 2 (CPUs 4-5)", "core 3 (CPUs 6-7)" };
	static const char *const two[] = { "core 0 (CPUs 0-1)", "core 2 (CPUs 4-5)" };

	(void)arg;
	places("package:2 core:2 pu:2", BIND_CORE, 4, four);
	places("package:2 core:2 pu:2", BIND_CORE, 2, two);
	places("package:2 core:2 pu:2", BIND_AUTO, 4, four);
}
CHILD_TEST(core__as_many_as_cores__one_each_sockets_in_turn)

static void in_socket__ranks_of_two_sockets__the_whole_socket(void *arg)
{
	static const char *const four[] = { "socket 0 (CPUs 0-3)", "socket 0 (CPUs 0-3)",
					    "socket 1 (CPUs 4-7)", "socket 1 (CPUs 4-7)" };

	(void)arg;
	places("package:2 core:2 pu:2", BIND_SOCKET, 4, four);
}
CHILD_TEST(socket__ranks_of_two_sockets__the_whole_socket)

static void in_none_and_auto__no_room_for_all__not_bound(void *arg)
{
	static const char *const five[] = { "not bound", "not bound", "not bound", "not bound",
					    "not bound" };

	(void)arg;
	places("package:2 core:2 pu:2", BIND_AUTO, 5, five); /* 8 CPUs, but 4 cores */
	places("package:2 core:2 pu:2", BIND_NONE, 5, five);
	places("package:1 core:1 pu:1", BIND_NONE, 1, five);
}
CHILD_TEST(none_and_auto__no_room_for_all__not_bound)

/* Asked for explicitly, ranks share cores evenly. */
static void in_core__more_ranks_than_cores__shared_evenly(void *arg)
{
	struct bind *bind = bind_on("package:2 core:2 pu:1", BIND_CORE, 8);
	int on[4] = { 0 };

	(void)arg;
	for (uint32_t i = 0; i < 8; i++) {
		unsigned int core;

		CHECK(sscanf(bind->place[i].text, "core %u (", &core) == 1);
		CHECK(core < 4);
		on[core]++;
	}
	for (int i = 0; i < 4; i++)
		CHECK(on[i] == 2);
	bind_free(bind);
}
CHILD_TEST(core__more_ranks_than_cores__shared_evenly)

static void in_odd_machines__no_sockets_no_cores_uneven__a_place_each(void *arg)
{
	static const char *const machine[] = { "pu:3", "numa:3 pu:1", "core:3 pu:2",
					       "numa:2 package:1 l3:1 core:2 pu:1",
					       "group:2 package:3 core:5 pu:4" };

	(void)arg;
	for (size_t i = 0; i < sizeof(machine) / sizeof(machine[0]); i++) {
		for (enum bind_policy policy = BIND_CORE; policy <= BIND_SOCKET; policy++) {
			struct bind *bind = bind_on(machine[i], policy, 3);

			for (uint32_t rank = 0; rank < 3; rank++)
				CHECK(strstr(bind->place[rank].text, "(CPUs "));
			bind_free(bind);
		}
	}
}
CHILD_TEST(odd_machines__no_sockets_no_cores_uneven__a_place_each)

static void in_core__eight_thousand_cpus__as_many_cores_as_ranks(void *arg)
{
	static bool taken[4096];
	struct bind *bind = bind_on("package:64 core:64 pu:2", BIND_CORE, 1024);

	(void)arg;
	for (uint32_t rank = 0; rank < 1024; rank++) {
		unsigned int core;

		CHECK(sscanf(bind->place[rank].text, "core %u (CPUs ", &core) == 1);
		CHECK(core < 4096 && !taken[core]);
		CHECK(strchr(bind->place[rank].text, ')'));
		taken[core] = true;
	}
	bind_free(bind);
}
CHILD_TEST(core__eight_thousand_cpus__as_many_cores_as_ranks)

static void in_masks__this_machine__the_kernel_takes_them(void *arg)
{
	struct bind *bind;
	int err = bind_new(BIND_CORE, 2, &bind);

	(void)arg;
	CHECK(err == 0);
	for (uint32_t rank = 0; rank < 2; rank++) {
		CHECK(bind->place[rank].mask);
		CHECK(syscall(SYS_sched_setaffinity, 0, bind->place[rank].mask_len,
			      bind->place[rank].mask) == 0);
	}
	bind_free(bind);
}
CHILD_TEST(masks__this_machine__the_kernel_takes_them)

static int mask_count(const struct bind_place *place)
{
	int count = 0;

	for (size_t i = 0; i < place->mask_len / sizeof(*place->mask); i++)
		count += __builtin_popcountl(place->mask[i]);
	return count;
}

/* taskset and cpusets: only what we may use is given out. */
static void in_core__we_may_use_one_cpu__all_ranks_there(void *arg)
{
	cpu_set_t set, one;
	struct bind *bind;
	int cpu = 0;

	(void)arg;
#ifdef __SANITIZE_THREAD__
	return; /* its own thread goes on using all CPUs, and hwloc asks for the whole process */
#endif
	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(bind_new(BIND_CORE, 3, &bind) == 0);
	for (uint32_t rank = 0; rank < 3; rank++) {
		CHECK(mask_count(&bind->place[rank]) == 1);
		CHECK(bind->place[rank].mask[cpu / 64] == 1ul << cpu % 64);
	}
	bind_free(bind);
	CHECK(bind_new(BIND_AUTO, 2, &bind) == 0);
	CHECK(!bind->place[0].mask);
	bind_free(bind);
}
CHILD_TEST(core__we_may_use_one_cpu__all_ranks_there)

static void in_new__every_allocation_fails_once__enomem_and_no_leak(void *arg)
{
	struct bind *bind;
	unsigned long n = 0;
	int err;

	(void)arg;
	setenv("HWLOC_SYNTHETIC", "package:2 core:2 pu:2", 1);
	setenv("HWLOC_THISSYSTEM", "1", 1);
	do {
		alloc_fault_arm(++n);
		err = bind_new(BIND_CORE, 2, &bind);
		CHECK(err == 0 || err == -ENOMEM);
	} while (err < 0);
	CHECK(n == 6);
	bind_free(bind);
	bind_free(NULL);
}
CHILD_TEST(new__every_allocation_fails_once__enomem_and_no_leak)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(core__as_many_as_cores__one_each_sockets_in_turn),
		cmocka_unit_test(socket__ranks_of_two_sockets__the_whole_socket),
		cmocka_unit_test(none_and_auto__no_room_for_all__not_bound),
		cmocka_unit_test(core__more_ranks_than_cores__shared_evenly),
		cmocka_unit_test(odd_machines__no_sockets_no_cores_uneven__a_place_each),
		cmocka_unit_test(core__eight_thousand_cpus__as_many_cores_as_ranks),
		cmocka_unit_test(masks__this_machine__the_kernel_takes_them),
		cmocka_unit_test(core__we_may_use_one_cpu__all_ranks_there),
		cmocka_unit_test(new__every_allocation_fails_once__enomem_and_no_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
