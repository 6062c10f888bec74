# SPDX-License-Identifier: BSD-3-Clause
# Alone: others would take pages of the pool. Its ranks are children: exit codes of the stage.
if(TARGET conform_stage)
	add_executable(huge_test ${CMAKE_CURRENT_LIST_DIR}/huge.c)
	target_link_libraries(huge_test PRIVATE farbus_flags conform_stage farbus)
	farbus_test_add(huge_test COMMAND huge_test)
	set_tests_properties(huge_test PROPERTIES RUN_SERIAL TRUE)
endif()
