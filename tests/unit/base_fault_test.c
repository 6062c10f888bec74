/* SPDX-License-Identifier: BSD-3-Clause */
/* base_fault_test.c -- tests of base/process.h: the SIGBUS chain, and which window is whose */
#include "base/alloc.h"
#include "base/error.h"
#include "base/process.h"
#include "base_common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

static struct child child; /* too big for a stack */

/* --- SIGBUS --- */

struct hole {
	volatile char *va; /* count pages without memory behind them: a truncated file */
	size_t count;
	int fd;
	_Atomic int asked;
	void *_Atomic last;
};

static void hole_open(struct hole *hole, size_t count)
{
	void *va;

	hole->count = count;
	hole->asked = 0;
	hole->last = NULL;
	hole->fd = memfd_create("hole", MFD_CLOEXEC);
	CHECK(hole->fd >= 0);
	va = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, hole->fd, 0);
	CHECK(va != MAP_FAILED);
	hole->va = va;
}

/* As a window does: anonymous memory in place, and the access goes on. */
static bool hole_fill(void *arg, void *va)
{
	struct hole *hole = arg;
	void *start = (void *)((uintptr_t)va & ~(PAGE - 1));

	hole->asked++;
	hole->last = va;
	errno = EXDEV; /* what a handler does to errno must not be seen */
	return mmap(start, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0) == start;
}

static bool hole_leave(void *arg, void *va)
{
	struct hole *hole = arg;

	hole->asked++;
	hole->last = va;
	return false;
}

/* Sanitizers have handlers of their own. */
static void preset_restore(void)
{
	signal(SIGBUS, SIG_DFL);
}

static void fault_filled(void *arg)
{
	struct hole hole;

	(void)arg;
	preset_restore();
	hole_open(&hole, 3);
	CHECK(process_fault_register((void *)hole.va, 3 * PAGE, hole_fill, &hole) == 0);
	errno = ENOENT;
	hole.va[PAGE + 7] = 5;
	CHECK(errno == ENOENT);
	CHECK(hole.asked == 1);
	CHECK(hole.last == hole.va + PAGE + 7);
	CHECK(hole.va[PAGE + 7] == 5);
	CHECK(hole.va[0] == 0);
	CHECK(hole.va[3 * PAGE - 1] == 0);
	CHECK(hole.asked == 3);
}

static void fault__registered_and_filled__access_goes_on(void **state)
{
	(void)state;
	child_passes(fault_filled, NULL);
}

/* The bytes right before and after a range are not its own. */
static void fault_beside(void *arg)
{
	struct hole hole;

	preset_restore();
	hole_open(&hole, 3);
	CHECK(process_fault_register((void *)(hole.va + PAGE), PAGE, hole_fill, &hole) == 0);
	hole.va[2 * PAGE - 1] = 1;
	hole.va[PAGE] = 1;
	CHECK(hole.asked == 1);
	hole.va[*(size_t *)arg] = 1;
}

static void dies_of_sigbus(void (*run)(void *), void *arg)
{
	child_run(run, arg, &child);
	assert_true(WIFSIGNALED(child.status));
	assert_int_equal(WTERMSIG(child.status), SIGBUS);
}

static void fault__beside_a_range__default_and_no_word_of_ours(void **state)
{
	size_t below = PAGE - 1, above = 2 * PAGE;

	(void)state;
	dies_of_sigbus(fault_beside, &below);
	assert_string_equal(child.text, "");
	dies_of_sigbus(fault_beside, &above);
	assert_string_equal(child.text, "");
}

static void fault_left(void *arg)
{
	struct hole hole;

	(void)arg;
	preset_restore();
	hole_open(&hole, 1);
	CHECK(process_fault_register((void *)hole.va, PAGE, hole_leave, &hole) == 0);
	dprintf(2, "%016lx\n", (unsigned long)hole.va + 16);
	hole.va[16] = 1;
}

static void fault__nobody_helps__ends_with_the_address(void **state)
{
	char text[64];

	(void)state;
	dies_of_sigbus(fault_left, NULL);
	snprintf(text, sizeof(text), "SIGBUS at 0x%.16s: ", child.text);
	assert_int_equal(text_times(child.text, text), 1);
}

