/* SPDX-License-Identifier: BSD-3-Clause */
/* base_process_test.c -- tests of base/process.h: page, slots, guard, fork */
#include "base/counter.h"
#include "base/error.h"
#include "base/process.h"
#include "base/process_page.h"
#include "base_common.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_NS 20000000000ull
#define NOBODY 65534

/* Every case runs in a child: a process has this object once. */
#define CHILD_TEST(name)                       \
	static void name(void **state)         \
	{                                      \
		(void)state;                   \
		child_passes(in_##name, NULL); \
	}

static const struct process_page *page_map(void)
{
	void *map = mmap(NULL, PROCESS_PAGE_SIZE, PROT_READ, MAP_SHARED, process_page_fd(), 0);

	CHECK(map != MAP_FAILED);
	return map;
}

static uint64_t counted(const struct process_page *page, enum counter counter)
{
	const uint64_t *slots = (const void *)((const uint8_t *)page + page->counter_off);

	return __atomic_load_n(&slots[counter], __ATOMIC_RELAXED);
}

static int slots_taken(const struct process_page *page)
{
	const struct process_slot *slot = (const void *)((const uint8_t *)page + page->slot_off);
	int taken = 0;

	for (uint32_t i = 0; i < page->slot_count; i++)
		taken += __atomic_load_n(&slot[i].tid, __ATOMIC_RELAXED) != 0;
	return taken;
}

static pthread_t thread_start(void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstacksize(&attr, 256 << 10) == 0);
	CHECK(pthread_create(&thread, &attr, run, arg) == 0);
	CHECK(pthread_attr_destroy(&attr) == 0);
	return thread;
}

static void *thread_end(pthread_t thread)
{
	void *result;

	CHECK(pthread_join(thread, &result) == 0);
	return result;
}

/* --- the page --- */

static void in_get__no_dir__page_that_a_tool_can_read(void *arg)
{
	const struct process_page *page;
	struct stat stat;

	(void)arg;
	counter_add(COUNTER_barrier, 100); /* before: to nowhere */
	CHECK(process_get(NULL) == 0);
	CHECK(fstat(process_page_fd(), &stat) == 0);
	CHECK(stat.st_size == (off_t)PROCESS_PAGE_SIZE);
	CHECK(stat.st_blocks * 512 >= stat.st_size); /* the disk cannot be full later */
	CHECK(fcntl(process_page_fd(), F_GETFD) & FD_CLOEXEC);
	page = page_map();
	CHECK(page->magic == PROCESS_PAGE_MAGIC);
	CHECK(page->version == PROCESS_PAGE_VERSION);
	CHECK(page->pid == (uint32_t)getpid());
	CHECK(page->counter_count == COUNTER_MAX);
	CHECK(page->slot_count == PROCESS_THREAD_MAX);
	CHECK(page->slot_size == sizeof(struct process_slot));
	CHECK(page->slot_off + (uint64_t)page->slot_count * page->slot_size <= PROCESS_PAGE_SIZE);
	counter_add(COUNTER_barrier, 2);
	counter_add(COUNTER_event_lost, 3);
	CHECK(counted(page, COUNTER_barrier) == 2);
	CHECK(counted(page, COUNTER_event_lost) == 3);
}
CHILD_TEST(get__no_dir__page_that_a_tool_can_read)

static void in_get__twice__one_page_and_put_keeps_it(void *arg)
{
	int fd;

	(void)arg;
	CHECK(process_get(NULL) == 0);
	fd = process_page_fd();
	CHECK(process_get("/no/such/dir") == 0);
	CHECK(process_page_fd() == fd);
	process_put();
	process_put();
	CHECK(process_get(NULL) == 0);
	CHECK(process_page_fd() == fd);
	counter_add(COUNTER_barrier, 1);
	CHECK(counted(page_map(), COUNTER_barrier) == 1);
	process_put();
}
CHILD_TEST(get__twice__one_page_and_put_keeps_it)

static void put_too_often(void *arg)
{
	(void)arg;
	CHECK(process_get(NULL) == 0);
	process_put();
	process_put();
}

