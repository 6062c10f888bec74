/* SPDX-License-Identifier: BSD-3-Clause */
/* base_test.c -- tests of base/: alloc, mac, error, lock, counter, assert */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/counter.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/mac.h"
#include "base_common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define THREAD_COUNT 4
#define ROUND_COUNT 1000

static struct child child; /* too big for a stack */

static void threads_run(void *(*run)(void *), void *arg)
{
	pthread_t thread[THREAD_COUNT];

	for (int i = 0; i < THREAD_COUNT; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run, arg), 0);
	for (int i = 0; i < THREAD_COUNT; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
}

/* --- alloc --- */

static void alloc__armed_with_n__the_nth_fails_once(void **state)
{
	(void)state;
	for (unsigned long n = 1; n <= 5; n++) {
		alloc_fault_arm(n);
		for (unsigned long i = 1; i <= 10; i++) {
			void *p = alloc_zero(16);

			assert_int_equal(p == NULL, i == n);
			assert_int_equal(alloc_fault_fired(), i >= n);
			free(p);
		}
	}
}

static void alloc__disarmed_before__nothing_fails(void **state)
{
	(void)state;
	alloc_fault_arm(3);
	alloc_fault_arm(0);
	for (int i = 0; i < 10; i++)
		assert_false(alloc_fault_point());
	assert_false(alloc_fault_fired());
}

/* Each of them fails when it is the next. */
static void *allocate(int which, void *old)
{
	switch (which) {
	case 0:
		return alloc_zero(8);
	case 1:
		return alloc_array(2, 8);
	case 2:
		return alloc_aligned(64, 8);
	case 3:
		return alloc_resize(old, 2, 8);
	default:
		return alloc_text("text");
	}
}

static void alloc__every_function__has_the_fault_point(void **state)
{
	void *old = alloc_zero(4);

	(void)state;
	assert_non_null(old);
	for (int which = 0; which < 5; which++) {
		void *p;

		alloc_fault_arm(1);
		assert_null(allocate(which, old));
		assert_true(alloc_fault_fired());
		p = allocate(which, old);
		assert_non_null(p);
		if (which == 3)
			old = p;
		else
			free(p);
	}
	free(old);
}

static void alloc_sparse__opened_part__keeps_what_is_stored_rest_is_zero(void **state)
{
	size_t size = (size_t)64 << 20, part = (size_t)1 << 20;
	char *p = alloc_sparse(size);

	(void)state;
	assert_non_null(p);
	assert_int_equal(p[0] | p[part] | p[size - 1], 0);
	assert_true(alloc_sparse_open(p + part, part));
	memset(p + part, 1, part);
	assert_int_equal(p[part - 1] | p[2 * part], 0);
	assert_int_equal(p[2 * part - 1], 1);
	alloc_fault_arm(1);
	assert_false(alloc_sparse_open(p, part));
	alloc_fault_arm(1);
	assert_null(alloc_sparse(size));
	alloc_sparse_free(p, size);
	alloc_sparse_free(NULL, size);
}

static void *allocate_many(void *arg)
{
	for (int i = 0; i < ROUND_COUNT; i++) {
		void *p = alloc_zero(1);

		if (!p)
			__atomic_fetch_add((int *)arg, 1, __ATOMIC_RELAXED);
		free(p);
	}
	return NULL;
}

static void alloc__four_threads__exactly_one_fails(void **state)
{
	int failed = 0;

	(void)state;
	alloc_fault_arm(THREAD_COUNT * ROUND_COUNT / 2);
	threads_run(allocate_many, &failed);
	assert_int_equal(failed, 1);
	assert_true(alloc_fault_fired());
}

static bool zeroed(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static void alloc__zeroed_and_aligned__as_promised(void **state)
{
	static const size_t size[] = { 1, 63, 64, 65, 4096, 100000 };

	(void)state;
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		for (size_t align = 8; align <= 4096; align *= 8) {
			unsigned char *p = alloc_aligned(align, size[i]);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % align, 0);
			assert_true(zeroed(p, size[i]));
			memset(p, 0xff, size[i]); /* the next one of this size may be it again */
			free(p);
		}
	}
}

