# SPDX-License-Identifier: BSD-3-Clause
# nicdrv/: sums, the aggregator's rules and properties, the ring of processes.
farbus_test(nic_csum_test SOURCES nic_csum_test.c nic_common.c)
foreach(name IN ITEMS agg agg_limit)
	farbus_test(nic_${name}_test SOURCES nic_${name}_test.c nic_scene.c nic_common.c)
endforeach()
farbus_test(nic_agg_property SOURCES nic_agg_property.c nic_oracle.c nic_common.c)
farbus_test(nic_ring_test SOURCES nic_ring_test.c nic_ring_common.c nic_oracle.c nic_common.c)
# The device: its maps, its dirty pages, its virtqueues and who speaks to it.
farbus_test(nic_remap_test SOURCES nic_remap_test.c base_common.c)
farbus_test(nic_dirty_report_test SOURCES nic_dirty_report_test.c)
foreach(name IN ITEMS virtq virtq_life virtq_race)
	farbus_test(nic_${name}_test SOURCES nic_${name}_test.c nic_virtq_common.c nic_driver.c)
endforeach()
farbus_test(nic_vhost_user_test SOURCES nic_vhost_user_test.c nic_front.c nic_driver.c)
foreach(name IN ITEMS vhost_net vhost_net_life)
	farbus_test(nic_${name}_test SOURCES nic_${name}_test.c nic_net_common.c nic_front.c
		nic_driver.c nic_oracle.c nic_common.c)
endforeach()
farbus_test(nic_vhost_socket_test SOURCES nic_vhost_socket_test.c nic_front.c nic_driver.c)
farbus_test(nic_port_test SOURCES nic_port_test.c nic_common.c base_common.c)
farbus_test(nic_app_test SOURCES nic_app_test.c nic_driver.c nic_common.c LINKS farbus_nic_parts)
