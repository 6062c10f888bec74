# SPDX-License-Identifier: BSD-3-Clause
# addrmap/: one program per table, and one per model, which takes SEED [STEPS].
foreach(name IN ITEMS window export import token dirty owner dump)
	farbus_test(addrmap_${name}_test SOURCES addrmap_${name}_test.c addrmap_common.c)
endforeach()
farbus_test(addrmap_window_threads SOURCES addrmap_window_threads.c)
foreach(name IN ITEMS window export owner)
	farbus_test(addrmap_${name}_property SOURCES addrmap_${name}_property.c
		addrmap_model_${name}.c addrmap_model.c)
endforeach()
