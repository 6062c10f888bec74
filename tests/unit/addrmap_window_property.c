/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_window_property.c -- the window table beside its model: [SEED [STEPS]] */
#include "addrmap_model.h"

int main(int argc, char **argv)
{
	return model_main(&model_window, argc, argv);
}
