/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto_scene.h -- one scenario with everything in it, which goes on whatever fails
 *
 * Four ranks: they join, grant, publish, import, access, chain, rotate, renew, meet in collectives,
 * revoke (one is stopped, it is forced), withdraw and leave. A test makes something fail in the
 * middle of it and looks at the end.
 */
#ifndef TESTS_UNIT_PROTO_SCENE_H
#define TESTS_UNIT_PROTO_SCENE_H

#include "tests/unit/proto_sim.h"

#define SCENE_SIZE 4

struct scene_end {
	bool joined[SCENE_SIZE]; /* by node */
	unsigned ok, failed;	 /* steps */
};

/* Runs it in a net of SCENE_SIZE ranks without nodes, until nothing happens any more. */
void scene_run(struct net *net, struct scene_end *ret_end);

#endif
