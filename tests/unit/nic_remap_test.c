/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_remap_test.c -- the device's maps: what is reached, what is refused, what a flip leaves alone */
#include "addrmap_common.h"
#include "base/process.h"
#include "base_common.h"
#include "nicdrv/remap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1ull << 20)
#define BOTH (REMAP_READ | REMAP_WRITE)

struct world {
	struct remap remap;
	int fd;
	uint8_t *memory;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_int_equal(remap_init(&world->remap), 0);
	world->fd = memfd_create("peer", MFD_CLOEXEC);
	assert_int_equal(ftruncate(world->fd, 4 * MIB), 0);
	world->memory = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, world->fd, 0);
	assert_true(world->memory != MAP_FAILED);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	remap_check(&world->remap);
	remap_fini(&world->remap);
	munmap(world->memory, 4 * MIB);
	close(world->fd);
	free(world);
	return 0;
}

static int draft(struct world *world, uint64_t bus, uint64_t off, uint64_t len, unsigned rights)
{
	struct remap_range range = { .bus = bus, .len = len, .rights = rights };
	int err;

	assert_int_equal(remap_memory_open(world->fd, off, len, &range.memory), 0);
	err = remap_draft_add(&world->remap, &range);
	remap_memory_put(range.memory);
	return err;
}

static void map(struct world *world, uint64_t bus, uint64_t off, uint64_t len)
{
	remap_draft_copy(&world->remap);
	assert_int_equal(draft(world, bus, off, len, BOTH), 0);
	remap_flip(&world->remap);
}

static void at__every_boundary__inside_alone(void **state)
{
	struct world *world = *state;
	struct remap *remap = &world->remap;

	map(world, 0x10000, MIB, 0x4000);
	map(world, 0x20000, 2 * MIB, 0x1000);
	world->memory[MIB] = 0x11;
	world->memory[2 * MIB + 0xfff] = 0x22;
	assert_int_equal(*(uint8_t *)remap_at(remap, 0x10000, 1, REMAP_READ), 0x11);
	assert_int_equal(*(uint8_t *)remap_at(remap, 0x20fff, 1, REMAP_READ), 0x22);
	assert_non_null(remap_at(remap, 0x10000, 0x4000, BOTH));
	assert_null(remap_at(remap, 0xffff, 1, REMAP_READ));
	assert_null(remap_at(remap, 0x14000, 1, REMAP_READ));
	assert_null(remap_at(remap, 0x10000, 0x4001, REMAP_READ));
	assert_null(remap_at(remap, 0x10000, 0, REMAP_READ));
	assert_null(remap_at(remap, UINT64_MAX, 2, REMAP_READ));
	assert_null(remap_at(remap, 0x13fff, UINT64_MAX, REMAP_READ));
	assert_null(remap_at(remap, 0, 1, REMAP_READ));
}

static void at__right_not_given__null(void **state)
{
	struct world *world = *state;

	assert_int_equal(draft(world, 0x10000, 0, 0x1000, REMAP_READ), 0);
	remap_flip(&world->remap);
	assert_non_null(remap_at(&world->remap, 0x10000, 8, REMAP_READ));
	assert_null(remap_at(&world->remap, 0x10000, 8, REMAP_WRITE));
	assert_null(remap_at(&world->remap, 0x10000, 8, BOTH));
}

static void read__across_ranges__whole_or_not_at_all(void **state)
{
	struct world *world = *state;
	uint8_t bytes[16];

	map(world, 0x10000, MIB, 0x1000);
	map(world, 0x11000, 0, 0x1000);
	memset(world->memory + MIB + 0xff8, 1, 8);
	memset(world->memory, 2, 8);
	assert_true(remap_read(&world->remap, 0x10ff8, bytes, 16));
	for (int i = 0; i < 16; i++)
		assert_int_equal(bytes[i], i < 8 ? 1 : 2);
	assert_false(remap_read(&world->remap, 0x11ff8, bytes, 16));
}

static void draft_add__what_can_never_be_right__refused(void **state)
{
	struct world *world = *state;
	struct remap_range range = { .bus = UINT64_MAX - 0x1000, .len = 0x1000, .rights = BOTH };

	assert_int_equal(draft(world, 0x10000, 0, 0x2000, BOTH), 0);
	assert_int_equal(draft(world, 0x11000, 0, 0x1000, BOTH), -EEXIST);
	assert_int_equal(draft(world, 0xf000, 0, 0x2000, BOTH), -EEXIST);
	assert_int_equal(draft(world, 0xf000, 0, 0x4000, BOTH), -EEXIST);
	assert_int_equal(draft(world, 0x12000, 0, 0x1000, 0), -EINVAL);
	assert_int_equal(draft(world, 0x12000, 0, 0x1000, 4), -EINVAL);
	assert_int_equal(draft(world, 0xf000, 0, 0x1000, BOTH), 0);
	assert_int_equal(remap_memory_open(world->fd, 0, 0x1000, &range.memory), 0);
	assert_int_equal(remap_draft_add(&world->remap, &range), 0);
	range.bus++;
	assert_int_equal(remap_draft_add(&world->remap, &range), -EINVAL);
	range.bus = 0x100000;
	range.off = 1;
	assert_int_equal(remap_draft_add(&world->remap, &range), -EINVAL);
	range.len = 0;
	assert_int_equal(remap_draft_add(&world->remap, &range), -EINVAL);
	remap_memory_put(range.memory);
	assert_int_equal(world->remap.draft_count, 3);
}

