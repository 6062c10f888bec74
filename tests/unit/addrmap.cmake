# SPDX-License-Identifier: BSD-3-Clause
# addrmap/: one program per table, one per property; those take SEED [STEPS].
foreach(name IN ITEMS window export import token)
	farbus_test(addrmap_${name}_test SOURCES addrmap_${name}_test.c addrmap_common.c)
endforeach()
