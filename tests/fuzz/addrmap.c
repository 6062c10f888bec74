/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addrmap.c -- fuzz target: bytes as operations on the map's tables, each checked against a model
 *
 * The first byte chooses the model, the others are its choices. After each step the table's own
 * check runs, and the table is compared with the model.
 */
#include "base/mac.h"
#include "tests/unit/addrmap_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX 512

/* TSAN finds nothing in one thread, and a sparse table costs it milliseconds: few inputs do. */
#if defined(__SANITIZE_THREAD__)
#define EVERY 32
#else
#define EVERY 1
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct model_ops *const models[] = { &model_window, &model_export,
							  &model_owner };
	static unsigned count;
	static bool ready;
	struct choice choice = { .data = data, .left = size };

	if (size == 0 || count++ % EVERY)
		return 0;
	if (!ready)
		FARBUS_ASSERT(mac_init() == 0);
	ready = true;
	const struct model_ops *ops = models[choose(&choice, COUNT_OF(models))];
	void *model = ops->new ();

	for (int i = 0; i < STEPS_MAX && choice_left(&choice); i++)
		ops->step(model, &choice);
	ops->free(model);
	return 0;
}
