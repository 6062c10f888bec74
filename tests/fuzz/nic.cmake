# SPDX-License-Identifier: BSD-3-Clause
# nicdrv/: hostile packets, and hostile ring memory.
farbus_fuzz(fuzz-nic-agg SOURCES nic_agg.c ${PROJECT_SOURCE_DIR}/tests/unit/nic_oracle.c
	${PROJECT_SOURCE_DIR}/tests/unit/nic_common.c SECONDS 60 ARGS -max_len=4096)
farbus_fuzz(fuzz-nic-ring SOURCES nic_ring.c ${PROJECT_SOURCE_DIR}/tests/unit/nic_common.c
	SECONDS 60 ARGS -max_len=2048)
# What the network device hears: captured frames, virtqueues, messages of front ends.
farbus_fuzz(fuzz-nic-pcap SOURCES nic_pcap.c SECONDS 15 ARGS -max_len=1024)
farbus_fuzz(fuzz-nic-virtq SOURCES nic_virtq.c ${PROJECT_SOURCE_DIR}/tests/unit/nic_driver.c
	SECONDS 40 ARGS -max_len=1024)
farbus_fuzz(fuzz-nic-vhost SOURCES nic_vhost.c SECONDS 40 ARGS -max_len=1024)
