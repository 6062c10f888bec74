# SPDX-License-Identifier: BSD-3-Clause
# farbus-run, and the PMI-1 client under it and under Hydra.
add_executable(run_client ${CMAKE_CURRENT_LIST_DIR}/run_client.c)
target_link_libraries(run_client PRIVATE farbus_static)

foreach(name IN ITEMS run_test run_options_test)
	farbus_test(${name} TIMEOUT 180 SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.c
		${CMAKE_CURRENT_LIST_DIR}/run_common.c ${CMAKE_CURRENT_LIST_DIR}/run_program.c)
	target_compile_definitions(${name} PRIVATE FARBUS_RUN="$<TARGET_FILE:farbus-run>"
		RUN_CLIENT="$<TARGET_FILE:run_client>")
	add_dependencies(${name} farbus-run run_client)
endforeach()

# The same program under another launcher of PMI-1.
farbus_test_add(run_hydra COMMAND ${CMAKE_CURRENT_LIST_DIR}/run_hydra.sh $<TARGET_FILE:run_client>)
