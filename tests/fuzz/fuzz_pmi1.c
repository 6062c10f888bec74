/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_pmi1.c -- the PMI-1 client, whatever its launcher says
 *
 * The source is included: a process has one channel, and only from inside can it be given another.
 */
#include "runtime/boot/pmi1.c" /* NOLINT(bugprone-suspicious-include) */

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEND_MAX 32768 /* what a socket takes at once */

static void requests(struct pmi1 *pmi1)
{
	char blob[BOOT_VALUE_MAX];
	size_t len = 0;

	(void)pmi1_put(pmi1, "key", "blob", 4);
	(void)pmi1_fence(pmi1, NS_PER_S);
	if (pmi1_get(pmi1, "key", blob, sizeof(blob), &len, NS_PER_S) == 0)
		FARBUS_ASSERT(len <= sizeof(blob));
	(void)pmi1_get(pmi1, "other", blob, 3, &len, NS_PER_S);
}

/* The first byte says whether the launcher left a local rank; the rest are its answers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct boot_info info;
	struct pmi1 *pmi1;
	char text[16];
	int fd[2];

	if (size < 1 || size > SEND_MAX || socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		return 0;
	snprintf(text, sizeof(text), "%d", fd[0]);
	setenv("PMI_FD", text, 1);
	setenv("PMI_RANK", "2", 1);
	setenv("PMI_SIZE", "4", 1);
	setenv("MPI_LOCALNRANKS", "2", 1);
	setenv("MPI_LOCALRANKID", data[0] & 1 ? "1" : "", 1);
	FARBUS_ASSERT(write(fd[1], data + 1, size - 1) == (ssize_t)size - 1);
	shutdown(fd[1], SHUT_WR); /* so that no wait is longer than its answer */
	atomic_flag_clear(&channel_used);
	if (pmi1_open(NS_PER_S, &pmi1, &info) == 0) {
		FARBUS_ASSERT(info.local_rank < info.local_size);
		FARBUS_ASSERT(info.local_size <= info.size);
		requests(pmi1);
		pmi1_close(pmi1);
	}
	close(fd[1]);
	return 0;
}
