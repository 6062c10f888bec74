# SPDX-License-Identifier: BSD-3-Clause
# transport/: frames of peers.
if(UCX_FOUND)
	farbus_fuzz(fuzz-ucx-frame SOURCES ucx_frame.c SECONDS 30 ARGS -max_len=2048)
	target_include_directories(fuzz-ucx-frame SYSTEM PRIVATE ${UCX_INCLUDE_DIRS})
endif()
