# SPDX-License-Identifier: BSD-3-Clause
# farbus-perf, started alone and under farbus-run. No time is a pass criterion.
foreach(part IN ITEMS figures launched served options)
	farbus_test_add(perf_${part} TIMEOUT 120 COMMAND ${CMAKE_CURRENT_LIST_DIR}/perf.sh ${part}
		$<TARGET_FILE:farbus-perf> $<TARGET_FILE:farbus-run> "${CMAKE_BUILD_TYPE}")
endforeach()
