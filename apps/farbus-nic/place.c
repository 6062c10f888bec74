/* SPDX-License-Identifier: BSD-3-Clause */
/* place.c -- which core the device runs on */
#include "apps/farbus-nic/place.h"

#include "base/error.h"
#include <errno.h>
#include <hwloc.h>

static int bind_to(hwloc_topology_t topology, int core)
{
	hwloc_obj_t object = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, (unsigned int)core);

	if (!object)
		return error_set(-ENOENT, "--core %d: this machine has %d", core,
				 hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE));
	if (hwloc_set_cpubind(topology, object->cpuset, HWLOC_CPUBIND_THREAD) < 0)
		return error_set(-EACCES, "--core %d: this process may not run there", core);
	/* Where memory cannot be bound, it is near all the same: whoever touches it first. */
	hwloc_set_membind(topology, object->nodeset, HWLOC_MEMBIND_BIND,
			  HWLOC_MEMBIND_BYNODESET | HWLOC_MEMBIND_THREAD);
	return 0;
}

int place_on_core(int core)
{
	hwloc_topology_t topology;
	int err;

	if (hwloc_topology_init(&topology) < 0)
		return error_set(-ENOMEM, "no memory for the machine's topology");
	if (hwloc_topology_load(topology) < 0)
		err = error_set(-ENOENT, "hwloc finds no topology of this machine");
	else
		err = bind_to(topology, core);
	hwloc_topology_destroy(topology);
	return err;
}