static void fault_unregistered(void *arg)
{
	struct hole hole;

	(void)arg;
	preset_restore();
	hole_open(&hole, 2);
	CHECK(process_fault_register((void *)hole.va, 2 * PAGE, hole_fill, &hole) == 0);
	hole.va[0] = 1;
	process_fault_unregister((void *)(hole.va + PAGE)); /* no range begins there */
	process_fault_unregister((void *)hole.va);
	process_fault_unregister((void *)hole.va);
	hole.va[PAGE] = 1;
}

static void fault__unregistered__default(void **state)
{
	(void)state;
	dies_of_sigbus(fault_unregistered, NULL);
	assert_string_equal(child.text, "");
}

static void fault_overlapping(void *arg)
{
	struct hole first, hole;

	(void)arg;
	preset_restore();
	hole_open(&hole, 1);
	first = hole;
	CHECK(process_fault_register((void *)hole.va, PAGE, hole_leave, &first) == 0);
	CHECK(process_fault_register((void *)hole.va, PAGE, hole_fill, &hole) == 0);
	hole.va[0] = 1;
	CHECK(hole.asked == 1);
}

static void fault__first_of_two_does_not_help__second_is_asked(void **state)
{
	(void)state;
	child_passes(fault_overlapping, NULL);
}

static struct hole *volatile earlier_hole;
static volatile sig_atomic_t earlier_calls, earlier_code;

static void earlier_info(int signal, siginfo_t *info, void *context)
{
	(void)context;
	earlier_calls++;
	earlier_code = info->si_code;
	if (signal == SIGBUS && info->si_code > 0)
		hole_fill(earlier_hole, info->si_addr);
}

static void earlier_plain(int signal)
{
	earlier_calls++;
	if (signal == SIGBUS)
		hole_fill(earlier_hole, (void *)(earlier_hole->va + 2 * PAGE));
}

/* An application's handler from before gets what is not ours, and what we cannot help. */
static void fault_earlier_info(void *arg)
{
	struct sigaction action = { .sa_sigaction = earlier_info, .sa_flags = SA_SIGINFO };
	struct hole hole, left;

	(void)arg;
	CHECK(sigaction(SIGBUS, &action, NULL) == 0);
	hole_open(&hole, 3);
	left = hole;
	earlier_hole = &hole;
	CHECK(process_fault_register((void *)hole.va, PAGE, hole_fill, &hole) == 0);
	CHECK(process_fault_register((void *)(hole.va + PAGE), PAGE, hole_leave, &left) == 0);
	hole.va[0] = 1;
	CHECK(earlier_calls == 0 && hole.asked == 1);
	hole.va[PAGE] = 1;
	CHECK(earlier_calls == 1 && left.asked == 1 && hole.asked == 2);
	hole.va[2 * PAGE] = 1;
	CHECK(earlier_calls == 2 && left.asked == 1 && hole.asked == 3);
	CHECK(hole.last == hole.va + 2 * PAGE);
	CHECK(raise(SIGBUS) == 0);
	CHECK(earlier_calls == 3 && earlier_code <= 0);
}

static void fault_earlier_plain(void *arg)
{
	struct hole hole;

	(void)arg;
	signal(SIGBUS, earlier_plain);
	hole_open(&hole, 3);
	earlier_hole = &hole;
	CHECK(process_fault_register((void *)hole.va, PAGE, hole_fill, &hole) == 0);
	hole.va[0] = 1;
	CHECK(earlier_calls == 0);
	hole.va[2 * PAGE] = 1;
	CHECK(earlier_calls == 1);
}

static void fault__an_earlier_handler__gets_what_is_not_ours(void **state)
{
	(void)state;
	child_passes(fault_earlier_info, NULL);
	child_passes(fault_earlier_plain, NULL);
}

/* kill(2): there is no access, and so no range is asked, even if an address looks like one. */
static void sent(void *arg)
{
	struct hole hole;

	signal(SIGBUS, arg ? SIG_IGN : SIG_DFL);
	hole_open(&hole, 1);
	CHECK(process_fault_register((void *)(uintptr_t)1, SIZE_MAX - 1, hole_fill, &hole) == 0);
	CHECK(kill(getpid(), SIGBUS) == 0);
	CHECK(hole.asked == 0);
}

static void fault__sent_by_kill__as_without_us(void **state)
{
	(void)state;
	dies_of_sigbus(sent, NULL);
	assert_string_equal(child.text, "");
	child_passes(sent, &child); /* was ignored: still is */
}

