/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addrmap_model.h -- tables beside naive ones that must agree, for property tests and fuzz targets
 *
 * A model does one random step on the real table and on arrays that any reader can verify, and
 * ends the process when they differ. Where the choices come from, a seed or a fuzzer's bytes, is
 * the caller's.
 */
#ifndef TESTS_UNIT_ADDRMAP_MODEL_H
#define TESTS_UNIT_ADDRMAP_MODEL_H

#include "base/assert.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct choice {
	uint64_t random;     /* a seed, if there are no bytes */
	const uint8_t *data; /* borrows; NULL: the seed */
	size_t left;	     /* of data */
};

/* Below limit (<= 2^16 from bytes). When the bytes are used up: 0. */
uint64_t choose(struct choice *choice, uint64_t limit);
static inline bool choice_left(const struct choice *choice)
{
	return !choice->data || choice->left > 0;
}

/* One program for all models: runs seeds 1, 2, ... count, or the one given; SEED [STEPS]. */
struct model_ops {
	const char *name;
	void *(*new)(void);
	void (*step)(void *model, struct choice *choice);
	void (*free)(void *model);
	uint64_t seeds, steps;
};

int model_main(const struct model_ops *ops, int argc, char **argv);

extern const struct model_ops model_window;
extern const struct model_ops model_export;
extern const struct model_ops model_owner;

#endif
