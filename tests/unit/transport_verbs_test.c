/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transport_verbs_test.c -- one-sided access over RDMA devices
 *
 * Both ends are in this process, one on the first device and one on the second: what the home's
 * memory has is what its CPU sees. Runs where there are two devices: tests/verbs.
 */
#include "transport_end.h"

#include "base/alloc.h"
#include "base/error.h"
#include "transport/verbs/verbs.h"
#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY_LEN ((size_t)4 << 20)
#define MARGIN 4096
#define COOKIES 4096

const struct transport_ops *const ops = &transport_verbs;

/* b is the home, a the importer. */
struct pair_of {
	struct end *a, *b;
	struct transport_link *to_b, *to_a;
	uint8_t *memory; /* b's */
	uint8_t *local;	 /* a's */
};

static int status_of[COOKIES]; /* 1: not told yet */
static bool wire_is_cut;

const char *test_where(void)
{
	static unsigned count;

	return count++ % 2 ? "rxe1" : "rxe0";
}

static uint8_t *memory_map(void)
{
	int fd = memfd_create("verbs-test", MFD_CLOEXEC);
	void *va;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)MEMORY_LEN), 0);
	va = mmap(NULL, MEMORY_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(va != MAP_FAILED);
	close(fd);
	return va;
}

static int setup(void **state)
{
	static struct pair_of pair;

	pair.a = end_open("rxe0");
	pair.b = end_open("rxe1");
	end_join(pair.a, pair.b, &pair.to_b, &pair.to_a);
	pair.memory = memory_map();
	pair.local = malloc(MEMORY_LEN);
	assert_non_null(pair.local);
	for (int i = 0; i < COOKIES; i++)
		status_of[i] = 1;
	*state = &pair;
	return 0;
}

/* Every packet from a, acknowledgements too. */
static void wire_cut(bool cut)
{
	assert_int_equal(system(cut ? "tc qdisc add dev v0 root netem loss 100%" :
				      "tc qdisc del dev v0 root"),
			 0);
	wire_is_cut = cut;
}

static int teardown(void **state)
{
	struct pair_of *pair = *state;

	if (wire_is_cut)
		wire_cut(false);
	if (pair->a)
		end_close(pair->a);
	if (pair->b)
		end_close(pair->b);
	munmap(pair->memory, MEMORY_LEN);
	free(pair->local);
	return 0;
}

static void fill(uint8_t *data, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(test_random(&seed) >> 32);
}

static struct transport_exposure *expose(struct pair_of *pair, size_t off, size_t len,
					 uint32_t access, struct transport_remote **ret_remote)
{
	struct transport_exposure *exposure = NULL;
	struct transport_key key = { 0 };

	assert_int_equal(ops->memory_expose(end_transport(pair->b), pair->memory + off, len, access,
					    &exposure, &key),
			 0);
	assert_int_equal(ops->remote_open(pair->to_b, &key, len, ret_remote), 0);
	return exposure;
}

/* Takes what both have; a's completions are noted. */
static void progress(struct pair_of *pair)
{
	struct transport_event event;

	if (!end_event(pair->a, &event))
		return;
	assert_int_equal(event.kind, TRANSPORT_COMPLETE);
	assert_true(event.cookie < COOKIES);
	assert_int_equal(status_of[event.cookie], 1); /* once */
	status_of[event.cookie] = event.status;
}

static int outcome(struct pair_of *pair, uint64_t cookie)
{
	uint64_t until = test_now() + WAIT_NS;
	int status;

	for (; status_of[cookie] == 1; progress(pair))
		assert_true(test_now() < until);
	status = status_of[cookie];
	status_of[cookie] = 1;
	return status;
}

static int put(struct pair_of *pair, struct transport_remote *remote, uint64_t off, const void *src,
	       size_t len, uint64_t cookie)
{
	uint64_t until = test_now() + WAIT_NS;
	int err;

	for (; (err = ops->put(remote, off, src, len, cookie)) == -EAGAIN; progress(pair))
		assert_true(test_now() < until);
	return err;
}

/* ---- open ---- */