/* An access cannot be ignored: the kernel ends a process that tries. */
static void fault_ignored(void *arg)
{
	struct hole hole;

	(void)arg;
	signal(SIGBUS, SIG_IGN);
	hole_open(&hole, 2);
	CHECK(process_fault_register((void *)hole.va, PAGE, hole_fill, &hole) == 0);
	hole.va[PAGE] = 1;
}

static void fault__ignored_before__an_access_still_ends_it(void **state)
{
	(void)state;
	dies_of_sigbus(fault_ignored, NULL);
}

#define RANGE_COUNT 3000 /* more than two chunks of the table */

static void fault_many(void *arg)
{
	struct hole hole;

	(void)arg;
	preset_restore();
	hole_open(&hole, RANGE_COUNT);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < RANGE_COUNT; i++)
			CHECK(process_fault_register((void *)(hole.va + i * PAGE), PAGE, hole_fill,
						     &hole) == 0);
		hole.va[(size_t)round * PAGE] = 1;
		hole.va[(RANGE_COUNT - 1 - (size_t)round) * PAGE] = 1;
		CHECK(hole.asked == 2 * (round + 1));
		for (size_t i = 0; i < RANGE_COUNT; i++)
			process_fault_unregister((void *)(hole.va + i * PAGE));
	}
}

static void fault__thousands_of_ranges__each_is_found(void **state)
{
	(void)state;
	child_passes(fault_many, NULL);
}

static void fault_no_memory(void *arg)
{
	struct hole hole;

	(void)arg;
	preset_restore();
	hole_open(&hole, 1);
	alloc_fault_arm(1);
	CHECK(process_fault_register((void *)hole.va, PAGE, hole_fill, &hole) == -ENOMEM);
	CHECK(alloc_fault_fired());
	CHECK(process_fault_register((void *)hole.va, PAGE, hole_fill, &hole) == 0);
	hole.va[0] = 1;
	CHECK(hole.asked == 1);
}

static void fault_register__no_memory__enomem_and_works_later(void **state)
{
	(void)state;
	child_passes(fault_no_memory, NULL);
}

struct changing {
	_Atomic bool stop;
	_Atomic int rounds;
	struct hole other;
};

static void *ranges_change(void *arg)
{
	struct changing *changing = arg;

	while (!atomic_load(&changing->stop)) {
		void *va = (void *)(changing->other.va + changing->rounds % 8 * (long)PAGE);

		CHECK(process_fault_register(va, PAGE, hole_leave, &changing->other) == 0);
		process_fault_unregister(va);
		atomic_fetch_add(&changing->rounds, 1);
	}
	return NULL;
}

static void fault_while_changing(void *arg)
{
	static struct changing changing;
	pthread_t thread;
	struct hole hole;

	(void)arg;
	preset_restore();
	hole_open(&hole, 1);
	hole_open(&changing.other, 8);
	CHECK(process_fault_register((void *)hole.va, PAGE, hole_fill, &hole) == 0);
	CHECK(pthread_create(&thread, NULL, ranges_change, &changing) == 0);
	for (int i = 1; i <= 1000; i++) {
		hole.va[0] = 1;
		CHECK(hole.asked == i);
		CHECK(mmap((void *)hole.va, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			   hole.fd, 0) == (void *)hole.va);
	}
	changing.stop = true;
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(changing.rounds > 0);
	CHECK(changing.other.asked == 0);
}

static void fault__while_other_ranges_come_and_go__only_its_own_is_asked(void **state)
{
	(void)state;
	child_passes(fault_while_changing, NULL);
}

/* --- claims --- */

static int owner_a, owner_b;

static void *at(unsigned long page)
{
	return (void *)((uintptr_t)1 << 40 | page * PAGE);
}

static int claim(const void *owner, unsigned long page, unsigned long count)
{
	return process_va_claim(owner, at(page), count * PAGE);
}

static void unclaim(const void *owner, unsigned long page, unsigned long count)
{
	process_va_unclaim(owner, at(page), count * PAGE);
}

