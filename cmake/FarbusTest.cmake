# SPDX-License-Identifier: BSD-3-Clause
# How tests are declared. What the labels mean: CONTRIBUTING.md.

# Sanitizers and Debug are slower; every timeout is multiplied by this.
set(test_time_scale 1)
set(test_environment "")
if(FARBUS_SANITIZE MATCHES "thread")
	set(test_time_scale 6)
elseif(FARBUS_SANITIZE OR FARBUS_COVERAGE)
	set(test_time_scale 3)
elseif(CMAKE_BUILD_TYPE STREQUAL "Debug")
	set(test_time_scale 2)
endif()

# A report ends the process with exit code 99, so that it fails even a test that expects some
# program to end with 1.
if(FARBUS_SANITIZE MATCHES "address")
	list(APPEND test_environment "ASAN_OPTIONS=detect_leaks=1:exitcode=99:\
detect_stack_use_after_return=1:check_initialization_order=1:strict_string_checks=1"
		"LSAN_OPTIONS=exitcode=99")
endif()
if(FARBUS_SANITIZE MATCHES "undefined")
	list(APPEND test_environment "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99")
endif()
if(FARBUS_SANITIZE MATCHES "thread")
	set(suppressions "")
	if(EXISTS ${PROJECT_SOURCE_DIR}/tests/tsan.supp)
		set(suppressions ":suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp")
	endif()
	list(APPEND test_environment "TSAN_OPTIONS=halt_on_error=1:exitcode=99:\
second_deadlock_stack=1${suppressions}")
endif()

# farbus_test(name SOURCES a.c ... [LINKS lib ...] [LABELS ...] [TIMEOUT s] [SERIAL] [PUBLIC])
#   A cmocka program. It links the static library with all internal symbols, or with PUBLIC the
#   shared one that users get. Exit code 77 counts as skipped.
function(farbus_test name)
	cmake_parse_arguments(ARG "SERIAL;PUBLIC" "TIMEOUT" "SOURCES;LINKS;LABELS" ${ARGN})
	farbus_test_program(${name} ${ARGN})
	farbus_test_add(${name} COMMAND ${name} LABELS ${ARG_LABELS} TIMEOUT ${ARG_TIMEOUT})
	if(ARG_SERIAL)
		set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
	endif()
endfunction()

# farbus_test_program(name SOURCES a.c ... [LINKS lib ...] [PUBLIC]): only the program; something else
# runs it.
function(farbus_test_program name)
	cmake_parse_arguments(ARG "SERIAL;PUBLIC" "TIMEOUT" "SOURCES;LINKS;LABELS" ${ARGN})
	add_executable(${name} ${ARG_SOURCES})
	if(ARG_PUBLIC)
		target_link_libraries(${name} PRIVATE farbus_flags farbus PkgConfig::CMOCKA ${ARG_LINKS})
	else()
		target_link_libraries(${name} PRIVATE farbus_flags farbus_static PkgConfig::CMOCKA
			${ARG_LINKS})
	endif()
endfunction()

# farbus_test_add(name COMMAND ... [LABELS ...] [TIMEOUT s]): any command as a test.
function(farbus_test_add name)
	cmake_parse_arguments(ARG "" "TIMEOUT" "COMMAND;LABELS" ${ARGN})
	if(NOT ARG_TIMEOUT)
		set(ARG_TIMEOUT 60)
	endif()
	math(EXPR timeout "${ARG_TIMEOUT} * ${test_time_scale}")
	if(NOT ARG_LABELS)
		set(ARG_LABELS default)
	endif()
	add_test(NAME ${name} COMMAND ${ARG_COMMAND})
	set_tests_properties(${name} PROPERTIES TIMEOUT ${timeout} SKIP_RETURN_CODE 77
		LABELS "${ARG_LABELS}" ENVIRONMENT "${test_environment}")
endfunction()

# farbus_fuzz(name SOURCES ... SECONDS n [ARGS ...] [LINKS lib ...])
#   A libFuzzer target. With FARBUS_FUZZ: a test that fuzzes for n seconds, starting from
#   corpus/NAME beside the list that declares it. Without: a test that replays that corpus and
#   seeded mutations of it, so that the default suite runs the target too, with any compiler.
function(farbus_fuzz name)
	cmake_parse_arguments(ARG "" "SECONDS" "SOURCES;ARGS;LINKS" ${ARGN})
	set(corpus ${CMAKE_CURRENT_LIST_DIR}/corpus/${name})
	if(NOT EXISTS ${corpus})
		set(corpus "")
	endif()
	add_executable(${name} ${ARG_SOURCES})
	target_link_libraries(${name} PRIVATE farbus_flags farbus_static ${ARG_LINKS})
	if(NOT FARBUS_FUZZ)
		target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
		farbus_test_add(${name} COMMAND ${name} ${corpus})
		return()
	endif()
	target_link_options(${name} PRIVATE -fsanitize=fuzzer)
	set(found ${CMAKE_CURRENT_BINARY_DIR}/found-${name})
	file(MAKE_DIRECTORY ${found})
	math(EXPR limit "${ARG_SECONDS} + 60")
	# Left alone, libFuzzer reports a crash with the code that means "skipped" to us.
	farbus_test_add(${name} COMMAND ${name} -max_total_time=${ARG_SECONDS} -timeout=10
		-error_exitcode=1 -rss_limit_mb=2048 -artifact_prefix=${CMAKE_CURRENT_BINARY_DIR}/${name}- ${ARG_ARGS}
		${found} ${corpus} LABELS fuzz TIMEOUT ${limit})
	set_property(TEST ${name} PROPERTY SKIP_RETURN_CODE)
endfunction()
