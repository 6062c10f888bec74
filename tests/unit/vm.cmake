# SPDX-License-Identifier: BSD-3-Clause
# runtime/vm: QEMU's migration stream.
farbus_test(vm_stream_test SOURCES vm_stream_test.c vm_stream_build.c)