static void claim__every_way_to_touch_or_overlap__eexist_for_overlaps(void **state)
{
	static const struct {
		unsigned long page, count;
		int err;
	} row[] = {
		{ 8, 2, 0 },	    /* touches below */
		{ 20, 5, 0 },	    /* touches above */
		{ 8, 3, -EEXIST },  /* reaches in from below */
		{ 19, 3, -EEXIST }, /* reaches out above */
		{ 10, 10, -EEXIST }, { 9, 12, -EEXIST }, { 12, 2, -EEXIST },
		{ 10, 1, -EEXIST },  { 19, 1, -EEXIST },
	};

	(void)state;
	assert_int_equal(claim(&owner_a, 10, 10), 0);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(claim(&owner_b, row[i].page, row[i].count), row[i].err);
		if (row[i].err < 0)
			assert_non_null(strstr(error_text(), "another instance"));
		else
			unclaim(&owner_b, row[i].page, row[i].count);
	}
	assert_int_equal(claim(&owner_a, 12, 2), -EEXIST);
	assert_non_null(strstr(error_text(), "this instance"));
	unclaim(&owner_a, 10, 10);
}

static void claim__empty_or_past_the_end__einval(void **state)
{
	(void)state;
	assert_int_equal(process_va_claim(&owner_a, at(1), 0), -EINVAL);
	assert_int_equal(process_va_claim(&owner_a, at(1), SIZE_MAX), -EINVAL);
	assert_int_equal(claim(&owner_b, 1, 1), 0);
	unclaim(&owner_b, 1, 1);
}

static void unclaim__a_piece_or_others__only_that(void **state)
{
	(void)state;
	assert_int_equal(claim(&owner_a, 10, 10), 0);
	unclaim(&owner_b, 0, 100); /* has none */
	unclaim(&owner_a, 13, 2);
	assert_int_equal(claim(&owner_b, 12, 2), -EEXIST);
	assert_int_equal(claim(&owner_b, 14, 2), -EEXIST);
	assert_int_equal(claim(&owner_b, 13, 2), 0);
	unclaim(&owner_a, 0, 100); /* both halves, not b's between them */
	assert_int_equal(claim(&owner_a, 10, 3), 0);
	assert_int_equal(claim(&owner_a, 15, 5), 0);
	assert_int_equal(claim(&owner_a, 14, 1), -EEXIST);
	unclaim(&owner_a, 0, 100);
	unclaim(&owner_b, 0, 100);
}

static void claim__no_memory__enomem_and_nothing_changed(void **state)
{
	(void)state;
	alloc_fault_arm(1);
	assert_int_equal(claim(&owner_a, 10, 10), -ENOMEM);
	assert_int_equal(claim(&owner_b, 10, 10), 0);
	unclaim(&owner_b, 10, 10);
}

/* The table is full when a cut makes two of one. */
static void unclaim__no_memory_for_the_second_half__stays_whole(void **state)
{
	(void)state;
	for (unsigned long i = 0; i < 64; i++)
		assert_int_equal(claim(&owner_a, i * 10, 5), 0);
	alloc_fault_arm(1);
	unclaim(&owner_a, 2, 1);
	assert_true(alloc_fault_fired());
	for (unsigned long page = 0; page < 5; page++)
		assert_int_equal(claim(&owner_b, page, 1), -EEXIST);
	alloc_fault_arm(0);
	unclaim(&owner_a, 2, 1);
	assert_int_equal(claim(&owner_b, 2, 1), 0);
	unclaim(&owner_a, 0, 1000);
	unclaim(&owner_b, 0, 1000);
}

#define ORACLE_PAGES 64
#define ORACLE_STEPS 20000

static uint64_t random_state = 88172645463325252;

