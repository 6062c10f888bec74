# SPDX-License-Identifier: BSD-3-Clause
# The engine that moves memory, the tracking of written pages, and migration on top of both.
farbus_test(move_commit_test SOURCES move_commit_test.c)
farbus_test(move_test SOURCES move_test.c move_common.c)
farbus_test(move_rounds_test SOURCES move_rounds_test.c)
farbus_test(paging_track_test SOURCES paging_track_test.c)
farbus_test(vm_test SOURCES vm_test.c)
farbus_test(paging_fault_test SOURCES paging_fault_test.c)
