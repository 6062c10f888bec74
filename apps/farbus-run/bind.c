/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bind.c -- which CPUs each rank gets
 *
 * hwloc spreads the ranks over the machine; of its share each rank then gets one core, or the
 * whole socket. The topology is cut to what this process may use (taskset, cpusets).
 */
#include "apps/farbus-run/bind.h"

#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int topology_open(hwloc_topology_t *ret_topology)
{
	hwloc_topology_t topology;
	hwloc_bitmap_t allowed;

	if (hwloc_topology_init(&topology) < 0)
		return error_set(-ENOMEM, "no memory for the machine's topology");
	/* It visits every CPU to ask what Linux has told already. */
	hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
	if (hwloc_topology_load(topology) < 0) {
		int err = -errno;

		hwloc_topology_destroy(topology);
		return error_set(err,
				 "hwloc cannot read this machine's topology: %s; use --bind none",
				 strerror(-err));
	}
	allowed = hwloc_bitmap_alloc();
	if (allowed && hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_PROCESS) == 0 &&
	    !hwloc_bitmap_iszero(allowed))
		hwloc_topology_restrict(topology, allowed, 0);
	hwloc_bitmap_free(allowed);
	*ret_topology = topology;
	return 0;
}

/* A machine without sockets or cores in its description: take what encloses, or the CPUs. */
static int depth_choose(hwloc_topology_t topology, enum bind_policy policy)
{
	int depth = policy == BIND_SOCKET ?
			    hwloc_get_type_or_above_depth(topology, HWLOC_OBJ_PACKAGE) :
			    hwloc_get_type_or_below_depth(topology, HWLOC_OBJ_CORE);

	return depth < 0 ? 0 : depth;
}

/* The kernel's form of a set. */
static int mask_make(struct bind_place *place, hwloc_const_bitmap_t set)
{
	int count = hwloc_bitmap_nr_ulongs(set);

	if (count <= 0)
		return error_set(-EINVAL,
				 "hwloc gave a set of CPUs without an end; use --bind none");
	place->mask = alloc_array((size_t)count, sizeof(*place->mask));
	if (!place->mask)
		return error_set(-ENOMEM, "no memory for the bindings");
	place->mask_len = (size_t)count * sizeof(*place->mask);
	hwloc_bitmap_to_ulongs(set, (unsigned int)count, place->mask);
	return 0;
}

static int place_set(hwloc_topology_t topology, int depth, enum bind_policy policy,
		     hwloc_const_bitmap_t share, struct bind_place *place)
{
	hwloc_obj_t object =
		hwloc_get_next_obj_covering_cpuset_by_depth(topology, share, depth, NULL);
	char cpus[64];

	if (!object)
		return error_set(-ENOENT, "hwloc finds no place for a rank; use --bind none");
	hwloc_bitmap_list_snprintf(cpus, sizeof(cpus), object->cpuset);
	snprintf(place->text, sizeof(place->text), "%s %u (CPUs %s)",
		 policy == BIND_SOCKET ? "socket" : "core", object->logical_index, cpus);
	/* A topology from a file or a text is for looking: binding to its CPUs would be luck. */
	if (!hwloc_topology_is_thissystem(topology))
		return 0;
	return mask_make(place, object->cpuset);
}

static int places_fill(hwloc_topology_t topology, enum bind_policy policy, struct bind *bind)
{
	hwloc_bitmap_t *share = alloc_array(bind->size, sizeof(hwloc_bitmap_t));
	hwloc_obj_t root = hwloc_get_root_obj(topology);
	int depth = depth_choose(topology, policy);
	int err = 0;

	if (!share)
		return error_set(-ENOMEM, "no memory for the bindings");
	if (hwloc_distrib(topology, &root, 1, share, bind->size, depth, 0) < 0)
		err = error_set(-EINVAL, "hwloc cannot spread %u ranks; use --bind none",
				bind->size);
	for (uint32_t i = 0; i < bind->size && err == 0; i++)
		err = place_set(topology, depth, policy, share[i], &bind->place[i]);
	for (uint32_t i = 0; i < bind->size; i++)
		hwloc_bitmap_free(share[i]);
	free(share);
	return err;
}

static uint32_t cores_here(hwloc_topology_t topology)
{
	int depth = depth_choose(topology, BIND_CORE);

	return hwloc_get_nbobjs_by_depth(topology, depth);
}

/* CPUs this process may use, without a topology. */
static uint32_t cpus_here(void)
{
	cpu_set_t set;

	if (getenv("HWLOC_SYNTHETIC") || getenv("HWLOC_XMLFILE") ||
	    sched_getaffinity(0, sizeof(set), &set) < 0)
		return UINT32_MAX; /* ask hwloc */
	return (uint32_t)CPU_COUNT(&set);
}

static int bind_fill(enum bind_policy policy, struct bind *bind)
{
	hwloc_topology_t topology;
	int err;

	if (policy == BIND_NONE || (policy == BIND_AUTO && bind->size > cpus_here()))
		return 0;
	err = topology_open(&topology);
	if (err < 0)
		return err;
	if (policy != BIND_AUTO)
		err = places_fill(topology, policy, bind);
	else if (bind->size <= cores_here(topology))
		err = places_fill(topology, BIND_CORE, bind);
	hwloc_topology_destroy(topology);
	return err;
}

int bind_new(enum bind_policy policy, uint32_t size, struct bind **ret_bind)
{
	struct bind *bind = alloc_zero(sizeof(*bind));
	int err;

	if (!bind)
		return error_set(-ENOMEM, "no memory for the bindings");
	bind->size = size;
	bind->place = alloc_array(size, sizeof(*bind->place));
	err = bind->place ? 0 : error_set(-ENOMEM, "no memory for the bindings");
	for (uint32_t i = 0; i < size && err == 0; i++)
		strcpy(bind->place[i].text, "not bound");
	if (err == 0)
		err = bind_fill(policy, bind);
	if (err < 0) {
		bind_free(bind);
		return err;
	}
	*ret_bind = bind;
	return 0;
}

void bind_free(struct bind *bind)
{
	if (!bind)
		return;
	for (uint32_t i = 0; bind->place && i < bind->size; i++)
		free(bind->place[i].mask);
	free(bind->place);
	free(bind);
}
