/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * maps.h -- what this process has mapped, as the kernel says, and other memory in its place
 *
 * Threads: any thread. The answer is that of the moment.
 */
#ifndef BASE_MAPS_H
#define BASE_MAPS_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Is all of [start, start + len) mapped for reading and writing?
 * Errors: -EFAULT not all of it is mapped, -EACCES a part is not for reading and writing, -ENOSYS
 * no /proc to ask, -EMFILE. Each with a text.
 */
int maps_writable(const void *start, size_t len);

/*
 * mmap(2) with MAP_FIXED in the place of a mapping that other threads may be using: for them it is
 * one step, they find the old memory or the new. ThreadSanitizer takes mmap() for a store to all of it,
 * which would race with theirs; so this asks the kernel directly. Returns 0 or -errno.
 */
int maps_replace(void *va, size_t len, int prot, int flags, int fd, off_t off);

#endif
