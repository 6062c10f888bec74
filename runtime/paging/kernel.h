/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kernel.h -- what the headers of Debian 12 do not have yet: asynchronous write protection and
 * PAGEMAP_SCAN (Linux 6.7)
 *
 * Names and values are the kernel's (include/uapi/linux/userfaultfd.h, fs.h).
 */
#ifndef RUNTIME_PAGING_KERNEL_H
#define RUNTIME_PAGING_KERNEL_H

#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

#ifndef PAGEMAP_SCAN
struct page_region {
	uint64_t start, end, categories;
};

struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_WRITTEN (1 << 1)
#define PM_SCAN_WP_MATCHING (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)
#endif

/*
 * A userfaultfd with these features, for faults of this process. need says what for, in the texts.
 * Errors: -EACCES not permitted, -ENOSYS the kernel lacks it, -EMFILE.
 */
int kernel_uffd_open(uint64_t features, const char *need, int *ret_fd);

#endif