static void draft_add__full__enospc(void **state)
{
	struct world *world = *state;

	for (uint64_t i = 0; i < REMAP_RANGE_MAX; i++)
		assert_int_equal(draft(world, i * 0x2000, 0, 0x1000, BOTH), 0);
	assert_int_equal(draft(world, 0x2000ull * REMAP_RANGE_MAX, 0, 0x1000, BOTH), -ENOSPC);
	remap_check(&world->remap);
}

static void memory_open__full__enospc(void **state)
{
	struct remap_memory *memory[REMAP_MEMORY_MAX], *one_more;
	struct world *world = *state;

	for (uint64_t i = 0; i < REMAP_MEMORY_MAX; i++)
		assert_int_equal(remap_memory_open(world->fd, i * 4096, 4096, &memory[i]), 0);
	assert_int_equal(remap_memory_open(world->fd, 0, 8192, &one_more), -ENOSPC);
	/* What is there already takes no more room. */
	assert_int_equal(remap_memory_open(world->fd, 0, 4096, &one_more), 0);
	assert_ptr_equal(one_more, memory[0]);
	remap_memory_put(one_more);
	for (uint64_t i = 0; i < REMAP_MEMORY_MAX; i++)
		remap_memory_put(memory[i]);
}

static void memory_open__what_it_cannot_be__refused(void **state)
{
	struct world *world = *state;
	struct remap_memory *memory = NULL;
	int pipe_fd[2], read_only;
	char path[64];

	assert_int_equal(remap_memory_open(world->fd, 0, 0, &memory), -EINVAL);
	assert_int_equal(remap_memory_open(world->fd, INT64_MAX, 1, &memory), -EINVAL);
	assert_int_equal(remap_memory_open(world->fd, 0, 4 * MIB + 1, &memory), -ERANGE);
	assert_int_equal(remap_memory_open(world->fd, 4 * MIB, 1, &memory), -ERANGE);
	assert_int_equal(pipe(pipe_fd), 0);
	assert_int_equal(remap_memory_open(pipe_fd[0], 0, 1, &memory), -ERANGE);
	close(pipe_fd[0]);
	assert_int_equal(remap_memory_open(pipe_fd[0], 0, 1, &memory), -EBADF);
	close(pipe_fd[1]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", world->fd);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(remap_memory_open(read_only, 0, 4096, &memory), -EBADF);
	close(read_only);
	assert_null(memory);
}

static void flip__same_memory__same_mapping_and_next_generation(void **state)
{
	struct world *world = *state;
	struct remap *remap = &world->remap;
	uint64_t generation;
	uint8_t *before;

	map(world, 0x10000, MIB, 0x1000);
	before = remap_at(remap, 0x10000, 1, BOTH);
	generation = remap->generation;
	/* As a hypervisor's replacement names it: other addresses, the same bytes. */
	remap_draft_clear(remap);
	assert_int_equal(draft(world, 0x90000, MIB, 0x1000, BOTH), 0);
	assert_ptr_equal(remap_at(remap, 0x10000, 1, BOTH), before);
	remap_flip(remap);
	assert_int_equal(remap->generation, generation + 1);
	assert_null(remap_at(remap, 0x10000, 1, BOTH));
	assert_ptr_equal(remap_at(remap, 0x90000, 1, BOTH), before);
	assert_int_equal(remap->draft_count, 0);
}

static void draft_remove__exactly_one_range__gone_after_the_flip(void **state)
{
	struct world *world = *state;
	struct remap *remap = &world->remap;

	map(world, 0x10000, 0, 0x1000);
	map(world, 0x20000, MIB, 0x1000);
	remap_draft_copy(remap);
	assert_int_equal(remap_draft_remove(remap, 0x10000, 0x2000), -ENOENT);
	assert_int_equal(remap_draft_remove(remap, 0x10001, 0xfff), -ENOENT);
	assert_int_equal(remap_draft_remove(remap, 0x30000, 0x1000), -ENOENT);
	assert_int_equal(remap_draft_remove(remap, 0x10000, 0x1000), 0);
	assert_non_null(remap_at(remap, 0x10000, 1, BOTH));
	remap_flip(remap);
	assert_null(remap_at(remap, 0x10000, 1, BOTH));
	assert_non_null(remap_at(remap, 0x20000, 1, BOTH));
}

/* In a child: cmocka has the signal handlers of this process. */
static void in_lost__file_cut_short__zeros_and_only_that_peer(void *arg)
{
	struct remap_memory *memory, *again;
	volatile uint8_t *at;
	int fd = memfd_create("peer", MFD_CLOEXEC);

	(void)arg;
	CHECK(process_get(NULL) == 0);
	CHECK(ftruncate(fd, 4 * MIB) == 0);
	CHECK(remap_memory_open(fd, 2 * MIB, 0x2000, &memory) == 0);
	at = remap_memory_start(memory);
	*at = 7;
	CHECK(!remap_memory_lost(memory));
	CHECK(ftruncate(fd, MIB) == 0);
	CHECK(*at == 0);
	*at = 9;
	CHECK(remap_memory_lost(memory));
	/* The file grows again: that is other memory, and mapped anew. */
	CHECK(ftruncate(fd, 4 * MIB) == 0);
	CHECK(remap_memory_open(fd, 2 * MIB, 0x2000, &again) == 0);
	CHECK(again != memory);
	CHECK(*(volatile uint8_t *)remap_memory_start(again) == 0);
	CHECK(!remap_memory_lost(again));
	remap_memory_put(again);
	remap_memory_put(memory);
	close(fd);
}

static void lost__file_cut_short__zeros_and_only_that_peer(void **state)
{
	(void)state;
	child_passes(in_lost__file_cut_short__zeros_and_only_that_peer, NULL);
}

static void reverse__aliases__each_in_turn(void **state)
{
	struct world *world = *state;
	struct remap *remap = &world->remap;
	uint64_t bus;
	void *at;

	map(world, 0x10000, 0, 0x1000);
	map(world, 0x50000, 0, 0x1000);
	at = remap_at(remap, 0x10123, 1, BOTH);
	assert_true(remap_reverse(remap, at, UINT64_MAX, &bus));
	assert_int_equal(bus, 0x10123);
	assert_true(remap_reverse(remap, at, bus, &bus));
	assert_int_equal(bus, 0x50123);
	assert_false(remap_reverse(remap, at, bus, &bus));
	assert_false(remap_reverse(remap, &bus, UINT64_MAX, &bus));
}

struct seen {
	uint64_t bus[8], len[8];
	unsigned count;
};

static void see(void *arg, uint64_t bus, uint64_t len)
{
	struct seen *seen = arg;

	assert_true(seen->count < COUNT_OF(seen->bus));
	seen->bus[seen->count] = bus;
	seen->len[seen->count++] = len;
}

static void aliases__parts_of_one_file_in_three_ranges__every_other_address(void **state)
{
	struct world *world = *state;
	struct remap *remap = &world->remap;
	struct seen seen = { .count = 0 };

	map(world, 0x100000, 0, 0x8000);
	assert_false(remap->aliased);
	/* Other pieces of the file, so other mappings: told apart by the file alone. */
	map(world, 0x200000, 0x4000, 0x8000);
	assert_true(remap->aliased);
	map(world, 0x300000, MIB, 0x8000);
	remap_aliases(remap, 0x105000, 0x1000, see, &seen);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.bus[0], 0x201000);
	assert_int_equal(seen.len[0], 0x1000);
	seen.count = 0;
	remap_aliases(remap, 0x102000, 0x4000, see, &seen);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.bus[0], 0x200000);
	assert_int_equal(seen.len[0], 0x2000);
	seen.count = 0;
	remap_aliases(remap, 0x201000, 0x100000, see, &seen);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.bus[0], 0x105000);
	assert_int_equal(seen.len[0], 0x3000);
	seen.count = 0;
	remap_aliases(remap, 0x300000, 0x8000, see, &seen);
	remap_aliases(remap, 0, 0x100000, see, &seen);
	assert_int_equal(seen.count, 0);
}

