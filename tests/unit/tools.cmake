# SPDX-License-Identifier: BSD-3-Clause
farbus_test(tools_stat_test SOURCES tools_stat_test.c LINKS farbus_stat_parts)
farbus_test(tools_info_test SOURCES tools_info_test.c LINKS farbus_info_parts)
