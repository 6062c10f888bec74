/* SPDX-License-Identifier: BSD-3-Clause */
/* be_farbus.c -- farbus; puts and atomics of 8 bytes inline, as its users write them */
#include "peers.h"

#include <errno.h>
#include <farbus/inline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct farbus *farbus;
static struct farbus_region *region;

static int farbus_fail(int err)
{
	fprintf(stderr, "farbus: %s\n", farbus_last_error());
	return err;
}

static bool launched;

/* Over a network it takes a launcher, by which the ranks find each other. */
static int be_start(int *argc, char ***argv, int *ret_rank)
{
	const char *rank = getenv("PMI_RANK");

	(void)argc;
	(void)argv;
	if (!getenv("PMI_FD") || !rank)
		return -ENOENT;
	launched = true;
	*ret_rank = atoi(rank);
	return 0;
}

static int be_open(int rank)
{
	struct farbus_conf conf = { .job = peers_job(), .rank = (uint32_t)rank, .size = 2 };
	struct farbus_token token;
	int err = farbus_open(launched ? NULL : &conf, &farbus);

	if (err < 0)
		return farbus_fail(err);
	if (rank == 1) {
		err = farbus_region_alloc(farbus, PEERS_LEN, 0, &region);
		if (err == 0)
			err = farbus_region_grant(region, 0, PEERS_LEN,
						  FARBUS_R | FARBUS_W | FARBUS_A, NULL, &token);
		if (err == 0)
			err = farbus_publish(farbus, "peers", &token);
	} else {
		err = farbus_lookup(farbus, "peers", FARBUS_TIMEOUT_DEFAULT, &token);
		if (err == 0)
			err = farbus_region_import(farbus, &token, FARBUS_TIMEOUT_DEFAULT, &region);
		if (err == 0)
			err = farbus_region_advise(region, 0, PEERS_LEN, FARBUS_ADVISE_POPULATE);
	}
	return err < 0 ? farbus_fail(err) : 0;
}

static void *be_memory(void)
{
	struct farbus_region_info info;

	return farbus_region_info(region, &info) < 0 ? NULL : info.va;
}

static int be_put(uint64_t off, const void *src, size_t len)
{
	return len == 8 ? farbus_put_inline(region, off, src, 8) :
			  farbus_put(region, off, src, len);
}

static int be_get(uint64_t off, void *dst, size_t len)
{
	return len == 8 ? farbus_get_inline(region, off, dst, 8) :
			  farbus_get(region, off, dst, len);
}

static int be_fadd(uint64_t off, uint64_t value, uint64_t *ret_old)
{
	return farbus_add64(region, off, value, ret_old);
}

static int be_flush(void)
{
	return farbus_flush(farbus, region, FARBUS_FLUSH_REMOTE, FARBUS_TIMEOUT_DEFAULT);
}

static void be_close(int rank)
{
	(void)rank;
	farbus_close(farbus);
}

const struct peers_ops peers_backend = {
	.start = be_start,
	.open = be_open,
	.memory = be_memory,
	.put = be_put,
	.get = be_get,
	.fadd = be_fadd,
	.flush = be_flush,
	.close = be_close,
};
