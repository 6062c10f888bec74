# SPDX-License-Identifier: BSD-3-Clause
# The example VMM, with each kind of guest.
foreach(guest IN ITEMS kvm thread)
	farbus_test_add(example_vmm_${guest} COMMAND ${CMAKE_CURRENT_LIST_DIR}/vmm.sh ${guest}
		$<TARGET_FILE:farbus-run> $<TARGET_FILE:example-vmm>)
endforeach()
