/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remap.h -- the IOMMU of the device: which memory stands behind an address a peer names
 *
 *   bus:     |range--|     |range------------|
 *               |               |
 *   memory:     +-> struct remap_memory (a mapping of the peer's descriptor, counted)
 *
 * A peer is a VM, whose addresses are guest-physical or its front end's virtual ones, or a process.
 * Every byte the device reads or writes for it is reached through remap_at() or remap_piece(), and
 * so lies inside a range the peer gave, with the right it gave.
 *
 * A new map is drafted while the old one serves, and takes its place at once: remap_flip(). Each
 * flip is a new generation, and whoever kept a pointer of an older one has to look it up again.
 * Memory that both maps name is mapped once: what a hypervisor's replacement hands in is the same
 * memory, and no page of it is touched.
 *
 * Threads: one thread at a time.
 */
#ifndef NICDRV_REMAP_H
#define NICDRV_REMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REMAP_RANGE_MAX 512  /* ranges of a map */
#define REMAP_MEMORY_MAX 512 /* different mappings of all maps together */

enum remap_right { REMAP_READ = 1, REMAP_WRITE = 2 };

struct remap_memory;

/*
 * Maps len bytes of fd from off on for reading and writing. The same bytes of the same file are
 * mapped once, and counted. If the peer cuts its file short afterwards, the mapping becomes zeros
 * of our own, and remap_memory_lost() says so.
 * Ownership: fd stays the caller's, and may be closed.
 * Errors: -EINVAL empty or past the largest offset; -ERANGE past the end of the file; -EBADF not
 * open for writing; -ENOSPC REMAP_MEMORY_MAX; -ENOMEM.
 */
int remap_memory_open(int fd, uint64_t off, uint64_t len, struct remap_memory **ret_memory);
struct remap_memory *remap_memory_get(struct remap_memory *memory);
struct remap_memory *remap_memory_put(struct remap_memory *memory); /* takes NULL */
void *remap_memory_start(const struct remap_memory *memory);
uint64_t remap_memory_len(const struct remap_memory *memory);
bool remap_memory_lost(const struct remap_memory *memory);
/* The same file? Then ret_off is how far into it each of the two begins. */
bool remap_memory_same(const struct remap_memory *a, const struct remap_memory *b,
		       uint64_t ret_off[2]);

struct remap_range {
	uint64_t bus, len;
	struct remap_memory *memory; /* counted */
	uint64_t off;		     /* in memory */
	unsigned int rights;	     /* enum remap_right */
};

struct remap {
	struct remap_range *live, *draft; /* owned, sorted by bus */
	uint32_t live_count, draft_count;
	uint32_t hit; /* the range that served last: most lookups stay in it */
	bool aliased; /* some bytes have more than one address */
	uint64_t generation;
};

/* Errors: -ENOMEM. */
int remap_init(struct remap *ret_remap);
void remap_fini(struct remap *remap); /* of zeros is fine */

/* The draft becomes empty, or a copy of the live map. */
void remap_draft_clear(struct remap *remap);
void remap_draft_copy(struct remap *remap);

/*
 * Errors, with the draft as it was: -EINVAL empty, wraps, outside memory, no right; -EEXIST
 * overlaps; -ENOSPC.
 * Ownership: counts memory once more.
 */
int remap_draft_add(struct remap *remap, const struct remap_range *range);
/* Errors: -ENOENT no range is exactly this one. */
int remap_draft_remove(struct remap *remap, uint64_t bus, uint64_t len);

/* The draft becomes the live map, and is empty then. */
void remap_flip(struct remap *remap);

/* As much of [bus, bus + len) as is contiguous here; 0 and NULL: nothing, or not with rights. */
uint64_t remap_piece(struct remap *remap, uint64_t bus, uint64_t len, unsigned int rights,
		     void **ret_at);

/* All of it in one piece, or NULL. */
static inline void *remap_at(struct remap *remap, uint64_t bus, uint64_t len, unsigned int rights)
{
	void *at;

	return remap_piece(remap, bus, len, rights, &at) == len && len > 0 ? at : NULL;
}

/* Copies out, across ranges. False: not all of it is mapped. */
bool remap_read(struct remap *remap, uint64_t bus, void *to, uint64_t len);

/*
 * The first bus address that shows this memory; after: only ranges behind the one with that bus
 * address count, UINT64_MAX stands for "from the first". False: none (any more).
 */
bool remap_reverse(const struct remap *remap, const void *at, uint64_t after, uint64_t *ret_bus);

/*
 * Every other live address of the bytes at [bus, bus + len), in pieces. A walk over the table: who
 * wants it asks remap->aliased first.
 */
void remap_aliases(const struct remap *remap, uint64_t bus, uint64_t len,
		   void (*visit)(void *arg, uint64_t bus, uint64_t len), void *arg);

/* Did the peer take memory from under a live range? */
bool remap_lost(const struct remap *remap);

void remap_check(const struct remap *remap);

#endif
