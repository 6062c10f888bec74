/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * track.h -- which pages of a mapping this process wrote: the page tables know
 *
 * Asynchronous write protection (userfaultfd) and PAGEMAP_SCAN: the first store into a page costs one
 * fault that the kernel handles alone. Seen are stores through this mapping, also by the kernel
 * (read(2)). Not seen: writes through other mappings of the same memory, of this process or another,
 * and by devices; their writers have to report them.
 *
 * Threads: one thread at a time; the memory may be written meanwhile.
 */
#ifndef RUNTIME_PAGING_TRACK_H
#define RUNTIME_PAGING_TRACK_H

#include <stdbool.h>
#include <stdint.h>

struct track;

/*
 * Starts with all pages clean. [va, va + len) is one mapping or several, shared memory or anonymous.
 * Errors: -ENOSYS the kernel lacks it (Linux 6.7), -EACCES not permitted here, -EINVAL not whole
 * pages, or memory that cannot be protected, -EBUSY a userfaultfd watches it already, -EMFILE, -ENOMEM.
 */
int track_open(void *va, uint64_t len, struct track **ret_track);

/* All stores go unseen, and cost nothing, from now on. Takes NULL. */
struct track *track_close(struct track *track);

/*
 * ORs pages written since the last call into bitmap: bit n of word w is page w * 64 + n. A page that
 * is reported is clean again before this returns: what is read afterwards is what was reported, or
 * newer. With last, nothing writes any more: pages stay dirty, which is cheaper.
 * May report a page that was not written. Errors: -EIO the kernel refused: take all for dirty.
 */
int track_scan(struct track *track, bool last, uint64_t *bitmap);

#endif
