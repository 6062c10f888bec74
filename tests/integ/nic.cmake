# SPDX-License-Identifier: BSD-3-Clause
# farbus-nic without a guest; with one: tests/qemu.
farbus_test_add(nic_command COMMAND ${CMAKE_CURRENT_LIST_DIR}/nic.sh $<TARGET_FILE:farbus-nic>
	$<TARGET_FILE:farbus-stat> TIMEOUT 60)
