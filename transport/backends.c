/* SPDX-License-Identifier: BSD-3-Clause */
/* backends.c -- the transports that were built, in order of preference */
#include "transport/transport.h"

#include <string.h>

/* Declared here: the headers of two backends cannot be included together. */
extern const struct transport_ops transport_shm, transport_verbs, transport_tcp, transport_ofi,
	transport_ucx;

const struct transport_ops *const transport_backends[] = {
	&transport_shm,
#ifdef FARBUS_HAVE_VERBS
	&transport_verbs,
#endif
	&transport_tcp,
#ifdef FARBUS_HAVE_OFI
	&transport_ofi,
#endif
#ifdef FARBUS_HAVE_UCX
	&transport_ucx,
#endif
	NULL,
};

const struct transport_ops *transport_find(const char *name)
{
	for (const struct transport_ops *const *ops = transport_backends; *ops; ops++)
		if (strcmp((*ops)->name, name) == 0)
			return *ops;
	return NULL;
}
