/* SPDX-License-Identifier: BSD-3-Clause */
/* addrmap_export_property.c -- the export table beside its model: [SEED [STEPS]] */
#include "addrmap_model.h"

int main(int argc, char **argv)
{
	return model_main(&model_export, argc, argv);
}