static void put__too_often__ends_the_process(void **state)
{
	static struct child child;

	(void)state;
	child_run(put_too_often, NULL, &child);
	assert_true(WIFSIGNALED(child.status));
	assert_int_equal(WTERMSIG(child.status), SIGABRT);
}

static void dir_make(char path[64])
{
	snprintf(path, 64, "%s", "/tmp/farbus-test-XXXXXX");
	CHECK(mkdtemp(path) != NULL);
}

static void counters_path(const char *dir, char path[128])
{
	snprintf(path, 128, "%s/counters.%d", dir, (int)getpid());
}

/* Removes it and, so that nothing else may be there, the folder. */
static void dir_remove(const char *dir)
{
	char path[128];

	counters_path(dir, path);
	unlink(path);
	CHECK(rmdir(dir) == 0);
}

static void in_get__dir__private_file_with_the_page(void *arg)
{
	char dir[64], path[128];
	struct stat file, fd;

	(void)arg;
	umask(0);
	dir_make(dir);
	CHECK(process_get(dir) == 0);
	counters_path(dir, path);
	CHECK(stat(path, &file) == 0);
	CHECK(fstat(process_page_fd(), &fd) == 0);
	CHECK(file.st_ino == fd.st_ino);
	CHECK(S_ISREG(file.st_mode) && (file.st_mode & 07777) == 0600);
	CHECK(page_map()->magic == PROCESS_PAGE_MAGIC);
	dir_remove(dir);
}
CHILD_TEST(get__dir__private_file_with_the_page)

/* A dead process had our number; or somebody put a link there to have us write elsewhere. */
static void in_get__name_is_taken__replaced_not_followed(void *arg)
{
	char dir[64], path[128], target[128], byte;
	struct stat file;
	int fd;

	(void)arg;
	dir_make(dir);
	counters_path(dir, path);
	snprintf(target, sizeof(target), "%s/target", dir);
	fd = open(target, O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0);
	CHECK(symlink(target, path) == 0);
	CHECK(process_get(dir) == 0);
	CHECK(lstat(path, &file) == 0);
	CHECK(S_ISREG(file.st_mode));
	CHECK(read(fd, &byte, 1) == 0);
	CHECK(unlink(target) == 0);
	dir_remove(dir);
}
CHILD_TEST(get__name_is_taken__replaced_not_followed)

static void in_get__dir_is_unusable__says_why_and_works_later(void *arg)
{
	char dir[64], *longest = malloc(5000);

	(void)arg;
	CHECK(longest != NULL);
	CHECK(process_get("/no/such/dir") == -ENOENT);
	CHECK(strstr(error_text(), "FARBUS_RUN_DIR=/no/such/dir"));
	CHECK(process_get("/dev/null") == -ENOENT);
	memset(longest, 'x', 4999);
	longest[4999] = '\0';
	CHECK(process_get(longest) == -ENAMETOOLONG);
	free(longest);
	dir_make(dir);
	CHECK(chmod(dir, 0500) == 0);
	if (getuid() == 0)
		CHECK(setresuid((uid_t)-1, NOBODY, (uid_t)-1) == 0);
	CHECK(process_get(dir) == -EACCES);
	CHECK(strstr(error_text(), dir));
	if (getuid() == 0)
		CHECK(setresuid((uid_t)-1, 0, (uid_t)-1) == 0);
	CHECK(process_page_fd() == -1);
	CHECK(process_slot_self() == NULL);
	CHECK(chmod(dir, 0700) == 0);
	CHECK(process_get(dir) == 0);
	dir_remove(dir);
}
CHILD_TEST(get__dir_is_unusable__says_why_and_works_later)

