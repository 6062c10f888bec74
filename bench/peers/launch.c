/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * launch.c -- prints the time from LAUNCH_START_NS (CLOCK_MONOTONIC) to the end of the first
 * barrier, from rank 0; for MPI with LAUNCH_MPI defined, else for farbus. "launch-farbus clock"
 * prints what to put into LAUNCH_START_NS.
 */
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef LAUNCH_MPI
#include <mpi.h>
#else
#include <farbus/farbus.h>
#endif

static void report(unsigned int size)
{
	const char *text = getenv("LAUNCH_START_NS");
	uint64_t start = text ? strtoull(text, NULL, 10) : 0;

	if (start)
		printf("{\"name\":\"launch_%u\",\"unit\":\"ms\",\"best\":%.1f}\n", size,
		       (double)(clock_now_ns() - start) / 1e6);
}

#ifdef LAUNCH_MPI
int main(int argc, char **argv)
{
	int rank, size;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	MPI_Barrier(MPI_COMM_WORLD);
	if (rank == 0)
		report((unsigned int)size);
	MPI_Finalize();
	return 0;
}
#else
int main(int argc, char **argv)
{
	struct farbus *farbus;
	struct farbus_self self;
	int err;

	if (argc > 1 && strcmp(argv[1], "clock") == 0) {
		printf("%llu\n", (unsigned long long)clock_now_ns());
		return 0;
	}
	err = farbus_open(NULL, &farbus);
	if (err == 0)
		err = farbus_self(farbus, &self);
	if (err == 0)
		err = farbus_barrier(farbus, FARBUS_TIMEOUT_DEFAULT);
	if (err < 0) {
		fprintf(stderr, "launch: %s\n", farbus_last_error());
		return 1;
	}
	if (self.rank == 0)
		report(self.size);
	farbus_close(farbus);
	return 0;
}
#endif