static void open__no_such_device__einval_and_says_what_to_do(void **state)
{
	const char *where[] = { "nosuch0", "rxe0/10.77.0.2", "127.0.0.1", "10.1.2.3", "a/b/c" };
	struct transport *transport = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		assert_int_equal(ops->open(where[i], &transport), -EINVAL);
		assert_non_null(strstr(error_text(), where[i]));
		assert_null(transport);
	}
}

static void open__port_taken__eexist(void **state)
{
	struct transport *first = NULL, *second = NULL;

	(void)state;
	assert_int_equal(ops->open("10.77.0.1:7471", &first), 0);
	assert_int_equal(ops->open("10.77.0.1:7471", &second), -EEXIST);
	ops->close(first);
}

static void open__every_allocation_fails_once__error_and_nothing_left(void **state)
{
	struct transport *transport = NULL;
	unsigned before = fd_count();
	unsigned long n = 0;
	bool fired;
	int err;

	(void)state;
	do {
		alloc_fault_arm(++n);
		err = ops->open("rxe0", &transport);
		fired = alloc_fault_fired();
		alloc_fault_arm(0);
		if (fired)
			assert_true(err == -ENOMEM || err == -EMFILE || err == -ENOSYS);
		assert_int_equal(fd_count() == before, err < 0);
	} while (err < 0 && n < 100);
	assert_int_equal(err, 0);
	assert_true(n > 5);
	ops->close(transport);
	assert_int_equal(fd_count(), before);
}

/* ---- put and get ---- */

static const size_t lens[] = { 1,    7,	    8,	   64,	  219,	  220,	   221,	    4095,
			       8192, 65535, 65536, 65537, 262144, 1048576, 1048577, 3000001 };
#define LENS (sizeof(lens) / sizeof(lens[0]))

static void put__every_length__complete_is_visible_and_nothing_beside_it(void **state)
{
	struct pair_of *pair = *state;
	struct transport_remote *remote;
	struct transport_exposure *exposure =
		expose(pair, 0, MEMORY_LEN, TRANSPORT_PUT | TRANSPORT_GET, &remote);

	assert_int_equal(ops->remote_onesided(remote), TRANSPORT_PUT | TRANSPORT_GET);
	for (size_t i = 0; i < LENS; i++) {
		uint8_t *at = pair->memory + MARGIN + i;

		memset(pair->memory, 0xee, MARGIN * 2 + lens[i]);
		fill(pair->local, lens[i], i);
		assert_int_equal(put(pair, remote, MARGIN + i, pair->local, lens[i], i), 0);
		assert_int_equal(outcome(pair, i), 0);
		assert_memory_equal(at, pair->local, lens[i]);
		assert_int_equal(at[-1], 0xee);
		assert_int_equal(at[lens[i]], 0xee);
	}
	ops->remote_close(remote);
	ops->memory_hide(exposure);
}

static void get__every_length__bytes_as_they_are_and_nothing_beside_them(void **state)
{
	struct pair_of *pair = *state;
	struct transport_remote *remote;
	struct transport_exposure *exposure = expose(pair, 0, MEMORY_LEN, TRANSPORT_GET, &remote);

	assert_int_equal(ops->remote_onesided(remote), TRANSPORT_GET);
	fill(pair->memory, MEMORY_LEN, 5);
	for (size_t i = 0; i < LENS; i++) {
		memset(pair->local, 0xee, MARGIN * 2 + lens[i]);
		assert_int_equal(ops->get(remote, i * 3, pair->local + MARGIN, lens[i], i), 0);
		assert_int_equal(outcome(pair, i), 0);
		assert_memory_equal(pair->local + MARGIN, pair->memory + i * 3, lens[i]);
		assert_int_equal(pair->local[MARGIN - 1], 0xee);
		assert_int_equal(pair->local[MARGIN + lens[i]], 0xee);
	}
	ops->remote_close(remote);
	ops->memory_hide(exposure);
}

