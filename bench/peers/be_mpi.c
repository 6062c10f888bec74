/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * be_mpi.c -- MPI one-sided communication, in one passive epoch (lock_all)
 *
 * variant: allocate (default), shared, create (on memory from malloc).
 */
#include "peers.h"

#include <errno.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

static MPI_Win window;
static void *memory;

static int mpi_start(int *argc, char ***argv, int *ret_rank)
{
	int size;

	if (MPI_Init(argc, argv) != MPI_SUCCESS)
		return -EIO;
	MPI_Comm_rank(MPI_COMM_WORLD, ret_rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	return size == 2 ? 0 : -EINVAL;
}

static int mpi_open(int rank)
{
	MPI_Aint len = rank == 1 ? (MPI_Aint)PEERS_LEN : 0;
	int err;

	if (strcmp(peers_variant, "shared") == 0) {
		err = MPI_Win_allocate_shared(len, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &memory,
					      &window);
	} else if (strcmp(peers_variant, "create") == 0) {
		memory = aligned_alloc(4096, PEERS_LEN);
		if (!memory)
			return -ENOMEM;
		memset(memory, 0, PEERS_LEN);
		err = MPI_Win_create(memory, len, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &window);
	} else {
		err = MPI_Win_allocate(len, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &memory, &window);
	}
	if (err != MPI_SUCCESS)
		return -EIO;
	if (rank == 1)
		memset(memory, 0, PEERS_LEN);
	err = MPI_Win_lock_all(0, window);
	MPI_Barrier(MPI_COMM_WORLD);
	return err == MPI_SUCCESS ? 0 : -EIO;
}

static void *mpi_memory(void)
{
	return memory;
}

static int mpi_put(uint64_t off, const void *src, size_t len)
{
	return MPI_Put(src, (int)len, MPI_BYTE, 1, (MPI_Aint)off, (int)len, MPI_BYTE, window) ==
			       MPI_SUCCESS ?
		       0 :
		       -EIO;
}

static int mpi_get(uint64_t off, void *dst, size_t len)
{
	return MPI_Get(dst, (int)len, MPI_BYTE, 1, (MPI_Aint)off, (int)len, MPI_BYTE, window) ==
			       MPI_SUCCESS ?
		       0 :
		       -EIO;
}

static int mpi_flush(void)
{
	return MPI_Win_flush(1, window) == MPI_SUCCESS ? 0 : -EIO;
}

static int mpi_fadd(uint64_t off, uint64_t value, uint64_t *ret_old)
{
	if (MPI_Fetch_and_op(&value, ret_old, MPI_UINT64_T, 1, (MPI_Aint)off, MPI_SUM, window) !=
	    MPI_SUCCESS)
		return -EIO;
	return mpi_flush();
}

static void mpi_progress(void)
{
	int flag;

	MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
}

static void mpi_close(int rank)
{
	(void)rank;
	MPI_Win_unlock_all(window);
	MPI_Win_free(&window);
	MPI_Finalize();
}

const struct peers_ops peers_backend = {
	.start = mpi_start,
	.open = mpi_open,
	.memory = mpi_memory,
	.put = mpi_put,
	.get = mpi_get,
	.fadd = mpi_fadd,
	.flush = mpi_flush,
	.progress = mpi_progress,
	.close = mpi_close,
};
