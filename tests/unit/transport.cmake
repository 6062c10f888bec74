# SPDX-License-Identifier: BSD-3-Clause
# What every backend promises of links, and what only one of them has.
farbus_test(transport_shm_test SOURCES transport_shm_test.c transport_common.c)
farbus_test(transport_sim_test SOURCES transport_sim_test.c)
farbus_test(transport_lossy_test SOURCES transport_lossy_test.c)

function(transport_link_program name backend where)
	farbus_test_program(${name} SOURCES transport_link_test.c transport_end.c transport_common.c)
	target_compile_definitions(${name} PRIVATE TEST_OPS=transport_${backend}
		TEST_WHERE=${where})
endfunction()
function(transport_link_test backend where)
	transport_link_program(transport_link_${backend}_test ${backend} ${where})
	farbus_test_add(transport_link_${backend}_test COMMAND transport_link_${backend}_test)
endfunction()
transport_link_test(shm "((const char *)0)")
transport_link_test(tcp "\"127.0.0.1\"")
farbus_test(transport_tcp_test SOURCES transport_tcp_test.c transport_end.c transport_common.c
	TIMEOUT 120)
farbus_test(transport_tcp_peer_test SOURCES transport_tcp_peer_test.c transport_end.c
	transport_common.c TIMEOUT 120)
if(UCX_FOUND)
	transport_link_test(ucx "\"127.0.0.1\"")
	transport_link_program(transport_link_ucx_rdma_test ucx "\"\"") # by tests/verbs
	foreach(name IN ITEMS transport_ucx_test transport_ucx_peer_test)
		farbus_test(${name} SOURCES ${name}.c transport_end.c transport_common.c TIMEOUT 120)
		target_include_directories(${name} SYSTEM PRIVATE ${UCX_INCLUDE_DIRS})
	endforeach()
endif()
if(OFI_FOUND)
	transport_link_test(ofi "\"127.0.0.1\"")
	farbus_test(transport_ofi_test SOURCES transport_ofi_test.c transport_end.c transport_common.c
		TIMEOUT 120)
	target_include_directories(transport_ofi_test SYSTEM PRIVATE ${OFI_INCLUDE_DIRS})
endif()
# There is no RDMA device here: these are run in a guest, by tests/verbs.
if(VERBS_FOUND)
	transport_link_program(transport_link_verbs_test verbs "\"\"")
	farbus_test_program(transport_verbs_test SOURCES transport_verbs_test.c transport_end.c
		transport_common.c)
endif()