static void put__polled_while_another_is_parked__fd_not_readable(void **state)
{
	struct pair_of *pair = *state;
	struct transport_remote *remote;
	struct transport_exposure *exposure =
		expose(pair, 0, MEMORY_LEN, TRANSPORT_PUT | TRANSPORT_GET, &remote);

	assert_int_equal(ops->get(remote, 0, pair->local, 8, 0), 0);
	assert_int_equal(outcome(pair, 0), 0); /* connected */
	end_park(pair->a);
	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(put(pair, remote, 8 * i, &i, sizeof(i), i), 0);
		assert_int_equal(outcome(pair, i), 0);
		assert_false(end_readable(pair->a));
	}
	ops->remote_close(remote);
	ops->memory_hide(exposure);
}

static void put__parked_while_under_way__fd_readable_until_all_are_told(void **state)
{
	struct pair_of *pair = *state;
	struct transport_remote *remote;
	struct transport_exposure *exposure =
		expose(pair, 0, MEMORY_LEN, TRANSPORT_PUT | TRANSPORT_GET, &remote);
	struct transport *transport = end_transport(pair->a);
	struct transport_event event;
	unsigned told = 0;

	assert_int_equal(ops->get(remote, 0, pair->local, 8, 0), 0);
	assert_int_equal(outcome(pair, 0), 0); /* connected */
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(ops->put(remote, 0, pair->local, 32768, i), 0);
	while (told < 100) {
		struct pollfd fd = { .fd = ops->fd(transport), .events = POLLIN };

		if (ops->poll(transport, &event) == 0) {
			assert_int_equal(event.kind, TRANSPORT_COMPLETE);
			assert_int_equal(event.status, 0);
			told++;
		} else if (ops->park(transport)) {
			assert_int_equal(poll(&fd, 1, (int)(WAIT_NS / 1000000)), 1);
		}
	}
	ops->remote_close(remote);
	ops->memory_hide(exposure);
}

static void put__nothing_and_past_the_end__zero_and_erange(void **state)
{
	struct pair_of *pair = *state;
	struct transport_remote *remote;
	struct transport_exposure *exposure = expose(pair, 0, 100, TRANSPORT_PUT, &remote);

	assert_int_equal(ops->put(remote, 100, pair->local, 0, 0), 0);
	assert_int_equal(outcome(pair, 0), 0);
	assert_int_equal(ops->put(remote, 100, pair->local, 1, 0), -ERANGE);
	assert_int_equal(ops->put(remote, 0, pair->local, 101, 0), -ERANGE);
	assert_int_equal(ops->get(remote, UINT64_MAX, pair->local, 2, 0), -ERANGE);
	ops->remote_close(remote);
	ops->memory_hide(exposure);
}

/* More than there is room for, of all sizes: in order, each told once. */
static void put__more_than_room__in_order_and_each_told_once(void **state)
{
	enum { COUNT = 1500 };
	struct pair_of *pair = *state;
	struct transport_remote *remote;
	struct transport_exposure *exposure =
		expose(pair, 0, MEMORY_LEN, TRANSPORT_PUT | TRANSPORT_GET, &remote);
	uint64_t until = test_now() + WAIT_NS;
	unsigned refused = 0;

	for (uint64_t i = 0; i < COUNT; i++) {
		uint64_t *word = (uint64_t *)(pair->local + i * 1024);
		size_t len = i % 16 == 0 ? 1024 : 8;

		/* All to the same place: the last one stays. */
		*word = i;
		while (ops->put(remote, 64, word, len, i) == -EAGAIN) {
			refused++;
			progress(pair);
			assert_true(test_now() < until);
		}
	}
	for (uint64_t i = 0; i < COUNT; i++)
		assert_int_equal(outcome(pair, i), 0);
	assert_int_equal(*(uint64_t *)(pair->memory + 64), COUNT - 1);
	assert_true(refused > 0);
	ops->remote_close(remote);
	ops->memory_hide(exposure);
}

