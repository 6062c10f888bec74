# SPDX-License-Identifier: BSD-3-Clause
farbus_test(transport_shm_test SOURCES transport_shm_test.c transport_common.c)
farbus_test(transport_sim_test SOURCES transport_sim_test.c)