static void alloc__size_that_overflows__no_memory(void **state)
{
	volatile size_t huge = SIZE_MAX; /* the compiler warns of what it can see */
	void *old = alloc_zero(8);

	(void)state;
	assert_null(alloc_array(huge / 2, 4));
	assert_null(alloc_aligned(64, huge));
	assert_null(alloc_resize(old, huge / 2, 4));
	free(old);
}

/* --- mac --- */

static void proof_and_tag__published_vectors__equal(void **state)
{
	/* RFC 4231, case 2: HMAC-SHA-512 cut to 32 bytes; a key is padded with zeros anyway. */
	static const uint8_t key[MAC_KEY_SIZE] = "Jefe";
	static const char text[] = "what do ya want for nothing?";
	static const uint8_t proof[MAC_PROOF_SIZE] = { 0x16, 0x4b, 0x7a, 0x7b, 0xfc, 0xf8, 0x19,
						       0xe2, 0xe3, 0x95, 0xfb, 0xe7, 0x3b, 0x56,
						       0xe0, 0xa3, 0x87, 0xbd, 0x64, 0x22, 0x2e,
						       0x83, 0x1f, 0xd6, 0x10, 0x27, 0x0c, 0xd7,
						       0xea, 0x25, 0x05, 0x54 };
	/* BLAKE2b with key 0, 1, ... 31 and 16 bytes of result, of "farbus" (Python's hashlib). */
	static const uint8_t tag[MAC_TAG_SIZE] = { 0xb4, 0x31, 0xf3, 0xc7, 0x9e, 0xf7, 0x71, 0xe7,
						   0x98, 0x77, 0xec, 0xa1, 0x23, 0x99, 0x98, 0x43 };
	uint8_t counting[MAC_KEY_SIZE], got[MAC_PROOF_SIZE];

	(void)state;
	mac_proof(key, text, sizeof(text) - 1, got);
	assert_memory_equal(got, proof, sizeof(proof));
	for (uint8_t i = 0; i < sizeof(counting); i++)
		counting[i] = i;
	mac_tag(counting, "farbus", 6, got);
	assert_memory_equal(got, tag, sizeof(tag));
}

