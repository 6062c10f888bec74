# SPDX-License-Identifier: BSD-3-Clause
# Flags of everything, as one interface target: farbus_flags.
add_library(farbus_flags INTERFACE)
target_include_directories(farbus_flags INTERFACE
	${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
target_compile_definitions(farbus_flags INTERFACE _GNU_SOURCE
	FARBUS_BUILD_TYPE="${CMAKE_BUILD_TYPE}")
target_compile_options(farbus_flags INTERFACE
	-Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wundef -Wpointer-arith
	-fno-strict-aliasing -fno-common
	$<$<C_COMPILER_ID:Clang>:-Wthread-safety>
	$<$<BOOL:${FARBUS_WERROR}>:-Werror>)
if(FARBUS_SANITIZE)
	target_compile_options(farbus_flags INTERFACE
		-fsanitize=${FARBUS_SANITIZE} -fno-omit-frame-pointer -g)
	target_link_options(farbus_flags INTERFACE -fsanitize=${FARBUS_SANITIZE})
	target_compile_definitions(farbus_flags INTERFACE FARBUS_SANITIZE="${FARBUS_SANITIZE}")
endif()
target_link_libraries(farbus_flags INTERFACE Threads::Threads)

# farbus_layer(name SOURCES ... LINKS ...): an object library of one folder.
function(farbus_layer name)
	cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
	add_library(farbus_${name} OBJECT ${ARG_SOURCES})
	target_link_libraries(farbus_${name} PUBLIC farbus_flags ${ARG_LINKS})
endfunction()
