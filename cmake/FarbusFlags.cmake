# SPDX-License-Identifier: BSD-3-Clause
# Flags of everything, as one interface target: farbus_flags.

# Release keeps assert(): the tests of a Release build are meant to fail when they should.
foreach(config IN ITEMS RELEASE RELWITHDEBINFO MINSIZEREL)
	string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_${config} "${CMAKE_C_FLAGS_${config}}")
endforeach()

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
target_link_libraries(farbus_flags INTERFACE Threads::Threads)
# gcc cannot know that `return -errno` is negative, and so takes every ret_ pointer's target for
# uninitialized where it inlines. clang's -Wuninitialized and the sanitizers see the real ones.
target_compile_options(farbus_flags INTERFACE
	$<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)

# Hardening that costs nothing measurable on the hot paths, which have neither buffers on the
# stack nor calls that FORTIFY checks. Sanitizers do their own checking.
if(NOT FARBUS_SANITIZE)
	target_compile_options(farbus_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:
		-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong>)
endif()

if(FARBUS_SANITIZE)
	target_compile_options(farbus_flags INTERFACE -fsanitize=${FARBUS_SANITIZE}
		-fno-sanitize-recover=all -fno-omit-frame-pointer -g)
	target_link_options(farbus_flags INTERFACE -fsanitize=${FARBUS_SANITIZE})
	target_compile_definitions(farbus_flags INTERFACE FARBUS_SANITIZE="${FARBUS_SANITIZE}")
	# TSAN does not model atomic_thread_fence(), and gcc says so. What is around our fences is
	# atomic itself, and so no race to TSAN, with or without them.
	target_compile_options(farbus_flags INTERFACE $<$<C_COMPILER_ID:GNU>:-Wno-tsan>)
endif()

if(FARBUS_FUZZ)
	if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
		message(FATAL_ERROR "FARBUS_FUZZ needs clang: -DCMAKE_C_COMPILER=clang-14")
	endif()
	# The library reports its branches to the fuzzer, which else would be blind.
	target_compile_options(farbus_flags INTERFACE -fsanitize=fuzzer-no-link)
	target_link_options(farbus_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(FARBUS_COVERAGE)
	target_compile_options(farbus_flags INTERFACE --coverage -fprofile-update=atomic)
	target_link_options(farbus_flags INTERFACE --coverage)
endif()

# farbus_layer(name SOURCES ... LINKS ...): an object library of one folder.
function(farbus_layer name)
	cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
	add_library(farbus_${name} OBJECT ${ARG_SOURCES})
	target_link_libraries(farbus_${name} PUBLIC farbus_flags ${ARG_LINKS})
endfunction()

# farbus_commit: link it to get <farbus-build/commit.h> with FARBUS_COMMIT, the abbreviated commit
# of the tree, "-changed" appended if files differ from it, or "unknown" outside git. It is looked
# up at each build and rewritten only when it changed.
set(commit_dir ${PROJECT_BINARY_DIR}/generated)
add_custom_target(farbus_commit_header
	COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR}
		-DHEADER=${commit_dir}/farbus-build/commit.h
		-P ${PROJECT_SOURCE_DIR}/cmake/FarbusCommit.cmake
	BYPRODUCTS ${commit_dir}/farbus-build/commit.h
	COMMENT "Looking up the commit")
add_library(farbus_commit INTERFACE)
target_include_directories(farbus_commit INTERFACE ${commit_dir})
add_dependencies(farbus_commit farbus_commit_header)
