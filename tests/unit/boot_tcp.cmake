# SPDX-License-Identifier: BSD-3-Clause
# FARBUS_JOIN: its text and settings, and ranks that meet there.
farbus_test(boot_tcp_wire_test SOURCES boot_tcp_wire_test.c)
farbus_test(boot_tcp_test SOURCES boot_tcp_test.c boot_tcp_common.c base_common.c)
farbus_test(boot_tcp_fault_test SOURCES boot_tcp_fault_test.c boot_tcp_common.c base_common.c)
