/* SPDX-License-Identifier: BSD-3-Clause */
/* backends.c -- the transports that were built, in order of preference */
#include "transport/shm/shm.h"
#include "transport/transport.h"

#include <string.h>

const struct transport_ops *const transport_backends[] = {
	&transport_shm,
	NULL,
};

const struct transport_ops *transport_find(const char *name)
{
	for (const struct transport_ops *const *ops = transport_backends; *ops; ops++)
		if (strcmp((*ops)->name, name) == 0)
			return *ops;
	return NULL;
}