/* A limit of the file size stands for a full disk: the same call fails, without being root. */
static void in_get__no_room__enospc_and_nothing_left(void *arg)
{
	struct rlimit limit, small;
	char dir[64];

	(void)arg;
	signal(SIGXFSZ, SIG_IGN);
	CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
	small = limit;
	small.rlim_cur = 4096;
	dir_make(dir);
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	CHECK(process_get(dir) == -ENOSPC);
	CHECK(strstr(error_text(), dir));
	CHECK(process_get(NULL) == -ENOSPC);
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	CHECK(process_page_fd() == -1);
	CHECK(rmdir(dir) == 0);
	CHECK(process_get(NULL) == 0);
}
CHILD_TEST(get__no_room__enospc_and_nothing_left)

static void in_get__no_descriptor__emfile(void *arg)
{
	struct rlimit limit;
	char dir[64];

	(void)arg;
	dir_make(dir);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 0;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(process_get(NULL) == -EMFILE);
	CHECK(process_get(dir) == -EMFILE);
	limit.rlim_cur = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(rmdir(dir) == 0);
	CHECK(process_get(NULL) == 0);
}
CHILD_TEST(get__no_descriptor__emfile)

static void in_instance_add__more_than_fit__rest_left_out_and_rows_reused(void *arg)
{
	const struct process_page *page;

	(void)arg;
	process_instance_add(1, 2, 3); /* no page: nothing happens */
	process_instance_remove(1);
	CHECK(process_get(NULL) == 0);
	page = page_map();
	for (uint32_t i = 1; i <= PROCESS_INSTANCE_MAX + 1; i++)
		process_instance_add(i, 10 + i, 100 + i);
	for (uint32_t i = 0; i < PROCESS_INSTANCE_MAX; i++) {
		CHECK(page->instance[i].instance == i + 1);
		CHECK(page->instance[i].rank == 11 + i);
		CHECK(page->instance[i].job == 101 + i);
	}
	process_instance_remove(5);
	CHECK(page->instance[4].instance == 0);
	process_instance_add(777, 1, 2);
	CHECK(page->instance[4].instance == 777);
	CHECK(page->instance[4].rank == 1 && page->instance[4].job == 2);
}
CHILD_TEST(instance_add__more_than_fit__rest_left_out_and_rows_reused)

/* --- slots --- */

static void *slot_get(void *arg)
{
	struct process_slot *slot = process_slot_self();

	(void)arg;
	CHECK(slot == process_slot_self());
	CHECK(!slot || slot->tid == (uint32_t)gettid());
	return slot;
}

static void in_slot_self__threads__one_each_and_given_back(void *arg)
{
	struct process_slot *own, *first, *second;

	(void)arg;
	CHECK(process_slot_self() == NULL); /* no page yet */
	CHECK(process_get(NULL) == 0);
	own = slot_get(NULL);
	CHECK(own != NULL);
	CHECK(&own->guard == farbus_guard_slot);
	CHECK((uintptr_t)own % 128 == 0);
	first = thread_end(thread_start(slot_get, NULL));
	second = thread_end(thread_start(slot_get, NULL));
	CHECK(first != NULL && first != own);
	CHECK(second == first);
	CHECK(slots_taken(page_map()) == 1);
}
CHILD_TEST(slot_self__threads__one_each_and_given_back)

struct crowd {
	pthread_barrier_t full, leave;
	_Atomic int with, without;
};

static void *crowd_member(void *arg)
{
	struct crowd *crowd = arg;

	atomic_fetch_add(process_slot_self() ? &crowd->with : &crowd->without, 1);
	pthread_barrier_wait(&crowd->full);
	pthread_barrier_wait(&crowd->leave);
	/* One that found none may find one later. */
	return NULL;
}

static void in_slot_self__more_threads_than_slots__null_for_the_rest(void *arg)
{
	enum { COUNT = PROCESS_THREAD_MAX + 2 };
	static pthread_t thread[COUNT];
	static struct crowd crowd;

	(void)arg;
	CHECK(process_get(NULL) == 0);
	CHECK(pthread_barrier_init(&crowd.full, NULL, COUNT + 1) == 0);
	CHECK(pthread_barrier_init(&crowd.leave, NULL, COUNT + 1) == 0);
	for (int i = 0; i < COUNT; i++)
		thread[i] = thread_start(crowd_member, &crowd);
	pthread_barrier_wait(&crowd.full);
	CHECK(crowd.with == PROCESS_THREAD_MAX);
	CHECK(crowd.without == 2);
	CHECK(process_slot_self() == NULL);
	pthread_barrier_wait(&crowd.leave);
	for (int i = 0; i < COUNT; i++)
		thread_end(thread[i]);
	CHECK(process_slot_self() != NULL);
	CHECK(slots_taken(page_map()) == 1);
}
CHILD_TEST(slot_self__more_threads_than_slots__null_for_the_rest)

