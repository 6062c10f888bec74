/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * process.c -- the one object that a process has once: page, slots, guard, fork
 *
 * Invariants:
 *   1. page is mapped from the first process_get() on, but not in a forked child.
 *   2. A thread's farbus_guard_slot is NULL or points into the page, at a slot with its tid.
 *   3. Every slot that is not taken has both tags 0.
 */
#include "base/process.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/process_page.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DRAIN_SPIN 2000
#define DRAIN_NAP_NS 50000

__thread struct farbus_guard_slot *farbus_guard_slot __attribute__((tls_model("initial-exec")));

static struct lock process_lock = { .mutex = PTHREAD_MUTEX_INITIALIZER };
static pthread_once_t process_once = PTHREAD_ONCE_INIT;
static pthread_key_t slot_key;
static unsigned int references;
static struct process_page *page;
static int page_fd = -1;
static char page_path[4096];
static _Atomic uint64_t tag_next = 1;
/* Plain memory, so that a forked child has it: the page itself is MADV_DONTFORK. */
static _Atomic bool forked;

static long membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

static struct process_slot *slots(void)
{
	return (struct process_slot *)(void *)((uint8_t *)page + PROCESS_PAGE_SLOT_OFF);
}

/* The thread ends, in the middle of an operation or not: nobody waits for its slot any more. */
static void slot_give(void *arg)
{
	struct process_slot *slot = arg;

	farbus_guard_slot = NULL;
	lock_acquire(&process_lock);
	if (page && slot >= slots() && slot < slots() + PROCESS_THREAD_MAX) {
		__atomic_store_n(&slot->guard.tag[0], 0, __ATOMIC_RELEASE);
		__atomic_store_n(&slot->guard.tag[1], 0, __ATOMIC_RELEASE);
		__atomic_store_n(&slot->tid, 0, __ATOMIC_RELEASE);
	}
	lock_release(&process_lock);
}

static void fork_prepare(void) NO_LOCK_ANALYSIS
{
	lock_acquire(&process_lock);
	process_fault_fork_prepare();
}

static void fork_parent(void) NO_LOCK_ANALYSIS
{
	process_fault_fork_parent();
	lock_release(&process_lock);
}

static void fork_child(void)
{
	lock_init(&process_lock); /* the holder was the thread that forked: this one */
	process_fault_fork_child();
	if (page)
		atomic_store(&forked, true);
	page = NULL; /* it is not mapped here */
	counter_slots_set(NULL);
	farbus_guard_slot = NULL;
	pthread_setspecific(slot_key, NULL);
}

static void process_init(void)
{
	FARBUS_ASSERT(pthread_key_create(&slot_key, slot_give) == 0);
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static int membarrier_register(void)
{
	if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) < 0 ||
	    membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) < 0)
		return error_set(-ENOSYS,
				 "membarrier(2) is missing (%s): farbus needs Linux 4.16 "
				 "and a sandbox that allows it",
				 strerror(errno));
	return 0;
}

/* What the kernel says about a file, in the words of process_get(). */
static int file_error(int number)
{
	switch (number) {
	case ENOENT:
	case ENOTDIR:
		return -ENOENT;
	case ENOSPC:
	case EDQUOT:
		return -ENOSPC;
	case EMFILE:
	case ENFILE:
		return -EMFILE;
	default:
		return -EACCES;
	}
}

