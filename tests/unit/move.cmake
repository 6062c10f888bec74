# SPDX-License-Identifier: BSD-3-Clause
farbus_test(move_commit_test SOURCES move_commit_test.c)
farbus_test(move_test SOURCES move_test.c move_common.c)
