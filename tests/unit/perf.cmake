# SPDX-License-Identifier: BSD-3-Clause
# apps/farbus-perf: how it measures, and its command line. No time is a pass criterion.
set(perf ${PROJECT_SOURCE_DIR}/apps/farbus-perf)
farbus_test(perf_measure_test SOURCES perf_measure_test.c ${perf}/measure.c)
farbus_test(perf_options_test SOURCES perf_options_test.c ${perf}/options.c ${perf}/figure.c
	${perf}/figure_access.c ${perf}/figure_translate.c ${perf}/figure_ring.c ${perf}/measure.c
	${perf}/ring_bare.c ${perf}/tcp_floor.c ${perf}/pair.c ${perf}/pin.c)
target_link_libraries(perf_options_test PRIVATE farbus_commit)
target_compile_definitions(perf_options_test PRIVATE FARBUS_VERSION="${PROJECT_VERSION}")
