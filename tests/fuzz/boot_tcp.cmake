# SPDX-License-Identifier: BSD-3-Clause
# FARBUS_JOIN: both ends, whatever the other says.
farbus_fuzz(fuzz_tcp_server SOURCES fuzz_tcp_server.c SECONDS 30)
farbus_fuzz(fuzz_tcp_client SOURCES fuzz_tcp_client.c SECONDS 30)