/* --- drain --- */

static void in_drain__nobody_inside__at_once(void *arg)
{
	uint64_t tag = process_tag_new();
	struct process_slot *slot;

	(void)arg;
	CHECK(process_guard_drain(tag, 0) == 0); /* no page yet */
	CHECK(process_get(NULL) == 0);
	slot = process_slot_self();
	CHECK(process_guard_drain(tag, 0) == 0);
	farbus_guard_enter(&slot->guard, tag + 1); /* another region's */
	CHECK(process_guard_drain(tag, 0) == 0);
}
CHILD_TEST(drain__nobody_inside__at_once)

static void in_drain__somebody_stays_inside__etimedout_for_either_tag(void *arg)
{
	uint64_t tag = process_tag_new();
	struct process_slot *slot;

	(void)arg;
	CHECK(process_get(NULL) == 0);
	slot = process_slot_self();
	for (int i = 0; i < 2; i++) {
		slot->guard.tag[i] = tag;
		CHECK(process_guard_drain(tag, 0) == -ETIMEDOUT);
		CHECK(process_guard_drain(tag, 2000000) == -ETIMEDOUT);
		slot->guard.tag[i] = 0;
		CHECK(process_guard_drain(tag, UINT64_MAX) == 0); /* a bound that would wrap */
	}
}
CHILD_TEST(drain__somebody_stays_inside__etimedout_for_either_tag)

static void *enter_and_end(void *arg)
{
	struct process_slot *slot = process_slot_self();

	CHECK(slot != NULL);
	slot->guard.tag[0] = slot->guard.tag[1] = *(uint64_t *)arg;
	return NULL;
}

static void in_drain__thread_ended_inside__not_waited_for(void *arg)
{
	uint64_t tag = process_tag_new();

	(void)arg;
	CHECK(process_get(NULL) == 0);
	thread_end(thread_start(enter_and_end, &tag));
	CHECK(process_guard_drain(tag, 0) == 0);
}
CHILD_TEST(drain__thread_ended_inside__not_waited_for)

#define ENTERING_THREADS 2
#define DRAIN_ROUNDS 300

struct gate {
	uint64_t tag;
	_Atomic uint64_t len; /* as a region's: 0 admits nobody */
	_Atomic bool dead;    /* what is behind it may not be touched */
	_Atomic bool stop;
	_Atomic uint64_t touched, touched_dead;
};

static void *gate_user(void *arg)
{
	struct gate *gate = arg;
	struct process_slot *slot = process_slot_self();

	CHECK(slot != NULL);
	while (!atomic_load_explicit(&gate->stop, memory_order_relaxed)) {
		farbus_guard_enter(&slot->guard, gate->tag);
		if (atomic_load_explicit(&gate->len, memory_order_relaxed)) {
			if (atomic_load_explicit(&gate->dead, memory_order_relaxed))
				atomic_fetch_add(&gate->touched_dead, 1);
			atomic_fetch_add_explicit(&gate->touched, 1, memory_order_relaxed);
		}
		farbus_guard_leave(&slot->guard);
	}
	return NULL;
}