static void put__from_the_side_that_accepted__works(void **state)
{
	struct pair_of *pair = *state;
	struct transport_exposure *exposure = NULL;
	struct transport_remote *remote = NULL;
	struct transport_key key = { 0 };
	struct transport_event event;

	assert_int_equal(ops->memory_expose(end_transport(pair->a), pair->memory, 4096,
					    TRANSPORT_PUT, &exposure, &key),
			 0);
	assert_int_equal(ops->remote_open(pair->to_a, &key, 4096, &remote), 0);
	assert_int_equal(ops->put(remote, 9, "reverse", 7, 1), 0);
	end_expect(pair->b, TRANSPORT_COMPLETE, &event);
	assert_int_equal(event.status, 0);
	assert_memory_equal(pair->memory + 9, "reverse", 7);
	ops->remote_close(remote);
	ops->memory_hide(exposure);
}

static void atomic__add_and_swap__old_value_and_new_memory(void **state)
{
	struct pair_of *pair = *state;
	struct transport_remote *remote;
	struct transport_exposure *exposure =
		expose(pair, 0, 4096, TRANSPORT_GET | TRANSPORT_PUT | TRANSPORT_ATOMIC, &remote);
	uint64_t *word = (uint64_t *)(pair->memory + 16), old = 0;

	assert_int_equal(ops->remote_onesided(remote) & TRANSPORT_ATOMIC, 0);
	*word = 40;
	assert_int_equal(ops->atomic(remote, 16, TRANSPORT_FETCH_ADD, 2, 0, &old, 1), 0);
	assert_int_equal(outcome(pair, 1), 0);
	assert_int_equal(old, 40);
	assert_int_equal(*word, 42);
	assert_int_equal(ops->atomic(remote, 16, TRANSPORT_COMPARE_SWAP, 7, 41, &old, 1), 0);
	assert_int_equal(outcome(pair, 1), 0);
	assert_int_equal(old, 42);
	assert_int_equal(*word, 42);
	assert_int_equal(ops->atomic(remote, 16, TRANSPORT_COMPARE_SWAP, 7, 42, &old, 1), 0);
	assert_int_equal(outcome(pair, 1), 0);
	assert_int_equal(*word, 7);
	assert_int_equal(ops->atomic(remote, 17, TRANSPORT_FETCH_ADD, 1, 0, &old, 1), -ERANGE);
	ops->remote_close(remote);
	ops->memory_hide(exposure);
}

/* ---- keys ---- */

static void expose__longer_than_a_registration__chunks(void **state)
{
	const size_t len = 300000;
	struct pair_of *pair = *state;
	struct transport_exposure *exposure = NULL;
	struct transport_remote *remote;
	struct transport_key key;

	verbs_tuning.chunk_len = 65536;
	exposure = expose(pair, 0, len, TRANSPORT_PUT | TRANSPORT_GET, &remote);
	assert_int_equal(exposure->count, 5);
	fill(pair->local, len, 11);
	assert_int_equal(ops->put(remote, 0, pair->local, len, 1), 0);
	assert_int_equal(outcome(pair, 1), 0);
	assert_memory_equal(pair->memory, pair->local, len);
	memset(pair->local, 0, len);
	assert_int_equal(ops->get(remote, 65530, pair->local, 140000, 1), 0);
	assert_int_equal(outcome(pair, 1), 0);
	assert_memory_equal(pair->local, pair->memory + 65530, 140000);
	ops->remote_close(remote);
	ops->memory_hide(exposure);
	assert_int_equal(ops->memory_expose(end_transport(pair->b), pair->memory,
					    65536 * VERBS_CHUNK_MAX + 1, TRANSPORT_PUT, &exposure,
					    &key),
			 -ENOSPC);
	verbs_tuning.chunk_len = UINT64_MAX;
}

static void memory_lock_limit(rlim_t limit)
{
	struct rlimit is;

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &is), 0);
	is.rlim_cur = limit < is.rlim_max ? limit : is.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &is), 0);
}

