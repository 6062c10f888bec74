/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kernel.c -- a userfaultfd, or in words why there is none
 *
 * With the right to it the descriptor also covers faults of the kernel itself (read(2) into missing
 * memory, KVM); without, those of user code only, which needs no right.
 */
#include "runtime/paging/kernel.h"
#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int uffd_new(const char *need)
{
	int fd = -1;

	if (alloc_fault_point())
		return error_set(-EMFILE, "no descriptor for a userfaultfd");
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == EPERM)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (fd >= 0)
		return fd;
	if (errno == EPERM)
		return error_set(
			-EACCES,
			"%s needs userfaultfd(2), which is not permitted here: a container's "
			"seccomp filter has to let it through",
			need);
	if (errno == ENOSYS)
		return error_set(-ENOSYS,
				 "%s needs userfaultfd(2): a kernel with CONFIG_USERFAULTFD", need);
	return error_set(-EMFILE, "no descriptor for a userfaultfd: %s", strerror(errno));
}

int kernel_uffd_open(uint64_t features, const char *need, int *ret_fd)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = uffd_new(need);

	if (fd < 0)
		return fd;
	if (ioctl(fd, UFFDIO_API, &api) < 0) {
		close(fd);
		return error_set(-ENOSYS,
				 "%s needs userfaultfd features 0x%llx, which this kernel lacks: "
				 "Linux 6.7 or later has them",
				 need, (unsigned long long)features);
	}
	*ret_fd = fd;
	return 0;
}
