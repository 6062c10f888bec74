/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_owner_property.c -- the ownership table beside its model: [SEED [STEPS]] */
#include "addrmap_model.h"

int main(int argc, char **argv)
{
	return model_main(&model_owner, argc, argv);
}
