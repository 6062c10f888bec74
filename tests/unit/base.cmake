# SPDX-License-Identifier: BSD-3-Clause
# base/: each case that needs a process of its own runs in a child.
farbus_test(base_test SOURCES base_test.c base_common.c)
farbus_test(base_config_test SOURCES base_config_test.c base_common.c)
farbus_test(base_process_test SOURCES base_process_test.c base_common.c)
farbus_test(base_fault_test SOURCES base_fault_test.c base_common.c)
farbus_test(base_maps_test SOURCES base_maps_test.c)
