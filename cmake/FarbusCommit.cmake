# SPDX-License-Identifier: BSD-3-Clause
# Writes HEADER with the commit of SOURCE; run at build time by the target farbus_commit_header.
set(commit unknown)
# safe.directory: a tree that somebody else owns is read all the same; nothing in it is run.
set(git git -c safe.directory=${SOURCE} -C ${SOURCE})
execute_process(COMMAND ${git} rev-parse --short=12 HEAD OUTPUT_VARIABLE head RESULT_VARIABLE status
	ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
if(status EQUAL 0 AND EXISTS ${SOURCE}/.git)
	set(commit ${head})
	execute_process(COMMAND ${git} diff --quiet HEAD -- RESULT_VARIABLE status
		OUTPUT_QUIET ERROR_QUIET)
	if(NOT status EQUAL 0)
		string(APPEND commit -changed)
	endif()
endif()
file(CONFIGURE OUTPUT ${HEADER} @ONLY CONTENT [[
/* commit.h -- made by cmake/FarbusCommit.cmake */
#define FARBUS_COMMIT "@commit@"
]])
