# SPDX-License-Identifier: BSD-3-Clause
# The other network transports over the same devices.
foreach(network IN ITEMS ucx ofi)
	string(TOUPPER ${network} upper)
	if(${upper}_FOUND)
		farbus_test_add(verbs-over-${network} LABELS verbs TIMEOUT 240 COMMAND ${guest} --limit 180
			-- ${CMAKE_CURRENT_SOURCE_DIR}/over ${PROJECT_BINARY_DIR} ${network})
	endif()
endforeach()
