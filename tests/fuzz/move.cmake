# SPDX-License-Identifier: BSD-3-Clause
# What the other end of a move may say.
farbus_fuzz(fuzz-move SOURCES ${CMAKE_CURRENT_LIST_DIR}/move_messages.c SECONDS 20)
