# SPDX-License-Identifier: BSD-3-Clause
# runtime/proto: links that have not proved the secret, and instances that have and go wrong.
set(unit ${PROJECT_SOURCE_DIR}/tests/unit)
farbus_fuzz(fuzz-proto-open SOURCES proto_open.c SECONDS 60 ARGS -max_len=2048)
farbus_fuzz(fuzz-proto-peer SOURCES proto_peer.c ${unit}/proto_sim.c ${unit}/proto_sim_memory.c
	${unit}/proto_sim_ask.c SECONDS 90 ARGS -max_len=1024)
