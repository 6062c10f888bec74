/* SPDX-License-Identifier: BSD-3-Clause */
/* paging_fault_test.c -- tests of runtime/paging/fault.h */
#include "runtime/paging/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 256
#define PAGE 4096
#define LEN ((uint64_t)PAGES * PAGE)
#define WAIT_MS 20000

static volatile uint8_t *memory;
static uint8_t *alias, *remote;
static _Atomic bool broken;
static sem_t gate;
static bool gated;

static int fetch(void *arg, uint64_t off, void *dst, uint64_t len)
{
	(void)arg;
	if (gated)
		sem_wait(&gate);
	if (atomic_load(&broken))
		return -EHOSTDOWN;
	memcpy(dst, remote + off, len);
	return 0;
}

static int setup(void **state)
{
	int fd = memfd_create("fault", MFD_CLOEXEC);
	uint64_t none[PAGES / 64] = { 0 };
	struct fault *fault;
	int err;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)LEN), 0);
	memory = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	alias = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	remote = malloc(LEN);
	assert_non_null(remote);
	close(fd);
	memset(alias, 0, LEN); /* all pages exist, as those of regions do */
	for (uint64_t i = 0; i < LEN; i++)
		remote[i] = (uint8_t)(i / PAGE * 3 + 7);
	struct fault_conf conf = { (void *)memory, alias, LEN, none, fetch, NULL };

	err = fault_open(&conf, &fault);
	if (err == -ENOSYS || err == -EACCES)
		exit(77);
	fault_close(fault);
	return 0;
}

static struct fault *fault_new(const uint64_t *missing)
{
	struct fault_conf conf = { (void *)memory, alias, LEN, missing, fetch, NULL };
	struct fault *fault = NULL;

	memset(alias, 0, LEN);
	atomic_store(&broken, false);
	assert_int_equal(fault_open(&conf, &fault), 0);
	return fault;
}

static void wait__all_missing__all_arrive(void **state)
{
	uint64_t missing[PAGES / 64];

	(void)state;
	memset(missing, 0xff, sizeof(missing));
	struct fault *fault = fault_new(missing);

	for (int page = PAGES - 1; page >= 0; page -= 5)
		assert_int_equal(memory[page * PAGE + 9], remote[page * PAGE]);
	assert_int_equal(fault_wait(fault, WAIT_MS), 0);
	assert_int_equal(fault_stats(fault).missing, 0);
	assert_int_equal(fault_stats(fault).urgent + fault_stats(fault).ahead, PAGES);
	assert_memory_equal((void *)memory, remote, LEN);
	fault_close(fault);
}

static void touch__some_missing__the_others_stay_as_they_are(void **state)
{
	uint64_t missing[PAGES / 64] = { 1 << 5, 0, 0, 1 };

	(void)state;
	struct fault *fault = fault_new(missing);

	assert_int_equal(memory[5 * PAGE], remote[5 * PAGE]);
	assert_int_equal(memory[192 * PAGE], remote[192 * PAGE]);
	assert_int_equal(memory[6 * PAGE], 0); /* not missing: mapped as it is */
	assert_int_equal(fault_wait(fault, WAIT_MS), 0);
	assert_int_equal(fault_stats(fault).urgent + fault_stats(fault).ahead, 2);
	fault_close(fault);
}

static _Atomic int touched = -1;

static void *touch_last(void *arg)
{
	(void)arg;
	atomic_store(&touched, memory[(PAGES - 1) * PAGE]);
	return NULL;
}

static void wait__fetch_fails__stops_without_zeros_and_goes_on_after_retry(void **state)
{
	uint64_t missing[PAGES / 64];
	pthread_t thread;

	(void)state;
	memset(missing, 0xff, sizeof(missing));
	gated = true;
	assert_int_equal(sem_init(&gate, 0, 0), 0);
	struct fault *fault = fault_new(missing);

	atomic_store(&broken, true);
	assert_int_equal(pthread_create(&thread, NULL, touch_last, NULL), 0);
	sem_post(&gate);
	assert_int_equal(fault_wait(fault, WAIT_MS), -EHOSTDOWN);
	assert_int_equal(fault_stats(fault).missing, PAGES);
	assert_int_equal(atomic_load(&touched), -1);
	atomic_store(&broken, false);
	fault_retry(fault);
	for (int i = 0; i < 2 * PAGES; i++)
		sem_post(&gate);
	assert_int_equal(fault_wait(fault, WAIT_MS), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(atomic_load(&touched), remote[(PAGES - 1) * PAGE]);
	assert_memory_equal((void *)memory, remote, LEN);
	fault_close(fault);
	sem_destroy(&gate);
	gated = false;
}

static void open__no_pages__einval(void **state)
{
	uint64_t missing[PAGES / 64] = { 0 };
	struct fault_conf conf = { (void *)memory, alias, 5, missing, fetch, NULL };
	struct fault *fault;

	(void)state;
	assert_int_equal(fault_open(&conf, &fault), -EINVAL);
	conf.len = 0;
	assert_int_equal(fault_open(&conf, &fault), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wait__all_missing__all_arrive),
		cmocka_unit_test(touch__some_missing__the_others_stay_as_they_are),
		cmocka_unit_test(wait__fetch_fails__stops_without_zeros_and_goes_on_after_retry),
		cmocka_unit_test(open__no_pages__einval),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