static void tag__one_bit_of_key_or_data_differs__another_tag(void **state)
{
	uint8_t key[MAC_KEY_SIZE], data[40], tag[MAC_TAG_SIZE], other[MAC_TAG_SIZE];

	(void)state;
	mac_random(key, sizeof(key));
	mac_random(data, sizeof(data));
	mac_tag(key, data, sizeof(data), tag);
	for (size_t bit = 0; bit < sizeof(data) * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		mac_tag(key, data, sizeof(data), other);
		assert_false(mac_equal(tag, other, sizeof(tag)));
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t bit = 0; bit < sizeof(key) * 8; bit++) {
		key[bit / 8] ^= (uint8_t)(1u << bit % 8);
		mac_tag(key, data, sizeof(data), other);
		assert_false(mac_equal(tag, other, sizeof(tag)));
		key[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	mac_tag(key, data, sizeof(data), other);
	assert_true(mac_equal(tag, other, sizeof(tag)));
}

static void unseal__sealed_with_another_key_or_count__eacces(void **state)
{
	uint8_t key[MAC_KEY_SIZE], data[3] = { 1, 2, 3 }, sealed[3 + MAC_SEAL_SIZE], back[3];

	(void)state;
	mac_random(key, sizeof(key));
	mac_seal(key, 1ull << 40, data, sizeof(data), sealed);
	assert_int_equal(mac_unseal(key, 1ull << 40, sealed, sizeof(sealed), back), 0);
	assert_memory_equal(back, data, sizeof(data));
	for (int bit = 0; bit < 64; bit++)
		assert_int_equal(
			mac_unseal(key, (1ull << 40) ^ (1ull << bit), sealed, sizeof(sealed), back),
			-EACCES);
	for (size_t bit = 0; bit < sizeof(key) * 8; bit++) {
		key[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(mac_unseal(key, 1ull << 40, sealed, sizeof(sealed), back),
				 -EACCES);
		key[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void unseal__changed_or_cut__eacces(void **state)
{
	uint8_t key[MAC_KEY_SIZE], data[40], sealed[40 + MAC_SEAL_SIZE], back[40];

	(void)state;
	mac_random(key, sizeof(key));
	mac_random(data, sizeof(data));
	for (size_t len = 0; len <= sizeof(data); len += 20) {
		size_t sealed_len = len + MAC_SEAL_SIZE;

		mac_seal(key, len, data, len, sealed);
		assert_true(len == 0 || memcmp(sealed, data, len) != 0);
		for (size_t bit = 0; bit < sealed_len * 8; bit++) {
			sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(mac_unseal(key, len, sealed, sealed_len, back), -EACCES);
			sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (size_t cut = 0; cut < sealed_len; cut++)
			assert_int_equal(mac_unseal(key, len, sealed, cut, back), -EACCES);
		assert_int_equal(mac_unseal(key, len, sealed, sealed_len, back), 0);
		assert_memory_equal(back, data, len);
	}
}

static void key_derive_random_and_wipe__used__as_promised(void **state)
{
	uint8_t a[MAC_KEY_SIZE], b[MAC_KEY_SIZE];

	(void)state;
	mac_key_derive("job", 3, a);
	mac_key_derive("job", 3, b);
	assert_memory_equal(a, b, sizeof(a));
	mac_key_derive("joc", 3, b);
	assert_memory_not_equal(a, b, sizeof(a));
	mac_random(a, sizeof(a));
	mac_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	mac_wipe(a, sizeof(a));
	assert_true(zeroed(a, sizeof(a)));
}

static void text_encode__published_vectors__equal_and_back(void **state)
{
	static const struct {
		const char *data, *text;
		size_t len;
	} vector[] = {
		{ "", "", 0 },
		{ "f", "Zg", 1 },
		{ "fo", "Zm8", 2 },
		{ "foo", "Zm9v", 3 },
		{ "foob", "Zm9vYg", 4 },
		{ "fooba", "Zm9vYmE", 5 },
		{ "foobar", "Zm9vYmFy", 6 },
		{ "\xff\xff\xfe\xfb", "___--w", 4 },
	};
	char text[16], back[16];

	(void)state;
	for (size_t i = 0; i < sizeof(vector) / sizeof(vector[0]); i++) {
		size_t text_len = strlen(vector[i].text);

		assert_int_equal(mac_text_encode(vector[i].data, vector[i].len, text, text_len + 1),
				 0);
		assert_string_equal(text, vector[i].text);
		assert_int_equal(mac_text_decode(text, text_len, back, vector[i].len), 0);
		assert_memory_equal(back, vector[i].data, vector[i].len);
	}
}

static void text_encode__every_length__round_trip_and_enospc_one_short(void **state)
{
	uint8_t data[128], back[128];
	char text[200];

	(void)state;
	for (size_t len = 0; len <= sizeof(data); len++) {
		size_t n = (len * 8 + 5) / 6;

		mac_random(data, len);
		memset(text, 'x', sizeof(text));
		assert_int_equal(mac_text_encode(data, len, text, n), -ENOSPC);
		assert_int_equal(text[0], 'x');
		assert_int_equal(mac_text_encode(data, len, text, n + 1), 0);
		assert_int_equal(strlen(text), n);
		assert_int_equal(text[n + 1], 'x');
		assert_int_equal(mac_text_decode(text, n, back, len), 0);
		assert_memory_equal(back, data, len);
	}
}

static void decode_refused(const char *text, size_t text_len, size_t len)
{
	uint8_t got[16], before[16];

	memset(got, 0x5a, sizeof(got));
	memset(before, 0x5a, sizeof(before));
	assert_int_equal(mac_text_decode(text, text_len, got, len), -EINVAL);
	assert_memory_equal(got, before, sizeof(got));
}

static void text_decode__anything_else__einval_and_untouched_result(void **state)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	(void)state;
	decode_refused("Zm9vYmFy", 8, 5);
	decode_refused("Zm9vYmFy", 8, 7);
	decode_refused("Zm9vYmF", 7, 6);
	decode_refused("Zm9vY", 5, 3); /* no number of bytes has five digits */
	decode_refused("Zg==", 4, 1);
	decode_refused("Zg==", 4, 3);
	decode_refused("Zh", 2, 1); /* stray bits */
	decode_refused("Zm9", 3, 2);
	decode_refused("", 0, 1);
	for (int at = 0; at < 8; at++) {
		for (int c = 0; c < 256; c++) {
			char text[] = "Zm9vYmFy";

			text[at] = (char)c;
			if (!c || !strchr(digits, c))
				decode_refused(text, 8, 6);
		}
	}
}

/* --- error --- */

static void error_set__any__returns_the_number_and_keeps_the_text(void **state)
{
	(void)state;
	assert_int_equal(error_set(-EINVAL, "%s %d", "value", 7), -EINVAL);
	assert_string_equal(error_text(), "value 7");
	assert_int_equal(error_set(-ENOENT, "open: %s (%s)", error_text(), error_text()), -ENOENT);
	assert_string_equal(error_text(), "open: value 7 (value 7)");
	error_clear();
	assert_string_equal(error_text(), "");
}

static void error_set__too_long__cut(void **state)
{
	char text[2 * ERROR_TEXT_MAX];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(-EINVAL, "%s", text);
	assert_int_equal(strlen(error_text()), ERROR_TEXT_MAX - 1);
}

static void *error_in_thread(void *arg)
{
	/* No cmocka here: it is for one thread. */
	if (error_text()[0] == '\0' && error_set(-EIO, "in the thread") == -EIO)
		__atomic_fetch_add((int *)arg, strcmp(error_text(), "in the thread") == 0,
				   __ATOMIC_RELAXED);
	return NULL;
}

static void error_set__another_thread__has_its_own_text(void **state)
{
	int right = 0;

	(void)state;
	error_set(-EINVAL, "here");
	threads_run(error_in_thread, &right);
	assert_int_equal(right, THREAD_COUNT);
	assert_string_equal(error_text(), "here");
}

/* --- lock --- */

struct shared {
	struct lock lock;
	int count; /* plain: the lock orders it */
};

static void *count_up(void *arg)
{
	struct shared *shared = arg;

	for (int i = 0; i < ROUND_COUNT; i++) {
		lock_acquire(&shared->lock);
		shared->count++;
		lock_release(&shared->lock);
	}
	return NULL;
}

static void lock__four_threads__one_at_a_time(void **state)
{
	struct shared shared = { .count = 0 };

	(void)state;
	lock_init(&shared.lock);
	threads_run(count_up, &shared);
	assert_int_equal(shared.count, THREAD_COUNT * ROUND_COUNT);
	lock_fini(&shared.lock);
}

static void *try_from_here(void *arg) NO_LOCK_ANALYSIS
{
	struct lock *lock = arg;
	int taken = lock_try(lock);

	if (taken)
		lock_release(lock);
	return taken ? arg : NULL;
}

static void lock_try__held_and_free__not_taken_and_taken(void **state)
{
	struct lock lock;
	pthread_t thread;
	void *taken;

	(void)state;
	lock_init(&lock);
	lock_acquire(&lock);
	assert_int_equal(pthread_create(&thread, NULL, try_from_here, &lock), 0);
	assert_int_equal(pthread_join(thread, &taken), 0);
	assert_null(taken);
	lock_release(&lock);
	assert_int_equal(pthread_create(&thread, NULL, try_from_here, &lock), 0);
	assert_int_equal(pthread_join(thread, &taken), 0);
	assert_non_null(taken);
	lock_fini(&lock);
}

static void relock(void *arg) NO_LOCK_ANALYSIS
{
	struct lock lock;

	(void)arg;
	lock_init(&lock);
	lock_acquire(&lock);
	lock_acquire(&lock);
}

static void *acquire_here(void *arg) NO_LOCK_ANALYSIS
{
	lock_acquire(arg);
	return NULL;
}

static void release_foreign(void *arg) NO_LOCK_ANALYSIS
{
	struct lock lock;
	pthread_t thread;

	(void)arg;
	lock_init(&lock);
	CHECK(pthread_create(&thread, NULL, acquire_here, &lock) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	lock_release(&lock);
}

static void assert_false_fact(void *arg)
{
	int one = 1;

	(void)arg;
	FARBUS_ASSERT(one == 1);
	FARBUS_ASSERT(one == 2);
}

/* The process ends with SIGABRT; under ThreadSanitizer its own report may come first. */
static void aborts(void (*run)(void *), const char *text)
{
	child_run(run, NULL, &child);
	if (WIFEXITED(child.status) && WEXITSTATUS(child.status) == 99 &&
	    strstr(child.text, "ThreadSanitizer"))
		return;
	assert_true(WIFSIGNALED(child.status));
	assert_int_equal(WTERMSIG(child.status), SIGABRT);
	assert_non_null(strstr(child.text, text));
}

static void lock__misused__process_ends_with_the_line(void **state)
{
	(void)state;
	aborts(relock, "farbus[0] error: ");
	aborts(release_foreign, "pthread_mutex_unlock");
}

static void assert__false__process_ends_with_the_line(void **state)
{
	(void)state;
	aborts(assert_false_fact, "this must hold and does not: one == 2");
}

/* --- counter --- */

static void counter__names__all_there_and_different(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < COUNTER_MAX; i++) {
		assert_true(strlen(counter_name(i)) > 0);
		assert_true(strlen(counter_meaning(i)) > 0);
		for (unsigned int j = 0; j < i; j++)
			assert_string_not_equal(counter_name(i), counter_name(j));
	}
	assert_null(counter_name(COUNTER_MAX));
	assert_null(counter_meaning(COUNTER_MAX));
	assert_string_equal(counter_name(COUNTER_barrier), "barrier");
}

static void *count_and_switch(void *arg)
{
	for (int i = 0; i < ROUND_COUNT; i++)
		counter_add(COUNTER_barrier, 2);
	counter_slots_set(arg);
	for (int i = 0; i < ROUND_COUNT; i++)
		counter_add(COUNTER_barrier, 2);
	return NULL;
}

static void counter_add__while_the_slots_appear__none_lost_after(void **state)
{
	uint64_t slots[COUNTER_MAX] = { 0 };

	(void)state;
	threads_run(count_and_switch, slots);
	counter_slots_set(NULL);
	counter_add(COUNTER_barrier, 1000000); /* to nowhere */
	assert_in_range(slots[COUNTER_barrier], THREAD_COUNT * ROUND_COUNT * 2,
			THREAD_COUNT * ROUND_COUNT * 4);
	for (unsigned int i = 0; i < COUNTER_MAX; i++)
		if (i != COUNTER_barrier)
			assert_int_equal(slots[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alloc__armed_with_n__the_nth_fails_once),
		cmocka_unit_test(alloc__disarmed_before__nothing_fails),
		cmocka_unit_test(alloc__every_function__has_the_fault_point),
		cmocka_unit_test(alloc_sparse__opened_part__keeps_what_is_stored_rest_is_zero),
		cmocka_unit_test(alloc__four_threads__exactly_one_fails),
		cmocka_unit_test(alloc__zeroed_and_aligned__as_promised),
		cmocka_unit_test(alloc__size_that_overflows__no_memory),
		cmocka_unit_test(proof_and_tag__published_vectors__equal),
		cmocka_unit_test(tag__one_bit_of_key_or_data_differs__another_tag),
		cmocka_unit_test(unseal__sealed_with_another_key_or_count__eacces),
		cmocka_unit_test(unseal__changed_or_cut__eacces),
		cmocka_unit_test(key_derive_random_and_wipe__used__as_promised),
		cmocka_unit_test(text_encode__published_vectors__equal_and_back),
		cmocka_unit_test(text_encode__every_length__round_trip_and_enospc_one_short),
		cmocka_unit_test(text_decode__anything_else__einval_and_untouched_result),
		cmocka_unit_test(error_set__any__returns_the_number_and_keeps_the_text),
		cmocka_unit_test(error_set__too_long__cut),
		cmocka_unit_test(error_set__another_thread__has_its_own_text),
		cmocka_unit_test(lock__four_threads__one_at_a_time),
		cmocka_unit_test(lock_try__held_and_free__not_taken_and_taken),
		cmocka_unit_test(lock__misused__process_ends_with_the_line),
		cmocka_unit_test(assert__false__process_ends_with_the_line),
		cmocka_unit_test(counter__names__all_there_and_different),
		cmocka_unit_test(counter_add__while_the_slots_appear__none_lost_after),
	};

	if (mac_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
