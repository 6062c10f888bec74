# SPDX-License-Identifier: BSD-3-Clause
# The conformance suite: each program once per transport and access class. A new transport is one
# more word in this list.
add_library(conform_stage OBJECT ${CMAKE_CURRENT_LIST_DIR}/conform.c)
target_link_libraries(conform_stage PUBLIC farbus_flags)

set(conform_transports shm)
foreach(part IN ITEMS access sleep grant revoke window death job collective limit)
	add_executable(conform_${part} ${CMAKE_CURRENT_LIST_DIR}/${part}.c)
	target_link_libraries(conform_${part} PRIVATE farbus_flags conform_stage farbus)
	foreach(transport IN LISTS conform_transports)
		foreach(class IN ITEMS mapped served)
			set(name conform_${part}_${transport}_${class})
			farbus_test_add(${name} COMMAND conform_${part} ${class} TIMEOUT 60)
			set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
				FARBUS_TRANSPORT=${transport})
		endforeach()
	endforeach()
endforeach()