/* The promise of the guard, as the inline path and revoke use it. */
static void in_drain__threads_go_in_and_out__nobody_is_inside_after(void *arg)
{
	pthread_t thread[ENTERING_THREADS];
	struct gate gate = { .tag = process_tag_new(), .len = 1 };

	(void)arg;
	CHECK(process_get(NULL) == 0);
	for (int i = 0; i < ENTERING_THREADS; i++)
		thread[i] = thread_start(gate_user, &gate);
	for (int i = 0; i < DRAIN_ROUNDS; i++) {
		uint64_t before = gate.touched;

		while (gate.touched == before)
			sched_yield();
		atomic_store_explicit(&gate.len, 0, memory_order_relaxed);
		CHECK(process_guard_drain(gate.tag, LONG_NS) == 0);
		atomic_store_explicit(&gate.dead, true, memory_order_relaxed);
		sched_yield();
		atomic_store(&gate.dead, false);
		atomic_store(&gate.len, 1);
	}
	gate.stop = true;
	for (int i = 0; i < ENTERING_THREADS; i++)
		thread_end(thread[i]);
	CHECK(gate.touched_dead == 0);
}
CHILD_TEST(drain__threads_go_in_and_out__nobody_is_inside_after)

#define TAG_ROUNDS 10000

static void *tags_take(void *arg)
{
	uint64_t *tags = arg;

	for (int i = 0; i < TAG_ROUNDS; i++)
		tags[i] = process_tag_new();
	return NULL;
}

/* From here on membarrier(2) fails, as in a sandbox that does not know it. */
static void membarrier_forbid(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(0); /* a kernel without it cannot run this case */
}

static void in_get__membarrier_is_forbidden__enosys_names_it(void *arg)
{
	(void)arg;
	membarrier_forbid();
	CHECK(process_get(NULL) == -ENOSYS);
	CHECK(strstr(error_text(), "membarrier(2)"));
	CHECK(process_page_fd() == -1);
}
CHILD_TEST(get__membarrier_is_forbidden__enosys_names_it)

/* An empty slot proves nothing then: the store to it may not have been seen yet. */
static void in_drain__membarrier_fails__etimedout_though_nobody_is_seen(void *arg)
{
	(void)arg;
	CHECK(process_get(NULL) == 0);
	membarrier_forbid();
	CHECK(process_guard_drain(process_tag_new(), 1000000) == -ETIMEDOUT);
	CHECK(strstr(error_text(), "membarrier(2)"));
}
CHILD_TEST(drain__membarrier_fails__etimedout_though_nobody_is_seen)

static void in_tag_new__two_threads__all_different_and_not_0(void *arg)
{
	static uint64_t tags[2][TAG_ROUNDS];
	static bool seen[2 * TAG_ROUNDS + 1];
	pthread_t a = thread_start(tags_take, tags[0]), b = thread_start(tags_take, tags[1]);

	(void)arg;
	thread_end(a);
	thread_end(b);
	for (int i = 0; i < 2 * TAG_ROUNDS; i++) {
		uint64_t tag = tags[i / TAG_ROUNDS][i % TAG_ROUNDS];

		CHECK(tag != 0);
		CHECK(tag <= 2 * TAG_ROUNDS);
		CHECK(!seen[tag]);
		seen[tag] = true;
	}
}
CHILD_TEST(tag_new__two_threads__all_different_and_not_0)

/* --- fork --- */

