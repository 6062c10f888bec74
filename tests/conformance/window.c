/* SPDX-License-Identifier: BSD-3-Clause */
/* window.c -- conformance of windows: loads, stores, SAME_VA, parts, plain-VA calls, bus addresses */
#include "tests/conformance/conform.h"

#include <errno.h>
#include <farbus/inline.h>
#include <sys/mman.h>

#define R FARBUS_R
#define RW (FARBUS_R | FARBUS_W)
#define RWA (FARBUS_R | FARBUS_W | FARBUS_A)
#define PAGE 4096u
#define PAGES 16u
#define PROT_RW (PROT_READ | PROT_WRITE)

enum { READY, WRITTEN, SEEN, DONE, END };

static void *map_must(struct farbus_region *region, uint64_t off, size_t len, int prot)
{
	void *va = NULL;

	MUST(farbus_map(region, off, len, prot, FARBUS_MAP_DIRECT, &va));
	return va;
}

/* ---- loads and stores ---- */

static void load_store(struct rank *rank)
{
	struct farbus_region *region;
	volatile uint8_t *va, *read_only;

	if (rank->rank == 0) {
		region = rank_alloc(rank, PAGES * PAGE, 0);
		region_va(region)[3 * PAGE + 1] = 44;
		rank_grant(rank, region, PAGE, (PAGES - 2) * PAGE, RW, 0);
		step_meet(rank, READY);
		step_wait(rank->stage, WRITTEN, 1);
		CHECK(pattern_diff(region_va(region) + 3 * PAGE, 5 * PAGE, 4) == 5 * PAGE);
		CHECK(region_va(region)[3 * PAGE - 1] == 0 && region_va(region)[8 * PAGE] == 0);
		step_meet(rank, DONE);
		return;
	}
	step_meet(rank, READY);
	region = rank_import(rank, 0);
	va = map_must(region, 2 * PAGE, 5 * PAGE, PROT_RW);
	read_only = map_must(region, 2 * PAGE, PAGE, PROT_READ);
	CHECK(va[1] == 44 && read_only[1] == 44);
	pattern_fill((uint8_t *)va, 5 * PAGE, 4);
	CHECK(pattern_diff((const uint8_t *)read_only, PAGE, 4) == PAGE);
	step_reach(rank->stage, WRITTEN);
	step_meet(rank, DONE);
	MUST(farbus_unmap(rank->farbus, (void *)va, 5 * PAGE));
	MUST(farbus_unmap(rank->farbus, (void *)read_only, PAGE));
}

static void map_refused(struct rank *rank)
{
	struct farbus_region *region, *mine = rank_alloc(rank, PAGE, 0);
	void *va = NULL;

	if (rank->rank == 0) {
		rank_grant(rank, rank_alloc(rank, PAGES * PAGE, 0), 0, PAGES * PAGE, R, 0);
		step_meet(rank, READY);
		step_meet(rank, DONE);
		return;
	}
	step_meet(rank, READY);
	region = rank_import(rank, 0);
	REFUSED(farbus_map(region, 0, PAGE, PROT_READ, FARBUS_MAP_PAGED, &va), -ENOTSUP,
		"not available on this path");
	REFUSED(farbus_map(region, 0, PAGE, PROT_READ, 0x100, &va), -EINVAL, "flags");
	REFUSED(farbus_map(region, 0, PAGE, PROT_WRITE, 0, &va), -EINVAL, "PROT_READ");
	REFUSED(farbus_map(region, 0, PAGE, PROT_READ | PROT_EXEC, 0, &va), -EINVAL, "prot");
	REFUSED(farbus_map(region, 100, PAGE, PROT_READ, 0, &va), -EINVAL, "whole pages");
	REFUSED(farbus_map(region, 0, 0, PROT_READ, 0, &va), -EINVAL, "at least one");
	REFUSED(farbus_map(region, PAGE, PAGES * PAGE, PROT_READ, 0, &va), -ERANGE, "past the end");
	REFUSED(farbus_map(region, UINT64_MAX - PAGE + 1, PAGE, PROT_READ, 0, &va), -ERANGE,
		"past the end");
	REFUSED(farbus_map(NULL, 0, PAGE, PROT_READ, 0, &va), -EINVAL, "region");
	if (rank->stage->class != CONFORM_MAPPED) {
		REFUSED(farbus_map(region, 0, PAGE, PROT_READ, 0, &va), -ENOTSUP, "put and get");
	} else {
		REFUSED(farbus_map(region, 0, PAGE, PROT_RW, 0, &va), -EACCES, "needs right");
		REFUSED(farbus_map(region, 0, PAGE, PROT_READ, FARBUS_MAP_SAME_VA, &va), -ENOTSUP,
			"SAME_VA");
	}
	CHECK(!va);
	REFUSED(farbus_unmap(rank->farbus, region_va(mine) + 8, PAGE), -EINVAL, "pages");
	REFUSED(farbus_unmap(rank->farbus, region_va(mine), PAGE), -ENOENT, "no window");
	REFUSED(farbus_unmap(rank->farbus, (void *)0x10000, PAGE), -ENOENT, "no window");
	REFUSED(farbus_unmap(rank->farbus, region_va(mine), 0), -EINVAL, "at least one");
	step_meet(rank, DONE);
}

