# SPDX-License-Identifier: BSD-3-Clause
# runtime/proto: cores over the simulated network, in one thread, by seeds.
set(proto_sim proto_sim.c proto_sim_memory.c proto_sim_ask.c)
foreach(name IN ITEMS grant revoke force job conn lossy)
	farbus_test(proto_${name}_test SOURCES proto_${name}_test.c ${proto_sim})
endforeach()
farbus_test(proto_random SOURCES proto_random.c ${proto_sim})
farbus_test(proto_fault_test SOURCES proto_fault_test.c proto_scene.c ${proto_sim})