static void expose__users_limit_reached__enospc_says_so_and_buffers_are_copied(void **state)
{
	struct pair_of *pair = *state;
	struct transport_remote *remote;
	struct transport_exposure *exposure =
		expose(pair, 0, MEMORY_LEN, TRANSPORT_PUT | TRANSPORT_GET, &remote);
	struct transport_exposure *refused = NULL;
	struct transport_key key = { 0 };
	int status, err;

	fill(pair->local, MEMORY_LEN, 9);
	assert_int_equal(ops->get(remote, 0, pair->local, 8, 0), 0);
	assert_int_equal(outcome(pair, 0), 0); /* connected */
	memory_lock_limit(65536);
	err = ops->memory_expose(end_transport(pair->b), pair->memory, MEMORY_LEN, TRANSPORT_GET,
				 &refused, &key);
	assert_int_equal(err, -ENOSPC);
	assert_non_null(strstr(error_text(), "rxe1"));
	assert_non_null(strstr(error_text(), "RLIMIT_MEMLOCK is 65536"));
	assert_int_equal(put(pair, remote, 0, pair->local, 1000000, 0), 0);
	status = outcome(pair, 0);
	memory_lock_limit(RLIM_INFINITY);
	assert_int_equal(status, 0);
	assert_memory_equal(pair->memory, pair->local, 1000000);
	ops->remote_close(remote);
	ops->memory_hide(exposure);
}

static void remote_open__not_a_key__einval(void **state)
{
	struct pair_of *pair = *state;
	struct transport_key key = { .len = TRANSPORT_KEY_MAX };
	struct transport_remote *remote = NULL;

	for (uint64_t seed = 0; seed < 1000; seed++) {
		fill(key.data, sizeof(key.data), seed);
		if (seed % 2)
			memcpy(key.data, "\x56\x66", 2); /* the magic number alone */
		key.data[3] = (uint8_t)(seed % 2 ? 9 + seed % 200 : seed);
		assert_int_equal(ops->remote_open(pair->to_b, &key, 4096, &remote), -EINVAL);
	}
	key.len = 3;
	assert_int_equal(ops->remote_open(pair->to_b, &key, 4096, &remote), -EINVAL);
}

/* Only who was given a key of this home gets a data pair; others would guess the rest of it. */
static void remote_open__without_the_pass__nothing_lands(void **state)
{
	struct pair_of *pair = *state;
	struct transport_exposure *exposure = NULL;
	struct transport_remote *remote = NULL;
	struct transport_key key = { 0 };

	verbs_tuning.replay_ns = 500000000;
	assert_int_equal(ops->memory_expose(end_transport(pair->b), pair->memory, 4096,
					    TRANSPORT_PUT, &exposure, &key),
			 0);
	key.data[16] ^= 1;
	assert_int_equal(ops->remote_open(pair->to_b, &key, 4096, &remote), 0);
	assert_int_equal(ops->put(remote, 0, "x", 1, 1), 0);
	assert_int_equal(outcome(pair, 1), -ETIMEDOUT);
	assert_int_equal(pair->memory[0], 0);
	ops->remote_close(remote);
	ops->memory_hide(exposure);
	verbs_tuning.replay_ns = 20000000000;
}

static void hide__then_access__estale_and_nothing_lands(void **state)
{
	struct pair_of *pair = *state;
	struct transport_remote *old, *new;
	struct transport_exposure *exposure =
		expose(pair, 0, 4096, TRANSPORT_PUT | TRANSPORT_GET, &old);

	assert_int_equal(ops->put(old, 0, "1", 1, 1), 0);
	assert_int_equal(outcome(pair, 1), 0);
	ops->memory_hide(exposure);
	exposure = expose(pair, 0, 4096, TRANSPORT_PUT | TRANSPORT_GET, &new);
	assert_int_equal(ops->put(old, 0, "2", 1, 1), 0);
	assert_int_equal(ops->get(old, 0, pair->local, 1, 2), 0);
	assert_int_equal(outcome(pair, 1), -ESTALE);
	assert_int_equal(outcome(pair, 2), -ESTALE);
	assert_int_equal(pair->memory[0], '1');
	assert_int_equal(ops->put(old, 0, "3", 1, 1), 0); /* without the network */
	assert_int_equal(outcome(pair, 1), -ESTALE);
	assert_int_equal(ops->put(new, 0, "4", 1, 1), 0);
	assert_int_equal(outcome(pair, 1), 0);
	assert_int_equal(pair->memory[0], '4');
	ops->remote_close(old);
	ops->remote_close(new);
	ops->memory_hide(exposure);
}

