/* SPDX-License-Identifier: BSD-3-Clause */
/* peer_none.c -- nobody to compare with: DPDK's headers were not there when this was built */
#include "traffic.h"

#include <stddef.h>

bool peer_open(char *name)
{
	(void)name;
	return false;
}

uint8_t *peer_frame(unsigned index)
{
	(void)index;
	return NULL;
}

void peer_ready(unsigned burst)
{
	(void)burst;
}

unsigned peer_merge(unsigned burst)
{
	(void)burst;
	return 0;
}

unsigned peer_merge_copy(unsigned burst, uint8_t *to)
{
	(void)burst, (void)to;
	return 0;
}
