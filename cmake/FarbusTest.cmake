# SPDX-License-Identifier: BSD-3-Clause
# farbus_test(name SOURCES a.c ... [LINKS lib ...] [LABELS ...] [TIMEOUT s] [SERIAL] [PUBLIC])
#   A cmocka program. It links the static library with all internal symbols, or with PUBLIC the
#   shared one that users get. Exit code 77 counts as skipped.
function(farbus_test name)
	cmake_parse_arguments(ARG "SERIAL;PUBLIC" "TIMEOUT" "SOURCES;LINKS;LABELS" ${ARGN})
	add_executable(${name} ${ARG_SOURCES})
	if(ARG_PUBLIC)
		target_link_libraries(${name} PRIVATE farbus_flags farbus PkgConfig::CMOCKA ${ARG_LINKS})
	else()
		target_link_libraries(${name} PRIVATE farbus_flags farbus_static PkgConfig::CMOCKA
			${ARG_LINKS})
	endif()
	farbus_test_add(${name} COMMAND ${name} LABELS ${ARG_LABELS} TIMEOUT ${ARG_TIMEOUT})
	if(ARG_SERIAL)
		set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
	endif()
endfunction()

# farbus_test_add(name COMMAND ... [LABELS ...] [TIMEOUT s]): any command as a test.
function(farbus_test_add name)
	cmake_parse_arguments(ARG "" "TIMEOUT" "COMMAND;LABELS" ${ARGN})
	if(NOT ARG_TIMEOUT)
		set(ARG_TIMEOUT 60)
	endif()
	if(NOT ARG_LABELS)
		set(ARG_LABELS default)
	endif()
	add_test(NAME ${name} COMMAND ${ARG_COMMAND})
	set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} SKIP_RETURN_CODE 77
		LABELS "${ARG_LABELS}")
endfunction()

# farbus_fuzz(name SOURCES ... SECONDS n): a libFuzzer target, and a test that runs it for n seconds.
function(farbus_fuzz name)
	cmake_parse_arguments(ARG "" "SECONDS" "SOURCES;ARGS" ${ARGN})
	if(NOT FARBUS_FUZZ)
		return()
	endif()
	add_executable(${name} ${ARG_SOURCES})
	target_link_libraries(${name} PRIVATE farbus_flags farbus_static)
	target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
	target_link_options(${name} PRIVATE -fsanitize=fuzzer)
	math(EXPR limit "${ARG_SECONDS} + 60")
	farbus_test_add(${name} COMMAND ${name} -max_total_time=${ARG_SECONDS} -timeout=10
		-rss_limit_mb=2048 ${ARG_ARGS} LABELS fuzz TIMEOUT ${limit})
endfunction()
