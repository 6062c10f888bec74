# SPDX-License-Identifier: BSD-3-Clause
# The library of a network transport is not installed where a job is run. No flags of ours: the loader
# loads it before everything else, a sanitizer included.
add_library(absent_audit MODULE ${CMAKE_CURRENT_LIST_DIR}/absent_audit.c)
target_compile_options(absent_audit PRIVATE -Wall -Wextra -Werror)
set_target_properties(absent_audit PROPERTIES C_VISIBILITY_PRESET default)

function(absent_test network library package)
	string(TOUPPER ${network} upper)
	if(NOT ${upper}_FOUND)
		return()
	endif()
	foreach(part IN ITEMS said asked)
		farbus_test_add(absent_${network}_${part} TIMEOUT 200 COMMAND
			${PROJECT_SOURCE_DIR}/tests/integ/absent.sh ${part} ${network} ${library} ${package}
			$<TARGET_FILE:absent_audit> ${PROJECT_BINARY_DIR})
	endforeach()
endfunction()
absent_test(ofi libfabric.so.1 libfabric1)
absent_test(ucx libucp.so.0 libucx0)
