# SPDX-License-Identifier: BSD-3-Clause
# farbus-run without running anything; what it does to programs: tests/integ.
farbus_test(run_command_test SOURCES run_command_test.c LINKS farbus_run_parts)
farbus_test(run_bind_test SOURCES run_bind_test.c base_common.c LINKS farbus_run_parts)
farbus_test(run_streams_test SOURCES run_streams_test.c base_common.c LINKS farbus_run_parts)
farbus_test(run_pmi_test SOURCES run_pmi_test.c LINKS farbus_run_parts)
