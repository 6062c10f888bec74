# SPDX-License-Identifier: BSD-3-Clause
# The conformance suite: each program once per transport and access class, and once per network in a
# job that is mixed with shm. A new network is one more word in conform_networks, with its class.
set(conform_networks tcp=served ofi=served ucx=served)
set(TCP_FOUND TRUE) # needs nothing
# Played in a guest by tests/verbs, because it takes a device.
set(conform_guest verbs=fabric verbs=served)
set(conform_page ${PROJECT_SOURCE_DIR}/docs/transports.md)

set(conform_plays shm=mapped shm=served)
set(conform_rows "\"shm, mapped\", \"shm, served\"")
foreach(network IN LISTS conform_networks conform_guest)
	string(REPLACE "=" ", " row ${network})
	string(APPEND conform_rows ", \"${row}\"")
endforeach()
foreach(network IN LISTS conform_networks)
	string(REGEX REPLACE "=.*" "" name ${network})
	string(TOUPPER ${name} upper)
	if(${upper}_FOUND)
		list(APPEND conform_plays ${network} shm,${network})
	endif()
endforeach()

add_library(conform_stage OBJECT ${CMAKE_CURRENT_LIST_DIR}/conform.c
	${CMAKE_CURRENT_LIST_DIR}/place.c ${CMAKE_CURRENT_LIST_DIR}/table.c)
target_link_libraries(conform_stage PUBLIC farbus_flags)
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/table.c PROPERTIES
	OBJECT_DEPENDS ${conform_page}
	COMPILE_DEFINITIONS "CONFORM_PAGE=\"${conform_page}\";CONFORM_ROWS=${conform_rows}")

# Of a mixed job only what three or more ranks play.
set(conform_parts access pieces sleep grant revoke window death job collective limit)
set(conform_parts_mixed access grant revoke death job collective mixed)

foreach(part IN LISTS conform_parts ITEMS mixed)
	add_executable(conform_${part} ${CMAKE_CURRENT_LIST_DIR}/${part}.c)
	target_link_libraries(conform_${part} PRIVATE farbus_flags conform_stage farbus)
endforeach()
foreach(play IN LISTS conform_plays)
	string(REGEX MATCH "^(.*)=(.*)$" unused ${play})
	set(transport ${CMAKE_MATCH_1})
	set(class ${CMAKE_MATCH_2})
	set(parts conform_parts)
	if(transport MATCHES ",")
		set(parts conform_parts_mixed)
	endif()
	foreach(part IN LISTS ${parts})
		string(REPLACE "," "_" name conform_${part}_${transport}_${class})
		# What ranks that disagree are told does not depend on how they are reached.
		set(word "")
		if(transport MATCHES "," AND part STREQUAL collective)
			set(word every_)
		endif()
		farbus_test_add(${name} COMMAND conform_${part} ${class} ${word} TIMEOUT 60)
		set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT FARBUS_TRANSPORT=${transport}
			FARBUS_ADDRESS=127.0.0.1)
	endforeach()
endforeach()
