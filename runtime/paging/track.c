/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * track.c -- written pages, from the page tables
 *
 * Invariant: while a track is open all of [va, va + len) is registered for write protection.
 */
#include "runtime/paging/track.h"
#include "addrmap/addr.h"
#include "base/alloc.h"
#include "base/error.h"
#include "runtime/paging/kernel.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRACK_NEED "finding written pages"
#define TRACK_FEATURES \
	(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)
#define VEC_LEN 512

struct track {
	uint64_t va, len;
	int uffd, pagemap; /* owned */
	struct page_region vec[VEC_LEN];
};

struct track *track_close(struct track *track)
{
	if (!track)
		return NULL;
	if (track->uffd >= 0)
		close(track->uffd); /* unregisters, and takes the protection off */
	if (track->pagemap >= 0)
		close(track->pagemap);
	free(track);
	return NULL;
}

static int range_register(struct track *track)
{
	struct uffdio_register reg = { .range = { track->va, track->len },
				       .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wp = { .range = { track->va, track->len },
					  .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	if (ioctl(track->uffd, UFFDIO_REGISTER, &reg) < 0) {
		if (errno == EBUSY)
			return error_set(-EBUSY, TRACK_NEED ": this memory is watched already");
		return error_set(-EINVAL, TRACK_NEED ": this memory cannot be watched: %s",
				 strerror(errno));
	}
	if (ioctl(track->uffd, UFFDIO_WRITEPROTECT, &wp) < 0)
		return error_set(-EINVAL, TRACK_NEED ": this memory cannot be protected: %s",
				 strerror(errno));
	return 0;
}

/* One call of the kernel; returns how many ranges it wrote, or a negative errno. */
static int64_t scan_some(struct track *track, uint64_t start, bool last, uint64_t *ret_end)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_CHECK_WPASYNC | (last ? 0 : PM_SCAN_WP_MATCHING),
		.start = start,
		.end = track->va + track->len,
		.vec = (uintptr_t)track->vec,
		.vec_len = VEC_LEN,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int n = ioctl(track->pagemap, PAGEMAP_SCAN, &arg);

	if (n < 0)
		return -errno;
	*ret_end = arg.walk_end;
	return n;
}

/* The kernel knows the call, and lets us: or says so now, not in the middle of a move. */
static int scan_probe(struct track *track)
{
	uint64_t end;
	int64_t n = scan_some(track, track->va, true, &end);

	if (n >= 0)
		return 0;
	if (n == -ENOTTY)
		return error_set(-ENOSYS, TRACK_NEED " needs PAGEMAP_SCAN of /proc/self/pagemap: "
						     "Linux 6.7 or later has it");
	return error_set(-EACCES, TRACK_NEED " needs PAGEMAP_SCAN of /proc/self/pagemap: %s",
			 strerror((int)-n));
}

int track_open(void *va, uint64_t len, struct track **ret_track)
{
	struct track *track;
	int err;

	if (len == 0 || len % ADDR_PAGE_SIZE || (uintptr_t)va % ADDR_PAGE_SIZE)
		return error_set(-EINVAL, TRACK_NEED ": the memory does not consist of pages");
	track = alloc_zero(sizeof(*track));
	if (!track)
		return error_set(-ENOMEM, TRACK_NEED ": no memory");
	*track = (struct track){ .va = (uintptr_t)va, .len = len, .uffd = -1 };
	track->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (track->pagemap < 0) {
		err = error_set(errno == EMFILE || errno == ENFILE ? -EMFILE : -EACCES,
				TRACK_NEED " needs /proc/self/pagemap: %s", strerror(errno));
		goto close_track;
	}
	err = kernel_uffd_open(TRACK_FEATURES, TRACK_NEED, &track->uffd);
	if (err == 0)
		err = range_register(track);
	if (err == 0)
		err = scan_probe(track);
	if (err < 0)
		goto close_track;
	*ret_track = track;
	return 0;

close_track:
	track_close(track);
	return err;
}

static void pages_set(uint64_t *bitmap, uint64_t page, uint64_t end)
{
	for (; page < end && page % 64; page++)
		bitmap[page / 64] |= (uint64_t)1 << page % 64;
	for (; page + 64 <= end; page += 64)
		bitmap[page / 64] = UINT64_MAX;
	for (; page < end; page++)
		bitmap[page / 64] |= (uint64_t)1 << page % 64;
}

/* walk_end means something only after a full vec: else the walk reached the end. */
int track_scan(struct track *track, bool last, uint64_t *bitmap)
{
	uint64_t start = track->va, end = track->va + track->len, next = end;
	int64_t n;

	do {
		n = scan_some(track, start, last, &next);
		if (n < 0)
			return error_set(-EIO, TRACK_NEED ": PAGEMAP_SCAN: %s", strerror((int)-n));
		for (int64_t i = 0; i < n; i++)
			pages_set(bitmap, (track->vec[i].start - track->va) >> ADDR_PAGE_SHIFT,
				  (track->vec[i].end - track->va) >> ADDR_PAGE_SHIFT);
		start = next;
	} while (n == VEC_LEN && start < end);
	return 0;
}
