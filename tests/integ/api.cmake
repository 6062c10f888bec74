# SPDX-License-Identifier: BSD-3-Clause
# The public calls when something runs out.
farbus_test(api_fault_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/api_fault_test.c TIMEOUT 120)
