# SPDX-License-Identifier: BSD-3-Clause
farbus_test(boot_wire_test SOURCES boot_wire_test.c)
farbus_test(boot_source_test SOURCES boot_source_test.c base_common.c)
