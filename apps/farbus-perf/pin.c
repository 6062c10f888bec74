/* SPDX-License-Identifier: BSD-3-Clause */
/* pin.c -- keeps a thread on a CPU; apart from pair.c for those who need nothing else of it */
#include "apps/farbus-perf/pair.h"

#include <sched.h>

void pair_pin(int cpu, int index, int *ret_cpu)
{
	cpu_set_t allowed, one;

	*ret_cpu = -1;
	if (cpu < 0 && sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
		int left = CPU_COUNT(&allowed) > 1 ? index % CPU_COUNT(&allowed) : 0;

		for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &allowed) && left-- == 0)
				break;
	}
	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) == 0)
		*ret_cpu = cpu;
}