static void get__into_stale_and_live__only_the_stale_one_fails(void **state)
{
	struct pair_of *pair = *state;
	struct transport_remote *victim, *other;
	struct transport_exposure *exposure = expose(pair, 0, 4096, TRANSPORT_GET, &victim);
	struct transport_exposure *stays = expose(pair, 65536, 1 << 20, TRANSPORT_GET, &other);

	fill(pair->memory, MEMORY_LEN, 3);
	assert_int_equal(ops->get(other, 0, pair->local, 100, 0), 0);
	assert_int_equal(outcome(pair, 0), 0);
	ops->memory_hide(exposure);
	for (uint64_t i = 0; i < 40; i++)
		assert_int_equal(ops->get(i % 8 == 3 ? victim : other, i, pair->local + i * 65536,
					  i % 8 == 3 ? 100 : 40000, i),
				 0);
	for (uint64_t i = 0; i < 40; i++) {
		assert_int_equal(outcome(pair, i), i % 8 == 3 ? -ESTALE : 0);
		if (i % 8 != 3)
			assert_memory_equal(pair->local + i * 65536, pair->memory + 65536 + i,
					    40000);
	}
	ops->remote_close(victim);
	ops->remote_close(other);
	ops->memory_hide(stays);
}

static void memory_hide__during_puts__nothing_lands_after_and_bystanders_survive(void **state)
{
	enum { ROUNDS_COUNT = 12, PUTS = 120, LEN = 3000 };
	struct pair_of *pair = *state;
	struct transport_exposure *victim, *stays;
	struct transport_remote *to_victim, *to_other;
	static uint8_t before[65536];
	unsigned landed = 0, refused = 0;

	stays = expose(pair, 1 << 20, 1 << 20, TRANSPORT_PUT, &to_other);
	for (unsigned round = 0; round < ROUNDS_COUNT; round++) {
		victim = expose(pair, 0, 65536, TRANSPORT_PUT, &to_victim);
		fill(pair->local, LEN * 2, round);
		for (uint64_t i = 0; i < PUTS; i++) {
			bool other = i % 2;

			assert_int_equal(put(pair, other ? to_other : to_victim,
					     other ? i * LEN : i * 64, pair->local + i, LEN, i),
					 0);
			if (i == round * 9) { /* in the middle */
				ops->memory_hide(victim);
				memcpy(before, pair->memory, sizeof(before));
			}
		}
		for (uint64_t i = 0; i < PUTS; i++) {
			int status = outcome(pair, i);

			if (i % 2) {
				assert_int_equal(status, 0);
				assert_memory_equal(pair->memory + (1 << 20) + i * LEN,
						    pair->local + i, LEN);
			} else {
				assert_true(status == 0 || status == -ESTALE);
				landed += status == 0;
				refused += status != 0;
			}
		}
		assert_memory_equal(before, pair->memory, sizeof(before));
		ops->remote_close(to_victim);
	}
	assert_true(refused > 0);
	printf("%u puts landed before, %u were refused\n", landed, refused);
	ops->remote_close(to_other);
	ops->memory_hide(stays);
}

/* ---- the end of a link ---- */

static void link_close__operations_under_way__each_told_ehostdown(void **state)
{
	enum { COUNT = 50 };
	struct pair_of *pair = *state;
	struct transport_remote *remote;
	unsigned failed = 0;

	expose(pair, 0, MEMORY_LEN, TRANSPORT_PUT, &remote);
	for (uint64_t i = 0; i < COUNT; i++)
		assert_int_equal(ops->put(remote, i * 8, pair->local, 20000, i), 0);
	ops->link_close(pair->to_b);
	assert_int_equal(ops->put(remote, 0, pair->local, 8, 0), -EHOSTDOWN);
	for (uint64_t i = 0; i < COUNT; i++)
		failed += outcome(pair, i) == -EHOSTDOWN;
	assert_true(failed > 0);
	ops->remote_close(remote);
}

