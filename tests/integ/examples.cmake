# SPDX-License-Identifier: BSD-3-Clause
# The examples under farbus-run.
foreach(part IN ITEMS hello gups tokens pagerank input)
	farbus_test_add(example_${part} TIMEOUT 120 COMMAND ${CMAKE_CURRENT_LIST_DIR}/examples.sh
		${part} $<TARGET_FILE:farbus-run> ${PROJECT_BINARY_DIR}/apps/examples)
endforeach()