static unsigned long random_below(unsigned long limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

static bool oracle_free(const void **page, unsigned long from, unsigned long count)
{
	for (unsigned long i = from; i < from + count; i++)
		if (page[i])
			return false;
	return true;
}

/* The naive form of process_va_claim() and process_va_unclaim(). */
static int oracle_claim(const void **page, const void *who, unsigned long from, unsigned long count)
{
	if (!oracle_free(page, from, count))
		return -EEXIST;
	for (unsigned long i = from; i < from + count; i++)
		page[i] = who;
	return 0;
}

static void oracle_unclaim(const void **page, const void *who, unsigned long from,
			   unsigned long count)
{
	for (unsigned long i = from; i < from + count; i++)
		page[i] = page[i] == who ? NULL : page[i];
}

static void claims__random_steps__as_one_owner_per_page(void **state)
{
	static const void *page[ORACLE_PAGES];
	static const void *const owner[] = { &owner_a, &owner_b };

	(void)state;
	for (int step = 0; step < ORACLE_STEPS; step++) {
		const void *who = owner[random_below(2)];
		unsigned long from = random_below(ORACLE_PAGES);
		unsigned long count = 1 + random_below(ORACLE_PAGES - from) / 6;

		if (random_below(2)) {
			assert_int_equal(claim(who, from, count),
					 oracle_claim(page, who, from, count));
		} else {
			unclaim(who, from, count);
			oracle_unclaim(page, who, from, count);
		}
	}
	unclaim(&owner_a, 0, ORACLE_PAGES);
	unclaim(&owner_b, 0, ORACLE_PAGES);
	assert_int_equal(claim(&owner_a, 0, ORACLE_PAGES), 0);
	unclaim(&owner_a, 0, ORACLE_PAGES);
}

/* --- resizing --- */

static void resized(void *arg)
{
	struct hole hole;

	(void)arg;
	preset_restore();
	hole_open(&hole, 4);
	CHECK(process_fault_register((void *)hole.va, 2 * PAGE, hole_fill, &hole) == 0);
	process_fault_resize((void *)hole.va, (void *)(hole.va + PAGE), 3 * PAGE);
	hole.va[PAGE] = hole.va[3 * PAGE] = 1;
	CHECK(hole.asked == 2);
	/* It has another start now; the old one names nothing. */
	process_fault_unregister((void *)hole.va);
	process_fault_resize((void *)hole.va, (void *)hole.va, PAGE);
	hole.va[2 * PAGE] = 1;
	CHECK(hole.asked == 3);
	hole.va[0] = 1;
}

static void fault_resize__both_ways__new_range_only(void **state)
{
	(void)state;
	dies_of_sigbus(resized, NULL);
	assert_string_equal(child.text, "");
}

#define RESIZES 2000

static void *touch_middle(void *arg)
{
	struct hole *hole = arg;

	while (hole->asked < RESIZES) {
		CHECK(mmap((void *)(hole->va + PAGE), PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED, hole->fd, PAGE) != MAP_FAILED);
		hole->va[PAGE] = 1;
	}
	return NULL;
}

/* Page 1 is in the range whichever end it loses. */
static void resized_meanwhile(void *arg)
{
	struct hole hole;
	void *all, *end;
	pthread_t thread;

	(void)arg;
	preset_restore();
	hole_open(&hole, 3);
	all = (void *)hole.va;
	end = (void *)(hole.va + PAGE);
	CHECK(process_fault_register(all, 2 * PAGE, hole_fill, &hole) == 0);
	CHECK(pthread_create(&thread, NULL, touch_middle, &hole) == 0);
	while (hole.asked < RESIZES) {
		process_fault_resize(all, end, 2 * PAGE);
		process_fault_resize(end, all, 2 * PAGE);
	}
	pthread_join(thread, NULL);
}

static void fault_resize__meanwhile_a_page_of_both__always_filled(void **state)
{
	(void)state;
	child_passes(resized_meanwhile, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fault__registered_and_filled__access_goes_on),
		cmocka_unit_test(fault__beside_a_range__default_and_no_word_of_ours),
		cmocka_unit_test(fault__nobody_helps__ends_with_the_address),
		cmocka_unit_test(fault__unregistered__default),
		cmocka_unit_test(fault__first_of_two_does_not_help__second_is_asked),
		cmocka_unit_test(fault__an_earlier_handler__gets_what_is_not_ours),
		cmocka_unit_test(fault__sent_by_kill__as_without_us),
		cmocka_unit_test(fault__ignored_before__an_access_still_ends_it),
		cmocka_unit_test(fault__thousands_of_ranges__each_is_found),
		cmocka_unit_test(fault_resize__both_ways__new_range_only),
		cmocka_unit_test(fault_resize__meanwhile_a_page_of_both__always_filled),
		cmocka_unit_test(fault_register__no_memory__enomem_and_works_later),
		cmocka_unit_test(fault__while_other_ranges_come_and_go__only_its_own_is_asked),
		cmocka_unit_test(claim__every_way_to_touch_or_overlap__eexist_for_overlaps),
		cmocka_unit_test(claim__empty_or_past_the_end__einval),
		cmocka_unit_test(unclaim__a_piece_or_others__only_that),
		cmocka_unit_test(claim__no_memory__enomem_and_nothing_changed),
		cmocka_unit_test(unclaim__no_memory_for_the_second_half__stays_whole),
		cmocka_unit_test(claims__random_steps__as_one_owner_per_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
