# SPDX-License-Identifier: BSD-3-Clause
# What the tools read from files and from other processes.
farbus_fuzz(fuzz-counterfile SOURCES counterfile.c LINKS farbus_stat_parts SECONDS 45)
farbus_fuzz(fuzz-info-answer SOURCES info_answer.c LINKS farbus_info_parts SECONDS 45)
