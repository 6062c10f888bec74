# SPDX-License-Identifier: BSD-3-Clause
# The public calls when something runs out, and what a job leaves behind.
farbus_test(api_fault_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/api_fault_test.c TIMEOUT 120)

add_executable(api_client ${CMAKE_CURRENT_LIST_DIR}/api_client.c)
target_link_libraries(api_client PRIVATE farbus_flags farbus)
farbus_test_add(api_left COMMAND ${CMAKE_CURRENT_LIST_DIR}/api_left.sh $<TARGET_FILE:farbus-run>
	$<TARGET_FILE:api_client>)

farbus_test(signal_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/signal_test.c)

farbus_test_program(revoke_fault SOURCES ${CMAKE_CURRENT_LIST_DIR}/revoke_fault.c)
farbus_test_add(revoke_fault COMMAND ${CMAKE_CURRENT_LIST_DIR}/revoke_fault.sh
	$<TARGET_FILE:farbus-run> $<TARGET_FILE:revoke_fault> TIMEOUT 120)
