# SPDX-License-Identifier: BSD-3-Clause
# farbus-info and farbus-stat as users and programs call them.
add_executable(tools_client ${CMAKE_CURRENT_LIST_DIR}/tools_client.c)
target_link_libraries(tools_client PRIVATE farbus_static)
add_executable(tools_ranks ${CMAKE_CURRENT_LIST_DIR}/tools_ranks.c)
target_link_libraries(tools_ranks PRIVATE farbus_flags farbus)

function(tools_test script part)
	farbus_test_add(tools_${part} TIMEOUT 120 COMMAND ${PROJECT_SOURCE_DIR}/tests/integ/${script} ${part}
		${PROJECT_BINARY_DIR} ${PROJECT_SOURCE_DIR})
endfunction()
foreach(part IN ITEMS command stat info)
	tools_test(tools.sh ${part})
endforeach()
foreach(part IN ITEMS man live)
	tools_test(tools_job.sh ${part})
endforeach()
