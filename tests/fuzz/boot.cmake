# SPDX-License-Identifier: BSD-3-Clause
# What launchers and ranks say to each other: the text, and both ends of it.
farbus_fuzz(fuzz_wire SOURCES fuzz_wire.c SECONDS 30)
farbus_fuzz(fuzz_pmi1 SOURCES fuzz_pmi1.c SECONDS 30)
farbus_fuzz(fuzz_pmi_server SOURCES fuzz_pmi_server.c SECONDS 30 LINKS farbus_run_parts)