static int page_create(const char *dir)
{
	int fd, number;

	page_path[0] = '\0';
	if (!dir) {
		fd = memfd_create("farbus-counters", MFD_CLOEXEC);
		return fd < 0 ? error_set(-EMFILE, "no descriptor left for the counters: %s",
					  strerror(errno)) :
				fd;
	}
	if (snprintf(page_path, sizeof(page_path), "%s/counters.%d", dir, (int)getpid()) >=
	    (int)sizeof(page_path)) {
		page_path[0] = '\0';
		return error_set(-ENAMETOOLONG, "FARBUS_RUN_DIR is longer than %zu bytes",
				 sizeof(page_path));
	}
	fd = open(page_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST && unlink(page_path) == 0)
		fd = open(page_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		return fd;
	number = errno;
	page_path[0] = '\0';
	return error_set(file_error(number), "cannot make counters.%d in FARBUS_RUN_DIR=%s: %s",
			 (int)getpid(), dir, strerror(number));
}

static void page_fill(void)
{
	*page = (struct process_page){
		.version = PROCESS_PAGE_VERSION,
		.pid = (uint32_t)getpid(),
		.start_ns = clock_wall_ns(),
		.counter_off = PROCESS_PAGE_COUNTER_OFF,
		.counter_count = COUNTER_MAX,
		.slot_off = PROCESS_PAGE_SLOT_OFF,
		.slot_count = PROCESS_THREAD_MAX,
		.slot_size = sizeof(struct process_slot),
		.thread_counter_count = 8,
	};
	/* Last: a reader that sees the magic sees the rest. */
	__atomic_store_n(&page->magic, PROCESS_PAGE_MAGIC, __ATOMIC_RELEASE);
}

static int page_map(int fd, const char *dir)
{
	struct process_page *map;
	int number = posix_fallocate(fd, 0, (off_t)PROCESS_PAGE_SIZE);

	if (number)
		return error_set(-ENOSPC,
				 "no room for %zu bytes of counters in %s: %s; free some or set "
				 "FARBUS_RUN_DIR",
				 (size_t)PROCESS_PAGE_SIZE, dir ? dir : "memory", strerror(number));
	map = mmap(NULL, PROCESS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return error_set(-ENOMEM, "cannot map the counters: %s", strerror(errno));
	/* A child that fork() made must not write here: what it counted would be ours. */
	madvise(map, PROCESS_PAGE_SIZE, MADV_DONTFORK);
	page = map;
	return 0;
}

static int page_open(const char *dir)
{
	int fd = page_create(dir), err;

	if (fd < 0)
		return fd;
	err = page_map(fd, dir);
	if (err < 0) {
		if (page_path[0])
			unlink(page_path);
		close(fd);
		return err;
	}
	page_fd = fd;
	page_fill();
	counter_slots_set((uint64_t *)(void *)((uint8_t *)page + PROCESS_PAGE_COUNTER_OFF));
	return 0;
}

int process_get(const char *dir)
{
	int err = 0;

	pthread_once(&process_once, process_init);
	if (atomic_load(&forked))
		return process_check();
	lock_acquire(&process_lock);
	if (!page) {
		err = membarrier_register();
		if (err == 0)
			err = page_open(dir);
	}
	if (err == 0)
		references++;
	lock_release(&process_lock);
	return err;
}

/*
 * The page and its descriptor stay for the life of the process: other threads hold pointers to
 * their slots, and the next farbus_open() goes on counting in it.
 */
void process_put(void)
{
	lock_acquire(&process_lock);
	FARBUS_ASSERT(references > 0);
	references--;
	lock_release(&process_lock);
}

int process_check(void)
{
	if (__builtin_expect(atomic_load_explicit(&forked, memory_order_relaxed), 0))
		return error_set(-ECHILD, "this is a forked child of a process that uses farbus: "
					  "exec first, or open farbus after the fork");
	return 0;
}

static struct process_slot *slot_take_locked(void) REQUIRES(&process_lock)
{
	if (!page)
		return NULL;
	for (int i = 0; i < PROCESS_THREAD_MAX; i++) {
		struct process_slot *slot = &slots()[i];

		if (__atomic_load_n(&slot->tid, __ATOMIC_RELAXED))
			continue;
		__atomic_store_n(&slot->tid, (uint32_t)gettid(), __ATOMIC_RELEASE);
		return slot;
	}
	return NULL;
}

struct process_slot *process_slot_self(void)
{
	struct process_slot *slot = (struct process_slot *)(void *)farbus_guard_slot;

	if (slot)
		return slot;
	pthread_once(&process_once, process_init);
	if (atomic_load(&forked))
		return NULL;
	lock_acquire(&process_lock);
	slot = slot_take_locked();
	lock_release(&process_lock);
	if (!slot)
		return NULL;
	pthread_setspecific(slot_key, slot);
	farbus_guard_slot = &slot->guard;
	return slot;
}

int process_page_fd(void)
{
	return page_fd;
}

uint64_t process_tag_new(void)
{
	return atomic_fetch_add_explicit(&tag_next, 1, memory_order_relaxed);
}

static bool tag_held(uint64_t tag)
{
	for (int i = 0; i < PROCESS_THREAD_MAX; i++) {
		struct process_slot *slot = &slots()[i];

		/* Pairs with farbus_guard_leave(): what the thread did before is seen after. */
		if (__atomic_load_n(&slot->guard.tag[0], __ATOMIC_ACQUIRE) == tag ||
		    __atomic_load_n(&slot->guard.tag[1], __ATOMIC_ACQUIRE) == tag)
			return true;
	}
	return false;
}

int process_guard_drain(uint64_t tag, uint64_t timeout_ns)
{
	struct timespec nap = { .tv_nsec = DRAIN_NAP_NS };
	uint64_t now = clock_now_ns();
	uint64_t until = timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX;

	if (!page)
		return 0;
	/*
	 * Orders every thread's plain store to its slot before our reads of the slots. Without it
	 * an empty slot proves nothing; the kernel may be short of memory for a moment.
	 */
	while (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) < 0) {
		if (clock_now_ns() >= until)
			return error_set(-ETIMEDOUT, "membarrier(2) fails: %s", strerror(errno));
		nanosleep(&nap, NULL);
	}
	for (int i = 0; tag_held(tag); i++) {
		if (clock_now_ns() >= until)
			return error_set(-ETIMEDOUT, "a thread is still inside an operation");
		if (i > DRAIN_SPIN / PROCESS_THREAD_MAX)
			nanosleep(&nap, NULL);
	}
	return 0;
}

void process_instance_add(uint32_t instance, uint32_t rank, uint64_t job)
{
	lock_acquire(&process_lock);
	for (int i = 0; page && i < PROCESS_INSTANCE_MAX; i++) {
		if (page->instance[i].instance)
			continue;
		page->instance[i].rank = rank;
		page->instance[i].job = job;
		__atomic_store_n(&page->instance[i].instance, instance, __ATOMIC_RELEASE);
		break;
	}
	lock_release(&process_lock);
}

void process_instance_remove(uint32_t instance)
{
	lock_acquire(&process_lock);
	for (int i = 0; page && i < PROCESS_INSTANCE_MAX; i++)
		if (page->instance[i].instance == instance)
			page->instance[i].instance = 0;
	lock_release(&process_lock);
}