static void init__every_allocation_fails_once__enomem_and_no_leak(void **state)
{
	struct world *world = *state;
	struct remap_memory *memory;
	struct remap remap;
	unsigned long n = 0;
	int err;

	do {
		alloc_fault_arm(++n);
		err = remap_init(&remap);
		assert_true(err == 0 || err == -ENOMEM);
	} while (err < 0);
	alloc_fault_arm(0);
	assert_int_equal(n, 3);
	remap_fini(&remap);
	n = 0;
	do {
		alloc_fault_arm(++n);
		err = remap_memory_open(world->fd, 0, 4096, &memory);
		assert_true(err == 0 || err == -ENOMEM);
	} while (err < 0);
	alloc_fault_arm(0);
	assert_true(n >= 2);
	remap_memory_put(memory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: the handler is installed once in a process. */
		cmocka_unit_test(lost__file_cut_short__zeros_and_only_that_peer),
		TEST(at__every_boundary__inside_alone),
		TEST(at__right_not_given__null),
		TEST(read__across_ranges__whole_or_not_at_all),
		TEST(draft_add__what_can_never_be_right__refused),
		TEST(draft_add__full__enospc),
		TEST(memory_open__full__enospc),
		TEST(memory_open__what_it_cannot_be__refused),
		TEST(flip__same_memory__same_mapping_and_next_generation),
		TEST(draft_remove__exactly_one_range__gone_after_the_flip),
		TEST(reverse__aliases__each_in_turn),
		TEST(aliases__parts_of_one_file_in_three_ranges__every_other_address),
		TEST(init__every_allocation_fails_once__enomem_and_no_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
