/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * example.c -- what the longer examples share
 */
#include "apps/examples/common/example.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *program = "example";
static uint32_t program_rank = UINT32_MAX;

void example_name(const char *name)
{
	program = name;
}

void example_rank(uint32_t rank)
{
	program_rank = rank;
}

void example_fail(const char *call, int error)
{
	const char *why = farbus_last_error();

	fprintf(stderr, "%s: ", program);
	if (program_rank != UINT32_MAX)
		fprintf(stderr, "rank %u: ", program_rank);
	fprintf(stderr, "%.*s: %s\n", (int)strcspn(call, "("), call,
		*why ? why : farbus_strerror(error));
	exit(1);
}

int example_refuse(struct farbus *bus, int code)
{
	TRY(farbus_barrier(bus, 60 * 1000));
	TRY(farbus_close(bus));
	return code;
}

int example_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end || value < min || value > max)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

int example_real(const char *text, double min, double max, double *ret_value)
{
	double value;
	char *end;

	if (!*text || !strchr("0123456789.", *text))
		return -EINVAL;
	errno = 0;
	value = strtod(text, &end);
	if (errno || *end || !isfinite(value) || value < min || value > max)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

double example_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void example_offer(struct farbus *bus, const char *name, struct farbus_region *region,
		   uint32_t rights)
{
	struct farbus_region_info info;
	struct farbus_token token;
	struct farbus_self self;
	char full[FARBUS_NAME_MAX];

	TRY(farbus_self(bus, &self));
	TRY(farbus_region_info(region, &info));
	TRY(farbus_region_grant(region, 0, info.len, rights, NULL, &token));
	snprintf(full, sizeof(full), "%s.%u", name, self.rank);
	TRY(farbus_publish(bus, full, &token));
}

struct farbus_region *example_import(struct farbus *bus, const char *name, uint32_t rank)
{
	struct farbus_region *region;
	struct farbus_token token;
	char full[FARBUS_NAME_MAX];

	snprintf(full, sizeof(full), "%s.%u", name, rank);
	TRY(farbus_lookup(bus, full, FARBUS_TIMEOUT_DEFAULT, &token));
	TRY(farbus_region_import(bus, &token, FARBUS_TIMEOUT_DEFAULT, &region));
	return region;
}

const char *example_path(uint32_t path)
{
	switch (path) {
	case FARBUS_PATH_OWN:
		return "own";
	case FARBUS_PATH_MAPPED:
		return "mapped";
	case FARBUS_PATH_SERVED:
		return "served";
	}
	return "unknown";
}

const char *example_onesided(uint32_t bits)
{
	static const char *const text[8] = {
		"-", "put", "get", "put,get", "atomic", "put,atomic", "get,atomic", "put,get,atomic"
	};

	return text[bits & 7];
}