/* ---- SAME_VA ---- */

struct item {
	struct item *next;
	uint64_t value;
};

/* A list whose pointers are good in every instance: the home makes half, the importer the rest. */
static void same_va_home(struct rank *rank)
{
	struct farbus_region *region = rank_alloc(rank, 4u << 20, FARBUS_REGION_SAME_VA);
	struct item *item = (struct item *)(void *)region_va(region);
	uint64_t sum = 0;
	void *va = NULL;

	for (uint64_t i = 0; i < 1000; i++)
		item[i * 37] = (struct item){ i < 999 ? &item[(i + 1) * 37] : NULL, i };
	MUST(farbus_map(region, 0, PAGE, PROT_RW, FARBUS_MAP_SAME_VA, &va));
	CHECK(va == item);
	rank_grant(rank, region, 0, 4u << 20, RW, 0);
	rank_grant(rank, region, 1u << 20, 1u << 20, RW, 1);
	step_meet(rank, READY);
	step_wait(rank->stage, WRITTEN, 1);
	for (const struct item *at = item; at; at = at->next)
		sum += at->value;
	CHECK(sum == 999 * 1000 / 2 + 5000);
	step_meet(rank, DONE);
	MUST(farbus_region_release(region));
}

static void same_va_importer(struct rank *rank)
{
	struct farbus_region *region = rank_import(rank, 0), *part = rank_import(rank, 1);
	struct farbus_region_info info;
	struct item *item, *last;
	void *va = NULL, *taken;
	farbus_addr_t addr;
	uint64_t n = 0;

	MUST(farbus_region_info(region, &info));
	MUST(farbus_map(region, 0, info.len, PROT_RW, FARBUS_MAP_SAME_VA, &va));
	item = va;
	for (last = item; last->next; last = last->next)
		CHECK(last->value == n++);
	CHECK(n == 999);
	last->next = &item[999 * 37 + 1];
	*last->next = (struct item){ NULL, 5000 };
	step_reach(rank->stage, WRITTEN);
	REFUSED(farbus_map(region, 0, PAGE, PROT_RW, FARBUS_MAP_SAME_VA, &va), -EEXIST, NULL);
	REFUSED(farbus_map(part, 0, PAGE, PROT_RW, FARBUS_MAP_SAME_VA, &va), -EEXIST, NULL);
	MUST(farbus_where(rank->farbus, last, &addr));
	CHECK(addr.region == info.region && addr.offset == 999 * 37 * sizeof(*item));
	MUST(farbus_unmap(rank->farbus, item, info.len));
	/* A part has its part of the addresses; something else there is not overwritten. */
	MUST(farbus_map(part, PAGE, PAGE, PROT_RW, FARBUS_MAP_SAME_VA, &va));
	CHECK((uint8_t *)va == (uint8_t *)item + (1u << 20) + PAGE);
	taken = mmap(item, PAGE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(taken == (void *)item);
	item->value = 6;
	REFUSED(farbus_map(region, 0, PAGE, PROT_RW, FARBUS_MAP_SAME_VA, &va), -EEXIST, NULL);
	CHECK(item->value == 6);
	munmap(taken, PAGE);
}

static void same_va(struct rank *rank)
{
	if (rank->rank == 0) {
		same_va_home(rank);
		return;
	}
	step_meet(rank, READY);
	same_va_importer(rank);
	step_meet(rank, DONE);
}

/* ---- parts ---- */

static void where_page(struct rank *rank, const uint8_t *va, uint64_t page, bool there)
{
	farbus_addr_t addr;
	uint8_t byte;

	if (!there) {
		REFUSED(farbus_where(rank->farbus, va + page * PAGE, &addr), -ENOENT, "no window");
		REFUSED(farbus_get_va(rank->farbus, va + page * PAGE, &byte, 1), -EFAULT,
			"no window");
		return;
	}
	MUST(farbus_where(rank->farbus, va + page * PAGE + 5, &addr));
	CHECK(addr.offset == page * PAGE + 5);
	MUST(farbus_get_va(rank->farbus, va + page * PAGE, &byte, 1));
	CHECK(byte == page + 1 && va[page * PAGE] == byte);
}

static void unmap_parts(struct rank *rank)
{
	static const uint8_t order[][2] = { { 5, 1 }, { 0, 1 },	 { 15, 1 }, { 9, 3 },
					    { 1, 4 }, { 12, 3 }, { 6, 3 } };
	bool there[PAGES];
	struct farbus_region *region;
	uint8_t *va;

	if (rank->rank == 0) {
		region = rank_alloc(rank, PAGES * PAGE, 0);
		for (uint32_t i = 0; i < PAGES; i++)
			region_va(region)[i * PAGE] = (uint8_t)(i + 1);
		rank_grant(rank, region, 0, PAGES * PAGE, RW, 0);
		step_meet(rank, READY);
		step_meet(rank, DONE);
		return;
	}
	step_meet(rank, READY);
	region = rank_import(rank, 0);
	va = map_must(region, 0, PAGES * PAGE, PROT_RW);
	memset(there, true, sizeof(there));
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		MUST(farbus_unmap(rank->farbus, va + order[i][0] * PAGE, order[i][1] * PAGE));
		memset(there + order[i][0], false, order[i][1]);
		for (uint32_t page = 0; page < PAGES; page++)
			where_page(rank, va, page, there[page]);
		REFUSED(farbus_unmap(rank->farbus, va + order[i][0] * PAGE, order[i][1] * PAGE),
			-ENOENT, "no window");
	}
	/* Nothing is unmapped when one page of the range is no window. */
	va = map_must(region, 0, 2 * PAGE, PROT_RW);
	REFUSED(farbus_unmap(rank->farbus, va, 64 * PAGE), -ENOENT, "no window");
	where_page(rank, va, 1, true);
	step_meet(rank, DONE);
}

