# SPDX-License-Identifier: BSD-3-Clause
# runtime/vm: a migration stream from anybody.
farbus_fuzz(fuzz-vm-stream SOURCES vm_stream.c SECONDS 40 ARGS -max_len=16384)