static void close__of_the_home__operations_told_before_down(void **state)
{
	enum { COUNT = 50 };
	struct pair_of *pair = *state;
	struct transport_remote *remote;
	struct transport_event event;
	unsigned told = 0;

	expose(pair, 0, MEMORY_LEN, TRANSPORT_PUT, &remote);
	for (uint64_t i = 0; i < COUNT; i++)
		assert_int_equal(ops->put(remote, i * 8, pair->local, 20000, i), 0);
	end_close(pair->b);
	pair->b = NULL;
	for (;;) {
		uint64_t until = test_now() + WAIT_NS;

		while (!end_event(pair->a, &event))
			assert_true(test_now() < until);
		if (event.kind == TRANSPORT_LINK_DOWN)
			break;
		assert_int_equal(event.kind, TRANSPORT_COMPLETE);
		assert_true(event.status == 0 || event.status == -EHOSTDOWN);
		told++;
	}
	assert_int_equal(told, COUNT);
	ops->link_close(event.link);
	ops->remote_close(remote);
}

/* The peer's device answers for it as long as there is a peer. */
static void silence__peer_does_nothing__link_stays(void **state)
{
	struct pair_of *pair = *state;
	struct transport_event event;
	uint64_t until;

	verbs_tuning.probe_ns = 20000000;
	end_close(pair->a);
	end_close(pair->b);
	pair->a = end_open("rxe0");
	pair->b = end_open("rxe1");
	end_join(pair->a, pair->b, &pair->to_b, &pair->to_a);
	until = test_now() + 500000000;
	while (test_now() < until) /* only a is polled: b is as if it were stopped */
		assert_int_equal(ops->poll(end_transport(pair->a), &event), -EAGAIN);
	assert_true(pair->to_b->post_head > 3); /* it asked */
	assert_int_equal(ops->send(pair->to_b, "still", 5, -1), 0);
	end_expect(pair->b, TRANSPORT_MESSAGE, &event);
	verbs_tuning.probe_ns = 5000000000;
}

/* ---- a wire that is cut ---- */

static void wire__cut_and_mended__puts_and_gets_complete_and_an_atomic_is_not_repeated(void **state)
{
	enum { COUNT = 20 };
	struct pair_of *pair = *state;
	struct transport_exposure *exposure;
	struct transport_remote *remote;
	uint64_t old = 0, until;
	uint64_t *word = (uint64_t *)(pair->memory + (2 << 20));

	verbs_tuning.ack_timeout = 12; /* of the data pair: lost after a tenth of a second */
	exposure = expose(pair, 0, MEMORY_LEN, TRANSPORT_PUT | TRANSPORT_GET | TRANSPORT_ATOMIC,
			  &remote);
	assert_int_equal(ops->put(remote, 0, "x", 1, 0), 0);
	assert_int_equal(outcome(pair, 0), 0);
	fill(pair->local, 1 << 20, 17);
	wire_cut(true);
	for (uint64_t i = 0; i < COUNT; i++)
		assert_int_equal(put(pair, remote, i * 10000, pair->local + i * 10000, 10000, i),
				 0);
	assert_int_equal(ops->get(remote, 3 << 20, pair->local + (1 << 20), 5000, COUNT), 0);
	assert_int_equal(ops->atomic(remote, 2 << 20, TRANSPORT_FETCH_ADD, 1, 0, &old, COUNT + 1),
			 0);
	/* Its outcome is not known: told as soon as the pair is given up, and not done again. */
	assert_int_equal(outcome(pair, COUNT + 1), -ETIMEDOUT);
	for (uint64_t i = 0; i <= COUNT; i++)
		assert_int_equal(status_of[i], 1);
	wire_cut(false);
	for (uint64_t i = 0; i <= COUNT; i++)
		assert_int_equal(outcome(pair, i), 0);
	assert_memory_equal(pair->memory, pair->local, COUNT * 10000);
	assert_memory_equal(pair->memory + (3 << 20), pair->local + (1 << 20), 5000);
	until = test_now() + 100000000;
	while (test_now() < until)
		progress(pair);
	assert_true(*word <= 1);
	ops->remote_close(remote);
	ops->memory_hide(exposure);
	verbs_tuning.ack_timeout = 17;
}