/* Runs f in a forked child; it has to return true. */
static void forked_passes(bool (*f)(void))
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (pid == 0) {
		alarm(30);
		_exit(f() ? 0 : 1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(status == 0);
}

static bool refused_after_open(void)
{
	counter_add(COUNTER_barrier, 1000); /* must not reach the parent's page, nor crash */
	return process_check() == -ECHILD && process_get(NULL) == -ECHILD &&
	       strstr(error_text(), "forked child") && process_slot_self() == NULL &&
	       farbus_guard_slot == NULL;
}

static void in_fork__farbus_is_open__child_is_refused_and_parent_goes_on(void *arg)
{
	const struct process_page *page;

	(void)arg;
	CHECK(process_get(NULL) == 0);
	CHECK(process_slot_self() != NULL);
	page = page_map();
	CHECK(process_check() == 0);
	forked_passes(refused_after_open);
	CHECK(process_check() == 0);
	CHECK(counted(page, COUNTER_barrier) == 0);
	CHECK(slots_taken(page) == 1);
	counter_add(COUNTER_barrier, 1);
	CHECK(counted(page, COUNTER_barrier) == 1);
}
CHILD_TEST(fork__farbus_is_open__child_is_refused_and_parent_goes_on)

static bool works_before_open(void)
{
	return process_check() == 0 && process_get(NULL) == 0 && process_slot_self() &&
	       page_map()->pid == (uint32_t)getpid();
}

static void in_fork__farbus_is_not_open__child_may_open_it(void *arg)
{
	(void)arg;
	CHECK(process_slot_self() == NULL);
	forked_passes(works_before_open);
	CHECK(process_get(NULL) == 0);
}
CHILD_TEST(fork__farbus_is_not_open__child_may_open_it)

struct churn {
	_Atomic bool stop;
	_Atomic int rounds;
};

static bool fault_nothing(void *arg, void *va)
{
	(void)arg;
	(void)va;
	return false;
}

/* Holds every lock of base/process* most of the time. */
static void *churn(void *arg)
{
	struct churn *churn = arg;
	static char window[4096];

	while (!atomic_load(&churn->stop)) {
		process_instance_add(1, 1, 1);
		process_instance_remove(1);
		CHECK(process_fault_register(window, sizeof(window), fault_nothing, NULL) == 0);
		process_fault_unregister(window);
		CHECK(process_va_claim(churn, window, sizeof(window)) == 0);
		process_va_unclaim(churn, window, sizeof(window));
		atomic_fetch_add(&churn->rounds, 1);
	}
	return NULL;
}

static bool locks_free(void)
{
	static char window[4096];

	process_instance_remove(1);
	process_fault_unregister(window);
	process_va_unclaim(window, window, sizeof(window));
	return process_check() == -ECHILD;
}

static void in_fork__another_thread_holds_the_locks__child_does_not_hang(void *arg)
{
	struct churn state = { .stop = false };
	pthread_t thread;

	(void)arg;
#ifdef __SANITIZE_THREAD__
	return; /* a fork with threads, and locks after it, is what it does not support */
#endif
	CHECK(process_get(NULL) == 0);
	thread = thread_start(churn, &state);
	for (int i = 0; i < 100; i++) {
		int before = state.rounds;

		while (state.rounds == before)
			sched_yield();
		forked_passes(locks_free);
	}
	state.stop = true;
	thread_end(thread);
}
CHILD_TEST(fork__another_thread_holds_the_locks__child_does_not_hang)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(get__no_dir__page_that_a_tool_can_read),
		cmocka_unit_test(get__twice__one_page_and_put_keeps_it),
		cmocka_unit_test(put__too_often__ends_the_process),
		cmocka_unit_test(get__dir__private_file_with_the_page),
		cmocka_unit_test(get__name_is_taken__replaced_not_followed),
		cmocka_unit_test(get__dir_is_unusable__says_why_and_works_later),
		cmocka_unit_test(get__no_room__enospc_and_nothing_left),
		cmocka_unit_test(get__no_descriptor__emfile),
		cmocka_unit_test(instance_add__more_than_fit__rest_left_out_and_rows_reused),
		cmocka_unit_test(slot_self__threads__one_each_and_given_back),
		cmocka_unit_test(slot_self__more_threads_than_slots__null_for_the_rest),
		cmocka_unit_test(drain__nobody_inside__at_once),
		cmocka_unit_test(drain__somebody_stays_inside__etimedout_for_either_tag),
		cmocka_unit_test(drain__thread_ended_inside__not_waited_for),
		cmocka_unit_test(drain__threads_go_in_and_out__nobody_is_inside_after),
		cmocka_unit_test(get__membarrier_is_forbidden__enosys_names_it),
		cmocka_unit_test(drain__membarrier_fails__etimedout_though_nobody_is_seen),
		cmocka_unit_test(tag_new__two_threads__all_different_and_not_0),
		cmocka_unit_test(fork__farbus_is_open__child_is_refused_and_parent_goes_on),
		cmocka_unit_test(fork__farbus_is_not_open__child_may_open_it),
		cmocka_unit_test(fork__another_thread_holds_the_locks__child_does_not_hang),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
