# SPDX-License-Identifier: BSD-3-Clause
# nicdrv/: hostile packets, and hostile ring memory.
farbus_fuzz(fuzz-nic-agg SOURCES nic_agg.c ${PROJECT_SOURCE_DIR}/tests/unit/nic_oracle.c
	${PROJECT_SOURCE_DIR}/tests/unit/nic_common.c SECONDS 60 ARGS -max_len=4096)
farbus_fuzz(fuzz-nic-ring SOURCES nic_ring.c ${PROJECT_SOURCE_DIR}/tests/unit/nic_common.c
	SECONDS 60 ARGS -max_len=2048)