static void wire__cut_for_good__down_and_operations_told(void **state)
{
	struct pair_of *pair = *state;
	struct transport_remote *remote;
	struct transport_event event;
	uint64_t until = test_now() + WAIT_NS;
	bool told = false;

	verbs_tuning.ack_timeout = 12;
	verbs_tuning.probe_ns = 100000000;
	end_close(pair->a);
	end_close(pair->b);
	pair->a = end_open("rxe0");
	pair->b = end_open("rxe1");
	end_join(pair->a, pair->b, &pair->to_b, &pair->to_a);
	expose(pair, 0, MEMORY_LEN, TRANSPORT_PUT, &remote);
	assert_int_equal(ops->put(remote, 0, "x", 1, 0), 0);
	assert_int_equal(outcome(pair, 0), 0);
	wire_cut(true);
	assert_int_equal(ops->put(remote, 0, "y", 1, 0), 0);
	for (;;) {
		while (!end_event(pair->a, &event))
			assert_true(test_now() < until);
		if (event.kind == TRANSPORT_LINK_DOWN)
			break;
		assert_int_equal(event.kind, TRANSPORT_COMPLETE);
		assert_int_equal(event.status, -EHOSTDOWN);
		told = true;
	}
	wire_cut(false);
	assert_true(told);
	assert_int_equal(event.status, -EHOSTDOWN);
	ops->link_close(event.link);
	ops->remote_close(remote);
	verbs_tuning.ack_timeout = 17;
	verbs_tuning.probe_ns = 5000000000;
}

/* Before a device is opened, which is for the credentials of then. */
static void capability_drop(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	syscall(SYS_capget, &header, data);
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	syscall(SYS_capset, &header, data);
}

int main(void)
{
#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open__no_such_device__einval_and_says_what_to_do),
		cmocka_unit_test(open__port_taken__eexist),
		cmocka_unit_test(open__every_allocation_fails_once__error_and_nothing_left),
		WITH_PAIR(put__every_length__complete_is_visible_and_nothing_beside_it),
		WITH_PAIR(get__every_length__bytes_as_they_are_and_nothing_beside_them),
		WITH_PAIR(put__polled_while_another_is_parked__fd_not_readable),
		WITH_PAIR(put__parked_while_under_way__fd_readable_until_all_are_told),
		WITH_PAIR(put__nothing_and_past_the_end__zero_and_erange),
		WITH_PAIR(put__more_than_room__in_order_and_each_told_once),
		WITH_PAIR(put__from_the_side_that_accepted__works),
		WITH_PAIR(atomic__add_and_swap__old_value_and_new_memory),
		WITH_PAIR(expose__longer_than_a_registration__chunks),
		WITH_PAIR(expose__users_limit_reached__enospc_says_so_and_buffers_are_copied),
		WITH_PAIR(remote_open__not_a_key__einval),
		WITH_PAIR(remote_open__without_the_pass__nothing_lands),
		WITH_PAIR(hide__then_access__estale_and_nothing_lands),
		WITH_PAIR(get__into_stale_and_live__only_the_stale_one_fails),
		WITH_PAIR(memory_hide__during_puts__nothing_lands_after_and_bystanders_survive),
		WITH_PAIR(link_close__operations_under_way__each_told_ehostdown),
		WITH_PAIR(close__of_the_home__operations_told_before_down),
		WITH_PAIR(silence__peer_does_nothing__link_stays),
		WITH_PAIR(
			wire__cut_and_mended__puts_and_gets_complete_and_an_atomic_is_not_repeated),
		WITH_PAIR(wire__cut_for_good__down_and_operations_told),
	};
	struct transport *second = NULL;
	int err;

	capability_drop();
	err = ops->open("rxe1", &second);
	if (err < 0) {
		printf("skipped: %s\n", error_text());
		return 77;
	}
	ops->close(second);
	return cmocka_run_group_tests_name("verbs", tests, NULL, NULL);
}
