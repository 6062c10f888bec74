/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * maps.h -- what this process has mapped, as the kernel says
 *
 * Threads: any thread. The answer is that of the moment.
 */
#ifndef BASE_MAPS_H
#define BASE_MAPS_H

#include <stddef.h>

/*
 * Is all of [start, start + len) mapped for reading and writing?
 * Errors: -EFAULT not all of it is mapped, -EACCES a part is not for reading and writing, -ENOSYS
 * no /proc to ask, -EMFILE. Each with a text.
 */
int maps_writable(const void *start, size_t len);

#endif
