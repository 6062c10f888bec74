/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_model.c -- choices for models, and the program that runs one by seeds */
#include "addrmap_model.h"

#include "base/mac.h"
#include <stdio.h>
#include <stdlib.h>

/* Under a sanitizer things take longer: fewer seeds; and one thread is not TSAN's business. */
#if defined(__SANITIZE_THREAD__)
#define SEEDS(n) 1
#elif defined(FARBUS_SANITIZE)
#define SEEDS(n) ((n) / 4 + 1)
#else
#define SEEDS(n) (n)
#endif

static uint64_t byte_next(struct choice *choice)
{
	if (choice->left == 0)
		return 0;
	choice->left--;
	return *choice->data++;
}

/* splitmix64 */
static uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

uint64_t choose(struct choice *choice, uint64_t limit)
{
	uint64_t value;

	if (!choice->data)
		return random_next(&choice->random) % limit;
	value = byte_next(choice);
	if (limit > 256)
		value = value << 8 | byte_next(choice);
	return value % limit;
}

static void seed_run(const struct model_ops *ops, uint64_t seed, uint64_t steps)
{
	struct choice choice = { .random = seed };
	void *model = ops->new ();

	printf("%s: seed %llu, %llu steps\n", ops->name, (unsigned long long)seed,
	       (unsigned long long)steps);
	fflush(stdout);
	for (uint64_t i = 0; i < steps; i++)
		ops->step(model, &choice);
	ops->free(model);
}

int model_main(const struct model_ops *ops, int argc, char **argv)
{
	uint64_t steps = argc > 2 ? strtoull(argv[2], NULL, 0) : ops->steps;

	if (mac_init() < 0)
		return 1;
	if (argc > 1) {
		seed_run(ops, strtoull(argv[1], NULL, 0), steps);
		return 0;
	}
	for (uint64_t seed = 1; seed <= (uint64_t)SEEDS(ops->seeds); seed++)
		seed_run(ops, seed, steps);
	return 0;
}