/* ---- by plain address ---- */

static void plain_va(struct rank *rank)
{
	struct farbus_region *region;
	uint64_t value = 0, *word;
	uint8_t *va, *read_only;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 4 * PAGE, 0);
		word = (uint64_t *)(void *)region_va(region);
		rank_grant(rank, region, 0, 4 * PAGE, RWA, 0);
		/* One's own memory is a window, too. */
		MUST(farbus_atomic_va(rank->farbus, word + 1, FARBUS_ADD, 8, 4, 0, NULL));
		step_meet(rank, READY);
		step_meet(rank, DONE);
		CHECK(word[0] == 0x1234 && word[1] == 9 && word[512] == 0);
		return;
	}
	step_meet(rank, READY);
	region = rank_import(rank, 0);
	va = map_must(region, 0, 2 * PAGE, PROT_RW);
	read_only = map_must(region, PAGE, PAGE, PROT_READ);
	value = 0x1234;
	MUST(farbus_put_va(rank->farbus, va, &value, 8));
	MUST(farbus_get_va(rank->farbus, va + 8, &value, 8));
	CHECK(value == 4);
	MUST(farbus_atomic_va(rank->farbus, va + 8, FARBUS_ADD, 8, 5, 0, &value));
	CHECK(value == 4);
	REFUSED(farbus_put_va(rank->farbus, read_only, &value, 8), -EACCES, "PROT_WRITE");
	REFUSED(farbus_atomic_va(rank->farbus, read_only, FARBUS_ADD, 8, 1, 0, NULL), -EACCES,
		"PROT_WRITE");
	REFUSED(farbus_put_va(rank->farbus, va + 2 * PAGE - 4, &value, 8), -ERANGE, "past");
	REFUSED(farbus_put_va(rank->farbus, &value, &value, 8), -EFAULT, "no window");
	REFUSED(farbus_put_va(rank->farbus, va, &value, 0), -EINVAL, "0 bytes");
	REFUSED(farbus_get_va(rank->farbus, (void *)~0xfffull, &value, 8), -EFAULT, "no window");
	REFUSED(farbus_atomic_va(rank->farbus, va + 4, FARBUS_ADD, 8, 1, 0, NULL), -EINVAL,
		"multiple of 8");
	MUST(farbus_flush(rank->farbus, region, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT));
	step_meet(rank, DONE);
}

/* ---- bus addresses travel ---- */

