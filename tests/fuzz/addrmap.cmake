# SPDX-License-Identifier: BSD-3-Clause
# addrmap/: token texts, and operations on tables beside their models in tests/unit.
set(unit ${PROJECT_SOURCE_DIR}/tests/unit)
farbus_fuzz(fuzz-token SOURCES token.c SECONDS 30)
farbus_fuzz(fuzz-addrmap SOURCES addrmap.c ${unit}/addrmap_model.c ${unit}/addrmap_model_window.c
	${unit}/addrmap_model_export.c ${unit}/addrmap_model_owner.c SECONDS 60 ARGS -max_len=2048)