static void bus_address(struct rank *rank)
{
	struct farbus_region *region, *found = NULL;
	farbus_addr_t addr;
	uint64_t off = 0;
	uint8_t *va;

	if (rank->rank == 0) {
		region = rank_alloc(rank, 4 * PAGE, 0);
		rank_grant(rank, region, PAGE, 2 * PAGE, RW, 0);
		MUST(farbus_where(rank->farbus, region_va(region) + 2 * PAGE + 17, &addr));
		word_set(rank->stage, 0, addr.region);
		word_set(rank->stage, 1, addr.offset);
		step_meet(rank, READY);
		MUST(farbus_addr_resolve(rank->farbus, addr, &found, &off));
		CHECK(found == region && off == 2 * PAGE + 17);
		addr.offset = 4 * PAGE;
		REFUSED(farbus_addr_resolve(rank->farbus, addr, &found, &off), -ENOENT,
			"import it");
		step_meet(rank, DONE);
		return;
	}
	step_meet(rank, READY);
	addr = (farbus_addr_t){ word_get(rank->stage, 0), word_get(rank->stage, 1) };
	REFUSED(farbus_addr_resolve(rank->farbus, addr, &found, &off), -ENOENT, "import it");
	region = rank_import(rank, 0);
	MUST(farbus_addr_resolve(rank->farbus, addr, &found, &off));
	CHECK(found == region && off == PAGE + 17);
	if (rank->stage->class == CONFORM_MAPPED) {
		va = map_must(region, PAGE, PAGE, PROT_RW);
		MUST(farbus_where(rank->farbus, va + 17, &addr));
		CHECK(addr.region == word_get(rank->stage, 0));
		CHECK(addr.offset == word_get(rank->stage, 1));
	}
	addr.offset = 0; /* before the grant */
	REFUSED(farbus_addr_resolve(rank->farbus, addr, &found, &off), -ENOENT, "import it");
	REFUSED(farbus_where(rank->farbus, &off, &addr), -ENOENT, "no window");
	step_meet(rank, DONE);
}

/* ---- many ---- */

#define MANY 200

static void many_windows(struct rank *rank)
{
	struct farbus_region *region;
	uint8_t *va[MANY];
	farbus_addr_t addr;

	if (rank->rank == 0) {
		rank_grant(rank, rank_alloc(rank, 4u << 20, 0), 0, 4u << 20, RW, 0);
		step_meet(rank, READY);
		step_meet(rank, DONE);
		return;
	}
	step_meet(rank, READY);
	region = rank_import(rank, 0);
	for (uint32_t i = 0; i < MANY; i++)
		va[i] = map_must(region, i * 5 * PAGE, (i % 5 + 1) * PAGE, PROT_RW);
	/* Every other one goes, each of the rest is still right. */
	for (uint32_t i = 0; i < MANY; i += 2)
		MUST(farbus_unmap(rank->farbus, va[i], (i % 5 + 1) * PAGE));
	for (uint32_t i = 1; i < MANY; i += 2) {
		MUST(farbus_where(rank->farbus, va[i] + i % 5 * PAGE + 9, &addr));
		CHECK(addr.offset == i * 5 * PAGE + i % 5 * PAGE + 9);
	}
	/* A whole block of 2 MiB, then a hole in it. */
	va[0] = map_must(region, 0, 4u << 20, PROT_RW);
	MUST(farbus_unmap(rank->farbus, va[0] + (1u << 20), PAGE));
	MUST(farbus_where(rank->farbus, va[0] + (1u << 20) + PAGE, &addr));
	CHECK(addr.offset == (1u << 20) + PAGE);
	REFUSED(farbus_where(rank->farbus, va[0] + (1u << 20), &addr), -ENOENT, "no window");
	MUST(farbus_region_release(region)); /* takes the windows along */
	REFUSED(farbus_where(rank->farbus, va[1], &addr), -ENOENT, "no window");
	step_meet(rank, DONE);
}

/* TSAN's own map of the address space leaves no room for the arena of SAME_VA. */
#ifdef __SANITIZE_THREAD__
#define SAME_VA_CLASS 0
#else
#define SAME_VA_CLASS CONFORM_MAPPED
#endif

static const struct property property[] = {
	{ "map__direct__loads_and_stores_reach_the_home", CONFORM_MAPPED, 2, load_store, NULL, 0,
	  0 },
	{ "map__not_possible__refused_with_the_reason", CONFORM_ALL, 2, map_refused, NULL, 0, 0 },
	{ "map__same_va__pointers_travel", SAME_VA_CLASS, 2, same_va, NULL, 0, 0 },
	{ "unmap__parts_in_any_order__rest_stays", CONFORM_MAPPED, 2, unmap_parts, NULL, 0, 0 },
	{ "put_get_atomic_va__window_and_own_memory__as_by_offset", CONFORM_MAPPED, 2, plain_va,
	  NULL, 0, 0 },
	{ "where_resolve__between_instances__same_byte", CONFORM_ALL, 2, bus_address, NULL, 0, 0 },
	{ "map__many_and_holes__each_translates", CONFORM_MAPPED, 2, many_windows, NULL, 0, 0 },
};

int main(int argc, char **argv)
{
	return conform_main(argc, argv, property, sizeof(property) / sizeof(property[0]));
}
